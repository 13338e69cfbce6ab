//! Confirming weighs a second measurement of the same scenario after the first seemed slower than the baseline.
//!
//! Two independent alarms on the same metric are a hundred times rarer than one when nothing changed.

use crate::verdict::Verdict;

use super::{Comparison, MetricComparison, Mode, words};

/// Returns whether the run looks slower than its baseline and should be measured again before anybody is blamed.
///
/// Errors and budgets are facts about this run alone and are not asked twice.
#[must_use]
pub fn needs_confirmation(comparison: &Comparison) -> bool {
    comparison.mode == Mode::Baseline && comparison.verdict == Verdict::Regressed
}

/// Combines a suspected latency regression with a second measurement.
///
/// The same metric beyond its limit again makes a regression, anything less is inconclusive. A second run that is
/// invalid, has too many errors or breaks a budget says so by itself. The metrics shown are those of the first run,
/// with the second one's change as a note.
#[must_use]
pub fn confirm(first: Comparison, second: Comparison) -> Comparison {
    if !needs_confirmation(&first) {
        return first;
    }
    let mut combined = first.clone();
    let mut confirmed = Vec::new();
    let mut unconfirmed = Vec::new();
    for metric in combined.metrics.iter_mut().filter(|metric| is_regressed(metric)) {
        let again = second.metrics.iter().find(|other| other.of == metric.of);
        if let Some(change) = again.and_then(|other| other.change) {
            metric.add_note(&format!("measured again: {}", words::change(change)));
        }
        if again.is_some_and(is_regressed) {
            confirmed.push(metric.of.to_string());
        } else {
            unconfirmed.push(metric.of.to_string());
            metric.verdict = Verdict::Inconclusive;
        }
    }
    let stands_alone =
        matches!(second.verdict, Verdict::Invalid | Verdict::Regressed) && second.mode != Mode::Baseline;
    combined.reasons.clear();
    if confirmed.is_empty() {
        combined.verdict = if stands_alone { second.verdict } else { Verdict::Inconclusive };
        if stands_alone {
            combined.mode = second.mode;
        }
    } else {
        combined.reasons.push(format!("{} in two measurements", beyond_limit(&confirmed)));
    }
    if !unconfirmed.is_empty() {
        combined.reasons.push(format!("{} in the first measurement only", beyond_limit(&unconfirmed)));
    }
    combined.reasons.extend(first.reasons.iter().map(|reason| format!("first measurement: {reason}")));
    combined.reasons.extend(second.reasons.into_iter().map(|reason| format!("second measurement: {reason}")));
    combined
}

/// Ends a suspicion that could not be measured again, because the run was interrupted.
#[must_use]
pub fn abandon(first: Comparison) -> Comparison {
    invalidate(first, "interrupted before a suspected regression could be measured again".to_owned())
}

/// Takes back whatever was concluded, for a reason that the measurement itself does not show.
#[must_use]
pub fn invalidate(mut comparison: Comparison, reason: String) -> Comparison {
    comparison.verdict = Verdict::Invalid;
    comparison.reasons.insert(0, reason);
    comparison
}

fn beyond_limit(metrics: &[String]) -> String {
    match metrics {
        [one] => format!("{one} was beyond its limit"),
        several => format!("{} were beyond their limits", several.join(" and ")),
    }
}

fn is_regressed(metric: &MetricComparison) -> bool {
    metric.is_gated && metric.verdict == Verdict::Regressed
}

#[cfg(test)]
mod tests {
    use super::super::tests::{gate, judge_against, measurement, quiet_history, round, steady};
    use super::*;
    use crate::measurement::{Ending, Measurement, OutcomeClass};
    use crate::scenario::Quantile;

    fn judged(head: &Measurement) -> Comparison {
        judge_against(&gate(&[Quantile::P50, Quantile::P99]), head, &quiet_history())
    }

    fn slow_at(p50_us: f64, p99_us: f64) -> Comparison {
        judged(&measurement(vec![round(20_000, p50_us, p99_us); 3]))
    }

    #[test]
    fn the_same_metric_twice_is_a_regression() {
        let first = slow_at(4_000.0, 9_000.0);
        assert!(needs_confirmation(&first));

        let combined = confirm(first, slow_at(4_200.0, 9_000.0));

        assert_eq!((combined.verdict, combined.mode), (Verdict::Regressed, Mode::Baseline));
        assert_eq!(combined.reasons[0], "p50 was beyond its limit in two measurements");
        assert!(combined.reasons.iter().any(|reason| reason.starts_with("first measurement: p50 is 33")));
        assert!(combined.reasons.iter().any(|reason| reason.starts_with("second measurement: p50 is 39")));
        assert_eq!(combined.metrics[0].note.as_deref(), Some("measured again: +39.8 %"));
    }

    #[test]
    fn another_metric_or_none_is_inconclusive() {
        for second in [slow_at(3_000.0, 12_000.0), slow_at(3_000.0, 9_000.0)] {
            let combined = confirm(slow_at(4_000.0, 9_000.0), second);

            assert_eq!(combined.verdict, Verdict::Inconclusive);
            assert_eq!(combined.reasons[0], "p50 was beyond its limit in the first measurement only");
            assert!(combined.metrics.iter().all(|metric| metric.verdict != Verdict::Regressed));
        }
    }

    #[test]
    fn a_second_run_that_fails_by_itself_is_not_forgiven() {
        let mut dead = steady(3_000.0);
        for round in &mut dead.rounds {
            *round = crate::measurement::Round::empty();
            round.outcomes.add(OutcomeClass::Connect, 100);
        }
        let mut failing = steady(3_000.0);
        failing.rounds[0].outcomes.add(OutcomeClass::ServerError, 20_000);

        assert_eq!(confirm(slow_at(4_000.0, 9_000.0), judged(&dead)).verdict, Verdict::Invalid);
        assert_eq!(confirm(slow_at(4_000.0, 9_000.0), judged(&failing)).verdict, Verdict::Regressed);
    }

    #[test]
    fn a_second_run_that_was_cut_short_confirms_nothing() {
        let cut = Measurement { ending: Ending::Interrupted, ..steady(4_000.0) };

        assert_eq!(confirm(slow_at(4_000.0, 9_000.0), judged(&cut)).verdict, Verdict::Invalid);
    }

    #[test]
    fn a_suspicion_that_was_never_asked_again_blames_nobody() {
        let abandoned = abandon(slow_at(4_000.0, 9_000.0));

        assert_eq!(abandoned.verdict, Verdict::Invalid);
        assert!(abandoned.reasons[0].contains("interrupted"), "{abandoned:?}");
    }

    #[test]
    fn what_needs_no_confirmation_is_left_as_it_is() {
        let passed = slow_at(3_000.0, 9_000.0);
        assert!(!needs_confirmation(&passed));

        assert_eq!(confirm(passed.clone(), slow_at(9_000.0, 9_000.0)), passed);
    }
}
