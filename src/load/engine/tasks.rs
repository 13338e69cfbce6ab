//! The tasks of an engine, and which of them are awake.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use slab::Slab;

use super::CURRENT;
use super::reactor::Bell;

/// The number of the future that an engine runs to its end.
pub(super) const MAIN: usize = usize::MAX;

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of one engine.
pub(super) struct Tasks {
    all: RefCell<Slab<Rc<Task>>>,
    /// The numbers of those that are awake; each is in it once.
    awake: RefCell<VecDeque<usize>>,
    /// Those that let the sockets have their turn first.
    yielded: RefCell<Vec<Waker>>,
    remote: Arc<Remote>,
    main: Arc<Alarm>,
}

/// Something that runs until its end or until it is aborted.
struct Task {
    /// Nothing any more when it has ended.
    work: RefCell<Option<Work>>,
    waker: Waker,
    alarm: Arc<Alarm>,
    is_aborted: Cell<bool>,
}

/// Wakes one task, from whichever thread.
struct Alarm {
    task: usize,
    /// Whether the task is in the queue of its engine. Only its own thread asks and sets it.
    is_queued: AtomicBool,
    remote: Arc<Remote>,
}

/// Where other threads leave wake-ups for an engine.
struct Remote {
    tasks: Mutex<Vec<usize>>,
    bell: Bell,
}

impl Tasks {
    /// Makes no tasks; the bell calls the engine from its wait.
    pub(super) fn new(bell: Bell) -> Self {
        let remote = Arc::new(Remote { tasks: Mutex::default(), bell });
        let main = Arc::new(Alarm::new(MAIN, &remote));
        Self { all: RefCell::default(), awake: RefCell::default(), yielded: RefCell::default(), remote, main }
    }

    /// Returns what wakes the future that the engine runs to its end.
    pub(super) fn waker_of_main(&self) -> Waker {
        Waker::from(Arc::clone(&self.main))
    }

    /// Adds a task, awake.
    pub(super) fn spawn(&self, work: Work) -> AbortHandle {
        let mut all = self.all.borrow_mut();
        let entry = all.vacant_entry();
        let number = entry.key();
        let alarm = Arc::new(Alarm::new(number, &self.remote));
        let task = entry.insert(Rc::new(Task {
            work: RefCell::new(Some(work)),
            waker: Waker::from(Arc::clone(&alarm)),
            alarm,
            is_aborted: Cell::new(false),
        }));
        let handle = AbortHandle(Rc::downgrade(task));
        self.enqueue(&task.alarm);
        handle
    }

    /// Returns whether a task is awake.
    pub(super) fn is_any_awake(&self) -> bool {
        !self.awake.borrow().is_empty() || !self.yielded.borrow().is_empty()
    }

    /// Takes the task that has been awake the longest.
    pub(super) fn next(&self) -> Option<usize> {
        let number = self.awake.borrow_mut().pop_front()?;
        if number == MAIN {
            self.main.is_queued.store(false, Ordering::Relaxed);
        }
        Some(number)
    }

    /// Gives a task its turn.
    pub(super) fn run(&self, number: usize) {
        let Some(task) = self.all.borrow().get(number).map(Rc::clone) else { return };
        // It may be woken again from here on, by itself as well.
        task.alarm.is_queued.store(false, Ordering::Relaxed);
        let has_ended = task.is_aborted.get() || {
            let mut work = task.work.borrow_mut();
            let mut cx = Context::from_waker(&task.waker);
            work.as_mut().is_none_or(|work| work.as_mut().poll(&mut cx).is_ready())
        };
        if has_ended {
            self.all.borrow_mut().remove(number);
            // What it holds may do anything while it is dropped, so nothing is borrowed then.
            let work = task.work.borrow_mut().take();
            drop(work);
        }
    }

    /// Puts a task into the queue, unless it is there. Without an atomic exchange: only this thread does so.
    fn enqueue(&self, alarm: &Alarm) {
        if !alarm.is_queued.load(Ordering::Relaxed) {
            alarm.is_queued.store(true, Ordering::Relaxed);
            self.awake.borrow_mut().push_back(alarm.task);
        }
    }

    /// Wakes what other threads woke.
    pub(super) fn take_remote(&self) {
        let woken = std::mem::take(&mut *self.remote.lock());
        for number in woken {
            if number == MAIN {
                self.enqueue(&self.main);
            } else if let Some(task) = self.all.borrow().get(number) {
                self.enqueue(&task.alarm);
            }
        }
    }

    /// Keeps the waker of a task that goes on after the sockets have had their turn.
    pub(super) fn resume_later(&self, waker: Waker) {
        self.yielded.borrow_mut().push(waker);
    }

    /// Wakes those.
    pub(super) fn resume_yielded(&self) {
        if !self.yielded.borrow().is_empty() {
            for waker in self.yielded.take() {
                waker.wake();
            }
        }
    }

    /// Drops all tasks.
    pub(super) fn clear(&self) {
        for (_, task) in self.all.take() {
            let work = task.work.borrow_mut().take();
            drop(work);
        }
    }
}

/// Ends a task before its time.
#[derive(Debug)]
pub(crate) struct AbortHandle(Weak<Task>);

impl AbortHandle {
    /// Has the task dropped at its next turn, which is soon. One that has ended is not disturbed.
    pub(crate) fn abort(&self) {
        if let Some(task) = self.0.upgrade() {
            task.is_aborted.set(true);
            task.waker.wake_by_ref();
        }
    }
}

impl Alarm {
    fn new(task: usize, remote: &Arc<Remote>) -> Self {
        Self { task, is_queued: AtomicBool::new(false), remote: Arc::clone(remote) }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_here = CURRENT.with_borrow(|current| match current {
            Some(core) if Arc::ptr_eq(&core.tasks.remote, &self.remote) => {
                core.tasks.enqueue(self);
                true
            }
            _ => false,
        });
        if !is_here {
            self.remote.lock().push(self.task);
            self.remote.bell.ring();
        }
    }
}

impl Remote {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<usize>> {
        // A list of numbers is whole whoever panicked.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
