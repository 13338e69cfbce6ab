//! Property tests: whatever is measured and whatever is stored, the verdict is made of numbers and owes nothing to luck.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::{gate, judge_against, measurement, quiet_history, round, stored};
use crate::measurement::{Ending, GeneratorHealth, Measurement, OutcomeClass, Round};
use crate::scenario::{Budget, Gate, Quantile};
use crate::verdict::Verdict;

fn any_round() -> impl Strategy<Value = Round> {
    let sample = (any::<u64>(), prop_oneof![0..20_000_u64, Just(100_000_000_000_000)]);
    let outcome = (prop::sample::select(OutcomeClass::ALL.to_vec()), 0..30_000_u64);
    (prop::collection::vec(sample, 0..3), prop::collection::vec(outcome, 0..4)).prop_map(
        |(samples, outcomes)| {
            let mut round = Round::empty();
            for (nanos, count) in samples {
                round.latency.saturating_record_n(nanos, count);
                round.outcomes.add(OutcomeClass::Success, count);
            }
            for (class, count) in outcomes {
                round.outcomes.add(class, count);
            }
            round
        },
    )
}

fn any_measurement() -> impl Strategy<Value = Measurement> {
    let rounds = prop::collection::vec(any_round(), 0..4);
    let health = (0.0..=1.0_f64, prop_oneof![Just(0.0), Just(f64::MAX), 0.0..1e6], 0.0..=1.0_f64);
    (rounds, health, any::<(u32, u32, u64)>(), any::<(bool, bool)>()).prop_map(
        |(rounds, (late_share, lag_p99_us, busy_share), (asked, reached, nanos), (is_open, is_partial))| {
            let usual = measurement(rounds);
            Measurement {
                elapsed: Duration::from_nanos(nanos),
                asked_rate: usual.asked_rate.filter(|_| is_open),
                asked_connections: asked,
                reached_connections: reached,
                generator: GeneratorHealth { late_share, lag_p99_us, busy_share },
                ending: if is_partial && is_open { Ending::Interrupted } else { Ending::Complete },
                endpoints: vec![],
                class_latency: vec![],
                ..usual
            }
        },
    )
}

fn any_limit() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..=1.0_f64, prop::sample::select(vec![f64::NAN, f64::INFINITY, -1.0, f64::MAX, 0.0])]
}

fn any_gate() -> impl Strategy<Value = Gate> {
    let quantiles = prop::sample::subsequence(vec![Quantile::P50, Quantile::P90, Quantile::P99], 0..=3);
    (quantiles, any_limit(), any_limit(), any::<Option<u64>>()).prop_map(
        |(metrics, max_regression, max_error_rate, budget)| Gate {
            max_regression,
            max_error_rate,
            budgets: budget
                .map(|nanos| Budget { quantile: Quantile::P50, limit: Duration::from_nanos(nanos) })
                .into_iter()
                .collect(),
            ..gate(&metrics)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_measurement_and_no_store_makes_a_verdict_of_nothing(
        gate in any_gate(),
        head in any_measurement(),
        stored_runs in prop::collection::vec((any_measurement(), -30_i64..2_000), 0..5),
        usual_runs in 0..4_usize,
    ) {
        let mut records: Vec<_> = stored_runs.into_iter().map(|(run, hours)| stored(run, hours)).collect();
        records.extend(quiet_history().into_iter().take(usual_runs));

        let comparison = judge_against(&gate, &head, &records);

        let outcomes = head.outcomes();
        if outcomes.answered() == 0 || head.is_partial() {
            prop_assert_eq!(comparison.verdict, Verdict::Invalid);
        }
        let runs = comparison.baseline.as_ref().map_or(0, |used| used.runs);
        let is_by_baseline = comparison.metrics.iter().any(|metric| metric.is_gated);
        prop_assert!(runs >= 3 || !is_by_baseline);
        if matches!(comparison.verdict, Verdict::Passed | Verdict::Improved) && !gate.metrics.is_empty() {
            prop_assert!(is_by_baseline, "{:?}", comparison);
        }
    }

    #[test]
    fn noise_in_the_store_only_weakens_what_a_pass_says(
        offsets in prop::collection::vec(-0.3_f64..0.3, 3..8), louder in 1.0_f64..5.0,
    ) {
        let centre = offsets.iter().sum::<f64>() / offsets.len() as f64;
        let detectable = |scale: f64| {
            let runs = offsets.iter().zip(1..).map(|(offset, hours)| {
                let us = 3_000.0 * ((offset - centre) * scale).exp();
                stored(measurement(vec![round(300, us, us)]), hours)
            });
            let head = measurement(vec![round(300, 3_000.0, 3_000.0)]);
            let comparison = judge_against(&gate(&[Quantile::P50]), &head, &runs.collect::<Vec<_>>());
            comparison.metrics[0].detectable.unwrap_or(f64::INFINITY)
        };

        // A histogram rounds by up to a thousandth.
        prop_assert!(detectable(louder) >= detectable(1.0) * 0.99 - 0.01);
    }
}
