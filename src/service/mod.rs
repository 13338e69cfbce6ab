//! A service is an ephemeral preview on loopback: built, started, watched and stopped by this run.
//!
//! `build` runs its build, `start` gives it a free port and waits until it is ready, `check_loopback_listener` looks
//! at one that somebody else started. `process` owns the process tree, `listener` knows who listens where, `probe`
//! asks over HTTP. What a service is and how it is run is said by [`crate::target::ServicePlan`].

mod error;
mod inherited;
mod listener;
mod output;
mod probe;
mod process;
mod ready;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::target::ServicePlan;
use process::ProcessTree;

pub use error::ServiceError;

/// How often a waiting loop looks; well below the tenth of a second within which cancelling must show.
const POLL: Duration = Duration::from_millis(25);

/// Where a build's words go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildOutput {
    /// To this program's standard error, so that cargo's progress is seen while it happens.
    Visible,
    /// To a file beside the service's log; a failure quotes its end.
    Logged,
}

/// Builds the service; nothing happens where the plan has no build.
///
/// The build inherits `environment` without the variables that belong to this program and to the CI system.
///
/// # Errors
/// The build cannot be started, fails, or is cancelled.
pub fn build(
    plan: &ServicePlan,
    environment: &[(OsString, OsString)],
    output: BuildOutput,
    cancel: &CancellationToken,
) -> Result<(), ServiceError> {
    let Some(argv) = &plan.build else {
        return Ok(());
    };
    let log = plan.log.with_extension("build.log");
    let (stdout, stderr) = match output {
        BuildOutput::Visible => (Stdio::from(std::io::stderr()), Stdio::inherit()),
        BuildOutput::Logged => output::open_log(&log)?,
    };
    let mut command = process::command(argv, plan, environment)?;
    command.stdout(stdout).stderr(stderr);
    let mut tree = ProcessTree::spawn(command, argv, None)?;
    loop {
        if cancel.is_cancelled() {
            return Err(ServiceError::Cancelled);
        }
        match tree.exit_status() {
            None => std::thread::sleep(POLL),
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let words = match output {
                    BuildOutput::Visible => String::new(),
                    BuildOutput::Logged => output::last_words(&log),
                };
                return Err(ServiceError::BuildFailed {
                    program: argv.join(" "),
                    status: status.to_string(),
                    words,
                });
            }
        }
    }
}

/// A service that runs, is ready, and listens on loopback only; dropping it stops it.
#[derive(Debug)]
pub struct RunningService {
    tree: ProcessTree,
    address: SocketAddr,
    log: std::path::PathBuf,
}

/// Starts the service on a free port of loopback and waits until it is ready.
///
/// The service inherits `environment` as [`build`] does, gets the variables of its plan, and `PORT`. That it listens
/// on loopback only, and that no other process took its port, is checked on Linux; other systems don't tell.
///
/// # Errors
/// The service cannot be started, exits, is not ready in time, listens beyond loopback, or the wait is cancelled;
/// every process that it started is gone then.
pub fn start(
    plan: &ServicePlan,
    environment: &[(OsString, OsString)],
    cancel: &CancellationToken,
) -> Result<RunningService, ServiceError> {
    let port = listener::free_port().map_err(ServiceError::NoFreePort)?;
    let mut command = process::command(&plan.run, plan, environment)?;
    let (stdout, stderr) = output::open_log(&plan.log)?;
    command.stdout(stdout).stderr(stderr).env("PORT", port.to_string());
    let mut tree = ProcessTree::spawn(command, &plan.run, Some(port))?;
    let address = ready::wait(&mut tree, plan, port, cancel)?;
    Ok(RunningService { tree, address, log: plan.log.clone() })
}

impl RunningService {
    /// Returns the port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the loopback address it listens on: `127.0.0.1`, or `::1` where it listens only there.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how it ended and its last words, where it ended by itself.
    #[must_use]
    pub fn exited(&mut self) -> Option<String> {
        let status = self.tree.exit_status()?;
        Some(format!("{status}\n{}", output::last_words(&self.log)).trim_end().to_owned())
    }

    /// Stops it and everything it started; returns when they are gone.
    pub fn stop(self) {
        drop(self);
    }
}

/// Returns the loopback address on which something already listens, for a service that this run did not start.
///
/// It may listen beyond loopback as well: only its loopback address is used.
///
/// # Errors
/// Nothing answers a connection on `127.0.0.1` or `::1`.
pub fn check_loopback_listener(port: u16) -> Result<SocketAddr, ServiceError> {
    probe::first_listener(port)
}
