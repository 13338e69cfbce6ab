//! The closed loop: every connection sends its next request when the last one is answered.
//!
//! Lines join one by one in the ramp and leave where stages say so. A ceiling paces the sends of all connections
//! together; waiting for it is part of no latency, and neither is think time.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::crew::Crew;
use super::engine::sleep_until;
use super::line::Line;
use super::pacer::{Ceiling, Roster, Turn, Window};
use super::worker::Assignment;
use crate::clock;
use crate::scenario::Pacing;

/// What one worker's lines have to keep to.
pub(crate) struct Plan {
    /// When connections are at work; lines that share one work together.
    roster: Roster,
    lines_per_connection: usize,
    /// Whether lines may have to leave.
    is_staged: bool,
    ceiling: Option<RefCell<Ceiling>>,
    think_time: Duration,
}

impl Plan {
    /// Makes the plan of a worker.
    pub(crate) fn new(assignment: &Assignment<'_>, window: &Window) -> Rc<Self> {
        let Assignment { profile, course, part, .. } = assignment;
        let (ceiling, is_staged) = match &profile.pacing {
            Pacing::ClosedLoop { ceiling, stages } => (*ceiling, !stages.is_empty()),
            Pacing::OpenLoop { .. } => (None, false),
        };
        Rc::new(Self {
            roster: Roster::new(window.clone(), course.clone(), *part),
            lines_per_connection: assignment.orders.lines_per_connection.map_or(1, NonZeroUsize::get),
            is_staged,
            ceiling: ceiling.map(|rate| RefCell::new(Ceiling::new(window.starts_at(), rate, *part))),
            think_time: profile.think_time,
        })
    }

    /// Returns whether the plan asks for nothing between an answer and the next request.
    fn is_free(&self) -> bool {
        !self.is_staged && self.ceiling.is_none() && self.think_time.is_zero()
    }

    /// Waits until a line has to work; for ever where it never does again.
    async fn turn(&self, crew: &Crew, line: usize) {
        loop {
            let now = clock::monotonic();
            match self.turn_of(line, now) {
                Turn::At(instant) if instant <= now => return,
                Turn::At(instant) => sleep_until(instant).await,
                Turn::Unannounced => crew.window().announced().await,
                Turn::Over => std::future::pending().await,
            }
        }
    }

    fn turn_of(&self, line: usize, now: Instant) -> Turn {
        self.roster.turn(line / self.lines_per_connection, now)
    }

    fn has_turn(&self, line: usize) -> bool {
        // The usual plan has no stages, and then not even the time is of interest.
        !self.is_staged || {
            let now = clock::monotonic();
            matches!(self.turn_of(line, now), Turn::At(instant) if instant <= now)
        }
    }
}

/// Sends requests on one line until the crew's end.
pub(crate) async fn run(crew: Rc<Crew>, plan: Rc<Plan>, number: usize) {
    let make_line = || Line::new(Rc::clone(&crew), number).freely(plan.is_free() && !crew.may_pause);
    let mut line = make_line();
    if plan.is_staged {
        line.wait_for_turn().await;
    } else {
        line.wait_for_turn_with_open_connection().await;
    }
    loop {
        // A request that left before the start would belong to no round, and one that is never answered be lost.
        plan.turn(&crew, number).await;
        if work(&crew, &plan, line).await.is_break() {
            return;
        }
        // A line that goes home closes its connection, and opens another when it is called again.
        line = make_line();
    }
}

/// Sends requests as long as the line has its turn; breaks at the crew's end.
async fn work(crew: &Crew, plan: &Plan, mut line: Line) -> std::ops::ControlFlow<()> {
    let mut now = clock::monotonic();
    while plan.has_turn(line.number) {
        let pause = crew.pause_of(line.number);
        if !pause.is_zero() {
            line.rest(pause).await;
            now = clock::monotonic();
        }
        if let Some(until) = line.held_until(now) {
            line.rest_until(until).await;
            now = clock::monotonic();
        }
        if let Some(ceiling) = &plan.ceiling {
            let slot = ceiling.borrow_mut().take_slot(now);
            if slot > now {
                line.rest_until(slot).await;
                now = clock::monotonic();
            }
        }
        if now >= crew.ends_at() {
            return std::ops::ControlFlow::Break(());
        }
        // The answer's end is the next request's beginning: one look at the clock serves both.
        now = line.carry(now, now).await;
        if !plan.think_time.is_zero() {
            line.rest(plan.think_time).await;
            now = clock::monotonic();
        }
        if let Some(pause) = line.back_off() {
            pause.await;
            now = clock::monotonic();
        }
    }
    std::ops::ControlFlow::Continue(())
}
