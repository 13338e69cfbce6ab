//! A release lets requests go when they are due, and spaces those that the generator has kept waiting.
//!
//! Where the generator could not run for a while, everything that was due meanwhile would leave in one burst that no
//! schedule asked for. Such requests follow each other at half their distance instead: the schedule is caught up at
//! twice its rate, whatever its shape; faster only where the run would end before. Their latency still counts from
//! the time at which they were due.

use std::time::{Duration, Instant};

/// Late requests follow each other at this part of their distance in the schedule.
const CATCH_UP: f64 = 0.5;

/// So much of a pause may be made up for at once: the usual lateness of a timer must not slow a fast schedule down.
const FORGIVEN: Duration = Duration::from_millis(2);

/// When the last request was due and when it was let go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release {
    due: Instant,
    left: Instant,
}

impl Release {
    /// Begins with nothing late.
    pub(crate) fn new(starts_at: Instant) -> Self {
        Self { due: starts_at, left: starts_at }
    }

    /// Returns when a request that is the next one due may leave: not before it is due, and in time for everything
    /// that is due before the end to leave before it.
    pub(crate) fn time_for(&self, due: Instant, ends_at: Instant) -> Instant {
        if due >= self.left {
            return due;
        }
        // What is left of the schedule has to fit into what is left of the time.
        let schedule_s = ends_at.saturating_duration_since(self.due).as_secs_f64();
        let time_s = ends_at.saturating_duration_since(self.left).as_secs_f64();
        let fits = if schedule_s > 0.0 { time_s / schedule_s } else { 0.0 };
        let distance = due.saturating_duration_since(self.due);
        due.max(self.left + distance.mul_f64(fits.min(CATCH_UP)))
    }

    /// Takes note that it leaves.
    pub(crate) fn let_go(&mut self, due: Instant, now: Instant, ends_at: Instant) {
        let forgiven_from = now.checked_sub(FORGIVEN).unwrap_or(now);
        self.left = self.time_for(due, ends_at).clamp(forgiven_from, now);
        self.due = due;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    /// Plays a dispatcher that wakes at given milliseconds; a request is due every millisecond until the end. Returns
    /// how many leave at each wake-up.
    fn played(wakes_ms: impl Iterator<Item = u32>, end_ms: u32) -> Vec<u32> {
        let start = clock::monotonic();
        let end = start + end_ms * MS;
        let (mut release, mut next) = (Release::new(start), 0);
        wakes_ms
            .map(|wake_ms| {
                let (now, before) = (start + wake_ms * MS, next);
                while next < end_ms && release.time_for(start + next * MS, end) <= now {
                    release.let_go(start + next * MS, now, end);
                    next += 1;
                }
                next - before
            })
            .collect()
    }

    #[test]
    fn what_is_on_time_leaves_when_it_is_due() {
        assert_eq!(played(0..5, 1000), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_stall_of_the_generator_is_caught_up_at_twice_the_rate_and_not_in_a_burst() {
        let left = played((0..10).chain(60..140), 1000);

        assert_eq!(left.iter().sum::<u32>(), 140);
        let (at_wake_up, after) = (left[10], &left[11..]);
        assert!((4..=6).contains(&at_wake_up), "{left:?}");
        assert!(after.iter().all(|count| (1..=3).contains(count)), "{left:?}");
        assert_eq!(after.iter().map(|count| count - 1).sum::<u32>(), 51 - at_wake_up, "{left:?}");
    }

    #[test]
    fn a_stall_shortly_before_the_end_is_caught_up_by_the_end() {
        let left = played((0..10).chain(60..=80), 80);

        assert_eq!(left.iter().sum::<u32>(), 80);
        assert!(left.iter().all(|count| *count <= 10), "{left:?}");
    }

    #[test]
    fn coarse_wake_ups_do_not_lower_the_rate() {
        let left = played((0..100).map(|wake| wake * 2), 1000);

        assert_eq!(left.iter().sum::<u32>(), 199);
    }

    #[test]
    fn requests_that_a_busy_service_kept_waiting_owe_no_pause() {
        let start = clock::monotonic();
        let (mut release, end) = (Release::new(start), start + 1000 * MS);
        for number in 0..100 {
            release.let_go(start + number * MS, start + 100 * MS, end);
        }

        assert!(release.time_for(start + 100 * MS, end) <= start + 101 * MS);
    }
}
