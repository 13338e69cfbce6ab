//! The veil is what lies over secrets where a script looks at an answer or says something: a token becomes its
//! placeholder on the way in, and a value that the script knew before it called it secret is masked on the way out.

use std::borrow::Cow;

use memchr::memmem;

use super::host::Host;
use crate::request::Headers;

/// What stands in the place of a token that a script printed.
const MASK: &[u8] = b"***";

/// A header that a script looks at.
#[derive(Debug)]
pub(super) struct Wanted {
    name: Vec<u8>,
    is_sensitive: bool,
}

impl Host {
    /// Returns what a script sees of an answer's header.
    pub(super) fn veiled(&self, name: &[u8], value: &[u8]) -> Option<String> {
        if !self.is_sensitive(name) {
            return None;
        }
        let (plan, name) = (self.plan(), std::str::from_utf8(name).ok()?);
        let value = String::from_utf8_lossy(value);
        Some(self.tokens.borrow_mut().veil(&plan.placeholders, name, &value, &plan.sensitive_headers))
    }

    fn is_sensitive(&self, name: &[u8]) -> bool {
        self.plan().sensitive_headers.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Has a header's value come along with each answer.
    pub(super) fn want(&self, name: &[u8]) {
        let is_sensitive = self.is_sensitive(name);
        self.wanted.borrow_mut().push(Wanted { name: name.to_vec(), is_sensitive });
    }

    /// Leaves the value of a wanted header in `found`, as the script sees it; returns whether the answer has one.
    pub(super) fn find_wanted(&self, place: usize) -> bool {
        let (wanted, headers) = (self.wanted.borrow(), self.headers.borrow());
        let Some(wanted) = wanted.get(place) else { return false };
        let Some((name, value)) = headers.last(&wanted.name) else { return false };
        let veiled = if wanted.is_sensitive { self.veiled(name, value) } else { None };
        let mut found = self.found.borrow_mut();
        found.clear();
        found.extend_from_slice(veiled.as_ref().map_or(value, |veiled| veiled.as_bytes()));
        true
    }

    /// Makes something of a header's value as the script sees it; as in wrk, the last of several wins.
    pub(super) fn seen_header<R>(
        &self,
        headers: &Headers,
        name: &[u8],
        make: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        let (found, value) = headers.last(name)?;
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
