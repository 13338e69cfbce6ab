//! `[gate]`: what a comparison must satisfy, for all scenarios or for one.

use std::num::NonZeroU32;
use std::time::Duration;

use super::draft::GateDraft;
use super::{SHORTEST_TIMEOUT, keys};
use crate::config::section::Section;
use crate::config::value::{check_error_rate, check_regression, quoted};
use crate::scenario::{Breaker, Budget, Metric, Quantile};
use crate::verdict::FailOn;

pub(super) fn read_gate(section: &Section<'_>) -> GateDraft {
    GateDraft {
        metrics: read_metrics(section),
        max_regression: section.fraction("max-regression", check_regression).map(|share| share.value),
        max_error_rate: section.fraction("max-error-rate", check_error_rate).map(|share| share.value),
        budgets: read_budgets(section),
        fail_on: read_fail_on(section),
        confirm_after: section.duration("confirm-after", Duration::ZERO).map(|pause| pause.value),
        breaker: section.table("circuit-breaker", keys::BREAKER).map(|table| read_breaker(&table)),
    }
}

/// What a breaker leaves out stays as it is by default.
fn read_breaker(section: &Section<'_>) -> Breaker {
    let usual = Breaker::default();
    let failures = section.count("connect-failures", 1..=1_000_000).map(|count| count.value);
    Breaker {
        error_share: section
            .fraction("error-share", check_error_rate)
            .map(|share| share.value)
            .or(usual.error_share),
        connect_failures: failures.and_then(NonZeroU32::new).or(usual.connect_failures),
        latency: section.duration("latency", SHORTEST_TIMEOUT).map(|latency| latency.value),
    }
}

fn read_metrics(section: &Section<'_>) -> Option<Vec<Metric>> {
    let mut metrics = Vec::new();
    for text in section.texts("metrics")? {
        match Metric::parse(&text.value) {
            Ok(metric) if metrics.contains(&metric) => {
                section.reader.report(
                    &text.place,
                    format!("metric {metric} is listed twice"),
                    "remove one of them",
                );
            }
            Ok(metric) => metrics.push(metric),
            Err(error) => section.reader.report_range("metrics", &text.place, &error),
        }
    }
    Some(metrics)
}

fn read_budgets(section: &Section<'_>) -> Option<Vec<Budget>> {
    let table = section.item("budget")?;
    let names: Vec<String> = table
        .value
        .as_table_like()
        .map(|t| t.iter().map(|(key, _)| key.to_owned()).collect())
        .unwrap_or_default();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let budget = section.table("budget", &known)?;
    let mut budgets = Vec::new();
    for name in &known {
        let limit = budget.duration(name, SHORTEST_TIMEOUT);
        match (Quantile::parse(name), limit) {
            (Ok(quantile), Some(limit)) => budgets.push(Budget { quantile, limit: limit.value }),
            (Err(error), _) => budget.reader.report_range("budget", &table.place, &error),
            (Ok(_), None) => {}
        }
    }
    Some(budgets)
}

fn read_fail_on(section: &Section<'_>) -> Option<FailOn> {
    let mut fail_on = FailOn::default();
    for text in section.texts("fail-on")? {
        match add_fail_on(fail_on, &text.value) {
            Ok(more) => fail_on = more,
            Err(help) => {
                section.reader.report(
                    &text.place,
                    format!("unknown verdict {} in `fail-on`", quoted(&text.value)),
                    help,
                );
            }
        }
    }
    Some(fail_on)
}

/// Adds one word of `fail-on`; the error is the remedy.
pub(in crate::config) fn add_fail_on(fail_on: FailOn, word: &str) -> Result<FailOn, &'static str> {
    match word {
        "inconclusive" => Ok(FailOn { inconclusive: true, ..fail_on }),
        "no-baseline" => Ok(FailOn { no_baseline: true, ..fail_on }),
        "regression" => Ok(fail_on),
        _ => Err("use \"inconclusive\" or \"no-baseline\"; a regression always fails"),
    }
}
