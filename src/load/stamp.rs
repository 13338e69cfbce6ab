//! A socket that tells when the kernel took in the bytes that were read from it.
//!
//! A worker that waits its turn on a busy processor sees an answer late. The kernel stamps every packet as it comes
//! in (`SO_TIMESTAMPING`, software receive stamps), so that wait can be taken out of what is measured. Stamps exist on
//! Linux only, for the clear and for the TLS stream alike; elsewhere, and where a stamp is not believable, there is
//! none and the caller asks its own clock.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::engine::TcpStream;

/// A TCP stream that may remember when the last bytes read from it had come in.
pub(crate) struct StampedStream {
    tcp: TcpStream,
    #[cfg(target_os = "linux")]
    stamps: Option<Box<linux::Stamps>>,
}

impl StampedStream {
    /// Wraps a stream, which is read without stamps until they are asked for.
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            #[cfg(target_os = "linux")]
            stamps: None,
        }
    }

    /// Asks the kernel to stamp what comes in; one that can't is no failure.
    pub(crate) fn ask_for_stamps(&mut self) {
        #[cfg(target_os = "linux")]
        {
            self.stamps = linux::Stamps::ask_for(&self.tcp).map(Box::new);
        }
    }

    /// Returns when the last byte of the last read had come in, where that is known and not before `earliest`, which
    /// is when its request was sent.
    pub(crate) fn arrived_at(&self, earliest: Instant) -> Option<Instant> {
        #[cfg(target_os = "linux")]
        return self.stamps.as_ref()?.last().filter(|&arrived_at| arrived_at >= earliest);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = earliest;
            None
        }
    }

    /// Reads what is there; nothing is the end of the stream.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        #[cfg(target_os = "linux")]
        if let Some(stamps) = &mut self.stamps {
            return stamps.poll_receive(&self.tcp, cx, space);
        }
        self.tcp.poll_receive(cx, space)
    }

    /// Writes as much as the socket takes; returns how much.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.tcp.poll_send(cx, bytes)
    }
}

impl AsyncRead for StampedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(self.poll_receive(cx, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StampedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tcp.poll_send_slices(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.tcp.shut_down())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd;
    use std::task::{Context, Poll};
    use std::time::{Duration, Instant};

    use nix::sys::socket::sockopt::Timestamping;
    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, TimestampingFlag, Timestamps, recvmsg, setsockopt,
    };

    use crate::clock;
    use crate::load::engine::TcpStream;

    /// Two readings of the clocks further apart than this say nothing about each other: the thread was interrupted.
    const LONGEST_PAIR: Duration = Duration::from_micros(5);

    /// A wall clock that is being adjusted runs wrong by at most this share (`ntp_adjtime` allows 500 in a million).
    const LARGEST_DRIFT: f64 = 1e-3;

    /// What two honest readings of the distance between the clocks may differ by beyond drift.
    const SMALLEST_STEP: Duration = Duration::from_micros(20);

    /// The kernel's stamps of one socket.
    #[derive(Debug)]
    pub(super) struct Stamps {
        control: Vec<u8>,
        offset: Option<Offset>,
        last: Option<Instant>,
    }

    /// How the wall clock, in which the kernel stamps, stood to the monotonic clock.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Offset {
        monotonic: Instant,
        wall: Duration,
    }

    impl Stamps {
        /// Asks for stamps on a socket.
        pub(super) fn ask_for(tcp: &TcpStream) -> Option<Self> {
            let flags =
                TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
            setsockopt(tcp.socket(), Timestamping, &flags).ok()?;
            let control = vec![0; nix::cmsg_space!(Timestamps).capacity()];
            Some(Self { control, offset: None, last: None })
        }

        /// Returns the stamp of the last read.
        pub(super) fn last(&self) -> Option<Instant> {
            self.last
        }

        /// Reads what is there with its stamp.
        pub(super) fn poll_receive(
            &mut self,
            tcp: &TcpStream,
            cx: &mut Context<'_>,
            space: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            tcp.poll_receive_with(cx, space, |socket, space| self.read(socket, space))
        }

        fn read(&mut self, socket: &mio::net::TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
            let mut slices = [IoSliceMut::new(buffer)];
            let fd = socket.as_raw_fd();
            let message = recvmsg::<()>(fd, &mut slices, Some(&mut self.control), MsgFlags::empty())?;
            let stamp = message.cmsgs()?.find_map(|part| match part {
                ControlMessageOwned::ScmTimestampsns(stamps) => Some(Duration::from(stamps.system)),
                _ => None,
            });
            let count = message.bytes;
            self.last = stamp.and_then(|stamp| self.believe(stamp));
            Ok(count)
        }

        /// Translates a stamp to the monotonic clock, unless the wall clock was set meanwhile.
        fn believe(&mut self, stamp: Duration) -> Option<Instant> {
            let before = clock::monotonic();
            let wall = clock::since_epoch();
            let monotonic = clock::monotonic();
            if monotonic - before > LONGEST_PAIR {
                return None;
            }
            let offset = Offset { monotonic, wall };
            let was_set = self.offset.replace(offset).is_some_and(|last| was_set(last, offset));
            // A stamp from the future is none.
            let age = wall.checked_sub(stamp).filter(|_| !was_set)?;
            monotonic.checked_sub(age)
        }
    }

    /// Returns whether the wall clock was set between two readings.
    pub(super) fn was_set(earlier: Offset, later: Offset) -> bool {
        let passed = later.monotonic.saturating_duration_since(earlier.monotonic);
        let shown = later.wall.saturating_sub(earlier.wall);
        shown.abs_diff(passed) > SMALLEST_STEP + passed.mul_f64(LARGEST_DRIFT)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        const SECOND: Duration = Duration::from_secs(1);

        #[test]
        fn a_wall_clock_that_was_set_is_noticed_and_one_that_drifts_is_not() {
            let monotonic = clock::monotonic();
            let earlier = Offset { monotonic, wall: 100 * SECOND };
            let later = |wall| Offset { monotonic: monotonic + SECOND, wall };

            assert!(!was_set(earlier, later(101 * SECOND)));
            assert!(!was_set(earlier, later(101 * SECOND + Duration::from_micros(500))));
            assert!(was_set(earlier, later(101 * SECOND + Duration::from_millis(2))));
            assert!(was_set(earlier, later(101 * SECOND - Duration::from_millis(2))));
            assert!(was_set(earlier, later(SECOND)));
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;
    use std::thread;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::clock;
    use crate::load::engine::{pair, run, sleep};

    fn stamped(tcp: TcpStream) -> StampedStream {
        let mut stream = StampedStream::new(tcp);
        stream.ask_for_stamps();
        stream
    }

    #[test]
    fn bytes_that_waited_for_their_reader_have_the_time_of_their_arrival() {
        run(async {
            let (client, mut server) = pair().await;
            let mut client = stamped(client);
            let waited = Duration::from_millis(50);

            // The kernel begins to stamp a little after it is first asked, and a test may be interrupted at any point.
            for _ in 0..50 {
                let before = clock::monotonic();
                server.write_all(b"early").unwrap();
                let after = clock::monotonic();
                sleep(waited).await;
                let mut bytes = [0; 64];
                let count = client.read(&mut bytes).await.unwrap();
                assert_eq!(&bytes[..count], b"early");

                let Some(arrived_at) = client.arrived_at(before) else { continue };
                assert!(arrived_at < after + waited / 2, "{:?}", arrived_at - before);
                return;
            }
            panic!("loopback packets are stamped");
        });
    }

    #[test]
    fn a_stamp_from_before_the_request_is_not_believed() {
        run(async {
            let (client, mut server) = pair().await;
            let mut client = stamped(client);
            server.write_all(b"unasked").unwrap();

            assert!(client.read(&mut [0; 64]).await.unwrap() > 0);

            assert_eq!(client.arrived_at(clock::monotonic() + Duration::from_secs(1)), None);
        });
    }

    #[test]
    fn without_stamps_nothing_is_claimed() {
        run(async {
            let (client, mut server) = pair().await;
            let mut client = StampedStream::new(client);
            let before = clock::monotonic();
            server.write_all(b"plain").unwrap();

            assert!(client.read(&mut [0; 64]).await.unwrap() > 0);

            assert_eq!(client.arrived_at(before), None);
        });
    }

    #[test]
    fn reading_with_stamps_misses_no_byte_and_sees_the_end() {
        run(async {
            let (client, mut server) = pair().await;
            let mut client = stamped(client);
            let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
            let expected = sent.clone();
            let writer = thread::spawn(move || {
                for piece in sent.chunks(7_919) {
                    server.write_all(piece).unwrap();
                }
            });

            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();

            writer.join().unwrap();
            assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
        });
    }

    #[test]
    fn slices_arrive_in_their_order_be_it_one_or_several() {
        run(async {
            let (client, mut server) = pair().await;
            let mut client = stamped(client);

            for slices in [&[IoSlice::new(b"one ")][..], &[IoSlice::new(b"and "), IoSlice::new(b"two")]] {
                let whole: usize = slices.iter().map(|slice| slice.len()).sum();
                assert_eq!(client.write_vectored(slices).await.unwrap(), whole);
            }
            client.shutdown().await.unwrap();

            let mut received = String::new();
            io::Read::read_to_string(&mut server, &mut received).unwrap();
            assert_eq!(received, "one and two");
        });
    }

    #[test]
    fn writing_goes_straight_through() {
        run(async {
            let (client, mut server) = pair().await;
            let mut client = stamped(client);

            client.write_all(b"ping").await.unwrap();
            client.shutdown().await.unwrap();

            let mut received = String::new();
            io::Read::read_to_string(&mut server, &mut received).unwrap();
            assert_eq!(received, "ping");
        });
    }
}
