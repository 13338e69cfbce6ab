//! Drafts of load profiles become profiles here: defaults fill what the file leaves out, flags replace what it says.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Overrides;
use super::file_v1::{ProfileDraft, StagesDraft, WarmUpDraft};
use super::limits::Limits;
use super::problem::{Problem, Problems};
use crate::scenario::{Arrivals, LoadProfile, Pacing, RateShape, ScenarioName, Stage};

const DEFAULT_DURATION: Duration = Duration::from_secs(30);
const DEFAULT_WARM_UP: Duration = Duration::from_secs(5);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_CONNECTIONS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// A warm-up may take this part of the measured time; a longer one would be most of a short run.
const WARM_UP_DIVISOR: u32 = 3;

/// Makes the profile of one scenario; returns it with what a person should hear of.
pub(super) fn profile(
    name: &ScenarioName,
    draft: &ProfileDraft,
    flags: &Overrides,
    limits: Limits,
    problems: &mut Problems,
) -> (LoadProfile, Option<String>) {
    for (flag, why, help) in contradictions(draft, flags) {
        problems.push(Problem::nowhere(format!("{flag} contradicts scenario `{name}`: {why}"), help));
    }
    let pacing = pacing(draft, flags);
    let default_connections = match &pacing {
        Pacing::OpenLoop { .. } => limits.connections,
        Pacing::ClosedLoop { stages, .. } => {
            most(stages).unwrap_or(DEFAULT_CONNECTIONS.min(limits.connections))
        }
    };
    let duration = staged_time(&pacing).or(flags.duration).or(draft.duration).unwrap_or(DEFAULT_DURATION);
    let warm_up = WarmUp::choose(draft, flags, duration, &pacing);
    let profile = LoadProfile {
        connections: flags.connections.or(draft.connections).unwrap_or(default_connections),
        duration,
        warm_up: warm_up.time,
        until_steady: warm_up.until_steady,
        rounds: draft.rounds.unwrap_or(LoadProfile::DEFAULT_ROUNDS),
        timeout: flags.timeout.or(draft.timeout).unwrap_or(DEFAULT_TIMEOUT),
        think_time: draft.think_time.unwrap_or_default(),
        reconnect_every: draft.reconnect_every,
        max_in_flight: draft.max_in_flight,
        ..LoadProfile::plain(pacing, DEFAULT_CONNECTIONS)
    };
    let note = warm_up.is_shortened.then(|| {
        format!("warm-up of `{name}` shortened to {:.1?}, a third of its duration", profile.warm_up)
    });
    (profile.with_usual_ramp(), note)
}

/// Returns each flag that contradicts what the file says, with the reason and the remedy.
fn contradictions(
    draft: &ProfileDraft,
    flags: &Overrides,
) -> Vec<(&'static str, &'static str, &'static str)> {
    let has_stages = draft.stages.is_some();
    let has_crowd = matches!(draft.stages, Some(StagesDraft::Connections(_)));
    let thinks = draft.think_time.is_some_and(|time| !time.is_zero());
    let mut found = Vec::new();
    if flags.rate.is_some() && has_stages {
        found.push((
            "--rate",
            "it has stages of its own",
            "leave out -R, or pick another scenario with --scenario",
        ));
    }
    if flags.rate.is_some() && thinks {
        found.push((
            "--rate",
            "it has a think time",
            "leave out -R, or remove `think-time` from the scenario",
        ));
    }
    if flags.duration.is_some() && has_stages {
        found.push((
            "--duration",
            "its stages take a time of their own",
            "leave out -d, or change the stages",
        ));
    }
    if flags.connections.is_some() && has_crowd {
        found.push(("--connections", "its stages say how many", "leave out -c, or change the stages"));
    }
    found
}

fn pacing(draft: &ProfileDraft, flags: &Overrides) -> Pacing {
    let arrivals = draft.arrivals.unwrap_or(Arrivals::Even);
    match (&draft.stages, flags.rate.or(draft.rate)) {
        (Some(StagesDraft::Connections(stages)), _) => {
            Pacing::ClosedLoop { ceiling: None, stages: stages.clone() }
        }
        (Some(StagesDraft::Rates(stages)), _) => {
            Pacing::OpenLoop { shape: RateShape::Stages(stages.clone()), arrivals }
        }
        (None, Some(rate)) => Pacing::OpenLoop { shape: RateShape::Constant(rate), arrivals },
        (None, None) => Pacing::CLOSED,
    }
}

/// Returns the time that stages take together, where there are any.
fn staged_time(pacing: &Pacing) -> Option<Duration> {
    let overs: Vec<Duration> = match pacing {
        Pacing::OpenLoop { shape: RateShape::Stages(stages), .. } => {
            stages.iter().map(|stage| stage.over).collect()
        }
        Pacing::ClosedLoop { stages, .. } => stages.iter().map(|stage| stage.over).collect(),
        Pacing::OpenLoop { .. } => Vec::new(),
    };
    (!overs.is_empty()).then(|| overs.into_iter().fold(Duration::ZERO, Duration::saturating_add))
}

fn most(stages: &[Stage<NonZeroU32>]) -> Option<NonZeroU32> {
    stages.iter().map(|stage| stage.target).max()
}

struct WarmUp {
    time: Duration,
    until_steady: bool,
    is_shortened: bool,
}

impl WarmUp {
    fn choose(draft: &ProfileDraft, flags: &Overrides, duration: Duration, pacing: &Pacing) -> Self {
        let plain = |time| Self { time, until_steady: false, is_shortened: false };
        let asked = match draft.warm_up {
            // How long it takes is for the service to say, whatever the measured time.
            Some(WarmUpDraft::UntilSteady { at_most }) => {
                return Self { time: at_most, until_steady: true, is_shortened: false };
            }
            Some(WarmUpDraft::Time(asked)) if flags.duration.is_none() => return plain(asked),
            Some(WarmUpDraft::Time(asked)) => asked,
            None if pacing.begins_at_zero() => return plain(Duration::ZERO),
            None => DEFAULT_WARM_UP,
        };
        let time = asked.min(duration / WARM_UP_DIVISOR);
        Self { is_shortened: time < asked, ..plain(time) }
    }
}
