//! The terminal report: the verdict first, then one block per scenario, readable on 80 columns.
//!
//! Everything that came from outside is made harmless here. Colours only repeat what words say.

use anstyle::{AnsiColor, Style as Ansi};
use hdrhistogram::Histogram;

use crate::measurement::Measurement;
use crate::redact::harmless;
use crate::report::{Report, ScenarioReport, figures, wording};
use crate::verdict::Verdict;

/// Narrower terminals get lines of this width.
const MIN_WIDTH: usize = 20;

/// How wide and how colourful the text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours are written.
    pub color: bool,
    /// Columns of the terminal; no line is longer.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: false, width: 80 }
    }
}

/// The percentiles of the detailed distribution, as load generators usually print them.
const SPECTRUM: [f64; 10] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];

/// Returns the whole latency distribution of every scenario, percentile by percentile.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "an hour in nanoseconds stays below 2^52")]
pub fn spectrum(report: &Report) -> String {
    let mut text = String::new();
    for scenario in &report.scenarios {
        let latency = scenario.measurement.merged().latency;
        text.push_str(&format!("Latency distribution of {}\n", scenario.measurement.scenario));
        for percentile in SPECTRUM {
            let value = latency.value_at_percentile(percentile) as f64 / 1_000.0;
            let value = figures::maybe_time((!latency.is_empty()).then_some(value));
            text.push_str(&format!("  {percentile:>7.3}%  {value:>10}\n"));
        }
        text.push_str(&format!("  {} samples\n", latency.len()));
    }
    text
}

/// Returns the verdict and its main reason, ending with a line feed.
#[must_use]
pub fn headline(report: &Report, style: Style) -> String {
    let mut page = Page { style, text: String::new() };
    let verdict = report.verdict;
    let headline = wording::headline(report);
    page.line(tone(verdict), &format!("{}: {}", verdict.as_str().to_uppercase(), headline.plain()));
    page.text
}

/// Returns the report as text that ends with a line feed.
#[must_use]
pub fn render(report: &Report, style: Style) -> String {
    let mut page = Page { style, text: headline(report, style) };
    page.line(PLAIN, &wording::consequence(report.exit));
    page.line(DIM, &format!("target {} (from {})", report.target.origin, report.target.source));
    let commit = report.commit.as_deref().map(|commit| format!("commit {}, ", wording::outside(commit)));
    page.line(DIM, &format!("{}{}", commit.unwrap_or_default(), wording::outside(&report.environment)));
    for scenario in &report.scenarios {
        page.blank();
        scenario_block(&mut page, scenario);
    }
    if !report.warnings.is_empty() {
        page.blank();
        for warning in &report.warnings {
            page.line(WARN, &format!("warning: {}", wording::outside(warning)));
        }
    }
    page.text
}

const PLAIN: Ansi = Ansi::new();
const BOLD: Ansi = Ansi::new().bold();
const DIM: Ansi = Ansi::new().dimmed();
const WARN: Ansi = AnsiColor::Yellow.on_default();

fn tone(verdict: Verdict) -> Ansi {
    match verdict {
        Verdict::Passed | Verdict::Improved => AnsiColor::Green.on_default().bold(),
        Verdict::NoBaseline | Verdict::Inconclusive => AnsiColor::Yellow.on_default().bold(),
        Verdict::Regressed | Verdict::Invalid => AnsiColor::Red.on_default().bold(),
    }
}

fn scenario_block(page: &mut Page, scenario: &ScenarioReport) {
    let comparison = &scenario.comparison;
    let merged = scenario.measurement.merged();
    let name = &scenario.measurement.scenario;
    page.line(tone(comparison.verdict), &format!("{name}: {}", comparison.verdict));
    let request = wording::outside(&scenario.request_line);
    page.line(DIM, &format!("  {request}, {}", wording::outside(&scenario.profile_line)));
    page.line(DIM, &format!("  {}", wording::judged_by(comparison)));
    for reason in &comparison.reasons {
        page.line(PLAIN, &format!("  - {}", wording::outside(reason)));
    }
    if !comparison.metrics.is_empty() {
        page.blank();
        metrics_table(page, scenario);
    }
    for metric in &comparison.metrics {
        if let Some(note) = &metric.note {
            page.line(DIM, &format!("  {}: {}", metric.of, wording::outside(note)));
        }
    }
    if let Some(detectable) = wording::detectable(comparison) {
        page.line(DIM, &format!("  {detectable}"));
    }
    page.blank();
    times_table(page, &wording::timed(&scenario.measurement, &merged));
    if !scenario.measurement.endpoints.is_empty() {
        page.blank();
        endpoints_table(page, &scenario.measurement);
    }
    page.blank();
    page.line(PLAIN, &format!("  rate      {}", wording::rates(scenario)));
    let outcomes = wording::outcomes(&merged.outcomes);
    page.line(PLAIN, &format!("  outcomes  {outcomes} ({} errors)", wording::errors(&merged.outcomes)));
    for left_out in comparison.baseline.iter().flat_map(|baseline| &baseline.left_out) {
        page.line(DIM, &format!("  {}", wording::outside(left_out)));
    }
    for finding in wording::findings(scenario) {
        page.line(WARN, &format!("  security: {finding}"));
    }
    if scenario.measurement.is_partial() {
        page.line(WARN, "  cut short: this is what was measured until then");
    }
}

fn metrics_table(page: &mut Page, scenario: &ScenarioReport) {
    let mut table = Table::new(&["metric", "base", "head", "change", "interval", "limit", "verdict"]);
    for metric in &scenario.comparison.metrics {
        let is_bad = metric.is_gated && metric.verdict == Verdict::Regressed;
        table.row(
            if is_bad { tone(metric.verdict) } else { PLAIN },
            vec![
                figures::metric(&metric.of),
                figures::maybe_time(metric.base_us),
                figures::maybe_time(metric.head_us),
                figures::maybe_change(metric.change),
                figures::interval(metric.low, metric.high),
                metric.limit.map_or_else(|| figures::MISSING.to_owned(), figures::limit),
                wording::metric_verdict(metric).to_owned(),
            ],
        );
    }
    // On a narrow terminal the interval goes first, then what the change already says.
    table.print(page, &[4, 1, 5]);
}

fn times_table(page: &mut Page, timed: &[(String, &Histogram<u64>)]) {
    let mut table = Table::new(&["", "p50", "p90", "p99", "p99.9", "max"]);
    for (name, histogram) in timed {
        let mut cells = vec![name.clone()];
        cells.extend(wording::times(histogram));
        table.row(PLAIN, cells);
    }
    table.print(page, &[2, 4, 5]);
}

fn endpoints_table(page: &mut Page, measurement: &Measurement) {
    let mut table = Table::new(&["endpoint", "requests", "errors", "p50", "p99", ""]);
    for endpoint in wording::endpoints(measurement) {
        table.row(PLAIN, endpoint.into_iter().chain([String::new()]).collect());
    }
    table.print(page, &[3]);
}

/// A table whose first and last columns hold words (left) and the others figures (right).
struct Table {
    heads: Vec<String>,
    rows: Vec<(Ansi, Vec<String>)>,
}

impl Table {
    fn new(heads: &[&str]) -> Self {
        Self { heads: heads.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    fn row(&mut self, style: Ansi, cells: Vec<String>) {
        self.rows.push((style, cells));
    }

    /// Prints the table, leaving out columns in the order of `expendable` until it fits.
    fn print(&self, page: &mut Page, expendable: &[usize]) {
        let mut columns: Vec<usize> = (0..self.heads.len()).collect();
        for column in expendable {
            if self.width(&columns) <= page.width() {
                break;
            }
            columns.retain(|kept| kept != column);
        }
        page.line(BOLD, &self.text(&columns, &self.heads));
        for (style, cells) in &self.rows {
            page.line(*style, &self.text(&columns, cells));
        }
    }

    fn width(&self, columns: &[usize]) -> usize {
        columns.iter().map(|column| self.column_width(*column) + 2).sum()
    }

    fn column_width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|(_, cells)| &cells[column]);
        cells.chain([&self.heads[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    fn text(&self, columns: &[usize], cells: &[String]) -> String {
        let mut line = String::new();
        for &column in columns {
            let width = self.column_width(column);
            let is_word = column == 0 || self.heads[column] == "verdict";
            let cell = &cells[column];
            line.push_str("  ");
            line.push_str(&if is_word { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        }
        line.trim_end().to_owned()
    }
}

struct Page {
    style: Style,
    text: String,
}

impl Page {
    fn width(&self) -> usize {
        self.style.width.max(MIN_WIDTH)
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Writes one line, or several where it is too long; those that follow are indented under the first.
    fn line(&mut self, ansi: Ansi, line: &str) {
        for part in wrap(&harmless(line), self.width()) {
            // Wrapping may have moved a harmless `::` to the beginning of a line, where it is a command; the ratio
            // sign looks alike and keeps the width.
            let is_command = part.trim_start().starts_with("::");
            let part = if is_command { part.replacen("::", ":\u{2236}", 1) } else { part };
            if self.style.color && ansi != PLAIN {
                self.text.push_str(&format!("{ansi}{part}{ansi:#}"));
            } else {
                self.text.push_str(&part);
            }
            self.text.push('\n');
        }
    }
}

fn wrap(line: &str, width: usize) -> Vec<String> {
    if line.chars().count() <= width {
        return vec![line.to_owned()];
    }
    let own_indent = line.chars().take_while(|c| *c == ' ').count();
    let indent = " ".repeat((own_indent + 2).min(width / 2));
    let mut lines = Vec::new();
    let mut current = " ".repeat(own_indent.min(width / 2));
    let mut is_fresh = true;
    for word in line.split(' ').filter(|word| !word.is_empty()) {
        let mut rest: Vec<char> = word.chars().collect();
        let used = current.chars().count() + usize::from(!is_fresh);
        if !is_fresh && used + rest.len() > width {
            lines.push(std::mem::replace(&mut current, indent.clone()));
            is_fresh = true;
        }
        if !is_fresh {
            current.push(' ');
        }
        // A word longer than a line, such as an address, is cut.
        while current.chars().count() + rest.len() > width {
            let room = width - current.chars().count();
            current.extend(rest.drain(..room));
            lines.push(std::mem::replace(&mut current, indent.clone()));
        }
        current.extend(rest);
        is_fresh = false;
    }
    lines.push(current);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    const VERDICTS: [Verdict; 6] = [
        Verdict::Improved,
        Verdict::Passed,
        Verdict::NoBaseline,
        Verdict::Inconclusive,
        Verdict::Regressed,
        Verdict::Invalid,
    ];

    #[test]
    fn the_first_line_is_the_verdict() {
        let text = render(&fixture::report(Verdict::Regressed), Style::default());

        assert!(
            text.starts_with("REGRESSED: browse is slower \u{2013} p50 +31.2 % (limit +10 %)\n"),
            "{text}"
        );
    }

    #[test]
    fn a_scenario_shows_its_figures_side_by_side() {
        let text = render(&fixture::report(Verdict::Regressed), Style::default());

        for line in [
            "  metric     base     head   change         interval  limit  verdict\n",
            "  p50     3.06 ms  4.02 ms  +31.2 %  +26.2 \u{2026} +36.2 %  +10 %  regressed\n",
            "  outcomes  2 990 2xx, 10 time-out (0.33 % errors)\n",
            "  rate      asked 100/s, achieved 99.7/s\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for verdict in VERDICTS {
            for width in [20, 33, 60, 80, 120] {
                let mut report = fixture::report(verdict);
                report.warnings.push(format!("cannot read {}", "long/".repeat(60)));

                let text = render(&report, Style { color: false, width });

                for line in text.lines() {
                    assert!(line.chars().count() <= width, "{width}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn colours_appear_only_where_asked_and_change_no_text() {
        for verdict in VERDICTS {
            let report = fixture::report(verdict);
            let plain = render(&report, Style::default());
            let colored = render(&report, Style { color: true, width: 80 });

            assert!(!plain.contains('\x1b') && colored.contains('\x1b'));
            assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
        }
    }

    #[test]
    fn outside_text_cannot_move_the_cursor_or_command_the_runner() {
        let mut report = fixture::report(Verdict::Regressed);
        report.warnings = vec!["x\x1b[2J\n::error::y\u{202e}".into()];
        report.scenarios[0].comparison.reasons = vec!["\n::add-mask::a ##[group]".into()];
        report.environment = "\n::error::cpu".into();
        report.commit = None;

        let text = render(&report, Style::default());

        assert!(!text.contains(['\x1b', '\u{202e}']) && !text.contains("##[group]"), "{text}");
        assert!(text.lines().all(|line| !line.trim_start().starts_with("::")), "{text}");
    }

    #[test]
    fn a_wrapped_command_is_no_command_either() {
        let mut report = fixture::report(Verdict::Invalid);
        report.scenarios.clear();
        report.warnings = vec![format!("{} ::error::x", "y".repeat(60))];

        for width in 20..100 {
            let text = render(&report, Style { color: false, width });

            assert!(text.lines().all(|line| !line.trim_start().starts_with("::")), "{width}:\n{text}");
        }
    }
}
