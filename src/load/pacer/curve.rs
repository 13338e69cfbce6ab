//! A curve is a level over time, in straight lines, and the area below it.
//!
//! Where the level is a rate, the area is a number of requests; the inverse of the area then says when a request is
//! due. Both are closed formulas, so a schedule cannot drift.

use crate::scenario::{Level, Stage};

/// A level over time; times are seconds from the curve's beginning.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// In order, without gaps; the last one has no end.
    pieces: Vec<Piece>,
}

/// A straight line.
#[derive(Debug, Clone, Copy)]
struct Piece {
    begins_s: f64,
    ends_s: f64,
    /// The level at its beginning.
    level: f64,
    /// What the level gains each second.
    slope: f64,
    /// The area below all pieces before it.
    area: f64,
}

impl Curve {
    /// Returns a level that never changes.
    pub(crate) fn constant(level: f64) -> Self {
        Self::climb(level, 0.0)
    }

    /// Climbs from zero to a level within a time, and stays there.
    pub(crate) fn climb(level: f64, seconds: f64) -> Self {
        Self::through([(level, seconds)].into_iter())
    }

    /// Goes through stages, from zero, and stays at the last one.
    pub(crate) fn staged<Target: Level>(stages: &[Stage<Target>]) -> Self {
        Self::through(stages.iter().map(|stage| (stage.target.level(), stage.over.as_secs_f64())))
    }

    fn through(corners: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut pieces = Vec::new();
        let (mut begins_s, mut level, mut area) = (0.0, 0.0, 0.0);
        for (target, over_s) in corners {
            if over_s > 0.0 {
                let (ends_s, slope) = (begins_s + over_s, (target - level) / over_s);
                pieces.push(Piece { begins_s, ends_s, level, slope, area });
                area += f64::midpoint(level, target) * over_s;
                begins_s = ends_s;
            }
            level = target;
        }
        pieces.push(Piece { begins_s, ends_s: f64::INFINITY, level, slope: 0.0, area });
        Self { pieces }
    }

    /// Returns the area from the beginning to a time.
    pub(crate) fn area_at(&self, time_s: f64) -> f64 {
        let piece = self.pieces[self.last_that(|piece| piece.begins_s <= time_s)];
        let inside_s = (time_s - piece.begins_s).max(0.0);
        (piece.level + piece.slope * inside_s / 2.0).mul_add(inside_s, piece.area)
    }

    /// Returns when the area reaches a size; infinity where it never does.
    ///
    /// Where the level is zero for a while after that, the end of that pause is returned.
    pub(crate) fn time_of_area(&self, area: f64) -> f64 {
        let piece = self.pieces[self.last_that(|piece| piece.area <= area)];
        let missing = (area - piece.area).max(0.0);
        if missing == 0.0 && (piece.level > 0.0 || piece.slope > 0.0) {
            return piece.begins_s;
        }
        // The root of `level·t + slope·t²/2 = missing`, written so that no two close numbers are subtracted.
        let speed = (piece.level * piece.level + 2.0 * piece.slope * missing).max(0.0).sqrt();
        let divisor = piece.level + speed;
        if divisor <= 0.0 {
            return f64::INFINITY;
        }
        (piece.begins_s + 2.0 * missing / divisor).min(piece.ends_s)
    }

    /// Returns the first time, at `from_s` or later, at which the level is above another or climbs above it.
    pub(crate) fn first_above(&self, level: f64, from_s: f64) -> Option<f64> {
        self.pieces.iter().filter(|piece| piece.ends_s > from_s).find_map(|piece| {
            let from_s = from_s.max(piece.begins_s);
            let here = piece.slope.mul_add(from_s - piece.begins_s, piece.level);
            if here > level {
                return Some(from_s);
            }
            let crosses_s = piece.begins_s + (level - piece.level) / piece.slope;
            (piece.slope > 0.0 && crosses_s < piece.ends_s).then(|| crosses_s.max(from_s))
        })
    }

    /// Returns the last piece of which something holds that holds of all before it; the first where of none.
    fn last_that(&self, holds: impl Fn(&Piece) -> bool) -> usize {
        self.pieces.partition_point(holds).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::scenario::StageRate;

    fn staged(stages: &[(f64, f64)]) -> Curve {
        let stages: Vec<_> = stages
            .iter()
            .map(|(target, over_s)| Stage {
                target: StageRate::per_second(*target).unwrap(),
                over: Duration::from_secs_f64(*over_s),
            })
            .collect();
        Curve::staged(&stages)
    }

    fn assert_close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9 * right.abs().max(1.0), "{left} is not {right}");
    }

    #[test]
    fn the_area_below_a_ramp_is_a_triangle() {
        let curve = staged(&[(100.0, 10.0), (100.0, 5.0), (0.0, 10.0)]);

        for (time_s, area) in [(0.0, 0.0), (5.0, 125.0), (10.0, 500.0), (15.0, 1000.0), (20.0, 1375.0)] {
            assert_close(curve.area_at(time_s), area);
            assert_close(curve.time_of_area(area), time_s);
        }
        assert_close(curve.area_at(25.0), 1500.0);
        assert_close(curve.area_at(99.0), 1500.0);
        assert_eq!(curve.time_of_area(1501.0), f64::INFINITY);
    }

    #[test]
    fn a_jump_takes_no_time_and_a_pause_has_no_area() {
        let curve = staged(&[(10.0, 0.0), (10.0, 2.0), (0.0, 0.0), (0.0, 3.0), (5.0, 0.0), (5.0, 1.0)]);

        assert_close(curve.area_at(1.0), 10.0);
        assert_close(curve.area_at(4.0), 20.0);
        assert_close(curve.time_of_area(20.0), 5.0);
        assert_close(curve.time_of_area(22.5), 5.5);
    }

    #[test]
    fn a_line_joins_when_the_level_climbs_to_it_and_again_after_a_dip() {
        let curve = staged(&[(10.0, 10.0), (2.0, 0.0), (2.0, 5.0), (8.0, 6.0)]);

        assert_eq!(curve.first_above(0.0, 0.0), Some(0.0));
        assert_eq!(curve.first_above(5.0, 0.0), Some(5.0));
        assert_eq!(curve.first_above(5.0, 7.0), Some(7.0));
        assert_eq!(curve.first_above(5.0, 11.0), Some(18.0));
        assert_eq!(curve.first_above(8.0, 11.0), None);
    }

    fn any_stages() -> impl Strategy<Value = Vec<(f64, f64)>> {
        let target = prop_oneof![Just(0.0), 0.001..100_000.0];
        let over = prop_oneof![Just(0.0), 0.001..1_000.0];
        prop::collection::vec((target, over), 1..6)
    }

    proptest! {
        #[test]
        fn time_and_area_undo_each_other(stages in any_stages(), share in 0.0..1.0_f64) {
            let curve = staged(&stages);
            let whole_s: f64 = stages.iter().map(|(_, over_s)| over_s).sum();
            let area = curve.area_at(whole_s * share);

            let time_s = curve.time_of_area(area);

            // In a pause many times have one area; then the area is what must agree.
            if time_s.is_finite() {
                let error = (curve.area_at(time_s) - area).abs();
                prop_assert!(error <= 1e-6 * area.max(1.0), "{} off at {}", error, time_s);
            }
        }

        #[test]
        fn more_area_takes_no_less_time(stages in any_stages(), a in 0.0..1e6_f64, more in 0.0..1e6_f64) {
            let curve = staged(&stages);

            prop_assert!(curve.time_of_area(a) <= curve.time_of_area(a + more));
        }
    }
}
