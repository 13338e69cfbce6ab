//! Comparing sets a measurement beside what is remembered and says what may be concluded, in words.
//!
//! It sees no socket, no file and no terminal: measurements in, a `Comparison` out. `validity` asks whether there is
//! anything to judge, `recall` which stored runs are comparable, `budget` and `latency` judge, `confirm` weighs a
//! second measurement.

mod budget;
mod confirm;
#[cfg(test)]
mod hostile;
mod latency;
mod recall;
mod validity;
mod words;

use hdrhistogram::Histogram;
use serde::Serialize;

pub use confirm::{abandon, confirm, invalidate, needs_confirmation};
pub use recall::{MAX_RUNS, is_candidate};

use crate::baseline::{Fingerprint, Record};
use crate::measurement::{Measurement, empty_histogram};
use crate::scenario::{Gate, Metric, ScenarioName};
use crate::verdict::Verdict;

/// How much higher the error rate may be than in every stored run for faster answers to count as an improvement.
const ERROR_RATE_SLACK: f64 = 0.005;

/// What is remembered, and what the run at hand must share with it.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// Every stored run, of any scenario and machine, in any order.
    pub records: &'a [Record],
    /// What a stored run must equal to be comparable.
    pub fingerprint: &'a Fingerprint,
    /// The time at which the comparison is made.
    pub now: jiff::Timestamp,
}

/// What a scenario was judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The base version, measured in the same run.
    Ab,
    /// Stored baselines.
    Baseline,
    /// Absolute limits only.
    Budget,
    /// Nothing: the run was recorded.
    Record,
}

/// One quantile of latency, compared.
///
/// Times are microseconds, changes are fractions: +0.10 is ten per cent slower.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricComparison {
    /// Which point of the distribution.
    pub of: Metric,
    /// What the baseline says: the geometric mean of its runs.
    pub base_us: Option<f64>,
    /// What this run says: the median over its rounds.
    pub head_us: Option<f64>,
    /// `head / base − 1`.
    pub change: Option<f64>,
    /// The lower end of the confidence interval of the change.
    pub low: Option<f64>,
    /// The upper end of the confidence interval of the change.
    pub high: Option<f64>,
    /// The change beyond which the metric counts as regressed.
    pub limit: Option<f64>,
    /// The smallest slowdown that this comparison would have seen.
    pub detectable: Option<f64>,
    /// What this metric alone says.
    pub verdict: Verdict,
    /// Whether it takes part in the verdict or is only shown.
    pub is_gated: bool,
    /// What a reader should know about it, such as too few samples.
    pub note: Option<String>,
}

impl MetricComparison {
    fn add_note(&mut self, words: &str) {
        self.note = Some(match self.note.take() {
            Some(note) => format!("{note}; {words}"),
            None => words.to_owned(),
        });
    }
}

/// The stored runs that a comparison used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineUse {
    /// How many comparable runs there were.
    pub runs: usize,
    /// How many stored runs were not comparable, with the reason of each kind.
    pub left_out: Vec<String>,
    /// The commit of the newest run that was used.
    pub newest_commit: Option<String>,
}

/// What may be concluded about one scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What it was judged by.
    pub mode: Mode,
    /// The conclusion.
    pub verdict: Verdict,
    /// Why, in sentences that a reader of the pull request understands.
    pub reasons: Vec<String>,
    /// Every gated quantile and those that are only shown.
    pub metrics: Vec<MetricComparison>,
    /// The stored runs, where there were any.
    pub baseline: Option<BaselineUse>,
}

/// Judges one scenario's measurement by its gate.
///
/// The order is that of how much a finding weighs: a run that measured nothing is invalid; too many errors void the
/// latencies, for a fast failure is no fast answer; then absolute budgets; then the stored baseline.
#[must_use]
pub fn judge(gate: &Gate, head: &Measurement, history: &History) -> Comparison {
    let comparable = recall::comparable(gate, &head.scenario, history);
    let judged = latency::judge(gate, head, &comparable);
    let mut comparison = Comparison {
        mode: judged.mode,
        verdict: judged.verdict,
        reasons: judged.reasons,
        metrics: judged.metrics,
        baseline: comparable.as_baseline_use(),
    };
    if let Some(reason) = validity::why_invalid(head) {
        void(&mut comparison, Verdict::Invalid, vec![reason], "the run is invalid");
        return comparison;
    }
    if let Some(reason) = validity::why_too_many_errors(gate, head) {
        void(&mut comparison, Verdict::Regressed, vec![reason], "too many requests failed");
        return comparison;
    }
    if let Some(reason) = validity::why_service_fell_silent(head) {
        void(&mut comparison, Verdict::Invalid, vec![reason], "the run is invalid");
        return comparison;
    }
    let doubts = validity::doubts(head);
    if !doubts.is_empty() {
        void(&mut comparison, Verdict::Inconclusive, doubts, "the run was not the one that was asked for");
    }
    withdraw_bought_improvement(&mut comparison, head, &comparable);
    budget::judge(gate, head, &mut comparison);
    comparison.reasons.extend(validity::remarks(head));
    comparison
}

/// Returns the latencies of all stored runs that [`judge`] compares with, merged; `None` where there are none.
#[must_use]
pub fn base_latency(gate: &Gate, scenario: &ScenarioName, history: &History) -> Option<Histogram<u64>> {
    let comparable = recall::comparable(gate, scenario, history);
    let mut merged = empty_histogram();
    for round in comparable.runs.iter().flat_map(|record| &record.measurement.rounds) {
        merged.add(&round.latency).expect("every round has this project's bounds");
    }
    (!merged.is_empty()).then_some(merged)
}

/// Takes the latencies out of the verdict: they are shown, and decide nothing.
///
/// The mode becomes that of absolute limits, for no baseline decided this and measuring again would not help.
fn void(comparison: &mut Comparison, verdict: Verdict, reasons: Vec<String>, why: &str) {
    for metric in &mut comparison.metrics {
        metric.is_gated = false;
        metric.verdict = Verdict::Inconclusive;
        metric.limit = None;
        metric.detectable = None;
        metric.note = Some(format!("shown only: {why}"));
    }
    comparison.mode = Mode::Budget;
    comparison.verdict = verdict;
    comparison.reasons = reasons;
}

/// Faster answers that were bought with more failed ones are no improvement.
fn withdraw_bought_improvement(
    comparison: &mut Comparison,
    head: &Measurement,
    comparable: &recall::Comparable,
) {
    let error_rate = head.outcomes().error_rate().unwrap_or(0.0);
    if comparison.verdict != Verdict::Improved
        || error_rate <= comparable.worst_error_rate() + ERROR_RATE_SLACK
    {
        return;
    }
    comparison.verdict = Verdict::Passed;
    for metric in comparison.metrics.iter_mut().filter(|metric| metric.verdict == Verdict::Improved) {
        metric.verdict = Verdict::Passed;
    }
    comparison.reasons.insert(
        0,
        format!(
            "faster, but no improvement: {} of the requests failed, more than in any stored run",
            words::share(error_rate)
        ),
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::baseline::tests::fingerprint;
    use crate::measurement::{Ending, GeneratorHealth, OutcomeClass, Round};
    use crate::scenario::{Breaker, Budget, Quantile, Rate};
    use crate::verdict::FailOn;

    pub(super) const NOW: &str = "2026-11-23T12:00:00Z";

    pub(super) fn gate(metrics: &[Quantile]) -> Gate {
        Gate {
            metrics: metrics.iter().copied().map(Metric::from).collect(),
            max_regression: 0.10,
            max_error_rate: 0.01,
            budgets: Vec::new(),
            fail_on: FailOn::default(),
            confirm_after: Duration::ZERO,
            breaker: Breaker::OFF,
        }
    }

    /// A round of so many answers: 97 of 100 at the first latency, the others at the second.
    pub(super) fn round(answers: u64, p50_us: f64, p99_us: f64) -> Round {
        let slow = answers * 3 / 100;
        let mut round = Round::empty();
        round.outcomes.add(OutcomeClass::Success, answers);
        for (us, count) in [(p50_us, answers - slow), (p99_us, slow)] {
            round.latency.record_n(Duration::from_secs_f64(us / 1e6).as_nanos() as u64, count).unwrap();
        }
        round
    }

    pub(super) fn measurement(rounds: Vec<Round>) -> Measurement {
        Measurement {
            scenario: ScenarioName::parse("browse").unwrap(),
            rounds,
            elapsed: Duration::from_secs(30),
            asked_rate: Some(Rate::per_second(1000.0).unwrap()),
            asked_connections: 8,
            reached_connections: 8,
            generator: GeneratorHealth::default(),
            steady_state: crate::measurement::SteadyState::NotSought,
            ending: Ending::Complete,
            endpoints: vec![],
            class_latency: vec![],
            bytes_received: None,
        }
    }

    /// A run of three equal rounds of 20 000 answers.
    pub(super) fn steady(p50_us: f64) -> Measurement {
        measurement(vec![round(20_000, p50_us, p50_us * 3.0); 3])
    }

    pub(super) fn stored(measurement: Measurement, hours_ago: i64) -> Record {
        let now: jiff::Timestamp = NOW.parse().unwrap();
        Record {
            measurement,
            commit: None,
            measured_at: now - jiff::SignedDuration::from_hours(hours_ago),
            tool_version: "0.1.0".into(),
            fingerprint: fingerprint(),
            accepted_step: None,
        }
    }

    pub(super) fn judge_against(gate: &Gate, head: &Measurement, records: &[Record]) -> Comparison {
        let fingerprint = fingerprint();
        let comparison =
            judge(gate, head, &History { records, fingerprint: &fingerprint, now: NOW.parse().unwrap() });
        assert_finite(&comparison);
        comparison
    }

    fn assert_finite(comparison: &Comparison) {
        for metric in &comparison.metrics {
            let fields = [
                metric.base_us,
                metric.head_us,
                metric.change,
                metric.low,
                metric.high,
                metric.limit,
                metric.detectable,
            ];
            assert!(fields.into_iter().flatten().all(f64::is_finite), "{metric:?}");
        }
        assert!(!comparison.reasons.is_empty());
        assert!(comparison.reasons.iter().all(|reason| !reason.contains("NaN")), "{:?}", comparison.reasons);
    }

    /// Six quiet runs around three milliseconds.
    pub(super) fn quiet_history() -> Vec<Record> {
        let latencies = [3_000.0, 3_030.0, 2_980.0, 3_010.0, 2_990.0, 3_020.0];
        latencies.into_iter().zip(1..).map(|(us, hours)| stored(steady(us), hours)).collect()
    }

    fn with_failures(mut head: Measurement, class: OutcomeClass, count: u64) -> Measurement {
        for round in &mut head.rounds {
            round.outcomes.add(class, count);
        }
        head
    }

    #[test]
    fn a_run_without_answers_is_invalid_whatever_is_stored() {
        let mut silent = Round::empty();
        silent.outcomes.add(OutcomeClass::Connect, 120);
        silent.outcomes.add(OutcomeClass::Timeout, 3);

        let comparison = judge_against(&gate(&[Quantile::P50]), &measurement(vec![silent]), &quiet_history());

        assert_eq!(comparison.verdict, Verdict::Invalid);
        assert_eq!(
            comparison.reasons,
            ["nothing was measured: 0 of 123 requests were answered; connect 120, timeout 3"]
        );
    }

    #[test]
    fn a_run_without_rounds_is_invalid() {
        let comparison = judge_against(&gate(&[Quantile::P50]), &measurement(Vec::new()), &[]);

        assert_eq!(comparison.verdict, Verdict::Invalid);
        assert_eq!(comparison.reasons, ["nothing was measured: no request was due"]);
    }

    #[test]
    fn a_warm_up_without_a_steady_state_is_told_and_changes_no_verdict() {
        let restless =
            Measurement { steady_state: crate::measurement::SteadyState::NotFound, ..steady(3_000.0) };
        let judged = |head| judge_against(&gate(&[Quantile::P50]), head, &quiet_history());

        let (told, usual) = (judged(&restless), judged(&steady(3_000.0)));

        let said = |comparison: &Comparison| {
            comparison.reasons.iter().any(|reason| reason.contains("found no steady state"))
        };
        assert_eq!((told.verdict, said(&told)), (usual.verdict, true));
        assert!(!said(&usual));
    }

    #[test]
    fn a_generator_that_was_the_bottleneck_makes_the_run_invalid() {
        let late = |late_share, lag_p99_us| Measurement {
            generator: GeneratorHealth { late_share, lag_p99_us, busy_share: 0.5 },
            ..steady(3_000.0)
        };
        let verdict =
            |head: &Measurement| judge_against(&gate(&[Quantile::P50]), head, &quiet_history()).verdict;
        let closed = Measurement { asked_rate: None, ..late(0.2, 4_000.0) };

        assert_eq!(verdict(&late(0.2, 4_000.0)), Verdict::Invalid);
        assert_eq!(verdict(&late(0.04, 4_000.0)), Verdict::Passed, "it is seldom late");
        assert_eq!(verdict(&late(0.2, 900.0)), Verdict::Passed, "it is little late");
        assert_eq!(verdict(&closed), Verdict::Passed, "the closed loop cannot be late");
    }

    #[test]
    fn a_saturated_generator_that_misses_its_rate_makes_the_run_invalid() {
        let missed = |busy_share, unsent| {
            let mut head = steady(3_000.0);
            head.generator.busy_share = busy_share;
            head.rounds[0].outcomes.add(OutcomeClass::Unsent, unsent);
            judge_against(&gate(&[Quantile::P50]), &head, &quiet_history())
        };

        let saturated = missed(0.99, 50_000);
        assert_eq!(saturated.verdict, Verdict::Invalid);
        assert!(saturated.reasons[0].starts_with("the load generator was the bottleneck"), "{saturated:?}");
        assert_eq!(missed(0.99, 0).verdict, Verdict::Passed, "busy, but it kept its rate");
        assert_eq!(missed(0.5, 50_000).verdict, Verdict::Regressed, "the service kept the connections busy");
    }

    #[test]
    fn little_lateness_is_remarked() {
        let head = Measurement {
            generator: GeneratorHealth { late_share: 0.2, lag_p99_us: 900.0, busy_share: 0.5 },
            ..steady(3_000.0)
        };

        let comparison = judge_against(&gate(&[Quantile::P50]), &head, &quiet_history());

        assert!(comparison.reasons.iter().any(|reason| reason.contains("sent 20 % of the requests late")));
    }

    #[test]
    fn a_closed_loop_that_is_limited_by_its_generator_is_remarked() {
        let said = |busy_share, asked_rate| {
            let mut head = Measurement { asked_rate, ..steady(3_000.0) };
            head.generator.busy_share = busy_share;
            let comparison = judge_against(&gate(&[Quantile::P50]), &head, &quiet_history());
            comparison.reasons.iter().any(|reason| reason.starts_with("the load generator was busy 99.5 %"))
        };

        assert!(said(0.995, None));
        assert!(!said(0.5, None), "it had time left");
        assert!(!said(0.995, steady(3_000.0).asked_rate), "it kept its rate");
    }

    #[test]
    fn errors_are_judged_before_latency() {
        let head = with_failures(steady(6_000.0), OutcomeClass::ServerError, 1_000);

        let comparison = judge_against(&gate(&[Quantile::P50]), &head, &quiet_history());

        assert_eq!((comparison.verdict, comparison.mode), (Verdict::Regressed, Mode::Budget));
        assert_eq!(comparison.reasons, ["4.8 % of 63000 requests failed (5xx 3000); at most 1 % may"]);
        assert!(comparison.metrics.iter().all(|metric| !metric.is_gated && metric.head_us.is_some()));
        assert!(!needs_confirmation(&comparison));
    }

    #[test]
    fn fast_failures_never_improve_anything() {
        let fast = with_failures(steady(1_000.0), OutcomeClass::ServerError, 1_000);
        let mut lenient = gate(&[Quantile::P50]);

        assert_eq!(judge_against(&lenient, &fast, &quiet_history()).verdict, Verdict::Regressed);

        lenient.max_error_rate = 1.0;
        let comparison = judge_against(&lenient, &fast, &quiet_history());

        assert_eq!(comparison.verdict, Verdict::Passed);
        assert!(comparison.reasons[0].starts_with("faster, but no improvement: 4.8 %"));
        assert_eq!(judge_against(&lenient, &steady(1_000.0), &quiet_history()).verdict, Verdict::Improved);
    }

    #[test]
    fn limits_that_are_no_numbers_are_strict() {
        let mut broken = gate(&[Quantile::P50]);
        broken.max_error_rate = f64::NAN;
        let head = with_failures(steady(3_000.0), OutcomeClass::ServerError, 1);

        assert_eq!(judge_against(&broken, &head, &quiet_history()).verdict, Verdict::Regressed);

        broken.max_regression = f64::NAN;
        assert_eq!(judge_against(&broken, &steady(4_000.0), &quiet_history()).verdict, Verdict::Regressed);
    }

    #[test]
    fn a_budget_fails_with_and_without_a_baseline() {
        let budgeted = |ms| Gate {
            budgets: vec![Budget { quantile: Quantile::P99, limit: Duration::from_millis(ms) }],
            ..gate(&[Quantile::P50])
        };
        let head = steady(3_000.0);

        let kept = judge_against(&budgeted(9), &head, &[]);
        let broken = judge_against(&budgeted(8), &head, &[]);
        let broken_with_baseline = judge_against(&budgeted(8), &head, &quiet_history());

        assert_eq!((kept.verdict, kept.mode), (Verdict::NoBaseline, Mode::Budget));
        assert_eq!((broken.verdict, broken.mode), (Verdict::Regressed, Mode::Budget));
        assert_eq!(broken.reasons[0], "p99 is 9.00 ms, over its budget of 8.00 ms");
        assert_eq!(broken_with_baseline.verdict, Verdict::Regressed);
        assert!(!needs_confirmation(&broken_with_baseline));
    }

    #[test]
    fn a_run_that_was_cut_short_is_invalid_however_it_looks() {
        for us in [3_000.0, 6_000.0] {
            let head = Measurement { ending: Ending::Interrupted, ..steady(us) };

            let comparison = judge_against(&gate(&[Quantile::P50]), &head, &quiet_history());

            assert_eq!(comparison.verdict, Verdict::Invalid);
            assert!(comparison.reasons[0].contains("interrupted"));
        }
    }

    #[test]
    fn a_service_that_fell_silent_never_passes_however_few_errors_that_cost() {
        let mut dead = Round::empty();
        dead.outcomes.add(OutcomeClass::Connect, 40);
        for silent in [dead, Round::empty()] {
            for live in 1..=4 {
                let mut rounds = vec![round(20_000, 3_000.0, 9_000.0); live];
                rounds.resize(5, silent.clone());
                let head = Measurement { asked_rate: None, ..measurement(rounds) };

                let comparison = judge_against(&gate(&[Quantile::P50]), &head, &quiet_history());

                assert_eq!(comparison.verdict, Verdict::Invalid, "{live}");
                assert!(comparison.reasons[0].starts_with("the service fell silent"), "{comparison:?}");
            }
        }
    }

    #[test]
    fn rounds_without_a_request_are_usual_where_requests_are_rare() {
        let rounds = vec![round(3, 3_000.0, 9_000.0), Round::empty(), round(2, 3_000.0, 9_000.0)];

        let comparison = judge_against(&gate(&[Quantile::P50]), &measurement(rounds), &quiet_history());

        assert_eq!(comparison.verdict, Verdict::Inconclusive);
    }

    #[test]
    fn connections_that_were_not_reached_are_told() {
        let reached = |reached_connections| {
            let head = Measurement {
                asked_rate: None,
                asked_connections: 20,
                reached_connections,
                ..steady(3_000.0)
            };
            judge_against(&gate(&[Quantile::P50]), &head, &quiet_history())
        };

        let (nearly, hardly) = (reached(19), reached(10));

        assert_eq!(nearly.verdict, Verdict::Passed);
        assert!(nearly.reasons.iter().any(|reason| reason == "1 of 20 connections were never open"));
        assert_eq!(hardly.verdict, Verdict::Inconclusive);
        assert!(hardly.reasons[0].starts_with("only 10 of 20 connections"));
    }

    #[test]
    fn the_picture_of_the_baseline_holds_the_comparable_runs_only() {
        let mut records = quiet_history();
        records[0].fingerprint.cpu = "B".into();
        let (gate, fingerprint) = (gate(&[Quantile::P50]), fingerprint());
        let scenario = ScenarioName::parse("browse").unwrap();
        let merged = |records| {
            let history = History { records, fingerprint: &fingerprint, now: NOW.parse().unwrap() };
            base_latency(&gate, &scenario, &history).map(|histogram| histogram.len())
        };

        assert_eq!(merged(&records), Some(5 * 3 * 20_000));
        assert_eq!(merged(&records[..1]), None);
    }

    #[test]
    fn without_declared_metrics_errors_and_budgets_are_the_gate() {
        let comparison = judge_against(&gate(&[]), &steady(9_000.0), &quiet_history());

        assert_eq!((comparison.verdict, comparison.mode), (Verdict::Passed, Mode::Budget));
    }
}
