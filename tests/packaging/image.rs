//! The container image: the real Dockerfile, checked, built and used as a job of another CI system would use it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use crate::command::binary;
use crate::{has_time_for, parts};

const BINARY: &str = "/usr/local/bin/cargo-loadgate";

/// The user that the image runs as.
const IMAGE_USER: u32 = 10001;

/// Seconds after which a build has hung: it makes two base images and compiles everything with optimisations.
const LONGEST_BUILD: &str = "1800";

fn image(arguments: &[&str]) -> Output {
    let script = parts::repository().join("tests/support/image.sh");
    Command::new("timeout")
        .args(["--kill-after=30", LONGEST_BUILD, "bash"])
        .arg(script)
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs a command in the image, as its user, and returns what it printed.
#[track_caller]
fn run_in_image(command: &[&str]) -> String {
    let output = image(&[&["run"], command].concat());
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_dockerfile_has_no_findings() {
    let Some(checkers) = parts::require("checkers") else { return };

    let output =
        Command::new(checkers.join("hadolint")).arg(parts::repository().join("Dockerfile")).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_image_holds_the_binary_alone_and_loads_a_service_as_nobody_in_particular() {
    if !has_time_for("LOADGATE_TEST_IMAGE", "building the image") || parts::require("image").is_none() {
        return;
    }
    let built = image(&["build", parts::repository().to_str().unwrap()]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let described: serde_json::Value = serde_json::from_slice(&image(&["inspect"]).stdout).unwrap();
    let configuration = &described["OCIv1"]["config"];
    assert_eq!(configuration["User"], IMAGE_USER.to_string(), "{configuration}");
    assert_eq!(configuration["Entrypoint"], serde_json::json!([BINARY]), "{configuration}");

    let surroundings = run_in_image(&[
        "sh",
        "-c",
        "id -u; command -v cargo rustc gcc; test -r /etc/ssl/certs/ca-certificates.crt && git --version",
    ]);
    let lines: Vec<&str> = surroundings.lines().collect();
    assert!(
        lines.len() == 2 && lines[0] == IMAGE_USER.to_string() && lines[1].starts_with("git version"),
        "{lines:?}"
    );

    let version = run_in_image(&[BINARY, "--version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let command = configuration["Cmd"][0].as_str().unwrap();
    assert!(run_in_image(&[BINARY, command]).contains("Usage"), "the image does nothing by itself");
    assert_a_service_is_loaded();
}

/// The image shares this machine's network and its processes, so that a service on loopback is there too, and who
/// listens can be seen where it is the same user.
fn assert_a_service_is_loaded() {
    let stranger = DemoService::start_as(0);
    let own = DemoService::start_as(IMAGE_USER);

    let refused = image(&["run", BINARY, "target", "--local", &stranger.port, "--offline"]);
    let asked = run_in_image(&[BINARY, "target", "--local", &own.port, "--offline"]);
    let told = run_in_image(&[BINARY, "run", "--local", &own.port, "-c", "4", "-d", "1s"]);

    let refusal = String::from_utf8_lossy(&refused.stdout);
    assert!(refusal.contains("belongs to user 0") && refusal.contains("REFUSED by L8 proof"), "{refused:?}");
    assert!(asked.contains("ALLOWED"), "{asked}");
    assert!(told.contains("2xx (0 % errors)"), "{told}");
}

/// The embedded service, outside of the image; gone when the value is dropped.
struct DemoService {
    child: Child,
    port: String,
    /// Where a copy of the binary is that any user may run.
    _directory: tempfile::TempDir,
}

impl DemoService {
    /// Starts the service as a user, on a port that it chooses and tells.
    fn start_as(user: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let program = directory.path().join("demo");
        fs::copy(binary(), &program).unwrap();
        let mut child = Command::new(program)
            .arg("demo-service")
            .env_remove("PORT")
            .current_dir(directory.path())
            .uid(user)
            .gid(user)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim_end().rsplit(':').next().unwrap().to_owned();
        assert!(port.parse::<u16>().is_ok(), "{line}");
        Self { child, port, _directory: directory }
    }
}

impl Drop for DemoService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
