//! What can go wrong with a service, with the service's own last words where it had any.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A service that can't be built, started or used.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The log file can't be written; choose another `--out` or free the disk.
    #[error("cannot write {}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no pipe or thread for a program's output; its limits are too low.
    #[error("cannot follow what the build prints: {0}")]
    Pipe(io::Error),
    /// The program does not exist or may not be executed; check `build` and `run`.
    #[error("cannot start {program:?}: {source}")]
    Spawn {
        /// The program with its arguments.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The plan names no program; write one in `[service]`.
    #[error("no program is named")]
    NoProgram,
    /// The build ended with an error; mend what it says.
    #[error("the build `{program}` failed: {status}")]
    BuildFailed {
        /// The program with its arguments.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it said; empty where it was seen already.
        words: String,
    },
    /// No port of loopback is free; end other programs.
    #[error("no port of loopback is free: {0}")]
    NoFreePort(io::Error),
    /// The service ended before it was ready; mend what it says.
    #[error("the service ended before it was ready: {status}")]
    Exited {
        /// How it ended.
        status: String,
        /// The end of its log.
        words: String,
    },
    /// The service was not ready in time: it ignores `PORT`, is slow, or its ready path is another.
    #[error("the service was not ready after {after:?}: {state}")]
    NotReady {
        /// How long it was given.
        after: Duration,
        /// What it did instead.
        state: String,
        /// The end of its log.
        words: String,
    },
    /// The service can be reached from other machines; it must bind loopback alone.
    #[error("the service listens beyond loopback, on {address}")]
    ListensBeyondLoopback {
        /// Where it listens.
        address: SocketAddr,
    },
    /// Another process listens on the port that was given to the service; run again.
    #[error("port {port} was taken by another process")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Nothing listens where `--local` says; start the service first.
    #[error("nothing listens on 127.0.0.1:{port}")]
    NothingListens {
        /// The port.
        port: u16,
    },
    /// The system gave no runtime or HTTP client for asking the service.
    #[error("cannot ask the service: {0}")]
    CannotAsk(String),
    /// The run was cancelled while it waited.
    #[error("cancelled while waiting for the service")]
    Cancelled,
}

impl ServiceError {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Log { .. } => "choose another directory with --out, or free the disk",
            Self::Spawn { .. } | Self::NoProgram => {
                "check `build` and `run` in [service]; programs are looked up in PATH, or in `dir` if they hold a '/'"
            }
            Self::BuildFailed { .. } => "run the build by itself and mend what it says",
            Self::Pipe(_) => "raise the limits on threads and open files (ulimit -u, ulimit -n)",
            Self::NoFreePort(_) => "end programs that hold ports, or check the machine's limits",
            Self::Exited { .. } => "run it by itself with PORT set; it must stay in the foreground",
            Self::NotReady { .. } => {
                "make it listen on 127.0.0.1:$PORT and answer `ready` with 2xx, or raise `ready-timeout` in [service]"
            }
            Self::ListensBeyondLoopback { .. } => "bind 127.0.0.1 instead: others could reach it while it is loaded",
            Self::PortTaken { .. } => "run again; the service must listen itself, not through a daemon",
            Self::NothingListens { .. } => "start the service first, and check its port",
            Self::CannotAsk(_) => "check the machine's limits on threads and open files",
            Self::Cancelled => "run again",
        }
        .to_owned()
    }

    /// Returns the end of what the build or the service said, where it said anything; it may hold secrets.
    #[must_use]
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::BuildFailed { words, .. } | Self::Exited { words, .. } | Self::NotReady { words, .. } => {
                Some(words.as_str()).filter(|words| !words.is_empty())
            }
            _ => None,
        }
    }
}
