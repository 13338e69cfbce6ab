//! A place is where the connection of some lines is: there is one, one is being opened, or there is none.
//!
//! Whichever line needs a connection first has it opened; the others wait for the same one, and share its failure.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::Notify;

use super::greeting::{Driver, greet};
use super::outbox::Outbox;
use super::traffic::Counted;
use super::{Connection, Taken};
use crate::load::connection::{self, Failure};
use crate::load::crew::Orders;
use crate::load::engine::{AbortHandle, spawn, timeout};
use crate::load::moved::Moved;
use crate::measurement::OutcomeClass;

/// The place of one connection.
pub(crate) struct Place {
    orders: Arc<Orders>,
    state: RefCell<State>,
    /// Told when an opening has ended, either way.
    settled: Notify,
    /// The address that the source of requests wants to begin with.
    address: Option<usize>,
    /// How many openings have begun.
    attempts: Cell<usize>,
    /// The last opening that failed, and as what.
    failed: Cell<Option<(usize, OutcomeClass)>>,
    /// Bytes that went over the wire and were not asked for yet.
    traffic: Rc<Cell<Moved>>,
}

enum State {
    Empty,
    Opening(AbortHandle),
    Open(Rc<Connection>),
}

/// A counted open connection; dropping it counts it as closed.
struct Opened(Arc<Orders>);

impl Place {
    /// Makes an empty place; without an `address` to begin with, its attempts take turns from `first_attempt`.
    pub(crate) fn new(orders: Arc<Orders>, address: Option<usize>, first_attempt: usize) -> Rc<Self> {
        Rc::new(Self {
            orders,
            address,
            state: RefCell::new(State::Empty),
            settled: Notify::new(),
            attempts: Cell::new(first_attempt),
            failed: Cell::new(None),
            traffic: Rc::default(),
        })
    }

    /// Returns whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.state.borrow(), State::Open(_))
    }

    /// Returns the scheme of what is sent from here.
    pub(super) fn scheme(&self) -> &'static str {
        if self.orders.tls.is_some() { "https" } else { "http" }
    }

    /// Returns the bytes sent and received since this was asked last.
    pub(super) fn take_traffic(&self) -> Moved {
        self.traffic.take()
    }

    /// Takes a stream where a request can leave at once.
    pub(super) fn take_stream(&self) -> Option<Taken> {
        let (open, room) = self.usable()?;
        open.take_stream(room)
    }

    /// Waits for a stream on which a request can leave.
    pub(super) async fn wait_for_stream(self: &Rc<Self>) -> Result<Taken, OutcomeClass> {
        loop {
            let (open, room) = self.connection().await?;
            if let Some(taken) = open.take_stream(room) {
                return Ok(taken);
            }
            // None comes where the connection is gone by then; the next one may have some.
            if let Some(taken) = open.wait_for_stream().await {
                return Ok(taken);
            }
        }
    }

    /// Gives up a connection that seems dead. Whoever still waits for an answer on it may do so.
    pub(super) fn retire(&self, connection: &Rc<Connection>) {
        let mut state = self.state.borrow_mut();
        if matches!(&*state, State::Open(open) if Rc::ptr_eq(open, connection)) {
            *state = State::Empty;
        }
    }

    /// Returns the connection, opened where there is none, and how many more streams there may be on it now.
    async fn connection(self: &Rc<Self>) -> Result<(Rc<Connection>, usize), OutcomeClass> {
        loop {
            if let Some(open) = self.usable() {
                return Ok(open);
            }
            let attempt = self.begin_opening();
            self.settled.notified().await;
            match self.failed.get() {
                Some((failed, class)) if failed == attempt => return Err(class),
                _ => {}
            }
        }
    }

    fn usable(&self) -> Option<(Rc<Connection>, usize)> {
        let mut state = self.state.borrow_mut();
        let State::Open(open) = &*state else { return None };
        // What is on its way then may arrive; the next request has another connection.
        let is_worn =
            self.orders.reconnect_every.is_some_and(|every| open.answers.get() >= every.get().into());
        if !is_worn && let Some(room) = open.room() {
            return Some((Rc::clone(open), room));
        }
        *state = State::Empty;
        None
    }

    /// Begins to open a connection unless that is under way; returns the number of the attempt.
    fn begin_opening(self: &Rc<Self>) -> usize {
        if matches!(*self.state.borrow(), State::Empty) {
            self.attempts.set(self.attempts.get() + 1);
            let keeper = spawn(Rc::clone(self).keep(self.attempts.get()));
            *self.state.borrow_mut() = State::Opening(keeper);
        }
        self.attempts.get()
    }

    /// Opens a connection and drives it until its end.
    async fn keep(self: Rc<Self>, attempt: usize) {
        let first = self.address.unwrap_or(attempt - 1);
        let outbox = Rc::new(Outbox::new(!self.orders.is_scheduled));
        let opening = open(&self.orders, first, Rc::clone(&self.traffic), Rc::clone(&outbox));
        let opened = timeout(self.orders.timeout, opening).await.unwrap_or(Err(OutcomeClass::Timeout));
        let state = self.state.replace(State::Empty);
        let (requests, driver, State::Opening(keeper)) = (match opened {
            Ok((requests, driver)) => (requests, driver, state),
            Err(class) => {
                self.failed.set(Some((attempt, class)));
                self.settled.notify_waiters();
                return;
            }
        }) else {
            return;
        };
        let connection = Rc::new(Connection::new(requests, outbox, keeper));
        let itself = Rc::downgrade(&connection);
        *self.state.borrow_mut() = State::Open(connection);
        self.settled.notify_waiters();
        let _counted = Opened::count(&self.orders);
        // How it ended is told to every stream; the connection itself has nobody to tell.
        let _ = driver.await;
        self.forget(&itself);
    }

    fn forget(&self, gone: &Weak<Connection>) {
        if let Some(gone) = gone.upgrade() {
            self.retire(&gone);
            gone.freed.notify_waiters();
        }
    }
}

async fn open(
    orders: &Orders,
    attempt: usize,
    traffic: Rc<Cell<Moved>>,
    outbox: Rc<Outbox>,
) -> Result<(h2::client::SendRequest<bytes::Bytes>, Driver<Counted>), OutcomeClass> {
    let opening = connection::open(&orders.target, attempt, orders.tls.as_ref());
    let stream = opening.await.map_err(|_| OutcomeClass::Connect)?;
    // Without TLS nothing can be agreed on; with it, a server that did not agree would not understand a word.
    if orders.tls.is_some() && !stream.is_http2() {
        return Err(OutcomeClass::Connect);
    }
    greet(Counted::new(stream, traffic, outbox, orders.stop.clone())).await.map_err(|failure| match failure {
        Failure::Protocol => OutcomeClass::Protocol,
        _ => OutcomeClass::Connect,
    })
}

impl Opened {
    fn count(orders: &Arc<Orders>) -> Self {
        orders.open_connections.opened();
        Self(Arc::clone(orders))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open_connections.closed();
    }
}
