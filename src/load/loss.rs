//! The loss of the marker: when too many answers of late lack the header that every answer of the preview must have.
//!
//! One answer without it may be an error page of the edge; a preview that was replaced by something else never sends it
//! again. What workers publish is looked at ten times a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time that the share is taken over.
const WINDOW: Duration = Duration::from_secs(5);

/// So many must be missing: a single one says nothing.
const FEWEST_MISSING: u64 = 5;

/// One answer in so many may lack it.
const ONE_IN: u64 = 100;

/// What the workers counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marked {
    /// Whole answers.
    pub(crate) answered: u64,
    /// Those of them that lack the marker.
    pub(crate) missing: u64,
}

/// Watches the marker of one run.
pub(crate) struct Loss {
    /// Counts of the last seconds, the oldest first.
    seen: VecDeque<(Instant, Marked)>,
}

impl Loss {
    /// Begins to watch.
    pub(crate) fn new(now: Instant) -> Self {
        Self { seen: VecDeque::from([(now, Marked::default())]) }
    }

    /// Looks at the counts of now; returns what was missing of late, and of how many, where that is too much.
    pub(crate) fn look(&mut self, now: Instant, counts: Marked) -> Option<(u64, u64)> {
        while self.seen.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.seen.pop_front();
        }
        let before = self.seen.front().map_or(Marked::default(), |(_, counts)| *counts);
        self.seen.push_back((now, counts));
        let missing = counts.missing.saturating_sub(before.missing);
        let answered = counts.answered.saturating_sub(before.answered);
        (missing >= FEWEST_MISSING && missing * ONE_IN > answered).then_some((missing, answered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const TICK: Duration = Duration::from_millis(100);

    #[test]
    fn a_marker_that_is_gone_is_missed_within_a_second() {
        for per_second in [10, 200, 10_000] {
            let start = clock::monotonic();
            let mut loss = Loss::new(start);
            let counts = |tick: u32, gone_since: u32| Marked {
                answered: u64::from(tick) * per_second / 10,
                missing: u64::from(tick.saturating_sub(gone_since)) * per_second / 10,
            };
            for tick in 1..=100 {
                assert_eq!(loss.look(start + TICK * tick, counts(tick, 100)), None);
            }

            let missed =
                (101..=110).find(|tick| loss.look(start + TICK * *tick, counts(*tick, 100)).is_some());

            assert!(missed.is_some(), "{per_second} a second");
        }
    }

    #[test]
    fn an_error_page_of_the_edge_now_and_then_is_not() {
        let start = clock::monotonic();
        let mut loss = Loss::new(start);

        for tick in 1..=600 {
            // One in a thousand at a hundred a second.
            let counts = Marked { answered: u64::from(tick) * 10, missing: u64::from(tick) / 100 };
            assert_eq!(loss.look(start + TICK * tick, counts), None);
        }
    }
}
