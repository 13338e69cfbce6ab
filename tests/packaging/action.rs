//! The GitHub action and the workflows: checked, and executed by an emulator of the runner.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::command::{Loadgate, binary};
use crate::{has_time_for, parts};

/// Seconds after which a job has hung: it builds everything once.
const LONGEST_JOB: &str = "1200";

fn read(path: &str) -> String {
    std::fs::read_to_string(parts::repository().join(path)).unwrap()
}

/// Returns the entries of a top-level section of `action.yml`, each with its text.
fn section(name: &str) -> BTreeMap<String, String> {
    let action = read("action.yml");
    let lines = action.lines().skip_while(|line| *line != format!("{name}:")).skip(1);
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        match line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) {
            Some(key) => entries.push((key.trim_end_matches(':').to_owned(), String::new())),
            None => entries.last_mut().into_iter().for_each(|(_, text)| *text += line),
        }
    }
    assert!(entries.len() > 3, "{name}: {entries:?}");
    entries.into_iter().collect()
}

#[track_caller]
fn assert_success(output: &Output) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
}

#[test]
fn the_action_and_the_workflows_have_no_findings() {
    let Some(checkers) = parts::require("checkers") else { return };
    let check = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(checkers.join(program));
        assert_success(&command.current_dir(parts::repository()).args(arguments).output().unwrap());
    };
    let workflows: Vec<String> = std::fs::read_dir(parts::repository().join(".github/workflows"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    assert!(!workflows.is_empty());

    check("check-jsonschema", &["--builtin-schema", "vendor.github-actions", "action.yml"]);
    for workflow in &workflows {
        check("check-jsonschema", &["--builtin-schema", "vendor.github-workflows", workflow]);
    }
    check("zizmor", &["--offline", "--quiet", "--strict-collection", "action.yml", ".github/workflows"]);
}

#[test]
fn every_input_reaches_a_script_and_every_variable_has_its_input() {
    let action = read("action.yml");
    let scripts = read("action/run.sh") + &read("action/build.sh");

    for input in section("inputs").into_keys() {
        let handed_over = format!(": ${{{{ inputs.{input} }}}}");
        let line = action.lines().find(|line| line.ends_with(&handed_over));
        let variable =
            line.unwrap_or_else(|| panic!("{input} is not used")).trim().trim_end_matches(&handed_over);
        // The token is read by the program itself.
        assert!(variable == "GITHUB_TOKEN" || scripts.contains(&format!("${{{variable}:-")), "{variable}");
    }
    let read: BTreeSet<&str> = scripts
        .match_indices("LOADGATE_INPUT_")
        .map(|(start, _)| &scripts[start..])
        .map(|text| text.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap())
        .collect();
    for variable in read {
        assert!(action.contains(&format!("{variable}: ${{{{ inputs.")), "{variable} is never set");
    }
    assert!(!action.contains("run: ${{"), "an expression in a script would be code that others write");
}

#[test]
fn the_outputs_are_those_that_the_program_writes() {
    let directory = tempfile::tempdir().unwrap();
    let written = directory.path().join("output");
    std::fs::write(directory.path().join("loadgate.toml"), short_gate("")).unwrap();
    Loadgate::new(directory.path()).variable("GITHUB_OUTPUT", &written).arguments(["run"]).run().expect(0);

    let text = std::fs::read_to_string(written).unwrap();
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let declared = section("outputs");
    assert_eq!(values.keys().copied().collect::<Vec<_>>(), declared.keys().collect::<Vec<_>>());
    for (name, entry) in &declared {
        assert!(entry.contains(&format!("steps.gate.outputs.{name} }}")), "{entry}");
    }
    assert_eq!(values["verdict"], "no-baseline");
    for (name, path) in values.iter().filter(|(name, _)| **name != "verdict") {
        // Later steps of a job start elsewhere.
        assert!(Path::new(path).is_absolute() && Path::new(path).exists(), "{name}: {path}");
    }
}

/// A short gate on the demo service; a closed loop is never late, so that a busy machine makes no run invalid.
fn short_gate(gate: &str) -> String {
    format!(
        "[service]\nrun = [\"{}\", \"demo-service\"]\nready = \"/healthz\"\n\
         [[scenario]]\nname = \"products\"\npath = \"/products\"\n\
         profile = {{ connections = 2, duration = \"1s\", warm-up = \"100ms\" }}\n{gate}\n",
        binary().display()
    )
}

/// A program that stands in for the built one and shows how it was called.
struct Recorder {
    directory: tempfile::TempDir,
}

impl Recorder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("re corder");
        let script = "#!/bin/sh\nprintf '%s\\0' \"$@\" >\"$RECORD\"\npwd >\"$RECORD.pwd\"\nexit 42\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn record(&self) -> PathBuf {
        self.directory.path().join("record")
    }

    /// Runs the action's script with inputs; returns its output and, where the program was called, its arguments.
    fn run(&self, inputs: &[(&str, &str)]) -> (Output, Option<Vec<String>>) {
        let _ = std::fs::remove_file(self.record());
        let mut command = Command::new("bash");
        command.arg(parts::repository().join("action/run.sh")).current_dir(self.directory.path());
        command.env("LOADGATE_BINARY", self.directory.path().join("re corder")).env("RECORD", self.record());
        for (name, value) in inputs {
            let name = name.to_uppercase().replace('-', "_");
            command.env(format!("LOADGATE_INPUT_{name}"), value);
        }
        let output = command.output().unwrap();
        let arguments = std::fs::read_to_string(self.record())
            .ok()
            .map(|text| text.split_terminator('\0').map(str::to_owned).collect());
        (output, arguments)
    }
}

#[test]
fn inputs_arrive_as_single_arguments_whatever_is_in_them() {
    let recorder = Recorder::new();

    for hostile in [
        "two words",
        "it's \"quoted\"",
        "$(touch pwned)",
        "`touch pwned`",
        "--no-comment",
        "-",
        "*",
        "a;b|c&d",
        "\\n",
    ] {
        let (output, arguments) = recorder.run(&[
            ("package", hostile),
            ("scenario", hostile),
            ("fail-on", hostile),
            ("id", hostile),
            ("out", hostile),
        ]);

        let expected =
            ["out", "id", "package", "scenario", "fail-on"].map(|flag| format!("--{flag}={hostile}"));
        assert_eq!(arguments.unwrap(), [&["run".to_owned()], &expected[..]].concat(), "{output:?}");
        assert_eq!(output.status.code(), Some(42), "the program's exit code is the step's");
        assert!(!recorder.directory.path().join("pwned").exists(), "{hostile} was executed");
    }
    let (_, arguments) = recorder.run(&[("package", "two\nlines"), ("scenario", "first one\n\n--second\n")]);
    let arguments = arguments.unwrap();
    assert_eq!(arguments[3..], ["--package=two\nlines", "--scenario=first one", "--scenario=--second"]);
}

#[test]
fn without_inputs_the_gate_runs_with_its_defaults() {
    let (output, arguments) = Recorder::new().run(&[]);

    assert_eq!(arguments.unwrap(), ["run", "--out=target/loadgate", "--id=loadgate"], "{output:?}");
}

#[test]
fn switches_are_true_or_false_and_nothing_else() {
    let recorder = Recorder::new();

    let (_, on) = recorder.run(&[("save-baseline", "true"), ("comment", "true")]);
    let (_, off) = recorder.run(&[("save-baseline", "false"), ("comment", "false")]);
    assert_eq!(on.unwrap()[3..], ["--save-baseline"]);
    assert_eq!(off.unwrap()[3..], ["--no-comment"]);

    for (input, wrong) in [("save-baseline", "yes"), ("comment", "True"), ("comment", "1\n::error::forged")] {
        let (output, arguments) = recorder.run(&[(input, wrong)]);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.status.code(), arguments), (Some(2), None), "{input}: {wrong}");
        assert!(stdout.contains(input) && !stdout.contains("forged"), "{stdout}");
    }
}

#[test]
fn the_working_directory_may_have_any_name_but_must_be_there() {
    let recorder = Recorder::new();
    for name in ["-P", "a b", "$(pwd)"] {
        let directory = recorder.directory.path().join(name);
        std::fs::create_dir(&directory).unwrap();

        let (output, _) = recorder.run(&[("working-directory", name)]);

        let place = std::fs::read_to_string(recorder.record().with_extension("pwd"));
        assert_eq!(Path::new(place.unwrap().trim_end()), directory.canonicalize().unwrap(), "{output:?}");
    }
    let (output, arguments) = recorder.run(&[("working-directory", "nowhere")]);
    assert_eq!((output.status.code(), arguments), (Some(2), None), "{output:?}");
}

#[test]
fn a_value_that_looks_like_a_flag_is_taken_for_a_value() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("loadgate.toml"), short_gate("")).unwrap();

    let ended = Loadgate::new(directory.path()).arguments(["run", "--scenario=--no-comment"]).run().expect(2);

    assert!(ended.stderr.contains("no scenario named \"--no-comment\""), "{}", ended.stderr);
}

/// A repository that uses the action on a service of its own, for the emulator.
struct Caller {
    directory: tempfile::TempDir,
    wrkflw: PathBuf,
}

impl Caller {
    fn new(wrkflw: PathBuf) -> Self {
        let caller = Self { directory: tempfile::tempdir().unwrap(), wrkflw };
        let mut copy = Command::new("cp");
        copy.arg("-R").current_dir(parts::repository());
        copy.args(["action.yml", "action", "Cargo.toml", "Cargo.lock", "src", "benches"]);
        assert_success(&copy.arg(caller.directory.path()).output().unwrap());
        std::fs::create_dir_all(caller.directory.path().join(".github/workflows")).unwrap();
        caller
    }

    /// Runs the workflow and returns how it ended and what the step behind the action was told.
    ///
    /// The emulator does not know inputs with a hyphen in their names, so that none is used here.
    fn run(&self, gate: &str) -> (Output, Option<String>) {
        let root = self.directory.path();
        let told = root.join("told");
        let workflow = format!(
            "name: caller\non: push\njobs:\n  gate:\n    runs-on: ubuntu-latest\n    steps:\n\
             \x20     - uses: actions/checkout@v4\n\
             \x20     - uses: ./\n        id: gate\n        with:\n          out: the reports\n          comment: \"false\"\n\
             \x20     - env:\n          VERDICT: ${{{{ steps.gate.outputs.verdict }}}}\n\
             \x20         REPORT: ${{{{ steps.gate.outputs.report-json }}}}\n\
             \x20       run: test -f \"$REPORT\" && printf '%s %s' \"$VERDICT\" \"$REPORT\" >\"{}\"\n",
            told.display()
        );
        std::fs::write(root.join(".github/workflows/caller.yml"), workflow).unwrap();
        std::fs::write(root.join("loadgate.toml"), short_gate(gate)).unwrap();
        for arguments in [
            &["init", "-q"][..],
            &["add", "-A"],
            &["-c", "user.name=t", "-c", "user.email=t@example.test", "commit", "-q", "-m", "x"],
        ] {
            assert_success(&Command::new("git").args(arguments).current_dir(root).output().unwrap());
        }
        let output = Command::new("timeout")
            .args(["--kill-after=30", LONGEST_JOB])
            .arg(&self.wrkflw)
            .args(["run", "--runtime", "emulation", ".github/workflows/caller.yml"])
            .current_dir(root)
            // What is built is not what is tested here: it is kept, and made as fast as can be.
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("action"))
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .output()
            .unwrap();
        (output, std::fs::read_to_string(told).ok())
    }
}

#[test]
fn a_job_gets_the_verdict_and_fails_with_the_gate() {
    if !has_time_for("LOADGATE_TEST_ACTION", "building the action") {
        return;
    }
    let Some(wrkflw) = parts::require("wrkflw") else { return };
    let caller = Caller::new(wrkflw);

    let (blocked, told) = caller.run("[gate]\nbudget = { p50 = \"1us\" }");
    assert!(!blocked.status.success(), "{blocked:?}");
    assert_eq!(told, None, "the job went on behind a gate that said no");
    assert!(String::from_utf8_lossy(&blocked.stderr).contains("blocks with exit code 100"), "{blocked:?}");

    let (passed, told) = caller.run("");
    assert_success(&passed);
    let told = told.unwrap_or_else(|| panic!("the step behind the gate did not run: {passed:?}"));
    assert!(told.starts_with("no-baseline ") && told.ends_with("the reports/report.json"), "{told}");
}
