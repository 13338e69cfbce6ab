//! Tokens are secrets that answers bring: a session's cookie, a key that the service has just made.
//!
//! A script gets a placeholder of each and sends that back; the value is written where the token may stand: in the
//! header that it came in, in `cookie` and in `authorization`, and always to the same target, as there is no other.

use std::collections::VecDeque;

use super::placeholder::{Placeholders, SecretFault};
use crate::secret::Secret;

/// So many tokens a worker keeps; a session of a user needs one or two.
pub const MAX_TOKENS: usize = 64;

/// Shorter values are flags and numbers, and to mask them would mask half of every log.
const MIN_TOKEN_BYTES: usize = 8;

/// Headers that any token may be sent back in.
const CREDENTIALS: [&str; 2] = ["cookie", "authorization"];

/// The tokens that one worker knows.
#[derive(Debug, Default)]
pub struct Tokens {
    seat: u32,
    /// The number of the next one.
    next: u64,
    kept: VecDeque<Token>,
}

#[derive(Debug)]
struct Token {
    number: u64,
    value: Secret,
    /// The headers that it may stand in.
    headers: Vec<String>,
}

impl Tokens {
    /// Makes the tokens of one worker, which no other worker can use.
    #[must_use]
    pub fn of_worker(seat: u32) -> Self {
        Self { seat, ..Self::default() }
    }

    /// Returns whether none was seen so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns every value that is still known.
    pub fn values(&self) -> impl Iterator<Item = &Secret> {
        self.kept.iter().map(|token| &token.value)
    }

    /// Returns what a script sees of a sensitive header: the value's shape, with placeholders for what is secret.
    ///
    /// The name and the attributes of a cookie, and the scheme of credentials, stay: scripts look for them.
    pub fn veil(
        &mut self,
        placeholders: &Placeholders,
        header: &str,
        value: &str,
        sent_back_in: &[String],
    ) -> String {
        if header.eq_ignore_ascii_case("set-cookie") {
            let (pair, attributes) = value.split_once(';').map_or((value, None), |(a, b)| (a, Some(b)));
            let (name, secret) = pair.split_once('=').map_or(("", pair), |(name, secret)| (name, secret));
            let veiled = self.keep(placeholders, secret.trim(), header, sent_back_in);
            let name = if name.is_empty() { String::new() } else { format!("{name}=") };
            let attributes = attributes.map(|rest| format!(";{rest}")).unwrap_or_default();
            return format!("{name}{veiled}{attributes}");
        }
        match value.split_once(' ') {
            Some((scheme, secret)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                format!("{scheme} {}", self.keep(placeholders, secret.trim(), header, sent_back_in))
            }
            _ => self.keep(placeholders, value, header, sent_back_in),
        }
    }

    /// Keeps a value and returns its placeholder; a value that is too short to be a secret comes back as it is.
    ///
    /// `header` is where it came from, `sent_back_in` names more headers that it may stand in.
    pub fn keep(
        &mut self,
        placeholders: &Placeholders,
        value: &str,
        header: &str,
        sent_back_in: &[String],
    ) -> String {
        let is_sendable = value.bytes().all(|byte| byte >= 0x20 && byte != 0x7f);
        let is_placeholder = !placeholders.is_live() || placeholders.touch(value.as_bytes());
        if value.len() < MIN_TOKEN_BYTES || !is_sendable || is_placeholder {
            return value.to_owned();
        }
        // A service that names the same session in every answer has one token, not hundreds.
        if let Some(at) = self.kept.iter().position(|token| token.value.expose() == value) {
            let known = &mut self.kept[at];
            if !known.headers.iter().any(|known| known.eq_ignore_ascii_case(header)) {
                known.headers.push(header.to_owned());
            }
            return placeholders.token(self.seat, known.number);
        }
        if self.kept.len() == MAX_TOKENS {
            self.kept.pop_front();
        }
        let number = self.next;
        self.next += 1;
        let mut headers = vec![header.to_owned()];
        headers.extend(sent_back_in.iter().cloned());
        self.kept.push_back(Token { number, value: Secret::new(value.to_owned()), headers });
        placeholders.token(self.seat, number)
    }

    /// Returns the value of a token where it may stand in this header.
    pub(super) fn value(&self, (seat, number): (u32, u64), header: &[u8]) -> Result<&Secret, SecretFault> {
        let token = self.kept.iter().find(|token| seat == self.seat && token.number == number);
        let token = token.ok_or(SecretFault::Forgotten)?;
        let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(header);
        if token.headers.iter().any(|known| is(known)) || CREDENTIALS.iter().any(|known| is(known)) {
            return Ok(&token.value);
        }
        let header = String::from_utf8_lossy(header).chars().take(80).collect();
        Err(SecretFault::Header { name: "a token of an answer".to_owned(), header })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholders() -> Placeholders {
        Placeholders::new(7, Vec::new())
    }

    fn sent(tokens: &Tokens, header: &str, text: &str) -> Result<String, SecretFault> {
        let filled = placeholders().filled(header.as_bytes(), text.as_bytes(), tokens)?;
        Ok(String::from_utf8(filled.to_vec()).unwrap())
    }

    #[test]
    fn a_cookie_keeps_its_shape_and_can_be_sent_back() {
        let mut tokens = Tokens::of_worker(3);

        let seen = tokens.veil(&placeholders(), "Set-Cookie", "sid=0123456789abcdef; Path=/; HttpOnly", &[]);

        assert!(seen.starts_with("sid=") && seen.ends_with("; Path=/; HttpOnly"), "{seen}");
        assert!(!seen.contains("0123456789"), "{seen}");
        let pair = seen.split(';').next().unwrap();
        assert_eq!(
            sent(&tokens, "Cookie", &format!("{pair}; theme=dark")).unwrap(),
            "sid=0123456789abcdef; theme=dark"
        );
        assert!(sent(&tokens, "X-Other", pair).is_err());
    }

    #[test]
    fn a_token_may_go_back_in_its_own_header_with_its_scheme() {
        let mut tokens = Tokens::default();
        let bearer = tokens.veil(&placeholders(), "Authorization", "Bearer abcdefghij", &[]);
        let csrf = tokens.veil(&placeholders(), "x-csrf-token", "klmnopqrst", &["x-xsrf-token".into()]);

        assert!(bearer.starts_with("Bearer "), "{bearer}");
        assert_eq!(sent(&tokens, "authorization", &bearer).unwrap(), "Bearer abcdefghij");
        assert_eq!(sent(&tokens, "X-CSRF-Token", &csrf).unwrap(), "klmnopqrst");
        assert_eq!(sent(&tokens, "X-XSRF-Token", &csrf).unwrap(), "klmnopqrst");
        assert!(sent(&tokens, "referer", &csrf).is_err());
    }

    #[test]
    fn what_stands_for_a_token_is_letters_and_digits() {
        let text = Tokens::default().keep(&placeholders(), "abcdefghij", "x", &[]);

        assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{text}");
    }

    #[test]
    fn the_oldest_token_goes_first_and_the_same_one_is_kept_once() {
        let mut tokens = Tokens::default();
        let first = tokens.keep(&placeholders(), "first-token", "cookie", &[]);
        assert_eq!(tokens.keep(&placeholders(), "first-token", "cookie", &[]), first);

        for number in 0..MAX_TOKENS - 1 {
            let _ = tokens.keep(&placeholders(), &format!("token-{number:04}"), "cookie", &[]);
        }
        assert!(sent(&tokens, "cookie", &first).is_ok());
        let last = tokens.keep(&placeholders(), "last-token", "cookie", &[]);

        assert_eq!(sent(&tokens, "cookie", &first), Err(SecretFault::Forgotten));
        assert_eq!(sent(&tokens, "cookie", &last).unwrap(), "last-token");
        assert_eq!(tokens.values().count(), MAX_TOKENS);
    }

    #[test]
    fn another_workers_token_means_nothing() {
        let text = Tokens::of_worker(1).keep(&placeholders(), "abcdefghij", "cookie", &[]);

        assert_eq!(sent(&Tokens::of_worker(2), "cookie", &text), Err(SecretFault::Forgotten));
    }

    #[test]
    fn what_is_too_short_or_a_placeholder_already_stays_as_it_is() {
        let mut tokens = Tokens::default();

        assert_eq!(
            tokens.veil(&placeholders(), "set-cookie", "theme=dark; Path=/", &[]),
            "theme=dark; Path=/"
        );
        let once = tokens.keep(&placeholders(), "abcdefghij", "cookie", &[]);
        assert_eq!(tokens.keep(&placeholders(), &once, "cookie", &[]), once);
        assert_eq!(tokens.values().count(), 1);
    }
}
