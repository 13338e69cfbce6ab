//! A secret is a value that must never be shown: a token, a password, a key.
//!
//! It prints as `***` whatever the formatter; `expose` is the one way to its text and is meant to be searched for. Its
//! memory is cleared when it is dropped. A [`SecretPlan`] says where a value comes from and where it may go.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};
use zeroize::Zeroize;

/// A value that must not appear in any output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// Returns the text itself; the caller must not print or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Returns whether a secret may be sent to an address: nobody between may read it, so that it is `https`, or `http`
/// on this machine's own network. A name is no proof of that, not even `localhost`.
#[must_use]
pub fn may_carry_secrets(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

/// What is declared of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlan {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// Where its value comes from.
    pub source: SecretSource,
    /// The headers that it may go into, in lower case; never empty.
    pub headers: Vec<String>,
    /// The hosts that it may go to; `None` for whatever target the guard clears.
    pub hosts: Option<Vec<SecretHost>>,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the environment.
    Variable(String),
    /// A file that nobody else can read.
    File(PathBuf),
    /// What a program prints, run without a shell.
    Command {
        /// The program and its arguments; never empty.
        argv: Vec<String>,
        /// How long it may take.
        timeout: Duration,
    },
}

/// Hosts that a secret may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretHost {
    /// This machine.
    Loopback,
    /// The host of exactly this name, in lower case.
    Exact(String),
    /// Every host below this domain, in lower case and with its leading dot.
    Below(String),
}

impl SecretHost {
    /// Reads `localhost` or an address of loopback, a host's name, or `*.` and a domain.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let is_loopback = address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if text == "localhost" || is_loopback {
            return Ok(Self::Loopback);
        }
        let (domain, is_below) = match text.strip_prefix('*') {
            Some(domain) => {
                (domain.strip_prefix('.').ok_or("a `*` stands for whole labels: `*.example.com`")?, true)
            }
            None => (text, false),
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if domain.len() > 253 || !domain.contains('.') || !domain.split('.').all(is_label) {
            return Err("it is no host's name: lower case, no scheme, no port");
        }
        Ok(if is_below { Self::Below(format!(".{domain}")) } else { Self::Exact(domain.to_owned()) })
    }

    /// Returns whether a host is one of these; `is_loopback` says whether it is this machine.
    #[must_use]
    pub fn holds(&self, host: &str, is_loopback: bool) -> bool {
        match self {
            Self::Loopback => is_loopback,
            Self::Exact(name) => !is_loopback && host == name,
            Self::Below(domain) => {
                !is_loopback && host.len() > domain.len() && host.ends_with(domain.as_str())
            }
        }
    }
}

impl SecretPlan {
    /// Returns whether the value may go to a host.
    #[must_use]
    pub fn may_go_to(&self, host: &str, is_loopback: bool) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|known| known.holds(host, is_loopback)))
    }
}

/// A secret that a server sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretEcho {
    /// The secret's name.
    pub secret: String,
    /// Where it stood in an answer: `the body`, `the header x-debug`.
    pub place: String,
    /// In how many answers.
    pub answers: u64,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hunter2".into());

        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    }

    #[test]
    fn a_secret_goes_over_https_or_stays_on_this_machine() {
        let may = |text: &str| may_carry_secrets(&Url::parse(text).unwrap());

        for safe in ["https://gitlab.example.com/api/v4", "http://127.0.0.1:8080/", "http://[::1]/"] {
            assert!(may(safe), "{safe}");
        }
        for unsafe_way in [
            "http://gitlab.example.com/",
            "http://localhost/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
        ] {
            assert!(!may(unsafe_way), "{unsafe_way}");
        }
    }

    #[test]
    fn a_host_is_named_exactly_or_by_its_domain() {
        let holds = |text: &str, host: &str| SecretHost::parse(text).unwrap().holds(host, false);

        assert!(holds("a.example.com", "a.example.com") && !holds("a.example.com", "b.a.example.com"));
        assert!(holds("*.example.com", "a.b.example.com") && !holds("*.example.com", "example.com"));
        assert!(!holds("*.example.com", "evilexample.com") && !holds("localhost", "localhost"));
        assert!(SecretHost::Loopback.holds("127.0.0.1", true));
        assert!(!SecretHost::parse("a.example.com").unwrap().holds("a.example.com", true));
        for this_machine in ["localhost", "127.0.0.1", "::1", "[::1]"] {
            assert_eq!(SecretHost::parse(this_machine), Ok(SecretHost::Loopback));
        }
        assert_eq!(SecretHost::parse("10.0.0.1"), Ok(SecretHost::Exact("10.0.0.1".into())));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for hostile in [
            "",
            "*",
            "*.",
            "*a.example.com",
            "https://a.example.com",
            "a.example.com:443",
            "A.example.com",
            "com",
            "*.com",
            "a..b",
            "127.0.0.1/8",
            "a b.c",
        ] {
            assert!(SecretHost::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }
}
