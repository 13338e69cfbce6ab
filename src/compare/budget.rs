//! Budgets are absolute limits: they hold with or without a baseline, over all answers of the run together.

use crate::measurement::{Measurement, quantile_us};
use crate::scenario::{Budget, Gate};
use crate::verdict::Verdict;

use super::{Comparison, Mode, words};

/// Adds what the budgets say; one that is exceeded decides the verdict.
pub(super) fn judge(gate: &Gate, head: &Measurement, comparison: &mut Comparison) {
    if gate.budgets.is_empty() {
        return;
    }
    let latency = head.merged().latency;
    let mut exceeded = Vec::new();
    for budget in &gate.budgets {
        let limit = words::time(budget.limit.as_secs_f64() * 1e6);
        let Some(seen_us) = quantile_us(&latency, budget.quantile) else {
            comparison.verdict = comparison.verdict.worse(Verdict::Inconclusive);
            comparison.reasons.push(format!(
                "{} could not be held against its budget of {limit}: no answer was timed",
                budget.quantile
            ));
            continue;
        };
        let seen = words::time(seen_us);
        // The lower end of the histogram's step: rounding alone must not exceed a budget.
        let least_ns = latency.lowest_equivalent(latency.value_at_quantile(budget.quantile.fraction()));
        if u128::from(least_ns) > budget.limit.as_nanos() {
            exceeded.push(format!("{} is {seen}, over its budget of {limit}", budget.quantile));
            add_note(comparison, budget, &format!("over its budget of {limit}"));
        } else {
            comparison.reasons.push(format!("{} is {seen}, within its budget of {limit}", budget.quantile));
            add_note(comparison, budget, &format!("within its budget of {limit}"));
        }
    }
    if !exceeded.is_empty() {
        // No second measurement is asked for: the mode tells `confirm` that no baseline decided this.
        comparison.mode = Mode::Budget;
        comparison.verdict = comparison.verdict.worse(Verdict::Regressed);
        comparison.reasons.splice(0..0, exceeded);
    }
}

fn add_note(comparison: &mut Comparison, budget: &Budget, words: &str) {
    for metric in comparison.metrics.iter_mut().filter(|metric| metric.of == budget.quantile) {
        metric.add_note(words);
    }
}
