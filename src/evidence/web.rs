//! The client of every question over HTTP: it follows nothing, uses no proxy and trusts only the roots that it is given
//! and the system's.

use std::error::Error;
use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

/// The system's roots, read once: it takes 6 ms of processor time, and questions are asked again while load runs.
static SYSTEM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Single system certificates that cannot be read are no reason to stop: others may be enough.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Returns what a client is built from, with extra root certificates, DER.
pub(super) fn client(trusted_roots: &[Vec<u8>]) -> Result<reqwest::ClientBuilder, rustls::Error> {
    let mut roots = SYSTEM_ROOTS.clone();
    for root in trusted_roots {
        roots.add(CertificateDer::from(root.clone()))?;
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("cargo-loadgate/", env!("CARGO_PKG_VERSION"))))
}

/// Returns the body of an answer, or says in words that fit behind the name of who answered why it cannot be had.
pub(super) async fn body(mut response: reqwest::Response, max_bytes: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|error| format!("broke off: {}", root_cause(&error)))?
    {
        if body.len() + piece.len() > max_bytes {
            return Err(format!("says more than {max_bytes} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Returns what is behind an error; the words before it name only the URL and the library's own parts.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    match error.source() {
        Some(cause) => root_cause(cause),
        None => error.to_string(),
    }
}
