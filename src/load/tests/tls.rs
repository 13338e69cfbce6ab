//! TLS: a certificate of a known root is taken, every other one is refused.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;

use super::{CLOSED, MS, OK, OutcomeClass, answer_always, classes, open_loop, scenario, serve, try_run};
use crate::guard::ClearedTarget;
use crate::target::{Origin, Scheme};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// Serves a certificate for `name` and answers every request.
    fn serve(&self, name: &str) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        serve(move |stream, _| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            answer_always(&mut stream, OK);
        })
    }
}

fn target(address: SocketAddr, host: &str, root: &[u8]) -> ClearedTarget {
    let origin = Origin { scheme: Scheme::Https, host: host.into(), port: address.port() };
    ClearedTarget::for_tests(origin, vec![address], vec![root.to_vec()])
}

#[test]
fn a_certificate_of_a_trusted_root_is_taken() {
    let authority = Authority::new();
    let address = authority.serve("pr-1.preview.test");
    let target = target(address, "pr-1.preview.test", &authority.root);

    for pacing in [CLOSED, open_loop(50.0)] {
        let measurement = try_run(&target, &scenario(pacing, 2, 200 * MS)).unwrap();

        assert_eq!(classes(&measurement), [OutcomeClass::Success]);
    }
}

#[test]
fn a_certificate_of_an_unknown_root_is_refused() {
    let address = Authority::new().serve("pr-1.preview.test");
    let target = target(address, "pr-1.preview.test", &Authority::new().root);

    let measurement = try_run(&target, &scenario(CLOSED, 1, 100 * MS)).unwrap();

    assert_eq!(classes(&measurement), [OutcomeClass::Connect]);
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let address = authority.serve("www.preview.test");
    let target = target(address, "pr-1.preview.test", &authority.root);

    let measurement = try_run(&target, &scenario(CLOSED, 1, 100 * MS)).unwrap();

    assert_eq!(classes(&measurement), [OutcomeClass::Connect]);
}

#[test]
fn a_handshake_that_stalls_is_timed_out() {
    let authority = Authority::new();
    let address = serve(|stream, _| {
        let mut byte = [0];
        while stream.peek(&mut byte).is_ok_and(|count| count > 0) {
            std::thread::sleep(MS);
        }
    });
    let mut scenario = scenario(CLOSED, 1, 250 * MS);
    scenario.profile.timeout = 80 * MS;

    let measurement = try_run(&target(address, "pr-1.preview.test", &authority.root), &scenario).unwrap();

    assert!(measurement.outcomes().count(OutcomeClass::Timeout) >= 2, "{:?}", measurement.outcomes());
}
