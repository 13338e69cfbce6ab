//! Where load goes: nginx or the truth server on the servers' processor, on loopback or, for TLS, in a network of its
//! own with a preview's name.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;

use crate::forge::{Forge, HEAD_SHA};
use crate::namespace::Namespace;
use crate::process::{Processor, is_installed, pinned};
use crate::table::Line;
use crate::truth_server::{Plan, serve};
use crate::{Failure, Outcome, parts};

/// The host of the preview.
pub(crate) const PREVIEW: &str = "pr-1.preview.example.test";

/// Where the preview listens, in its namespace.
pub(crate) const PREVIEW_ADDRESS: &str = "10.77.0.10";

/// The file in the project that holds the root certificate of the preview.
pub(crate) const ROOT: &str = "root.pem";

/// The argument that makes this program a truth server.
pub(crate) const TRUTH_SERVER: &str = "--truth-server";

/// The argument that makes this program a busy neighbour.
pub(crate) const NEIGHBOUR: &str = "--neighbour";

/// Where load goes and how ours is told so.
pub(crate) struct Site {
    /// What peers are given.
    pub(crate) url: String,
    /// The network namespace, if it is not this one.
    pub(crate) inside: Option<String>,
    /// Our project.
    pub(crate) project: tempfile::TempDir,
    /// What our configuration holds beside the scenario.
    pub(crate) policy: String,
    /// Our further arguments.
    pub(crate) arguments: Vec<String>,
    /// Our environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Site {
    /// Describes a service on a port of loopback.
    pub(crate) fn on_loopback(port: u16) -> Outcome<Self> {
        Ok(Self {
            url: format!("http://127.0.0.1:{port}/"),
            inside: None,
            project: tempfile::tempdir()?,
            policy: String::new(),
            arguments: vec!["--local".to_owned(), port.to_string()],
            variables: Vec::new(),
        })
    }

    /// Describes the preview of a pull request in a namespace, and writes what ours needs to find it; `forge` is asked
    /// about the pull request.
    fn of_preview(namespace: &Namespace, forge: &Forge) -> Outcome<Self> {
        let project = tempfile::tempdir()?;
        let url = format!("https://{PREVIEW}/");
        let repository = json!({"full_name": "acme/shop"});
        let pull_request = json!({
            "number": 1,
            "state": "open",
            "head": {"sha": HEAD_SHA, "ref": "faster", "repo": repository},
            "base": {"sha": "f".repeat(40), "ref": "main", "repo": repository},
        });
        let event = json!({
            "action": "synchronize", "number": 1, "pull_request": pull_request, "repository": repository,
        });
        let event_path = project.path().join("event.json");
        fs::write(&event_path, event.to_string())?;
        Ok(Self {
            inside: Some(namespace.name().to_owned()),
            policy: format!(
                "[target]\npreview = ['pr-{{pr}}.preview.example.test']\nproduction = ['www.example.test']\n\
                 networks = ['10.77.0.0/16']\nroots = ['{ROOT}']\nforge = '{}'\n\
                 [limits]\nrate = 1000000\nconnections = 10000\nrequests = 1000000000\nbytes = '900GiB'\n",
                forge.url()
            ),
            arguments: Vec::new(),
            variables: vec![
                ("CI", "true".to_owned()),
                ("GITHUB_ACTIONS", "true".to_owned()),
                ("GITHUB_EVENT_NAME", "pull_request".to_owned()),
                ("GITHUB_EVENT_PATH", event_path.display().to_string()),
                ("GITHUB_REPOSITORY", "acme/shop".to_owned()),
                ("GITHUB_BASE_REF", "main".to_owned()),
                ("GITHUB_API_URL", forge.url()),
                ("GITHUB_TOKEN", "ghs_a_token_of_the_job".to_owned()),
                ("LOADGATE_PREVIEW_URL", url.clone()),
            ],
            url,
            project,
        })
    }
}

/// The socket in the prefix of nginx on which it says how many requests it has had.
const STATUS: &str = "status.sock";

/// An nginx with one worker that answers every request at once, stopped when dropped.
pub(crate) struct Nginx {
    /// Where it is.
    pub(crate) site: Site,
    /// The port that it listens on.
    pub(crate) port: u16,
    prefix: tempfile::TempDir,
    /// Kept for as long as the server is in it.
    _surroundings: Option<(Namespace, Forge)>,
}

impl Nginx {
    /// Starts one on loopback, in the clear; `None` without nginx.
    pub(crate) fn plain() -> Outcome<Option<Self>> {
        if !is_installed("nginx") {
            return Ok(None);
        }
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        Self::start(Site::on_loopback(port)?, port, None, &format!("listen 127.0.0.1:{port} backlog=4096;"))
            .map(Some)
    }

    /// Starts one that speaks TLS, and HTTP/2 with who wants it; `None` where there is no nginx or no namespace.
    pub(crate) fn with_tls() -> Outcome<Option<Self>> {
        if !is_installed("nginx") {
            return Ok(None);
        }
        let names = [(PREVIEW, PREVIEW_ADDRESS)];
        let Some(namespace) = Namespace::make(&[PREVIEW_ADDRESS], &names) else { return Ok(None) };
        let forge = Forge::start(&namespace);
        let site = Site::of_preview(&namespace, &forge)?;
        write_certificates(site.project.path())?;
        let root = site.project.path().display();
        let listen = format!(
            "listen {PREVIEW_ADDRESS}:443 ssl http2; ssl_certificate {root}/server.pem; \
             ssl_certificate_key {root}/server.key;"
        );
        Self::start(site, 443, Some((namespace, forge)), &listen).map(Some)
    }

    fn start(site: Site, port: u16, surroundings: Option<(Namespace, Forge)>, listen: &str) -> Outcome<Self> {
        let prefix = tempfile::tempdir()?;
        let status = prefix.path().join(STATUS);
        let status = status.display();
        let configuration = format!(
            "worker_processes 1; pid nginx.pid; error_log /dev/null crit; worker_rlimit_nofile 16384;
             events {{ worker_connections 12000; }}
             http {{
                 access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
                 server {{ {listen} location / {{ return 200 'hello'; }} }}
                 server {{ listen unix:{status}; location / {{ stub_status; }} }}
             }}"
        );
        fs::write(prefix.path().join("nginx.conf"), configuration)?;
        let nginx = Self { site, port, prefix, _surroundings: surroundings };
        // It returns when it listens: it goes to the background then.
        let output = nginx.command().output()?;
        if output.status.success() {
            return Ok(nginx);
        }
        Err(Failure::Server(format!("nginx did not start: {}", String::from_utf8_lossy(&output.stderr))))
    }

    /// Does some work and returns how many requests came meanwhile.
    pub(crate) fn requests_of<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, u64)> {
        let before = self.requests()?;
        let done = work()?;
        // The second question is one as well.
        Ok((done, self.requests()?.saturating_sub(before + 1)))
    }

    /// Asks how many requests there have been, this one included.
    fn requests(&self) -> Outcome<u64> {
        let mut socket = UnixStream::connect(self.prefix.path().join(STATUS))?;
        socket.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        // A line of three numbers: connections accepted, connections handled, requests.
        let (_, numbers) = answer.split_once("requests\n").unwrap_or_default();
        let requests = numbers.split_whitespace().nth(2).and_then(|number| number.parse().ok());
        requests.ok_or_else(|| Failure::Server(format!("nginx said of its requests: {answer}")))
    }

    fn command(&self) -> Command {
        let mut command = pinned(Processor::Servers, self.site.inside.as_deref(), "nginx");
        command.args(["-e", "/dev/null", "-c", "nginx.conf", "-p"]).arg(self.prefix.path());
        command
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A server that is gone already needs no stopping.
        let _ = self.command().args(["-s", "stop"]).stderr(Stdio::null()).status();
    }
}

/// Writes a root certificate and, signed by it, the server's.
fn write_certificates(directory: &Path) -> Outcome<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([PREVIEW.to_owned()])?.signed_by(&key, &root)?;
    fs::write(directory.join(ROOT), root.pem())?;
    fs::write(directory.join("server.pem"), certificate.pem())?;
    fs::write(directory.join("server.key"), key.serialize_pem())?;
    Ok(())
}

/// A truth server in a process of its own.
pub(crate) struct TruthServer {
    /// Where it is.
    pub(crate) site: Site,
    child: Child,
    /// Closed to end it.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl TruthServer {
    /// Starts one with a plan, named as [`serve_truth`] reads it.
    pub(crate) fn start(plan: &str) -> Outcome<Self> {
        let program = std::env::current_exe()?;
        let mut command = pinned(Processor::Servers, None, &program.display().to_string());
        let mut child =
            command.args([TRUTH_SERVER, plan]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Server("the truth server has no pipes".to_owned()));
        };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| Failure::Server(format!("no port in {line:?}")))?;
        Ok(Self { site: Site::on_loopback(port)?, child, input: Some(input), output })
    }

    /// Ends it and returns its true service times in microseconds, in the order of the answers.
    pub(crate) fn finish(mut self) -> Outcome<Vec<f64>> {
        drop(self.input.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        let unexpected = |_| Failure::Server("a time that is none".to_owned());
        text.lines().map(|line| line.parse::<f64>().map_err(unexpected)).collect()
    }
}

impl Drop for TruthServer {
    fn drop(&mut self) {
        drop(self.input.take());
        // It has more to say than a pipe holds, and would wait for ever for somebody to listen.
        let _ = std::io::copy(&mut self.output, &mut std::io::sink());
        let _ = self.child.wait();
    }
}

/// A program that keeps the clients' processor busy until it is dropped.
pub(crate) struct Neighbour(Child);

impl Neighbour {
    /// Starts it.
    pub(crate) fn start() -> Outcome<Self> {
        let program = std::env::current_exe()?;
        let mut command = pinned(Processor::Clients, None, &program.display().to_string());
        // Without its input it would never end if this program were killed.
        Ok(Self(command.arg(NEIGHBOUR).stdin(Stdio::piped()).spawn()?))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Is the neighbour: keeps a processor busy until its input ends.
pub(crate) fn keep_busy() {
    let is_over = end_of_input();
    while !is_over.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// Returns a flag that is raised when the standard input ends.
fn end_of_input() -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        flag.store(true, Ordering::Relaxed);
    });
    is_over
}

/// Is the truth server: prints its port, serves until its input ends, prints the true service times.
#[expect(clippy::print_stdout, reason = "the other process reads it")]
pub(crate) fn serve_truth(plan: &str) -> Outcome<()> {
    let plan = match plan {
        "log-normal" => Plan::LogNormal { median: Duration::from_millis(1), sigma: 0.5, seed: 7 },
        "stall" => Plan::Stall {
            service_time: Duration::from_micros(500),
            every: Duration::from_secs(5),
            lasts: Duration::from_secs(1),
        },
        other => return Err(Failure::Server(format!("no plan {other}"))),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    let is_over = end_of_input();
    let taken = serve(listener, plan, || is_over.load(Ordering::Relaxed))?;
    let lines: String = taken.iter().map(|time| format!("{:.3}\n", time.as_secs_f64() * 1e6)).collect();
    print!("{lines}");
    Ok(())
}

/// Says that a part of the bench is left out.
pub(crate) fn leave_out(what: &str) {
    parts::tell(what);
}

/// Says that some rows are left out because something is not here, and gives none.
pub(crate) fn missing(what: &str) -> Outcome<Vec<Line>> {
    leave_out(&format!("{what}: not here"));
    Ok(Vec::new())
}
