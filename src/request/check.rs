//! A check is what an answer must be like to count as good: its status, its headers, its body.
//!
//! A request without a check is judged by its status class alone, which is the business of whoever counts.

use serde_json::Value;

use super::{Answered, Interest, Judgement};

/// What an answer must be like; everything that is said must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Check {
    /// The statuses that are good, whatever their class; where none is said, the class decides.
    pub status: Vec<StatusPattern>,
    /// Headers with the values they must have, see [`Check::judge`].
    pub headers: Vec<(String, String)>,
    /// A text that the body must contain.
    pub body_contains: Option<String>,
    /// Places in a JSON body with the values that must be there.
    pub json: Vec<(JsonPointer, Value)>,
}

impl Check {
    /// Returns whether nothing is checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether the body must be read.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.body_contains.is_some() || !self.json.is_empty()
    }

    /// Returns the least that must be seen of an answer.
    #[must_use]
    pub fn interest(&self) -> Interest {
        if self.reads_body() {
            Interest::Body
        } else if !self.headers.is_empty() {
            Interest::Head
        } else if !self.status.is_empty() {
            Interest::Status
        } else {
            Interest::Nothing
        }
    }

    /// Judges an answer.
    ///
    /// A header holds where one of its values is equal to the expected one, or begins with it and goes on with
    /// parameters (`; charset=utf-8`). What lies behind [`super::MAX_SEEN_BODY_BYTES`] of a body is not seen.
    #[must_use]
    pub fn judge(&self, answer: &Answered<'_>) -> Judgement {
        let is_expected = self.status.iter().any(|pattern| pattern.matches(answer.status));
        let is_good = (is_expected || self.status.is_empty())
            && self.headers.iter().all(|header| has_header(answer, header))
            && self.body_contains.as_ref().is_none_or(|text| contains(answer.body, text))
            && self.has_json(answer.body);
        Judgement { is_failed: !is_good, is_expected: is_good && is_expected, ..Judgement::default() }
    }

    fn has_json(&self, body: &[u8]) -> bool {
        if self.json.is_empty() {
            return true;
        }
        let Ok(document) = serde_json::from_slice::<Value>(body) else {
            return false;
        };
        self.json.iter().all(|(pointer, expected)| {
            document.pointer(&pointer.0).is_some_and(|found| is_same(found, expected))
        })
    }
}

fn has_header(answer: &Answered<'_>, (name, expected): &(String, String)) -> bool {
    let fits = |value: &[u8]| {
        let rest = value.trim_ascii().strip_prefix(expected.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.trim_ascii_start().starts_with(b";"))
    };
    let mut values = answer.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
    values.any(|(_, value)| fits(value))
}

fn contains(body: &[u8], text: &str) -> bool {
    memchr::memmem::find(body, text.as_bytes()).is_some()
}

/// JSON does not tell `1` from `1.0`, the library does.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            found == expected || (found.is_f64() || expected.is_f64()) && found.as_f64() == expected.as_f64()
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| is_same(f, e))
        }
        (Value::Object(found), Value::Object(expected)) => {
            let has = |(key, value)| found.get(key).is_some_and(|f| is_same(f, value));
            found.len() == expected.len() && expected.iter().all(has)
        }
        _ => found == expected,
    }
}

/// A word that is no status or no JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A status is a number from 200 to 599, or a class.
    #[error("it must be a status from 200 to 599, or a class from \"2xx\" to \"5xx\"")]
    Status,
    /// A pointer is empty or begins with a slash, and `~` is followed by 0 or 1 (RFC 6901).
    #[error("it must be a JSON pointer such as \"/items/0/id\"")]
    Pointer,
}

/// One status, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusPattern {
    lowest: u16,
    highest: u16,
}

impl StatusPattern {
    /// Takes one final status.
    ///
    /// # Errors
    /// A number that is no final status.
    pub fn exact(status: i64) -> Result<Self, CheckError> {
        match u16::try_from(status) {
            Ok(status @ 200..=599) => Ok(Self { lowest: status, highest: status }),
            _ => Err(CheckError::Status),
        }
    }

    /// Reads `204` or `2xx`.
    ///
    /// # Errors
    /// A word that is neither.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        match text.strip_suffix("xx") {
            Some(class @ ("2" | "3" | "4" | "5")) => {
                let lowest = u16::from(class.as_bytes()[0] - b'0') * 100;
                Ok(Self { lowest, highest: lowest + 99 })
            }
            Some(_) => Err(CheckError::Status),
            None if text.len() == 3 => text.parse().map_err(|_| CheckError::Status).and_then(Self::exact),
            None => Err(CheckError::Status),
        }
    }

    /// Returns whether a status is one of these.
    #[must_use]
    pub fn matches(self, status: u16) -> bool {
        (self.lowest..=self.highest).contains(&status)
    }

    /// Returns the lowest and the highest status.
    #[must_use]
    pub fn range(self) -> (u16, u16) {
        (self.lowest, self.highest)
    }
}

/// A place in a JSON document (RFC 6901); the empty one is the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPointer(String);

impl JsonPointer {
    /// Reads a pointer such as `/items/0/id`.
    ///
    /// # Errors
    /// A text that is no pointer and so would find nothing.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        let begins_well = text.is_empty() || text.starts_with('/');
        let has_whole_escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if begins_well && has_whole_escapes { Ok(Self(text.to_owned())) } else { Err(CheckError::Pointer) }
    }

    /// Returns the pointer as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::Headers;

    fn judged(check: &Check, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Judgement {
        let mut seen = Headers::default();
        for (name, value) in headers {
            seen.push(name.as_bytes(), value.as_bytes());
        }
        check.judge(&Answered { line: 0, status, headers: &seen, body, is_body_cut: false })
    }

    fn status(words: &[&str]) -> Check {
        let status = words.iter().map(|word| StatusPattern::parse(word).unwrap()).collect();
        Check { status, ..Check::default() }
    }

    #[test]
    fn a_declared_status_is_good_and_every_other_is_not() {
        let check = status(&["2xx", "404"]);

        for (answered, is_good) in [(200, true), (299, true), (404, true), (301, false), (500, false)] {
            let judgement = judged(&check, answered, &[], b"");
            assert_eq!((judgement.is_expected, judgement.is_failed), (is_good, !is_good), "{answered}");
        }
    }

    #[test]
    fn without_a_declared_status_the_class_is_left_to_decide() {
        let check = Check { body_contains: Some("ok".into()), ..Check::default() };

        let judgement = judged(&check, 500, &[], b"it is ok");

        assert_eq!((judgement.is_failed, judgement.is_expected), (false, false));
        assert!(judged(&check, 200, &[], b"o k").is_failed);
    }

    #[test]
    fn an_expected_status_with_another_fault_is_not_expected() {
        let check = Check { body_contains: Some("gone".into()), ..status(&["404"]) };

        let judgement = judged(&check, 404, &[], b"nothing");

        assert!(judgement.is_failed && !judgement.is_expected);
    }

    #[test]
    fn a_header_may_go_on_with_parameters_only() {
        let check =
            Check { headers: vec![("Content-Type".into(), "application/json".into())], ..Check::default() };

        for (value, is_good) in [
            ("application/json", true),
            (" application/json ; charset=utf-8", true),
            ("application/jsonp", false),
            ("text/html", false),
        ] {
            assert_eq!(judged(&check, 200, &[("content-type", value)], b"").is_failed, !is_good, "{value}");
        }
        assert!(judged(&check, 200, &[], b"").is_failed);
        let twice = [("content-type", "text/html"), ("CONTENT-TYPE", "application/json")];
        assert!(!judged(&check, 200, &twice, b"").is_failed);
    }

    #[test]
    fn json_is_compared_by_value() {
        let expect = |pointer: &str, value: Value| Check {
            json: vec![(JsonPointer::parse(pointer).unwrap(), value)],
            ..Check::default()
        };
        let body = br#"{"items":[{"id":1,"a/b":2.0}],"ok":true,"none":null,"big":9007199254740993}"#;

        for (check, is_good) in [
            (expect("/items/0/id", json!(1)), true),
            (expect("/items/0/id", json!(1.0)), true),
            (expect("/items/0/a~1b", json!(2)), true),
            (expect("/items", json!([{"id": 1.0, "a/b": 2}])), true),
            (expect("/none", Value::Null), true),
            (expect("/big", json!(9_007_199_254_740_993_u64)), true),
            (expect("/big", json!(9_007_199_254_740_992_u64)), false),
            (expect("/items/0/id", json!("1")), false),
            (expect("/items/1/id", json!(1)), false),
            (expect("/ok", json!(false)), false),
        ] {
            assert_eq!(judged(&check, 200, &[], body).is_failed, !is_good, "{check:?}");
        }
        assert!(judged(&expect("/ok", json!(true)), 200, &[], b"{\"ok\":true").is_failed);
        assert!(judged(&expect("", json!(1)), 200, &[], "[".repeat(100_000).as_bytes()).is_failed);
    }

    #[test]
    fn no_more_is_asked_for_than_the_check_needs() {
        let header = Check { headers: vec![("a".into(), "b".into())], ..status(&["200"]) };
        let body = Check { body_contains: Some("x".into()), ..header.clone() };

        let asked: Vec<_> =
            [Check::default(), status(&["200"]), header, body].iter().map(Check::interest).collect();

        assert_eq!(asked, [Interest::Nothing, Interest::Status, Interest::Head, Interest::Body]);
    }

    #[test]
    fn what_is_no_status_and_no_pointer_is_refused() {
        for hostile in ["", "200 ", "+20", "1xx", "6xx", "xx", "2XX", "199", "600", "2xxx", "99999"] {
            assert!(StatusPattern::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
        assert!(StatusPattern::exact(-200).is_err() && StatusPattern::exact(200).is_ok());
        for hostile in ["a", "a/b", "/~", "/~2", "/a~"] {
            assert!(JsonPointer::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }
}
