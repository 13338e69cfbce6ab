//! A redacted stream takes bytes in any pieces and gives them on without secrets: one that is split over two pieces is
//! found all the same.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use super::structure::MAX_NAME_DISTANCE;
use super::{Known, MASK, PIECE_BYTES, Redactor};

/// The state between two pieces.
#[derive(Debug)]
pub struct RedactedStream {
    redactor: Redactor,
    pending: Vec<u8>,
    /// Whether everything up to the end of the line belongs to a value that was masked.
    is_swallowing: bool,
    has_masked: bool,
}

impl RedactedStream {
    /// Begins a stream.
    #[must_use]
    pub fn new(redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), pending: Vec::new(), is_swallowing: false, has_masked: false }
    }

    /// Returns whether anything was masked so far.
    #[must_use]
    pub fn has_masked(&self) -> bool {
        self.has_masked
    }

    /// Takes the next piece and gives on what no later piece can change: whole lines, as a rule.
    ///
    /// # Errors
    /// Writing fails.
    pub fn push(&mut self, mut piece: &[u8], to: &mut impl Write) -> io::Result<()> {
        if self.is_swallowing {
            let Some(end) = piece.iter().position(|byte| *byte == b'\n') else { return Ok(()) };
            piece = &piece[end..];
            self.is_swallowing = false;
        }
        self.pending.extend_from_slice(piece);
        let known = self.redactor.known();
        let hold = known.forms.longest().max(MAX_NAME_DISTANCE);
        // Lines that came before this piece are gone or wait for more; to look for them again would cost too much.
        let last_line = piece
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| self.pending.len() - piece.len() + at + 1);
        let safe = if known.forms.has_lines() { last_line.min(self.held_back(hold)) } else { last_line };
        if safe > 0 {
            return self.give(&known, safe, to);
        }
        let longest_line = usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX);
        if self.pending.len() < longest_line + hold {
            return Ok(());
        }
        self.give(&known, self.held_back(hold), to)
    }

    /// Gives on what is left.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(&mut self, to: &mut impl Write) -> io::Result<()> {
        let known = self.redactor.known();
        self.write(&known, self.pending.len(), to)
    }

    fn held_back(&self, hold: usize) -> usize {
        self.pending.len().saturating_sub(hold)
    }

    /// Gives on what stands before `safe`, or before the secret that stands across it.
    fn give(&mut self, known: &Arc<Known>, safe: usize, to: &mut impl Write) -> io::Result<()> {
        let found = known.found_in(&self.pending);
        // What makes a value a secret may stand before it, and must be seen again together with it.
        let begins = |range: &Range<usize>| range.start.saturating_sub(MAX_NAME_DISTANCE);
        let across = found.iter().position(|range| begins(range) < safe && safe < range.end);
        let Some(index) = across else { return self.write(known, safe, to) };
        let across = found[index].clone();
        let last_end = index.checked_sub(1).map_or(0, |last| found[last].end);
        let longest_line = usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX);
        if across.end < self.pending.len() || across.len() < longest_line {
            return self.write(known, begins(&across).max(last_end), to);
        }
        self.write(known, across.start, to)?;
        self.pending.clear();
        (self.is_swallowing, self.has_masked) = (true, true);
        to.write_all(MASK.as_bytes())
    }

    fn write(&mut self, known: &Known, cut: usize, to: &mut impl Write) -> io::Result<()> {
        let mut end = 0;
        for range in known.found_in(&self.pending).into_iter().take_while(|range| range.end <= cut) {
            to.write_all(&self.pending[end..range.start])?;
            to.write_all(MASK.as_bytes())?;
            end = range.end;
            self.has_masked = true;
        }
        to.write_all(&self.pending[end..cut])?;
        self.pending.drain(..cut);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn streamed(pieces: &[&[u8]]) -> String {
        let redactor = Redactor::new(vec![Secret::new("correct-horse".into())]);
        let mut stream = RedactedStream::new(&redactor);
        let mut shown = Vec::new();
        for piece in pieces {
            stream.push(piece, &mut shown).unwrap();
        }
        stream.finish(&mut shown).unwrap();
        String::from_utf8_lossy(&shown).into_owned()
    }

    #[test]
    fn a_secret_that_is_split_over_writes_is_found() {
        let text = b"one correct-horse two\nthree cookie: a=b\nfour correct-horse";
        for at in 0..text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(streamed(&[first, second]), "one *** two\nthree cookie: ***\nfour ***", "{at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(streamed(&bytes), "one *** two\nthree cookie: ***\nfour ***");
    }

    #[test]
    fn many_secrets_of_one_long_line_are_all_found() {
        let line = "?token=abc&x=1".repeat(60_000);
        for size in [7, 4096, 300_000] {
            let pieces: Vec<&[u8]> = line.as_bytes().chunks(size).collect();
            let shown = streamed(&pieces);
            assert_eq!(shown.matches("?token=***&x=1").count(), 60_000, "{size}");
        }
    }

    #[test]
    fn a_line_is_given_on_when_it_is_whole() {
        let redactor = Redactor::new(vec![Secret::new("correct-horse".into())]);
        let (mut stream, mut shown) = (RedactedStream::new(&redactor), Vec::new());

        stream.push(b"Compiling shop\nFini", &mut shown).unwrap();

        assert_eq!(shown, b"Compiling shop\n");
    }

    #[test]
    fn a_value_without_an_end_is_swallowed_to_the_end_of_its_line() {
        let piece = vec![b'x'; 200 * 1024];
        let mut pieces: Vec<&[u8]> = vec![b"cookie: "];
        pieces.extend(std::iter::repeat_n(&piece[..], 5));
        pieces.push(b"end\nnext");

        assert_eq!(streamed(&pieces), "cookie: ***\nnext");
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_a_piece() {
        let redactor = Redactor::new(Vec::new());
        let (mut stream, mut shown) = (RedactedStream::new(&redactor), io::sink());

        for _ in 0..64 {
            stream.push(&[b'x'; 64 * 1024], &mut shown).unwrap();
        }

        assert!(stream.pending.len() < 512 * 1024, "{}", stream.pending.len());
    }
}
