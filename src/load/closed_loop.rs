//! The closed loop: every connection sends its next request when the last one is answered.
//!
//! A ceiling paces the sends of all connections together; waiting for it is part of no latency.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use tokio::time::sleep_until;

use super::crew::Crew;
use super::line::Line;
use super::pacer::Ceiling;
use crate::clock;

/// Sends requests on one line until the crew's end.
pub(crate) async fn run(crew: Rc<Crew>, number: usize, ceiling: Option<Rc<RefCell<Ceiling>>>) {
    let mut line = Line::new(Rc::clone(&crew), number);
    line.wait_for_turn().await;
    // A request that left before the start would belong to no round, and one that is never answered be lost.
    sleep_until(crew.window().starts_at.into()).await;
    let mut now = clock::monotonic();
    loop {
        let pause = crew.pause_of(number);
        if !pause.is_zero() {
            line.rest(pause).await;
            now = clock::monotonic();
        }
        if line.wait_for_hold(now).await {
            now = clock::monotonic();
        }
        if let Some(ceiling) = &ceiling {
            let slot = ceiling.borrow_mut().take_slot(now);
            let mut wait = pin!(sleep_until(slot.into()));
            line.idle_until(|cx| wait.as_mut().poll(cx), || {}).await;
            now = clock::monotonic();
        }
        if now >= crew.ends_at() {
            return;
        }
        // The answer's end is the next request's beginning: one look at the clock serves both.
        now = line.carry(now, now).await;
        if line.back_off().await {
            now = clock::monotonic();
        }
    }
}
