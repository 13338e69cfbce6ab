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
        let again = second.metrics.iter().find(|other| other.quantile == metric.quantile);
        if let Some(change) = again.and_then(|other| other.change) {
            add_note(metric, &format!("measured again: {}", words::change(change)));
        }
        if again.is_some_and(is_regressed) {
            confirmed.push(metric.quantile.to_string());
        } else {
            unconfirmed.push(metric.quantile.to_string());
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
        combined
            .reasons
            .push(format!("{} was beyond its limit in two measurements", confirmed.join(" and ")));
    }
    if !unconfirmed.is_empty() {
        combined.reasons.push(format!(
            "{} was beyond its limit in the first measurement only",
            unconfirmed.join(" and ")
        ));
    }
    combined.reasons.extend(first.reasons.iter().map(|reason| format!("first measurement: {reason}")));
    combined.reasons.extend(second.reasons.into_iter().map(|reason| format!("second measurement: {reason}")));
    combined
}

fn is_regressed(metric: &MetricComparison) -> bool {
    metric.is_gated && metric.verdict == Verdict::Regressed
}

fn add_note(metric: &mut MetricComparison, words: &str) {
    metric.note = Some(match metric.note.take() {
        Some(note) => format!("{note}; {words}"),
        None => words.to_owned(),
    });
}
