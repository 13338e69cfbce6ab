//! A forecast says what a run is going to send, before it sends anything: for the limits, for the warning before a
//! heavy run, and for whoever asks about the target.

use std::fmt;
use std::time::Duration;

use super::Limits;
use crate::scenario::{Pacing, Rate, Scenario};

/// What all scenarios of a run are going to send, warm-ups included.
///
/// A suspicion that is measured a second time comes on top. How large the answers are nobody knows before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Requests; those of closed loops without a ceiling are not among them.
    pub requests: u64,
    /// Whether there is a closed loop without a ceiling: it sends as fast as it is answered.
    pub is_open_ended: bool,
    /// The highest rate of any scenario, where one is known.
    pub rate: Option<Rate>,
    /// The most connections of any scenario.
    pub connections: u32,
    /// The time of all scenarios.
    pub duration: Duration,
    /// Bytes of the known requests' bodies.
    pub request_bytes: u64,
}

impl Forecast {
    /// Looks ahead; `ceiling` is the rate that closed loops are held under.
    #[must_use]
    pub fn of(scenarios: &[Scenario], ceiling: Option<Rate>) -> Self {
        let mut forecast = Self {
            requests: 0,
            is_open_ended: false,
            rate: None,
            connections: 0,
            duration: Duration::ZERO,
            request_bytes: 0,
        };
        for scenario in scenarios {
            forecast.add(scenario, ceiling);
        }
        forecast
    }

    /// Returns whether it asks for more time than a target on this machine gets where nobody raised the limits.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.duration > Limits::default().duration
    }

    /// Returns whether it asks for more, in any respect, than a remote target gets where nobody raised the limits.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        let usual = Limits::default();
        self.is_long()
            || self.is_open_ended
            || self.requests > usual.requests
            || self.rate.is_some_and(|rate| rate > usual.rate)
            || self.connections > usual.connections.get()
            || self.request_bytes > usual.bytes
    }

    fn add(&mut self, scenario: &Scenario, ceiling: Option<Rate>) {
        let time = whole_time(scenario);
        self.duration = self.duration.saturating_add(time);
        self.connections = self.connections.max(scenario.profile.connections.get());
        let pacing = &scenario.profile.pacing;
        let rate = match pacing {
            Pacing::OpenLoop { .. } => pacing.peak_rate(),
            Pacing::ClosedLoop { ceiling: own, .. } => own.or(ceiling),
        };
        let Some(rate) = rate else {
            self.is_open_ended = true;
            return;
        };
        if self.rate.is_none_or(|most| rate > most) {
            self.rate = Some(rate);
        }
        let requests = (rate.requests_per_second() * time.as_secs_f64()).ceil() as u64;
        self.requests = self.requests.saturating_add(requests);
        let body = scenario.requests.largest_body_bytes();
        self.request_bytes = self.request_bytes.saturating_add(requests.saturating_mul(body));
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_open_ended, self.requests) {
            (true, 0) => f.write_str("as many requests as are answered")?,
            (true, known) => write!(f, "{known} requests and as many more as are answered")?,
            (false, all) => write!(f, "up to {all} requests")?,
        }
        if let Some(rate) = self.rate {
            write!(f, ", at most {rate}")?;
        }
        write!(f, ", over at most {} connections, for {:?}", self.connections, self.duration)?;
        if self.request_bytes > 0 {
            write!(f, ", with {} bytes of bodies", self.request_bytes)?;
        }
        f.write_str("; the answers come on top")
    }
}

/// Returns the time that load flows for one scenario.
pub(super) fn whole_time(scenario: &Scenario) -> Duration {
    scenario.profile.duration.saturating_add(scenario.profile.warm_up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::built_in;

    fn scenarios(text: &str) -> Vec<Scenario> {
        built_in(text).unwrap()
    }

    #[test]
    fn a_schedule_is_counted_and_a_closed_loop_is_said_to_be_open_ended() {
        let both = scenarios(
            "[[scenario]]\nname = \"a\"\nprofile = { rate = 100, duration = \"9s\", warm-up = \"1s\" }\n\
             [[scenario]]\nname = \"b\"\nprofile = { connections = 7, duration = \"10s\", warm-up = \"0s\" }\n",
        );

        let free = Forecast::of(&both, None);
        let held = Forecast::of(&both, Rate::per_second(20.0).ok());

        assert_eq!((free.requests, free.is_open_ended, free.duration.as_secs()), (1000, true, 20));
        assert_eq!((held.requests, held.is_open_ended), (1200, false));
        assert_eq!(
            held.to_string(),
            "up to 1200 requests, at most 100/s, over at most 32 connections, for 20s; the answers come on top"
        );
    }

    #[test]
    fn what_goes_beyond_the_usual_limits_is_long_or_heavy() {
        for (profile, is_long, is_heavy) in [
            ("rate = 200, connections = 32, duration = \"295s\", warm-up = \"5s\"", false, false),
            ("rate = 201, duration = \"10s\"", false, true),
            ("rate = 20, connections = 33, duration = \"10s\"", false, true),
            ("connections = 1, duration = \"10s\"", false, true),
            ("rate = 1, duration = \"300s\", warm-up = \"1s\"", true, true),
        ] {
            let forecast = Forecast::of(
                &scenarios(&format!("[[scenario]]\nname = \"a\"\nprofile = {{ {profile} }}")),
                None,
            );
            assert_eq!((forecast.is_long(), forecast.is_heavy()), (is_long, is_heavy), "{profile}");
        }
    }
}
