//! The open loop: requests are due at their own rate, whatever the answers do.
//!
//! A dispatcher wakes when a request is due and hands it to an idle connection. Where none is idle the request
//! waits, in order, and the next connection that becomes free takes it; that wait is part of its latency. What waited
//! for the generator instead is spaced (see `pacer::Release`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;

use super::crew::Crew;
use super::engine::sleep_until;
use super::line::Line;
use super::pacer::{Part, Release, Schedule};
use super::timer::Timer;
use crate::clock;
use crate::measurement::OutcomeClass;
use crate::request::Endpoint;
use crate::scenario::LoadProfile;

/// At the end, unsent requests are recorded in at most this many steps a round; more would be a needless pause.
const MAX_UNSENT_STEPS: u64 = 10_000;

/// Which requests are next and which connections are free.
pub(crate) struct Board {
    crew: Rc<Crew>,
    schedule: RefCell<Schedule>,
    release: Cell<Release>,
    in_flight: InFlight,
    /// When each line opens its connection, one after the other in the ramp.
    opening: Vec<Instant>,
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

/// How many requests of this worker wait for an answer, and how many may.
struct InFlight {
    now: Cell<usize>,
    most: usize,
    /// When there was last room again after there had been none: a request that waited for that was not late by the
    /// generator's fault.
    room_since: Cell<Instant>,
}

impl InFlight {
    fn has_room(&self) -> bool {
        self.now.get() < self.most
    }

    fn add(&self) {
        self.now.set(self.now.get() + 1);
    }

    /// Takes one away; returns whether that made room where there was none.
    fn remove(&self, now: Instant) -> bool {
        let had_room = self.has_room();
        self.now.set(self.now.get() - 1);
        if !had_room {
            self.room_since.set(now);
        }
        !had_room
    }
}

impl Board {
    /// Makes a board for a crew's share of the schedule.
    pub(crate) fn new(crew: Rc<Crew>, schedule: Schedule, profile: &LoadProfile, part: Part) -> Rc<Self> {
        let lines = crew.lines();
        let desks = (0..lines).map(|_| Desk::default()).collect();
        let starts_at = crew.window().starts_at();
        let share_of_ramp = |line: usize| profile.ramp.mul_f64(line as f64 / lines as f64);
        Rc::new(Self {
            crew,
            schedule: RefCell::new(schedule),
            release: Cell::new(Release::new(starts_at)),
            in_flight: InFlight {
                now: Cell::new(0),
                // Without a limit of its own, a line carries one request at a time.
                most: profile.max_in_flight.map_or(lines, |most| part.share(most.get()).min(lines)),
                room_since: Cell::new(starts_at),
            },
            opening: (0..lines).map(|line| starts_at + share_of_ramp(line)).collect(),
            idle_open: RefCell::default(),
            idle_closed: RefCell::default(),
            desks,
            rested: Notify::new(),
        })
    }

    /// Hands out requests when they are due, until the crew's end.
    pub(crate) async fn dispatch(&self, timer: &Timer) {
        loop {
            let now = clock::monotonic();
            self.hand_out(now);
            if now >= self.crew.ends_at() {
                return;
            }
            let ends_at = self.crew.ends_at();
            let can_hand_out = self.is_anyone_idle() && self.in_flight.has_room();
            let next = if can_hand_out { self.next_release().min(ends_at) } else { ends_at };
            let is_announced = self.crew.window().measured_from().is_some();
            if can_hand_out && is_announced {
                timer.sleep_until(next).await;
                continue;
            }
            // Lines take what is due as they become free; waking for each request would only slow them down.
            tokio::select! {
                biased;
                () = self.rested.notified() => {}
                () = self.crew.window().announced(), if !is_announced => {}
                () = timer.sleep_until(next) => {}
            }
        }
    }

    fn is_anyone_idle(&self) -> bool {
        !self.idle_open.borrow().is_empty() || !self.idle_closed.borrow().is_empty()
    }

    /// Hands every request that may leave to an idle line, as long as there is one.
    pub(crate) fn hand_out(&self, now: Instant) {
        while let Some(intended_at) = self.peek_due(now)
            && self.in_flight.has_room()
            && self.release_of(intended_at) <= now
        {
            let open = self.idle_open.borrow_mut().pop();
            let Some(line) = open.or_else(|| self.idle_closed.borrow_mut().pop()) else { return };
            self.let_go(intended_at, now);
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
        let (window, ends_at) = (self.crew.window(), self.crew.ends_at());
        let mut schedule = self.schedule.borrow_mut();
        schedule.skip_lead_in();
        for round in 0..rounds {
            let Some(round_ends_at) = window.round_start(round + 1) else { return };
            let mut left = schedule.count_before(round_ends_at.min(ends_at));
            let step = (left / MAX_UNSENT_STEPS).max(1);
            while left > 0 {
                let count = step.min(left);
                let intended_at = schedule.due();
                self.crew.count(|tally| {
                    tally.cut_off(OutcomeClass::Unsent, Endpoint::default(), intended_at, ends_at, count);
                });
                schedule.skip(count);
                left -= count;
            }
        }
    }

    /// Returns when the next request is due, where that is not after `now` and before the end.
    fn peek_due(&self, now: Instant) -> Option<Instant> {
        let intended_at = self.schedule.borrow_mut().due();
        (intended_at <= now && intended_at < self.crew.ends_at()).then_some(intended_at)
    }

    /// Returns when the next request may leave.
    fn next_release(&self) -> Instant {
        let intended_at = self.schedule.borrow_mut().due();
        self.release_of(intended_at)
    }

    fn release_of(&self, intended_at: Instant) -> Instant {
        self.release.get().time_for(intended_at, self.crew.ends_at())
    }

    /// Takes the next request off the schedule.
    fn let_go(&self, intended_at: Instant, now: Instant) {
        self.schedule.borrow_mut().skip(1);
        self.in_flight.add();
        let mut release = self.release.get();
        release.let_go(intended_at, now, self.crew.ends_at());
        self.release.set(release);
    }

    /// Gives a line that has become free the request that waits longest.
    ///
    /// Where others are idle, that request waits for the generator, and leaves with the pace of late ones.
    fn take_due(&self, now: Instant) -> Option<Instant> {
        let intended_at = self.peek_due(now).filter(|_| self.in_flight.has_room())?;
        if !self.idle_open.borrow().is_empty() {
            if self.release_of(intended_at) > now {
                return None;
            }
            self.note_lateness(intended_at, now);
        }
        self.let_go(intended_at, now);
        Some(intended_at)
    }

    /// Notes how long a request waited for the generator.
    fn note_lateness(&self, intended_at: Instant, sent_at: Instant) {
        let could_leave_at = intended_at.max(self.in_flight.room_since.get());
        self.crew.count(|tally| tally.note_lateness(could_leave_at, sent_at));
    }

    /// Makes room for another request.
    fn finish(&self, now: Instant) {
        if self.in_flight.remove(now) {
            self.rested.notify_one();
        }
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
    sleep_until(board.opening[number]).await;
    line.open_ahead(None).await;
    loop {
        if let Some(pause) = line.back_off() {
            pause.await;
        }
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
                    board.note_lateness(taken, now);
                }
                taken
            }
        };
        let finished_at = line.carry(intended_at, now).await;
        board.finish(finished_at);
    }
}
