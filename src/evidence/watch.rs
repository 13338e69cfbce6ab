//! A watch asks the guard again while load runs, on threads of its own, and ends the load when the guard says so.
//!
//! It ends the load at once for a fact, such as a marker that says production, and after a few questions in a row
//! that nobody answered. It never moves the load anywhere.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::guard::{ClearedTarget, Inquiry, Outside, Recheck, Revocation, recheck};

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

/// A name whose addresses change at every question fills no report.
const MAX_NEWS: usize = 5;

/// Ends the load, for the reason that is given.
pub type Revoke = Arc<dyn Fn(String) + Send + Sync>;

/// What a watch asks: the world as it is, or as a test has it.
pub trait AskWorld: Send + Sync {
    /// Returns what the guard may ask.
    fn outside(&self) -> Outside<'_>;
}

/// Watches one target until it is dropped.
#[derive(Debug)]
pub struct Watch {
    target: Sender<Order>,
    forge: Sender<Order>,
    verdict: Arc<Mutex<Option<Revocation>>>,
    news: Arc<Mutex<Vec<String>>>,
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
    world: Arc<dyn AskWorld>,
    revoke: Revoke,
    verdict: Arc<Mutex<Option<Revocation>>>,
    news: Arc<Mutex<Vec<String>>>,
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
        world: &Arc<dyn AskWorld>,
        rounds: Rounds,
        revoke: &Revoke,
    ) -> io::Result<Self> {
        let (verdict, news) = (Arc::default(), Arc::default());
        let watcher = |which, every| Watcher {
            which,
            every,
            target: target.clone(),
            inquiry: inquiry.clone(),
            world: Arc::clone(world),
            revoke: Arc::clone(revoke),
            verdict: Arc::clone(&verdict),
            news: Arc::clone(&news),
            failures: 0,
        };
        let target = watcher(Recheck::Target, rounds.target).start()?;
        let forge = watcher(Recheck::Forge, rounds.forge).start()?;
        Ok(Self { target, forge, verdict, news })
    }

    /// Asks now and waits for the answer. Returns why the load must end, where it must.
    pub fn ask_now(&self, which: Recheck) -> Option<Revocation> {
        let (done, is_done) = mpsc::channel();
        if self.orders(which).send(Order::Ask(done)).is_ok() {
            // An error means that the watcher has ended, and the verdict stands.
            let _ = is_done.recv();
        }
        self.verdict()
    }

    /// Asks as soon as the last question is answered, and does not wait; a no ends the load as ever.
    pub fn ask_soon(&self, which: Recheck) {
        let (done, _) = mpsc::channel();
        // An error means that the watcher has ended, and the verdict stands.
        let _ = self.orders(which).send(Order::Ask(done));
    }

    fn orders(&self, which: Recheck) -> &Sender<Order> {
        match which {
            Recheck::Target => &self.target,
            Recheck::Forge => &self.forge,
        }
    }

    /// Returns why the load had to end, where it had to.
    #[must_use]
    pub fn verdict(&self) -> Option<Revocation> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what changed while it watched and was no reason to end the load, each once.
    #[must_use]
    pub fn news(&self) -> Vec<String> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
            Ok(said) => {
                self.failures = 0;
                keep(&self.news, said.news);
            }
            Err(revocation) if revocation.is_transient && self.failures + 1 < MAX_FAILURES => {
                self.failures += 1;
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

/// Keeps what was not said before, as much as a report can use.
fn keep(known: &Mutex<Vec<String>>, news: Vec<String>) {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    for fact in news {
        if known.len() < MAX_NEWS && !known.contains(&fact) {
            known.push(fact);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    use super::*;
    use crate::context::Context;
    use crate::guard::{
        self, AskMarker, ControlPlane, ControlPlaneError, ControlPlaneFacts, DeploymentQuestion,
        FindListener, FixedResolver, Listener, ListeningProcess, MarkerAnswer, MarkerFailure, MarkerQuestion,
        Policy, RefusalCode, Surroundings,
    };
    use crate::target::{Candidate, Source};

    const APP: u8 = 0;
    const TUNNEL: u8 = 1;

    /// A machine on which the test decides who listens.
    struct Machine {
        resolver: FixedResolver,
        listening: AtomicU8,
        asked: AtomicUsize,
    }

    impl Default for Machine {
        fn default() -> Self {
            Self {
                resolver: FixedResolver::answering(&[]),
                listening: AtomicU8::new(APP),
                asked: AtomicUsize::new(0),
            }
        }
    }

    impl AskWorld for Machine {
        fn outside(&self) -> Outside<'_> {
            Outside {
                resolver: &self.resolver,
                control_plane: self,
                marker: self,
                listeners: self,
                marker_key: None,
            }
        }
    }

    impl ControlPlane for Machine {
        fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
            Err(ControlPlaneError::Absent("a test"))
        }
    }

    impl AskMarker for Machine {
        fn ask(&self, _: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
            Err(MarkerFailure::NoAnswer("a service on this machine is not asked".into()))
        }
    }

    impl FindListener for Machine {
        fn find(&self, _: SocketAddr) -> Option<Vec<Listener>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let name = if self.listening.load(Ordering::SeqCst) == APP { "shop" } else { "ssh" };
            let process = ListeningProcess { pid: 7, names: vec![name.into()], is_ours: false };
            Some(vec![Listener { user: 1000, process: Some(process) }])
        }
    }

    fn inquiry() -> Inquiry {
        Inquiry {
            context: Context::Desk,
            candidates: vec![Candidate::on_loopback(Source::Local, "127.0.0.1:8080".parse().unwrap())],
            production_facts: vec![],
            policy: Policy::default(),
            surroundings: Surroundings::default(),
        }
    }

    fn watch(machine: &Arc<Machine>, every: Duration) -> (Watch, mpsc::Receiver<String>) {
        let target = guard::clear(&inquiry(), &machine.outside()).unwrap();
        let (send, reasons) = mpsc::channel();
        let revoke: Revoke = Arc::new(move |reason| send.send(reason).unwrap_or_default());
        let world: Arc<dyn AskWorld> = machine.clone();
        let rounds = Rounds { target: every, forge: every };
        (Watch::begin(&target, &inquiry(), &world, rounds, &revoke).unwrap(), reasons)
    }

    #[test]
    fn news_is_kept_once_and_never_more_than_a_report_can_use() {
        let known = Mutex::default();

        for number in [0, 0, 1, 1].into_iter().chain(0..2 * MAX_NEWS) {
            keep(&known, vec![format!("address {number}")]);
        }

        let kept = known.into_inner().unwrap();
        assert_eq!((kept.len(), kept[1].as_str()), (MAX_NEWS, "address 1"));
    }

    #[test]
    fn a_target_that_stays_the_same_is_left_alone() {
        let machine = Arc::new(Machine::default());
        let (watch, reasons) = watch(&machine, Duration::from_secs(3_600));

        assert_eq!((watch.ask_now(Recheck::Target), watch.ask_now(Recheck::Forge)), (None, None));

        assert!(machine.asked.load(Ordering::SeqCst) >= 2, "it was cleared and asked again");
        assert!(reasons.try_recv().is_err());
    }

    #[test]
    fn a_tunnel_that_takes_the_port_over_ends_the_load_by_itself() {
        let machine = Arc::new(Machine::default());
        let (watch, reasons) = watch(&machine, Duration::from_millis(5));

        machine.listening.store(TUNNEL, Ordering::SeqCst);

        let reason = reasons.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(reason.contains("ssh"), "{reason}");
        assert_eq!(watch.verdict().unwrap().code, RefusalCode::Forwarder);
    }

    #[test]
    fn a_revocation_is_final_and_told_once() {
        let machine = Arc::new(Machine::default());
        let (watch, reasons) = watch(&machine, Duration::from_secs(3_600));
        machine.listening.store(TUNNEL, Ordering::SeqCst);
        watch.ask_now(Recheck::Target).unwrap();

        machine.listening.store(APP, Ordering::SeqCst);

        assert!(watch.ask_now(Recheck::Target).is_some());
        assert_eq!(reasons.try_iter().count(), 1);
    }

    #[test]
    fn a_watch_that_is_dropped_asks_no_more() {
        let machine = Arc::new(Machine::default());
        let (watch, reasons) = watch(&machine, Duration::from_millis(1));

        drop(watch);

        // The callback is gone with its watchers.
        assert_eq!(reasons.recv(), Err(mpsc::RecvError));
    }
}
