//! A carrier is how a line's requests get to the target: over a connection of its own, or as a rider on one that
//! several lines share.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::codec::Answer;
use super::connection::{Connection, Exchange, Failure, ReadSpace, open_http1};
use super::crew::{Crew, Orders};
use super::deadline::Deadline;
use super::http2::Rider;
use super::moved::Moved;
use crate::measurement::OutcomeClass;
use crate::request::Wire;

/// How a line's requests get to the target.
pub(crate) enum Carrier {
    /// HTTP/1.1: over its own connection.
    Alone(Own),
    /// HTTP/2: on a stream of a connection that others use as well.
    Rider(Box<Rider>),
}

/// The place of one connection that is nobody else's.
pub(crate) struct Own {
    orders: Arc<Orders>,
    connection: Option<Box<Connection>>,
    /// The address that the source of requests wants to begin with.
    address: Option<usize>,
    attempts: usize,
    space: ReadSpace,
}

impl Carrier {
    /// Makes the carrier of a line, without a connection.
    pub(crate) fn new(crew: &Crew, line: usize) -> Self {
        match crew.place_of(line) {
            Some(place) => Self::Rider(Box::new(Rider::new(place))),
            None => Self::Alone(Own {
                orders: Arc::clone(crew.orders()),
                connection: None,
                address: crew.address,
                attempts: line,
                space: crew.space.clone(),
            }),
        }
    }

    /// Returns whether there is an open connection.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Alone(own) => own.connection.is_some(),
            Self::Rider(rider) => rider.is_open(),
        }
    }

    /// Returns whether a request can leave at once.
    pub(crate) fn is_ready(&mut self) -> bool {
        match self {
            Self::Alone(own) => own.connection.is_some(),
            Self::Rider(rider) => rider.is_ready(),
        }
    }

    /// Waits until a request can leave.
    pub(crate) async fn get_ready(&mut self, deadline: &mut Deadline) -> Result<(), OutcomeClass> {
        match self {
            Self::Alone(own) => own.open(deadline).await,
            Self::Rider(rider) => rider.get_ready(deadline).await,
        }
    }

    /// Is ready when the server ends, breaks or abuses an idle connection; one that is shared looks after itself.
    pub(crate) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Alone(Own { connection: Some(open), .. }) => open.poll_broken(cx),
            Self::Alone(_) | Self::Rider(_) => Poll::Pending,
        }
    }

    /// Begins to send what a wire form holds, where that goes over a connection of its own.
    pub(crate) fn begin(&mut self, wire: &Wire) {
        if let Some(connection) = self.connection() {
            connection.begin(wire);
        }
    }

    /// Returns the connection that is open and nobody else's.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Alone(own) => own.connection.as_deref_mut(),
            Self::Rider(_) => None,
        }
    }

    /// Sends what is left of a wire form that was begun and reads the next answer, `index` having come.
    pub(crate) async fn exchange(&mut self, exchange: Exchange<'_>, index: usize) -> Result<Answer, Failure> {
        match self {
            Self::Alone(own) => {
                let connection = own.connection.as_mut().expect("the carrier was ready");
                connection.exchange(exchange, index).await
            }
            Self::Rider(rider) => rider.exchange(exchange, index).await,
        }
    }

    /// Returns when the last answer had come in, where the kernel says so; what others share has no such time.
    pub(crate) fn arrived_at(&self, sent_at: Instant) -> Option<Instant> {
        match self {
            Self::Alone(own) => own.connection.as_ref()?.arrived_at(sent_at),
            Self::Rider(_) => None,
        }
    }

    /// Returns the bytes sent and received since this was asked last.
    pub(crate) fn take_traffic(&mut self) -> Moved {
        match self {
            Self::Alone(own) => own.connection.as_mut().map_or(Moved::default(), |open| open.take_traffic()),
            Self::Rider(rider) => rider.take_traffic(),
        }
    }

    /// Returns whether it has answered before; one that never did may be a sign of a broken server.
    pub(crate) fn has_answered(&self) -> bool {
        match self {
            Self::Alone(own) => own.connection.as_ref().is_some_and(|open| open.has_answered),
            Self::Rider(rider) => rider.has_answered(),
        }
    }

    /// Closes a connection that is nobody else's; what others share is not closed for one's failure.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Alone(own) => own.close(),
            Self::Rider(rider) => rider.stand_back(),
        }
    }

    /// Leaves what others could use for their requests: this line has none.
    pub(crate) fn stand_back(&mut self) {
        if let Self::Rider(rider) = self {
            rider.stand_back();
        }
    }
}

impl Own {
    async fn open(&mut self, deadline: &mut Deadline) -> Result<(), OutcomeClass> {
        self.attempts += 1;
        let orders = Arc::clone(&self.orders);
        let first = self.address.unwrap_or(self.attempts - 1);
        // In the closed loop an answer's end is the next request's beginning, and only our own clock can say both.
        let is_stamped = orders.is_scheduled;
        let opening = open_http1(&orders.target, first, orders.tls.as_ref(), is_stamped, self.space.clone());
        let mut opening = std::pin::pin!(opening);
        let opened = poll_fn(|cx| match opening.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|_| OutcomeClass::Connect)),
            Poll::Pending => deadline.poll(cx).map(|()| Err(OutcomeClass::Timeout)),
        });
        self.connection = Some(Box::new(opened.await?));
        orders.open_connections.opened();
        Ok(())
    }

    fn close(&mut self) {
        if self.connection.take().is_some() {
            self.orders.open_connections.closed();
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.close();
    }
}
