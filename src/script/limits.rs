//! What a script may cost, and the stages of its life that have a deadline each.

use std::fmt;
use std::time::Duration;

/// The longest error text that goes into a report.
pub(super) const MAX_SHOWN_ERROR_BYTES: usize = 500;

/// What one state may print before it is stopped.
pub(super) const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// The lines that one state may print before it is stopped.
pub(super) const MAX_OUTPUT_LINES: usize = 1_000;

/// What all sinks of one state together may hold.
pub(super) const MAX_SINK_BYTES: usize = 8 * 1024 * 1024;

/// The most endpoints, and the most names of checks: each is a row of a report.
pub(super) const MAX_NAMES: usize = 64;

/// What a script may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptLimits {
    /// The memory of one state; every worker has one.
    pub memory_bytes: usize,
    /// How long one call of `request`, `response` or `delay` may take.
    pub callback: Duration,
    /// How long the script's text, `setup`, `init` and `done` may take.
    pub stage: Duration,
    /// How long after its deadline a call may go on before the process ends.
    pub hard: Duration,
}

impl Default for ScriptLimits {
    /// Generous enough for a crowded machine, where a thread may not run for a tenth of a second.
    fn default() -> Self {
        Self {
            memory_bytes: 64 * 1024 * 1024,
            callback: Duration::from_millis(250),
            stage: Duration::from_secs(10),
            hard: Duration::from_secs(1),
        }
    }
}

impl ScriptLimits {
    /// Returns how long a stage may take.
    #[must_use]
    pub fn deadline(&self, stage: Stage) -> Duration {
        if stage.is_of_requests() { self.callback } else { self.stage }
    }
}

/// What of a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// The script's text itself.
    Text = 0,
    /// `setup`.
    Setup,
    /// `init`.
    Init,
    /// `request`.
    Request,
    /// `response`.
    Response,
    /// `delay`.
    Delay,
    /// `done`.
    Done,
}

impl Stage {
    const ALL: [Self; 7] =
        [Self::Text, Self::Setup, Self::Init, Self::Request, Self::Response, Self::Delay, Self::Done];

    /// Returns whether this comes with every request.
    pub(super) fn is_of_requests(self) -> bool {
        matches!(self, Self::Request | Self::Response | Self::Delay)
    }

    pub(super) fn of_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Text)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "the script",
            Self::Setup => "setup()",
            Self::Init => "init()",
            Self::Request => "request()",
            Self::Response => "response()",
            Self::Delay => "delay()",
            Self::Done => "done()",
        })
    }
}
