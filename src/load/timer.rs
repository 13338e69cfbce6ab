//! A timer that wakes when it is asked to, not a little later.
//!
//! The kernel wakes a sleeper 30 to 80 µs late, so where a processor is free the timer is set that much earlier and the
//! rest is spun through while the worker's other tasks go on; that takes at most half of the waiting time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::engine::{sleep_until, yield_now};
use crate::clock;

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
const LARGEST_SPIN_DIVISOR: u32 = 2;

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

/// Wakes one task at instants.
pub(crate) struct Timer(Cell<Lead>);

impl Timer {
    /// Makes a timer.
    pub(crate) fn new(lead: Lead) -> Self {
        Self(Cell::new(lead))
    }

    /// Waits until an instant; returns at once where it has passed.
    pub(crate) async fn sleep_until(&self, instant: Instant) {
        let wait = instant.saturating_duration_since(clock::monotonic());
        if wait.is_zero() {
            return;
        }
        let lead = self.0.get();
        let wake_at = instant - lead.within(wait);
        sleep_until(wake_at).await;
        let mut now = clock::monotonic();
        self.0.set(lead.learn(now - wake_at));
        while now < instant {
            // Other tasks and the sockets have their turn in between.
            yield_now().await;
            now = clock::monotonic();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::load::engine::{run, spawn};

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn it_never_wakes_early() {
        run(async {
            for lead in [Lead::NONE, Lead(Some(FIRST_LEAD))] {
                let timer = Timer::new(lead);

                for wait_us in [0, 1, 50, 700, 1500, 3000] {
                    let instant = clock::monotonic() + US * wait_us;
                    timer.sleep_until(instant).await;
                    assert!(clock::monotonic() >= instant, "{lead:?} {wait_us}");
                }
            }
        });
    }

    #[test]
    fn an_abandoned_wait_does_not_end_the_next_one() {
        run(async {
            let timer = Timer::new(Lead::NONE);
            let soon = clock::monotonic() + US * 5_000;
            let later = clock::monotonic() + US * 20_000;

            tokio::select! {
                biased;
                () = timer.sleep_until(soon) => panic!("at once"),
                () = std::future::ready(()) => {}
            }
            timer.sleep_until(later).await;

            assert!(clock::monotonic() >= later);
        });
    }

    #[test]
    fn other_tasks_go_on_while_the_rest_of_a_wait_is_spun_through() {
        run(async {
            let timer = Timer::new(Lead(Some(LONGEST_LEAD)));
            let turns = std::rc::Rc::new(Cell::new(0));
            let counter = std::rc::Rc::clone(&turns);
            spawn(async move {
                loop {
                    counter.set(counter.get() + 1);
                    yield_now().await;
                }
            });

            timer.sleep_until(clock::monotonic() + US * 2_000).await;

            assert!(turns.get() > 1, "{}", turns.get());
        });
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
    fn a_lead_is_bounded_whatever_it_learns_and_takes_half_of_a_wait_at_most() {
        let mut lead = Lead(Some(FIRST_LEAD));
        for _ in 0..1_000 {
            lead = lead.learn(US * 900);
        }

        assert_eq!(lead.within(Duration::from_secs(1)), LONGEST_LEAD);
        assert_eq!(lead.within(US * 100), US * 50);
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
