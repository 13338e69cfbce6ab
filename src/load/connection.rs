//! A connection carries one request after the other to the cleared target.
//!
//! [`open`] is the one function of the program that opens sockets for load. An exchange costs two system calls: the
//! request is written right behind the last answer, and a socket that gave less than it was asked for
//! counts as empty, so the next read waits for the poller instead of asking the socket in vain.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::codec::{Answer, Decoder};
use super::deadline::Deadline;
use super::engine::TcpStream;
use super::moved::Moved;
use super::stamp::StampedStream;
use super::tls::Tls;
use super::witness::Witness;
use crate::guard::ClearedTarget;
use crate::measurement::OutcomeClass;
use crate::request::{Interest, Wire};

/// What one read takes at most: a usual answer in one piece.
const SPACE_BYTES: usize = 16 * 1024;

/// Where all connections of a worker read into, one at a time: it stays in the processor's nearest cache, and ten
/// thousand connections need no more memory for it than one.
#[derive(Clone)]
pub(crate) struct ReadSpace(Rc<RefCell<Box<[u8]>>>);

impl ReadSpace {
    /// Makes the space of one worker.
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(vec![0; SPACE_BYTES].into_boxed_slice())))
    }
}

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

impl Failure {
    /// Returns the class that a request with this failure counts under.
    pub(crate) fn class(self) -> OutcomeClass {
        match self {
            Self::Write => OutcomeClass::Write,
            Self::Read => OutcomeClass::Read,
            Self::Protocol => OutcomeClass::Protocol,
            Self::Timeout => OutcomeClass::Timeout,
        }
    }
}

/// One open connection to the target.
pub(crate) struct Connection {
    stream: Stream,
    space: ReadSpace,
    /// What was read and is left to the next exchange, such as the next of several answers.
    kept: Vec<u8>,
    /// The part of it that is not yet decoded.
    undecoded: Range<usize>,
    decoder: Decoder,
    sending: Sending,
    /// Answers that are still to come for what was sent.
    awaited: usize,
    /// Bytes sent and received so far.
    traffic: Moved,
    /// Whether it has carried an answer; one that never did may be a sign of a broken server.
    pub(crate) has_answered: bool,
}

/// How far the sending of what an exchange sends is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// So many bytes were taken; not all, or TLS still holds some back.
    Under(usize),
    /// All of it left.
    Done,
    /// It failed; an answer may come all the same.
    Broken,
}

/// The bytes of a connection, whatever is said over it.
pub(crate) enum Stream {
    /// As they are.
    Plain(StampedStream),
    /// Encrypted, to a server whose certificate was verified.
    Tls(Box<TlsStream<StampedStream>>),
}

/// Opens a stream to one of the target's pinned addresses; `attempt` says with which to begin.
pub(crate) async fn open(target: &ClearedTarget, attempt: usize, tls: Option<&Tls>) -> io::Result<Stream> {
    let tcp = connect(target, attempt).await?;
    tcp.socket().set_nodelay(true)?;
    let tcp = StampedStream::new(tcp);
    Ok(match tls {
        None => Stream::Plain(tcp),
        Some(tls) => Stream::Tls(Box::new(tls.shake_hands(tcp).await?)),
    })
}

/// Opens a connection for HTTP/1.1; `is_stamped` says whether the kernel is asked when answers come in.
pub(crate) async fn open_http1(
    target: &ClearedTarget,
    attempt: usize,
    tls: Option<&Tls>,
    is_stamped: bool,
    space: ReadSpace,
) -> io::Result<Connection> {
    let mut stream = open(target, attempt, tls).await?;
    if is_stamped {
        stream.tcp_mut().ask_for_stamps();
    }
    Ok(Connection {
        stream,
        space,
        kept: Vec::new(),
        undecoded: 0..0,
        decoder: Decoder::new(),
        sending: Sending::Done,
        awaited: 0,
        traffic: Moved::default(),
        has_answered: false,
    })
}

/// Connects to the first address that takes it, as every client does: a machine without IPv6 is given IPv6 addresses
/// all the same.
#[expect(clippy::disallowed_methods, reason = "this is where load sockets are opened; the target is cleared")]
async fn connect(target: &ClearedTarget, attempt: usize) -> io::Result<TcpStream> {
    let addresses = target.addresses();
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for turn in 0..addresses.len() {
        match TcpStream::connect(addresses[(attempt + turn) % addresses.len()]).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// What one exchange needs beside the connection.
pub(crate) struct Exchange<'a> {
    /// What is sent.
    pub(crate) wire: &'a Wire,
    /// What somebody wants to see of the answers.
    pub(crate) interest: Interest,
    /// Who sees it.
    pub(crate) witness: &'a mut Witness,
    /// By when an answer must have come.
    pub(crate) deadline: &'a mut Deadline,
}

impl Connection {
    /// Begins to send what a wire form holds.
    pub(crate) fn begin(&mut self, wire: &Wire) {
        self.awaited = wire.requests();
        self.sending = Sending::Under(0);
        self.traffic.sent += wire.bytes().len() as u64;
    }

    /// Sends what is left of a wire form and reads its next answer, `index` answers having been read. After a failure,
    /// or an answer that does not keep the connection alive, the connection must be dropped.
    pub(crate) fn exchange(
        &mut self,
        exchange: Exchange<'_>,
        index: usize,
    ) -> impl Future<Output = Result<Answer, Failure>> {
        let Exchange { wire, interest, witness, deadline } = exchange;
        self.decoder.expect(wire.is_head(index));
        witness.begin(interest);
        poll_fn(|cx| match self.poll_exchange(cx, wire.bytes(), witness) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => deadline.poll(cx).map(|()| Err(Failure::Timeout)),
        })
    }

    /// Returns whether the last answer was like the one before, so that [`Self::poll_same_again`] is worth trying.
    pub(crate) fn is_repetitive(&self) -> bool {
        self.decoder.is_repetitive()
    }

    /// Sends what is left of a request and reads an answer that says the same as the last one, which was good and held
    /// nothing that anybody wanted to see; is `false` where something is different, which [`Self::exchange`] then finds.
    pub(crate) fn poll_same_again(&mut self, cx: &mut Context<'_>, wire: &[u8]) -> Poll<bool> {
        self.poll_sending(cx, wire);
        if self.sending != Sending::Done || !self.undecoded.is_empty() {
            return Poll::Ready(false);
        }
        let space = Rc::clone(&self.space.0);
        let mut space = space.borrow_mut();
        // A connection that has ended or is broken says so to whoever reads next as well.
        let count = ready!(self.stream.poll_read(cx, &mut space)).unwrap_or_default();
        self.traffic.received += count as u64;
        if self.decoder.is_same_again(&space[..count]) {
            return Poll::Ready(true);
        }
        self.keep(&space[..count]);
        Poll::Ready(false)
    }

    /// Is ready when the server ends, breaks or abuses the connection between requests.
    pub(crate) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_read(cx, &mut self.space.0.borrow_mut()).map(|_| ())
    }

    /// Returns when the last byte that was read had come in, where the kernel says so; not before `sent_at`.
    pub(crate) fn arrived_at(&self, sent_at: Instant) -> Option<Instant> {
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        };
        tcp.arrived_at(sent_at)
    }

    /// Returns the bytes sent and received since this was asked last.
    pub(crate) fn take_traffic(&mut self) -> Moved {
        std::mem::take(&mut self.traffic)
    }

    /// Sends what is left to send, and reads an answer.
    ///
    /// A server may answer and stop reading, or write while it reads: without reading meanwhile, both would wait.
    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        wire: &[u8],
        witness: &mut Witness,
    ) -> Poll<Result<Answer, Failure>> {
        self.poll_sending(cx, wire);
        let result = ready!(self.poll_answer(cx, witness));
        Poll::Ready(match self.sending {
            Sending::Done => result,
            // The rest of the request was never sent, so no other can follow it.
            _ if result.is_ok() => result.map(|answer| Answer { keeps_alive: false, ..answer }),
            Sending::Broken => Err(Failure::Write),
            Sending::Under(_) => result,
        })
    }

    /// Sends what is left to send, as far as the socket takes it.
    fn poll_sending(&mut self, cx: &mut Context<'_>, wire: &[u8]) {
        if let Sending::Under(mut written) = self.sending {
            self.sending = match self.stream.poll_write_all(cx, wire, &mut written) {
                Poll::Ready(Ok(())) => Sending::Done,
                Poll::Ready(Err(_)) => Sending::Broken,
                Poll::Pending => Sending::Under(written),
            };
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, witness: &mut Witness) -> Poll<Result<Answer, Failure>> {
        if !self.undecoded.is_empty() {
            let kept = &self.kept[self.undecoded.clone()];
            let fed = self.decoder.feed(kept, witness).map_err(|_| Failure::Protocol)?;
            self.undecoded.start = self.undecoded.end - fed.map_or(0, |answer| answer.leftover);
            if let Some(answer) = fed {
                return Poll::Ready(self.complete(answer));
            }
        }
        let space = Rc::clone(&self.space.0);
        let mut space = space.borrow_mut();
        loop {
            let count = ready!(self.stream.poll_read(cx, &mut space)).map_err(|_| Failure::Read)?;
            self.traffic.received += count as u64;
            if count == 0 {
                let answer = self.decoder.finish().ok_or(Failure::Read)?;
                return Poll::Ready(self.complete(answer));
            }
            let fed = self.decoder.feed(&space[..count], witness).map_err(|_| Failure::Protocol)?;
            if let Some(answer) = fed {
                self.keep(&space[count - answer.leftover..count]);
                return Poll::Ready(self.complete(answer));
            }
        }
    }

    /// Keeps what was read and is not decoded, such as what lies behind an answer, until somebody awaits it.
    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.kept.clear();
            self.kept.extend_from_slice(bytes);
            self.undecoded = 0..bytes.len();
        }
    }

    fn complete(&mut self, answer: Answer) -> Result<Answer, Failure> {
        self.awaited = self.awaited.saturating_sub(1);
        // Bytes behind the last answer are some that nobody asked for.
        if self.awaited == 0 && !self.undecoded.is_empty() {
            return Err(Failure::Protocol);
        }
        self.has_answered = true;
        Ok(answer)
    }
}

impl Stream {
    fn tcp_mut(&mut self) -> &mut StampedStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_mut().0,
        }
    }

    /// Returns whether TLS has agreed on HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Tls(tls) if Tls::is_http2(tls))
    }

    /// Reads what is there; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let tls = match self {
            Self::Plain(tcp) => return tcp.poll_receive(cx, buffer),
            Self::Tls(tls) => tls,
        };
        let mut buffer = ReadBuf::new(buffer);
        match ready!(Pin::new(tls).poll_read(cx, &mut buffer)) {
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
                Self::Plain(tcp) => tcp.poll_send(cx, &bytes[*written..]),
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
