//! A server that knows its service times, so that what a client reports can be compared with the truth.
//!
//! One thread serves all connections and never sleeps: it looks for requests and due answers all the time, so that
//! its own wake-ups add nothing to what a client sees. Give it a processor of its own. A service time is drawn from
//! a seeded distribution and lasts from reading a request's last byte to writing the answer's; what it really took
//! is noted. A plan may stall the whole server at regular times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use cargo_loadgate::clock;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll;

/// What every request is answered with.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// The mark of the listener among the events; connections have their places in a list.
const LISTENER: u64 = u64::MAX;

/// How long answers take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// Service times are drawn from a log-normal distribution.
    LogNormal {
        /// Half of all requests are answered sooner.
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
        /// The same seed gives the same service times in the same order.
        seed: u64,
    },
    /// Every answer takes the same time, but at the end of each period nothing is answered at all.
    Stall {
        /// The usual service time.
        service_time: Duration,
        /// The time between the beginnings of two stalls.
        every: Duration,
        /// How long a stall lasts.
        lasts: Duration,
    },
}

/// Serves until `stop` says so; returns the true service times in the order of the requests' ends.
pub(crate) fn serve(listener: TcpListener, plan: Plan, stop: impl Fn() -> bool) -> io::Result<Vec<Duration>> {
    listener.set_nonblocking(true)?;
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poller, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut server = Server::new(listener, plan);
    let mut events = Vec::with_capacity(256);
    while !stop() {
        events.clear();
        epoll::wait(&poller, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        for event in &events {
            let place = event.data.u64();
            if place == LISTENER {
                server.accept(&poller)?;
            } else {
                server.read(usize::try_from(place).unwrap_or(usize::MAX));
            }
            // A due answer must not wait behind a crowd of requests.
            server.answer_due();
        }
        server.answer_due();
    }
    Ok(server.taken)
}

struct Server {
    listener: TcpListener,
    plan: Plan,
    random: fastrand::Rng,
    connections: Vec<Option<Connection>>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Stalls are counted from the first request.
    started_at: Option<Instant>,
    taken: Vec<Duration>,
}

struct Connection {
    stream: TcpStream,
    /// The last bytes of what came, enough to see the empty line that ends a request.
    tail: [u8; 4],
    read_at: Instant,
}

impl Server {
    fn new(listener: TcpListener, plan: Plan) -> Self {
        let seed = if let Plan::LogNormal { seed, .. } = plan { seed } else { 0 };
        Self {
            listener,
            plan,
            random: fastrand::Rng::with_seed(seed),
            connections: Vec::new(),
            due: BinaryHeap::new(),
            started_at: None,
            taken: Vec::new(),
        }
    }

    fn accept(&mut self, poller: &rustix::fd::OwnedFd) -> io::Result<()> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let place = epoll::EventData::new_u64(self.connections.len() as u64);
                epoll::add(poller, &stream, place, epoll::EventFlags::IN)?;
                self.connections.push(Some(Connection { stream, tail: [0; 4], read_at: clock::monotonic() }));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads what one connection has; a client that goes away is forgotten, with its answer.
    fn read(&mut self, place: usize) {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return };
        let mut buffer = [0; 4096];
        match connection.stream.read(&mut buffer) {
            Ok(0) => self.connections[place] = None,
            Ok(count) => {
                let now = clock::monotonic();
                if connection.takes(&buffer[..count]) {
                    connection.read_at = now;
                    let due_at = self.due_at(now);
                    self.due.push(Reverse((due_at, place)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.connections[place] = None,
        }
    }

    /// Draws a service time; returns when it is over.
    fn due_at(&mut self, now: Instant) -> Instant {
        let started_at = *self.started_at.get_or_insert(now);
        match self.plan {
            Plan::LogNormal { median, sigma, .. } => {
                let normal = standard_normal(&mut self.random);
                now + median.mul_f64((sigma * normal).exp())
            }
            Plan::Stall { service_time, every, lasts } => {
                let due_at = now + service_time;
                let since_period = (due_at - started_at).as_nanos() % every.as_nanos();
                let stall_begins = (every - lasts).as_nanos();
                if since_period < stall_begins {
                    return due_at;
                }
                let left = every.as_nanos() - since_period;
                due_at + Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
            }
        }
    }

    fn answer_due(&mut self) {
        while let Some(&Reverse((due_at, place))) = self.due.peek() {
            if clock::monotonic() < due_at {
                return;
            }
            self.due.pop();
            let Some(Some(connection)) = self.connections.get_mut(place) else { continue };
            // So few bytes fit into any socket's buffer: one write takes them all, or the client is gone.
            match connection.stream.write_all(ANSWER) {
                Ok(()) => self.taken.push(connection.read_at.elapsed()),
                Err(_) => self.connections[place] = None,
            }
        }
    }
}

impl Connection {
    /// Takes bytes; returns whether they end a request, which has no body.
    fn takes(&mut self, bytes: &[u8]) -> bool {
        for &byte in &bytes[bytes.len().saturating_sub(4)..] {
            self.tail.rotate_left(1);
            self.tail[3] = byte;
        }
        self.tail == *b"\r\n\r\n"
    }
}

/// Draws from the standard normal distribution (Box and Muller, 1958).
fn standard_normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}
