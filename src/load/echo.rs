//! An echo is a secret that a server sends back: it stands in the server's answers, and likely in its logs.
//!
//! Answers are looked through where secrets were sent: every header, as much of the body as is kept anyway or a short
//! beginning, and what means nothing to a run, such as trailers. What is found is told, and masked before a script or a
//! check sees it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::witness::{Aside, Witness};
use crate::redact::{MASK, Redactor};
use crate::request::{Headers, Placeholders};
use crate::secret::SecretEcho;

/// As much of a body as is looked at where nobody else wants it: error pages and debug output begin with what they
/// repeat.
pub(super) const PREFIX_BYTES: usize = 4 * 1024;

/// More places are told of as one.
const MAX_PLACES: usize = 32;

/// A longer name is told of without its end.
const MAX_NAME_CHARS: usize = 60;

/// Looks for the secrets of a run in its answers.
#[derive(Debug)]
pub struct EchoWatch {
    all: Redactor,
    each: Vec<(String, Redactor)>,
    found: Mutex<BTreeMap<(String, String), u64>>,
}

impl EchoWatch {
    /// Begins to watch for the secrets that may go to the target; `None` where there are none.
    #[must_use]
    pub fn of(placeholders: &Placeholders) -> Option<Self> {
        let values: Vec<_> = placeholders.values().collect();
        if values.is_empty() {
            return None;
        }
        let all = Redactor::new(values.iter().map(|(_, value)| (*value).clone()).collect());
        let each =
            values.iter().map(|(name, value)| ((*name).to_owned(), Redactor::new(vec![(*value).clone()])));
        Some(Self { all, each: each.collect(), found: Mutex::default() })
    }

    /// Takes what was found so far.
    #[must_use]
    pub fn take(&self) -> Vec<SecretEcho> {
        let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        let echo = |((secret, place), answers)| SecretEcho { secret, place, answers };
        found.into_iter().map(echo).collect()
    }

    /// Looks through what a witness has kept of a whole answer, and masks what it finds.
    pub(super) fn look(&self, witness: &mut Witness) {
        for aside in Aside::ALL {
            let bytes = witness.seen_aside(aside);
            if !self.all.registered_in(bytes).is_empty() {
                self.note(name_of(aside), bytes);
            }
        }
        let (headers, body) = witness.kept_mut();
        if let Some(masked) = self.masked(body) {
            self.note("the body", body);
            *body = masked;
        }
        let is_clean =
            |(name, value): (&[u8], &[u8])| self.masked(value).or_else(|| self.masked(name)).is_none();
        if headers.iter().all(is_clean) {
            return;
        }
        let mut clean = Headers::default();
        for (name, value) in headers.iter() {
            if let Some(masked) = self.masked(name) {
                self.note("the name of a header", name);
                clean.push(&masked, value);
                continue;
            }
            let Some(masked) = self.masked(value) else {
                clean.push(name, value);
                continue;
            };
            let shown: String = String::from_utf8_lossy(name).chars().take(MAX_NAME_CHARS).collect();
            self.note(&format!("the header {}", shown.to_ascii_lowercase()), value);
            clean.push(name, &masked);
        }
        *headers = clean;
    }

    fn masked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let found = self.all.registered_in(bytes);
        if found.is_empty() {
            return None;
        }
        let mut masked = Vec::with_capacity(bytes.len());
        let mut end = 0;
        for range in found {
            masked.extend_from_slice(&bytes[end..range.start]);
            masked.extend_from_slice(MASK.as_bytes());
            end = range.end;
        }
        masked.extend_from_slice(&bytes[end..]);
        Some(masked)
    }

    fn note(&self, place: &str, bytes: &[u8]) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, _) in self.each.iter().filter(|(_, one)| !one.registered_in(bytes).is_empty()) {
            let known = (name.clone(), place.to_owned());
            let key = if found.len() < MAX_PLACES || found.contains_key(&known) {
                known
            } else {
                (name.clone(), "further places".to_owned())
            };
            *found.entry(key).or_default() += 1;
        }
    }
}

fn name_of(aside: Aside) -> &'static str {
    match aside {
        Aside::Reason => "the reason phrase",
        Aside::Interim => "an interim answer",
        Aside::ChunkExtension => "a chunk's extension",
        Aside::Trailer => "a trailer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{DeclaredSecret, Interest};
    use crate::secret::Secret;

    fn watch() -> EchoWatch {
        let declared = |name: &str, value: &str| DeclaredSecret {
            name: name.into(),
            headers: vec!["authorization".into()],
            value: Ok(Secret::new(value.into())),
        };
        let secrets = vec![declared("ONE", "correct-horse"), declared("TWO", "battery-staple")];
        EchoWatch::of(&Placeholders::new(1, secrets)).unwrap()
    }

    fn witness(interest: Interest, headers: &[(&str, &str)], body: &[&str]) -> Witness {
        let mut witness = Witness::default().keeping(PREFIX_BYTES);
        witness.begin(interest);
        witness.head(200, headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        for piece in body {
            witness.body(piece.as_bytes()).unwrap();
        }
        witness
    }

    #[test]
    fn an_echo_is_told_by_secret_and_place_and_masked_before_anybody_sees_it() {
        let watch = watch();
        let headers = [("X-Debug", "got battery%2Dstaple"), ("content-type", "text/plain")];
        let mut witness = witness(Interest::Body, &headers, &["you sent corr", "ect-horse"]);

        watch.look(&mut witness);

        assert_eq!(witness.seen_body().0, b"you sent ***");
        assert_eq!(witness.headers().first("x-debug"), Some(&b"got ***"[..]));
        assert_eq!(witness.headers().first("content-type"), Some(&b"text/plain"[..]));
        let told: Vec<_> =
            watch.take().into_iter().map(|echo| (echo.secret, echo.place, echo.answers)).collect();
        let told: Vec<_> =
            told.iter().map(|(secret, place, n)| (secret.as_str(), place.as_str(), *n)).collect();
        assert_eq!(told, [("ONE", "the body", 1), ("TWO", "the header x-debug", 1)]);
        assert!(watch.take().is_empty());
    }

    #[test]
    fn an_echo_in_what_means_nothing_is_told_as_well() {
        let watch = watch();
        let mut witness = witness(Interest::Nothing, &[], &[]);
        for aside in Aside::ALL {
            witness.aside(aside, b"correct-");
            witness.aside(aside, b"horse");
        }

        watch.look(&mut witness);

        let places: Vec<_> = watch.take().into_iter().map(|echo| echo.place).collect();
        assert_eq!(places, ["a chunk's extension", "a trailer", "an interim answer", "the reason phrase"]);
    }

    #[test]
    fn where_nobody_wants_the_body_its_beginning_is_looked_at() {
        let watch = watch();
        let far = "x".repeat(PREFIX_BYTES);
        let mut near = witness(Interest::Nothing, &[], &["correct-horse", &far]);
        let mut beyond = witness(Interest::Nothing, &[], &[&far, "correct-horse"]);

        watch.look(&mut near);
        watch.look(&mut beyond);

        assert_eq!(watch.take()[0].answers, 1);
    }

    #[test]
    fn a_server_cannot_make_the_findings_endless() {
        let watch = watch();
        for number in 0..100 {
            watch.look(&mut witness(Interest::Nothing, &[(&format!("x-{number}"), "correct-horse")], &[]));
        }

        let found = watch.take();

        assert_eq!(found.len(), MAX_PLACES + 1);
        assert_eq!(found.iter().map(|echo| echo.answers).sum::<u64>(), 100);
    }

    #[test]
    fn nothing_is_watched_where_no_secret_may_go() {
        assert!(EchoWatch::of(&Placeholders::default()).is_none());
    }
}
