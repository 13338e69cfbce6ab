//! Ceilings bound what a whole run sends and receives: all its scenarios and second measurements together.
//!
//! What the workers publish is looked at ten times a second, so that a run ends at most a tenth of a second of its
//! rate above a ceiling. An answer's bytes are known when the answer has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What went to and fro.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    /// Requests that were sent.
    pub(crate) requests: u64,
    /// Bytes in both directions.
    pub(crate) bytes: u64,
}

/// The most that a run may send and receive, and what it has used of that; clones share what is used.
#[derive(Debug, Clone)]
pub struct Ceilings {
    most: Traffic,
    used: Arc<Used>,
}

#[derive(Debug, Default)]
struct Used {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Default for Ceilings {
    /// Bounds nothing, for targets on this machine.
    fn default() -> Self {
        Self::new(u64::MAX, u64::MAX)
    }
}

impl Ceilings {
    /// Bounds requests and bytes.
    #[must_use]
    pub fn new(requests: u64, bytes: u64) -> Self {
        Self { most: Traffic { requests, bytes }, used: Arc::default() }
    }

    /// Returns which ceiling is reached when `running` is added to what earlier scenarios used.
    pub(crate) fn reached_by(&self, running: Traffic) -> Option<String> {
        let requests = self.used.requests.load(Ordering::Relaxed).saturating_add(running.requests);
        let bytes = self.used.bytes.load(Ordering::Relaxed).saturating_add(running.bytes);
        if requests >= self.most.requests {
            return Some(format!("{requests} requests were sent, the limit is {}", self.most.requests));
        }
        (bytes >= self.most.bytes)
            .then(|| format!("{bytes} bytes went to and fro, the limit is {}", self.most.bytes))
    }

    /// Adds what a scenario used.
    pub(crate) fn use_up(&self, traffic: Traffic) {
        self.used.requests.fetch_add(traffic.requests, Ordering::Relaxed);
        self.used.bytes.fetch_add(traffic.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_share_one_ceiling() {
        let ceilings = Ceilings::new(100, 1_000);

        assert_eq!(ceilings.reached_by(Traffic { requests: 99, bytes: 999 }), None);
        ceilings.clone().use_up(Traffic { requests: 60, bytes: 500 });

        let by_requests = ceilings.reached_by(Traffic { requests: 40, bytes: 0 }).unwrap();
        let by_bytes = ceilings.reached_by(Traffic { requests: 0, bytes: 501 }).unwrap();
        assert_eq!(by_requests, "100 requests were sent, the limit is 100");
        assert_eq!(by_bytes, "1001 bytes went to and fro, the limit is 1000");
        assert_eq!(ceilings.reached_by(Traffic { requests: 39, bytes: 499 }), None);
    }

    #[test]
    fn nothing_is_bounded_where_nobody_asks_for_it() {
        let huge = Traffic { requests: u64::MAX - 1, bytes: u64::MAX - 1 };

        assert_eq!(Ceilings::default().reached_by(huge), None);
    }
}
