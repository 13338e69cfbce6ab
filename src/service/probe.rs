//! A probe asks over HTTP whether something on loopback answers; it is never load.
//!
//! Redirects are not followed and proxy variables are not obeyed, so that it can't leave the machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::error::ServiceError;

/// A service that is ready answers a small request within this time on any machine that can measure it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a probe met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// An HTTP response with this status.
    Status(u16),
    /// A connection, but no HTTP response.
    Connected,
    /// No connection.
    Refused,
}

/// Builds the client that every probe of one wait uses.
pub(super) fn client() -> Result<reqwest::Client, ServiceError> {
    // Probes speak plain HTTP; the configuration only keeps reqwest from looking for a process-wide provider.
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ServiceError::CannotAsk(error.to_string()))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE)
        .build()
        .map_err(|error| ServiceError::CannotAsk(error.to_string()))
}

/// Sends one GET.
pub(super) async fn ask(client: &reqwest::Client, address: SocketAddr, path: &str) -> Answer {
    match client.get(format!("http://{address}{path}")).send().await {
        Ok(response) => Answer::Status(response.status().as_u16()),
        Err(error) if error.is_connect() => Answer::Refused,
        Err(_) => Answer::Connected,
    }
}

/// Runs a future to its end on a thread of its own, so that a caller inside another runtime is no trap.
pub(super) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, ServiceError> {
    let cannot = |error: std::io::Error| ServiceError::CannotAsk(error.to_string());
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(future))
        });
        let ended = worker.map_err(cannot)?.join();
        ended
            .map_err(|_| ServiceError::CannotAsk("the asking thread ended early".to_owned()))?
            .map_err(cannot)
    })
}

/// Returns the loopback address on which something listens, IPv4 first.
pub(super) fn first_listener(port: u16) -> Result<SocketAddr, ServiceError> {
    let client = client()?;
    let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    block_on(async {
        for address in addresses.map(|ip| SocketAddr::new(ip, port)) {
            if ask(&client, address, "/").await != Answer::Refused {
                return Ok(address);
            }
        }
        Err(ServiceError::NothingListens { port })
    })?
}
