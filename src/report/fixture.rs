//! Reports for tests: one scenario, `browse`, with any verdict.
//!
//! The latencies follow a fixed curve, so that every test and every picture sees the same numbers.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::compare::{BaselineUse, Comparison, MetricComparison, Mode};
use crate::measurement::{Ending, GeneratorHealth, Measurement, OutcomeClass, Round, empty_histogram};
use crate::report::{Report, ReportedTarget, ScenarioReport};
use crate::scenario::{Quantile, Rate, ScenarioName};
use crate::target::{Origin, Scheme, Source};
use crate::verdict::{FailOn, Verdict};

/// Returns a report with one scenario that says the given verdict.
pub(crate) fn report(verdict: Verdict) -> Report {
    Report {
        tool_version: "0.1.0".into(),
        started_at: "2026-11-23T10:00:00Z".parse().unwrap(),
        verdict,
        exit: verdict.exit(FailOn::default()),
        target: ReportedTarget {
            origin: Origin { scheme: Scheme::Https, host: "pr-42.preview.example.com".into(), port: 443 },
            source: Source::DeploymentStatus { deployment: 123, field: "environment_url".into() },
            derivation: vec![
                "deployment 123 of environment Preview is for 0123456, the head of pull request 42".into(),
                "its host matches pr-{pr}.preview.example.com".into(),
            ],
        },
        commit: Some("0123456789abcdef0123456789abcdef01234567".into()),
        environment: "linux x86_64, Example CPU, 2 processors".into(),
        scenarios: vec![scenario("browse", verdict)],
        warnings: Vec::new(),
        run_url: Some("https://github.com/acme/shop/actions/runs/1".into()),
    }
}

/// Returns one scenario that says the given verdict.
pub(crate) fn scenario(name: &str, verdict: Verdict) -> ScenarioReport {
    let change = change_of(verdict);
    let is_measured = verdict != Verdict::Invalid;
    let has_base = is_measured && verdict != Verdict::NoBaseline;
    ScenarioReport {
        measurement: measurement(name, 3_061.0 * (1.0 + change), is_measured),
        request_line: "GET /products".into(),
        profile_line: "100/s for 30 s, 5 rounds".into(),
        comparison: Comparison {
            mode: if has_base { Mode::Baseline } else { Mode::Budget },
            verdict,
            reasons: vec![reason_of(verdict).into()],
            metrics: if has_base { metrics(verdict, change) } else { Vec::new() },
            baseline: has_base.then(|| BaselineUse {
                runs: 7,
                left_out: vec!["2 runs were measured on another processor".into()],
                newest_commit: Some("89abcdef0123456789abcdef0123456789abcdef".into()),
            }),
        },
        base_latency: has_base.then(|| latencies(3_061.0, 3_000)),
        echoes: Vec::new(),
    }
}

fn change_of(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Regressed => 0.312,
        Verdict::Improved => -0.123,
        Verdict::Inconclusive => 0.06,
        _ => 0.008,
    }
}

fn reason_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regressed => "p50 is 31.2 % slower, and the limit is 10 %",
        Verdict::Improved => "p50 is 12.3 % faster",
        Verdict::Inconclusive => "p50 may be anything from 2.0 % faster to 14.0 % slower",
        Verdict::NoBaseline => "there is no comparable baseline run yet",
        Verdict::Passed => "every gated metric is within its limit",
        Verdict::Invalid => "no request was answered",
    }
}

fn metrics(verdict: Verdict, change: f64) -> Vec<MetricComparison> {
    let spread = if verdict == Verdict::Inconclusive { 0.08 } else { 0.05 };
    let metric = |quantile: Quantile, base_us: f64, change: f64, is_gated: bool| MetricComparison {
        of: quantile.into(),
        base_us: Some(base_us),
        head_us: Some(base_us * (1.0 + change)),
        change: Some(change),
        low: Some(change - spread),
        high: Some(change + spread),
        limit: is_gated.then_some(0.10),
        detectable: is_gated.then_some(0.061),
        verdict,
        is_gated,
        note: (!is_gated).then(|| "too few samples to gate".to_owned()),
    };
    vec![metric(Quantile::P50, 3_061.0, change, true), metric(Quantile::P99, 9_400.0, change * 0.5, false)]
}

fn measurement(name: &str, median_us: f64, is_measured: bool) -> Measurement {
    let mut round = Round::empty();
    if is_measured {
        round.latency = latencies(median_us, 600);
        round.service_time = latencies(median_us * 0.97, 600);
        round.send_lag = latencies(24.0, 600);
        round.outcomes.add(OutcomeClass::Success, 598);
        round.outcomes.add(OutcomeClass::Timeout, 2);
    } else {
        round.outcomes.add(OutcomeClass::Connect, 600);
    }
    Measurement {
        scenario: ScenarioName::parse(name).unwrap(),
        rounds: vec![round; 5],
        elapsed: Duration::from_secs(30),
        asked_rate: Some(Rate::per_second(100.0).unwrap()),
        asked_connections: 8,
        reached_connections: 5,
        generator: GeneratorHealth { late_share: 0.001, lag_p99_us: 81.0, busy_share: 0.25 },
        steady_state: crate::measurement::SteadyState::NotSought,
        ending: Ending::Complete,
        endpoints: vec![],
        class_latency: vec![],
        bytes_received: None,
    }
}

/// Returns latencies around a median with a long right tail.
fn latencies(median_us: f64, number: u32) -> Histogram<u64> {
    let mut histogram = empty_histogram();
    for step in 0..number {
        let share = (f64::from(step) + 0.5) / f64::from(number);
        let logit = (share / (1.0 - share)).ln();
        let us = median_us * (0.17 * logit + 0.012 * logit.max(0.0).powi(2)).exp();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
        histogram.record((us * 1_000.0) as u64).unwrap();
    }
    histogram
}
