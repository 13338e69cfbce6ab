//! Raw requests are texts that a script made. They are read strictly, and written again by the one serialiser.
//!
//! Nothing of the text reaches the wire unread: on any doubt about where a request ends, where it goes or how it is
//! framed, it is refused whole. Here, too, placeholders of secrets become their values: while the request is written.

use std::sync::LazyLock;

use memchr::{memchr, memmem};

use super::header_name::{is_any_of, is_header_name, may_be_listed};
use super::raw_error::RawError;
use super::wire::{Unfinished, Wire};
use super::{
    HOST_OWNED_HEADERS, MAX_FIELD_BYTES, Method, Placeholders, ROUTING_HEADERS, SecretFault, Tokens,
    is_routing_cookie,
};

/// More header lines than any service needs.
pub(super) const MAX_HEADERS: usize = 100;

/// The largest body that a script may send; it is built anew for each request.
pub const MAX_RAW_BODY_BYTES: usize = 1024 * 1024;

/// What raw requests may be.
#[derive(Debug, Clone)]
pub struct RawRules {
    /// The value of the `Host` header: requests go there, whatever they say.
    pub authority: String,
    /// Other values of a request's own `Host` header that mean the same.
    pub synonyms: Vec<String>,
    /// The most requests that one text may hold.
    pub most: usize,
    /// Where secrets may stand.
    pub placeholders: Placeholders,
}

/// What the maker of a single request knows about it.
///
/// A value that brought line breaks of its own cannot keep both numbers right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its header lines.
    pub lines: usize,
    /// The bytes of its body.
    pub body_bytes: usize,
}

impl Wire {
    /// Reads the requests of a raw text and adds them behind those that are there; returns how many they are.
    ///
    /// `shape` is what the one request must look like, where its maker knows it; `tokens` are those that its maker got
    /// from answers.
    ///
    /// # Errors
    /// The first doubt; the wire is then as it was before that request.
    pub fn push_raw(
        &mut self,
        raw: &[u8],
        rules: &RawRules,
        tokens: &Tokens,
        shape: Option<Shape>,
    ) -> Result<usize, RawError> {
        if raw.is_empty() {
            return Err(RawError::Incomplete("it is empty"));
        }
        let may_hold_secrets = !rules.placeholders.is_empty() || !tokens.is_empty();
        let tokens = (may_hold_secrets && rules.placeholders.touch(raw)).then_some(tokens);
        let mut rest = raw;
        let mut count = 0;
        while !rest.is_empty() {
            if count == rules.most || (shape.is_some() && count == 1) {
                return Err(match shape {
                    Some(_) => RawError::LineBreak,
                    None => RawError::TooMany(rules.most),
                });
            }
            rest = self.push_first(rest, rules, shape, tokens)?;
            count += 1;
        }
        Ok(count)
    }

    /// Reads one request from the beginning of a text and returns what follows; without `tokens` there is no
    /// placeholder in it.
    fn push_first<'r>(
        &mut self,
        raw: &'r [u8],
        rules: &RawRules,
        shape: Option<Shape>,
        tokens: Option<&Tokens>,
    ) -> Result<&'r [u8], RawError> {
        let (line, mut rest) = next_line(raw).ok_or(RawError::Incomplete("its first line has no end"))?;
        let (method, path) = read_request_line(line)?;
        if tokens.is_some() && rules.placeholders.touch(line) {
            return Err(SecretFault::Place("in the request line").into());
        }
        let mut begun = self.begin(method, path, rules.authority.as_bytes());
        let mut framing = Framing::default();
        if let Some(after) = after_own_host(rest, rules.authority.as_bytes()) {
            (framing.lines, framing.has_host, rest) = (1, true, after);
        }
        let outcome = loop {
            let Some((line, after)) = next_line(rest) else {
                break Err(RawError::Incomplete("its headers have no end"));
            };
            rest = after;
            if line.is_empty() {
                break framing.check(shape);
            }
            let tokens = tokens.filter(|_| rules.placeholders.touch(line));
            let written = match (read_header(line, rules, &mut framing, tokens.is_some()), tokens) {
                (Ok(Some((name, value))), Some(tokens)) => {
                    self.push_with_secrets(&mut begun, name, value, rules, tokens)
                }
                (Ok(Some((name, value))), None) => {
                    self.header(&mut begun, name, value);
                    Ok(())
                }
                (Ok(None), _) => Ok(()),
                (Err(error), _) => Err(error),
            };
            if let Err(error) = written {
                break Err(error);
            }
        };
        let body =
            outcome.and_then(|()| read_body(rest, framing.length.unwrap_or(0), rules, tokens.is_some()));
        match body {
            Ok(body) => {
                self.end(begun, body);
                Ok(&rest[body.len()..])
            }
            Err(error) => {
                self.abandon(&begun);
                Err(error)
            }
        }
    }

    /// Adds a header, with the values of secrets where placeholders stand.
    fn push_with_secrets(
        &mut self,
        begun: &mut Unfinished,
        name: &[u8],
        value: &[u8],
        rules: &RawRules,
        tokens: &Tokens,
    ) -> Result<(), RawError> {
        if rules.placeholders.touch(name) {
            return Err(SecretFault::Place("in a header's name").into());
        }
        let filled = rules.placeholders.filled(name, value, tokens)?;
        check_value(name, &filled)?;
        self.secret_header(begun, name, &filled);
        Ok(())
    }
}

/// What the headers say about where a request ends.
#[derive(Debug, Default)]
pub(super) struct Framing {
    pub(super) lines: usize,
    pub(super) length: Option<usize>,
    pub(super) has_host: bool,
}

impl Framing {
    fn check(&self, shape: Option<Shape>) -> Result<(), RawError> {
        let found = Shape { lines: self.lines, body_bytes: self.length.unwrap_or(0) };
        if shape.is_some_and(|expected| expected != found) { Err(RawError::LineBreak) } else { Ok(()) }
    }
}

/// Splits off a line that ends in CR LF; a bare CR or LF stays inside and is refused by whoever reads the line.
fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let line = text[..end].strip_suffix(b"\r")?;
    Some((line, &text[end + 1..]))
}

/// Returns what follows a first header line that names the target just as we do: nearly every text begins so.
fn after_own_host<'r>(rest: &'r [u8], authority: &[u8]) -> Option<&'r [u8]> {
    rest.strip_prefix(b"Host: ")?.strip_prefix(authority)?.strip_prefix(b"\r\n")
}

fn read_request_line(line: &[u8]) -> Result<(Method, &[u8]), RawError> {
    let refuse = |why| Err(RawError::RequestLine(why));
    let Some(space) = memchr(b' ', line) else { return refuse("it has no path") };
    let method = read_method(&line[..space])?;
    let Some(path) = line[space + 1..].strip_suffix(b" HTTP/1.1") else {
        return refuse("it does not end in HTTP/1.1");
    };
    check_path(path)?;
    Ok((method, path))
}

pub(super) fn read_method(method: &[u8]) -> Result<Method, RawError> {
    Ok(match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"PATCH" => Method::Patch,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        _ => return Err(RawError::RequestLine("its method is not on the list")),
    })
}

pub(super) fn check_path(path: &[u8]) -> Result<(), RawError> {
    let refuse = |why| Err(RawError::RequestLine(why));
    if path.first() != Some(&b'/') {
        return refuse("its path must start with '/'");
    }
    if matches!(path.get(1), Some(b'/' | b'\\')) {
        return refuse("a second slash would name another host");
    }
    if path.len() > MAX_FIELD_BYTES {
        return refuse("its path is longer than 8 KiB");
    }
    if !path.iter().all(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'\\' | b'#')) {
        return refuse("its path holds a space, a '#', a '\\' or a character outside printable ASCII");
    }
    Ok(())
}

/// Name and value of a header.
type Field<'r> = (&'r [u8], &'r [u8]);

/// Reads one header line; `None` is one that the host writes itself, and writes the same.
fn read_header<'r>(
    line: &'r [u8],
    rules: &RawRules,
    framing: &mut Framing,
    has_placeholders: bool,
) -> Result<Option<Field<'r>>, RawError> {
    match memchr(b':', line) {
        Some(colon) => read_field(&line[..colon], &line[colon + 1..], rules, framing, has_placeholders),
        None => Err(RawError::Header(shown(line), "the line has no colon")),
    }
}

/// Reads name and value of one header; `None` is as above.
pub(super) fn read_field<'r>(
    name: &'r [u8],
    value: &'r [u8],
    rules: &RawRules,
    framing: &mut Framing,
    has_placeholders: bool,
) -> Result<Option<Field<'r>>, RawError> {
    let refuse = |why| Err(RawError::Header(shown(name), why));
    if !is_header_name(name) {
        return refuse("a name is a token of RFC 9110: letters, digits and !#$%&'*+-.^_`|~");
    }
    let value = value.trim_ascii();
    check_value(name, value)?;
    framing.lines += 1;
    if framing.lines > MAX_HEADERS {
        return refuse("there are more than 100 headers");
    }
    if has_placeholders && (is_any_of(name, &HOST_OWNED_HEADERS) || is_any_of(name, &ROUTING_HEADERS)) {
        return Err(SecretFault::Place("in a header that frames or routes the request").into());
    }
    if !may_be_listed(name) {
        return Ok(Some((name, value)));
    }
    if is_any_of(name, &HOST_OWNED_HEADERS) {
        return read_host_owned(name, value, rules, framing).map_or_else(refuse, |()| Ok(None));
    }
    if is_any_of(name, &ROUTING_HEADERS) {
        return refuse("it could route the request to another host");
    }
    Ok(Some((name, value)))
}

/// Checks a header's value as it is sent.
fn check_value(name: &[u8], value: &[u8]) -> Result<(), RawError> {
    let refuse = |why| Err(RawError::Header(shown(name), why));
    if value.len() > MAX_FIELD_BYTES {
        return refuse("its value is longer than 8 KiB");
    }
    if !value.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f)) {
        return refuse("its value holds a control character");
    }
    let is_routed = |value: &str| value.split(';').any(is_routing_cookie);
    if name.eq_ignore_ascii_case(b"cookie") && is_routed(&String::from_utf8_lossy(value)) {
        return refuse("a cookie in it could route the request to another deployment");
    }
    Ok(())
}

/// Accepts a header of the host's where it says what the host says anyway.
fn read_host_owned(
    name: &[u8],
    value: &[u8],
    rules: &RawRules,
    framing: &mut Framing,
) -> Result<(), &'static str> {
    if name.eq_ignore_ascii_case(b"host") {
        // Nearly always it is written as we write it.
        let is_same =
            |known: &String| value == known.as_bytes() || value.eq_ignore_ascii_case(known.as_bytes());
        if framing.has_host {
            return Err("it is there twice");
        }
        framing.has_host = true;
        let is_ours = is_same(&rules.authority) || rules.synonyms.iter().any(is_same);
        return if is_ours { Ok(()) } else { Err("it names another host than the cleared target") };
    }
    if name.eq_ignore_ascii_case(b"content-length") {
        if framing.length.is_some() {
            return Err("it is there twice");
        }
        let is_number = !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit);
        let digits = std::str::from_utf8(value).unwrap_or("");
        framing.length = digits.parse().ok().filter(|_| is_number);
        return if framing.length.is_some() { Ok(()) } else { Err("it is no plain number") };
    }
    if name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"keep-alive") {
        return Ok(());
    }
    Err("the load generator writes this header itself")
}

fn read_body<'r>(
    rest: &'r [u8],
    length: usize,
    rules: &RawRules,
    has_placeholders: bool,
) -> Result<&'r [u8], RawError> {
    if length == 0 {
        return Ok(&[]);
    }
    if length > MAX_RAW_BODY_BYTES {
        return Err(BODY_TOO_LONG);
    }
    let body =
        rest.get(..length).ok_or(RawError::Incomplete("its body is shorter than its Content-Length"))?;
    if has_placeholders && rules.placeholders.touch(body) {
        return Err(SecretFault::Place("in the body").into());
    }
    check_body(body)?;
    Ok(body)
}

/// What is wrong with a body of more than [`MAX_RAW_BODY_BYTES`].
pub const BODY_TOO_LONG: RawError = RawError::Body("it is longer than 1 MiB");

pub(super) fn check_body(body: &[u8]) -> Result<(), RawError> {
    if body.len() > MAX_RAW_BODY_BYTES {
        return Err(BODY_TOO_LONG);
    }
    if holds_request_line(body) {
        return Err(RawError::Body("it holds a second request"));
    }
    Ok(())
}

/// Returns whether a line of a body is a request line: an intermediary that counts differently would send it on.
fn holds_request_line(body: &[u8]) -> bool {
    /// Made once: to make it costs more than to search a short body.
    static VERSION: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new(b" HTTP/"));
    !body.is_empty()
        && VERSION.find_iter(body).any(|at| {
            let line_start = memchr::memrchr2(b'\n', b'\r', &body[..at]).map_or(0, |end| end + 1);
            let method = body[line_start..at].split(|byte| *byte == b' ').next().unwrap_or_default();
            !method.is_empty()
                && method.len() < at - line_start
                && method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
        })
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::DeclaredSecret;
    use crate::secret::Secret;

    fn rules(most: usize) -> RawRules {
        RawRules {
            authority: "pr-1.preview.example.com".into(),
            synonyms: vec![],
            most,
            placeholders: Placeholders::new(
                9,
                vec![DeclaredSecret {
                    name: "token".into(),
                    headers: vec!["authorization".into()],
                    value: Ok(Secret::new("correct-horse".into())),
                }],
            ),
        }
    }

    fn read(raw: &str) -> Result<String, RawError> {
        let mut wire = Wire::default();
        wire.push_raw(raw.as_bytes(), &rules(1), &Tokens::default(), None)?;
        Ok(String::from_utf8(wire.bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_plain_request_is_written_anew_with_the_targets_own_host() {
        let raw = "POST /a?b HTTP/1.1\r\nHost: pr-1.preview.example.com\r\nConnection: keep-alive\r\n\
                   User-Agent: mine\r\nX-A:  b \r\nContent-Length: 2\r\n\r\nhi";

        assert_eq!(
            read(raw).unwrap(),
            "POST /a?b HTTP/1.1\r\nhost: pr-1.preview.example.com\r\nUser-Agent: mine\r\nX-A: b\r\n\
             content-length: 2\r\n\r\nhi"
        );
    }

    #[test]
    fn pipelined_requests_are_counted_and_bounded() {
        let raw = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        let mut wire = Wire::default();

        assert_eq!(wire.push_raw(raw.as_bytes(), &rules(2), &Tokens::default(), None), Ok(2));
        assert_eq!(wire.parts().map(|part| part.path().to_vec()).collect::<Vec<_>>(), [b"/a", b"/b"]);
        assert_eq!(read(raw), Err(RawError::TooMany(1)));
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        for raw in [
            "",
            "GET",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\r\nA: b\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA b\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET //www.example.com/ HTTP/1.1\r\n\r\n",
            "GET http://www.example.com/ HTTP/1.1\r\n\r\n",
            "GET www.example.com:443 HTTP/1.1\r\n\r\n",
            "CONNECT www.example.com:443 HTTP/1.1\r\n\r\n",
            "get / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: pr-1.preview.example.com\r\nhost: pr-1.preview.example.com\r\n\r\n",
            "GET / HTTP/1.1\r\nX_Forwarded_Host: www.example.com\r\n\r\n",
            "GET / HTTP/1.1\r\nCookie: a=b; __vdpl=x\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nabc",
            "POST / HTTP/1.1\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 24\r\n\r\na=b\r\nDELETE /x HTTP/1.1\r\n",
        ] {
            let mut wire = Wire::of(&crate::request::Request::get("/kept").unwrap(), "h");
            let before = wire.clone();

            assert!(
                wire.push_raw(raw.as_bytes(), &rules(2), &Tokens::default(), None).is_err(),
                "{raw:?} must be refused"
            );
            // A first request that was whole may stay; nothing half-written may.
            assert!(wire.bytes().starts_with(before.bytes()) && wire.requests() <= 2);
            assert_eq!(wire.requests() == 1, wire.bytes() == before.bytes(), "{raw:?}");
        }
    }

    #[test]
    fn a_value_that_brings_its_own_lines_is_found_by_their_number() {
        let smuggled = b"GET / HTTP/1.1\r\nX: a\r\nY: b\r\n\r\n";
        let split = b"GET / HTTP/1.1\r\nX: a\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        let mut wire = Wire::default();

        assert_eq!(
            wire.push_raw(smuggled, &rules(2), &Tokens::default(), Some(Shape { lines: 1, body_bytes: 0 })),
            Err(RawError::LineBreak)
        );
        assert_eq!(
            wire.push_raw(split, &rules(2), &Tokens::default(), Some(Shape { lines: 1, body_bytes: 0 })),
            Err(RawError::LineBreak)
        );
        let swallowed = b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\r\n\r";
        assert_eq!(
            wire.push_raw(swallowed, &rules(2), &Tokens::default(), Some(Shape { lines: 1, body_bytes: 0 })),
            Err(RawError::LineBreak)
        );
        wire.clear();
        assert_eq!(
            wire.push_raw(smuggled, &rules(2), &Tokens::default(), Some(Shape { lines: 2, body_bytes: 0 })),
            Ok(1)
        );
    }

    #[test]
    fn a_secret_goes_nowhere_but_into_its_header() {
        let text = rules(1).placeholders.text("token").unwrap();
        let with = |raw: &str| read(&raw.replace('@', &text));

        assert!(with("GET / HTTP/1.1\r\nAuthorization: Bearer @\r\n\r\n").is_ok());
        for raw in [
            "GET /@ HTTP/1.1\r\n\r\n",
            "GET /?a=@ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nUser-Agent: @\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: @\r\n\r\n",
        ] {
            assert!(matches!(with(raw), Err(RawError::Secret(_))), "{raw}");
        }
        let body = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        assert_eq!(read(&body), Err(SecretFault::Place("in the body").into()));
    }
}
