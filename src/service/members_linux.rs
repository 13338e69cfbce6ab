//! The members of a process tree as `/proc` tells them: descendants, the process group, orphans that still carry the
//! tree's mark, the `PORT` that was chosen for it alone, and daemons, which have wiped that mark off.
//!
//! A daemon leaves its group, its session and its parent. This process takes the parent's place (`prctl` calls it a
//! child subreaper), and so still sees it.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::process::Child;

use procfs::process::{FDTarget, Process, all_processes};
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

/// What a member is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Terminate,
    Kill,
}

/// One process for all time: process numbers are used again, a number with its start is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Member {
    pid: i32,
    started: u64,
}

/// The first process of a tree.
#[derive(Debug)]
pub(super) struct Root {
    pid: i32,
    /// In clock ticks since the machine started; absent where `/proc` does not show the process.
    started: Option<u64>,
    port: Option<u16>,
    /// Everything that was found so far: what is a member stays one, even where its parent ended before it.
    known: HashSet<Member>,
    own: Own,
}

/// This process, to which orphans come.
#[derive(Debug)]
struct Own {
    pid: i32,
    session: Option<i32>,
}

struct Seen {
    process: Process,
    member: Member,
    parent: i32,
    group: i32,
    session: i32,
    is_alive: bool,
}

/// Makes this process the parent of every orphan below it; call it before anything is started.
pub(super) fn adopt_orphans() {
    // An error means a system that is older than adoption; the mark and the group remain.
    let _ = set_child_subreaper(Some(getpid()));
}

impl Root {
    pub(super) fn new(child: &Child, port: Option<u16>) -> Self {
        let pid = Pid::from_child(child).as_raw_nonzero().get();
        let started = Process::new(pid).and_then(|process| process.stat()).map(|stat| stat.starttime).ok();
        // Not by `getsid`: in a container the leader may be outside, and the answer 0 is a panic there.
        let session = Process::myself().and_then(|own| own.stat()).map(|stat| stat.session).ok();
        let own = Own { pid: getpid().as_raw_nonzero().get(), session };
        Self { pid, started, port, known: HashSet::new(), own }
    }

    /// Signals every living member that has not been asked yet; returns whether none but the first is alive.
    pub(super) fn signal(&mut self, request: Request, asked: &mut Vec<i32>) -> bool {
        let members = self.members();
        self.known.extend(members.iter().map(|seen| seen.member));
        for seen in members.iter().filter(|seen| seen.is_alive) {
            let pid = seen.member.pid;
            let is_new = !asked.contains(&pid);
            let signal = match request {
                Request::Terminate if is_new => Signal::TERM,
                Request::Kill => Signal::KILL,
                Request::Terminate => continue,
            };
            asked.push(pid);
            if let Some(pid) = Pid::from_raw(pid) {
                // An error means that it ended in this moment, or belongs to another user and can't be helped.
                let _ = kill_process(pid, signal);
            }
        }
        !members.iter().any(|seen| seen.is_alive && seen.member.pid != self.pid)
    }

    /// Returns whether members hold all of these sockets; `None` where a member's files can't be read.
    pub(super) fn holds_sockets(&self, inodes: &[u64]) -> Option<bool> {
        let mut is_all_readable = true;
        let mut missing: HashSet<u64> = inodes.iter().copied().collect();
        for seen in self.members() {
            let Ok(files) = seen.process.fd() else {
                is_all_readable = false;
                continue;
            };
            for file in files.flatten() {
                if let FDTarget::Socket(inode) = file.target {
                    missing.remove(&inode);
                }
            }
        }
        if missing.is_empty() { Some(true) } else { is_all_readable.then_some(false) }
    }

    fn members(&self) -> Vec<Seen> {
        let Ok(processes) = all_processes() else {
            return Vec::new();
        };
        let everything: Vec<Seen> = processes.flatten().filter_map(look).collect();
        let mut found: HashSet<i32> =
            everything.iter().filter(|seen| self.is_marked(seen)).map(|seen| seen.member.pid).collect();
        loop {
            let before = found.len();
            let children =
                everything.iter().filter(|seen| found.contains(&seen.parent)).map(|seen| seen.member.pid);
            found.extend(children.collect::<Vec<_>>());
            if found.len() == before {
                break;
            }
        }
        everything.into_iter().filter(|seen| found.contains(&seen.member.pid)).collect()
    }

    /// Nothing older than the first process can be its descendant, whatever number or mark it carries.
    fn is_marked(&self, seen: &Seen) -> bool {
        let Some(started) = self.started else {
            return seen.member.pid == self.pid;
        };
        if seen.member == (Member { pid: self.pid, started }) || self.known.contains(&seen.member) {
            return true;
        }
        seen.member.started >= started
            && (seen.group == self.pid || self.port.is_some_and(|port| self.serves(seen, port)))
    }

    /// Returns whether a process carries the mark of the tree's port, or is a daemon that carries none.
    ///
    /// Only a service's daemons count: those of a build, such as a compiler's cache, are there to outlive it. What
    /// this process starts itself stays in its session.
    fn serves(&self, seen: &Seen, port: u16) -> bool {
        match port_of(&seen.process) {
            Some(mark) => mark == port.to_string().as_str(),
            None => {
                seen.parent == self.own.pid && self.own.session.is_some_and(|session| session != seen.session)
            }
        }
    }
}

fn look(process: Process) -> Option<Seen> {
    let stat = process.stat().ok()?;
    let member = Member { pid: stat.pid, started: stat.starttime };
    let is_alive = !matches!(stat.state, 'Z' | 'X' | 'x');
    Some(Seen { process, member, parent: stat.ppid, group: stat.pgrp, session: stat.session, is_alive })
}

fn port_of(process: &Process) -> Option<OsString> {
    process.environ().unwrap_or_default().remove(OsStr::new("PORT"))
}
