//! `demo`: the whole story on this machine. A baseline is recorded, an unchanged version passes, a slowed one is caught.
//!
//! It runs the same rooms as `run`; only the configuration is built in. Where the machine is too noisy for the story
//! to come out, the demo says so and does not claim a success.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::arguments::DemoArguments;
use super::artefacts::{self, Artefacts};
use super::emergency::{Emergency, Running};
use super::failure::Failure;
use super::gate::Gate;
use super::progress::Display;
use super::remember;
use super::run;
use super::session::Session;
use super::subject::{incomplete, refused};
use crate::baseline::{DirStore, Machine, Record};
use crate::config;
use crate::context::Context;
use crate::evidence::World;
use crate::guard::{self, ClearedTarget, Inquiry};
use crate::load::{Ceilings, StopSignal};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::service::{self, RunningService};
use crate::target::{Candidate, ServicePlan, Source};
use crate::verdict::{Exit, Verdict};

/// How often the unchanged service is measured for the baseline.
const BASELINE_RUNS: usize = 5;

/// How much the slowed version is slowed.
const SLOWDOWN: &str = "30%";

/// The same as a fraction, to compare with what the baseline can see.
const SLOWDOWN_FRACTION: f64 = 0.30;

/// The configuration of the demo: what a user would write, but short.
const CONFIGURATION: &str = r#"
[[scenario]]
name = "products"
path = "/products"
profile = { rate = 800, connections = 64, duration = "4s", warm-up = "500ms", rounds = 3, timeout = "2s" }

[gate]
metrics = ["p50", "p90"]
max-regression = "15%"
confirm-after = "1s"
"#;

/// One part of the story, as it ended.
struct Chapter {
    report: Report,
    written: Artefacts,
}

/// Tells the story and returns whether the gate behaved.
pub(super) fn demo(session: &Session, arguments: &DemoArguments) -> Result<Exit, Failure> {
    let out = match &arguments.out {
        Some(out) => session.current_directory.join(out),
        None => session.current_directory.join("target/loadgate/demo"),
    };
    let stage = Stage::set(session, out)?;
    introduce(session);
    stage.record_baseline()?;
    session.console.status("Gating", "an unchanged version of the service");
    let unchanged = stage.chapter(None, &stage.out.join("unchanged"))?;
    session.console.status("Gating", &format!("a version that is {SLOWDOWN} slower"));
    let slowed = stage.chapter(Some(SLOWDOWN), &stage.out)?;
    conclude(session, &unchanged, &slowed);
    Ok(outcome(&unchanged.report, &slowed.report))
}

/// Where the story happens.
struct Stage<'a> {
    session: &'a Session,
    out: PathBuf,
    store: DirStore,
    scenario: Scenario,
    machine: Machine,
    display: Display<'a>,
    stop: StopSignal,
}

impl<'a> Stage<'a> {
    fn set(session: &'a Session, out: PathBuf) -> Result<Self, Failure> {
        let baselines = out.join("baselines");
        // An earlier demo's runs would make this one's story longer and less clear.
        if baselines.exists() {
            std::fs::remove_dir_all(&baselines).map_err(|error| {
                Failure::incomplete(format!("cannot clear {}: {error}", baselines.display()), None)
            })?;
        }
        artefacts::make_directory(&out)?;
        let scenario = config::built_in(CONFIGURATION)
            .map_err(Failure::problems)?
            .pop()
            .ok_or_else(|| Failure::incomplete("the built-in configuration has no scenario", None))?;
        let display = Display::new(&session.console);
        display.expect(BASELINE_RUNS + 2);
        Ok(Self {
            session,
            store: DirStore::new(baselines),
            out,
            scenario,
            machine: Machine::read(),
            display,
            stop: StopSignal::new(&session.cancel),
        })
    }

    fn start(&self, slower: Option<&str>) -> Result<(RunningService, ClearedTarget), Failure> {
        let program = std::env::current_exe().map_err(|error| {
            Failure::incomplete(format!("cannot find this program's file: {error}"), None)
        })?;
        let mut run = vec![program.display().to_string(), "demo-service".to_owned()];
        run.extend(slower.map(|share| format!("--slower={share}")));
        let plan = ServicePlan {
            build: None,
            run,
            ready: Some("/healthz".to_owned()),
            ready_timeout: Duration::from_secs(10),
            env: Vec::new(),
            dir: self.session.current_directory.clone(),
            log: self.out.join("service.log"),
        };
        let redactor = self.session.console.redactor();
        let running = service::start(&plan, &self.session.inherited(), redactor, &self.session.cancel)
            .map_err(|error| incomplete(&error))?;
        let cleared = clear(self.session, &running)?;
        Ok((running, cleared))
    }

    fn gate<'g>(&'g self, target: &'g ClearedTarget, records: &'g [Record]) -> Gate<'g> {
        Gate {
            watch: None,
            has_driven: Cell::new(false),
            remarks: RefCell::default(),
            target,
            target_kind: "loopback".to_owned(),
            machine: self.machine.clone(),
            commit: None,
            records,
            threads: config::DEFAULT_THREADS,
            ceilings: Ceilings::default(),
            stop: &self.stop,
            display: &self.display,
            out: &self.out,
            emergency: Emergency::new(
                run::blank_report(target),
                target,
                &self.out,
                self.session.console.redactor(),
                &self.stop,
                &Running::default(),
            ),
            scripts: RefCell::default(),
        }
    }

    fn record_baseline(&self) -> Result<(), Failure> {
        self.session.console.status("Recording", &format!("a baseline of {BASELINE_RUNS} runs"));
        let (running, cleared) = self.start(None)?;
        let gate = self.gate(&cleared, &[]);
        for run in 1..=BASELINE_RUNS {
            let measurement = gate.drive(&self.scenario, &format!("baseline run {run}"))?;
            self.stop_if_cancelled()?;
            self.store
                .save(&gate.record(&self.scenario, measurement))
                .map_err(|error| remember::failed(&error))?;
        }
        running.stop();
        Ok(())
    }

    fn chapter(&self, slower: Option<&str>, out: &Path) -> Result<Chapter, Failure> {
        let records = self.store.records().map_err(|error| remember::failed(&error))?.into_records();
        let (running, cleared) = self.start(slower)?;
        let mut report = run::blank_report(&cleared);
        let gate = self.gate(&cleared, &records);
        let judged = [gate.judge(&self.scenario)?];
        running.stop();
        self.stop_if_cancelled()?;
        run::conclude(&mut report, &gate, &judged);
        let records = judged.map(|one| one.record);
        let redactor = self.session.console.redactor();
        let written = artefacts::write(out, &report, cleared.evidence(), &records, redactor)?;
        run::show(self.session, &report, false);
        Ok(Chapter { report, written })
    }

    fn stop_if_cancelled(&self) -> Result<(), Failure> {
        if self.session.cancel.is_cancelled() {
            return Err(Failure::incomplete("the demo was interrupted", None));
        }
        Ok(())
    }
}

fn clear(session: &Session, running: &RunningService) -> Result<ClearedTarget, Failure> {
    let inquiry = Inquiry {
        context: Context::Desk,
        candidates: vec![Candidate::on_loopback(Source::Service, running.address())],
        production_facts: Vec::new(),
        policy: guard::Policy::default(),
        surroundings: session.surroundings(),
    };
    guard::clear(&inquiry, &World::default().outside()).map_err(|refusal| refused(&refusal))
}

fn introduce(session: &Session) {
    session.console.result(
        "cargo loadgate keeps a pull request from making an HTTP service slower.\n\
         This demo starts a small service on this machine, records how fast it is, and then\n\
         gates two new versions of it: one unchanged, one made slower on purpose.\n",
    );
}

fn is_passed(report: &Report) -> bool {
    matches!(report.verdict, Verdict::Passed | Verdict::Improved)
}

/// The gate behaved where the unchanged version passed and the slowed one was caught.
fn outcome(unchanged: &Report, slowed: &Report) -> Exit {
    if is_passed(unchanged) && slowed.verdict == Verdict::Regressed {
        return Exit::Passed;
    }
    if is_too_noisy(unchanged) || is_too_noisy(slowed) { Exit::NoVerdict } else { Exit::CouldNotComplete }
}

/// Says whether the machine kept the story from coming out: a run that could not be judged, or a baseline that varies
/// so much that it could not see the demo's slowdown, says nothing about the gate.
fn is_too_noisy(report: &Report) -> bool {
    let metrics = report.scenarios.iter().flat_map(|scenario| &scenario.comparison.metrics);
    matches!(report.verdict, Verdict::Inconclusive | Verdict::Invalid | Verdict::NoBaseline)
        || metrics
            .filter(|metric| metric.is_gated)
            .any(|metric| metric.detectable.is_some_and(|detectable| detectable >= SLOWDOWN_FRACTION))
}

fn conclude(session: &Session, unchanged: &Chapter, slowed: &Chapter) {
    let tell =
        |chapter: &Chapter| format!("{} (exit {})", chapter.report.verdict, chapter.report.exit.code());
    let conclusion = match outcome(&unchanged.report, &slowed.report) {
        Exit::Passed => "The gate behaved: the unchanged version passed, the slowed one was caught.",
        Exit::NoVerdict => {
            "This machine was too noisy to tell: the runs differ too much, or the load could not be kept, so that \
             the gate could not see a change of 30 % beyond doubt. Close other programs and run the demo again."
        }
        _ => {
            "The gate did not behave as the story promises, and noise does not explain it: please report this \
             with the files below."
        }
    };
    session.console.result(&format!(
        "The unchanged version: {}\nThe slowed version:    {}\n{conclusion}\n\n\
         The slowed version's reports, as a pull request would get them:\n  {}\n  {}\n  {}\n\
         The unchanged version's reports:\n  {}",
        tell(unchanged),
        tell(slowed),
        slowed.written.report_html.display(),
        slowed.written.comment_md.display(),
        slowed.written.report_json.display(),
        unchanged.written.report_html.parent().unwrap_or(Path::new(".")).display(),
    ));
}
