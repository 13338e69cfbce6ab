//! The table that the bench prints, and the alternating pairs behind each of its lines.

use std::fmt;

use crate::Outcome;

/// One line of the table.
pub(crate) struct Line {
    /// What was done.
    pub(crate) work: String,
    /// Ours, with its unit.
    pub(crate) ours: String,
    /// With whom it is compared, and theirs.
    pub(crate) theirs: String,
    /// The ratio or error and its range over the pairs.
    pub(crate) result: String,
    /// What was to be reached.
    pub(crate) goal: &'static str,
}

/// The head of the table, in Markdown.
pub(crate) const HEAD: &str = "| work | ours | theirs | median (range) | goal |\n|---|--:|--:|--:|--:|";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, ours, theirs, result, goal } = self;
        write!(f, "| {work} | {ours} | {theirs} | {result} | {goal} |")
    }
}

/// Measures in turns, so that a machine that changes its speed cheats nobody; every turn begins with another one.
pub(crate) fn in_turns<T>(
    turns: usize,
    mut measures: Vec<Box<dyn FnMut() -> Outcome<T> + '_>>,
) -> Outcome<Vec<Vec<T>>> {
    let mut results: Vec<Vec<T>> = measures.iter().map(|_| Vec::with_capacity(turns)).collect();
    for turn in 0..turns {
        for step in 0..measures.len() {
            let which = (turn + step) % measures.len();
            results[which].push(measures[which]()?);
        }
    }
    Ok(results)
}

/// Returns the middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Writes the middle value and the range, each through `write`.
pub(crate) fn spread(values: &[f64], write: impl Fn(f64) -> String) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("**{}** ({} to {})", write(median(values)), write(least), write(most))
}

/// Writes the middle one of some ratios and where the true median is in 95 of 100 cases, whatever their distribution;
/// of fewer than eight, their range.
///
/// The interval is that between two order statistics whose ranks the binomial distribution gives, approximated by the
/// normal one: half the count, less and more 0.98 times its root.
pub(crate) fn certain(ratios: &[f64]) -> String {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let below = (count / 2.0 - 0.98 * count.sqrt() - 1.0).floor().max(0.0) as usize;
    let (Some(&low), Some(&high)) = (sorted.get(below), sorted.iter().rev().nth(below)) else {
        return "nothing was measured".to_owned();
    };
    format!("**{:.2}** ({low:.2} to {high:.2})", median(ratios))
}

/// Writes the middle one of some times in microseconds.
pub(crate) fn micros(values: &[f64]) -> String {
    format!("{:.2} µs", median(values))
}

/// Returns ours divided by theirs, pair by pair.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}
