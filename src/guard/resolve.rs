//! What DNS says of a host, as plain data: the names on the way, the addresses, and the services that HTTPS records
//! announce.

use std::net::IpAddr;
use std::time::Duration;

/// Finds what DNS says of a host.
pub trait Resolve {
    /// Returns the whole answer for the absolute name; no search list, no hosts file, nothing from a cache.
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError>;
}

/// Everything that DNS says of a host. Names are in lower case, without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// The targets of the CNAME records, in the order they were followed.
    pub aliases: Vec<String>,
    /// Every IPv4 and IPv6 address.
    pub addresses: Vec<IpAddr>,
    /// What HTTPS records announce.
    pub services: Vec<ServiceBinding>,
    /// How long the addresses may be remembered: the shortest of their times to live; absent without an address.
    pub lifetime: Option<Duration>,
}

/// One HTTPS record: another place where a browser might go for the same host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceBinding {
    /// The name of the other place; absent where it is the host itself.
    pub target: Option<String>,
    /// The port of the other place; absent where it is the scheme's own.
    pub port: Option<u16>,
    /// Addresses that the record suggests.
    pub hints: Vec<IpAddr>,
}

/// Why DNS gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name is known not to exist.
    #[error("the name does not exist")]
    NoSuchName,
    /// No name server is set up.
    #[error("no name server is known: {0}")]
    NoServer(String),
    /// The servers failed, gave nonsense or were too slow.
    #[error("the name server gave no answer: {0}")]
    NoAnswer(String),
}

/// A resolver for tests that gives one answer to every question.
#[cfg(test)]
pub(crate) struct FixedResolver(pub(crate) Result<Resolution, ResolveError>);

#[cfg(test)]
impl FixedResolver {
    pub(crate) fn answering(addresses: &[&str]) -> Self {
        let read = |text: &&str| text.parse().expect("a test writes valid addresses");
        Self(Ok(Resolution { addresses: addresses.iter().map(read).collect(), ..Resolution::default() }))
    }
}

#[cfg(test)]
impl Resolve for FixedResolver {
    fn resolve(&self, _: &str) -> Result<Resolution, ResolveError> {
        self.0.clone()
    }
}
