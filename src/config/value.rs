//! Values as people write them: `5m`, `10%`, `dir:baselines`, and the nearest known word to a misspelt one.
//!
//! `cli` uses the same parsers for flags, so that a flag and a key can't disagree about what `1.5s` means.

use std::time::Duration;

use crate::scenario::{OutOfRange, Rate};

/// Longer times are mistakes: no CI job runs for a day, and a larger number could overflow a sum.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A bound on the digits of a number, so that every one of them counts in an `f64`.
const MAX_NUMBER_CHARS: usize = 15;

/// More data than any run of a day could move.
const MOST_BYTES: f64 = 1e15;

/// The largest slowdown that a gate may let pass, as a fraction: 1000 %.
const MAX_REGRESSION: f64 = 10.0;

/// Reads a duration such as `250ms`, `1.5s`, `5m` or `1h`; at most 24 hours, zero allowed.
pub fn parse_duration(text: &str) -> Result<Duration, OutOfRange> {
    let error = || OutOfRange {
        what: "a duration",
        expected: "a number and one of us, ms, s, m, h, such as 250ms, 1.5s or 5m, at most 24h",
        found: quoted(text),
    };
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(error)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ns = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return Err(error()),
    };
    let nanoseconds = plain_number(number).ok_or_else(error)? * unit_ns;
    let duration = Duration::try_from_secs_f64(nanoseconds / 1e9).map_err(|_| error())?;
    if duration <= LONGEST { Ok(duration) } else { Err(error()) }
}

/// Reads requests per second, such as `100` or `0.5`; `100/s` means the same.
pub fn parse_rate(text: &str) -> Result<Rate, OutOfRange> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let requests = plain_number(number).ok_or_else(|| OutOfRange {
        what: "a rate",
        expected: "a number of requests per second, such as 100 or 0.5",
        found: quoted(text),
    })?;
    Rate::per_second(requests)
}

/// Reads an amount of data such as `500kB`, `64MiB` or `1GB`; at least one byte.
pub fn parse_bytes(text: &str) -> Result<u64, OutOfRange> {
    let error = || OutOfRange {
        what: "an amount of data",
        expected: "a number and one of B, kB, MB, GB, KiB, MiB, GiB, such as 64MiB or 1GB, at most 1000000GB",
        found: quoted(text),
    };
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(error)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_bytes = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(error()),
    };
    let bytes = plain_number(number).ok_or_else(error)? * unit_bytes;
    // The range makes the conversion exact: whole numbers up to 2^53 are what an f64 holds.
    if (1.0..=MOST_BYTES).contains(&bytes) { Ok(bytes as u64) } else { Err(error()) }
}

/// Reads a share such as `10%`, which is 0.10.
pub(super) fn parse_percentage(text: &str) -> Option<f64> {
    Some(plain_number(text.strip_suffix('%')?.trim_end())? / 100.0)
}

/// Checks the slowdown that a gate lets pass.
pub(super) fn check_regression(fraction: f64) -> Result<f64, OutOfRange> {
    if fraction > 0.0 && fraction <= MAX_REGRESSION {
        return Ok(fraction);
    }
    Err(OutOfRange {
        what: "max-regression",
        expected: "above 0% and at most 1000%",
        found: as_percent(fraction),
    })
}

/// Checks the share of requests that may fail.
pub(super) fn check_error_rate(fraction: f64) -> Result<f64, OutOfRange> {
    if (0.0..=1.0).contains(&fraction) {
        return Ok(fraction);
    }
    Err(OutOfRange { what: "max-error-rate", expected: "between 0% and 100%", found: as_percent(fraction) })
}

/// Returns the known word that a misspelt one most likely meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (edit_distance(&word.to_ascii_lowercase().replace('_', "-"), candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns a text in quotes with control characters escaped, short enough for a message.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("{shown:?}")
}

fn as_percent(fraction: f64) -> String {
    format!("{}%", fraction * 100.0)
}

/// Digits with at most one dot: no sign, no exponent, no `inf` or `NaN`.
fn plain_number(text: &str) -> Option<f64> {
    let is_plain = text.len() <= MAX_NUMBER_CHARS && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !is_plain || !text.starts_with(|c: char| c.is_ascii_digit()) || text.ends_with('.') {
        return None;
    }
    text.parse().ok()
}

fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [
            ("250ms", 250),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("24h", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn amounts_of_data_read_as_people_write_them() {
        for (text, bytes) in [("1B", 1), ("500kB", 500_000), ("1.5KiB", 1_536), ("2GiB", 2_147_483_648)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for hostile in ["", "5", "MB", "0B", "0.5B", "-1MB", "1mb", "1 MB", "1e3MB", "9999999GB", "1TB"] {
            assert!(parse_bytes(hostile).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn impossible_durations_are_refused() {
        for hostile in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "1e3s",
            "5 s",
            "5S",
            "5d",
            "5m30s",
            "1.s",
            ".5s",
            "1.2.3s",
            "inf",
            "NaNs",
            "25h",
            "99999999999999h",
            "999999999999999999999999s",
            "５s",
            "5\u{b5}s",
        ] {
            assert!(parse_duration(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn rates_are_plain_numbers_above_zero() {
        assert_eq!(parse_rate("100").map(Rate::requests_per_second), Ok(100.0));
        assert_eq!(parse_rate("0.5/s").map(Rate::requests_per_second), Ok(0.5));
        for hostile in ["", "0", "-1", "NaN", "inf", "1e9", "100/m", "99999999999"] {
            assert!(parse_rate(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn shares_are_percentages_within_their_range() {
        assert_eq!(parse_percentage("10%"), Some(0.1));
        assert_eq!(parse_percentage("10"), None);
        assert_eq!(parse_percentage("-10%"), None);
        assert!(check_regression(0.1).is_ok());
        assert!(check_error_rate(0.0).is_ok());
        for hostile in [f64::NAN, f64::INFINITY, -0.1, 10.1] {
            assert!(check_regression(hostile).is_err(), "{hostile} must be refused");
            assert!(check_error_rate(hostile).is_err(), "{hostile} must be refused");
        }
        assert!(check_regression(0.0).is_err());
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["rate", "connections", "duration", "warm-up"];

        assert_eq!(nearest("conections", known), Some("connections"));
        assert_eq!(nearest("warm_up", known), Some("warm-up"));
        assert_eq!(nearest("colour", known), None);
    }
}
