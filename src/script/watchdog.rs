//! The watchdog is a thread that stops a call into Lua which does not end.
//!
//! A call costs two stores and reads no clock: the watchdog looks now and then whether the same call still runs. Past
//! the soft deadline it raises a flag and arms Luau's interrupt, which reads the flag at every loop, call and match;
//! past the hard one, inside some routine of C that never looks, all it can do is to have the process end.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use super::limits::{ScriptLimits, Stage};
use super::raw::Alarm;
use crate::clock;

/// How often the watchdog looks.
const TICK: Duration = Duration::from_millis(10);

/// Ends the process after saving what there is; gets the reason in words.
pub type LastResort = Arc<dyn Fn(&str) + Send + Sync>;

/// What one state shows to the watchdog.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Odd while a call runs.
    calls: AtomicU64,
    stage: AtomicU8,
    must_stop: AtomicBool,
    was_overdue: AtomicBool,
    /// Arms the state's interrupt.
    pub(super) alarm: Arc<Alarm>,
}

impl Watch {
    /// Notes that a call begins.
    pub(super) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        self.count_on();
    }

    /// Notes that a call has ended.
    pub(super) fn leave(&self) {
        self.count_on();
    }

    /// Only the state's own thread counts, so that no exchange is needed.
    fn count_on(&self) {
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Makes whatever runs stop at its next safe point, and everything after it: the interrupt stays armed.
    pub(super) fn stop(&self) {
        self.must_stop.store(true, Ordering::Release);
        self.alarm.ring();
    }

    /// Returns whether Lua must not go on.
    pub(super) fn must_stop(&self) -> bool {
        self.must_stop.load(Ordering::Acquire)
    }

    /// Returns whether a call was stopped because it took too long.
    pub(super) fn was_overdue(&self) -> bool {
        self.was_overdue.load(Ordering::Relaxed)
    }
}

struct Watched {
    watch: Weak<Watch>,
    call: u64,
    since: Instant,
    is_lost: bool,
}

/// The thread; it ends when this is dropped.
pub(super) struct Watchdog {
    watched: Arc<Mutex<Vec<Watched>>>,
    leash: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start(script: String, limits: ScriptLimits, last_resort: LastResort) -> io::Result<Self> {
        let watched = Arc::new(Mutex::new(Vec::new()));
        let (leash, held) = mpsc::channel::<()>();
        let seen = Arc::clone(&watched);
        let thread = thread::Builder::new().name("script-watchdog".into()).spawn(move || {
            while held.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let lost = look(&mut seen.lock().unwrap_or_else(PoisonError::into_inner), &limits);
                if let Some(stage) = lost {
                    last_resort(&format!("{stage} of {script} did not end and could not be stopped"));
                }
            }
        })?;
        Ok(Self { watched, leash: Some(leash), thread: Some(thread) })
    }

    /// Begins to watch one more state.
    pub(super) fn watch(&self) -> Arc<Watch> {
        let watch = Arc::new(Watch::default());
        let watched =
            Watched { watch: Arc::downgrade(&watch), call: 0, since: clock::monotonic(), is_lost: false };
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
        watch
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").finish_non_exhaustive()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.leash.take();
        if let Some(thread) = self.thread.take() {
            // The thread only panics where the last resort does, which has then been heard.
            let _ = thread.join();
        }
    }
}

/// Looks at every state once; returns the stage of a call that cannot be stopped, once.
fn look(watched: &mut Vec<Watched>, limits: &ScriptLimits) -> Option<Stage> {
    let now = clock::monotonic();
    let mut lost = None;
    watched.retain_mut(|one| {
        let Some(watch) = one.watch.upgrade() else { return false };
        let call = watch.calls.load(Ordering::Acquire);
        if call != one.call {
            (one.call, one.since) = (call, now);
        }
        if call % 2 == 0 {
            return true;
        }
        let stage = Stage::of_number(watch.stage.load(Ordering::Relaxed));
        let deadline = limits.deadline(stage);
        let lasted = now.duration_since(one.since);
        if lasted >= deadline {
            watch.was_overdue.store(true, Ordering::Relaxed);
            watch.stop();
        }
        if lasted >= deadline + limits.hard && !one.is_lost {
            one.is_lost = true;
            lost = Some(stage);
        }
        true
    });
    lost
}
