//! The bytes of a connection as the HTTP/2 library wants them: counted, looked at for what must not come, and written
//! when the outbox says so.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::outbox::Outbox;
use crate::guard::AnswerRules;
use crate::load::connection::Stream;
use crate::load::moved::Moved;
use crate::load::stop::StopSignal;

/// A stream of bytes whose traffic is counted.
pub(super) struct Counted {
    stream: Stream,
    bytes: Rc<Cell<Moved>>,
    frames: Frames,
    outbox: Rc<Outbox>,
    stop: StopSignal,
}

/// Calls a method of whichever stream it is.
macro_rules! pinned {
    ($counted:ident, $stream:ident => $call:expr) => {
        match &mut $counted.stream {
            Stream::Plain(tcp) => {
                let $stream = Pin::new(tcp);
                $call
            }
            Stream::Tls(tls) => {
                let $stream = Pin::new(tls);
                $call
            }
        }
    };
}

impl Counted {
    /// Counts what goes over a stream into `bytes`, and takes the target back where it pushes.
    pub(super) fn new(stream: Stream, bytes: Rc<Cell<Moved>>, outbox: Rc<Outbox>, stop: StopSignal) -> Self {
        Self { stream, bytes, frames: Frames::default(), outbox, stop }
    }

    fn count(&self, more: Moved) {
        let mut bytes = self.bytes.get();
        bytes += more;
        self.bytes.set(bytes);
    }

    fn count_sent(&self, bytes: usize) {
        self.count(Moved { sent: bytes as u64, received: 0 });
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(pinned!(self, stream => stream.poll_read(cx, buffer)))?;
        let received = (buffer.filled().len() - before) as u64;
        self.count(Moved { sent: 0, received });
        if self.frames.look(&buffer.filled()[before..]) {
            self.stop.revoke(AnswerRules::object_to_push().to_string());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.outbox.poll_due(cx));
        let count = ready!(pinned!(self, stream => stream.poll_write(cx, bytes)))?;
        self.count_sent(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.outbox.poll_due(cx));
        let count = ready!(pinned!(self, stream => stream.poll_write_vectored(cx, slices)))?;
        self.count_sent(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pinned!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pinned!(self, stream => stream.poll_shutdown(cx))
    }
}
