//! `run --local`: a loopback port may be a tunnel, so that the process which listens must be one that is none.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::command::{Loadgate, json};
use crate::nginx::{free_port, serve};
use crate::parts;

const CONFIGURATION: &str = "[[scenario]]\nname = \"home\"\npath = \"/\"\n\
    profile = { connections = 2, duration = \"1s\", warm-up = \"200ms\", timeout = \"2s\" }";

/// Serves HTTP on loopback and says on which port.
const SERVER: &str = "import http.server, functools\n\
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n\
    print(server.server_port, flush=True)\n\
    server.serve_forever()";

/// A server under a name of the test's choice, gone when the value is dropped.
struct Named {
    child: Child,
    port: u16,
}

impl Named {
    /// Starts a real server whose program file has this name.
    fn start(directory: &Path, name: &str) -> Option<Self> {
        let python = parts::require("python3")?;
        let real = Command::new(python).args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
        let real = String::from_utf8(real.stdout).unwrap();
        let program = directory.join(name);
        std::fs::copy(Path::new(real.trim()), &program).unwrap();
        let home =
            Command::new(real.trim()).args(["-c", "import sys; print(sys.base_prefix)"]).output().unwrap();
        let mut child = Command::new(program)
            .args(["-c", SERVER])
            .env("PYTHONHOME", String::from_utf8(home.stdout).unwrap().trim())
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, port: line.trim().parse().unwrap() })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn project() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("loadgate.toml"), CONFIGURATION).unwrap();
    directory
}

fn run_local(project: &Path, port: u16) -> Loadgate {
    Loadgate::new(project).arguments(["run", "--local", &port.to_string()])
}

#[test]
fn a_forwarder_on_the_port_is_refused_and_the_same_server_by_another_name_is_loaded() {
    let project = project();
    let Some(tunnel) = Named::start(project.path(), "ssh") else { return };
    let service = Named::start(project.path(), "shop").unwrap();

    let refused = run_local(project.path(), tunnel.port).run().expect(77);
    assert!(refused.stderr.contains("forwarder") && refused.stderr.contains("ssh"), "{}", refused.stderr);

    run_local(project.path(), service.port).run().expect(0);
    let receipt = json(&project.path().join("target/loadgate/receipt.json"));
    let line = receipt["layers"].as_array().unwrap().iter().find(|line| line["layer"] == "L8 proof").unwrap();
    assert_eq!(line["decision"], "proof");
    assert!(line["fact"].as_str().unwrap().contains("shop (process"), "{line}");
}

#[test]
fn a_run_connects_to_the_pinned_address_and_nowhere_else() {
    let Some(strace) = parts::require("strace") else { return };
    let project = project();
    let port = free_port();
    let server = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} }}");
    let Some(_nginx) = serve(&server, port) else { return };
    let log = project.path().join("strace.log");

    run_local(project.path(), port).traced(&strace, "connect,sendto,sendmsg", &log).run().expect(0);

    let calls = std::fs::read_to_string(log).unwrap();
    let reached: BTreeSet<String> = calls.lines().filter_map(internet_address).collect();
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), [format!("127.0.0.1:{port}")], "{calls}");
}

/// Returns the Internet address that a traced call names; local sockets and connected ones name none.
pub(crate) fn internet_address(call: &str) -> Option<String> {
    let port = between(call, "htons(", ")")?;
    let host =
        between(call, "inet_addr(\"", "\"").or_else(|| between(call, "inet_pton(AF_INET6, \"", "\""))?;
    Some(format!("{host}:{port}"))
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    text.split_once(start)?.1.split_once(end).map(|(inside, _)| inside)
}
