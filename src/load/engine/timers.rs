//! Timers, as fine as the system has them: on Linux a `timerfd`, elsewhere the poller's own limit of a wait.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

pub(super) use self::clockwork::Clockwork;
use super::with_current;
use crate::clock;

/// What cannot be added to a time lasts longer than any run.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The timers of one engine that are yet to fire, by when they do.
#[derive(Default)]
pub(super) struct Timers {
    pending: RefCell<BTreeMap<Key, Entry>>,
    /// When the first of them does.
    earliest: Cell<Option<Instant>>,
    made: Cell<u64>,
}

/// When a timer fires, and which of those at the same instant it is.
type Key = (Instant, u64);

struct Entry {
    waker: Waker,
    has_fired: Rc<Cell<bool>>,
}

impl Timers {
    /// Adds one; returns its key.
    fn add(&self, deadline: Instant, entry: Entry) -> Key {
        let key = (deadline, self.made.get());
        self.made.set(key.1 + 1);
        self.change(|pending| pending.insert(key, entry));
        key
    }

    /// Changes what is pending.
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<Key, Entry>) -> T) -> T {
        let mut pending = self.pending.borrow_mut();
        let result = change(&mut pending);
        self.earliest.set(pending.first_key_value().map(|(key, _)| key.0));
        result
    }

    /// Fires those whose time has come.
    fn fire(&self, now: Instant) {
        while let Some(entry) = self.take_due(now) {
            entry.has_fired.set(true);
            entry.waker.wake();
        }
    }

    fn take_due(&self, now: Instant) -> Option<Entry> {
        self.earliest.get().filter(|&earliest| earliest <= now)?;
        self.change(|pending| pending.pop_first().map(|(_, entry)| entry))
    }
}

/// Waits until an instant.
pub(crate) struct Sleep {
    timers: Rc<Timers>,
    deadline: Instant,
    key: Option<Key>,
    has_fired: Rc<Cell<bool>>,
}

/// Waits until an instant; is ready at once where it has passed.
pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
    let timers = with_current(|core| Rc::clone(&core.timers));
    Sleep { timers, deadline, key: None, has_fired: Rc::default() }
}

/// Waits for a while.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    let now = clock::monotonic();
    sleep_until(now.checked_add(duration).unwrap_or(now + FOR_EVER))
}

/// Waits for a future, but no longer than a while; `None` where it took longer.
pub(crate) async fn timeout<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut limit = sleep(duration);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut limit).poll(cx).map(|()| None),
    })
    .await
}

impl Sleep {
    /// Returns until when it waits.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns whether it waits for its timer: it was asked, and has not fired.
    pub(crate) fn is_waiting(&self) -> bool {
        self.key.is_some() && !self.has_fired.get()
    }

    /// Waits until another instant instead.
    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.cancel();
        self.deadline = deadline;
    }

    fn cancel(&mut self) {
        if let Some(key) = self.key.take()
            && !self.has_fired.get()
        {
            self.timers.change(|pending| pending.remove(&key));
        }
        self.has_fired.set(false);
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = &mut *self;
        if sleep.is_waiting() {
            let key = sleep.key.as_ref();
            let mut pending = sleep.timers.pending.borrow_mut();
            if let Some(entry) = key.and_then(|key| pending.get_mut(key)) {
                entry.waker.clone_from(cx.waker());
            }
            return Poll::Pending;
        }
        if sleep.has_fired.get() || sleep.deadline <= clock::monotonic() {
            sleep.cancel();
            return Poll::Ready(());
        }
        let entry = Entry { waker: cx.waker().clone(), has_fired: Rc::clone(&sleep.has_fired) };
        sleep.key = Some(sleep.timers.add(sleep.deadline, entry));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// What makes a wait end when the earliest timer is due.
#[cfg(target_os = "linux")]
mod clockwork {
    use std::os::fd::{AsRawFd, OwnedFd};

    use mio::unix::SourceFd;
    use mio::{Interest, Registry};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::super::reactor::CLOCK;
    use super::{Cell, Duration, Instant, Timers, clock, io};

    /// A timer of the system that is armed only where another one is earlier than what it is armed for: a wait that
    /// has no limit of its own is cheaper for the kernel.
    pub(in super::super) struct Clockwork {
        fd: OwnedFd,
        armed_for: Cell<Option<Instant>>,
        has_struck: Cell<bool>,
    }

    impl Clockwork {
        pub(in super::super) fn new(registry: &Registry) -> io::Result<Self> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&fd.as_raw_fd()), CLOCK, Interest::READABLE)?;
            Ok(Self { fd, armed_for: Cell::new(None), has_struck: Cell::new(false) })
        }

        /// Returns how long a wait may last, and arms the timer that ends it.
        pub(in super::super) fn limit_of_wait(&self, timers: &Timers) -> io::Result<Option<Duration>> {
            let Some(earliest) = timers.earliest.get() else { return Ok(None) };
            if self.armed_for.get().is_some_and(|armed_for| armed_for <= earliest) {
                return Ok(None);
            }
            let wait = earliest.saturating_duration_since(clock::monotonic());
            if wait.is_zero() {
                self.has_struck.set(true);
                return Ok(Some(Duration::ZERO));
            }
            let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
            let it_value = Timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let new = Itimerspec { it_interval, it_value };
            // Arming again clears the count of expirations, so it need not be read.
            timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &new)?;
            self.armed_for.set(Some(earliest));
            Ok(None)
        }

        /// Notes that the system's timer expired.
        pub(in super::super) fn has_struck(&self) {
            self.armed_for.set(None);
            self.has_struck.set(true);
        }

        /// Fires the timers whose time has come, where that may be so.
        pub(in super::super) fn fire(&self, timers: &Timers) {
            if self.has_struck.replace(false) {
                timers.fire(clock::monotonic());
            }
        }
    }
}

/// What makes a wait end when the earliest timer is due.
#[cfg(not(target_os = "linux"))]
mod clockwork {
    use mio::Registry;

    use super::{Duration, Timers, clock, io};

    /// The poller itself, whose waits have limits.
    pub(in super::super) struct Clockwork;

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as on Linux, where there is something"
    )]
    impl Clockwork {
        pub(in super::super) fn new(_registry: &Registry) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in super::super) fn limit_of_wait(&self, timers: &Timers) -> io::Result<Option<Duration>> {
            Ok(timers.earliest.get().map(|earliest| earliest.saturating_duration_since(clock::monotonic())))
        }

        pub(in super::super) fn has_struck(&self) {}

        pub(in super::super) fn fire(&self, timers: &Timers) {
            if timers.earliest.get().is_some() {
                timers.fire(clock::monotonic());
            }
        }
    }
}
