//! TLS for load connections: one configuration a run, with the system's roots and those of the target.
//!
//! Certificates are always verified; there is no switch for it. All workers share the sessions that servers offer, so
//! a connection that is opened again resumes one, as every client's does.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::LoadError;
use super::stamp::StampedStream;
use super::stop::StopSignal;
use crate::guard::{AnswerRules, ClearedTarget};
use crate::scenario::Protocol;
use crate::target::{ClientIdentity, Scheme};

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// Servers whose sessions are remembered; a run has one, under one name.
const REMEMBERED_SERVERS: usize = 8;

/// What a TLS handshake with the target needs.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    /// The name that is asked for and that the certificate must be for.
    server_name: ServerName<'static>,
    /// What the server must go on being.
    rules: Arc<AnswerRules>,
    /// Told when it is another one.
    stop: StopSignal,
}

impl Tls {
    /// Prepares TLS for a target; `None` for plain HTTP, which then never waits for the system's roots to be read.
    pub(crate) fn prepare(
        target: &ClearedTarget,
        protocol: Protocol,
        stop: &StopSignal,
    ) -> Result<Option<Self>, LoadError> {
        let origin = target.origin();
        if origin.scheme == Scheme::Http {
            return Ok(None);
        }
        let server_name = ServerName::try_from(origin.host.clone())
            .map_err(|_| LoadError::ServerName { host: origin.host.clone() })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(LoadError::Tls)?
            .with_root_certificates(roots(target.trusted_roots())?);
        let mut config = match target.identity() {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (certificates, key) = parts(identity)?;
                builder.with_client_auth_cert(certificates, key).map_err(LoadError::Identity)?
            }
        };
        config.resumption = Resumption::in_memory_sessions(REMEMBERED_SERVERS);
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![HTTP_1.to_vec()],
            Protocol::Http2 { .. } => vec![HTTP_2.to_vec()],
            Protocol::Auto { .. } => vec![HTTP_2.to_vec(), HTTP_1.to_vec()],
        };
        Ok(Some(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name,
            rules: Arc::clone(target.answer_rules()),
            stop: stop.clone(),
        }))
    }

    /// Shakes hands over a new connection. A server that is not the one that was cleared gets no request, and ends the
    /// run.
    pub(crate) async fn shake_hands(&self, tcp: StampedStream) -> io::Result<TlsStream<StampedStream>> {
        let stream = self.connector.connect(self.server_name.clone(), tcp).await?;
        let session = stream.get_ref().1;
        // A resumed session shows no certificate: it is with whoever showed one before.
        let is_new = session.handshake_kind() != Some(HandshakeKind::Resumed);
        let shown = session.peer_certificates().and_then(<[_]>::first).filter(|_| is_new);
        match shown.and_then(|certificate| self.rules.object_to_certificate(certificate)) {
            None => Ok(stream),
            Some(objection) => {
                self.stop.revoke(objection.to_string());
                Err(io::Error::other(objection))
            }
        }
    }

    /// Returns whether this server, over TLS, has agreed on HTTP/2.
    pub(crate) fn is_http2(stream: &TlsStream<StampedStream>) -> bool {
        stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
    }
}

fn parts(
    identity: &ClientIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), LoadError> {
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes())
        .map_err(|_| LoadError::Identity(rustls::Error::General("the key is no PEM".to_owned())))?;
    Ok((identity.certificates.iter().cloned().map(CertificateDer::from).collect(), key))
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
    use crate::secret::Secret;
    use crate::target::Origin;

    fn target(scheme: Scheme, host: &str, roots: Vec<Vec<u8>>) -> ClearedTarget {
        let origin = Origin { scheme, host: host.into(), port: 8443 };
        ClearedTarget::for_tests(origin, vec![([127, 0, 0, 1], 8443).into()], roots)
    }

    fn prepare(target: &ClearedTarget) -> Result<Option<Tls>, LoadError> {
        let stop = StopSignal::new(&tokio_util::sync::CancellationToken::new());
        Tls::prepare(target, Protocol::Http1, &stop)
    }

    #[test]
    fn plain_http_needs_no_tls() {
        assert!(prepare(&target(Scheme::Http, "127.0.0.1", vec![])).unwrap().is_none());
    }

    #[test]
    fn a_root_that_is_no_certificate_stops_the_run() {
        let prepared = prepare(&target(Scheme::Https, "localhost", vec![b"junk".to_vec()]));

        assert!(matches!(prepared, Err(LoadError::RootCertificate(_))));
    }

    #[test]
    fn a_host_that_no_certificate_can_name_stops_the_run() {
        let root = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let roots = vec![root.cert.der().to_vec()];

        assert!(matches!(
            prepare(&target(Scheme::Https, "no host", roots.clone())),
            Err(LoadError::ServerName { .. })
        ));
        assert!(prepare(&target(Scheme::Https, "localhost", roots)).unwrap().is_some());
    }

    #[test]
    fn a_key_of_another_certificate_stops_the_run() {
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let with_key = |key: &rcgen::KeyPair| {
            let identity = ClientIdentity {
                certificates: vec![one.cert.der().to_vec()],
                key: Secret::new(key.serialize_pem()),
            };
            let target = target(Scheme::Https, "localhost", vec![one.cert.der().to_vec()]);
            prepare(&target.with_identity(identity))
        };

        assert!(with_key(&one.signing_key).unwrap().is_some());
        assert!(matches!(with_key(&other.signing_key), Err(LoadError::Identity(_))));
    }
}
