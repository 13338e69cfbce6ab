//! The codec turns the bytes of an HTTP/1.1 connection into answers: bytes in, events out, nothing else.
//!
//! It does no I/O and keeps no body, so it can be fed anything in any pieces: the same bytes give the same result
//! however they are split.

mod chunk;
mod head;
mod repeated;

use self::chunk::ChunkState;
use self::head::{Framing, Head, parse_head};
use self::repeated::Repeated;
use super::witness::{MAX_BODY_BYTES, Witness};

/// All heads of one answer, interim answers included; as much as browsers accept is generous for a service.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// All trailers of one answer, and the size line of one chunk with its extensions.
const MAX_CHUNK_META_BYTES: usize = 16 * 1024;

/// Every answer begins so; anything else is another protocol or HTTP/0.9.
const PREFIX: &[u8] = b"HTTP/1.";

/// One complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The final status, 200 to 599.
    pub(crate) status: u16,
    /// Whether the connection may carry another request.
    pub(crate) keeps_alive: bool,
    /// How many of the bytes fed last lie behind the answer.
    pub(crate) leftover: usize,
}

/// What makes bytes no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The status line or a header breaks the grammar.
    Head,
    /// The heads of one answer are longer than [`MAX_HEAD_BYTES`].
    HeadTooLong,
    /// The status is 101, or outside 100 to 599.
    Status,
    /// Where the body ends is invalid or ambiguous.
    Framing,
    /// A chunk breaks the grammar, or its size does not fit into 64 bits.
    Chunk,
    /// A chunk's size line or the trailers are longer than [`MAX_CHUNK_META_BYTES`].
    ChunkTooLong,
    /// The body is longer than [`MAX_BODY_BYTES`].
    BodyTooLong,
}

/// Reads the answers of one connection, one after the other.
#[derive(Debug)]
pub(crate) struct Decoder {
    answers_head: bool,
    state: State,
    /// The part of a head that came so far; empty unless a head is split over several reads.
    head: Vec<u8>,
    repeated: Repeated,
    /// Whether the last answer came in one piece and with the head of the one before.
    is_repetitive: bool,
    /// Bytes of the interim answers before this head.
    interim_bytes: usize,
    status: u16,
    keeps_alive: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    Sized(u64),
    Chunked(ChunkState, usize),
    UntilClose,
}

impl Decoder {
    /// Makes a decoder that awaits the answer to a GET.
    pub(crate) fn new() -> Self {
        Self {
            answers_head: false,
            state: State::Head,
            head: Vec::new(),
            repeated: Repeated::default(),
            is_repetitive: false,
            interim_bytes: 0,
            status: 0,
            keeps_alive: false,
        }
    }

    /// Says what the next answer is for: one to HEAD has no body whatever its headers say.
    pub(crate) fn expect(&mut self, answers_head: bool) {
        self.answers_head = answers_head;
    }

    /// Takes the next bytes; returns the answer when they complete one.
    ///
    /// After an answer the decoder is ready for the next one; it has not looked at the leftover bytes.
    pub(crate) fn feed(&mut self, input: &[u8], witness: &mut Witness) -> Result<Option<Answer>, Malformed> {
        let mut rest = input;
        self.is_repetitive = false;
        while matches!(self.state, State::Head) {
            match self.feed_head(rest, witness)? {
                Some(behind) => rest = behind,
                None => return Ok(None),
            }
        }
        match self.state {
            State::Head => Ok(None),
            State::UntilClose => witness.body(rest).map(|()| None),
            State::Sized(left) => self.feed_sized(left, rest, witness),
            State::Chunked(chunk, meta_bytes) => self.feed_chunked(chunk, meta_bytes, rest, witness),
        }
    }

    /// Returns whether the last answer came in one piece and with the head of the one before, so that the next one may
    /// well do so, too.
    pub(crate) fn is_repetitive(&self) -> bool {
        self.is_repetitive
    }

    /// Returns whether the next bytes are exactly one answer with the head of the last one, good, and with nothing in it
    /// that was wanted. Such an answer needs not be fed.
    pub(crate) fn is_same_again(&self, input: &[u8]) -> bool {
        let awaits_head = matches!(self.state, State::Head) && self.head.is_empty();
        awaits_head && !self.answers_head && self.repeated.is_all_of(input)
    }

    /// Takes the end of the stream; returns the answer that it completes, if its body lasted until then.
    pub(crate) fn finish(&mut self) -> Option<Answer> {
        matches!(self.state, State::UntilClose).then(|| self.complete(0))
    }

    fn feed_sized(
        &mut self,
        left: u64,
        rest: &[u8],
        witness: &mut Witness,
    ) -> Result<Option<Answer>, Malformed> {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        if taken > 0 {
            witness.body(&rest[..taken])?;
        }
        let left = left - taken as u64;
        if left > 0 {
            self.state = State::Sized(left);
            return Ok(None);
        }
        Ok(Some(self.complete(rest.len() - taken)))
    }

    fn complete(&mut self, leftover: usize) -> Answer {
        let answer = Answer { status: self.status, keeps_alive: self.keeps_alive, leftover };
        self.state = State::Head;
        self.interim_bytes = 0;
        answer
    }

    /// Returns the bytes behind the head, or `None` where it is not complete.
    fn feed_head<'a>(
        &mut self,
        input: &'a [u8],
        witness: &mut Witness,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        if !self.head.is_empty() {
            return self.feed_split_head(input, witness);
        }
        if let Some((head, length)) = self.repeated.find(input, witness) {
            self.is_repetitive = true;
            self.enter(&head, length)?;
            return Ok(Some(&input[length..]));
        }
        // Nearly every head comes whole in one read; it is parsed in place.
        if input.starts_with(PREFIX)
            && let Ok(Some((head, length))) = parse_head(input, witness)
        {
            self.repeated.remember(&input[..length], head, witness);
            self.enter(&head, length)?;
            return Ok(Some(&input[length..]));
        }
        self.feed_split_head(input, witness)
    }

    /// Collects a head line by line and parses it once, at its empty line, so that a server which sends single bytes
    /// costs linear time. The status line is checked when it is whole, the prefix at once.
    fn feed_split_head<'a>(
        &mut self,
        input: &'a [u8],
        witness: &mut Witness,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        let mut rest = input;
        loop {
            let is_first_line = !self.head.contains(&b'\n');
            let line_end = rest.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let (piece, behind) = rest.split_at(line_end.unwrap_or(rest.len()));
            self.head.extend_from_slice(piece);
            rest = behind;
            let checked = self.head.len().min(PREFIX.len());
            if self.head[..checked] != PREFIX[..checked] {
                return Err(Malformed::Head);
            }
            if self.interim_bytes + self.head.len() > MAX_HEAD_BYTES {
                return Err(Malformed::HeadTooLong);
            }
            if line_end.is_none() {
                return Ok(None);
            }
            if is_first_line {
                parse_head(&self.head, witness)?;
            } else if self.head.ends_with(b"\n\n") || self.head.ends_with(b"\n\r\n") {
                let (head, length) = parse_head(&self.head, witness)?.ok_or(Malformed::Head)?;
                self.head.clear();
                self.enter(&head, length)?;
                return Ok(Some(rest));
            }
        }
    }

    fn enter(&mut self, head: &Head, length: usize) -> Result<(), Malformed> {
        if self.interim_bytes + length > MAX_HEAD_BYTES {
            return Err(Malformed::HeadTooLong);
        }
        match head.status {
            // An upgrade was never asked for.
            101 => return Err(Malformed::Status),
            100..=199 => {
                self.interim_bytes += length;
                return Ok(());
            }
            200..=599 => {}
            _ => return Err(Malformed::Status),
        }
        self.status = head.status;
        self.keeps_alive = head.keeps_alive;
        let has_no_body = self.answers_head || matches!(head.status, 204 | 304);
        self.state = match head.framing {
            _ if has_no_body => State::Sized(0),
            Framing::Sized(length) if length > MAX_BODY_BYTES => return Err(Malformed::BodyTooLong),
            Framing::Sized(length) => State::Sized(length),
            Framing::Chunked => State::Chunked(ChunkState::START, 0),
            Framing::UntilClose => {
                self.keeps_alive = false;
                State::UntilClose
            }
        };
        Ok(())
    }

    fn feed_chunked(
        &mut self,
        mut chunk: ChunkState,
        mut meta_bytes: usize,
        mut rest: &[u8],
        witness: &mut Witness,
    ) -> Result<Option<Answer>, Malformed> {
        while let Some(&byte) = rest.first() {
            if let ChunkState::Data(left) = chunk {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                witness.body(&rest[..taken])?;
                rest = &rest[taken..];
                let left = left - taken as u64;
                chunk = if left == 0 { ChunkState::DataReturn } else { ChunkState::Data(left) };
                meta_bytes = 0;
                continue;
            }
            rest = &rest[1..];
            if matches!((chunk, byte), (ChunkState::LastLineFeed, b'\n')) {
                return Ok(Some(self.complete(rest.len())));
            }
            if let Some(aside) = chunk.aside() {
                witness.aside(aside, &[byte]);
            }
            chunk = chunk.after(byte)?;
            meta_bytes += 1;
            if meta_bytes > MAX_CHUNK_META_BYTES {
                return Err(Malformed::ChunkTooLong);
            }
        }
        self.state = State::Chunked(chunk, meta_bytes);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::witness::Aside;
    use crate::request::Interest;

    /// Feeds the pieces one after the other; returns every answer, or what was wrong.
    fn decode(pieces: &[&[u8]], answers_head: bool) -> (Vec<(u16, bool)>, Result<(), Malformed>) {
        let mut decoder = Decoder::new();
        let mut witness = Witness::default();
        decoder.expect(answers_head);
        let mut answers = Vec::new();
        for piece in pieces {
            let mut rest: &[u8] = piece;
            loop {
                match decoder.feed(rest, &mut witness) {
                    Ok(Some(answer)) => {
                        answers.push((answer.status, answer.keeps_alive));
                        rest = &rest[rest.len() - answer.leftover..];
                        if rest.is_empty() {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(malformed) => return (answers, Err(malformed)),
                }
            }
        }
        (answers, Ok(()))
    }

    fn one(bytes: &[u8]) -> Result<Vec<(u16, bool)>, Malformed> {
        let (answers, result) = decode(&[bytes], false);
        result.map(|()| answers)
    }

    #[test]
    fn a_body_ends_where_its_headers_say() {
        for whole in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n00\r\nA: b\r\nC: d\r\n\r\n",
            b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ] {
            let answers = one(whole);

            assert_eq!(answers.as_ref().map(Vec::len), Ok(1), "{}: {answers:?}", whole.escape_ascii());
        }
    }

    #[test]
    fn an_answer_is_not_complete_before_its_last_byte() {
        let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n";

        for length in 0..whole.len() {
            assert_eq!(one(&whole[..length]), Ok(vec![]), "{length}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";

        assert_eq!(decode(&[bytes], true), (vec![(200, true)], Ok(())));
        assert_eq!(decode(&[bytes], false), (vec![], Ok(())));
    }

    #[test]
    fn a_connection_is_kept_only_where_both_ends_agree() {
        let keeps = |head: &str| one(format!("{head}Content-Length: 0\r\n\r\n").as_bytes()).unwrap()[0].1;

        assert!(keeps("HTTP/1.1 200 OK\r\n"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\n"));
        assert!(!keeps("HTTP/1.0 200 OK\r\n"));
        assert!(keeps("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"));
    }

    #[test]
    fn a_body_without_length_ends_with_the_stream() {
        let mut decoder = Decoder::new();

        assert_eq!(decoder.feed(b"HTTP/1.1 200 OK\r\n\r\nhello", &mut Witness::default()), Ok(None));
        assert_eq!(decoder.finish(), Some(Answer { status: 200, keeps_alive: false, leftover: 0 }));
    }

    #[test]
    fn a_stream_that_ends_halfway_completes_nothing() {
        for part in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] {
            let mut decoder = Decoder::new();
            assert_eq!(decoder.feed(part.as_bytes(), &mut Witness::default()), Ok(None));
            assert_eq!(decoder.finish(), None, "{part:?}");
        }
    }

    #[test]
    fn the_same_head_again_is_the_same_answer() {
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let longer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!";
        let last = b"HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

        let (answers, result) = decode(&[ok, ok, longer, ok, last, last], false);

        assert_eq!(result, Ok(()));
        let expected = [(200, true), (200, true), (200, true), (200, true), (404, false), (404, false)];
        assert_eq!(answers, expected);
    }

    #[test]
    fn what_means_nothing_is_told_each_time_where_somebody_looks_for_it() {
        let answer = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 Fine b\r\n\
            Transfer-Encoding: chunked\r\n\r\n1;c\r\nx\r\n0;d\r\nE: f\r\n\r\n";
        let told = |witness: &Witness| {
            Aside::ALL.map(|aside| String::from_utf8(witness.seen_aside(aside).to_vec()).unwrap())
        };
        let mut decoder = Decoder::new();
        let mut witness = Witness::default().keeping(1);

        for _ in 0..2 {
            witness.begin(Interest::Nothing);
            assert!(matches!(decoder.feed(answer, &mut witness), Ok(Some(_))));

            let [reason, interim, extensions, trailers] = told(&witness);
            assert_eq!(reason, "HTTP/1.1 200 Fine b\r");
            assert!(interim.contains("Link: a"), "{interim}");
            assert_eq!(extensions, "c\rd\r");
            assert_eq!(trailers, "E: f\r\n\r");
        }
        let usual = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        witness.begin(Interest::Nothing);
        assert!(matches!(decoder.feed(usual, &mut witness), Ok(Some(_))));
        assert_eq!(told(&witness).concat(), "");
        let (mut decoder, mut nobody) = (Decoder::new(), Witness::default());
        assert!(matches!(decoder.feed(answer, &mut nobody), Ok(Some(_))));
        assert_eq!(told(&nobody).concat(), "");
    }

    #[test]
    fn what_a_head_says_to_every_run_is_heard_each_time() {
        let (mut decoder, mut witness) = (Decoder::new(), Witness::default());
        let answer = b"HTTP/1.1 200 OK\r\nServer-Timing: db;dur=1\r\nContent-Length: 0\r\n\r\n";

        for turn in 0..3 {
            witness.begin(Interest::Nothing);
            assert!(decoder.feed(answer, &mut witness).unwrap().is_some());

            let mut heard = 0;
            witness.each("server-timing", |_| heard += 1);
            assert_eq!(heard, 1, "{turn}");
        }
    }

    #[test]
    fn whoever_wants_heads_is_shown_every_one() {
        let (mut decoder, mut witness) = (Decoder::new(), Witness::default());
        let answer = b"HTTP/1.1 200 OK\r\nX-Id: 7\r\nContent-Length: 0\r\n\r\n";

        for interest in [Interest::Nothing, Interest::Nothing, Interest::Head, Interest::Head] {
            witness.begin(interest);
            assert!(decoder.feed(answer, &mut witness).unwrap().is_some());

            let shown = witness.headers().first("x-id");
            assert_eq!(shown, (interest == Interest::Head).then_some(&b"7"[..]));
        }
        for (id, count) in [("8", 2), ("8", 2), ("88", 2)] {
            let answer = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nContent-Length: 0\r\n\r\n");
            witness.begin(Interest::Body);
            assert!(decoder.feed(answer.as_bytes(), &mut witness).unwrap().is_some());

            assert_eq!(witness.headers().first("x-id"), Some(id.as_bytes()));
            assert_eq!(witness.headers().iter().count(), count);
        }
    }

    #[test]
    fn bytes_behind_an_answer_are_told() {
        let mut decoder = Decoder::new();

        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello";
        let answer = decoder.feed(bytes, &mut Witness::default()).unwrap().unwrap();

        assert_eq!(answer.leftover, 3);
    }

    #[test]
    fn ambiguous_or_broken_framing_is_refused() {
        for (headers, expected) in [
            ("Content-Length: 5\r\nContent-Length: 5", Malformed::Framing),
            ("Content-Length: 5, 5", Malformed::Framing),
            ("Content-Length: -1", Malformed::Framing),
            ("Content-Length: +1", Malformed::Framing),
            ("Content-Length:", Malformed::Framing),
            ("Content-Length: 99999999999999999999999", Malformed::Framing),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", Malformed::Framing),
            ("Transfer-Encoding: gzip", Malformed::Framing),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Malformed::Framing),
            ("Content-Length : 5", Malformed::Head),
        ] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n");
            assert_eq!(one(bytes.as_bytes()), Err(expected), "{headers:?}");
        }
        assert_eq!(one(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(Malformed::Framing));
    }

    #[test]
    fn broken_chunks_are_refused() {
        for chunks in [
            "x\r\n",
            "\r\n",
            ";a\r\n",
            "5\n",
            "1\r\nab",
            "1\r\na\n",
            "fffffffffffffffff\r\n",
            "0\r\nA: b\n",
            "-1\r\n",
        ] {
            let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            assert_eq!(one(bytes.as_bytes()), Err(Malformed::Chunk), "{chunks:?}");
        }
    }

    #[test]
    fn what_is_not_an_http_1_answer_is_refused_at_once() {
        for bytes in [
            "<html>",
            "SSH-2.0-x",
            "\r\nHTTP/1.1 200 OK",
            "HTTP/2",
            "HTTP/1.1 abc\r\n",
            "HTTP/1.7 200 OK\r\n",
        ] {
            assert_eq!(one(bytes.as_bytes()), Err(Malformed::Head), "{bytes:?}");
        }
        for status in [101, 0, 99, 600, 999] {
            let bytes = format!("HTTP/1.1 {status:03} X\r\n\r\n");
            assert_eq!(one(bytes.as_bytes()), Err(Malformed::Status), "{status}");
        }
    }

    #[test]
    fn a_head_may_be_64_kib_and_no_more() {
        let head = |bytes: usize| {
            let mut text = String::from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ");
            text.push_str(&"a".repeat(bytes - text.len() - 4));
            text + "\r\n\r\n"
        };

        assert_eq!(one(head(MAX_HEAD_BYTES).as_bytes()), Ok(vec![(200, true)]));
        assert_eq!(one(head(MAX_HEAD_BYTES + 1).as_bytes()), Err(Malformed::HeadTooLong));
        assert_eq!(one(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(3000)), Err(Malformed::HeadTooLong));
    }

    #[test]
    fn a_head_may_be_cut_into_as_many_headers_as_fit() {
        let head = |count: usize| {
            ["HTTP/1.1 200 OK\r\n", &"A: b\r\n".repeat(count), "Content-Length: 2\r\n\r\nok"].concat()
        };

        for count in [255, 256, 257, 10_000] {
            assert_eq!(one(head(count).as_bytes()), Ok(vec![(200, true)]), "{count}");
        }
        assert_eq!(one(head(11_000).as_bytes()), Err(Malformed::HeadTooLong));
    }

    #[test]
    fn endless_trailers_and_extensions_are_cut() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();

        let trailers = [head.clone(), b"0\r\n".to_vec(), b"A: b\r\n".repeat(4000)].concat();
        let extension = [head, b"5;".to_vec(), b"a".repeat(20_000)].concat();

        assert_eq!(one(&trailers), Err(Malformed::ChunkTooLong));
        assert_eq!(one(&extension), Err(Malformed::ChunkTooLong));
    }

    /// Text that is nearly HTTP, so that random tests get past the first line.
    fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"HTTP/1.0 404 No\n",
            b"HTTP/1.1 100 C\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"0\r\nA: b\r\n\r\n",
            b"abc",
            b"5;x\r\nabcde\r\n",
            b"\0",
            b"HTTP/1.1 204 N\r\n\r\n",
        ]);
        let known = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
        let good_start = known.clone().prop_map(|rest| [&b"HTTP/1.1 200 OK\r\n"[..], &rest].concat());
        prop_oneof![known, good_start, prop::collection::vec(any::<u8>(), 0..200)]
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_result(bytes in nearly_http(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8), answers_head: bool) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.sort_unstable();
            at.push(bytes.len());
            let mut from = 0;
            let pieces: Vec<&[u8]> =
                at.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();

            let whole = decode(&[&bytes], answers_head);

            prop_assert_eq!(decode(&pieces, answers_head), whole.clone());
            prop_assert_eq!(decode(&single, answers_head), whole);
        }
    }
}
