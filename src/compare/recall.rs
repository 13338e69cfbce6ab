//! Recalling picks, from all that is stored, the runs that may be compared with the one at hand, and says of the
//! others why not.

use std::collections::BTreeMap;

use crate::baseline::Record;
use crate::scenario::{Gate, ScenarioName};

use super::{BaselineUse, History, validity, words};

/// A run this many days old says little about today's machine and service.
const MAX_AGE_DAYS: i64 = 60;

/// More runs hardly sharpen the bound, but remember older versions of the service.
const MAX_RUNS: usize = 30;

/// Clocks of CI machines differ a little; a run from further ahead has a wrong date.
const MAX_AHEAD_HOURS: i64 = 24;

/// The stored runs that may be compared.
pub(super) struct Comparable<'a> {
    /// The runs, the newest first.
    pub(super) runs: Vec<&'a Record>,
    /// How many runs of this scenario were left out, in words, one entry a reason.
    pub(super) left_out: Vec<String>,
}

impl Comparable<'_> {
    /// Returns what a report tells of it; `None` where nothing is stored of this scenario.
    pub(super) fn as_baseline_use(&self) -> Option<BaselineUse> {
        if self.runs.is_empty() && self.left_out.is_empty() {
            return None;
        }
        let newest = self.runs.first().and_then(|record| record.commit.as_ref());
        Some(BaselineUse {
            runs: self.runs.len(),
            left_out: self.left_out.clone(),
            newest_commit: newest.map(|commit| commit.as_str().to_owned()),
        })
    }

    /// Returns the highest error rate among the runs.
    pub(super) fn worst_error_rate(&self) -> f64 {
        let rates = self.runs.iter().filter_map(|record| record.measurement.outcomes().error_rate());
        rates.fold(0.0, f64::max)
    }
}

/// Picks the comparable runs of one scenario.
pub(super) fn comparable<'a>(gate: &Gate, scenario: &ScenarioName, history: &History<'a>) -> Comparable<'a> {
    let mut same_scenario: Vec<&Record> =
        history.records.iter().filter(|record| record.measurement.scenario == *scenario).collect();
    same_scenario.sort_by_key(|record| std::cmp::Reverse(record.measured_at));
    // A step counts whatever machine recorded it: it is the service that changed.
    let step = same_scenario
        .iter()
        .find(|record| record.accepted_step.is_some() && !is_ahead(record, history))
        .map(|record| record.measured_at);

    let mut runs = Vec::new();
    let mut left_out = BTreeMap::<String, usize>::new();
    for record in same_scenario {
        let why = why_not_comparable(gate, record, history)
            .or_else(|| {
                step.is_some_and(|step| record.measured_at < step)
                    .then(|| "measured before the last accepted step".to_owned())
            })
            .or_else(|| (runs.len() >= MAX_RUNS).then(|| format!("only the newest {MAX_RUNS} are used")));
        match why {
            Some(why) => *left_out.entry(why).or_default() += 1,
            None => runs.push(record),
        }
    }
    let left_out = left_out
        .into_iter()
        .map(|(why, count)| format!("{} left out: {why}", words::stored_runs(count)))
        .collect();
    Comparable { runs, left_out }
}

fn is_ahead(record: &Record, history: &History) -> bool {
    record.measured_at.duration_since(history.now) > jiff::SignedDuration::from_hours(MAX_AHEAD_HOURS)
}

fn why_not_comparable(gate: &Gate, record: &Record, history: &History) -> Option<String> {
    let differences = record.fingerprint.differences(history.fingerprint);
    if !differences.is_empty() {
        return Some(differences.join("; "));
    }
    if is_ahead(record, history) {
        return Some("dated in the future".to_owned());
    }
    let age = history.now.duration_since(record.measured_at);
    if age > jiff::SignedDuration::from_hours(24 * MAX_AGE_DAYS) {
        return Some(format!("older than {MAX_AGE_DAYS} days"));
    }
    let measurement = &record.measurement;
    if measurement.is_partial {
        return Some("cut short".to_owned());
    }
    if validity::is_above_error_rate(gate, &measurement.outcomes()) {
        return Some("too many of its requests failed".to_owned());
    }
    let is_judgeable = validity::why_invalid(measurement).is_none()
        && validity::doubts(measurement).is_empty()
        && measurement.rounds.iter().any(|round| !round.latency.is_empty());
    (!is_judgeable).then(|| "it measured nothing that can be judged".to_owned())
}
