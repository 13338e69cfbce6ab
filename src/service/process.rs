//! A process tree is a program that this run started and everything that it started in turn.
//!
//! It dies as a whole: a worker that left the process group, or outlived its parent, would go on using the machine
//! and spoil every later measurement. On Linux the members are found through `/proc`; elsewhere the group is all.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::POLL;
use super::error::ServiceError;
use super::inherited::inherited;
use crate::clock;
use crate::target::ServicePlan;

/// How long a service may take to end by itself after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// After the kill signal only the kernel can delay the end.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// Prepares a program of the plan: its directory, its environment, no standard input, a process group of its own.
pub(super) fn command(
    argv: &[String],
    plan: &ServicePlan,
    environment: &[(OsString, OsString)],
) -> Result<Command, ServiceError> {
    let (program, arguments) = argv.split_first().ok_or(ServiceError::NoProgram)?;
    let mut command = if Path::new(program).components().count() > 1 {
        // Whether the system looks before or after changing directory is not defined; an absolute path is.
        Command::new(plan.dir.join(program))
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir(&plan.dir).stdin(Stdio::null());
    command.env_clear().envs(inherited(environment)).envs(plan.env.iter().map(|(name, value)| (name, value)));
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

/// A started program with all its descendants; dropping it ends them.
#[derive(Debug)]
pub(super) struct ProcessTree {
    child: Child,
    root: members::Root,
    status: Option<ExitStatus>,
}

impl ProcessTree {
    /// Starts a prepared program; `port` marks its descendants where it serves.
    pub(super) fn spawn(
        mut command: Command,
        argv: &[String],
        port: Option<u16>,
    ) -> Result<Self, ServiceError> {
        members::adopt_orphans();
        let child =
            command.spawn().map_err(|source| ServiceError::Spawn { program: argv.join(" "), source })?;
        let root = members::Root::new(&child, port);
        Ok(Self { child, root, status: None })
    }

    /// Returns how the program ended, where it has.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Returns whether its processes hold all of these sockets; `None` where the system doesn't tell.
    #[cfg(target_os = "linux")]
    pub(super) fn holds_sockets(&self, inodes: &[u64]) -> Option<bool> {
        self.root.holds_sockets(inodes)
    }

    fn end(&mut self) {
        if self.signal_until_gone(members::Request::Terminate, GRACE) {
            return;
        }
        self.signal_until_gone(members::Request::Kill, KILL_PATIENCE);
    }

    /// Signals every member, again and again because they may start others, until none is left.
    fn signal_until_gone(&mut self, request: members::Request, patience: Duration) -> bool {
        let deadline = clock::monotonic() + patience;
        let mut asked = Vec::new();
        loop {
            let are_others_gone = self.root.signal(request, &mut asked);
            if request == members::Request::Kill && self.exit_status().is_none() {
                // An error means that it ended in this moment; the next look reaps it.
                let _ = self.child.kill();
            }
            if self.exit_status().is_some() && are_others_gone {
                return true;
            }
            if clock::monotonic() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(target_os = "linux")]
#[path = "members_linux.rs"]
mod members;

#[cfg(not(target_os = "linux"))]
#[path = "members_elsewhere.rs"]
mod members;
