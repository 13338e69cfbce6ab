//! `run` and the forge's API: a deployment is joined to its pull request, and what the API does changes no verdict.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::command::{Ended, Loadgate};
use crate::github_double::{Double, Heard, Reply};
use crate::preview_namespace::{HEAD_SHA, PREVIEW_URL, Stage, deployment_event};

const TOKEN: &str = "ghs_a_token_of_the_job";

const BUDGET_THAT_NOTHING_KEEPS: &str = r#"
[[scenario]]
name = "home"
profile = { connections = 4, duration = "1s", warm-up = "200ms", timeout = "2s" }

[gate]
budget = { p50 = "1us" }
"#;

/// An API whose comments live in memory; a workflow's token may not ask who it is.
struct Forge {
    double: Double,
    comments: Arc<Mutex<Vec<Value>>>,
}

impl Forge {
    fn start(stage: &Stage, pull_requests: Value) -> Self {
        let comments = Arc::new(Mutex::new(vec![json!({
            "id": 1, "body": "<!-- loadgate:v1 id=loadgate -->\nplanted", "html_url": "",
            "user": {"id": 7, "login": "mallory", "type": "User"},
        })]));
        let shared = Arc::clone(&comments);
        let answer = move |heard: &Heard| {
            let comments = &mut *shared.lock().unwrap();
            let body = serde_json::from_str::<Value>(&heard.body).unwrap_or_default()["body"].clone();
            let path = heard.path.split('?').next().unwrap_or_default();
            let one = path.strip_prefix("/repos/acme/shop/issues/comments/").and_then(|id| id.parse().ok());
            match (heard.method.as_str(), path, one) {
                ("GET", "/user", _) => {
                    Reply::json(403, "{\"message\":\"Resource not accessible by integration\"}")
                }
                ("GET", path, _) if path == format!("/repos/acme/shop/commits/{HEAD_SHA}/pulls") => {
                    Reply::json(200, &pull_requests.to_string())
                }
                ("GET", "/repos/acme/shop/issues/1/comments", _) => {
                    Reply::json(200, &json!(comments).to_string())
                }
                ("POST", "/repos/acme/shop/issues/1/comments", _) => {
                    let comment = json!({
                        "id": comments.len() + 1, "body": body, "html_url": "https://github.test/comment",
                        "user": {"id": 41_898_282, "login": "github-actions[bot]", "type": "Bot"},
                    });
                    comments.push(comment.clone());
                    Reply::json(201, &comment.to_string())
                }
                ("PATCH", _, Some(id)) if (1..=comments.len()).contains(&id) => {
                    comments[id - 1]["body"] = body;
                    Reply::json(200, &comments[id - 1].to_string())
                }
                _ => Reply::json(404, "{}"),
            }
        };
        Self { double: stage.namespace.enter(|| Double::start(answer)), comments }
    }

    fn bodies(&self) -> Vec<String> {
        let comments = self.comments.lock().unwrap();
        comments.iter().map(|comment| comment["body"].as_str().unwrap().to_owned()).collect()
    }
}

fn open_pull_request(number: u64) -> Value {
    let repo = json!({"full_name": "acme/shop"});
    json!({
        "number": number, "state": "open",
        "head": {"ref": "feat/cart", "sha": HEAD_SHA, "repo": repo},
        "base": {"ref": "main", "sha": "f".repeat(40), "repo": repo},
    })
}

/// Runs in the job of a deployment that names only a branch.
fn run_for_deployment(stage: &Stage, api: &Double) -> Ended {
    stage.write_event(&deployment_event("feat/cart"));
    stage.run(with_api(stage.job("deployment_status"), api))
}

fn run_for_pull_request(stage: &Stage, api: &Double) -> Ended {
    stage.run(with_api(stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL), api))
}

fn with_api(job: Loadgate, api: &Double) -> Loadgate {
    job.variable("GITHUB_API_URL", api.url()).variable("GITHUB_TOKEN", TOKEN)
}

fn comment_md(stage: &Stage) -> String {
    std::fs::read_to_string(stage.project.path().join("target/loadgate/comment.md")).unwrap()
}

#[test]
fn a_deployment_is_joined_to_its_pull_request_and_its_one_comment_is_edited() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let forge = Forge::start(&stage, json!([open_pull_request(1)]));
    let ours = |markdown: String| format!("<!-- loadgate:v1 id=loadgate -->\n{markdown}");
    let planted = ours("planted".into());

    run_for_deployment(&stage, &forge.double).expect(0);
    let first = comment_md(&stage);
    assert_eq!(forge.bodies(), [planted.clone(), ours(first.clone())]);

    run_for_deployment(&stage, &forge.double).expect(0);
    let second = comment_md(&stage);
    assert_eq!(forge.bodies(), [planted, ours(second.clone())]);
    assert_ne!(first, second, "the second run has measured nothing of its own");
    stage.assert_production_heard_nothing();
}

#[test]
fn a_deployment_of_no_or_of_several_pull_requests_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };

    for pull_requests in [json!([]), json!([open_pull_request(1), open_pull_request(2)])] {
        let forge = Forge::start(&stage, pull_requests);
        let ended = run_for_deployment(&stage, &forge.double).expect(77);

        assert!(ended.stderr.contains("L1"), "{}", ended.stderr);
    }
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn a_deployment_of_another_pull_request_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let forge = Forge::start(&stage, json!([open_pull_request(2)]));

    let ended = run_for_deployment(&stage, &forge.double).expect(77);

    assert!(ended.stderr.contains("L5"), "{}", ended.stderr);
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn an_api_that_does_not_say_the_pull_request_means_a_refusal() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };

    for reply in [Reply::json(403, "{}"), Reply::json(500, "<html>"), Reply::json(200, "{"), Reply::silence()]
    {
        let api = stage.namespace.enter(|| Double::start(move |_| reply.clone()));
        run_for_deployment(&stage, &api).expect(77);
    }
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn an_api_that_takes_no_comment_changes_neither_verdict_nor_exit() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let refusals = [
        Reply::json(403, "{\"message\":\"Resource not accessible by integration\"}"),
        Reply::json(500, "<html>"),
        Reply::silence(),
    ];

    for reply in refusals {
        let api = stage.namespace.enter(|| Double::start(move |_| reply.clone()));
        let ended = run_for_pull_request(&stage, &api).expect(0);

        assert!(ended.stderr.contains("no comment was posted"), "{}", ended.stderr);
        assert!(ended.stdout.contains("no-baseline"), "{}", ended.stdout);
        assert!(stage.outcomes("2xx") > 50);
    }
    let gone = stage.namespace.enter(|| Double::start(|_| Reply::json(500, "")));
    stage.configure("roots = [\"root.pem\"]", BUDGET_THAT_NOTHING_KEEPS);
    run_for_pull_request(&stage, &gone).expect(100);
}

#[test]
fn the_token_goes_to_the_api_and_nowhere_else() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let forge = Forge::start(&stage, json!([open_pull_request(1)]));

    let ended = run_for_deployment(&stage, &forge.double).expect(0);

    let requests = forge.double.requests();
    assert!(!requests.is_empty());
    for heard in requests {
        assert_eq!(heard.headers_named("authorization"), [format!("Bearer {TOKEN}")]);
        assert!(!heard.path.contains(TOKEN) && !heard.body.contains(TOKEN));
    }
    assert!(!ended.stdout.contains(TOKEN) && !ended.stderr.contains(TOKEN));
    let written: Vec<_> = std::fs::read_dir(stage.project.path().join("target/loadgate"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(written.len() >= 4, "{written:?}");
    for file in written {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(TOKEN), "{}", file.path().display());
    }
}
