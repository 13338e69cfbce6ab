//! The port on which a service is to listen.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Returns a port of loopback that is free now.
///
/// Another process may take it before the service does; that is why its owner is checked later.
pub(super) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
