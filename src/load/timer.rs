//! A timer that is finer than tokio's, which wakes in whole milliseconds and would add half of one to each request.
//!
//! On Linux it is a `timerfd`: two system calls a wake-up (arm, wait), typically 40 to 100 µs late, no spinning, so
//! it takes no processor from a service on the same machine. Elsewhere it is tokio's own timer.

use std::io;
use std::time::Instant;

#[cfg(target_os = "linux")]
pub(crate) use linux::Timer;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Instant, io};
    use crate::clock;

    /// Wakes one task at instants.
    pub(crate) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// Makes a timer for the current runtime.
        #[expect(
            deprecated,
            reason = "sound here: an `OwnedFd` keeps its descriptor, and this crate forbids the unsafe successor"
        )]
        pub(crate) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Self(AsyncFd::with_interest(fd, Interest::READABLE)?))
        }

        /// Waits until an instant; returns at once where it has passed.
        pub(crate) async fn sleep_until(&self, instant: Instant) -> io::Result<()> {
            let wait = instant.saturating_duration_since(clock::monotonic());
            if wait.is_zero() {
                return Ok(());
            }
            let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
            let it_value = Timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            timerfd_settime(
                self.0.get_ref(),
                TimerfdTimerFlags::empty(),
                &Itimerspec { it_interval, it_value },
            )?;
            loop {
                // Arming again clears the count of expirations, so it need not be read.
                self.0.readable().await?.clear_ready();
                if clock::monotonic() >= instant {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::{Instant, io};

    /// Wakes one task at instants.
    pub(crate) struct Timer;

    impl Timer {
        /// Makes a timer for the current runtime.
        #[expect(clippy::unnecessary_wraps, reason = "the Linux timer can fail")]
        pub(crate) fn new() -> io::Result<Self> {
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
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn it_never_wakes_early() {
        let timer = Timer::new().unwrap();

        for wait_us in [0, 1, 50, 700, 1500, 3000] {
            let instant = clock::monotonic() + Duration::from_micros(wait_us);
            timer.sleep_until(instant).await.unwrap();
            assert!(clock::monotonic() >= instant, "{wait_us}");
        }
    }

    #[tokio::test]
    async fn an_abandoned_wait_does_not_end_the_next_one() {
        let timer = Timer::new().unwrap();
        let soon = clock::monotonic() + Duration::from_millis(5);
        let later = clock::monotonic() + Duration::from_millis(20);

        tokio::select! {
            biased;
            result = timer.sleep_until(soon) => panic!("{result:?} at once"),
            () = std::future::ready(()) => {}
        }
        timer.sleep_until(later).await.unwrap();

        assert!(clock::monotonic() >= later);
    }
}
