//! The HTML report: one file that works offline, in light and dark, on paper and on a telephone.
//!
//! It runs no script and asks nobody for anything; its content security policy says so to the browser. `maud`
//! escapes every text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::measurement::{Measurement, Round};
use crate::redact::harmless;
use crate::report::{Report, ScenarioReport, figures, html_picture, wording};
use crate::verdict::Verdict;

const STYLE: &str = include_str!("html.css");

/// Returns the report as one self-contained page.
#[must_use]
pub fn render(report: &Report) -> String {
    let headline = wording::headline(report).plain();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(content_security_policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { "loadgate: " (outside(&headline)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { (verdict_banner(report, &headline)) }
                main {
                    @for warning in &report.warnings { p.warning { strong { "Warning: " } (outside(warning)) } }
                    @for (index, scenario) in report.scenarios.iter().enumerate() {
                        (scenario_section(scenario, index))
                    }
                    (background(report))
                }
                (footer(report))
            }
        }
    };
    page.into_string()
}

/// Allows this page's own style sheet, by its digest, and nothing else.
fn content_security_policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
}

fn verdict_banner(report: &Report, headline: &str) -> Markup {
    html! {
        div.verdict.(tone(report.verdict)) {
            div.brand { span { "cargo loadgate" } span.badge.(tone(report.verdict)) { (report.verdict) } }
            h1 { (outside(headline)) }
            p.faint { (wording::consequence(report.exit)) }
        }
    }
}

fn scenario_section(scenario: &ScenarioReport, index: usize) -> Markup {
    let comparison = &scenario.comparison;
    let merged = scenario.measurement.merged();
    let name = scenario.measurement.scenario.as_str();
    html! {
        section {
            div.title { h2 { (name) } span.badge.(tone(comparison.verdict)) { (comparison.verdict) } }
            p.faint {
                code { (outside(&scenario.request_line)) } " \u{b7} " (outside(&scenario.profile_line)) " \u{b7} "
                (wording::judged_by(comparison))
            }
            @if !comparison.reasons.is_empty() {
                ul { @for reason in &comparison.reasons { li { (outside(reason)) } } }
            }
            @for finding in wording::findings(scenario) {
                p.warning { strong { "Security: " } (outside(&finding)) }
            }
            @if let Some(figure) = html_picture::figure(&merged.latency, scenario.base_latency.as_ref(), index) {
                (figure)
            }
            @if !comparison.metrics.is_empty() { (metrics_table(scenario)) }
            (times_table(&wording::timed(&scenario.measurement, &merged)))
            @if !scenario.measurement.endpoints.is_empty() { (endpoints_table(&scenario.measurement)) }
            (totals(scenario, &merged))
        }
    }
}

fn metrics_table(scenario: &ScenarioReport) -> Markup {
    let has_notes = scenario.comparison.metrics.iter().any(|metric| metric.note.is_some());
    html! {
        div.scroll tabindex="0" role="region" aria-label="Comparison" {
            table {
                thead { tr {
                    th scope="col" { "latency" } th scope="col" { "base" } th scope="col" { "head" }
                    th scope="col" { "change" } th scope="col" { "interval" } th scope="col" { "limit" }
                    th.word scope="col" { "verdict" }
                    @if has_notes { th.word scope="col" { "note" } }
                } }
                tbody {
                    @for metric in &scenario.comparison.metrics {
                        @let is_bad = metric.is_gated && metric.verdict == Verdict::Regressed;
                        tr.bad[is_bad] {
                            th scope="row" { (figures::metric(&metric.of)) }
                            td { (figures::maybe_time(metric.base_us)) }
                            td { (figures::maybe_time(metric.head_us)) }
                            td { (figures::maybe_change(metric.change)) }
                            td { (figures::interval(metric.low, metric.high)) }
                            td { (metric.limit.map_or_else(|| figures::MISSING.to_owned(), figures::limit)) }
                            td.word {
                                @if metric.is_gated {
                                    span.badge.(tone(metric.verdict)) { (metric.verdict) }
                                } @else { span.faint { (wording::metric_verdict(metric)) } }
                            }
                            @if has_notes { td.word.note.faint { (metric.note.as_deref().map(outside).unwrap_or_default()) } }
                        }
                    }
                }
            }
        }
    }
}

fn times_table(timed: &[(String, &Histogram<u64>)]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Times of this run" {
            table {
                thead { tr {
                    th scope="col" { "this run" } th scope="col" { "p50" } th scope="col" { "p90" }
                    th scope="col" { "p99" } th scope="col" { "p99.9" } th scope="col" { "max" }
                } }
                tbody {
                    @for (name, histogram) in timed {
                        tr { th scope="row" { (name) } @for cell in wording::times(histogram) { td { (cell) } } }
                    }
                }
            }
        }
    }
}

fn endpoints_table(measurement: &Measurement) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Endpoints" {
            table {
                thead { tr {
                    th scope="col" { "endpoint" } th scope="col" { "requests" } th scope="col" { "errors" }
                    th scope="col" { "p50" } th scope="col" { "p99" }
                } }
                tbody {
                    @for [name, figures @ ..] in wording::endpoints(measurement) {
                        tr { th scope="row" { (name) } @for cell in figures { td { (cell) } } }
                    }
                }
            }
        }
    }
}

fn totals(scenario: &ScenarioReport, merged: &Round) -> Markup {
    html! {
        dl {
            dt { "Rate" } dd { (wording::rates(scenario)) }
            dt { "Outcomes" } dd { (wording::outcomes(&merged.outcomes)) " (" (wording::errors(&merged.outcomes)) " errors)" }
            @if let Some(detectable) = wording::detectable(&scenario.comparison) {
                dt { "Sensitivity" } dd { (detectable) }
            }
            @for reason in scenario.comparison.baseline.iter().flat_map(|baseline| &baseline.left_out) {
                dt { "Left out" } dd { (outside(reason)) }
            }
            @if scenario.measurement.is_partial() {
                dt { "Cut short" } dd { "this is what was measured until then" }
            }
        }
    }
}

fn background(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Why this target, environment, how to accept" }
            dl {
                dt { "Target" } dd { code { (report.target.origin) } }
                dt { "Found in" } dd { (outside(&report.target.source.to_string())) }
                @for fact in &report.target.derivation { dt { "Because" } dd { (outside(fact)) } }
                dt { "Environment" } dd { (outside(&report.environment)) }
                @if let Some(commit) = &report.commit { dt { "Commit" } dd { code { (outside(commit)) } } }
                dt { "Intended?" }
                dd { "Accept the new speed with " code { "cargo loadgate baseline promote --accept REASON" } "; it begins a new history." }
            }
        }
    }
}

fn footer(report: &Report) -> Markup {
    html! {
        footer.faint {
            "loadgate " (outside(&report.tool_version)) " \u{b7} " (report.started_at)
            @if let Some(url) = &report.run_url { " \u{b7} " (outside(url)) }
        }
    }
}

fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed | Verdict::Improved => "good",
        Verdict::NoBaseline | Verdict::Inconclusive => "open",
        Verdict::Regressed | Verdict::Invalid => "bad",
    }
}

fn outside(text: &str) -> String {
    harmless(&wording::outside(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_page_says_the_verdict_in_its_title_and_heading() {
        let page = render(&fixture::report(Verdict::Regressed));

        assert!(
            page.contains("<title>loadgate: browse is slower \u{2013} p50 +31.2 % (limit +10 %)</title>")
        );
        assert!(page.contains("<h1>browse is slower \u{2013} p50 +31.2 % (limit +10 %)</h1>"));
    }

    #[test]
    fn the_page_runs_nothing_and_asks_nobody() {
        let page = render(&fixture::report(Verdict::Regressed));

        for power in ["<script", "src=", "href=", "@import", "url(", "style=\"", "onload"] {
            assert!(!page.contains(power), "{power}");
        }
        assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
    }

    #[test]
    fn the_style_sheet_is_the_one_that_the_policy_allows() {
        let page = render(&fixture::report(Verdict::Passed));

        let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        assert!(page.contains(&format!("sha256-{}", STANDARD.encode(Sha256::digest(style)))));
    }

    #[test]
    fn a_comparison_has_a_picture_with_a_text_alternative() {
        let page = render(&fixture::report(Verdict::Regressed));

        assert!(page.contains("base-line") && page.contains("head-line"));
        assert!(page.contains("half of the requests took at most 3.06 ms"), "{page}");
        assert!(!render(&fixture::report(Verdict::Invalid)).contains("<figure"));
    }

    #[test]
    fn outside_text_stays_text() {
        let mut report = fixture::report(Verdict::Regressed);
        report.warnings = vec!["</p><script>alert(1)</script>\u{202e}".into()];
        report.scenarios[0].request_line = "GET /\"><img src=x>".into();
        report.commit = Some("<b>".into());

        let page = render(&report);

        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>"));
        assert!(!page.contains('\u{202e}'));
    }
}
