//! A line is the place of one connection in a crew.
//!
//! It opens its connection when a request needs it, carries requests one at a time and settles each with exactly one
//! outcome.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::carrier::Carrier;
use super::codec::Answer;
use super::connection::{Deadline, Exchange, Failure};
use super::crew::Crew;
use super::echo::PREFIX_BYTES;
use super::engine::{Sleep, sleep, sleep_until};
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
    carrier: Carrier,
    deadline: Deadline,
    /// What is sent next, or was sent last.
    wire: Rc<Wire>,
    witness: Witness,
    failures: u32,
    /// Requests that the present connection has carried.
    carried: u32,
}

impl Line {
    /// Makes a line without a connection.
    pub(crate) fn new(crew: Rc<Crew>, number: usize) -> Self {
        let deadline = Deadline::new(crew.orders().timeout, clock::monotonic());
        let carrier = Carrier::new(&crew, number);
        let kept = crew.orders().echo.as_ref().map_or(0, |_| PREFIX_BYTES);
        let witness = Witness::under(crew.orders().target.answer_rules()).keeping(kept);
        Self { number, crew, carrier, deadline, wire: Rc::default(), witness, failures: 0, carried: 0 }
    }

    /// Returns whether the line has an open connection.
    pub(crate) fn is_open(&self) -> bool {
        self.carrier.is_open()
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
        self.rest_for(sleep(pause)).await;
    }

    /// Waits until an instant with an idle connection.
    pub(crate) async fn rest_until(&mut self, instant: Instant) {
        self.rest_for(sleep_until(instant)).await;
    }

    async fn rest_for(&mut self, mut wait: Sleep) {
        self.idle_until(|cx| Pin::new(&mut wait).poll(cx), || {}).await;
    }

    /// Opens a connection before a request needs it. A failure is charged to no request.
    pub(crate) async fn open_ahead(&mut self) {
        self.deadline.start(clock::monotonic());
        if self.carrier.get_ready(&mut self.deadline).await.is_err() {
            self.failures += 1;
        }
        self.carrier.stand_back();
    }

    /// Carries one request to its outcome; returns when that came.
    pub(crate) async fn carry(&mut self, intended_at: Instant, now: Instant) -> Instant {
        if self.crew.orders().hold.until(now).is_some() {
            return self.withhold(intended_at, now);
        }
        self.crew.take_on(self.number, intended_at);
        self.deadline.start(now);
        let mut times = Times { intended_at, sent_at: now, finished_at: now };
        if !self.carrier.is_ready() {
            if let Err(class) = self.carrier.get_ready(&mut self.deadline).await {
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
        self.rest_until(until.min(self.crew.ends_at())).await;
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
            if self.carrier.poll_broken(cx).is_ready() {
                self.carrier.close();
                on_close();
            }
            Poll::Pending
        })
        .await
    }

    async fn send(&mut self, chosen: Chosen, mut times: Times) -> Instant {
        let Self { number, crew, carrier, deadline, wire, witness, failures, .. } = self;
        let requests = wire.requests();
        crew.send_off(*number, times.intended_at, chosen.endpoint, requests.try_into().unwrap_or(u32::MAX));
        let mut answered = 0;
        let mut now;
        let is_usable = loop {
            let exchange = Exchange { wire, interest: chosen.interest, witness, deadline };
            let result = carrier.exchange(exchange, answered).await;
            now = clock::monotonic();
            // An answer that waited for this worker's turn was complete before.
            let arrived_at = result.ok().and_then(|_| carrier.arrived_at(times.sent_at));
            times.finished_at = arrived_at.unwrap_or(now);
            if let (Ok(_), Some(echo)) = (result, &crew.orders().echo) {
                echo.look(witness);
            }
            let judgement = judge(crew, *number, chosen, result.ok(), witness);
            let traffic = carrier.take_traffic();
            let endpoint = judgement.endpoint.unwrap_or(chosen.endpoint);
            crew.settle(result, judgement, endpoint, times, witness, traffic);
            if let Some(objection) = witness.take_objection() {
                crew.revoke(&objection);
            }
            answered += 1;
            let keeps_alive = result.is_ok_and(|answer| answer.keeps_alive);
            if keeps_alive && answered < requests {
                crew.answer_came(*number);
                continue;
            }
            let has_served = carrier.has_answered() || result == Err(Failure::Timeout);
            *failures = if keeps_alive || has_served { 0 } else { *failures + 1 };
            // What was sent behind an answer that ended the connection is lost with it.
            crew.lose(result.err(), chosen.endpoint, times, requests - answered);
            break keeps_alive;
        };
        self.carried = self.carried.saturating_add(requests.try_into().unwrap_or(u32::MAX));
        let is_worn = self.crew.orders().reconnect_every.is_some_and(|every| self.carried >= every.get());
        if !is_usable || is_worn {
            self.carrier.close();
            self.carried = 0;
        }
        self.crew.settled(self.number, now);
        now
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
    fn settle_too_late(&mut self, times: Times) -> Instant {
        self.carrier.stand_back();
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
