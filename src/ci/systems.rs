//! Which CI system runs this job, by the variables that each sets.
//!
//! Only GitHub Actions is known well enough to say which pull request a job belongs to; of the others only the
//! name and the trigger are told.

use super::{CiError, Environment};

/// Whose job this is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recognised {
    GitHubActions,
    Other { system: String, event: String },
    Nothing,
}

struct System {
    name: &'static str,
    marker: Marker,
    /// The variable that names what triggered the job.
    trigger: Option<&'static str>,
}

enum Marker {
    Set(&'static str),
    Says(&'static str, &'static str),
}

const fn system(name: &'static str, marker: Marker, trigger: Option<&'static str>) -> System {
    System { name, marker, trigger }
}

/// Systems that also set the variables of GitHub Actions, so that they are asked first.
const LOOKALIKES: [System; 2] = [
    system("Forgejo Actions", Marker::Set("FORGEJO_ACTIONS"), Some("GITHUB_EVENT_NAME")),
    system("Gitea Actions", Marker::Set("GITEA_ACTIONS"), Some("GITHUB_EVENT_NAME")),
];

/// All others. Build systems of hosting platforms stand here too: their jobs belong to no pull request either.
const OTHERS: [System; 20] = [
    system("GitLab CI", Marker::Set("GITLAB_CI"), Some("CI_PIPELINE_SOURCE")),
    system("CircleCI", Marker::Set("CIRCLECI"), None),
    system("Buildkite", Marker::Set("BUILDKITE"), Some("BUILDKITE_SOURCE")),
    system("Azure Pipelines", Marker::Set("TF_BUILD"), Some("BUILD_REASON")),
    system("Bitbucket Pipelines", Marker::Set("BITBUCKET_BUILD_NUMBER"), None),
    system("Jenkins", Marker::Set("JENKINS_URL"), None),
    system("Woodpecker", Marker::Says("CI", "woodpecker"), Some("CI_PIPELINE_EVENT")),
    system("Drone", Marker::Set("DRONE"), Some("DRONE_BUILD_EVENT")),
    system("Travis CI", Marker::Set("TRAVIS"), Some("TRAVIS_EVENT_TYPE")),
    system("TeamCity", Marker::Set("TEAMCITY_VERSION"), None),
    system("AppVeyor", Marker::Set("APPVEYOR"), None),
    system("AWS CodeBuild", Marker::Set("CODEBUILD_BUILD_ID"), Some("CODEBUILD_WEBHOOK_EVENT")),
    system("Semaphore", Marker::Set("SEMAPHORE"), None),
    system("Cirrus CI", Marker::Set("CIRRUS_CI"), None),
    system("Netlify", Marker::Set("NETLIFY"), Some("CONTEXT")),
    system("Vercel", Marker::Set("VERCEL"), Some("VERCEL_ENV")),
    system("Cloudflare Pages", Marker::Set("CF_PAGES"), None),
    system("Cloudflare Workers Builds", Marker::Set("WORKERS_CI"), None),
    system("Render", Marker::Set("RENDER"), None),
    system("AWS Amplify", Marker::Set("AWS_APP_ID"), None),
];

/// Recognises the system.
pub(super) fn recognise(environment: &Environment) -> Result<Recognised, CiError> {
    if let Some(found) = find(&LOOKALIKES, environment)? {
        return named(found, environment);
    }
    if environment.says("GITHUB_ACTIONS", "true")? {
        return Ok(Recognised::GitHubActions);
    }
    if let Some(found) = find(&OTHERS, environment)? {
        return named(found, environment);
    }
    match environment.text("CI")? {
        None | Some("false" | "0") => Ok(Recognised::Nothing),
        Some(_) => Ok(Recognised::Other { system: "unknown CI".into(), event: String::new() }),
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

fn named(system: &System, environment: &Environment) -> Result<Recognised, CiError> {
    let event = match system.trigger {
        Some(variable) => environment.text(variable)?.unwrap_or_default().to_owned(),
        None => String::new(),
    };
    Ok(Recognised::Other { system: system.name.to_owned(), event })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise_pairs(pairs: &[(&str, &str)]) -> Recognised {
        recognise(&Environment::from_pairs(pairs.iter().copied())).unwrap()
    }

    fn other(system: &str, event: &str) -> Recognised {
        Recognised::Other { system: system.into(), event: event.into() }
    }

    #[test]
    fn github_actions_is_recognised() {
        assert_eq!(recognise_pairs(&[("CI", "true"), ("GITHUB_ACTIONS", "true")]), Recognised::GitHubActions);
    }

    #[test]
    fn systems_that_look_like_github_actions_are_not_it() {
        let like_github = [("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "pull_request")];

        let gitea = recognise_pairs(&[&like_github[..], &[("GITEA_ACTIONS", "true")]].concat());
        let forgejo = recognise_pairs(
            &[&like_github[..], &[("GITEA_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")]].concat(),
        );

        assert_eq!(gitea, other("Gitea Actions", "pull_request"));
        assert_eq!(forgejo, other("Forgejo Actions", "pull_request"));
    }

    #[test]
    fn other_systems_are_named() {
        let gitlab = [("CI", "true"), ("GITLAB_CI", "true"), ("CI_PIPELINE_SOURCE", "merge_request_event")];

        assert_eq!(recognise_pairs(&gitlab), other("GitLab CI", "merge_request_event"));
        assert_eq!(recognise_pairs(&[("CI", "woodpecker")]), other("Woodpecker", ""));
        assert_eq!(recognise_pairs(&[("CI", "true")]), other("unknown CI", ""));
    }

    #[test]
    fn a_machine_without_ci_variables_is_nobodys_ci() {
        assert_eq!(recognise_pairs(&[]), Recognised::Nothing);
        assert_eq!(recognise_pairs(&[("GITHUB_ACTIONS", "false"), ("CI", "0")]), Recognised::Nothing);
    }
}
