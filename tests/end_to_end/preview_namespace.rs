//! `run` against a remote preview: real nginx with TLS next to a "production", in a network that holds nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use crate::command::{Ended, Loadgate, json, merge_into_base};
use crate::forge::{DEPLOYMENT, Forge, HEAD_SHA};
use crate::namespace::Namespace;
use crate::nginx::Nginx;

pub(crate) const TOKEN: &str = "ghs_a_token_of_the_job";

pub(crate) const PREVIEW_URL: &str = "https://pr-1.preview.example.test/";

const PREVIEW: &str = "pr-1.preview.example.test";
const PRODUCTION: &str = "www.example.test";
const PREVIEW_ADDRESS: &str = "10.77.0.10";
const PRODUCTION_ADDRESS: &str = "10.77.0.20";

/// A closed loop is never late, so that a busy machine makes no run invalid.
const SCENARIO: &str = r#"
[[scenario]]
name = "home"
path = "/"
profile = { connections = 4, duration = "1s", warm-up = "200ms", timeout = "2s" }
"#;

/// A project whose preview and production run in a network of their own.
pub(crate) struct Stage {
    pub(crate) project: tempfile::TempDir,
    pub(crate) namespace: Namespace,
    pub(crate) forge: Forge,
    preview: Nginx,
    production: Nginx,
}

impl Stage {
    /// Sets everything up; `location` is what the preview does, in nginx's words.
    pub(crate) fn set(location: &str) -> Option<Self> {
        let names = [
            (PREVIEW, PREVIEW_ADDRESS),
            (PRODUCTION, PRODUCTION_ADDRESS),
            ("example.test", PRODUCTION_ADDRESS),
            ("pr-2.preview.example.test", "127.0.0.1"),
            ("pr-3.preview.example.test", "169.254.169.254"),
            ("pr-4.preview.example.test", "93.184.215.14"),
            ("pr-5.preview.example.test", "10.78.0.1"),
        ];
        let addresses =
            [PREVIEW_ADDRESS, PRODUCTION_ADDRESS, "169.254.169.254", "93.184.215.14", "10.78.0.1"];
        let namespace = Namespace::make(&addresses, &names)?;
        let project = tempfile::tempdir().unwrap();
        write_certificates(project.path());
        let server = |address: &str, name: &str, location: &str| {
            format!(
                "server {{ listen {address}:443 ssl; listen {address}:80; \
                 ssl_certificate {0}/{name}.pem; ssl_certificate_key {0}/{name}.key; \
                 location / {{ {location} }} }}",
                project.path().display()
            )
        };
        // The preview's server also has the addresses that must be refused: what went there would be in its log.
        let preview_servers: Vec<String> =
            [PREVIEW_ADDRESS, "127.0.0.1", "169.254.169.254", "93.184.215.14", "10.78.0.1"]
                .map(|address| server(address, PREVIEW, location))
                .into();
        let mut preview = Nginx::start(&preview_servers.join("\n"), Some(namespace.name()))?;
        let production_server = server(PRODUCTION_ADDRESS, PRODUCTION, "return 200 'production';");
        let mut production = Nginx::start(&production_server, Some(namespace.name()))?;
        preview.wait();
        production.wait();
        let forge = Forge::start(&namespace);
        let stage = Self { project, namespace, forge, preview, production };
        stage.configure("roots = [\"root.pem\"]", SCENARIO);
        stage.write_pull_request_event(1);
        Some(stage)
    }

    /// Writes the configuration and merges it into the base branch, where the guard looks for it.
    pub(crate) fn configure(&self, more_policy: &str, rest: &str) {
        self.propose(more_policy, rest);
        merge_into_base(self.project.path(), &["loadgate.toml", "root.pem"]);
    }

    /// Writes a configuration that only the pull request has.
    pub(crate) fn propose(&self, more_policy: &str, rest: &str) {
        let forge = self.forge.url();
        let configuration = format!(
            "[target]\npreview = [\"pr-{{pr}}.preview.example.test\"]\n\
             production = [\"example.test\", \"{PRODUCTION}\"]\nnetworks = [\"10.77.0.0/16\"]\nforge = \"{forge}\"\n{more_policy}\n{rest}"
        );
        std::fs::write(self.project.path().join("loadgate.toml"), configuration).unwrap();
    }

    pub(crate) fn write_event(&self, payload: &Value) {
        std::fs::write(self.project.path().join("event.json"), payload.to_string()).unwrap();
    }

    fn write_pull_request_event(&self, number: u64) {
        self.write_event(&serde_json::json!({
            "action": "synchronize",
            "number": number,
            "pull_request": {
                "number": number,
                "state": "open",
                "head": {"sha": HEAD_SHA, "ref": "feat/cart", "repo": {"full_name": "acme/shop"}},
                "base": {"sha": "f".repeat(40), "ref": "main", "repo": {"full_name": "acme/shop"}},
            },
            "repository": {"full_name": "acme/shop"},
        }));
    }

    /// Prepares the binary in the job of an event, inside the network.
    pub(crate) fn job(&self, event: &str) -> Loadgate {
        Loadgate::new(self.project.path())
            .variable("CI", "true")
            .variable("GITHUB_ACTIONS", "true")
            .variable("GITHUB_EVENT_NAME", event)
            .variable("GITHUB_EVENT_PATH", self.project.path().join("event.json"))
            .variable("GITHUB_REPOSITORY", "acme/shop")
            .variable("GITHUB_BASE_REF", "main")
            .variable("GITHUB_API_URL", self.forge.url())
            .variable("GITHUB_TOKEN", TOKEN)
    }

    fn run_in_pull_request(&self, url: &str) -> Ended {
        let job = self.job("pull_request").variable("LOADGATE_PREVIEW_URL", url);
        self.run(job)
    }

    pub(crate) fn run(&self, job: Loadgate) -> Ended {
        job.arguments(["run"]).inside(self.namespace.name()).run()
    }

    /// Returns how many requests of the last run ended in a way.
    pub(crate) fn outcomes(&self, class: &str) -> u64 {
        let report = json(&self.project.path().join("target/loadgate/report.json"));
        report["scenarios"][0]["outcomes"][class].as_u64().unwrap_or(0)
    }

    pub(crate) fn requests_to_preview(&self) -> usize {
        self.preview.access_log().lines().count()
    }

    /// Returns how often a path was asked for.
    pub(crate) fn requests_to_preview_for(&self, path: &str) -> usize {
        self.preview.access_log().matches(&format!("GET {path} ")).count()
    }

    /// Fails if the preview was asked for anything but its marker.
    #[track_caller]
    pub(crate) fn assert_preview_was_only_asked_who_it_is(&self) {
        let log = self.preview.access_log();
        assert!(log.lines().all(|line| line.contains("GET /.well-known/loadgate")), "{log}");
    }

    /// Fails if production heard anything; a request of the test's own proves that its log would tell.
    #[track_caller]
    pub(crate) fn assert_production_heard_nothing(&self) {
        let before = self.production.access_log();
        assert_eq!(before, "", "production was asked");
        self.namespace.enter(|| {
            let mut stream = TcpStream::connect((PRODUCTION_ADDRESS, 80)).unwrap();
            stream.write_all(b"GET /control HTTP/1.0\r\n\r\n").unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        });
        let after = self.production.access_log();
        assert_eq!(after.lines().count(), 1, "the log of production does not work: {after:?}");
    }
}

/// Writes a root certificate and, signed by it, one certificate for each server.
fn write_certificates(directory: &Path) {
    let write = |name: String, text: String| std::fs::write(directory.join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("root.pem".into(), root.pem());
    for name in [PREVIEW, PRODUCTION] {
        let key = KeyPair::generate().unwrap();
        // Every pull request's preview has the one certificate, as behind a real ingress.
        let names = [name.to_owned(), "*.preview.example.test".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap();
        write(format!("{name}.pem"), certificate.pem());
        write(format!("{name}.key"), key.serialize_pem());
    }
}

pub(crate) fn deployment_event(reference: &str) -> Value {
    serde_json::json!({
        "action": "created",
        "deployment": {
            "id": DEPLOYMENT, "sha": HEAD_SHA, "ref": reference, "environment": "Preview",
            "production_environment": false, "transient_environment": true,
        },
        "deployment_status": {"state": "success", "environment_url": PREVIEW_URL, "target_url": ""},
        "repository": {"full_name": "acme/shop"},
    })
}

#[test]
fn the_preview_of_a_pull_request_is_loaded_over_tls_and_production_hears_nothing() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };

    stage.run_in_pull_request(PREVIEW_URL).expect(0);

    let report = json(&stage.project.path().join("target/loadgate/report.json"));
    assert_eq!(report["verdict"], "no-baseline", "{report}");
    let answered = stage.outcomes("2xx");
    assert!(answered > 50, "{report}");
    let heard = u64::try_from(stage.requests_to_preview()).unwrap();
    assert!(heard >= answered, "the preview heard {heard} requests, the report says {answered}");
    assert!(stage.preview.access_log().contains("GET / HTTP/1.1\" 200"), "{}", stage.preview.access_log());
    stage.assert_production_heard_nothing();
}

#[test]
fn the_preview_of_a_deployment_is_loaded_and_production_hears_nothing() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    stage.write_event(&deployment_event("refs/pull/1/head"));

    stage.run(stage.job("deployment_status")).expect(0);

    assert!(stage.outcomes("2xx") > 50);
    stage.assert_production_heard_nothing();
}

#[test]
fn a_preview_that_redirects_to_production_leads_nobody_there() {
    // A marker that leads to production is refused before any load; here only the pages do.
    let location =
        format!("return 302 https://{PRODUCTION}/; }} location = /.well-known/loadgate {{ return 404;");
    let Some(stage) = Stage::set(&location) else { return };

    let ended = stage.run_in_pull_request(PREVIEW_URL).expect(101);

    assert!(ended.stdout.contains("redirects to the production host"), "{}", ended.stdout);
    assert!(stage.outcomes("2xx") == 0 && stage.requests_to_preview() < 20, "{ended:?}");
    stage.assert_production_heard_nothing();
}

#[test]
fn a_preview_with_a_certificate_of_an_unknown_root_gets_no_request() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    stage.configure("", SCENARIO);

    let ended = stage.run_in_pull_request(PREVIEW_URL).expect(77);

    assert!(ended.stderr.contains("L8") && ended.stderr.contains("certificate"), "{}", ended.stderr);
    assert_eq!(stage.requests_to_preview(), 0, "{}", stage.preview.access_log());
}

#[test]
fn a_name_with_a_special_address_is_refused_and_nothing_is_sent() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };

    for (number, address) in [(2, "127.0.0.1"), (3, "169.254.169.254"), (5, "10.78.0.1")] {
        stage.write_pull_request_event(number);
        let ended =
            stage.run_in_pull_request(&format!("https://pr-{number}.preview.example.test/")).expect(77);

        assert!(ended.stderr.contains("L7") && ended.stderr.contains(address), "{}", ended.stderr);
    }
    assert_eq!(stage.requests_to_preview(), 0, "{}", stage.preview.access_log());

    // An ordinary public address needs no entry in `networks`: it shows that the others were refused for theirs.
    stage.write_pull_request_event(4);
    stage.run_in_pull_request("https://pr-4.preview.example.test/").expect(0);
    assert!(stage.requests_to_preview() > 0);
}

#[test]
fn a_name_that_nobody_knows_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    stage.write_pull_request_event(9);

    let ended = stage.run_in_pull_request("https://pr-9.preview.example.test/").expect(77);

    assert!(ended.stderr.contains("L7"), "{}", ended.stderr);
}

#[test]
fn a_proxy_of_the_environment_is_refused_and_not_used() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let proxy = stage.namespace.listen("127.0.0.1:3128");
    proxy.set_nonblocking(true).unwrap();
    let mut job = stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        job = job.variable(name, "http://127.0.0.1:3128");
    }

    let ended = stage.run(job).expect(77);

    assert!(ended.stderr.contains("L9") && ended.stderr.contains("proxy"), "{}", ended.stderr);
    let connected = proxy.accept();
    assert_eq!(connected.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let own = stage.namespace.enter(|| TcpStream::connect("127.0.0.1:3128").unwrap());
    assert_eq!(proxy.accept().unwrap().1, own.local_addr().unwrap(), "a connection would have been seen");
    stage.assert_preview_was_only_asked_who_it_is();
}

#[test]
fn a_rate_above_the_limits_is_refused_before_anything_is_sent() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let too_fast = "[[scenario]]\nname = \"home\"\nprofile = { rate = 100, duration = \"1s\" }";
    stage.configure("roots = [\"root.pem\"]\n[limits]\nrate = 99", too_fast);

    let ended = stage.run_in_pull_request(PREVIEW_URL).expect(2);

    assert!(ended.stderr.contains("the limit is 99/s"), "{}", ended.stderr);
    assert_eq!(stage.requests_to_preview(), 0, "{}", stage.preview.access_log());
}

#[test]
fn a_closed_loop_stays_under_the_rate_of_the_limits() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let closed_loop = "[[scenario]]\nname = \"home\"\n\
         profile = { connections = 8, duration = \"2s\", warm-up = \"1s\" }";
    stage.configure("roots = [\"root.pem\"]\n[limits]\nrate = 100", closed_loop);

    stage.run_in_pull_request(PREVIEW_URL).expect(0);

    // Three seconds at 100 a second, and at most one request more for each connection.
    let requests = stage.requests_to_preview();
    assert!((200..=308).contains(&requests), "{requests}");
}
