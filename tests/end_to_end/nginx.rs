//! A real nginx for the tests: its own prefix and port, gone when the value is dropped.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Ended, Loadgate, json};
use crate::parts;

/// A running nginx.
pub(crate) struct Nginx {
    child: Child,
    directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts nginx with server blocks; `inside` names a network namespace.
    pub(crate) fn start(servers: &str, inside: Option<&str>) -> Option<Self> {
        let program = parts::require("nginx")?;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let configuration = format!(
            "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log; events {{}}\n\
             http {{ access_log {0}/access.log; client_body_temp_path {0}/b; proxy_temp_path {0}/p; \
             fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; keepalive_requests 1000000;\n{servers}\n}}",
            root.display()
        );
        std::fs::write(root.join("nginx.conf"), configuration).unwrap();
        let mut command = match inside {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        };
        let child = command
            .args(["-p", &root.display().to_string(), "-c", &root.join("nginx.conf").display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self { child, directory })
    }

    /// Waits until the access log or the pid file shows that nginx is up.
    pub(crate) fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.directory.path().join("pid").exists() {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut words = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
                panic!("nginx ended: {status}: {words}");
            }
            assert!(Instant::now() < deadline, "nginx did not start");
            std::thread::yield_now();
        }
    }

    /// Returns the lines of the access log.
    pub(crate) fn access_log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts an nginx that answers on a port of loopback, and waits until it listens.
pub(crate) fn serve(servers: &str, port: u16) -> Option<Nginx> {
    let mut nginx = Nginx::start(servers, None)?;
    nginx.wait();
    wait_for(port);
    Some(nginx)
}

fn wait_for(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {port}");
        std::thread::yield_now();
    }
}

fn run(directory: &Path, port: u16, extra: &[&str]) -> Ended {
    let port = port.to_string();
    let arguments = ["run", "--local", &port, "-d", "1s"].into_iter().chain(extra.iter().copied());
    Loadgate::new(directory).arguments(arguments).run()
}

fn measure(directory: &Path, port: u16, extra: &[&str]) -> serde_json::Value {
    run(directory, port, extra).expect(0);
    json(&directory.join("target/loadgate/report.json"))
}

#[test]
fn a_local_nginx_is_loaded_without_any_file() {
    let port = free_port();
    let servers = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} }}");
    let Some(nginx) = serve(&servers, port) else { return };
    let directory = tempfile::tempdir().unwrap();

    let report = measure(directory.path(), port, &["-c", "8", "-H", "x-probe: yes"]);

    let scenario = &report["scenarios"][0];
    let answered = scenario["outcomes"]["2xx"].as_u64().unwrap();
    assert!(answered > 1_000, "{report}");
    assert_eq!(scenario["latency"]["count"].as_u64(), Some(answered), "{report}");
    assert_eq!(report["verdict"], "no-baseline");
    let requests = u64::try_from(nginx.access_log().lines().count()).unwrap();
    assert!(requests >= answered, "nginx saw {requests}, the report says {answered}");
}

#[test]
fn the_open_loop_keeps_its_rate_and_counts_every_request() {
    let port = free_port();
    let servers = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} }}");
    let Some(_nginx) = serve(&servers, port) else { return };
    let directory = tempfile::tempdir().unwrap();

    let ended = run(directory.path(), port, &["-R", "500"]);

    // On a machine that is busy with other tests the generator may be late: then the run is invalid, and says so. What
    // it sent and counted is the same.
    if !ended.stdout.contains("the load generator was the bottleneck") {
        ended.expect(0);
    }
    let report = json(&directory.path().join("target/loadgate/report.json"));
    let outcomes = report["scenarios"][0]["outcomes"].as_object().unwrap();
    let total: u64 = outcomes.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(total, 500, "{outcomes:?}");
}

#[test]
fn redirects_are_recorded_and_never_followed() {
    let (port, elsewhere) = (free_port(), free_port());
    let servers = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ return 302 http://127.0.0.1:{elsewhere}/; }} }}\n\
         server {{ listen 127.0.0.1:{elsewhere}; location / {{ return 200 'production'; }} }}"
    );
    let Some(nginx) = serve(&servers, port) else { return };
    let directory = tempfile::tempdir().unwrap();

    let report = measure(directory.path(), port, &["-c", "2"]);

    let outcomes = &report["scenarios"][0]["outcomes"];
    assert!(outcomes["3xx"].as_u64().unwrap() > 0, "{outcomes}");
    assert!(!nginx.access_log().contains("\" 200 "), "something followed the redirect");
}

#[test]
fn a_server_that_only_fails_never_passes() {
    let port = free_port();
    let servers = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 503; }} }}");
    let Some(_nginx) = serve(&servers, port) else { return };
    let directory = tempfile::tempdir().unwrap();

    let ended = Loadgate::new(directory.path())
        .arguments(["run", "--local", &port.to_string(), "-d", "1s", "-c", "2"])
        .run()
        .expect(101);

    assert!(ended.stdout.contains("the target was unhealthy"), "{}", ended.stdout);
}

/// A certificate for 127.0.0.1 that is its own root, and its key, in files.
fn certificate(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(directory.join("server.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("server.key"), made.signing_key.serialize_pem()).unwrap();
}

/// Returns a server that speaks TLS with that certificate, and HTTP/2 where it is asked to.
fn tls_server(directory: &Path, port: u16) -> String {
    let root = directory.display();
    format!(
        "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {root}/server.pem; \
         ssl_certificate_key {root}/server.key; location / {{ return 200 'ok'; }} }}"
    )
}

fn configure(directory: &Path, target: &str, protocol: &str) {
    let configuration = format!(
        "{target}\n[[scenario]]\nname = \"many\"\nprotocol = \"{protocol}\"\n\
         profile = {{ connections = 2, warm-up = \"0s\" }}\n"
    );
    std::fs::write(directory.join("loadgate.toml"), configuration).unwrap();
}

fn assert_only_good_answers(report: &serde_json::Value, at_least: u64) -> u64 {
    let outcomes = report["scenarios"][0]["outcomes"].as_object().unwrap();
    let answered = outcomes["2xx"].as_u64().unwrap();
    assert!(answered >= at_least, "{outcomes:?}");
    for broken in ["connect", "read", "write", "protocol", "timeout"] {
        assert_eq!(outcomes[broken].as_u64(), Some(0), "{outcomes:?}");
    }
    answered
}

#[test]
fn http2_is_spoken_with_prior_knowledge_and_goodbyes_cost_nothing() {
    let port = free_port();
    let servers = format!(
        "server {{ listen 127.0.0.1:{port} http2; keepalive_requests 100; location / {{ return 200 'ok'; }} }}"
    );
    let Some(nginx) = serve(&servers, port) else { return };
    let directory = tempfile::tempdir().unwrap();
    configure(directory.path(), "", "h2");

    let report = measure(directory.path(), port, &[]);

    let answered = assert_only_good_answers(&report, 300);
    let profile = report["scenarios"][0]["profile"].as_str().unwrap();
    assert!(profile.ends_with("HTTP/2 with 10 streams a connection"), "{profile}");
    let log = nginx.access_log();
    assert!(log.matches("HTTP/2.0\" 200").count() as u64 >= answered);
    assert!(!log.contains("HTTP/1.1"));
}

#[test]
fn tls_agrees_on_the_protocol_that_the_scenario_wants() {
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path());
    let Some(nginx) = serve(&tls_server(directory.path(), port), port) else { return };

    for (protocol, logged) in [("http/1.1", "HTTP/1.1\""), ("h2", "HTTP/2.0\""), ("auto", "HTTP/2.0\"")] {
        configure(directory.path(), "[target]\nroots = [\"server.pem\"]\nlocal-tls = true", protocol);
        let before = nginx.access_log().matches(logged).count();

        let report = measure(directory.path(), port, &[]);

        let answered = assert_only_good_answers(&report, 100);
        let more = nginx.access_log().matches(logged).count() - before;
        assert!(more as u64 >= answered, "{protocol}: {more} of {answered}");
    }
}

#[test]
fn a_local_certificate_of_an_unknown_root_is_refused() {
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path());
    let Some(nginx) = serve(&tls_server(directory.path(), port), port) else { return };
    configure(directory.path(), "[target]\nlocal-tls = true", "h2");

    let ended =
        Loadgate::new(directory.path()).arguments(["run", "--local", &port.to_string(), "-d", "1s"]).run();

    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(!nginx.access_log().contains("\" 200 "), "somebody took the certificate");
}
