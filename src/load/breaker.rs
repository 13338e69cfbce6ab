//! The circuit breaker ends a run whose target is not well, so that a broken service is not hammered and its errors
//! are not taken for a measurement.
//!
//! It looks at what the workers publish ten times a second and opens on the last second's share of errors or of slow
//! answers, or on connections that fail one after the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::scenario::Breaker;

/// The time that shares are taken over: the breaker must open within a second.
const WINDOW: Duration = Duration::from_secs(1);

/// A share of fewer requests says nothing.
const FEWEST_REQUESTS: u64 = 20;

/// The share of slow answers that opens the breaker.
const SLOW_SHARE: f64 = 0.5;

/// What the workers counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Requests that have an outcome.
    pub(crate) settled: u64,
    /// Those that count as errors.
    pub(crate) errors: u64,
    /// Those that took longer than the breaker's latency.
    pub(crate) slow: u64,
    /// Failures to connect since the last answer.
    pub(crate) connect_failures: u64,
}

/// Watches the counts of one run.
pub(crate) struct Watch {
    breaker: Breaker,
    /// Counts of the last second, the oldest first.
    seen: VecDeque<(Instant, Counts)>,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn new(breaker: Breaker, now: Instant) -> Self {
        Self { breaker, seen: VecDeque::from([(now, Counts::default())]) }
    }

    /// Looks at the counts of now; returns why the breaker opens, where it does.
    pub(crate) fn look(&mut self, now: Instant, counts: Counts) -> Option<String> {
        // The last of those that are older than the window is where the window begins.
        while self.seen.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.seen.pop_front();
        }
        let before = self.seen.front().map_or(Counts::default(), |(_, counts)| *counts);
        self.seen.push_back((now, counts));
        if let Some(most) = self.breaker.connect_failures
            && counts.connect_failures >= u64::from(most.get())
        {
            return Some(format!("{} connections failed one after the other", counts.connect_failures));
        }
        let settled = counts.settled.saturating_sub(before.settled);
        if settled < FEWEST_REQUESTS {
            return None;
        }
        let share = |now: u64, before: u64| now.saturating_sub(before) as f64 / settled as f64;
        let errors = share(counts.errors, before.errors);
        if self.breaker.error_share.is_some_and(|most| errors > most) {
            return Some(format!("{:.0} % of {settled} requests failed within a second", errors * 100.0));
        }
        let slow = share(counts.slow, before.slow);
        if let Some(latency) = self.breaker.latency.filter(|_| slow > SLOW_SHARE) {
            return Some(format!("{:.0} % of {settled} answers took longer than {latency:?}", slow * 100.0));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock;

    const TICK: Duration = Duration::from_millis(100);

    fn counts(settled: u64, errors: u64) -> Counts {
        Counts { settled, errors, ..Counts::default() }
    }

    #[test]
    fn a_service_that_begins_to_fail_opens_it_within_a_second() {
        let start = clock::monotonic();
        let mut watch = Watch::new(Breaker::default(), start);
        for tick in 1..=50 {
            assert_eq!(watch.look(start + TICK * tick, counts(u64::from(tick) * 10, 0)), None);
        }

        let opened = (51..=60).find_map(|tick| {
            let errors = u64::from(tick - 50) * 10;
            watch.look(start + TICK * tick, counts(u64::from(tick) * 10, errors))
        });

        assert!(opened.unwrap().contains("requests failed"));
    }

    #[test]
    fn a_few_errors_and_a_few_requests_do_not() {
        let start = clock::monotonic();
        let mut watch = Watch::new(Breaker::default(), start);

        for tick in 1..=100 {
            let number = u64::from(tick);
            assert_eq!(watch.look(start + TICK * tick, counts(number * 10, number * 5)), None);
        }
        let mut watch = Watch::new(Breaker::default(), start);
        assert_eq!(watch.look(start + TICK, counts(19, 19)), None);
    }

    #[test]
    fn failed_connections_and_slow_answers_open_it_where_declared() {
        let start = clock::monotonic();
        let breaker = Breaker {
            error_share: None,
            connect_failures: NonZeroU32::new(5),
            latency: Some(Duration::from_millis(250)),
        };
        let refused = Counts { settled: 5, errors: 5, connect_failures: 5, ..Counts::default() };
        let slow = Counts { settled: 40, slow: 21, ..Counts::default() };

        let look = |breaker, counts| Watch::new(breaker, start).look(start + TICK, counts);

        assert_eq!(look(breaker, refused).unwrap(), "5 connections failed one after the other");
        assert_eq!(look(breaker, slow).unwrap(), "52 % of 40 answers took longer than 250ms");
        assert_eq!(look(Breaker::OFF, refused), None);
        assert_eq!(look(Breaker::OFF, slow), None);
    }
}
