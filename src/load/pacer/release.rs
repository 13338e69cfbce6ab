//! A release lets requests go when they are due, and spaces those that the generator has kept waiting.
//!
//! Where the generator could not run for a while, everything that was due meanwhile would leave in one burst that no
//! schedule asked for. Such requests follow each other at half their distance instead: the schedule is caught up at
//! twice its rate, whatever its shape. Their latency still counts from the time at which they were due.

use std::time::{Duration, Instant};

/// Late requests follow each other at their distance in the schedule divided by this.
const CATCH_UP: u32 = 2;

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

    /// Returns when a request that is the next one due may leave: not before it is due.
    pub(crate) fn time_for(&self, due: Instant) -> Instant {
        let distance = due.saturating_duration_since(self.due);
        due.max(self.left + distance / CATCH_UP)
    }

    /// Takes note that it leaves.
    pub(crate) fn let_go(&mut self, due: Instant, now: Instant) {
        let forgiven_from = now.checked_sub(FORGIVEN).unwrap_or(now);
        self.left = self.time_for(due).clamp(forgiven_from, now.max(forgiven_from));
        self.due = due;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    /// Plays a dispatcher that wakes at given milliseconds; a request is due every millisecond. Returns how many
    /// leave at each wake-up.
    fn played(wakes_ms: impl Iterator<Item = u32>) -> Vec<u32> {
        let start = clock::monotonic();
        let (mut release, mut next) = (Release::new(start), 0);
        wakes_ms
            .map(|wake_ms| {
                let (now, before) = (start + wake_ms * MS, next);
                while release.time_for(start + next * MS) <= now {
                    release.let_go(start + next * MS, now);
                    next += 1;
                }
                next - before
            })
            .collect()
    }

    #[test]
    fn what_is_on_time_leaves_when_it_is_due() {
        assert_eq!(played(0..5), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn a_stall_of_the_generator_is_caught_up_at_twice_the_rate_and_not_in_a_burst() {
        let left = played((0..10).chain(60..140));

        assert_eq!(left.iter().sum::<u32>(), 140);
        let (at_wake_up, after) = (left[10], &left[11..]);
        assert!((4..=6).contains(&at_wake_up), "{left:?}");
        assert!(after.iter().all(|count| (1..=2).contains(count)), "{left:?}");
        assert_eq!(after.iter().filter(|count| **count == 2).count(), 51 - at_wake_up as usize, "{left:?}");
    }

    #[test]
    fn coarse_wake_ups_do_not_lower_the_rate() {
        let left = played((0..100).map(|wake| wake * 2));

        assert_eq!(left.iter().sum::<u32>(), 199);
    }

    #[test]
    fn requests_that_a_busy_service_kept_waiting_owe_no_pause() {
        let start = clock::monotonic();
        let mut release = Release::new(start);
        for number in 0..100 {
            release.let_go(start + number * MS, start + 100 * MS);
        }

        assert!(release.time_for(start + 100 * MS) <= start + 101 * MS);
    }
}
