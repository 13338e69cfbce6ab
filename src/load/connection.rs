//! A connection carries one request after the other to the cleared target.
//!
//! [`open`] is the one function of the program that opens sockets for load. An exchange costs two system calls: the
//! request is written right behind the last answer, and tokio clears a socket's readiness after a partial read, so
//! the next read waits for the poller instead of asking the socket in vain.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};
use tokio_rustls::client::TlsStream;

use super::codec::{Answer, Decoder};
use super::tls::Tls;
use crate::guard::ClearedTarget;

/// What one read takes at most: a usual answer in one piece, 50 connections in less than a megabyte.
const BUFFER_BYTES: usize = 16 * 1024;

/// Why an exchange gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request could not be written.
    Write,
    /// The connection broke or ended before the answer was complete.
    Read,
    /// The answer was not HTTP, or bytes followed it that nobody asked for.
    Protocol,
    /// The deadline passed.
    Timeout,
}

/// One open connection to the target.
pub(crate) struct Connection {
    stream: Stream,
    buffer: Box<[u8]>,
    decoder: Decoder,
    /// Whether it has carried an answer; one that never did may be a sign of a broken server.
    pub(crate) has_answered: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens a connection to one of the target's pinned addresses; `attempt` goes round them.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one opener of load sockets; the target is cleared"
)]
pub(crate) async fn open(
    target: &ClearedTarget,
    attempt: usize,
    tls: Option<&Tls>,
    answers_head: bool,
) -> io::Result<Connection> {
    let addresses = target.addresses();
    let address = addresses.get(attempt % addresses.len().max(1)).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let stream = match tls {
        None => Stream::Plain(tcp),
        Some(tls) => Stream::Tls(Box::new(tls.connector.connect(tls.server_name.clone(), tcp).await?)),
    };
    let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
    Ok(Connection { stream, buffer, decoder: Decoder::new(answers_head), has_answered: false })
}

impl Connection {
    /// Sends a request and reads its answer. After a failure, or an answer that does not keep the connection alive,
    /// the connection must be dropped.
    pub(crate) async fn exchange(&mut self, wire: &[u8], deadline: &mut Deadline) -> Result<Answer, Failure> {
        self.send(wire, deadline).await?;
        loop {
            let count = self.receive(deadline).await?;
            if count == 0 {
                return self.decoder.finish().ok_or(Failure::Read);
            }
            match self.decoder.feed(&self.buffer[..count]) {
                Ok(None) => {}
                Ok(Some(answer)) if answer.leftover == 0 => {
                    self.has_answered = true;
                    return Ok(answer);
                }
                Ok(Some(_)) | Err(_) => return Err(Failure::Protocol),
            }
        }
    }

    /// Is ready when the server ends, breaks or abuses the connection between requests.
    pub(crate) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_read(cx, &mut self.buffer).map(|_| ())
    }

    async fn send(&mut self, wire: &[u8], deadline: &mut Deadline) -> Result<(), Failure> {
        let mut written = 0;
        poll_fn(|cx| match self.stream.poll_write_all(cx, wire, &mut written) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| Failure::Write)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(Failure::Timeout)),
        })
        .await
    }

    async fn receive(&mut self, deadline: &mut Deadline) -> Result<usize, Failure> {
        poll_fn(|cx| match self.stream.poll_read(cx, &mut self.buffer) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| Failure::Read)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(Failure::Timeout)),
        })
        .await
    }
}

impl Stream {
    /// Reads what is there; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let result = match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, &mut buffer),
        };
        match ready!(result) {
            Ok(()) => Poll::Ready(Ok(buffer.filled().len())),
            // Many servers end TLS without saying so; whether the answer was complete is for the codec to decide.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while *written < bytes.len() {
            let count = ready!(match self {
                Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, &bytes[*written..]),
                Self::Tls(tls) => Pin::new(tls).poll_write(cx, &bytes[*written..]),
            })?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += count;
        }
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }
}

/// The instant by which a request must be answered.
///
/// One timer a connection serves all its requests. It is armed again only when it has run out, about once a time-out,
/// because arming costs more than all other bookkeeping of a request. It must be used by one task only.
pub(crate) struct Deadline {
    sleep: Pin<Box<Sleep>>,
    timeout: Duration,
    expires_at: Instant,
    is_registered: bool,
}

impl Deadline {
    /// Makes a deadline that has not been started.
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(now.into())), timeout, expires_at: now, is_registered: false }
    }

    /// Starts the time of one request.
    pub(crate) fn start(&mut self, now: Instant) {
        self.expires_at = now + self.timeout;
    }

    /// Is ready when the deadline has passed; asked whenever the awaited thing is pending.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The timer knows this task from an earlier wait and will wake it.
        if self.is_registered && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline().into_std() >= self.expires_at {
                self.is_registered = false;
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.expires_at.into());
        }
        self.is_registered = true;
        Poll::Pending
    }
}
