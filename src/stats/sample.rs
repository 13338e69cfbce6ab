//! A sample is a handful of numbers drawn under equal conditions, kept as count, mean and standard deviation.
//!
//! It answers where the next number drawn the same way will lie. The prediction bound is that of Hahn & Meeker,
//! *Statistical Intervals* (2nd edition, section 4.8.1): `mean + t(k−1, 1−α) · s · √(1 + 1/k)`.

use std::num::NonZeroU32;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Two ends between which a value lies with the confidence that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What a handful of numbers says: how many, around what, how widely spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    count: u32,
    mean: f64,
    deviation: f64,
}

impl Sample {
    /// Summarises at least two finite numbers.
    ///
    /// Returns `None` for fewer, and where one of them is not finite: a spread cannot be told from them.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = u32::try_from(values.len()).ok()?;
        if count < 2 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / f64::from(count);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        // Divided by k − 1: with k the spread of a short history would be understated.
        let deviation = (squares / f64::from(count - 1)).sqrt();
        (mean.is_finite() && deviation.is_finite()).then_some(Self { count, mean, deviation })
    }

    /// Returns the same sample with a standard deviation of at least `floor`.
    ///
    /// A few numbers can agree by luck; the floor says what agreement is too good to be believed.
    #[must_use]
    pub fn with_deviation_of_at_least(self, floor: f64) -> Self {
        Self { deviation: self.deviation.max(floor), ..self }
    }

    /// Returns how many numbers were drawn.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the standard deviation, corrected for the sample's size.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// Returns how far above the mean the next number lies with probability `alpha` only.
    ///
    /// For a worked example take ten numbers of mean 0 and deviation 0.03 and an `alpha` of 0.01: the table's
    /// t(9, 0.99) is 2.821, so the margin is 2.821 · 0.03 · √1.1 = 0.0888. By symmetry the same margin holds below.
    #[must_use]
    pub fn prediction_margin(&self, alpha: f64) -> Option<f64> {
        let margin = student_t_quantile(1.0 - alpha, self.degrees())? * self.spread_of_next();
        margin.is_finite().then_some(margin)
    }

    /// Returns the probability that the next number exceeds `value`, were it drawn like the others.
    #[must_use]
    pub fn probability_above(&self, value: f64) -> Option<f64> {
        let spread = self.spread_of_next();
        let distance = value - self.mean;
        if spread > 0.0 {
            return student_t_survival(distance / spread, self.degrees());
        }
        distance.is_finite().then_some(if distance > 0.0 { 0.0 } else { 1.0 })
    }

    /// Returns where `value − mean` lies with the two-sided `confidence`, if the true difference is unknown.
    ///
    /// `value` is one number with a noise of its own, hence the same spread as in [`Self::prediction_margin`].
    #[must_use]
    pub fn difference_interval(&self, value: f64, confidence: f64) -> Option<Interval> {
        let margin = self.prediction_margin((1.0 - confidence) / 2.0)?;
        let difference = value - self.mean;
        difference.is_finite().then_some(Interval { low: difference - margin, high: difference + margin })
    }

    fn spread_of_next(&self) -> f64 {
        self.deviation * (1.0 + 1.0 / f64::from(self.count)).sqrt()
    }

    fn degrees(&self) -> NonZeroU32 {
        NonZeroU32::new(self.count - 1).expect("a sample has at least two numbers")
    }
}

/// Returns the middle of the values: the mean of the two middle ones where their count is even.
///
/// `None` where there are none or one is not finite.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted[sorted.len() / 2];
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Returns the value which Student's t with so many degrees of freedom stays below with this probability.
///
/// `None` where the probability is not strictly between 0 and 1.
#[must_use]
pub fn student_t_quantile(probability: f64, degrees: NonZeroU32) -> Option<f64> {
    let is_inside = probability > 0.0 && probability < 1.0;
    let quantile = is_inside.then(|| standard_t(degrees).inverse_cdf(probability))?;
    quantile.is_finite().then_some(quantile)
}

/// Returns the probability that Student's t with so many degrees of freedom exceeds `value`.
///
/// `None` where the value is not a number.
#[must_use]
pub fn student_t_survival(value: f64, degrees: NonZeroU32) -> Option<f64> {
    (!value.is_nan()).then(|| standard_t(degrees).sf(value).clamp(0.0, 1.0))
}

fn standard_t(degrees: NonZeroU32) -> StudentsT {
    StudentsT::new(0.0, 1.0, f64::from(degrees.get())).expect("scale and degrees of freedom are above zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degrees(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    /// Critical values as printed in the NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2.
    const PUBLISHED: [(u32, f64, f64); 9] = [
        (1, 0.95, 6.314),
        (1, 0.99, 31.821),
        (2, 0.99, 6.965),
        (4, 0.99, 3.747),
        (4, 0.995, 4.604),
        (9, 0.99, 2.821),
        (10, 0.975, 2.228),
        (29, 0.99, 2.462),
        (100, 0.995, 2.626),
    ];

    #[test]
    fn t_quantiles_agree_with_the_published_table() {
        for (k, probability, expected) in PUBLISHED {
            let quantile = student_t_quantile(probability, degrees(k)).unwrap();

            assert!((quantile - expected).abs() < 6e-4, "t({k}, {probability}) = {quantile}, not {expected}");
        }
    }

    #[test]
    fn the_survival_function_undoes_the_quantile() {
        for (k, probability, _) in PUBLISHED {
            let quantile = student_t_quantile(probability, degrees(k)).unwrap();
            let survival = student_t_survival(quantile, degrees(k)).unwrap();

            assert!((survival - (1.0 - probability)).abs() < 1e-9, "{k} {probability}: {survival}");
        }
    }

    #[test]
    fn impossible_probabilities_have_no_quantile() {
        for hostile in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(student_t_quantile(hostile, degrees(5)), None, "{hostile}");
        }
        assert_eq!(student_t_survival(f64::NAN, degrees(5)), None);
        assert_eq!(student_t_survival(f64::INFINITY, degrees(5)), Some(0.0));
    }

    #[test]
    fn a_sample_has_the_textbook_mean_and_deviation() {
        let sample = Sample::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();

        assert!((sample.mean() - 5.0).abs() < 1e-12);
        assert!((sample.deviation() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(sample.count(), 8);
    }

    #[test]
    fn one_number_or_a_broken_one_has_no_spread() {
        assert_eq!(Sample::of(&[]), None);
        assert_eq!(Sample::of(&[1.0]), None);
        assert_eq!(Sample::of(&[1.0, f64::NAN]), None);
        assert_eq!(Sample::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn the_prediction_margin_is_that_of_the_worked_example() {
        let sample = Sample { count: 10, mean: 0.0, deviation: 0.03 };

        let margin = sample.prediction_margin(0.01).unwrap();

        assert!((margin - 2.821 * 0.03 * 1.1_f64.sqrt()).abs() < 2e-5, "{margin}");
        assert!((sample.probability_above(margin).unwrap() - 0.01).abs() < 1e-9);
    }

    #[test]
    fn identical_numbers_give_no_margin_until_a_floor_is_set() {
        let identical = Sample::of(&[1.0; 4]).unwrap();

        assert_eq!(identical.prediction_margin(0.01), Some(0.0));
        assert_eq!(identical.probability_above(1.0), Some(1.0));
        assert_eq!(identical.probability_above(1.1), Some(0.0));
        assert!(identical.with_deviation_of_at_least(0.02).prediction_margin(0.01).unwrap() > 0.0);
    }

    #[test]
    fn the_interval_is_centred_on_the_difference() {
        let sample = Sample { count: 5, mean: 1.0, deviation: 0.1 };

        let interval = sample.difference_interval(1.5, 0.99).unwrap();

        let margin = 4.604 * 0.1 * 1.2_f64.sqrt();
        assert!((interval.low - (0.5 - margin)).abs() < 1e-4, "{interval:?}");
        assert!((interval.high - (0.5 + margin)).abs() < 1e-4, "{interval:?}");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, f64::NAN]), None);
    }
}
