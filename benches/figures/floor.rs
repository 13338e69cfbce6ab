//! The floor: two bare system calls a request and nothing between them, on one thread.
//!
//! It parses nothing, counts nothing but answers and keeps no time, so no client that awaits each answer before it
//! sends the next request on a connection can cost much less. What a client costs above it is its own.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use cargo_loadgate::clock;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::net::{RecvFlags, SendFlags};

use crate::process::{Processor, Spent, pinned, spend};
use crate::{Failure, Outcome};

/// The argument that makes this program the floor.
pub(crate) const FLOOR: &str = "--floor";

/// Runs the floor against a port of loopback as a process of its own; returns microseconds of processor time for each
/// answer.
pub(crate) fn cost_us(port: u16, connections: u32, seconds: u64) -> Outcome<f64> {
    let program = std::env::current_exe()?;
    let mut command = pinned(Processor::Clients, None, &program.display().to_string());
    let arguments = [port.to_string(), connections.to_string(), seconds.to_string()];
    cost_of(command.arg(FLOOR).args(arguments))
}

/// Runs a floor, which prints how many answers came; returns microseconds of processor time for each of them.
pub(crate) fn cost_of(floor: &mut Command) -> Outcome<f64> {
    let Spent { processor_seconds, output } = spend(floor)?;
    let strange = || Failure::Client(format!("the floor said something else than expected: {output}"));
    let answers: f64 = output.trim().parse().map_err(|_| strange())?;
    Ok(processor_seconds * 1e6 / answers)
}

/// Is the floor: sends until its time is over and prints how many answers came.
#[expect(clippy::print_stdout, reason = "the other process reads it")]
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let strange = || Failure::Client(format!("the floor was asked for {arguments:?}"));
    let numbers: Vec<u64> = arguments.iter().flat_map(|argument| argument.parse()).collect();
    let [port, connections, seconds] = numbers[..] else { return Err(strange()) };
    let port = u16::try_from(port).map_err(|_| strange())?;
    println!("{}", send(port, connections, Duration::from_secs(seconds))?);
    Ok(())
}

fn send(port: u16, connections: u64, lasts: Duration) -> Outcome<u64> {
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut streams = Vec::new();
    for place in 0..connections {
        #[expect(clippy::disallowed_methods, reason = "a bench of the bare calls on a server of its own")]
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        epoll::add(&poller, &stream, epoll::EventData::new_u64(place), epoll::EventFlags::IN)?;
        rustix::net::send(&stream, request.as_bytes(), SendFlags::NOSIGNAL)?;
        streams.push(stream);
    }
    let mut buffer = vec![0; 16 * 1024];
    let mut events = Vec::with_capacity(256);
    let mut answers = 0;
    let ends_at = clock::monotonic() + lasts;
    while clock::monotonic() < ends_at {
        events.clear();
        epoll::wait(&poller, spare_capacity(&mut events), None)?;
        for event in &events {
            let stream = &streams[usize::try_from(event.data.u64()).unwrap_or(usize::MAX)];
            let (count, _) = rustix::net::recv(stream, &mut buffer[..], RecvFlags::empty())?;
            if count == 0 {
                return Err(Failure::Server("the server closed a connection".to_owned()));
            }
            answers += 1;
            rustix::net::send(stream, request.as_bytes(), SendFlags::NOSIGNAL)?;
        }
    }
    Ok(answers)
}
