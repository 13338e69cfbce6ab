//! Who listens where: the free port before a start, and the sockets on it afterwards, as `/proc/net` tells them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Returns a port of loopback that is free now.
///
/// Another process may take it before the service does; that is why its owner is checked later.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    /// Where it listens; an IPv4 address that was bound through IPv6 is shown as IPv4.
    pub(super) address: SocketAddr,
    /// The number by which `/proc/PID/fd` names it.
    pub(super) inode: u64,
}

/// Lists the sockets that listen on a port; `None` where the system doesn't tell.
#[cfg(target_os = "linux")]
pub(super) fn listeners_on(port: u16) -> Option<Vec<Listener>> {
    let four = procfs::net::tcp();
    let six = procfs::net::tcp6();
    if four.is_err() && six.is_err() {
        return None;
    }
    let entries = four.into_iter().flatten().chain(six.into_iter().flatten());
    let listening = entries
        .filter(|entry| entry.state == procfs::net::TcpState::Listen && entry.local_address.port() == port);
    Some(
        listening
            .map(|entry| Listener {
                address: SocketAddr::new(entry.local_address.ip().to_canonical(), port),
                inode: entry.inode,
            })
            .collect(),
    )
}

/// Lists the sockets that listen on a port; this system doesn't tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn listeners_on(_port: u16) -> Option<Vec<Listener>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_is_seen_with_its_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();

        let seen = listeners_on(address.port()).unwrap();

        assert_eq!(seen.iter().map(|listener| listener.address).collect::<Vec<_>>(), [address]);
    }
}
