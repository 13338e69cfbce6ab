//! Looks at the frames of an HTTP/2 connection for one that must not come: a promise to push what nobody asked for.
//!
//! The library answers it with the end of the connection, and does not say why; a server that pushes although it was
//! told not to is none to load any further.

/// Length, type, flags and stream (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;

const LENGTH_BYTES: usize = 3;

const PUSH_PROMISE: u8 = 5;

/// The place in a stream of frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    /// How many bytes of the head have come.
    filled: usize,
    /// How many bytes of the payload are still to come.
    payload: usize,
}

impl Frames {
    /// Takes the next bytes from the server; returns whether a promise to push begins in them.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_pushed = false;
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD_BYTES - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEAD_BYTES {
                self.filled = 0;
                self.payload =
                    self.head[..LENGTH_BYTES].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                is_pushed |= self.head[LENGTH_BYTES] == PUSH_PROMISE;
            }
        }
        is_pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: u8 = 1;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 4, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn a_push_is_seen_however_the_bytes_are_split() {
        let stream =
            [frame(HEADERS, &[PUSH_PROMISE; 300]), frame(PUSH_PROMISE, b"promised"), frame(0, b"ok")]
                .concat();

        for size in 1..=stream.len() {
            let mut frames = Frames::default();
            let seen: Vec<bool> = stream.chunks(size).map(|piece| frames.look(piece)).collect();
            assert_eq!(seen.iter().filter(|seen| **seen).count(), 1, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_inside_of_frames_is_not_taken_for_one() {
        let mut frames = Frames::default();

        assert!(!frames.look(&frame(0, &[PUSH_PROMISE; 1_000])));
        assert!(!frames.look(&[frame(4, b""), frame(HEADERS, &[0, 0, 0, PUSH_PROMISE])].concat()));
    }
}
