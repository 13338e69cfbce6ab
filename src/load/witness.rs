//! The witness keeps what somebody wants to see of an answer beside its status: headers, a body, how much there was.
//!
//! It also holds every head against the rules of the target, and keeps what they object to. Where nobody asks for
//! anything it costs a comparison a header. The codec and HTTP/2 tell it the same things.

use std::sync::Arc;

use super::codec::Malformed;
use crate::guard::{AnswerRules, MARKER_HEADER, Revocation};
use crate::request::{Headers, Interest, MAX_SEEN_BODY_BYTES};

/// An answer with a longer body is no answer of a service that a gate loads; it would only fill the time.
pub(crate) const MAX_BODY_BYTES: u64 = 1024 * 1024 * 1024;

/// What is kept of each [`Aside`] at most.
const MAX_ASIDE_BYTES: usize = 16 * 1024;

const MARKER_LETTERS: usize = MARKER_HEADER.len();

/// A part of an answer that means nothing to a run, and in which a server can repeat what it was sent all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aside {
    /// The words behind the status, where they are not the usual ones.
    Reason,
    /// Whole interim answers.
    Interim,
    /// What stands behind the sizes of chunks.
    ChunkExtension,
    /// What follows the body.
    Trailer,
}

impl Aside {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Reason, Self::Interim, Self::ChunkExtension, Self::Trailer];
}

/// What is kept of one answer after the other.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    interest: Interest,
    headers: Headers,
    body: Vec<u8>,
    is_body_cut: bool,
    body_bytes: u64,
    /// How much of every body is kept, whoever wants it; headers and asides are then, too.
    prefix_bytes: usize,
    asides: [Vec<u8>; Aside::ALL.len()],
    rules: Option<Arc<AnswerRules>>,
    is_marker_promised: bool,
    lacks_marker: bool,
    objection: Option<Box<Revocation>>,
}

impl Witness {
    /// Makes a witness that holds every answer against the rules of the target.
    pub(crate) fn under(rules: &Arc<AnswerRules>) -> Self {
        Self {
            rules: Some(Arc::clone(rules)),
            is_marker_promised: rules.is_marker_promised(),
            ..Self::default()
        }
    }

    /// Keeps the beginning of the body of every answer, the headers and the asides, where that is not nothing.
    pub(crate) fn keeping(self, prefix_bytes: usize) -> Self {
        Self { prefix_bytes, ..self }
    }

    /// Begins a new answer.
    pub(crate) fn begin(&mut self, interest: Interest) {
        self.interest = interest;
        self.body_bytes = 0;
        self.headers.clear();
        self.body.clear();
        self.is_body_cut = false;
        self.lacks_marker = false;
        if self.keeps_asides() {
            self.asides.iter_mut().for_each(Vec::clear);
        }
    }

    /// Takes the final head.
    pub(crate) fn head<'h>(&mut self, status: u16, fields: impl Iterator<Item = (&'h [u8], &'h [u8])>) {
        let keeps_all = self.wants_heads();
        // These two may say when to come back.
        let may_say_when = matches!(status, 429 | 503);
        let rules = self.rules.as_deref();
        let mut objection = rules.and_then(|rules| rules.object_to_status(status));
        let mut is_marked = false;
        for (name, value) in fields {
            // The length sorts out nearly every other header before any comparison.
            let is_told = match name.len() {
                11 => may_say_when && name.eq_ignore_ascii_case(b"retry-after"),
                13 => name.eq_ignore_ascii_case(b"server-timing"),
                4 | 7 | 8 => {
                    objection = objection.or_else(|| rules?.object_to_field(status, name, value));
                    false
                }
                MARKER_LETTERS if name.eq_ignore_ascii_case(MARKER_HEADER.as_bytes()) => {
                    is_marked = true;
                    objection = objection.or_else(|| rules?.object_to_marker(value));
                    false
                }
                _ => false,
            };
            if keeps_all || is_told {
                self.headers.push(name, value);
            }
        }
        // An error page may be the edge's own, which knows of no marker.
        self.lacks_marker = self.is_marker_promised && !is_marked && status < 500;
        self.objection = objection.or(self.objection.take());
    }

    /// Returns whether the last answer lacks the marker that every answer must have.
    pub(crate) fn lacks_marker(&self) -> bool {
        self.lacks_marker
    }

    /// Takes what the rules object to in an answer, if anything.
    pub(crate) fn take_objection(&mut self) -> Option<Box<Revocation>> {
        self.objection.take()
    }

    /// Returns whether every head has to be shown, whatever stands in it.
    pub(crate) fn wants_heads(&self) -> bool {
        self.interest >= Interest::Head || self.prefix_bytes > 0
    }

    /// Returns whether asides are kept, so that [`Self::aside`] is worth its call.
    pub(crate) fn keeps_asides(&self) -> bool {
        self.prefix_bytes > 0
    }

    /// Takes a piece of an aside; of a long one the beginning is kept.
    pub(crate) fn aside(&mut self, aside: Aside, piece: &[u8]) {
        if self.keeps_asides() {
            let kept = &mut self.asides[aside as usize];
            let room = MAX_ASIDE_BYTES - kept.len();
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    /// Returns what is kept of an aside.
    pub(crate) fn seen_aside(&self, aside: Aside) -> &[u8] {
        &self.asides[aside as usize]
    }

    /// Returns whether the last head left no more here than headers that were wanted, as it would each time.
    pub(crate) fn would_hear_the_same(&self) -> bool {
        let has_told_nothing = self.wants_heads() || self.headers.iter().next().is_none();
        let has_no_asides = self.asides.iter().all(Vec::is_empty);
        has_told_nothing && has_no_asides && !self.lacks_marker && self.objection.is_none()
    }

    /// Takes the headers of a head that is the same as one before.
    pub(crate) fn repeat(&mut self, headers: &Headers) {
        self.headers.copy_from(headers);
    }

    /// Takes a piece of the body.
    pub(crate) fn body(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        self.body_bytes += piece.len() as u64;
        if self.body_bytes > MAX_BODY_BYTES {
            return Err(Malformed::BodyTooLong);
        }
        let most = if self.interest == Interest::Body { MAX_SEEN_BODY_BYTES } else { self.prefix_bytes };
        if most > 0 {
            let room = most - self.body.len();
            self.body.extend_from_slice(&piece[..piece.len().min(room)]);
            self.is_body_cut |= piece.len() > room;
        }
        Ok(())
    }

    /// Returns the headers where somebody wanted them, else those that mean something to every run: `Server-Timing`,
    /// and the `Retry-After` of 429 and 503.
    pub(crate) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Tells every value of a header; the name is in lower case.
    pub(crate) fn each(&self, name: &str, mut tell: impl FnMut(&[u8])) {
        for (found, value) in self.headers.iter() {
            if found.eq_ignore_ascii_case(name.as_bytes()) {
                tell(value);
            }
        }
    }

    /// Returns what is kept of the answer, to be changed before anybody sees it.
    pub(crate) fn kept_mut(&mut self) -> (&mut Headers, &mut Vec<u8>) {
        (&mut self.headers, &mut self.body)
    }

    /// Returns the body where somebody wanted it, and whether its end was cut off.
    pub(crate) fn seen_body(&self) -> (&[u8], bool) {
        (&self.body, self.is_body_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Origin, Scheme};

    const FIELDS: [(&[u8], &[u8]); 2] = [(b"Retry-After", b"3"), (b"x-long-name", b"4")];

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let mut witness = Witness::default();
        witness.begin(Interest::Status);

        witness.head(200, FIELDS.into_iter());
        witness.body(b"hello").unwrap();

        assert_eq!((witness.headers().iter().count(), witness.seen_body()), (0, (&b""[..], false)));
    }

    #[test]
    fn endless_asides_are_kept_in_part() {
        let mut witness = Witness::default().keeping(1);
        witness.begin(Interest::Nothing);

        for _ in 0..5 {
            witness.aside(Aside::ChunkExtension, &[b'x'; MAX_ASIDE_BYTES / 2 - 1]);
        }

        assert_eq!(witness.seen_aside(Aside::ChunkExtension).len(), MAX_ASIDE_BYTES);
        witness.begin(Interest::Nothing);
        assert!(witness.seen_aside(Aside::ChunkExtension).is_empty());
    }

    #[test]
    fn a_head_that_is_reproached_with_something_must_be_shown_each_time() {
        let origin = Origin { scheme: Scheme::Https, host: "pr-1.preview.shop.test".into(), port: 443 };
        let rules = Arc::new(AnswerRules::for_tests(&origin, &[], Some(("preview", true))));
        let mut witness = Witness::under(&rules);
        let mut kept_nothing = |status, fields: [(&[u8], &[u8]); 1]| {
            witness.begin(Interest::Nothing);
            witness.head(status, fields.into_iter());
            let kept_nothing = witness.would_hear_the_same();
            (kept_nothing, witness.lacks_marker(), witness.take_objection().is_some())
        };

        assert_eq!(kept_nothing(200, [(b"loadgate-preview", b"preview")]), (true, false, false));
        assert_eq!(kept_nothing(200, [(b"x", b"y")]), (false, true, false));
        assert_eq!(kept_nothing(200, [(b"Loadgate-Preview", b"other")]), (false, false, true));
        assert_eq!(kept_nothing(502, [(b"x", b"y")]), (true, false, false));
    }

    #[test]
    fn a_refusal_may_say_when_to_come_back() {
        let mut witness = Witness::default();
        witness.begin(Interest::Nothing);

        witness.head(503, FIELDS.into_iter());

        assert_eq!(witness.headers().first("retry-after"), Some(&b"3"[..]));
    }

    #[test]
    fn a_long_body_is_kept_in_part_and_said_to_be() {
        let mut witness = Witness::default();
        witness.begin(Interest::Body);
        witness.head(200, FIELDS.into_iter());

        for _ in 0..3 {
            witness.body(&vec![b'x'; MAX_SEEN_BODY_BYTES / 2]).unwrap();
        }

        let (body, is_cut) = witness.seen_body();
        assert_eq!((body.len(), is_cut), (MAX_SEEN_BODY_BYTES, true));
        witness.begin(Interest::Body);
        assert_eq!(witness.seen_body(), (&b""[..], false));
    }
}
