//! A window is what of a run is measured, and in which rounds; all workers share one.
//!
//! Where the warm-up waits for a steady state, nobody knows beforehand when measuring begins. Whoever watches the
//! run announces that once, a little ahead, so that every worker knows it before the first request is due then.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::calm::{Calm, Finding};
use super::{LONGEST, bounded, nanos};
use crate::measurement::SteadyState;
use crate::scenario::LoadProfile;

/// The beginning of the measured time is announced this long ahead; the watcher looks twice as often.
const NOTICE: Duration = Duration::from_millis(200);

/// When a run is measured.
#[derive(Debug, Clone)]
pub(crate) struct Window(Arc<Frame>);

/// One round of the measured time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Its number.
    pub(crate) round: usize,
    from: Instant,
    to: Instant,
}

impl Span {
    /// Returns whether an instant belongs to the round.
    pub(crate) fn contains(&self, instant: Instant) -> bool {
        self.from <= instant && instant < self.to
    }
}

#[derive(Debug)]
struct Frame {
    starts_at: Instant,
    lead_in: Duration,
    duration: Duration,
    round_ns: u64,
    rounds: u32,
    /// When measuring begins and when it ends.
    measured: OnceLock<(Instant, Instant)>,
    /// Fires when `measured` is set.
    announced: CancellationToken,
    /// Where the warm-up waits for a steady state.
    calm: Option<Calm>,
}

impl Window {
    /// Lays out a profile's lead-in and rounds from a start.
    pub(crate) fn new(starts_at: Instant, profile: &LoadProfile) -> Self {
        let (duration, lead_in) = (bounded(profile.duration), bounded(profile.lead_in()));
        let rounds = profile.rounds.get();
        let calm = profile.until_steady.then(|| Calm::new(starts_at + bounded(profile.ramp), lead_in));
        let window = Self(Arc::new(Frame {
            starts_at,
            lead_in,
            duration,
            round_ns: nanos(duration).div_ceil(u64::from(rounds)).max(1),
            rounds,
            measured: OnceLock::new(),
            announced: CancellationToken::new(),
            calm,
        }));
        if window.0.calm.is_none() {
            window.announce(starts_at + lead_in);
        }
        window
    }

    /// Returns when load begins to flow.
    pub(crate) fn starts_at(&self) -> Instant {
        self.0.starts_at
    }

    /// Returns when measuring begins, where that is known.
    pub(crate) fn measured_from(&self) -> Option<Instant> {
        self.0.measured.get().map(|&(from, _)| from)
    }

    /// Returns when measuring ends and nothing is sent any more; far away where nobody knows yet when it begins.
    pub(crate) fn ends_at(&self) -> Instant {
        self.0.measured.get().map_or_else(|| self.0.starts_at + LONGEST, |&(_, to)| to)
    }

    /// Returns how long load flows, as far as that is known: the most of it during the warm-up.
    pub(crate) fn total(&self) -> Duration {
        let lead_in = self.measured_from().map_or(self.0.lead_in, |from| from - self.0.starts_at);
        lead_in + self.0.duration
    }

    /// Waits until it is known when measuring begins.
    pub(crate) async fn announced(&self) {
        self.0.announced.cancelled().await;
    }

    /// Returns the round that an instant belongs to, or `None` in the lead-in and after the end.
    pub(crate) fn round_at(&self, instant: Instant) -> Option<usize> {
        let offset = instant.checked_duration_since(self.measured_from()?)?;
        if offset >= self.0.duration {
            return None;
        }
        usize::try_from(nanos(offset) / self.0.round_ns).ok()
    }

    /// Returns the round that an instant belongs to with its beginning and its end, so that it need not be sought for
    /// each of many instants.
    pub(crate) fn span_at(&self, instant: Instant) -> Option<Span> {
        let round = self.round_at(instant)?;
        let number = u32::try_from(round).ok()?;
        Some(Span { round, from: self.round_start(number)?, to: self.round_start(number + 1)? })
    }

    /// Returns when a round begins, where that is known; for the number of rounds, when the last one ends.
    pub(crate) fn round_start(&self, round: u32) -> Option<Instant> {
        let offset = Duration::from_nanos(self.0.round_ns.saturating_mul(u64::from(round)));
        Some(self.measured_from()? + offset.min(self.0.duration))
    }

    /// Returns how many rounds had begun by an instant.
    pub(crate) fn rounds_begun(&self, instant: Instant) -> u32 {
        match self.measured_from().and_then(|from| instant.checked_duration_since(from)) {
            Some(offset) if !offset.is_zero() => {
                let begun = nanos(offset).div_ceil(self.0.round_ns);
                u32::try_from(begun).unwrap_or(u32::MAX).min(self.0.rounds)
            }
            _ => 0,
        }
    }

    /// Takes note of an answer that belongs to no round: where the warm-up waits for a steady state, its latency
    /// helps to find it.
    pub(crate) fn note_unmeasured(&self, finished_at: Instant, latency: Duration) {
        if let Some(calm) = &self.0.calm
            && self.measured_from().is_none()
        {
            calm.note(finished_at, latency);
        }
    }

    /// Announces the measured time when the warm-up has been steady or long enough; called about ten times a second.
    pub(crate) fn watch(&self, now: Instant) {
        let Some(calm) = self.0.calm.as_ref().filter(|_| self.measured_from().is_none()) else { return };
        let latest = self.0.starts_at + self.0.lead_in;
        if calm.look(now) == Finding::Steady {
            self.announce(now + NOTICE);
        } else if now + NOTICE >= latest {
            self.announce(latest.max(now + NOTICE / 2));
        }
    }

    /// Returns whether the warm-up found a steady state.
    pub(crate) fn steady_state(&self) -> SteadyState {
        match &self.0.calm {
            None => SteadyState::NotSought,
            Some(calm) if calm.was_found() => SteadyState::Found,
            Some(_) => SteadyState::NotFound,
        }
    }

    fn announce(&self, measured_from: Instant) {
        // The first announcement holds: only one thread makes any.
        let _ = self.0.measured.set((measured_from, measured_from + self.0.duration));
        self.0.announced.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock;
    use crate::scenario::{Pacing, Rate};

    const MS: Duration = Duration::from_millis(1);

    fn profile(warm_up_ms: u32, duration_ms: u32, rounds: u32) -> LoadProfile {
        let pacing = Pacing::open(Rate::per_second(1.0).unwrap());
        LoadProfile {
            duration: duration_ms * MS,
            warm_up: warm_up_ms * MS,
            rounds: NonZeroU32::new(rounds).unwrap(),
            ..LoadProfile::plain(pacing, NonZeroU32::MIN)
        }
    }

    fn until_steady(start: Instant, at_most_ms: u32) -> Window {
        let profile = LoadProfile { until_steady: true, ..profile(at_most_ms, 1000, 2) };
        Window::new(start, &profile)
    }

    #[test]
    fn every_instant_of_the_measured_time_has_one_round() {
        let start = clock::monotonic();
        let window = Window::new(start, &profile(1000, 3000, 3));
        let round_at = |ms| window.round_at(start + ms * MS);

        assert_eq!([round_at(0), round_at(999)], [None, None]);
        assert_eq!(
            [round_at(1000), round_at(1999), round_at(2000), round_at(3999)].map(Option::unwrap),
            [0, 0, 1, 2]
        );
        assert_eq!(round_at(4000), None);
        assert_eq!(window.round_start(3), Some(window.ends_at()));
        assert_eq!(window.steady_state(), SteadyState::NotSought);
    }

    #[test]
    fn a_span_holds_the_instants_of_its_round_and_no_others() {
        let start = clock::monotonic();
        // Three rounds of 334, 333 and 333 milliseconds and a bit.
        let window = Window::new(start, &profile(100, 1000, 3));

        for ms in 0..1200 {
            let instant = start + ms * MS;
            let round = window.round_at(instant);
            assert_eq!(window.span_at(instant).map(|span| span.round), round, "{ms}");
            for other in 0..3 {
                let span = window.span_at(window.round_start(other).unwrap()).unwrap();
                assert_eq!(span.contains(instant), round == Some(span.round), "{ms} {other}");
            }
        }
    }

    #[test]
    fn a_duration_that_rounds_do_not_divide_gives_no_extra_round() {
        let start = clock::monotonic();
        let window = Window::new(start, &profile(0, 1, 7));

        assert_eq!(window.round_at(window.ends_at() - Duration::from_nanos(1)), Some(6));
        assert_eq!(window.rounds_begun(window.ends_at()), 7);
    }

    #[test]
    fn a_round_has_begun_when_a_part_of_it_is_over() {
        let start = clock::monotonic();
        let window = Window::new(start, &profile(100, 300, 3));
        let begun = |ms| window.rounds_begun(start + ms * MS);

        assert_eq!(
            [begun(0), begun(100), begun(101), begun(200), begun(201), begun(9000)],
            [0, 0, 1, 1, 2, 3]
        );
    }

    #[test]
    fn a_ramp_that_is_longer_than_the_warm_up_comes_before_the_measured_time() {
        let start = clock::monotonic();
        let window = Window::new(start, &LoadProfile { ramp: 50 * MS, ..profile(0, 300, 1) });

        assert_eq!(window.measured_from(), Some(start + 50 * MS));
        assert_eq!(window.total(), 350 * MS);
    }

    #[test]
    fn nothing_is_measured_before_the_announcement() {
        let start = clock::monotonic();
        let window = until_steady(start, 2000);

        window.watch(start + 1000 * MS);

        assert_eq!((window.measured_from(), window.round_at(start + 1500 * MS)), (None, None));
        assert_eq!((window.rounds_begun(start + 1500 * MS), window.round_start(0)), (0, None));
        assert!(window.ends_at() > start + 3_600_000 * MS);
        assert_eq!(window.total(), 3000 * MS);
    }

    #[test]
    fn a_steady_warm_up_ends_early_and_is_announced_ahead() {
        let start = clock::monotonic();
        let window = until_steady(start, 2000);
        for ms in 0..900 {
            window.note_unmeasured(start + ms * MS, 5 * MS);
        }

        window.watch(start + 900 * MS);

        assert_eq!(window.measured_from(), Some(start + 1100 * MS));
        assert_eq!((window.total(), window.ends_at()), (2100 * MS, start + 2100 * MS));
        assert_eq!(window.steady_state(), SteadyState::Found);
        assert_eq!(window.round_at(start + 1700 * MS), Some(1));
    }

    #[test]
    fn a_warm_up_without_a_steady_state_ends_all_the_same() {
        let start = clock::monotonic();
        let window = until_steady(start, 2000);
        for ms in 0..1900 {
            window.note_unmeasured(start + ms * MS, MS * (ms + 1));
            if ms % 100 == 99 {
                window.watch(start + ms * MS);
            }
        }

        assert_eq!(window.measured_from(), Some(start + 2000 * MS));
        assert_eq!(window.steady_state(), SteadyState::NotFound);
    }

    #[test]
    fn an_announcement_that_comes_too_late_never_lies_in_the_past() {
        let start = clock::monotonic();
        let window = until_steady(start, 2000);

        window.watch(start + 5000 * MS);

        assert_eq!(window.measured_from(), Some(start + 5100 * MS));
    }
}
