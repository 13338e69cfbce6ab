//! A service is an ephemeral preview on loopback: built, started, watched and stopped by this run.
//!
//! `build` runs its build, `start` gives it a free port and waits until it is ready, `check_loopback_listener` looks
//! at one that somebody else started. `process` owns the process tree, `listener` knows who listens where, `probe`
//! asks over HTTP. What a service is and how it is run is said by [`crate::target::ServicePlan`].

mod error;
mod inherited;
mod output;
mod port;
mod probe;
mod process;
mod ready;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::redact::Redactor;
use crate::target::ServicePlan;
use output::{Lines, Log};
use process::ProcessTree;

pub use error::ServiceError;

/// How often a waiting loop looks; well below the tenth of a second within which cancelling must show.
const POLL: Duration = Duration::from_millis(25);

/// Where a build's words go.
#[derive(Clone)]
pub enum BuildOutput {
    /// Line by line to a person, so that progress is seen while it happens; secrets are masked by then.
    Visible(Arc<dyn Fn(&str) + Send + Sync>),
    /// To a file beside the service's log; a failure quotes its end.
    Logged,
}

/// Builds the service; nothing happens where the plan has no build.
///
/// The build inherits `environment` without the variables that belong to this program and to the CI system.
///
/// # Errors
/// The build cannot be started, fails, or is cancelled.
pub fn build(
    plan: &ServicePlan,
    environment: &[(OsString, OsString)],
    redactor: &Redactor,
    output: BuildOutput,
    cancel: &CancellationToken,
) -> Result<(), ServiceError> {
    let Some(argv) = &plan.build else {
        return Ok(());
    };
    let (mut log, mut lines) = (None, None);
    let (stdout, stderr) = match output {
        BuildOutput::Visible(tell) => {
            let (reader, stdout, stderr) = Lines::open(redactor, tell)?;
            lines = Some(reader);
            (stdout, stderr)
        }
        BuildOutput::Logged => {
            let (file, stdout, stderr) = Log::open(&plan.log.with_extension("build.log"), redactor)?;
            log = Some(file);
            (stdout, stderr)
        }
    };
    let mut command = process::command(argv, plan, environment)?;
    command.stdout(stdout).stderr(stderr);
    let mut tree = ProcessTree::spawn(command, argv, None)?;
    loop {
        if cancel.is_cancelled() {
            return Err(ServiceError::Cancelled);
        }
        match tree.exit_status() {
            None => std::thread::sleep(POLL),
            Some(status) if status.success() => {
                finish(lines.take());
                return Ok(());
            }
            Some(status) => {
                finish(lines.take());
                let words = log.as_ref().map(Log::last_words).unwrap_or_default();
                return Err(ServiceError::BuildFailed {
                    program: argv.join(" "),
                    status: status.to_string(),
                    words,
                });
            }
        }
    }
}

/// Waits until all that a build printed is told.
fn finish(lines: Option<Lines>) {
    if let Some(lines) = lines {
        lines.finish();
    }
}

/// A service that runs, is ready, and listens on loopback only; dropping it stops it.
#[derive(Debug)]
pub struct RunningService {
    tree: ProcessTree,
    address: SocketAddr,
    /// Dropped after the tree, so that all that it printed is masked.
    log: Log,
}

/// Starts the service on a free port of loopback and waits until it is ready.
///
/// The service inherits `environment` as [`build`] does, gets the variables of its plan, and `PORT`. That it listens
/// on loopback only, and that no other process took its port, is checked on Linux; other systems don't tell. What it
/// prints goes to the plan's log, which keeps no secret that `redactor` knows once the service is stopped.
///
/// # Errors
/// The service cannot be started, exits, is not ready in time, listens beyond loopback, or the wait is cancelled;
/// every process that it started is gone then.
pub fn start(
    plan: &ServicePlan,
    environment: &[(OsString, OsString)],
    redactor: &Redactor,
    cancel: &CancellationToken,
) -> Result<RunningService, ServiceError> {
    let port = port::free_port().map_err(ServiceError::NoFreePort)?;
    let mut command = process::command(&plan.run, plan, environment)?;
    let (log, stdout, stderr) = Log::open(&plan.log, redactor)?;
    command.stdout(stdout).stderr(stderr).env("PORT", port.to_string());
    let mut tree = ProcessTree::spawn(command, &plan.run, Some(port))?;
    let address = ready::wait(&mut tree, plan, &log, port, cancel)?;
    Ok(RunningService { tree, address, log })
}

impl RunningService {
    /// Returns the port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the loopback address it listens on: `127.0.0.1`, or `::1` where it listens only there.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how it ended and its last words, where it ended by itself.
    #[must_use]
    pub fn exited(&mut self) -> Option<String> {
        let status = self.tree.exit_status()?;
        Some(format!("{status}\n{}", self.log.last_words()).trim_end().to_owned())
    }

    /// Stops it and everything it started; returns when they are gone.
    pub fn stop(self) {
        drop(self);
    }
}

/// Returns the loopback address on which something already listens, for a service that this run did not start.
///
/// It may listen beyond loopback as well: only its loopback address is used.
///
/// # Errors
/// Nothing answers a connection on `127.0.0.1` or `::1`.
pub fn check_loopback_listener(port: u16) -> Result<SocketAddr, ServiceError> {
    probe::first_listener(port)
}

#[cfg(all(test, unix))]
#[path = "../../tests/end_to_end/parts.rs"]
#[expect(clippy::disallowed_methods, reason = "a test looks at its surroundings")]
mod parts;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::clock;
    use crate::secret::Secret;

    /// Serves 200 on `/`, 404 elsewhere; the first argument is the address to bind.
    const SERVER: &str = r"
import http.server, os, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == '/' else 404)
        self.end_headers()
class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
Server((sys.argv[1], int(os.environ['PORT'])), Handler).serve_forever()
";

    struct Bench {
        dir: tempfile::TempDir,
        plan: ServicePlan,
        cancel: CancellationToken,
    }

    impl Bench {
        fn running(argv: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let plan = ServicePlan {
                build: None,
                run: argv.iter().map(|word| (*word).to_owned()).collect(),
                ready: Some("/".to_owned()),
                ready_timeout: Duration::from_secs(30),
                env: Vec::new(),
                dir: dir.path().to_owned(),
                log: dir.path().join("out/service.log"),
            };
            Self { dir, plan, cancel: CancellationToken::new() }
        }

        fn shell(script: &str) -> Self {
            Self::running(&["sh", "-c", script])
        }

        fn start(&self) -> Result<RunningService, ServiceError> {
            start(&self.plan, &environment(), &redactor(), &self.cancel)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test stands in for cli")]
    fn environment() -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }

    fn redactor() -> Redactor {
        Redactor::new(vec![Secret::new("correct-horse".into())])
    }

    fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = clock::monotonic() + Duration::from_secs(20);
        while clock::monotonic() < deadline {
            if let Some(found) = look() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("waited in vain");
    }

    fn read_number(path: &Path) -> Option<u32> {
        std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?.trim().parse().ok()
    }

    /// A zombie counts as gone: it runs nothing, and reaping an orphan is the system's work.
    #[cfg(target_os = "linux")]
    fn is_alive(pid: u32) -> bool {
        let stat =
            procfs::process::Process::new(i32::try_from(pid).unwrap()).and_then(|process| process.stat());
        stat.is_ok_and(|stat| stat.state != 'Z')
    }

    #[test]
    fn a_service_is_ready_when_it_answers_and_gone_when_it_is_stopped() {
        if parts::require("python3").is_none() {
            return;
        }
        let bench = Bench::running(&["python3", "-c", SERVER, "127.0.0.1"]);

        let mut service = bench.start().unwrap();
        let port = service.port();

        assert_eq!(check_loopback_listener(port).unwrap(), service.address());
        assert_eq!(service.exited(), None);
        service.stop();
        assert!(matches!(check_loopback_listener(port), Err(ServiceError::NothingListens { .. })));
    }

    #[test]
    fn a_service_that_listens_on_ipv6_loopback_alone_is_used_there() {
        if parts::require("python3").is_none() {
            return;
        }
        let bench = Bench::running(&["python3", "-c", SERVER, "::1"]);

        let service = bench.start().unwrap();

        assert_eq!(service.address().ip(), std::net::Ipv6Addr::LOCALHOST);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_service_that_listens_beyond_loopback_is_refused_and_stopped() {
        if parts::require("python3").is_none() {
            return;
        }
        for address in ["0.0.0.0", "::"] {
            let bench = Bench::running(&["python3", "-c", SERVER, address]);

            let error = bench.start().unwrap_err();

            let ServiceError::ListensBeyondLoopback { address } = error else { panic!("{error}") };
            assert!(address.ip().is_unspecified());
            assert!(matches!(
                check_loopback_listener(address.port()),
                Err(ServiceError::NothingListens { .. })
            ));
        }
    }

    #[test]
    fn a_service_that_never_listens_is_not_ready() {
        let mut bench = Bench::shell("echo looking for a database; exec sleep 60");
        bench.plan.ready_timeout = Duration::from_secs(1);

        let error = bench.start().unwrap_err();

        assert_eq!(error.to_string(), "the service was not ready after 1s: it does not listen on its PORT");
        assert_eq!(error.words(), Some("looking for a database"));
    }

    #[test]
    fn a_service_whose_ready_path_fails_is_not_ready() {
        if parts::require("python3").is_none() {
            return;
        }
        let mut bench = Bench::running(&["python3", "-c", SERVER, "127.0.0.1"]);
        bench.plan.ready = Some("/healthz".to_owned());
        bench.plan.ready_timeout = Duration::from_secs(5);

        let error = bench.start().unwrap_err();

        assert_eq!(error.to_string(), "the service was not ready after 5s: /healthz answers 404");
    }

    #[test]
    fn without_a_ready_path_listening_is_enough() {
        if parts::require("python3").is_none() {
            return;
        }
        let script = SERVER.replace("200 if self.path == '/' else 404", "503");
        let mut bench = Bench::running(&["python3", "-c", &script, "127.0.0.1"]);
        bench.plan.ready = None;

        assert!(bench.start().is_ok());
    }

    #[test]
    fn a_service_that_exits_tells_why_in_its_own_words() {
        let bench = Bench::shell("echo 'no database at db:5432' >&2; exit 3");

        let error = bench.start().unwrap_err();

        assert_eq!(error.to_string(), "the service ended before it was ready: exit status: 3");
        assert_eq!(error.words(), Some("no database at db:5432"));
    }

    #[test]
    fn a_secret_that_the_service_prints_is_neither_told_nor_kept() {
        let bench = Bench::shell("echo token correct-horse; exit 3");

        let error = bench.start().unwrap_err();

        assert_eq!(error.words(), Some("token ***"));
        assert_eq!(std::fs::read_to_string(bench.file("out/service.log")).unwrap(), "token ***\n");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let bench = Bench::running(&["./no-such-program"]);

        let error = bench.start().unwrap_err();

        assert!(error.to_string().starts_with("cannot start \"./no-such-program\": "), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn stopping_ends_workers_that_left_the_group_and_orphans() {
        if parts::require("python3").is_none() {
            return;
        }
        let script = format!(
            "import subprocess
worker = subprocess.Popen(['sleep', '300'], start_new_session=True)
print(worker.pid, file=open('worker', 'w'))
subprocess.run(['sh', '-c', 'setsid sleep 300 & echo $! > orphan'])
{SERVER}"
        );
        let bench = Bench::running(&["python3", "-c", &script, "127.0.0.1"]);
        let service = bench.start().unwrap();
        let pids = ["worker", "orphan"].map(|name| read_number(&bench.file(name)).unwrap());
        assert!(pids.into_iter().all(is_alive), "{pids:?} must live while the service does");

        service.stop();

        assert!(!pids.into_iter().any(is_alive), "{pids:?} must be gone");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_daemon_that_wiped_off_every_mark_is_stopped() {
        let daemon = "env -i setsid sh -c 'echo $$ > daemon; exec sleep 300' &";
        let bench = Bench::shell(&format!("{daemon} while [ ! -s daemon ]; do :; done"));

        let error = bench.start().unwrap_err();

        assert!(matches!(error, ServiceError::Exited { .. }), "{error}");
        let daemon = read_number(&bench.file("daemon")).unwrap();
        assert!(!is_alive(daemon), "{daemon} must be gone");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_worker_that_ignores_the_request_to_end_does_not_outlive_its_parent() {
        if parts::require("python3").is_none() {
            return;
        }
        let worker = "trap '' TERM; echo $$ > worker; while :; do sleep 0.1; done";
        let script = format!(
            "import subprocess
subprocess.Popen(['sh', '-c', \"{worker}\"], env={{'PATH': os.environ['PATH']}}, start_new_session=True)
while not os.path.exists('worker'): pass
{SERVER}"
        );
        let bench = Bench::running(&["python3", "-c", &format!("import os\n{script}"), "127.0.0.1"]);
        let service = bench.start().unwrap();
        let worker = wait_until(|| read_number(&bench.file("worker")));

        service.stop();

        assert!(!is_alive(worker), "{worker} must be gone");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_service_that_ignores_the_request_to_end_is_killed() {
        if parts::require("python3").is_none() {
            return;
        }
        let script = format!(
            "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(os.getpid(), file=open('pid', 'w'))\n{SERVER}"
        );
        let bench = Bench::running(&["python3", "-c", &script, "127.0.0.1"]);
        let service = bench.start().unwrap();
        let pid = read_number(&bench.file("pid")).unwrap();

        service.stop();

        assert!(!is_alive(pid));
    }

    #[test]
    fn a_panic_stops_the_service() {
        if parts::require("python3").is_none() {
            return;
        }
        let bench = Bench::running(&["python3", "-c", SERVER, "127.0.0.1"]);
        let service = bench.start().unwrap();
        let port = service.port();

        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = service;
            panic!("expected by this test");
        }));

        assert!(panicked.is_err());
        assert!(matches!(check_loopback_listener(port), Err(ServiceError::NothingListens { .. })));
    }

    #[test]
    fn cancelling_ends_the_wait_and_the_service() {
        let bench = Bench::shell("echo $$ > pid; exec sleep 60");

        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_until(|| read_number(&bench.file("pid")));
                bench.cancel.cancel();
            });
            bench.start().unwrap_err()
        });

        assert!(matches!(error, ServiceError::Cancelled), "{error}");
        #[cfg(target_os = "linux")]
        assert!(!is_alive(read_number(&bench.file("pid")).unwrap()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_process_on_the_port_is_not_the_service() {
        let bench = Bench::shell("echo $PORT > port; exec sleep 60");

        let error = std::thread::scope(|scope| {
            let intrusion = scope.spawn(|| {
                let port = wait_until(|| read_number(&bench.file("port")));
                let intruder =
                    TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap())).unwrap();
                let (mut stream, _) = intruder.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                intruder
            });
            let error = bench.start().unwrap_err();
            drop(intrusion.join().unwrap());
            error
        });

        assert!(matches!(error, ServiceError::PortTaken { .. }), "{error}");
    }

    #[test]
    fn a_service_sees_its_own_variables_and_no_token() {
        let mut bench = Bench::shell("env > seen; exit 1");
        bench.plan.env = vec![("SHOP_MODE".to_owned(), "test".to_owned())];
        let mut environment = environment();
        environment.push(("GITHUB_TOKEN".into(), "canary".into()));

        start(&bench.plan, &environment, &redactor(), &bench.cancel).unwrap_err();

        let seen = std::fs::read_to_string(bench.file("seen")).unwrap();
        assert!(seen.contains("SHOP_MODE=test\n") && seen.contains("PORT="), "{seen}");
        assert!(!seen.contains("canary"));
    }

    #[test]
    fn nothing_listens_where_nothing_listens() {
        let port = port::free_port().unwrap();

        let error = check_loopback_listener(port).unwrap_err();

        assert_eq!(error.to_string(), format!("nothing listens on 127.0.0.1:{port}"));
    }

    #[test]
    fn a_build_that_fails_says_so_in_its_own_words() {
        let mut bench = Bench::shell("true");
        bench.plan.build =
            Some(["sh", "-c", "echo 'error: expected `;`' >&2; exit 7"].map(str::to_owned).to_vec());

        let error =
            build(&bench.plan, &environment(), &redactor(), BuildOutput::Logged, &bench.cancel).unwrap_err();

        assert!(error.to_string().ends_with("failed: exit status: 7"), "{error}");
        assert_eq!(error.words(), Some("error: expected `;`"));
    }

    #[test]
    fn a_build_that_succeeds_leaves_its_work() {
        let mut bench = Bench::shell("true");
        bench.plan.build = Some(["sh", "-c", "echo built > result"].map(str::to_owned).to_vec());

        build(&bench.plan, &environment(), &redactor(), BuildOutput::Logged, &bench.cancel).unwrap();

        assert_eq!(std::fs::read_to_string(bench.file("result")).unwrap(), "built\n");
    }

    #[test]
    fn a_cancelled_build_ends() {
        let mut bench = Bench::shell("true");
        bench.plan.build = Some(["sleep", "60"].map(str::to_owned).to_vec());
        bench.cancel.cancel();

        let error =
            build(&bench.plan, &environment(), &redactor(), BuildOutput::Logged, &bench.cancel).unwrap_err();

        assert!(matches!(error, ServiceError::Cancelled), "{error}");
    }
}
