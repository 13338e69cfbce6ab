//! The head of an answer: its status line and the headers that decide where its body ends.
//!
//! Framing that two readers could understand differently is refused (RFC 9112, section 6.3).

use std::mem::MaybeUninit;

use http::StatusCode;
use httparse::{Header, ParserConfig, Response, Status};

use super::Malformed;
use crate::load::witness::{Aside, Witness};

/// As many header lines are parsed without asking for memory; hardly any service sends more.
const USUAL_HEADERS: usize = 256;

/// The shortest header line: a letter, a colon and a line feed.
const SHORTEST_HEADER_BYTES: usize = 3;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Sized(u64),
    /// After the last chunk.
    Chunked,
    /// Where the stream ends.
    UntilClose,
}

/// What matters of a status line and its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The status, not checked.
    pub(super) status: u16,
    /// How the end of the body is found, if there is one.
    pub(super) framing: Framing,
    /// Whether the server will keep the connection.
    pub(super) keeps_alive: bool,
}

/// Returns the head and its length, or `None` where it is not complete. The witness hears of a final one.
pub(super) fn parse_head(bytes: &[u8], witness: &mut Witness) -> Result<Option<(Head, usize)>, Malformed> {
    // Left uninitialised: clearing 10 KiB would cost as much as parsing a usual head.
    let mut headers = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    let mut more_headers;
    let config = ParserConfig::default();
    let mut response = Response::new(&mut []);
    let mut parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    if parsed == Err(httparse::Error::TooManyHeaders) {
        more_headers = vec![MaybeUninit::uninit(); bytes.len() / SHORTEST_HEADER_BYTES];
        response = Response::new(&mut []);
        parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut more_headers);
    }
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Malformed::Head),
    };
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(Malformed::Head);
    };
    let fields = Fields::of(response.headers)?;
    let framing = fields.framing(minor)?;
    if witness.keeps_asides() {
        tell_asides(&bytes[..length], status, response.reason, witness);
    }
    if status >= 200 {
        witness.head(status, response.headers.iter().map(|field| (field.name.as_bytes(), field.value)));
    }
    let keeps_alive = !fields.says_close && (minor == 1 || fields.says_keep_alive);
    Ok(Some((Head { status, framing, keeps_alive }, length)))
}

/// Tells the witness of what means nothing in a head: all of an interim one, and unusual words behind the status.
fn tell_asides(head: &[u8], status: u16, reason: Option<&str>, witness: &mut Witness) {
    let usual = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    if status < 200 {
        witness.aside(Aside::Interim, head);
    } else if reason != usual {
        // The parser shows no words that hold bytes beyond ASCII, so the whole line is looked at.
        let line = head.iter().position(|&byte| byte == b'\n').unwrap_or(head.len());
        witness.aside(Aside::Reason, &head[..line]);
    }
}

/// The header fields that decide about framing.
#[derive(Debug, Default)]
struct Fields {
    content_length: Option<u64>,
    is_chunked: bool,
    says_close: bool,
    says_keep_alive: bool,
}

impl Fields {
    fn of(headers: &[Header<'_>]) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for header in headers {
            // The length sorts out nearly every other header before any comparison.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => fields.connection(header.value),
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let length = content_length(header.value).ok_or(Malformed::Framing)?;
                    if fields.content_length.replace(length).is_some() {
                        return Err(Malformed::Framing);
                    }
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    if fields.is_chunked || !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                        return Err(Malformed::Framing);
                    }
                    fields.is_chunked = true;
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.says_close |= option.eq_ignore_ascii_case(b"close");
            self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn framing(&self, minor: u8) -> Result<Framing, Malformed> {
        match (self.is_chunked, self.content_length) {
            (true, Some(_)) => Err(Malformed::Framing),
            // HTTP/1.0 knows no chunks: somebody between rewrote the version or the framing.
            (true, None) if minor == 0 => Err(Malformed::Framing),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Sized(length)),
            (false, None) => Ok(Framing::UntilClose),
        }
    }
}

fn content_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
