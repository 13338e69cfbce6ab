//! The beginning of an HTTP/2 connection: what we allow the server, and what it allows us.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{self, Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::failure_of;
use crate::load::connection::Failure;

/// Header fields of one answer, as much as over HTTP/1.1. The library keeps no more trailers than this and, where
/// there are four times as many, ends the connection.
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;

/// What a server may send on one stream before it hears from us; it hears at once, so it seldom waits.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same for all streams together: what one connection can make this process hold at most.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// What reads and writes a connection until its end.
pub(super) type Driver<T> = client::Connection<T, Bytes>;

/// Greets the server and waits until it has said what it allows.
///
/// Nobody knows how many streams it takes before its SETTINGS have come, so none is opened until then.
pub(super) async fn greet<T>(io: T) -> Result<(SendRequest<Bytes>, Driver<T>), Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let greeting = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .handshake::<_, Bytes>(io);
    let (requests, mut driver) = greeting.await.map_err(|error| failure_of(&error))?;
    poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(failure_of(&error))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(Failure::Read)),
        Poll::Pending if requests.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok((requests, driver))
}
