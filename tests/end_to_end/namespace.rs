//! A network of our own: a namespace with addresses on its loopback and a name server that knows what a test says.
//!
//! Nothing leads out of it, so that load which goes astray reaches nobody. It is gone when the value is dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::parts;

/// Where the name server listens.
const NAME_SERVER: &str = "10.77.0.53:53";

/// The bit of a DNS answer that says that it is one, with the name server's other usual flags.
const IS_ANSWER: [u8; 2] = [0x85, 0x80];

/// A network namespace.
pub(crate) struct Namespace {
    name: String,
    settings: PathBuf,
}

impl Namespace {
    /// Makes a namespace with addresses, in which names have the addresses of a table.
    pub(crate) fn make(addresses: &[&str], names: &[(&str, &str)]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        parts::require("netns")?;
        let name = format!("loadgate-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let settings = PathBuf::from("/etc/netns").join(&name);
        let namespace = Self { name, settings };
        ip(&["netns", "add", &namespace.name]);
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"]);
        for address in addresses.iter().chain(&["10.77.0.53"]) {
            ip(&["-n", &namespace.name, "address", "add", &format!("{address}/32"), "dev", "lo"]);
        }
        std::fs::create_dir_all(&namespace.settings).unwrap();
        std::fs::write(namespace.settings.join("resolv.conf"), "nameserver 10.77.0.53\n").unwrap();
        namespace.serve_names(names);
        Some(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Listens at an address of the namespace.
    pub(crate) fn listen(&self, address: &str) -> TcpListener {
        self.enter(|| TcpListener::bind(address).unwrap())
    }

    /// Calls a function on a thread inside the namespace; sockets that it makes stay there.
    pub(crate) fn enter<T: Send>(&self, call: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                call()
            });
            inside.join().unwrap()
        })
    }

    fn serve_names(&self, names: &[(&str, &str)]) {
        let socket = self.enter(|| UdpSocket::bind(NAME_SERVER).unwrap());
        let table: BTreeMap<Vec<u8>, Ipv4Addr> =
            names.iter().map(|(name, address)| (labels(name), address.parse().unwrap())).collect();
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((size, asker)) = socket.recv_from(&mut query) {
                if let Some(answer) = answer(&query[..size], &table) {
                    let _ = socket.send_to(&answer, asker);
                }
            }
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
        let _ = std::fs::remove_dir_all(&self.settings);
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns a name as DNS writes it: every label behind its length, and an empty one at the end.
fn labels(name: &str) -> Vec<u8> {
    let mut labels = Vec::new();
    for label in name.split('.') {
        labels.push(u8::try_from(label.len()).unwrap());
        labels.extend(label.as_bytes());
    }
    labels.push(0);
    labels
}

/// Answers one question for an IPv4 address; other kinds of address are known not to exist.
fn answer(query: &[u8], table: &BTreeMap<Vec<u8>, Ipv4Addr>) -> Option<Vec<u8>> {
    let (header, rest) = query.split_at_checked(12)?;
    let name_end = rest.iter().position(|&byte| byte == 0)? + 1;
    let (question, kind) = (rest.get(..name_end + 4)?, rest.get(name_end..name_end + 2)?);
    let found = table.get(&rest[..name_end].to_ascii_lowercase());
    let has_record = found.is_some() && kind == [0, 1];
    let flags = [IS_ANSWER[0], IS_ANSWER[1] | if found.is_some() { 0 } else { 3 }];
    let mut answer = [&header[..2], &flags, &[0, 1, 0, u8::from(has_record), 0, 0, 0, 0], question].concat();
    if let Some(address) = found.filter(|_| has_record) {
        // The name of the question, an IPv4 address, class internet, not to be kept.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
