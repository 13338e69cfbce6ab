//! Finds the processes that hold the sockets listening at a loopback address, as `/proc` tells them.
//!
//! Other systems than Linux don't tell without tools of their own; there the answer is that nothing is known.

use std::net::SocketAddr;

use crate::guard::{FindListener, Listener};
#[cfg(target_os = "linux")]
use crate::sockets;

/// This system's sockets and processes.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemListeners;

impl FindListener for SystemListeners {
    #[cfg(target_os = "linux")]
    fn find(&self, address: SocketAddr) -> Option<Vec<Listener>> {
        let mut sockets = sockets::listening_on(address.port())?;
        sockets.retain(|socket| socket.answers_at(address.ip()));
        Some(linux::holders_of(&sockets))
    }

    #[cfg(not(target_os = "linux"))]
    fn find(&self, _: SocketAddr) -> Option<Vec<Listener>> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CStr;
    use std::path::Path;

    use procfs::process::{FDTarget, Process, all_processes};
    use rustix::fs::{Dir, readlinkat};

    use crate::guard::{Listener, ListeningProcess};
    use crate::sockets::ListeningSocket;

    /// Deeper families than this are cut off: nothing that was started here is so many generations away.
    const MAX_GENERATIONS: usize = 64;

    /// Programs whose first argument says what they do.
    const INTERPRETERS: [&str; 9] = ["node", "bun", "deno", "ruby", "perl", "java", "sh", "bash", "python"];

    /// Returns every process that holds one of the sockets, and each socket whose process cannot be seen.
    pub(super) fn holders_of(sockets: &[ListeningSocket]) -> Vec<Listener> {
        if sockets.is_empty() {
            return Vec::new();
        }
        let mut unseen: Vec<&ListeningSocket> = sockets.iter().collect();
        let mut listeners = Vec::new();
        for process in all_processes().into_iter().flatten().flatten() {
            let held = held_by(&process, sockets);
            unseen.retain(|socket| !held.contains(socket));
            if let Some(socket) = held.first() {
                listeners.push(Listener { user: socket.user, process: Some(known(&process)) });
            }
        }
        listeners.extend(unseen.iter().map(|socket| Listener { user: socket.user, process: None }));
        listeners
    }

    /// Returns those of the sockets that a process holds: a server may have several on one port.
    fn held_by<'s>(process: &Process, sockets: &'s [ListeningSocket]) -> Vec<&'s ListeningSocket> {
        let mut held = Vec::new();
        // Processes of other users keep their files to themselves.
        let Some(mut files) = process.open_relative("fd").ok().and_then(|folder| Dir::new(folder).ok())
        else {
            return held;
        };
        while held.len() < sockets.len()
            && let Some(file) = files.read()
        {
            let inode = file.ok().and_then(|file| socket_of(&files, file.file_name()));
            if let Some(socket) = sockets.iter().find(|socket| Some(socket.inode) == inode)
                && !held.contains(&socket)
            {
                held.push(socket);
            }
        }
        held
    }

    /// Returns the socket that a file of a process is.
    ///
    /// `Process::fd` would tell as much, but opens, asks for and closes every file for its mode.
    fn socket_of(folder: &Dir, file: &CStr) -> Option<u64> {
        let target = readlinkat(folder.fd().ok()?, file, Vec::new()).ok()?;
        match target.to_str().ok()?.parse() {
            Ok(FDTarget::Socket(inode)) => Some(inode),
            _ => None,
        }
    }

    fn known(process: &Process) -> ListeningProcess {
        ListeningProcess { pid: process.pid(), names: names_of(process), is_ours: is_ours(process) }
    }

    /// Returns every name the process goes by; programs name themselves as they like, so that one is not enough.
    fn names_of(process: &Process) -> Vec<String> {
        let mut names = Vec::new();
        let mut add = |name: Option<String>| {
            if let Some(name) = name.filter(|name| !name.is_empty() && !names.contains(name)) {
                names.push(name);
            }
        };
        add(process.exe().ok().and_then(|path| last_part(&path.to_string_lossy())));
        let arguments = process.cmdline().unwrap_or_default();
        add(arguments.first().and_then(|argument| last_part(argument)));
        add(process.stat().ok().map(|stat| stat.comm));
        let is_interpreted =
            names.iter().any(|name| INTERPRETERS.iter().any(|interpreter| name.starts_with(interpreter)));
        let program = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
        if let Some(program) = program.filter(|_| is_interpreted) {
            names.extend(last_part(program));
        }
        names
    }

    /// Returns the name of a program's file: `sshd: user` and `/usr/bin/ssh (deleted)` name `sshd` and `ssh`.
    fn last_part(text: &str) -> Option<String> {
        let path = text.split([':', ' ']).next()?;
        Some(Path::new(path).file_name()?.to_string_lossy().into_owned())
    }

    /// Returns whether this process is the process or an ancestor of it; orphans below this process come back to it.
    fn is_ours(process: &Process) -> bool {
        let Ok(own) = Process::myself() else { return false };
        let mut pid = process.pid();
        for _ in 0..MAX_GENERATIONS {
            if pid == own.pid() {
                return true;
            }
            match Process::new(pid).and_then(|process| process.stat()) {
                Ok(stat) if stat.ppid > 0 => pid = stat.ppid,
                _ => return false,
            }
        }
        false
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_program_is_named_by_its_file() {
            for (text, name) in [
                ("/usr/bin/ssh", "ssh"),
                ("sshd: root@notty", "sshd"),
                ("/usr/bin/ssh (deleted)", "ssh"),
                ("./shop", "shop"),
            ] {
                assert_eq!(last_part(text).as_deref(), Some(name));
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_socket_is_traced_to_the_process_that_holds_it() {
        for bound_to in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let listener = TcpListener::bind(bound_to).unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));

            let found = SystemListeners.find(address).unwrap();

            let process = found[0].process.as_ref().unwrap();
            assert_eq!(process.pid, i32::try_from(std::process::id()).unwrap(), "{bound_to}");
            assert!(
                process.names.iter().any(|name| name.starts_with("cargo_loadgate")),
                "{:?}",
                process.names
            );
        }
    }

    #[test]
    fn a_process_with_several_sockets_on_one_port_is_seen_once_and_hides_none_of_them() {
        let listen = |address: SocketAddr| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&address.into()).unwrap();
            socket.listen(8).unwrap();
            socket
        };
        let first = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = first.local_addr().unwrap().as_socket().unwrap();
        let _second = listen(address);

        let found = SystemListeners.find(address).unwrap();

        let pids: Vec<_> = found.iter().map(|listener| listener.process.as_ref().unwrap().pid).collect();
        assert_eq!(pids, [i32::try_from(std::process::id()).unwrap()]);
    }

    #[test]
    fn who_listens_for_ipv6_alone_does_not_answer_for_ipv4() {
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        socket.set_only_v6(true).unwrap();
        socket.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.listen(8).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();

        let found = |ip| SystemListeners.find(SocketAddr::new(ip, port)).unwrap().len();

        assert_eq!((found(Ipv4Addr::LOCALHOST.into()), found(Ipv6Addr::LOCALHOST.into())), (0, 1));
    }

    #[test]
    fn where_nobody_listens_nobody_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = listener.local_addr().unwrap();
        drop(listener);

        assert_eq!(SystemListeners.find(free).unwrap(), []);
    }

    #[test]
    fn a_child_that_listens_is_ours_and_bears_its_name() {
        let program = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); \
                       print(s.getsockname()[1], flush=True); sys.stdin.read()";
        let started = Command::new("python3")
            .args(["-c", program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            assert_ne!(option_env!("CI"), Some("true"), "nothing is skipped in CI: there is no python3");
            return;
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));

        let found = SystemListeners.find(address).unwrap();

        let process = found[0].process.clone().unwrap();
        assert_eq!(u32::try_from(process.pid).unwrap(), child.id());
        assert!(process.is_ours);
        assert!(process.names.iter().any(|name| name.starts_with("python3")), "{:?}", process.names);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
