//! A line is the place of one connection in a crew.
//!
//! It opens its connection when a request needs it, carries requests one at a time and settles each with exactly one
//! outcome.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::carrier::Carrier;
use super::codec::Answer;
use super::connection::{Exchange, Failure};
use super::crew::Crew;
use super::deadline::Deadline;
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

/// How many connections a worker begins to open in each millisecond: quick, but no burst.
const RAMP_PER_MILLISECOND: usize = 8;

/// As many connections may wait to be accepted where the backlog is short.
const SHORT_BACKLOG: usize = 128;

/// What a line has sent and awaits answers to.
struct Trip {
    chosen: Chosen,
    times: Times,
    requests: usize,
    answered: usize,
}

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
    /// Whether requests may follow each other with nothing to ask or to wait for between.
    is_free: bool,
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
        Self {
            number,
            crew,
            carrier,
            deadline,
            wire: Rc::default(),
            witness,
            failures: 0,
            is_free: false,
            carried: 0,
        }
    }

    /// Says whether requests may follow each other with nothing to ask or to wait for between.
    pub(crate) fn freely(mut self, is_free: bool) -> Self {
        self.is_free = is_free && self.crew.orders().reconnect_every.is_none();
        self
    }

    /// Returns whether the line has an open connection.
    pub(crate) fn is_open(&self) -> bool {
        self.carrier.is_open()
    }

    /// Waits for this line's turn in the ramp, so that a run does not begin with a burst of handshakes.
    pub(crate) async fn wait_for_turn(&self) {
        let wait = share_of_ramp(self.number);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// Does the same in the closed loop, where lines begin to send as soon as they can: many open their connections
    /// first, all of them, and then begin one by one. A server that is kept busy by the first ones accepts few others
    /// meanwhile, and what overflows its backlog is answered seconds later.
    pub(crate) async fn wait_for_turn_with_open_connection(&mut self) {
        let began_at = clock::monotonic().max(self.crew.window().starts_at());
        let due_at = began_at + share_of_ramp(self.crew.lines()) + share_of_ramp(self.number);
        self.wait_for_turn().await;
        if self.crew.lines() > SHORT_BACKLOG {
            self.open_ahead(Some(due_at)).await;
            self.rest_until(due_at).await;
        }
    }

    /// Returns how long to pause after connections that failed without a single answer, so that a broken server is
    /// not hammered; `None` where the last one did not.
    pub(crate) fn back_off(&self) -> Option<Sleep> {
        let doublings = self.failures.checked_sub(1)?.min(16);
        Some(sleep((FIRST_BACK_OFF * (1 << doublings)).min(LONGEST_BACK_OFF)))
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

    /// Opens a connection before a request needs it. A failure is charged to no request; but where one is due before
    /// that has ended, what lasts longer is part of it.
    pub(crate) async fn open_ahead(&mut self, due_at: Option<Instant>) {
        let (mut overdue_since, mut due) = (None, due_at.map(sleep_until));
        let opened = {
            let Self { number, crew, carrier, deadline, .. } = &mut *self;
            deadline.start(clock::monotonic());
            let mut opening = pin!(carrier.get_ready(deadline));
            poll_fn(|cx| {
                let opened = opening.as_mut().poll(cx);
                if opened.is_pending()
                    && let Some(timer) = &mut due
                    && Pin::new(timer).poll(cx).is_ready()
                {
                    overdue_since = due_at.inspect(|due_at| crew.take_on(*number, *due_at));
                    due = None;
                }
                opened
            })
            .await
        };
        match (opened, overdue_since) {
            (Err(class), Some(due_at)) => {
                self.settle_unopened(due_at, class);
            }
            (Err(_), None) => self.failures += 1,
            (Ok(()), Some(_)) => self.crew.settled(self.number, clock::monotonic()),
            (Ok(()), None) => {}
        }
        self.carrier.stand_back();
    }

    /// Carries one request, or several that are sent together, to the outcome; returns when that came. A line that is
    /// free goes on while answers are the same again and again.
    pub(crate) async fn carry(&mut self, intended_at: Instant, now: Instant) -> Instant {
        if self.crew.orders().hold.until(now).is_some() {
            return self.withhold(intended_at, now);
        }
        self.deadline.start(now);
        let mut times = Times { intended_at, sent_at: now, finished_at: now };
        if !self.carrier.is_ready() {
            self.crew.take_on(self.number, intended_at);
            if let Err(class) = self.carrier.get_ready(&mut self.deadline).await {
                return self.settle_unopened(intended_at, class);
            }
            self.delay_until_now(&mut times);
        }
        let Some(mut trip) = self.depart(times) else { return self.settle_too_late(times) };
        if self.is_free
            && let Some(now) = poll_fn(|cx| self.poll_refrain(cx, &mut trip)).await
        {
            return now;
        }
        loop {
            let Self { carrier, wire, witness, deadline, .. } = self;
            let exchange = Exchange { wire, interest: trip.chosen.interest, witness, deadline };
            let result = carrier.exchange(exchange, trip.answered).await;
            if let Some(now) = self.settle(&mut trip, result) {
                return now;
            }
        }
    }

    /// Carries one request after the other while every answer says the same as the last one and nobody wants to see
    /// it, which is what a load of one kind of request mostly is. All else that may happen is left to the usual way,
    /// in the middle of a request if need be: then it is ready with nothing, and else with the time at which the last
    /// answer came.
    fn poll_refrain(&mut self, cx: &mut Context<'_>, trip: &mut Trip) -> Poll<Option<Instant>> {
        loop {
            let Self { crew, carrier, wire, deadline, .. } = self;
            let is_plain =
                trip.requests == 1 && trip.chosen.interest == Interest::Nothing && !wire.is_head(0);
            let connection = carrier.connection().filter(|open| is_plain && open.is_repetitive());
            let Some(connection) = connection else { return Poll::Ready(None) };
            match connection.poll_same_again(cx, wire.bytes()) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => return deadline.poll(cx).map(|()| None),
            }
            let now = clock::monotonic();
            trip.times.finished_at = now;
            crew.settle_plain(trip.chosen.endpoint, trip.times, connection.take_traffic());
            if crew.orders().hold.until(now).is_some() {
                crew.settled(self.number, now);
                return Poll::Ready(Some(now));
            }
            deadline.start(now);
            let times = Times { intended_at: now, sent_at: now, finished_at: now };
            let Some(next) = self.depart(times) else {
                return Poll::Ready(Some(self.settle_too_late(times)));
            };
            *trip = next;
        }
    }

    /// Chooses what is sent and begins to send it; `None` where that would be after the end, or there is nothing more.
    fn depart(&mut self, mut times: Times) -> Option<Trip> {
        if times.sent_at >= self.crew.ends_at() {
            return None;
        }
        let chosen = self.crew.choose(self.number, &mut self.wire)?;
        if !self.crew.source_is_instant {
            self.delay_until_now(&mut times);
        }
        let requests = self.wire.requests();
        let awaited = requests.try_into().unwrap_or(u32::MAX);
        self.crew.send_off(self.number, times.intended_at, chosen.endpoint, awaited);
        self.carrier.begin(&self.wire);
        Some(Trip { chosen, times, requests, answered: 0 })
    }

    /// Gives a request its outcome; returns when that came where it was the last one that was sent, or was to be.
    fn settle(&mut self, trip: &mut Trip, result: Result<Answer, Failure>) -> Option<Instant> {
        let Self { number, crew, carrier, witness, .. } = self;
        let Trip { chosen, times, requests, answered } = trip;
        let now = clock::monotonic();
        // An answer that waited for this worker's turn was complete before.
        let arrived_at = result.ok().and_then(|_| carrier.arrived_at(times.sent_at));
        times.finished_at = arrived_at.unwrap_or(now);
        if let (Ok(_), Some(echo)) = (result, &crew.orders().echo) {
            echo.look(witness);
        }
        let judgement = judge(crew, *number, *chosen, result.ok(), witness);
        let traffic = carrier.take_traffic();
        let endpoint = judgement.endpoint.unwrap_or(chosen.endpoint);
        crew.settle(result, judgement, endpoint, *times, witness, traffic);
        if let Some(objection) = witness.take_objection() {
            crew.revoke(&objection);
        }
        *answered += 1;
        let keeps_alive = result.is_ok_and(|answer| answer.keeps_alive);
        if keeps_alive && *answered < *requests {
            crew.answer_came(*number);
            return None;
        }
        self.arrive(trip, result, keeps_alive);
        self.crew.settled(self.number, now);
        Some(now)
    }

    /// Ends what was sent together; closes a connection that cannot, or is not to, carry more.
    fn arrive(&mut self, trip: &Trip, result: Result<Answer, Failure>, keeps_alive: bool) {
        let has_served = keeps_alive || self.carrier.has_answered() || result == Err(Failure::Timeout);
        self.failures = if has_served { 0 } else { self.failures + 1 };
        // What was sent behind an answer that ended the connection is lost with it.
        self.crew.lose(result.err(), trip.chosen.endpoint, trip.times, trip.requests - trip.answered);
        self.carried = self.carried.saturating_add(trip.requests.try_into().unwrap_or(u32::MAX));
        let is_worn = self.crew.orders().reconnect_every.is_some_and(|every| self.carried >= every.get());
        if !keeps_alive || is_worn {
            self.carrier.close();
            self.carried = 0;
        }
    }

    /// Settles a request that was due while the server asked to be left alone.
    fn withhold(&self, intended_at: Instant, now: Instant) -> Instant {
        self.crew.count(|tally| {
            tally.failed(OutcomeClass::RetryLater, Endpoint::default(), intended_at, 1);
        });
        self.crew.settled(self.number, now);
        now
    }

    /// Returns until when the server asked to be left alone, where it did.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        let until = self.crew.orders().hold.until(now)?;
        Some(until.min(self.crew.ends_at()))
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

/// Returns how long after the first line another one has its turn.
fn share_of_ramp(line: usize) -> Duration {
    Duration::from_millis((line / RAMP_PER_MILLISECOND) as u64)
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
