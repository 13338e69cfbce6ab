//! The wire form of a request: the bytes that are sent, built once for a whole run.
//!
//! The host and everything that frames the request come from here, never from the request itself.

use std::fmt::Write as _;

use crate::request::{Method, Request};
use crate::target::Origin;

/// How the generator names itself, so that its load can be told apart in a service's log.
const USER_AGENT: &str = concat!("loadgate/", env!("CARGO_PKG_VERSION"));

/// Returns the request as it goes over an HTTP/1.1 connection to the origin.
pub(crate) fn encode(request: &Request, origin: &Origin) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method().as_str(), request.path());
    let mut field = |name: &str, value: &str| {
        write!(head, "{name}: {value}\r\n").expect("writing to a string cannot fail");
    };
    field("host", &origin.authority());
    if !request.headers().iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        field("user-agent", USER_AGENT);
    }
    for (name, value) in request.headers() {
        field(name, value);
    }
    // RFC 9110, section 8.6: a method that gives a body a meaning says so even where the body is empty.
    let expects_body = matches!(request.method(), Method::Post | Method::Put | Method::Patch);
    if expects_body || !request.body().is_empty() {
        field("content-length", &request.body().len().to_string());
    }
    head.push_str("\r\n");
    let mut wire = head.into_bytes();
    wire.extend_from_slice(request.body());
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scheme;

    fn encoded(request: &Request) -> String {
        let origin = Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 8080 };
        String::from_utf8(encode(request, &origin)).unwrap()
    }

    #[test]
    fn a_get_carries_host_and_name_and_no_length() {
        let request = Request::get("/shop?page=2").unwrap().with_header("accept", "text/html").unwrap();

        let expected = format!(
            "GET /shop?page=2 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: {USER_AGENT}\r\naccept: text/html\r\n\r\n"
        );
        assert_eq!(encoded(&request), expected);
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
}
