//! HTTP/2: one connection carries the requests of several lines, each on a stream of its own.
//!
//! A [`Place`] is where the connection of some lines is: it opens one when a line needs it, and another when the
//! server sends that one away. A [`Rider`] is a line's part in it. The `h2` crate speaks the protocol; one task a
//! connection drives it, so that what several lines write or receive at once costs one system call.

mod failure;
mod frames;
mod greeting;
mod outbox;
mod place;
mod prepared;
mod rider;
mod traffic;

pub(crate) use self::place::Place;
pub(crate) use self::rider::Rider;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::sync::Notify;

use self::outbox::Outbox;
use self::prepared::Prepared;
use super::engine::AbortHandle;

/// One open connection.
struct Connection {
    requests: RefCell<SendRequest<Bytes>>,
    outbox: Rc<Outbox>,
    /// Answers so far; where this stands still while a request times out, the connection is dead.
    answers: Cell<u64>,
    /// Lines that wait for a free stream.
    waiting: Cell<usize>,
    freed: Notify,
    driver: AbortHandle,
}

impl Connection {
    fn new(requests: SendRequest<Bytes>, outbox: Rc<Outbox>, driver: AbortHandle) -> Self {
        Self {
            requests: RefCell::new(requests),
            outbox,
            answers: Cell::new(0),
            waiting: Cell::new(0),
            freed: Notify::new(),
            driver,
        }
    }

    /// Returns how many more streams there may be now; `None` where there will never be another.
    fn room(&self) -> Option<usize> {
        let mut requests = self.requests.borrow_mut();
        match requests.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(_)) => None,
            Poll::Ready(Ok(())) => {
                Some(requests.current_max_send_streams().saturating_sub(self.outbox.streams()))
            }
            Poll::Pending => Some(0),
        }
    }

    /// Takes one of the streams that there is room for, unless other lines wait for all of them.
    fn take_stream(self: &Rc<Self>, room: usize) -> Option<Taken> {
        (room > self.waiting.get()).then(|| Taken::new(self))
    }

    /// Waits in line for a stream; `None` where there will never be another.
    async fn wait_for_stream(self: &Rc<Self>) -> Option<Taken> {
        self.waiting.set(self.waiting.get() + 1);
        let _waits = Waits(self);
        loop {
            self.freed.notified().await;
            match self.room()? {
                0 => {}
                _ => return Some(Taken::new(self)),
            }
        }
    }

    /// Hands a request to the driver, which writes it with what other lines send in the same moment.
    fn send(&self, prepared: &Prepared) -> Result<(ResponseFuture, Option<SendStream<Bytes>>), h2::Error> {
        self.outbox.put();
        let body = prepared.body();
        let mut requests = self.requests.borrow_mut();
        let (response, mut sending) = requests.send_request(prepared.head(), body.is_empty())?;
        if body.is_empty() {
            return Ok((response, None));
        }
        // Flow control is the library's: it holds what the server's window does not take yet.
        sending.send_data(body, true)?;
        Ok((response, Some(sending)))
    }
}

/// A stream that is somebody's, from before the request leaves until its answer has come.
struct Taken(Rc<Connection>);

impl Taken {
    fn new(connection: &Rc<Connection>) -> Self {
        connection.outbox.take_stream();
        Self(Rc::clone(connection))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.outbox.return_stream();
        // Whoever waits longest is next; a line that has just been answered must not overtake it.
        if self.0.waiting.get() > 0 {
            self.0.freed.notify_one();
        }
    }
}

impl Drop for Connection {
    /// Nobody rides any more: what the driver still wants to say is not worth waiting for a server that may be dead.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Counts a line that waits for a stream.
struct Waits<'a>(&'a Connection);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}
