//! Room `guard`: decides whether a candidate may be loaded.

use std::net::SocketAddr;

use crate::target::Origin;

/// A target that may be loaded, with its pinned addresses.
#[derive(Debug, Clone)]
pub struct ClearedTarget {
    origin: Origin,
    addresses: Vec<SocketAddr>,
    trusted_roots: Vec<Vec<u8>>,
}

impl ClearedTarget {
    /// Makes a target without any check, for tests.
    #[must_use]
    pub fn for_tests(origin: Origin, addresses: Vec<SocketAddr>, trusted_roots: Vec<Vec<u8>>) -> Self {
        Self { origin, addresses, trusted_roots }
    }

    /// Returns scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the pinned addresses; there is at least one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns root certificates that are trusted besides the system's, DER-encoded.
    #[must_use]
    pub fn trusted_roots(&self) -> &[Vec<u8>] {
        &self.trusted_roots
    }
}
