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
use super::connection::{Connection, Deadline, Exchange, Failure, open};
use super::crew::Crew;
use super::tally::Times;
use super::witness::Witness;
use crate::clock;
use crate::measurement::OutcomeClass;
use crate::request::{Answered, Chosen, Endpoint, Interest, Judgement, Wire};

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
    /// What is sent next, or was sent last.
    wire: Rc<Wire>,
    witness: Witness,
    attempts: usize,
    failures: u32,
}

impl Line {
    /// Makes a line without a connection.
    pub(crate) fn new(crew: Rc<Crew>, number: usize) -> Self {
        let deadline = Deadline::new(crew.orders().timeout, clock::monotonic());
        Self {
            number,
            crew,
            connection: None,
            deadline,
            wire: Rc::default(),
            witness: Witness::default(),
            attempts: number,
            failures: 0,
        }
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

    /// Waits for a while with an idle connection.
    pub(crate) async fn rest(&mut self, pause: Duration) {
        let mut wait = std::pin::pin!(sleep(pause));
        self.idle_until(|cx| wait.as_mut().poll(cx), || {}).await;
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
        if self.crew.orders().hold.until(now).is_some() {
            return self.withhold(intended_at, now);
        }
        self.crew.take_on(self.number, intended_at);
        self.deadline.start(now);
        let mut times = Times { intended_at, sent_at: now, finished_at: now };
        if self.connection.is_none() {
            if let Err(class) = self.open().await {
                return self.settle_unopened(intended_at, class);
            }
            self.delay_until_now(&mut times);
        }
        if times.sent_at >= self.crew.ends_at() {
            return self.settle_too_late(times);
        }
        let Some(chosen) = self.crew.choose(self.number, &mut self.wire) else {
            return self.settle_too_late(times);
        };
        if !self.crew.source_is_instant {
            self.delay_until_now(&mut times);
        }
        self.send(chosen, times).await
    }

    /// Settles a request that was due while the server asked to be left alone.
    fn withhold(&self, intended_at: Instant, now: Instant) -> Instant {
        self.crew.count(|tally| {
            tally.failed(OutcomeClass::RetryLater, Endpoint::default(), intended_at, 1);
        });
        self.crew.settled(self.number, now);
        now
    }

    /// Waits as long as the server asked to be left alone; returns whether it did.
    pub(crate) async fn wait_for_hold(&mut self, now: Instant) -> bool {
        let Some(until) = self.crew.orders().hold.until(now) else { return false };
        self.rest(until.min(self.crew.ends_at()).saturating_duration_since(now)).await;
        true
    }

    /// Moves the send to now; without a schedule a request is due when it can leave.
    fn delay_until_now(&self, times: &mut Times) {
        times.sent_at = clock::monotonic();
        if !self.crew.orders().is_scheduled {
            times.intended_at = times.sent_at;
        }
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

    async fn send(&mut self, chosen: Chosen, mut times: Times) -> Instant {
        let Self { number, crew, connection, deadline, wire, witness, failures, .. } = self;
        let connection = connection.as_mut().expect("carry opened it");
        let requests = wire.requests();
        crew.send_off(*number, times.intended_at, chosen.endpoint, requests.try_into().unwrap_or(u32::MAX));
        let mut answered = 0;
        let mut now;
        let is_usable = loop {
            let exchange = Exchange { wire, interest: chosen.interest, witness, deadline };
            let result = match answered {
                0 => connection.exchange(exchange).await,
                _ => connection.next_answer(exchange, answered).await,
            };
            now = clock::monotonic();
            // An answer that waited for this worker's turn was complete before.
            let arrived_at = result.ok().and_then(|_| connection.arrived_at(times.sent_at));
            times.finished_at = arrived_at.unwrap_or(now);
            let judgement = judge(crew, *number, chosen, result.ok(), witness);
            let traffic = connection.take_traffic();
            let endpoint = judgement.endpoint.unwrap_or(chosen.endpoint);
            crew.settle(result, judgement, endpoint, times, witness, traffic);
            answered += 1;
            let keeps_alive = result.is_ok_and(|answer| answer.keeps_alive);
            if keeps_alive && answered < requests {
                crew.answer_came(*number);
                continue;
            }
            let has_served = connection.has_answered || result == Err(Failure::Timeout);
            *failures = if keeps_alive || has_served { 0 } else { *failures + 1 };
            // What was sent behind an answer that ended the connection is lost with it.
            crew.lose(result.err(), chosen.endpoint, times, requests - answered);
            break keeps_alive;
        };
        if !is_usable {
            self.close();
        }
        self.crew.settled(self.number, now);
        now
    }

    async fn open(&mut self) -> Result<(), OutcomeClass> {
        self.attempts += 1;
        let orders = Arc::clone(self.crew.orders());
        let first = self.crew.address.unwrap_or(self.attempts - 1);
        // In the closed loop an answer's end is the next request's beginning, and only our own clock can say both.
        let is_stamped = orders.is_scheduled;
        let opening = open(&orders.target, first, orders.tls.as_ref(), is_stamped);
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
            self.crew.count(|tally| tally.cut_off(class, Endpoint::default(), intended_at, now, 1));
        } else {
            self.crew.count(|tally| tally.failed(class, Endpoint::default(), intended_at, 1));
            self.failures += 1;
        }
        self.crew.settled(self.number, now);
        now
    }

    /// Settles a request whose connection was ready only after the end: a scheduled one counts as unsent, in the
    /// closed loop it never became a request.
    fn settle_too_late(&self, times: Times) -> Instant {
        if self.crew.orders().is_scheduled {
            let (class, endpoint) = (OutcomeClass::Unsent, Endpoint::default());
            self.crew.count(|tally| tally.cut_off(class, endpoint, times.intended_at, times.sent_at, 1));
        }
        // Not the time of the send: the source may have ended the run since.
        let now = clock::monotonic();
        self.crew.settled(self.number, now);
        now
    }
}

/// Shows the source an answer that it wants to see.
fn judge(crew: &Crew, line: usize, chosen: Chosen, answer: Option<Answer>, witness: &Witness) -> Judgement {
    let Some(answer) = answer.filter(|_| chosen.interest > Interest::Nothing) else {
        return Judgement::default();
    };
    let (body, is_body_cut) = witness.seen_body();
    let seen = Answered { line, status: answer.status, headers: witness.headers(), body, is_body_cut };
    crew.judge(chosen, &seen)
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
    }
}
