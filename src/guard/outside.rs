//! The outside is all that the guard may ask of the world: names, markers and listening processes.
//!
//! The guard itself opens nothing and reads nothing. Room `evidence` asks the network and the system; what comes back
//! is plain data, and the layers judge it.

use std::net::SocketAddr;

use super::control_plane::ControlPlane;
use super::resolve::Resolve;
use crate::secret::Secret;
use crate::target::Origin;

/// What the guard may ask of the world.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Finds what DNS says of a host.
    pub resolver: &'a dyn Resolve,
    /// Tells what the forge knows of the pull request and its deployments.
    pub control_plane: &'a dyn ControlPlane,
    /// Asks a pinned address for its marker.
    pub marker: &'a dyn AskMarker,
    /// Finds who listens on a port of this machine.
    pub listeners: &'a dyn FindListener,
    /// The key that markers are signed with, where this job has it.
    pub marker_key: Option<&'a Secret>,
}

/// Asks a remote target who it is.
pub trait AskMarker {
    /// Sends one `GET` with a fresh nonce to one of the addresses; follows nothing and uses no proxy.
    fn ask(&self, question: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure>;
}

/// Whom to ask for a marker.
#[derive(Debug, Clone, Copy)]
pub struct MarkerQuestion<'a> {
    /// Scheme, host and port; the certificate must be for the host.
    pub origin: &'a Origin,
    /// The addresses that may be dialled.
    pub addresses: &'a [SocketAddr],
    /// Extra root certificates, DER.
    pub trusted_roots: &'a [Vec<u8>],
}

/// What came back, not judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarkerAnswer {
    /// The nonce that was sent: 32 hexadecimal digits.
    pub nonce: String,
    /// The status code.
    pub status: u16,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The header `Age`, which only caches write.
    pub age: Option<String>,
    /// The header `Location`.
    pub location: Option<String>,
    /// The header `Loadgate-Preview`; several of them are joined by commas.
    pub header: Option<String>,
    /// The certificate of the server, DER.
    pub certificate: Option<Vec<u8>>,
    /// The body, or nothing where it was longer than a marker can be.
    pub body: Option<Vec<u8>>,
}

/// Why no answer came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerFailure {
    /// The certificate is not one for the host that a trusted root vouches for.
    #[error("the certificate cannot be verified: {0}")]
    Certificate(String),
    /// The server cannot be reached, broke off or was too slow.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// Finds who listens on this machine.
pub trait FindListener {
    /// Returns the processes that hold the sockets which listen at an address; `None` where the system doesn't tell.
    fn find(&self, address: SocketAddr) -> Option<Vec<Listener>>;
}

/// A process that holds a listening socket, or the socket alone where its process cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The user that opened the socket.
    pub user: u32,
    /// The process, where it can be seen.
    pub process: Option<ListeningProcess>,
}

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningProcess {
    /// Its number.
    pub pid: i32,
    /// What it is called: the names of its program file and of its first argument, and its own name for itself.
    pub names: Vec<String>,
    /// Whether this program started it, or a process that this program started did.
    pub is_ours: bool,
}
