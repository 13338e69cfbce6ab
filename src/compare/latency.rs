//! Latency is judged run against runs, never request against requests: each run becomes one number a quantile.
//!
//! That number is the median over the rounds of the logarithm of the round's quantile. Requests of one run share its
//! machine and moment, so a test on requests would see a difference between any two runs. The stored runs' numbers
//! bound where the next one lies if nothing changed (`stats::Sample`), and Holm's procedure keeps the chance of any
//! false alarm at 1 % however many metrics are gated.

use crate::measurement::{LOWEST_DISCERNIBLE_NS, Measurement, quantile_us};
use crate::scenario::{Gate, Quantile};
use crate::stats::{Sample, Tested, holm, median};
use crate::verdict::Verdict;

use super::recall::Comparable;
use super::{MetricComparison, Mode, words};

/// The chance of calling an unchanged service slower, over all gated metrics of a scenario together.
const FALSE_ALARM_RATE: f64 = 0.01;

/// The confidence of the interval that is shown beside a change.
const SHOWN_CONFIDENCE: f64 = 0.99;

/// Runs that agree better than this (a standard deviation of 2 %) do so by luck, and must not set a hair trigger.
const LEAST_DEVIATION: f64 = 0.02;

/// With fewer runs there is no telling how much they differ by themselves.
const MIN_RUNS: usize = 3;

/// The answers that must lie beyond a quantile, in the median round, for it to be judged: fewer and the quantile's
/// own error (σ/√n on a log scale, times 4 for p99) is as large as the changes in question.
const MIN_ANSWERS_BEYOND: f64 = 100.0;

/// The quantiles that are shown whatever the gate declares.
const ALWAYS_SHOWN: [Quantile; 3] = [Quantile::P50, Quantile::P90, Quantile::P99];

/// What the latencies say.
pub(super) struct Judged {
    pub(super) mode: Mode,
    pub(super) verdict: Verdict,
    pub(super) reasons: Vec<String>,
    pub(super) metrics: Vec<MetricComparison>,
}

/// One quantile on its way to a comparison.
struct Row {
    quantile: Quantile,
    is_declared: bool,
    /// The run's number: the natural logarithm of microseconds.
    head: Option<f64>,
    /// The stored runs' numbers.
    base: Vec<f64>,
    /// Answers in the median round, and how many would be needed.
    answers: u64,
    needed: u64,
}

impl Row {
    fn of(quantile: Quantile, gate: &Gate, head: &Measurement, comparable: &Comparable) -> Self {
        let base = comparable.runs.iter().filter_map(|record| run_summary(&record.measurement, quantile));
        Self {
            quantile,
            is_declared: gate.metrics.contains(&quantile),
            head: run_summary(head, quantile),
            base: base.collect(),
            answers: median_answers(head),
            needed: answers_needed(quantile),
        }
    }

    fn has_answers(&self) -> bool {
        self.head.is_some() && self.answers >= self.needed
    }

    /// Returns the numbers to judge by, where the row takes part in the verdict.
    fn gated(&self) -> Option<Gated> {
        let head = self.head.filter(|_| self.is_declared && self.has_answers())?;
        let is_enough = self.base.len() >= MIN_RUNS;
        let base = Sample::of(&self.base).filter(|_| is_enough)?.with_deviation_of_at_least(LEAST_DEVIATION);
        Some(Gated { head, base })
    }

    fn needs(&self) -> String {
        format!("{} answers a round, {} needed to judge {}", self.answers, self.needed, self.quantile)
    }

    /// Returns the comparison as far as it is only shown.
    fn shown(&self) -> MetricComparison {
        let base = Sample::of(&self.base);
        let base_mean = base.map(|base| base.mean()).or_else(|| self.base.first().copied());
        let interval = base
            .filter(|_| self.base.len() >= MIN_RUNS)
            .map(|base| base.with_deviation_of_at_least(LEAST_DEVIATION))
            .zip(self.head)
            .and_then(|(base, head)| base.difference_interval(head, SHOWN_CONFIDENCE));
        let why = if !self.has_answers() {
            format!("shown only: {}", self.needs())
        } else if self.is_declared && self.base.len() < MIN_RUNS {
            format!("shown only: {} of {MIN_RUNS} stored runs", self.base.len())
        } else {
            "shown only".to_owned()
        };
        MetricComparison {
            quantile: self.quantile,
            base_us: base_mean.and_then(|mean| finite(mean.exp())),
            head_us: self.head.and_then(|head| finite(head.exp())),
            change: self.head.zip(base_mean).and_then(|(head, mean)| fraction(head - mean)),
            low: interval.and_then(|interval| fraction(interval.low)),
            high: interval.and_then(|interval| fraction(interval.high)),
            limit: None,
            detectable: None,
            verdict: if self.base.len() < MIN_RUNS { Verdict::NoBaseline } else { Verdict::Inconclusive },
            is_gated: false,
            note: Some(why),
        }
    }
}

/// The numbers of a row that takes part in the verdict, on a log scale.
struct Gated {
    head: f64,
    base: Sample,
}

impl Gated {
    fn difference(&self) -> f64 {
        self.head - self.base.mean()
    }

    /// Returns the probability of a run at least this slow, and of one at least this fast, if nothing changed.
    fn probabilities(&self) -> (f64, f64) {
        let mirrored = self.base.mean() - self.difference();
        let above = |value| self.base.probability_above(value).unwrap_or(1.0);
        (above(self.head), above(mirrored))
    }
}

/// Compares every quantile of interest and says what the gated ones conclude.
pub(super) fn judge(gate: &Gate, head: &Measurement, comparable: &Comparable) -> Judged {
    let rows: Vec<Row> =
        quantiles(gate).into_iter().map(|quantile| Row::of(quantile, gate, head, comparable)).collect();
    let mut metrics: Vec<MetricComparison> = rows.iter().map(Row::shown).collect();
    let stands_without_baseline = if gate.budgets.is_empty() { Mode::Record } else { Mode::Budget };
    if gate.metrics.is_empty() {
        let reasons = vec!["no latency metric is declared: errors and budgets alone were judged".to_owned()];
        return Judged { mode: Mode::Budget, verdict: Verdict::Passed, reasons, metrics };
    }
    let mut reasons = unjudged(&rows);
    if comparable.runs.len() < MIN_RUNS {
        reasons.splice(0..0, missing_baseline(comparable));
        return Judged { mode: stands_without_baseline, verdict: Verdict::NoBaseline, reasons, metrics };
    }
    let verdict = judge_gated(gate, &rows, &mut metrics);
    let found = metrics.iter().filter(|metric| metric.is_gated);
    let words = found.flat_map(|metric| reasons_of(metric, gate, comparable.runs.len())).collect::<Vec<_>>();
    reasons.splice(0..0, words);
    Judged { mode: Mode::Baseline, verdict, reasons, metrics }
}

/// Judges the rows that can be judged, all together, and returns what they conclude.
fn judge_gated(gate: &Gate, rows: &[Row], metrics: &mut [MetricComparison]) -> Verdict {
    let gated: Vec<(usize, Gated)> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((index, row.gated()?))).collect();
    if gated.is_empty() {
        return Verdict::Inconclusive;
    }
    let (slower, faster): (Vec<f64>, Vec<f64>) = gated.iter().map(|(_, row)| row.probabilities()).unzip();
    let tests = holm(&slower, FALSE_ALARM_RATE).into_iter().zip(holm(&faster, FALSE_ALARM_RATE));
    for ((index, row), (slower, faster)) in gated.iter().zip(tests) {
        complete(&mut metrics[*index], gate, row, slower, faster);
    }
    let has = |verdict| metrics.iter().any(|metric| metric.is_gated && metric.verdict == verdict);
    if has(Verdict::Regressed) {
        Verdict::Regressed
    } else if has(Verdict::Improved) {
        Verdict::Improved
    } else {
        Verdict::Passed
    }
}

/// Turns a shown metric into a judged one.
fn complete(metric: &mut MetricComparison, gate: &Gate, row: &Gated, slower: Tested, faster: Tested) {
    // `max` turns a limit that is not a number into zero: broken limits are strict ones.
    let tolerated = gate.max_regression.max(0.0);
    let effect = tolerated.ln_1p();
    let noise = row.base.prediction_margin(slower.level).unwrap_or(f64::INFINITY);
    metric.limit = fraction(noise.max(effect));
    metric.detectable = metric.limit;
    metric.is_gated = true;
    metric.verdict = if slower.is_rejected && row.difference() > effect {
        Verdict::Regressed
    } else if faster.is_rejected && row.difference() < -effect {
        Verdict::Improved
    } else {
        Verdict::Passed
    };
    metric.note = (noise > effect).then(|| {
        let seen = metric.detectable.map_or("no change at all".to_owned(), words::change);
        format!("this baseline cannot see {} (it would see {seen})", words::change(tolerated))
    });
}

fn reasons_of(metric: &MetricComparison, gate: &Gate, runs: usize) -> Vec<String> {
    let (Some(change), Some(base_us), Some(head_us)) = (metric.change, metric.base_us, metric.head_us) else {
        return Vec::new();
    };
    let name = metric.quantile;
    let against =
        format!("{} ({}, was {})", words::stored_runs(runs), words::time(head_us), words::time(base_us));
    let limit = metric.limit.map_or("out of sight".to_owned(), words::change);
    let mut reasons = vec![match metric.verdict {
        Verdict::Regressed => {
            format!("{name} is {} slower than {against}; the limit is {limit}", words::share(change))
        }
        Verdict::Improved => format!("{name} is {} faster than {against}", words::share(-change)),
        _ => {
            let end = |end: Option<f64>| end.map_or("?".to_owned(), words::change);
            let (low, high) = (end(metric.low), end(metric.high));
            format!("{name} {} [{low}, {high}], would have seen {limit}", words::change(change))
        }
    }];
    let is_weak = metric.note.is_some() && metric.verdict == Verdict::Passed;
    if is_weak {
        reasons.push(format!(
            "the pass of {name} is weak: {} vary too much, or are too few, to see {}; more runs or a quieter \
             machine would help",
            words::stored_runs(runs),
            words::change(gate.max_regression.max(0.0))
        ));
    }
    reasons
}

/// Says which declared metrics had too few answers to be judged, with the remedy.
fn unjudged(rows: &[Row]) -> Vec<String> {
    let declared = rows.iter().filter(|row| row.is_declared).count();
    let short: Vec<&Row> = rows.iter().filter(|row| row.is_declared && !row.has_answers()).collect();
    let mut reasons: Vec<String> =
        short.iter().map(|row| format!("{} was not judged: {}", row.quantile, row.needs())).collect();
    if !reasons.is_empty() && short.len() == declared {
        reasons.push(
            "no declared metric could be judged: measure longer, raise the rate, or use fewer rounds"
                .to_owned(),
        );
    }
    reasons
}

fn missing_baseline(comparable: &Comparable) -> Vec<String> {
    let found = comparable.runs.len();
    let mut reasons = vec![format!(
        "no baseline yet: {} that can be compared, {MIN_RUNS} are needed",
        words::stored_runs(found)
    )];
    reasons.extend(comparable.left_out.iter().cloned());
    reasons
}

/// Returns what is shown: declared, budgeted and usual quantiles, each once, in ascending order.
fn quantiles(gate: &Gate) -> Vec<Quantile> {
    let budgeted = gate.budgets.iter().map(|budget| budget.quantile);
    let mut all: Vec<Quantile> = gate.metrics.iter().copied().chain(budgeted).chain(ALWAYS_SHOWN).collect();
    all.sort_by(|a, b| a.fraction().total_cmp(&b.fraction()));
    all.dedup();
    all
}

/// Returns the median over the rounds of the logarithm of their quantile in microseconds.
///
/// Rounds that timed nothing have no quantile; `None` where none has.
fn run_summary(measurement: &Measurement, quantile: Quantile) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the constant is a hundred")]
    let least_us = LOWEST_DISCERNIBLE_NS as f64 / 1e3;
    let logs: Vec<f64> = measurement
        .rounds
        .iter()
        .filter_map(|round| quantile_us(&round.latency, quantile))
        // A histogram reads zero below its finest step, and zero has no logarithm.
        .map(|us| us.max(least_us).ln())
        .collect();
    median(&logs)
}

fn median_answers(measurement: &Measurement) -> u64 {
    let mut counts: Vec<u64> = measurement.rounds.iter().map(|round| round.latency.len()).collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or(0)
}

/// Returns how many answers a round needs for `MIN_ANSWERS_BEYOND` of them to lie on the quantile's thinner side.
fn answers_needed(quantile: Quantile) -> u64 {
    let tail = quantile.fraction().min(1.0 - quantile.fraction());
    // The share of p99 is a little off one hundredth in binary; without the slack 10 001 would be needed.
    let needed = (MIN_ANSWERS_BEYOND / tail * (1.0 - 1e-9)).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casting saturates")]
    let needed = needed as u64;
    needed
}

/// Turns a difference of logarithms into a change; `None` where it is beyond all numbers.
fn fraction(difference: f64) -> Option<f64> {
    finite(difference.exp_m1())
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
