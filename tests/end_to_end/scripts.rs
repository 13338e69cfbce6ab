//! Scripts through the whole program: wrk's own, unmodified, where they can be fetched; what wrong ones say; and that
//! a verdict stands whatever a script does at the end.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::command::{Ended, Loadgate, json};
use crate::parts::repository;

/// The scripts of wrk's repository, each with what it needs beside itself.
const WRKS_OWN: [(&str, &str); 9] = [
    ("addr", ""),
    ("auth", ""),
    ("counter", ""),
    ("delay", ""),
    ("pipeline", "pipeline = 3"),
    ("post", ""),
    ("report", ""),
    ("setup", ""),
    ("stop", ""),
];

/// What the server takes for each answer: a script that stops itself after a hundred must outlast the ramp.
const SERVICE_TIME: Duration = Duration::from_millis(5);

/// Answers every request with a token and a body until the test ends.
fn serve_tokens() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut unread, mut buffer) = (Vec::new(), [0; 16 * 1024]);
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    unread.extend_from_slice(&buffer[..count]);
                    while let Some(end) = whole_request(&unread) {
                        unread.drain(..end);
                        std::thread::sleep(SERVICE_TIME);
                        let answer = b"HTTP/1.1 200 OK\r\nX-Token: t0\r\nContent-Length: 2\r\n\r\nok";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    port
}

/// Returns where the first request ends, where it is whole.
fn whole_request(text: &[u8]) -> Option<usize> {
    let head = text.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let words = String::from_utf8_lossy(&text[..head]).to_lowercase();
    let length = words.lines().find_map(|line| line.strip_prefix("content-length: "));
    let end = head + length.map_or(0, |length| length.trim().parse().unwrap_or(0));
    (text.len() >= end).then_some(end)
}

/// Runs one script against a server of the test's own.
fn run(text: &str, declared: &str, arguments: &[&str]) -> (tempfile::TempDir, Ended) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("script.lua"), text).unwrap();
    let configuration = format!(
        "[[scenario]]\nname = 'scripted'\nscript = 'script.lua'\n\
         profile = {{ connections = 4, duration = '1s', warm-up = '0s' }}\n[script]\n{declared}\n"
    );
    std::fs::write(directory.path().join("loadgate.toml"), configuration).unwrap();
    let port = serve_tokens().to_string();
    let fixed = ["run", "--local", &port, "--threads", "2"];
    let ended = Loadgate::new(directory.path()).arguments(fixed.iter().chain(arguments)).run();
    (directory, ended)
}

fn report(directory: &Path) -> serde_json::Value {
    json(&directory.join("target/loadgate/report.json"))
}

#[test]
fn wrks_own_scripts_run_unmodified_where_they_can_be_fetched() {
    let scratch = repository().join("target/wrk-scripts");
    let fetched = Command::new(repository().join("tests/support/wrk_scripts.sh")).arg(&scratch).output();
    let fetched = fetched.unwrap();
    if fetched.status.code() == Some(3) {
        println!("{}", String::from_utf8_lossy(&fetched.stderr));
        return;
    }
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));

    for (name, declared) in WRKS_OWN {
        let text = std::fs::read_to_string(scratch.join(format!("{name}.lua"))).unwrap();
        let words: &[&str] = if name == "pipeline" { &["--", "3"] } else { &[] };

        let (directory, ended) = run(&text, declared, words);

        assert_eq!(ended.code, Some(0), "{name}: {}\n{}", ended.stdout, ended.stderr);
        assert!(!ended.stderr.contains("done()"), "{name}: {}", ended.stderr);
        let report = report(directory.path());
        let answered = report["scenarios"][0]["outcomes"]["2xx"].as_u64().unwrap_or(0);
        assert!(answered > 0, "{name}: {report}");
        let says = match name {
            "addr" => "thread addr: 127.0.0.1:",
            "report" => "99.999%,",
            "setup" => "thread 2 made ",
            _ => "",
        };
        assert!(ended.stdout.contains(says), "{name}: {}", ended.stdout);
    }
    let mut there: Vec<_> =
        std::fs::read_dir(&scratch).unwrap().flatten().map(|entry| entry.file_name()).collect();
    there.sort();
    assert_eq!(there.len(), WRKS_OWN.len(), "wrk has other scripts: {there:?}");
}

#[test]
fn a_script_that_is_wrong_says_where_and_how_to_mend_it() {
    for (text, code, words) in [
        ("wrk.path = '/'\nlocal x = = 2", 2, "error: script.lua:2:"),
        ("function init()\n  error('no users')\nend", 101, "init(): script.lua:2: no users"),
        ("\nos.execute('sleep 1')", 101, "script.lua:2: os.execute is not available to scripts"),
        ("io.open('users.csv')", 101, "name it in `data` of [script]"),
        ("os.getenv('TOKEN')", 101, "\"TOKEN\", which is not declared: name it in `env` of [script]"),
        (
            "function request() return 'GET http://www.example.com/ HTTP/1.1\\r\\n\\r\\n' end",
            101,
            "is refused",
        ),
        ("function request() while true do end end", 101, "was stopped after 250ms"),
        ("function request() error('later') end", 101, "request(): script.lua:1: later"),
    ] {
        let (directory, ended) = run(text, "", &[]);

        assert_eq!(ended.code, Some(code), "{text}: {}\n{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(words), "{text}: {}", ended.stderr);
        assert!(ended.stderr.contains("help: "), "{text}: {}", ended.stderr);
        let written = directory.path().join("target/loadgate/report.json");
        assert!(!written.exists(), "{text}: something was measured");
    }
}

#[test]
fn whatever_a_script_does_at_the_end_the_verdict_stands_and_is_written_before() {
    for (text, told) in [
        ("function done() error('no luck') end", "warning: done(): script.lua:1: no luck"),
        ("function done() os.exit(3) end", "warning: done() of script.lua ended the run"),
        ("function done(summary) print('sent ' .. summary.requests) end", ""),
    ] {
        let (directory, ended) = run(text, "", &[]);

        assert_eq!(ended.code, Some(0), "{text}: {}\n{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(told), "{text}: {}", ended.stderr);
        assert_eq!(report(directory.path())["verdict"], "no-baseline", "{text}");
        let printed = ended.stdout.contains("sent ");
        assert_eq!(printed, text.contains("print"), "{}", ended.stdout);
    }
}

#[test]
fn what_a_script_writes_lands_beside_the_reports() {
    let text = "local file = io.open('results.csv', 'w+')\nio.output(file)\n\
                function done(summary, latency, requests)\n\
                  io.write('requests,', summary.requests > 0, '\\n')\nend";
    let (_, ended) = run(text, "sink = ['results.csv']", &[]);
    assert!(ended.stderr.contains("cannot write a boolean"), "{}", ended.stderr);

    let text = text.replace("summary.requests > 0", "tostring(summary.requests > 0)");
    let (directory, ended) = run(&text, "sink = ['results.csv']", &[]);

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let written = directory.path().join("target/loadgate/script/results.csv");
    assert_eq!(std::fs::read_to_string(written).unwrap(), "requests,true\n");
}
