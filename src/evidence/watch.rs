//! A watch asks the guard again while load runs, on a thread of its own, and ends the load when the guard says so.
//!
//! It ends the load at once for a fact, such as a marker that says production, and after a few questions in a row
//! that nobody answered. It never moves the load anywhere.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::World;
use crate::clock;
use crate::guard::{ClearedTarget, Inquiry, Recheck, Revocation, recheck};

/// How often what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// DNS, the marker, the listening process.
    pub target: Duration,
    /// The forge, which counts questions.
    pub forge: Duration,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { target: Duration::from_secs(10), forge: Duration::from_secs(30) }
    }
}

/// So many questions in a row may go without an answer before silence counts as a no.
const MAX_FAILURES: u32 = 3;

/// Ends the load, for the reason that is given.
pub type Revoke = Arc<dyn Fn(String) + Send + Sync>;

/// Watches one target until it is dropped.
#[derive(Debug)]
pub struct Watch {
    orders: Sender<Order>,
    verdict: Arc<Mutex<Option<Revocation>>>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    /// Ask now, and say when it is done.
    Ask(Recheck, Sender<()>),
    Stop,
}

struct Watcher {
    target: ClearedTarget,
    inquiry: Inquiry,
    world: Arc<World>,
    revoke: Revoke,
    verdict: Arc<Mutex<Option<Revocation>>>,
    failures: [u32; 2],
}

impl Watch {
    /// Begins to watch a target that was cleared by this very inquiry.
    ///
    /// # Errors
    /// The system has no thread for it; load must not begin unwatched.
    pub fn begin(
        target: &ClearedTarget,
        inquiry: &Inquiry,
        world: Arc<World>,
        rounds: Rounds,
        revoke: Revoke,
    ) -> std::io::Result<Self> {
        let verdict = Arc::default();
        let (orders, received) = mpsc::channel();
        let mut watcher = Watcher {
            target: target.clone(),
            inquiry: inquiry.clone(),
            world,
            revoke,
            verdict: Arc::clone(&verdict),
            failures: [0; 2],
        };
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || {
            let now = clock::monotonic();
            let (mut next_target, mut next_forge) = (now + rounds.target, now + rounds.forge);
            loop {
                let wait = next_target.min(next_forge).saturating_duration_since(clock::monotonic());
                match received.recv_timeout(wait) {
                    Ok(Order::Ask(which, done)) => {
                        watcher.ask(which);
                        let _ = done.send(());
                    }
                    Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        watcher.ask_if_due(Recheck::Target, &mut next_target, rounds.target);
                        watcher.ask_if_due(Recheck::Forge, &mut next_forge, rounds.forge);
                    }
                }
            }
        })?;
        Ok(Self { orders, verdict, thread: Some(thread) })
    }

    /// Asks now and waits for the answer: before each step that raises the load (the forge), or when an answer looked
    /// odd (the target). Returns why the load must end, where it must.
    pub fn ask_now(&self, which: Recheck) -> Option<Revocation> {
        let (done, is_done) = mpsc::channel();
        if self.orders.send(Order::Ask(which, done)).is_ok() {
            // An error means that the watch has ended, and the verdict stands.
            let _ = is_done.recv();
        }
        self.verdict()
    }

    /// Returns why the load had to end, where it had to.
    #[must_use]
    pub fn verdict(&self) -> Option<Revocation> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told so itself.
            let _ = thread.join();
        }
    }
}

impl Watcher {
    fn ask_if_due(&mut self, which: Recheck, next: &mut Instant, every: Duration) {
        if clock::monotonic() >= *next {
            self.ask(which);
            *next = clock::monotonic() + every;
        }
    }

    fn ask(&mut self, which: Recheck) {
        let failures = &mut self.failures[usize::from(which == Recheck::Forge)];
        match recheck(&self.target, &self.inquiry, &self.world.outside(), which) {
            Ok(_) => *failures = 0,
            Err(revocation) if revocation.is_transient && *failures + 1 < MAX_FAILURES => *failures += 1,
            Err(revocation) => {
                let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
                if verdict.is_none() {
                    let reason = revocation.to_string();
                    *verdict = Some(revocation);
                    drop(verdict);
                    (self.revoke)(reason);
                }
            }
        }
    }
}
