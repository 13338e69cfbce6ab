//! A request in the form that HTTP/2 sends: made once for what stays the same, then only copied.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue, Request, Uri, Version};

use crate::request::{Wire, WirePart};

/// One request.
#[derive(Debug)]
pub(super) struct Prepared {
    head: Request<()>,
    body: Bytes,
}

impl Prepared {
    /// Returns the head, copied.
    pub(super) fn head(&self) -> Request<()> {
        self.head.clone()
    }

    /// Returns the body, shared.
    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// Makes the form of one request; `None` where a part of it cannot be said in HTTP/2.
    fn of(part: WirePart<'_>, scheme: &str) -> Option<Self> {
        let host = part.headers().find(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str().as_bytes()))?.1;
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(part.path()).build().ok()?;
        let mut head = Request::new(());
        *head.version_mut() = Version::HTTP_2;
        *head.method_mut() = part.method().as_str().parse().ok()?;
        *head.uri_mut() = uri;
        for ((name, value), is_secret) in part.headers().zip(part.secrecy()) {
            // Names become lower case here, as HTTP/2 demands.
            let name = HeaderName::from_bytes(name).ok()?;
            // The host is `:authority`, and the end of the stream is the end of an empty body.
            if name == HOST || (name == CONTENT_LENGTH && part.body().is_empty()) {
                continue;
            }
            let mut value = HeaderValue::from_bytes(value).ok()?;
            // A table that is shared with other requests must not hold it (RFC 7541, section 7.1.3).
            value.set_sensitive(is_secret);
            head.headers_mut().append(name, value);
        }
        Some(Self { head, body: Bytes::copy_from_slice(part.body()) })
    }
}

/// The requests of one wire form, made anew only when that changes.
#[derive(Default)]
pub(super) struct Preparation {
    bytes: Vec<u8>,
    requests: Vec<Prepared>,
}

impl Preparation {
    /// Makes the requests of a wire form where they are not those of the last one; returns whether HTTP/2 can say
    /// them.
    pub(super) fn prepare(&mut self, wire: &Wire, scheme: &str) -> bool {
        // Comparing the bytes costs less than any way to know that a source changed them in place.
        if self.bytes == wire.bytes() && self.requests.len() == wire.requests() {
            return true;
        }
        self.bytes.clear();
        self.requests.clear();
        for part in wire.parts() {
            let Some(prepared) = Prepared::of(part, scheme) else {
                self.requests.clear();
                return false;
            };
            self.requests.push(prepared);
        }
        self.bytes.extend_from_slice(wire.bytes());
        true
    }

    /// Returns the requests in the order in which they are sent.
    pub(super) fn requests(&self) -> &[Prepared] {
        &self.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Method, Request as Plain};

    fn prepared(request: &Plain) -> Option<Request<()>> {
        let mut preparation = Preparation::default();
        preparation
            .prepare(&Wire::of(request, "pr-1.preview.test:8443"), "https")
            .then(|| preparation.requests()[0].head())
    }

    #[test]
    fn the_host_becomes_the_authority_and_names_become_lower_case() {
        let request = Plain::get("/shop?page=2").unwrap().with_header("X-Probe", "Yes").unwrap();

        let head = prepared(&request).unwrap();

        assert_eq!(head.uri(), "https://pr-1.preview.test:8443/shop?page=2");
        assert_eq!(head.headers().get("x-probe").unwrap(), "Yes");
        for absent in ["host", "connection", "content-length"] {
            assert!(!head.headers().contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn a_body_keeps_its_length_and_a_repeated_header_both_values() {
        let header = |value: &str| ("X-A".to_owned(), value.to_owned());
        let headers = vec![header("1"), header("2")];
        let request = Plain::new(Method::Post, "/".into(), headers, b"hello".to_vec()).unwrap();

        let head = prepared(&request).unwrap();

        assert_eq!(head.headers()["content-length"], "5");
        assert_eq!(head.headers().get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn a_secret_is_kept_out_of_the_table_that_requests_share() {
        let text = crate::request::RequestText {
            method: Method::Get,
            path: "/".into(),
            headers: vec![
                ("authorization".into(), "Bearer {secret.TOKEN}".into()),
                ("x-a".into(), "b".into()),
            ],
            body: crate::request::BodyText::Bytes(Vec::new()),
        };
        let mut requests = crate::request::Requests::new(None, 1);
        let asked = crate::request::Asked {
            name: None,
            weight: std::num::NonZeroU32::MIN,
            text,
            check: crate::request::Check::default(),
        };
        requests.add(asked).unwrap();
        let declared = crate::request::DeclaredSecret {
            name: "TOKEN".into(),
            headers: vec!["authorization".into()],
            value: Ok(crate::secret::Secret::new("correct-horse".into())),
        };
        let secrets = crate::request::Placeholders::new(1, vec![declared]);
        let sources = crate::request::Mix::new(&requests, "h", 1).with_secrets(secrets);
        let seat = crate::request::Seat { worker: 0, workers: 1, lines: 1 };
        let mut source = crate::request::RequestSources::for_worker(&sources, seat).unwrap();
        let mut wire = std::rc::Rc::default();
        source.next(0, &mut wire).unwrap();
        let mut preparation = Preparation::default();

        assert!(preparation.prepare(&wire, "https"));

        let head = preparation.requests()[0].head();
        let value = &head.headers()["authorization"];
        assert!(value.is_sensitive() && value == "Bearer correct-horse");
        assert!(!head.headers()["x-a"].is_sensitive());
        assert!(!format!("{head:?}").contains("horse"), "{head:?}");
    }

    #[test]
    fn a_path_of_usual_characters_can_be_said() {
        let head = prepared(&Plain::get("/shop/a%20b;c?q=[1]&r={2}|3~'*").unwrap()).unwrap();

        assert_eq!(head.uri().path_and_query().unwrap(), "/shop/a%20b;c?q=[1]&r={2}|3~'*");
    }

    #[test]
    fn a_changed_wire_form_is_prepared_anew() {
        let mut preparation = Preparation::default();
        let mut wire = Wire::of(&Plain::get("/a").unwrap(), "h");
        assert!(preparation.prepare(&wire, "http"));

        wire.clear();
        wire.push(&Plain::get("/b").unwrap(), "h");
        wire.push(&Plain::get("/c").unwrap(), "h");

        assert!(preparation.prepare(&wire, "http"));
        let paths: Vec<_> =
            preparation.requests().iter().map(|one| one.head().uri().path().to_owned()).collect();
        assert_eq!(paths, ["/b", "/c"]);
    }
}
