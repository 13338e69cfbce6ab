//! TLS: a certificate of a known root is taken, every other one is refused; what both sides agree on is kept to.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::Builder;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    version,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::http2::{answer, over_http2};
use super::{
    CLOSED, MS, OK, OutcomeClass, answer_always, classes, classes_of_sent, open_loop, read_request, scenario,
    serve, try_run,
};
use crate::guard::ClearedTarget;
use crate::scenario::{Protocol, Scenario};
use crate::secret::Secret;
use crate::target::{ClientIdentity, Origin, Scheme};

pub(super) const NAME: &str = "pr-1.preview.test";

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) root: Vec<u8>,
}

impl Authority {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);

        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), root }
    }

    pub(super) fn sign(&self, params: &CertificateParams) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().der().clone(), key)
    }

    fn identity(&self) -> ClientIdentity {
        let (certificate, key) = self.sign(&CertificateParams::new(vec!["gate".to_owned()]).unwrap());
        ClientIdentity { certificates: vec![certificate.to_vec()], key: Secret::new(key.serialize_pem()) }
    }

    /// Returns what a server needs that has a certificate and speaks some protocols.
    pub(super) fn server(&self, params: &CertificateParams, needs: &Needs<'_>) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(params);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(needs.versions)
            .unwrap();
        let builder = match needs.clients_of {
            None => builder.with_no_client_auth(),
            Some(root) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(root.to_vec())).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = needs.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Serves a certificate for `name` and answers every request.
    pub(super) fn serve(&self, name: &str) -> SocketAddr {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        serve_http1(self.server(&params, &Needs::default()))
    }
}

/// What a server asks of its clients.
pub(super) struct Needs<'a> {
    versions: &'a [&'static SupportedProtocolVersion],
    protocols: &'a [&'a str],
    /// The root that a client's certificate must come from.
    clients_of: Option<&'a [u8]>,
}

impl Default for Needs<'_> {
    fn default() -> Self {
        Self { versions: rustls::ALL_VERSIONS, protocols: &["http/1.1"], clients_of: None }
    }
}

pub(super) fn named() -> CertificateParams {
    CertificateParams::new(vec![NAME.to_owned()]).unwrap()
}

pub(super) fn tls(config: &Arc<ServerConfig>, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
}

fn serve_http1(config: Arc<ServerConfig>) -> SocketAddr {
    serve(move |stream, _| answer_always(&mut tls(&config, stream), OK))
}

/// Serves HTTP/2 over TLS.
fn serve_http2(config: Arc<ServerConfig>) -> SocketAddr {
    serve(move |stream, _| {
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let Ok(stream) = TlsAcceptor::from(Arc::clone(&config)).accept(stream).await else { return };
            let Ok(mut connection) = Builder::new().handshake::<_, Bytes>(stream).await else { return };
            while let Some(Ok(asked)) = connection.accept().await {
                answer(asked, b"ok");
            }
        });
    })
}

pub(super) fn target(address: SocketAddr, host: &str, root: &[u8]) -> ClearedTarget {
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

        assert_eq!(classes_of_sent(&measurement), [OutcomeClass::Success]);
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

#[test]
fn what_is_opened_ahead_and_stalls_is_a_request_all_the_same() {
    const MANY: u32 = 150;
    let address = serve(|mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let count = |timeout| {
        let mut scenario = Scenario { protocol: Protocol::Http1, ..scenario(CLOSED, MANY, 250 * MS) };
        scenario.profile.timeout = timeout;
        let measurement = try_run(&target(address, NAME, &Authority::new().root), &scenario).unwrap();
        measurement.outcomes()
    };

    let (patient, impatient) = (count(5_000 * MS), count(100 * MS));

    // Nobody was answered, and nobody is missing.
    assert_eq!(
        (patient.count(OutcomeClass::Unsent), patient.total()),
        (MANY.into(), MANY.into()),
        "{patient:?}"
    );
    assert!(impatient.count(OutcomeClass::Timeout) >= MANY.into(), "{impatient:?}");
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let mut params = named();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let address = serve_http1(authority.server(&params, &Needs::default()));

    let measurement =
        try_run(&target(address, NAME, &authority.root), &scenario(CLOSED, 1, 100 * MS)).unwrap();

    assert_eq!(classes(&measurement), [OutcomeClass::Connect]);
}

#[test]
fn plain_http_on_the_port_of_tls_is_no_connection() {
    let address = serve(|mut stream, _| {
        // As real servers do: they answer what they take for a broken request.
        let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let target = target(address, NAME, &Authority::new().root);

    for scenario in [scenario(CLOSED, 1, 100 * MS), over_http2(CLOSED, 1, 2, 100 * MS)] {
        assert_eq!(classes(&try_run(&target, &scenario).unwrap()), [OutcomeClass::Connect]);
    }
}

#[test]
fn a_second_connection_resumes_the_session_of_the_first() {
    let authority = Authority::new();
    for version in [&version::TLS12, &version::TLS13] {
        let config = authority.server(&named(), &Needs { versions: &[version], ..Needs::default() });
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&kinds);
        let address = serve(move |stream, _| {
            let mut stream = tls(&config, stream);
            if read_request(&mut stream) {
                seen.lock().unwrap().push(stream.conn.handshake_kind());
                let closing = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = std::io::Write::write_all(&mut stream, closing);
                stream.conn.send_close_notify();
                let _ = stream.conn.complete_io(&mut stream.sock);
            }
        });

        try_run(&target(address, NAME, &authority.root), &scenario(CLOSED, 1, 200 * MS)).unwrap();

        let kinds = kinds.lock().unwrap();
        assert_eq!(kinds[0], Some(HandshakeKind::Full), "{version:?}");
        assert!(kinds.len() > 1, "{version:?}");
        assert!(
            kinds[1..].iter().all(|kind| *kind == Some(HandshakeKind::Resumed)),
            "{version:?}: {kinds:?}"
        );
    }
}

#[test]
fn a_server_that_demands_a_client_certificate_is_shown_one_where_there_is_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let needs = Needs { clients_of: Some(&clients.root), ..Needs::default() };
    let address = serve_http1(authority.server(&named(), &needs));
    let target = || target(address, NAME, &authority.root);
    let classes_of = |target| classes(&try_run(&target, &scenario(CLOSED, 1, 150 * MS)).unwrap());

    let shown = classes_of(target().with_identity(clients.identity()));
    let none = classes_of(target());
    let strange = classes_of(target().with_identity(Authority::new().identity()));

    assert_eq!(shown, [OutcomeClass::Success]);
    // In TLS 1.3 the server refuses when the client believes the handshake done.
    for refused in [none, strange] {
        let is_refusal = |class: &OutcomeClass| {
            matches!(class, OutcomeClass::Connect | OutcomeClass::Read | OutcomeClass::Write)
        };
        assert!(!refused.is_empty() && refused.iter().all(is_refusal), "{refused:?}");
    }
}

#[test]
fn the_server_is_asked_for_the_targets_host() {
    let authority = Authority::new();
    let config = authority.server(&named(), &Needs::default());
    let right = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&right);
    let address = serve(move |stream, _| {
        let mut stream = tls(&config, stream);
        if read_request(&mut stream) && stream.conn.server_name() == Some(NAME) {
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });

    try_run(&target(address, NAME, &authority.root), &scenario(CLOSED, 1, 50 * MS)).unwrap();

    assert!(right.load(Ordering::Relaxed) > 0);
}

#[test]
fn http2_is_spoken_where_both_sides_know_it() {
    let authority = Authority::new();
    let streams = NonZeroU32::new(3).unwrap();
    let automatic = |scenario| Scenario { protocol: Protocol::Auto { streams }, ..scenario };
    let needs = Needs { protocols: &["h2"], ..Needs::default() };
    let both = serve_http2(authority.server(&named(), &needs));
    let old = authority.serve(NAME);
    let classes_of = |address, scenario: &Scenario| {
        classes_of_sent(&try_run(&target(address, NAME, &authority.root), scenario).unwrap())
    };

    for pacing in [CLOSED, open_loop(100.0)] {
        let plain = scenario(pacing.clone(), 2, 400 * MS);
        let demanding = over_http2(pacing, 2, 3, 400 * MS);

        assert_eq!(classes_of(both, &demanding), [OutcomeClass::Success]);
        assert_eq!(classes_of(both, &automatic(plain.clone())), [OutcomeClass::Success]);
        assert_eq!(classes_of(old, &automatic(plain.clone())), [OutcomeClass::Success]);
        assert_eq!(classes_of(old, &demanding), [OutcomeClass::Connect]);
        assert_eq!(classes_of(both, &plain), [OutcomeClass::Connect]);
    }
}

#[test]
fn garbage_after_agreeing_on_http2_is_a_breach_of_protocol() {
    let authority = Authority::new();
    let config = authority.server(&named(), &Needs { protocols: &["h2"], ..Needs::default() });
    let address = serve(move |stream, _| {
        let mut stream = tls(&config, stream);
        let _ = std::io::Write::write_all(&mut stream, &[0xff; 64]);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });

    let measurement =
        try_run(&target(address, NAME, &authority.root), &over_http2(CLOSED, 1, 2, 100 * MS)).unwrap();

    assert_eq!(classes(&measurement), [OutcomeClass::Protocol]);
}
