//! The middle of every run: drive each scenario, judge it against what is remembered, and measure a suspicion twice.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::emergency::Emergency;
use super::failure::{Failure, chain};
use super::progress::Display;
use super::scripted;
use super::vigil::Vigil;
use crate::baseline::{Fingerprint, Machine, Record};
use crate::clock;
use crate::compare::{self, Comparison, History, Mode};
use crate::context::CommitSha;
use crate::evidence::Watch;
use crate::guard::{ClearedTarget, Recheck};
use crate::load::{self, Ceilings, DriveOptions, EchoWatch, StopSignal};
use crate::measurement::Measurement;
use crate::report::ScenarioReport;
use crate::request::{Mix, Placeholders, RequestSources};
use crate::scenario::{Protocol, Scenario};
use crate::script::Script;
use crate::verdict::Exit;

/// How often a pause looks for a cancellation.
const PAUSE_STEP: Duration = Duration::from_millis(50);

/// What stays the same for all scenarios of a run.
#[derive(Debug)]
pub(super) struct Gate<'a> {
    pub(super) target: &'a ClearedTarget,
    /// What kind of target it is, for the fingerprint.
    pub(super) target_kind: String,
    pub(super) machine: Machine,
    pub(super) commit: Option<CommitSha>,
    /// What is remembered of earlier runs.
    pub(super) records: &'a [Record],
    pub(super) threads: NonZeroUsize,
    /// What all scenarios together may send and receive.
    pub(super) ceilings: Ceilings,
    /// Asks the guard again while load runs, where somebody else than this run decides what the target is.
    pub(super) watch: Option<Watch>,
    /// Whether something was driven since the target was cleared.
    pub(super) has_driven: Cell<bool>,
    /// What the report should say beside the verdicts.
    pub(super) remarks: RefCell<Vec<String>>,
    /// Ends every run, whatever the reason.
    pub(super) stop: &'a StopSignal,
    pub(super) display: &'a Display<'a>,
    /// The directory for what the run leaves.
    pub(super) out: &'a Path,
    /// What stands for secrets in requests to the target.
    pub(super) placeholders: Placeholders,
    /// What looks for secrets in answers, where there are some.
    pub(super) echo: Option<Arc<EchoWatch>>,
    /// What happens where a script's call cannot be stopped.
    pub(super) emergency: Arc<Emergency>,
    /// Scripts whose runs have ended, with what was measured: they have the last word.
    pub(super) scripts: RefCell<Vec<(Script, Measurement)>>,
}

/// One scenario, measured and judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) report: ScenarioReport,
    /// The measurement in the form that baselines are stored in.
    pub(super) record: Record,
    /// What the scenario alone would tell the caller.
    pub(super) exit: Exit,
}

impl Judged {
    /// Takes the verdict back because the service ended while it was loaded; a run that was cut short says so already.
    pub(super) fn without_service(mut self, how_it_ended: &str) -> Self {
        if !self.record.measurement.is_partial() {
            let reason = format!("the service ended during the run: {how_it_ended}");
            self.report.comparison = compare::invalidate(self.report.comparison, reason);
            self.exit = Exit::CouldNotComplete;
        }
        self
    }
}

impl Judged {
    /// Takes the verdict back because the guard took its yes back; a run that was cut short says so already.
    pub(super) fn without_target(mut self, why: &str) -> Self {
        if !self.record.measurement.is_partial() {
            self.report.comparison = compare::invalidate(self.report.comparison, why.to_owned());
        }
        self.exit = Exit::CouldNotComplete;
        self
    }
}

impl Gate<'_> {
    /// Drives one scenario and judges it; a suspected regression is measured a second time.
    pub(super) fn judge(&self, scenario: &Scenario) -> Result<Judged, Failure> {
        let fingerprint = Fingerprint::of(scenario, &self.machine, &self.target_kind);
        let first = self.drive(scenario, scenario.name.as_str())?;
        let first_comparison = self.compare(scenario, &first, &fingerprint);
        let (measurement, comparison) = if compare::needs_confirmation(&first_comparison) {
            self.confirm(scenario, first, first_comparison, &fingerprint)?
        } else {
            (first, first_comparison)
        };
        let record = self.record(scenario, measurement.clone());
        let exit = comparison.verdict.exit(scenario.gate.fail_on);
        let report = ScenarioReport {
            measurement,
            request_line: request_line(scenario),
            profile_line: profile_line(scenario),
            base_latency: compare::base_latency(&scenario.gate, &scenario.name, &self.history(&fingerprint)),
            comparison,
            echoes: self.echo.as_ref().map(|echo| echo.take()).unwrap_or_default(),
        };
        Ok(Judged { report, record, exit })
    }

    /// Drives one scenario, showing progress under a label.
    pub(super) fn drive(&self, scenario: &Scenario, label: &str) -> Result<Measurement, Failure> {
        let options =
            DriveOptions { threads: self.threads, ceilings: self.ceilings.clone(), echo: self.echo.clone() };
        self.ask_again();
        let vigil = self.watch.as_ref().map(|watch| Vigil::over(watch, &scenario.profile));
        let drawn = self.display.begin(label);
        let drive = |sources: &dyn RequestSources| {
            load::drive(self.target, scenario, sources, &options, self.stop, &|progress| {
                drawn.show(&progress);
                if let Some(vigil) = &vigil {
                    vigil.look(&progress);
                }
            })
            .inspect(|_| self.note(label, vigil.as_ref().and_then(Vigil::remark)))
            .map_err(|error| Failure::incomplete(chain(&error), Some(error.help())))
        };
        let Some(plan) = &scenario.script else {
            let authority = self.target.origin().authority();
            let mix = Mix::new(&scenario.requests, &authority, fastrand::u64(..));
            return drive(&mix.with_secrets(self.placeholders.clone()));
        };
        let threads = u32::try_from(self.threads.get()).unwrap_or(u32::MAX);
        let console = self.display.console();
        let last_resort = self.emergency.last_resort();
        let mut script =
            scripted::load(scenario, plan, self.target, threads, &self.placeholders, last_resort)?;
        let outcome = drive(&script.sources());
        drop(drawn);
        let mut measurement = match outcome {
            Ok(measurement) => measurement,
            Err(failure) => {
                // What it printed may be what explains it.
                scripted::hear(&mut script, console);
                return Err(failure);
            }
        };
        // Known before anything of this run is shown or stored; what the script says comes later.
        console.redactor().register_tokens(&script.take_tokens());
        // The names of endpoints and why it ended are the script's words, and are stored as well as shown.
        measurement.clean(&|text| console.redactor().redact(text));
        self.scripts.borrow_mut().push((script, measurement.clone()));
        Ok(measurement)
    }

    /// Returns what the report should say beside the verdicts.
    pub(super) fn take_remarks(&self) -> Vec<String> {
        let mut remarks = self.remarks.take();
        remarks.extend(self.watch.iter().flat_map(Watch::news));
        remarks.extend(self.target.answer_rules().remark());
        remarks
    }

    fn note(&self, label: &str, remark: Option<String>) {
        self.remarks.borrow_mut().extend(remark.map(|remark| format!("{label}: {remark}")));
    }

    /// Load begins anew with each drive: the forge is asked before, except right after the target was cleared.
    fn ask_again(&self) {
        if self.has_driven.replace(true)
            && let Some(watch) = &self.watch
        {
            watch.ask_now(Recheck::Forge);
        }
    }

    /// Lets every script report on its run. Whatever one says or does, what was judged stands: call it when that is
    /// written.
    pub(super) fn hear_scripts(&self) -> Result<(), Failure> {
        for (script, measurement) in self.scripts.take() {
            scripted::conclude(script, &measurement, self.display.console(), self.out)?;
        }
        Ok(())
    }

    /// Returns a measurement of now in the form that baselines are stored in.
    pub(super) fn record(&self, scenario: &Scenario, measurement: Measurement) -> Record {
        Record {
            measurement,
            commit: self.commit.clone(),
            measured_at: clock::wall(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: Fingerprint::of(scenario, &self.machine, &self.target_kind),
            accepted_step: None,
        }
    }

    fn compare(&self, scenario: &Scenario, head: &Measurement, fingerprint: &Fingerprint) -> Comparison {
        compare::judge(&scenario.gate, head, &self.history(fingerprint))
    }

    fn history<'h>(&'h self, fingerprint: &'h Fingerprint) -> History<'h> {
        History { records: self.records, fingerprint, now: clock::wall() }
    }

    fn confirm(
        &self,
        scenario: &Scenario,
        first: Measurement,
        suspicion: Comparison,
        fingerprint: &Fingerprint,
    ) -> Result<(Measurement, Comparison), Failure> {
        let pause = scenario.gate.confirm_after;
        self.display
            .note(&format!("{} looks slower; measuring once more in {pause:?} to be sure", scenario.name));
        if !self.pause(pause) {
            return Ok((first, compare::abandon(suspicion)));
        }
        let second = self.drive(scenario, &format!("{} (confirming)", scenario.name))?;
        let second_comparison = self.compare(scenario, &second, fingerprint);
        let combined = compare::confirm(suspicion, second_comparison);
        // The measurement that is shown is the one that the combined metrics speak of.
        let shown = if combined.mode == Mode::Baseline { first } else { second };
        Ok((shown, combined))
    }

    /// Waits; returns false where the run was cancelled meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let end = clock::monotonic() + pause;
        while clock::monotonic() < end {
            if self.stop.is_given() {
                return false;
            }
            std::thread::sleep(PAUSE_STEP.min(pause));
        }
        !self.stop.is_given()
    }
}

/// Returns what the requests are, in one line.
fn request_line(scenario: &Scenario) -> String {
    match &scenario.script {
        Some(script) => format!("script {}", script.name),
        None => scenario.requests.summary(),
    }
}

/// Says how load is applied; HTTP/1.1 is what everybody expects and goes without saying.
fn profile_line(scenario: &Scenario) -> String {
    match scenario.protocol {
        Protocol::Http1 => scenario.profile.to_string(),
        other => format!("{}, {other}", scenario.profile),
    }
}
