//! Latency is judged run against runs, never request against requests: each run becomes one number a quantile.
//!
//! That number is the median over the rounds of the logarithm of the round's quantile. Requests of one run share its
//! machine and moment, so a test on requests would see a difference between any two runs. The stored runs' numbers
//! bound where the next one lies if nothing changed (`stats::Sample`), and Holm's procedure keeps the chance of any
//! false alarm at 1 % however many metrics are gated.

use hdrhistogram::Histogram;

use crate::measurement::{LOWEST_DISCERNIBLE_NS, Measurement, Round, quantile_us};
use crate::scenario::{Gate, Measure, Metric, Quantile};
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
    metric: Metric,
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
    fn of(metric: Metric, gate: &Gate, head: &Measurement, comparable: &Comparable) -> Self {
        let base = comparable.runs.iter().filter_map(|record| run_summary(&record.measurement, &metric));
        Self {
            is_declared: gate.metrics.contains(&metric),
            head: run_summary(head, &metric),
            base: base.collect(),
            answers: median_answers(head, &metric.measure),
            needed: answers_needed(metric.quantile),
            metric,
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
        format!("{} answers a round, {} needed to judge {}", self.answers, self.needed, self.metric)
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
            of: self.metric.clone(),
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
        metrics_of(gate).into_iter().map(|metric| Row::of(metric, gate, head, comparable)).collect();
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
    let name = &metric.of;
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
        short.iter().map(|row| format!("{} was not judged: {}", row.metric, row.needs())).collect();
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

/// Returns what is shown: declared, budgeted and usual metrics, each once, latency first, in ascending order.
fn metrics_of(gate: &Gate) -> Vec<Metric> {
    let usual = gate.budgets.iter().map(|budget| budget.quantile).chain(ALWAYS_SHOWN).map(Metric::from);
    let mut all: Vec<Metric> = gate.metrics.iter().cloned().chain(usual).collect();
    all.sort_by(|a, b| {
        let by_quantile = || a.quantile.fraction().total_cmp(&b.quantile.fraction());
        a.measure.cmp(&b.measure).then_with(by_quantile)
    });
    all.dedup();
    all
}

/// Returns the median over the rounds of the logarithm of their quantile in microseconds.
///
/// Rounds that timed nothing have no quantile; `None` where none has.
fn run_summary(measurement: &Measurement, metric: &Metric) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the constant is a hundred")]
    let least_us = LOWEST_DISCERNIBLE_NS as f64 / 1e3;
    let logs: Vec<f64> = measurement
        .rounds
        .iter()
        .filter_map(|round| quantile_us(round.measured(&metric.measure)?, metric.quantile))
        // A histogram reads zero below its finest step, and zero has no logarithm.
        .map(|us| us.max(least_us).ln())
        .collect();
    median(&logs)
}

fn median_answers(measurement: &Measurement, measure: &Measure) -> u64 {
    let answers = |round: &Round| round.measured(measure).map_or(0, Histogram::len);
    let mut counts: Vec<u64> = measurement.rounds.iter().map(answers).collect();
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

#[cfg(test)]
mod tests {
    use super::super::tests::{gate, judge_against, measurement, quiet_history, round, steady, stored};
    use super::super::{Comparison, needs_confirmation};
    use super::*;
    use crate::baseline::Record;
    use crate::measurement::{OutcomeClass, Round};

    fn metric(comparison: &Comparison, quantile: Quantile) -> &MetricComparison {
        comparison.metrics.iter().find(|metric| metric.of == quantile).unwrap()
    }

    fn near(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 0.002)
    }

    #[test]
    fn a_slower_service_is_caught_and_told_in_words() {
        let comparison = judge_against(&gate(&[Quantile::P50]), &steady(3_940.0), &quiet_history());

        let p50 = metric(&comparison, Quantile::P50);
        assert_eq!((comparison.verdict, comparison.mode), (Verdict::Regressed, Mode::Baseline));
        assert!(near(p50.change, 0.3118) && near(p50.limit, 0.10), "{p50:?}");
        assert_eq!(
            comparison.reasons,
            ["p50 is 31.1 % slower than 6 stored runs (3.94 ms, was 3.01 ms); the limit is +10 %"]
        );
        assert!(needs_confirmation(&comparison));
    }

    #[test]
    fn an_unchanged_service_passes_and_says_what_would_have_been_seen() {
        let comparison = judge_against(&gate(&[Quantile::P50]), &steady(3_030.0), &quiet_history());

        let p50 = metric(&comparison, Quantile::P50);
        // Six runs of the least deviation: t(5, 0.995) = 4.032, and 4.032 · 0.02 · √(7/6) = 0.0871.
        assert!(near(p50.low, (0.0083_f64 - 0.0871).exp_m1()), "{p50:?}");
        assert!(near(p50.high, (0.0083_f64 + 0.0871).exp_m1()), "{p50:?}");
        assert_eq!(comparison.verdict, Verdict::Passed);
        assert_eq!(p50.note, None);
        assert!(comparison.reasons[0].starts_with("p50 +0.8 % [-"), "{:?}", comparison.reasons);
        assert!(comparison.reasons[0].ends_with("would have seen +10 %"), "{:?}", comparison.reasons);
    }

    #[test]
    fn a_faster_service_improves() {
        let comparison = judge_against(&gate(&[Quantile::P50]), &steady(2_400.0), &quiet_history());

        assert_eq!(comparison.verdict, Verdict::Improved);
        assert_eq!(comparison.reasons, ["p50 is 20.1 % faster than 6 stored runs (2.40 ms, was 3.01 ms)"]);
    }

    #[test]
    fn one_slower_metric_outweighs_a_faster_one() {
        let head = measurement(vec![round(20_000, 2_400.0, 12_000.0); 3]);

        let comparison = judge_against(&gate(&[Quantile::P50, Quantile::P99]), &head, &quiet_history());

        assert_eq!(comparison.verdict, Verdict::Regressed);
        assert_eq!(metric(&comparison, Quantile::P50).verdict, Verdict::Improved);
        assert_eq!(metric(&comparison, Quantile::P99).verdict, Verdict::Regressed);
    }

    #[test]
    fn three_identical_runs_judge_weakly_and_say_so() {
        let records: Vec<Record> = (1..=3).map(|hours| stored(steady(3_000.0), hours)).collect();

        let passed = judge_against(&gate(&[Quantile::P50]), &steady(3_000.0), &records);
        let caught = judge_against(&gate(&[Quantile::P50]), &steady(3_600.0), &records);

        let p50 = metric(&passed, Quantile::P50);
        // t(2, 0.99) = 6.965, and 6.965 · 0.02 · √(4/3) = 0.1609: +17.5 %.
        assert!(near(p50.limit, 0.1745) && near(p50.detectable, 0.1745), "{p50:?}");
        assert_eq!(p50.note.as_deref(), Some("this baseline cannot see +10 % (it would see +17.4 %)"));
        assert_eq!(passed.verdict, Verdict::Passed);
        assert!(passed.reasons[1].starts_with("the pass of p50 is weak"), "{:?}", passed.reasons);
        assert_eq!(caught.verdict, Verdict::Regressed);
    }

    #[test]
    fn several_gated_metrics_share_the_false_alarms() {
        let records: Vec<Record> = (1..=3).map(|hours| stored(steady(3_000.0), hours)).collect();

        let comparison = judge_against(&gate(&[Quantile::P50, Quantile::P99]), &steady(3_000.0), &records);

        // Each of two at half of 1 %: t(2, 0.995) = 9.925, and 9.925 · 0.02 · √(4/3) = 0.2292: +25.8 %.
        for quantile in [Quantile::P50, Quantile::P99] {
            assert!(near(metric(&comparison, quantile).limit, 0.2576), "{:?}", metric(&comparison, quantile));
        }
    }

    #[test]
    fn a_certain_slowdown_below_the_declared_one_passes() {
        let records: Vec<Record> = (1..=30).map(|hours| stored(steady(3_000.0), hours)).collect();
        let mut stricter = gate(&[Quantile::P50]);
        stricter.max_regression = 0.05;

        let head = steady(3_240.0);

        assert_eq!(judge_against(&gate(&[Quantile::P50]), &head, &records).verdict, Verdict::Passed);
        assert_eq!(judge_against(&stricter, &head, &records).verdict, Verdict::Regressed);
    }

    #[test]
    fn fewer_than_three_runs_judge_nothing() {
        let records = &quiet_history()[..2];

        let comparison = judge_against(&gate(&[Quantile::P50]), &steady(9_000.0), records);

        let p50 = metric(&comparison, Quantile::P50);
        assert_eq!((comparison.verdict, comparison.mode), (Verdict::NoBaseline, Mode::Record));
        assert_eq!(comparison.reasons, ["no baseline yet: 2 stored runs that can be compared, 3 are needed"]);
        assert_eq!(comparison.baseline.as_ref().map(|used| used.runs), Some(2));
        assert!(!p50.is_gated && p50.change.is_some() && p50.limit.is_none());
    }

    #[test]
    fn no_history_at_all_is_told_from_one_that_does_not_fit() {
        let mut strangers = quiet_history();
        for record in &mut strangers {
            record.fingerprint.cpu = "B".into();
        }

        let empty = judge_against(&gate(&[Quantile::P50]), &steady(3_000.0), &[]);
        let strange = judge_against(&gate(&[Quantile::P50]), &steady(3_000.0), &strangers);

        assert_eq!((empty.verdict, empty.baseline), (Verdict::NoBaseline, None));
        assert_eq!(strange.verdict, Verdict::NoBaseline);
        assert_eq!(strange.reasons[1], "6 stored runs left out: processor: B, now A");
    }

    #[test]
    fn a_quantile_with_too_few_answers_is_shown_only() {
        let head = measurement(vec![round(600, 3_000.0, 30_000.0); 5]);

        let comparison = judge_against(&gate(&[Quantile::P50, Quantile::P99]), &head, &quiet_history());

        let p99 = metric(&comparison, Quantile::P99);
        assert!(!p99.is_gated && metric(&comparison, Quantile::P50).is_gated);
        let note = "shown only: 600 answers a round, 10000 needed to judge p99";
        assert_eq!(p99.note.as_deref(), Some(note));
        assert_eq!(comparison.verdict, Verdict::Passed);
        assert!(comparison.reasons.iter().any(|reason| reason.starts_with("p99 was not judged: 600")));
    }

    #[test]
    fn where_no_declared_metric_can_be_judged_nothing_passes() {
        let head = measurement(vec![round(600, 3_000.0, 9_000.0); 5]);

        let comparison = judge_against(&gate(&[Quantile::P99]), &head, &quiet_history());

        assert_eq!(comparison.verdict, Verdict::Inconclusive);
        assert!(comparison.reasons[1].contains("measure longer, raise the rate, or use fewer rounds"));
    }

    #[test]
    fn the_answers_that_are_needed_are_round_numbers() {
        for (name, needed) in
            [("p50", 200), ("p90", 1_000), ("p99", 10_000), ("p99.9", 100_000), ("p1", 10_000)]
        {
            assert_eq!(answers_needed(Quantile::parse(name).unwrap()), needed, "{name}");
        }
    }

    #[test]
    fn an_untimed_or_an_odd_round_does_not_move_the_run() {
        let usual = || round(20_000, 3_000.0, 9_000.0);
        let odd = round(20_000, 90_000.0, 91_000.0);
        let mut untimed = Round::empty();
        untimed.outcomes.add(OutcomeClass::ClientError, 1);
        let head = measurement(vec![odd, untimed, usual(), usual(), usual()]);

        let comparison = judge_against(&gate(&[Quantile::P50]), &head, &quiet_history());

        assert_eq!(comparison.verdict, Verdict::Passed);
        assert!(comparison.reasons.iter().any(|reason| reason == "1 of 5 rounds timed no answer"));
    }

    #[test]
    fn wild_histories_stay_numbers() {
        let wild = [(0.1, 1), (3.0e9, 2), (0.1, 3), (3.0e9, 4)]
            .map(|(us, hours)| stored(measurement(vec![round(20_000, us, us)]), hours));
        let zero = measurement(vec![round(20_000, 0.0, 0.0)]);

        let comparison = judge_against(&gate(&[Quantile::P50, Quantile::P90, Quantile::P99]), &zero, &wild);

        assert_eq!(comparison.verdict, Verdict::Passed);
        assert!(near(metric(&comparison, Quantile::P50).head_us, 0.1));
    }

    #[test]
    fn usual_quantiles_are_shown_once_and_in_order() {
        let comparison =
            judge_against(&gate(&[Quantile::P99, Quantile::P999, Quantile::P99]), &steady(3_000.0), &[]);

        let shown: Vec<String> = comparison.metrics.iter().map(|metric| metric.of.to_string()).collect();
        assert_eq!(shown, ["p50", "p90", "p99", "p99.9"]);
    }

    /// Seeded noise: splitmix64 for bits, Box and Muller for the normal distribution.
    struct Noise(u64);

    impl Noise {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.0;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
            radius * (std::f64::consts::TAU * self.uniform()).cos()
        }
    }

    const SEED: u64 = 20_261_123;

    /// Returns the share of trials that end in a regression, where runs vary by 3 % and ten are stored.
    fn alarms(gate: &Gate, slowdown: f64, trials: u32) -> f64 {
        println!("seed {SEED}");
        let mut noise = Noise(SEED);
        let mut run = |factor: f64| {
            let mut us = |median: f64| median * factor * (0.03 * noise.normal()).exp();
            measurement(vec![round(20_000, us(100.0), us(150.0))])
        };
        let mut alarms = 0;
        for _ in 0..trials {
            let records: Vec<Record> = (1..=10).map(|hours| stored(run(1.0), hours)).collect();
            let verdict = judge_against(gate, &run(1.0 + slowdown), &records).verdict;
            alarms += u32::from(verdict == Verdict::Regressed);
        }
        f64::from(alarms) / f64::from(trials)
    }

    #[test]
    fn nothing_changed_seldom_alarms() {
        let alarms = alarms(&gate(&[Quantile::P50]), 0.0, 2_000);

        assert!(alarms < 0.03, "{alarms}");
    }

    #[test]
    fn the_bound_keeps_its_nominal_rate_with_two_metrics() {
        let mut strictest = gate(&[Quantile::P50, Quantile::P99]);
        strictest.max_regression = 0.0;

        let alarms = alarms(&strictest, 0.0, 2_000);

        // One per cent is nominal; four standard errors of 2000 trials are 0.9 points.
        assert!((0.001..0.019).contains(&alarms), "{alarms}");
    }

    #[test]
    fn a_slowdown_of_thirty_per_cent_is_caught() {
        let caught = alarms(&gate(&[Quantile::P50]), 0.3, 300);

        assert!(caught > 0.9, "{caught}");
    }
}
