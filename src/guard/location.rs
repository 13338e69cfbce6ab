//! Where an answer sends its reader: a `Location` or an `Alt-Svc`, compared with the origin byte by byte.
//!
//! Nothing here is ever followed. What stays at the origin in every reading is told from what may lead elsewhere.

use crate::target::Origin;

/// The origin as references may write it.
#[derive(Debug)]
pub(super) struct Home {
    /// `https://` or `http://`.
    scheme: String,
    host: String,
    port: u16,
    is_default_port: bool,
}

impl Home {
    pub(super) fn of(origin: &Origin) -> Self {
        // What stands before the port is written as in a URL: an IPv6 address is in brackets.
        let host = origin.authority();
        let host = host.strip_suffix(&format!(":{}", origin.port)).unwrap_or(&host).to_owned();
        let is_default_port = origin.port == origin.scheme.default_port();
        Self { scheme: format!("{}://", origin.scheme), host, port: origin.port, is_default_port }
    }

    /// Returns whether a reference stays at the origin for every parser, however it reads what others strip, convert
    /// or complete.
    pub(super) fn keeps(&self, reference: &[u8]) -> bool {
        // Tabs, line breaks and blanks in front are dropped by some, so that what is left begins with something else.
        if reference.starts_with(b" ") || reference.iter().any(u8::is_ascii_control) {
            return false;
        }
        match reference {
            [b'/', b'/', authority @ ..] => self.is_named_by(authority),
            [b'/', b'\\', ..] | [b'\\', ..] => false,
            [] | [b'/' | b'?' | b'#', ..] => true,
            _ => match strip_scheme(reference, &self.scheme) {
                Some(authority) => self.is_named_by(authority),
                // A colon in the first segment makes it another scheme, or this one without its slashes.
                None => !first_segment(reference).contains(&b':'),
            },
        }
    }

    /// Returns whether an `Alt-Svc` field (RFC 7838) names no other host and no other port; one that nobody can read
    /// leads nobody anywhere.
    pub(super) fn keeps_services(&self, field: &[u8]) -> bool {
        // A comma inside quotes belongs to a parameter, and what follows it then has no authority.
        field.split(|byte| *byte == b',').filter_map(alternative_authority).all(|authority| {
            let Some(colon) = authority.iter().rposition(|byte| *byte == b':') else { return true };
            let (host, port) = (&authority[..colon], &authority[colon + 1..]);
            self.is_port(port) && (host.is_empty() || host.eq_ignore_ascii_case(self.host.as_bytes()))
        })
    }

    fn is_named_by(&self, rest: &[u8]) -> bool {
        let authority = first_segment(rest);
        let Some(port) = strip_prefix_ignoring_case(authority, self.host.as_bytes()) else { return false };
        match port {
            [] => self.is_default_port,
            [b':', digits @ ..] => self.is_port(digits),
            _ => false,
        }
    }

    fn is_port(&self, digits: &[u8]) -> bool {
        digits.iter().all(u8::is_ascii_digit)
            && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse() == Ok(self.port))
    }
}

/// Returns what stands before the path, the query or the fragment.
fn first_segment(reference: &[u8]) -> &[u8] {
    let end = reference.iter().position(|byte| b"/?#".contains(byte));
    &reference[..end.unwrap_or(reference.len())]
}

fn strip_scheme<'r>(reference: &'r [u8], scheme: &str) -> Option<&'r [u8]> {
    strip_prefix_ignoring_case(reference, scheme.as_bytes())
}

fn strip_prefix_ignoring_case<'b>(bytes: &'b [u8], prefix: &[u8]) -> Option<&'b [u8]> {
    let (head, rest) = bytes.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Returns what stands in the quotes of `protocol="authority"`.
fn alternative_authority(element: &[u8]) -> Option<&[u8]> {
    let equals = element.iter().position(|byte| *byte == b'=')?;
    let quoted = element[equals + 1..].trim_ascii_start().strip_prefix(b"\"")?;
    let end = quoted.iter().position(|byte| *byte == b'"')?;
    Some(&quoted[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::target::Scheme;

    fn home() -> Home {
        Home::of(&Origin { scheme: Scheme::Https, host: "pr-1.preview.shop.test".into(), port: 443 })
    }

    #[test]
    fn what_stays_at_the_origin_is_kept() {
        for reference in [
            "",
            "/login",
            "/a?to=https://www.shop.test/",
            "login",
            "./login",
            "../a:b",
            "?page=2",
            "#top",
            "//pr-1.preview.shop.test/x",
            "https://pr-1.preview.shop.test",
            "HTTPS://PR-1.preview.shop.test:443/x",
            "https://pr-1.preview.shop.test?x",
            "/caf\u{e9}",
        ] {
            assert!(home().keeps(reference.as_bytes()), "{reference:?}");
        }
    }

    #[test]
    fn what_may_lead_elsewhere_is_not() {
        for reference in [
            "https://www.shop.test/",
            "https:www.shop.test",
            "https:/www.shop.test",
            "https:",
            "http://pr-1.preview.shop.test/",
            "https://pr-1.preview.shop.test:8443/",
            "https://pr-1.preview.shop.test:/",
            "https://pr-1.preview.shop.test.attacker.test/",
            "https://pr-1.preview.shop.test@www.shop.test/",
            "https://pr-1.preview.shop.test\\@www.shop.test/",
            "https://pr-11.preview.shop.test/",
            "https://x.pr-1.preview.shop.test/",
            "//www.shop.test/",
            "/\\www.shop.test/",
            "\\\\www.shop.test/",
            "/\t/www.shop.test/",
            "ht\ttps://www.shop.test/",
            "javascript:alert(1)",
            "data:text/html,x",
            "///www.shop.test/",
            " //www.shop.test/",
            "https://pr-1.preview.shop.test:+443/",
        ] {
            assert!(!home().keeps(reference.as_bytes()), "{reference:?}");
        }
    }

    #[test]
    fn a_service_elsewhere_is_told_from_the_same_one_in_another_version() {
        for field in
            ["clear", "h3=\":443\"; ma=86400", "h3=\":443\", h2=\"pr-1.preview.shop.test:443\"", "", "h3"]
        {
            assert!(home().keeps_services(field.as_bytes()), "{field:?}");
        }
        for field in [
            "h2=\":8443\"",
            "h3=\":443\", h2=\":8443\"; ma=1",
            "h2=\"www.shop.test:443\"",
            "h2=\"[::1]:443\"",
        ] {
            assert!(!home().keeps_services(field.as_bytes()), "{field:?}");
        }
    }

    #[test]
    fn a_home_with_a_port_of_its_own_needs_it() {
        let home = Home::of(&Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 8080 });

        assert!(home.keeps(b"http://127.0.0.1:8080/"));
        assert!(!home.keeps(b"http://127.0.0.1/"));
    }

    proptest! {
        /// Whatever a browser's parser takes to another origin is not kept.
        #[test]
        fn nothing_is_kept_that_a_browser_would_take_elsewhere(
            reference in "[/\\\\?#:@.a-z0-9 \t-]{0,12}|(https?:)?[/\\\\]{0,3}(www|pr-1.preview).shop.test[/\\\\:@a-z0-9.]{0,9}"
        ) {
            let base = url::Url::parse("https://pr-1.preview.shop.test/").unwrap();
            if home().keeps(reference.as_bytes()) {
                let read = base.join(&reference);
                prop_assert!(read.is_ok_and(|read| read.origin() == base.origin()), "{reference:?}");
            }
        }

        #[test]
        fn no_bytes_make_it_panic(reference in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (home().keeps(&reference), home().keeps_services(&reference));
        }
    }
}
