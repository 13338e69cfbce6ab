//! The pieces of a text with placeholders: `{name:type}` makes a value, `{name}` repeats it, `{feed.column}` takes one
//! from the feed, `{secret.NAME}` stands for a secret.
//!
//! A brace that is not followed by a letter is text, as in JSON; `{{` writes one brace wherever it is meant as text.

use super::generator::Generator;
use super::template_error::TemplateError;

/// The word before the dot of a value from the feed; no value of a request may have this name.
const FEED: &str = "feed";

/// The word before the dot of a secret; no value of a request may have this name either.
const SECRET: &str = "secret";

/// A longer name is a mistake.
const MAX_NAME_CHARS: usize = 32;

/// One piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// What stands there as it is.
    Literal(String),
    /// A value that is made here.
    Made { name: String, generator: Generator },
    /// The value of that name once more.
    Repeated(String),
    /// A value of the feed's row.
    Column { name: String, is_number: bool },
    /// The value of a declared secret.
    Secret(String),
}

impl Piece {
    /// Returns the piece as it is shown to people: without what makes the value.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Made { name, .. } | Self::Repeated(name) => format!("{{{name}}}"),
            Self::Column { name, .. } => format!("{{{FEED}.{name}}}"),
            Self::Secret(name) => format!("{{{SECRET}.{name}}}"),
        }
    }
}

/// Writes a text such that every brace in it is text.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('{', "{{")
}

/// Divides a text into its pieces; literals never stand side by side.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, opened) = rest.split_at(at);
        literal.push_str(before);
        let inner = &opened[1..];
        if let Some(after) = inner.strip_prefix('{') {
            literal.push('{');
            rest = after;
        } else if inner.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let end = inner.find('}').ok_or_else(|| TemplateError::Unclosed(shortened(opened)))?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(read(&inner[..end])?);
            rest = &inner[end + 1..];
        } else {
            literal.push('{');
            rest = inner;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn read(inner: &str) -> Result<Piece, TemplateError> {
    let malformed = || TemplateError::Malformed(shortened(&format!("{{{inner}}}")));
    let (name, kind) = match inner.split_once(':') {
        Some((name, kind)) => (name.trim(), Some(kind.trim())),
        None => (inner.trim(), None),
    };
    if let Some(column) = name.strip_prefix(FEED).and_then(|rest| rest.strip_prefix('.')) {
        let is_number = match kind {
            None => false,
            Some("number") => true,
            Some(_) => return Err(malformed()),
        };
        return Ok(Piece::Column { name: column.trim().to_owned(), is_number });
    }
    if let Some(secret) = name.strip_prefix(SECRET).and_then(|rest| rest.strip_prefix('.')) {
        return if is_secret_name(secret) && kind.is_none() {
            Ok(Piece::Secret(secret.to_owned()))
        } else {
            Err(malformed())
        };
    }
    if name == SECRET {
        return Err(TemplateError::SecretSpelling(shortened(kind.unwrap_or("NAME"))));
    }
    let is_name = name.len() <= MAX_NAME_CHARS
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if !is_name || name.is_empty() || name == FEED {
        return Err(malformed());
    }
    match kind {
        None => Ok(Piece::Repeated(name.to_owned())),
        Some(kind) => {
            let generator =
                Generator::parse(kind).ok_or_else(|| TemplateError::Generator(shortened(kind)))?;
            Ok(Piece::Made { name: name.to_owned(), generator })
        }
    }
}

/// Returns whether a text can be the name of a secret: letters, digits, `_` and `-`, at most 64 of them.
#[must_use]
pub fn is_secret_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.into())
    }

    #[test]
    fn placeholders_stand_between_literals() {
        let pieces = split("/a/{id:integer(1..9)}/{ feed.First name }/{id}?x={feed.age:number}").unwrap();

        let expected = [
            literal("/a/"),
            Piece::Made { name: "id".into(), generator: Generator::Integer { low: 1, high: 9 } },
            literal("/{ feed.First name }/"),
            Piece::Repeated("id".into()),
            literal("?x="),
            Piece::Column { name: "age".into(), is_number: true },
        ];
        assert_eq!(pieces, expected);
        assert_eq!(split("Bearer {secret.API_TOKEN}").unwrap()[1], Piece::Secret("API_TOKEN".into()));
    }

    #[test]
    fn braces_of_json_are_text_and_doubled_ones_always_are() {
        for (text, expected) in [
            (r#"{"a": {"b": {}}}"#, r#"{"a": {"b": {}}}"#),
            ("{{id}", "{id}"),
            ("{{{{", "{{"),
            ("a}b}}", "a}b}}"),
            ("{", "{"),
            ("{ id }", "{ id }"),
            ("{1}", "{1}"),
        ] {
            assert_eq!(split(text), Ok(vec![literal(expected)]), "{text}");
        }
        assert_eq!(split(""), Ok(vec![]));
    }

    #[test]
    fn what_looks_like_a_placeholder_and_is_none_is_refused() {
        for hostile in [
            "{id",
            "{Id}",
            "{id:}",
            "{id:integer}",
            "{feed}",
            "{secret}",
            "{secret.}",
            "{secret:TOKEN}",
            "{secret.a b}",
            "{secret.a:uuid}",
            "{feed:uuid}",
            "{feed.a:integer(1..2)}",
            "{a b}",
            "{a:uuid(}",
            "{user{id}}",
            &format!("{{{}}}", "a".repeat(33)),
        ] {
            assert!(split(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[{}a-c.:(),0-9 \"é]{0,40}") {
            let _ = split(&text);
        }

        #[test]
        fn an_escaped_text_is_itself(text in "[{}a-c.:\"é]{1,40}") {
            prop_assert_eq!(split(&escaped(&text)), Ok(vec![Piece::Literal(text)]));
        }
    }
}
