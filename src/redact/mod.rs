//! Redaction stands between what is known and what is shown.
//!
//! A [`Redactor`] removes registered secrets from text, in every form in which they tend to leak, and what is a secret
//! by the place it stands in, whoever it belongs to. [`harmless`] and the `markdown_*` functions take text that a
//! server or a file wrote and leave it readable but unable to act on a terminal, a CI log or a comment.

mod forms;
mod outside;
mod stream;
mod structure;

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::AhoCorasick;

use self::forms::{Forms, MAX_SPELT_OUT_BYTES, MAX_SPELT_OUT_TOKEN_BYTES};
use crate::secret::Secret;

pub use outside::{harmless, markdown_code, markdown_text};
pub use stream::RedactedStream;
pub use structure::is_sensitive_header;

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// As many tokens of answers as four workers keep; more would make the search slow and large.
const MAX_TOKENS: usize = 256;

/// How much of a long text is looked at at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// Removes secrets from text.
///
/// Copies share what is registered: a secret that becomes known late is known to every writer at once.
#[derive(Clone)]
pub struct Redactor {
    known: Arc<RwLock<Arc<Known>>>,
}

/// What a redactor looks for.
#[derive(Default)]
struct Known {
    forms: Forms,
    /// Forms that are spelt one way only.
    exact: Option<AhoCorasick>,
    /// Forms whose letters may be of either case.
    folded: Option<AhoCorasick>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} forms", self.forms.len())
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} forms)", self.known().forms.len())
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
        let redactor = Self { known: Arc::default() };
        redactor.register(&secrets);
        redactor
    }

    /// Registers more secrets, for every copy of this redactor.
    pub fn register(&self, secrets: &[Secret]) {
        self.add(secrets, MAX_SPELT_OUT_BYTES);
    }

    /// Registers tokens that answers brought: the newest of them, and long ones in fewer forms, as each is gone soon.
    pub fn register_tokens(&self, tokens: &[Secret]) {
        self.add(&tokens[tokens.len().saturating_sub(MAX_TOKENS)..], MAX_SPELT_OUT_TOKEN_BYTES);
    }

    fn add(&self, secrets: &[Secret], most_spelt_out: usize) {
        if secrets.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut forms = known.forms.clone();
        for secret in secrets {
            forms.add(secret.expose(), most_spelt_out);
        }
        *known = Arc::new(Known::of(forms));
    }

    /// Returns the text with every secret replaced by [`MASK`].
    ///
    /// Matches that overlap or touch are masked as one, so that no end of a secret stays behind.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        masked(text, self.known().found_in(text.as_bytes()))
    }

    /// Returns the text with every registered secret replaced by [`MASK`], and nothing else.
    ///
    /// For what a renderer made of texts that were redacted before: to it `cookie: passed` may be a scenario.
    #[must_use]
    pub fn redact_registered(&self, text: &str) -> String {
        masked(text, merged(self.known().registered_in(text.as_bytes())))
    }

    /// Returns where registered secrets are in bytes, in order; those that overlap or touch are one.
    #[must_use]
    pub fn registered_in(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        merged(self.known().registered_in(bytes))
    }

    /// Copies bytes of any length, every secret replaced by [`MASK`]; returns whether there was one.
    ///
    /// # Errors
    /// Reading or writing fails.
    pub fn copy(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
        let mut stream = RedactedStream::new(self);
        let mut piece = Vec::new();
        loop {
            piece.clear();
            if from.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)? == 0 {
                stream.finish(to)?;
                return Ok(stream.has_masked());
            }
            stream.push(&piece, to)?;
        }
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn of(forms: Forms) -> Self {
        const FEW: &str = "an automaton takes more forms than fit into memory";
        let exact = AhoCorasick::new(forms.exact()).expect(FEW);
        let folded = AhoCorasick::builder().ascii_case_insensitive(true).build(forms.folded()).expect(FEW);
        Self { forms, exact: Some(exact), folded: Some(folded) }
    }

    /// Returns where secrets are, in order; those that overlap or touch are one.
    fn found_in(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut found = self.registered_in(bytes);
        found.extend(structure::values_in(bytes));
        merged(found)
    }

    fn registered_in(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        // Every match counts, not only the leftmost longest: one secret may begin inside another.
        let searches = [&self.exact, &self.folded].into_iter().flatten();
        searches.flat_map(|search| search.find_overlapping_iter(bytes).map(|found| found.range())).collect()
    }
}

/// A form of whole characters is found at whole characters only, and so is every mark around a place.
fn masked(text: &str, found: Vec<Range<usize>>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for range in found {
        shown.push_str(&text[end..range.start]);
        shown.push_str(MASK);
        end = range.end;
    }
    shown.push_str(&text[end..]);
    shown
}

fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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

    type Encoder = fn(&str) -> String;

    fn spelt(text: &str, spell: impl Fn(u8) -> String) -> String {
        text.bytes().map(spell).collect()
    }

    /// Encoders that write a text piece by piece: what they make of a part is part of what they make of the whole.
    const ENCODERS: [(&str, Encoder); 19] = [
        ("as it is", |text| text.to_owned()),
        ("capitals", |text| text.to_ascii_uppercase()),
        ("percent", |text| {
            spelt(text, |b| if b.is_ascii_alphanumeric() { (b as char).into() } else { format!("%{b:02X}") })
        }),
        ("percent in small letters", |text| {
            spelt(text, |b| {
                if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                    (b as char).into()
                } else {
                    format!("%{b:02x}")
                }
            })
        }),
        ("percent everywhere", |text| spelt(text, |b| format!("%{b:02x}"))),
        ("form", |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect()),
        ("JSON", |text| {
            let quoted = serde_json::to_string(text).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        }),
        ("JSON in JSON", |text| {
            let once = serde_json::to_string(text).unwrap();
            let twice = serde_json::to_string(&once[1..once.len() - 1]).unwrap();
            twice[1..twice.len() - 1].to_owned()
        }),
        ("JSON units", |text| text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect()),
        ("HTML", |text| maud::html! { (text) }.into_string()),
        ("HTML numbers", |text| text.chars().map(|c| format!("&#{};", c as u32)).collect()),
        ("HTML hexadecimal", |text| text.chars().map(|c| format!("&#x{:X};", c as u32)).collect()),
        ("Rust", |text| text.escape_debug().to_string()),
        ("Rust in ASCII", |text| text.escape_default().to_string()),
        ("shell", |text| text.replace('\'', "'\\''")),
        ("Lua", |text| text.replace('\\', "\\\\").replace('"', "\\\"")),
        ("hexadecimal", |text| spelt(text, |b| format!("{b:02x}"))),
        ("hexadecimal in capitals", |text| spelt(text, |b| format!("{b:02X}"))),
        ("bytes", |text| spelt(text, |b| format!("\\x{b:02x}"))),
    ];

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(48))]

        #[test]
        fn no_encoder_carries_a_secret_past_the_redactor(
            secret in "[!-~\u{e4}\u{20ac}]{8,40}", before in "[a-z0-9 ]{0,7}", after in "[a-z0-9 ]{0,7}",
        ) {
            let redactor = redactor(&secret);
            let whole = format!("{before}{secret}{after}");
            for (name, encode) in ENCODERS {
                let shown = redactor.redact(&encode(&whole));
                proptest::prop_assert!(!shown.contains(&encode(&secret)), "{name}: {shown}");
            }
            let reversed: String = whole.chars().rev().collect();
            let secret_reversed: String = secret.chars().rev().collect();
            proptest::prop_assert!(!redactor.redact(&reversed).contains(&secret_reversed));
            for engine in [base64::engine::general_purpose::STANDARD, base64::engine::general_purpose::URL_SAFE] {
                let shown = redactor.redact(&engine.encode(&whole));
                // The digits that are the secret's alone.
                let own = (before.len() * 8).div_ceil(6)..(before.len() + secret.len()) * 8 / 6;
                proptest::prop_assert!(!shown.contains(&engine.encode(&whole)[own]), "{shown}");
            }
        }
    }

    #[test]
    fn hundreds_of_long_tokens_are_registered_in_little_time() {
        let token = |number: usize| format!("{number:04}.{}", "aB3_-".repeat(200));
        let redactor = Redactor::new(Vec::new());
        let began = crate::clock::monotonic();

        redactor.register_tokens(&(0..1000).map(|number| Secret::new(token(number))).collect::<Vec<_>>());

        assert_eq!(redactor.redact(&format!("a {} b", token(999))), "a *** b");
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[test]
    fn what_a_renderer_made_keeps_its_own_words() {
        let redactor = redactor("correct-horse");

        assert_eq!(redactor.redact_registered("cookie: passed correct-horse"), "cookie: passed ***");
        assert_eq!(redactor.redact("cookie: passed"), "cookie: ***");
    }

    #[test]
    fn what_is_registered_late_is_known_to_every_copy() {
        let redactor = Redactor::new(Vec::new());
        let copy = redactor.clone();

        redactor.register(&[Secret::new("correct-horse".into())]);

        assert_eq!(copy.redact("a CORRECT-horse b"), "a *** b");
    }

    #[test]
    fn a_redactor_does_not_print_its_secrets() {
        assert!(!format!("{:?}", redactor("hunter22")).contains("hunter22"));
    }
}
