//! Comparing sets a measurement beside what is remembered and says what may be concluded, in words.
//!
//! It sees no socket, no file and no terminal: measurements in, a `Comparison` out. `validity` asks whether there is
//! anything to judge, `recall` which stored runs are comparable, `budget` and `latency` judge, `confirm` weighs a
//! second measurement.

mod budget;
mod confirm;
mod latency;
mod recall;
mod validity;
mod words;

use serde::Serialize;

pub use confirm::{confirm, needs_confirmation};

use crate::baseline::{Fingerprint, Record};
use crate::measurement::Measurement;
use crate::scenario::{Gate, Quantile};
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
    pub quantile: Quantile,
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
        return voided(comparison, Verdict::Invalid, reason, "shown only: the run is invalid");
    }
    if let Some(reason) = validity::why_too_many_errors(gate, head) {
        return voided(comparison, Verdict::Regressed, reason, "shown only: too many requests failed");
    }
    withdraw_bought_improvement(&mut comparison, head, &comparable);
    let doubts = validity::doubts(head);
    if !doubts.is_empty() {
        comparison.verdict = Verdict::Inconclusive;
        comparison.reasons.splice(0..0, doubts);
    }
    budget::judge(gate, head, &mut comparison);
    comparison.reasons.extend(validity::remarks(head));
    comparison
}

/// Takes the latencies out of the verdict: they are shown, and decide nothing.
fn voided(mut comparison: Comparison, verdict: Verdict, reason: String, note: &str) -> Comparison {
    for metric in &mut comparison.metrics {
        metric.is_gated = false;
        metric.verdict = Verdict::Inconclusive;
        metric.limit = None;
        metric.detectable = None;
        metric.note = Some(note.to_owned());
    }
    Comparison { mode: Mode::Budget, verdict, reasons: vec![reason], ..comparison }
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
