//! Redaction stands between what is known and what is shown.
//!
//! A [`Redactor`] removes registered secrets from text, in every form in which they tend to leak. [`harmless`]
//! and the `markdown_*` functions take text that a server or a file wrote and leave it readable but unable to act
//! on a terminal, a CI log or a comment.

mod outside;

use std::io::{self, Read, Write};
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::secret::Secret;

pub use outside::{harmless, markdown_code, markdown_text};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Shorter derived forms would mask text that has nothing to do with the secret.
const MIN_DERIVED_BYTES: usize = 6;

/// How much of a long text is looked at at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// Removes secrets from text.
///
/// It knows each secret as it is, each of its lines, and its percent-encoded, form-encoded, Base64 (at any offset in
/// a longer text) and JSON-escaped forms.
#[derive(Clone)]
pub struct Redactor {
    forms: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} forms)", self.forms.len())
    }
}

impl Redactor {
    /// Registers the secrets; empty ones are ignored.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the redactor is meant to be the last owner of secrets"
    )]
    pub fn new(secrets: Vec<Secret>) -> Self {
        let mut forms: Vec<String> = secrets.iter().flat_map(|secret| forms_of(secret.expose())).collect();
        forms.sort_unstable();
        forms.dedup();
        Self { forms }
    }

    /// Returns the text with every registered secret replaced by [`MASK`].
    ///
    /// Matches that overlap or touch are masked as one, so that no end of a secret stays behind.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut end = 0;
        // A form of whole characters is found at whole characters only.
        for range in self.found_in(text.as_bytes()) {
            shown.push_str(&text[end..range.start]);
            shown.push_str(MASK);
            end = range.end;
        }
        shown.push_str(&text[end..]);
        shown
    }

    /// Copies bytes of any length, every registered secret replaced by [`MASK`]; returns whether there was one.
    ///
    /// # Errors
    /// Reading or writing fails.
    pub fn copy(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
        let longest = self.forms.iter().map(String::len).max().unwrap_or(0);
        let mut pending = Vec::new();
        let mut is_masked = false;
        loop {
            let is_end = from.by_ref().take(PIECE_BYTES).read_to_end(&mut pending)? == 0;
            let found = self.found_in(&pending);
            // A secret may end in the next piece: what could be its beginning waits for it.
            let safe = if is_end { pending.len() } else { pending.len().saturating_sub(longest) };
            let cut = found
                .iter()
                .find(|range| !is_end && range.start < safe && safe <= range.end)
                .map_or(safe, |range| range.start);
            let mut end = 0;
            for range in found.into_iter().filter(|range| range.end <= cut) {
                to.write_all(&pending[end..range.start])?;
                to.write_all(MASK.as_bytes())?;
                end = range.end;
                is_masked = true;
            }
            to.write_all(&pending[end..cut])?;
            if is_end {
                return Ok(is_masked);
            }
            pending.drain(..cut);
        }
    }

    /// Returns where secrets are, in order; those that overlap or touch are one.
    fn found_in(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> =
            self.forms.iter().flat_map(|form| all_matches(bytes, form.as_bytes())).collect();
        found.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

fn all_matches<'a>(bytes: &'a [u8], form: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let first = *form.first()?;
        loop {
            let start = from + bytes.get(from..)?.iter().position(|byte| *byte == first)?;
            // Only one byte further: a secret such as `abab` may overlap itself.
            from = start + 1;
            if bytes[start..].starts_with(form) {
                return Some(start..start + form.len());
            }
        }
    })
}

fn forms_of(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= MIN_DERIVED_BYTES);
    forms.extend(lines.map(str::to_owned));
    let mut derived = Vec::new();
    for plain in &forms {
        derived.extend(percent_forms(plain));
        derived.extend(base64_forms(plain));
        derived.extend(json_forms(plain));
    }
    forms.extend(derived.into_iter().filter(|form| form.len() >= MIN_DERIVED_BYTES));
    forms.retain(|form| !form.is_empty());
    forms
}

fn percent_forms(plain: &str) -> Vec<String> {
    let encode = |is_kept: fn(u8) -> bool, lower_case: bool, space: &str| -> String {
        plain
            .bytes()
            .map(|byte| match byte {
                b' ' => space.to_owned(),
                _ if is_kept(byte) => char::from(byte).to_string(),
                _ if lower_case => format!("%{byte:02x}"),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let component = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!*'()".contains(&byte);
    let path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    let mut forms = Vec::new();
    for is_kept in [unreserved as fn(u8) -> bool, component, path] {
        for lower_case in [false, true] {
            forms.push(encode(is_kept, lower_case, "%20"));
            forms.push(encode(is_kept, lower_case, "+"));
        }
    }
    forms
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
    forms
}

fn json_forms(plain: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(plain).to_string();
    let escaped = quoted[1..quoted.len() - 1].to_owned();
    let ascii: String = escaped
        .chars()
        .map(|c| {
            let mut units = [0; 2];
            let escape = |unit: &u16| format!("\\u{unit:04x}");
            if c.is_ascii() { c.to_string() } else { c.encode_utf16(&mut units).iter().map(escape).collect() }
        })
        .collect();
    let slashed = escaped.replace('/', "\\/");
    vec![escaped, ascii, slashed]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(secret: &str) -> Redactor {
        Redactor::new(vec![Secret::new(secret.to_owned())])
    }

    #[test]
    fn a_secret_disappears_and_its_surroundings_stay() {
        let shown = redactor("s3cr3t/+value").redact("before s3cr3t/+value after s3cr3t");

        assert_eq!(shown, "before *** after s3cr3t");
    }

    #[test]
    fn a_secret_disappears_in_every_form() {
        let redactor = redactor("p\u{e4}ss w/\"rd+1?");
        let basic = base64::engine::general_purpose::STANDARD.encode("user:p\u{e4}ss w/\"rd+1?:tail");

        for leak in [
            "p%C3%A4ss%20w%2F%22rd%2B1%3F",
            "p%c3%a4ss+w%2f%22rd%2b1%3f",
            "p\u{e4}ss w/\\\"rd+1?",
            "p\\u00e4ss w/\\\"rd+1?",
            "p\u{e4}ss w\\/\\\"rd+1?",
        ] {
            assert_eq!(redactor.redact(&format!("x {leak} y")), "x *** y", "{leak}");
        }
        // The digits at both ends also hold bits of the neighbours.
        assert_eq!(redactor.redact(&basic), "dXNlcjp***zp0YWls");
    }

    #[test]
    fn base64_is_found_at_every_offset() {
        let redactor = redactor("correct horse battery");

        for prefix in ["", "a", "ab", "abc"] {
            let leak = URL_SAFE_NO_PAD.encode(format!("{prefix}correct horse battery"));
            assert!(redactor.redact(&leak).contains(MASK), "{prefix:?}: {leak}");
        }
    }

    #[test]
    fn overlapping_secrets_leave_no_end_behind() {
        let redactor = Redactor::new(vec![Secret::new("abcdefgh".into()), Secret::new("fghijkl".into())]);

        assert_eq!(redactor.redact("-abcdefghijkl-"), "-***-");
        assert_eq!(redactor.redact("abcdefgh"), "***");
        assert_eq!(redactor.redact("abcdefgh abcdefgh"), "*** ***");
    }

    #[test]
    fn a_copy_of_any_length_holds_no_secret_wherever_it_stands() {
        let piece = usize::try_from(PIECE_BYTES).unwrap();
        for before in [0, 1, piece - 30, piece - 12, piece - 1, piece, piece + 1, 2 * piece - 7] {
            let text = [&vec![b'x'; before][..], b"\xffcorrect horse", &vec![b'y'; piece][..]].concat();
            let mut shown = Vec::new();

            let is_masked = redactor("correct horse").copy(&mut &text[..], &mut shown).unwrap();

            let expected = [&vec![b'x'; before][..], b"\xff***", &vec![b'y'; piece][..]].concat();
            assert!(is_masked && shown == expected, "{before}");
        }
    }

    #[test]
    fn a_copy_without_secrets_is_the_same() {
        let mut shown = Vec::new();

        let is_masked = redactor("correct horse").copy(&mut &b"correct\xff hors"[..], &mut shown).unwrap();

        assert!(!is_masked);
        assert_eq!(shown, b"correct\xff hors");
        assert!(!Redactor::new(Vec::new()).copy(&mut &b"x"[..], &mut Vec::new()).unwrap());
    }

    #[test]
    fn each_line_of_a_key_is_a_secret() {
        let shown = redactor("-----BEGIN-----\nMIIEvQIBADANBg\n").redact("key line: MIIEvQIBADANBg.");

        assert_eq!(shown, "key line: ***.");
    }

    #[test]
    fn an_empty_secret_masks_nothing() {
        assert_eq!(redactor("").redact("text"), "text");
        assert_eq!(Redactor::new(Vec::new()).redact("\u{e9}t\u{e9}"), "\u{e9}t\u{e9}");
    }

    #[test]
    fn a_redactor_does_not_print_its_secrets() {
        assert!(!format!("{:?}", redactor("hunter22")).contains("hunter22"));
    }
}
