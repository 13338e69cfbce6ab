//! Tests of whole runs against real servers on loopback: what each loop promises, and what hostile servers get.
//!
//! A server here is a closure that is given every accepted connection on a thread of its own.

mod awkward;
mod ceilings;
mod conservation;
mod endpoint;
mod hostile;
mod http2;
mod http2_hostile;
mod loops;
mod mixed;
mod polite;
mod profiles;
mod refrain;
mod revoked;
mod scripts;
mod scripts_http2;
mod sources;
mod stall;
mod stamps;
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Ceilings, DriveOptions, EchoWatch, LoadError, Progress, StopSignal, drive};
use crate::guard::ClearedTarget;
use crate::measurement::{Measurement, OutcomeClass};
use crate::request::{Mix, Request};
use crate::scenario::{Breaker, Gate, LoadProfile, Pacing, Protocol, Quantile, Rate, Scenario, ScenarioName};
use crate::target::{Origin, Scheme};
use crate::verdict::FailOn;

const MS: Duration = Duration::from_millis(1);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const CLOSED: Pacing = Pacing::CLOSED;

/// Serves every connection with a closure; the second argument counts connections from 0.
fn serve(behave: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let behave = Arc::new(behave);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, behave) = (stream.unwrap(), Arc::clone(&behave));
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || behave(stream, number));
        }
    });
    address
}

/// Reads one request without a body; returns whether there was one.
fn read_request(stream: &mut impl Read) -> bool {
    let mut tail = [0; 4];
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        tail.rotate_left(1);
        tail[3] = byte[0];
        if &tail == b"\r\n\r\n" {
            return true;
        }
    }
    false
}

/// Gives the same bytes for every request until the client leaves.
fn answer_always(stream: &mut (impl Read + Write), answer: &[u8]) {
    while read_request(stream) && stream.write_all(answer).is_ok() {}
}

/// Serves every request with the same bytes.
fn serve_always(answer: &'static [u8]) -> SocketAddr {
    serve(move |mut stream, _| answer_always(&mut stream, answer))
}

fn open_loop(rate: f64) -> Pacing {
    Pacing::open(Rate::per_second(rate).unwrap())
}

fn scenario(pacing: Pacing, connections: u32, duration: Duration) -> Scenario {
    Scenario {
        name: ScenarioName::parse("test").unwrap(),
        requests: Request::get("/").unwrap().into(),
        script: None,
        protocol: Protocol::Http1,
        profile: LoadProfile {
            duration,
            timeout: 2000 * MS,
            ..LoadProfile::plain(pacing, NonZeroU32::new(connections).unwrap())
        },
        gate: Gate {
            metrics: vec![Quantile::P50.into()],
            max_regression: 0.1,
            max_error_rate: 0.01,
            budgets: vec![],
            fail_on: FailOn::default(),
            confirm_after: Duration::ZERO,
            breaker: Breaker::OFF,
        },
    }
}

fn local(address: SocketAddr) -> ClearedTarget {
    let origin = Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: address.port() };
    ClearedTarget::for_tests(origin, vec![address], vec![])
}

fn options(threads: usize) -> DriveOptions {
    DriveOptions { threads: NonZeroUsize::new(threads).unwrap(), ceilings: Ceilings::default(), echo: None }
}

/// Returns a signal that nobody gives.
fn never() -> StopSignal {
    StopSignal::new(&CancellationToken::new())
}

/// Drives with the scenario's one request.
fn drive_fixed(
    target: &ClearedTarget,
    scenario: &Scenario,
    threads: usize,
    stop: &StopSignal,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Measurement, LoadError> {
    let sources = Mix::new(&scenario.requests, &target.origin().authority(), 1);
    drive(target, scenario, &sources, &options(threads), stop, progress)
}

fn try_run(target: &ClearedTarget, scenario: &Scenario) -> Result<Measurement, LoadError> {
    drive_fixed(target, scenario, 1, &never(), &|_| {})
}

fn run(address: SocketAddr, scenario: &Scenario) -> Measurement {
    try_run(&local(address), scenario).unwrap()
}

/// Returns the classes that were counted.
fn classes(measurement: &Measurement) -> Vec<OutcomeClass> {
    let outcomes = measurement.outcomes();
    OutcomeClass::ALL.into_iter().filter(|class| outcomes.count(*class) > 0).collect()
}

/// Returns the classes that were counted, but for what a machine too busy for the schedule did not send at its end.
fn classes_of_sent(measurement: &Measurement) -> Vec<OutcomeClass> {
    let mut classes = classes(measurement);
    classes.retain(|class| *class != OutcomeClass::Unsent);
    classes
}
