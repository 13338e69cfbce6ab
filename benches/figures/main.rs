//! Prints every figure of the load path as one table: what ours costs and how true it is, beside its peers.
//!
//! `cargo bench --bench figures [-- [--quick] ROW…]`. Needs Linux, two processors, `taskset` and nginx; wrk, h2load,
//! oha, hey and wrk2 take part where they are installed. The server has one processor, the clients take turns on the
//! other, and the medians of at least five alternating turns are compared, of 15 where a request's cost is.

#![expect(clippy::print_stdout, reason = "the table is what this bench is for")]

mod clients;
mod cost;
mod fidelity;
mod floor;
mod floor_h2;
#[path = "../../tests/end_to_end/forge.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "it belongs to the tests, which use more of it")]
mod forge;
#[path = "../../src/github/double.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "it belongs to the tests, which use more of it")]
mod github_double;
#[path = "../../tests/end_to_end/name_server.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "it belongs to the tests, which use more of it")]
mod name_server;
#[path = "../../tests/end_to_end/namespace.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "it belongs to the tests, which use more of it")]
mod namespace;
#[path = "../../tests/end_to_end/parts.rs"]
#[expect(clippy::disallowed_methods, reason = "it belongs to the tests")]
mod parts;
mod process;
mod scale;
mod scripts;
mod site;
mod table;
#[path = "../../tests/support/truth_server.rs"]
mod truth_server;

use crate::table::Line;

/// Turns that every client has where a run is long.
const PAIRS: usize = 5;

/// Turns that every client has where what a request costs is compared: many short ones tell programs apart that differ
/// by some hundredths, a few long ones don't, as the machine changes its speed within seconds.
const SHORT_TURNS: usize = 15;

/// What can go wrong with a bench.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A client did something else than was expected of it.
    #[error("{0}")]
    Client(String),
    /// A server did not start.
    #[error("{0}")]
    Server(String),
    /// There was nothing to measure.
    #[error("nothing was measured")]
    Nothing,
    /// A file, pipe or process failed.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// A system call failed.
    #[error(transparent)]
    Call(#[from] rustix::io::Errno),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    /// A report was not JSON.
    #[error(transparent)]
    Report(#[from] serde_json::Error),
}

/// What a bench gives.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// How it is measured.
pub(crate) struct Options {
    /// Turns that every client has where a run is long.
    pub(crate) pairs: usize,
    /// Turns that every client has where runs are short.
    pub(crate) short_turns: usize,
    /// Whether long runs are shortened; for trying the bench out.
    pub(crate) is_quick: bool,
}

/// A part of the table.
type Row = fn(&Options) -> Outcome<Vec<Line>>;

/// All parts of the table, each with the name that selects it.
const ROWS: [(&str, Row); 16] = [
    ("http1", cost::http1),
    ("https1", cost::https1),
    ("http2", cost::http2),
    ("log-normal", fidelity::log_normal),
    ("neighbour", fidelity::neighbour),
    ("stall", fidelity::stall),
    ("send-lag", fidelity::send_lag),
    ("memory", scale::memory),
    ("connections", scale::connections),
    ("million", cost::million),
    ("first-request", scale::first_request),
    ("size", scale::size),
    ("script-counter", scripts::counter),
    ("script-response", scripts::response),
    ("script-static", scripts::fixed),
    ("script-setup", scripts::set_up),
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, plan, ..] = arguments.as_slice()
        && first == site::TRUTH_SERVER
    {
        return site::serve_truth(plan);
    }
    if let [first, rest @ ..] = arguments.as_slice()
        && first == floor::FLOOR
    {
        return floor::run(rest);
    }
    if let [first, rest @ ..] = arguments.as_slice()
        && first == floor_h2::FLOOR_H2
    {
        return floor_h2::run(rest);
    }
    if arguments.first().is_some_and(|first| first == site::NEIGHBOUR) {
        site::keep_busy();
        return Ok(());
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let (pairs, short_turns) = if is_quick { (1, 1) } else { (PAIRS, SHORT_TURNS) };
    let options = Options { pairs, short_turns, is_quick };
    // cargo adds options of its own.
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    println!("{}", table::HEAD);
    for (name, row) in ROWS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| *wanted == name) {
            continue;
        }
        // One part that cannot be measured must not take the others with it.
        match row(&options) {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            Err(failure) => println!("| {name} | | | failed: {} | |", failure.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}
