//! Baselines are remembered measurements, one file a run.
//!
//! `format_v1` is the file, `dir` the store that keeps files in a directory. A file that cannot be read is named and
//! skipped; it never stops a run and never passes silently.

use serde::{Deserialize, Serialize};

use crate::context::CommitSha;
use crate::measurement::Measurement;

/// What must be equal for two measurements to be comparable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fingerprint {
    /// Hash of everything that shapes the load: request, pacing, connections, durations, time-out.
    pub scenario_digest: String,
    /// The major version of the tool that measured (`0.1` while the major version is zero).
    pub tool_series: String,
    /// The operating system of the machine that generated the load.
    pub os: String,
    /// The architecture of that machine.
    pub arch: String,
    /// The processor's name, as the system tells it.
    pub cpu: String,
    /// The number of processors that the generator could use.
    pub cpus: u32,
    /// What kind of target was loaded: `loopback` for a service on the same machine, else the preview's zone.
    pub target: String,
}

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
