//! The one door to time.
//!
//! Everything that needs "now" asks here, so that a test can see at a glance who depends on the clock. Pure
//! functions take instants as arguments instead.

use std::time::{Duration, Instant, SystemTime};

/// Returns the monotonic time, for measuring.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Returns the wall-clock time, for dates on records.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Returns the wall-clock time since 1970, for stamps of the kernel; zero on a clock that is set before.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
