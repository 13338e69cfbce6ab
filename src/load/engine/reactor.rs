//! The reactor waits for sockets and timers, and wakes who waits for them.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll as Poller, Registry, Token};
use slab::Slab;

use super::timers::{Clockwork, Timers};
use crate::clock;

/// Events that are taken from the system at once.
const EVENTS: usize = 1024;

/// Reads that a task may make in one turn, so that a flood of data on one socket starves no other.
const READS_IN_A_TURN: u32 = 64;

const BELL: Token = Token(usize::MAX);
pub(super) const CLOCK: Token = Token(usize::MAX - 1);

/// Waits for what comes from outside.
pub(super) struct Reactor {
    poller: RefCell<(Poller, Events)>,
    registry: Registry,
    clockwork: Clockwork,
    sources: RefCell<Slab<Rc<Readiness>>>,
    has_rung: Cell<bool>,
    reads: Cell<u32>,
    idle: Cell<Duration>,
}

/// What a socket is ready for, as far as is known, and who waits for that.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    key: usize,
    read: Half,
    write: Half,
}

/// One direction of a socket.
#[derive(Debug, Default)]
struct Half {
    is_ready: Cell<bool>,
    /// Nothing more will come, so it stays ready.
    is_over: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

/// Calls an engine from its wait.
pub(super) struct Bell(mio::Waker);

impl Bell {
    /// Rings, from whichever thread. An engine that is gone hears nothing.
    pub(super) fn ring(&self) {
        // It fails only where the system has no room for a counter of one.
        let _ = self.0.wake();
    }
}

impl Reactor {
    /// Makes a reactor without sockets, and its bell.
    pub(super) fn new() -> io::Result<(Self, Bell)> {
        let poller = Poller::new()?;
        let registry = poller.registry().try_clone()?;
        let bell = Bell(mio::Waker::new(&registry, BELL)?);
        let reactor = Self {
            clockwork: Clockwork::new(&registry)?,
            poller: RefCell::new((poller, Events::with_capacity(EVENTS))),
            registry,
            sources: RefCell::default(),
            has_rung: Cell::new(false),
            reads: Cell::new(0),
            idle: Cell::new(Duration::ZERO),
        };
        Ok((reactor, bell))
    }

    /// Takes what has come; waits for something where it may.
    pub(super) fn turn(&self, timers: &Timers, may_wait: bool) -> io::Result<()> {
        // Timers fire on time however busy the tasks are.
        let limit = self.clockwork.limit_of_wait(timers)?;
        let limit = if may_wait { limit } else { Some(Duration::ZERO) };
        let (poller, events) = &mut *self.poller.borrow_mut();
        if limit == Some(Duration::ZERO) {
            poll(poller, events, limit)?;
        } else {
            let before = clock::monotonic();
            poll(poller, events, limit)?;
            self.idle.set(self.idle.get() + before.elapsed());
        }
        for event in &*events {
            self.take(event);
        }
        self.clockwork.fire(timers);
        Ok(())
    }

    fn take(&self, event: &Event) {
        match event.token() {
            BELL => self.has_rung.set(true),
            CLOCK => self.clockwork.has_struck(),
            Token(key) => {
                // A socket that was dropped since, and its key given to another, wakes that one once in vain.
                if let Some(readiness) = self.sources.borrow().get(key) {
                    readiness.note(event);
                }
            }
        }
    }

    /// Returns whether the bell rang since this was asked last.
    pub(super) fn take_ring(&self) -> bool {
        self.has_rung.replace(false)
    }

    /// Returns how long it waited.
    pub(super) fn idle(&self) -> Duration {
        self.idle.get()
    }

    /// Lets the next task read.
    pub(super) fn grant_reads(&self) {
        self.reads.set(READS_IN_A_TURN);
    }

    /// Takes one of the reads that this turn has; none may be left.
    pub(super) fn take_read(&self) -> bool {
        let left = self.reads.get();
        self.reads.set(left.saturating_sub(1));
        left > 0
    }

    /// Watches a socket.
    pub(super) fn watch(&self, socket: &mut impl Source) -> io::Result<Rc<Readiness>> {
        let mut sources = self.sources.borrow_mut();
        let entry = sources.vacant_entry();
        let key = entry.key();
        self.registry.register(socket, Token(key), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Rc::clone(entry.insert(Rc::new(Readiness { key, ..Readiness::default() }))))
    }

    /// Watches a socket no longer.
    pub(super) fn forget(&self, socket: &mut impl Source, readiness: &Readiness) {
        // A socket that the system does not know of is not watched either.
        let _ = self.registry.deregister(socket);
        self.sources.borrow_mut().try_remove(readiness.key);
    }
}

fn poll(poller: &mut Poller, events: &mut Events, limit: Option<Duration>) -> io::Result<()> {
    match poller.poll(events, limit) {
        // A signal is no event; the next turn waits again.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}

impl Readiness {
    /// Is ready when there may be something to read.
    pub(super) fn poll_read(&self, cx: &Context<'_>) -> Poll<()> {
        self.read.poll(cx)
    }

    /// Is ready when there may be room to write.
    pub(super) fn poll_write(&self, cx: &Context<'_>) -> Poll<()> {
        self.write.poll(cx)
    }

    /// Notes that all was read that had come.
    pub(super) fn is_drained(&self) {
        self.read.is_exhausted();
    }

    /// Notes that there is no more room.
    pub(super) fn is_full(&self) {
        self.write.is_exhausted();
    }

    fn note(&self, event: &Event) {
        let is_broken = event.is_error();
        if event.is_readable() || event.is_read_closed() || is_broken {
            self.read.note(event.is_read_closed() || is_broken);
        }
        if event.is_writable() || event.is_write_closed() || is_broken {
            self.write.note(event.is_write_closed() || is_broken);
        }
    }
}

impl Half {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_ready.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn is_exhausted(&self) {
        self.is_ready.set(self.is_over.get());
    }

    fn note(&self, is_over: bool) {
        self.is_ready.set(true);
        if is_over {
            self.is_over.set(true);
        }
        // It stays: who waited once will most likely wait again.
        if let Some(waiting) = &*self.waiting.borrow() {
            waiting.wake_by_ref();
        }
    }
}
