//! A load profile says how load is applied over time: how fast, over how many connections, for how long.
//!
//! Its parts are checked when they are made; that they fit together is checked by whoever reads a configuration.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{OutOfRange, Rate};

/// The ramp at the start takes this long at most: long enough for pools and caches to follow, short enough for CI.
const LONGEST_RAMP: Duration = Duration::from_secs(2);

/// Where there is no warm-up, the ramp takes this long at most: it comes on top of what the profile asks for.
const LONGEST_BARE_RAMP: Duration = Duration::from_millis(500);

/// Where there is no warm-up, the ramp takes this part of the measured time.
const BARE_RAMP_DIVISOR: u32 = 10;

/// A number of requests per second that may be zero: finite, at most ten million.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct StageRate(f64);

impl StageRate {
    /// Takes a number of requests per second; zero is a pause.
    pub fn per_second(requests: f64) -> Result<Self, OutOfRange> {
        if requests == 0.0 {
            return Ok(Self(0.0));
        }
        Rate::per_second(requests).map(Self::from).map_err(|error| OutOfRange {
            what: "the rate of a stage",
            expected: "0, or between 0.0001 and 10000000 requests per second",
            ..error
        })
    }

    /// Returns the requests per second.
    #[must_use]
    pub fn requests_per_second(self) -> f64 {
        self.0
    }
}

impl From<Rate> for StageRate {
    fn from(rate: Rate) -> Self {
        Self(rate.requests_per_second())
    }
}

impl TryFrom<f64> for StageRate {
    type Error = OutOfRange;

    fn try_from(requests: f64) -> Result<Self, Self::Error> {
        Self::per_second(requests)
    }
}

impl From<StageRate> for f64 {
    fn from(rate: StageRate) -> Self {
        rate.0
    }
}

/// Goes in a straight line from where the last stage ended (zero before the first) to a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stage<Target> {
    /// What is reached at its end.
    pub target: Target,
    /// How long that takes; no time at all is a jump.
    pub over: Duration,
}

/// The arrival rate over the measured time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateShape {
    /// Always the same.
    Constant(Rate),
    /// From target to target; at least one target is above zero, and together they take some time.
    Stages(Vec<Stage<StageRate>>),
}

/// How requests arrive at a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Even,
    /// Independently of each other, as those of many users do: a Poisson process.
    Poisson {
        /// The same seed gives the same arrivals on every run, so that two versions meet the same crowd.
        seed: u32,
    },
}

/// When requests are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// Closed loop: every connection sends its next request when the last one is answered.
    ClosedLoop {
        /// The most requests per second that all connections together may send, where a policy sets one.
        ceiling: Option<Rate>,
        /// How many connections are at work over the measured time; all of them where there are no stages.
        stages: Vec<Stage<NonZeroU32>>,
    },
    /// Open loop: requests are due by a schedule, whatever the answers do.
    OpenLoop {
        /// The arrival rate of all connections together.
        shape: RateShape,
        /// How requests arrive at that rate.
        arrivals: Arrivals,
    },
}

impl Pacing {
    /// The closed loop without stages and without a ceiling.
    pub const CLOSED: Self = Self::ClosedLoop { ceiling: None, stages: Vec::new() };

    /// Returns the open loop of one rate with even arrivals.
    #[must_use]
    pub fn open(rate: Rate) -> Self {
        Self::OpenLoop { shape: RateShape::Constant(rate), arrivals: Arrivals::Even }
    }

    /// Returns the highest arrival rate; `None` in the closed loop.
    #[must_use]
    pub fn peak_rate(&self) -> Option<Rate> {
        match self {
            Self::ClosedLoop { .. } => None,
            Self::OpenLoop { shape: RateShape::Constant(rate), .. } => Some(*rate),
            Self::OpenLoop { shape: RateShape::Stages(stages), .. } => {
                let targets = stages.iter().map(|stage| stage.target.requests_per_second());
                Rate::per_second(targets.fold(0.0, f64::max)).ok()
            }
        }
    }

    /// Returns the mean arrival rate over the measured time; `None` in the closed loop.
    #[must_use]
    pub fn mean_rate(&self) -> Option<Rate> {
        match self {
            Self::OpenLoop { shape: RateShape::Stages(stages), .. } => {
                let (mut requests, mut seconds, mut before) = (0.0, 0.0, 0.0);
                for stage in stages {
                    let (target, over) = (stage.target.requests_per_second(), stage.over.as_secs_f64());
                    requests += f64::midpoint(before, target) * over;
                    seconds += over;
                    before = target;
                }
                // A mean below the lowest rate there is belongs to stages that are hardly more than pauses.
                Rate::per_second(requests / seconds).ok().or_else(|| self.peak_rate())
            }
            _ => self.peak_rate(),
        }
    }

    /// Returns whether the measured time itself begins with no load at all.
    #[must_use]
    pub fn begins_at_zero(&self) -> bool {
        match self {
            Self::OpenLoop { shape: RateShape::Stages(stages), .. } => level_at_start(stages).is_none(),
            Self::ClosedLoop { stages, .. } => !stages.is_empty() && level_at_start(stages).is_none(),
            Self::OpenLoop { .. } => false,
        }
    }
}

/// What a stage leads to, as a number: requests per second or connections.
pub trait Level: Copy + PartialEq {
    /// Returns the number.
    fn level(self) -> f64;
}

impl Level for StageRate {
    fn level(self) -> f64 {
        self.0
    }
}

impl Level for NonZeroU32 {
    fn level(self) -> f64 {
        self.get().into()
    }
}

/// Returns what a list of stages jumps to before any time passes; `None` where it begins at zero.
pub fn level_at_start<Target: Level>(stages: &[Stage<Target>]) -> Option<f64> {
    let jumps = stages.iter().take_while(|stage| stage.over.is_zero());
    jumps.last().map(|stage| stage.target.level()).filter(|level| *level > 0.0)
}

/// How load is applied over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadProfile {
    /// When requests are sent.
    pub pacing: Pacing,
    /// Connections: all of them in the closed loop, the most at once in the open loop.
    pub connections: NonZeroU32,
    /// The measured time, without the warm-up; divided evenly into rounds.
    pub duration: Duration,
    /// How long load climbs in a straight line at the start, so that no run begins with a cliff.
    ///
    /// The ramp is part of the warm-up. One that is longer comes before the measured time all the same.
    pub ramp: Duration,
    /// Load before the measured time; nothing of it is counted. The most of it where `until_steady`.
    pub warm_up: Duration,
    /// Whether the measured time begins as soon as latency is steady.
    pub until_steady: bool,
    /// Into how many rounds the measured time is divided.
    pub rounds: NonZeroU32,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
    /// In the closed loop, the pause between an answer and the next request; part of no latency.
    pub think_time: Duration,
    /// After how many requests a connection is replaced; never where `None`.
    pub reconnect_every: Option<NonZeroU32>,
    /// In the open loop, the most requests that wait for an answer at once.
    pub max_in_flight: Option<NonZeroU32>,
}

impl LoadProfile {
    /// The measured rounds of a run, where the configuration does not say.
    pub const DEFAULT_ROUNDS: NonZeroU32 = NonZeroU32::new(5).expect("five is not zero");

    /// Returns a profile of ten seconds in one round, without ramp, warm-up, think time or limits.
    #[must_use]
    pub fn plain(pacing: Pacing, connections: NonZeroU32) -> Self {
        Self {
            pacing,
            connections,
            duration: Duration::from_secs(10),
            ramp: Duration::ZERO,
            warm_up: Duration::ZERO,
            until_steady: false,
            rounds: NonZeroU32::MIN,
            timeout: Duration::from_secs(10),
            think_time: Duration::ZERO,
            reconnect_every: None,
            max_in_flight: None,
        }
    }

    /// Returns the profile with the ramp that suits its warm-up.
    ///
    /// Where there is no warm-up a short ramp comes before the measured time, except where that begins with a ramp
    /// of its own.
    #[must_use]
    pub fn with_usual_ramp(self) -> Self {
        let ramp = if self.pacing.begins_at_zero() {
            Duration::ZERO
        } else if self.warm_up.is_zero() {
            (self.duration / BARE_RAMP_DIVISOR).min(LONGEST_BARE_RAMP)
        } else {
            self.warm_up.min(LONGEST_RAMP)
        };
        Self { ramp, ..self }
    }

    /// Returns how long load flows before the measured time, the most of it where that depends on the service.
    #[must_use]
    pub fn lead_in(&self) -> Duration {
        self.warm_up.max(self.ramp)
    }
}

impl fmt::Display for LoadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pacing {
            Pacing::OpenLoop { shape, arrivals } => {
                write_shape(f, shape)?;
                if let Arrivals::Poisson { seed } = arrivals {
                    write!(f, " with Poisson arrivals (seed {seed})")?;
                }
                write!(f, " over at most {} connections", self.connections)?;
            }
            Pacing::ClosedLoop { ceiling, stages } => {
                if stages.is_empty() {
                    write!(f, "{} connections", self.connections)?;
                } else {
                    write_stages(f, stages, |connections| format!("{connections} connections"))?;
                }
                f.write_str(" in a closed loop")?;
                if let Some(rate) = ceiling {
                    write!(f, " of at most {rate}")?;
                }
            }
        }
        write!(f, " for {:?} in {} rounds, after ", plain(self.duration), self.rounds)?;
        let warm_up = plain(self.warm_up);
        match (self.warm_up.is_zero(), self.until_steady) {
            (false, true) => write!(f, "a warm-up until latency is steady, of at most {warm_up:?}")?,
            (false, false) => write!(f, "a warm-up of {warm_up:?}")?,
            (true, _) if self.ramp.is_zero() => f.write_str("no warm-up")?,
            (true, _) => write!(f, "an unmeasured ramp of {:?}", plain(self.ramp))?,
        }
        self.write_particulars(f)
    }
}

impl LoadProfile {
    fn write_particulars(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(most) = self.max_in_flight {
            write!(f, "; at most {most} in flight")?;
        }
        if !self.think_time.is_zero() {
            write!(f, "; {:?} of think time", self.think_time)?;
        }
        match self.reconnect_every.map(NonZeroU32::get) {
            Some(1) => f.write_str("; a new connection for each request"),
            Some(requests) => write!(f, "; a new connection after every {requests} requests"),
            None => Ok(()),
        }
    }
}

fn write_shape(f: &mut fmt::Formatter<'_>, shape: &RateShape) -> fmt::Result {
    match shape {
        RateShape::Constant(rate) => write!(f, "{rate}"),
        RateShape::Stages(stages) => {
            write_stages(f, stages, |rate| format!("{}/s", rate.requests_per_second()))
        }
    }
}

/// Writes stages as `0/s to 50/s over 10s, then 50/s for 30s, then at once 80/s`.
fn write_stages<Target: Level>(
    f: &mut fmt::Formatter<'_>,
    stages: &[Stage<Target>],
    words: impl Fn(Target) -> String,
) -> fmt::Result {
    let mut before = None;
    for (index, stage) in stages.iter().enumerate() {
        let (target, over) = (words(stage.target), plain(stage.over));
        if index > 0 {
            f.write_str(", then ")?;
        }
        if stage.over.is_zero() {
            write!(f, "at once {target}")?;
        } else if before == Some(stage.target) {
            write!(f, "{target} for {over:?}")?;
        } else {
            write!(f, "to {target} over {over:?}")?;
        }
        before = Some(stage.target);
    }
    Ok(())
}

/// Returns a duration without the digits that nobody reads: whole milliseconds, where there are any.
fn plain(duration: Duration) -> Duration {
    let millis = duration.as_secs_f64().mul_add(1_000.0, 0.5).floor();
    if millis >= 1.0 { Duration::from_secs_f64(millis / 1_000.0) } else { duration }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn stage(target: f64, over: Duration) -> Stage<StageRate> {
        Stage { target: StageRate::per_second(target).unwrap(), over }
    }

    fn staged(stages: Vec<Stage<StageRate>>) -> LoadProfile {
        let pacing = Pacing::OpenLoop { shape: RateShape::Stages(stages), arrivals: Arrivals::Even };
        LoadProfile::plain(pacing, NonZeroU32::new(8).unwrap())
    }

    #[test]
    fn a_stage_may_pause_but_not_run_backwards() {
        assert!(StageRate::per_second(0.0).is_ok());
        for hostile in [-1.0, f64::NAN, f64::INFINITY, 1e-9, 1e300] {
            assert!(StageRate::per_second(hostile).is_err(), "{hostile} must be refused");
        }
    }

    #[test]
    fn stages_have_a_peak_and_a_mean() {
        let pacing = staged(vec![stage(100.0, 10 * S), stage(100.0, 10 * S), stage(0.0, 20 * S)]).pacing;

        assert_eq!(pacing.peak_rate(), Rate::per_second(100.0).ok());
        assert_eq!(pacing.mean_rate(), Rate::per_second(62.5).ok());
        assert_eq!((Pacing::CLOSED.peak_rate(), Pacing::CLOSED.mean_rate()), (None, None));
    }

    #[test]
    fn every_run_climbs_before_it_is_measured() {
        let rate = Pacing::open(Rate::per_second(50.0).unwrap());
        let ramp_and_lead_in = |profile: LoadProfile| {
            let profile = profile.with_usual_ramp();
            (profile.ramp, profile.lead_in())
        };
        let with = |warm_up| {
            let plain = LoadProfile::plain(rate.clone(), NonZeroU32::MIN);
            ramp_and_lead_in(LoadProfile { warm_up, ..plain })
        };

        assert_eq!([with(5 * S), with(S), with(Duration::ZERO)], [(2 * S, 5 * S), (S, S), (S / 2, S / 2)]);
        let climbing = staged(vec![stage(5.0, S)]);
        let jumping = staged(vec![stage(5.0, Duration::ZERO), stage(5.0, S)]);
        assert_eq!(ramp_and_lead_in(climbing), (Duration::ZERO, Duration::ZERO));
        assert_eq!(ramp_and_lead_in(jumping), (S / 2, S / 2));
    }

    #[test]
    fn a_profile_is_said_in_words() {
        let eight = NonZeroU32::new(8).unwrap();
        let open = LoadProfile::plain(Pacing::open(Rate::per_second(0.5).unwrap()), eight);
        let warm = LoadProfile { warm_up: 5 * S, rounds: LoadProfile::DEFAULT_ROUNDS, ..open.clone() };
        let mut steps = staged(vec![stage(50.0, Duration::ZERO), stage(50.0, 10 * S), stage(80.0, 5 * S)]);
        steps.max_in_flight = NonZeroU32::new(3);
        steps.reconnect_every = Some(NonZeroU32::MIN);
        let mut people = LoadProfile::plain(
            Pacing::ClosedLoop { ceiling: None, stages: vec![Stage { target: eight, over: 3 * S }] },
            eight,
        );
        people.think_time = S / 10;
        let mut random = LoadProfile { until_steady: true, ..warm.clone() };
        random.pacing = Pacing::OpenLoop {
            shape: RateShape::Constant(Rate::per_second(0.5).unwrap()),
            arrivals: Arrivals::Poisson { seed: 7 },
        };

        for (profile, words) in [
            (warm, "0.5/s over at most 8 connections for 10s in 5 rounds, after a warm-up of 5s"),
            (open, "0.5/s over at most 8 connections for 10s in 1 rounds, after an unmeasured ramp of 500ms"),
            (
                steps,
                "at once 50/s, then 50/s for 10s, then to 80/s over 5s over at most 8 connections for 10s in 1 rounds, \
                 after an unmeasured ramp of 500ms; at most 3 in flight; a new connection for each request",
            ),
            (
                people,
                "to 8 connections over 3s in a closed loop for 10s in 1 rounds, after no warm-up; 100ms of think time",
            ),
            (
                random,
                "0.5/s with Poisson arrivals (seed 7) over at most 8 connections for 10s in 5 rounds, after a warm-up \
                 until latency is steady, of at most 5s",
            ),
        ] {
            assert_eq!(profile.with_usual_ramp().to_string(), words);
        }
    }
}
