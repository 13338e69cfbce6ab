//! A watch asks the guard again while load runs, on threads of its own, and ends the load when the guard says so.
//!
//! It ends the load at once for a fact, such as a marker that says production, and after a few questions in a row
//! that nobody answered. It never moves the load anywhere.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    target: Sender<Order>,
    forge: Sender<Order>,
    verdict: Arc<Mutex<Option<Revocation>>>,
}

enum Order {
    /// Ask now, and say when it is done.
    Ask(Sender<()>),
    Stop,
}

/// One kind of question, asked again and again on a thread of its own: a slow forge must not hold up the rest.
struct Watcher {
    which: Recheck,
    every: Duration,
    target: ClearedTarget,
    inquiry: Inquiry,
    world: Arc<World>,
    revoke: Revoke,
    verdict: Arc<Mutex<Option<Revocation>>>,
    failures: u32,
}

impl Watch {
    /// Begins to watch a target that was cleared by this very inquiry.
    ///
    /// # Errors
    /// The system has no thread for it; load must not begin unwatched.
    pub fn begin(
        target: &ClearedTarget,
        inquiry: &Inquiry,
        world: &Arc<World>,
        rounds: Rounds,
        revoke: &Revoke,
    ) -> io::Result<Self> {
        let verdict = Arc::default();
        let watcher = |which, every| Watcher {
            which,
            every,
            target: target.clone(),
            inquiry: inquiry.clone(),
            world: Arc::clone(world),
            revoke: Arc::clone(revoke),
            verdict: Arc::clone(&verdict),
            failures: 0,
        };
        let target = watcher(Recheck::Target, rounds.target).start()?;
        let forge = watcher(Recheck::Forge, rounds.forge).start()?;
        Ok(Self { target, forge, verdict })
    }

    /// Asks now and waits for the answer: before each step that raises the load (the forge), or when an answer looked
    /// odd (the target). Returns why the load must end, where it must.
    pub fn ask_now(&self, which: Recheck) -> Option<Revocation> {
        let (done, is_done) = mpsc::channel();
        let orders = match which {
            Recheck::Target => &self.target,
            Recheck::Forge => &self.forge,
        };
        if orders.send(Order::Ask(done)).is_ok() {
            // An error means that the watcher has ended, and the verdict stands.
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
        // Nobody waits for a watcher that still hangs in a question: its answer is of no use any more.
        let _ = self.target.send(Order::Stop);
        let _ = self.forge.send(Order::Stop);
    }
}

impl Watcher {
    fn start(mut self) -> io::Result<Sender<Order>> {
        let (orders, received) = mpsc::channel();
        std::thread::Builder::new().name("watch".into()).spawn(move || {
            let mut next = clock::monotonic() + self.every;
            loop {
                match received.recv_timeout(next.saturating_duration_since(clock::monotonic())) {
                    Ok(Order::Ask(done)) => {
                        self.ask();
                        let _ = done.send(());
                    }
                    Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        self.ask();
                        next = clock::monotonic() + self.every;
                    }
                }
            }
        })?;
        Ok(orders)
    }

    fn ask(&mut self) {
        match recheck(&self.target, &self.inquiry, &self.world.outside(), self.which) {
            Ok(_) => self.failures = 0,
            Err(revocation) if revocation.is_transient && self.failures + 1 < MAX_FAILURES => {
                self.failures += 1
            }
            Err(revocation) => self.end(revocation),
        }
    }

    fn end(&self, revocation: Revocation) {
        let reason = revocation.to_string();
        let is_first = {
            let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = verdict.is_none();
            verdict.get_or_insert(revocation);
            is_first
        };
        if is_first {
            (self.revoke)(reason);
        }
    }
}
