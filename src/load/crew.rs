//! A crew is one worker's connections and what they share; a line is the place of one connection in it.
//!
//! A line opens its connection when a request needs it, carries requests one at a time and settles each with exactly
//! one outcome. What is still in flight when the crew is dismissed is settled there, so nothing is ever lost.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use super::connection::{Connection, Deadline, Failure, open};
use super::pacer::Window;
use super::tally::{Tally, Times};
use super::tls::Tls;
use crate::clock;
use crate::guard::ClearedTarget;
use crate::measurement::OutcomeClass;

/// The pause after the first failure of a connection that never answered.
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);

/// The longest pause, so that a service that comes back is noticed soon.
const LONGEST_BACK_OFF: Duration = Duration::from_millis(500);

/// How many connections a worker begins to open in each millisecond: quick, but within any listen backlog.
const RAMP_PER_MILLISECOND: usize = 8;

/// What all lines of a run need to know.
pub(crate) struct Orders {
    /// Whom to load.
    pub(crate) target: ClearedTarget,
    /// How to speak TLS with it.
    pub(crate) tls: Option<Tls>,
    /// The request as it is sent.
    pub(crate) wire: Vec<u8>,
    /// Whether the request is a HEAD.
    pub(crate) is_head: bool,
    /// How long one request may take.
    pub(crate) timeout: Duration,
    /// Whether requests are due by a schedule.
    pub(crate) is_scheduled: bool,
    /// The connections that are open, and the most that were open at once.
    pub(crate) open_connections: OpenConnections,
}

/// Counts open connections over all workers.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    now: AtomicU32,
    most: AtomicU32,
}

impl OpenConnections {
    /// Returns the most that were open at once.
    pub(crate) fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }

    fn opened(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn closed(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that a line has taken on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    /// When it should be sent.
    pub(crate) intended_at: Instant,
    /// Whether it has been sent.
    pub(crate) is_sent: bool,
}

/// One worker's connections and what they share.
pub(crate) struct Crew {
    orders: Arc<Orders>,
    window: Window,
    ends_at: Cell<Instant>,
    tally: RefCell<Tally>,
    in_flight: Vec<Cell<Option<Ticket>>>,
    /// Told when a request is settled after the end.
    settled: Notify,
}

impl Crew {
    /// Gathers a crew of `lines` connections, none of them open.
    pub(crate) fn new(orders: Arc<Orders>, window: Window, tally: Tally, lines: usize) -> Rc<Self> {
        Rc::new(Self {
            orders,
            window,
            ends_at: Cell::new(window.ends_at),
            tally: RefCell::new(tally),
            in_flight: (0..lines).map(|_| Cell::new(None)).collect(),
            settled: Notify::new(),
        })
    }

    /// Returns when the crew stops sending.
    pub(crate) fn ends_at(&self) -> Instant {
        self.ends_at.get()
    }

    /// Stops sending earlier than planned.
    pub(crate) fn end_now(&self, now: Instant) {
        self.ends_at.set(now.min(self.ends_at.get()));
    }

    /// Returns the run's window.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Returns how many lines there are.
    pub(crate) fn lines(&self) -> usize {
        self.in_flight.len()
    }

    /// Gives a line its next request; it counts as in flight from here.
    pub(crate) fn take_on(&self, line: usize, intended_at: Instant) {
        self.in_flight[line].set(Some(Ticket { intended_at, is_sent: false }));
    }

    /// Notes how late a request left although a connection was free.
    pub(crate) fn note_lateness(&self, intended_at: Instant, sent_at: Instant) {
        self.tally.borrow_mut().note_lateness(intended_at, sent_at);
    }

    /// Counts requests that were due and never taken on.
    pub(crate) fn count_unsent(&self, intended_at: Instant, at: Instant, count: u64) {
        self.tally.borrow_mut().cut_off(OutcomeClass::Unsent, intended_at, at, count);
    }

    /// Waits until nothing is in flight.
    pub(crate) async fn quiet(&self) {
        while self.in_flight.iter().any(|ticket| ticket.get().is_some()) {
            self.settled.notified().await;
        }
    }

    /// Settles what is still in flight.
    pub(crate) fn give_up(&self, now: Instant) {
        for ticket in self.in_flight.iter().filter_map(Cell::take) {
            let class = if ticket.is_sent { OutcomeClass::Unanswered } else { OutcomeClass::Unsent };
            self.tally.borrow_mut().cut_off(class, ticket.intended_at, now, 1);
        }
    }

    /// Returns the tally of the dismissed crew; all lines must be gone.
    pub(crate) fn into_tally(self: Rc<Self>) -> Option<Tally> {
        Rc::into_inner(self).map(|crew| crew.tally.into_inner())
    }
}

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
        let deadline = Deadline::new(crew.orders.timeout, clock::monotonic());
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
            if !self.crew.orders.is_scheduled {
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
        let crew = &*self.crew;
        crew.in_flight[self.number].set(Some(Ticket { intended_at: times.intended_at, is_sent: true }));
        let connection = self.connection.as_mut().expect("carry opened it");
        let result = connection.exchange(&crew.orders.wire, &mut self.deadline).await;
        times.finished_at = clock::monotonic();
        let mut tally = crew.tally.borrow_mut();
        match result {
            Ok(answer) => match OutcomeClass::of_status(answer.status) {
                Some(class) => tally.answered(class, times),
                None => tally.failed(OutcomeClass::Protocol, times.intended_at),
            },
            Err(Failure::Timeout) => {
                tally.cut_off(OutcomeClass::Timeout, times.intended_at, times.finished_at, 1);
            }
            Err(Failure::Write) => tally.failed(OutcomeClass::Write, times.intended_at),
            Err(Failure::Read) => tally.failed(OutcomeClass::Read, times.intended_at),
            Err(Failure::Protocol) => tally.failed(OutcomeClass::Protocol, times.intended_at),
        }
        drop(tally);
        if !result.is_ok_and(|answer| answer.keeps_alive) {
            let is_service = connection.has_answered || result == Err(Failure::Timeout);
            self.failures = if is_service { 0 } else { self.failures + 1 };
            self.close();
        } else if self.failures > 0 {
            self.failures = 0;
        }
        self.settled(times.finished_at);
        times.finished_at
    }

    async fn open(&mut self) -> Result<(), OutcomeClass> {
        self.attempts += 1;
        let orders = Arc::clone(&self.crew.orders);
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
            self.crew.orders.open_connections.closed();
        }
    }

    fn settle_unopened(&mut self, intended_at: Instant, class: OutcomeClass) -> Instant {
        let now = clock::monotonic();
        let mut tally = self.crew.tally.borrow_mut();
        if class == OutcomeClass::Timeout {
            tally.cut_off(class, intended_at, now, 1);
        } else {
            tally.failed(class, intended_at);
            self.failures += 1;
        }
        drop(tally);
        self.settled(now);
        now
    }

    /// Settles a request whose connection was ready only after the end: a scheduled one counts as unsent, in the
    /// closed loop it never became a request.
    fn settle_too_late(&self, times: Times) -> Instant {
        if self.crew.orders.is_scheduled {
            self.crew.count_unsent(times.intended_at, times.sent_at, 1);
        }
        self.settled(times.sent_at);
        times.sent_at
    }

    fn settled(&self, now: Instant) {
        self.crew.in_flight[self.number].set(None);
        if now >= self.crew.ends_at() {
            self.crew.settled.notify_one();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
    }
}
