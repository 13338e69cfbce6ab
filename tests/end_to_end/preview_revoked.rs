//! A preview that changes in the middle of a run: the whole binary ends with 101, soon, and production hears nothing.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{Ended, json};
use crate::forge::{DEPLOYMENT, HEAD_SHA};
use crate::local_listener::internet_address;
use crate::parts;
use crate::preview_namespace::{PREVIEW_URL, Stage};

/// Where the service behind nginx listens.
const SERVICE: &str = "10.77.0.10:9000";

/// Every page is the service's, and nobody serves a marker.
const PROXY: &str = "proxy_pass http://10.77.0.10:9000; } location = /.well-known/loadgate { return 404;";

/// Long enough that only the guard can have ended it; the second scenario must never begin.
const SCENARIOS: &str = "[limits]\nduration = \"10m\"\n\
    [[scenario]]\nname = \"home\"\npath = \"/home\"\n\
    profile = { connections = 2, duration = \"60s\", warm-up = \"200ms\", timeout = \"2s\" }\n\
    [[scenario]]\nname = \"later\"\npath = \"/later\"\n\
    profile = { connections = 2, duration = \"60s\", warm-up = \"200ms\", timeout = \"2s\" }\n";

/// How soon the program must be gone after the change, reports and all: the load itself ends within a second, which the
/// tests of the rooms measure.
const GONE: Duration = Duration::from_secs(10);

/// A preview whose service answers as the test wants now.
struct Changing {
    stage: Stage,
    fields: Arc<Mutex<String>>,
}

impl Changing {
    /// Serves pages with a status line and header fields, each ended by a line break.
    fn set(location: &str, fields: &str) -> Option<Self> {
        let stage = Stage::set(location)?;
        stage.configure("roots = [\"root.pem\"]", SCENARIOS);
        let fields = Arc::new(Mutex::new(fields.to_owned()));
        serve(stage.namespace.listen(SERVICE), Arc::clone(&fields));
        Some(Self { stage, fields })
    }

    fn now_answers(&self, fields: &str) {
        fields.clone_into(&mut self.fields.lock().unwrap());
    }

    /// Runs the gate, changes something once load flows, and returns how it ended and how long after the change.
    fn run_while(&self, change: impl Fn() + Sync) -> (Ended, Duration) {
        let job = self.stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL);
        std::thread::scope(|scope| {
            let changer = scope.spawn(|| {
                let deadline = Instant::now() + Duration::from_secs(60);
                while self.stage.requests_to_preview() < 50 {
                    assert!(Instant::now() < deadline, "no load came");
                    std::thread::sleep(Duration::from_millis(20));
                }
                change();
                Instant::now()
            });
            let ended = self.stage.run(job);
            let ended_at = Instant::now();
            (ended, ended_at.saturating_duration_since(changer.join().unwrap()))
        })
    }

    /// Fails unless the change ended the run for a reason that holds a word.
    #[track_caller]
    fn assert_revoked(&self, word: &str, change: impl Fn() + Sync) {
        let (ended, took) = self.run_while(change);

        let ended = ended.expect(101);
        assert!(ended.stdout.contains(word), "{}", ended.stdout);
        assert!(took < GONE, "{word}: it went on for {took:?}");
        let report = json(&self.stage.project.path().join("target/loadgate/report.json"));
        for scenario in report["scenarios"].as_array().unwrap() {
            assert_eq!(scenario["verdict"], "invalid", "{scenario}");
        }
        assert_eq!(self.stage.requests_to_preview_for("/later"), 0, "the next scenario was begun");
        self.stage.assert_production_heard_nothing();
    }
}

fn serve(listener: TcpListener, fields: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            // The whole request is read: closing with unread bytes would reset the connection.
            while lines.read_line(&mut line).is_ok_and(|count| count > 2) {
                line.clear();
            }
            let fields = fields.lock().unwrap().clone();
            let _ = stream.write_all(format!("HTTP/1.0 {fields}Content-Length: 2\r\n\r\nok").as_bytes());
        }
    });
}

fn marked(status: &str, commit: &str) -> String {
    format!("{status}\r\nLoadgate-Preview: preview; commit={commit}\r\n")
}

/// What nginx does where the marker's own place promises the header.
fn promising() -> String {
    format!(
        "proxy_pass http://{SERVICE}; }} location = /.well-known/loadgate {{ \
         add_header Loadgate-Preview 'preview; commit={HEAD_SHA}' always; return 404;"
    )
}

#[test]
fn a_deployment_that_is_under_way_is_waited_for_and_one_that_fails_is_refused() {
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let scenario = "[[scenario]]\nname = \"home\"\n\
        profile = { connections = 2, duration = \"1s\", warm-up = \"200ms\", timeout = \"2s\" }\n";
    stage.configure("roots = [\"root.pem\"]", scenario);
    let run_while = |later: &'static str| {
        let become_state = |state: &str| {
            stage.forge.learn(|knowledge| {
                let own = |deployment: &&mut (Value, Value)| deployment.0["id"] == DEPLOYMENT;
                knowledge.deployments.iter_mut().find(own).unwrap().1["state"] = state.into();
            });
        };
        become_state("in_progress");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_secs(3));
                assert_eq!(stage.requests_to_preview(), 0, "load came before the deployment was ready");
                become_state(later);
            });
            stage.run(stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL))
        })
    };

    let refused = run_while("failure").expect(77);
    assert!(refused.stderr.contains("is in state \"failure\""), "{}", refused.stderr);
    assert_eq!(stage.requests_to_preview(), 0);

    let passed = run_while("success").expect(0);
    assert!(passed.stderr.contains("Waiting") && passed.stderr.contains("in_progress"), "{}", passed.stderr);
    assert!(stage.requests_to_preview_for("/") > 0);
}

#[test]
fn a_redirect_to_production_ends_the_run() {
    let Some(preview) = Changing::set(PROXY, "200 OK\r\n") else { return };

    preview.assert_revoked("redirects to the production host www.example.test", || {
        preview.now_answers("302 Found\r\nLocation: https://www.example.test/\r\n");
    });
}

#[test]
fn a_marker_in_the_header_that_changes_ends_the_run() {
    let Some(preview) = Changing::set(PROXY, &marked("200 OK", HEAD_SHA)) else { return };

    preview.assert_revoked("Loadgate-Preview", || {
        preview.now_answers(&marked("200 OK", &"f".repeat(40)));
    });
}

#[test]
fn a_marker_in_the_header_that_was_promised_and_is_lost_ends_the_run() {
    let Some(preview) = Changing::set(&promising(), &marked("200 OK", HEAD_SHA)) else { return };

    preview.assert_revoked("the header Loadgate-Preview", || preview.now_answers("200 OK\r\n"));
}

#[test]
fn what_is_odd_and_ends_nothing_is_told_in_the_report() {
    let marked = format!("add_header Loadgate-Preview 'preview; commit={HEAD_SHA}' always;");
    let location = format!(
        "{marked} add_header Link '<https://shop.example.test/>; rel=canonical'; return 200 'ok'; }} \
         location /.well-known/loadgate {{ {marked} return 404; }} location /edge {{ return 200 'ok';"
    );
    let Some(stage) = Stage::set(&location) else { return };
    // One answer of two hundred comes from an edge that knows of no marker.
    let scenario = "[[scenario]]\nname = \"home\"\n\
        profile = { connections = 2, duration = \"2s\", warm-up = \"200ms\", timeout = \"2s\" }\n\
        [[scenario.request]]\npath = \"/home\"\nweight = 199\n[[scenario.request]]\npath = \"/edge\"\n";
    stage.configure("roots = [\"root.pem\"]", scenario);
    let job = stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL);

    stage.run(job).expect(0);

    let report = json(&stage.project.path().join("target/loadgate/report.json"));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("answers without the header Loadgate-Preview"), "{warnings}");
    assert!(warnings.contains("answers call shop.example.test their canonical host"), "{warnings}");
    assert!(stage.requests_to_preview_for("/edge") > 0);
    stage.assert_production_heard_nothing();
}

#[test]
fn a_pull_request_that_was_closed_is_noticed_at_the_first_redirect() {
    let Some(preview) = Changing::set(PROXY, "200 OK\r\n") else { return };

    preview.assert_revoked("closed", || {
        preview.stage.forge.learn(|knowledge| knowledge.pull_requests[0]["state"] = "closed".into());
        preview.now_answers("302 Found\r\nLocation: /login\r\n");
    });
}

#[test]
fn a_new_commit_is_noticed_before_load_rises() {
    let Some(preview) = Changing::set(PROXY, "200 OK\r\n") else { return };
    let rising = "[[scenario]]\nname = \"home\"\npath = \"/home\"\n\
        profile = { steps = [{ rate = 100, for = \"10s\" }, { rate = 150, for = \"50s\" }] }";
    preview.stage.configure("roots = [\"root.pem\"]", rising);

    preview.assert_revoked("head of the pull request", || {
        preview.stage.forge.learn(|knowledge| {
            knowledge.pull_requests[0]["head"]["sha"] = "f".repeat(40).into();
        });
    });
}

#[test]
fn a_remote_run_connects_to_the_pinned_address_its_resolver_and_the_forge_only() {
    let Some(strace) = parts::require("strace") else { return };
    let Some(stage) = Stage::set("return 200 'ok';") else { return };
    let log = stage.project.path().join("strace.log");
    let job = stage.job("pull_request").variable("LOADGATE_PREVIEW_URL", PREVIEW_URL).arguments(["run"]);

    job.traced(&strace, "connect,sendto,sendmsg,sendmmsg", &log)
        .inside(stage.namespace.name())
        .run()
        .expect(0);

    let calls = std::fs::read_to_string(log).unwrap();
    let reached: BTreeSet<String> = calls.lines().filter_map(internet_address).collect();
    let forge = stage.forge.url().replace("http://", "");
    let expected = BTreeSet::from(["10.77.0.10:443".to_owned(), "10.77.0.53:53".to_owned(), forge]);
    assert_eq!(reached, expected, "{calls}");
    stage.assert_production_heard_nothing();
}
