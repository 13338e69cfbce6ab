//! A cleared target is a target that every layer of the guard let pass: the only thing that load can be sent to.
//!
//! It carries the addresses that were found when it was cleared, so that nothing is resolved again, and the receipt
//! as evidence.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::answer_rules::AnswerRules;
use super::receipt::Receipt;
use crate::target::{ClientIdentity, Origin, Source};

/// A target that may receive load; only the guard makes one.
///
/// Asking the guard is the one way:
///
/// ```
/// use cargo_loadgate::context::Context;
/// use cargo_loadgate::evidence::World;
/// use cargo_loadgate::guard::{self, ClearedTarget, Inquiry, Policy, Surroundings};
/// use cargo_loadgate::target::{Candidate, Source};
///
/// let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// let inquiry = Inquiry {
///     context: Context::Desk,
///     candidates: vec![Candidate::on_loopback(Source::Local, service.local_addr().unwrap())],
///     production_facts: vec![],
///     policy: Policy::default(),
///     surroundings: Surroundings::default(),
/// };
/// let target: ClearedTarget = guard::clear(&inquiry, &World::default().outside()).unwrap();
/// assert_eq!(target.addresses().len(), 1);
/// ```
///
/// It cannot be written by hand, copied with changes or read from a file. Each of these differs from the example
/// above in one line:
///
/// ```compile_fail,E0451
/// # use cargo_loadgate::context::Context;
/// # use cargo_loadgate::evidence::World;
/// # use cargo_loadgate::guard::{self, ClearedTarget, Inquiry, Policy, Surroundings};
/// # use cargo_loadgate::target::{Candidate, Source};
/// # let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// # let inquiry = Inquiry {
/// #     context: Context::Desk,
/// #     candidates: vec![Candidate::on_loopback(Source::Local, service.local_addr().unwrap())],
/// #     production_facts: vec![],
/// #     policy: Policy::default(),
/// #     surroundings: Surroundings::default(),
/// # };
/// let target = ClearedTarget { addresses: vec![], ..guard::clear(&inquiry, &World::default().outside()).unwrap() };
/// # assert_eq!(target.addresses().len(), 1);
/// ```
///
/// ```compile_fail,E0599
/// # use cargo_loadgate::guard::ClearedTarget;
/// let target: ClearedTarget = ClearedTarget::default();
/// # assert_eq!(target.addresses().len(), 1);
/// ```
///
/// ```compile_fail,E0277
/// # use cargo_loadgate::guard::ClearedTarget;
/// let target: ClearedTarget = serde_json::from_str("{}").unwrap();
/// # assert_eq!(target.addresses().len(), 1);
/// ```
///
/// ```compile_fail,E0616
/// # use cargo_loadgate::context::Context;
/// # use cargo_loadgate::evidence::World;
/// # use cargo_loadgate::guard::{self, ClearedTarget, Inquiry, Policy, Surroundings};
/// # use cargo_loadgate::target::{Candidate, Source};
/// # let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// # let inquiry = Inquiry {
/// #     context: Context::Desk,
/// #     candidates: vec![Candidate::on_loopback(Source::Local, service.local_addr().unwrap())],
/// #     production_facts: vec![],
/// #     policy: Policy::default(),
/// #     surroundings: Surroundings::default(),
/// # };
/// # let mut target: ClearedTarget = guard::clear(&inquiry, &World::default().outside()).unwrap();
/// target.addresses.clear();
/// # assert_eq!(target.addresses().len(), 1);
/// ```
#[derive(Clone)]
pub struct ClearedTarget {
    origin: Origin,
    addresses: Vec<SocketAddr>,
    source: Source,
    zone: String,
    trusted_roots: Vec<Vec<u8>>,
    identity: Option<ClientIdentity>,
    rules: Arc<AnswerRules>,
    evidence: Receipt,
}

/// What the guard knows when every layer has let a target pass.
pub(super) struct Clearance {
    pub(super) origin: Origin,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) source: Source,
    pub(super) zone: String,
    pub(super) trusted_roots: Vec<Vec<u8>>,
    pub(super) identity: Option<ClientIdentity>,
    pub(super) rules: Arc<AnswerRules>,
    pub(super) evidence: Receipt,
}

impl ClearedTarget {
    pub(super) fn new(clearance: Clearance) -> Self {
        let Clearance { origin, addresses, source, zone, trusted_roots, identity, rules, evidence } =
            clearance;
        Self { origin, addresses, source, zone, trusted_roots, identity, rules, evidence }
    }

    /// Makes a target without asking the guard, for unit tests of those who need one.
    #[cfg(test)]
    pub(crate) fn for_tests(origin: Origin, addresses: Vec<SocketAddr>, trusted_roots: Vec<Vec<u8>>) -> Self {
        assert!(!addresses.is_empty(), "a cleared target has at least one address");
        let (source, zone, evidence) = (Source::Local, "loopback".into(), Receipt::blank());
        let rules = Arc::new(AnswerRules::new(&origin, false, vec![]));
        Self { origin, addresses, source, zone, trusted_roots, identity: None, rules, evidence }
    }

    /// Returns the same target under other rules.
    #[cfg(test)]
    pub(crate) fn with_rules(self, rules: AnswerRules) -> Self {
        Self { rules: Arc::new(rules), ..self }
    }

    /// Returns the same target, shown a client certificate.
    #[cfg(test)]
    pub(crate) fn with_identity(self, identity: ClientIdentity) -> Self {
        Self { identity: Some(identity), ..self }
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

    /// Returns who named the target.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the kind of place it is: `loopback`, or the zone that previews live in.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Returns the extra root certificates to verify it with, DER.
    #[must_use]
    pub fn trusted_roots(&self) -> &[Vec<u8>] {
        &self.trusted_roots
    }

    /// Returns what to show it where it asks for a client certificate.
    #[must_use]
    pub fn identity(&self) -> Option<&ClientIdentity> {
        self.identity.as_ref()
    }

    /// Returns what its answers must not say while load runs.
    #[must_use]
    pub fn answer_rules(&self) -> &Arc<AnswerRules> {
        &self.rules
    }

    /// Returns what the guard saw.
    #[must_use]
    pub fn evidence(&self) -> &Receipt {
        &self.evidence
    }
}

impl fmt::Debug for ClearedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClearedTarget")
            .field("origin", &self.origin)
            .field("addresses", &self.addresses)
            .field("source", &self.source)
            .field("zone", &self.zone)
            .field("trusted_roots", &self.trusted_roots.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scheme;

    #[test]
    fn debug_output_counts_certificates_instead_of_dumping_them() {
        let origin = Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 80 };
        let target =
            ClearedTarget::for_tests(origin, vec!["127.0.0.1:80".parse().unwrap()], vec![vec![0xDE, 0xAD]]);

        assert!(format!("{target:?}").contains("trusted_roots: 1"), "{target:?}");
    }
}
