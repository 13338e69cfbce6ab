//! `Server-Timing`: what a server says of its own time (W3C Server Timing, `name;dur=12.3, …`, in milliseconds).
//!
//! A server can say anything: names are tokens, durations finite and not negative, and the number of names bounded.

use crate::measurement::HIGHEST_TRACKABLE_NS;
use crate::scenario::is_timing_name;

/// Tells each metric of one header field with its duration in nanoseconds; what has none, or none that can be, is
/// left out.
pub(crate) fn each_metric(field: &[u8], mut tell: impl FnMut(&str, u64)) {
    let Ok(field) = std::str::from_utf8(field) else { return };
    for metric in split(field, ',') {
        let mut parts = split(metric, ';');
        let Some(name) = parts.next().map(str::trim).filter(|name| is_timing_name(name.as_bytes())) else {
            continue;
        };
        let duration = parts.find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case("dur").then(|| value.trim().trim_matches('"'))
        });
        let ms = duration.and_then(|text| text.parse::<f64>().ok());
        if let Some(ms) = ms.filter(|ms| ms.is_finite() && *ms >= 0.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casting saturates")]
            let nanos = (ms * 1e6) as u64;
            tell(name, nanos.min(HIGHEST_TRACKABLE_NS));
        }
    }
}

/// Splits at a character outside of quoted strings.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '"' if !was_escaped => is_quoted = !is_quoted,
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => {}
        }
        character == at && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Vec<(String, u64)> {
        let mut metrics = Vec::new();
        each_metric(field.as_bytes(), |name, nanos| metrics.push((name.to_owned(), nanos)));
        metrics
    }

    #[test]
    fn durations_are_milliseconds() {
        assert_eq!(
            read("db;dur=53.2, app; desc=\"a, b; dur=9\" ; Dur=\"47\",cache;desc=hit"),
            [("db".to_owned(), 53_200_000), ("app".to_owned(), 47_000_000)]
        );
    }

    #[test]
    fn nonsense_is_left_out() {
        for hostile in
            ["", ",;=", "db", "db;dur", "db;dur=NaN", "db;dur=-1", "db;dur=inf", "a b;dur=1", ";dur=1"]
        {
            assert_eq!(read(hostile), [], "{hostile:?}");
        }
        assert_eq!(read("db;dur=1e300"), [("db".to_owned(), HIGHEST_TRACKABLE_NS)]);
        assert_eq!(read(&format!("{};dur=1", "x".repeat(65))), []);
    }
}
