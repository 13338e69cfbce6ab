//! Asks GitLab about a merge request and the deployments of its head.
//!
//! A job's own token may not read merge requests, so that a token of the project is needed; without one GitLab is not
//! asked at all. Three questions are enough: the merge request, the environments with their tiers, and the newest
//! deployments.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::Forges;
use super::runtime::converse;
use super::web::{self, failed};
use crate::guard::{self, ControlPlaneError, ControlPlaneFacts, DeployedFacts, DeploymentQuestion};
use crate::secret::{Secret, may_carry_secrets};

/// The variable that holds a token of the project with the scope `read_api`.
pub const GITLAB_TOKEN_VARIABLE: &str = "LOADGATE_GITLAB_TOKEN";

/// The variable in which GitLab CI names its API.
const API_VARIABLE: &str = "CI_API_V4_URL";

/// The API of gitlab.com.
const GITLAB_API: &str = "https://gitlab.com/api/v4";

/// How long all questions together may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// As many environments are looked through; whoever has more keeps those that are stopped.
const MAX_ENVIRONMENT_PAGES: u32 = 5;

/// GitLab gives no more on a page.
const PAGE: usize = 100;

#[derive(Deserialize)]
struct MergeRequest {
    state: String,
    sha: Option<String>,
}

#[derive(Deserialize)]
struct Environment {
    id: u64,
    name: String,
    state: Option<String>,
    tier: Option<String>,
    external_url: Option<String>,
}

#[derive(Deserialize)]
struct Deployment {
    id: u64,
    sha: String,
    status: String,
    user: Option<User>,
    environment: Option<DeployedTo>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct DeployedTo {
    id: u64,
}

/// Asks GitLab; silent where there is no token to ask with.
pub(super) fn ask(
    forges: &Forges,
    question: &DeploymentQuestion<'_>,
) -> Result<ControlPlaneFacts, ControlPlaneError> {
    let api = trusted_api(forges, question.api)?;
    let absent = ControlPlaneError::Absent("GitLab, without LOADGATE_GITLAB_TOKEN,");
    let token = forges.gitlab_token.as_ref().ok_or(absent)?;
    let desk = Desk { client: web::client_for("GitLab")?, api, token };
    converse("GitLab", PATIENCE, &forges.cancel, desk.talk(question))
}

/// Returns the API that may be asked: the policy's, else the one that everybody knows.
fn trusted_api(forges: &Forges, policy: Option<&str>) -> Result<Url, ControlPlaneError> {
    let trusted = policy.unwrap_or(GITLAB_API).trim_end_matches('/');
    if let Some(found) = forges.gitlab_api.as_deref().filter(|found| found.trim_end_matches('/') != trusted) {
        let found = found.chars().take(120).collect();
        return Err(ControlPlaneError::ForeignApi { variable: API_VARIABLE, found });
    }
    let unfit = |why: &str| ControlPlaneError::Failed {
        what: format!("cannot ask GitLab at {:?}: {why}", trusted.chars().take(120).collect::<String>()),
        remedy: "write the address of the API into [target] forge, such as https://gitlab.example.com/api/v4"
            .into(),
    };
    let url = Url::parse(trusted).map_err(|_| unfit("it is not an address"))?;
    if !may_carry_secrets(&url) {
        return Err(unfit("a token goes over https only"));
    }
    Ok(url)
}

/// Asks one project.
struct Desk<'a> {
    client: reqwest::Client,
    api: Url,
    token: &'a Secret,
}

impl Desk<'_> {
    async fn talk(&self, question: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        let repository = question.repository.to_string();
        let project = ["projects", &repository];
        let number = question.number.to_string();
        let merge_request: MergeRequest =
            self.read(&[&project[..], &["merge_requests", &number]].concat(), &[]).await?;
        let environments = self.environments(&project).await?;
        let newest = [("order_by", "id"), ("sort", "desc"), ("per_page", "100")];
        let deployments: Vec<Deployment> =
            self.read(&[&project[..], &["deployments"]].concat(), &newest).await?;
        let of_head = deployments.iter().filter(|one| one.sha == question.head_sha.as_str());
        Ok(ControlPlaneFacts {
            is_open: merge_request.state == "opened",
            head_sha: merge_request.sha.unwrap_or_default(),
            deployments: of_head.map(|one| facts(one, &environments)).collect(),
            others: environments.values().filter(|one| is_production(one)).map(as_production).collect(),
        })
    }

    async fn environments(&self, project: &[&str]) -> Result<BTreeMap<u64, Environment>, ControlPlaneError> {
        let mut found = BTreeMap::new();
        for page in 1..=MAX_ENVIRONMENT_PAGES {
            let page = page.to_string();
            let parameters = [("per_page", "100"), ("page", page.as_str())];
            let entries: Vec<Environment> =
                self.read(&[project, &["environments"]].concat(), &parameters).await?;
            let is_last = entries.len() < PAGE;
            found.extend(entries.into_iter().map(|one| (one.id, one)));
            if is_last {
                return Ok(found);
            }
        }
        Err(ControlPlaneError::Failed {
            what: "GitLab has more environments than can be looked through, and production may be among them"
                .into(),
            remedy: "delete the environments that are stopped".into(),
        })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: &[(&str, &str)],
    ) -> Result<T, ControlPlaneError> {
        let what = path.last().copied().unwrap_or_default();
        let mut url = self.api.clone();
        // Each part becomes one segment: the slashes of a project's path are escaped, as GitLab wants them.
        url.path_segments_mut()
            .map_err(|()| failed("the API has no paths".into()))?
            .pop_if_empty()
            .extend(path);
        url.query_pairs_mut().extend_pairs(parameters);
        let request = self.client.get(url).header("PRIVATE-TOKEN", self.token.expose());
        web::read_json(request, "GitLab", what, |status| denied(status, what)).await
    }
}

fn facts(deployment: &Deployment, environments: &BTreeMap<u64, Environment>) -> DeployedFacts {
    let environment = deployment.environment.as_ref().and_then(|one| environments.get(&one.id));
    let is_stopped = environment.is_none_or(|one| one.state.as_deref() == Some("stopped"));
    let authors: Vec<String> = deployment.user.iter().map(|user| user.username.clone()).collect();
    DeployedFacts {
        id: deployment.id,
        sha: deployment.sha.clone(),
        environments: environment.iter().map(|one| one.name.clone()).collect(),
        production_environment: environment.map(is_production),
        state: if is_stopped { "inactive".to_owned() } else { deployment.status.clone() },
        creators: authors.clone(),
        reporters: authors,
        urls: environment.iter().filter_map(|one| one.external_url.clone()).collect(),
    }
}

fn is_production(environment: &Environment) -> bool {
    environment.tier.as_deref() == Some("production") || guard::names_production(&environment.name)
}

/// What an environment of production says, whichever commit is there.
fn as_production(environment: &Environment) -> DeployedFacts {
    DeployedFacts {
        id: environment.id,
        environments: vec![environment.name.clone()],
        production_environment: Some(true),
        state: "success".to_owned(),
        urls: environment.external_url.iter().cloned().collect(),
        ..DeployedFacts::default()
    }
}

fn denied(status: u16, what: &str) -> ControlPlaneError {
    let remedy = match status {
        401 | 403 | 404 => {
            format!("give the job a token of this project with the scope read_api as {GITLAB_TOKEN_VARIABLE}")
        }
        429 => "wait until GitLab takes questions again".to_owned(),
        _ => "run again".to_owned(),
    };
    ControlPlaneError::Failed { what: format!("GitLab answered {status} ({what})"), remedy }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::context::{CommitSha, Forge, PullRequestNumber, Repository};
    use crate::github::double::{Double, Heard, Reply};
    use crate::guard::ControlPlane;

    const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

    fn ask_with(forges: &Forges, api: Option<&str>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        forges.deployments(&DeploymentQuestion {
            forge: Forge::GitLab,
            api,
            repository: &Repository::parse_nested("acme/web/shop").unwrap(),
            number: PullRequestNumber::parse("1").unwrap(),
            head_sha: &CommitSha::parse(HEAD).unwrap(),
        })
    }

    fn with_token() -> Forges {
        Forges { gitlab_token: Some(Secret::new("glpat-x".into())), ..Forges::default() }
    }

    fn ask_double(
        answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Result<ControlPlaneFacts, ControlPlaneError> {
        let double = Double::start(answer);
        ask_with(&with_token(), Some(&format!("{}/api/v4/", double.url())))
    }

    fn environment(id: u64, name: &str, tier: &str, state: &str) -> Value {
        json!({ "id": id, "name": name, "tier": tier, "state": state,
            "external_url": format!("https://{}.shop.test", name.replace('/', "-")) })
    }

    fn shop(heard: &Heard) -> Reply {
        assert_eq!(heard.headers_named("private-token"), ["glpat-x"]);
        let user = json!({ "username": "deployer" });
        let deployment = |id: u64, sha: &str, environment: u64| json!({ "id": id, "sha": sha, "status": "success", "user": user, "environment": { "id": environment } });
        let (path, _) = heard.path.split_once('?').unwrap();
        let body = match path {
            "/api/v4/projects/acme%2Fweb%2Fshop/merge_requests/1" => {
                json!({ "state": "opened", "sha": HEAD })
            }
            "/api/v4/projects/acme%2Fweb%2Fshop/environments" => json!([
                environment(5, "review/1", "development", "available"),
                environment(6, "live", "other", "available"),
                environment(7, "eu", "production", "available"),
                environment(8, "review/2", "development", "stopped"),
            ]),
            "/api/v4/projects/acme%2Fweb%2Fshop/deployments" => json!([
                deployment(21, HEAD, 8),
                deployment(20, HEAD, 5),
                deployment(19, &"f".repeat(40), 5),
                deployment(18, HEAD, 7),
            ]),
            _ => return Reply::json(500, "{}"),
        };
        Reply::json(200, &body.to_string())
    }

    #[test]
    fn the_deployments_of_the_head_and_production_are_told() {
        let facts = ask_double(shop).unwrap();

        assert!(facts.is_open && facts.head_sha == HEAD);
        let told: Vec<_> = facts
            .deployments
            .iter()
            .map(|one| (one.id, one.state.as_str(), one.production_environment, one.urls[0].as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (21, "inactive", Some(false), "https://review-2.shop.test"),
                (20, "success", Some(false), "https://review-1.shop.test"),
                (18, "success", Some(true), "https://eu.shop.test"),
            ]
        );
        assert_eq!(facts.deployments[1].creators, ["deployer"]);
        let production: Vec<_> = facts.others.iter().map(|one| one.urls[0].as_str()).collect();
        assert_eq!(production, ["https://live.shop.test", "https://eu.shop.test"]);
    }

    #[test]
    fn a_merge_request_that_is_not_open_is_told() {
        for state in ["closed", "merged", "locked", ""] {
            let facts = ask_double(move |heard| {
                if heard.path.contains("merge_requests") {
                    Reply::json(200, &json!({ "state": state, "sha": null }).to_string())
                } else {
                    shop(heard)
                }
            });
            assert!(!facts.unwrap().is_open, "{state}");
        }
    }

    #[test]
    fn every_failure_of_the_api_is_told_with_a_remedy() {
        for late in ["merge_requests", "environments", "deployments"] {
            for (reply, said) in [
                (Reply::json(401, "{}"), "401"),
                (Reply::json(403, "{}"), "403"),
                (Reply::json(404, "{}"), "404"),
                (Reply::json(429, "{}"), "429"),
                (Reply::json(503, ""), "503"),
                (Reply::json(302, "").with_header("location", "http://127.0.0.1:9/"), "302"),
                (Reply::json(200, "{\"state\":"), "cannot be read"),
                (Reply::json(200, "7"), "cannot be read"),
            ] {
                let error = ask_double(
                    move |heard| if heard.path.contains(late) { reply.clone() } else { shop(heard) },
                )
                .unwrap_err();
                assert!(error.to_string().contains(said), "{late}: {error}");
                assert!(!error.help().is_empty() && !error.to_string().contains("glpat"));
            }
        }
    }

    #[test]
    fn without_a_token_gitlab_is_not_asked() {
        assert!(matches!(ask_with(&Forges::default(), None), Err(ControlPlaneError::Absent(_))));
    }

    #[test]
    fn the_environment_cannot_choose_who_answers() {
        let foreign = Forges { gitlab_api: Some("https://evil.example/api/v4".into()), ..with_token() };
        let error = ask_with(&foreign, None).unwrap_err();
        assert!(matches!(error, ControlPlaneError::ForeignApi { .. }), "{error}");

        let double = Double::start(shop);
        let api = format!("{}/api/v4", double.url());
        let own = Forges { gitlab_api: Some(api.clone()), ..with_token() };
        assert!(ask_with(&own, Some(&api)).is_ok());
    }

    #[test]
    fn a_token_goes_over_https_or_to_loopback_only() {
        for api in ["http://gitlab.example/api/v4", "ftp://gitlab.example", "gitlab.example"] {
            let error = ask_with(&with_token(), Some(api)).unwrap_err();
            assert!(matches!(error, ControlPlaneError::Failed { .. }), "{error}");
        }
    }

    #[test]
    fn more_environments_than_can_be_looked_through_leave_the_question_open() {
        let error = ask_double(|heard| {
            if heard.path.contains("/environments") {
                let many: Vec<Value> =
                    (0..100).map(|id| environment(id, "review/x", "development", "stopped")).collect();
                Reply::json(200, &json!(many).to_string())
            } else {
                shop(heard)
            }
        });

        assert!(error.unwrap_err().to_string().contains("more environments"));
    }

    #[test]
    fn a_silent_api_ends_with_the_run_that_waits_for_it() {
        let double = Double::start(|_| Reply::silence());
        let forges = with_token();
        forges.cancel.cancel();

        let error = ask_with(&forges, Some(&double.url())).unwrap_err();

        assert!(error.to_string().contains("interrupted"), "{error}");
    }
}
