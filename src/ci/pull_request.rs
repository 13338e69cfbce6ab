//! Which pull request a job belongs to, on CI systems that say so in variables: one table, one row a system.
//!
//! A row names variables, never values. Where a system has several variables for one fact all that are set must
//! agree, and what is set but cannot be understood is an error: nothing is decided on half of the facts.

use url::Url;

use super::{CiError, Environment, Reading};
use crate::context::{
    CommitSha, Context, Forge, MalformedFact, PullRequest, PullRequestEvent, PullRequestNumber, Repository,
};

/// No honest name of a branch, a repository or an environment is longer.
const MAX_FACT_BYTES: usize = 2_048;

/// The variables of one CI system.
pub(super) struct Variables {
    /// Says that the job belongs to a pull request, where the system has a variable for that.
    pub(super) trigger: Option<(&'static str, &'static str)>,
    /// Hold the number; all that are set must agree.
    pub(super) number: &'static [Number],
    pub(super) head_sha: &'static [&'static str],
    pub(super) head_branch: &'static [&'static str],
    pub(super) base_branch: &'static [&'static str],
    pub(super) base_sha: &'static [&'static str],
    pub(super) repository: &'static [RepositoryName],
    pub(super) fork: ForkSign,
    pub(super) forge: ForgeSign,
    /// Whether no step of the job can rewrite these variables.
    pub(super) is_vouched: bool,
}

/// How a variable holds the number of a pull request.
pub(super) enum Number {
    /// The number itself.
    Plain(&'static str),
    /// The number, or a word where there is none.
    OrWord(&'static str, &'static str),
    /// The last part of the pull request's address.
    InUrl(&'static str),
    /// The first of two that is set.
    First(&'static str, &'static str),
}

/// How variables hold the repository.
pub(super) enum RepositoryName {
    /// `owner/name`, on some forges with more levels.
    Whole(&'static str),
    /// Owner and name apart.
    Parts(&'static str, &'static str),
    /// The address that it is cloned from, or the address of something inside it.
    InUrl(&'static str),
}

/// How a fork shows.
pub(super) enum ForkSign {
    /// The variable says `true`.
    Says(&'static str),
    /// The variable is set.
    Set(&'static str),
    /// Two variables differ.
    Differ(&'static str, &'static str),
    /// The system does not tell; then every pull request may be from a fork.
    Untold,
}

/// How the forge shows.
pub(super) enum ForgeSign {
    /// It is always this one.
    Always(Forge),
    /// The variable holds an address on it.
    InUrl(&'static str),
    /// The variable has this value on GitHub.
    GitHubIf(&'static str, &'static str),
}

/// Reads the pull request of a job, or `None` where the job belongs to none.
pub(super) fn read(
    system: &'static str,
    variables: &Variables,
    environment: &Environment,
) -> Result<Option<Reading>, CiError> {
    let facts = Facts { environment };
    if let Some((variable, value)) = variables.trigger
        && !environment.says(variable, value)?
    {
        return Ok(None);
    }
    let Some(number) = facts.number(variables.number)? else { return Ok(None) };
    let head_sha = facts.sha(variables.head_sha)?.ok_or_else(|| missing(system, variables.head_sha))?;
    let forge = facts.forge(&variables.forge)?;
    let repository = facts.repository(variables.repository, forge)?;
    let repository = repository.ok_or_else(|| missing(system, &["the repository's name"]))?;
    let pull_request = PullRequest {
        system: system.to_owned(),
        is_vouched: variables.is_vouched,
        forge,
        event: PullRequestEvent::PullRequest,
        action: String::new(),
        repository,
        number: Some(number),
        is_closed: false,
        head_sha,
        head_branch: facts.branch(variables.head_branch)?,
        base_branch: facts.branch(variables.base_branch)?,
        base_sha: facts.sha(variables.base_sha)?,
        is_from_fork: facts.is_from_fork(&variables.fork)?,
        deployment: None,
        claims: vec![],
    };
    Ok(Some(Reading::of(Context::PullRequest(Box::new(pull_request)))))
}

fn missing(system: &'static str, variables: &[&str]) -> CiError {
    CiError::MissingFact { system, variables: variables.join(" or ") }
}

struct Facts<'a> {
    environment: &'a Environment,
}

impl Facts<'_> {
    /// Returns a variable's text, refusing what is longer than any honest value.
    fn text(&self, variable: &str) -> Result<Option<&str>, CiError> {
        match self.environment.text(variable)? {
            Some(text) if text.len() > MAX_FACT_BYTES => {
                Err(CiError::TooLong { variable: variable.to_owned(), limit: MAX_FACT_BYTES })
            }
            found => Ok(found),
        }
    }

    /// Reads every variable that is set; all must say the same.
    fn agreed<T: PartialEq>(
        &self,
        variables: impl Iterator<Item = &'static str>,
        parse: impl Fn(&str, &str) -> Result<Option<T>, CiError>,
    ) -> Result<Option<T>, CiError> {
        let mut found: Option<(&'static str, T)> = None;
        for variable in variables {
            let Some(text) = self.text(variable)? else { continue };
            let Some(value) = parse(variable, text)? else { continue };
            match &found {
                Some((other, agreed)) if *agreed != value => {
                    return Err(CiError::Contradiction { one: other, other: variable });
                }
                Some(_) => {}
                None => found = Some((variable, value)),
            }
        }
        Ok(found.map(|(_, value)| value))
    }

    fn number(&self, ways: &'static [Number]) -> Result<Option<PullRequestNumber>, CiError> {
        let mut variables = Vec::new();
        for way in ways {
            variables.push(match way {
                Number::First(first, second) => {
                    if self.text(first)?.is_some() {
                        first
                    } else {
                        second
                    }
                }
                Number::Plain(variable) | Number::OrWord(variable, _) | Number::InUrl(variable) => variable,
            });
        }
        let read = |variable: &str, text: &str| {
            let is_it = |named: &str| named == variable;
            let digits = match ways.iter().find(|way| way.is_in(is_it)) {
                Some(Number::OrWord(_, none)) if text.eq_ignore_ascii_case(none) => return Ok(None),
                Some(Number::InUrl(_)) => number_in_url(text).unwrap_or_default(),
                _ => text.to_owned(),
            };
            PullRequestNumber::parse(&digits).map(Some).map_err(|source| malformed(variable, source))
        };
        self.agreed(variables.into_iter().copied(), read)
    }

    /// The first that is set: systems have one variable for the head and, behind it, one for what was checked out.
    fn sha(&self, variables: &[&'static str]) -> Result<Option<CommitSha>, CiError> {
        for variable in variables {
            if let Some(text) = self.text(variable)? {
                return CommitSha::parse(text).map(Some).map_err(|source| malformed(variable, source));
            }
        }
        Ok(None)
    }

    fn branch(&self, variables: &'static [&'static str]) -> Result<Option<String>, CiError> {
        self.agreed(variables.iter().copied(), |_, text| {
            Ok(Some(text.strip_prefix("refs/heads/").unwrap_or(text).to_owned()))
        })
    }

    fn repository(
        &self,
        names: &'static [RepositoryName],
        forge: Forge,
    ) -> Result<Option<Repository>, CiError> {
        for name in names {
            let found = match name {
                RepositoryName::Whole(variable) => {
                    self.text(variable)?.map(|text| (*variable, text.to_owned()))
                }
                RepositoryName::Parts(owner, name) => match (self.text(owner)?, self.text(name)?) {
                    (Some(first), Some(second)) => Some((*owner, format!("{first}/{second}"))),
                    _ => None,
                },
                RepositoryName::InUrl(variable) => {
                    self.text(variable)?.map(|text| (*variable, repository_in_url(text).unwrap_or_default()))
                }
            };
            if let Some((variable, text)) = found {
                let parse = if forge == Forge::GitLab { Repository::parse_nested } else { Repository::parse };
                return parse(&text).map(Some).map_err(|source| malformed(variable, source));
            }
        }
        Ok(None)
    }

    fn is_from_fork(&self, sign: &ForkSign) -> Result<bool, CiError> {
        Ok(match sign {
            ForkSign::Says(variable) => self.environment.says(variable, "true")?,
            ForkSign::Set(variable) => self.environment.is_set(variable),
            ForkSign::Differ(one, other) => match (self.text(one)?, self.text(other)?) {
                (Some(one), Some(other)) => one != other,
                // Where one of them is missing nobody knows, and a fork is the careful guess.
                _ => true,
            },
            ForkSign::Untold => true,
        })
    }

    fn forge(&self, sign: &ForgeSign) -> Result<Forge, CiError> {
        Ok(match sign {
            ForgeSign::Always(forge) => *forge,
            ForgeSign::InUrl(variable) => match self.text(variable)?.and_then(host_in_url).as_deref() {
                Some("github.com" | "ssh.github.com") => Forge::GitHub,
                _ => Forge::Other,
            },
            ForgeSign::GitHubIf(variable, value) => {
                if self.environment.says(variable, value)? {
                    Forge::GitHub
                } else {
                    Forge::Other
                }
            }
        })
    }
}

impl Number {
    fn is_in(&self, is_it: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Plain(variable) | Self::OrWord(variable, _) | Self::InUrl(variable) => is_it(variable),
            Self::First(first, second) => is_it(first) || is_it(second),
        }
    }
}

fn malformed(variable: &str, source: MalformedFact) -> CiError {
    CiError::MalformedVariable { variable: variable.to_owned(), source }
}

/// Returns the number at the end of a pull request's address; a path with dots in it is no address of one.
fn number_in_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| url.as_str() == text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let mut parts = url.path_segments()?.rev();
    let (number, kind) = (parts.next()?, parts.next()?);
    matches!(kind, "pull" | "pulls" | "pull-requests" | "merge_requests").then(|| number.to_owned())
}

/// Returns `owner/name` out of the address of a repository, for git or for people.
fn repository_in_url(text: &str) -> Option<String> {
    let path = match text.split_once("://") {
        Some(_) => Url::parse(text).ok()?.path().to_owned(),
        // The short form of git: git@github.com:acme/shop.git
        None => text.split_once(':')?.1.to_owned(),
    };
    let mut parts = path.trim_matches('/').split('/');
    let (owner, name) = (parts.next()?, parts.next()?);
    Some(format!("{owner}/{}", name.strip_suffix(".git").unwrap_or(name)))
}

fn host_in_url(text: &str) -> Option<String> {
    match text.split_once("://") {
        Some(_) => Some(Url::parse(text).ok()?.host_str()?.to_ascii_lowercase()),
        None => {
            let (host, _) = text.split_once(':')?;
            Some(host.rsplit('@').next().unwrap_or(host).to_ascii_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";
    const MERGE: &str = "fedcba9876543210fedcba9876543210fedcba98";

    type Pairs = Vec<(&'static str, &'static str)>;

    /// A system, the variable of its pull request's number, and all variables.
    type Job = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

    /// A job of pull request 1 on every system, with the variable of its number.
    const JOBS: [Job; 8] = [
        (
            "GitLab CI",
            "CI_MERGE_REQUEST_IID",
            &[
                ("GITLAB_CI", "true"),
                ("CI_PIPELINE_SOURCE", "merge_request_event"),
                ("CI_MERGE_REQUEST_ID", "987654"),
                ("CI_MERGE_REQUEST_IID", "1"),
                ("CI_COMMIT_SHA", MERGE),
                ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", HEAD),
                ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "feat/cart"),
                ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
                ("CI_MERGE_REQUEST_PROJECT_PATH", "group/team/shop"),
                ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "7"),
                ("CI_MERGE_REQUEST_PROJECT_ID", "7"),
            ],
        ),
        (
            "CircleCI",
            "CIRCLE_PULL_REQUEST",
            &[
                ("CIRCLECI", "true"),
                ("CIRCLE_PULL_REQUEST", "https://github.com/acme/shop/pull/1"),
                ("CIRCLE_SHA1", HEAD),
                ("CIRCLE_BRANCH", "feat/cart"),
            ],
        ),
        (
            "Buildkite",
            "BUILDKITE_PULL_REQUEST",
            &[
                ("BUILDKITE", "true"),
                ("BUILDKITE_PULL_REQUEST", "1"),
                ("BUILDKITE_COMMIT", HEAD),
                ("BUILDKITE_BRANCH", "feat/cart"),
                ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "main"),
                ("BUILDKITE_REPO", "git@github.com:acme/shop.git"),
                ("BUILDKITE_PULL_REQUEST_REPO", "git@github.com:acme/shop.git"),
            ],
        ),
        (
            "Azure Pipelines",
            "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER",
            &[
                ("TF_BUILD", "True"),
                ("BUILD_REASON", "PullRequest"),
                ("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "1"),
                ("SYSTEM_PULLREQUEST_PULLREQUESTID", "555"),
                ("SYSTEM_PULLREQUEST_SOURCECOMMITID", HEAD),
                ("BUILD_SOURCEVERSION", MERGE),
                ("SYSTEM_PULLREQUEST_SOURCEBRANCH", "refs/heads/feat/cart"),
                ("SYSTEM_PULLREQUEST_TARGETBRANCH", "refs/heads/main"),
                ("BUILD_REPOSITORY_NAME", "acme/shop"),
                ("BUILD_REPOSITORY_PROVIDER", "GitHub"),
                ("SYSTEM_PULLREQUEST_ISFORK", "False"),
            ],
        ),
        (
            "Bitbucket Pipelines",
            "BITBUCKET_PR_ID",
            &[
                ("BITBUCKET_BUILD_NUMBER", "12"),
                ("BITBUCKET_PR_ID", "1"),
                ("BITBUCKET_COMMIT", HEAD),
                ("BITBUCKET_BRANCH", "feat/cart"),
                ("BITBUCKET_PR_DESTINATION_BRANCH", "main"),
                ("BITBUCKET_REPO_FULL_NAME", "acme/shop"),
            ],
        ),
        (
            "Jenkins",
            "CHANGE_ID",
            &[
                ("JENKINS_URL", "https://ci.shop.test/"),
                ("CHANGE_ID", "1"),
                ("GIT_COMMIT", HEAD),
                ("CHANGE_BRANCH", "feat/cart"),
                ("CHANGE_TARGET", "main"),
                ("CHANGE_URL", "https://github.com/acme/shop/pull/1"),
            ],
        ),
        (
            "Woodpecker",
            "CI_COMMIT_PULL_REQUEST",
            &[
                ("CI", "woodpecker"),
                ("CI_PIPELINE_EVENT", "pull_request"),
                ("CI_COMMIT_PULL_REQUEST", "1"),
                ("CI_COMMIT_SHA", HEAD),
                ("CI_COMMIT_SOURCE_BRANCH", "feat/cart"),
                ("CI_COMMIT_TARGET_BRANCH", "main"),
                ("CI_REPO", "acme/shop"),
                ("CI_FORGE_URL", "https://codeberg.org"),
            ],
        ),
        (
            "Drone",
            "DRONE_PULL_REQUEST",
            &[
                ("DRONE", "true"),
                ("DRONE_BUILD_EVENT", "pull_request"),
                ("DRONE_PULL_REQUEST", "1"),
                ("DRONE_COMMIT_SHA", HEAD),
                ("DRONE_SOURCE_BRANCH", "feat/cart"),
                ("DRONE_TARGET_BRANCH", "main"),
                ("DRONE_REPO_OWNER", "acme"),
                ("DRONE_REPO_NAME", "shop"),
                ("DRONE_REPO_LINK", "https://github.com/acme/shop"),
            ],
        ),
    ];

    fn jobs() -> impl Iterator<Item = (&'static str, &'static str, Pairs)> {
        JOBS.into_iter().map(|(system, variable, pairs)| (system, variable, pairs.to_vec()))
    }

    fn read_all(pairs: &Pairs) -> Result<Reading, CiError> {
        super::super::read(&Environment::from_pairs(pairs.iter().copied()))
    }

    fn job(system: &str) -> Pairs {
        jobs().find(|(name, ..)| *name == system).unwrap().2
    }

    fn with(mut pairs: Pairs, variable: &'static str, value: &'static str) -> Pairs {
        pairs.retain(|(name, _)| *name != variable);
        pairs.push((variable, value));
        pairs
    }

    fn pull_request(pairs: &Pairs) -> PullRequest {
        read_all(pairs).unwrap().context.pull_request().unwrap().clone()
    }

    #[test]
    fn every_system_tells_number_head_branches_and_repository() {
        for (system, _, pairs) in jobs() {
            let found = pull_request(&pairs);

            assert_eq!(found.system, system);
            assert_eq!(found.number.map(PullRequestNumber::value), Some(1), "{system}");
            assert_eq!(found.head_sha.as_str(), HEAD, "{system}");
            assert_eq!(found.head_branch.as_deref(), Some("feat/cart"), "{system}");
            let base = (system != "CircleCI").then_some("main");
            assert_eq!(found.base_branch.as_deref(), base, "{system}");
            assert_eq!(found.repository.name(), "shop", "{system}");
            let is_settable = matches!(system, "Buildkite" | "Bitbucket Pipelines" | "Jenkins");
            assert_eq!(found.is_vouched, !is_settable, "{system}");
        }
    }

    #[test]
    fn a_job_without_a_number_belongs_to_no_pull_request() {
        for (system, variable, pairs) in jobs() {
            for (name, value) in [("", ""), (variable, "")] {
                let mut without = pairs.clone();
                // Azure has a second number behind the first.
                without.retain(|(name, _)| *name != variable && *name != "SYSTEM_PULLREQUEST_PULLREQUESTID");
                if !name.is_empty() {
                    without.push((name, value));
                }
                let reading = read_all(&without).unwrap();
                assert!(
                    matches!(reading.context, Context::OtherCi { .. }),
                    "{system}: {:?}",
                    reading.context
                );
            }
        }
        let none = with(job("Buildkite"), "BUILDKITE_PULL_REQUEST", "false");
        assert!(matches!(read_all(&none).unwrap().context, Context::OtherCi { .. }));
    }

    #[test]
    fn another_trigger_belongs_to_no_pull_request() {
        for (system, variable, value) in [
            ("GitLab CI", "CI_PIPELINE_SOURCE", "push"),
            ("Azure Pipelines", "BUILD_REASON", "Schedule"),
            ("Woodpecker", "CI_PIPELINE_EVENT", "deployment"),
            ("Drone", "DRONE_BUILD_EVENT", "promote"),
        ] {
            let reading = read_all(&with(job(system), variable, value)).unwrap();
            let expected = Context::OtherCi { system: system.into(), event: value.into() };
            assert_eq!(reading.context, expected);
        }
    }

    #[test]
    fn a_pull_request_without_its_head_or_repository_is_an_error() {
        for (system, _, pairs) in jobs() {
            let without_head: Pairs =
                pairs.iter().copied().filter(|(_, value)| *value != HEAD && *value != MERGE).collect();
            let error = read_all(&without_head).unwrap_err();
            assert!(matches!(error, CiError::MissingFact { .. }), "{system}: {error}");

            let is_repository = |value: &str| value.contains("shop") && !value.contains("ci.shop.test");
            let without_name: Pairs = pairs
                .iter()
                .copied()
                .filter(|(name, value)| !is_repository(value) || *name == "CIRCLE_PULL_REQUEST")
                .collect();
            if system != "CircleCI" {
                let error = read_all(&without_name).unwrap_err();
                assert!(matches!(error, CiError::MissingFact { .. }), "{system}: {error}");
            }
        }
    }

    #[test]
    fn numbers_that_are_none_are_errors() {
        for (system, variable, pairs) in jobs().filter(|(system, ..)| *system != "CircleCI") {
            for value in ["01", "-1", "0x1", "1.www", "null", "\u{661}", "12345678901", "1 "] {
                let error = read_all(&with(pairs.clone(), variable, value)).unwrap_err();
                assert!(matches!(error, CiError::MalformedVariable { .. }), "{system} {value}: {error}");
                assert!(error.to_string().contains(variable) && !error.help().is_empty());
            }
        }
    }

    #[test]
    fn the_address_of_a_pull_request_is_read_whole() {
        for url in [
            "https://github.com/acme/shop/pull/1/../99",
            "https://github.com/acme/shop/pull/1#x",
            "https://github.com/acme/shop/pull/01",
            "https://github.com/acme/shop/pull/",
            "https://github.com/acme/shop/issues/1",
            "1",
        ] {
            let error = read_all(&with(job("CircleCI"), "CIRCLE_PULL_REQUEST", url)).unwrap_err();
            assert!(matches!(error, CiError::MalformedVariable { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn variables_that_contradict_each_other_are_errors() {
        for (system, variable, value) in [
            ("CircleCI", "CIRCLE_PR_NUMBER", "2"),
            ("Jenkins", "ghprbPullId", "2"),
            ("Jenkins", "ghprbTargetBranch", "release"),
        ] {
            let error = read_all(&with(job(system), variable, value)).unwrap_err();
            assert!(matches!(error, CiError::Contradiction { .. }), "{system}: {error}");
        }
        assert!(read_all(&with(job("CircleCI"), "CIRCLE_PR_NUMBER", "1")).is_ok());
    }

    #[test]
    fn oversized_variables_are_errors() {
        let long: &'static str = Box::leak("a".repeat(MAX_FACT_BYTES + 1).into_boxed_str());
        for (system, variable, pairs) in jobs() {
            let error = read_all(&with(pairs, variable, long)).unwrap_err();
            assert!(matches!(error, CiError::TooLong { .. }), "{system}: {error}");
        }
        let error = read_all(&with(job("Drone"), "DRONE_SOURCE_BRANCH", long)).unwrap_err();
        assert!(matches!(error, CiError::TooLong { .. }), "{error}");
    }

    #[test]
    fn gitlab_counts_within_the_project_and_takes_the_head_before_the_merge() {
        let plain: Pairs = job("GitLab CI")
            .into_iter()
            .filter(|(name, _)| *name != "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")
            .collect();

        assert_eq!(pull_request(&job("GitLab CI")).head_sha.as_str(), HEAD);
        assert_eq!(pull_request(&plain).head_sha.as_str(), MERGE);
        assert_eq!(pull_request(&plain).repository.to_string(), "group/team/shop");
    }

    #[test]
    fn azure_takes_the_number_that_github_knows() {
        let own: Pairs = job("Azure Pipelines")
            .into_iter()
            .filter(|(name, _)| *name != "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER")
            .collect();

        assert_eq!(pull_request(&job("Azure Pipelines")).number.unwrap().value(), 1);
        assert_eq!(pull_request(&own).number.unwrap().value(), 555);
    }

    #[test]
    fn forks_are_told_and_guessed_where_nobody_tells() {
        for (system, variable, value, is_fork) in [
            ("GitLab CI", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "7", false),
            ("GitLab CI", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "8", true),
            ("GitLab CI", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "", true),
            ("CircleCI", "CIRCLE_PR_NUMBER", "1", true),
            ("CircleCI", "CIRCLE_PR_NUMBER", "", false),
            ("Buildkite", "BUILDKITE_PULL_REQUEST_REPO", "git@github.com:mallory/shop.git", true),
            ("Buildkite", "BUILDKITE_PULL_REQUEST_REPO", "git@github.com:acme/shop.git", false),
            ("Azure Pipelines", "SYSTEM_PULLREQUEST_ISFORK", "True", true),
            ("Jenkins", "CHANGE_FORK", "mallory", true),
            ("Drone", "DRONE_FORK", "", true),
        ] {
            let found = pull_request(&with(job(system), variable, value));
            assert_eq!(found.is_from_fork, is_fork, "{system} {value:?}");
        }
    }

    #[test]
    fn the_forge_is_github_only_where_the_address_says_so() {
        let forge = |system, variable, value| pull_request(&with(job(system), variable, value)).forge;

        assert_eq!(pull_request(&job("Jenkins")).forge, Forge::GitHub);
        assert_eq!(pull_request(&job("Buildkite")).forge, Forge::GitHub);
        assert_eq!(pull_request(&job("Woodpecker")).forge, Forge::Other);
        assert_eq!(pull_request(&job("GitLab CI")).forge, Forge::GitLab);
        let stranger = "https://github.com.evil.test/acme/shop/pull/1";
        assert_eq!(forge("Jenkins", "CHANGE_URL", stranger), Forge::Other);
        assert_eq!(forge("Azure Pipelines", "BUILD_REPOSITORY_PROVIDER", "TfsGit"), Forge::Other);
        assert_eq!(forge("Buildkite", "BUILDKITE_REPO", "https://github.com/acme/shop.git"), Forge::GitHub);
    }

    #[test]
    fn a_review_app_of_gitlab_is_a_candidate() {
        let url = "https://review-feat-cart.shop.test";
        let reading = read_all(&with(job("GitLab CI"), "CI_ENVIRONMENT_URL", url)).unwrap();

        assert_eq!(reading.candidates[0].raw, url);
        assert!(read_all(&job("GitLab CI")).unwrap().candidates.is_empty());
    }

    #[test]
    fn a_payload_of_forgejo_or_gitea_is_read_and_its_forge_is_not_github() {
        use std::io::Write;

        let mut file = tempfile::NamedTempFile::new().unwrap();
        let end = |branch: &str| serde_json::json!({ "ref": branch, "sha": HEAD, "repo": { "full_name": "acme/shop" } });
        let payload = serde_json::json!({
            "action": "opened",
            "pull_request": { "number": 1, "state": "open", "head": end("feat/cart"), "base": end("main") },
            "repository": { "full_name": "acme/shop" },
        });
        file.write_all(payload.to_string().as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        for (marker, system) in [("FORGEJO_ACTIONS", "Forgejo Actions"), ("GITEA_ACTIONS", "Gitea Actions")] {
            let read = |event| {
                super::super::read(&Environment::from_pairs([
                    ("GITHUB_ACTIONS", "true"),
                    (marker, "true"),
                    ("GITHUB_EVENT_NAME", event),
                    ("GITHUB_EVENT_PATH", path),
                ]))
                .unwrap()
                .context
            };

            let context = read("pull_request");
            let pull_request = context.pull_request().unwrap();
            assert_eq!((pull_request.system.as_str(), pull_request.forge), (system, Forge::Other));
            let target = Context::OtherCi { system: system.into(), event: "pull_request_target".into() };
            assert_eq!(read("pull_request_target"), target);
        }
    }
}
