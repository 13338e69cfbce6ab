//! The veil is what lies over secrets where a script looks at an answer or says something: a token becomes its
//! placeholder on the way in, and a value that the script knew before it called it secret is masked on the way out.

use std::borrow::Cow;

use memchr::memmem;

use super::host::Host;
use crate::request::Headers;

/// What stands in the place of a token that a script printed.
const MASK: &[u8] = b"***";

impl Host {
    /// Returns what a script sees of an answer's header.
    pub(super) fn veiled(&self, name: &[u8], value: &[u8]) -> Option<String> {
        let plan = self.plan();
        let name = std::str::from_utf8(name).ok()?;
        let is_sensitive = plan.sensitive_headers.iter().any(|known| known.eq_ignore_ascii_case(name));
        is_sensitive.then(|| {
            let value = String::from_utf8_lossy(value);
            self.tokens.borrow_mut().veil(&plan.placeholders, name, &value, &plan.sensitive_headers)
        })
    }

    /// Makes something of a header's value as the script sees it; as in wrk, the last of several wins.
    pub(super) fn seen_header<R>(
        &self,
        headers: &Headers,
        name: &[u8],
        make: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let (found, value) = headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).last()?;
        Some(match self.veiled(found, value) {
            Some(veiled) => make(veiled.as_bytes()),
            None => make(value),
        })
    }

    /// Takes a text that the script calls a secret, and returns its placeholder.
    pub(super) fn sensitive(&self, text: &str) -> String {
        let plan = self.plan();
        self.tokens.borrow_mut().keep(&plan.placeholders, text, "authorization", &plan.sensitive_headers)
    }

    /// Returns a text without the tokens that this worker knows.
    pub(super) fn unveiled<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut shown = Cow::Borrowed(text);
        for token in self.tokens.borrow().values() {
            let token = token.expose().as_bytes();
            if memmem::find(&shown, token).is_none() {
                continue;
            }
            let mut masked = Vec::with_capacity(shown.len());
            let mut rest = &*shown;
            while let Some(at) = memmem::find(rest, token) {
                masked.extend_from_slice(&rest[..at]);
                masked.extend_from_slice(MASK);
                rest = &rest[at + token.len()..];
            }
            masked.extend_from_slice(rest);
            shown = Cow::Owned(masked);
        }
        shown
    }

    /// Returns whether a name would tell a secret, or where one stands.
    pub(super) fn tells_secret(&self, name: &str) -> bool {
        let tokens = self.tokens.borrow();
        let mut values = tokens.values();
        self.plan().placeholders.touch(name.as_bytes()) || values.any(|token| name.contains(token.expose()))
    }
}
