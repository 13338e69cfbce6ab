//! The last whole head of a connection: servers say the same again and again, and comparing costs a tenth of parsing.

use super::head::Head;

/// A longer head is parsed each time: what it would take of each connection's memory is more than it saves.
const MAX_BYTES: usize = 1024;

/// The last head that left nothing behind but what it means.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    bytes: Vec<u8>,
    head: Option<Head>,
}

impl Repeated {
    /// Returns what the input begins with, and its length, where that is the same as last time.
    pub(super) fn find(&self, input: &[u8]) -> Option<(Head, usize)> {
        let head = self.head?;
        input.starts_with(&self.bytes).then_some((head, self.bytes.len()))
    }

    /// Remembers a head, from its first byte to its empty line.
    pub(super) fn remember(&mut self, bytes: &[u8], head: Head) {
        self.bytes.clear();
        self.head = (bytes.len() <= MAX_BYTES).then_some(head);
        if self.head.is_some() {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::Framing;
    use super::*;

    const HEAD: Head = Head { status: 200, framing: Framing::Sized(5), keeps_alive: true };

    #[test]
    fn only_the_very_same_bytes_are_the_same_head() {
        let mut repeated = Repeated::default();
        assert!(repeated.find(b"").is_none());

        repeated.remember(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HEAD);

        let again = repeated.find(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(again, Some((HEAD, 38)));
        assert_eq!(repeated.find(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!"), None);
        assert_eq!(repeated.find(b"HTTP/1.1 200 OK\r\nContent-Len"), None);
    }

    #[test]
    fn a_long_head_is_not_kept() {
        let mut repeated = Repeated::default();
        repeated.remember(b"HTTP/1.1 200 OK\r\n\r\n", HEAD);

        repeated.remember(&vec![b'x'; MAX_BYTES + 1], HEAD);

        assert_eq!(repeated.find(&vec![b'x'; MAX_BYTES + 1]), None);
        assert_eq!(repeated.find(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
