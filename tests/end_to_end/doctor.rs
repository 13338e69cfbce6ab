//! `doctor`, the page of `target`, and the word that a heavy run from a desk needs.

use std::path::Path;

use crate::command::Loadgate;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join(".git")).unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn findings(directory: &Path, code: i32) -> Vec<(String, String)> {
    let ended = Loadgate::new(directory).arguments(["doctor", "--json"]).run().expect(code);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["version"], 1);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let findings = json["findings"].as_array().unwrap();
    findings.iter().map(|finding| (text(&finding["severity"]), text(&finding["what"]))).collect()
}

#[test]
fn production_is_asked_only_where_the_flag_says_so() {
    // The name is reserved and has no address, so that nobody is asked even by mistake.
    let project = project(&[(
        "loadgate.toml",
        "[target]\npreview = [\"pr-{pr}.preview.kiosk.invalid\"]\nproduction = [\"www.kiosk.invalid\"]\n",
    )]);

    let silent = Loadgate::new(project.path()).arguments(["doctor"]).run().expect(0);
    let asking = Loadgate::new(project.path()).arguments(["doctor", "--ask-production"]).run().expect(0);

    assert!(!silent.stderr.contains("Asking"), "{}", silent.stderr);
    assert!(asking.stderr.contains("one GET to production"), "{}", asking.stderr);
    assert!(asking.stdout.contains("www.kiosk.invalid could not be asked"), "{}", asking.stdout);
}

fn has(findings: &[(String, String)], severity: &str, words: &str) -> bool {
    findings.iter().any(|(found, what)| found == severity && what.contains(words))
}

#[test]
fn doctor_names_production_that_the_policy_lacks_and_permissions_that_the_workflow_lacks() {
    let project = project(&[
        (
            "loadgate.toml",
            "[target]\npreview = [\"deploy-preview-{pr}--kiosk.netlify.app\"]\nproduction = [\"kiosk.example\"]\n",
        ),
        ("CNAME", "www.kiosk.example\n"),
        (
            ".github/workflows/gate.yml",
            "on: deployment_status\npermissions: {}\njobs:\n  gate:\n    steps:\n      - uses: stall/cargo-loadgate@1\n",
        ),
    ]);

    let findings = findings(project.path(), 0);

    assert!(has(&findings, "warning", "www.kiosk.example looks like production"), "{findings:?}");
    assert!(has(&findings, "warning", "no permission `deployments: read`"), "{findings:?}");
    assert!(has(&findings, "warning", "Netlify forbids load tests"), "{findings:?}");
    assert!(has(&findings, "warning", "no baseline is stored"), "{findings:?}");
}

#[test]
fn doctor_names_the_homepage_that_the_policy_lacks() {
    let event = |homepage: &str| {
        let side = r#"{"sha": "0123456789abcdef0123456789abcdef01234567", "ref": "a", "repo": {"full_name": "stall/kiosk"}}"#;
        format!(
            r#"{{"action": "opened", "number": 7, "pull_request": {{"number": 7, "state": "open", "head": {side}, "base": {side}}},
            "repository": {{"full_name": "stall/kiosk", "homepage": "{homepage}"}}}}"#
        )
    };
    let warned = |homepage: &str| {
        let project = project(&[
            (
                "loadgate.toml",
                "[target]\npreview = [\"pr-{pr}.preview.kiosk.example\"]\nproduction = [\"kiosk.example\"]\n",
            ),
            ("event.json", &event(homepage)),
        ]);
        let doctor = Loadgate::new(project.path())
            .variable("CI", "true")
            .variable("GITHUB_ACTIONS", "true")
            .variable("GITHUB_EVENT_NAME", "pull_request")
            .variable("GITHUB_EVENT_PATH", project.path().join("event.json"))
            .variable("GITHUB_REPOSITORY", "stall/kiosk")
            .variable("GITHUB_BASE_REF", "a");
        let said = doctor.arguments(["doctor"]).run().expect(0).stdout;
        said.contains("www.kiosk-live.example is production by the repository's homepage")
    };

    assert!(warned("https://www.kiosk-live.example/"));
    assert!(!warned("https://kiosk.example/"));
    assert!(!warned(""));
}

#[test]
fn doctor_ends_with_2_where_a_run_could_not_work() {
    let unreadable = project(&[(
        "loadgate.toml",
        "[target]\npreview = [\"pr-{pr}.preview.kiosk.example\"]\nproduction = [{ from = \"CNAME\" }]\n",
    )]);
    let misspelt = project(&[("loadgate.toml", "[targets]\n")]);

    assert!(has(&findings(unreadable.path(), 2), "wrong", "CNAME"), "a missing file is no empty list");
    assert!(has(&findings(misspelt.path(), 2), "wrong", "unknown key `targets`"));
}

#[test]
fn production_that_a_file_names_is_refused() {
    let project = project(&[
        (
            "loadgate.toml",
            "[target]\npreview = [\"pr-{pr}.preview.kiosk.example\"]\nproduction = [{ from = \"CNAME\" }]\n",
        ),
        ("CNAME", "shop.kiosk-live.example\n"),
        (
            "event.json",
            r#"{"action": "opened", "number": 7, "repository": {"full_name": "stall/kiosk"}, "pull_request":
            {"number": 7, "state": "open",
             "head": {"sha": "0123456789abcdef0123456789abcdef01234567", "ref": "a", "repo": {"full_name": "stall/kiosk"}},
             "base": {"sha": "89abcdef0123456789abcdef0123456789abcdef", "ref": "main", "repo": {"full_name": "stall/kiosk"}}}}"#,
        ),
    ]);
    let ask = |url: &str| {
        Loadgate::new(project.path())
            .variable("CI", "true")
            .variable("GITHUB_ACTIONS", "true")
            .variable("GITHUB_EVENT_NAME", "pull_request")
            .variable("GITHUB_EVENT_PATH", project.path().join("event.json"))
            .variable("GITHUB_REPOSITORY", "stall/kiosk")
            .variable("GITHUB_BASE_REF", "main")
            .variable("LOADGATE_PREVIEW_URL", url)
            .arguments(["target", "--offline"])
            .run()
    };

    let refused = ask("https://shop.kiosk-live.example/").expect(77);
    let allowed = ask("https://pr-7.preview.kiosk.example/").expect(0);

    assert!(refused.stdout.contains("is in the production list"), "{}", refused.stdout);
    assert!(
        allowed.stdout.starts_with("```text\n") && allowed.stdout.contains("would send"),
        "{}",
        allowed.stdout
    );
    assert!(allowed.stdout.trim_end().ends_with("\n```"), "{}", allowed.stdout);
}

#[test]
fn a_long_run_from_a_desk_needs_a_raised_limit_and_a_terminal() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let run = |limits: &str| {
        let project = project(&[("loadgate.toml", limits)]);
        Loadgate::new(project.path()).arguments(["run", "--local", &port, "-d", "400s"]).run()
    };

    let low = run("").expect(2);
    let raised = run("[limits]\nduration = \"10m\"\n").expect(77);

    assert!(low.stderr.contains("the limit is 300s"), "{}", low.stderr);
    assert!(raised.stderr.contains("this will send"), "{}", raised.stderr);
    assert!(raised.stderr.contains("must be confirmed at a terminal"), "{}", raised.stderr);
    let connections = std::iter::from_fn(|| listener.accept().ok()).count();
    assert!(connections <= 1, "beside the one question whether something listens nothing may be sent");
}
