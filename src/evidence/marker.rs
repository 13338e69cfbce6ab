//! Asks a remote target for its marker: one request over verified TLS to a pinned address.
//!
//! No redirect is followed, no proxy is used, no other address is dialled, and no more is read than a marker can need.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{AGE, CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::tls::TlsInfo;

use super::runtime::block_on;
use super::web::{self, root_cause};
use crate::guard::{
    AskMarker, MARKER_HEADER, MARKER_PATH, MAX_MARKER_BYTES, MarkerAnswer, MarkerFailure, MarkerQuestion,
};

/// How long one question may take, handshake and all: a preview that sleeps needs a moment to wake.
const PATIENCE: Duration = Duration::from_secs(5);

/// A nonce of 128 bits is never used twice, and cannot be guessed.
const NONCE_BYTES: usize = 16;

/// Asks over HTTPS.
#[derive(Debug, Default, Clone, Copy)]
pub struct HttpMarker;

impl AskMarker for HttpMarker {
    fn ask(&self, question: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
        let no_answer = |error: &(dyn Error + 'static)| MarkerFailure::NoAnswer(root_cause(error));
        let nonce = nonce()?;
        let client = client(question)?;
        let url = format!("{}{MARKER_PATH}?nonce={nonce}", question.origin);
        block_on(async {
            match tokio::time::timeout(PATIENCE, fetch(&client, &url, question)).await {
                Ok(answer) => answer.map(|answer| MarkerAnswer { nonce, ..answer }),
                Err(_) => Err(MarkerFailure::NoAnswer(format!("not within {} s", PATIENCE.as_secs()))),
            }
        })
        .map_err(|error| no_answer(&error))?
    }
}

fn nonce() -> Result<String, MarkerFailure> {
    let mut bytes = [0; NONCE_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| MarkerFailure::NoAnswer("the system gives no random numbers".into()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn client(question: &MarkerQuestion<'_>) -> Result<reqwest::Client, MarkerFailure> {
    let unfit = |error: &(dyn Error + 'static)| MarkerFailure::Certificate(root_cause(error));
    web::client(question.trusted_roots)
        .map_err(|error| unfit(&error))?
        .https_only(true)
        .resolve_to_addrs(&question.origin.host, question.addresses)
        .pool_max_idle_per_host(0)
        .tls_info(true)
        .timeout(PATIENCE)
        .build()
        .map_err(|error| unfit(&error))
}

async fn fetch(
    client: &reqwest::Client,
    url: &str,
    question: &MarkerQuestion<'_>,
) -> Result<MarkerAnswer, MarkerFailure> {
    let mut response = client.get(url).send().await.map_err(|error| failure(&error))?;
    // The client dials what it was given; that it did is worth a look all the same.
    let is_pinned = response.remote_addr().is_some_and(|address| question.addresses.contains(&address));
    if !is_pinned {
        return Err(MarkerFailure::NoAnswer("the answer came from an address that is not pinned".into()));
    }
    let header = |name: HeaderName| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let markers: Vec<_> = response
        .headers()
        .get_all(MARKER_HEADER)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let tls = response.extensions().get::<TlsInfo>();
    let mut answer = MarkerAnswer {
        header: (!markers.is_empty()).then(|| markers.join(", ")),
        certificate: tls.and_then(TlsInfo::peer_certificate).map(<[u8]>::to_vec),
        status: response.status().as_u16(),
        content_type: header(CONTENT_TYPE),
        age: header(AGE),
        location: header(LOCATION),
        ..MarkerAnswer::default()
    };
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_MARKER_BYTES {
            return Ok(answer);
        }
        body.extend_from_slice(&chunk);
    }
    answer.body = Some(body);
    Ok(answer)
}

fn failure(error: &reqwest::Error) -> MarkerFailure {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => MarkerFailure::Certificate(why.to_string()),
        _ => MarkerFailure::NoAnswer(root_cause(error)),
    }
}

/// Finds the TLS error that is behind an error, where there is one.
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // An I/O error does not name what it holds as its source, only what is behind that.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    held.and_then(|held| tls_error(held)).or_else(|| tls_error(error.source()?))
}
