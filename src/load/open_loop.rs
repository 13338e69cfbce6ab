//! The open loop: requests are due at their own rate, whatever the answers do.
//!
//! A dispatcher wakes when a request is due and hands it to an idle connection. Where none is idle the request
//! waits, in order, and the next connection that becomes free takes it; that wait is part of its latency.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;

use super::crew::Crew;
use super::line::Line;
use super::pacer::Schedule;
use super::timer::Timer;
use crate::clock;
use crate::measurement::OutcomeClass;
use crate::request::Endpoint;

/// At the end, unsent requests are recorded in at most this many steps a round; more would be a needless pause.
const MAX_UNSENT_STEPS: u64 = 10_000;

/// Which requests are next and which connections are free.
pub(crate) struct Board {
    crew: Rc<Crew>,
    schedule: Schedule,
    next: Cell<u64>,
    /// Idle lines with an open connection; the one used last is used first.
    idle_open: RefCell<Vec<usize>>,
    /// Idle lines whose connection the server has closed: the second choice, as they must connect first.
    idle_closed: RefCell<Vec<usize>>,
    desks: Vec<Desk>,
    /// Told when a line finds nothing due and becomes idle.
    rested: Notify,
}

/// Where the dispatcher leaves a request for an idle line.
#[derive(Default)]
struct Desk {
    intended_at: Cell<Option<Instant>>,
    waker: RefCell<Option<Waker>>,
}

impl Board {
    /// Makes a board for a crew's share of the schedule.
    pub(crate) fn new(crew: Rc<Crew>, schedule: Schedule) -> Rc<Self> {
        let desks = (0..crew.lines()).map(|_| Desk::default()).collect();
        Rc::new(Self {
            crew,
            schedule,
            next: Cell::new(0),
            idle_open: RefCell::default(),
            idle_closed: RefCell::default(),
            desks,
            rested: Notify::new(),
        })
    }

    /// Hands out requests when they are due, until the crew's end.
    pub(crate) async fn dispatch(&self, timer: &Timer) -> io::Result<()> {
        loop {
            let now = clock::monotonic();
            self.hand_out(now);
            if now >= self.crew.ends_at() {
                return Ok(());
            }
            if self.is_anyone_idle() {
                let next = self.schedule.due_at(self.next.get());
                timer.sleep_until(next.min(self.crew.ends_at())).await?;
                continue;
            }
            // Lines take what is due as they become free; waking for each request would only slow them down.
            tokio::select! {
                biased;
                () = self.rested.notified() => {}
                result = timer.sleep_until(self.crew.ends_at()) => result?,
            }
        }
    }

    fn is_anyone_idle(&self) -> bool {
        !self.idle_open.borrow().is_empty() || !self.idle_closed.borrow().is_empty()
    }

    /// Hands every request that is due to an idle line, as long as there is one.
    pub(crate) fn hand_out(&self, now: Instant) {
        while let Some(intended_at) = self.peek_due(now) {
            let open = self.idle_open.borrow_mut().pop();
            let Some(line) = open.or_else(|| self.idle_closed.borrow_mut().pop()) else { return };
            self.next.set(self.next.get() + 1);
            self.crew.take_on(line, intended_at);
            let desk = &self.desks[line];
            desk.intended_at.set(Some(intended_at));
            if let Some(waker) = desk.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Counts what was due before the crew's end and never taken on.
    pub(crate) fn count_unsent(&self, rounds: u32) {
        let window = self.crew.window();
        let ends_at = self.crew.ends_at();
        for round in 0..rounds {
            let from = self.schedule.first_due_from(window.round_start(round)).max(self.next.get());
            let to = self.schedule.first_due_from(window.round_start(round + 1).min(ends_at));
            let step = (to.saturating_sub(from) / MAX_UNSENT_STEPS).max(1);
            let mut index = from;
            while index < to {
                let count = step.min(to - index);
                let intended_at = self.schedule.due_at(index);
                self.crew.count(|tally| {
                    tally.cut_off(OutcomeClass::Unsent, Endpoint::default(), intended_at, ends_at, count);
                });
                index += count;
            }
        }
    }

    /// Returns when the next request is due, where that is not after `now` and before the end.
    fn peek_due(&self, now: Instant) -> Option<Instant> {
        let intended_at = self.schedule.due_at(self.next.get());
        (intended_at <= now && intended_at < self.crew.ends_at()).then_some(intended_at)
    }

    /// Gives a line that has become free the request that waits longest.
    fn take_due(&self, now: Instant) -> Option<Instant> {
        let intended_at = self.peek_due(now)?;
        self.next.set(self.next.get() + 1);
        if !self.idle_open.borrow().is_empty() {
            self.crew.count(|tally| tally.note_lateness(intended_at, now));
        }
        Some(intended_at)
    }

    fn rest(&self, line: &Line) {
        let idle = if line.is_open() { &self.idle_open } else { &self.idle_closed };
        idle.borrow_mut().push(line.number);
        self.rested.notify_one();
    }

    /// Moves an idle line whose connection was closed to the second choice.
    fn close(&self, number: usize) {
        self.idle_open.borrow_mut().retain(|&line| line != number);
        self.idle_closed.borrow_mut().push(number);
    }

    fn poll_desk(&self, number: usize, cx: &Context<'_>) -> Poll<Instant> {
        let desk = &self.desks[number];
        if let Some(intended_at) = desk.intended_at.take() {
            return Poll::Ready(intended_at);
        }
        let mut waker = desk.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Carries requests on one line until the crew is dismissed.
pub(crate) async fn run(board: Rc<Board>, number: usize) {
    let mut line = Line::new(Rc::clone(&board.crew), number);
    line.wait_for_turn().await;
    line.open_ahead().await;
    loop {
        line.back_off().await;
        let mut now = clock::monotonic();
        if now >= board.crew.ends_at() {
            return;
        }
        let intended_at = match board.take_due(now) {
            Some(intended_at) => intended_at,
            None => {
                board.rest(&line);
                let taken = line.idle_until(|cx| board.poll_desk(number, cx), || board.close(number)).await;
                now = clock::monotonic();
                if line.is_open() {
                    board.crew.count(|tally| tally.note_lateness(taken, now));
                }
                taken
            }
        };
        line.carry(intended_at, now).await;
    }
}
