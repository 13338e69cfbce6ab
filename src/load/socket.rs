//! The two system calls of an exchange, as bare as they can be.
//!
//! They are made through rustix, which needs no C library: in a program with threads that one marks each call as a
//! point of cancellation, which costs more than the checks around it. A socket that gave or took less than it could
//! is empty or full, so its readiness is cleared at once; that spares a call which only asks.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

/// Reads what is there; nothing is the end of the stream.
pub(super) fn poll_receive(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    poll_receive_with(tcp, cx, buffer, |space| receive(tcp, space))
}

/// The same with another way to read, which returns how many bytes it put into the space it is given.
pub(super) fn poll_receive_with(
    tcp: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(tcp.poll_read_ready(cx))?;
        let space = buffer.remaining();
        let result = attempt(tcp, Interest::READABLE, || {
            let count = read(buffer.initialize_unfilled())?;
            Ok((count, count > 0 && count < space))
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
            Ok(count) => {
                buffer.advance(count);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Writes as much as the socket takes; returns how much.
pub(super) fn poll_send(tcp: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_write_ready(cx))?;
        let result = attempt(tcp, Interest::WRITABLE, || {
            let count = send(tcp, bytes)?;
            Ok((count, count < bytes.len()))
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

#[cfg(unix)]
fn receive(tcp: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(tcp, space, rustix::net::RecvFlags::empty())?.0)
}

#[cfg(unix)]
fn send(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(tcp, bytes, rustix::net::SendFlags::NOSIGNAL)?)
}

#[cfg(not(unix))]
fn receive(tcp: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    tcp.try_read(space)
}

#[cfg(not(unix))]
fn send(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    tcp.try_write(bytes)
}

/// Makes one call, which returns a count and whether the socket has no more; readiness is cleared where it has not.
fn attempt(
    tcp: &TcpStream,
    interest: Interest,
    call: impl FnOnce() -> io::Result<(usize, bool)>,
) -> io::Result<usize> {
    let mut done = None;
    let tried = tcp.try_io(interest, || {
        let (count, is_exhausted) = call()?;
        done = Some(count);
        if is_exhausted { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match done {
        Some(count) => Ok(count),
        None => tried.map(|()| 0),
    }
}
