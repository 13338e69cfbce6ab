//! The Markdown report: the body of the pull request's comment and of the step summary.
//!
//! The verdict is readable as plain text, because charts do not reach e-mail. Where the whole is too long for a
//! comment, detail goes first and the verdict never. All outside text is escaped.

use crate::redact::{markdown_code, markdown_text};
use crate::report::wording::{self, Headline};
use crate::report::{Report, ScenarioReport, figures, picture};
use crate::scenario::Quantile;
use crate::verdict::Verdict;

/// Room for the marker and for GitHub's own limit of 65 536 characters, which counts in an undocumented way.
const MAX_CHARS: usize = 60_000;

/// Bytes are never fewer than characters, whichever of them GitHub counts.
const MAX_BYTES: usize = 65_000;

/// How many scenarios are named where there is room for nothing else.
const MAX_LISTED: usize = 200;

/// What is shown, from everything to the verdict alone; each step leaves out what is missed least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Everything,
    NoCharts,
    TablesOnly,
    TablesOfFailures,
    OneLineEach,
}

/// Returns the report as GitHub's Markdown: at most 60 000 characters and 65 000 bytes.
#[must_use]
pub fn render(report: &Report) -> String {
    let steps = [
        Detail::Everything,
        Detail::NoCharts,
        Detail::TablesOnly,
        Detail::TablesOfFailures,
        Detail::OneLineEach,
    ];
    let mut text = String::new();
    for detail in steps {
        text = page(report, detail);
        if fits(&text) {
            return text;
        }
    }
    cut(text)
}

fn fits(text: &str) -> bool {
    text.len() <= MAX_BYTES && text.chars().count() <= MAX_CHARS
}

/// Cuts whole lines from the end; the verdict stands at the beginning.
fn cut(mut text: String) -> String {
    const NOTE: &str =
        "\n\nThe rest is left out: a comment has no room for it. `report.html` has everything.\n";
    while text.len() + NOTE.len() > MAX_BYTES || text.chars().count() + NOTE.chars().count() > MAX_CHARS {
        let end = text.trim_end().rfind('\n').unwrap_or(0);
        text.truncate(end);
    }
    text + NOTE
}

fn page(report: &Report, detail: Detail) -> String {
    let mut page = String::new();
    line(
        &mut page,
        &format!(
            "### {} loadgate: {}",
            wording::sign(report.verdict),
            emphasised(&wording::headline(report))
        ),
    );
    blank(&mut page);
    line(&mut page, &markdown_text(&wording::consequence(report.exit)));
    for warning in report.warnings.iter().take(20) {
        blank(&mut page);
        line(&mut page, &format!("> **Warning:** {}", text(warning)));
    }
    if detail == Detail::OneLineEach {
        blank(&mut page);
        short_list(&mut page, report);
    } else {
        for scenario in &report.scenarios {
            blank(&mut page);
            scenario_section(&mut page, scenario, report.scenarios.len(), detail);
        }
    }
    blank(&mut page);
    background(&mut page, report, detail);
    blank(&mut page);
    footer(&mut page, report);
    page
}

fn scenario_section(page: &mut String, scenario: &ScenarioReport, scenarios: usize, detail: Detail) {
    let comparison = &scenario.comparison;
    if scenarios > 1 {
        let headline = wording::scenario_headline(scenario);
        line(page, &format!("#### {} {}", wording::sign(comparison.verdict), emphasised(&headline)));
        blank(page);
    }
    let is_fine = matches!(comparison.verdict, Verdict::Passed | Verdict::Improved);
    for finding in wording::findings(scenario) {
        line(page, &format!("> **Security:** {}", text(&finding)));
        blank(page);
    }
    if detail == Detail::TablesOfFailures && is_fine {
        return;
    }
    let request = markdown_code(&wording::outside(&scenario.request_line));
    let profile = text(&scenario.profile_line);
    line(page, &format!("{request} \u{b7} {profile} \u{b7} {}", wording::judged_by(comparison)));
    blank(page);
    for reason in comparison.reasons.iter().take(10) {
        line(page, &format!("- {}", text(reason)));
    }
    if !comparison.metrics.is_empty() {
        blank(page);
        metrics_table(page, scenario);
    }
    blank(page);
    if detail <= Detail::NoCharts && !scenario.measurement.endpoints.is_empty() {
        endpoints_table(page, scenario);
        blank(page);
    }
    totals(page, scenario);
    if detail <= Detail::NoCharts {
        shift_bars(page, scenario);
    }
    if detail == Detail::Everything {
        chart(page, scenario);
    }
}

fn metrics_table(page: &mut String, scenario: &ScenarioReport) {
    line(page, "| latency | base | head | change | interval | limit | |");
    line(page, "|---|--:|--:|--:|--:|--:|---|");
    for metric in &scenario.comparison.metrics {
        let name = figures::metric(&metric.of);
        let change = figures::maybe_change(metric.change);
        let is_bad = metric.is_gated && metric.verdict == Verdict::Regressed;
        let strong = |text: String| if is_bad { format!("**{text}**") } else { text };
        let sign = if metric.is_gated { wording::sign(metric.verdict) } else { "" };
        let note = metric.note.as_deref().map(|note| format!(" ({})", text(note))).unwrap_or_default();
        line(
            page,
            &format!(
                "| {} | {} | {} | {} | {} | {} | {sign} {}{note} |",
                strong(name),
                figures::maybe_time(metric.base_us),
                figures::maybe_time(metric.head_us),
                strong(change),
                figures::interval(metric.low, metric.high),
                metric.limit.map_or_else(|| figures::MISSING.to_owned(), figures::limit),
                wording::metric_verdict(metric),
            ),
        );
    }
}

fn endpoints_table(page: &mut String, scenario: &ScenarioReport) {
    line(page, "| endpoint | requests | errors | p50 | p99 |");
    line(page, "|---|--:|--:|--:|--:|");
    for [name, requests, errors, p50, p99] in wording::endpoints(&scenario.measurement) {
        line(page, &format!("| {} | {requests} | {errors} | {p50} | {p99} |", text(&name)));
    }
}

fn totals(page: &mut String, scenario: &ScenarioReport) {
    let outcomes = scenario.measurement.outcomes();
    let mut parts = vec![
        format!("Rate {}", wording::rates(scenario)),
        wording::outcomes(&outcomes),
        format!("errors {}", wording::errors(&outcomes)),
    ];
    parts.extend(wording::detectable(&scenario.comparison));
    if scenario.measurement.is_partial() {
        parts.push("**cut short**".to_owned());
    }
    line(page, &parts.join(" \u{b7} "));
}

/// Returns how the percentiles moved, where there is a base to move from.
fn shifts(scenario: &ScenarioReport) -> Vec<(Quantile, f64)> {
    let Some(base) = &scenario.base_latency else { return Vec::new() };
    picture::shift(&scenario.measurement.merged().latency, base)
}

fn shift_bars(page: &mut String, scenario: &ScenarioReport) {
    let shifts = shifts(scenario);
    let largest = shifts.iter().map(|(_, change)| change.abs()).fold(0.0, f64::max);
    if shifts.is_empty() {
        return;
    }
    let bars: Vec<String> = shifts
        .iter()
        .map(|(quantile, change)| {
            // A full block for a change of a hundredth of a per cent would cry wolf.
            let bar = picture::bar(*change, largest.max(0.05));
            format!("{} {bar} {}", figures::quantile(*quantile), figures::change(*change))
        })
        .collect();
    blank(page);
    line(page, &format!("Shift, all rounds together: {}", bars.join(" \u{b7} ")));
}

fn chart(page: &mut String, scenario: &ScenarioReport) {
    let shifts = shifts(scenario);
    if shifts.is_empty() {
        return;
    }
    let heads: Vec<f64> = shifts.iter().map(|(_, change)| (1.0 + change) * 100.0).collect();
    let low = heads.iter().copied().fold(100.0, f64::min) - 5.0;
    let high = heads.iter().copied().fold(100.0, f64::max) + 5.0;
    let names: Vec<String> = shifts.iter().map(|(quantile, _)| format!("\"{quantile}\"")).collect();
    let values: Vec<String> = heads.iter().map(|percent| format!("{percent:.1}")).collect();
    let even = vec!["100"; shifts.len()];
    blank(page);
    line(page, "<details><summary>Chart: head in % of base, by percentile</summary>");
    blank(page);
    line(page, "```mermaid");
    line(page, "---");
    line(page, "config:");
    line(page, "  themeVariables:");
    line(page, "    xyChart:");
    line(page, "      plotColorPalette: \"#1f77b4, #d62728\"");
    line(page, "---");
    line(page, "xychart-beta");
    line(page, "  title \"head (red) in % of base (blue = 100)\"");
    line(page, &format!("  x-axis [{}]", names.join(", ")));
    line(page, &format!("  y-axis \"%\" {} --> {}", low.max(0.0).floor(), high.ceil()));
    line(page, &format!("  line [{}]", even.join(", ")));
    line(page, &format!("  line [{}]", values.join(", ")));
    line(page, "```");
    blank(page);
    line(page, "The blue line is the base (no change); the red line is this pull request. Higher is slower.");
    blank(page);
    line(page, "</details>");
}

fn short_list(page: &mut String, report: &Report) {
    let mut scenarios: Vec<&ScenarioReport> = report.scenarios.iter().collect();
    scenarios.sort_by_key(|scenario| std::cmp::Reverse(scenario.comparison.verdict));
    for scenario in scenarios.iter().take(MAX_LISTED) {
        let headline = wording::scenario_headline(scenario);
        line(page, &format!("- {} {}", wording::sign(scenario.comparison.verdict), emphasised(&headline)));
    }
    if scenarios.len() > MAX_LISTED {
        line(page, &format!("- and {} more, in `report.html`", scenarios.len() - MAX_LISTED));
    }
}

fn background(page: &mut String, report: &Report, detail: Detail) {
    line(page, "<details><summary>Why this target, environment, how to accept</summary>");
    blank(page);
    let target = &report.target;
    line(
        page,
        &format!(
            "**Target** {}, from {}",
            markdown_code(&target.origin.to_string()),
            text(&target.source.to_string())
        ),
    );
    blank(page);
    if detail <= Detail::NoCharts {
        for fact in target.derivation.iter().take(20) {
            line(page, &format!("- {}", text(fact)));
        }
        blank(page);
    }
    line(page, &format!("**Environment** {}", text(&report.environment)));
    blank(page);
    if detail <= Detail::NoCharts {
        for scenario in &report.scenarios {
            let left_out = scenario.comparison.baseline.iter().flat_map(|baseline| &baseline.left_out);
            for reason in left_out.take(10) {
                let name = markdown_code(scenario.measurement.scenario.as_str());
                line(page, &format!("- {name}: {}", text(reason)));
            }
        }
        blank(page);
    }
    line(
        page,
        "**Intended?** Accept the new speed with `cargo loadgate baseline promote --accept REASON`; it begins a new history, and the \
         pull request shows it for review.",
    );
    blank(page);
    line(page, "</details>");
}

fn footer(page: &mut String, report: &Report) {
    let mut parts = Vec::new();
    if let Some(commit) = &report.commit {
        parts.push(format!(
            "For {}",
            markdown_code(&wording::outside(commit).chars().take(7).collect::<String>())
        ));
    }
    parts.push(format!("loadgate {}", text(&report.tool_version)));
    parts.push(report.started_at.to_string());
    if let Some(url) = report.run_url.as_deref().filter(|url| is_plain_link(url)) {
        parts.push(format!("[full report]({url})"));
    }
    line(page, &format!("<sub>{}</sub>", parts.join(" \u{b7} ")));
}

/// Returns whether an address can stand in a link without ending it.
fn is_plain_link(url: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#=&%+,@".contains(&byte);
    url.len() <= 500 && url.starts_with("https://") && url.bytes().all(is_plain)
}

fn emphasised(headline: &Headline<'_>) -> String {
    let mut sentence = String::new();
    if let Some(scenario) = headline.scenario {
        sentence.push_str(&format!("{} ", markdown_code(scenario)));
    }
    sentence.push_str(&markdown_text(&headline.says));
    if let Some((metric, figure)) = &headline.figure {
        sentence.push_str(&format!(" \u{2014} {metric} **{figure}**"));
    }
    match (&headline.aside, &headline.figure) {
        (Some(aside), Some(_)) => sentence.push_str(&format!(" ({})", markdown_text(aside))),
        (Some(aside), None) => sentence.push_str(&format!(" \u{2014} {}", markdown_text(aside))),
        (None, _) => {}
    }
    sentence
}

fn text(outside: &str) -> String {
    markdown_text(&wording::outside(outside))
}

fn line(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

fn blank(page: &mut String) {
    if !page.ends_with("\n\n") {
        page.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_headline_says_the_verdict_in_words() {
        for (verdict, headline) in [
            (
                Verdict::Regressed,
                "### \u{1f534} loadgate: `browse` is slower \u{2014} p50 **+31.2 %** (limit +10 %)\n",
            ),
            (
                Verdict::Improved,
                "### \u{1f7e2} loadgate: `browse` is faster \u{2014} p50 **\u{2212}12.3 %** (limit +10 %)\n",
            ),
            (
                Verdict::NoBaseline,
                "### \u{26aa} loadgate: `browse` has no baseline yet \u{2014} nothing was compared\n",
            ),
            (
                Verdict::Inconclusive,
                "### \u{26aa} loadgate: `browse` is undecided \u{2014} p50 **+6.0 %** \
                 (interval \u{2212}2.0 \u{2026} +14.0 %, limit +10 %)\n",
            ),
            (
                Verdict::Invalid,
                "### \u{26d4} loadgate: `browse` has no valid measurement \u{2014} no request was answered\n",
            ),
        ] {
            let markdown = render(&fixture::report(verdict));

            assert!(markdown.starts_with(headline), "{markdown}");
        }
    }

    #[test]
    fn a_regression_shows_its_table_its_shift_and_the_way_out() {
        let markdown = render(&fixture::report(Verdict::Regressed));

        for part in [
            "| **p50** | 3.06 ms | 4.02 ms | **+31.2 %** | +26.2 \u{2026} +36.2 % | +10 % | \u{1f534} regressed |\n",
            "p50 \u{2588} +31",
            "xychart-beta\n",
            "`cargo loadgate baseline promote --accept REASON`",
            "For `0123456`",
        ] {
            assert!(markdown.contains(part), "{part} is missing in\n{markdown}");
        }
    }

    #[test]
    fn every_details_element_is_closed() {
        for scenarios in [1, 2, 40, 400] {
            let markdown = render(&with_scenarios(scenarios));

            let (opened, closed) =
                (markdown.matches("<details>").count(), markdown.matches("</details>").count());
            assert_eq!(opened, closed, "{scenarios}");
            assert_eq!(markdown.matches("```").count() % 2, 0, "{scenarios}");
        }
    }

    #[test]
    fn a_report_of_many_scenarios_keeps_the_verdict_and_fits() {
        for scenarios in [1, 20, 60, 120, 400, 2_000] {
            let markdown = render(&with_scenarios(scenarios));

            assert!(fits(&markdown), "{scenarios}: {} bytes", markdown.len());
            assert!(markdown.starts_with("### \u{1f534} loadgate: `s0` is slower"), "{scenarios}");
        }
        assert!(render(&with_scenarios(3)).contains("mermaid"));
        assert!(!render(&with_scenarios(120)).contains("mermaid"));
    }

    #[test]
    fn even_absurdly_long_text_fits() {
        let mut report = with_scenarios(300);
        report.warnings = vec!["\u{1f534}<".repeat(5_000); 50];
        for scenario in &mut report.scenarios {
            scenario.comparison.reasons = vec!["<&@#".repeat(5_000); 50];
            scenario.comparison.metrics.clear();
        }

        let markdown = render(&report);

        assert!(fits(&markdown));
        assert!(markdown.starts_with("### \u{1f534} loadgate: `s0` is over its limit"));
    }

    #[test]
    fn endpoints_have_a_table_of_their_own_and_cannot_break_it() {
        let mut report = fixture::report(Verdict::Passed);
        let measurement = &mut report.scenarios[0].measurement;
        measurement.endpoints = vec![crate::measurement::EndpointMeasurement {
            name: "GET /a|b <img>".into(),
            latency: measurement.rounds[0].latency.clone(),
            outcomes: measurement.rounds[0].outcomes.clone(),
        }];

        let markdown = render(&report);

        assert!(markdown.contains("| endpoint | requests | errors | p50 | p99 |"), "{markdown}");
        assert!(!markdown.contains("/a|b") && !markdown.contains("<img>"), "{markdown}");
    }

    #[test]
    fn outside_text_cannot_inject_markup() {
        let mut report = fixture::report(Verdict::Regressed);
        let hostile = "</details><img src=x> @octocat #1 | **bold** [a](http://x) \n## heading \u{202e}";
        report.warnings = vec![hostile.into()];
        report.environment = hostile.into();
        report.commit = Some("`x`|<b>".into());
        report.run_url = Some("https://x/)](javascript:alert(1))".into());
        report.target.derivation = vec![hostile.into()];
        report.scenarios[0].request_line = "GET /`|<script>@octocat".into();
        report.scenarios[0].comparison.reasons = vec![hostile.into()];
        report.scenarios[0].comparison.metrics[0].note = Some(hostile.into());

        let markdown = render(&report);

        for power in ["<img", "@octocat #", "\n## ", "**bold**", "[a]", "javascript", "\u{202e}"] {
            assert!(!markdown.contains(power), "{power} in\n{markdown}");
        }
        assert!(markdown.contains("`` GET /`\\|<script>@octocat ``"), "{markdown}");
        assert_eq!(markdown.matches("</details>").count(), markdown.matches("<details>").count());
    }

    fn with_scenarios(number: usize) -> Report {
        let mut report = fixture::report(Verdict::Regressed);
        report.scenarios = (0..number)
            .map(|index| {
                let verdict = if index % 3 == 0 { Verdict::Regressed } else { Verdict::Passed };
                let mut scenario = fixture::scenario(&format!("s{index}"), verdict);
                // Histograms are large; a few are enough.
                if index > 6 {
                    scenario.measurement.rounds.clear();
                    scenario.base_latency = None;
                }
                scenario
            })
            .collect();
        report
    }
}
