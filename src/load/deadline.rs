//! The deadline is the instant by which a request must be answered.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::engine::{Sleep, sleep_until};

/// The instant by which a request must be answered.
///
/// One timer a connection serves all its requests. It is armed again only when it has run out, about once a time-out,
/// because arming costs more than all other bookkeeping of a request. It must be used by one task only.
pub(crate) struct Deadline {
    sleep: Sleep,
    timeout: Duration,
    expires_at: Instant,
}

impl Deadline {
    /// Makes a deadline that has not been started.
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        Self { sleep: sleep_until(now), timeout, expires_at: now }
    }

    /// Starts the time of one request.
    pub(crate) fn start(&mut self, now: Instant) {
        self.expires_at = now + self.timeout;
    }

    /// Is ready when the deadline has passed; asked whenever the awaited thing is pending.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The timer knows this task from an earlier wait and will wake it.
        if self.sleep.is_waiting() {
            return Poll::Pending;
        }
        while Pin::new(&mut self.sleep).poll(cx).is_ready() {
            if self.sleep.deadline() >= self.expires_at {
                return Poll::Ready(());
            }
            self.sleep.reset(self.expires_at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::clock;
    use crate::load::engine::{run, timeout, yield_now};

    const TIMEOUT: Duration = Duration::from_millis(30);

    #[test]
    fn a_deadline_passes_once_for_each_time_it_is_started() {
        run(async {
            let before = clock::monotonic();
            let mut deadline = Deadline::new(TIMEOUT, before);

            for turn in 1..=2 {
                deadline.start(clock::monotonic());
                let passed = poll_fn(|cx| deadline.poll(cx));
                assert!(timeout(100 * TIMEOUT, passed).await.is_some());
                assert!(before.elapsed() >= TIMEOUT * turn);
            }
        });
    }

    #[test]
    fn a_deadline_that_is_put_off_does_not_pass_before() {
        run(async {
            let before = clock::monotonic();
            let mut deadline = Deadline::new(TIMEOUT, before);
            deadline.start(before);
            let mut is_answered = false;

            let passed = poll_fn(|cx| {
                let state = deadline.poll(cx);
                if !std::mem::replace(&mut is_answered, true) {
                    // The request was answered in time, and the next one has left a little later.
                    deadline.start(before + TIMEOUT / 2);
                }
                state
            });

            assert!(timeout(100 * TIMEOUT, passed).await.is_some());
            assert!(before.elapsed() >= TIMEOUT * 3 / 2);
        });
    }

    #[test]
    fn a_task_that_always_has_something_to_do_does_not_put_off_the_deadline() {
        run(async {
            let mut deadline = Deadline::new(TIMEOUT, clock::monotonic());
            deadline.start(clock::monotonic());

            while poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await.is_pending() {
                yield_now().await;
            }
        });
    }
}
