//! Wording is what every renderer says in the same words: the headline, how a scenario was judged, its outcomes.
//!
//! The parts are plain text; whoever shows them escapes them and chooses the emphasis.

use hdrhistogram::Histogram;

use crate::compare::{Comparison, MetricComparison, Mode};
use crate::measurement::{Measurement, OutcomeClass, Outcomes, Round, quantile_us};
use crate::report::{Report, ScenarioReport, figures};
use crate::scenario::Quantile;
use crate::secret::SecretEcho;
use crate::verdict::{Exit, Verdict};

/// The longest outside text that a report repeats; a hostile or broken source could send megabytes.
const MAX_OUTSIDE_CHARS: usize = 600;

/// A table of more endpoints is no table to read; the JSON report has them all.
const MAX_ENDPOINTS: usize = 25;

/// The verdict of a run as one sentence, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Headline<'a> {
    /// The scenario it speaks of; `None` where it speaks of the whole run.
    pub(crate) scenario: Option<&'a str>,
    /// What it says: `is slower`.
    pub(crate) says: String,
    /// The figure that decided: `p50`, `+31.2 %`.
    pub(crate) figure: Option<(String, String)>,
    /// What the figure stands against, or why there is none.
    pub(crate) aside: Option<String>,
}

impl Headline<'_> {
    /// Returns the sentence without any emphasis.
    pub(crate) fn plain(&self) -> String {
        let mut sentence = String::new();
        if let Some(scenario) = self.scenario {
            sentence.push_str(scenario);
            sentence.push(' ');
        }
        sentence.push_str(&self.says);
        if let Some((metric, figure)) = &self.figure {
            sentence.push_str(&format!(" \u{2013} {metric} {figure}"));
        }
        match (&self.aside, &self.figure) {
            (Some(aside), Some(_)) => sentence.push_str(&format!(" ({aside})")),
            (Some(aside), None) => sentence.push_str(&format!(" \u{2013} {aside}")),
            (None, _) => {}
        }
        sentence
    }
}

/// Returns the sentence that stands above everything else.
pub(crate) fn headline(report: &Report) -> Headline<'_> {
    let same: Vec<&ScenarioReport> =
        report.scenarios.iter().filter(|scenario| scenario.comparison.verdict == report.verdict).collect();
    let Some(first) = same.iter().rev().copied().max_by(|a, b| weight(a).total_cmp(&weight(b))) else {
        return whole_run("nothing was measured that could be judged", None);
    };
    let others = match same.len() - 1 {
        0 => None,
        others => Some(format!("and {}", figures::plural(others, "other scenario"))),
    };
    if report.verdict == Verdict::Passed && report.scenarios.len() > 1 {
        let all =
            format!("all {} are within their limits", figures::plural(report.scenarios.len(), "scenario"));
        return whole_run(&all, None);
    }
    let mut headline = scenario_headline(first);
    if let Some(others) = others {
        headline.aside = Some(match headline.aside {
            Some(aside) => format!("{aside}; {others}"),
            None => others,
        });
    }
    headline
}

/// Returns the sentence for one scenario.
pub(crate) fn scenario_headline(scenario: &ScenarioReport) -> Headline<'_> {
    let comparison = &scenario.comparison;
    let metric = deciding_metric(comparison);
    let reason = comparison.reasons.first().map(|reason| outside(reason));
    let says = match comparison.verdict {
        Verdict::Improved => "is faster",
        Verdict::Passed => "is within its limits",
        Verdict::NoBaseline => "has no baseline yet",
        Verdict::Inconclusive => "is undecided",
        Verdict::Regressed if metric.is_some() => "is slower",
        Verdict::Regressed => "is over its limit",
        Verdict::Invalid => "has no valid measurement",
    };
    let figure =
        metric.and_then(|metric| Some((figures::metric(&metric.of), figures::change(metric.change?))));
    let aside = match (metric, comparison.verdict) {
        (Some(metric), verdict) => against(metric, verdict),
        (None, Verdict::NoBaseline) => Some("nothing was compared".to_owned()),
        (None, Verdict::Passed | Verdict::Improved) => None,
        (None, _) => reason,
    };
    Headline { scenario: Some(scenario.measurement.scenario.as_str()), says: says.to_owned(), figure, aside }
}

/// Returns the sign that stands for a verdict where colours can't be relied on.
pub(crate) fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Improved | Verdict::Passed => "\u{1f7e2}",
        Verdict::NoBaseline | Verdict::Inconclusive => "\u{26aa}",
        Verdict::Regressed => "\u{1f534}",
        Verdict::Invalid => "\u{26d4}",
    }
}

/// Returns what the run means for its caller: `This blocks with exit code 100 – the gate says no: …`.
pub(crate) fn consequence(exit: Exit) -> String {
    if exit == Exit::Passed {
        // The meaning of 0 lists every way to get it, and would contradict the headline of most.
        return format!("This does not block (exit code {}).", exit.code());
    }
    format!("This blocks with exit code {} \u{2013} {}.", exit.code(), exit.meaning())
}

/// Returns how a scenario was judged, in a few words.
pub(crate) fn judged_by(comparison: &Comparison) -> String {
    match (comparison.mode, &comparison.baseline) {
        (Mode::Ab, _) => "compared with the base version, measured in the same run".to_owned(),
        (Mode::Baseline, Some(baseline)) => {
            let newest = baseline.newest_commit.as_deref().map_or_else(String::new, |commit| {
                format!(", newest {}", outside(commit).chars().take(7).collect::<String>())
            });
            format!("compared with {}{newest}", figures::plural(baseline.runs, "stored baseline run"))
        }
        (Mode::Baseline, None) => "compared with stored baseline runs".to_owned(),
        (Mode::Budget, _) => "judged by absolute limits only".to_owned(),
        (Mode::Record, _) => "recorded, not judged".to_owned(),
    }
}

/// Returns what a reader should look at although it decides nothing.
pub(crate) fn findings(scenario: &ScenarioReport) -> Vec<String> {
    let told = |echo: &SecretEcho| {
        let answers = usize::try_from(echo.answers).unwrap_or(usize::MAX);
        format!(
            "the server sends secret {} back: it stood in {} of {}, and likely stands in the server's logs",
            echo.secret,
            outside(&echo.place),
            figures::plural(answers, "answer")
        )
    };
    scenario.echoes.iter().map(told).collect()
}

/// Returns a metric's verdict as a word, or that it takes no part.
pub(crate) fn metric_verdict(metric: &MetricComparison) -> &'static str {
    if metric.is_gated { metric.verdict.as_str() } else { "not gated" }
}

/// Returns the classes that occurred: `2 994 2xx, 6 timeout`.
pub(crate) fn outcomes(outcomes: &Outcomes) -> String {
    let occurred: Vec<String> = OutcomeClass::ALL
        .into_iter()
        .filter(|class| outcomes.count(*class) > 0)
        .map(|class| format!("{} {}", figures::count(outcomes.count(class)), outcome_word(class)))
        .collect();
    if occurred.is_empty() { "nothing was measured".to_owned() } else { occurred.join(", ") }
}

/// Returns what share of requests failed, where any was scheduled.
pub(crate) fn errors(outcomes: &Outcomes) -> String {
    outcomes.error_rate().map_or_else(|| figures::MISSING.to_owned(), figures::share)
}

/// Returns the rate that was asked for and the one that was reached.
pub(crate) fn rates(scenario: &ScenarioReport) -> String {
    let achieved = figures::rate(scenario.measurement.achieved_rate());
    match scenario.measurement.asked_rate {
        Some(asked) => format!("asked {}, achieved {achieved}", figures::rate(asked.into())),
        None => format!("achieved {achieved} (closed loop)"),
    }
}

/// Returns the slowest value in microseconds, where there is any.
#[expect(clippy::cast_precision_loss, reason = "an hour in nanoseconds stays below 2^52")]
pub(crate) fn max_us(histogram: &Histogram<u64>) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.max() as f64 / 1_000.0)
}

/// Returns the figures of one row of a run's times: p50, p90, p99, p99.9 and the slowest.
pub(crate) fn times(histogram: &Histogram<u64>) -> Vec<String> {
    [Quantile::P50, Quantile::P90, Quantile::P99, Quantile::P999]
        .into_iter()
        .map(|quantile| quantile_us(histogram, quantile))
        .chain([max_us(histogram)])
        .map(figures::maybe_time)
        .collect()
}

/// Returns what a run timed, by its names: the three times of every request, then what the server says of its own
/// time, then the latencies of classes that are no success.
pub(crate) fn timed<'m>(
    measurement: &'m Measurement,
    merged: &'m Round,
) -> Vec<(String, &'m Histogram<u64>)> {
    let usual = [
        ("latency".to_owned(), &merged.latency),
        ("service time".to_owned(), &merged.service_time),
        ("send lag".to_owned(), &merged.send_lag),
    ];
    let server = merged.server_timing.iter().map(|(name, seen)| (format!("server: {}", outside(name)), seen));
    let classes =
        measurement.class_latency.iter().map(|(class, seen)| (format!("of {}", class.as_str()), seen));
    usual.into_iter().chain(server).chain(classes).collect()
}

/// Returns the figures of each endpoint: name, requests, share of errors, p50, p99; the first ones where they are many.
pub(crate) fn endpoints(measurement: &Measurement) -> Vec<[String; 5]> {
    let shown = measurement.endpoints.iter().take(MAX_ENDPOINTS);
    shown
        .map(|endpoint| {
            let at = |quantile| figures::maybe_time(quantile_us(&endpoint.latency, quantile));
            [
                outside(&endpoint.name),
                figures::count(endpoint.outcomes.total()),
                errors(&endpoint.outcomes),
                at(Quantile::P50),
                at(Quantile::P99),
            ]
        })
        .collect()
}

/// Returns a metric's smallest visible slowdown as part of a sentence, where it is known.
pub(crate) fn detectable(comparison: &Comparison) -> Option<String> {
    let seen: Vec<String> = comparison
        .metrics
        .iter()
        .filter(|metric| metric.is_gated)
        .filter_map(|metric| {
            let detectable = metric.detectable.filter(|change| change.is_finite())?;
            Some(format!("{} in {}", figures::change(detectable), figures::metric(&metric.of)))
        })
        .collect();
    (!seen.is_empty()).then(|| format!("would have seen a slowdown of {}", seen.join(", ")))
}

/// Returns outside text on one line and of bounded length; the renderer still has to escape it.
pub(crate) fn outside(text: &str) -> String {
    let line: String =
        text.chars().take(MAX_OUTSIDE_CHARS).map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).collect();
    if text.chars().nth(MAX_OUTSIDE_CHARS).is_some() { format!("{line}\u{2026}") } else { line }
}

fn outcome_word(class: OutcomeClass) -> &'static str {
    match class {
        OutcomeClass::Connect => "connect error",
        OutcomeClass::Read => "read error",
        OutcomeClass::Write => "write error",
        OutcomeClass::Timeout => "time-out",
        OutcomeClass::Protocol => "protocol error",
        OutcomeClass::RetryLater => "asked to retry later",
        OutcomeClass::Check => "failed check",
        other => other.as_str(),
    }
}

fn whole_run(says: &str, aside: Option<String>) -> Headline<'static> {
    Headline { scenario: None, says: says.to_owned(), figure: None, aside }
}

fn weight(scenario: &ScenarioReport) -> f64 {
    deciding_metric(&scenario.comparison).and_then(|metric| metric.change).map_or(0.0, f64::abs)
}

/// Returns the gated metric that moved furthest among those that say what the scenario says.
fn deciding_metric(comparison: &Comparison) -> Option<&MetricComparison> {
    if matches!(comparison.verdict, Verdict::NoBaseline | Verdict::Invalid) {
        return None;
    }
    comparison
        .metrics
        .iter()
        .filter(|metric| metric.is_gated && metric.verdict == comparison.verdict)
        .filter(|metric| metric.change.is_some_and(f64::is_finite))
        .max_by(|a, b| a.change.unwrap_or(0.0).abs().total_cmp(&b.change.unwrap_or(0.0).abs()))
}

fn against(metric: &MetricComparison, verdict: Verdict) -> Option<String> {
    let limit = metric.limit.map(|limit| format!("limit {}", figures::limit(limit)));
    let interval = (verdict == Verdict::Inconclusive && metric.low.is_some())
        .then(|| format!("interval {}", figures::interval(metric.low, metric.high)));
    let parts: Vec<String> = interval.into_iter().chain(limit).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_headline_says_the_verdict_in_words() {
        for (verdict, sentence) in [
            (Verdict::Regressed, "browse is slower \u{2013} p50 +31.2 % (limit +10 %)"),
            (Verdict::Improved, "browse is faster \u{2013} p50 \u{2212}12.3 % (limit +10 %)"),
            (Verdict::Passed, "browse is within its limits \u{2013} p50 +0.8 % (limit +10 %)"),
            (
                Verdict::Inconclusive,
                "browse is undecided \u{2013} p50 +6.0 % (interval \u{2212}2.0 \u{2026} +14.0 %, limit +10 %)",
            ),
            (Verdict::NoBaseline, "browse has no baseline yet \u{2013} nothing was compared"),
            (Verdict::Invalid, "browse has no valid measurement \u{2013} no request was answered"),
        ] {
            assert_eq!(headline(&fixture::report(verdict)).plain(), sentence);
        }
    }

    #[test]
    fn a_breach_without_a_change_gives_its_reason() {
        let mut report = fixture::report(Verdict::Regressed);
        report.scenarios[0].comparison.metrics.clear();
        report.scenarios[0].comparison.reasons = vec!["p99 is 312 ms, the budget is 250 ms".into()];

        let sentence = headline(&report).plain();

        assert_eq!(sentence, "browse is over its limit \u{2013} p99 is 312 ms, the budget is 250 ms");
    }

    #[test]
    fn the_headline_counts_the_other_scenarios() {
        let mut report = fixture::report(Verdict::Regressed);
        report.scenarios.push(report.scenarios[0].clone());
        assert!(headline(&report).plain().ends_with("(limit +10 %; and 1 other scenario)"));

        let mut report = fixture::report(Verdict::Passed);
        report.scenarios.push(report.scenarios[0].clone());
        assert_eq!(headline(&report).plain(), "all 2 scenarios are within their limits");
    }

    #[test]
    fn a_run_without_scenarios_has_a_headline() {
        let mut report = fixture::report(Verdict::Invalid);
        report.scenarios.clear();

        assert_eq!(headline(&report).plain(), "nothing was measured that could be judged");
    }

    #[test]
    fn only_outcomes_that_occurred_are_listed() {
        let mut seen = Outcomes::default();
        assert_eq!(outcomes(&seen), "nothing was measured");

        seen.add(OutcomeClass::Success, 2_994);
        seen.add(OutcomeClass::Timeout, 6);

        assert_eq!((outcomes(&seen).as_str(), errors(&seen).as_str()), ("2 994 2xx, 6 time-out", "0.20 %"));
    }

    #[test]
    fn outside_text_has_a_length_and_one_line() {
        assert_eq!(outside("a\nb"), "a b");
        assert_eq!(outside(&"x".repeat(10_000)).chars().count(), MAX_OUTSIDE_CHARS + 1);
    }
}
