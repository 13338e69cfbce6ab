//! Who decides: the base branch's policy goes before the pull request's, and the forge is asked before any load.

use crate::forge::{HEAD_SHA, deployment};
use crate::github_double::Reply;
use crate::preview_namespace::{PREVIEW_URL, Stage, deployment_event};

const SCENARIO: &str = "[[scenario]]\nname = \"home\"\n\
     profile = { connections = 4, duration = \"1s\", warm-up = \"200ms\", timeout = \"2s\" }\n";

fn run(stage: &Stage) -> crate::command::Ended {
    stage.run(stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL))
}

fn report(stage: &Stage) -> serde_json::Value {
    crate::command::json(&stage.project.path().join("target/loadgate/report.json"))
}

#[test]
fn a_pull_request_cannot_take_production_out_of_the_policy() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let blind = "[target]\npreview = [\"{branch}.example.test\"]\nproduction = [\"other.test\"]\n";
    std::fs::write(stage.project.path().join("loadgate.toml"), format!("{blind}{SCENARIO}")).unwrap();

    let job = stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", "https://www.example.test/");
    let ended = stage.run(job).expect(77);

    assert!(ended.stderr.contains("L4") && ended.stderr.contains("production list"), "{}", ended.stderr);
    stage.assert_production_heard_nothing();
}

#[test]
fn a_run_under_the_base_branchs_policy_says_what_the_pull_request_changes() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    stage.propose("roots = [\"none.pem\"]\n[limits]\nrate = 5000", SCENARIO);

    run(&stage).expect(0);

    let report = report(&stage);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("[target] is not what the base branch says"), "{warnings}");
    assert!(warnings.contains("[limits] is not what the base branch says"), "{warnings}");
    assert!(stage.outcomes("2xx") > 50, "{report}");
}

#[test]
fn limits_that_a_pull_request_raises_wait_for_its_merge_and_lower_ones_hold_at_once() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let fast = "[[scenario]]\nname = \"home\"\nprofile = { rate = 300, duration = \"1s\" }\n";

    stage.propose("roots = [\"root.pem\"]\n[limits]\nrate = 5000", fast);
    let raised = run(&stage).expect(2);
    assert!(raised.stderr.contains("the limit is 200/s"), "{}", raised.stderr);

    stage.propose("roots = [\"root.pem\"]\n[limits]\nrate = 50", fast);
    let lowered = run(&stage).expect(2);
    assert!(lowered.stderr.contains("the limit is 50/s"), "{}", lowered.stderr);
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn a_production_host_that_a_pull_request_adds_holds_at_once() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let added = format!(
        "[target]\npreview = [\"pr-{{pr}}.preview.example.test\"]\n\
         production = [\"pr-1.preview.example.test\"]\n{SCENARIO}"
    );
    std::fs::write(stage.project.path().join("loadgate.toml"), added).unwrap();

    run(&stage);

    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn the_first_pull_request_with_a_policy_loads_nothing_remote() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let git = |arguments: &[&str]| {
        let status =
            std::process::Command::new("git").args(arguments).current_dir(stage.project.path()).status();
        assert!(status.unwrap().success());
    };
    git(&["rm", "--quiet", "--cached", "loadgate.toml"]);
    git(&["-c", "user.name=a", "-c", "user.email=a@example.test", "commit", "--quiet", "--message=none"]);
    git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);

    let ended = run(&stage).expect(77);

    assert!(
        ended.stderr.contains("L2") && ended.stderr.contains("base branch has no policy"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("merge loadgate.toml"), "{}", ended.stderr);
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn a_checkout_without_the_base_branch_and_without_an_api_for_it_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    std::fs::remove_dir_all(stage.project.path().join(".git")).unwrap();

    let ended = run(&stage).expect(77);

    assert!(ended.stderr.contains("L2") && ended.stderr.contains("fetch-depth: 0"), "{}", ended.stderr);
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn a_forge_that_fails_to_answer_means_a_refusal() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    for (status, said) in [(401, "401"), (403, "403"), (404, "404"), (429, "rate limit"), (500, "500")] {
        stage.forge.learn(|knowledge| knowledge.instead_of_deployments = Some(Reply::json(status, "{}")));

        let ended = run(&stage).expect(77);

        assert!(ended.stderr.contains("L6") && ended.stderr.contains(said), "{status}: {}", ended.stderr);
        assert!(ended.stderr.contains("help:"), "{}", ended.stderr);
    }
    stage.forge.learn(|knowledge| knowledge.instead_of_deployments = Some(Reply::json(200, "[{\"id\":")));
    run(&stage).expect(77);
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn a_deployment_that_is_not_this_pull_requests_own_preview_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let host = "pr-1.preview.example.test";
    let state = |state: &str| {
        let (made, mut status) = deployment(7, HEAD_SHA, "Preview", host);
        status["state"] = state.into();
        vec![(made, status)]
    };
    let by = |login: &str| {
        let (mut made, status) = deployment(7, HEAD_SHA, "Preview", host);
        made["creator"]["login"] = login.into();
        vec![(made, status)]
    };
    let production_too = vec![
        deployment(7, HEAD_SHA, "Preview", host),
        deployment(3, &"f".repeat(40), "shop (Production)", host),
    ];
    for deployments in [
        vec![],
        state("inactive"),
        state("error"),
        by("mallory"),
        vec![deployment(7, HEAD_SHA, "Production", host)],
        vec![deployment(7, &"f".repeat(40), "Preview", host)],
        vec![deployment(7, HEAD_SHA, "Preview", "pr-2.preview.example.test")],
        production_too,
    ] {
        let shown = format!("{deployments:?}");
        stage.forge.learn(|knowledge| knowledge.deployments = deployments);
        let ended = run(&stage);
        assert_eq!(ended.code, Some(77), "{shown}: {}", ended.stderr);
    }
    stage.assert_preview_was_only_asked_who_it_is();
}

#[test]
fn a_new_head_and_a_closed_pull_request_are_refused_by_the_forges_word() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let changed = |key: &str, value: serde_json::Value| {
        let mut pull_request = crate::forge::open_pull_request(1);
        *pull_request.pointer_mut(key).unwrap() = value;
        vec![pull_request]
    };

    for (key, value) in [("/state", "closed".into()), ("/head/sha", "f".repeat(40).into())] {
        stage.forge.learn(|knowledge| knowledge.pull_requests = changed(key, value));
        let ended = run(&stage).expect(77);
        assert!(ended.stderr.contains("L6"), "{}", ended.stderr);
    }
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn the_environment_cannot_name_another_forge() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let liar = crate::forge::Forge::start(&stage.namespace);
    stage.write_event(&deployment_event("refs/pull/1/head"));

    let ended = stage.run(stage.job("deployment_status").variable("GITHUB_API_URL", liar.url())).expect(77);

    assert!(ended.stderr.contains("GITHUB_API_URL"), "{}", ended.stderr);
    assert_eq!(stage.requests_to_preview(), 0);
}

#[test]
fn a_secret_goes_over_tls_as_the_base_branch_says_and_no_pull_request_redirects_it() {
    let location = "if ($http_authorization = 'Bearer token-of-the-base') { return 200 'ok'; } return 404;";
    let Some(stage) = Stage::set(location) else { return };
    let with = |variable: &str| {
        format!(
            "[[secret]]\nname = \"TOKEN\"\nenv = \"{variable}\"\nheaders = [\"authorization\"]\n\
             hosts = [\"*.preview.example.test\"]\n{SCENARIO}headers = {{ authorization = \"Bearer {{secret.TOKEN}}\" }}\n"
        )
    };
    stage.configure("roots = [\"root.pem\"]", &with("TEST_TOKEN"));
    stage.propose("roots = [\"root.pem\"]", &with("DEPLOY_KEY"));

    let job = stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL);
    let ended = stage
        .run(job.variable("TEST_TOKEN", "token-of-the-base").variable("DEPLOY_KEY", "key-of-production"));

    let ended = ended.expect(0);
    assert!(stage.outcomes("2xx") > 50, "{}", report(&stage));
    let warnings = report(&stage)["warnings"].to_string();
    assert!(warnings.contains("[[secret]] is not what the base branch says"), "{warnings}");
    assert!(ended.stderr.contains("::add-mask::token-of-the-base"), "{}", ended.stderr);
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("key-of-production"), "{}", ended.stderr);
}
