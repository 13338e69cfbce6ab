//! The pacer says when: the measured window, its rounds, and the instants at which requests are due.
//!
//! Everything here is arithmetic on instants. A due time is computed from the start of the run, never from the time
//! of a wake-up, so no delay of the generator or the server can shift the schedule. A `course` is the load over
//! time, a `schedule` the requests of an open loop, a `roster` who works when in a closed one, a `window` what of it
//! is measured, `calm` finds out when the warm-up is over, and `release` spaces what leaves late.

mod calm;
mod ceiling;
mod course;
mod curve;
mod release;
mod roster;
mod schedule;
mod window;

use std::time::{Duration, Instant};

pub(crate) use ceiling::Ceiling;
pub(crate) use course::Course;
pub(crate) use release::Release;
pub(crate) use roster::{Roster, Turn};
pub(crate) use schedule::Schedule;
pub(crate) use window::{Span, Window};

/// No run and no request lasts longer; it keeps instants from overflowing, whatever a configuration says.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Which of several equal parts of a schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// The part's number, from 0.
    pub(crate) number: u32,
    /// How many parts there are.
    pub(crate) of: u32,
}

impl Part {
    /// Returns this part of a number of things, divided as evenly as possible.
    pub(crate) fn share(self, things: u32) -> usize {
        (things / self.of + u32::from(self.number < things % self.of)) as usize
    }
}

/// Returns a duration that can be added to an instant.
pub(crate) fn bounded(duration: Duration) -> Duration {
    duration.min(LONGEST)
}

/// Returns a duration in nanoseconds; five hundred years are the most.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the instant so many seconds after another; what is no number of seconds counts as [`LONGEST`].
fn after(start: Instant, seconds: f64) -> Instant {
    start + Duration::try_from_secs_f64(seconds).map_or(LONGEST, bounded)
}
