//! The ramp: how a worker's lines join at the start of a run, so that it does not begin with a burst of connections.
//!
//! A server accepts connections beside its other work. One that is kept busy by the lines before may leave so many
//! unaccepted that its kernel drops what else comes, and then answers seconds later. So only some lines at a time may
//! wait for their first answer; those that wait long for it are taken for a slow service's, and make room.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::engine::timeout;
use crate::clock;

/// How many lines of a worker begin in each millisecond: quick, but no burst.
const PER_MILLISECOND: usize = 8;

/// How many lines of all workers together may await their first answer: as many connections as the shortest usual
/// backlog holds.
const MOST_UNPROVEN: usize = 128;

/// After so long a line makes room for another one, answered or not: where every answer takes its time, 256 connections
/// are opened in a second.
const PATIENCE: Duration = Duration::from_millis(500);

/// The ramp of one worker.
#[derive(Debug)]
pub(crate) struct Ramp {
    most: usize,
    /// Lines that await their first answer, and since when, the first one first.
    unproven: RefCell<VecDeque<(usize, Instant)>>,
    changed: Notify,
}

/// The admission of a line that has not had an answer yet. Whatever becomes of its first request, it is to be dropped
/// then.
#[derive(Debug)]
pub(crate) struct Admission {
    ramp: Rc<Ramp>,
    line: usize,
}

impl Ramp {
    /// Makes the ramp of one of so many workers.
    pub(crate) fn new(workers: u32) -> Rc<Self> {
        let most = (MOST_UNPROVEN / workers.max(1) as usize).max(1);
        Rc::new(Self { most, unproven: RefCell::default(), changed: Notify::new() })
    }

    /// Returns how long after the start a line's turn comes.
    pub(crate) fn turn_of(line: usize) -> Duration {
        Duration::from_millis((line / PER_MILLISECOND) as u64)
    }

    /// Waits until a line whose turn has come may begin.
    pub(crate) async fn admit(self: Rc<Self>, line: usize) -> Admission {
        while let Some(wait) = self.wait_at(line, clock::monotonic()) {
            timeout(wait, self.changed.notified()).await;
        }
        Admission { ramp: self, line }
    }

    /// Admits a line, or returns how long it has to wait for that at most.
    fn wait_at(&self, line: usize, now: Instant) -> Option<Duration> {
        let mut unproven = self.unproven.borrow_mut();
        if unproven.len() >= self.most {
            let since = unproven.front().map_or(now, |&(_, since)| since);
            let wait = PATIENCE.saturating_sub(now.saturating_duration_since(since));
            if !wait.is_zero() {
                return Some(wait);
            }
            unproven.pop_front();
        }
        unproven.push_back((line, now));
        None
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.ramp.unproven.borrow_mut().retain(|&(line, _)| line != self.line);
        self.ramp.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn so_many_lines_may_await_their_first_answer_and_each_answer_admits_one() {
        let (ramp, now) = (Ramp::new(64), clock::monotonic());
        assert_eq!((ramp.wait_at(0, now), ramp.wait_at(1, now + 10 * MS)), (None, None));
        assert_eq!(ramp.wait_at(2, now + 10 * MS), Some(PATIENCE - 10 * MS));

        drop(Admission { ramp: Rc::clone(&ramp), line: 1 });

        assert_eq!(ramp.wait_at(2, now + 10 * MS), None);
        assert!(ramp.wait_at(3, now + 10 * MS).is_some());
    }

    #[test]
    fn a_line_that_waits_long_for_its_answer_makes_room_for_one() {
        let (ramp, now) = (Ramp::new(128), clock::monotonic());
        assert_eq!(ramp.wait_at(0, now), None);

        assert_eq!(ramp.wait_at(1, now + PATIENCE), None);

        assert_eq!(ramp.wait_at(2, now + PATIENCE), Some(PATIENCE));
        // Its late answer admits nobody a second time.
        drop(Admission { ramp: Rc::clone(&ramp), line: 0 });
        assert!(ramp.wait_at(2, now + PATIENCE).is_some());
    }

    #[test]
    fn more_workers_than_places_have_one_each() {
        let (ramp, now) = (Ramp::new(1_000), clock::monotonic());

        assert_eq!(ramp.wait_at(0, now), None);
        assert!(ramp.wait_at(1, now).is_some());
    }
}
