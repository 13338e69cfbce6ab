//! A schedule is one worker's share of the requests of an open loop, in the order in which they are due.
//!
//! With even arrivals it is every `workers`-th request of the whole, so that the workers together hold the schedule
//! exactly and their phases are spread. With Poisson arrivals each worker draws its own: independent Poisson
//! processes add up to one (the superposition theorem).

use std::time::Instant;

use super::{Course, Part, Window, after};
use crate::scenario::Arrivals;

/// An odd number with about as many ones as zeros (2⁶⁴ divided by the golden ratio): it spreads neighbouring seeds.
const SEED_SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// One worker's share of an open loop's requests.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    window: Window,
    course: Course,
    part: Part,
    process: Process,
    /// When measuring began, once the schedule has come so far.
    measured_from: Option<Instant>,
    next: Instant,
}

/// Where in the course's area the next request stands: an area of one for each request of all workers.
#[derive(Debug, Clone)]
enum Process {
    Even { index: u64 },
    Poisson { random: fastrand::Rng, area: f64 },
}

impl Schedule {
    /// Takes one part of the schedule.
    pub(crate) fn new(window: Window, course: Course, arrivals: Arrivals, part: Part) -> Self {
        let process = match arrivals {
            Arrivals::Even => Process::Even { index: 0 },
            Arrivals::Poisson { seed } => {
                let number = u64::from(seed) << 32 | u64::from(part.number);
                let random = fastrand::Rng::with_seed(number.wrapping_mul(SEED_SPREAD));
                Process::Poisson { random, area: 0.0 }
            }
        };
        let starts_at = window.starts_at();
        let mut schedule = Self { window, course, part, process, measured_from: None, next: starts_at };
        schedule.restart();
        schedule
    }

    /// Returns when the next request is due; far away where none is.
    pub(crate) fn due(&mut self) -> Instant {
        self.enter_measured_time(|schedule, from| schedule.next >= from);
        self.next
    }

    /// Goes on to the request after the next `count` ones.
    pub(crate) fn skip(&mut self, count: u64) {
        match &mut self.process {
            Process::Even { index } => *index = index.saturating_add(count),
            Process::Poisson { random, area } => {
                for _ in 0..count {
                    *area += exponential(random) * f64::from(self.part.of);
                }
            }
        }
        self.next = self.instant_of(self.area());
    }

    /// Leaves out what of the lead-in was not taken.
    pub(crate) fn skip_lead_in(&mut self) {
        self.enter_measured_time(|_, _| true);
    }

    /// Returns how many requests are still due before an instant of the measured time.
    pub(crate) fn count_before(&self, instant: Instant) -> u64 {
        let Some(from) = self.measured_from else { return 0 };
        let Process::Even { index } = self.process else {
            let mut ahead = self.clone();
            let mut count = 0;
            while ahead.next < instant {
                ahead.skip(1);
                count += 1;
            }
            return count;
        };
        let offset_s = instant.saturating_duration_since(from).as_secs_f64();
        let area = self.course.measured.area_at(offset_s) - f64::from(self.part.number);
        // Rounding may put the estimate off by one.
        let mut first = ((area / f64::from(self.part.of)).floor().max(0.0) as u64).saturating_sub(1);
        while self.instant_of(self.even_area(first)) < instant {
            first += 1;
        }
        first.saturating_sub(index)
    }

    fn enter_measured_time(&mut self, is_time: impl Fn(&Self, Instant) -> bool) {
        if self.measured_from.is_none()
            && let Some(from) = self.window.measured_from()
            && is_time(self, from)
        {
            self.measured_from = Some(from);
            self.restart();
        }
    }

    fn restart(&mut self) {
        match &mut self.process {
            Process::Even { index } => *index = 0,
            Process::Poisson { area, .. } => *area = 0.0,
        }
        // The first of a Poisson process is as far away as every other; the first of an even one is due at once.
        self.skip(u64::from(matches!(self.process, Process::Poisson { .. })));
    }

    fn area(&self) -> f64 {
        match self.process {
            Process::Even { index } => self.even_area(index),
            Process::Poisson { area, .. } => area,
        }
    }

    fn even_area(&self, index: u64) -> f64 {
        let number = index.saturating_mul(self.part.of.into()).saturating_add(self.part.number.into());
        let offset = if self.measured_from.is_some() { 0.0 } else { self.course.offset };
        number as f64 + offset
    }

    fn instant_of(&self, area: f64) -> Instant {
        match self.measured_from {
            None => after(self.window.starts_at(), self.course.lead_in.time_of_area(area)),
            Some(from) => after(from, self.course.measured.time_of_area(area)),
        }
    }
}

/// Draws from the exponential distribution of mean one.
fn exponential(random: &mut fastrand::Rng) -> f64 {
    -(1.0 - random.f64()).ln()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock;
    use crate::scenario::{LoadProfile, Pacing, Rate, RateShape, Stage, StageRate};

    const MS: Duration = Duration::from_millis(1);

    fn profile(shape: RateShape, arrivals: Arrivals) -> LoadProfile {
        let duration = match &shape {
            RateShape::Constant(_) => 1000 * MS,
            RateShape::Stages(stages) => stages.iter().map(|stage| stage.over).sum(),
        };
        let plain = LoadProfile::plain(Pacing::OpenLoop { shape, arrivals }, NonZeroU32::MIN);
        LoadProfile { duration, ..plain }
    }

    fn constant(rate: f64) -> RateShape {
        RateShape::Constant(Rate::per_second(rate).unwrap())
    }

    fn schedule(start: Instant, profile: &LoadProfile, number: u32, of: u32) -> Schedule {
        let Pacing::OpenLoop { arrivals, .. } = profile.pacing else { panic!("an open loop") };
        Schedule::new(Window::new(start, profile), Course::of(profile), arrivals, Part { number, of })
    }

    fn take(schedule: &mut Schedule) -> Instant {
        let due = schedule.due();
        schedule.skip(1);
        due
    }

    /// Returns everything that is due before an instant.
    fn due_before(mut schedule: Schedule, end: Instant) -> Vec<Instant> {
        let mut due = Vec::new();
        while schedule.due() < end {
            due.push(take(&mut schedule));
        }
        due
    }

    #[test]
    fn a_constant_rate_is_start_plus_number_over_rate() {
        let start = clock::monotonic();
        let mut schedule = schedule(start, &profile(constant(333.3), Arrivals::Even), 0, 1);

        for number in 0..100_000_u32 {
            let due = start + Duration::from_secs_f64(f64::from(number) / 333.3);
            assert_eq!(take(&mut schedule), due, "{number}");
        }
    }

    #[test]
    fn workers_together_hold_the_schedule_exactly() {
        let start = clock::monotonic();
        let stages = vec![
            Stage { target: StageRate::per_second(500.0).unwrap(), over: 700 * MS },
            Stage { target: StageRate::per_second(20.5).unwrap(), over: 900 * MS },
        ];
        for shape in [constant(333.3), RateShape::Stages(stages)] {
            let mut profile = profile(shape, Arrivals::Even);
            profile.warm_up = 300 * MS;
            let profile = profile.with_usual_ramp();
            let end = start + profile.lead_in() + profile.duration;

            let mut together: Vec<Instant> =
                (0..3).flat_map(|number| due_before(schedule(start, &profile, number, 3), end)).collect();
            together.sort_unstable();

            assert_eq!(together, due_before(schedule(start, &profile, 0, 1), end));
        }
    }

    #[test]
    fn the_ramp_climbs_and_ends_just_when_measuring_begins() {
        let start = clock::monotonic();
        let mut profile = profile(constant(101.0), Arrivals::Even);
        (profile.warm_up, profile.ramp) = (1500 * MS, 1000 * MS);

        let due = due_before(schedule(start, &profile, 0, 1), start + 2500 * MS);

        let within = |from: u32, to: u32| {
            due.iter().filter(|due| (start + from * MS..start + to * MS).contains(*due)).count()
        };
        assert_eq!((within(0, 1500), within(1500, 2500)), (101, 101));
        assert!(due.contains(&(start + 1500 * MS)));
        let tenths: Vec<usize> = (0..10).map(|tenth| within(tenth * 100, tenth * 100 + 100)).collect();
        assert!(tenths.is_sorted() && tenths[0] <= 1 && (9..=11).contains(&tenths[9]), "{tenths:?}");
    }

    #[test]
    fn the_schedule_begins_anew_when_measuring_is_announced() {
        let start = clock::monotonic();
        let mut profile = profile(constant(10.0), Arrivals::Even);
        (profile.warm_up, profile.until_steady) = (20_000 * MS, true);
        let window = Window::new(start, &profile);
        let part = Part { number: 0, of: 1 };
        let mut schedule = Schedule::new(window.clone(), Course::of(&profile), Arrivals::Even, part);
        for answer in 0..9_000 {
            window.note_unmeasured(start + answer * MS, MS);
        }
        assert_eq!((take(&mut schedule), take(&mut schedule)), (start, start + 100 * MS));

        window.watch(start + 8010 * MS);

        assert_eq!(window.measured_from(), Some(start + 8210 * MS));
        schedule.skip(81);
        assert_eq!(schedule.due(), start + 8210 * MS);
        schedule.skip(1);
        assert_eq!(schedule.due(), start + 8310 * MS);
    }

    #[test]
    fn a_pause_at_the_end_is_due_never() {
        let start = clock::monotonic();
        let stage = |target, over| Stage { target: StageRate::per_second(target).unwrap(), over };
        let shape =
            RateShape::Stages(vec![stage(10.0, 1000 * MS), stage(0.0, 1000 * MS), stage(0.0, 5000 * MS)]);

        let due = due_before(schedule(start, &profile(shape, Arrivals::Even), 0, 1), start + 7000 * MS);

        assert_eq!(due.len(), 10);
        assert!(*due.last().unwrap() <= start + 2000 * MS);
    }

    #[test]
    fn poisson_arrivals_have_the_right_mean_and_variance() {
        let start = clock::monotonic();
        let profile = profile(constant(1000.0), Arrivals::Poisson { seed: 1 });
        let together: Vec<Instant> = (0..4)
            .flat_map(|number| due_before(schedule(start, &profile, number, 4), start + 100_000 * MS))
            .collect();

        let mut counts = vec![0.0; 1000];
        for due in together {
            counts[(due - start).as_millis() as usize / 100] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / 999.0;

        // A hundred on average in a tenth of a second; the variance of a Poisson count is its mean. Four standard
        // errors: 100/√1000 · … = 0.32 · 4 for the mean, 100 · √(2/999) = 4.5 · 4 for the variance.
        assert!((mean - 100.0).abs() < 1.3, "{mean}");
        assert!((variance - 100.0).abs() < 18.0, "{variance}");
    }

    #[test]
    fn a_seed_gives_the_same_arrivals_and_another_gives_others() {
        let start = clock::monotonic();
        let due = |seed, number| {
            let profile = profile(constant(100.0), Arrivals::Poisson { seed });
            due_before(schedule(start, &profile, number, 2), start + 1000 * MS)
        };

        assert_eq!(due(7, 0), due(7, 0));
        assert_ne!(due(7, 0), due(8, 0));
        assert_ne!(due(7, 0), due(7, 1));
    }

    fn any_shape() -> impl Strategy<Value = RateShape> {
        let stage =
            (prop_oneof![Just(0.0), 0.01..2_000.0_f64], 1_u32..2_000).prop_map(|(target, over_ms)| Stage {
                target: StageRate::per_second(target).unwrap(),
                over: over_ms * MS,
            });
        let jump = (0.01..2_000.0_f64).prop_map(|target| Stage {
            target: StageRate::per_second(target).unwrap(),
            over: Duration::ZERO,
        });
        prop_oneof![
            (0.01..5_000.0_f64).prop_map(constant),
            prop::collection::vec(prop_oneof![stage.clone(), jump], 1..5)
                .prop_map(|mut stages| {
                    let last = Stage { target: StageRate::per_second(3.0).unwrap(), over: 100 * MS };
                    stages.push(last);
                    stages
                })
                .prop_map(RateShape::Stages),
        ]
    }

    /// The integral of a shape by adding up thin slices: the same number in another way.
    fn integral(shape: &RateShape, seconds: f64) -> f64 {
        let stages = match shape {
            RateShape::Constant(rate) => return rate.requests_per_second() * seconds,
            RateShape::Stages(stages) => stages,
        };
        let (mut left_s, mut before, mut sum) = (seconds, 0.0, 0.0);
        for stage in stages {
            let (target, over_s) = (stage.target.requests_per_second(), stage.over.as_secs_f64());
            let inside_s = over_s.min(left_s);
            if over_s > 0.0 {
                let at_end = before + (target - before) * inside_s / over_s;
                sum += (before + at_end) / 2.0 * inside_s;
            }
            left_s -= inside_s;
            before = target;
        }
        sum
    }

    proptest! {
        #[test]
        fn what_is_due_is_the_integral_of_the_rate_and_in_order(
            shape in any_shape(), share in 0.0..1.0_f64, of in 1_u32..4, warm_up_ms in 0_u32..500,
        ) {
            let start = clock::monotonic();
            let mut profile = profile(shape.clone(), Arrivals::Even);
            if !profile.pacing.begins_at_zero() {
                profile.warm_up = warm_up_ms * MS;
            }
            let profile = profile.with_usual_ramp();
            let from = start + profile.lead_in();
            let end = from + profile.duration.mul_f64(share);

            let parts: Vec<Schedule> = (0..of).map(|number| schedule(start, &profile, number, of)).collect();
            let mut count = 0;
            for mut part in parts {
                let due = due_before(part.clone(), end);
                prop_assert!(due.is_sorted());
                let measured = due.iter().filter(|due| **due >= from).count();
                part.skip_lead_in();
                prop_assert_eq!(part.count_before(end), measured as u64);
                count += measured;
            }

            let expected = integral(&shape, profile.duration.mul_f64(share).as_secs_f64());
            prop_assert!((count as f64 - expected).abs() <= 1.0 + 1e-6, "{} due, integral {}", count, expected);
        }
    }
}
