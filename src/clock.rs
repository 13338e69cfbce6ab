//! The one door to time.
//!
//! Everything that needs "now" asks here, so that a test can see at a glance who depends on the clock. Pure
//! functions take instants as arguments instead.

use std::time::Instant;

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
