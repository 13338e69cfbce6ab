//! A scenario is one named thing to run: requests, a load profile, a gate.
//!
//! Every number in it is checked when it is made, so that no later code meets a rate of zero or NaN.

mod profile;
mod protocol;

pub use protocol::Protocol;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::request::{Requests, ScriptPlan};
use crate::verdict::FailOn;

pub use profile::{Arrivals, Level, LoadProfile, Pacing, RateShape, Stage, StageRate, level_at_start};

/// A number outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {expected}, found {found}")]
pub struct OutOfRange {
    /// What the number means.
    pub what: &'static str,
    /// The range, in words.
    pub expected: &'static str,
    /// The number as found.
    pub found: String,
}

/// The name of a scenario: 1 to 64 ASCII letters, digits, `.`, `_` or `-`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScenarioName(String);

impl ScenarioName {
    /// Reads a name; it becomes part of file names, so its grammar is narrow.
    pub fn parse(text: &str) -> Result<Self, OutOfRange> {
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !is_plain || !begins_well || text.len() > 64 {
            return Err(OutOfRange {
                what: "a scenario name",
                expected: "1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-', beginning with a letter or digit",
                found: format!("{:?}", text.chars().take(80).collect::<String>()),
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ScenarioName {
    type Error = OutOfRange;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ScenarioName> for String {
    fn from(name: ScenarioName) -> Self {
        name.0
    }
}

impl fmt::Display for ScenarioName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Requests per second: finite, above zero, at most ten million; fractions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(f64);

impl Rate {
    /// Takes a number of requests per second.
    pub fn per_second(requests: f64) -> Result<Self, OutOfRange> {
        if requests.is_finite() && (1e-4..=1e7).contains(&requests) {
            return Ok(Self(requests));
        }
        Err(OutOfRange {
            what: "a rate",
            expected: "between 0.0001 and 10000000 requests per second",
            found: requests.to_string(),
        })
    }

    /// Returns the requests per second.
    #[must_use]
    pub fn requests_per_second(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Rate {
    type Error = OutOfRange;

    fn try_from(requests: f64) -> Result<Self, Self::Error> {
        Self::per_second(requests)
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A point of the latency distribution, such as p99; above 0 and below 100 per cent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantile(f64);

impl Quantile {
    /// The median.
    pub const P50: Self = Self(50.0);
    /// The slowest tenth begins here.
    pub const P90: Self = Self(90.0);
    /// The slowest hundredth begins here.
    pub const P99: Self = Self(99.0);
    /// The slowest thousandth begins here.
    pub const P999: Self = Self(99.9);

    /// Reads `p50`, `p99` or `p99.9` (`p999` means the same).
    pub fn parse(text: &str) -> Result<Self, OutOfRange> {
        let error = || OutOfRange {
            what: "a metric",
            expected: "'p' and a percentile above 0 and below 100, such as p50, p99 or p99.9",
            found: format!("{:?}", text.chars().take(40).collect::<String>()),
        };
        let digits = text.strip_prefix('p').ok_or_else(error)?;
        let is_plain = digits.len() <= 7 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if !is_plain || !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(error());
        }
        let percent: f64 = match digits {
            "999" => 99.9,
            "9999" => 99.99,
            plain => plain.parse().map_err(|_| error())?,
        };
        if percent > 0.0 && percent < 100.0 { Ok(Self(percent)) } else { Err(error()) }
    }

    /// Returns the quantile as a fraction: 0.99 for p99.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl TryFrom<String> for Quantile {
    type Error = OutOfRange;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Quantile> for String {
    fn from(quantile: Quantile) -> Self {
        quantile.to_string()
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

/// What a metric is a quantile of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// The latency of the answers.
    Latency,
    /// The duration that the server itself gives a name to in its `Server-Timing` header. It holds no network, and so
    /// none of the network's noise.
    ServerTiming(String),
}

/// What is judged: a quantile of something that is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// What is measured.
    pub measure: Measure,
    /// Which point of its distribution.
    pub quantile: Quantile,
}

impl Metric {
    /// The beginning of a metric of the server's own times.
    const SERVER_TIMING: &'static str = "server-timing:";

    /// Reads `p99`, or `server-timing:db:p99` for what the server calls `db`.
    pub fn parse(text: &str) -> Result<Self, OutOfRange> {
        let Some(named) = text.strip_prefix(Self::SERVER_TIMING) else {
            return Quantile::parse(text).map(Self::from);
        };
        let error = || OutOfRange {
            what: "a metric",
            expected: "'server-timing:', a name of the server's, ':' and a percentile, such as server-timing:db:p99",
            found: format!("{:?}", text.chars().take(80).collect::<String>()),
        };
        let (name, quantile) = named.rsplit_once(':').ok_or_else(error)?;
        if !is_timing_name(name.as_bytes()) {
            return Err(error());
        }
        Ok(Self {
            measure: Measure::ServerTiming(name.to_owned()),
            quantile: Quantile::parse(quantile).map_err(|_| error())?,
        })
    }
}

/// Returns whether a name can be a `Server-Timing` metric's here: a token of RFC 9110 of at most 64 characters.
#[must_use]
pub fn is_timing_name(name: &[u8]) -> bool {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    (1..=64).contains(&name.len()) && name.iter().all(is_token)
}

impl From<Quantile> for Metric {
    fn from(quantile: Quantile) -> Self {
        Self { measure: Measure::Latency, quantile }
    }
}

impl PartialEq<Quantile> for Metric {
    fn eq(&self, quantile: &Quantile) -> bool {
        self.measure == Measure::Latency && self.quantile == *quantile
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.measure {
            Measure::Latency => self.quantile.fmt(f),
            Measure::ServerTiming(name) => write!(f, "{}{name}:{}", Self::SERVER_TIMING, self.quantile),
        }
    }
}

/// When a run is ended because its target is not well.
///
/// The share of errors and of slow answers is that of the last second, and counts from twenty requests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaker {
    /// The largest share of errors, as a fraction; `None` never opens.
    pub error_share: Option<f64>,
    /// So many failures to connect, one after the other without an answer between them; `None` never opens.
    pub connect_failures: Option<NonZeroU32>,
    /// The latency that no more than half of the answers may exceed; `None` never opens.
    pub latency: Option<Duration>,
}

impl Breaker {
    /// A breaker that never opens.
    pub const OFF: Self = Self { error_share: None, connect_failures: None, latency: None };
}

impl Default for Breaker {
    /// Half of the requests failing, or fifty failed connections in a row: no service is measured there, only harmed.
    fn default() -> Self {
        Self { error_share: Some(0.5), connect_failures: NonZeroU32::new(50), latency: None }
    }
}

/// An absolute limit on one quantile of latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The quantile it limits.
    pub quantile: Quantile,
    /// The slowest that is still allowed.
    pub limit: Duration,
}

/// The rule that a comparison must satisfy.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// What is judged.
    pub metrics: Vec<Metric>,
    /// The smallest slowdown that counts, as a fraction: 0.10 is ten per cent.
    pub max_regression: f64,
    /// The largest share of requests that may fail, as a fraction.
    pub max_error_rate: f64,
    /// Absolute limits, judged with or without a baseline.
    pub budgets: Vec<Budget>,
    /// Which verdicts without an answer fail the run.
    pub fail_on: FailOn,
    /// The pause before a suspected regression is measured again.
    pub confirm_after: Duration,
    /// When the run is ended because the target is not well.
    pub breaker: Breaker,
}

/// One named thing to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, unique within a run.
    pub name: ScenarioName,
    /// What is sent; where there is a script, what its requests begin as.
    pub requests: Requests,
    /// The script that makes the requests.
    pub script: Option<Arc<ScriptPlan>>,
    /// Over which version of HTTP.
    pub protocol: Protocol,
    /// When and for how long.
    pub profile: LoadProfile,
    /// What it must satisfy.
    pub gate: Gate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_rates_cannot_be_made() {
        assert!(Rate::per_second(0.5).is_ok());
        for hostile in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert!(Rate::per_second(hostile).is_err(), "{hostile} must be refused");
        }
    }

    #[test]
    fn quantiles_read_as_people_write_them() {
        assert_eq!(Quantile::parse("p99.9"), Ok(Quantile::P999));
        assert_eq!(Quantile::parse("p999"), Ok(Quantile::P999));
        assert_eq!(Quantile::parse("p50").unwrap().to_string(), "p50");
        for hostile in ["", "p", "50", "p0", "p100", "pNaN", "p-1", "p1e1", "p.5", "p99.99999999"] {
            assert!(Quantile::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn a_metric_may_be_of_the_servers_own_times() {
        let metric = Metric::parse("server-timing:db:p99.9").unwrap();

        assert_eq!(metric.measure, Measure::ServerTiming("db".into()));
        assert_eq!(metric.to_string(), "server-timing:db:p99.9");
        assert!(Metric::parse("p50").unwrap() == Quantile::P50 && metric != Quantile::P999);
        for hostile in
            ["server-timing:", "server-timing:db", "server-timing::p50", "server-timing:a b:p50", "db:p50"]
        {
            assert!(Metric::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn scenario_names_are_safe_in_file_names() {
        assert!(ScenarioName::parse("check-out.v2").is_ok());
        for hostile in ["", ".", "..", "a/b", "-x", "a b", "é", &"x".repeat(65)] {
            assert!(ScenarioName::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }
}
