//! Asks the forge about a pull request and its deployments.
//!
//! Which API is asked is decided by the policy, or is the one that everybody knows; a variable that names another one
//! is a failure, because whoever sets it could answer whatever they like.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Google, gitlab, runtime};
use crate::context::Forge;
use crate::github::{Client, DeploymentDesk, DeploymentFilter, DeploymentRecord, GithubError};
use crate::guard::{
    self, ControlPlane, ControlPlaneError, ControlPlaneFacts, DeployedFacts, DeploymentQuestion,
    PlatformQuestion, PlatformStanding,
};
use crate::secret::Secret;

/// The API of github.com.
const GITHUB_API: &str = "https://api.github.com";

/// The variable in which GitHub Actions names its API.
const GITHUB_API_VARIABLE: &str = "GITHUB_API_URL";

/// How long all calls together may take; a run waits for it before any load, and a re-check while load runs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Environments that are asked for by name: there may be more deployments of previews than one list shows.
const PRODUCTION_ENVIRONMENTS: [&str; 2] = ["production", "Production"];

/// How many of the newest production deployments are looked at: each costs a call.
const MAX_PRODUCTION_DEPLOYMENTS: usize = 10;

/// More deployments of one commit are not looked at, and leave the question open.
const MAX_DEPLOYMENTS_OF_COMMIT: usize = 30;

/// The forges that can be asked, and the platforms beside them, with what the environment holds for them.
#[derive(Debug, Clone, Default)]
pub struct Forges {
    /// `GITHUB_TOKEN`.
    pub github_token: Option<Secret>,
    /// `GITHUB_API_URL`.
    pub github_api: Option<String>,
    /// `LOADGATE_GITLAB_TOKEN`.
    pub gitlab_token: Option<Secret>,
    /// `CI_API_V4_URL`.
    pub gitlab_api: Option<String>,
    /// Google's APIs, with `LOADGATE_GOOGLE_TOKEN`.
    pub google: Google,
    /// Ends a question early.
    pub cancel: CancellationToken,
}

impl ControlPlane for Forges {
    fn deployments(&self, question: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        match question.forge {
            Forge::GitLab => gitlab::ask(self, question),
            Forge::GitHub | Forge::Other => self.ask_github(question),
        }
    }

    fn platform_standing(
        &self,
        question: &PlatformQuestion<'_>,
    ) -> Result<PlatformStanding, ControlPlaneError> {
        self.google.ask(question, &self.cancel)
    }
}

impl Forges {
    fn ask_github(&self, question: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        let client = self.github(question.api, question.forge)?;
        converse(talk_to_github(&client, question), &self.cancel)
    }

    /// Returns a client for the GitHub that may be asked.
    pub(super) fn github(&self, policy: Option<&str>, forge: Forge) -> Result<Client, ControlPlaneError> {
        match forge {
            Forge::GitHub => {}
            Forge::GitLab => return Err(ControlPlaneError::Absent("GitLab")),
            Forge::Other => return Err(ControlPlaneError::Absent("this forge")),
        }
        let api = self.trusted_github_api(policy)?;
        let no_token = ControlPlaneError::NoToken { forge: "GitHub", variable: "GITHUB_TOKEN" };
        let token = self.github_token.as_ref().ok_or(no_token)?;
        Client::new(api, token).map_err(|error| failed(&error))
    }

    /// Returns the API that may be asked about deployments: the policy's, else the one that everybody knows.
    ///
    /// # Errors
    /// A variable of the environment that names another one.
    pub fn trusted_github_api<'a>(&'a self, policy: Option<&'a str>) -> Result<&'a str, ControlPlaneError> {
        let trusted = policy.unwrap_or(GITHUB_API);
        match &self.github_api {
            Some(found) if found.trim_end_matches('/') != trusted.trim_end_matches('/') => {
                let found = found.chars().take(120).collect();
                Err(ControlPlaneError::ForeignApi { variable: GITHUB_API_VARIABLE, found })
            }
            _ => Ok(trusted),
        }
    }
}

async fn talk_to_github(
    client: &Client,
    question: &DeploymentQuestion<'_>,
) -> Result<ControlPlaneFacts, GithubError> {
    let desk = client.deployment_desk(question.repository)?;
    let pull_request = desk.pull_request(question.number).await?;
    let of_commit = desk.deployments(DeploymentFilter::Commit(question.head_sha)).await?;
    if of_commit.len() > MAX_DEPLOYMENTS_OF_COMMIT {
        return Err(GithubError::TooManyPages { what: "read the deployments of the commit", pages: 1 });
    }
    let mut seen = BTreeSet::new();
    let mut deployments = Vec::new();
    for entry in of_commit {
        seen.insert(entry.id());
        deployments.push(facts(desk.with_statuses(entry).await?));
    }
    let others = production(&desk, &seen).await?;
    Ok(ControlPlaneFacts {
        is_open: pull_request.is_open,
        head_sha: pull_request.head_sha,
        deployments,
        others,
    })
}

/// Returns the newest deployments that look like production, beside those that were seen.
async fn production(
    desk: &DeploymentDesk<'_>,
    seen: &BTreeSet<u64>,
) -> Result<Vec<DeployedFacts>, GithubError> {
    let mut found = desk.deployments(DeploymentFilter::Newest).await?;
    for name in PRODUCTION_ENVIRONMENTS {
        found.extend(desk.deployments(DeploymentFilter::Environment(name)).await?);
    }
    found.retain(|entry| entry.is_flagged_production() || entry.environments().any(guard::names_production));
    found.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id()));
    found.dedup_by_key(|entry| entry.id());
    let mut others = Vec::new();
    for entry in
        found.into_iter().filter(|entry| !seen.contains(&entry.id())).take(MAX_PRODUCTION_DEPLOYMENTS)
    {
        others.push(facts(desk.with_statuses(entry).await?));
    }
    Ok(others)
}

fn facts(record: DeploymentRecord) -> DeployedFacts {
    let DeploymentRecord { id, sha, environments, production_environment, state, creators, reporters, urls } =
        record;
    DeployedFacts { id, sha, environments, production_environment, state, creators, reporters, urls }
}

pub(super) fn failed(error: &GithubError) -> ControlPlaneError {
    let remedy = match error {
        GithubError::Denied { status: 403, .. } | GithubError::NotFound { .. } => {
            "grant the job `permissions: { contents: read, deployments: read, pull-requests: read }`"
                .to_owned()
        }
        other => other.help(),
    };
    ControlPlaneError::Failed { what: error.to_string(), remedy }
}

/// Runs a conversation with GitHub, as [`super::runtime::converse`] does.
pub(super) fn converse<T: Send>(
    conversation: impl Future<Output = Result<T, GithubError>> + Send,
    cancel: &CancellationToken,
) -> Result<T, ControlPlaneError> {
    let conversation = async { conversation.await.map_err(|error| failed(&error)) };
    runtime::converse("the forge", PATIENCE, cancel, conversation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::context::{CommitSha, PullRequestNumber, Repository};
    use crate::github::double::{Double, Heard, Reply};

    const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

    fn ask(forges: &Forges, api: Option<&str>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        let repository = Repository::parse("acme/shop").unwrap();
        let head_sha = CommitSha::parse(HEAD).unwrap();
        forges.deployments(&DeploymentQuestion {
            forge: Forge::GitHub,
            api,
            repository: &repository,
            number: PullRequestNumber::parse("1").unwrap(),
            head_sha: &head_sha,
        })
    }

    fn with_token() -> Forges {
        Forges { github_token: Some(Secret::new("ghs_t".into())), ..Forges::default() }
    }

    fn ask_double(
        answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Result<ControlPlaneFacts, ControlPlaneError> {
        let double = Double::start(answer);
        ask(&with_token(), Some(&double.url()))
    }

    /// A repository whose pull request 1 has a preview, and whose production was deployed long ago.
    fn shop(heard: &Heard) -> Reply {
        let deployment = |id: u64, environment: &str, sha: &str| json!({ "id": id, "sha": sha, "environment": environment, "creator": { "login": "vercel[bot]" } });
        let status = |host: &str| {
            json!([{ "id": 1, "state": "success", "environment_url": format!("https://{host}"),
                "creator": { "login": "vercel[bot]" } }])
        };
        let production = deployment(3, "Production", &"f".repeat(40));
        let body = match heard.path.split('?').collect::<Vec<_>>()[..] {
            ["/repos/acme/shop/pulls/1"] => {
                json!({ "state": "open", "head": { "sha": HEAD }, "base": { "ref": "main" } })
            }
            ["/repos/acme/shop/deployments", query] if query.contains("sha=") => {
                json!([deployment(9, "Preview", HEAD)])
            }
            ["/repos/acme/shop/deployments", query] if query.contains("environment=Production") => {
                json!([production])
            }
            ["/repos/acme/shop/deployments", query] if query.contains("environment=") => json!([]),
            ["/repos/acme/shop/deployments", _] => {
                json!([deployment(9, "Preview", HEAD), deployment(8, "Preview", &"a".repeat(40)), production])
            }
            ["/repos/acme/shop/deployments/9/statuses", _] => status("shop-git-x-acme.vercel.app"),
            ["/repos/acme/shop/deployments/3/statuses", _] => status("www.shop.test"),
            _ => return Reply::json(500, "{}"),
        };
        Reply::json(200, &body.to_string())
    }

    #[test]
    fn the_deployments_of_the_head_and_production_are_told() {
        let facts = ask_double(shop).unwrap();

        assert!(facts.is_open && facts.head_sha == HEAD);
        let ids = |list: &[DeployedFacts]| list.iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!((ids(&facts.deployments), ids(&facts.others)), (vec![9], vec![3]));
        assert_eq!(facts.deployments[0].urls, ["https://shop-git-x-acme.vercel.app"]);
        assert_eq!(facts.others[0].urls, ["https://www.shop.test"]);
    }

    #[test]
    fn every_failure_of_the_api_is_told_with_a_remedy() {
        for (reply, said) in [
            (Reply::json(401, "{}"), "401"),
            (Reply::json(403, "{\"message\":\"Resource not accessible by integration\"}"), "403"),
            (Reply::json(404, "{}"), "404"),
            (Reply::json(429, "{}").with_header("retry-after", "60"), "rate limit"),
            (Reply::json(500, "<html>"), "500"),
            (Reply::json(200, "{\"state\":"), "cannot be read"),
            (Reply::json(200, "[]"), "cannot be read"),
            (Reply::json(302, "").with_header("location", "http://127.0.0.1:9/"), "302"),
        ] {
            let error = ask_double(move |_| reply.clone()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!error.help().is_empty());
        }
    }

    #[test]
    fn a_failure_in_the_middle_is_a_failure_of_all() {
        for late in ["/statuses", "environment=production", "deployments?per_page"] {
            let error =
                ask_double(
                    move |heard| {
                        if heard.path.contains(late) { Reply::json(503, "") } else { shop(heard) }
                    },
                )
                .unwrap_err();
            assert!(error.to_string().contains("503"), "{late}: {error}");
        }
    }

    #[test]
    fn a_silent_api_ends_with_the_run_that_waits_for_it() {
        let double = Double::start(|_| Reply::silence());
        let forges = with_token();
        forges.cancel.cancel();

        let error = ask(&forges, Some(&double.url())).unwrap_err();

        assert!(error.to_string().contains("interrupted"), "{error}");
    }

    #[test]
    fn the_environment_cannot_choose_who_answers() {
        let foreign = Forges { github_api: Some("https://evil.example".into()), ..with_token() };
        let error = ask(&foreign, None).unwrap_err();
        assert!(matches!(error, ControlPlaneError::ForeignApi { .. }), "{error}");

        let double = Double::start(shop);
        let own = Forges { github_api: Some(format!("{}/", double.url())), ..with_token() };
        assert!(ask(&own, Some(&double.url())).is_ok());
        assert!(matches!(ask(&own, None), Err(ControlPlaneError::ForeignApi { .. })));
        assert!(matches!(ask(&foreign, Some(&double.url())), Err(ControlPlaneError::ForeignApi { .. })));
    }

    #[test]
    fn without_a_token_nobody_is_asked() {
        let error = ask(&Forges::default(), None).unwrap_err();

        assert!(matches!(error, ControlPlaneError::NoToken { .. }), "{error}");
        assert!(error.help().contains("deployments: read"));
    }
}
