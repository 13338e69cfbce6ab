//! Asks the system for the addresses of a host, once.
//!
//! The absolute name is asked for (with its trailing dot), so that no search list can turn it into another one.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::guard::{Resolution, Resolve, ResolveError};

/// How long a name may take: glibc's own patience is 5 s for one try of one server.
const PATIENCE: Duration = Duration::from_secs(10);

/// The operating system's resolver, with a bound on its time.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames {
    patience: Duration,
}

impl Default for SystemNames {
    fn default() -> Self {
        Self { patience: PATIENCE }
    }
}

impl Resolve for SystemNames {
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError> {
        let absolute = format!("{host}.");
        let (send, receive) = mpsc::channel();
        let failed = |error: io::Error| ResolveError::NoAnswer(error.to_string());
        // The system's call cannot be interrupted; a thread that hangs in it is left behind.
        thread::Builder::new()
            .name("resolver".into())
            .spawn(move || {
                let answer = (absolute.as_str(), 0).to_socket_addrs().map(Iterator::collect);
                let _ = send.send(answer);
            })
            .map_err(failed)?;
        let found: Vec<std::net::SocketAddr> = receive
            .recv_timeout(self.patience)
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
            .map_err(failed)?;
        let addresses = found.iter().map(std::net::SocketAddr::ip).collect();
        Ok(Resolution { addresses, ..Resolution::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_without_patience_gives_up() {
        let hasty = SystemNames { patience: Duration::ZERO };

        assert!(matches!(hasty.resolve("localhost"), Err(ResolveError::NoAnswer(_))));
    }
}
