//! A network of our own: a namespace with addresses on its loopback and a name server that knows what a test says.
//!
//! Nothing leads out of it, so that load which goes astray reaches nobody. It is gone when the value is dropped.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::name_server::{Zone, a};
use crate::parts;

/// Where the name server listens.
const NAME_SERVER: &str = "10.77.0.53:53";

/// A network namespace.
pub(crate) struct Namespace {
    name: String,
    settings: PathBuf,
    zone: Zone,
}

impl Namespace {
    /// Makes a namespace with addresses, in which names have the addresses of a table.
    pub(crate) fn make(addresses: &[&str], names: &[(&str, &str)]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        parts::require("netns")?;
        let name = format!("loadgate-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let settings = PathBuf::from("/etc/netns").join(&name);
        let namespace = Self { name, settings, zone: Zone::default() };
        ip(&["netns", "add", &namespace.name]);
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"]);
        for address in addresses.iter().chain(&["10.77.0.53"]) {
            ip(&["-n", &namespace.name, "address", "add", &format!("{address}/32"), "dev", "lo"]);
        }
        std::fs::create_dir_all(&namespace.settings).unwrap();
        std::fs::write(namespace.settings.join("resolv.conf"), "nameserver 10.77.0.53\n").unwrap();
        for (name, address) in names {
            namespace.zone.set(name, &[a(address)]);
        }
        namespace.zone.serve(namespace.enter(|| UdpSocket::bind(NAME_SERVER).unwrap()));
        Some(namespace)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the names of the network stand for; a test may change it.
    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
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
