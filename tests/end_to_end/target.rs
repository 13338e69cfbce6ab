//! `target` and `run` in a pull request's environment: what the guard lets through and what it refuses.

use std::path::Path;

use crate::command::{Ended, Loadgate, merge_into_base};

const HEAD_SHA: &str = "0123456789abcdef0123456789abcdef01234567";

const POLICY: &str = r#"
[target]
preview = ["pr-{pr}.preview.example.com"]
production = ["example.com", "www.example.com", "api.example.com"]
"#;

/// Writes a policy and a `pull_request` payload and returns the directory.
fn project(policy: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("loadgate.toml"), policy).unwrap();
    let payload = serde_json::json!({
        "action": "synchronize",
        "number": 1,
        "pull_request": {
            "number": 1,
            "state": "open",
            "head": {"sha": HEAD_SHA, "ref": "feat/cart", "repo": {"full_name": "acme/shop"}},
            "base": {"sha": "89abcdef0123456789abcdef0123456789abcdef", "ref": "main", "repo": {"full_name": "acme/shop"}},
        },
        "repository": {"full_name": "acme/shop"},
    });
    std::fs::write(directory.path().join("event.json"), payload.to_string()).unwrap();
    directory
}

fn in_pull_request(directory: &Path) -> Loadgate {
    Loadgate::new(directory)
        .variable("CI", "true")
        .variable("GITHUB_ACTIONS", "true")
        .variable("GITHUB_EVENT_NAME", "pull_request")
        .variable("GITHUB_EVENT_PATH", directory.join("event.json"))
        .variable("GITHUB_REPOSITORY", "acme/shop")
        .variable("GITHUB_BASE_REF", "main")
}

fn ask(directory: &Path, url: &str) -> Ended {
    in_pull_request(directory)
        .variable("LOADGATE_PREVIEW_URL", url)
        .arguments(["target", "--offline", "--json"])
        .run()
}

#[test]
fn the_pull_requests_own_preview_is_allowed() {
    let project = project(POLICY);

    for url in [
        "https://pr-1.preview.example.com/",
        "https://pr-1.preview.example.com",
        "https://pr-1.preview.example.com/shop?page=2",
    ] {
        let ended = ask(project.path(), url).expect(0);
        let receipt: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(receipt["decision"], "allowed-so-far", "{url}: {receipt}");
    }
}

#[test]
fn whatever_is_not_this_pull_requests_preview_is_refused_with_77() {
    let project = project(POLICY);

    for (url, layer) in [
        ("http://pr-1.preview.example.com/", "L3"),
        ("https://user@pr-1.preview.example.com/", "L3"),
        ("https://pr-1.preview.example.com:8443/", "L3"),
        ("https://127.0.0.1/", "L3"),
        ("https://0x7f.1/", "L3"),
        ("https://[::1]/", "L3"),
        ("https://www.ex\u{430}mple.com/", "L3"),
        (" https://pr-1.preview.example.com/", "L3"),
        ("ftp://pr-1.preview.example.com/", "L3"),
        ("not a url", "L3"),
        ("https://www.example.com/", "L4"),
        ("https://example.com/", "L4"),
        ("https://unlisted.example.com/", "L4"),
        ("https://pr-2.preview.example.com/", "L5"),
        ("https://pr-11.preview.example.com/", "L5"),
        ("https://x.pr-1.preview.example.com/", "L5"),
        ("https://pr-1.preview.example.com.attacker.net/", "L5"),
        ("https://localhost/", "L5"),
    ] {
        let ended = ask(project.path(), url).expect(77);
        let receipt: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let layers = receipt["layers"].as_array().unwrap();
        let veto =
            layers.iter().find(|line| line["decision"] == "veto").unwrap_or_else(|| panic!("{receipt}"));
        assert!(veto["layer"].as_str().unwrap().starts_with(layer), "{url}: expected {layer}, got {veto}");
        assert!(!veto["remedy"].as_str().unwrap_or_default().is_empty(), "{url}: no remedy in {veto}");
    }
}

#[test]
fn a_service_that_run_would_start_has_a_receipt_too() {
    let project = project(&format!("{POLICY}\n[service]\nrun = [\"./serve\"]\n"));

    let ended = ask(project.path(), "").expect(0);

    let receipt: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&receipt["decision"], &receipt["source"]["kind"]),
        (&"allowed-so-far".into(), &"service".into())
    );
    assert!(ended.stderr.contains("LOADGATE_PREVIEW_URL is set but empty"), "{}", ended.stderr);
}

#[test]
fn without_a_target_what_looks_odd_is_said() {
    let project = project(POLICY);

    let ended = ask(project.path(), "").expect(2);

    assert!(ended.stderr.contains("LOADGATE_PREVIEW_URL is set but empty"), "{}", ended.stderr);
}

#[test]
fn a_refusal_of_run_says_layer_fact_and_remedy_and_sends_nothing() {
    let project = project(POLICY);
    merge_into_base(project.path(), &["loadgate.toml"]);

    let ended = in_pull_request(project.path())
        .variable("LOADGATE_PREVIEW_URL", "https://www.example.com/")
        .arguments(["run"])
        .run()
        .expect(77);

    assert!(ended.stderr.contains("L4"), "{}", ended.stderr);
    assert!(ended.stderr.contains("www.example.com"), "{}", ended.stderr);
    assert!(ended.stderr.contains("help:"), "{}", ended.stderr);
    assert!(!project.path().join("target/loadgate/report.json").exists());
}

#[test]
fn a_policy_without_production_is_a_configuration_error() {
    for production in ["", "production = []", "production = [\"*\"]"] {
        let project =
            project(&format!("[target]\npreview = [\"pr-{{pr}}.preview.example.com\"]\n{production}\n"));

        let ended = ask(project.path(), "https://pr-1.preview.example.com/").expect(2);

        assert!(ended.stderr.contains("production"), "{}", ended.stderr);
    }
}

#[test]
fn a_remote_preview_outside_a_pull_request_is_refused() {
    let project = project(POLICY);
    let url = "https://pr-1.preview.example.com/";

    let desk = Loadgate::new(project.path())
        .variable("LOADGATE_PREVIEW_URL", url)
        .arguments(["target", "--offline"])
        .run()
        .expect(77);
    let push = in_pull_request(project.path())
        .variable("GITHUB_EVENT_NAME", "push")
        .variable("LOADGATE_PREVIEW_URL", url)
        .arguments(["target", "--offline"])
        .run()
        .expect(77);

    assert!(desk.stdout.contains("L1"), "{}", desk.stdout);
    assert!(push.stdout.contains("L1"), "{}", push.stdout);
}

#[test]
fn a_deployment_of_production_is_refused_and_a_preview_is_joined_to_its_pull_request() {
    let project = project(POLICY);
    let event = |environment: &str, production: bool, url: &str| {
        let payload = serde_json::json!({
            "action": "created",
            "deployment": {
                "id": 7, "sha": HEAD_SHA, "ref": "refs/pull/1/head", "environment": environment,
                "production_environment": production, "transient_environment": true,
            },
            "deployment_status": {"state": "success", "environment_url": url, "target_url": ""},
            "repository": {"full_name": "acme/shop"},
        });
        std::fs::write(project.path().join("event.json"), payload.to_string()).unwrap();
        in_pull_request(project.path())
            .variable("GITHUB_EVENT_NAME", "deployment_status")
            .arguments(["target", "--offline"])
            .run()
    };

    event("Preview", false, "https://pr-1.preview.example.com").expect(0);
    event("Production", false, "https://pr-1.preview.example.com").expect(77);
    event("Preview", true, "https://pr-1.preview.example.com").expect(77);
    event("Preview", false, "https://www.example.com").expect(77);
}

#[test]
fn a_broken_event_payload_is_a_clear_error() {
    let project = project(POLICY);
    let path = project.path().join("event.json");
    let run = || in_pull_request(project.path()).arguments(["target", "--offline"]).run().expect(2);

    for broken in ["", "{", "[]", "{\"action\": 5}", "{\"pull_request\": {\"number\": \"seven\"}}"] {
        std::fs::write(&path, broken).unwrap();
        let ended = run();
        assert!(ended.stderr.contains("event.json"), "{broken}: {}", ended.stderr);
    }
    let huge = std::fs::File::create(&path).unwrap();
    huge.set_len(50 * 1024 * 1024).unwrap();
    assert!(run().stderr.contains("event.json"));
    std::fs::remove_file(&path).unwrap();
    assert!(run().stderr.contains("event.json"));
}
