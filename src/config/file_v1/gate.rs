//! `[gate]`: what a comparison must satisfy, for all scenarios or for one.

use std::time::Duration;

use super::SHORTEST_TIMEOUT;
use super::draft::GateDraft;
use crate::config::section::Section;
use crate::config::value::{check_error_rate, check_regression, quoted};
use crate::scenario::{Budget, Quantile};
use crate::verdict::FailOn;

pub(super) fn read_gate(section: &Section<'_>) -> GateDraft {
    GateDraft {
        metrics: read_metrics(section),
        max_regression: section.fraction("max-regression", check_regression).map(|share| share.value),
        max_error_rate: section.fraction("max-error-rate", check_error_rate).map(|share| share.value),
        budgets: read_budgets(section),
        fail_on: read_fail_on(section),
        confirm_after: section.duration("confirm-after", Duration::ZERO).map(|pause| pause.value),
    }
}

fn read_metrics(section: &Section<'_>) -> Option<Vec<Quantile>> {
    let mut metrics = Vec::new();
    for text in section.texts("metrics")? {
        match Quantile::parse(&text.value) {
            Ok(quantile) if metrics.contains(&quantile) => {
                section.reader.report(
                    &text.place,
                    format!("metric {quantile} is listed twice"),
                    "remove one of them",
                );
            }
            Ok(quantile) => metrics.push(quantile),
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
