//! Limits are the ceilings of load on a remote target. They are low, and raising them is a reviewed change.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Settings;
use super::file_v1::LimitsDraft;
use super::problem::{Problem, Problems};
use crate::scenario::{Pacing, Rate, Scenario};

/// The most load that a remote target may receive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Requests per second of one scenario; scenarios run one after the other.
    pub rate: Rate,
    /// Connections of one scenario.
    pub connections: NonZeroU32,
    /// The time of all scenarios together, warm-ups included.
    pub duration: Duration,
}

impl Limits {
    const DEFAULT_RATE: f64 = 200.0;
    const DEFAULT_CONNECTIONS: NonZeroU32 = NonZeroU32::new(32).expect("thirty-two is not zero");
    const DEFAULT_DURATION: Duration = Duration::from_secs(300);

    pub(super) fn from_draft(draft: &LimitsDraft) -> Self {
        let rate = draft.rate.or_else(|| Rate::per_second(Self::DEFAULT_RATE).ok());
        Self {
            rate: rate.expect("the default rate is a rate"),
            connections: draft.connections.unwrap_or(Self::DEFAULT_CONNECTIONS),
            duration: draft.duration.unwrap_or(Self::DEFAULT_DURATION),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::from_draft(&LimitsDraft::default())
    }
}

/// Finds everything that a remote target must not receive; loopback has no limits.
#[must_use]
pub fn check_limits(settings: &Settings) -> Problems {
    let limits = settings.limits;
    let mut problems = Problems::default();
    for scenario in &settings.scenarios {
        let profile = &scenario.profile;
        if let Pacing::OpenLoop { rate } = profile.pacing
            && rate > limits.rate
        {
            problems.push(above(scenario, "rate", &rate.to_string(), &limits.rate.to_string()));
        }
        if profile.connections > limits.connections {
            let (asked, limit) = (profile.connections.to_string(), limits.connections.to_string());
            problems.push(above(scenario, "connections", &asked, &limit));
        }
        let time = whole_time(scenario);
        if time > limits.duration {
            problems.push(above(
                scenario,
                "duration",
                &format!("{time:?}"),
                &format!("{:?}", limits.duration),
            ));
        }
    }
    let total: Duration =
        settings.scenarios.iter().map(whole_time).fold(Duration::ZERO, Duration::saturating_add);
    if problems.is_empty() && total > limits.duration {
        problems.push(Problem::nowhere(
            format!(
                "all scenarios together take {total:?}, warm-ups included; the limit is {:?}",
                limits.duration
            ),
            "shorten or leave out scenarios, or raise `duration` in [limits] in a reviewed change",
        ));
    }
    problems
}

impl Settings {
    /// Returns the settings for a remote target: within the limits, closed loops under the limit's rate.
    ///
    /// # Errors
    /// Every scenario that asks for more than the limits allow.
    pub fn within_limits(mut self) -> Result<Self, Problems> {
        let problems = check_limits(&self);
        for scenario in &mut self.scenarios {
            if let Pacing::ClosedLoop { ceiling } = &mut scenario.profile.pacing {
                *ceiling = Some(self.limits.rate);
            }
        }
        problems.or_ok(self)
    }
}

fn whole_time(scenario: &Scenario) -> Duration {
    scenario.profile.duration.saturating_add(scenario.profile.warm_up)
}

fn above(scenario: &Scenario, key: &str, asked: &str, limit: &str) -> Problem {
    Problem::nowhere(
        format!("scenario `{}` asks for {key} {asked}, the limit is {limit}", scenario.name),
        format!("lower it, or raise `{key}` in [limits] in a reviewed change"),
    )
}
