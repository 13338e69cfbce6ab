//! Deployments and their statuses, and the state of a pull request, as GitHub has them.
//!
//! A deployment alone says little: where it can be reached and whether it still stands is told by its statuses, which
//! others than its maker may write. Both are told, with who wrote them; nothing is judged here.

use std::collections::BTreeSet;

use http::Method;
use serde::Deserialize;

use crate::context::{CommitSha, PullRequestNumber, Repository};
use crate::github::{Client, GithubError, PER_PAGE, Session};

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestState {
    /// Whether it is open.
    pub is_open: bool,
    /// The commit at its head.
    pub head_sha: String,
    /// The branch that it wants to change, raw.
    pub base_branch: String,
}

/// A deployment with what its statuses say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// GitHub's number of the deployment.
    pub id: u64,
    /// The deployed commit.
    pub sha: String,
    /// Every name of its environment: as it was made, as it was renamed, and as the statuses have it.
    pub environments: Vec<String>,
    /// Whether GitHub calls the environment production; absent says nothing.
    pub production_environment: Option<bool>,
    /// The state of the latest status; empty where there is none.
    pub state: String,
    /// Who made it: the account, and the app it used.
    pub creators: Vec<String>,
    /// Who wrote the latest status: the account, and the app it used.
    pub reporters: Vec<String>,
    /// Where its statuses say it can be reached, the latest first.
    pub urls: Vec<String>,
}

/// Which deployments are asked for.
#[derive(Debug, Clone, Copy)]
pub enum DeploymentFilter<'a> {
    /// Those of a commit.
    Commit(&'a CommitSha),
    /// Those in an environment of exactly this name.
    Environment(&'a str),
    /// The newest of all.
    Newest,
}

/// A deployment before its statuses are read.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentEntry {
    id: u64,
    sha: String,
    environment: String,
    original_environment: Option<String>,
    production_environment: Option<bool>,
    creator: Option<Account>,
    performed_via_github_app: Option<App>,
}

#[derive(Debug, Deserialize)]
struct StatusEntry {
    id: u64,
    state: String,
    #[serde(default)]
    environment: String,
    environment_url: Option<String>,
    target_url: Option<String>,
    creator: Option<Account>,
    performed_via_github_app: Option<App>,
}

#[derive(Debug, Clone, Deserialize)]
struct Account {
    login: String,
}

#[derive(Debug, Clone, Deserialize)]
struct App {
    slug: Option<String>,
}

#[derive(Deserialize)]
struct PullRequestEntry {
    state: String,
    head: Head,
    base: Base,
}

#[derive(Deserialize)]
struct Head {
    sha: String,
}

#[derive(Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    branch: String,
}

impl DeploymentEntry {
    /// Returns GitHub's number of the deployment.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the names that the deployment itself gives its environment.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.environment.as_str()).chain(self.original_environment.as_deref())
    }

    /// Returns whether GitHub calls the environment production.
    #[must_use]
    pub fn is_flagged_production(&self) -> bool {
        self.production_environment == Some(true)
    }
}

/// Asks GitHub about deployments, over one connection.
pub struct DeploymentDesk<'a> {
    session: Session<'a>,
    repository: &'a Repository,
}

impl Client {
    /// Opens a conversation about the deployments of a repository.
    ///
    /// # Errors
    /// A machine on which no connection can be set up.
    pub fn deployment_desk<'a>(
        &'a self,
        repository: &'a Repository,
    ) -> Result<DeploymentDesk<'a>, GithubError> {
        Ok(DeploymentDesk { session: self.open()?, repository })
    }
}

impl DeploymentDesk<'_> {
    /// Returns a pull request as it is now.
    pub async fn pull_request(&self, number: PullRequestNumber) -> Result<PullRequestState, GithubError> {
        let path = format!("/repos/{}/pulls/{number}", self.repository);
        let entry: PullRequestEntry =
            self.session.ask("read the pull request", Method::GET, &path, None).await?;
        Ok(PullRequestState {
            is_open: entry.state == "open",
            head_sha: entry.head.sha,
            base_branch: entry.base.branch,
        })
    }

    /// Returns deployments, the newest first; of a long list only the first page.
    pub async fn deployments(
        &self,
        filter: DeploymentFilter<'_>,
    ) -> Result<Vec<DeploymentEntry>, GithubError> {
        let which = match filter {
            DeploymentFilter::Commit(sha) => format!("sha={sha}&"),
            DeploymentFilter::Environment(name) => {
                let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
                format!("environment={name}&")
            }
            DeploymentFilter::Newest => String::new(),
        };
        let path = format!("/repos/{}/deployments?{which}per_page={PER_PAGE}", self.repository);
        self.session.ask("read the deployments", Method::GET, &path, None).await
    }

    /// Returns a deployment with what its statuses say.
    pub async fn with_statuses(&self, entry: DeploymentEntry) -> Result<DeploymentRecord, GithubError> {
        const WHAT: &str = "read the statuses of a deployment";
        let path =
            format!("/repos/{}/deployments/{}/statuses?per_page={PER_PAGE}", self.repository, entry.id);
        let statuses: Vec<StatusEntry> = self.session.ask(WHAT, Method::GET, &path, None).await?;
        // Nobody promises which of more than a page come first, and the latest one decides.
        if statuses.len() >= PER_PAGE {
            return Err(GithubError::TooManyPages { what: WHAT, pages: 1 });
        }
        Ok(record(entry, statuses))
    }
}

fn record(entry: DeploymentEntry, mut statuses: Vec<StatusEntry>) -> DeploymentRecord {
    statuses.sort_unstable_by_key(|status| std::cmp::Reverse(status.id));
    let mut seen = BTreeSet::new();
    let own = [Some(entry.environment), entry.original_environment].into_iter().flatten();
    let names = own.chain(statuses.iter().map(|status| status.environment.clone()));
    let environments = names.filter(|name| !name.is_empty() && seen.insert(name.clone())).collect();
    let latest = statuses.first();
    let reporters =
        latest.map(|status| authors(status.creator.as_ref(), status.performed_via_github_app.as_ref()));
    DeploymentRecord {
        id: entry.id,
        sha: entry.sha,
        environments,
        production_environment: entry.production_environment,
        state: latest.map(|status| status.state.clone()).unwrap_or_default(),
        creators: authors(entry.creator.as_ref(), entry.performed_via_github_app.as_ref()),
        reporters: reporters.unwrap_or_default(),
        urls: statuses.into_iter().filter_map(url_of).collect(),
    }
}

/// An app acts as `slug[bot]`, and sometimes in the name of a person.
fn authors(creator: Option<&Account>, app: Option<&App>) -> Vec<String> {
    let login = creator.map(|account| account.login.clone());
    let bot = app.and_then(|app| app.slug.as_ref()).map(|slug| format!("{slug}[bot]"));
    let is_new = |bot: &String| Some(bot) != login.as_ref();
    let bot = bot.filter(is_new);
    login.into_iter().chain(bot).collect()
}

/// `environment_url` is newer and means the deployment; older deployers set `target_url` alone.
fn url_of(status: StatusEntry) -> Option<String> {
    let urls = [status.environment_url, status.target_url];
    urls.into_iter().flatten().find(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::github::double::{Double, Reply};
    use crate::secret::Secret;

    const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

    fn deployment(id: u64) -> Value {
        json!({
            "id": id, "sha": HEAD, "environment": "Preview", "original_environment": "Preview",
            "production_environment": false, "creator": { "login": "vercel[bot]" },
        })
    }

    fn status(id: u64, state: &str, url: &str) -> Value {
        json!({
            "id": id, "state": state, "environment": "Preview", "environment_url": url, "target_url": "https://log",
            "creator": { "login": "octocat" }, "performed_via_github_app": { "slug": "vercel" },
        })
    }

    /// Reads the deployments of the head from a GitHub that answers so.
    async fn read(list: Value, statuses: Value) -> Result<Vec<DeploymentRecord>, GithubError> {
        let double = Double::start(move |heard| {
            let is_list = heard.path.contains("/deployments?");
            Reply::json(200, &if is_list { list.to_string() } else { statuses.to_string() })
        });
        let client = Client::new(&double.url(), &Secret::new("t".into())).unwrap();
        let repository = Repository::parse("acme/shop").unwrap();
        let desk = client.deployment_desk(&repository).unwrap();
        let sha = CommitSha::parse(HEAD).unwrap();
        let mut records = Vec::new();
        for entry in desk.deployments(DeploymentFilter::Commit(&sha)).await? {
            records.push(desk.with_statuses(entry).await?);
        }
        let path = format!("/repos/acme/shop/deployments?sha={HEAD}&per_page=100");
        assert_eq!(double.requests()[0].path, path);
        Ok(records)
    }

    #[tokio::test]
    async fn the_latest_status_speaks_for_a_deployment() {
        let statuses = json!([
            status(1, "pending", ""),
            status(3, "success", "https://pr-1.p.test"),
            status(2, "in_progress", "https://old.p.test"),
        ]);

        let found = read(json!([deployment(9)]), statuses).await.unwrap();

        assert_eq!(found[0].state, "success");
        assert_eq!(found[0].urls, ["https://pr-1.p.test", "https://old.p.test", "https://log"]);
        assert_eq!(found[0].creators, ["vercel[bot]"]);
        assert_eq!(found[0].reporters, ["octocat", "vercel[bot]"]);
    }

    #[tokio::test]
    async fn a_deployment_whose_latest_status_may_be_missing_is_an_error() {
        let many = json!((1..=100).map(|id| status(id, "success", "https://x.test")).collect::<Vec<_>>());

        let error = read(json!([deployment(9)]), many).await.unwrap_err();

        assert!(matches!(error, GithubError::TooManyPages { .. }), "{error}");
    }

    #[tokio::test]
    async fn every_name_of_the_environment_is_told() {
        let mut moved = deployment(9);
        moved["original_environment"] = json!("staging");
        let mut renamed = status(1, "success", "https://x.test");
        renamed["environment"] = json!("Production");

        let found = read(json!([moved]), json!([renamed])).await.unwrap();

        assert_eq!(found[0].environments, ["Preview", "staging", "Production"]);
    }

    #[tokio::test]
    async fn what_is_missing_stays_missing() {
        let bare = json!({ "id": 9, "sha": HEAD, "environment": "Preview", "creator": null });

        let found = read(json!([bare]), json!([])).await.unwrap();

        assert_eq!(found[0].production_environment, None);
        assert_eq!((found[0].state.as_str(), found[0].creators.len(), found[0].urls.len()), ("", 0, 0));
    }

    #[tokio::test]
    async fn an_answer_without_its_fields_is_an_error() {
        for list in [json!({}), json!([{ "id": 9 }]), json!([{ "id": "9", "sha": HEAD, "environment": "x" }])]
        {
            let error = read(list, json!([])).await.unwrap_err();
            assert!(matches!(error, GithubError::Malformed { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_pull_request_is_told_as_it_is_now() {
        let double = Double::start(|_| {
            Reply::json(200, "{\"state\":\"closed\",\"head\":{\"sha\":\"abc\"},\"base\":{\"ref\":\"main\"}}")
        });
        let client = Client::new(&double.url(), &Secret::new("t".into())).unwrap();
        let repository = Repository::parse("acme/shop").unwrap();

        let desk = client.deployment_desk(&repository).unwrap();
        let state = desk.pull_request(PullRequestNumber::parse("7").unwrap()).await.unwrap();

        assert!(!state.is_open && state.head_sha == "abc" && state.base_branch == "main");
        assert_eq!(double.requests()[0].path, "/repos/acme/shop/pulls/7");
    }
}
