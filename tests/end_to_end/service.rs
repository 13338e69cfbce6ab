//! `run` with `[service]`: built, started, watched and stopped on every way out.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::command::{Loadgate, demo_service_configuration, json};
use crate::parts;

fn project(configuration: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("loadgate.toml"), configuration).unwrap();
    directory
}

/// Returns whether a process runs whose command line holds a text.
#[cfg(target_os = "linux")]
fn runs(text: &str) -> bool {
    let mut processes = procfs::process::all_processes().unwrap().flatten();
    processes.any(|process| process.cmdline().is_ok_and(|words| words.join(" ").contains(text)))
}

#[test]
fn a_declared_service_is_started_loaded_and_stopped() {
    let project = project(&demo_service_configuration());

    let ended = Loadgate::new(project.path()).arguments(["run"]).run().expect(0);

    let report = json(&project.path().join("target/loadgate/report.json"));
    assert_eq!(report["verdict"], "no-baseline", "{}", ended.stdout);
    assert!(report["scenarios"][0]["outcomes"]["2xx"].as_u64().unwrap() > 500, "{report}");
    let port = report["target"]["port"].as_u64().or_else(|| {
        let origin = report["target"]["host"].as_str()?;
        origin.rsplit(':').next()?.parse().ok()
    });
    let port = u16::try_from(port.unwrap_or_else(|| panic!("no port in {report}"))).unwrap();
    assert!(
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
        "the service still listens on {port}"
    );
}

#[test]
fn a_service_that_fails_says_it_in_its_own_words() {
    if parts::require("python3").is_none() {
        return;
    }
    for (run, build, words) in [
        ("echo the database is on fire; exit 3", "true", "the database is on fire"),
        ("true", "echo cannot find crate cheese >&2; exit 1", "cannot find crate cheese"),
        ("exec python3 -m http.server --bind 0.0.0.0 $PORT", "true", "0.0.0.0"),
        ("echo waiting for godot; exec sleep 60", "true", "waiting for godot"),
    ] {
        let project = project(&format!(
            "[service]\nbuild = ['sh', '-c', '{build}']\nrun = ['sh', '-c', '{run}']\nready = '/'\nready-timeout = '2s'\n"
        ));

        let ended = Loadgate::new(project.path()).arguments(["run"]).run().expect(101);

        assert!(ended.stderr.contains(words), "{run}: {}", ended.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_stops_the_service_and_its_children() {
    if parts::require("python3").is_none() {
        return;
    }
    let mark = format!("7{}.5", std::process::id());
    let project = project(&format!(
        "[service]\nrun = ['sh', '-c', 'setsid sleep {mark} & exec python3 -m http.server --bind 127.0.0.1 $PORT']\n\
         ready = '/'\n[[scenario]]\nname = 'root'\nprofile = {{ rate = 20, duration = '60s', warm-up = '0s' }}\n"
    ));
    let mut running = Loadgate::new(project.path()).arguments(["run"]).start();
    let deadline = Instant::now() + Duration::from_secs(20);
    let log = project.path().join("target/loadgate/service.log");
    // Python's server writes a line for every request: many of them are load.
    let is_loaded = || std::fs::read_to_string(&log).is_ok_and(|text| text.matches("GET /").count() > 15);
    while !is_loaded() || !runs(&format!("sleep {mark}")) {
        assert!(Instant::now() < deadline, "the service was not loaded");
        assert!(running.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(20));
    }

    rustix::process::kill_process(rustix::process::Pid::from_child(&running), rustix::process::Signal::INT)
        .unwrap();
    let status = running.wait().unwrap();

    let mut said = String::new();
    running.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(101), "{said}");
    assert!(!runs(&format!("sleep {mark}")), "a child was left behind");
    let report = json(&project.path().join("target/loadgate/report.json"));
    assert_eq!(report["verdict"], "invalid", "{report}");
    assert_eq!(report["scenarios"][0]["partial"], true, "{report}");
    assert!(report["scenarios"][0]["outcomes"]["2xx"].as_u64().unwrap() > 0, "{report}");
    assert!(Instant::now() < deadline + Duration::from_secs(10));
}

#[test]
fn the_only_binary_of_a_cargo_workspace_is_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let source = r#"
        use std::io::{Read, Write};
        fn main() {
            let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
            let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut buffer = [0u8; 4096];
                    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
                        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() { break; }
                    }
                });
            }
        }
    "#;
    std::fs::create_dir(directory.path().join("src")).unwrap();
    std::fs::write(directory.path().join("src/main.rs"), source).unwrap();
    std::fs::write(
        directory.path().join("Cargo.toml"),
        "[package]\nname = \"tiny-shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
    )
    .unwrap();

    let ended = Loadgate::new(directory.path())
        .variable("CARGO_TARGET_DIR", directory.path().join("target"))
        .arguments(["run", "-c", "4", "-d", "1s"])
        .run()
        .expect(0);

    assert!(ended.stderr.contains("tiny-shop"), "the chosen defaults are not printed: {}", ended.stderr);
    assert!(ended.stderr.contains("Compiling"), "cargo's own progress is not visible: {}", ended.stderr);
    let report = json(&directory.path().join("target/loadgate/report.json"));
    assert!(report["scenarios"][0]["outcomes"]["2xx"].as_u64().unwrap() > 100, "{report}");
}

#[test]
fn a_service_that_ends_during_the_run_never_passes() {
    const DIES_AT_THE_SIXTIETH: &str = r#"
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
served = 0
while True:
    connection, _ = listener.accept()
    with connection:
        asked = connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    served += b"/shop" in asked
    if served == 60:
        os._exit(3)
"#;
    let project = project(
        "[service]\nrun = ['python3', 'dies.py']\nready = '/'\n[gate]\nmax-error-rate = '100%'\n\
         [[scenario]]\nname = 'shop'\npath = '/shop'\n\
         profile = { rate = 100, connections = 1, duration = '1s', warm-up = '0s', rounds = 1 }\n",
    );
    std::fs::write(project.path().join("dies.py"), DIES_AT_THE_SIXTIETH).unwrap();

    let ended = Loadgate::new(project.path()).arguments(["run", "--save-baseline"]).run().expect(101);

    assert!(ended.stdout.contains("the service ended during the run"), "{}", ended.stdout);
    assert!(!project.path().join("baselines").exists(), "a baseline was saved");
}
