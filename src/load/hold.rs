//! The hold: when a server asks to be left alone for a while (`Retry-After`, RFC 9110 section 10.2.3), nobody sends
//! until then.
//!
//! All workers share it. Requests that fall due meanwhile are counted as withheld, never sent late in a burst.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822;

use super::pacer::nanos;
use crate::clock;

/// No server holds a run for longer; the run ends before that anyway.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Until when nothing is sent.
#[derive(Debug)]
pub(crate) struct Hold {
    /// What the nanoseconds count from.
    base: Instant,
    until_ns: AtomicU64,
}

impl Hold {
    /// Makes a hold that holds nobody.
    pub(crate) fn new(now: Instant) -> Self {
        Self { base: now, until_ns: AtomicU64::new(0) }
    }

    /// Holds everybody for what a `Retry-After` field asks; a value that nobody can read holds nobody.
    pub(crate) fn ask(&self, retry_after: &[u8], now: Instant) {
        if let Some(pause) = pause_asked(retry_after, clock::wall()) {
            let until = now.saturating_duration_since(self.base) + pause.min(LONGEST_HOLD);
            self.until_ns.fetch_max(nanos(until), Ordering::Relaxed);
        }
    }

    /// Returns when sending may go on, where that is not now.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        let until_ns = self.until_ns.load(Ordering::Relaxed);
        if until_ns == 0 {
            return None;
        }
        let until = self.base + Duration::from_nanos(until_ns);
        (until > now).then_some(until)
    }
}

/// Reads seconds or an HTTP date.
fn pause_asked(field: &[u8], now: jiff::Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(field).ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // More digits than fit are a long time all the same.
        return Some(text.parse().map_or(LONGEST_HOLD, Duration::from_secs));
    }
    let until = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Duration::try_from(until.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        let now = "1994-11-06T08:49:30Z".parse().unwrap();
        let seconds = |text: &str| pause_asked(text.as_bytes(), now).map(|pause| pause.as_secs());

        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(seconds("99999999999999999999999"), Some(LONGEST_HOLD.as_secs()));
        for hostile in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1993 08:49:37 GMT", "\u{e9}"] {
            assert_eq!(seconds(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn a_hold_lasts_until_the_latest_time_asked_for() {
        let now = clock::monotonic();
        let hold = Hold::new(now);
        assert_eq!(hold.until(now), None);

        hold.ask(b"2", now);
        hold.ask(b"1", now);

        assert_eq!(hold.until(now), Some(now + Duration::from_secs(2)));
        assert_eq!(hold.until(now + Duration::from_secs(2)), None);
    }
}
