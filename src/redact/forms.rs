//! Forms are the spellings in which a secret leaks: as it is, and as programs write it into other texts.
//!
//! What nobody can undo without knowing more is not looked for: hashes, encryption, one character at a time.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::outside::{markdown_code, markdown_text};

/// Shorter derived forms would mask text that has nothing to do with the secret.
const MIN_DERIVED_BYTES: usize = 6;

/// A longer text is looked for in the usual forms only: every byte of it spelt out would take too much memory.
pub(super) const MAX_SPELT_OUT_BYTES: usize = 2048;

/// The same for a token of an answer, of which there may be hundreds.
pub(super) const MAX_SPELT_OUT_TOKEN_BYTES: usize = 128;

/// Every form of every registered secret.
#[derive(Clone, Default)]
pub(super) struct Forms {
    exact: BTreeSet<String>,
    folded: BTreeSet<String>,
    longest: usize,
    has_lines: bool,
}

impl Forms {
    /// Adds the forms of one more secret, every byte spelt out where there are at most so many; an empty one has none.
    pub(super) fn add(&mut self, secret: &str, most_spelt_out: usize) {
        let whole = [secret, secret.trim()].into_iter().filter(|text| !text.is_empty());
        let lines = secret.lines().map(str::trim).filter(|line| line.len() >= MIN_DERIVED_BYTES);
        let plain: BTreeSet<&str> = whole.chain(lines).collect();
        for text in plain {
            self.fold(text.to_owned());
            let derived = |form: &String| form.len() >= MIN_DERIVED_BYTES;
            self.derive(text);
            percent_forms(text).into_iter().filter(derived).for_each(|form| self.fold(form));
            if text.len() <= most_spelt_out {
                spelt_out_forms(text).into_iter().filter(derived).for_each(|form| self.fold(form));
            }
            base64_forms(text).into_iter().filter(derived).for_each(|form| self.put(form));
        }
    }

    fn derive(&mut self, text: &str) {
        let reversed: String = text.chars().rev().collect();
        let forms = [json_forms(text), quoted_forms(text), markup_forms(text), vec![reversed]];
        for form in forms.into_iter().flatten().filter(|form| form.len() >= MIN_DERIVED_BYTES) {
            self.fold(form);
        }
    }

    fn put(&mut self, form: String) {
        self.note(&form);
        self.exact.insert(form);
    }

    fn fold(&mut self, form: String) {
        self.note(&form);
        self.folded.insert(form);
    }

    fn note(&mut self, form: &str) {
        self.longest = self.longest.max(form.len());
        self.has_lines |= form.contains('\n');
    }

    /// Returns the forms that are spelt one way only.
    pub(super) fn exact(&self) -> &BTreeSet<String> {
        &self.exact
    }

    /// Returns the forms whose letters may be of either case: a hexadecimal digit, or a whole text in capitals.
    pub(super) fn folded(&self) -> &BTreeSet<String> {
        &self.folded
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.exact.len() + self.folded.len()
    }

    /// Returns the bytes of the longest.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Returns whether a form goes over several lines.
    pub(super) fn has_lines(&self) -> bool {
        self.has_lines
    }
}

fn percent_forms(plain: &str) -> Vec<String> {
    let encode = |is_kept: fn(u8) -> bool, space: &str| -> String {
        plain.bytes().fold(String::new(), |mut text, byte| {
            match byte {
                b' ' => text.push_str(space),
                _ if is_kept(byte) => text.push(char::from(byte)),
                _ => push(&mut text, format_args!("%{byte:02X}")),
            }
            text
        })
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let component = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!*'()".contains(&byte);
    let path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    let mut forms = Vec::new();
    for is_kept in [unreserved as fn(u8) -> bool, component, path, alphanumeric, form] {
        forms.push(encode(is_kept, "%20"));
        forms.push(encode(is_kept, "+"));
    }
    // A value that was encoded twice, as one query inside another is.
    forms.push(forms[0].replace('%', "%25"));
    forms
}

/// Returns the forms that spell every byte or character out.
fn spelt_out_forms(plain: &str) -> Vec<String> {
    let bytes = |before: &str, between: &str| -> String {
        let digits: Vec<String> = plain.bytes().map(|byte| format!("{before}{byte:02x}")).collect();
        digits.join(between)
    };
    let characters = |before: &str, after: &str, is_hexadecimal: bool| -> String {
        plain.chars().fold(String::new(), |mut text, c| {
            let code = u32::from(c);
            if is_hexadecimal {
                push(&mut text, format_args!("{before}{code:x}{after}"));
            } else {
                push(&mut text, format_args!("{before}{code}{after}"));
            }
            text
        })
    };
    let units = plain.encode_utf16().fold(String::new(), |mut text, unit| {
        push(&mut text, format_args!("\\u{unit:04x}"));
        text
    });
    vec![
        bytes("", ""),
        bytes("", " "),
        bytes("", ":"),
        bytes("%", ""),
        bytes("\\x", ""),
        units.replace('\\', "\\\\"),
        units,
        characters("&#", ";", false),
        characters("&#x", ";", true),
        characters("\\u{", "}", true),
    ]
}

/// Returns the Base64 of the secret at the three offsets it can have in a longer text.
///
/// The first and the last digits also depend on the neighbours, so only those that are the secret's alone count.
fn base64_forms(plain: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for offset in 0..3 {
        let mut bytes = vec![0_u8; offset];
        bytes.extend_from_slice(plain.as_bytes());
        let first_own_digit = (offset * 8).div_ceil(6);
        let own_digits = first_own_digit..bytes.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.extend(encoded.get(own_digits.clone()).map(str::to_owned));
        }
    }
    // In a URL the two digits that are no letters are encoded once more.
    let in_url: Vec<String> = forms
        .iter()
        .filter(|form| form.contains(['+', '/']))
        .map(|form| form.replace('+', "%2B").replace('/', "%2F"))
        .collect();
    forms.extend(in_url);
    // Base64 of Base64, as a header that holds credentials becomes in a second one.
    forms
        .extend((plain.len() <= MAX_SPELT_OUT_BYTES).then(|| STANDARD_NO_PAD.encode(STANDARD.encode(plain))));
    forms
}

fn json_forms(plain: &str) -> Vec<String> {
    let escaped = json_escaped(plain);
    let ascii: String = escaped.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| push(&mut text, format_args!("\\u{unit:04x}")));
        }
        text
    });
    // What encoders for pages write instead of characters that mean something in HTML.
    let for_pages = ['<', '>', '&', '\'', '+']
        .into_iter()
        .fold(escaped.clone(), |text, c| text.replace(c, &format!("\\u{:04x}", u32::from(c))));
    vec![json_escaped(&escaped), escaped.replace('/', "\\/"), ascii, for_pages, escaped]
}

fn json_escaped(plain: &str) -> String {
    let quoted = serde_json::Value::from(plain).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the secret as it stands between quotes of Rust, Lua and shells.
fn quoted_forms(plain: &str) -> Vec<String> {
    let with_backslash = |special: &str| -> String {
        plain.chars().fold(String::new(), |mut text, c| {
            if special.contains(c) {
                text.push('\\');
            }
            text.push(c);
            text
        })
    };
    vec![
        plain.escape_debug().to_string(),
        plain.escape_default().to_string(),
        plain.replace('\'', "'\\''"),
        plain.replace('\'', "'\"'\"'"),
        with_backslash("\\\""),
        with_backslash("\\'"),
        with_backslash("\\\"$`"),
        with_backslash(" !\"#$&'()*,;<>?[\\]^`{|}~"),
    ]
}

fn markup_forms(plain: &str) -> Vec<String> {
    let escaped = plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let quoted = escaped.replace('"', "&quot;");
    let code = markdown_code(plain);
    vec![
        quoted.replace('\'', "&#39;"),
        quoted.replace('\'', "&#x27;"),
        quoted.replace('\'', "&apos;"),
        escaped.replace('"', "&#34;").replace('\'', "&#39;"),
        quoted,
        escaped,
        markdown_text(plain),
        code.trim_matches('`').trim().to_owned(),
    ]
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string cannot fail");
}
