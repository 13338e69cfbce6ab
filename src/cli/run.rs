//! `run`: parse → configure → clear → prepare → drive → recall → compare → judge → report → publish.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::arguments::RunArguments;
use super::artefacts;
use super::console::Verbosity;
use super::emergency::Emergency;
use super::failure::Failure;
use super::gate::{Gate, Judged};
use super::progress::Display;
use super::publishing;
use super::session::Session;
use super::subject::Subject;
use super::{overrides, remember, scripted, secrets};
use crate::baseline::{Fingerprint, Machine, Record};
use crate::clock;
use crate::config::{self, Settings};
use crate::evidence::Watch;
use crate::guard::Depth;
use crate::guard::{ClearedTarget, Recheck};
use crate::load::{EchoWatch, StopSignal};
use crate::report::{Report, ReportedTarget, terminal};
use crate::scenario::Scenario;
use crate::vault::Keyring;
use crate::verdict::{Exit, Verdict};

/// Runs the gate and returns the verdict's exit.
pub(super) fn run(session: &Session, arguments: &RunArguments) -> Result<Exit, Failure> {
    let mut settings = configure(session, arguments)?;
    let mut subject = Subject::choose(session, &mut settings, Depth::Online)?;
    let (scenarios, keyring) = permit(session, &mut settings, &subject)?;
    // Before any load: a run whose reports have no place would be measured for nothing.
    artefacts::make_directory(&settings.out)?;
    subject.prepare(session)?;
    let cleared = subject.clear(session)?;
    subject.confirm(session, &cleared, &scenarios)?;
    let placeholders = secrets::bind(&keyring, &cleared)?;
    let (machine, target_kind) = (Machine::read(), subject.kind(&settings));
    let fingerprint = |scenario| Fingerprint::of(scenario, &machine, &target_kind);
    let recalled = remember::recall(&settings, &scenarios.iter().map(fingerprint).collect::<Vec<_>>())?;
    let mut report = blank_report(&cleared);
    report.warnings = [subject.reading.warnings.clone(), recalled.warnings].concat();
    report.run_url.clone_from(&subject.reading.run_url);
    let display = Display::new(&session.console);
    let stop = StopSignal::new(&session.cancel);
    let emergency = Emergency::new(
        report.clone(),
        &cleared,
        &settings.out,
        session.console.redactor(),
        &stop,
        subject.running(),
    );
    let gate = Gate {
        target: &cleared,
        target_kind,
        machine,
        commit: subject.commit(session),
        records: &recalled.records,
        threads: settings.threads,
        ceilings: subject.ceilings(&settings),
        watch: subject.watch(session, &cleared, &stop)?,
        has_driven: Cell::new(false),
        remarks: RefCell::default(),
        stop: &stop,
        display: &display,
        out: &settings.out,
        echo: EchoWatch::of(&placeholders).map(Arc::new),
        placeholders,
        emergency: Arc::clone(&emergency),
        scripts: RefCell::default(),
    };
    let judged = measure(&gate, &scenarios, &subject)?;
    report.warnings.extend(gate.take_remarks());
    subject.stop();
    if arguments.save_baseline {
        report.warnings.extend(remember::save(session, &settings, &judged)?);
    }
    conclude(&mut report, &gate, &judged);
    let records: Vec<_> = judged.into_iter().map(|one| one.record).collect();
    tell(session, arguments, &subject, &gate, &mut report, &records)?;
    Ok(unless_interrupted(session, report.exit))
}

/// Writes, shows and publishes the report; then the scripts may speak.
fn tell(
    session: &Session,
    arguments: &RunArguments,
    subject: &Subject,
    gate: &Gate<'_>,
    report: &mut Report,
    records: &[Record],
) -> Result<(), Failure> {
    let redactor = session.console.redactor();
    report.clean(&|text| redactor.redact(text));
    let written = artefacts::write(gate.out, report, gate.target.evidence(), records, redactor)?;
    gate.emergency.note_saved(report.exit);
    show(session, report, arguments.latency);
    session.console.status("Written", &format!("{} and its neighbours", written.report_html.display()));
    publishing::publish(session, arguments, subject, report, &written);
    gate.hear_scripts()
}

/// Drives and judges every scenario of a target that is the same until the end.
fn measure(gate: &Gate<'_>, scenarios: &[Scenario], subject: &Subject) -> Result<Vec<Judged>, Failure> {
    match judge(gate, scenarios, subject) {
        Ok(judged) => Ok(unless_revoked(judged, gate.watch.as_ref())),
        Err(failure) => {
            // What a script says may be what explains it.
            gate.hear_scripts()?;
            Err(failure)
        }
    }
}

fn judge(gate: &Gate<'_>, scenarios: &[Scenario], subject: &Subject) -> Result<Vec<Judged>, Failure> {
    let mut judged = Vec::new();
    for scenario in scenarios {
        let one = gate.judge(scenario)?;
        let one = match subject.died() {
            Some(how) => one.without_service(&how),
            None => one,
        };
        gate.emergency.note(&one.report);
        judged.push(one);
    }
    Ok(judged)
}

fn configure(session: &Session, arguments: &RunArguments) -> Result<Settings, Failure> {
    let overrides = overrides::of_run(arguments, &session.current_directory);
    config::load(&session.current_directory, &overrides).map_err(Failure::problems)
}

/// Returns the scenarios that may run and the secrets that they may name.
fn permit(
    session: &Session,
    settings: &mut Settings,
    subject: &Subject,
) -> Result<(Vec<Scenario>, Keyring), Failure> {
    scripted::complete(session, settings)?;
    let scenarios = subject.permitted_scenarios(settings)?;
    // Before anything is said: the log of CI hides from here on what it must not show.
    let keyring = secrets::open(session, settings, &scenarios)?;
    announce(session, settings);
    Ok((scenarios, keyring))
}

/// Says which defaults were chosen.
fn announce(session: &Session, settings: &Settings) {
    for note in &settings.notes {
        session.console.status("Assuming", note);
    }
    for script in settings.scenarios.iter().filter_map(|scenario| scenario.script.as_ref()) {
        session.console.detail(&format!("{} draws random numbers from seed {}", script.name, script.seed));
    }
}

/// Asks a last time: a target that became another one during the last seconds was loaded as that.
fn unless_revoked(judged: Vec<Judged>, watch: Option<&Watch>) -> Vec<Judged> {
    match watch.and_then(|watch| watch.ask_now(Recheck::Target)) {
        Some(revocation) => {
            judged.into_iter().map(|one| one.without_target(&revocation.to_string())).collect()
        }
        None => judged,
    }
}

/// An interrupted run never passes, even where only its publishing was cut short.
fn unless_interrupted(session: &Session, exit: Exit) -> Exit {
    if session.cancel.is_cancelled() { exit.worse(Exit::CouldNotComplete) } else { exit }
}

/// Returns the report of a run that begins now and has measured nothing yet.
pub(super) fn blank_report(cleared: &ClearedTarget) -> Report {
    Report {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: clock::wall(),
        verdict: Verdict::Invalid,
        exit: Verdict::Invalid.exit(crate::verdict::FailOn::default()),
        target: ReportedTarget {
            origin: cleared.origin().clone(),
            source: cleared.source().clone(),
            derivation: cleared.evidence().derivation(),
        },
        commit: None,
        environment: String::new(),
        scenarios: Vec::new(),
        warnings: Vec::new(),
        run_url: None,
    }
}

/// Puts what was judged into the report; the scenario that went worst speaks for the run.
pub(super) fn conclude(report: &mut Report, gate: &Gate<'_>, judged: &[Judged]) {
    report.commit = gate.commit.clone().map(String::from);
    report.environment = gate.machine.to_string();
    report.scenarios = judged.iter().map(|one| one.report.clone()).collect();
    let verdicts = judged.iter().map(|one| one.report.comparison.verdict);
    report.verdict = verdicts.reduce(Verdict::worse).unwrap_or(Verdict::Invalid);
    report.exit = judged.iter().map(|one| one.exit).reduce(Exit::worse).unwrap_or(Exit::CouldNotComplete);
}

/// Prints the report on stdout.
pub(super) fn show(session: &Session, report: &Report, is_detailed: bool) {
    let style = terminal::Style { color: session.console.is_coloured(), ..terminal::Style::default() };
    if session.console.verbosity() == Verbosity::Quiet {
        session.console.rendered(&terminal::headline(report, style));
    } else {
        session.console.rendered(&terminal::render(report, style));
    }
    if is_detailed {
        session.console.rendered(&terminal::spectrum(report));
    }
}
