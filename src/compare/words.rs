//! Words for numbers, as the reasons of a verdict use them.

/// Formats a change with its sign, such as `+31.2 %`.
pub(super) fn change(fraction: f64) -> String {
    format!("{:+} %", percent(fraction))
}

/// Formats a share or the size of a change, such as `31.2 %`.
pub(super) fn share(fraction: f64) -> String {
    format!("{} %", percent(fraction))
}

/// Formats microseconds with three digits and the unit that keeps them short, such as `4.02 ms`.
pub(super) fn time(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1_000.0 => (us, "µs"),
        us if us < 1_000_000.0 => (us / 1_000.0, "ms"),
        us => (us / 1_000_000.0, "s"),
    };
    let digits = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// Formats a count of stored runs, such as `1 stored run` or `6 stored runs`.
pub(super) fn stored_runs(count: usize) -> String {
    if count == 1 { "1 stored run".to_owned() } else { format!("{count} stored runs") }
}

/// Returns per cent with one decimal; adding zero turns a negative zero into a positive one.
fn percent(fraction: f64) -> f64 {
    (fraction * 1_000.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign_and_no_needless_digits() {
        assert_eq!(change(0.1), "+10 %");
        assert_eq!(change(-0.0136), "-1.4 %");
        assert_eq!(change(-0.0001), "+0 %");
        assert_eq!(share(0.3123), "31.2 %");
    }

    #[test]
    fn times_have_the_unit_that_keeps_them_short() {
        assert_eq!(time(0.1), "0.10 µs");
        assert_eq!(time(850.4), "850 µs");
        assert_eq!(time(4_020.0), "4.02 ms");
        assert_eq!(time(31_250.0), "31.2 ms");
        assert_eq!(time(1_200_000.0), "1.20 s");
    }
}
