//! The pacer says when: the measured window, its rounds, and the instants at which requests are due.
//!
//! Everything here is arithmetic on instants. A due time is computed from the start of the run, never from the time
//! of a wake-up, so no delay of the generator or the server can shift the schedule.

use std::time::{Duration, Instant};

use crate::scenario::{LoadProfile, Rate};

/// No run and no request lasts longer; it keeps instants from overflowing, whatever a configuration says.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// When a run is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// When the first request is due: the beginning of the warm-up.
    pub(crate) starts_at: Instant,
    /// When measuring begins.
    pub(crate) measured_from: Instant,
    /// When measuring ends and nothing is sent any more.
    pub(crate) ends_at: Instant,
    round_ns: u64,
    rounds: u32,
}

impl Window {
    /// Lays out a profile's warm-up and rounds from a start.
    pub(crate) fn new(starts_at: Instant, profile: &LoadProfile) -> Self {
        let duration = bounded(profile.duration);
        let measured_from = starts_at + bounded(profile.warm_up);
        let rounds = profile.rounds.get();
        let round_ns = nanos(duration).div_ceil(u64::from(rounds)).max(1);
        Self { starts_at, measured_from, ends_at: measured_from + duration, round_ns, rounds }
    }

    /// Returns the round that an instant belongs to, or `None` in the warm-up and after the end.
    pub(crate) fn round_at(&self, instant: Instant) -> Option<usize> {
        if instant >= self.ends_at {
            return None;
        }
        let offset = instant.checked_duration_since(self.measured_from)?;
        usize::try_from(nanos(offset) / self.round_ns).ok()
    }

    /// Returns when a round begins; for the number of rounds, when the last one ends.
    pub(crate) fn round_start(&self, round: u32) -> Instant {
        let offset = Duration::from_nanos(self.round_ns.saturating_mul(u64::from(round)));
        (self.measured_from + offset).min(self.ends_at)
    }

    /// Returns how many rounds had begun by an instant.
    pub(crate) fn rounds_begun(&self, instant: Instant) -> u32 {
        match instant.checked_duration_since(self.measured_from) {
            Some(offset) if !offset.is_zero() => {
                let begun = nanos(offset).div_ceil(self.round_ns);
                u32::try_from(begun).unwrap_or(u32::MAX).min(self.rounds)
            }
            _ => 0,
        }
    }
}

/// Which of several equal parts of a schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// The part's number, from 0.
    pub(crate) number: u32,
    /// How many parts there are.
    pub(crate) of: u32,
}

/// One worker's share of an open loop's schedule: every `workers`-th request of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    starts_at: Instant,
    rate: f64,
    part: Part,
}

impl Schedule {
    /// Takes one part of the schedule.
    pub(crate) fn new(starts_at: Instant, rate: Rate, part: Part) -> Self {
        Self { starts_at, rate: rate.requests_per_second(), part }
    }

    /// Returns when this worker's request number `index` is due.
    pub(crate) fn due_at(&self, index: u64) -> Instant {
        let number = index.saturating_mul(self.part.of.into()).saturating_add(self.part.number.into());
        self.starts_at + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Returns this worker's first request that is due at an instant or later.
    pub(crate) fn first_due_from(&self, instant: Instant) -> u64 {
        let offset = instant.saturating_duration_since(self.starts_at).as_secs_f64();
        let estimate = (offset * self.rate / f64::from(self.part.of)).floor() as u64;
        // Rounding may put the estimate off by one, the part's number by another.
        let mut index = estimate.saturating_sub(2);
        while self.due_at(index) < instant {
            index += 1;
        }
        index
    }
}

/// One worker's share of a closed loop's ceiling: a slot is used once or lost, so no burst makes up for a pause.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceiling {
    next_slot: Instant,
    interval: Duration,
}

impl Ceiling {
    /// Takes one part of the ceiling; the parts begin one after the other.
    pub(crate) fn new(starts_at: Instant, rate: Rate, part: Part) -> Self {
        let between = Duration::from_secs_f64(1.0 / rate.requests_per_second());
        Self { next_slot: starts_at + between * part.number, interval: between * part.of }
    }

    /// Takes the next free slot, which is not before `now`.
    pub(crate) fn take_slot(&mut self, now: Instant) -> Instant {
        let slot = self.next_slot.max(now);
        self.next_slot = slot + self.interval;
        slot
    }
}

/// Returns a duration that can be added to an instant.
pub(crate) fn bounded(duration: Duration) -> Duration {
    duration.min(LONGEST)
}

/// Returns a duration in nanoseconds; five hundred years are the most.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::clock;
    use crate::scenario::Pacing;

    fn window(start: Instant, warm_up_ms: u64, duration_ms: u64, rounds: u32) -> Window {
        let rate = Rate::per_second(1.0).unwrap();
        let profile = LoadProfile {
            pacing: Pacing::OpenLoop { rate },
            connections: NonZeroU32::MIN,
            duration: Duration::from_millis(duration_ms),
            warm_up: Duration::from_millis(warm_up_ms),
            rounds: NonZeroU32::new(rounds).unwrap(),
            timeout: Duration::from_secs(1),
        };
        Window::new(start, &profile)
    }

    #[test]
    fn every_instant_of_the_measured_time_has_one_round() {
        let start = clock::monotonic();
        let window = window(start, 1000, 3000, 3);
        let round_at = |ms| window.round_at(start + Duration::from_millis(ms));

        assert_eq!([round_at(0), round_at(999)], [None, None]);
        assert_eq!(
            [round_at(1000), round_at(1999), round_at(2000), round_at(3999)].map(Option::unwrap),
            [0, 0, 1, 2]
        );
        assert_eq!(round_at(4000), None);
        assert_eq!(window.round_start(3), window.ends_at);
    }

    #[test]
    fn a_duration_that_rounds_do_not_divide_gives_no_extra_round() {
        let start = clock::monotonic();
        let window = window(start, 0, 1, 7);

        assert_eq!(window.round_at(window.ends_at - Duration::from_nanos(1)), Some(6));
        assert_eq!(window.rounds_begun(window.ends_at), 7);
    }

    #[test]
    fn a_round_has_begun_when_a_part_of_it_is_over() {
        let start = clock::monotonic();
        let window = window(start, 100, 300, 3);
        let begun = |ms| window.rounds_begun(start + Duration::from_millis(ms));

        assert_eq!(
            [begun(0), begun(100), begun(101), begun(200), begun(201), begun(9000)],
            [0, 0, 1, 1, 2, 3]
        );
    }

    #[test]
    fn workers_together_hold_the_schedule_exactly() {
        let start = clock::monotonic();
        let rate = Rate::per_second(333.3).unwrap();
        let alone = Schedule::new(start, rate, Part { number: 0, of: 1 });

        let mut together: Vec<Instant> = (0..3)
            .flat_map(|number| {
                (0..100).map(move |index| Schedule::new(start, rate, Part { number, of: 3 }).due_at(index))
            })
            .collect();
        together.sort_unstable();

        assert_eq!(together, (0..300).map(|index| alone.due_at(index)).collect::<Vec<_>>());
    }

    #[test]
    fn a_ceiling_does_not_save_up_unused_slots() {
        let start = clock::monotonic();
        let mut ceiling = Ceiling::new(start, Rate::per_second(10.0).unwrap(), Part { number: 0, of: 1 });
        let late = start + Duration::from_secs(5);

        assert_eq!(ceiling.take_slot(start), start);
        assert_eq!(ceiling.take_slot(late), late);
        assert_eq!(ceiling.take_slot(late), late + Duration::from_millis(100));
    }

    proptest! {
        #[test]
        fn counting_due_requests_agrees_with_their_times(
            rate in 0.01_f64..1e6, number in 0_u32..4, more in 1_u32..4, offset_ms in 0_u64..100_000,
        ) {
            let start = clock::monotonic();
            let schedule = Schedule::new(start, Rate::per_second(rate).unwrap(), Part { number, of: number + more });
            let instant = start + Duration::from_millis(offset_ms);

            let index = schedule.first_due_from(instant);

            prop_assert!(schedule.due_at(index) >= instant);
            prop_assert!(index == 0 || schedule.due_at(index - 1) < instant);
        }
    }
}
