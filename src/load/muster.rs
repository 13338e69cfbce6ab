//! The muster: workers make their sources of requests, which may take a while, and only when the last one is ready does
//! the clock of the run begin.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::START_DELAY;
use super::pacer::Window;
use crate::clock;
use crate::scenario::LoadProfile;

/// Where the workers of a run meet.
pub(crate) struct Muster {
    profile: LoadProfile,
    state: Mutex<State>,
    changed: Condvar,
    window: OnceLock<Window>,
}

struct State {
    missing: u32,
    was_called_off: bool,
}

impl Muster {
    /// Awaits so many workers.
    pub(crate) fn new(workers: u32, profile: LoadProfile) -> Self {
        let state = Mutex::new(State { missing: workers, was_called_off: false });
        Self { profile, state, changed: Condvar::new(), window: OnceLock::new() }
    }

    /// Waits for everybody; returns when the run is measured, or `None` where it was called off.
    pub(crate) fn arrive(&self) -> Option<Window> {
        let mut state = self.lock();
        state.missing = state.missing.saturating_sub(1);
        if state.missing == 0 && !state.was_called_off {
            // Threads that wake a little late are not late at once.
            self.window.get_or_init(|| Window::new(clock::monotonic() + START_DELAY, &self.profile));
        }
        self.changed.notify_all();
        let waiting = |state: &mut State| state.missing > 0 && !state.was_called_off;
        let state = self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        if state.was_called_off { None } else { self.window.get().cloned() }
    }

    /// Sends everybody home: somebody cannot come.
    pub(crate) fn call_off(&self) {
        self.lock().was_called_off = true;
        self.changed.notify_all();
    }

    /// Returns when the run is measured, where everybody has arrived.
    pub(crate) fn window(&self) -> Option<&Window> {
        self.window.get()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A worker that panicked while it held the lock left two plain numbers behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::scenario::Pacing;

    fn muster(workers: u32) -> Muster {
        Muster::new(workers, LoadProfile::plain(Pacing::CLOSED, NonZeroU32::MIN))
    }

    #[test]
    fn the_run_begins_when_the_last_worker_is_ready() {
        let muster = muster(2);

        thread::scope(|scope| {
            let first = scope.spawn(|| muster.arrive());
            thread::sleep(Duration::from_millis(50));
            assert!(muster.window().is_none());
            let ready_at = clock::monotonic();
            let second = muster.arrive().unwrap();

            assert!(second.starts_at() >= ready_at);
            assert_eq!(first.join().unwrap().unwrap().starts_at(), second.starts_at());
        });
    }

    #[test]
    fn nobody_waits_for_one_who_cannot_come() {
        let muster = muster(2);

        thread::scope(|scope| {
            let first = scope.spawn(|| muster.arrive().is_none());
            muster.call_off();

            assert!(first.join().unwrap());
        });
        assert!(muster.window().is_none());
    }
}
