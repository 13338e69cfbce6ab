//! An outbox is what the lines of one connection have handed over to be sent and what is still unwritten of it.
//!
//! A request costs a server and this program less where it is written together with others. Where answers to other
//! streams are still to come, some may be in already, and the requests that follow them can share one write; so a write
//! waits until the engine has looked at its sockets twice. That is no fixed time: it lasts as long as the tasks that
//! are awake take, and next to nothing where none is. With a schedule nothing waits, as requests are due then.

use std::cell::Cell;
use std::task::{Context, Poll};

use crate::load::engine::defer;

/// How often the engine looks at its sockets while a write waits. With two, nginx at its limit gets its requests in
/// about half as many writes; with more, asking costs what is saved.
const TURNS: u32 = 2;

/// What is handed over to one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    may_wait: bool,
    /// Streams that are open or about to be.
    streams: Cell<usize>,
    /// Requests that are handed over and not written.
    unwritten: Cell<usize>,
    /// How often the write of them was put off.
    turns: Cell<u32>,
}

impl Outbox {
    /// Makes an empty one; `may_wait` says whether a write may wait for more.
    pub(super) fn new(may_wait: bool) -> Self {
        Self { may_wait, streams: Cell::new(0), unwritten: Cell::new(0), turns: Cell::new(0) }
    }

    /// Returns how many streams are open or about to be.
    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Counts one more stream.
    pub(super) fn take_stream(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    /// Counts one stream less.
    pub(super) fn return_stream(&self) {
        self.streams.set(self.streams.get() - 1);
    }

    /// Counts a request that is handed over.
    pub(super) fn put(&self) {
        self.unwritten.set(self.unwritten.get() + 1);
    }

    /// Is ready when what was handed over is to be written; else the task is woken when that may be so.
    pub(super) fn poll_due(&self, cx: &mut Context<'_>) -> Poll<()> {
        let unwritten = self.unwritten.get();
        if self.may_wait && (1..self.streams.get()).contains(&unwritten) && self.turns.get() < TURNS {
            self.turns.set(self.turns.get() + 1);
            defer(cx.waker());
            return Poll::Pending;
        }
        self.turns.set(0);
        self.unwritten.set(0);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::load::engine::run;

    /// Hands over some requests, of so many streams; returns how often it was asked until they were due.
    fn asked(outbox: &Outbox, streams: usize, handed_over: usize) -> u32 {
        (0..streams).for_each(|_| outbox.take_stream());
        (0..handed_over).for_each(|_| outbox.put());
        let mut asked = 0;
        run(poll_fn(|cx| {
            asked += 1;
            outbox.poll_due(cx)
        }));
        (0..streams).for_each(|_| outbox.return_stream());
        asked
    }

    #[test]
    fn a_write_waits_for_two_turns_while_answers_are_to_come() {
        let outbox = Outbox::new(true);

        for _ in 0..2 {
            assert_eq!(asked(&outbox, 3, 2), 3);
        }
    }

    #[test]
    fn nothing_waits_where_no_answer_is_to_come() {
        let outbox = Outbox::new(true);

        assert_eq!(asked(&outbox, 1, 1), 1);
        assert_eq!(asked(&outbox, 3, 3), 1);
        // Such as an answer to a PING, while everybody waits for answers.
        assert_eq!(asked(&outbox, 3, 0), 1);
    }

    #[test]
    fn nothing_waits_with_a_schedule() {
        assert_eq!(asked(&Outbox::new(false), 3, 1), 1);
    }
}
