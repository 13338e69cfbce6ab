//! A ceiling keeps a closed loop below a rate, whatever its connections could do.

use std::time::{Duration, Instant};

use super::Part;
use crate::scenario::Rate;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_ceiling_does_not_save_up_unused_slots() {
        let start = clock::monotonic();
        let mut ceiling = Ceiling::new(start, Rate::per_second(10.0).unwrap(), Part { number: 0, of: 1 });
        let late = start + Duration::from_secs(5);

        assert_eq!(ceiling.take_slot(start), start);
        assert_eq!(ceiling.take_slot(late), late);
        assert_eq!(ceiling.take_slot(late), late + Duration::from_millis(100));
    }
}
