//! `baseline list|show|promote|prune`: looks after stored measurements. Loads nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::arguments::{BaselineCommand, StoreArguments};
use super::failure::{Failure, chain};
use super::session::Session;
use super::{overrides, remember};
use crate::baseline::{Record, Retention, dir};
use crate::clock;
use crate::config::{self, Settings};
use crate::measurement::quantile_us;
use crate::scenario::Quantile;
use crate::verdict::Exit;

/// One day of twenty-four hours.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl BaselineCommand {
    /// Returns the arguments that every subcommand has.
    pub(super) fn store(&self) -> &StoreArguments {
        match self {
            Self::List(store)
            | Self::Show { store, .. }
            | Self::Promote { store, .. }
            | Self::Prune { store, .. } => store,
        }
    }
}

/// Does what was asked with the store that the configuration names.
pub(super) fn baseline(session: &Session, command: &BaselineCommand) -> Result<Exit, Failure> {
    let settings = config::load(&session.current_directory, &overrides::of_project(&command.store().project))
        .map_err(Failure::problems)?;
    match command {
        BaselineCommand::List(_) => list(session, &settings),
        BaselineCommand::Show { run, .. } => show(session, &settings, run),
        BaselineCommand::Promote { measurement, accept, .. } => {
            promote(session, &settings, measurement.as_deref(), accept.as_deref())
        }
        BaselineCommand::Prune { keep, older_than, dry_run, .. } => {
            let older_than = older_than.map(|days| DAY * days);
            prune(session, &settings, *keep, older_than, *dry_run)
        }
    }
}

/// Turns every stored run into what is shown of it, one at a time, for all of them may be too much for memory.
fn stored<T>(
    session: &Session,
    settings: &Settings,
    mut show: impl FnMut(&Path, &Record) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    let mut shown = Vec::new();
    let take = |path: PathBuf, record: Record| {
        shown.extend(show(&path, &record).map(|text| (record.measured_at, path, text)));
    };
    let skipped = remember::store(settings).each(take).map_err(|error| remember::failed(&error))?;
    for one in skipped {
        session.console.warning(&format!("skipped {}: {}", one.path.display(), one.why));
    }
    shown.sort_by(|(a_time, a_path, _), (b_time, b_path, _)| (a_time, a_path).cmp(&(b_time, b_path)));
    Ok(shown.into_iter().map(|(_, _, text)| text).collect())
}

fn list(session: &Session, settings: &Settings) -> Result<Exit, Failure> {
    let lines = stored(session, settings, |path, record| Some(line(path, record)))?;
    if lines.is_empty() {
        session.console.result(&format!(
            "no stored runs in {}; record some with `cargo loadgate run --save-baseline`",
            settings.baseline.dir.display()
        ));
        return Ok(Exit::Passed);
    }
    let head = format!("{:<44} {:<20} {:>9} {:>9}\n", "run", "measured", "p50", "p99");
    session.console.result(&(head + &lines.concat()));
    Ok(Exit::Passed)
}

fn line(path: &Path, record: &Record) -> String {
    let latency = record.measurement.merged().latency;
    let shown = |quantile| match quantile_us(&latency, quantile) {
        Some(us) => format!("{:.2} ms", us / 1_000.0),
        None => "-".to_owned(),
    };
    format!(
        "{:<44} {:<20} {:>9} {:>9}{}\n",
        name_of(path),
        record.measured_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        shown(Quantile::P50),
        shown(Quantile::P99),
        if record.accepted_step.is_some() { "  step" } else { "" }
    )
}

fn show(session: &Session, settings: &Settings, run: &str) -> Result<Exit, Failure> {
    let found = stored(session, settings, |path, record| {
        (name_of(path).starts_with(run) || path == Path::new(run)).then(|| describe(path, record))
    })?;
    match found.as_slice() {
        [only] => {
            session.console.result(only);
            Ok(Exit::Passed)
        }
        [] => Err(Failure::usage(
            format!("no stored run begins with {run:?}"),
            "`cargo loadgate baseline list` shows them",
        )),
        _ => Err(Failure::usage(format!("several stored runs begin with {run:?}"), "give more of the name")),
    }
}

fn describe(path: &Path, record: &Record) -> String {
    let measurement = &record.measurement;
    let fingerprint = &record.fingerprint;
    let mut text = format!(
        "{}\n  scenario   {}\n  measured   {}\n  commit     {}\n  tool       {}\n  machine    {} {}, {} ({} cpus)\n  \
         target     {}\n  rate       {:.1} answers a second\n  outcomes  ",
        path.display(),
        measurement.scenario,
        record.measured_at,
        record.commit.as_ref().map_or("unknown", |sha| sha.as_str()),
        record.tool_version,
        fingerprint.os,
        fingerprint.arch,
        fingerprint.cpu,
        fingerprint.cpus,
        fingerprint.target,
        measurement.achieved_rate(),
    );
    let outcomes = measurement.outcomes();
    for class in crate::measurement::OutcomeClass::ALL {
        if outcomes.count(class) > 0 {
            text.push_str(&format!(" {} {}", outcomes.count(class), class.as_str()));
        }
    }
    if let Some(reason) = &record.accepted_step {
        text.push_str(&format!("\n  step       {reason}"));
    }
    text.push_str("\n\n  round        p50        p90        p99        max\n");
    for (index, round) in measurement.rounds.iter().enumerate() {
        let shown = |quantile| quantile_us(&round.latency, quantile).map_or("-".into(), milliseconds);
        text.push_str(&format!(
            "  {:>5} {:>10} {:>10} {:>10} {:>10}\n",
            index + 1,
            shown(Quantile::P50),
            shown(Quantile::P90),
            shown(Quantile::P99),
            milliseconds(Duration::from_nanos(round.latency.max()).as_secs_f64() * 1e6),
        ));
    }
    text
}

fn milliseconds(us: f64) -> String {
    format!("{:.2} ms", us / 1_000.0)
}

fn promote(
    session: &Session,
    settings: &Settings,
    measurement: Option<&Path>,
    accept: Option<&str>,
) -> Result<Exit, Failure> {
    let path = measurement.map_or_else(|| settings.out.join("measurement.json"), Path::to_owned);
    let records = dir::read_file(&path).map_err(|error| Failure::usage(chain(&error), error.help()))?;
    if records.is_empty() {
        return Err(Failure::usage(format!("{} holds no measurement", path.display()), "run the gate again"));
    }
    if let Some(cut) = records.iter().find(|record| record.measurement.is_partial()) {
        return Err(Failure::usage(
            format!("{} was cut short and can't be a baseline", cut.measurement.scenario),
            "run it again to its end",
        ));
    }
    let store = remember::store(settings);
    for mut record in records {
        record.accepted_step = accept.map(str::to_owned);
        let saved = store.save(&record).map_err(|error| remember::failed(&error))?;
        session.console.result(&format!("promoted {} to {}", record.measurement.scenario, saved.display()));
    }
    Ok(Exit::Passed)
}

fn prune(
    session: &Session,
    settings: &Settings,
    keep: usize,
    older_than: Option<Duration>,
    is_dry: bool,
) -> Result<Exit, Failure> {
    let pruned = remember::store(settings)
        .prune(Retention { keep, older_than }, clock::wall(), is_dry)
        .map_err(|error| remember::failed(&error))?;
    let verb = if is_dry { "would delete" } else { "deleted" };
    for path in &pruned {
        session.console.result(&format!("{verb} {}", path.display()));
    }
    if !is_dry {
        session.console.status("Pruned", &format!("{} of the stored runs", pruned.len()));
    }
    Ok(Exit::Passed)
}

fn name_of(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
