//! The client of every question over HTTP: it follows nothing, uses no proxy and trusts only the roots that it is given
//! and the system's.

use std::error::Error;
use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;

use crate::guard::ControlPlaneError;

/// A page of a hundred entries, or a service with two thousand tags, each told twice, is far below this.
pub(super) const MAX_BODY_BYTES: usize = 4 << 20;

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
async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|error| format!("broke off: {}", root_cause(&error)))?
    {
        if body.len() + piece.len() > MAX_BODY_BYTES {
            return Err(format!("says more than {MAX_BODY_BYTES} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Returns a client to ask `who` with.
pub(super) fn client_for(who: &str) -> Result<reqwest::Client, ControlPlaneError> {
    let cannot = |error: &(dyn Error + 'static)| failed(format!("cannot ask {who}: {}", root_cause(error)));
    client(&[]).map_err(|error| cannot(&error))?.build().map_err(|error| cannot(&error))
}

/// Asks `who` about `what` and reads the JSON of its answer; `denied` says what another status than 200 means.
pub(super) async fn read_json<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    who: &str,
    what: &str,
    denied: impl FnOnce(u16) -> ControlPlaneError,
) -> Result<T, ControlPlaneError> {
    let response = request
        .send()
        .await
        .map_err(|error| failed(format!("{who} gave no answer ({what}): {}", root_cause(&error))))?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(denied(status));
    }
    let body = body(response).await.map_err(|why| failed(format!("{who} {why} ({what})")))?;
    serde_json::from_slice(&body)
        .map_err(|error| failed(format!("the answer of {who} cannot be read ({what}): {error}")))
}

/// Returns the failure of a question that may be asked again.
pub(super) fn failed(what: String) -> ControlPlaneError {
    ControlPlaneError::Failed { what, remedy: "run again".into() }
}

/// Returns what is behind an error; the words before it name only the URL and the library's own parts.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    match error.source() {
        Some(cause) => root_cause(cause),
        None => error.to_string(),
    }
}
