//! An encoding writes a value into the grammar of the place it stands in, so that the value stays one value there.
//!
//! A value may come from anywhere. In a path it cannot begin a new segment, in a JSON string it cannot end the string,
//! in a header it cannot begin a new line. What a grammar cannot carry is refused, never dropped.

use std::fmt::Write as _;

/// The grammar around a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A path, a query or a form: everything but RFC 3986's unreserved characters becomes `%XX`.
    Percent,
    /// A header's value.
    Header,
    /// The value of a `cookie` header, where a semicolon would begin another cookie.
    Cookie,
    /// The inside of a JSON string.
    JsonString,
    /// A place in JSON that wants a value; numbers alone can stand there bare.
    JsonNumber,
    /// Text or an attribute's value in XML or HTML.
    Markup,
    /// A body of plain text.
    Plain,
}

impl Encoding {
    /// Writes a value, or says why it cannot stand in this place.
    pub(super) fn write(self, value: &str, out: &mut String) -> Result<(), &'static str> {
        match self {
            Self::Percent => percent(value, out),
            Self::JsonString => json_string(value, out),
            Self::JsonNumber if !is_json_number(value) => return Err("it is not a JSON number"),
            Self::Markup => return markup(value, out),
            Self::Cookie if value.contains(';') => return Err("a ';' in it would begin another cookie"),
            Self::Header | Self::Cookie | Self::Plain if value.contains(is_control) => {
                return Err("it holds a line break or another control character");
            }
            Self::Header | Self::Cookie | Self::Plain | Self::JsonNumber => out.push_str(value),
        }
        Ok(())
    }
}

fn is_control(character: char) -> bool {
    character != '\t' && character.is_control()
}

fn percent(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

fn json_string(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // The two line separators are legal in JSON and end a line in older JavaScript.
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("writing to a string cannot fail");
            }
            other => out.push(other),
        }
    }
}

fn markup(value: &str, out: &mut String) -> Result<(), &'static str> {
    for character in value.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => {
                write!(out, "&#{};", u32::from(character)).expect("writing to a string cannot fail");
            }
            // XML 1.0 has no way to write these.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                return Err("it holds a control character, which markup cannot carry");
            }
            other => out.push(other),
        }
    }
    Ok(())
}

/// Returns whether a text is a number by the grammar of RFC 8259, section 6.
pub(super) fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        if count == 0 {
            return false;
        }
        rest = &exponent[count..];
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(encoding: Encoding, value: &str) -> Result<String, &'static str> {
        let mut out = String::new();
        encoding.write(value, &mut out).map(|()| out)
    }

    #[test]
    fn a_value_in_a_path_is_one_segment() {
        assert_eq!(written(Encoding::Percent, "a/b?c#d é%"), Ok("a%2Fb%3Fc%23d%20%C3%A9%25".into()));
        assert_eq!(written(Encoding::Percent, "A-z.0_~"), Ok("A-z.0_~".into()));
    }

    #[test]
    fn a_header_takes_no_line_break_and_a_cookie_no_neighbour() {
        for encoding in [Encoding::Header, Encoding::Cookie, Encoding::Plain] {
            for hostile in ["a\r\nHost: x", "a\n", "\r", "\u{0}", "\u{7f}", "\u{85}"] {
                assert!(written(encoding, hostile).is_err(), "{encoding:?}: {hostile:?} must be refused");
            }
            assert_eq!(written(encoding, "a b\té"), Ok("a b\té".into()));
        }
        assert!(written(Encoding::Cookie, "a; __vdpl=x").is_err());
        assert_eq!(written(Encoding::Header, "a; b"), Ok("a; b".into()));
    }

    #[test]
    fn markup_is_text_and_nothing_else() {
        assert_eq!(
            written(Encoding::Markup, "<a b='\"'>&\n"),
            Ok("&lt;a b=&#39;&quot;&#39;&gt;&amp;&#10;".into())
        );
        assert!(written(Encoding::Markup, "\u{1}").is_err());
    }

    #[test]
    fn numbers_are_those_of_json() {
        for number in ["0", "-0", "10", "1.5", "-1e9", "1E-7", "0.0"] {
            assert!(is_json_number(number), "{number}");
        }
        for hostile in ["", "01", "1.", ".5", "+1", "1e", "0x1", "NaN", "1 ", "1,2", "-", "١", "1}"] {
            assert!(!is_json_number(hostile), "{hostile:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn a_json_string_reads_back_as_the_value(value in any::<String>()) {
            let text = format!("\"{}\"", written(Encoding::JsonString, &value).unwrap());

            prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
        }

        #[test]
        fn a_percent_encoded_value_reads_back_as_the_value(value in any::<String>()) {
            let text = format!("v={}", written(Encoding::Percent, &value).unwrap());

            let pairs: Vec<_> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            prop_assert_eq!(pairs, [("v".to_owned(), value)]);
        }

        #[test]
        fn whatever_passes_for_a_number_is_one_to_the_parser(text in "[-+0-9.eE]{0,12}") {
            let parsed = serde_json::from_str::<serde_json::Value>(&text);

            // Out of range says nothing of what follows: the parser stops there.
            prop_assume!(!parsed.as_ref().is_err_and(|error| error.to_string().contains("out of range")));
            let is_number = parsed.as_ref().is_ok_and(serde_json::Value::is_number);
            prop_assert_eq!(is_json_number(&text), is_number, "{}", text);
        }
    }
}
