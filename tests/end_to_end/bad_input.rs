//! Wrong configuration and wrong servers through the whole program: clear words, the right exit, never a pass.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::command::{Loadgate, json};

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = "[[scenario]]\nname = \"a b\"\nprofil = 1\nprofile = { rate = 0, duration = \"-5s\" }\n\n[gate]\nmetrics = [\"p0\"]\n";
    std::fs::write(directory.path().join("loadgate.toml"), wrong).unwrap();

    let ended = Loadgate::new(directory.path()).arguments(["run", "--local", "9"]).run().expect(2);

    for (word, line) in [("name", 2), ("profil", 3), ("rate", 4), ("duration", 4), ("p0", 7)] {
        assert!(ended.stderr.contains(word), "{word} is missing: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("loadgate.toml:{line}")), "line {line}: {}", ended.stderr);
    }
    assert!(ended.stderr.contains("help:"), "{}", ended.stderr);
}

#[test]
fn wrong_usage_exits_2() {
    let directory = tempfile::tempdir().unwrap();

    for arguments in [
        &["run", "--local", "0"][..],
        &["run", "--local", "70000"],
        &["run", "--local", "8080", "-R", "0"],
        &["run", "--local", "8080", "-R", "NaN"],
        &["run", "--local", "8080", "-c", "0"],
        &["run", "--local", "8080", "-d", "-1s"],
        &["run", "--local", "8080", "-d", "99999999999999999999s"],
        &["run", "--local", "8080", "-H", "Host: www.example.com"],
        &["run", "--url", "https://www.example.com"],
        &["run", "https://www.example.com"],
        &["run"],
    ] {
        let ended = Loadgate::new(directory.path()).arguments(arguments).run().expect(2);
        assert!(!ended.stderr.contains("panicked"), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn reports_that_have_no_place_stop_a_run_before_its_load() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();

    let ended = Loadgate::new(directory.path())
        .arguments(["run", "--local", &port, "--out", "file/reports"])
        .run()
        .expect(101);

    assert!(ended.stderr.contains("cannot write"), "{}", ended.stderr);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the service was asked");
}

#[test]
fn a_port_where_nothing_listens_cannot_be_measured() {
    let directory = tempfile::tempdir().unwrap();
    let port = crate::nginx::free_port().to_string();

    let ended = Loadgate::new(directory.path()).arguments(["run", "--local", &port]).run().expect(101);

    assert!(ended.stderr.contains("nothing listens"), "{}", ended.stderr);
}

/// Answers every connection in its own thread until the test ends.
fn server(behaviour: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behaviour = behaviour.clone();
            std::thread::spawn(move || behaviour(stream));
        }
    });
    port
}

fn outcome_of(port: u16, extra: &[&str]) -> (Option<i32>, serde_json::Value) {
    let directory = tempfile::tempdir().unwrap();
    let port = port.to_string();
    let arguments = ["run", "--local", &port, "-c", "2", "-d", "1s", "--timeout", "300ms"];
    let ended = Loadgate::new(directory.path()).arguments(arguments.iter().chain(extra)).run();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    (ended.code, json(&directory.path().join("target/loadgate/report.json")))
}

#[test]
fn a_server_that_resets_or_stalls_or_talks_nonsense_never_passes() {
    let resets = server(drop);
    let stalls = server(|mut stream| {
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let nonsense = server(|mut stream| {
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            if stream.write_all(b"\x00\x01 this is not the protocol you are looking for\r\n\r\n").is_err() {
                return;
            }
        }
    });

    for (port, class) in [(resets, "read"), (stalls, "timeout"), (nonsense, "protocol")] {
        let (code, report) = outcome_of(port, &[]);
        assert_eq!(code, Some(101), "{class}: {report}");
        assert_eq!(report["verdict"], "invalid");
        assert!(report["scenarios"][0]["outcomes"][class].as_u64().unwrap_or(0) > 0, "{class}: {report}");
    }
}

#[test]
fn a_server_that_dies_halfway_never_passes() {
    let begun = std::sync::Arc::new(std::sync::OnceLock::new());
    let port = server(move |mut stream| {
        let begun = *begun.get_or_init(std::time::Instant::now);
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            if begun.elapsed().as_millis() > 900 {
                return;
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });

    let (code, report) = outcome_of(port, &[]);

    assert_eq!(code, Some(100), "{report}");
}
