//! TLS for load connections: one configuration a run, with the system's roots and those of the target.
//!
//! Certificates are always verified; there is no switch for it. Only HTTP/1.1 is offered.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::LoadError;
use crate::guard::ClearedTarget;
use crate::target::Scheme;

/// What a TLS handshake with the target needs.
#[derive(Clone)]
pub(crate) struct Tls {
    /// Makes handshakes.
    pub(crate) connector: TlsConnector,
    /// The name that the certificate must be for.
    pub(crate) server_name: ServerName<'static>,
}

impl Tls {
    /// Prepares TLS for a target; `None` for plain HTTP, which then never waits for the system's roots to be read.
    pub(crate) fn prepare(target: &ClearedTarget) -> Result<Option<Self>, LoadError> {
        let origin = target.origin();
        if origin.scheme == Scheme::Http {
            return Ok(None);
        }
        let server_name = ServerName::try_from(origin.host.clone())
            .map_err(|_| LoadError::ServerName { host: origin.host.clone() })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(LoadError::Tls)?
            .with_root_certificates(roots(target.trusted_roots())?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), server_name }))
    }
}

fn roots(trusted: &[Vec<u8>]) -> Result<RootCertStore, LoadError> {
    let mut store = RootCertStore::empty();
    // Single system certificates that cannot be read are no reason to stop: others may be enough.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for root in trusted {
        store.add(CertificateDer::from(root.clone())).map_err(LoadError::RootCertificate)?;
    }
    if store.is_empty() { Err(LoadError::NoRoots) } else { Ok(store) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Origin;

    fn target(scheme: Scheme, host: &str, roots: Vec<Vec<u8>>) -> ClearedTarget {
        let origin = Origin { scheme, host: host.into(), port: 8443 };
        ClearedTarget::for_tests(origin, vec![([127, 0, 0, 1], 8443).into()], roots)
    }

    #[test]
    fn plain_http_needs_no_tls() {
        assert!(Tls::prepare(&target(Scheme::Http, "127.0.0.1", vec![])).unwrap().is_none());
    }

    #[test]
    fn a_root_that_is_no_certificate_stops_the_run() {
        let prepared = Tls::prepare(&target(Scheme::Https, "localhost", vec![b"junk".to_vec()]));

        assert!(matches!(prepared, Err(LoadError::RootCertificate(_))));
    }

    #[test]
    fn a_host_that_no_certificate_can_name_stops_the_run() {
        let root = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let roots = vec![root.cert.der().to_vec()];

        assert!(matches!(
            Tls::prepare(&target(Scheme::Https, "no host", roots.clone())),
            Err(LoadError::ServerName { .. })
        ));
        assert!(Tls::prepare(&target(Scheme::Https, "localhost", roots)).unwrap().is_some());
    }
}
