//! The answer rules say what an answer must not say while load runs: that it is no answer of this preview, or that its
//! reader should go elsewhere.
//!
//! Nothing is ever followed; a preview that leads elsewhere is no longer what was cleared. The rules look at the head
//! of every answer, so that they compare bytes and ask for no memory before they object. Bodies are not read at all.

use std::sync::OnceLock;

use url::Url;

use super::endpoint::Endpoint;
use super::location::Home;
use super::marker::MARKER_HEADER;
use super::names::cut;
use super::production_words;
use super::receipt::{RefusalCode, shown};
use super::recheck::Revocation;
use crate::target::Origin;

const WIRE: &str = "L9 wire";
const PROOF: &str = "L8 proof";
const RECHECK: &str = "L10 recheck";

/// As much of a field is quoted; the rest helps nobody.
const MAX_QUOTED_CHARS: usize = 80;

/// What the answers of one cleared target must not say.
#[derive(Debug)]
pub struct AnswerRules {
    home: Home,
    base: Option<Url>,
    is_remote: bool,
    /// Hosts that are production.
    production: Vec<String>,
    marker: Option<ExpectedMarker>,
    endpoint: Option<Endpoint>,
    /// Whether the target signed its marker when it was cleared: whoever has the key goes on doing so.
    is_marker_signed: bool,
    /// The first `Alt-Svc` that was let pass: an edge sends the same one with every answer.
    known_services: OnceLock<Vec<u8>>,
    /// The first other host that an answer calls its canonical place: no reason to stop, and often production.
    canonical: OnceLock<String>,
}

/// What the header `Loadgate-Preview` must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExpectedMarker {
    pub(super) value: String,
    /// Whether every answer must have it: the policy says so, or the target had it when it was cleared.
    pub(super) is_promised: bool,
}

impl AnswerRules {
    /// Makes the rules of a target; one on this machine is only kept from leading to production.
    pub(super) fn new(origin: &Origin, is_remote: bool, production: Vec<String>) -> Self {
        Self {
            home: Home::of(origin),
            base: Url::parse(&format!("{origin}/")).ok(),
            is_remote,
            production,
            marker: None,
            endpoint: None,
            is_marker_signed: false,
            known_services: OnceLock::new(),
            canonical: OnceLock::new(),
        }
    }

    /// Expects a marker in the header of answers.
    pub(super) fn with_marker(self, marker: Option<ExpectedMarker>) -> Self {
        Self { marker, ..self }
    }

    /// Expects the server that was met when the target was cleared.
    pub(super) fn with_endpoint(self, endpoint: Option<Endpoint>) -> Self {
        Self { endpoint, ..self }
    }

    /// Expects a signed marker wherever one is asked for.
    pub(super) fn with_signed_marker(self, is_marker_signed: bool) -> Self {
        Self { is_marker_signed, ..self }
    }

    /// Makes rules without asking the guard, for unit tests of those who need some.
    #[cfg(test)]
    pub(crate) fn for_tests(origin: &Origin, production: &[&str], marker: Option<(&str, bool)>) -> Self {
        let production = production.iter().map(|host| (*host).to_owned()).collect();
        let marker = marker.map(|(value, is_promised)| ExpectedMarker { value: value.into(), is_promised });
        Self::new(origin, true, production).with_marker(marker)
    }

    /// Expects the server of a certificate, for unit tests.
    #[cfg(test)]
    pub(crate) fn met_with(self, certificate: &[u8]) -> Self {
        self.with_endpoint(Endpoint::of(certificate))
    }

    /// Makes the rules of a service on this machine, for unit tests.
    #[cfg(test)]
    pub(crate) fn of_loopback(origin: &Origin, production: &[&str]) -> Self {
        Self::new(origin, false, production.iter().map(|host| (*host).to_owned()).collect())
    }

    /// Returns the value that the header `Loadgate-Preview` must have where an answer has it.
    #[must_use]
    pub fn marker(&self) -> Option<&str> {
        self.marker.as_ref().map(|marker| marker.value.as_str())
    }

    /// Returns whether every answer must have the marker in its header.
    #[must_use]
    pub fn is_marker_promised(&self) -> bool {
        self.marker.as_ref().is_some_and(|marker| marker.is_promised)
    }

    /// Returns the server that was met when the target was cleared.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// Returns whether the target signed its marker when it was cleared.
    pub(super) fn is_marker_signed(&self) -> bool {
        self.is_marker_signed
    }

    /// Judges the status of an answer: some alone send their reader elsewhere.
    #[must_use]
    pub fn object_to_status(&self, status: u16) -> Option<Box<Revocation>> {
        if !self.is_remote {
            return None;
        }
        let says = match status {
            305 => "that a proxy must be used",
            421 => "that it is not the server for this host",
            _ => return None,
        };
        Some(revoked(WIRE, RefusalCode::Misdirected, format!("an answer (status {status}) says {says}")))
    }

    /// Judges one header field of an answer. Names that it knows have 4, 7, 8 or 16 letters.
    #[must_use]
    pub fn object_to_field(&self, status: u16, name: &[u8], value: &[u8]) -> Option<Box<Revocation>> {
        match name.len() {
            8 if (300..400).contains(&status) && name.eq_ignore_ascii_case(b"location") => {
                self.object_to_location(status, value)
            }
            7 if self.is_remote && name.eq_ignore_ascii_case(b"alt-svc") => self.object_to_services(value),
            16 if is_marker(name) => self.object_to_marker(value),
            4 if self.is_remote && name.eq_ignore_ascii_case(b"link") => {
                self.note_link(value);
                None
            }
            _ => None,
        }
    }

    /// Looks at the header `Link` for what an answer calls its canonical place; nobody goes there.
    fn note_link(&self, value: &[u8]) {
        if self.canonical.get().is_some() {
            return;
        }
        let home = self.base.as_ref().and_then(Url::host_str);
        let host = canonical_target(value).and_then(|target| self.base.as_ref()?.join(target).ok());
        let host = host.as_ref().and_then(Url::host_str).filter(|host| Some(*host) != home);
        if let Some(host) = host {
            // Another worker may have been first.
            let _ = self.canonical.set(host.to_owned());
        }
    }

    /// Returns what the report should say of the place that answers call canonical, where it is another host.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let host = self.canonical.get()?;
        let advice = if self.production.contains(host) {
            "which is listed as production"
        } else {
            "which [target] production lacks: add it if it is the live site"
        };
        Some(format!("answers call {} their canonical host, {advice}", cut(host)))
    }

    /// Judges a certificate, DER: another signer and other names together are another server's.
    #[must_use]
    pub fn object_to_certificate(&self, certificate: &[u8]) -> Option<Box<Revocation>> {
        let before = self.endpoint.as_ref()?;
        let now = Endpoint::of(certificate)?;
        now.is_another_than(before).then(|| {
            let fact = format!("the server's certificate has another issuer and other names: {now}");
            revoked(RECHECK, RefusalCode::EndpointChanged, fact)
        })
    }

    /// Says why an answer that is pushed over HTTP/2 ends the load: every target was told not to.
    #[must_use]
    pub fn object_to_push() -> Box<Revocation> {
        revoked(WIRE, RefusalCode::Pushed, "the server pushes what nobody asked for".to_owned())
    }

    /// Says why too many answers without the marker end the load.
    #[must_use]
    pub fn loss_of_marker(&self, missing: u64, of: u64) -> Box<Revocation> {
        let fact = format!("{missing} of the last {of} answers lack the header {MARKER_HEADER}");
        revoked(PROOF, RefusalCode::MarkerMissing, fact)
    }

    fn object_to_location(&self, status: u16, value: &[u8]) -> Option<Box<Revocation>> {
        if self.home.keeps(value) {
            return None;
        }
        let reference = String::from_utf8_lossy(value);
        let goes_to = self.base.as_ref().and_then(|base| base.join(&reference).ok());
        let host = goes_to.as_ref().and_then(Url::host_str).unwrap_or_default();
        if self.production.iter().any(|production| production == host) {
            let fact = format!("an answer (status {status}) redirects to the production host {host}");
            return Some(revoked(WIRE, RefusalCode::Production, fact));
        }
        if !self.is_remote {
            return None;
        }
        let is_home =
            goes_to.as_ref().zip(self.base.as_ref()).is_some_and(|(to, base)| to.origin() == base.origin());
        let fact = match &goes_to {
            Some(goes_to) if !is_home => {
                format!("an answer (status {status}) redirects to {}", shown(goes_to.as_str()))
            }
            _ => format!(
                "an answer (status {status}) redirects in words that parsers read differently: {}",
                quoted(value)
            ),
        };
        Some(revoked(WIRE, RefusalCode::Redirect, fact))
    }

    fn object_to_services(&self, value: &[u8]) -> Option<Box<Revocation>> {
        if self.known_services.get().is_some_and(|known| known == value) {
            return None;
        }
        if self.home.keeps_services(value) {
            // Another worker may have been first.
            let _ = self.known_services.set(value.to_vec());
            return None;
        }
        let fact = format!("an answer names another host or port in Alt-Svc: {}", quoted(value));
        Some(revoked(WIRE, RefusalCode::ForeignService, fact))
    }

    /// Judges the value of the header `Loadgate-Preview`.
    #[must_use]
    pub fn object_to_marker(&self, value: &[u8]) -> Option<Box<Revocation>> {
        let expected = self.marker()?;
        object_to_marker(expected, value).map(|(code, fact)| revoked(PROOF, code, fact))
    }
}

/// Returns whether a header's name is that of the marker.
fn is_marker(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(MARKER_HEADER.as_bytes())
}

/// Judges what the header `Loadgate-Preview` says; blanks around its parts mean nothing.
pub(super) fn object_to_marker(expected: &str, value: &[u8]) -> Option<(RefusalCode, String)> {
    let value = value.trim_ascii();
    if value == expected.as_bytes() || parts(value).eq(parts(expected.as_bytes())) {
        return None;
    }
    let text = String::from_utf8_lossy(value);
    let code = match production_words::find(&text) {
        Some(_) => RefusalCode::MarkerProduction,
        None => RefusalCode::MarkerMismatch,
    };
    Some((code, format!("an answer says {MARKER_HEADER}: {}, not {expected}", quoted(value))))
}

fn parts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

/// Returns the reference of the link with the relation `canonical` (RFC 8288).
fn canonical_target(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    // What stands behind a reference, up to the next one, are its parameters and the comma between them.
    text.split('<').skip(1).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let relations = parameters.split(';').filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("rel").then_some(value)
        });
        let is_canonical = |value: &str| {
            let words = value.split(|c: char| c.is_ascii_whitespace() || c == '"' || c == ',');
            words.into_iter().any(|word| word.eq_ignore_ascii_case("canonical"))
        };
        relations.into_iter().any(is_canonical).then_some(target)
    })
}

/// Boxed, so that the usual answer, which nobody objects to, costs a null pointer.
fn revoked(layer: &'static str, code: RefusalCode, fact: String) -> Box<Revocation> {
    Box::new(Revocation { layer, code, fact, is_transient: false })
}

/// Quotes a field from outside, shortened and harmless.
fn quoted(value: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(value).chars().take(MAX_QUOTED_CHARS).collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scheme;

    const EXPECTED: &str = "preview; commit=0123456789abcdef0123456789abcdef01234567";

    fn origin() -> Origin {
        Origin { scheme: Scheme::Https, host: "pr-1.preview.shop.test".into(), port: 443 }
    }

    fn rules() -> AnswerRules {
        AnswerRules::for_tests(&origin(), &["shop.test", "www.shop.test"], Some((EXPECTED, true)))
    }

    fn code(status: u16, name: &str, value: &str) -> Option<RefusalCode> {
        rules().object_to_field(status, name.as_bytes(), value.as_bytes()).map(|revocation| revocation.code)
    }

    #[test]
    fn a_redirect_that_leaves_the_preview_is_objected_to() {
        for (location, expected) in [
            ("https://www.shop.test/", RefusalCode::Production),
            ("/\\www.shop.test/", RefusalCode::Production),
            ("//shop.test/x", RefusalCode::Production),
            ("https:www.shop.test", RefusalCode::Redirect),
            ("http://pr-1.preview.shop.test/", RefusalCode::Redirect),
            ("https://pr-2.preview.shop.test/", RefusalCode::Redirect),
            ("https://acme.cloudflareaccess.com/cdn-cgi/access/login/", RefusalCode::Redirect),
            ("\u{1b}[0m", RefusalCode::Redirect),
        ] {
            for status in [301, 302, 303, 307, 308] {
                assert_eq!(code(status, "LOCATION", location), Some(expected), "{location:?}");
            }
        }
    }

    #[test]
    fn what_is_no_redirect_away_is_not() {
        assert_eq!(code(302, "location", "/login"), None);
        assert_eq!(code(201, "location", "https://www.shop.test/items/1"), None);
        assert_eq!(code(200, "link", "<https://www.shop.test/>; rel=canonical"), None);
        assert_eq!(code(200, "content-location", "https://www.shop.test/"), None);
    }

    #[test]
    fn statuses_that_send_elsewhere_are_objected_to() {
        let code = |status| rules().object_to_status(status).map(|revocation| revocation.code);

        assert_eq!([305, 421].map(code), [Some(RefusalCode::Misdirected); 2]);
        assert_eq!([200, 302, 304, 404, 502].map(code), [None; 5]);
    }

    #[test]
    fn another_port_by_alt_svc_is_objected_to_and_another_version_is_not() {
        assert_eq!(code(200, "alt-svc", "h2=\":8443\""), Some(RefusalCode::ForeignService));
        assert_eq!(code(200, "alt-svc", "h3=\":443\"; ma=86400"), None);
    }

    #[test]
    fn a_marker_that_changes_is_objected_to() {
        let other = EXPECTED.replace("0123", "4567");
        for (value, expected) in [
            (EXPECTED, None),
            ("preview;commit=0123456789abcdef0123456789abcdef01234567", None),
            (other.as_str(), Some(RefusalCode::MarkerMismatch)),
            ("preview", Some(RefusalCode::MarkerMismatch)),
            ("", Some(RefusalCode::MarkerMismatch)),
            (
                "production; commit=0123456789abcdef0123456789abcdef01234567",
                Some(RefusalCode::MarkerProduction),
            ),
        ] {
            for status in [200, 302, 404, 500] {
                assert_eq!(code(status, "loadgate-preview", value), expected, "{value:?}");
            }
        }
    }

    #[test]
    fn a_canonical_place_elsewhere_is_told_and_ends_nothing() {
        let remark = |value: &str| {
            let rules = rules();
            assert_eq!(rules.object_to_field(200, b"Link", value.as_bytes()), None);
            rules.remark()
        };

        let listed = remark("<https://www.shop.test/>; rel=canonical").unwrap();
        assert!(listed.contains("www.shop.test") && listed.contains("is listed"), "{listed}");
        for value in [
            "<https://live.shop.test/a>; rel=\"canonical\"",
            "</style.css>; rel=preload; as=style, <//live.shop.test/>; REL=\"alternate Canonical\"",
        ] {
            let unlisted = remark(value).unwrap();
            assert!(unlisted.contains("live.shop.test") && unlisted.contains("lacks"), "{unlisted}");
        }
        for nothing in [
            "</a>; rel=canonical",
            "<https://pr-1.preview.shop.test/>; rel=canonical",
            "<https://cdn.test/canonical>; rel=preload",
            "<https://[>; rel=canonical",
            "rel=canonical",
            "<https://cdn.test/; rel=canonical",
            "",
        ] {
            assert_eq!(remark(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_target_on_this_machine_is_only_kept_from_leading_to_production() {
        let origin = Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 8080 };
        let rules = AnswerRules::new(&origin, false, vec!["www.shop.test".into()]);
        let code = |status, name: &str, value: &str| {
            rules.object_to_field(status, name.as_bytes(), value.as_bytes()).map(|revocation| revocation.code)
        };

        assert_eq!(code(302, "location", "https://www.shop.test/"), Some(RefusalCode::Production));
        assert_eq!(code(302, "location", "http://127.0.0.1:9090/"), None);
        assert_eq!(code(200, "alt-svc", "h2=\":8443\""), None);
        assert_eq!(code(200, "loadgate-preview", "anything"), None);
        assert_eq!(rules.object_to_status(421), None);
    }

    #[test]
    fn what_is_quoted_is_short_and_harmless() {
        let location = format!("https:{}\u{1b}", "x".repeat(5_000));

        let fact = rules().object_to_field(302, b"location", location.as_bytes()).unwrap().fact;

        assert!(fact.len() < 400 && !fact.contains('\u{1b}'), "{fact}");
    }
}
