//! Comparing sets a measurement beside what is remembered and says what may be concluded, in words.
//!
//! It sees no socket, no file and no terminal: measurements in, a `Comparison` out.

use serde::Serialize;

use crate::scenario::Quantile;
use crate::verdict::Verdict;

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
