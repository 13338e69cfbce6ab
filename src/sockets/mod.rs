//! Which TCP sockets of this machine listen: the guard's evidence and `[service]` ask it here.
//!
//! Linux tells it over netlink, and in `/proc/net` where netlink can't be had (gVisor, a seccomp filter). Other systems
//! don't tell. What is seen is this network namespace; the process that holds a socket is a question for others.

#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod proc_net;

#[cfg(target_os = "linux")]
use std::net::IpAddr;
use std::net::SocketAddr;

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "other systems don't tell"))]
pub(crate) struct ListeningSocket {
    /// Where it listens; an IPv4 address that was bound through IPv6 is shown as IPv4.
    pub(crate) address: SocketAddr,
    /// Whether it was told to leave IPv4 alone (`IPV6_V6ONLY`); `/proc/net` doesn't show it, and then it is `false`.
    pub(crate) is_v6_only: bool,
    /// The number by which `/proc/PID/fd` names it.
    pub(crate) inode: u64,
    /// The user that opened it.
    pub(crate) user: u32,
}

#[cfg(target_os = "linux")]
impl ListeningSocket {
    /// Returns whether what is sent to an address on its port may come to this socket.
    pub(crate) fn answers_at(&self, ip: IpAddr) -> bool {
        let own = self.address.ip();
        own == ip || own.is_unspecified() && !(self.is_v6_only && ip.is_ipv4())
    }
}

/// Lists the sockets that listen on a port; `None` where the system doesn't tell.
#[cfg(target_os = "linux")]
pub(crate) fn listening_on(port: u16) -> Option<Vec<ListeningSocket>> {
    // Whatever is wrong with the one answer, the other is complete by itself.
    netlink::listening_on(port).ok().or_else(|| proc_net::listening_on(port))
}

/// Lists the sockets that listen on a port; this system doesn't tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn listening_on(_port: u16) -> Option<Vec<ListeningSocket>> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
