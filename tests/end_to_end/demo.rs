//! The demo tells the whole story, or says that the machine was too noisy for it.

use crate::command::{Loadgate, json};

#[test]
fn the_demo_shows_a_pass_and_a_caught_regression() {
    let directory = tempfile::tempdir().unwrap();

    let ended = Loadgate::new(directory.path()).arguments(["demo"]).run();

    let out = directory.path().join("target/loadgate/demo");
    for file in ["report.json", "report.html", "comment.md"] {
        assert!(out.join(file).is_file(), "{file} is missing\n{}\n{}", ended.stdout, ended.stderr);
        assert!(
            ended.stdout.contains(&out.join(file).display().to_string()),
            "it does not say where {file} is"
        );
    }
    let slowed = json(&out.join("report.json"));
    let unchanged = json(&out.join("unchanged/report.json"));
    match ended.code {
        Some(0) => {
            assert_eq!(slowed["verdict"], "regressed");
            assert!(["passed", "improved"].contains(&unchanged["verdict"].as_str().unwrap()), "{unchanged}");
        }
        Some(75) => assert!(ended.stdout.contains("too noisy to tell"), "{}", ended.stdout),
        other => panic!("exit {other:?}\n{}\n{}", ended.stdout, ended.stderr),
    }
}
