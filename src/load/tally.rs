//! The tally counts what one worker sees: outcomes and histograms for each round.
//!
//! It belongs to one thread and takes no lock. A round's histograms are made when its first sample comes; a sample
//! that left when it was due, which is every one of a closed loop, costs a single record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::pacer::{Window, nanos};
use crate::measurement::{OutcomeClass, Round, empty_histogram};

/// A send this late is counted: it is ten times what a timer on a machine with a free processor needs.
pub(crate) const LATE: Duration = Duration::from_millis(1);

/// Counts that a worker publishes for the progress display; on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Published {
    /// Whole answers since the start, those of the warm-up included.
    pub(crate) answered: AtomicU64,
    /// Requests since the start that count as errors.
    pub(crate) errors: AtomicU64,
}

/// The times of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// When it should have been sent.
    pub(crate) intended_at: Instant,
    /// When it was sent.
    pub(crate) sent_at: Instant,
    /// When its last byte came.
    pub(crate) finished_at: Instant,
}

/// What one worker saw.
pub(crate) struct Tally {
    window: Window,
    rounds: Vec<Option<Box<RoundTally>>>,
    lateness: Histogram<u64>,
    late: u64,
    published: Arc<Published>,
    answered: u64,
    errors: u64,
}

struct RoundTally {
    /// Samples with no send lag: latency and service time are the same.
    prompt: Histogram<u64>,
    /// Samples with some send lag, and those that were cut off.
    lagged: Round,
    counts: [u64; OutcomeClass::ALL.len()],
}

/// How late a worker was by its own fault.
pub(crate) struct Lateness {
    /// Nanoseconds between due and sent, of requests for which a connection was free.
    pub(crate) histogram: Histogram<u64>,
    /// How many of them were later than [`LATE`].
    pub(crate) late: u64,
}

impl Tally {
    /// Makes an empty tally.
    pub(crate) fn new(window: Window, rounds: u32, published: Arc<Published>) -> Self {
        let rounds = (0..rounds).map(|_| None).collect();
        Self { window, rounds, lateness: empty_histogram(), late: 0, published, answered: 0, errors: 0 }
    }

    /// Counts a whole answer; only those of 2xx and 3xx go into the histograms, as an error can be fast.
    pub(crate) fn answered(&mut self, class: OutcomeClass, times: Times) {
        let Some(round) = self.count(class, times.intended_at) else {
            let latency = times.finished_at.saturating_duration_since(times.intended_at);
            self.window.note_unmeasured(times.finished_at, latency);
            return;
        };
        if class.is_error() {
            return;
        }
        let service_time = nanos(times.finished_at.saturating_duration_since(times.sent_at));
        if times.sent_at <= times.intended_at {
            round.prompt.saturating_record(service_time);
            return;
        }
        let latency = times.finished_at.saturating_duration_since(times.intended_at);
        let send_lag = times.sent_at.saturating_duration_since(times.intended_at);
        round.lagged.latency.saturating_record(nanos(latency));
        round.lagged.service_time.saturating_record(service_time);
        round.lagged.send_lag.saturating_record(nanos(send_lag));
    }

    /// Counts a request that failed; its time says nothing about the service.
    pub(crate) fn failed(&mut self, class: OutcomeClass, intended_at: Instant) {
        self.count(class, intended_at);
    }

    /// Counts requests that were given up, with the time they lasted: the answer would have taken longer.
    pub(crate) fn cut_off(&mut self, class: OutcomeClass, intended_at: Instant, at: Instant, count: u64) {
        self.publish(class, count);
        if let Some(round) = self.round(intended_at) {
            round.counts[class as usize] += count;
            let lasted = nanos(at.saturating_duration_since(intended_at));
            round.lagged.latency.saturating_record_n(lasted, count);
        }
    }

    /// Notes how late a request left although a connection was free.
    pub(crate) fn note_lateness(&mut self, intended_at: Instant, sent_at: Instant) {
        if self.window.round_at(intended_at).is_some() {
            let lateness = sent_at.saturating_duration_since(intended_at);
            self.late += u64::from(lateness > LATE);
            self.lateness.saturating_record(nanos(lateness));
        }
    }

    /// Returns the first `rounds` rounds and the lateness.
    pub(crate) fn finish(self, rounds: u32) -> (Vec<Round>, Lateness) {
        let rounds = self.rounds.into_iter().take(rounds as usize);
        let rounds = rounds.map(|round| round.map_or_else(Round::empty, |round| round.finish())).collect();
        (rounds, Lateness { histogram: self.lateness, late: self.late })
    }

    fn count(&mut self, class: OutcomeClass, intended_at: Instant) -> Option<&mut RoundTally> {
        self.publish(class, 1);
        let round = self.round(intended_at)?;
        round.counts[class as usize] += 1;
        Some(round)
    }

    fn publish(&mut self, class: OutcomeClass, count: u64) {
        if class.is_answered() {
            self.answered += count;
            self.published.answered.store(self.answered, Ordering::Relaxed);
        }
        if class.is_error() {
            self.errors += count;
            self.published.errors.store(self.errors, Ordering::Relaxed);
        }
    }

    fn round(&mut self, intended_at: Instant) -> Option<&mut RoundTally> {
        let round = self.rounds.get_mut(self.window.round_at(intended_at)?)?;
        Some(round.get_or_insert_with(|| Box::new(RoundTally::new())))
    }
}

impl RoundTally {
    fn new() -> Self {
        Self { prompt: empty_histogram(), lagged: Round::empty(), counts: [0; OutcomeClass::ALL.len()] }
    }

    fn finish(self) -> Round {
        let mut round = self.lagged;
        for histogram in [&mut round.latency, &mut round.service_time] {
            histogram.add(&self.prompt).expect("both histograms have this project's bounds");
        }
        round.send_lag.saturating_record_n(0, self.prompt.len());
        for class in OutcomeClass::ALL {
            round.outcomes.add(class, self.counts[class as usize]);
        }
        round
    }
}

/// Merges the shares of several workers. Workers that were cancelled at the edge of a round may differ by one.
pub(crate) fn merge_rounds(mut shares: Vec<Vec<Round>>) -> Vec<Round> {
    // The longest share is taken as it is: merging into empty histograms would touch all of their pages.
    shares.sort_by_key(Vec::len);
    let mut merged = shares.pop().unwrap_or_default();
    for share in &shares {
        for (round, other) in merged.iter_mut().zip(share) {
            round.merge(other);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock;
    use crate::scenario::{LoadProfile, Pacing};

    const MS: Duration = Duration::from_millis(1);

    fn tally(start: Instant) -> Tally {
        let profile = LoadProfile {
            duration: 1000 * MS,
            warm_up: 1000 * MS,
            rounds: NonZeroU32::new(2).unwrap(),
            ..LoadProfile::plain(Pacing::CLOSED, NonZeroU32::MIN)
        };
        Tally::new(Window::new(start, &profile), 2, Arc::default())
    }

    #[test]
    fn a_sample_belongs_to_the_round_in_which_it_was_due() {
        let start = clock::monotonic();
        let mut tally = tally(start);
        let due = start + 1499 * MS;
        let times = Times { intended_at: due, sent_at: due + 100 * MS, finished_at: due + 300 * MS };

        tally.answered(OutcomeClass::Success, times);
        let (rounds, _) = tally.finish(2);

        let lengths = |round: &Round| [round.latency.len(), round.service_time.len(), round.send_lag.len()];
        assert_eq!([lengths(&rounds[0]), lengths(&rounds[1])], [[1, 1, 1], [0, 0, 0]]);
        assert!(rounds[0].latency.max().abs_diff(300_000_000) < 300_000);
        assert!(rounds[0].service_time.max().abs_diff(200_000_000) < 200_000);
        assert!(rounds[0].send_lag.max().abs_diff(100_000_000) < 100_000);
    }

    #[test]
    fn a_prompt_sample_is_in_all_three_histograms() {
        let start = clock::monotonic();
        let mut tally = tally(start);
        let due = start + 1600 * MS;

        tally.answered(
            OutcomeClass::Redirect,
            Times { intended_at: due, sent_at: due, finished_at: due + MS },
        );
        let (rounds, _) = tally.finish(2);

        let round = &rounds[1];
        assert_eq!([round.latency.len(), round.service_time.len(), round.send_lag.len()], [1, 1, 1]);
        assert_eq!(round.send_lag.max(), 0);
    }

    #[test]
    fn the_warm_up_is_published_but_not_measured() {
        let start = clock::monotonic();
        let mut tally = tally(start);

        tally.failed(OutcomeClass::Read, start + 999 * MS);

        assert_eq!(tally.published.errors.load(Ordering::Relaxed), 1);
        let (rounds, _) = tally.finish(2);
        assert_eq!(rounds.iter().map(|round| round.outcomes.total()).sum::<u64>(), 0);
    }

    #[test]
    fn a_fast_error_is_in_no_histogram_but_a_time_out_is() {
        let start = clock::monotonic();
        let mut tally = tally(start);
        let due = start + 1100 * MS;

        tally.failed(OutcomeClass::Connect, due);
        tally.answered(
            OutcomeClass::ServerError,
            Times { intended_at: due, sent_at: due, finished_at: due + MS },
        );
        tally.cut_off(OutcomeClass::Timeout, due, due + 50 * MS, 1);
        let (rounds, _) = tally.finish(2);

        let round = &rounds[0];
        assert_eq!(round.outcomes.total(), 3);
        assert_eq!([round.latency.len(), round.service_time.len(), round.send_lag.len()], [1, 0, 0]);
        assert!(round.latency.max().abs_diff(50_000_000) < 50_000);
    }

    #[test]
    fn shares_of_workers_add_up() {
        let start = clock::monotonic();
        let shares = (0..3)
            .map(|worker| {
                let mut tally = tally(start);
                let due = start + 1100 * MS;
                tally.answered(
                    OutcomeClass::Success,
                    Times { intended_at: due, sent_at: due, finished_at: due + worker * MS },
                );
                tally.finish(2).0
            })
            .collect();

        let merged = merge_rounds(shares);

        assert_eq!((merged.len(), merged[0].outcomes.total(), merged[0].latency.len()), (2, 3, 3));
    }
}
