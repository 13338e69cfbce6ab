//! An endpoint is who a server is by its certificate: who signed it, and for which names.
//!
//! A certificate may be renewed in the middle of a run, and one host may have several. A server with another issuer
//! *and* other names is another one.

use std::collections::BTreeSet;
use std::fmt;

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::names::cut;

/// So many names are shown; a shared edge has hundreds.
const MAX_SHOWN_NAMES: usize = 3;

/// Who signed a server's certificate, and for which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    issuer: Vec<u8>,
    names: BTreeSet<String>,
}

impl Endpoint {
    /// Reads a certificate, DER; `None` where it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let der = CertificateDer::from(certificate);
        let certificate = EndEntityCert::try_from(&der).ok()?;
        let names = certificate.valid_dns_names().map(str::to_ascii_lowercase).collect();
        Some(Self { issuer: certificate.issuer().to_vec(), names })
    }

    /// Returns whether this is another server than the one before.
    pub(super) fn is_another_than(&self, before: &Self) -> bool {
        self.issuer != before.issuer && self.names != before.names
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.names.iter().take(MAX_SHOWN_NAMES).map(|name| cut(name)).collect();
        f.write_str(&shown.join(", "))?;
        match self.names.len().saturating_sub(MAX_SHOWN_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn certificate(authority: &str, names: &[&str]) -> Endpoint {
        let mut root = CertificateParams::new(vec![]).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, authority);
        let issuer = Issuer::new(root, KeyPair::generate().unwrap());
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        Endpoint::of(params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der()).unwrap()
    }

    #[test]
    fn another_issuer_with_other_names_is_another_server() {
        let before = certificate("one", &["*.preview.shop.test"]);

        assert!(certificate("two", &["*.preview.shop.test", "www.shop.test"]).is_another_than(&before));
    }

    #[test]
    fn a_renewed_certificate_and_a_second_authority_are_not() {
        let before = certificate("one", &["*.preview.shop.test"]);

        assert!(!certificate("one", &["*.preview.shop.test"]).is_another_than(&before));
        assert!(!certificate("two", &["*.PREVIEW.shop.test"]).is_another_than(&before));
        assert!(!certificate("one", &["pr-1.preview.shop.test"]).is_another_than(&before));
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        assert_eq!(Endpoint::of(b"junk"), None);
        assert_eq!(Endpoint::of(b""), None);
    }

    #[test]
    fn many_names_are_shown_as_a_few() {
        let shown = certificate("one", &["a.test", "b.test", "c.test", "d.test", "e.test"]).to_string();

        assert_eq!(shown, "a.test, b.test, c.test and 2 more");
    }
}
