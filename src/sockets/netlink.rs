//! Asks the kernel for its listening sockets over netlink (`NETLINK_SOCK_DIAG`); it goes through the table of those
//! alone, however many connections there are.
//!
//! Whatever is not one whole and orderly answer is an error, never a shorter list.

use std::net::SocketAddr;
use std::time::Duration;

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::{AF_INET, AF_INET6, IPPROTO_TCP, SockDiagMessage, TCP_LISTEN};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, sendto, socket_with,
};

use super::ListeningSocket;
use crate::clock;

/// The kernel answers while it is read from; this only keeps what is odd from lasting for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// The kernel writes a dump in datagrams of at most so many bytes (`netlink_dump` in `net/netlink/af_netlink.c`).
const MAX_DATAGRAM: usize = 32 * 1024;

/// A list that changes while it is told is asked for so often.
const MAX_ATTEMPTS: u32 = 3;

/// The port id of the kernel; that of a process is another.
const KERNEL: u32 = 0;

/// Every question has a socket of its own, so that one number does for all.
const QUESTION: u32 = 1;

/// Netlink messages begin at multiples of so many bytes (`NLMSG_ALIGNTO`).
const ALIGNMENT: usize = 4;

/// Why there is no answer that can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The kernel has no such sockets, a filter forbids them, or it is too slow.
    #[error("netlink cannot be asked: {0}")]
    System(#[from] Errno),
    /// The kernel answers with an error, by its number: without what knows TCP (`tcp_diag`) it can't tell.
    #[error("netlink refuses to answer: error {0}")]
    Refused(i32),
    /// The list changed while it was told.
    #[error("netlink's answer was interrupted")]
    Interrupted,
    /// An answer that is cut off, or is none to this question.
    #[error("netlink's answer cannot be read")]
    Unreadable,
}

impl From<DecodeError> for NoAnswer {
    fn from(_: DecodeError) -> Self {
        Self::Unreadable
    }
}

/// What the kernel has said so far.
#[derive(Debug, Default)]
struct Answer {
    sockets: Vec<ListeningSocket>,
    is_whole: bool,
    is_interrupted: bool,
}

/// Lists the sockets that listen on a port.
pub(super) fn listening_on(port: u16) -> Result<Vec<ListeningSocket>, NoAnswer> {
    let mut sockets = Vec::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        sockets.extend(ask_until_whole(family, SocketId { source_port: port, ..socket_id })?);
    }
    // The kernel was asked for this port alone; a sandbox's kernel might not know that filter.
    sockets.retain(|socket| socket.address.port() == port);
    Ok(sockets)
}

fn ask_until_whole(family: u8, socket_id: SocketId) -> Result<Vec<ListeningSocket>, NoAnswer> {
    let question = question(family, socket_id);
    for _ in 0..MAX_ATTEMPTS {
        match ask(&question) {
            Err(NoAnswer::Interrupted) => {}
            answered => return answered,
        }
    }
    Err(NoAnswer::Interrupted)
}

fn question(family: u8, socket_id: SocketId) -> Vec<u8> {
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = QUESTION;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn ask(question: &[u8]) -> Result<Vec<ListeningSocket>, NoAnswer> {
    let deadline = clock::monotonic() + PATIENCE;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    sendto(&socket, question, SendFlags::empty(), &SocketAddrNetlink::new(KERNEL, 0))?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut answer = Answer::default();
    while !answer.is_whole {
        if clock::monotonic() > deadline {
            return Err(Errno::TIMEDOUT.into());
        }
        let (_, length, sender) =
            retry_on_intr(|| recvfrom(&socket, buffer.as_mut_slice(), RecvFlags::TRUNC))?;
        // Processes may write to this socket as well.
        if sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok()).map(|sender| sender.pid())
            == Some(KERNEL)
        {
            // A datagram that was longer than the buffer has lost its end.
            read(buffer.get(..length).ok_or(NoAnswer::Unreadable)?, &mut answer)?;
        }
    }
    if answer.is_interrupted { Err(NoAnswer::Interrupted) } else { Ok(answer.sockets) }
}

/// Reads the messages of one datagram.
fn read(datagram: &[u8], answer: &mut Answer) -> Result<(), NoAnswer> {
    let mut rest = datagram;
    while !rest.is_empty() && !answer.is_whole {
        let (header, payload) = NetlinkMessage::<SockDiagMessage>::deserialize(rest)?.into_parts();
        if header.sequence_number != QUESTION {
            return Err(NoAnswer::Unreadable);
        }
        answer.is_interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        match payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                answer.sockets.extend(listening(&response));
            }
            // A list that failed ends like any other, but for a code.
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(NoAnswer::Refused(done.code.saturating_neg()));
            }
            NetlinkPayload::Done(_) => answer.is_whole = true,
            NetlinkPayload::Error(error) => {
                return Err(NoAnswer::Refused(error.raw_code().saturating_neg()));
            }
            NetlinkPayload::Noop => {}
            _ => return Err(NoAnswer::Unreadable),
        }
        let length = usize::try_from(header.length).map_err(|_| NoAnswer::Unreadable)?;
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    }
    Ok(())
}

fn listening(response: &InetResponse) -> Option<ListeningSocket> {
    let header = &response.header;
    (header.state == TCP_LISTEN).then(|| ListeningSocket {
        address: SocketAddr::new(
            header.socket_id.source_address.to_canonical(),
            header.socket_id.source_port,
        ),
        is_v6_only: response.nlas.contains(&Nla::SkV6Only(true)),
        inode: header.inode.into(),
        user: header.uid,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use netlink_packet_core::{DoneMessage, ErrorMessage, NetlinkDeserializable, NetlinkSerializable};
    use netlink_packet_sock_diag::TCP_ESTABLISHED;
    use netlink_packet_sock_diag::inet::InetResponseHeader;
    use proptest::prelude::*;

    use super::*;

    const SOCKET: ListeningSocket = ListeningSocket {
        address: SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080),
        is_v6_only: true,
        inode: 77,
        user: 1000,
    };

    fn response(state: u8) -> NetlinkPayload<SockDiagMessage> {
        let socket_id = SocketId {
            source_port: SOCKET.address.port(),
            source_address: SOCKET.address.ip(),
            ..SocketId::new_v6()
        };
        let header = InetResponseHeader {
            family: AF_INET6,
            state,
            timer: None,
            socket_id,
            recv_queue: 0,
            send_queue: 128,
            uid: SOCKET.user,
            inode: 77,
        };
        let nlas = [Nla::Shutdown(0), Nla::SkV6Only(true)].into_iter().collect();
        SockDiagMessage::InetResponse(Box::new(InetResponse { header, nlas })).into()
    }

    fn done(code: i32) -> NetlinkPayload<SockDiagMessage> {
        let mut message = DoneMessage::default();
        message.code = code;
        NetlinkPayload::Done(message)
    }

    fn message(flags: u16, payload: NetlinkPayload<SockDiagMessage>) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = QUESTION;
        serialised(NetlinkMessage::new(header, payload))
    }

    fn serialised<I: NetlinkSerializable + NetlinkDeserializable>(mut message: NetlinkMessage<I>) -> Vec<u8> {
        message.finalize();
        let mut bytes = vec![0; message.buffer_len().next_multiple_of(ALIGNMENT)];
        message.serialize(&mut bytes);
        bytes
    }

    fn answer_to(datagrams: &[Vec<u8>]) -> Result<Answer, NoAnswer> {
        let mut answer = Answer::default();
        datagrams.iter().try_for_each(|datagram| read(datagram, &mut answer))?;
        Ok(answer)
    }

    #[test]
    fn an_answer_may_come_in_several_datagrams_and_messages() {
        let listening = message(0, response(TCP_LISTEN));
        let two = [listening.clone(), listening.clone()].concat();
        let end = [listening, message(0, done(0))].concat();

        let answer = answer_to(&[two, end]).unwrap();

        assert_eq!((answer.sockets, answer.is_whole), (vec![SOCKET; 3], true));
    }

    #[test]
    fn a_list_is_not_whole_before_its_end_is_said() {
        assert!(!answer_to(&[message(0, response(TCP_LISTEN))]).unwrap().is_whole);
    }

    #[test]
    fn a_connection_does_not_listen() {
        assert_eq!(answer_to(&[message(0, response(TCP_ESTABLISHED))]).unwrap().sockets, []);
    }

    #[test]
    fn an_interrupted_list_is_known_as_such_by_any_of_its_messages() {
        for (first, last) in [(NLM_F_DUMP_INTR, 0), (0, NLM_F_DUMP_INTR)] {
            let answer = answer_to(&[message(first, response(TCP_LISTEN)), message(last, done(0))]).unwrap();

            assert!(answer.is_interrupted);
        }
    }

    #[test]
    fn a_list_that_ends_in_an_error_is_none() {
        let mut error = ErrorMessage::default();
        error.code = std::num::NonZeroI32::new(-95);
        for refused in [message(0, done(-95)), message(0, NetlinkPayload::Error(error))] {
            let said = answer_to(&[message(0, response(TCP_LISTEN)), refused]).unwrap_err();

            assert_eq!(said, NoAnswer::Refused(95));
        }
    }

    #[test]
    fn an_error_of_no_number_that_exists_is_an_error_as_well() {
        for code in [i32::MIN, -4096, -1] {
            assert!(matches!(answer_to(&[message(0, done(code))]), Err(NoAnswer::Refused(_))), "{code}");
        }
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let other = serialised(NetlinkMessage::new(NetlinkHeader::default(), response(TCP_LISTEN)));

        assert_eq!(answer_to(&[other]).unwrap_err(), NoAnswer::Unreadable);
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_is_never_a_shorter_list() {
        let whole = [message(0, response(TCP_LISTEN)), message(0, done(0))].concat();

        for length in 0..whole.len() {
            let said = answer_to(&[whole[..length].to_vec()]);

            assert!(!said.is_ok_and(|answer| answer.is_whole), "cut to {length} of {}", whole.len());
        }
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mut payload = response(TCP_LISTEN);
        if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = &mut payload {
            response.header.socket_id.source_address = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        }

        let answer = answer_to(&[message(0, payload)]).unwrap();

        assert_eq!(answer.sockets[0].address, (Ipv4Addr::LOCALHOST, 8080).into());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_reason_to_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = answer_to(&[bytes]);
        }

        #[test]
        fn no_change_of_an_answer_is_a_reason_to_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
        ) {
            let mut bytes = [message(0, response(TCP_LISTEN)), message(0, done(0))].concat();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = answer_to(&[bytes]);
        }
    }
}
