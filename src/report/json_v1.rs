//! `report.json`, version 1: the report for other programs.
//!
//! The document has its own structs, so that a change inside the house cannot change it by accident. A figure that
//! is missing or not finite is `null`, never 0. Readers must ignore keys that they do not know.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::compare::{BaselineUse, MetricComparison, Mode};
use crate::measurement::{EndpointMeasurement, OutcomeClass, Outcomes, quantile_us};
use crate::report::{Report, ReportedTarget, ScenarioReport, wording};
use crate::scenario::Quantile;
use crate::secret::SecretEcho;
use crate::verdict::Verdict;

/// The version of the document that this file writes.
const VERSION: u32 = 1;

/// Returns the report as a JSON document that ends with a line feed.
#[must_use]
pub fn render(report: &Report) -> String {
    let document = Document::from(report);
    let mut json = serde_json::to_string_pretty(&document)
        .expect("a document of texts, finite numbers and maps with text keys is always JSON");
    json.push('\n');
    json
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    tool_version: &'a str,
    started_at: String,
    verdict: Verdict,
    exit: u8,
    commit: Option<&'a str>,
    environment: &'a str,
    run_url: Option<&'a str>,
    target: Target<'a>,
    scenarios: Vec<Scenario<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Target<'a> {
    origin: String,
    host: &'a str,
    port: u16,
    source: String,
    derivation: &'a [String],
}

#[derive(Serialize)]
struct Scenario<'a> {
    name: &'a str,
    verdict: Verdict,
    mode: Mode,
    reasons: &'a [String],
    request: &'a str,
    profile: &'a str,
    latency: Times,
    service_time: Times,
    send_lag: Times,
    outcomes: BTreeMap<&'static str, u64>,
    error_rate: Option<f64>,
    rate: Rates,
    connections: Connections,
    generator: Generator,
    metrics: Vec<Metric<'a>>,
    baseline: Option<Baseline<'a>>,
    elapsed_seconds: Option<f64>,
    rounds: usize,
    partial: bool,
    ended: Option<String>,
    endpoints: Vec<Endpoint<'a>>,
    class_latency: BTreeMap<&'static str, Times>,
    findings: Vec<Finding<'a>>,
}

/// Something that a reader should look at and that decides nothing.
#[derive(Serialize)]
struct Finding<'a> {
    kind: &'static str,
    /// The name of the secret, never its value.
    name: &'a str,
    place: &'a str,
    answers: u64,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    name: &'a str,
    latency: Times,
    outcomes: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Times {
    p50_us: Option<f64>,
    p90_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    max_us: Option<f64>,
    mean_us: Option<f64>,
    count: u64,
}

#[derive(Serialize)]
struct Rates {
    asked: Option<f64>,
    achieved: Option<f64>,
}

#[derive(Serialize)]
struct Connections {
    asked: u32,
    reached: u32,
}

#[derive(Serialize)]
struct Generator {
    late_share: Option<f64>,
    lag_p99_us: Option<f64>,
    busy_share: Option<f64>,
}

#[derive(Serialize)]
struct Metric<'a> {
    name: String,
    base_us: Option<f64>,
    head_us: Option<f64>,
    change: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    limit: Option<f64>,
    detectable: Option<f64>,
    verdict: Verdict,
    gated: bool,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct Baseline<'a> {
    runs: usize,
    left_out: &'a [String],
    newest_commit: Option<&'a str>,
}

impl<'a> From<&'a Report> for Document<'a> {
    fn from(report: &'a Report) -> Self {
        Self {
            version: VERSION,
            tool_version: &report.tool_version,
            started_at: report.started_at.to_string(),
            verdict: report.verdict,
            exit: report.exit.code(),
            commit: report.commit.as_deref(),
            environment: &report.environment,
            run_url: report.run_url.as_deref(),
            target: Target::from(&report.target),
            scenarios: report.scenarios.iter().map(Scenario::from).collect(),
            warnings: &report.warnings,
        }
    }
}

impl<'a> From<&'a ReportedTarget> for Target<'a> {
    fn from(target: &'a ReportedTarget) -> Self {
        Self {
            origin: target.origin.to_string(),
            host: &target.origin.host,
            port: target.origin.port,
            source: target.source.to_string(),
            derivation: &target.derivation,
        }
    }
}

impl<'a> From<&'a ScenarioReport> for Scenario<'a> {
    fn from(scenario: &'a ScenarioReport) -> Self {
        let measurement = &scenario.measurement;
        let comparison = &scenario.comparison;
        let merged = measurement.merged();
        let elapsed = measurement.elapsed.as_secs_f64();
        Self {
            name: measurement.scenario.as_str(),
            verdict: comparison.verdict,
            mode: comparison.mode,
            reasons: &comparison.reasons,
            request: &scenario.request_line,
            profile: &scenario.profile_line,
            latency: Times::from(&merged.latency),
            service_time: Times::from(&merged.service_time),
            send_lag: Times::from(&merged.send_lag),
            outcomes: counts(&merged.outcomes),
            error_rate: fraction(merged.outcomes.error_rate()),
            rate: Rates {
                asked: measurement.asked_rate.map(f64::from),
                // Without measured time there is no rate; zero would say that nothing was answered.
                achieved: (elapsed > 0.0)
                    .then(|| measurement.achieved_rate())
                    .and_then(|rate| figure(Some(rate))),
            },
            connections: Connections {
                asked: measurement.asked_connections,
                reached: measurement.reached_connections,
            },
            generator: Generator {
                late_share: fraction(Some(measurement.generator.late_share)),
                lag_p99_us: figure(Some(measurement.generator.lag_p99_us)),
                busy_share: fraction(Some(measurement.generator.busy_share)),
            },
            metrics: comparison.metrics.iter().map(Metric::from).collect(),
            baseline: comparison.baseline.as_ref().map(Baseline::from),
            elapsed_seconds: figure(Some(elapsed)),
            rounds: measurement.rounds.len(),
            partial: measurement.is_partial(),
            ended: measurement.ending.reason(),
            endpoints: measurement.endpoints.iter().map(Endpoint::from).collect(),
            class_latency: (measurement.class_latency.iter())
                .map(|(class, latency)| (class.as_str(), Times::from(latency)))
                .collect(),
            findings: scenario.echoes.iter().map(Finding::from).collect(),
        }
    }
}

impl<'a> From<&'a SecretEcho> for Finding<'a> {
    fn from(echo: &'a SecretEcho) -> Self {
        Self { kind: "secret-echo", name: &echo.secret, place: &echo.place, answers: echo.answers }
    }
}

impl<'a> From<&'a EndpointMeasurement> for Endpoint<'a> {
    fn from(endpoint: &'a EndpointMeasurement) -> Self {
        Self {
            name: &endpoint.name,
            latency: Times::from(&endpoint.latency),
            outcomes: counts(&endpoint.outcomes),
        }
    }
}

impl From<&Histogram<u64>> for Times {
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| figure(quantile_us(histogram, quantile));
        Self {
            p50_us: at(Quantile::P50),
            p90_us: at(Quantile::P90),
            p99_us: at(Quantile::P99),
            p999_us: at(Quantile::P999),
            max_us: figure(wording::max_us(histogram)),
            mean_us: figure((!histogram.is_empty()).then(|| histogram.mean() / 1_000.0)),
            count: histogram.len(),
        }
    }
}

impl<'a> From<&'a MetricComparison> for Metric<'a> {
    fn from(metric: &'a MetricComparison) -> Self {
        Self {
            name: metric.of.to_string(),
            base_us: figure(metric.base_us),
            head_us: figure(metric.head_us),
            change: fraction(metric.change),
            low: fraction(metric.low),
            high: fraction(metric.high),
            limit: fraction(metric.limit),
            detectable: fraction(metric.detectable),
            verdict: metric.verdict,
            gated: metric.is_gated,
            note: metric.note.as_deref(),
        }
    }
}

impl<'a> From<&'a BaselineUse> for Baseline<'a> {
    fn from(baseline: &'a BaselineUse) -> Self {
        Self {
            runs: baseline.runs,
            left_out: &baseline.left_out,
            newest_commit: baseline.newest_commit.as_deref(),
        }
    }
}

fn counts(outcomes: &Outcomes) -> BTreeMap<&'static str, u64> {
    OutcomeClass::ALL.into_iter().map(|class| (class.as_str(), outcomes.count(class))).collect()
}

/// Keeps three decimals: nanoseconds, where the unit is the microsecond.
fn figure(number: Option<f64>) -> Option<f64> {
    number.map(|number| (number * 1e3).round() / 1e3).filter(|number| number.is_finite())
}

/// Keeps six decimals: a ten-thousandth of a per cent.
fn fraction(number: Option<f64>) -> Option<f64> {
    number.map(|number| (number * 1e6).round() / 1e6).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_document_of_version_1_is_pinned() {
        let json = render(&fixture::report(Verdict::Regressed));

        assert_eq!(json, include_str!("json_v1_pinned.json"), "{json}");
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let mut report = fixture::report(Verdict::Invalid);
        report.scenarios[0].measurement.elapsed = std::time::Duration::ZERO;
        report.scenarios[0].measurement.generator.lag_p99_us = f64::NAN;
        report.commit = None;

        let document: Value = serde_json::from_str(&render(&report)).unwrap();

        for pointer in [
            "/commit",
            "/scenarios/0/latency/p50_us",
            "/scenarios/0/latency/max_us",
            "/scenarios/0/latency/mean_us",
            "/scenarios/0/rate/achieved",
            "/scenarios/0/generator/lag_p99_us",
            "/scenarios/0/baseline",
        ] {
            assert_eq!(document.pointer(pointer), Some(&Value::Null), "{pointer}");
        }
        assert_eq!(document.pointer("/scenarios/0/latency/count"), Some(&Value::from(0)));
    }

    #[test]
    fn every_number_is_finite() {
        let mut report = fixture::report(Verdict::Regressed);
        for metric in &mut report.scenarios[0].comparison.metrics {
            metric.change = Some(f64::INFINITY);
            metric.low = Some(f64::NEG_INFINITY);
            metric.high = Some(f64::NAN);
            metric.base_us = Some(f64::MAX);
        }

        let document: Value = serde_json::from_str(&render(&report)).unwrap();

        for key in ["change", "low", "high", "base_us"] {
            assert_eq!(document["scenarios"][0]["metrics"][0][key], Value::Null, "{key}");
        }
    }
}
