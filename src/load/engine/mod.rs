//! The engine runs one worker's tasks on its thread: those that are awake take turns, and when none is, the thread
//! waits for sockets, for the earliest timer, or for another thread to wake one.
//!
//! A runtime for every purpose does this as well, and took a quarter of what a request costs this program. Here
//! nothing moves between threads but a wake-up, so a turn needs no atomic exchange and no lock; a timer is armed only where it is earlier than the one that is; and what waits for a socket is woken by
//! nothing else. Futures are the usual ones: whatever needs no particular runtime runs here, TLS and HTTP/2 included.

mod reactor;
mod tasks;
mod tcp;
mod timers;

pub(crate) use self::tasks::AbortHandle;
pub(crate) use self::tcp::TcpStream;
#[cfg(test)]
pub(crate) use self::tcp::pair;
pub(crate) use self::timers::{Sleep, sleep, sleep_until, timeout};

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use self::reactor::Reactor;
use self::tasks::{MAIN, Tasks};
use self::timers::Timers;

/// Turns that tasks take before sockets are looked at again.
const TURNS_IN_A_ROW: usize = 128;

/// What an engine consists of.
struct Core {
    tasks: Tasks,
    reactor: Rc<Reactor>,
    timers: Rc<Timers>,
}

thread_local! {
    /// The engine that runs on this thread now.
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Runs tasks on the current thread. Dropping it drops them.
pub(crate) struct Engine(Rc<Core>);

impl Engine {
    /// Makes an engine without tasks.
    pub(crate) fn new() -> io::Result<Self> {
        let (reactor, bell) = Reactor::new()?;
        Ok(Self(Rc::new(Core {
            tasks: Tasks::new(bell),
            reactor: Rc::new(reactor),
            timers: Rc::new(Timers::default()),
        })))
    }

    /// Runs a future to its end, and all tasks meanwhile. Fails where the system does not let it wait.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let _entered = Entered::new(&self.0);
        let core = &*self.0;
        let mut future = pin!(future);
        let main = core.tasks.waker_of_main();
        main.wake_by_ref();
        loop {
            for _ in 0..TURNS_IN_A_ROW {
                let Some(task) = core.tasks.next() else { break };
                core.reactor.grant_reads();
                if task != MAIN {
                    core.tasks.run(task);
                } else if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&main)) {
                    return Ok(output);
                }
            }
            core.wait()?;
        }
    }

    /// Returns how long it has waited with nothing to do.
    pub(crate) fn idle(&self) -> Duration {
        self.0.reactor.idle()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.tasks.clear();
    }
}

impl Core {
    /// Wakes what the outside has something for; where no task is awake, waits until there is some.
    fn wait(&self) -> io::Result<()> {
        self.reactor.turn(&self.timers, !self.tasks.is_any_awake())?;
        if self.reactor.take_ring() {
            self.tasks.take_remote();
        }
        self.tasks.resume_yielded();
        Ok(())
    }
}

/// Marks the engine as the current one of the thread until it is dropped.
struct Entered(Option<Rc<Core>>);

impl Entered {
    fn new(core: &Rc<Core>) -> Self {
        Self(CURRENT.with(|current| current.replace(Some(Rc::clone(core)))))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

/// Asks the engine of this thread.
fn with_current<T>(ask: impl FnOnce(&Core) -> T) -> T {
    CURRENT.with_borrow(|current| ask(current.as_deref().expect("this runs on an engine only")))
}

/// Starts a task of its own on the engine of this thread.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> AbortHandle {
    with_current(|core| core.tasks.spawn(Box::pin(future)))
}

/// Lets the other tasks and the sockets have their turn.
pub(crate) async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        defer(cx.waker());
        Poll::Pending
    })
    .await;
}

/// Wakes a task after the sockets have had their turn.
pub(crate) fn defer(waker: &Waker) {
    with_current(|core| core.tasks.resume_later(waker.clone()));
}

/// Runs a future on an engine of its own.
#[cfg(test)]
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    Engine::new().unwrap().block_on(future).unwrap()
}

#[cfg(test)]
mod tests;
