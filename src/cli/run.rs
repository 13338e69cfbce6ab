//! `run`: parse → configure → clear → prepare → drive → recall → compare → judge → report → publish.

use super::arguments::RunArguments;
use super::artefacts;
use super::failure::Failure;
use super::gate::{Gate, Judged};
use super::progress::Display;
use super::publishing;
use super::session::Session;
use super::subject::Subject;
use super::{overrides, remember};
use crate::baseline::Machine;
use crate::clock;
use crate::config::{self, Settings};
use crate::context::CommitSha;
use crate::report::{Report, ReportedTarget, terminal};
use crate::verdict::{Exit, FailOn, Verdict};

/// Runs the gate and returns the verdict's exit.
pub(super) fn run(session: &Session, arguments: &RunArguments) -> Result<Exit, Failure> {
    let started_at = clock::wall();
    let settings = configure(session, arguments)?;
    let mut subject = Subject::choose(session, &settings)?;
    subject.prepare(session, &settings)?;
    let cleared = subject.clear(session)?;
    let scenarios = subject.permitted_scenarios(&settings)?;
    let recalled = remember::recall(&settings)?;
    let display = Display::new(&session.console);
    let gate = Gate {
        target: &cleared,
        target_kind: subject.kind(&settings),
        machine: Machine::read(),
        commit: subject.commit(session),
        records: &recalled.records,
        threads: settings.threads,
        cancel: &session.cancel,
        display: &display,
    };
    let judged = scenarios.iter().map(|scenario| gate.judge(scenario)).collect::<Result<Vec<_>, _>>()?;
    let target = ReportedTarget {
        origin: cleared.origin().clone(),
        source: cleared.source().clone(),
        derivation: cleared.evidence().derivation(),
    };
    let mut warnings = recalled.warnings;
    warnings.extend(subject.stop());
    let commit = gate.commit.clone();
    if arguments.save_baseline {
        warnings.extend(remember::save(session, &settings, &judged)?);
    }
    let fail_on = strictest(&scenarios.iter().map(|scenario| scenario.gate.fail_on).collect::<Vec<_>>());
    let report =
        report(started_at, target, commit, &gate.machine, judged.iter().collect(), fail_on, warnings);
    let records: Vec<_> = judged.into_iter().map(|one| one.record).collect();
    let written =
        artefacts::write(&settings.out, &report, cleared.evidence(), &records, session.console.redactor())?;
    show(session, &report, arguments.latency);
    session.console.status("Written", &format!("{} and its neighbours", written.report_html.display()));
    publishing::publish(session, arguments, &subject, &report, &written);
    Ok(report.exit)
}

fn configure(session: &Session, arguments: &RunArguments) -> Result<Settings, Failure> {
    let settings =
        config::load(&session.current_directory, &overrides::of_run(arguments)).map_err(Failure::problems)?;
    for note in &settings.notes {
        session.console.status("Assuming", note);
    }
    Ok(settings)
}

fn strictest(all: &[FailOn]) -> FailOn {
    FailOn {
        inconclusive: all.iter().any(|one| one.inconclusive),
        no_baseline: all.iter().any(|one| one.no_baseline),
    }
}

/// Puts together what the run can tell.
pub(super) fn report(
    started_at: jiff::Timestamp,
    target: ReportedTarget,
    commit: Option<CommitSha>,
    machine: &Machine,
    judged: Vec<&Judged>,
    fail_on: FailOn,
    warnings: Vec<String>,
) -> Report {
    let verdict = judged
        .iter()
        .map(|one| one.report.comparison.verdict)
        .reduce(Verdict::worse)
        .unwrap_or(Verdict::Invalid);
    Report {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        verdict,
        exit: verdict.exit(fail_on),
        target,
        commit: commit.map(String::from),
        environment: machine.to_string(),
        scenarios: judged.into_iter().map(|one| one.report.clone()).collect(),
        warnings,
        run_url: None,
    }
}

/// Prints the report on stdout.
pub(super) fn show(session: &Session, report: &Report, is_detailed: bool) {
    let style = terminal::Style { color: session.console.is_coloured(), ..terminal::Style::default() };
    session.console.result(&terminal::render(report, style));
    if is_detailed {
        session.console.result(&terminal::spectrum(report));
    }
}
