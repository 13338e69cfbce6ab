//! A crew is one worker's connections and what they share: orders, window, tally, and what is in flight.
//!
//! A request is in flight from the moment a line takes it on until it is settled. What still is when the crew is
//! dismissed is settled there, so nothing is ever lost.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::pacer::Window;
use super::tally::Tally;
use super::tls::Tls;
use crate::guard::ClearedTarget;
use crate::measurement::OutcomeClass;
use crate::request::Wire;

/// What all lines of a run need to know.
pub(crate) struct Orders {
    /// Whom to load.
    pub(crate) target: ClearedTarget,
    /// How to speak TLS with it.
    pub(crate) tls: Option<Tls>,
    /// The request as it is sent.
    pub(crate) wire: Wire,
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

/// A request that a line has taken on.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    intended_at: Instant,
    is_sent: bool,
}

/// One worker's connections and what they share.
pub(crate) struct Crew {
    orders: Arc<Orders>,
    window: Window,
    /// When it stops sending, where that is before the end of the window.
    stops_at: Cell<Option<Instant>>,
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
            stops_at: Cell::new(None),
            tally: RefCell::new(tally),
            in_flight: (0..lines).map(|_| Cell::new(None)).collect(),
            settled: Notify::new(),
        })
    }

    /// Returns when the crew stops sending.
    pub(crate) fn ends_at(&self) -> Instant {
        let ends_at = self.window.ends_at();
        self.stops_at.get().map_or(ends_at, |stops_at| stops_at.min(ends_at))
    }

    /// Stops sending earlier than planned.
    pub(crate) fn end_now(&self, now: Instant) {
        self.stops_at.set(Some(now.min(self.ends_at())));
    }

    /// Returns what all lines of the run need to know.
    pub(crate) fn orders(&self) -> &Arc<Orders> {
        &self.orders
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

    /// Notes that a line's request leaves, and when that should have been.
    pub(crate) fn send_off(&self, line: usize, intended_at: Instant) {
        self.in_flight[line].set(Some(Ticket { intended_at, is_sent: true }));
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
