//! Reads the listening sockets from `/proc/net/tcp` and `/proc/net/tcp6`, for which the kernel goes through all its
//! sockets: dear on a machine with many connections.

use std::net::SocketAddr;

use procfs::net::TcpState;

use super::ListeningSocket;

/// Lists the sockets that listen on a port; `None` where neither file can be read.
pub(super) fn listening_on(port: u16) -> Option<Vec<ListeningSocket>> {
    let (four, six) = (procfs::net::tcp(), procfs::net::tcp6());
    if four.is_err() && six.is_err() {
        return None;
    }
    let entries = four.into_iter().flatten().chain(six.into_iter().flatten());
    let listening =
        entries.filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port);
    Some(
        listening
            .map(|entry| ListeningSocket {
                address: SocketAddr::new(entry.local_address.ip().to_canonical(), port),
                is_v6_only: false,
                inode: entry.inode,
                user: entry.uid,
            })
            .collect(),
    )
}
