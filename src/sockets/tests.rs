//! Real sockets, as both of the system's answers show them.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::process::Command;

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::*;

/// The port that the test without netlink asks about, from its parent.
const ASKED_PORT: &str = "LOADGATE_TEST_PORT";

/// Runs a program that gets `EPROTONOSUPPORT` for every netlink socket, by a seccomp filter.
const WITHOUT_NETLINK: &str = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
steps = [
    (0x20, 0, 0, 0),            # load the number of the call
    (0x15, 0, 3, number),       # `socket`, or else let it pass
    (0x20, 0, 0, 16),           # load its first argument
    (0x15, 0, 1, 16),           # AF_NETLINK, or else let it pass
    (0x06, 0, 0, 0x00050000 | 93),
    (0x06, 0, 0, 0x7FFF0000),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
for call in [(38, 1, 0, 0, 0), (22, 2, ctypes.byref(program), 0, 0)]:
    if libc.prctl(*call):
        sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"#;

fn listener(ip: IpAddr, is_v6_only: bool) -> TcpListener {
    let socket = Socket::new(Domain::for_address((ip, 0).into()), Type::STREAM, None).unwrap();
    if ip.is_ipv6() {
        socket.set_only_v6(is_v6_only).unwrap();
    }
    socket.bind(&SocketAddr::new(ip, 0).into()).unwrap();
    socket.listen(8).unwrap();
    socket.into()
}

fn one_of(listener: &TcpListener) -> ListeningSocket {
    let seen = listening_on(listener.local_addr().unwrap().port()).unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen[0]
}

#[test]
fn a_listener_is_seen_with_its_address_its_inode_and_its_user() {
    let listener = listener(Ipv4Addr::LOCALHOST.into(), false);

    let seen = one_of(&listener);

    let own = rustix::fs::fstat(&listener).unwrap();
    assert_eq!(seen.address, listener.local_addr().unwrap());
    assert_eq!((seen.inode, seen.user), (own.st_ino, rustix::process::geteuid().as_raw()));
}

#[test]
fn netlink_and_proc_tell_of_the_same_listeners() {
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
        mapped.into(),
    ] {
        let listener = listener(ip, false);
        let port = listener.local_addr().unwrap().port();

        let (netlink, proc) = (netlink::listening_on(port).unwrap(), proc_net::listening_on(port).unwrap());

        // Only netlink shows that the kernel keeps a socket at an IPv6 address to IPv6.
        let shown_by_both: Vec<_> =
            netlink.iter().map(|socket| ListeningSocket { is_v6_only: false, ..*socket }).collect();
        assert_eq!((netlink.len(), shown_by_both), (1, proc), "{ip}");
    }
}

#[test]
fn sockets_that_share_a_port_are_all_seen_even_where_one_datagram_cannot_tell_them() {
    // A message about a socket has 96 bytes at least, a datagram 32 KiB at most.
    const MANY: usize = 400;
    let first = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    first.set_reuse_port(true).unwrap();
    first.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    first.listen(8).unwrap();
    let address = first.local_addr().unwrap();
    let mut all = vec![first];
    for _ in 1..MANY {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address).unwrap();
        socket.listen(8).unwrap();
        all.push(socket);
    }

    let seen = netlink::listening_on(address.as_socket().unwrap().port()).unwrap();

    let mut inodes: Vec<u64> = seen.iter().map(|socket| socket.inode).collect();
    inodes.sort_unstable();
    inodes.dedup();
    assert_eq!(inodes.len(), MANY);
}

#[test]
fn a_connection_to_a_listener_is_no_listener() {
    let listener = listener(Ipv4Addr::LOCALHOST.into(), false);
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    let _accepted = listener.accept().unwrap();

    one_of(&listener);
}

#[test]
fn where_nobody_listens_the_list_is_empty() {
    let listener = listener(Ipv4Addr::LOCALHOST.into(), false);
    let port = listener.local_addr().unwrap().port();
    drop(listener);

    assert_eq!(listening_on(port).unwrap(), []);
}

#[test]
fn an_ipv6_wildcard_answers_for_ipv4_unless_it_was_told_not_to() {
    let both = listener(Ipv6Addr::UNSPECIFIED.into(), false);
    let only = listener(Ipv6Addr::UNSPECIFIED.into(), true);

    let (both, only) = (one_of(&both), one_of(&only));

    assert!(both.answers_at(Ipv4Addr::LOCALHOST.into()) && both.answers_at(Ipv6Addr::LOCALHOST.into()));
    assert!(!only.answers_at(Ipv4Addr::LOCALHOST.into()) && only.answers_at(Ipv6Addr::LOCALHOST.into()));
}

#[test]
fn an_address_answers_for_itself_alone_and_a_wildcard_for_all() {
    let at = |ip: IpAddr| one_of(&listener(ip, false)).answers_at(Ipv4Addr::LOCALHOST.into());

    assert!(at(Ipv4Addr::LOCALHOST.into()) && at(Ipv4Addr::UNSPECIFIED.into()));
    assert!(!at(Ipv4Addr::new(127, 0, 0, 2).into()) && !at(Ipv6Addr::LOCALHOST.into()));
}

#[test]
fn where_netlink_is_forbidden_proc_is_read() {
    let listener = listener(Ipv4Addr::LOCALHOST.into(), false);
    let port = listener.local_addr().unwrap().port();

    let child = Command::new("python3")
        .args(["-c", WITHOUT_NETLINK])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sockets::tests::asks_without_netlink", "--ignored"])
        .env(ASKED_PORT, port.to_string())
        .output();
    let Ok(child) = child else {
        assert_ne!(option_env!("CI"), Some("true"), "nothing is skipped in CI: there is no python3");
        return;
    };

    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}{child:?}");
}

#[test]
#[ignore = "`where_netlink_is_forbidden_proc_is_read` runs it under a filter"]
#[expect(clippy::disallowed_methods, reason = "the port comes from the test that runs this one")]
fn asks_without_netlink() {
    let port = std::env::var(ASKED_PORT).unwrap().parse().unwrap();

    let seen = listening_on(port).unwrap();

    assert_eq!(netlink::listening_on(port), Err(netlink::NoAnswer::System(Errno::PROTONOSUPPORT)));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen, proc_net::listening_on(port).unwrap());
}
