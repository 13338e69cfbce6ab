//! The tally counts what one worker sees: outcomes and histograms for each round.
//!
//! It belongs to one thread and takes no lock. A round's histograms are made when its first sample comes; a sample
//! that left when it was due, which is every one of a closed loop, costs a single record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::moved::Moved;
use super::pacer::{Span, Window, nanos};
use super::server_timing::each_metric;
use crate::measurement::{MAX_SERVER_TIMINGS, OutcomeClass, Outcomes, Round, empty_histogram};
use crate::request::Endpoint;

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
    /// Requests since the start that have an outcome other than being asked to retry later.
    pub(crate) settled: AtomicU64,
    /// Those of them that count as errors.
    pub(crate) failed: AtomicU64,
    /// Requests sent since the start, whatever became of them.
    pub(crate) sent: AtomicU64,
    /// Bytes sent and received since the start, without those of TLS.
    pub(crate) traffic: AtomicU64,
    /// Answers since the start that took longer than the breaker allows.
    pub(crate) slow: AtomicU64,
    /// Failures to connect since the last answer.
    pub(crate) connect_failures: AtomicU64,
    /// Redirects since the start.
    pub(crate) redirects: AtomicU64,
    /// Answers since the start that lack the marker which they must have.
    pub(crate) unmarked: AtomicU64,
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
    /// The round of the last request, which is nearly always that of the next one, too.
    last: Option<Span>,
    lateness: Histogram<u64>,
    late: u64,
    /// What was seen of each endpoint; `None` where the source has only one.
    endpoints: Option<Vec<Option<Box<EndpointTally>>>>,
    /// Latencies of each class other than 2xx.
    class_latency: [Option<Box<Histogram<u64>>>; OutcomeClass::ALL.len()],
    published: Arc<Published>,
    answered: u64,
    errors: u64,
    settled: u64,
    failed: u64,
    sent: u64,
    traffic: u64,
    /// Bytes received in the measured time.
    bytes_received: u64,
    /// The latency in nanoseconds from which an answer counts as slow.
    slow_from: u64,
    slow: u64,
    connect_failures: u64,
    redirects: u64,
}

/// What was seen of one endpoint.
struct EndpointTally {
    latency: Histogram<u64>,
    counts: [u64; OutcomeClass::ALL.len()],
}

/// Everything that one worker saw.
pub(crate) struct Seen {
    /// The rounds that had begun.
    pub(crate) rounds: Vec<Round>,
    /// How late the worker was by its own fault.
    pub(crate) lateness: Lateness,
    /// The endpoints by their numbers; empty where the source has only one.
    pub(crate) endpoints: Vec<Option<(Histogram<u64>, Outcomes)>>,
    /// Latencies of each class other than 2xx.
    pub(crate) class_latency: Vec<(OutcomeClass, Histogram<u64>)>,
    /// Bytes received in the measured time.
    pub(crate) bytes_received: u64,
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
    /// Makes an empty tally, which counts for each endpoint only where there are some.
    pub(crate) fn new(window: Window, rounds: u32, has_endpoints: bool, published: Arc<Published>) -> Self {
        Self {
            window,
            rounds: (0..rounds).map(|_| None).collect(),
            last: None,
            lateness: empty_histogram(),
            late: 0,
            endpoints: has_endpoints.then(Vec::new),
            class_latency: Default::default(),
            published,
            answered: 0,
            errors: 0,
            settled: 0,
            failed: 0,
            sent: 0,
            traffic: 0,
            bytes_received: 0,
            slow_from: u64::MAX,
            slow: 0,
            connect_failures: 0,
            redirects: 0,
        }
    }

    /// Counts a whole answer; only those of 2xx and 3xx, and expected ones, go into the rounds' histograms, as an
    /// error can be fast.
    pub(crate) fn answered(&mut self, class: OutcomeClass, endpoint: Endpoint, times: Times) {
        let lasted = times.finished_at.saturating_duration_since(times.intended_at);
        let latency = nanos(lasted);
        if latency > self.slow_from {
            self.slow += 1;
            self.published.slow.store(self.slow, Ordering::Relaxed);
        }
        let Some(round) = self.count(class, times.intended_at, 1) else {
            self.window.note_unmeasured(times.finished_at, lasted);
            return;
        };
        if !class.is_error() {
            let service_time = if times.sent_at == times.intended_at {
                latency
            } else {
                nanos(times.finished_at.saturating_duration_since(times.sent_at))
            };
            if times.sent_at <= times.intended_at {
                round.prompt.saturating_record(service_time);
            } else {
                let send_lag = times.sent_at.saturating_duration_since(times.intended_at);
                round.lagged.latency.saturating_record(latency);
                round.lagged.service_time.saturating_record(service_time);
                round.lagged.send_lag.saturating_record(nanos(send_lag));
            }
        }
        self.count_by_kind(class, endpoint, Some(latency), 1);
    }

    /// Counts requests that failed; their time says nothing about the service.
    pub(crate) fn failed(
        &mut self,
        class: OutcomeClass,
        endpoint: Endpoint,
        intended_at: Instant,
        count: u64,
    ) {
        if self.count(class, intended_at, count).is_some() {
            self.count_by_kind(class, endpoint, None, count);
        }
    }

    /// Counts requests that were given up, with the time they lasted: the answer would have taken longer.
    pub(crate) fn cut_off(
        &mut self,
        class: OutcomeClass,
        endpoint: Endpoint,
        intended_at: Instant,
        at: Instant,
        count: u64,
    ) {
        let lasted = nanos(at.saturating_duration_since(intended_at));
        if let Some(round) = self.count(class, intended_at, count) {
            round.lagged.latency.saturating_record_n(lasted, count);
            self.count_by_kind(class, endpoint, Some(lasted), count);
        }
    }

    /// Counts answers that take longer as slow.
    pub(crate) fn with_slow_from(mut self, latency: Option<Duration>) -> Self {
        self.slow_from = latency.map_or(u64::MAX, nanos);
        self
    }

    /// Notes what the server says of its own time for one answer.
    pub(crate) fn note_server_timing(&mut self, field: &[u8], intended_at: Instant) {
        let Some(round) = self.round(intended_at) else { return };
        each_metric(field, |name, nanos| {
            let timings = &mut round.lagged.server_timing;
            if !timings.contains_key(name) && timings.len() < MAX_SERVER_TIMINGS {
                timings.insert(name.to_owned(), empty_histogram());
            }
            if let Some(seen) = timings.get_mut(name) {
                seen.saturating_record(nanos);
            }
        });
    }

    /// Notes requests that leave.
    pub(crate) fn note_sent(&mut self, count: u64) {
        self.sent += count;
        self.published.sent.store(self.sent, Ordering::Relaxed);
    }

    /// Notes an answer that lacks the marker which it must have. No more than one thread writes the count.
    pub(crate) fn note_unmarked(&self) {
        let unmarked = self.published.unmarked.load(Ordering::Relaxed);
        self.published.unmarked.store(unmarked + 1, Ordering::Relaxed);
    }

    /// Notes bytes that went to and fro.
    pub(crate) fn note_traffic(&mut self, moved: Moved, intended_at: Instant) {
        if self.window.measured_from().is_some_and(|from| intended_at >= from) {
            self.bytes_received += moved.received;
        }
        self.traffic += moved.total();
        self.published.traffic.store(self.traffic, Ordering::Relaxed);
    }

    /// Notes how late a request left although a connection was free.
    pub(crate) fn note_lateness(&mut self, intended_at: Instant, sent_at: Instant) {
        if self.window.round_at(intended_at).is_some() {
            let lateness = sent_at.saturating_duration_since(intended_at);
            self.late += u64::from(lateness > LATE);
            self.lateness.saturating_record(nanos(lateness));
        }
    }

    /// Returns what was seen, with the first `rounds` rounds.
    pub(crate) fn finish(self, rounds: u32) -> Seen {
        let rounds = self.rounds.into_iter().take(rounds as usize);
        let by_class = OutcomeClass::ALL.into_iter().zip(self.class_latency);
        Seen {
            rounds: rounds.map(|round| round.map_or_else(Round::empty, |round| round.finish())).collect(),
            lateness: Lateness { histogram: self.lateness, late: self.late },
            endpoints: self
                .endpoints
                .unwrap_or_default()
                .into_iter()
                .map(|endpoint| endpoint.map(|seen| (seen.latency, outcomes(&seen.counts))))
                .collect(),
            class_latency: by_class.filter_map(|(class, seen)| Some((class, *seen?))).collect(),
            bytes_received: self.bytes_received,
        }
    }

    fn count(&mut self, class: OutcomeClass, intended_at: Instant, count: u64) -> Option<&mut RoundTally> {
        self.publish(class, count);
        let round = self.round(intended_at)?;
        round.counts[class as usize] += count;
        Some(round)
    }

    /// Counts for the endpoint and the class; `latency` is in nanoseconds.
    fn count_by_kind(&mut self, class: OutcomeClass, endpoint: Endpoint, latency: Option<u64>, count: u64) {
        if class != OutcomeClass::Success
            && let Some(latency) = latency
        {
            let seen = &mut self.class_latency[class as usize];
            seen.get_or_insert_with(|| Box::new(empty_histogram())).saturating_record_n(latency, count);
        }
        let Some(endpoints) = &mut self.endpoints else { return };
        let number = usize::from(endpoint.0);
        if endpoints.len() <= number {
            endpoints.resize_with(number + 1, || None);
        }
        let seen = endpoints[number].get_or_insert_with(|| Box::new(EndpointTally::new()));
        seen.counts[class as usize] += count;
        // As in the rounds: errors that were answered can be fast.
        if let Some(latency) = latency.filter(|_| !class.is_error() || !class.is_answered()) {
            seen.latency.saturating_record_n(latency, count);
        }
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
        if class == OutcomeClass::Redirect {
            self.redirects += count;
            self.published.redirects.store(self.redirects, Ordering::Relaxed);
        }
        // A server that asks for patience is not ill.
        if class != OutcomeClass::RetryLater {
            self.settled += count;
            self.published.settled.store(self.settled, Ordering::Relaxed);
            if class.is_error() {
                self.failed += count;
                self.published.failed.store(self.failed, Ordering::Relaxed);
            }
        }
        let failures = if class == OutcomeClass::Connect { self.connect_failures + count } else { 0 };
        if failures != self.connect_failures {
            self.connect_failures = failures;
            self.published.connect_failures.store(failures, Ordering::Relaxed);
        }
    }

    fn round(&mut self, intended_at: Instant) -> Option<&mut RoundTally> {
        let span = match self.last {
            Some(last) if last.contains(intended_at) => last,
            _ => *self.last.insert(self.window.span_at(intended_at)?),
        };
        let round = self.rounds.get_mut(span.round)?;
        Some(round.get_or_insert_with(|| Box::new(RoundTally::new())))
    }
}

impl EndpointTally {
    fn new() -> Self {
        Self { latency: empty_histogram(), counts: [0; OutcomeClass::ALL.len()] }
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
        round.outcomes = outcomes(&self.counts);
        round
    }
}

fn outcomes(counts: &[u64; OutcomeClass::ALL.len()]) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for class in OutcomeClass::ALL {
        outcomes.add(class, counts[class as usize]);
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock;
    use crate::load::merging::merge_rounds;
    use crate::scenario::{LoadProfile, Pacing};

    const MS: Duration = Duration::from_millis(1);

    const GET: Endpoint = Endpoint(0);

    fn tally(start: Instant) -> Tally {
        let profile = LoadProfile {
            duration: 1000 * MS,
            warm_up: 1000 * MS,
            rounds: NonZeroU32::new(2).unwrap(),
            ..LoadProfile::plain(Pacing::CLOSED, NonZeroU32::MIN)
        };
        Tally::new(Window::new(start, &profile), 2, false, Arc::default())
    }

    #[test]
    fn a_sample_belongs_to_the_round_in_which_it_was_due() {
        let start = clock::monotonic();
        let mut tally = tally(start);
        let due = start + 1499 * MS;
        let times = Times { intended_at: due, sent_at: due + 100 * MS, finished_at: due + 300 * MS };

        tally.answered(OutcomeClass::Success, GET, times);
        let rounds = tally.finish(2).rounds;

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
            GET,
            Times { intended_at: due, sent_at: due, finished_at: due + MS },
        );
        let rounds = tally.finish(2).rounds;

        let round = &rounds[1];
        assert_eq!([round.latency.len(), round.service_time.len(), round.send_lag.len()], [1, 1, 1]);
        assert_eq!(round.send_lag.max(), 0);
    }

    #[test]
    fn the_warm_up_is_published_but_not_measured() {
        let start = clock::monotonic();
        let mut tally = tally(start);

        tally.failed(OutcomeClass::Read, GET, start + 999 * MS, 1);

        assert_eq!(tally.published.errors.load(Ordering::Relaxed), 1);
        let rounds = tally.finish(2).rounds;
        assert_eq!(rounds.iter().map(|round| round.outcomes.total()).sum::<u64>(), 0);
    }

    #[test]
    fn a_fast_error_is_in_no_histogram_but_a_time_out_is() {
        let start = clock::monotonic();
        let mut tally = tally(start);
        let due = start + 1100 * MS;

        tally.failed(OutcomeClass::Connect, GET, due, 1);
        tally.answered(
            OutcomeClass::ServerError,
            GET,
            Times { intended_at: due, sent_at: due, finished_at: due + MS },
        );
        tally.cut_off(OutcomeClass::Timeout, GET, due, due + 50 * MS, 1);
        let rounds = tally.finish(2).rounds;

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
                    GET,
                    Times { intended_at: due, sent_at: due, finished_at: due + worker * MS },
                );
                tally.finish(2).rounds
            })
            .collect();

        let merged = merge_rounds(shares);

        assert_eq!((merged.len(), merged[0].outcomes.total(), merged[0].latency.len()), (2, 3, 3));
    }
}
