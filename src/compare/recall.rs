//! Recalling picks, from all that is stored, the runs that may be compared with the one at hand, and says of the
//! others why not.

use std::collections::BTreeMap;

use crate::baseline::Record;
use crate::measurement::Measurement;
use crate::scenario::{Gate, ScenarioName};

use super::{BaselineUse, History, validity, words};

/// A run this many days old says little about today's machine and service.
const MAX_AGE_DAYS: i64 = 60;

/// More runs hardly sharpen the bound, but remember older versions of the service.
pub const MAX_RUNS: usize = 30;

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
        let why = why_no_candidate(record, history)
            .or_else(|| {
                step.is_some_and(|step| record.measured_at < step)
                    .then(|| "measured before the last accepted step".to_owned())
            })
            .or_else(|| (runs.len() >= MAX_RUNS).then(|| format!("only the newest {MAX_RUNS} are used")))
            .or_else(|| is_copied(record, &runs).then(|| "a copy of another".to_owned()))
            .or_else(|| why_no_good(gate, &record.measurement));
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

/// One run stored several times says nothing about how much runs differ.
fn is_copied(record: &Record, runs: &[&Record]) -> bool {
    runs.iter()
        .any(|other| other.measured_at == record.measured_at && other.measurement == record.measurement)
}

fn is_ahead(record: &Record, history: &History) -> bool {
    record.measured_at.duration_since(history.now) > jiff::SignedDuration::from_hours(MAX_AHEAD_HOURS)
}

/// Returns whether a stored run comes into question, whatever it measured.
#[must_use]
pub fn is_candidate(record: &Record, history: &History) -> bool {
    why_no_candidate(record, history).is_none()
}

fn why_no_candidate(record: &Record, history: &History) -> Option<String> {
    let differences = record.fingerprint.differences(history.fingerprint);
    if !differences.is_empty() {
        return Some(differences.join("; "));
    }
    if is_ahead(record, history) {
        return Some("dated in the future".to_owned());
    }
    let age = history.now.duration_since(record.measured_at);
    (age > jiff::SignedDuration::from_hours(24 * MAX_AGE_DAYS))
        .then(|| format!("older than {MAX_AGE_DAYS} days"))
}

fn why_no_good(gate: &Gate, measurement: &Measurement) -> Option<String> {
    if measurement.is_partial() {
        return Some("cut short".to_owned());
    }
    if validity::is_above_error_rate(gate, &measurement.outcomes()) {
        return Some("too many of its requests failed".to_owned());
    }
    let is_judgeable = validity::why_invalid(measurement).is_none()
        && validity::why_service_fell_silent(measurement).is_none()
        && validity::doubts(measurement).is_empty()
        && measurement.rounds.iter().any(|round| !round.latency.is_empty());
    (!is_judgeable).then(|| "it measured nothing that can be judged".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, gate, steady, stored};
    use super::*;
    use crate::baseline::Fingerprint;
    use crate::measurement::{Ending, GeneratorHealth, OutcomeClass, Round};
    use crate::scenario::Quantile;

    fn recalled(records: &[Record]) -> (usize, Vec<String>) {
        let fingerprint = crate::baseline::tests::fingerprint();
        let history = History { records, fingerprint: &fingerprint, now: NOW.parse().unwrap() };
        let scenario = ScenarioName::parse("browse").unwrap();

        let comparable = comparable(&gate(&[Quantile::P50]), &scenario, &history);

        let times: Vec<_> = comparable.runs.iter().map(|record| record.measured_at).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
        (comparable.runs.len(), comparable.left_out)
    }

    #[test]
    fn other_machines_are_left_out_with_the_difference() {
        let run = stored(steady(3_000.0), 1);
        let elsewhere =
            Record { fingerprint: Fingerprint { cpu: "B".into(), ..run.fingerprint.clone() }, ..run.clone() };

        let (used, left_out) = recalled(&[run, elsewhere.clone(), elsewhere]);

        assert_eq!(used, 1);
        assert_eq!(left_out, ["2 stored runs left out: processor: B, now A"]);
    }

    #[test]
    fn other_scenarios_are_none_of_its_business() {
        assert_eq!(recalled(&[crate::baseline::tests::record("checkout", NOW)]), (0, Vec::new()));
    }

    #[test]
    fn age_is_limited_at_both_ends() {
        let at = |hours_ago| recalled(&[stored(steady(3_000.0), hours_ago)]);

        assert_eq!(at(60 * 24).0, 1);
        assert_eq!(at(60 * 24 + 1).1, ["1 stored run left out: older than 60 days"]);
        assert_eq!(at(-24).0, 1);
        assert_eq!(at(-25).1, ["1 stored run left out: dated in the future"]);
    }

    #[test]
    fn the_newest_thirty_are_enough() {
        let records: Vec<Record> = (1..=32).map(|hours| stored(steady(3_000.0), hours)).collect();

        assert_eq!(
            recalled(&records),
            (30, vec!["2 stored runs left out: only the newest 30 are used".to_owned()])
        );
    }

    #[test]
    fn an_accepted_step_begins_a_new_history() {
        let mut records: Vec<Record> = (1..=4).map(|hours| stored(steady(3_000.0), hours)).collect();
        records[1].accepted_step = Some("wanted".into());

        assert_eq!(
            recalled(&records),
            (2, vec!["2 stored runs left out: measured before the last accepted step".to_owned()])
        );
    }

    #[test]
    fn an_accepted_step_from_the_future_begins_nothing() {
        let step = Record { accepted_step: Some("wanted".into()), ..stored(steady(3_000.0), -48) };

        assert_eq!(recalled(&[stored(steady(3_000.0), 1), step]).0, 1);
    }

    #[test]
    fn one_run_that_was_stored_thrice_is_one_run() {
        let run = stored(steady(3_000.0), 1);
        let step = Record { accepted_step: Some("wanted".into()), ..run.clone() };
        let another = stored(steady(3_001.0), 1);

        assert_eq!(
            recalled(&[run.clone(), run.clone(), step]),
            (1, vec!["2 stored runs left out: a copy of another".to_owned()])
        );
        assert_eq!(recalled(&[run, another]).0, 2);
    }

    #[test]
    fn runs_that_were_no_good_are_left_out() {
        let mut failing = steady(3_000.0);
        failing.rounds[0].outcomes.add(OutcomeClass::ServerError, 20_000);
        let overloaded = Measurement {
            generator: GeneratorHealth { late_share: 0.5, lag_p99_us: 9_000.0, busy_share: 0.5 },
            ..steady(3_000.0)
        };
        let mut unanswered = Measurement { rounds: vec![Round::empty()], ..steady(3_000.0) };
        unanswered.rounds[0].outcomes.add(OutcomeClass::Redirect, 1);
        let cut = Measurement { ending: Ending::Interrupted, ..steady(3_000.0) };

        let records: Vec<Record> = [failing, overloaded, unanswered, cut]
            .into_iter()
            .map(|measurement| stored(measurement, 1))
            .collect();

        assert_eq!(
            recalled(&records).1,
            [
                "1 stored run left out: cut short",
                "2 stored runs left out: it measured nothing that can be judged",
                "1 stored run left out: too many of its requests failed",
            ]
        );
    }
}
