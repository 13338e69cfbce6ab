//! Resolving asks the system for the addresses of a host, once.
//!
//! The absolute name is asked for (with its trailing dot), so that no search list can turn it into another one.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a name may take: glibc's own patience is 5 s for one try of one server.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds the addresses of a host.
pub trait Resolve {
    /// Returns every address of the host, each with the port.
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, io::Error>;
}

/// The operating system's resolver, with a bound on its time.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver {
    patience: Duration,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { patience: PATIENCE }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, io::Error> {
        let absolute = format!("{host}.");
        let (send, receive) = mpsc::channel();
        // The system's call cannot be interrupted; a thread that hangs in it is left behind.
        thread::Builder::new().name("resolver".into()).spawn(move || {
            let answer = (absolute.as_str(), port).to_socket_addrs().map(Iterator::collect);
            let _ = send.send(answer);
        })?;
        receive
            .recv_timeout(self.patience)
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
    }
}

/// A resolver for tests that gives one answer to every question.
#[cfg(test)]
pub(crate) struct FixedResolver(pub(crate) Result<Vec<std::net::IpAddr>, io::ErrorKind>);

#[cfg(test)]
impl FixedResolver {
    pub(crate) fn answering(addresses: &[&str]) -> Self {
        Self(Ok(addresses.iter().map(|text| text.parse().expect("a test writes valid addresses")).collect()))
    }
}

#[cfg(test)]
impl Resolve for FixedResolver {
    fn resolve(&self, _: &str, port: u16) -> Result<Vec<SocketAddr>, io::Error> {
        match &self.0 {
            Ok(addresses) => Ok(addresses.iter().map(|&ip| SocketAddr::new(ip, port)).collect()),
            Err(kind) => Err(io::Error::from(*kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_without_patience_gives_up() {
        let hasty = SystemResolver { patience: Duration::ZERO };

        let error = hasty.resolve("localhost", 80).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
