//! The draft is the request that `wrk.format` made last, until it is sent or another one takes its place.
//!
//! It is written while its text is made: as text, which the script gets, and as it goes over the wire. When the script
//! returns that very text nothing has to be read; any other text is read as one that anybody may have made.

use std::ffi::CStr;

use super::error::one_of;
use super::host::Host;
use super::number::Digits;
use crate::request::{
    BODY_TOO_LONG, Composing, MAX_RAW_BODY_BYTES, RawError, RawRules, Shape, Tokens, Wire, is_header_name,
    is_own_host,
};

/// More than the first line and the headers of any request; a longer head is not kept outside of the script's memory.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// What of a header's name is told.
const MAX_SHOWN_NAME_BYTES: usize = 80;

/// What a callback gave and cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It is no text.
    Returned(String),
    /// It is no request, or one that must not be sent.
    Refused(RawError),
}

/// The last request, as text and as it is sent.
#[derive(Debug, Default)]
pub(super) struct Draft {
    text: Vec<u8>,
    /// The bytes of a body that is too long to be sent, and so to be kept with the text.
    absent_bytes: usize,
    lines: usize,
    names_host: bool,
    wire: Wire,
    composing: Option<Composing>,
    /// The part that brings lines of its own: its text would say something else than what is wrong.
    broken: Option<RawError>,
    /// Whether the text may be sent, until that is asked.
    pending: Option<Result<(), RawError>>,
    /// What the callback returned.
    chosen: Option<Result<(), Unsent>>,
}

/// What a request is held against.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    raw: &'a RawRules,
    tokens: &'a Tokens,
}

impl Draft {
    /// Begins a request; `false` where it is longer than one can be, here and below.
    pub(super) fn begin(&mut self, method: &[u8], path: &[u8], rules: Rules<'_>) -> bool {
        self.text.clear();
        self.wire.clear();
        (self.absent_bytes, self.lines, self.names_host) = (0, 1, false);
        (self.broken, self.pending) = (None, None);
        if method.len().saturating_add(path.len()) > MAX_HEAD_BYTES {
            return false;
        }
        for part in [method, b" ", path, b" HTTP/1.1\r\nHost: ", rules.raw.authority.as_bytes(), b"\r\n"] {
            self.text.extend_from_slice(part);
        }
        // Placeholders are found by whoever reads the text.
        let may_hold_secrets = !rules.raw.placeholders.is_empty() || !rules.tokens.is_empty();
        self.composing =
            if may_hold_secrets { None } else { self.wire.compose(method, path, rules.raw).ok() };
        // What is composed holds no break, here and below.
        if self.composing.is_none() {
            for (what, part) in [("the method", method), ("the path", path)] {
                self.find_break(part, || what.to_owned());
            }
        }
        true
    }

    /// Adds a header; `false` also where its name cannot be one.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8], rules: Rules<'_>) -> bool {
        if matches!(name, b"Content-Length" | b"content-length") {
            // It is counted here.
            return true;
        }
        if self.text.len().saturating_add(name.len()).saturating_add(value.len()) > MAX_HEAD_BYTES {
            return false;
        }
        let composed = self.composing.as_mut().map(|it| self.wire.compose_field(it, name, value, rules.raw));
        if !matches!(composed, Some(Ok(()))) {
            self.composing = None;
            if !is_header_name(name) {
                return false;
            }
            self.find_break(value, || {
                format!("header {:?}", String::from_utf8_lossy(&name[..name.len().min(MAX_SHOWN_NAME_BYTES)]))
            });
        }
        if is_own_host(name) {
            self.give_up_host(rules.raw.authority.len());
            self.put(&[b"Host: ", value, b"\r\n"]);
        } else {
            self.put(&[name, b": ", value, b"\r\n"]);
        }
        self.lines += 1;
        true
    }

    /// Notes the first part with a line break.
    fn find_break(&mut self, part: &[u8], what: impl FnOnce() -> String) {
        if self.broken.is_none() && memchr::memchr2(b'\r', b'\n', part).is_some() {
            self.broken = Some(RawError::LineBreakIn(what()));
        }
    }

    /// The script's own host line takes the place of ours, once.
    fn give_up_host(&mut self, authority_bytes: usize) {
        self.lines -= 1;
        if !std::mem::replace(&mut self.names_host, true) {
            let line = memchr::memmem::find(&self.text, b"\r\nHost: ").map_or(0, |end| end + 2);
            self.text.drain(line..line + b"Host: \r\n".len() + authority_bytes);
        }
    }

    /// Ends the request. What is wrong with it is told when it is sent, or when it turns out that it is not.
    pub(super) fn end(&mut self, body: Option<&[u8]>, rules: Rules<'_>) {
        let bytes = body.map_or(0, <[u8]>::len);
        if let Some(body) = body {
            let mut digits = Digits::default();
            self.put(&[b"Content-Length: ", digits.of_count(bytes), b"\r\n\r\n"]);
            self.lines += 1;
            if bytes > MAX_RAW_BODY_BYTES {
                self.absent_bytes = bytes;
            } else {
                self.put(&[body]);
            }
        } else {
            self.put(&[b"\r\n"]);
        }
        let composed = self.composing.take().map(|composing| self.wire.compose_end(composing, body));
        let refused = if self.absent_bytes > 0 { Some(BODY_TOO_LONG) } else { self.broken.take() };
        self.pending = Some(match (refused, composed) {
            (Some(error), _) => Err(error),
            (None, Some(Ok(()))) => Ok(()),
            // The text says what is wrong, and is right where secrets stand in it.
            (None, _) => {
                self.wire.clear();
                let shape = Shape { lines: self.lines, body_bytes: bytes };
                self.wire.push_raw(&self.text, rules.raw, rules.tokens, Some(shape)).map(|_| ())
            }
        });
    }

    fn put(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.text.extend_from_slice(part);
        }
    }

    /// Returns the text, and whether the body must be added to it.
    pub(super) fn text(&self) -> (&[u8], bool) {
        (&self.text, self.absent_bytes > 0)
    }

    fn is(&self, text: &[u8]) -> bool {
        text.len() == self.text.len() + self.absent_bytes && text.starts_with(&self.text)
    }

    /// Takes what a callback returned.
    ///
    /// # Errors
    /// It is not the draft, and the draft could not have been sent: that is an error of the script.
    fn take(&mut self, text: Result<&[u8], &CStr>, rules: Rules<'_>) -> Result<(), RawError> {
        if let Ok(text) = text
            && self.pending.is_some()
            && self.is(text)
        {
            self.choose();
            return Ok(());
        }
        self.settle()?;
        self.wire.clear();
        self.chosen = Some(match text {
            Ok(text) => {
                let read = self.wire.push_raw(text, rules.raw, rules.tokens, None);
                read.map(|_| ()).map_err(Unsent::Refused)
            }
            Err(kind) => Err(Unsent::Returned(one_of(&kind.to_string_lossy()))),
        });
        Ok(())
    }

    /// Chooses the draft as what is sent.
    pub(super) fn choose(&mut self) {
        self.chosen = self.pending.take().map(|pending| pending.map_err(Unsent::Refused));
    }

    /// Drops a draft that is not sent; one that could not have been is an error all the same.
    fn settle(&mut self) -> Result<(), RawError> {
        self.pending.take().unwrap_or(Ok(()))
    }

    /// Puts what was chosen into a wire; nothing of it on any doubt.
    pub(super) fn send(&mut self, wire: &mut Wire) -> Result<(), Unsent> {
        let chosen = self.chosen.take().unwrap_or_else(|| Err(Unsent::Returned("nothing".to_owned())));
        match &chosen {
            Ok(()) => std::mem::swap(&mut self.wire, wire),
            Err(_) => wire.clear(),
        }
        chosen
    }
}

impl Host {
    /// Works on the draft.
    pub(super) fn draft<T>(&self, work: impl FnOnce(&mut Draft, Rules<'_>) -> T) -> T {
        let rules = Rules { raw: &self.surroundings.rules, tokens: &self.tokens.borrow() };
        work(&mut self.draft.borrow_mut(), rules)
    }

    /// Returns whether there is a draft of which nobody has asked whether it may be sent.
    pub(super) fn has_draft(&self) -> bool {
        self.draft.try_borrow().is_ok_and(|draft| draft.pending.is_some())
    }

    /// Takes what `request()` returned, a text or the kind of something else; `false` is a fault to be raised.
    pub(super) fn take(&self, text: Result<&[u8], &CStr>) -> bool {
        self.noted(self.draft(|draft, rules| draft.take(text, rules)))
    }

    /// Drops a draft that is not sent; `false` is a fault to be raised.
    pub(super) fn settle(&self) -> bool {
        self.noted(self.draft.borrow_mut().settle())
    }

    fn noted(&self, outcome: Result<(), RawError>) -> bool {
        outcome.map_err(|error| *self.fault.borrow_mut() = error.to_string()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::{DeclaredSecret, Placeholders};

    fn rules(declared: Vec<DeclaredSecret>) -> RawRules {
        RawRules {
            authority: "shop.test:8080".into(),
            synonyms: vec!["localhost".into()],
            most: 1,
            placeholders: Placeholders::new(9, declared),
        }
    }

    /// A secret that no text names: with it, the text of each request is read.
    fn unused_secret() -> DeclaredSecret {
        DeclaredSecret {
            name: "token".into(),
            headers: vec!["authorization".into()],
            value: Ok(crate::secret::Secret::new("correct-horse".into())),
        }
    }

    /// The text, and what would be sent or is wrong with it.
    fn written(
        rules: &RawRules,
        (method, path, fields, body): &(String, String, Vec<(String, String)>, Option<String>),
    ) -> Option<(Vec<u8>, Result<Wire, Unsent>, bool)> {
        let (mut draft, tokens) = (Draft::default(), Tokens::default());
        let rules = Rules { raw: rules, tokens: &tokens };
        let mut is_taken = draft.begin(method.as_bytes(), path.as_bytes(), rules);
        for (name, value) in fields {
            is_taken = is_taken && draft.field(name.as_bytes(), value.as_bytes(), rules);
        }
        if !is_taken {
            return None;
        }
        let is_composed = draft.composing.is_some();
        draft.end(body.as_ref().map(String::as_bytes), rules);
        let text = draft.text().0.to_vec();
        draft.choose();
        let mut wire = Wire::default();
        let sent = draft.send(&mut wire);
        Some((text, sent.map(|()| wire), is_composed))
    }

    /// Parts of requests, good and bad ones in turn.
    fn parts() -> impl Strategy<Value = (String, String, Vec<(String, String)>, Option<String>)> {
        let method = prop_oneof!["GET|POST|PUT|HEAD|DELETE", "GET /|get|CONNECT|"];
        let path = prop_oneof![4 => "/[a-z?=&%]{0,9}", 1 => "[/a \r\n#\\\\.]{0,4}"];
        let name = prop_oneof![
            8 => "X-[A-Za-z]{1,5}",
            2 => "Host|host|hOST|Content-Length|content-length|CONTENT-LENGTH|Connection|User-Agent|Cookie",
            1 => "X-Forwarded-Host|Transfer_Encoding|[ :a\r\n]{1,3}",
        ];
        let value = prop_oneof![
            8 => "[ -~]{0,12}",
            2 => "localhost|shop.test:8080|keep-alive|0|2|a=b; __vdpl=c",
            1 => "[ a\t\r\n\u{0}é]{0,5}|a\r\nB: c|a\r\n\r\nGET / HTTP/1.1",
        ];
        let body = proptest::option::of(prop_oneof!["[ -~]{0,12}", "GET / HTTP/1.1\r\n|\r\n\r\n"]);
        (method, path, proptest::collection::vec((name, value), 0..5), body)
    }

    proptest! {
        #[test]
        fn a_composed_request_is_the_one_that_its_text_says(parts in parts()) {
            let composed = written(&rules(vec![]), &parts);
            let read = written(&rules(vec![unused_secret()]), &parts);

            prop_assert_eq!(composed.is_some(), read.is_some());
            if let (Some(composed), Some(read)) = (composed, read) {
                prop_assert!(!read.2);
                prop_assert_eq!(composed.0, read.0);
                prop_assert_eq!(composed.1.as_ref().map(Wire::bytes), read.1.as_ref().map(Wire::bytes));
                prop_assert_eq!(composed.1, read.1);
            }
        }
    }

    #[test]
    fn a_usual_request_is_composed() {
        let fields =
            vec![("X-Number".to_owned(), "7".to_owned()), ("Host".to_owned(), "localhost".to_owned())];
        let parts = ("POST".to_owned(), "/a?b".to_owned(), fields, Some("hi".to_owned()));

        let (text, sent, is_composed) = written(&rules(vec![]), &parts).unwrap();

        assert!(is_composed);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            "POST /a?b HTTP/1.1\r\nX-Number: 7\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi"
        );
        let sent = String::from_utf8(sent.unwrap().bytes().to_vec()).unwrap();
        assert!(
            sent.starts_with("POST /a?b HTTP/1.1\r\nhost: shop.test:8080\r\nX-Number: 7\r\nuser-agent: "),
            "{sent}"
        );
        assert!(sent.ends_with("\r\ncontent-length: 2\r\n\r\nhi"), "{sent}");
    }
}
