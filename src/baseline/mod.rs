//! Baselines are remembered measurements, one file a run.
//!
//! `format_v1` is the file, `dir` the store that keeps files in a directory. A file that cannot be read is named and
//! skipped; it never stops a run and never passes silently.

pub mod dir;
mod fingerprint;
pub mod format_v1;
mod histogram_v2;
pub mod machine;

use std::path::PathBuf;

pub use dir::{DirStore, Recall, Retention, Skipped};
pub use fingerprint::Fingerprint;
pub use machine::Machine;

use crate::context::CommitSha;
use crate::measurement::Measurement;

/// The longest reason that is told of a damaged file.
const MAX_REASON_CHARS: usize = 300;

/// One remembered run of one scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What was seen.
    pub measurement: Measurement,
    /// The commit that was measured, where it was known.
    pub commit: Option<CommitSha>,
    /// When it was measured.
    pub measured_at: jiff::Timestamp,
    /// The version of the tool that measured.
    pub tool_version: String,
    /// What must be equal for a comparison.
    pub fingerprint: Fingerprint,
    /// Why this run begins a new history, where an intended change of speed was accepted with it.
    pub accepted_step: Option<String>,
}

/// A stored measurement that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The system refused to read or write; mend the permissions or the disk.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was attempted, such as `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// One file of a store is unusable, for the reason that follows; remove or restore it.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<BaselineError>,
    },
    /// The file is larger than any measurement; it is another file, or a hostile one.
    #[error("larger than {limit_bytes} bytes")]
    TooLarge {
        /// The largest size that is read.
        limit_bytes: u64,
    },
    /// The file is no measurement of this tool: another format, or no JSON at all; point at another file.
    #[error("not a measurement of this tool: {found}")]
    Foreign {
        /// What was found in place of it.
        found: String,
    },
    /// A newer tool wrote the file; update this one, or record the baseline again.
    #[error("format {found}, this tool reads {known}")]
    OtherVersion {
        /// The file's version.
        found: u64,
        /// The version that this tool reads.
        known: u64,
    },
    /// The file is of this format but damaged: cut off, or edited by hand; record the baseline again.
    #[error("damaged: {why}")]
    Damaged {
        /// What is wrong with it.
        why: String,
    },
    /// The measurement holds something that no reader would take, so it is not stored; report it as a bug.
    #[error("cannot be stored: {why}")]
    Unstorable {
        /// What is wrong with it.
        why: String,
    },
}

impl BaselineError {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Io { .. } => "check that the path exists, is yours and the disk has room".into(),
            Self::File { source, .. } => source.help(),
            Self::TooLarge { .. } | Self::Foreign { .. } => {
                "point at a file that `cargo loadgate run` wrote, or move this one out of the store".into()
            }
            Self::OtherVersion { .. } => {
                "update cargo-loadgate, or remove the file and record a new baseline".into()
            }
            Self::Damaged { .. } => "restore the file, or remove it and record a new baseline".into(),
            Self::Unstorable { .. } => "please report this as a bug, with the measurement's scenario".into(),
        }
    }

    /// Takes a reason that may quote the damaged file: control characters and great lengths are left out.
    fn damaged(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self::Damaged { why: why.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measurement::{Ending, GeneratorHealth, OutcomeClass, Round};
    use crate::scenario::ScenarioName;

    pub(crate) fn fingerprint() -> Fingerprint {
        Fingerprint {
            scenario_digest: "0".repeat(64),
            tool_series: "0.1".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            cpu: "A".into(),
            cpus: 2,
            target: "loopback".into(),
        }
    }

    /// A record of one round with three answers.
    pub(crate) fn record(scenario: &str, measured_at: &str) -> Record {
        let mut round = Round::empty();
        round.outcomes.add(OutcomeClass::Success, 3);
        for value in [1_000_000, 2_000_000, 3_000_000] {
            round.latency.record(value).unwrap();
            round.service_time.record(value / 2).unwrap();
            round.send_lag.record(value / 2).unwrap();
        }
        Record {
            measurement: Measurement {
                scenario: ScenarioName::parse(scenario).unwrap(),
                rounds: vec![round],
                elapsed: Duration::from_millis(1500),
                asked_rate: None,
                asked_connections: 2,
                reached_connections: 2,
                generator: GeneratorHealth::default(),
                steady_state: crate::measurement::SteadyState::NotSought,
                ending: Ending::Complete,
                endpoints: vec![],
                class_latency: vec![],
                bytes_received: None,
            },
            commit: None,
            measured_at: measured_at.parse().unwrap(),
            tool_version: "0.1.0".into(),
            fingerprint: fingerprint(),
            accepted_step: None,
        }
    }

    #[test]
    fn every_error_has_a_remedy() {
        let errors = [
            BaselineError::TooLarge { limit_bytes: 1 },
            BaselineError::Foreign { found: "x".into() },
            BaselineError::OtherVersion { found: 2, known: 1 },
            BaselineError::damaged("x"),
            BaselineError::Unstorable { why: "x".into() },
        ];

        for error in errors {
            assert!(error.help().len() > 20, "{error}");
        }
    }
}
