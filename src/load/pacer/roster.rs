//! A roster says which lines of a closed loop are at work when: they join one by one, and leave where stages say so.

use std::time::Instant;

use super::{Course, Part, Window, after};

/// When a worker's lines are at work.
#[derive(Debug, Clone)]
pub(crate) struct Roster {
    window: Window,
    course: Course,
    part: Part,
}

/// When a line is at work next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// From an instant on; in the past where it is at work already.
    At(Instant),
    /// That depends on when measuring begins.
    Unannounced,
    /// It is not needed any more.
    Over,
}

impl Roster {
    /// Takes one part of the roster: every `workers`-th line of the whole.
    pub(crate) fn new(window: Window, course: Course, part: Part) -> Self {
        Self { window, course, part }
    }

    /// Returns when a line is at work, at `now` or later.
    pub(crate) fn turn(&self, line: usize, now: Instant) -> Turn {
        let number = line as f64 * f64::from(self.part.of) + f64::from(self.part.number);
        let measured_from = self.window.measured_from();
        if measured_from.is_none_or(|from| now < from) {
            let starts_at = self.window.starts_at();
            let from_s = now.saturating_duration_since(starts_at).as_secs_f64();
            let joins = self.course.lead_in.first_above(number, from_s).map(|at_s| after(starts_at, at_s));
            match (joins, measured_from) {
                (Some(at), from) if from.is_none_or(|from| at < from) => return Turn::At(at),
                (_, None) => return Turn::Unannounced,
                _ => {}
            }
        }
        let Some(from) = measured_from else { return Turn::Unannounced };
        let from_s = now.saturating_duration_since(from).as_secs_f64();
        match self.course.measured.first_above(number, from_s) {
            // What is at work now must not round up to the next nanosecond.
            Some(at_s) if at_s <= from_s && now >= from => Turn::At(now),
            Some(at_s) => Turn::At(after(from, at_s)),
            None => Turn::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::scenario::{LoadProfile, Pacing, Stage};

    const MS: Duration = Duration::from_millis(1);

    fn roster(start: Instant, profile: &LoadProfile, part: Part) -> Roster {
        Roster::new(Window::new(start, profile), Course::of(profile), part)
    }

    #[test]
    fn lines_of_all_workers_join_one_by_one() {
        let start = clock::monotonic();
        let mut profile = LoadProfile::plain(Pacing::CLOSED, NonZeroU32::new(4).unwrap());
        profile.ramp = 400 * MS;

        let turns: Vec<Turn> = [(0, 0), (1, 0), (0, 1), (1, 1)]
            .map(|(number, line)| roster(start, &profile, Part { number, of: 2 }).turn(line, start))
            .to_vec();

        assert_eq!(turns, [0, 100, 200, 300].map(|at| Turn::At(start + at * MS)));
    }

    #[test]
    fn stages_send_lines_to_work_and_home() {
        let start = clock::monotonic();
        let stage =
            |target, over_ms: u32| Stage { target: NonZeroU32::new(target).unwrap(), over: over_ms * MS };
        let stages = vec![stage(4, 400), stage(1, 300), stage(3, 200), stage(1, 0), stage(1, 500)];
        let pacing = Pacing::ClosedLoop { ceiling: None, stages };
        let profile = LoadProfile::plain(pacing, NonZeroU32::new(4).unwrap());
        let roster = roster(start, &profile, Part { number: 0, of: 1 });
        let turn = |line, at_ms: u32| roster.turn(line, start + at_ms * MS);

        assert_eq!(turn(2, 0), Turn::At(start + 200 * MS));
        assert_eq!(turn(2, 300), Turn::At(start + 300 * MS));
        assert_eq!(turn(2, 650), Turn::At(start + 800 * MS));
        assert_eq!(turn(2, 950), Turn::Over);
        assert_eq!(turn(0, 950), Turn::At(start + 950 * MS));
    }

    #[test]
    fn a_line_that_stages_need_later_waits_for_the_announcement() {
        let start = clock::monotonic();
        let stage =
            |target, over_ms: u32| Stage { target: NonZeroU32::new(target).unwrap(), over: over_ms * MS };
        let pacing = Pacing::ClosedLoop { ceiling: None, stages: vec![stage(1, 0), stage(3, 200)] };
        let mut profile = LoadProfile::plain(pacing, NonZeroU32::new(3).unwrap());
        (profile.warm_up, profile.until_steady) = (1000 * MS, true);
        let window = Window::new(start, &profile);
        let roster = Roster::new(window.clone(), Course::of(&profile), Part { number: 0, of: 1 });

        assert_eq!(roster.turn(0, start), Turn::At(start));
        assert_eq!(roster.turn(2, start), Turn::Unannounced);
        window.watch(start + 950 * MS);
        let from = window.measured_from().unwrap();
        assert_eq!(roster.turn(2, start), Turn::At(from + 100 * MS));
    }
}
