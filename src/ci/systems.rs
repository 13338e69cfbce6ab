//! Which CI system runs this job, by the variables that each sets, and where it says which pull request it is.
//!
//! Variable names follow each system's documents. Systems without a row of variables are told by name and trigger
//! only, so that a refusal can say whose job it was.

use super::pull_request::{ForgeSign, ForkSign, Number, RepositoryName, Variables};
use super::{CiError, Environment};
use crate::context::Forge;

/// Whose job this is.
pub(super) enum Recognised {
    GitHubActions,
    Known { system: &'static System, event: String },
    Unknown { system: String },
    Nothing,
}

/// A CI system, or the build system of a hosting platform.
pub(super) struct System {
    pub(super) name: &'static str,
    marker: Marker,
    /// The variable that names what triggered the job.
    trigger: Option<&'static str>,
    pub(super) pull_request: PullRequestFacts,
}

/// Where a system says which pull request a job belongs to.
pub(super) enum PullRequestFacts {
    /// In variables.
    Variables(&'static Variables),
    /// In the payload that GitHub Actions has too.
    Payload,
    /// Nowhere that is known.
    Untold,
}

enum Marker {
    Set(&'static str),
    Says(&'static str, &'static str),
}

const fn other(name: &'static str, marker: Marker, trigger: Option<&'static str>) -> System {
    System { name, marker, trigger, pull_request: PullRequestFacts::Untold }
}

/// Systems that also set the variables of GitHub Actions, so that they are asked first.
static LOOKALIKES: [System; 2] = [
    System {
        name: "Forgejo Actions",
        marker: Marker::Set("FORGEJO_ACTIONS"),
        trigger: Some("GITHUB_EVENT_NAME"),
        pull_request: PullRequestFacts::Payload,
    },
    System {
        name: "Gitea Actions",
        marker: Marker::Set("GITEA_ACTIONS"),
        trigger: Some("GITHUB_EVENT_NAME"),
        pull_request: PullRequestFacts::Payload,
    },
];

/// Systems that say in variables which pull request a job belongs to.
static TOLD_IN_VARIABLES: [System; 8] = [
    System {
        name: "GitLab CI",
        marker: Marker::Set("GITLAB_CI"),
        trigger: Some("CI_PIPELINE_SOURCE"),
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: Some(("CI_PIPELINE_SOURCE", "merge_request_event")),
            // The number within the project; CI_MERGE_REQUEST_ID counts over the whole instance.
            number: &[Number::Plain("CI_MERGE_REQUEST_IID")],
            // In pipelines of merged results the commit is a merge, and only there the first one is set.
            head_sha: &["CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "CI_COMMIT_SHA"],
            head_branch: &["CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"],
            base_branch: &["CI_MERGE_REQUEST_TARGET_BRANCH_NAME"],
            base_sha: &["CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA"],
            repository: &[
                RepositoryName::Whole("CI_MERGE_REQUEST_PROJECT_PATH"),
                RepositoryName::Whole("CI_PROJECT_PATH"),
            ],
            fork: ForkSign::Differ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "CI_MERGE_REQUEST_PROJECT_ID"),
            forge: ForgeSign::Always(Forge::GitLab),
            is_vouched: true,
        }),
    },
    System {
        name: "CircleCI",
        marker: Marker::Set("CIRCLECI"),
        trigger: None,
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: None,
            number: &[Number::InUrl("CIRCLE_PULL_REQUEST"), Number::Plain("CIRCLE_PR_NUMBER")],
            head_sha: &["CIRCLE_SHA1"],
            head_branch: &["CIRCLE_BRANCH"],
            base_branch: &[],
            base_sha: &[],
            repository: &[
                RepositoryName::InUrl("CIRCLE_PULL_REQUEST"),
                RepositoryName::Parts("CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME"),
            ],
            // Set for pull requests from forks only.
            fork: ForkSign::Set("CIRCLE_PR_NUMBER"),
            forge: ForgeSign::InUrl("CIRCLE_PULL_REQUEST"),
            is_vouched: true,
        }),
    },
    System {
        name: "Buildkite",
        marker: Marker::Set("BUILDKITE"),
        trigger: Some("BUILDKITE_SOURCE"),
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: None,
            number: &[Number::OrWord("BUILDKITE_PULL_REQUEST", "false")],
            head_sha: &["BUILDKITE_COMMIT"],
            head_branch: &["BUILDKITE_BRANCH"],
            base_branch: &["BUILDKITE_PULL_REQUEST_BASE_BRANCH"],
            base_sha: &[],
            repository: &[RepositoryName::InUrl("BUILDKITE_REPO")],
            fork: ForkSign::Differ("BUILDKITE_PULL_REQUEST_REPO", "BUILDKITE_REPO"),
            forge: ForgeSign::InUrl("BUILDKITE_REPO"),
            // Its documents say that hooks of the job can override anything.
            is_vouched: false,
        }),
    },
    System {
        name: "Azure Pipelines",
        marker: Marker::Set("TF_BUILD"),
        trigger: Some("BUILD_REASON"),
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: Some(("BUILD_REASON", "PullRequest")),
            number: AZURE_NUMBER,
            head_sha: &["SYSTEM_PULLREQUEST_SOURCECOMMITID"],
            head_branch: &["SYSTEM_PULLREQUEST_SOURCEBRANCH"],
            base_branch: &["SYSTEM_PULLREQUEST_TARGETBRANCH"],
            base_sha: &[],
            repository: &[RepositoryName::Whole("BUILD_REPOSITORY_NAME")],
            fork: ForkSign::Says("SYSTEM_PULLREQUEST_ISFORK"),
            forge: ForgeSign::GitHubIf("BUILD_REPOSITORY_PROVIDER", "GitHub"),
            is_vouched: true,
        }),
    },
    System {
        name: "Bitbucket Pipelines",
        marker: Marker::Set("BITBUCKET_BUILD_NUMBER"),
        trigger: None,
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: None,
            number: &[Number::Plain("BITBUCKET_PR_ID")],
            head_sha: &["BITBUCKET_COMMIT"],
            head_branch: &["BITBUCKET_BRANCH"],
            base_branch: &["BITBUCKET_PR_DESTINATION_BRANCH"],
            base_sha: &[],
            repository: &[RepositoryName::Whole("BITBUCKET_REPO_FULL_NAME")],
            fork: ForkSign::Untold,
            forge: ForgeSign::Always(Forge::Other),
            // A variable of the repository with the same name replaces the system's own.
            is_vouched: false,
        }),
    },
    System {
        name: "Jenkins",
        marker: Marker::Set("JENKINS_URL"),
        trigger: None,
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: None,
            number: &[
                Number::Plain("CHANGE_ID"),
                Number::Plain("ghprbPullId"),
                Number::Plain("gitlabMergeRequestIid"),
            ],
            // GIT_COMMIT may be a merge that nobody deployed; L6 then finds that the head is another.
            head_sha: &["ghprbActualCommit", "gitlabMergeRequestLastCommit", "GIT_COMMIT"],
            head_branch: &["CHANGE_BRANCH", "ghprbSourceBranch", "gitlabSourceBranch"],
            base_branch: &["CHANGE_TARGET", "ghprbTargetBranch", "gitlabTargetBranch"],
            base_sha: &[],
            repository: &[RepositoryName::InUrl("CHANGE_URL"), RepositoryName::InUrl("GIT_URL")],
            fork: ForkSign::Set("CHANGE_FORK"),
            forge: ForgeSign::InUrl("CHANGE_URL"),
            // Everything can be set by the job.
            is_vouched: false,
        }),
    },
    System {
        name: "Woodpecker",
        marker: Marker::Says("CI", "woodpecker"),
        trigger: Some("CI_PIPELINE_EVENT"),
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: Some(("CI_PIPELINE_EVENT", "pull_request")),
            number: &[Number::Plain("CI_COMMIT_PULL_REQUEST")],
            head_sha: &["CI_COMMIT_SHA"],
            head_branch: &["CI_COMMIT_SOURCE_BRANCH"],
            base_branch: &["CI_COMMIT_TARGET_BRANCH"],
            base_sha: &[],
            repository: &[RepositoryName::Whole("CI_REPO")],
            fork: ForkSign::Untold,
            forge: ForgeSign::InUrl("CI_FORGE_URL"),
            is_vouched: true,
        }),
    },
    System {
        name: "Drone",
        marker: Marker::Set("DRONE"),
        trigger: Some("DRONE_BUILD_EVENT"),
        pull_request: PullRequestFacts::Variables(&Variables {
            trigger: Some(("DRONE_BUILD_EVENT", "pull_request")),
            number: &[Number::Plain("DRONE_PULL_REQUEST")],
            head_sha: &["DRONE_COMMIT_SHA"],
            head_branch: &["DRONE_SOURCE_BRANCH"],
            base_branch: &["DRONE_TARGET_BRANCH"],
            base_sha: &[],
            repository: &[RepositoryName::Parts("DRONE_REPO_OWNER", "DRONE_REPO_NAME")],
            fork: ForkSign::Untold,
            forge: ForgeSign::InUrl("DRONE_REPO_LINK"),
            is_vouched: true,
        }),
    },
];

/// GitHub's number where there is one: for its repositories the identifier is another number.
const AZURE_NUMBER: &[Number] =
    &[Number::First("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID")];

/// All others. Build systems of hosting platforms stand here too: their jobs belong to no pull request either.
static OTHERS: [System; 12] = [
    other("Travis CI", Marker::Set("TRAVIS"), Some("TRAVIS_EVENT_TYPE")),
    other("TeamCity", Marker::Set("TEAMCITY_VERSION"), None),
    other("AppVeyor", Marker::Set("APPVEYOR"), None),
    other("AWS CodeBuild", Marker::Set("CODEBUILD_BUILD_ID"), Some("CODEBUILD_WEBHOOK_EVENT")),
    other("Semaphore", Marker::Set("SEMAPHORE"), None),
    other("Cirrus CI", Marker::Set("CIRRUS_CI"), None),
    other("Netlify", Marker::Set("NETLIFY"), Some("CONTEXT")),
    other("Vercel", Marker::Set("VERCEL"), Some("VERCEL_ENV")),
    other("Cloudflare Pages", Marker::Set("CF_PAGES"), None),
    other("Cloudflare Workers Builds", Marker::Set("WORKERS_CI"), None),
    other("Render", Marker::Set("RENDER"), None),
    other("AWS Amplify", Marker::Set("AWS_APP_ID"), None),
];

/// Recognises the system.
pub(super) fn recognise(environment: &Environment) -> Result<Recognised, CiError> {
    if let Some(found) = find(&LOOKALIKES, environment)? {
        return named(found, environment);
    }
    if environment.says("GITHUB_ACTIONS", "true")? {
        return Ok(Recognised::GitHubActions);
    }
    if let Some(found) = find(&TOLD_IN_VARIABLES, environment)? {
        return named(found, environment);
    }
    if let Some(found) = find(&OTHERS, environment)? {
        return named(found, environment);
    }
    match environment.text("CI")? {
        None | Some("false" | "0") => Ok(Recognised::Nothing),
        Some(_) => Ok(Recognised::Unknown { system: "unknown CI".into() }),
    }
}

fn find(systems: &'static [System], environment: &Environment) -> Result<Option<&'static System>, CiError> {
    for system in systems {
        let is_running = match system.marker {
            Marker::Set(name) => environment.is_set(name),
            Marker::Says(name, value) => environment.says(name, value)?,
        };
        if is_running {
            return Ok(Some(system));
        }
    }
    Ok(None)
}

fn named(system: &'static System, environment: &Environment) -> Result<Recognised, CiError> {
    let event = match system.trigger {
        Some(variable) => environment.text(variable)?.unwrap_or_default().to_owned(),
        None => String::new(),
    };
    Ok(Recognised::Known { system, event })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(pairs: &[(&str, &str)]) -> (String, String) {
        match recognise(&Environment::from_pairs(pairs.iter().copied())).unwrap() {
            Recognised::GitHubActions => ("GitHub Actions".into(), String::new()),
            Recognised::Known { system, event } => (system.name.into(), event),
            Recognised::Unknown { system } => (system, String::new()),
            Recognised::Nothing => (String::new(), String::new()),
        }
    }

    fn system(name: &str, event: &str) -> (String, String) {
        (name.into(), event.into())
    }

    #[test]
    fn github_actions_is_recognised() {
        assert_eq!(recognised(&[("CI", "true"), ("GITHUB_ACTIONS", "true")]), system("GitHub Actions", ""));
    }

    #[test]
    fn systems_that_look_like_github_actions_are_not_it() {
        let like_github = [("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "pull_request")];

        let gitea = recognised(&[&like_github[..], &[("GITEA_ACTIONS", "true")]].concat());
        let forgejo = recognised(
            &[&like_github[..], &[("GITEA_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")]].concat(),
        );

        assert_eq!(gitea, system("Gitea Actions", "pull_request"));
        assert_eq!(forgejo, system("Forgejo Actions", "pull_request"));
    }

    #[test]
    fn other_systems_are_named() {
        let gitlab = [("CI", "true"), ("GITLAB_CI", "true"), ("CI_PIPELINE_SOURCE", "merge_request_event")];

        assert_eq!(recognised(&gitlab), system("GitLab CI", "merge_request_event"));
        assert_eq!(recognised(&[("CI", "woodpecker")]), system("Woodpecker", ""));
        assert_eq!(recognised(&[("CI", "true"), ("TRAVIS", "true")]), system("Travis CI", ""));
        assert_eq!(recognised(&[("CI", "true")]), system("unknown CI", ""));
    }

    #[test]
    fn a_machine_without_ci_variables_is_nobodys_ci() {
        assert_eq!(recognised(&[]), system("", ""));
        assert_eq!(recognised(&[("GITHUB_ACTIONS", "false"), ("CI", "0")]), system("", ""));
    }
}
