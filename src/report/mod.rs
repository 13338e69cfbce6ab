//! A report says what happened; every fact that any output shows comes from this one value.
//!
//! Renderers are one file each, data in and text out: `terminal`, `markdown`, `html`, `json_v1`.

mod figures;
pub mod html;
mod html_picture;
pub mod json_v1;
pub mod markdown;
mod picture;
pub mod terminal;
mod wording;

#[cfg(test)]
mod fixture;

use hdrhistogram::Histogram;

use crate::compare::Comparison;
use crate::measurement::Measurement;
use crate::secret::SecretEcho;
use crate::target::{Origin, Source};
use crate::verdict::{Exit, Verdict};

/// What a run loaded and how that target was found.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedTarget {
    /// Scheme, host and port.
    pub origin: Origin,
    /// Where it came from.
    pub source: Source,
    /// The chain of facts that led to it, one sentence each.
    pub derivation: Vec<String>,
}

/// One scenario of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioReport {
    /// What was seen.
    pub measurement: Measurement,
    /// The request in one line, such as `GET /products`.
    pub request_line: String,
    /// The load profile in one line, such as `100/s for 30 s, 5 rounds`.
    pub profile_line: String,
    /// What was concluded.
    pub comparison: Comparison,
    /// The latencies of the comparable baseline runs merged, for the picture.
    pub base_latency: Option<Histogram<u64>>,
    /// The secrets that the server sent back; they are told and decide nothing.
    pub echoes: Vec<SecretEcho>,
}

/// Everything that a run can tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The version of this tool.
    pub tool_version: String,
    /// When the run began.
    pub started_at: jiff::Timestamp,
    /// The worst verdict of all scenarios.
    pub verdict: Verdict,
    /// What the process will tell its caller.
    pub exit: Exit,
    /// What was loaded.
    pub target: ReportedTarget,
    /// The commit under test, where it is known.
    pub commit: Option<String>,
    /// The machine in one line: operating system, architecture, processor.
    pub environment: String,
    /// Every scenario in the order it was driven.
    pub scenarios: Vec<ScenarioReport>,
    /// Warnings that belong to no scenario: damaged baselines, a comment that could not be posted.
    pub warnings: Vec<String>,
    /// Where people find more: the CI run's address.
    pub run_url: Option<String>,
}

impl Report {
    /// Passes every text that came from outside through a filter.
    ///
    /// Renderers escape texts, which changes how a secret in them is spelt: it is taken out before.
    pub fn clean(&mut self, filter: &dyn Fn(&str) -> String) {
        let texts = self.warnings.iter_mut().chain(&mut self.target.derivation);
        texts.chain(&mut self.commit).chain(&mut self.run_url).for_each(|text| *text = filter(text));
        self.environment = filter(&self.environment);
        for scenario in &mut self.scenarios {
            scenario.measurement.clean(filter);
            scenario.request_line = filter(&scenario.request_line);
            scenario.profile_line = filter(&scenario.profile_line);
            scenario.echoes.iter_mut().for_each(|echo| echo.place = filter(&echo.place));
            let comparison = &mut scenario.comparison;
            let notes = comparison.metrics.iter_mut().filter_map(|metric| metric.note.as_mut());
            let left_out = comparison.baseline.iter_mut().flat_map(|baseline| &mut baseline.left_out);
            comparison.reasons.iter_mut().chain(notes).chain(left_out).for_each(|text| *text = filter(text));
        }
    }
}
