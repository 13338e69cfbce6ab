//! A crew is one worker's connections and what they share: orders, window, tally, and what is in flight.
//!
//! A request is in flight from the moment a line takes it on until it is settled. What still is when the crew is
//! dismissed is settled there, so nothing is ever lost.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::codec::Answer;
use super::connection::{Failure, ReadSpace};
use super::echo::EchoWatch;
use super::hold::Hold;
use super::http2::Place;
use super::moved::Moved;
use super::pacer::Window;
use super::stop::StopSignal;
use super::tally::{Tally, Times};
use super::tls::Tls;
use super::witness::Witness;
use crate::clock;
use crate::guard::{ClearedTarget, Revocation};
use crate::measurement::{Ending, OutcomeClass};
use crate::request::{Answered, Chosen, Endpoint, Judgement, RequestSource, SourceFailure, Wire};

/// What all lines of a run need to know.
pub(crate) struct Orders {
    /// Whom to load.
    pub(crate) target: ClearedTarget,
    /// How to speak TLS with it.
    pub(crate) tls: Option<Tls>,
    /// How many lines share a connection; `None` where each has its own, as HTTP/1.1 needs.
    pub(crate) lines_per_connection: Option<NonZeroUsize>,
    /// After how many requests a connection is closed and another one opened.
    pub(crate) reconnect_every: Option<NonZeroU32>,
    /// The latency from which an answer is slow for the breaker.
    pub(crate) slow_from: Option<Duration>,
    /// Ends the run early.
    pub(crate) stop: StopSignal,
    /// Until when the server asked to be left alone.
    pub(crate) hold: Hold,
    /// How long one request may take.
    pub(crate) timeout: Duration,
    /// What looks for secrets in answers, where secrets may be sent.
    pub(crate) echo: Option<Arc<EchoWatch>>,
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

    /// Counts one more.
    pub(crate) fn opened(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    /// Counts one less.
    pub(crate) fn closed(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a line has taken on: one request, or several that are sent together.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    intended_at: Instant,
    endpoint: Endpoint,
    /// Answers that are still to come.
    awaited: u32,
    is_sent: bool,
}

/// One worker's connections and what they share.
pub(crate) struct Crew {
    orders: Arc<Orders>,
    window: Window,
    /// When it stops sending, as soon as that is known.
    ends_at: Cell<Option<Instant>>,
    tally: RefCell<Tally>,
    source: RefCell<Box<dyn RequestSource>>,
    /// The places of shared connections, where the protocol has such.
    places: Vec<Rc<Place>>,
    /// Where connections that are not shared read into.
    pub(crate) space: ReadSpace,
    /// Whether asking the source takes no time worth measuring.
    pub(crate) source_is_instant: bool,
    /// Whether the source may ask lines to wait.
    pub(crate) may_pause: bool,
    /// Which of the target's addresses the source asks for, by its place among them.
    pub(crate) address: Option<usize>,
    in_flight: Vec<Cell<Option<Ticket>>>,
    /// Told when a request is settled after the end.
    settled: Notify,
    /// Told when the end comes earlier than planned.
    ended: Notify,
}

impl Crew {
    /// Gathers a crew with `connections`, none of them open.
    pub(crate) fn new(
        orders: Arc<Orders>,
        window: Window,
        tally: Tally,
        source: Box<dyn RequestSource>,
        connections: usize,
    ) -> Rc<Self> {
        let asked = source.address();
        let address = asked.and_then(|asked| orders.target.addresses().iter().position(|a| *a == asked));
        let place = |number| Place::new(Arc::clone(&orders), address, number);
        let places = match orders.lines_per_connection {
            Some(_) => (0..connections).map(place).collect(),
            None => Vec::new(),
        };
        let lines = connections * orders.lines_per_connection.map_or(1, NonZeroUsize::get);
        Rc::new(Self {
            places,
            space: ReadSpace::new(),
            source_is_instant: source.is_instant(),
            may_pause: source.may_pause(),
            address,
            source: RefCell::new(source),
            orders,
            window,
            ends_at: Cell::new(None),
            tally: RefCell::new(tally),
            in_flight: (0..lines).map(|_| Cell::new(None)).collect(),
            settled: Notify::new(),
            ended: Notify::new(),
        })
    }

    /// Returns when the crew stops sending.
    pub(crate) fn ends_at(&self) -> Instant {
        self.ends_at.get().unwrap_or_else(|| {
            if self.window.measured_from().is_some() {
                self.ends_at.set(Some(self.window.ends_at()));
            }
            self.window.ends_at()
        })
    }

    /// Stops sending earlier than planned.
    pub(crate) fn end_now(&self, now: Instant) {
        self.ends_at.set(Some(now.min(self.ends_at())));
        self.ended.notify_one();
    }

    /// Waits until the crew stops earlier than planned.
    pub(crate) async fn ended_early(&self) {
        self.ended.notified().await;
    }

    /// Returns what all lines of the run need to know.
    pub(crate) fn orders(&self) -> &Arc<Orders> {
        &self.orders
    }

    /// Returns the run's window.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Returns the place of the connection that a line shares with others; `None` where it has its own.
    pub(crate) fn place_of(&self, line: usize) -> Option<Rc<Place>> {
        let lines_per_connection = self.orders.lines_per_connection?;
        Some(Rc::clone(&self.places[line / lines_per_connection]))
    }

    /// Returns how many lines there are.
    pub(crate) fn lines(&self) -> usize {
        self.in_flight.len()
    }

    /// Asks the source what a line sends next; `None` where nothing more is to be sent.
    pub(crate) fn choose(&self, line: usize, wire: &mut Rc<Wire>) -> Option<Chosen> {
        let chosen = self.source.borrow_mut().next(line, wire);
        match chosen {
            Ok(Some(chosen)) if wire.requests() > 0 => return Some(chosen),
            Ok(Some(_)) => self.fail(&SourceFailure {
                what: "the source of requests gave an empty one".to_owned(),
                help: "report this as a bug: no source may do so".to_owned(),
            }),
            Ok(None) => self.end_now(clock::monotonic()),
            Err(failure) => self.fail(&failure),
        }
        None
    }

    /// Shows the source an answer.
    pub(crate) fn judge(&self, chosen: Chosen, answer: &Answered<'_>) -> Judgement {
        let judged = self.source.borrow_mut().answered(chosen, answer);
        let judgement = judged.unwrap_or_else(|failure| {
            self.fail(&failure);
            Judgement::default()
        });
        if judgement.stops_worker {
            self.end_now(clock::monotonic());
        }
        judgement
    }

    /// Asks the source how long a line waits before its next request.
    pub(crate) fn pause_of(&self, line: usize) -> Duration {
        if !self.may_pause {
            return Duration::ZERO;
        }
        let pause = self.source.borrow_mut().pause(line);
        pause.unwrap_or_else(|failure| {
            self.fail(&failure);
            Duration::ZERO
        })
    }

    /// Ends the whole run because the source cannot go on.
    fn fail(&self, failure: &SourceFailure) {
        self.end_now(clock::monotonic());
        self.orders.stop.stop(Ending::SourceFailed(failure.with_help()));
    }

    /// Ends every run against the target: it may not be loaded any more.
    pub(crate) fn revoke(&self, objection: &Revocation) {
        self.end_now(clock::monotonic());
        self.orders.stop.revoke(objection.to_string());
    }

    /// Gives a line its next request; it counts as in flight from here.
    pub(crate) fn take_on(&self, line: usize, intended_at: Instant) {
        let (endpoint, awaited) = (Endpoint::default(), 1);
        self.in_flight[line].set(Some(Ticket { intended_at, endpoint, awaited, is_sent: false }));
    }

    /// Notes that a line's requests leave, and when that should have been.
    pub(crate) fn send_off(&self, line: usize, intended_at: Instant, endpoint: Endpoint, awaited: u32) {
        self.in_flight[line].set(Some(Ticket { intended_at, endpoint, awaited, is_sent: true }));
        self.count(|tally| tally.note_sent(awaited.into()));
    }

    /// Notes that one of several answers came.
    pub(crate) fn answer_came(&self, line: usize) {
        if let Some(ticket) = self.in_flight[line].get() {
            let awaited = ticket.awaited.saturating_sub(1);
            self.in_flight[line].set(Some(Ticket { awaited, ..ticket }));
        }
    }

    /// Frees a line whose request has its outcome.
    pub(crate) fn settled(&self, line: usize, now: Instant) {
        self.in_flight[line].set(None);
        if now >= self.ends_at() {
            self.settled.notify_one();
        }
    }

    /// Counts with the crew's tally.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.borrow_mut());
    }

    /// Counts how one request ended.
    pub(crate) fn settle(
        &self,
        result: Result<Answer, Failure>,
        judgement: Judgement,
        endpoint: Endpoint,
        times: Times,
        witness: &Witness,
        traffic: Moved,
    ) {
        let tally = &mut *self.tally.borrow_mut();
        tally.note_traffic(traffic, times.intended_at);
        match result {
            Ok(answer) => {
                let class = class_of(answer.status, judgement, witness);
                tally.answered(class, endpoint, times);
                if witness.lacks_marker() {
                    tally.note_unmarked();
                }
                if class == OutcomeClass::RetryLater {
                    witness.each("retry-after", |field| self.orders.hold.ask(field, times.finished_at));
                } else if !class.is_error() {
                    witness.each("server-timing", |field| tally.note_server_timing(field, times.intended_at));
                }
            }
            Err(Failure::Timeout) => {
                tally.cut_off(OutcomeClass::Timeout, endpoint, times.intended_at, times.finished_at, 1);
            }
            Err(failure) => tally.failed(failure.class(), endpoint, times.intended_at, 1),
        }
    }

    /// Counts a good answer that nobody wanted to see.
    pub(crate) fn settle_plain(&self, endpoint: Endpoint, times: Times, traffic: Moved) {
        let tally = &mut *self.tally.borrow_mut();
        tally.note_traffic(traffic, times.intended_at);
        tally.answered(OutcomeClass::Success, endpoint, times);
    }

    /// Counts requests that were sent together with one whose end was the connection's end.
    pub(crate) fn lose(&self, failure: Option<Failure>, endpoint: Endpoint, times: Times, count: usize) {
        if count > 0 {
            let class = failure.map_or(OutcomeClass::Read, Failure::class);
            self.count(|tally| tally.failed(class, endpoint, times.intended_at, count as u64));
        }
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
            let count = u64::from(ticket.awaited);
            self.tally.borrow_mut().cut_off(class, ticket.endpoint, ticket.intended_at, now, count);
        }
    }

    /// Returns tally and source of the dismissed crew; all lines must be gone.
    pub(crate) fn dismiss(self: Rc<Self>) -> Option<(Tally, Box<dyn RequestSource>)> {
        Rc::into_inner(self).map(|crew| (crew.tally.into_inner(), crew.source.into_inner()))
    }
}

/// Returns what an answer counts as.
fn class_of(status: u16, judgement: Judgement, witness: &Witness) -> OutcomeClass {
    let class = OutcomeClass::of_status(status).expect("the codec lets no other status pass");
    if judgement.is_failed {
        OutcomeClass::Check
    } else if judgement.is_expected && class.is_error() {
        OutcomeClass::Expected
    } else if matches!(status, 429 | 503) && witness.headers().first("retry-after").is_some() {
        OutcomeClass::RetryLater
    } else {
        class
    }
}
