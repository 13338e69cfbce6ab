//! The story of a real service: recorded six times, unchanged once more, slowed by thirty per cent and caught.

use std::path::Path;

use crate::command::{Ended, Loadgate, demo_service_configuration, json};

fn run(directory: &Path, slower: Option<&str>, arguments: &[&str]) -> Ended {
    let mut run = Loadgate::new(directory).arguments(["run"]).arguments(arguments);
    if let Some(share) = slower {
        run = run.variable("DEMO_SLOWER", share);
    }
    run.run()
}

fn project() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("loadgate.toml"), demo_service_configuration()).unwrap();
    directory
}

#[test]
fn a_service_slowed_by_thirty_per_cent_is_caught_after_six_recorded_runs() {
    let project = project();
    for _ in 0..6 {
        run(project.path(), None, &["--save-baseline"]).expect(0);
    }
    assert_eq!(std::fs::read_dir(project.path().join("baselines")).unwrap().count(), 6);

    let slowed = run(project.path(), Some("30%"), &["--save-baseline"]);

    let report = json(&project.path().join("target/loadgate/report.json"));
    let metric = &report["scenarios"][0]["metrics"][0];
    // A machine whose unchanged runs differ by more than the slowdown cannot see it, and must say so.
    let is_blind = metric["detectable"].as_f64().is_none_or(|detectable| detectable >= 0.25);
    if is_blind {
        assert_ne!(report["verdict"], "improved", "{report}");
        return;
    }
    slowed.expect(100);
    assert_eq!(report["verdict"], "regressed");
    assert_eq!(
        std::fs::read_dir(project.path().join("baselines")).unwrap().count(),
        6,
        "a regression was saved"
    );
    let promoted = Loadgate::new(project.path())
        .arguments(["baseline", "promote", "--accept", "the new catalogue is worth it"])
        .run()
        .expect(0);
    assert!(promoted.stdout.contains("promoted"), "{}", promoted.stdout);
    let after = run(project.path(), Some("30%"), &[]).expect(0);
    assert!(after.stdout.contains("no-baseline"), "an accepted step begins a new history: {}", after.stdout);
}

#[cfg(unix)]
#[test]
fn the_name_of_a_stored_file_commands_neither_terminal_nor_runner() {
    let project = project();
    let store = project.path().join("baselines");
    std::fs::create_dir(&store).unwrap();
    std::fs::write(store.join("a\n::error title=x::y\u{1b}[2J.json"), "{").unwrap();

    let listed =
        Loadgate::new(project.path()).arguments(["baseline", "list", "--color", "always"]).run().expect(0);

    assert!(listed.stderr.contains("skipped"), "{}", listed.stderr);
    assert!(!listed.stderr.lines().any(|line| line.trim_start().starts_with("::")), "{}", listed.stderr);
    assert!(!listed.stderr.contains("\u{1b}[2J"), "{}", listed.stderr);
}

#[test]
fn damaged_and_foreign_files_are_named_and_never_pass_silently() {
    let project = project();
    run(project.path(), None, &["--save-baseline"]).expect(0);
    let store = project.path().join("baselines");
    let good = std::fs::read_dir(&store).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&good).unwrap();
    std::fs::write(store.join("truncated.json"), &text[..text.len() / 2]).unwrap();
    std::fs::write(store.join("newer.json"), text.replacen("\"version\": 1", "\"version\": 2", 1)).unwrap();
    std::fs::write(store.join("foreign.json"), "{\"benchmarks\": []}").unwrap();
    std::fs::write(store.join("garbage.json"), [0xff, 0xfe, 0x00]).unwrap();

    let ended = run(project.path(), None, &[]).expect(0);

    let report = json(&project.path().join("target/loadgate/report.json"));
    let warnings = report["warnings"].to_string();
    for name in ["truncated", "newer", "foreign", "garbage"] {
        assert!(warnings.contains(name), "{name} is not named in {warnings}");
    }
    assert_eq!(report["verdict"], "no-baseline", "{}", ended.stdout);
}

#[test]
fn strict_runs_fail_without_a_baseline() {
    let project = project();

    run(project.path(), None, &["--fail-on", "no-baseline"]).expect(75);
}

#[test]
fn stored_runs_are_listed_shown_and_pruned() {
    let project = project();
    for _ in 0..2 {
        run(project.path(), None, &["--save-baseline"]).expect(0);
    }
    let baseline = |arguments: &[&str]| {
        Loadgate::new(project.path()).arguments(["baseline"]).arguments(arguments).run().expect(0)
    };

    let listed = baseline(&["list"]);
    let shown = baseline(&["show", listed.stdout.lines().nth(1).unwrap().split_whitespace().next().unwrap()]);
    let dry = baseline(&["prune", "--keep", "1", "--dry-run"]);
    let pruned = baseline(&["prune", "--keep", "1"]);

    assert!(listed.stdout.contains("products"), "{}", listed.stdout);
    assert!(shown.stdout.contains("scenario   products"), "{}", shown.stdout);
    assert!(dry.stdout.contains("would delete"), "{}", dry.stdout);
    assert!(pruned.stdout.contains("deleted"), "{}", pruned.stdout);
    assert_eq!(std::fs::read_dir(project.path().join("baselines")).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_stored_is_refused_before_the_load() {
    let project = project();
    let path = project.path().join("loadgate.toml");
    let many = demo_service_configuration().replace("rounds = 4", "rounds = 501");
    std::fs::write(path, many).unwrap();

    let refused = run(project.path(), None, &[]).expect(2);

    assert!(refused.stderr.contains("501 rounds"), "{}", refused.stderr);
}

#[test]
fn a_reason_that_no_file_can_hold_is_bad_usage() {
    let project = project();
    for reason in ["", "two\nlines", "\u{1b}[2J", &"x".repeat(2_001)] {
        let arguments = ["baseline", "promote", "--accept", reason];
        let refused = Loadgate::new(project.path()).arguments(arguments).run().expect(2);

        assert!(refused.stderr.contains("a reason on one line"), "{}", refused.stderr);
    }
}

#[test]
fn a_file_without_a_measurement_promotes_nothing() {
    let project = project();
    let empty = project.path().join("empty.json");
    std::fs::write(&empty, r#"{"format": "loadgate-measurement", "version": 1, "records": []}"#).unwrap();

    let refused =
        Loadgate::new(project.path()).arguments(["baseline", "promote", "empty.json"]).run().expect(2);

    assert!(refused.stderr.contains("holds no measurement"), "{}", refused.stderr);
}
