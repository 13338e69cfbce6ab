//! The last whole head of a connection: servers say the same again and again, and comparing costs a tenth of parsing.

use super::head::{Framing, Head};
use crate::load::witness::Witness;
use crate::request::Headers;

/// A longer head is parsed each time: what it would take of each connection's memory is more than it saves.
const MAX_BYTES: usize = 1024;

/// The last head that left nothing behind but what it means, and its headers where they were wanted.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    bytes: Vec<u8>,
    head: Option<Head>,
    headers: Headers,
    has_headers: bool,
}

impl Repeated {
    /// Returns what the input begins with, and its length, where that is the same as last time; the witness then hears
    /// the same as last time.
    pub(super) fn find(&self, input: &[u8], witness: &mut Witness) -> Option<(Head, usize)> {
        let head = self.head?;
        if self.has_headers != witness.wants_heads() || !input.starts_with(&self.bytes) {
            return None;
        }
        if self.has_headers {
            witness.repeat(&self.headers);
        }
        Some((head, self.bytes.len()))
    }

    /// Returns whether the input is that head and its whole body, nothing more: a good answer that keeps the connection
    /// and holds nothing that was wanted.
    pub(super) fn is_all_of(&self, input: &[u8]) -> bool {
        let Some(Head { status: 200..=299, framing: Framing::Sized(length), keeps_alive: true }) = self.head
        else {
            return false;
        };
        let is_whole = input.len().checked_sub(self.bytes.len()).is_some_and(|body| body as u64 == length);
        is_whole && !self.has_headers && input.starts_with(&self.bytes)
    }

    /// Remembers a head, from its first byte to its empty line, as the witness has just heard it.
    pub(super) fn remember(&mut self, bytes: &[u8], head: Head, witness: &Witness) {
        self.bytes.clear();
        let is_kept = bytes.len() <= MAX_BYTES && witness.would_hear_the_same();
        self.head = is_kept.then_some(head);
        if is_kept {
            self.bytes.extend_from_slice(bytes);
            self.has_headers = witness.wants_heads();
            self.headers.copy_from(witness.headers());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Interest;

    const HEAD: Head = Head { status: 200, framing: Framing::Sized(5), keeps_alive: true };

    #[test]
    fn only_the_very_same_bytes_are_the_same_head() {
        let (mut repeated, mut witness) = (Repeated::default(), Witness::default());
        assert!(repeated.find(b"", &mut witness).is_none());

        repeated.remember(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HEAD, &witness);

        let mut find = |input: &[u8]| repeated.find(input, &mut witness);
        assert_eq!(find(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Some((HEAD, 38)));
        assert_eq!(find(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!"), None);
        assert_eq!(find(b"HTTP/1.1 200 OK\r\nContent-Len"), None);
    }

    #[test]
    fn an_answer_is_the_same_again_only_where_it_is_whole_and_good() {
        let (text, witness) = (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Witness::default());
        let with = |head: Head| {
            let mut repeated = Repeated::default();
            repeated.remember(text, head, &witness);
            move |body: &str| repeated.is_all_of(&[&text[..], body.as_bytes()].concat())
        };

        let usual = with(HEAD);
        assert_eq!(["hello", "HELLO", "hell", "", "hello!"].map(usual), [true, true, false, false, false]);
        for head in [
            Head { status: 404, ..HEAD },
            Head { status: 302, ..HEAD },
            Head { keeps_alive: false, ..HEAD },
            Head { framing: Framing::Chunked, ..HEAD },
            Head { framing: Framing::UntilClose, ..HEAD },
        ] {
            assert!(!with(head)("hello"), "{head:?}");
        }
        assert!(!Repeated::default().is_all_of(b""));
    }

    #[test]
    fn what_somebody_wants_to_see_is_never_the_same_again() {
        let (mut repeated, mut witness) = (Repeated::default(), Witness::default());
        witness.begin(Interest::Head);

        repeated.remember(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HEAD, &witness);

        assert!(!repeated.is_all_of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
    }

    #[test]
    fn a_long_head_is_not_kept() {
        let (mut repeated, mut witness) = (Repeated::default(), Witness::default());
        repeated.remember(b"HTTP/1.1 200 OK\r\n\r\n", HEAD, &witness);

        repeated.remember(&vec![b'x'; MAX_BYTES + 1], HEAD, &witness);

        assert_eq!(repeated.find(&vec![b'x'; MAX_BYTES + 1], &mut witness), None);
        assert_eq!(repeated.find(b"HTTP/1.1 200 OK\r\n\r\n", &mut witness), None);
    }
}
