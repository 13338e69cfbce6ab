//! `run` and the forge's API: a deployment is joined to its pull request, and what the API does changes no verdict.

use crate::command::Ended;
use crate::forge::open_pull_request;
use crate::github_double::{Double, Reply};
use crate::preview_namespace::{PREVIEW_URL, Stage, TOKEN, deployment_event};

const BUDGET_THAT_NOTHING_KEEPS: &str = r#"
[[scenario]]
name = "home"
profile = { connections = 4, duration = "1s", warm-up = "200ms", timeout = "2s" }

[gate]
budget = { p50 = "1us" }
"#;

/// Runs in the job of a deployment that names only a branch.
fn run_for_deployment(stage: &Stage) -> Ended {
    stage.write_event(&deployment_event("feat/cart"));
    stage.run(stage.job("deployment_status"))
}

fn run_for_pull_request(stage: &Stage) -> Ended {
    stage.run(stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL))
}

fn comment_md(stage: &Stage) -> String {
    std::fs::read_to_string(stage.project.path().join("target/loadgate/comment.md")).unwrap()
}

#[test]
fn a_deployment_is_joined_to_its_pull_request_and_its_one_comment_is_edited() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let ours = |markdown: String| format!("<!-- loadgate:v1 id=loadgate -->\n{markdown}");
    let planted = ours("planted".into());

    run_for_deployment(&stage).expect(0);
    let first = comment_md(&stage);
    assert_eq!(stage.forge.comment_bodies(), [planted.clone(), ours(first.clone())]);

    run_for_deployment(&stage).expect(0);
    let second = comment_md(&stage);
    assert_eq!(stage.forge.comment_bodies(), [planted, ours(second.clone())]);
    assert_ne!(first, second, "the second run has measured nothing of its own");
    stage.assert_production_heard_nothing();
}

#[test]
fn a_deployment_of_no_or_of_several_pull_requests_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };

    for pull_requests in [vec![], vec![open_pull_request(1), open_pull_request(2)]] {
        stage.forge.learn(|knowledge| knowledge.pull_requests = pull_requests);
        let ended = run_for_deployment(&stage).expect(77);

        assert!(ended.stderr.contains("L1"), "{}", ended.stderr);
    }
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn a_deployment_of_another_pull_request_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    stage.forge.learn(|knowledge| knowledge.pull_requests = vec![open_pull_request(2)]);

    let ended = run_for_deployment(&stage).expect(77);

    assert!(ended.stderr.contains("L5"), "{}", ended.stderr);
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn an_api_that_does_not_say_the_pull_request_means_a_refusal() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };

    for reply in [Reply::json(403, "{}"), Reply::json(500, "<html>"), Reply::json(200, "{"), Reply::silence()]
    {
        let api = stage.namespace.enter(|| Double::start(move |_| reply.clone()));
        stage.write_event(&deployment_event("feat/cart"));
        stage.run(stage.job("deployment_status").variable("GITHUB_API_URL", api.url())).expect(77);
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
        stage.forge.learn(|knowledge| knowledge.instead_of_comments = Some(reply));
        let ended = run_for_pull_request(&stage).expect(0);

        assert!(ended.stderr.contains("no comment was posted"), "{}", ended.stderr);
        assert!(ended.stdout.contains("no-baseline"), "{}", ended.stdout);
        assert!(stage.outcomes("2xx") > 50);
    }
    stage.forge.learn(|knowledge| knowledge.instead_of_comments = Some(Reply::json(500, "")));
    stage.configure("roots = [\"root.pem\"]", BUDGET_THAT_NOTHING_KEEPS);
    run_for_pull_request(&stage).expect(100);
}

#[test]
fn the_token_goes_to_the_api_and_nowhere_else() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let ended = run_for_deployment(&stage).expect(0);

    let requests = stage.forge.double.requests();
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
