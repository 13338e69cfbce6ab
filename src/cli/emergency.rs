//! An emergency is a script's call that neither ends nor can be stopped: what there is so far is saved, what was
//! started is stopped, and the process ends.
//!
//! It happens on the watchdog's thread while another one is stuck, so it holds its own copy of all that it needs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::artefacts;
use crate::guard::ClearedTarget;
use crate::load::StopSignal;
use crate::measurement::Ending;
use crate::redact::{Redactor, harmless};
use crate::report::{Report, ScenarioReport};
use crate::script::LastResort;
use crate::service::RunningService;
use crate::verdict::{Exit, Verdict};

/// The service that this run started, where it did: whoever ends the run takes it out and stops it.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<Option<RunningService>>>);

impl Running {
    /// Returns the service for as long as it is looked at.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<RunningService>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the service and everything that it started.
    pub(super) fn stop(&self) {
        if let Some(running) = self.lock().take() {
            running.stop();
        }
    }
}

/// What is saved and stopped where a run cannot go on.
#[derive(Debug)]
pub(super) struct Emergency {
    target: ClearedTarget,
    out: PathBuf,
    redactor: Redactor,
    stop: StopSignal,
    running: Running,
    known: Mutex<Known>,
}

/// What is known of the run so far.
#[derive(Debug)]
struct Known {
    report: Report,
    /// The exit of a run whose report is written: nothing can change it any more.
    saved: Option<Exit>,
}

impl Emergency {
    /// Prepares for the worst; `report` is that of a run which has measured nothing yet.
    pub(super) fn new(
        report: Report,
        target: &ClearedTarget,
        out: &Path,
        redactor: &Redactor,
        stop: &StopSignal,
        running: &Running,
    ) -> Arc<Self> {
        Arc::new(Self {
            target: target.clone(),
            out: out.to_owned(),
            redactor: redactor.clone(),
            stop: stop.clone(),
            running: running.clone(),
            known: Mutex::new(Known { report, saved: None }),
        })
    }

    /// Notes a scenario that was judged.
    pub(super) fn note(&self, scenario: &ScenarioReport) {
        self.known().report.scenarios.push(scenario.clone());
    }

    /// Notes that the report is written and what the run will exit with.
    pub(super) fn note_saved(&self, exit: Exit) {
        self.known().saved = Some(exit);
    }

    /// Returns what ends the process where a script's call cannot be stopped by anything else.
    #[expect(
        clippy::print_stderr,
        clippy::disallowed_methods,
        reason = "the thread that would return is stuck, and no destructor of it can run any more"
    )]
    pub(super) fn last_resort(self: &Arc<Self>) -> LastResort {
        let emergency = Arc::clone(self);
        Arc::new(move |why| {
            eprintln!("error: {}", emergency.redactor.redact(&harmless(why)));
            let (exit, words) = emergency.end(why);
            eprintln!("help: every call into a script must end; {}", emergency.redactor.redact(&words));
            std::process::exit(exit.code().into());
        })
    }

    /// Ends the load, saves the report unless that was done, and stops the service; returns the exit and what became
    /// of the report.
    fn end(&self, why: &str) -> (Exit, String) {
        self.stop.stop(Ending::SourceFailed(why.to_owned()));
        let outcome = self.save(why);
        self.running.stop();
        outcome
    }

    fn save(&self, why: &str) -> (Exit, String) {
        let known = self.known();
        if let Some(exit) = known.saved {
            return (exit, "the verdict had been reached before and stands".to_owned());
        }
        let mut report = known.report.clone();
        report.verdict = Verdict::Invalid;
        report.exit = Exit::CouldNotComplete;
        report.warnings.push(format!("the run was ended: {why}"));
        let written = artefacts::write(&self.out, &report, self.target.evidence(), &[], &self.redactor);
        let words = match written {
            Ok(written) => format!("what was known is in {}", written.report_json.display()),
            Err(failure) => {
                failure.told.into_iter().next().map_or_else(String::new, |told| harmless(&told.message))
            }
        };
        (report.exit, words)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::cli::run::blank_report;
    use crate::clock;
    use crate::service;
    use crate::target::{Origin, Scheme, ServicePlan};

    /// Says where the child of a test works.
    const DIRECTORY: &str = "LOADGATE_TEST_EMERGENCY_DIRECTORY";

    const SERVICE: &str = "import http.server, os\n\
        http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()";

    fn emergency(out: &Path, running: &Running) -> Arc<Emergency> {
        let origin = Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 9 };
        let target = ClearedTarget::for_tests(origin, vec!["127.0.0.1:9".parse().unwrap()], vec![]);
        let stop = StopSignal::new(&CancellationToken::new());
        Emergency::new(blank_report(&target), &target, out, &Redactor::new(vec![]), &stop, running)
    }

    fn report(out: &Path) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap()
    }

    #[test]
    fn an_emergency_ends_the_load_and_saves_a_report_that_is_invalid() {
        let out = tempfile::tempdir().unwrap();
        let emergency = emergency(out.path(), &Running::default());

        let (exit, words) = emergency.end("request() of load/a.lua did not end and could not be stopped");

        assert_eq!(exit, Exit::CouldNotComplete);
        assert!(words.contains("report.json"), "{words}");
        assert!(emergency.stop.is_given());
        let report = report(out.path());
        assert_eq!(report["verdict"], "invalid");
        assert!(report["warnings"][0].as_str().unwrap().contains("request() of load/a.lua"), "{report}");
    }

    #[test]
    fn an_emergency_after_the_report_changes_no_verdict() {
        let out = tempfile::tempdir().unwrap();
        let emergency = emergency(out.path(), &Running::default());
        emergency.note_saved(Exit::Passed);

        let (exit, words) = emergency.end("done() of load/a.lua did not end and could not be stopped");

        assert_eq!(exit, Exit::Passed);
        assert!(words.contains("stands"), "{words}");
        assert!(!out.path().join("report.json").exists(), "the report was written again");
    }

    /// The child of the next test: its main thread is stuck for good, as in a routine that never looks up.
    #[test]
    #[ignore = "it ends the process; the next test runs it in one of its own"]
    #[expect(clippy::disallowed_methods, reason = "the parent says where to work")]
    fn a_process_that_is_stuck() {
        let Ok(directory) = std::env::var(DIRECTORY) else { return };
        let out = PathBuf::from(directory);
        let plan = ServicePlan {
            build: None,
            run: ["python3", "-c", SERVICE].map(str::to_owned).to_vec(),
            ready: None,
            ready_timeout: Duration::from_secs(30),
            env: Vec::new(),
            dir: out.clone(),
            log: out.join("service.log"),
        };
        let environment: Vec<_> = std::env::vars_os().collect();
        let cancel = CancellationToken::new();
        let service = service::start(&plan, &environment, &Redactor::new(vec![]), &cancel).unwrap();
        std::fs::write(out.join("port"), service.port().to_string()).unwrap();
        let running = Running::default();
        *running.lock() = Some(service);
        let last_resort = emergency(&out, &running).last_resort();
        std::thread::spawn(move || last_resort("request() of load/a.lua did not end"));
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn the_last_resort_saves_the_report_and_leaves_no_service_behind() {
        if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
            return;
        }
        let out = tempfile::tempdir().unwrap();
        let began = clock::monotonic();

        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::emergency::tests::a_process_that_is_stuck", "--ignored", "--nocapture"])
            .env(DIRECTORY, out.path())
            .output()
            .unwrap();

        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(Exit::CouldNotComplete.code().into()), "{said}");
        assert!(said.contains("error: request() of load/a.lua did not end\n"), "{said}");
        assert_eq!(report(out.path())["verdict"], "invalid");
        let port: u16 = std::fs::read_to_string(out.path().join("port")).unwrap().parse().unwrap();
        assert!(service::check_loopback_listener(port).is_err(), "the service still listens on {port}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
