//! Limits are the ceilings of load on a remote target. They are low, and raising them is a reviewed change.
//!
//! On loopback only the time is bounded here, and memory by the ranges of the keys. What only the answers tell, the
//! bytes and the requests of a closed loop, is counted while the load runs.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Settings;
use super::file_v1::LimitsDraft;
use super::forecast::{Forecast, whole_time};
use super::problem::{Problem, Problems};
use crate::scenario::{Pacing, Rate, Scenario};

/// The most load that a remote target may receive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Requests per second of one scenario; scenarios run one after the other.
    pub rate: Rate,
    /// Connections of one scenario.
    pub connections: NonZeroU32,
    /// The time of all scenarios together, warm-ups included; the ramp of a run without one is not.
    pub duration: Duration,
    /// Requests of all scenarios together, warm-ups and second measurements included.
    pub requests: u64,
    /// Bytes of all scenarios together, sent and received.
    pub bytes: u64,
}

impl Limits {
    /// Returns the lower of each.
    #[must_use]
    pub(super) fn narrowed_to(&self, other: &Self) -> Self {
        Self {
            rate: if other.rate < self.rate { other.rate } else { self.rate },
            connections: self.connections.min(other.connections),
            duration: self.duration.min(other.duration),
            requests: self.requests.min(other.requests),
            bytes: self.bytes.min(other.bytes),
        }
    }

    const DEFAULT_RATE: f64 = 200.0;
    const DEFAULT_CONNECTIONS: NonZeroU32 = NonZeroU32::new(32).expect("thirty-two is not zero");
    const DEFAULT_DURATION: Duration = Duration::from_secs(300);
    /// The default rate during the default time.
    const DEFAULT_REQUESTS: u64 = 60_000;
    /// About 18 kB for each of these requests: an ordinary page without its pictures.
    const DEFAULT_BYTES: u64 = 1 << 30;

    pub(super) fn from_draft(draft: &LimitsDraft) -> Self {
        let rate = draft.rate.or_else(|| Rate::per_second(Self::DEFAULT_RATE).ok());
        Self {
            rate: rate.expect("the default rate is a rate"),
            connections: draft.connections.unwrap_or(Self::DEFAULT_CONNECTIONS),
            duration: draft.duration.unwrap_or(Self::DEFAULT_DURATION),
            requests: draft.requests.unwrap_or(Self::DEFAULT_REQUESTS),
            bytes: draft.bytes.unwrap_or(Self::DEFAULT_BYTES),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::from_draft(&LimitsDraft::default())
    }
}

/// Finds everything that a remote target must not receive.
#[must_use]
pub fn check_limits(settings: &Settings) -> Problems {
    let limits = settings.limits;
    let mut problems = Problems::default();
    for scenario in &settings.scenarios {
        let profile = &scenario.profile;
        if let Some(rate) = profile.pacing.peak_rate()
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
    if problems.is_empty() {
        problems.append(check_time(settings));
        problems.append(check_amounts(settings));
    }
    problems
}

/// Finds everything that a target on this machine must not receive: only the time is bounded.
#[must_use]
pub fn check_time(settings: &Settings) -> Problems {
    let (total, limit) = (Forecast::of(&settings.scenarios, None).duration, settings.limits.duration);
    if total <= limit {
        return Problems::default();
    }
    Problem::nowhere(
        format!("all scenarios together take {total:?}, warm-ups included; the limit is {limit:?}"),
        "shorten or leave out scenarios, or raise `duration` in [limits] in a reviewed change",
    )
    .into()
}

/// Requests and bytes are refused here as far as the schedule tells them; the rest is counted during the run.
fn check_amounts(settings: &Settings) -> Problems {
    let (limits, forecast) = (settings.limits, Forecast::of(&settings.scenarios, None));
    let mut problems = Problems::default();
    for (key, what, asked, limit) in [
        ("requests", "requests", forecast.requests, limits.requests),
        ("bytes", "bytes of requests", forecast.request_bytes, limits.bytes),
    ] {
        if asked > limit {
            problems.push(Problem::nowhere(
                format!(
                    "all scenarios together send {asked} {what}, warm-ups included; the limit is {limit}"
                ),
                format!("send less, or raise `{key}` in [limits] in a reviewed change"),
            ));
        }
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
            if let Pacing::ClosedLoop { ceiling, .. } = &mut scenario.profile.pacing {
                *ceiling = Some(self.limits.rate);
            }
        }
        problems.or_ok(self)
    }
}

fn above(scenario: &Scenario, key: &str, asked: &str, limit: &str) -> Problem {
    Problem::nowhere(
        format!("scenario `{}` asks for {key} {asked}, the limit is {limit}", scenario.name),
        format!("lower it, or raise `{key}` in [limits] in a reviewed change"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FILE_NAME, Overrides, load};

    fn settings(config: &str) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join(FILE_NAME), config).unwrap();
        let overrides = Overrides { local: Some(1), ..Overrides::default() };
        load(dir.path(), &overrides).unwrap()
    }

    fn scenario(name: &str, profile: &str) -> String {
        format!("[[scenario]]\nname = \"{name}\"\nprofile = {{ {profile} }}\n")
    }

    #[test]
    fn load_up_to_the_limits_is_allowed() {
        let config = scenario("a", "rate = 200, connections = 32, duration = \"290s\", warm-up = \"10s\"");

        assert_eq!(check_limits(&settings(&config)), Problems::default());
    }

    #[test]
    fn load_beyond_a_limit_is_named_with_the_limit() {
        for (profile, expected) in [
            ("rate = 201", "scenario `a` asks for rate 201/s, the limit is 200/s"),
            (
                "stages = [{ rate = 201, over = \"1s\" }, { rate = 1, over = \"9s\" }]",
                "scenario `a` asks for rate 201/s, the limit is 200/s",
            ),
            (
                "steps = [{ rate = 5, for = \"1s\" }, { rate = 300, for = \"1s\" }]",
                "scenario `a` asks for rate 300/s, the limit is 200/s",
            ),
            (
                "stages = [{ connections = 33, over = \"1s\" }]",
                "scenario `a` asks for connections 33, the limit is 32",
            ),
            ("rate = 20, connections = 33", "scenario `a` asks for connections 33, the limit is 32"),
            ("connections = 33", "scenario `a` asks for connections 33, the limit is 32"),
            (
                "duration = \"300s\", warm-up = \"1s\"",
                "scenario `a` asks for duration 301s, the limit is 300s",
            ),
        ] {
            let problems = check_limits(&settings(&scenario("a", profile)));

            assert_eq!(problems.0.iter().map(|p| p.message.as_str()).collect::<Vec<_>>(), [expected]);
            assert!(problems.0[0].help.contains("in [limits] in a reviewed change"));
        }
    }

    #[test]
    fn scenarios_share_the_limit_of_time() {
        let half = "duration = \"150s\", warm-up = \"0s\"";
        let two = scenario("a", half) + &scenario("b", half);
        let three = two.clone() + &scenario("c", "duration = \"1s\", warm-up = \"0s\"");

        assert!(check_limits(&settings(&two)).is_empty());
        assert_eq!(
            check_limits(&settings(&three)).0[0].message,
            "all scenarios together take 301s, warm-ups included; the limit is 300s"
        );
    }

    #[test]
    fn scenarios_share_the_limit_of_requests() {
        let limits = |count: u32| format!("[limits]\nrequests = {count}\n");
        let two = scenario("a", "rate = 100, duration = \"9s\", warm-up = \"1s\"")
            + &scenario("b", "rate = 50, duration = \"10s\", warm-up = \"0s\"");

        assert!(check_limits(&settings(&(limits(1500) + &two))).is_empty());
        assert_eq!(
            check_limits(&settings(&(limits(1499) + &two))).0[0].message,
            "all scenarios together send 1500 requests, warm-ups included; the limit is 1499"
        );
    }

    #[test]
    fn bodies_that_are_known_count_before_the_run() {
        let limits = |bytes: &str| format!("[limits]\nbytes = \"{bytes}\"\n");
        let upload = "[[scenario]]\nname = \"a\"\nmethod = \"POST\"\nbody = \"0123456789\"\n\
                      profile = { rate = 100, duration = \"9s\", warm-up = \"1s\" }\n";

        assert!(check_limits(&settings(&(limits("10kB") + upload))).is_empty());
        assert!(
            check_limits(&settings(&(limits("9999B") + upload))).0[0].message.contains("bytes of requests")
        );
    }

    #[test]
    fn on_loopback_only_time_is_bounded() {
        let wild = scenario("a", "rate = 900000, connections = 5000, duration = \"299s\", warm-up = \"1s\"");
        let long = scenario("a", "connections = 1, duration = \"300s\", warm-up = \"1s\"");

        assert!(check_time(&settings(&wild)).is_empty() && !check_limits(&settings(&wild)).is_empty());
        assert!(check_time(&settings(&long)).to_string().contains("301s"));
    }

    #[test]
    fn a_closed_loop_gets_the_limits_rate_as_its_ceiling() {
        let settings = settings(&(scenario("a", "connections = 5") + &scenario("b", "rate = 5")))
            .within_limits()
            .unwrap();

        let pacing: Vec<&Pacing> =
            settings.scenarios.iter().map(|scenario| &scenario.profile.pacing).collect();
        let rate = |requests| Rate::per_second(requests).unwrap();
        let closed = Pacing::ClosedLoop { ceiling: Some(rate(200.0)), stages: Vec::new() };
        assert_eq!(pacing, [&closed, &Pacing::open(rate(5.0))]);
    }
}
