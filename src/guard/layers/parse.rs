//! L3 reads the URL once, in the one form that every parser reads alike: what a WHATWG parser writes back must be
//! the very text that came in.
//!
//! Path and query are free; load never uses them. From here on only the parsed origin is passed on.

use url::{Host, Url};

use super::Statement;
use crate::guard::pattern::PreviewPattern;
use crate::guard::receipt::{RefusalCode, shown};
use crate::guard::{Case, names};
use crate::target::{Candidate, Origin, Scheme};

/// Longer URLs are refused by many servers and proxies, and nobody reads them.
const MAX_URL_CHARS: usize = 2_048;

/// The hosts that a loopback candidate may name, as they stand in a URL.
const LOOPBACK_HOSTS: [(&str, &str); 2] = [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")];

const WRITE_PLAINLY: &str = "write the URL plainly, as https://HOST/ with the host in lower case";

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    let Some(candidate) = case.candidate else { return Statement::incomplete() };
    let parsed = if candidate.source.is_loopback() {
        read_loopback(candidate)
    } else {
        read_remote(&candidate.raw, &case.inquiry.policy.preview)
    };
    match parsed {
        Ok(origin) => {
            let fact = format!("the URL is {origin} in every parser's eyes");
            case.origin = Some(origin);
            Statement::silence(fact)
        }
        Err(objection) => objection,
    }
}

fn read_loopback(candidate: &Candidate) -> Result<Origin, Statement> {
    let read = || {
        let (scheme, rest) = match candidate.raw.strip_prefix("http://") {
            Some(rest) => (Scheme::Http, rest),
            None => (Scheme::Https, candidate.raw.strip_prefix("https://")?),
        };
        let (authority, port) = rest.rsplit_once(':')?;
        let (_, host) = LOOPBACK_HOSTS.into_iter().find(|(written, _)| *written == authority)?;
        let number: u16 = port.parse().ok()?;
        let is_plain = number != 0 && number.to_string() == port;
        is_plain.then(|| Origin { scheme, host: host.to_owned(), port: number })
    };
    read().ok_or_else(|| {
        Statement::veto(
            RefusalCode::MalformedUrl,
            format!("{} is not a service on this machine", shown(&candidate.raw)),
            "name a listener on 127.0.0.1 or [::1] by its port",
        )
    })
}

fn read_remote(raw: &str, patterns: &[PreviewPattern]) -> Result<Origin, Statement> {
    if let Some(flaw) = flaw_of_text(raw) {
        return Err(malformed(raw, flaw));
    }
    let url = Url::parse(raw).map_err(|error| malformed(raw, &error.to_string()))?;
    if url.scheme() != "https" {
        let remedy = if names_this_machine(&url) {
            "a service on this machine is named by its port alone: use --local PORT, or [service] to start it"
        } else {
            "serve the preview over https: only that proves whom the load reaches"
        };
        let fact = format!("the scheme of {} is not https", shown(raw));
        return Err(Statement::veto(RefusalCode::Scheme, fact, remedy));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(malformed(raw, "it holds credentials"));
    }
    if url.fragment().is_some() {
        return Err(malformed(raw, "it holds a fragment"));
    }
    // Tolerating more than a missing final slash would leave room for two readings of one text.
    let written = url.as_str();
    if written != raw && written.strip_suffix('/') != Some(raw) {
        return Err(malformed(raw, "a parser would rewrite it"));
    }
    let host = read_host(&url, patterns)?;
    let port = url.port().unwrap_or(Scheme::Https.default_port());
    let is_known_port = port == Scheme::Https.default_port()
        || (port != 0 && patterns.iter().any(|pattern| pattern.port() == port));
    if !is_known_port {
        return Err(Statement::veto(
            RefusalCode::Port,
            format!("port {port} is not the default, and no preview pattern names it"),
            "serve the preview on port 443, or write the port into the preview pattern",
        ));
    }
    Ok(Origin { scheme: Scheme::Https, host, port })
}

fn names_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn flaw_of_text(raw: &str) -> Option<&'static str> {
    if raw.is_empty() {
        Some("it is empty")
    } else if raw.len() > MAX_URL_CHARS {
        Some("it is too long")
    } else if !raw.is_ascii() {
        Some("it holds characters outside ASCII")
    } else if raw.bytes().any(|b| b.is_ascii_control() || b == b' ' || b == b'\\') {
        Some("it holds spaces, backslashes or control characters")
    } else {
        None
    }
}

fn read_host(url: &Url, patterns: &[PreviewPattern]) -> Result<String, Statement> {
    let host = match url.host() {
        Some(Host::Domain(host)) => host,
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => {
            return Err(unfit_host(url, "is an address, and an address is never a preview"));
        }
        None => return Err(unfit_host(url, "is missing")),
    };
    if let Some(flaw) = names::flaw_of_host(host) {
        return Err(unfit_host(url, &format!("is no plain host name: {flaw}")));
    }
    let labels: Vec<&str> = host.split('.').collect();
    let is_foreign = |(index, label): (usize, &&str)| {
        label.starts_with("xn--")
            && !patterns.iter().any(|pattern| pattern.spells(label, index, labels.len()))
    };
    if labels.iter().enumerate().any(is_foreign) {
        return Err(unfit_host(url, "holds a label in xn-- form that no preview pattern spells out"));
    }
    Ok(host.to_owned())
}

fn malformed(raw: &str, flaw: &str) -> Statement {
    Statement::veto(
        RefusalCode::MalformedUrl,
        format!("{} cannot be trusted as a URL: {flaw}", shown(raw)),
        WRITE_PLAINLY,
    )
}

fn unfit_host(url: &Url, flaw: &str) -> Statement {
    Statement::veto(
        RefusalCode::HostForm,
        format!("the host of {} {flaw}", shown(url.as_str())),
        "give the preview a plain DNS name that matches a preview pattern",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture::{self, veto_of};
    use crate::target::Source;

    fn read(raw: &str) -> Result<Origin, Statement> {
        read_remote(raw, &fixture::preview().policy.preview)
    }

    fn assert_refused(raw: &str, code: RefusalCode) {
        let objection = read(raw).expect_err(raw);
        assert_eq!(veto_of(objection), Some(code), "{raw:?}");
    }

    #[test]
    fn a_plain_url_is_read_whole() {
        for raw in [
            "https://pr-1.preview.shop.test",
            "https://pr-1.preview.shop.test/",
            "https://pr-1.preview.shop.test/cart?page=2&q=a%20b",
            "https://pr-1.preview.shop.test/%0d%0aHost:%20x",
            "https://pr-1.preview.shop.test/a;b/@c",
        ] {
            let origin = read(raw).unwrap();
            assert_eq!((origin.host.as_str(), origin.port), ("pr-1.preview.shop.test", 443), "{raw}");
        }
    }

    #[test]
    fn texts_that_two_parsers_may_read_differently_are_refused() {
        for raw in [
            "",
            " https://pr-1.preview.shop.test/",
            "https://pr-1.preview.shop.test/ ",
            "https:pr-1.preview.shop.test/",
            "https:/pr-1.preview.shop.test/",
            "https:///pr-1.preview.shop.test/",
            "https:\\\\pr-1.preview.shop.test\\",
            "//pr-1.preview.shop.test/",
            "pr-1.preview.shop.test",
            "HTTPS://pr-1.preview.shop.test/",
            "https://PR-1.preview.shop.test/",
            "https://user@pr-1.preview.shop.test/",
            "https://user:password@pr-1.preview.shop.test/",
            "https://@pr-1.preview.shop.test/",
            "https://:@pr-1.preview.shop.test/",
            "https://pr-1.preview.shop.test\\@www.shop.test/",
            "https://pr-1.preview.shop.test%40www.shop.test/",
            "https://pr-1.preview.shop.test#@www.shop.test/",
            "https://pr-1.preview.shop.test?@www.shop.test/",
            "https://pr-1.preview.shop.test/#top",
            "https://pr-1.preview.shop.test/a/../b",
            "https://pr-1.preview.shop.test/%2e%2e/",
            "https://pr-1.preview.shop.test:443/",
            "https://pr-1.preview.shop.test:0443/",
            "https://pr-1.preview.shop.test:/",
            "https://pr-1.preview.shop.test:99999/",
            "https://pr-1%2epreview.shop.test/",
            "https://%70r-1.preview.shop.test/",
            "https://pr-1.preview.sh\nop.test/",
            "https://pr-1.preview.shop.test\0.www.shop.test/",
            "https://pr-1.preview.sh\u{43e}p.test/",
            "https://\u{ff50}r-1.preview.shop.test/",
            "https://pr-1\u{3002}preview.shop.test/",
            "https://",
        ] {
            assert_refused(raw, RefusalCode::MalformedUrl);
        }
    }

    #[test]
    fn only_https_proves_whom_load_reaches() {
        for raw in [
            "http://pr-1.preview.shop.test/",
            "wss://pr-1.preview.shop.test/",
            "file:///etc/hosts",
            "ftp://pr-1.preview.shop.test/",
            "data:text/plain,x",
            "blob:https://pr-1.preview.shop.test/x",
        ] {
            assert_refused(raw, RefusalCode::Scheme);
        }
    }

    #[test]
    fn a_service_of_this_machine_is_sent_to_its_own_door() {
        for (raw, is_local) in [
            ("http://localhost:3000/", true),
            ("http://127.0.0.1:3000/", true),
            ("http://[::1]:3000/", true),
            ("http://pr-1.preview.shop.test/", false),
            ("http://localhost.shop.test/", false),
        ] {
            let said = read(raw).unwrap_err().line("L3");
            assert_eq!(said.code, Some(RefusalCode::Scheme), "{raw}");
            assert_eq!(said.remedy.unwrap().contains("--local"), is_local, "{raw}");
        }
    }

    #[test]
    fn addresses_and_odd_names_are_no_hosts() {
        for raw in [
            "https://127.0.0.1/",
            "https://203.0.113.9/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://pr-1..preview.shop.test/",
            "https://pr-1.preview.shop.test./",
            "https://-pr-1.preview.shop.test/",
            "https://pr-1-.preview.shop.test/",
            "https://pr_1.preview.shop.test/",
            "https://xn--80ak6aa92e.com/",
            "https://pr-1.preview.xn--shp-sna.test/",
        ] {
            assert_refused(raw, RefusalCode::HostForm);
        }
        assert_refused(&format!("https://{}.shop.test/", "a".repeat(64)), RefusalCode::HostForm);
        assert_refused(&format!("https://{}shop.test/", "a.".repeat(125)), RefusalCode::HostForm);
        // Other spellings of addresses are rewritten by the parser, and refused for that.
        for raw in ["https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://[::127.0.0.1]/"]
        {
            assert_refused(raw, RefusalCode::MalformedUrl);
        }
    }

    #[test]
    fn a_label_in_xn_form_needs_a_pattern_that_spells_it() {
        let spelled = [PreviewPattern::parse("pr-{pr}.preview.xn--shp-sna.test").unwrap()];

        assert!(read_remote("https://pr-1.preview.xn--shp-sna.test/", &spelled).is_ok());
        assert!(read_remote("https://xn--shp-sna.preview.xn--shp-sna.test/", &spelled).is_err());
    }

    #[test]
    fn another_port_needs_a_pattern_that_names_it() {
        let patterns = [PreviewPattern::parse("pr-{pr}.preview.shop.test:8443").unwrap()];

        assert_eq!(read_remote("https://pr-1.preview.shop.test:8443/", &patterns).unwrap().port, 8443);
        for raw in ["https://pr-1.preview.shop.test:8444/", "https://pr-1.preview.shop.test:0/"] {
            let objection = read_remote(raw, &patterns).unwrap_err();
            assert_eq!(veto_of(objection), Some(RefusalCode::Port), "{raw}");
        }
        assert_refused("https://pr-1.preview.shop.test:8443/", RefusalCode::Port);
    }

    #[test]
    fn a_service_of_this_machine_is_named_by_its_port() {
        let read = |raw: &str| read_loopback(&Candidate { source: Source::Local, raw: raw.into() });

        assert_eq!(read("http://127.0.0.1:80").unwrap().to_string(), "http://127.0.0.1");
        assert_eq!(read("http://[::1]:8080").unwrap().host, "::1");
        assert_eq!(read("https://127.0.0.1:443").unwrap().to_string(), "https://127.0.0.1");
        for raw in [
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:080",
            "http://127.0.0.1:80/",
            "http://127.0.0.1:99999",
            "http://127.0.0.2:80",
            "http://localhost:80",
            "http://0.0.0.0:80",
            "http://10.0.0.5:80",
            "ftp://127.0.0.1:80",
            "https://localhost:80",
            "http://a@127.0.0.1:80",
            "http://www.shop.test:80",
        ] {
            assert!(read(raw).is_err(), "{raw} must be refused");
        }
    }
}
