//! A request is what is sent: method, path, headers, body. It names no host: that belongs to the cleared target.
//!
//! It is checked once, when it is made, so that no value can smuggle a second request, another host or a header
//! break onto the wire. `wire` builds its wire form, and a `source` says which request comes next.
//!
//! A scenario's `requests` are written with placeholders (`request_text`), which generators and a `feed` fill in a
//! `template`; `mix` gives them out by weight, and a `check` says what their answers must be like.

mod check;
mod composed;
mod encoding;
mod feed;
mod fixed;
mod generator;
mod header_name;
mod mix;
mod piece;
mod placeholder;
mod raw;
mod raw_error;
mod request_text;
mod requests;
mod script_plan;
mod source;
mod template;
mod template_error;
mod token;
mod wire;

pub use check::{Check, CheckError, JsonPointer, StatusPattern};
pub use composed::{Composing, is_own_host};
pub use feed::{Feed, FeedError, FeedOrder, MAX_FEED_ROWS};
pub use fixed::Fixed;
pub use header_name::is_header_name;
pub use mix::Mix;
pub use piece::{escaped, is_secret_name};
pub use placeholder::{DeclaredSecret, Placeholders, Sealed, SecretFault};
pub use raw::{BODY_TOO_LONG, MAX_RAW_BODY_BYTES, RawRules, Shape};
pub use raw_error::RawError;
pub use request_text::{BodyText, RequestText};
pub use requests::{Asked, DEFAULT_SEED, Entry, MAX_REQUESTS, MAX_WEIGHT, Requests};
pub use script_plan::{
    MAX_PIPELINE, MAX_SCRIPT_BYTES, ParamKind, SENSITIVE_HEADERS, ScriptParam, ScriptPlan,
};
pub use source::{
    Answered, Chosen, Endpoint, Headers, Interest, Judgement, MAX_SEEN_BODY_BYTES, RequestSource,
    RequestSources, Seat, SourceFailure,
};
pub use template_error::{RequestPart, RequestTextError, RowError, TemplateError};
pub use token::{MAX_TOKENS, Tokens};
pub(crate) use wire::{MAX_DIGITS, decimal};
pub use wire::{Wire, WirePart};

use serde::{Deserialize, Serialize};

/// Headers that the host writes itself; a request that brings its own could change where it goes or how it is framed.
const HOST_OWNED_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "expect",
    "http2-settings",
];

/// Headers that make a proxy or an edge route the request to another host or deployment.
const ROUTING_HEADERS: [&str; 14] = [
    "forwarded",
    "x-amplify-dpl",
    "x-deployment-id",
    "x-envoy-original-dst-host",
    "x-forwarded-host",
    "x-forwarded-server",
    "x-forwarded-port",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-ms-routing-name",
    "cloudflare-workers-version-overrides",
];

/// Cookies that make an edge answer from another deployment than the host's own.
const ROUTING_COOKIES: [&str; 3] = ["__vdpl", "_dpl", "x-ms-routing-name"];

/// The longest path with query, and the longest header value, that is sent.
pub const MAX_FIELD_BYTES: usize = 8 * 1024;

/// A request that must not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The method is not on the list; CONNECT and TRACE never are.
    #[error("method {0:?} is not allowed (use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS)")]
    Method(String),
    /// The path is not an origin-form target: it must start with one `/` and be printable ASCII.
    #[error("path {0:?} is not allowed ({1})")]
    Path(String, &'static str),
    /// A header name or value breaks the grammar of RFC 9110.
    #[error("header {0:?} is not allowed ({1})")]
    Header(String, &'static str),
}

/// The request methods that load may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are those of RFC 9110")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// Reads a method name; upper case only, as on the wire.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        Ok(match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            other => return Err(RequestError::Method(other.chars().take(40).collect())),
        })
    }

    /// Returns the name as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// A request in checked form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Makes a request, checking every part of it.
    ///
    /// # Errors
    /// The first part that could change the host, break the framing or not be sent at all.
    pub fn new(
        method: Method,
        path: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Self, RequestError> {
        check_path(&path)?;
        for (name, value) in &headers {
            check_header(name, value)?;
        }
        Ok(Self { method, path, headers, body })
    }

    /// Returns `GET path` without further headers.
    pub fn get(path: &str) -> Result<Self, RequestError> {
        Self::new(Method::Get, path.to_owned(), Vec::new(), Vec::new())
    }

    /// Returns the same request with one more header.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, RequestError> {
        check_header(name, value)?;
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Returns the path with its query: the origin-form request target.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the headers in the order they are sent.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Returns the body, empty where there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

fn check_path(path: &str) -> Result<(), RequestError> {
    match path_fault(path) {
        Some(why) => Err(RequestError::Path(path.chars().take(80).collect(), why)),
        None => Ok(()),
    }
}

/// Says why a path with its query may not be sent.
fn path_fault(path: &str) -> Option<&'static str> {
    if path.len() > MAX_FIELD_BYTES {
        return Some("it is longer than 8 KiB");
    }
    if !path.starts_with('/') {
        return Some("it must start with '/'");
    }
    if path[1..].starts_with(['/', '\\']) {
        return Some("a second slash would name another host");
    }
    if !path.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        return Some("only printable ASCII; percent-encode the rest");
    }
    if path.contains(['\\', '#']) {
        return Some("'\\' and '#' must be percent-encoded");
    }
    None
}

fn check_header(name: &str, value: &str) -> Result<(), RequestError> {
    match name_fault(name).or_else(|| value_fault(value, is_cookie(name))) {
        Some(why) => Err(RequestError::Header(name.chars().take(80).collect(), why)),
        None => Ok(()),
    }
}

/// Says why a header of this name may not be sent.
fn name_fault(name: &str) -> Option<&'static str> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
        return Some("a name is a token of RFC 9110: letters, digits and !#$%&'*+-.^_`|~");
    }
    let lower = canonical_name(name);
    if HOST_OWNED_HEADERS.contains(&lower.as_str()) {
        return Some("the load generator writes this header itself");
    }
    ROUTING_HEADERS.contains(&lower.as_str()).then_some("it could route the request to another host")
}

/// Headers that every proxy and every service writes into its log.
const LOGGED_HEADERS: [&str; 5] = ["user-agent", "referer", "origin", "from", "via"];

/// Says why a header may not carry a secret.
#[must_use]
pub fn secret_header_fault(name: &str) -> Option<&'static str> {
    let is_logged = LOGGED_HEADERS.contains(&canonical_name(name).as_str());
    name_fault(name).or_else(|| is_logged.then_some("it lands in the logs of whatever it passes"))
}

/// Says why a header's value may not be sent.
fn value_fault(value: &str, is_cookie: bool) -> Option<&'static str> {
    if value.len() > MAX_FIELD_BYTES {
        return Some("its value is longer than 8 KiB");
    }
    if !value.bytes().all(|b| b == b'\t' || (b >= 0x20 && b != 0x7f)) {
        return Some("its value holds a control character");
    }
    let is_routing = is_cookie && value.split(';').any(is_routing_cookie);
    is_routing.then_some("a cookie in it could route the request to another deployment")
}

fn is_cookie(name: &str) -> bool {
    canonical_name(name) == "cookie"
}

/// Gateways that hand headers on as variables read an underscore as a hyphen.
fn canonical_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn is_routing_cookie(cookie: &str) -> bool {
    let name = cookie.split('=').next().unwrap_or(cookie).trim();
    ROUTING_COOKIES.iter().any(|routing| routing.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_is_taken() {
        let request = Request::get("/shop?page=2").unwrap().with_header("accept", "text/html").unwrap();
        let request = request.with_header("x_trace", "1").unwrap().with_header("Cookie", "a=__vdpl").unwrap();

        assert_eq!((request.method(), request.path()), (Method::Get, "/shop?page=2"));
    }

    #[test]
    fn a_path_cannot_name_another_host() {
        for hostile in [
            "",
            "shop",
            "//www.example.com/x",
            "/\\www.example.com",
            "https://www.example.com/",
            "/a b",
            "/a\r\nHost: x",
            "/é",
            "/#x",
        ] {
            assert!(Request::get(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn a_header_cannot_break_the_framing_or_the_routing() {
        let request = Request::get("/").unwrap();

        for (name, value) in [
            ("Host", "www.example.com"),
            ("content-length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("X-Forwarded-Host", "www.example.com"),
            ("X_Forwarded_Host", "www.example.com"),
            ("Content_Length", "5"),
            ("X-HTTP-Host-Override", "www.example.com"),
            ("X-Amplify-Dpl", "41"),
            ("Cookie", "theme=dark; __vdpl=dpl_live"),
            ("cookie", "X-MS-Routing-Name=self"),
            (":authority", "www.example.com"),
            ("A", "b\r\nHost: www.example.com"),
            ("A\r\nB", "c"),
            ("", "x"),
        ] {
            assert!(request.clone().with_header(name, value).is_err(), "{name:?}: {value:?} must be refused");
        }
    }

    #[test]
    fn methods_that_tunnel_are_unknown() {
        for hostile in ["CONNECT", "TRACE", "get", "GET /"] {
            assert!(Method::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }
}
