//! A course is the load over time as a profile asks for it: a lead-in that is not measured, then the measured time.
//!
//! The two have clocks of their own, as nobody may know beforehand when the lead-in ends.

use super::curve::Curve;
use crate::scenario::{LoadProfile, Pacing, RateShape, level_at_start};

/// The load over time: a rate in the open loop, connections at work in the closed one.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    /// From the start of the run: climbs to the level with which the measured time begins, and stays there.
    pub(super) lead_in: Curve,
    /// From the start of the measured time.
    pub(super) measured: Curve,
    /// How much of a request is over when the first one is due, so that one is due just when measuring begins.
    pub(super) offset: f64,
}

impl Course {
    /// Returns the course of a profile.
    pub(crate) fn of(profile: &LoadProfile) -> Self {
        let connections = f64::from(profile.connections.get());
        let (first, measured) = match &profile.pacing {
            Pacing::OpenLoop { shape: RateShape::Constant(rate), .. } => {
                let rate = rate.requests_per_second();
                (rate, Curve::constant(rate))
            }
            Pacing::OpenLoop { shape: RateShape::Stages(stages), .. } => {
                (level_at_start(stages).unwrap_or(0.0), Curve::staged(stages))
            }
            Pacing::ClosedLoop { stages, .. } if stages.is_empty() => {
                (connections, Curve::constant(connections))
            }
            Pacing::ClosedLoop { stages, .. } => {
                (level_at_start(stages).unwrap_or(0.0), Curve::staged(stages))
            }
        };
        let lead_in = Curve::climb(first, profile.ramp.as_secs_f64());
        let offset = lead_in.area_at(profile.lead_in().as_secs_f64()).fract();
        Self { lead_in, measured, offset }
    }
}
