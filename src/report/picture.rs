//! A picture is arithmetic on histograms: which points a chart shows, and where its axes have their marks.
//!
//! It knows no SVG and no Markdown; those belong to the renderers.

use hdrhistogram::Histogram;

use crate::measurement::quantile_us;
use crate::scenario::Quantile;

/// The columns into which the range of a picture is divided; fine enough to show two humps, coarse enough to be calm.
const COLUMNS: usize = 96;

/// The slowest share of requests that a picture leaves out: one straggler would press all others to the left edge.
const TAIL: f64 = 0.001;

/// The percentiles of which a shift is shown.
const SHIFT_PERCENTILES: [&str; 5] = ["p50", "p75", "p90", "p95", "p99"];

/// The blocks of a bar, from empty to full.
const BARS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];

/// A range of latency, in microseconds, shown on a logarithmic axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LatencyAxis {
    /// The left end; above zero.
    pub(crate) low_us: f64,
    /// The right end; above the left one.
    pub(crate) high_us: f64,
}

impl LatencyAxis {
    /// Returns where a latency lies: 0 at the left end, 1 at the right end, nothing beyond them.
    pub(crate) fn position(self, us: f64) -> f64 {
        ((us / self.low_us).ln() / (self.high_us / self.low_us).ln()).clamp(0.0, 1.0)
    }

    /// Returns the latency at a position.
    #[cfg(test)]
    fn latency(self, position: f64) -> f64 {
        self.low_us * (self.high_us / self.low_us).powf(position)
    }

    /// Returns the marks of the axis: 1, 2 and 5 times a power of ten, and finer ones in a narrow range.
    pub(crate) fn ticks(self) -> Vec<f64> {
        const WIDE: [f64; 1] = [1.0];
        const USUAL: [f64; 3] = [1.0, 2.0, 5.0];
        const NARROW: [f64; 12] = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let decades = (self.high_us / self.low_us).log10();
        let steps: &[f64] = match decades {
            _ if decades > 3.0 => &WIDE,
            _ if decades > 1.0 => &USUAL,
            _ => &NARROW,
        };
        #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a latency is a small number")]
        let exponents = self.low_us.log10().floor() as i32..=self.high_us.log10().ceil() as i32;
        exponents
            .flat_map(|exponent| steps.iter().map(move |step| step * 10f64.powi(exponent)))
            .filter(|us| (self.low_us..=self.high_us).contains(us))
            .collect()
    }
}

/// The share of requests in each column of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    /// Position on the axis (0 to 1) and share of all requests (0 to 1), from left to right.
    pub(crate) points: Vec<(f64, f64)>,
    /// The median, in microseconds.
    pub(crate) p50_us: f64,
    /// The 99th percentile, in microseconds.
    pub(crate) p99_us: f64,
}

/// Two distributions of latency on the same axes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    /// The horizontal axis.
    pub(crate) axis: LatencyAxis,
    /// The highest share of any column.
    pub(crate) top_share: f64,
    /// The base version, where there is one.
    pub(crate) base: Option<Curve>,
    /// The version under test.
    pub(crate) head: Curve,
}

impl Picture {
    /// Draws the distributions, or nothing where the version under test has no latencies.
    pub(crate) fn draw(head: &Histogram<u64>, base: Option<&Histogram<u64>>) -> Option<Self> {
        if head.is_empty() {
            return None;
        }
        let base = base.filter(|histogram| !histogram.is_empty());
        let shown: Vec<&Histogram<u64>> = base.into_iter().chain([head]).collect();
        let axis = axis_of(&shown);
        let head = curve(head, axis);
        let base = base.map(|histogram| curve(histogram, axis));
        let top_share = base
            .iter()
            .chain([&head])
            .flat_map(|curve| curve.points.iter().map(|point| point.1))
            .fold(0.0, f64::max);
        Some(Self { axis, top_share, base, head })
    }
}

/// Returns how each percentile moved: `head / base − 1`.
pub(crate) fn shift(head: &Histogram<u64>, base: &Histogram<u64>) -> Vec<(Quantile, f64)> {
    SHIFT_PERCENTILES
        .iter()
        .filter_map(|name| {
            let quantile = Quantile::parse(name).ok()?;
            let base_us = quantile_us(base, quantile).filter(|us| *us > 0.0)?;
            Some((quantile, quantile_us(head, quantile)? / base_us - 1.0))
        })
        .collect()
}

/// Returns a block whose height shows a size between 0 and `full`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the blocks there are"
)]
pub(crate) fn bar(size: f64, full: f64) -> char {
    let share = if full > 0.0 { (size.abs() / full).clamp(0.0, 1.0) } else { 0.0 };
    BARS[((share * 7.0).round() as usize).min(7)]
}

fn axis_of(shown: &[&Histogram<u64>]) -> LatencyAxis {
    let at = |histogram: &Histogram<u64>, share: f64| us_of(histogram.value_at_quantile(share).max(1));
    let low = shown.iter().map(|histogram| at(histogram, TAIL)).fold(f64::INFINITY, f64::min);
    let high = shown.iter().map(|histogram| at(histogram, 1.0 - TAIL)).fold(0.0, f64::max);
    // Room at both ends; also gives a distribution of a single value a width.
    LatencyAxis { low_us: low / 1.15, high_us: high.max(low) * 1.15 }
}

fn curve(histogram: &Histogram<u64>, axis: LatencyAxis) -> Curve {
    let shares = smooth(&column_shares(histogram, axis));
    #[expect(clippy::cast_precision_loss, reason = "there are few columns")]
    let points = shares
        .into_iter()
        .enumerate()
        .map(|(column, share)| ((column as f64 + 0.5) / COLUMNS as f64, share))
        .collect();
    let at = |quantile: Quantile| us_of(histogram.value_at_quantile(quantile.fraction()));
    Curve { points, p50_us: at(Quantile::P50), p99_us: at(Quantile::P99) }
}

fn column_shares(histogram: &Histogram<u64>, axis: LatencyAxis) -> Vec<f64> {
    let mut shares = vec![0.0; COLUMNS];
    let total = histogram.len() as f64;
    for step in histogram.iter_recorded() {
        let us = us_of(step.value_iterated_to());
        if us < axis.low_us || us > axis.high_us {
            continue;
        }
        let column = ((axis.position(us) * COLUMNS as f64) as usize).min(COLUMNS - 1);
        shares[column] += step.count_since_last_iteration() as f64 / total;
    }
    shares
}

/// Evens out the columns; few requests would look like a comb.
fn smooth(shares: &[f64]) -> Vec<f64> {
    const WEIGHTS: [f64; 7] = [1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0];
    let sum: f64 = WEIGHTS.iter().sum();
    (0..shares.len())
        .map(|column| {
            WEIGHTS
                .iter()
                .enumerate()
                .filter_map(|(offset, weight)| Some(weight * shares.get((column + offset).checked_sub(3)?)?))
                .sum::<f64>()
                / sum
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "an hour in nanoseconds stays below 2^52")]
fn us_of(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::empty_histogram;

    fn around(ms: u64) -> Histogram<u64> {
        let mut histogram = empty_histogram();
        for step in 0..1_000 {
            histogram.record(ms * 1_000_000 + step * 500).unwrap();
        }
        histogram
    }

    #[test]
    fn nothing_measured_has_no_picture() {
        assert_eq!(Picture::draw(&empty_histogram(), Some(&around(3))), None);
        assert!(Picture::draw(&around(3), Some(&empty_histogram())).unwrap().base.is_none());
    }

    #[test]
    fn the_peak_of_a_curve_lies_at_its_latency() {
        let picture = Picture::draw(&around(4), Some(&around(3))).unwrap();

        let peak = |curve: &Curve| {
            let best = curve.points.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            picture.axis.latency(best.0)
        };

        let (base, head) = (peak(picture.base.as_ref().unwrap()), peak(&picture.head));
        assert!((2_800.0..3_800.0).contains(&base), "{base}");
        assert!((3_900.0..4_800.0).contains(&head), "{head}");
    }

    #[test]
    fn the_shares_of_a_curve_are_all_requests() {
        let picture = Picture::draw(&around(4), None).unwrap();

        let sum: f64 = picture.head.points.iter().map(|point| point.1).sum();

        assert!((0.98..=1.001).contains(&sum), "{sum}");
        assert!(picture.top_share > 0.0 && picture.top_share <= 1.0);
    }

    #[test]
    fn one_straggler_does_not_press_the_others_to_the_edge() {
        let mut histogram = around(3);
        histogram.record(60_000_000_000).unwrap();

        let picture = Picture::draw(&histogram, None).unwrap();

        assert!(picture.axis.high_us < 10_000.0, "{}", picture.axis.high_us);
    }

    #[test]
    fn a_single_value_still_has_an_axis() {
        let mut histogram = empty_histogram();
        histogram.record(2_000_000).unwrap();

        let axis = Picture::draw(&histogram, None).unwrap().axis;

        assert!(axis.high_us > axis.low_us);
        assert!(!axis.ticks().is_empty());
    }

    #[test]
    fn an_axis_has_a_readable_number_of_marks() {
        for (low_us, high_us) in [(1_000.0, 2_100.0), (300.0, 9_000.0), (50.0, 900_000.0), (900.0, 9_100.0)] {
            let ticks = LatencyAxis { low_us, high_us }.ticks();

            assert!((2..=12).contains(&ticks.len()), "{low_us} to {high_us}: {ticks:?}");
            assert!(ticks.is_sorted() && ticks[0] >= low_us && ticks[ticks.len() - 1] <= high_us);
        }
    }

    #[test]
    fn a_shift_is_head_against_base() {
        let shifts = shift(&around(4), &around(2));

        assert_eq!(shifts.len(), 5);
        assert!(shifts.iter().all(|(_, change)| (0.6..1.0).contains(change)), "{shifts:?}");
        assert!(shift(&empty_histogram(), &around(2)).is_empty());
    }

    #[test]
    fn a_bar_is_never_outside_its_blocks() {
        assert_eq!((bar(0.0, 1.0), bar(1.0, 1.0)), ('\u{2581}', '\u{2588}'));
        assert_eq!((bar(9.0, 1.0), bar(0.0, 0.0), bar(f64::NAN, 1.0)), ('\u{2588}', '\u{2581}', '\u{2581}'));
    }
}
