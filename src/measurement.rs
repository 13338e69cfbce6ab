//! A measurement is what was seen: rounds of histograms and a count for every outcome.
//!
//! Histogram values are **nanoseconds**, with three significant digits (an error of at most 0.1 %), between
//! [`LOWEST_DISCERNIBLE_NS`] and [`HIGHEST_TRACKABLE_NS`]. Nothing scheduled is ever dropped: what was not sent or
//! not answered has a class of its own.

mod ending;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::scenario::{Measure, Quantile, Rate, ScenarioName};

pub use ending::Ending;

/// The finest step of a histogram: a tenth of a microsecond.
pub const LOWEST_DISCERNIBLE_NS: u64 = 100;

/// The slowest value a histogram can hold: an hour. Slower values are recorded as an hour.
pub const HIGHEST_TRACKABLE_NS: u64 = 3_600_000_000_000;

/// The decimal digits that a histogram keeps.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// Returns an empty histogram of this project's range and precision.
#[must_use]
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_DISCERNIBLE_NS, HIGHEST_TRACKABLE_NS, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}

/// How one scheduled request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeClass {
    /// A complete answer with a status of 200 to 299.
    #[serde(rename = "2xx")]
    Success,
    /// A complete answer of another status that a declared check expects.
    Expected,
    /// A complete answer with a status of 300 to 399; redirects are recorded, never followed.
    #[serde(rename = "3xx")]
    Redirect,
    /// A complete answer with a status of 400 to 499.
    #[serde(rename = "4xx")]
    ClientError,
    /// A complete answer with a status of 500 to 599.
    #[serde(rename = "5xx")]
    ServerError,
    /// The server asked to be left alone for a while (429 or 503 with `Retry-After`), or the request was withheld
    /// because it had.
    RetryLater,
    /// A complete answer that a declared check does not accept.
    Check,
    /// No connection: refused, unreachable, or TLS failed.
    Connect,
    /// The connection broke while the answer was read.
    Read,
    /// The connection broke while the request was written.
    Write,
    /// The time-out passed before the answer was complete.
    Timeout,
    /// The answer was not HTTP.
    Protocol,
    /// Due before the end, but never sent: no connection was free.
    Unsent,
    /// Sent, but neither answered nor timed out when the run ended.
    Unanswered,
}

impl OutcomeClass {
    /// Every class, in the order in which reports list them.
    pub const ALL: [Self; 14] = [
        Self::Success,
        Self::Expected,
        Self::Redirect,
        Self::ClientError,
        Self::ServerError,
        Self::RetryLater,
        Self::Check,
        Self::Connect,
        Self::Read,
        Self::Write,
        Self::Timeout,
        Self::Protocol,
        Self::Unsent,
        Self::Unanswered,
    ];

    /// Returns the class of a complete answer, where the status is one (100 to 199 are not final answers).
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => return None,
        })
    }

    /// Returns the word used in every report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Expected => "expected",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::RetryLater => "retry-later",
            Self::Check => "check",
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Write => "write",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Unsent => "unsent",
            Self::Unanswered => "unanswered",
        }
    }

    /// Returns whether the request got a whole HTTP answer, of whatever status.
    #[must_use]
    pub fn is_answered(self) -> bool {
        matches!(
            self,
            Self::Success
                | Self::Expected
                | Self::Redirect
                | Self::ClientError
                | Self::ServerError
                | Self::Check
        )
    }

    /// Returns whether the gate counts it as an error: everything but 2xx, 3xx and what a check expects.
    #[must_use]
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Success | Self::Expected | Self::Redirect)
    }
}

/// A count for every outcome class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outcomes(BTreeMap<OutcomeClass, u64>);

impl Outcomes {
    /// Adds `count` requests of one class.
    pub fn add(&mut self, class: OutcomeClass, count: u64) {
        if count > 0 {
            let total = self.0.entry(class).or_default();
            *total = total.saturating_add(count);
        }
    }

    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (&class, &count) in &other.0 {
            self.add(class, count);
        }
    }

    /// Returns the count of one class.
    #[must_use]
    pub fn count(&self, class: OutcomeClass) -> u64 {
        self.0.get(&class).copied().unwrap_or(0)
    }

    /// Returns the count of all scheduled requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns how many got a whole HTTP answer.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.count_where(OutcomeClass::is_answered)
    }

    /// Returns how many count as errors.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.count_where(OutcomeClass::is_error)
    }

    /// Returns errors as a share of all, or `None` where nothing was scheduled.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn error_rate(&self) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| self.errors() as f64 / total as f64)
    }

    fn count_where(&self, holds: fn(OutcomeClass) -> bool) -> u64 {
        OutcomeClass::ALL.into_iter().filter(|class| holds(*class)).map(|class| self.count(class)).sum()
    }
}

/// One measured window with its own histograms.
///
/// A request belongs to the round in which it was due (open loop) or sent (closed loop). The histograms hold
/// answers of 2xx and 3xx; `latency` also holds requests that timed out or were cut off, as long as they lasted,
/// so that a hung server cannot look fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// From the intended send to the last byte.
    pub latency: Histogram<u64>,
    /// From the actual send to the last byte.
    pub service_time: Histogram<u64>,
    /// From the intended to the actual send.
    pub send_lag: Histogram<u64>,
    /// How the round's requests ended.
    pub outcomes: Outcomes,
    /// What the server says of its own time in `Server-Timing`, by the name of the metric; empty where it says
    /// nothing. At most [`MAX_SERVER_TIMINGS`] names.
    pub server_timing: BTreeMap<String, Histogram<u64>>,
}

/// The most names of `Server-Timing` metrics that a run keeps; a server that invents names must not fill the memory.
pub const MAX_SERVER_TIMINGS: usize = 16;

impl Round {
    /// Returns a round in which nothing happened.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            latency: empty_histogram(),
            service_time: empty_histogram(),
            send_lag: empty_histogram(),
            outcomes: Outcomes::default(),
            server_timing: BTreeMap::new(),
        }
    }

    /// Returns the histogram that a metric is a quantile of, where the round has it.
    #[must_use]
    pub fn measured(&self, measure: &Measure) -> Option<&Histogram<u64>> {
        match measure {
            Measure::Latency => Some(&self.latency),
            Measure::ServerTiming(name) => self.server_timing.get(name),
        }
    }

    /// Adds another worker's share of the same round.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.service_time, &other.service_time),
            (&mut self.send_lag, &other.send_lag),
        ] {
            mine.add(theirs).expect("both histograms have this project's bounds");
        }
        self.outcomes.merge(&other.outcomes);
        for (name, theirs) in &other.server_timing {
            if let Some(mine) = self.server_timing.get_mut(name) {
                mine.add(theirs).expect("both histograms have this project's bounds");
            } else if self.server_timing.len() < MAX_SERVER_TIMINGS {
                self.server_timing.insert(name.clone(), theirs.clone());
            }
        }
    }
}

/// What the load generator knows about its own part in the measured times.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GeneratorHealth {
    /// The share of requests that left late although a connection was free: the generator's own fault.
    pub late_share: f64,
    /// The 99th percentile of that lateness, in microseconds.
    pub lag_p99_us: f64,
    /// The share of its time that the busiest worker had something to do; near 1 it can't send faster.
    pub busy_share: f64,
}

/// Whether a warm-up found latency steady before the measured time began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SteadyState {
    /// The profile asks for a warm-up of a given time.
    #[default]
    NotSought,
    /// It was steady.
    Found,
    /// It was not, and the measured time began when the warm-up had lasted as long as it may.
    NotFound,
}

/// What was seen of the requests of one kind, over the whole measured time.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointMeasurement {
    /// The endpoint's name, unique within a measurement.
    pub name: String,
    /// From the intended send to the last byte, as in [`Round::latency`].
    pub latency: Histogram<u64>,
    /// How its requests ended.
    pub outcomes: Outcomes,
}

/// What one drive of one scenario saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The scenario that was driven.
    pub scenario: ScenarioName,
    /// The measured windows in order.
    pub rounds: Vec<Round>,
    /// The measured time, without warm-up and drain.
    pub elapsed: Duration,
    /// The arrival rate that was asked for; `None` in the closed loop.
    pub asked_rate: Option<Rate>,
    /// Connections that were asked for.
    pub asked_connections: u32,
    /// The most connections that were open at once.
    pub reached_connections: u32,
    /// The generator's own part.
    pub generator: GeneratorHealth,
    /// Whether the warm-up found a steady state.
    pub steady_state: SteadyState,
    /// How the run ended; where it was cut short, this holds what was measured until then.
    pub ending: Ending,
    /// What was seen of each endpoint, in the order in which the scenario names them; empty where it has only one.
    pub endpoints: Vec<EndpointMeasurement>,
    /// The latencies of each outcome class other than 2xx that has some, over the whole measured time.
    pub class_latency: Vec<(OutcomeClass, Histogram<u64>)>,
    /// Bytes of the answers in the measured time, heads and framing included but not what TLS adds; `None` where that
    /// was not stored.
    pub bytes_received: Option<u64>,
}

impl Measurement {
    /// Passes every text that a script or a server may have written through a filter.
    pub fn clean(&mut self, filter: &dyn Fn(&str) -> String) {
        self.ending.clean(filter);
        for endpoint in &mut self.endpoints {
            endpoint.name = filter(&endpoint.name);
        }
        // A name that is no name without its secret is the server's fault and nobody's loss.
        for round in &mut self.rounds {
            round.server_timing.retain(|name, _| filter(name) == *name);
        }
    }

    /// Returns whether the run was cut short.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.ending != Ending::Complete
    }

    /// Returns the outcomes of all rounds together.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        let mut all = Outcomes::default();
        for round in &self.rounds {
            all.merge(&round.outcomes);
        }
        all
    }

    /// Returns all rounds merged into one.
    #[must_use]
    pub fn merged(&self) -> Round {
        let mut all = Round::empty();
        for round in &self.rounds {
            all.merge(round);
        }
        all
    }

    /// Returns answers per second of measured time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn achieved_rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.outcomes().answered() as f64 / seconds } else { 0.0 }
    }
}

/// Returns a quantile of a histogram in microseconds, or `None` where it is empty.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "an hour in nanoseconds stays below 2^52")]
pub fn quantile_us(histogram: &Histogram<u64>, quantile: Quantile) -> Option<f64> {
    // A histogram tells the upper end of a value's bucket; beyond the maximum nothing was seen.
    let value = histogram.value_at_quantile(quantile.fraction()).min(histogram.max());
    (!histogram.is_empty()).then_some(value as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_never_lost_in_a_merge() {
        let mut first = Outcomes::default();
        first.add(OutcomeClass::Success, 90);
        let mut second = Outcomes::default();
        second.add(OutcomeClass::Timeout, 10);
        second.add(OutcomeClass::Success, 0);

        first.merge(&second);

        assert_eq!((first.total(), first.errors(), first.answered()), (100, 10, 90));
        assert_eq!(first.error_rate(), Some(0.1));
    }

    #[test]
    fn nothing_scheduled_has_no_error_rate() {
        assert_eq!(Outcomes::default().error_rate(), None);
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        let mut histogram = empty_histogram();
        assert_eq!(quantile_us(&histogram, Quantile::P50), None);

        histogram.record(2_000_000).unwrap();

        let median = quantile_us(&histogram, Quantile::P50).unwrap();
        assert!((median - 2000.0).abs() < 2.0, "{median}");
    }

    #[test]
    fn a_status_below_200_is_no_final_answer() {
        assert_eq!(OutcomeClass::of_status(101), None);
        assert_eq!(OutcomeClass::of_status(204), Some(OutcomeClass::Success));
        assert_eq!(OutcomeClass::of_status(600), None);
    }
}
