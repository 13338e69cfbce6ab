//! Holm's step-down procedure keeps the chance of any false alarm among several tests at or below `alpha`.
//!
//! Source: S. Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of Statistics 6
//! (1979), 65–70. It needs no independence, which matters: the quantiles of one run move together.

/// What the procedure says about one of the tests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tested {
    /// The level at which this test is judged: `alpha / m` for the smallest p-value, up to `alpha` for the largest.
    pub level: f64,
    /// Whether its p-value is beyond that level, and that of every smaller p-value too.
    pub is_rejected: bool,
}

/// Judges several p-values together, in the order they were given.
///
/// With p-values of 0.004, 0.03 and 0.0001 and an `alpha` of 0.01, the smallest is judged at 0.01/3, the next at
/// 0.01/2, the last at 0.01: the first and the third are rejected. Once one is kept all larger ones are kept, and they
/// share the level at which the procedure stopped. A p-value that is not a number is kept.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the count of tests is small")]
pub fn holm(p_values: &[f64], alpha: f64) -> Vec<Tested> {
    let value = |index: usize| if p_values[index].is_nan() { 1.0 } else { p_values[index] };
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| value(a).total_cmp(&value(b)));

    let mut tested = vec![Tested { level: alpha, is_rejected: false }; p_values.len()];
    let mut stopped_at = None;
    for (rank, &index) in order.iter().enumerate() {
        let level = stopped_at.unwrap_or(alpha / (p_values.len() - rank) as f64);
        let is_rejected = stopped_at.is_none() && value(index) <= level;
        if !is_rejected {
            stopped_at = Some(level);
        }
        tested[index] = Tested { level, is_rejected };
    }
    tested
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(p_values: &[f64]) -> Vec<bool> {
        holm(p_values, 0.01).iter().map(|tested| tested.is_rejected).collect()
    }

    #[test]
    fn the_worked_example_rejects_the_first_and_the_third() {
        assert_eq!(rejected(&[0.004, 0.03, 0.0001]), [true, false, true]);
    }

    #[test]
    fn one_kept_test_keeps_all_larger_ones() {
        let tested = holm(&[0.006, 0.009], 0.01);

        assert_eq!(tested[0], Tested { level: 0.005, is_rejected: false });
        assert_eq!(tested[1], Tested { level: 0.005, is_rejected: false });
    }

    #[test]
    fn a_single_test_is_judged_at_the_whole_level() {
        assert_eq!(holm(&[0.0099], 0.01), [Tested { level: 0.01, is_rejected: true }]);
        assert!(holm(&[], 0.01).is_empty());
    }

    #[test]
    fn what_is_not_a_number_is_never_rejected() {
        assert_eq!(rejected(&[f64::NAN, 0.0001]), [false, true]);
    }
}
