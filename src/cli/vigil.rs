//! A vigil asks the watch out of turn when the load gives a reason: the forge before each step up and at the first
//! redirect, the target itself when an answer lacks its marker.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::evidence::Watch;
use crate::guard::{MARKER_HEADER, Recheck};
use crate::load::Progress;
use crate::scenario::{Level, LoadProfile, Pacing, RateShape, Stage};

/// The forge is asked so long before a step, so that its answer is there when load rises.
const AHEAD: Duration = Duration::from_secs(5);

/// One question answers for all steps within this time; the forge counts questions.
const PAUSE: Duration = Duration::from_secs(5);

/// Whoever can be asked.
pub(super) trait AskSoon {
    /// Asks without waiting for the answer.
    fn ask_soon(&self, which: Recheck);
}

impl AskSoon for Watch {
    fn ask_soon(&self, which: Recheck) {
        Self::ask_soon(self, which);
    }
}

/// Looks at the progress of one drive.
pub(super) struct Vigil<'a, W> {
    watch: &'a W,
    /// When load rises, counted from the beginning of the measured time; the earliest first.
    steps: Vec<Duration>,
    duration: Duration,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    has_redirect: bool,
    /// Answers without the marker that they must have.
    unmarked: u64,
    steps: usize,
    /// When the forge was asked last, by the time of the drive.
    forge_asked: Option<Duration>,
}

impl<'a, W: AskSoon> Vigil<'a, W> {
    /// Begins a vigil over the drive of a profile.
    pub(super) fn over(watch: &'a W, profile: &LoadProfile) -> Self {
        Self { watch, steps: steps_up(&profile.pacing), duration: profile.duration, noted: Mutex::default() }
    }

    /// Looks at how far the drive is.
    pub(super) fn look(&self, progress: &Progress) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.unmarked > 0 && noted.unmarked == 0 {
            self.watch.ask_soon(Recheck::Target);
        }
        noted.unmarked = progress.unmarked;
        let is_first_redirect = progress.redirects > 0 && !std::mem::replace(&mut noted.has_redirect, true);
        // The lead-in is what comes before the measured time, as far as that is known.
        let lead_in = progress.total.saturating_sub(self.duration);
        let is_near = |step: &&Duration| lead_in + **step <= progress.elapsed + AHEAD;
        let near = self.steps.iter().take_while(is_near).count();
        let is_step_near = near > noted.steps;
        let was_just_asked =
            noted.forge_asked.is_some_and(|asked| progress.elapsed.saturating_sub(asked) < PAUSE);
        if is_first_redirect || is_step_near && !was_just_asked {
            noted.forge_asked = Some(progress.elapsed);
            self.watch.ask_soon(Recheck::Forge);
        }
        // A step that comes right after a question is covered by it.
        noted.steps = noted.steps.max(near);
    }
}

impl<W> Vigil<'_, W> {
    /// Returns what the report should say although it ended nothing.
    pub(super) fn remark(&self) -> Option<String> {
        let unmarked = self.noted.lock().unwrap_or_else(PoisonError::into_inner).unmarked;
        (unmarked > 0)
            .then(|| format!("answers without the header {MARKER_HEADER} that they must have: {unmarked}"))
    }
}

/// Returns when a stage begins that leads to more load than there was.
fn steps_up(pacing: &Pacing) -> Vec<Duration> {
    match pacing {
        Pacing::OpenLoop { shape: RateShape::Stages(stages), .. } => rises(stages),
        Pacing::ClosedLoop { stages, .. } => rises(stages),
        Pacing::OpenLoop { shape: RateShape::Constant(_), .. } => Vec::new(),
    }
}

fn rises<Target: Level>(stages: &[Stage<Target>]) -> Vec<Duration> {
    let (mut at, mut level, mut rises) = (Duration::ZERO, 0.0, Vec::new());
    for stage in stages {
        if stage.target.level() > level {
            rises.push(at);
        }
        level = stage.target.level();
        at = at.saturating_add(stage.over);
    }
    rises
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::num::NonZeroU32;

    use super::*;
    use crate::load::Phase;
    use crate::scenario::{Arrivals, StageRate};

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Default)]
    struct Asked(RefCell<Vec<Recheck>>);

    impl AskSoon for Asked {
        fn ask_soon(&self, which: Recheck) {
            self.0.borrow_mut().push(which);
        }
    }

    fn profile(stages: &[(f64, u32)]) -> LoadProfile {
        let stages = stages
            .iter()
            .map(|(rate, over)| Stage { target: StageRate::per_second(*rate).unwrap(), over: SECOND * *over })
            .collect();
        let pacing = Pacing::OpenLoop { shape: RateShape::Stages(stages), arrivals: Arrivals::Even };
        LoadProfile { duration: 60 * SECOND, ..LoadProfile::plain(pacing, NonZeroU32::MIN) }
    }

    /// Returns the seconds of a drive of 60 s, after 10 s of warm-up, at which somebody was asked.
    fn asked_at(profile: &LoadProfile, odd: impl Fn(u32) -> (u64, u64)) -> Vec<(u32, Recheck)> {
        let asked = Asked::default();
        let vigil = Vigil::over(&asked, profile);
        let mut questions = Vec::new();
        for second in 0..=70 {
            let (redirects, unmarked) = odd(second);
            vigil.look(&Progress {
                phase: Phase::Measuring,
                elapsed: SECOND * second,
                total: 70 * SECOND,
                answered: 0,
                errors: 0,
                redirects,
                unmarked,
            });
            questions.extend(asked.0.borrow_mut().drain(..).map(|which| (second, which)));
        }
        questions
    }

    #[test]
    fn the_forge_is_asked_before_each_step_up() {
        let profile = profile(&[(10.0, 0), (10.0, 20), (40.0, 0), (40.0, 20), (5.0, 10), (50.0, 10)]);

        let asked = asked_at(&profile, |_| (0, 0));

        let forge = |second| (second, Recheck::Forge);
        assert_eq!(asked, [forge(5), forge(25), forge(55)]);
    }

    #[test]
    fn steps_that_follow_closely_share_a_question() {
        let profile = profile(&[(1.0, 0), (1.0, 20), (2.0, 1), (3.0, 1), (4.0, 1), (4.0, 37)]);

        assert_eq!(asked_at(&profile, |_| (0, 0)).len(), 2);
    }

    #[test]
    fn answers_without_their_marker_are_told_although_they_end_nothing() {
        let asked = Asked::default();
        let vigil = Vigil::over(&asked, &profile(&[(1.0, 0), (1.0, 60)]));
        assert_eq!(vigil.remark(), None);

        for unmarked in [0, 1, 3] {
            vigil.look(&Progress {
                phase: Phase::Measuring,
                elapsed: SECOND,
                total: 70 * SECOND,
                answered: 1_000,
                errors: 0,
                redirects: 0,
                unmarked,
            });
        }

        assert!(vigil.remark().unwrap().ends_with("must have: 3"));
    }

    #[test]
    fn the_first_redirect_and_the_first_answer_without_its_marker_raise_questions() {
        let profile =
            LoadProfile { duration: 60 * SECOND, ..LoadProfile::plain(Pacing::CLOSED, NonZeroU32::MIN) };

        let asked = asked_at(&profile, |second| {
            let second = u64::from(second);
            (second.saturating_sub(30), second.saturating_sub(40))
        });

        assert_eq!(asked, [(31, Recheck::Forge), (41, Recheck::Target)]);
    }
}
