//! A forge in a test's own network: GitHub as far as a gate asks it, with one repository, its deployments and the
//! comments of a pull request in memory.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::github_double::{Double, Heard, Reply};
use crate::namespace::Namespace;

/// The head of every pull request.
pub(crate) const HEAD_SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// The number of the deployment of pull request 1.
pub(crate) const DEPLOYMENT: u64 = 7;

/// What the forge knows; a test changes it as it likes, also while a run asks.
pub(crate) struct Knowledge {
    /// What the head's pull requests are said to be.
    pub(crate) pull_requests: Vec<Value>,
    /// Deployments, each with its only status.
    pub(crate) deployments: Vec<(Value, Value)>,
    /// The comments of pull request 1.
    pub(crate) comments: Vec<Value>,
    /// Answers whatever is about comments, in place of the comments.
    pub(crate) instead_of_comments: Option<Reply>,
    /// Answers whatever is about deployments, in place of them.
    pub(crate) instead_of_deployments: Option<Reply>,
}

/// A forge; a workflow's token may not ask who it is.
pub(crate) struct Forge {
    pub(crate) double: Double,
    pub(crate) knowledge: Arc<Mutex<Knowledge>>,
}

impl Forge {
    /// Starts a forge that knows the previews of pull requests 1 to 9, and that only the first is open at the head.
    pub(crate) fn start(namespace: &Namespace) -> Self {
        let knowledge = Arc::new(Mutex::new(Knowledge {
            pull_requests: vec![open_pull_request(1)],
            deployments: (1..=9).map(preview).collect(),
            comments: vec![planted_comment()],
            instead_of_comments: None,
            instead_of_deployments: None,
        }));
        let shared = Arc::clone(&knowledge);
        let double = namespace.enter(|| Double::start(move |heard| shared.lock().unwrap().answer(heard)));
        Self { double, knowledge }
    }

    /// Changes what the forge knows.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Knowledge)) {
        change(&mut self.knowledge.lock().unwrap());
    }

    pub(crate) fn url(&self) -> String {
        self.double.url()
    }

    pub(crate) fn comment_bodies(&self) -> Vec<String> {
        let knowledge = self.knowledge.lock().unwrap();
        knowledge.comments.iter().map(|comment| comment["body"].as_str().unwrap().to_owned()).collect()
    }
}

impl Knowledge {
    fn answer(&mut self, heard: &Heard) -> Reply {
        let (path, query) = heard.path.split_once('?').unwrap_or((&heard.path, ""));
        let Some(path) = path.strip_prefix("/repos/acme/shop/") else {
            return Reply::json(403, "{\"message\":\"Resource not accessible by integration\"}");
        };
        match path.split('/').collect::<Vec<_>>()[..] {
            ["issues", ..] => match &self.instead_of_comments {
                Some(reply) => reply.clone(),
                None => self.answer_about_comments(&heard.method, path, &heard.body),
            },
            ["deployments", ..] => match &self.instead_of_deployments {
                Some(reply) => reply.clone(),
                None => self.answer_about_deployments(path, query),
            },
            ["pulls", number] => {
                let found =
                    self.pull_requests.iter().find(|one| one["number"].as_u64() == number.parse().ok());
                let fallback = number.parse().map(open_pull_request);
                match found.cloned().or(fallback.ok()) {
                    Some(pull_request) => Reply::json(200, &pull_request.to_string()),
                    None => Reply::json(404, "{}"),
                }
            }
            ["commits", HEAD_SHA, "pulls"] => Reply::json(200, &json!(self.pull_requests).to_string()),
            _ => Reply::json(404, "{}"),
        }
    }

    fn answer_about_deployments(&self, path: &str, query: &str) -> Reply {
        let parts: Vec<&str> = path.split('/').collect();
        let body = match parts[..] {
            ["deployments", id, "statuses"] => {
                let found = self
                    .deployments
                    .iter()
                    .find(|(deployment, _)| deployment["id"].as_u64() == id.parse().ok());
                found.map(|(_, status)| json!([status]))
            }
            _ => {
                let asked = |key: &str| {
                    query.split('&').find_map(|pair| pair.strip_prefix(&format!("{key}=")).map(str::to_owned))
                };
                let is_asked = |(deployment, _): &&(Value, Value)| {
                    asked("sha").is_none_or(|sha| deployment["sha"] == sha)
                        && asked("environment").is_none_or(|name| deployment["environment"] == name)
                };
                let found: Vec<&Value> =
                    self.deployments.iter().filter(is_asked).map(|(deployment, _)| deployment).collect();
                Some(json!(found))
            }
        };
        body.map_or_else(|| Reply::json(404, "{}"), |body| Reply::json(200, &body.to_string()))
    }

    fn answer_about_comments(&mut self, method: &str, path: &str, body: &str) -> Reply {
        let body = serde_json::from_str::<Value>(body).unwrap_or_default()["body"].clone();
        let one = path.strip_prefix("issues/comments/").and_then(|id| id.parse::<usize>().ok());
        match (method, path, one) {
            ("GET", "issues/1/comments", _) => Reply::json(200, &json!(self.comments).to_string()),
            ("POST", "issues/1/comments", _) => {
                let comment = json!({
                    "id": self.comments.len() + 1, "body": body, "html_url": "https://github.test/comment",
                    "user": {"id": 41_898_282, "login": "github-actions[bot]", "type": "Bot"},
                });
                self.comments.push(comment.clone());
                Reply::json(201, &comment.to_string())
            }
            ("PATCH", _, Some(id)) if (1..=self.comments.len()).contains(&id) => {
                self.comments[id - 1]["body"] = body;
                Reply::json(200, &self.comments[id - 1].to_string())
            }
            _ => Reply::json(404, "{}"),
        }
    }
}

/// A comment of somebody else that begins like ours.
fn planted_comment() -> Value {
    json!({
        "id": 1, "body": "<!-- loadgate:v1 id=loadgate -->\nplanted", "html_url": "",
        "user": {"id": 7, "login": "mallory", "type": "User"},
    })
}

/// A pull request of this repository at the head.
pub(crate) fn open_pull_request(number: u64) -> Value {
    let repo = json!({"full_name": "acme/shop"});
    json!({
        "number": number, "state": "open",
        "head": {"ref": "feat/cart", "sha": HEAD_SHA, "repo": repo},
        "base": {"ref": "main", "sha": "f".repeat(40), "repo": repo},
    })
}

/// The deployment of a pull request's preview with its status.
pub(crate) fn preview(number: u64) -> (Value, Value) {
    let id = if number == 1 { DEPLOYMENT } else { 100 + number };
    deployment(id, HEAD_SHA, "Preview", &format!("pr-{number}.preview.example.test"))
}

/// A successful deployment with its status.
pub(crate) fn deployment(id: u64, sha: &str, environment: &str, host: &str) -> (Value, Value) {
    let maker = json!({"login": "github-actions[bot]"});
    (
        json!({
            "id": id, "sha": sha, "ref": "feat/cart", "environment": environment,
            "original_environment": environment, "production_environment": false, "creator": maker,
        }),
        json!({
            "id": 1, "state": "success", "environment": environment,
            "environment_url": format!("https://{host}/"), "target_url": "", "creator": maker,
        }),
    )
}
