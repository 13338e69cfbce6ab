//! Fuzzes the response parser: no bytes may make it panic, and however they are split the result must be the same.
//!
//! The parser's own files are compiled in, with the guard whose rules it holds heads against, so it stays private to the
//! program and this builds in seconds.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the program uses more of these files than the parser does")]

use libfuzzer_sys::fuzz_target;

use self::load::codec::{Decoder, Malformed};
use self::load::witness::{Aside, Witness};
use self::request::Interest;

#[path = "../../src/context.rs"]
mod context;
#[path = "../../src/guard/mod.rs"]
mod guard;
#[path = "../../src/secret.rs"]
mod secret;
#[path = "../../src/target.rs"]
mod target;

#[path = "../../src/load"]
mod load {
    pub(crate) mod codec;
    pub(crate) mod witness;
}
#[path = "../../src/request"]
mod request {
    mod source;

    pub(crate) use self::source::{Headers, Interest, MAX_SEEN_BODY_BYTES};

    /// Stands for what is sent, of which the parser knows nothing.
    #[derive(Clone, Default)]
    pub(crate) struct Wire;
}

/// What one answer was taken for.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    keeps_alive: bool,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    is_body_cut: bool,
    asides: Vec<Vec<u8>>,
}

/// What is asked of the parser.
#[derive(Clone, Copy)]
struct Asked {
    answers_head: bool,
    interest: Interest,
    /// How much of every body is kept; asides are, where that is not nothing.
    prefix_bytes: usize,
}

fuzz_target!(|data: &[u8]| {
    // The first two bytes say what is asked and how the rest is split.
    let [asked, split, bytes @ ..] = data else { return };
    let interest = [Interest::Nothing, Interest::Status, Interest::Head, Interest::Body];
    let asked = Asked {
        answers_head: asked & 4 != 0,
        interest: interest[usize::from(asked & 3)],
        prefix_bytes: if asked & 8 != 0 { 16 } else { 0 },
    };

    let whole = decode(&[bytes], asked);

    let size = usize::from(*split).max(1);
    assert_eq!(decode(&bytes.chunks(size).collect::<Vec<_>>(), asked), whole, "in pieces of {size}");
    assert_eq!(decode(&uneven(bytes, *split), asked), whole, "in uneven pieces");
    assert_eq!(decode(&bytes.chunks(1).collect::<Vec<_>>(), asked), whole, "byte by byte");
});

/// Cuts bytes at places that grow with the square of their number, so that long inputs have short and long pieces.
fn uneven(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut rest, mut size) = (bytes, usize::from(seed % 7) + 1);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = behind;
        size = size * 2 % 1_021;
        size = size.max(1);
    }
    pieces
}

/// Feeds the pieces one after the other and then the end; returns every answer, and what was wrong.
fn decode(pieces: &[&[u8]], asked: Asked) -> (Vec<Seen>, Result<(), Malformed>) {
    let mut decoder = Decoder::new();
    let mut witness = Witness::default().keeping(asked.prefix_bytes);
    let mut answers = Vec::new();
    let begin = |decoder: &mut Decoder, witness: &mut Witness| {
        decoder.expect(asked.answers_head);
        witness.begin(asked.interest);
    };
    begin(&mut decoder, &mut witness);
    for piece in pieces {
        let mut rest: &[u8] = piece;
        while !rest.is_empty() {
            match decoder.feed(rest, &mut witness) {
                Ok(Some(answer)) => {
                    assert!(answer.leftover < rest.len(), "an answer of no bytes");
                    assert!((200..=599).contains(&answer.status));
                    rest = &rest[rest.len() - answer.leftover..];
                    answers.push(seen(answer.status, answer.keeps_alive, &witness));
                    begin(&mut decoder, &mut witness);
                }
                Ok(None) => break,
                Err(malformed) => return (answers, Err(malformed)),
            }
        }
    }
    if let Some(answer) = decoder.finish() {
        assert!(!answer.keeps_alive, "nothing follows the end of a stream");
        answers.push(seen(answer.status, answer.keeps_alive, &witness));
    }
    (answers, Ok(()))
}

fn seen(status: u16, keeps_alive: bool, witness: &Witness) -> Seen {
    let headers = witness.headers().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let (body, is_body_cut) = witness.seen_body();
    let asides = Aside::ALL.iter().map(|aside| witness.seen_aside(*aside).to_vec()).collect();
    Seen { status, keeps_alive, headers, body: body.to_vec(), is_body_cut, asides }
}
