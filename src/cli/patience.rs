//! Patience with a deployment that is under way: a job may begin before the preview that it names is finished.
//!
//! The forge is asked again after pauses that grow, until the deployment has ended or the patience has. Every other
//! refusal stands at once, and so does this one in the end.

use std::time::{Duration, Instant};

use super::session::Session;
use crate::clock;
use crate::guard::{self, ClearedTarget, Inquiry, Refusal, RefusalCode};

/// How long a deployment is waited for in all.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause: a question costs some ten calls, and a workflow's token has a thousand an hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How soon an interruption is noticed.
const STEP: Duration = Duration::from_millis(100);

/// Clears the target of an inquiry, waiting for its deployment where that is under way.
pub(super) fn clear(session: &Session, inquiry: &Inquiry) -> Result<ClearedTarget, Box<Refusal>> {
    let asked_until = clock::monotonic() + PATIENCE;
    let mut pauses = Pauses::until(asked_until);
    let mut is_told = false;
    loop {
        let refusal = match guard::clear(inquiry, &session.world().outside()) {
            Err(refusal) if refusal.code == RefusalCode::DeploymentPending => refusal,
            result => return result,
        };
        let Some(pause) = pauses.next(clock::monotonic()) else { return Err(refusal) };
        if !is_told {
            let minutes = PATIENCE.as_secs() / 60;
            session.console.status("Waiting", &format!("{}; for {minutes} minutes at most", refusal.fact));
            is_told = true;
        }
        if !sleep(session, pause) {
            return Err(refusal);
        }
    }
}

/// Sleeps; returns whether nobody interrupted it.
fn sleep(session: &Session, pause: Duration) -> bool {
    let wakes_at = clock::monotonic() + pause;
    while clock::monotonic() < wakes_at {
        if session.cancel.is_cancelled() {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}

/// Pauses that grow, as long as there is time for them.
struct Pauses {
    end: Instant,
    pause: Duration,
}

impl Pauses {
    fn until(end: Instant) -> Self {
        Self { end, pause: FIRST_PAUSE }
    }

    /// Returns how long to wait before asking again; `None` where there is no time left.
    fn next(&mut self, now: Instant) -> Option<Duration> {
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        (now + pause <= self.end).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let start = clock::monotonic();
        let mut pauses = Pauses::until(start + PATIENCE);
        let mut now = start;
        let mut seen = Vec::new();

        while let Some(pause) = pauses.next(now) {
            seen.push(pause);
            now += pause;
        }

        assert_eq!((seen[0], seen[1]), (FIRST_PAUSE, FIRST_PAUSE * 3 / 2));
        assert_eq!(seen.last(), Some(&LONGEST_PAUSE));
        assert!(now <= start + PATIENCE && now + LONGEST_PAUSE > start + PATIENCE);
        assert!((30..40).contains(&seen.len()), "{} questions", seen.len());
    }
}
