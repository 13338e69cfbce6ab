//! The picture of the HTML report: how latencies are distributed in the base and in the version under test.
//!
//! Two humps on one logarithmic axis show at a glance whether everything moved or only the tail grew. The curves
//! differ in colour and in dash, and the caption says the same in words.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use maud::{Markup, html};

use crate::report::figures;
use crate::report::picture::{Curve, Picture};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 704.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 272.0;

/// More marks than this on an axis touch each other on a telephone.
const FEW_MARKS: usize = 5;

/// Draws the figure of one scenario, or nothing where nothing was measured.
pub(crate) fn figure(head: &Histogram<u64>, base: Option<&Histogram<u64>>, index: usize) -> Option<Markup> {
    let picture = Picture::draw(head, base)?;
    let (title_id, words_id) = (format!("picture-{index}"), format!("picture-{index}-words"));
    Some(html! {
        figure {
            div.legend {
                @if let Some(base) = &picture.base { (legend("base", base)) }
                (legend("head", &picture.head))
            }
            svg.picture viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-labelledby=(format!("{title_id} {words_id}")) {
                title id=(title_id) { "Distribution of latency" }
                desc id=(words_id) { (in_words(&picture)) }
                (axes(&picture))
                @if let Some(base) = &picture.base { (curve("base", base, picture.top_share)) }
                (curve("head", &picture.head, picture.top_share))
                (medians(&picture))
            }
            figcaption {
                "All rounds together. Further right is slower, each step of the axis by the same factor; the slowest "
                "0.1 % of the requests lie beyond the right edge."
            }
        }
    })
}

fn legend(version: &str, curve: &Curve) -> Markup {
    html! {
        span {
            svg width="34" height="12" aria-hidden="true" {
                line.(format!("{version}-line")) x1="0" y1="6" x2="34" y2="6" {}
            }
            strong { (version) } "p50 " (figures::time(curve.p50_us)) ", p99 " (figures::time(curve.p99_us))
        }
    }
}

fn in_words(picture: &Picture) -> String {
    let curve = |version: &str, curve: &Curve| {
        format!(
            "{version}: half of the requests took at most {}, 99 % at most {}.",
            figures::time(curve.p50_us),
            figures::time(curve.p99_us)
        )
    };
    let base = picture.base.as_ref().map(|base| curve("Base", base) + " ");
    base.unwrap_or_default() + &curve("Head", &picture.head)
}

fn axes(picture: &Picture) -> Markup {
    let marks = picture.axis.ticks();
    html! {
        @for share in share_marks(picture.top_share) {
            line.grid x1=(LEFT) y1=(at(y(share, picture.top_share))) x2=(RIGHT) y2=(at(y(share, picture.top_share))) {}
            text x=(LEFT - 8.0) y=(at(y(share, picture.top_share) + 4.0)) text-anchor="end" { (percent(share)) }
        }
        @for (index, us) in marks.iter().enumerate() {
            @let class = if marks.len() > FEW_MARKS && index % 2 == 1 { "minor" } else { "major" };
            g.(class) {
                line.grid x1=(at(x(picture.axis.position(*us)))) y1=(TOP) x2=(at(x(picture.axis.position(*us)))) y2=(BOTTOM) {}
                text x=(at(x(picture.axis.position(*us)))) y=(BOTTOM + 20.0) text-anchor="middle" { (mark(*us)) }
            }
        }
        line.axis x1=(LEFT) y1=(BOTTOM) x2=(RIGHT) y2=(BOTTOM) {}
        text x=(f64::midpoint(LEFT, RIGHT)) y=(HEIGHT - 10.0) text-anchor="middle" { "latency, logarithmic" }
        text x="4" y="16" { "share of requests at each latency" }
    }
}

fn curve(version: &str, curve: &Curve, top_share: f64) -> Markup {
    let mut line = String::new();
    for (position, share) in &curve.points {
        let step = if line.is_empty() { 'M' } else { 'L' };
        // Writing to a text cannot fail.
        let _ = write!(line, "{step}{} {}", at(x(*position)), at(y(*share, top_share)));
    }
    let first = curve.points.first().map_or(0.0, |point| point.0);
    let last = curve.points.last().map_or(1.0, |point| point.0);
    let area = format!("{line}L{} {BOTTOM}L{} {BOTTOM}Z", at(x(last)), at(x(first)));
    html! {
        path.(format!("{version}-area")) d=(area) {}
        path.(format!("{version}-line")) d=(line) {}
    }
}

/// Draws both medians; their labels stand on the sides that face away from each other.
fn medians(picture: &Picture) -> Markup {
    let base_us = picture.base.as_ref().map(|base| base.p50_us);
    let head_us = picture.head.p50_us;
    let is_head_right = base_us.is_none_or(|base_us| head_us >= base_us);
    html! {
        @if let Some(base_us) = base_us { (median("base", picture, base_us, !is_head_right)) }
        (median("head", picture, head_us, is_head_right))
    }
}

fn median(version: &str, picture: &Picture, us: f64, is_label_right: bool) -> Markup {
    let position = x(picture.axis.position(us));
    let (anchor, gap) = if is_label_right { ("start", 7.0) } else { ("end", -7.0) };
    html! {
        line.(format!("{version}-median")) x1=(at(position)) y1=(TOP - 16.0) x2=(at(position)) y2=(BOTTOM) {}
        text.mark.(format!("{version}-text")) x=(at(position + gap)) y=(TOP - 5.0) text-anchor=(anchor) {
            (version) " p50 " (figures::time(us))
        }
    }
}

/// Returns at most four round shares below the highest.
fn share_marks(top_share: f64) -> Vec<f64> {
    const STEPS: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
    let step = STEPS.into_iter().find(|step| top_share / step <= 4.0).unwrap_or(0.5);
    (0..5).map(|index| f64::from(index) * step).take_while(|share| *share <= top_share).collect()
}

fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

/// Returns the label of a mark on the axis, without digits that say nothing: `2 ms`.
fn mark(us: f64) -> String {
    let text = figures::time(us);
    let Some((number, unit)) = text.split_once(' ') else { return text };
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}")
}

fn x(position: f64) -> f64 {
    LEFT + position * (RIGHT - LEFT)
}

fn y(share: f64, top_share: f64) -> f64 {
    let height = if top_share > 0.0 { share / top_share } else { 0.0 };
    BOTTOM - height * (BOTTOM - TOP)
}

fn at(number: f64) -> String {
    format!("{number:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_carry_no_empty_digits() {
        for (us, text) in
            [(2_000.0, "2 ms"), (2_500.0, "2.5 ms"), (100.0, "100 \u{b5}s"), (10_000.0, "10 ms")]
        {
            assert_eq!(mark(us), text);
        }
    }

    #[test]
    fn share_marks_are_few_and_round() {
        for top_share in [0.004, 0.031, 0.12, 0.5, 1.0] {
            let marks = share_marks(top_share);

            assert!((2..=5).contains(&marks.len()), "{top_share}: {marks:?}");
        }
        assert_eq!(percent(0.005), "0.5 %");
    }

    #[test]
    fn the_highest_share_touches_the_top_of_the_picture() {
        assert!((y(0.2, 0.2) - TOP).abs() < 1e-9);
        assert!((y(0.0, 0.0) - BOTTOM).abs() < 1e-9);
    }
}
