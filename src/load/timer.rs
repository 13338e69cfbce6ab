//! A timer that is finer than tokio's, which wakes in whole milliseconds and would add half of one to each request.
//!
//! On Linux it is a `timerfd`: two system calls a wake-up (arm, wait). The kernel wakes a sleeper 30 to 80 µs late, so
//! where a processor is free the timer is set that much earlier and the rest is spun through while the worker's other
//! tasks go on; that takes at most a quarter of the waiting time. Elsewhere it is tokio's own timer.

use std::io;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
pub(crate) use linux::Timer;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Timer;

/// The most that a wake-up is brought forward: a processor that is asleep comes back within it.
const LONGEST_LEAD: Duration = Duration::from_micros(100);

/// The first guess of a wake-up's lateness, in the middle of what machines need.
const FIRST_LEAD: Duration = Duration::from_micros(50);

/// How much one wake-up that was later than the lead lengthens it.
const LENGTHENING: Duration = Duration::from_micros(5);

/// How much one that was not shortens it: at rest one wake-up in twenty is later than the lead.
const SHORTENING: Duration = Duration::from_nanos(LENGTHENING.as_nanos() as u64 / 19);

/// A wake-up this late waited for its processor, not for the processor's waking.
const CROWDED: Duration = Duration::from_millis(1);

/// The share of a wait that may be spun through, as a divisor: the service may need the processor, too.
const LARGEST_SPIN_DIVISOR: u32 = 4;

/// How much earlier than asked a timer wakes, learnt from how late its wake-ups come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lead(Option<Duration>);

impl Lead {
    /// Wakes when asked, so a little late; takes no processor.
    pub(crate) const NONE: Self = Self(None);

    /// Learns a lead where some processor is left when each of the workers has its own, and none elsewhere: the
    /// service that is measured must not lose time to a spin.
    pub(crate) fn for_workers(workers: u32) -> Self {
        Self((processors::usable() > workers as usize).then_some(FIRST_LEAD))
    }

    /// Returns by how much a wait is cut short.
    fn within(self, wait: Duration) -> Duration {
        self.0.unwrap_or_default().min(wait / LARGEST_SPIN_DIVISOR)
    }

    /// Takes note of how late a wake-up came. One that had to wait for others ends the spinning: a busy processor has
    /// no time for it, and the lead must be learnt anew.
    fn learn(self, lateness: Duration) -> Self {
        Self(self.0.map(|lead| {
            if lateness > CROWDED {
                return Duration::ZERO;
            }
            if lateness > lead {
                (lead + LENGTHENING).min(LONGEST_LEAD)
            } else {
                lead.saturating_sub(SHORTENING)
            }
        }))
    }
}

/// How many processors there are for us and the service together.
mod processors {
    use std::thread;

    /// Returns how many processors this process may keep busy, those beside a pinned process included.
    ///
    /// Who pins the load to one processor has put the service on another; who limits its processor time has not.
    #[cfg(target_os = "linux")]
    pub(super) fn usable() -> usize {
        let allowed = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize);
        let granted = thread::available_parallelism().map_or(1, usize::from);
        if granted < allowed {
            return granted;
        }
        let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
        count(&online).unwrap_or(granted)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn usable() -> usize {
        thread::available_parallelism().map_or(1, usize::from)
    }

    /// Counts the processors of a list such as `0-3,6`.
    #[cfg(target_os = "linux")]
    pub(super) fn count(list: &str) -> Option<usize> {
        list.trim()
            .split(',')
            .map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
                last.checked_sub(first)?.checked_add(1)
            })
            .try_fold(0_usize, |sum, count| sum.checked_add(count?))
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::task::yield_now;

    use super::{Duration, Instant, Lead, io};
    use crate::clock;

    /// Wakes one task at instants.
    pub(crate) struct Timer {
        fd: AsyncFd<OwnedFd>,
        lead: Cell<Lead>,
    }

    impl Timer {
        /// Makes a timer for the current runtime.
        #[expect(
            deprecated,
            reason = "sound here: an `OwnedFd` keeps its descriptor, and what the successor asks for belongs to one other room"
        )]
        pub(crate) fn new(lead: Lead) -> io::Result<Self> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
            Ok(Self { fd, lead: Cell::new(lead) })
        }

        /// Waits until an instant; returns at once where it has passed.
        pub(crate) async fn sleep_until(&self, instant: Instant) -> io::Result<()> {
            let wait = instant.saturating_duration_since(clock::monotonic());
            if wait.is_zero() {
                return Ok(());
            }
            let lead = self.lead.get();
            let wake_at = instant - lead.within(wait);
            self.wake_at(wake_at, wake_at.saturating_duration_since(instant - wait)).await?;
            let mut now = clock::monotonic();
            self.lead.set(lead.learn(now - wake_at));
            while now < instant {
                // Other tasks and the sockets have their turn in between.
                yield_now().await;
                now = clock::monotonic();
            }
            Ok(())
        }

        async fn wake_at(&self, instant: Instant, wait: Duration) -> io::Result<()> {
            let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
            let it_value = Timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            timerfd_settime(
                self.fd.get_ref(),
                TimerfdTimerFlags::empty(),
                &Itimerspec { it_interval, it_value },
            )?;
            loop {
                // Arming again clears the count of expirations, so it need not be read.
                self.fd.readable().await?.clear_ready();
                if clock::monotonic() >= instant {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::{Instant, Lead, io};

    /// Wakes one task at instants.
    pub(crate) struct Timer;

    impl Timer {
        /// Makes a timer for the current runtime.
        #[expect(clippy::unnecessary_wraps, reason = "the Linux timer can fail")]
        pub(crate) fn new(_lead: Lead) -> io::Result<Self> {
            Ok(Self)
        }

        /// Waits until an instant; returns at once where it has passed.
        pub(crate) async fn sleep_until(&self, instant: Instant) -> io::Result<()> {
            tokio::time::sleep_until(instant.into()).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const US: Duration = Duration::from_micros(1);

    #[tokio::test]
    async fn it_never_wakes_early() {
        for lead in [Lead::NONE, Lead(Some(FIRST_LEAD))] {
            let timer = Timer::new(lead).unwrap();

            for wait_us in [0, 1, 50, 700, 1500, 3000] {
                let instant = clock::monotonic() + US * wait_us;
                timer.sleep_until(instant).await.unwrap();
                assert!(clock::monotonic() >= instant, "{lead:?} {wait_us}");
            }
        }
    }

    #[tokio::test]
    async fn an_abandoned_wait_does_not_end_the_next_one() {
        let timer = Timer::new(Lead::NONE).unwrap();
        let soon = clock::monotonic() + US * 5_000;
        let later = clock::monotonic() + US * 20_000;

        tokio::select! {
            biased;
            result = timer.sleep_until(soon) => panic!("{result:?} at once"),
            () = std::future::ready(()) => {}
        }
        timer.sleep_until(later).await.unwrap();

        assert!(clock::monotonic() >= later);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn other_tasks_go_on_while_the_rest_of_a_wait_is_spun_through() {
        let timer = Timer::new(Lead(Some(LONGEST_LEAD))).unwrap();
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let local = tokio::task::LocalSet::new();
        let counter = std::rc::Rc::clone(&turns);
        local.spawn_local(async move {
            loop {
                counter.set(counter.get() + 1);
                tokio::task::yield_now().await;
            }
        });

        local.run_until(async { timer.sleep_until(clock::monotonic() + US * 2_000).await.unwrap() }).await;

        assert!(turns.get() > 1, "{}", turns.get());
    }

    #[test]
    fn a_lead_settles_where_one_wake_up_in_twenty_is_later() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut lead = Lead(Some(FIRST_LEAD));

        for _ in 0..5_000 {
            lead = lead.learn(US * random.u32(10..90));
        }

        let settled = lead.within(Duration::from_secs(1));
        assert!((US * 78..US * 94).contains(&settled), "{settled:?}");
    }

    #[test]
    fn a_lead_is_bounded_whatever_it_learns_and_takes_a_quarter_of_a_wait_at_most() {
        let mut lead = Lead(Some(FIRST_LEAD));
        for _ in 0..1_000 {
            lead = lead.learn(US * 900);
        }

        assert_eq!(lead.within(Duration::from_secs(1)), LONGEST_LEAD);
        assert_eq!(lead.within(US * 100), US * 25);
        for _ in 0..1_000 {
            lead = lead.learn(Duration::ZERO);
        }
        assert_eq!(lead.within(Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn a_wake_up_that_waited_for_a_busy_processor_ends_the_spinning() {
        let lead = Lead(Some(LONGEST_LEAD)).learn(US * 1_001);

        assert_eq!(lead.within(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(lead.learn(US * 60).within(Duration::from_secs(1)), LENGTHENING);
    }

    #[test]
    fn without_a_processor_to_spare_nothing_is_spun() {
        assert_eq!(
            Lead::for_workers(u32::MAX).learn(LONGEST_LEAD).within(Duration::from_secs(1)),
            Duration::ZERO
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_list_of_processors_is_counted() {
        assert_eq!(
            ["0", "0-1\n", "0-3,6", "2,4-5"].map(processors::count),
            [Some(1), Some(2), Some(5), Some(3)]
        );
        assert_eq!(["", "3-1", "a"].map(processors::count), [None; 3]);
    }
}
