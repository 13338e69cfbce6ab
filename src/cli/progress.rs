//! Shows that work goes on: a bar for a person, a line now and then for a log.

use std::cell::RefCell;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{Console, Verbosity};
use crate::clock;
use crate::load::{Phase, Progress};

/// How often a log gets a line about a running scenario.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of a command's drives.
#[derive(Debug)]
pub(super) struct Display<'a> {
    console: &'a Console,
    /// Drives so far and in all, where that is known.
    position: RefCell<Option<(usize, usize)>>,
}

impl<'a> Display<'a> {
    /// Makes a display that writes to the console.
    pub(super) fn new(console: &'a Console) -> Self {
        Self { console, position: RefCell::new(None) }
    }

    /// Returns where it writes.
    pub(super) fn console(&self) -> &'a Console {
        self.console
    }

    /// Says how many drives are to come, so that each says which one it is.
    pub(super) fn expect(&self, drives: usize) {
        *self.position.borrow_mut() = Some((0, drives));
    }

    /// Says something between two drives.
    pub(super) fn note(&self, text: &str) {
        self.console.status("Suspecting", text);
    }

    /// Begins to show one drive; the bar vanishes when the result is dropped.
    pub(super) fn begin(&self, label: &str) -> Drawn<'a> {
        let mut position = self.position.borrow_mut();
        let counted = match position.as_mut() {
            Some((done, all)) if *done < *all => {
                *done += 1;
                format!(" ({done}/{all})")
            }
            _ => String::new(),
        };
        self.console.status("Loading", &format!("{label}{counted}"));
        let bar = ProgressBar::with_draw_target(
            Some(0),
            if self.console.is_interactive() {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        bar.set_style(style());
        Drawn { console: self.console, bar, last_line: Mutex::new(clock::monotonic()) }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>12.cyan.bold} [{bar:30}] {msg}")
        .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "))
}

/// One drive as it is shown.
#[derive(Debug)]
pub(super) struct Drawn<'a> {
    console: &'a Console,
    bar: ProgressBar,
    last_line: Mutex<Instant>,
}

impl Drawn<'_> {
    /// Shows the state of the drive.
    pub(super) fn show(&self, progress: &Progress) {
        let errors =
            if progress.errors == 0 { String::new() } else { format!(", {} errors", progress.errors) };
        let message = format!(
            "{:.0} of {:.0} s, {} answered{errors}",
            progress.elapsed.as_secs_f64(),
            progress.total.as_secs_f64(),
            progress.answered
        );
        if self.console.is_interactive() {
            self.bar.set_prefix(phase_word(progress.phase));
            self.bar.set_length(millis(progress.total));
            self.bar.set_position(millis(progress.elapsed.min(progress.total)));
            self.bar.set_message(message);
        } else if self.console.verbosity() > Verbosity::Quiet && self.is_line_due() {
            self.console.status(phase_word(progress.phase), &message);
        }
    }

    fn is_line_due(&self) -> bool {
        let Ok(mut last) = self.last_line.lock() else { return false };
        let now = clock::monotonic();
        let is_due = now.duration_since(*last) >= LOG_INTERVAL;
        if is_due {
            *last = now;
        }
        is_due
    }
}

impl Drop for Drawn<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::WarmUp => "Warming up",
        Phase::Measuring => "Measuring",
        Phase::Draining => "Draining",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
