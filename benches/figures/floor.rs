//! The floor: two bare system calls a request and nothing between them, on one thread.
//!
//! It parses nothing, counts nothing and keeps no time, so no client that awaits each answer before it
//! sends the next request on a connection can cost much less. What a client costs above it is its own.
//!
//! A second floor does what no measurement can do without as well: it compares each head with the last one, looks at
//! the clock and records a latency. It has one fixed request, no time-outs and no way to fail.

use std::hint::black_box;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cargo_loadgate::clock;
use cargo_loadgate::measurement::empty_histogram;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::net::{RecvFlags, SendFlags};

use crate::process::{Processor, pinned, spend};
use crate::{Failure, Outcome};

/// The argument that makes this program the floor.
pub(crate) const FLOOR: &str = "--floor";

/// What a floor does with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    Ignore,
    /// It reads and times it.
    Measure,
}

/// Runs the floor against a port of loopback as a process of its own; returns the processor time that it took, in
/// seconds.
pub(crate) fn work(deed: Deed, port: u16, connections: u32, seconds: u64) -> Outcome<f64> {
    let program = std::env::current_exe()?;
    let mut command = pinned(Processor::Clients, None, &program.display().to_string());
    let measures = u8::from(deed == Deed::Measure);
    let arguments = [port.to_string(), connections.to_string(), seconds.to_string(), measures.to_string()];
    Ok(spend(command.arg(FLOOR).args(arguments))?.processor_seconds)
}

/// Is the floor: sends until its time is over.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let strange = || Failure::Client(format!("the floor was asked for {arguments:?}"));
    let numbers: Vec<u64> = arguments.iter().flat_map(|argument| argument.parse()).collect();
    let [port, connections, seconds, measures] = numbers[..] else { return Err(strange()) };
    let port = u16::try_from(port).map_err(|_| strange())?;
    let deed = if measures == 0 { Deed::Ignore } else { Deed::Measure };
    send(deed, port, connections, Duration::from_secs(seconds))
}

fn send(deed: Deed, port: u16, connections: u64, lasts: Duration) -> Outcome<()> {
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    let mut measured = Vec::new();
    for place in 0..connections {
        #[expect(clippy::disallowed_methods, reason = "a bench of the bare calls on a server of its own")]
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        epoll::add(&poller, &stream, epoll::EventData::new_u64(place), epoll::EventFlags::IN)?;
        rustix::net::send(&stream, request.as_bytes(), SendFlags::NOSIGNAL)?;
        streams.push(stream);
        measured.push(Measured { sent_at: clock::monotonic(), head: Vec::new() });
    }
    let mut buffer = vec![0; 16 * 1024];
    let mut events = Vec::with_capacity(256);
    let mut latency = empty_histogram();
    let ends_at = clock::monotonic() + lasts;
    while clock::monotonic() < ends_at {
        events.clear();
        epoll::wait(&poller, spare_capacity(&mut events), None)?;
        for event in &events {
            let place = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let stream = &streams[place];
            let (count, _) = rustix::net::recv(stream, &mut buffer[..], RecvFlags::empty())?;
            if count == 0 {
                return Err(Failure::Server("the server closed a connection".to_owned()));
            }
            if deed == Deed::Measure {
                latency.saturating_record(measured[place].take(&buffer[..count])?);
            }
            rustix::net::send(stream, request.as_bytes(), SendFlags::NOSIGNAL)?;
        }
    }
    black_box(latency);
    Ok(())
}

/// What a measurement keeps of one connection.
struct Measured {
    sent_at: Instant,
    /// The last head, with its empty line.
    head: Vec<u8>,
}

impl Measured {
    /// Takes an answer; returns how many nanoseconds it took. The next request leaves at once.
    fn take(&mut self, answer: &[u8]) -> Outcome<u64> {
        if self.head.is_empty() || !answer.starts_with(&self.head) {
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
            let end =
                end.ok_or_else(|| Failure::Server("the head was not whole in one read".to_owned()))? + 4;
            self.head = answer[..end].to_vec();
        }
        let now = clock::monotonic();
        let took = now - self.sent_at;
        self.sent_at = now;
        Ok(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
    }
}
