//! Whether a row of numbers has come to rest: no trend, and little spread.
//!
//! The trend is that of H. B. Mann (*Nonparametric Tests Against Trend*, Econometrica 13, 1945) with the correction
//! for ties as in R. O. Gilbert, *Statistical Methods for Environmental Pollution Monitoring* (1987, section 16.4).
//! Spread as the other half is the criterion of Georges, Buytaert & Eeckhout, *Statistically Rigorous Java
//! Performance Evaluation* (OOPSLA 2007): the coefficient of variation of the last few iterations.

use statrs::distribution::{ContinuousCDF, Normal};

use super::Sample;

/// A trend is believed where chance would show one as clear in fewer than one row of ten.
///
/// A strict level would overlook the slow trends that a short row can hardly show.
const TREND_LEVEL: f64 = 0.10;

/// The largest coefficient of variation of a row at rest.
///
/// Georges et al. use 1 to 2 % on machines of their own; the medians of seconds on a shared runner differ by more.
const MAX_VARIATION: f64 = 0.10;

/// A row that varies less than this is at rest whatever its trend: the test of a trend sees order, not size.
///
/// It is the stricter of the two thresholds of Georges et al.
const NEGLIGIBLE_VARIATION: f64 = 0.01;

/// Returns whether a row of positive numbers, in the order of time, shows neither a trend nor much spread.
///
/// A row of fewer than four numbers can show no trend, so it never counts as steady.
#[must_use]
pub fn is_steady(row: &[f64]) -> bool {
    let (Some(p), Some(variation)) = (trend_p_value(row), variation(row)) else { return false };
    let has_trend = p < TREND_LEVEL && variation > NEGLIGIBLE_VARIATION;
    row.len() >= 4 && !has_trend && variation <= MAX_VARIATION
}

/// Returns the probability that a row without any trend would show one at least as clear, up or down.
///
/// `None` for fewer than two numbers, and where one is not finite.
#[must_use]
pub fn trend_p_value(row: &[f64]) -> Option<f64> {
    if row.len() < 2 || row.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let pairs =
        row.iter().enumerate().flat_map(|(at, early)| row[at + 1..].iter().map(move |late| (early, late)));
    let score: f64 = pairs.map(|(early, late)| f64::from(late.total_cmp(early) as i8)).sum();
    let deviation = (variance(row) / 18.0).sqrt();
    if score == 0.0 || deviation == 0.0 {
        return Some(1.0);
    }
    // The score moves in steps of two: half a step is the correction for continuity.
    let standard = (score.abs() - 1.0) / deviation;
    let normal = Normal::new(0.0, 1.0).expect("the standard normal distribution exists");
    Some((2.0 * normal.sf(standard)).min(1.0))
}

/// Returns eighteen times the variance of Mann's score, less what ties take from it.
fn variance(row: &[f64]) -> f64 {
    let term = |count: f64| count * (count - 1.0) * 2.0_f64.mul_add(count, 5.0);
    let mut sorted = row.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties = sorted.chunk_by(|left, right| left.total_cmp(right).is_eq());
    term(row.len() as f64) - ties.map(|group| term(group.len() as f64)).sum::<f64>()
}

/// Returns the coefficient of variation: the standard deviation as a share of the mean.
fn variation(row: &[f64]) -> Option<f64> {
    let sample = Sample::of(row)?;
    (sample.mean() > 0.0).then(|| sample.deviation() / sample.mean())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trend_is_that_of_a_worked_example() {
        // Ten numbers, of whose 45 pairs 36 rise and 9 fall: S = 27, variance 10·9·25/18 = 125, Z = 26/√125 = 2.326,
        // of which the normal table says p = 0.0200.
        let row = [5.0, 1.0, 2.0, 6.0, 3.0, 4.0, 9.0, 7.0, 10.0, 8.0];

        let p = trend_p_value(&row).unwrap();

        assert!((p - 0.0200).abs() < 1e-4, "{p}");
    }

    #[test]
    fn a_trend_is_the_same_up_and_down_and_in_any_unit() {
        let up = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let down: Vec<f64> = up.iter().map(|value| 1000.0 * -value).collect();

        assert!(trend_p_value(&up).unwrap() < 0.001);
        assert_eq!(trend_p_value(&up), trend_p_value(&down));
    }

    #[test]
    fn equal_numbers_have_no_trend_and_no_spread() {
        assert_eq!(trend_p_value(&[3.0; 8]), Some(1.0));
        assert!(is_steady(&[3.0; 8]));
    }

    #[test]
    fn rest_needs_both_no_trend_and_little_spread() {
        assert!(is_steady(&[5.1, 5.0, 4.9, 5.05, 5.0, 4.95, 5.1, 4.9]));
        assert!(!is_steady(&[5.0, 5.1, 5.2, 5.3, 5.4, 5.5, 5.6, 5.7]), "a slow trend");
        assert!(
            is_steady(&[5.0, 5.001, 5.002, 5.003, 5.004, 5.005, 5.006, 5.007]),
            "a trend that nobody feels"
        );
        assert!(!is_steady(&[5.0, 9.0, 5.0, 5.0, 9.0, 5.0, 9.0, 5.0]), "jumps");
    }

    #[test]
    fn too_few_or_broken_numbers_are_not_at_rest() {
        for row in [&[] as &[f64], &[5.0], &[5.0; 3], &[5.0, 5.0, f64::NAN, 5.0, 5.0], &[0.0; 8]] {
            assert!(!is_steady(row), "{row:?}");
        }
        assert_eq!(trend_p_value(&[f64::INFINITY, 1.0]), None);
    }
}
