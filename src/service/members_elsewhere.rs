//! The members of a process tree on systems without `/proc`: the process group on Unix, the first process elsewhere.

use std::process::Child;

/// What a member is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Terminate,
    Kill,
}

/// The first process of a tree.
#[derive(Debug)]
pub(super) struct Root {
    #[cfg(unix)]
    group: rustix::process::Pid,
}

/// Orphans go to the system's first process here.
pub(super) fn adopt_orphans() {}

impl Root {
    #[cfg(unix)]
    pub(super) fn new(child: &Child, _port: Option<u16>) -> Self {
        Self { group: rustix::process::Pid::from_child(child) }
    }

    #[cfg(not(unix))]
    pub(super) fn new(_child: &Child, _port: Option<u16>) -> Self {
        Self {}
    }

    /// Signals the group; returns whether it is gone as far as can be told.
    #[cfg(unix)]
    pub(super) fn signal(&mut self, request: Request, asked: &mut Vec<i32>) -> bool {
        use rustix::process::{Signal, kill_process_group, test_kill_process_group};
        if asked.is_empty() || request == Request::Kill {
            asked.push(self.group.as_raw_nonzero().get());
            let signal = if request == Request::Kill { Signal::KILL } else { Signal::TERM };
            // An error means that the group is gone already.
            let _ = kill_process_group(self.group, signal);
        }
        test_kill_process_group(self.group).is_err()
    }

    #[cfg(not(unix))]
    pub(super) fn signal(&mut self, _request: Request, _asked: &mut Vec<i32>) -> bool {
        true
    }
}
