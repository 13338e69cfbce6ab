//! The wire form of requests: the bytes that go over an HTTP/1.1 connection, and where their parts lie.
//!
//! It is the one serialiser, whoever made the request. The host and everything that frames a request come from here,
//! never from the request itself. HTTP/2 reads the same parts, so both protocols send the same thing.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroize;

use super::{Method, Request};

/// How the generator names itself, so that its load can be told apart in a service's log.
const USER_AGENT: &str = concat!("loadgate/", env!("CARGO_PKG_VERSION"));

/// One request, or several that are sent together (pipelined), as bytes.
///
/// The bytes may hold the values of secrets: they are not printed, and cleared in memory when they go.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Wire {
    bytes: Vec<u8>,
    parts: Vec<Part>,
    /// Each header of all parts, in the order in which they are sent.
    fields: Vec<Field>,
}

/// Where one header lies in the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
    /// Whether the value holds that of a secret.
    is_secret: bool,
}

/// Where one request lies in the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    method: Method,
    path: Range<usize>,
    /// Which of the wire's fields are its headers, `host` and `content-length` included.
    fields: Range<usize>,
    body: Range<usize>,
}

/// A request that is being written, and where to go back to where it must not be sent.
#[derive(Debug)]
pub(super) struct Unfinished {
    method: Method,
    path: Range<usize>,
    bytes_before: usize,
    fields_before: usize,
    names_itself: bool,
}

/// One request of a [`Wire`].
#[derive(Debug, Clone, Copy)]
pub struct WirePart<'a> {
    wire: &'a Wire,
    part: &'a Part,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({} requests, {} bytes)", self.parts.len(), self.bytes.len())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.fields.iter().any(|field| field.is_secret) {
            self.bytes.zeroize();
        }
    }
}

impl Wire {
    /// Returns the wire form of one request to an authority (`host` or `host:port`).
    #[must_use]
    pub fn of(request: &Request, authority: &str) -> Self {
        let mut wire = Self::default();
        wire.push(request, authority);
        wire
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.parts.clear();
        self.fields.clear();
    }

    /// Becomes equal to another wire, in the memory that is there.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        self.parts.clone_from(&other.parts);
        self.fields.clone_from(&other.fields);
    }

    /// Adds one request behind those that are there.
    pub fn push(&mut self, request: &Request, authority: &str) {
        let mut begun = self.begin(request.method(), request.path().as_bytes(), authority.as_bytes());
        for (name, value) in request.headers() {
            self.header(&mut begun, name.as_bytes(), value.as_bytes());
        }
        self.end(begun, request.body());
    }

    /// Returns what is written to an HTTP/1.1 connection.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many requests there are: as many answers are to come.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.parts.len()
    }

    /// Returns the requests in the order in which they are sent.
    pub fn parts(&self) -> impl Iterator<Item = WirePart<'_>> {
        self.parts.iter().map(|part| WirePart { wire: self, part })
    }

    /// Returns whether the answer to request `index` has no body whatever its headers say.
    #[must_use]
    pub fn is_head(&self, index: usize) -> bool {
        self.parts.get(index).is_some_and(|part| part.method == Method::Head)
    }

    /// Begins a request whose parts were checked, or are checked before [`Wire::end`].
    pub(super) fn begin(&mut self, method: Method, path: &[u8], authority: &[u8]) -> Unfinished {
        let (bytes_before, fields_before) = (self.bytes.len(), self.fields.len());
        self.put(method.as_str().as_bytes());
        self.put(b" ");
        let path = self.put(path);
        self.put(b" HTTP/1.1\r\n");
        self.field(b"host", authority);
        Unfinished { method, path, bytes_before, fields_before, names_itself: false }
    }

    /// Adds a header to a request that was begun.
    pub(super) fn header(&mut self, begun: &mut Unfinished, name: &[u8], value: &[u8]) {
        begun.names_itself |= name.eq_ignore_ascii_case(b"user-agent");
        self.field(name, value);
    }

    /// Adds a header whose value holds that of a secret.
    pub(super) fn secret_header(&mut self, begun: &mut Unfinished, name: &[u8], value: &[u8]) {
        self.header(begun, name, value);
        if let Some(field) = self.fields.last_mut() {
            field.is_secret = true;
        }
    }

    /// Ends a request that was begun.
    pub(super) fn end(&mut self, begun: Unfinished, body: &[u8]) {
        if !begun.names_itself {
            self.field(b"user-agent", USER_AGENT.as_bytes());
        }
        // RFC 9110, section 8.6: a method that gives a body a meaning says so even where the body is empty.
        let expects_body = matches!(begun.method, Method::Post | Method::Put | Method::Patch);
        if expects_body || !body.is_empty() {
            let name = self.put(b"content-length");
            self.put(b": ");
            let start = self.bytes.len();
            let mut digits = [0; MAX_DIGITS];
            let first = decimal(body.len() as u64, &mut digits);
            self.put(&digits[first..]);
            self.fields.push(Field { name, value: start..self.bytes.len(), is_secret: false });
            self.put(b"\r\n");
        }
        self.put(b"\r\n");
        let body = self.put(body);
        let fields = begun.fields_before..self.fields.len();
        self.parts.push(Part { method: begun.method, path: begun.path, fields, body });
    }

    /// Takes back a request that was begun.
    pub(super) fn abandon(&mut self, begun: &Unfinished) {
        self.bytes.truncate(begun.bytes_before);
        self.fields.truncate(begun.fields_before);
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let name = self.put(name);
        self.put(b": ");
        let value = self.put(value);
        self.put(b"\r\n");
        self.fields.push(Field { name, value, is_secret: false });
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

/// As many digits as the largest number of 64 bits has.
pub(crate) const MAX_DIGITS: usize = 20;

/// Writes a number at the end of the digits, without asking for memory; returns where it begins.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; MAX_DIGITS]) -> usize {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return start;
        }
    }
}

impl<'a> WirePart<'a> {
    /// Returns the method.
    #[must_use]
    pub fn method(self) -> Method {
        self.part.method
    }

    /// Returns the origin-form target: path and query.
    #[must_use]
    pub fn path(self) -> &'a [u8] {
        &self.wire.bytes[self.part.path.clone()]
    }

    /// Returns name and value of every header, `host` and `content-length` included.
    pub fn headers(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let bytes = &self.wire.bytes;
        self.fields().map(move |field| (&bytes[field.name.clone()], &bytes[field.value.clone()]))
    }

    /// Returns whether the value of each header, in the same order, holds that of a secret.
    pub fn secrecy(self) -> impl Iterator<Item = bool> {
        self.fields().map(|field| field.is_secret)
    }

    fn fields(self) -> impl Iterator<Item = &'a Field> {
        self.wire.fields[self.part.fields.clone()].iter()
    }

    /// Returns the body, empty where there is none.
    #[must_use]
    pub fn body(self) -> &'a [u8] {
        &self.wire.bytes[self.part.body.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(request: &Request) -> String {
        String::from_utf8(Wire::of(request, "127.0.0.1:8080").bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_get_carries_host_and_name_and_no_length() {
        let request = Request::get("/shop?page=2").unwrap().with_header("accept", "text/html").unwrap();

        let expected = format!(
            "GET /shop?page=2 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\naccept: text/html\r\nuser-agent: {USER_AGENT}\r\n\r\n"
        );
        assert_eq!(encoded(&request), expected);
    }

    #[test]
    fn a_wire_form_does_not_print_what_it_holds() {
        let mut wire = Wire::default();
        let mut begun = wire.begin(Method::Get, b"/", b"h");
        wire.secret_header(&mut begun, b"authorization", b"correct-horse");
        wire.end(begun, b"");

        let part = wire.parts().next().unwrap();
        assert_eq!(part.secrecy().collect::<Vec<_>>(), [false, true, false]);
        assert!(!format!("{wire:?} {part:?}").contains("horse"));
    }

    #[test]
    fn a_body_is_counted() {
        let put = Request::new(Method::Put, "/x".into(), vec![], b"hello".to_vec()).unwrap();
        let empty_post = Request::new(Method::Post, "/x".into(), vec![], vec![]).unwrap();

        assert!(encoded(&put).ends_with("\r\ncontent-length: 5\r\n\r\nhello"));
        assert!(encoded(&empty_post).ends_with("\r\ncontent-length: 0\r\n\r\n"));
    }

    #[test]
    fn a_user_agent_of_the_request_replaces_ours() {
        let request = Request::get("/").unwrap().with_header("User-Agent", "mine").unwrap();

        let text = encoded(&request);

        assert!(text.contains("User-Agent: mine\r\n") && !text.contains("loadgate/"), "{text}");
    }

    #[test]
    fn the_parts_of_pipelined_requests_are_found_again() {
        let mut wire = Wire::of(&Request::get("/a").unwrap(), "h");
        wire.push(&Request::new(Method::Post, "/b?c".into(), vec![], b"body".to_vec()).unwrap(), "h");

        let parts: Vec<_> = wire
            .parts()
            .map(|part| (part.method(), part.path(), part.headers().count(), part.body()))
            .collect();

        assert_eq!(wire.requests(), 2);
        assert_eq!(parts, [(Method::Get, &b"/a"[..], 2, &b""[..]), (Method::Post, b"/b?c", 3, b"body")]);
    }
}
