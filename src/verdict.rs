//! A verdict is the gate's answer; an exit is what the process tells its caller.
//!
//! The verdict owns the exit code, and `Exit` is the only place that knows numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The gate's answer for one scenario or a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every gated metric is within its limit and at least one is faster beyond doubt.
    Improved,
    /// Every gated metric is within its limit.
    Passed,
    /// There is nothing to compare with yet; absolute budgets passed.
    NoBaseline,
    /// The data cannot tell.
    Inconclusive,
    /// A gated metric, a budget or the error rate is beyond its limit.
    Regressed,
    /// The run measured nothing that can be judged.
    Invalid,
}

impl Verdict {
    /// Returns the worse of two verdicts, for a run of several scenarios.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        self.max(other)
    }

    /// Returns what the process tells its caller.
    #[must_use]
    pub fn exit(self, fail_on: FailOn) -> Exit {
        match self {
            Self::Passed | Self::Improved => Exit::Passed,
            Self::Regressed => Exit::GateSaysNo,
            Self::Invalid => Exit::CouldNotComplete,
            Self::Inconclusive if fail_on.inconclusive => Exit::NoVerdict,
            Self::NoBaseline if fail_on.no_baseline => Exit::NoVerdict,
            Self::Inconclusive | Self::NoBaseline => Exit::Passed,
        }
    }

    /// Returns the word used in every report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::Passed => "passed",
            Self::NoBaseline => "no-baseline",
            Self::Inconclusive => "inconclusive",
            Self::Regressed => "regressed",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which verdicts without an answer fail the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FailOn {
    /// `inconclusive` exits with [`Exit::NoVerdict`].
    pub inconclusive: bool,
    /// `no-baseline` exits with [`Exit::NoVerdict`].
    pub no_baseline: bool,
}

/// What the process tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The gate passed; also: improved, recorded, and no verdict where `fail-on` does not ask for one.
    Passed,
    /// Wrong usage or configuration; nothing was run.
    BadUsage,
    /// `fail-on` asked for a verdict and there is none: inconclusive or no baseline.
    NoVerdict,
    /// The guard refused the target; nothing was sent.
    Refused,
    /// The gate says no: regression, budget or error rate.
    GateSaysNo,
    /// The run could not complete: nothing measured, generator overloaded, target died.
    CouldNotComplete,
}

impl Exit {
    /// Every exit in ascending order of its code, for documentation and its tests.
    pub const ALL: [Self; 6] = [
        Self::Passed,
        Self::BadUsage,
        Self::NoVerdict,
        Self::Refused,
        Self::GateSaysNo,
        Self::CouldNotComplete,
    ];

    /// Returns the exit that says more: of several scenarios the one that went worst speaks for the run.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let weight = |exit| match exit {
            Self::Passed => 0,
            Self::NoVerdict => 1,
            Self::GateSaysNo => 2,
            Self::CouldNotComplete => 3,
            Self::Refused => 4,
            Self::BadUsage => 5,
        };
        if weight(other) > weight(self) { other } else { self }
    }

    /// Returns the process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::BadUsage => 2,
            Self::NoVerdict => 75,
            Self::Refused => 77,
            Self::GateSaysNo => 100,
            Self::CouldNotComplete => 101,
        }
    }

    /// Returns the meaning in a few words, as the README's table and `--help` give it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Passed => "passed (also: improved, recorded)",
            Self::BadUsage => "bad usage or configuration; nothing was run",
            Self::NoVerdict => "no verdict (inconclusive, no baseline), only where fail-on asks for one",
            Self::Refused => "the guard refused the target; nothing was sent",
            Self::GateSaysNo => "the gate says no: regression, budget or error rate",
            Self::CouldNotComplete => {
                "could not complete: nothing measured, generator overloaded, target died"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_measured_nothing_never_passes() {
        for fail_on in [FailOn::default(), FailOn { inconclusive: true, no_baseline: true }] {
            assert_eq!(Verdict::Invalid.exit(fail_on), Exit::CouldNotComplete);
        }
    }

    #[test]
    fn no_verdict_fails_only_where_asked() {
        let strict = FailOn { inconclusive: true, no_baseline: true };

        assert_eq!(Verdict::Inconclusive.exit(FailOn::default()), Exit::Passed);
        assert_eq!(Verdict::Inconclusive.exit(strict), Exit::NoVerdict);
        assert_eq!(Verdict::NoBaseline.exit(strict), Exit::NoVerdict);
    }

    #[test]
    fn a_scenario_that_fails_the_run_is_not_hidden_by_one_that_does_not() {
        let tolerant = Verdict::Inconclusive.exit(FailOn::default());
        let strict = Verdict::NoBaseline.exit(FailOn { inconclusive: false, no_baseline: true });

        assert_eq!(tolerant.worse(strict), Exit::NoVerdict);
        assert_eq!(strict.worse(Exit::GateSaysNo), Exit::GateSaysNo);
        assert_eq!(Exit::CouldNotComplete.worse(Exit::GateSaysNo), Exit::CouldNotComplete);
    }

    #[test]
    fn the_worst_scenario_names_the_run() {
        assert_eq!(Verdict::Passed.worse(Verdict::Regressed), Verdict::Regressed);
        assert_eq!(Verdict::Invalid.worse(Verdict::Regressed), Verdict::Invalid);
        assert_eq!(Verdict::Improved.worse(Verdict::Passed), Verdict::Passed);
    }
}
