//! A line is the place of one connection in a crew.
//!
//! It opens its connection when a request needs it, carries requests one at a time and settles each with exactly one
//! outcome.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::codec::Answer;
use super::connection::{Connection, Deadline, Failure, open};
use super::crew::Crew;
use super::tally::{Tally, Times};
use crate::clock;
use crate::measurement::OutcomeClass;

/// The pause after the first failure of a connection that never answered.
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);

/// The longest pause, so that a service that comes back is noticed soon.
const LONGEST_BACK_OFF: Duration = Duration::from_millis(500);

/// How many connections a worker begins to open in each millisecond: quick, but within any listen backlog.
const RAMP_PER_MILLISECOND: usize = 8;

/// The place of one connection in a crew.
pub(crate) struct Line {
    /// Its number in the crew.
    pub(crate) number: usize,
    crew: Rc<Crew>,
    connection: Option<Connection>,
    deadline: Deadline,
    attempts: usize,
    failures: u32,
}

impl Line {
    /// Makes a line without a connection.
    pub(crate) fn new(crew: Rc<Crew>, number: usize) -> Self {
        let deadline = Deadline::new(crew.orders().timeout, clock::monotonic());
        Self { number, crew, connection: None, deadline, attempts: number, failures: 0 }
    }

    /// Returns whether the line has an open connection.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    /// Waits for this line's turn in the ramp, so that a run does not begin with a burst of handshakes.
    pub(crate) async fn wait_for_turn(&self) {
        let milliseconds = (self.number / RAMP_PER_MILLISECOND) as u64;
        if milliseconds > 0 {
            sleep(Duration::from_millis(milliseconds)).await;
        }
    }

    /// Pauses after connections that failed without a single answer, so that a broken server is not hammered;
    /// returns whether it did.
    pub(crate) async fn back_off(&self) -> bool {
        if self.failures == 0 {
            return false;
        }
        let doublings = (self.failures - 1).min(16);
        sleep((FIRST_BACK_OFF * (1 << doublings)).min(LONGEST_BACK_OFF)).await;
        true
    }

    /// Opens a connection before a request needs it. A failure is charged to no request.
    pub(crate) async fn open_ahead(&mut self) {
        self.deadline.start(clock::monotonic());
        if self.open().await.is_err() {
            self.failures += 1;
        }
    }

    /// Carries one request to its outcome; returns when that came.
    pub(crate) async fn carry(&mut self, intended_at: Instant, now: Instant) -> Instant {
        self.crew.take_on(self.number, intended_at);
        self.deadline.start(now);
        let mut times = Times { intended_at, sent_at: now, finished_at: now };
        if self.connection.is_none() {
            if let Err(class) = self.open().await {
                return self.settle_unopened(intended_at, class);
            }
            times.sent_at = clock::monotonic();
            if !self.crew.orders().is_scheduled {
                times.intended_at = times.sent_at;
            }
            if times.sent_at >= self.crew.ends_at() {
                return self.settle_too_late(times);
            }
        }
        self.send(times).await
    }

    /// Waits for something while the connection is idle; a connection that the server closes meanwhile is dropped
    /// and `on_close` told of it.
    pub(crate) async fn idle_until<T>(
        &mut self,
        mut wake: impl FnMut(&mut Context<'_>) -> Poll<T>,
        on_close: impl Fn(),
    ) -> T {
        poll_fn(|cx| {
            if let Poll::Ready(value) = wake(cx) {
                return Poll::Ready(value);
            }
            if self.connection.as_mut().is_some_and(|open| open.poll_broken(cx).is_ready()) {
                self.close();
                on_close();
            }
            Poll::Pending
        })
        .await
    }

    async fn send(&mut self, mut times: Times) -> Instant {
        self.crew.send_off(self.number, times.intended_at);
        let connection = self.connection.as_mut().expect("carry opened it");
        let result = connection.exchange(self.crew.orders().wire.bytes(), &mut self.deadline).await;
        times.finished_at = clock::monotonic();
        self.crew.count(|tally| settle(tally, result, times));
        match result {
            Ok(answer) if answer.keeps_alive => self.failures = 0,
            _ => {
                let has_served = connection.has_answered || result == Err(Failure::Timeout);
                self.failures = if has_served { 0 } else { self.failures + 1 };
                self.close();
            }
        }
        self.crew.settled(self.number, times.finished_at);
        times.finished_at
    }

    async fn open(&mut self) -> Result<(), OutcomeClass> {
        self.attempts += 1;
        let orders = Arc::clone(self.crew.orders());
        let opening = open(&orders.target, self.attempts - 1, orders.tls.as_ref(), orders.is_head);
        let mut opening = std::pin::pin!(opening);
        let deadline = &mut self.deadline;
        let opened = poll_fn(|cx| match opening.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| OutcomeClass::Connect)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(OutcomeClass::Timeout)),
        });
        self.connection = Some(opened.await?);
        orders.open_connections.opened();
        Ok(())
    }

    fn close(&mut self) {
        if self.connection.take().is_some() {
            self.crew.orders().open_connections.closed();
        }
    }

    fn settle_unopened(&mut self, intended_at: Instant, class: OutcomeClass) -> Instant {
        let now = clock::monotonic();
        if class == OutcomeClass::Timeout {
            self.crew.count(|tally| tally.cut_off(class, intended_at, now, 1));
        } else {
            self.crew.count(|tally| tally.failed(class, intended_at));
            self.failures += 1;
        }
        self.crew.settled(self.number, now);
        now
    }

    /// Settles a request whose connection was ready only after the end: a scheduled one counts as unsent, in the
    /// closed loop it never became a request.
    fn settle_too_late(&self, times: Times) -> Instant {
        if self.crew.orders().is_scheduled {
            self.crew.count(|tally| tally.cut_off(OutcomeClass::Unsent, times.intended_at, times.sent_at, 1));
        }
        self.crew.settled(self.number, times.sent_at);
        times.sent_at
    }
}

fn settle(tally: &mut Tally, result: Result<Answer, Failure>, times: Times) {
    let intended_at = times.intended_at;
    match result {
        Ok(answer) => match OutcomeClass::of_status(answer.status) {
            Some(class) => tally.answered(class, times),
            None => tally.failed(OutcomeClass::Protocol, intended_at),
        },
        Err(Failure::Timeout) => tally.cut_off(OutcomeClass::Timeout, intended_at, times.finished_at, 1),
        Err(Failure::Write) => tally.failed(OutcomeClass::Write, intended_at),
        Err(Failure::Read) => tally.failed(OutcomeClass::Read, intended_at),
        Err(Failure::Protocol) => tally.failed(OutcomeClass::Protocol, intended_at),
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
    }
}
