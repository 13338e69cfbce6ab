//! How many bytes went over a connection, each way; without what TLS adds, but for HTTP/2 with its frames.

use std::ops::AddAssign;

/// Bytes that went over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moved {
    /// To the target.
    pub(crate) sent: u64,
    /// From it.
    pub(crate) received: u64,
}

impl Moved {
    /// Returns both ways together.
    pub(crate) fn total(self) -> u64 {
        self.sent + self.received
    }
}

impl AddAssign for Moved {
    fn add_assign(&mut self, more: Self) {
        self.sent += more.sent;
        self.received += more.received;
    }
}
