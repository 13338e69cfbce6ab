//! Waiting until a service is ready: it lives, listens on loopback alone, holds its port itself, and answers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio_util::sync::CancellationToken;

use super::POLL;
use super::error::ServiceError;
use super::output::Log;
use super::probe::{self, Answer};
use super::process::ProcessTree;
use crate::sockets;
use crate::target::ServicePlan;

/// Waits until the service is ready; returns the loopback address to use.
pub(super) fn wait(
    tree: &mut ProcessTree,
    plan: &ServicePlan,
    log: &Log,
    port: u16,
    cancel: &CancellationToken,
) -> Result<SocketAddr, ServiceError> {
    let client = probe::client()?;
    probe::block_on(async {
        let mut state = "it does not listen on its PORT".to_owned();
        let waiting = poll(tree, plan, log, port, &client, &mut state);
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(plan.ready_timeout, waiting) => outcome,
            () = cancel.cancelled() => return Err(ServiceError::Cancelled),
        };
        outcome.unwrap_or_else(|_| {
            Err(ServiceError::NotReady { after: plan.ready_timeout, state, words: log.last_words() })
        })
    })?
}

async fn poll(
    tree: &mut ProcessTree,
    plan: &ServicePlan,
    log: &Log,
    port: u16,
    client: &reqwest::Client,
    state: &mut String,
) -> Result<SocketAddr, ServiceError> {
    loop {
        if let Some(status) = tree.exit_status() {
            return Err(ServiceError::Exited { status: status.to_string(), words: log.last_words() });
        }
        for address in addresses(port)? {
            let path = plan.ready.as_deref().unwrap_or("/");
            let is_ready = match probe::ask(client, address, path).await {
                Answer::Refused => false,
                Answer::Status(200..=299) => true,
                Answer::Status(_) | Answer::Connected if plan.ready.is_none() => true,
                Answer::Status(status) => {
                    *state = format!("{path} answers {status}");
                    false
                }
                Answer::Connected => {
                    *state = format!("{path} gives no HTTP answer");
                    false
                }
            };
            if is_ready && owns_port(tree, port)? {
                return Ok(address);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Returns where to ask: where the system says that something listens, else both loopback addresses.
fn addresses(port: u16) -> Result<Vec<SocketAddr>, ServiceError> {
    let Some(listeners) = sockets::listening_on(port) else {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    };
    if let Some(open) = listeners.iter().find(|listener| !listener.address.ip().is_loopback()) {
        return Err(ServiceError::ListensBeyondLoopback { address: open.address });
    }
    let mut addresses: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
    addresses.sort();
    Ok(addresses)
}

/// Returns whether the service still listens now that something answered, and listens itself.
#[cfg(target_os = "linux")]
fn owns_port(tree: &ProcessTree, port: u16) -> Result<bool, ServiceError> {
    addresses(port)?;
    let Some(listeners) = sockets::listening_on(port) else {
        return Ok(true);
    };
    let inodes: Vec<u64> = listeners.iter().map(|listener| listener.inode).collect();
    match tree.holds_sockets(&inodes) {
        Some(false) => Err(ServiceError::PortTaken { port }),
        Some(true) | None => Ok(!inodes.is_empty()),
    }
}

#[cfg(not(target_os = "linux"))]
fn owns_port(_tree: &ProcessTree, _port: u16) -> Result<bool, ServiceError> {
    Ok(true)
}
