//! One comment for each pull request and id, written anew by every run.
//!
//! The comment is found again by its first line **and** its author: anybody can write the same first line, and a
//! comment of somebody else is never touched.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::context::{PullRequestNumber, Repository};
use crate::github::{Client, GithubError, Session};

/// GitHub rejects longer comment bodies; the limit is in none of its documents.
const MAX_COMMENT_CHARS: usize = 65_536;

/// The name under which the token of a workflow writes.
const ACTIONS_BOT: &str = "github-actions[bot]";

/// What became of the comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentChange {
    /// There was none yet.
    Created,
    /// The one that was there has a new body.
    Updated,
}

/// A comment that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentOutcome {
    /// What became of it.
    pub change: CommentChange,
    /// Where people see it.
    pub url: String,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    body: Option<String>,
    user: Option<User>,
    #[serde(default)]
    html_url: String,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    #[serde(default, rename = "type")]
    kind: String,
}

/// As whom the token writes.
enum Author {
    /// The account that the token belongs to.
    Account(u64),
    /// A workflow's own token, which may not ask who it is.
    ActionsBot,
}

impl Author {
    fn wrote(&self, comment: &Comment) -> bool {
        comment.user.as_ref().is_some_and(|user| match self {
            Self::Account(id) => user.id == *id,
            Self::ActionsBot => user.login == ACTIONS_BOT && user.kind == "Bot",
        })
    }
}

impl Client {
    /// Writes the comment of this id: creates it, or replaces the body of the one that is there.
    ///
    /// The first line of the comment is a marker that people do not see. Where there are several, the oldest stays.
    pub async fn upsert_comment(
        &self,
        repository: &Repository,
        number: PullRequestNumber,
        id: &str,
        body: &str,
    ) -> Result<CommentOutcome, GithubError> {
        let marker = marker(id)?;
        let body = format!("{marker}\n{body}");
        let chars = body.chars().count();
        if chars > MAX_COMMENT_CHARS {
            return Err(GithubError::TooLong { chars, limit: MAX_COMMENT_CHARS });
        }
        let session = self.open()?;
        let author = session.author().await?;
        let list = format!("/repos/{repository}/issues/{number}/comments");
        let comments: Vec<Comment> = session.all_pages("read the pull request's comments", &list).await?;
        let mut ours: Vec<Comment> = comments
            .into_iter()
            .filter(|comment| author.wrote(comment) && begins_with(comment, &marker))
            .collect();
        ours.sort_unstable_by_key(|comment| comment.id);
        let one = |comment: u64| format!("/repos/{repository}/issues/comments/{comment}");
        if let Some((oldest, duplicates)) = ours.split_first() {
            let updated = session.write(Method::PATCH, &one(oldest.id), &body).await;
            for duplicate in duplicates {
                // Tidying up is a courtesy: what remains does no harm.
                let _ = session
                    .call("delete a duplicate comment", Method::DELETE, &one(duplicate.id), None)
                    .await;
            }
            // Somebody may have deleted it since the list was read.
            if !matches!(updated, Err(GithubError::NotFound { .. })) {
                return updated.map(|url| CommentOutcome { change: CommentChange::Updated, url });
            }
        }
        let url = session.write(Method::POST, &list, &body).await?;
        Ok(CommentOutcome { change: CommentChange::Created, url })
    }
}

impl Session<'_> {
    async fn author(&self) -> Result<Author, GithubError> {
        let user: Result<User, _> =
            self.ask("ask who the token belongs to", Method::GET, "/user", None).await;
        match user {
            Ok(user) => Ok(Author::Account(user.id)),
            Err(GithubError::Denied { status: 403, .. }) => Ok(Author::ActionsBot),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, method: Method, path: &str, body: &str) -> Result<String, GithubError> {
        let written: Comment =
            self.ask("write the comment", method, path, Some(&json!({ "body": body }))).await?;
        Ok(written.html_url)
    }
}

/// Returns whether an id can stand in the marker of a comment.
#[must_use]
pub fn is_comment_id(id: &str) -> bool {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    // Two hyphens may not stand inside an HTML comment.
    is_plain && !id.is_empty() && id.len() <= 64 && !id.contains("--") && !id.ends_with('-')
}

fn marker(id: &str) -> Result<String, GithubError> {
    if !is_comment_id(id) {
        return Err(GithubError::CommentId(id.chars().take(80).collect()));
    }
    Ok(format!("<!-- loadgate:v1 id={id} -->"))
}

fn begins_with(comment: &Comment, marker: &str) -> bool {
    let first_line = comment.body.as_deref().and_then(|body| body.lines().next());
    first_line.is_some_and(|line| line.trim_end() == marker)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::github::double::{Double, Reply};
    use crate::secret::Secret;

    const MARKER: &str = "<!-- loadgate:v1 id=api -->";

    /// A pull request whose comments live in memory.
    fn pull_request(comments: Vec<Value>, user: Reply) -> (Double, Arc<Mutex<Vec<Value>>>) {
        let stored = Arc::new(Mutex::new(comments));
        let shared = Arc::clone(&stored);
        let double = Double::start(move |request| {
            let mut comments = shared.lock().unwrap();
            let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
            let last = path.rsplit('/').next().unwrap_or_default().parse::<u64>().ok();
            let body = serde_json::from_str::<Value>(&request.body).unwrap_or_default()["body"].clone();
            match (request.method.as_str(), last) {
                ("GET", _) if path == "/user" => user.clone(),
                ("GET", _) => page(&comments, query),
                ("POST", _) => {
                    let comment = comment(9_000 + comments.len() as u64, 1, "me", body.as_str().unwrap());
                    comments.push(comment.clone());
                    Reply::json(201, &comment.to_string())
                }
                ("DELETE", Some(id)) => {
                    comments.retain(|comment| comment["id"] != id);
                    Reply::json(204, "")
                }
                ("PATCH", Some(id)) => match comments.iter_mut().find(|comment| comment["id"] == id) {
                    Some(comment) => {
                        comment["body"] = body;
                        Reply::json(200, &comment.to_string())
                    }
                    None => Reply::json(404, "{}"),
                },
                _ => Reply::json(500, "{}"),
            }
        });
        (double, stored)
    }

    fn page(comments: &[Value], query: &str) -> Reply {
        let number: usize = query.rsplit("page=").next().unwrap().parse().unwrap();
        let shown: Vec<&Value> = comments.iter().skip((number - 1) * 100).take(100).collect();
        let reply = Reply::json(200, &json!(shown).to_string());
        if comments.len() > number * 100 {
            return reply.with_header("link", "<http://127.0.0.1:9/evil?page=2>; rel=\"next\"");
        }
        reply
    }

    fn comment(id: u64, user: u64, login: &str, body: &str) -> Value {
        let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
        json!({
            "id": id, "body": body, "html_url": format!("https://github.com/c/{id}"),
            "user": { "id": user, "login": login, "type": kind },
        })
    }

    fn me() -> Reply {
        Reply::json(200, "{\"id\":1,\"login\":\"me\",\"type\":\"User\"}")
    }

    async fn upsert(double: &Double, id: &str, body: &str) -> Result<CommentOutcome, GithubError> {
        let client = Client::new(&double.url(), &Secret::new("t".into())).unwrap();
        let repository = Repository::parse("acme/shop").unwrap();
        client.upsert_comment(&repository, PullRequestNumber::parse("7").unwrap(), id, body).await
    }

    #[tokio::test]
    async fn the_first_run_creates_and_the_second_updates() {
        let (double, stored) = pull_request(Vec::new(), me());

        let first = upsert(&double, "api", "one").await.unwrap();
        let second = upsert(&double, "api", "two").await.unwrap();

        assert_eq!((first.change, second.change), (CommentChange::Created, CommentChange::Updated));
        assert_eq!(first.url, second.url);
        let stored = stored.lock().unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0]["body"], format!("{MARKER}\ntwo"));
    }

    #[tokio::test]
    async fn a_comment_on_a_late_page_is_found() {
        let mut comments: Vec<Value> = (1..=250).map(|id| comment(id, 2, "other", "hello")).collect();
        comments.push(comment(251, 1, "me", &format!("{MARKER}\r\nold")));
        let (double, stored) = pull_request(comments, me());

        let outcome = upsert(&double, "api", "new").await.unwrap();

        assert_eq!(outcome.change, CommentChange::Updated);
        assert_eq!(stored.lock().unwrap().len(), 251);
    }

    #[tokio::test]
    async fn a_marker_planted_by_somebody_else_is_left_alone() {
        let planted = format!("{MARKER}\nplanted");
        let comments = vec![
            comment(1, 2, "eve", &planted),
            comment(2, 1, "me", &format!("text\n{MARKER}")),
            comment(3, 1, "me", "<!-- loadgate:v1 id=web -->\nother id"),
            json!({ "id": 4, "body": planted, "user": null }),
        ];
        let (double, stored) = pull_request(comments.clone(), me());

        let outcome = upsert(&double, "api", "new").await.unwrap();

        assert_eq!(outcome.change, CommentChange::Created);
        assert_eq!(stored.lock().unwrap()[..4], comments[..]);
    }

    #[tokio::test]
    async fn a_workflow_token_recognises_the_bot_and_nobody_who_only_has_its_name() {
        let denied = Reply::json(403, "{\"message\":\"Resource not accessible by integration\"}");
        let mut imposter = comment(1, 5, "github-actions[bot]", &format!("{MARKER}\nfake"));
        imposter["user"]["type"] = "User".into();
        let comments =
            vec![imposter.clone(), comment(2, 41_898_282, "github-actions[bot]", &format!("{MARKER}\nold"))];
        let (double, stored) = pull_request(comments, denied);

        let outcome = upsert(&double, "api", "new").await.unwrap();

        assert_eq!(outcome.change, CommentChange::Updated);
        assert_eq!(stored.lock().unwrap()[0], imposter);
        assert_eq!(stored.lock().unwrap()[1]["body"], format!("{MARKER}\nnew"));
    }

    #[tokio::test]
    async fn of_several_the_oldest_stays() {
        let ours = |id| comment(id, 1, "me", &format!("{MARKER}\nold"));
        let (double, stored) = pull_request(vec![ours(30), ours(10), ours(20)], me());

        upsert(&double, "api", "new").await.unwrap();

        let stored = stored.lock().unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!((&stored[0]["id"], &stored[0]["body"]), (&json!(10), &json!(format!("{MARKER}\nnew"))));
    }

    #[tokio::test]
    async fn a_comment_that_is_too_long_is_not_sent() {
        let (double, _) = pull_request(Vec::new(), me());

        let error = upsert(&double, "api", &"x".repeat(65_536)).await.unwrap_err();

        assert!(matches!(error, GithubError::TooLong { .. }), "{error:?}");
        assert!(double.requests().is_empty());
        assert!(upsert(&double, "api", &"\u{1f534}".repeat(65_000)).await.is_ok());
    }

    #[tokio::test]
    async fn an_id_cannot_end_the_marker() {
        let (double, _) = pull_request(Vec::new(), me());
        for hostile in ["", "a b", "a-->", "a--b", "a-", "a\nb", &"x".repeat(65)] {
            let error = upsert(&double, hostile, "body").await.unwrap_err();
            assert!(matches!(error, GithubError::CommentId(_)), "{hostile:?}");
        }
    }
}
