//! Calm watches latency in a warm-up, slice by slice of time, until it is steady.
//!
//! All workers note their answers in one small histogram of counters for each slice, without a lock: they do so in
//! a warm-up only, and only where the profile asks for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::nanos;
use crate::stats::is_steady;

/// A slice is as long as this, where the warm-up is long enough to hold some.
const LONGEST_SLICE: Duration = Duration::from_secs(1);

/// A warm-up holds at least so many slices, so that a short one can be steady too.
const LEAST_SLICES: u32 = 20;

/// So many slices in a row have to agree: fewer show no trend with any confidence (see `stats::is_steady`).
const SLICES: usize = 8;

/// Slices that are kept until the watcher has looked at them; it comes ten times a second.
const KEPT_SLICES: usize = 16;

/// Counters for each doubling of the latency: two per cent wide each.
const COUNTERS_PER_OCTAVE: f64 = 32.0;

/// From 1 µs to over an hour: 32 doublings.
const COUNTERS: usize = 1024;

/// What the watcher finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The last slices agree.
    Steady,
    /// They don't, or there are too few.
    Unsteady,
}

/// Watches the latency of a warm-up.
#[derive(Debug)]
pub(super) struct Calm {
    from: Instant,
    slice: Duration,
    slices: Vec<Slice>,
    medians: Mutex<Medians>,
    was_found: AtomicBool,
}

/// The answers of one slice, by latency.
#[derive(Debug)]
struct Slice(Vec<AtomicU32>);

#[derive(Debug, Default)]
struct Medians {
    /// How many slices are over and looked at.
    seen: u64,
    /// The newest medians in a row, oldest first; a slice without answers ends the row.
    row: Vec<f64>,
}

impl Calm {
    /// Watches from an instant on, for so long at most.
    pub(super) fn new(from: Instant, at_most: Duration) -> Self {
        Self {
            from,
            slice: (at_most / LEAST_SLICES).clamp(Duration::from_millis(1), LONGEST_SLICE),
            slices: (0..KEPT_SLICES).map(|_| Slice::empty()).collect(),
            medians: Mutex::default(),
            was_found: AtomicBool::new(false),
        }
    }

    /// Takes note of an answer.
    pub(super) fn note(&self, finished_at: Instant, latency: Duration) {
        if let Some(since) = finished_at.checked_duration_since(self.from) {
            self.slice_of(nanos(since) / nanos(self.slice)).count(latency);
        }
    }

    /// Looks at the slices that are over.
    pub(super) fn look(&self, now: Instant) -> Finding {
        let Ok(mut medians) = self.medians.lock() else { return Finding::Unsteady };
        let over = nanos(now.saturating_duration_since(self.from)) / nanos(self.slice);
        // A watcher that was away for long has lost the slices whose counters were used again.
        let lost = over.saturating_sub(medians.seen).saturating_sub(KEPT_SLICES as u64 - 1);
        if lost > 0 {
            medians.seen += lost;
            medians.row.clear();
        }
        while medians.seen < over {
            match self.slice_of(medians.seen).take_median() {
                Some(median) => medians.row.push(median),
                None => medians.row.clear(),
            }
            medians.seen += 1;
        }
        let surplus = medians.row.len().saturating_sub(SLICES);
        medians.row.drain(..surplus);
        if medians.row.len() < SLICES || !is_steady(&medians.row) {
            return Finding::Unsteady;
        }
        self.was_found.store(true, Ordering::Relaxed);
        Finding::Steady
    }

    /// Returns whether it ever found a steady state.
    pub(super) fn was_found(&self) -> bool {
        self.was_found.load(Ordering::Relaxed)
    }

    fn slice_of(&self, number: u64) -> &Slice {
        &self.slices[(number % KEPT_SLICES as u64) as usize]
    }
}

impl Slice {
    fn empty() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU32::new(0)).collect())
    }

    fn count(&self, latency: Duration) {
        let doublings = (latency.as_secs_f64() * 1e6).max(1.0).log2();
        let counter = (doublings * COUNTERS_PER_OCTAVE) as usize;
        self.0[counter.min(COUNTERS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the median in microseconds and sets all counters to zero.
    fn take_median(&self) -> Option<f64> {
        let counts: Vec<f64> =
            self.0.iter().map(|counter| f64::from(counter.swap(0, Ordering::Relaxed))).collect();
        let half = counts.iter().sum::<f64>() / 2.0;
        let mut below = 0.0;
        for (number, count) in counts.into_iter().enumerate() {
            if count > 0.0 && below + count >= half {
                // Inside a counter latencies count as spread evenly.
                let inside = (half - below) / count;
                return Some(((number as f64 + inside) / COUNTERS_PER_OCTAVE).exp2());
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    /// Notes a hundred answers in each of twenty slices of a second and looks after each.
    fn found_after(latency_ms: impl Fn(u32) -> Option<f64>) -> Option<u32> {
        let start = clock::monotonic();
        let calm = Calm::new(start, Duration::from_secs(20));
        for second in 0..20 {
            for answer in 0..100 {
                if let Some(median_ms) = latency_ms(second) {
                    let latency_ms = median_ms * (0.9 + f64::from(answer) / 500.0);
                    let at = start + MS * (second * 1000 + answer * 10);
                    calm.note(at, Duration::from_secs_f64(latency_ms / 1e3));
                }
            }
            if calm.look(start + MS * (second + 1) * 1000) == Finding::Steady {
                assert!(calm.was_found());
                return Some(second + 1);
            }
        }
        assert!(!calm.was_found());
        None
    }

    #[test]
    fn equal_slices_are_steady_as_soon_as_there_are_enough() {
        assert_eq!(found_after(|_| Some(5.0)), Some(8));
    }

    #[test]
    fn a_service_that_warms_up_is_steady_when_it_has() {
        let found = found_after(|second| Some(5.0 + 20.0 / f64::from(1 << second.min(20)))).unwrap();

        assert!((12..=18).contains(&found), "{found}");
    }

    #[test]
    fn what_goes_on_getting_slower_is_never_steady() {
        assert_eq!(found_after(|second| Some(5.0 * 1.02_f64.powi(second as i32))), None);
    }

    #[test]
    fn what_jumps_about_is_never_steady() {
        assert_eq!(found_after(|second| Some(if second % 3 == 0 { 9.0 } else { 5.0 })), None);
    }

    #[test]
    fn a_silent_service_is_never_steady_and_a_pause_begins_anew() {
        assert_eq!(found_after(|_| None), None);
        assert_eq!(found_after(|second| (second != 4).then_some(5.0)), Some(13));
    }

    #[test]
    fn the_median_of_a_slice_is_within_two_per_cent() {
        let slice = Slice::empty();
        for us in 1..=999_u64 {
            slice.count(Duration::from_micros(us));
        }

        let median_us = slice.take_median().unwrap();

        assert!((median_us / 500.0 - 1.0).abs() < 0.025, "{median_us}");
        assert_eq!(slice.take_median(), None);
    }

    #[test]
    fn a_watcher_that_was_away_begins_anew() {
        let start = clock::monotonic();
        let calm = Calm::new(start, Duration::from_secs(20));
        for second in 0..40 {
            calm.note(start + MS * second * 1000, 5 * MS);
        }

        assert_eq!(calm.look(start + MS * 40_000), Finding::Steady);
        assert_eq!(calm.medians.lock().unwrap().seen, 40);
    }
}
