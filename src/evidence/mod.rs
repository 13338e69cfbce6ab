//! Room `evidence`: asks the network and the system what the guard wants to know, and judges nothing.
//!
//! Each file answers one trait of `guard::outside`. Nothing here follows a redirect, uses a proxy or dials an address
//! that the guard did not name.

mod forge;
mod names;

use crate::guard::{AskMarker, FindListener, Listener, MarkerAnswer, MarkerFailure, MarkerQuestion, Outside};

pub use forge::Forges;
pub use names::SystemNames;

/// The world as it is: the one that every command asks.
#[derive(Debug, Default)]
pub struct World {
    names: SystemNames,
    forge: Forges,
    marker: Unasked,
    listeners: Unasked,
}

impl World {
    /// Returns the same world with forges that can be asked.
    #[must_use]
    pub fn with_forges(self, forge: Forges) -> Self {
        Self { forge, ..self }
    }

    /// Returns what the guard may ask.
    #[must_use]
    pub fn outside(&self) -> Outside<'_> {
        Outside {
            resolver: &self.names,
            control_plane: &self.forge,
            marker: &self.marker,
            listeners: &self.listeners,
            marker_key: None,
        }
    }
}

/// Knows nothing.
#[derive(Debug, Default)]
struct Unasked;

impl AskMarker for Unasked {
    fn ask(&self, _: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
        Ok(MarkerAnswer { status: 404, ..MarkerAnswer::default() })
    }
}

impl FindListener for Unasked {
    fn find(&self, _: std::net::SocketAddr) -> Option<Vec<Listener>> {
        None
    }
}
