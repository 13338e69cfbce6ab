//! Figures are numbers as people read them: `3.06 ms`, `+31.2 %`, `1 234`.
//!
//! All renderers write numbers through here, so that the terminal, the comment and the page never disagree. A number
//! that is missing or not finite reads as [`MISSING`], never as zero.

use crate::scenario::{Measure, Metric, Quantile};

/// What stands in the place of a number that is not there.
pub(crate) const MISSING: &str = "\u{2013}";

/// Returns a time in its fitting unit, with three significant digits.
pub(crate) fn time(us: f64) -> String {
    if !us.is_finite() || us < 0.0 {
        return MISSING.to_owned();
    }
    // Each unit begins where three digits of the one below would round up to a fourth.
    match us {
        _ if us < 0.9995 => format!("{:.0} ns", us * 1_000.0),
        _ if us < 999.5 => format!("{} \u{b5}s", three_digits(us)),
        _ if us < 999_500.0 => format!("{} ms", three_digits(us / 1_000.0)),
        _ => format!("{} s", three_digits(us / 1_000_000.0)),
    }
}

/// Returns a time that may be missing.
pub(crate) fn maybe_time(us: Option<f64>) -> String {
    us.map_or_else(|| MISSING.to_owned(), time)
}

/// Returns a change with its sign: `+31.2 %` for 0.312.
pub(crate) fn change(fraction: f64) -> String {
    if fraction.is_finite() { format!("{} %", signed_percent(fraction)) } else { MISSING.to_owned() }
}

/// Returns a change that may be missing.
pub(crate) fn maybe_change(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| MISSING.to_owned(), change)
}

/// Returns a limit of change, without decimals that say nothing: `+10 %`.
pub(crate) fn limit(fraction: f64) -> String {
    change(fraction).replace(".0 %", " %")
}

/// Returns the ends of an interval of change: `+25.1 … +37.9 %`.
pub(crate) fn interval(low: Option<f64>, high: Option<f64>) -> String {
    match (low.filter(|end| end.is_finite()), high.filter(|end| end.is_finite())) {
        (Some(low), Some(high)) => format!("{} \u{2026} {} %", signed_percent(low), signed_percent(high)),
        _ => MISSING.to_owned(),
    }
}

/// Returns a share without a sign: `0.20 %` for 0.002.
pub(crate) fn share(fraction: f64) -> String {
    match fraction * 100.0 {
        percent if !percent.is_finite() => MISSING.to_owned(),
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "<0.01 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// Returns a count in groups of three digits: `1 234`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns requests per second: `99.8/s`.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        rate if !rate.is_finite() || rate < 0.0 => MISSING.to_owned(),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be at least 1000"
        )]
        rate if rate >= 1_000.0 => format!("{}/s", count(rate.round() as u64)),
        rate => {
            let text = format!("{rate:.1}");
            format!("{}/s", text.strip_suffix(".0").unwrap_or(&text))
        }
    }
}

/// Returns a metric as people write it: `p99.9`, or `db p99` for what the server calls `db`.
pub(crate) fn metric(metric: &Metric) -> String {
    match &metric.measure {
        Measure::Latency => metric.quantile.to_string(),
        Measure::ServerTiming(name) => format!("{name} {}", metric.quantile),
    }
}

/// Returns a quantile as people write it: `p99.9`.
pub(crate) fn quantile(quantile: Quantile) -> String {
    quantile.to_string()
}

/// Returns `1 round`, `5 rounds`.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number as u64)) }
}

fn signed_percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let size = percent.abs();
    let digits = if size < 99.95 { format!("{size:.1}") } else { format!("{size:.0}") };
    match percent {
        _ if digits == "0.0" => digits,
        percent if percent > 0.0 => format!("+{digits}"),
        _ => format!("\u{2212}{digits}"),
    }
}

fn three_digits(number: f64) -> String {
    match number {
        _ if number < 9.995 => format!("{number:.2}"),
        _ if number < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_a_fitting_unit() {
        for (us, text) in [
            (0.0, "0 ns"),
            (0.84, "840 ns"),
            (0.9996, "1.00 \u{b5}s"),
            (842.4, "842 \u{b5}s"),
            (999.6, "1.00 ms"),
            (3_061.0, "3.06 ms"),
            (48_930.0, "48.9 ms"),
            (999_600.0, "1.00 s"),
            (3_600_000_000.0, "3600 s"),
        ] {
            assert_eq!(time(us), text);
        }
    }

    #[test]
    fn a_change_has_a_sign_and_no_change_has_none() {
        for (fraction, text) in [
            (0.312, "+31.2 %"),
            (-0.04, "\u{2212}4.0 %"),
            (0.0, "0.0 %"),
            (-0.0001, "0.0 %"),
            (0.9999, "+100 %"),
            (11.4, "+1140 %"),
        ] {
            assert_eq!(change(fraction), text);
        }
        assert_eq!(limit(0.10), "+10 %");
        assert_eq!(limit(0.075), "+7.5 %");
    }

    #[test]
    fn what_is_missing_never_reads_as_zero() {
        for text in [
            time(f64::NAN),
            maybe_time(None),
            change(f64::INFINITY),
            maybe_change(None),
            interval(Some(0.1), None),
            interval(Some(f64::NAN), Some(0.1)),
            share(f64::NAN),
            rate(f64::NAN),
        ] {
            assert_eq!(text, MISSING);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!((count(0), count(999), count(1_234)), ("0".into(), "999".into(), "1 234".into()));
        assert_eq!(count(12_345_678), "12 345 678");
        assert_eq!((plural(1, "round"), plural(5, "round")), ("1 round".into(), "5 rounds".into()));
    }

    #[test]
    fn shares_and_rates_keep_what_matters() {
        assert_eq!(
            (share(0.0), share(0.00001), share(0.002)),
            ("0 %".into(), "<0.01 %".into(), "0.20 %".into())
        );
        assert_eq!(
            (rate(100.0), rate(99.83), rate(12_345.6)),
            ("100/s".into(), "99.8/s".into(), "12 346/s".into())
        );
        assert_eq!(interval(Some(-0.02), Some(0.14)), "\u{2212}2.0 \u{2026} +14.0 %");
    }
}
