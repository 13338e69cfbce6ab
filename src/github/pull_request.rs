//! Which pull requests a commit is the head of.
//!
//! A commit also belongs to pull requests that merely contain it; only those of which it is the head count.

use serde::Deserialize;

use crate::context::{CommitSha, PullRequestNumber, Repository};
use crate::github::{Client, GithubError};

/// What GitHub says of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestFacts {
    /// Its number.
    pub number: PullRequestNumber,
    /// The branch it comes from, raw.
    pub head_branch: String,
    /// The branch it wants to change, raw.
    pub base_branch: String,
    /// Whether it is open.
    pub is_open: bool,
    /// Whether its head lives in another repository, or in one that is gone.
    pub is_from_fork: bool,
}

#[derive(Deserialize)]
struct Entry {
    number: u64,
    state: String,
    head: End,
    base: End,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    repo: Option<EndRepository>,
}

#[derive(Deserialize)]
struct EndRepository {
    full_name: String,
}

impl Client {
    /// Returns the open pull requests of the repository whose head is the commit.
    pub async fn pull_requests_with_head(
        &self,
        repository: &Repository,
        commit: &CommitSha,
    ) -> Result<Vec<PullRequestFacts>, GithubError> {
        let path = format!("/repos/{repository}/commits/{commit}/pulls");
        let entries: Vec<Entry> = self.open()?.all_pages("find the commit's pull request", &path).await?;
        let facts = entries.into_iter().filter(|entry| entry.head.sha == commit.as_str());
        Ok(facts.filter_map(|entry| facts_of(entry, repository)).filter(|facts| facts.is_open).collect())
    }
}

fn facts_of(entry: Entry, repository: &Repository) -> Option<PullRequestFacts> {
    let is_ours = |end: &End| {
        end.repo.as_ref().is_some_and(|repo| repo.full_name.eq_ignore_ascii_case(&repository.to_string()))
    };
    // In a network of forks the commit may also be the head of somebody else's pull request.
    if !is_ours(&entry.base) {
        return None;
    }
    Some(PullRequestFacts {
        number: PullRequestNumber::from_u64(entry.number).ok()?,
        is_from_fork: !is_ours(&entry.head),
        head_branch: entry.head.branch,
        base_branch: entry.base.branch,
        is_open: entry.state == "open",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::github::double::{Double, Reply};
    use crate::secret::Secret;

    const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

    fn entry(number: u64, state: &str, sha: &str, head: &Value, base: &Value) -> Value {
        json!({
            "number": number, "state": state,
            "head": { "ref": "faster", "sha": sha, "repo": head },
            "base": { "ref": "main", "sha": "f".repeat(40), "repo": base },
        })
    }

    async fn find(entries: Value) -> Result<Vec<PullRequestFacts>, GithubError> {
        let double = Double::start(move |_| Reply::json(200, &entries.to_string()));
        let client = Client::new(&double.url(), &Secret::new("t".into())).unwrap();
        let found = client
            .pull_requests_with_head(
                &Repository::parse("acme/shop").unwrap(),
                &CommitSha::parse(HEAD).unwrap(),
            )
            .await;
        let path = format!("/repos/acme/shop/commits/{HEAD}/pulls?per_page=100&page=1");
        assert_eq!(double.requests()[0].path, path);
        found
    }

    #[tokio::test]
    async fn only_open_pull_requests_with_this_head_count() {
        let ours = json!({ "full_name": "Acme/shop" });
        let entries = json!([
            entry(1, "closed", HEAD, &ours, &ours),
            entry(2, "open", &"a".repeat(40), &ours, &ours),
            entry(3, "open", HEAD, &ours, &ours),
            entry(4, "open", HEAD, &ours, &json!({ "full_name": "else/shop" })),
        ]);

        let found = find(entries).await.unwrap();

        assert_eq!(
            found,
            [PullRequestFacts {
                number: PullRequestNumber::parse("3").unwrap(),
                head_branch: "faster".into(),
                base_branch: "main".into(),
                is_open: true,
                is_from_fork: false,
            }]
        );
    }

    #[tokio::test]
    async fn a_head_in_another_or_a_deleted_repository_is_a_fork() {
        let ours = json!({ "full_name": "acme/shop" });
        let entries = json!([
            entry(5, "open", HEAD, &json!({ "full_name": "eve/shop" }), &ours),
            entry(6, "open", HEAD, &Value::Null, &ours),
        ]);

        let found = find(entries).await.unwrap();

        assert_eq!(found.iter().map(|facts| facts.is_from_fork).collect::<Vec<_>>(), [true, true]);
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_error() {
        assert!(matches!(find(json!({ "number": 1 })).await, Err(GithubError::Malformed { .. })));
        assert_eq!(find(json!([])).await, Ok(Vec::new()));
    }
}
