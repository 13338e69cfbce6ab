//! The binary as a test runs it: a scrubbed environment, a directory of its own, and what came out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// Measuring invocations take turns: beside another one each would find the machine too busy to be judged.
static MEASURING: Mutex<()> = Mutex::new(());

/// One invocation of the built binary.
pub(crate) struct Loadgate {
    command: Command,
}

/// What an invocation left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Loadgate {
    /// Prepares an invocation in a directory, with an environment that holds nothing of this machine's CI.
    pub(crate) fn new(directory: &Path) -> Self {
        let mut command = Command::new(binary());
        command.current_dir(directory).env_clear().stdin(Stdio::null());
        for kept in
            ["PATH", "HOME", "TMPDIR", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"]
        {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        Self { command }
    }

    pub(crate) fn arguments<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs the invocation inside a network namespace.
    pub(crate) fn inside(mut self, namespace: &str) -> Self {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", namespace]).arg(self.command.get_program());
        inside.args(self.command.get_args()).env_clear().stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        if let Some(directory) = self.command.get_current_dir() {
            inside.current_dir(directory);
        }
        self.command = inside;
        self
    }

    /// Runs the invocation under `strace`, which writes the calls of a kind to a file.
    pub(crate) fn traced(mut self, strace: &Path, calls: &str, log: &Path) -> Self {
        let mut traced = Command::new(strace);
        traced
            .args(["-f", "-qq", "-e", &format!("trace={calls}"), "-o"])
            .arg(log)
            .arg(self.command.get_program());
        traced.args(self.command.get_args()).env_clear().stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                traced.env(name, value);
            }
        }
        if let Some(directory) = self.command.get_current_dir() {
            traced.current_dir(directory);
        }
        self.command = traced;
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ended {
        let measures = self.command.get_args().any(|argument| argument == "run" || argument == "demo");
        // A test that failed while it measured leaves nothing behind that could harm the next one.
        let _turn = measures.then(|| MEASURING.lock().unwrap_or_else(PoisonError::into_inner));
        Ended::of(&self.command.output().expect("the binary runs"))
    }

    /// Starts it and leaves it running.
    pub(crate) fn start(mut self) -> std::process::Child {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails with everything that was said, unless the exit code is the expected one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Commits files as the tip of the base branch, as a checkout of its whole history would have it.
pub(crate) fn merge_into_base(directory: &Path, files: &[&str]) {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=a test",
            "-c",
            "user.email=test@example.test",
            "-c",
            "commit.gpgsign=false",
        ]);
        let status = command.args(arguments).current_dir(directory).status().unwrap();
        assert!(status.success(), "git {arguments:?}");
    };
    if !directory.join(".git").exists() {
        git(&["init", "--quiet", "--initial-branch=main"]);
    }
    git(&[&["add", "--force", "--"], files].concat());
    git(&["commit", "--quiet", "--allow-empty", "--message=the policy"]);
    git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
}

/// Returns the built binary.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_cargo-loadgate"))
}

/// Reads a JSON file.
#[track_caller]
pub(crate) fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A `loadgate.toml` that gates the demo service with a short load; the closed loop holds still on busy machines.
pub(crate) fn demo_service_configuration() -> String {
    format!(
        r#"
[service]
run = ["{}", "demo-service"]
ready = "/healthz"

[[scenario]]
name = "products"
path = "/products"
profile = {{ connections = 8, duration = "2s", warm-up = "300ms", rounds = 4, timeout = "2s" }}

[gate]
metrics = ["p50"]
max-regression = "15%"
confirm-after = "100ms"
"#,
        binary().display()
    )
}
