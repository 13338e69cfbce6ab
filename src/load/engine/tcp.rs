//! A TCP stream on the engine: each exchange costs the two system calls that it cannot do without.
//!
//! On Linux they are made through rustix, which needs no C library: in a program with threads that one marks each call as a
//! point of cancellation, which costs more than the checks around it. A socket that gave or took less than it could
//! is empty or full, so it counts as not ready at once; that spares a call which only asks.

use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::reactor::{Reactor, Readiness};
use super::{defer, with_current};

/// A connection whose readiness the engine of its thread knows.
pub(crate) struct TcpStream {
    socket: mio::net::TcpStream,
    readiness: Rc<Readiness>,
    reactor: Rc<Reactor>,
}

impl TcpStream {
    /// Connects to an address.
    #[expect(clippy::disallowed_methods, reason = "whoever calls this has a cleared target; see clippy.toml")]
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = Self::watched(mio::net::TcpStream::connect(address)?)?;
        // A socket that is being connected can be written to when that has ended, either way.
        poll_fn(|cx| stream.readiness.poll_write(cx)).await;
        match stream.socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    fn watched(mut socket: mio::net::TcpStream) -> io::Result<Self> {
        let reactor = with_current(|core| Rc::clone(&core.reactor));
        let readiness = reactor.watch(&mut socket)?;
        Ok(Self { socket, readiness, reactor })
    }

    /// Returns the socket, to be asked for its properties.
    pub(crate) fn socket(&self) -> &mio::net::TcpStream {
        &self.socket
    }

    /// Reads what is there; nothing is the end of the stream.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_receive_with(cx, space, receive)
    }

    /// The same with another way to read, which returns how many bytes it put into the space it is given.
    pub(crate) fn poll_receive_with(
        &self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        mut read: impl FnMut(&mio::net::TcpStream, &mut [u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.readiness.poll_read(cx));
            if !self.reactor.take_read() {
                defer(cx.waker());
                return Poll::Pending;
            }
            match read(&self.socket, space) {
                Ok(count) => {
                    if count > 0 && count < space.len() {
                        self.readiness.is_drained();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.is_drained(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes as much as the socket takes; returns how much.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_with(cx, bytes.len(), |socket| send(socket, bytes))
    }

    /// The same with several slices in their order.
    pub(crate) fn poll_send_slices(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // TLS writes what it has as slices, which is nearly always one record.
        if let [bytes] = slices {
            return self.poll_send(cx, bytes);
        }
        let whole = slices.iter().map(|slice| slice.len()).sum();
        self.poll_send_with(cx, whole, |mut socket| socket.write_vectored(slices))
    }

    fn poll_send_with(
        &self,
        cx: &mut Context<'_>,
        whole: usize,
        mut write: impl FnMut(&mio::net::TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.readiness.poll_write(cx));
            match write(&self.socket) {
                Ok(count) => {
                    if count < whole {
                        self.readiness.is_full();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.is_full(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.reactor.forget(&mut self.socket, &self.readiness);
    }
}

#[cfg(target_os = "linux")]
fn receive(socket: &mio::net::TcpStream, space: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, space, rustix::net::RecvFlags::empty())?.0)
}

#[cfg(target_os = "linux")]
fn send(socket: &mio::net::TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, rustix::net::SendFlags::NOSIGNAL)?)
}

#[cfg(not(target_os = "linux"))]
fn receive(mut socket: &mio::net::TcpStream, space: &mut [u8]) -> io::Result<usize> {
    io::Read::read(&mut socket, space)
}

#[cfg(not(target_os = "linux"))]
fn send(mut socket: &mio::net::TcpStream, bytes: &[u8]) -> io::Result<usize> {
    socket.write(bytes)
}

/// Returns the two ends of a connection; the second is a server's.
#[cfg(test)]
pub(crate) async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test of a socket needs one")]
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().unwrap().0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::super::{run, spawn, timeout, yield_now};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What must happen happens within this, on the slowest machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[expect(clippy::disallowed_methods, reason = "a test of a socket needs one")]
    async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }

    async fn receive(tcp: &TcpStream, most: usize) -> io::Result<Vec<u8>> {
        let mut space = vec![0; most];
        let count = poll_fn(|cx| tcp.poll_receive(cx, &mut space)).await?;
        space.truncate(count);
        Ok(space)
    }

    #[test]
    fn nobody_listening_is_an_error() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();

        let refused = run(connect(closed));

        assert_eq!(refused.err().map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn the_end_of_a_stream_that_came_with_its_last_bytes_is_seen() {
        run(async {
            for _ in 0..50 {
                let (client, mut server) = pair().await;
                server.write_all(b"bye").unwrap();
                drop(server);

                // The space is larger than what came, so that nothing but the event itself tells of the end.
                let mut received = Vec::new();
                loop {
                    let piece = timeout(PATIENCE, receive(&client, 64)).await.unwrap().unwrap();
                    if piece.is_empty() {
                        break;
                    }
                    received.extend(piece);
                }
                assert_eq!(received, b"bye");
            }
        });
    }

    #[test]
    fn a_full_socket_takes_the_rest_when_there_is_room() {
        const BYTES: usize = 8 * 1024 * 1024;
        run(async {
            let (client, mut server) = pair().await;
            let reader = thread::spawn(move || {
                thread::sleep(20 * MS);
                let mut sum = 0_u64;
                let mut space = vec![0; 64 * 1024];
                loop {
                    match server.read(&mut space).unwrap() {
                        0 => return sum,
                        count => sum += space[..count].iter().map(|&byte| u64::from(byte)).sum::<u64>(),
                    }
                }
            });
            let sent: Vec<u8> = (0..BYTES).map(|number| (number % 251) as u8).collect();

            let mut rest = &sent[..];
            while !rest.is_empty() {
                let halves = rest.split_at(rest.len() / 2);
                let slices = [IoSlice::new(halves.0), IoSlice::new(halves.1)];
                let count = poll_fn(|cx| client.poll_send_slices(cx, &slices)).await.unwrap();
                rest = &rest[count..];
            }
            client.shut_down().unwrap();

            assert_eq!(reader.join().unwrap(), sent.iter().map(|&byte| u64::from(byte)).sum::<u64>());
        });
    }

    #[test]
    fn a_flood_on_one_socket_starves_no_other() {
        run(async {
            let (flooded, mut flood) = pair().await;
            let (quiet, mut server) = pair().await;
            let over = CancellationToken::new();
            let told = over.clone();
            let flooder =
                thread::spawn(move || while !told.is_cancelled() && flood.write_all(&[7; 4096]).is_ok() {});
            // One byte at a time, in one turn for as long as the engine lets it.
            let taken = spawn(async move {
                let mut space = [0; 1];
                poll_fn(|cx| {
                    while let Poll::Ready(Ok(1)) = flooded.poll_receive(cx, &mut space) {}
                    Poll::<()>::Pending
                })
                .await;
            });

            for _ in 0..20 {
                server.write_all(b"hello").unwrap();
                assert_eq!(timeout(PATIENCE, receive(&quiet, 64)).await.unwrap().unwrap(), b"hello");
            }

            over.cancel();
            taken.abort();
            yield_now().await;
            flooder.join().unwrap();
        });
    }

    #[test]
    fn a_dropped_socket_wakes_nobody_and_its_place_is_used_again() {
        run(async {
            for _ in 0..100 {
                let (client, mut server) = pair().await;
                server.write_all(b"late").unwrap();
                drop(client);
                let (client, mut server) = pair().await;
                server.write_all(b"new").unwrap();
                assert_eq!(timeout(PATIENCE, receive(&client, 64)).await.unwrap().unwrap(), b"new");
            }
        });
    }
}
