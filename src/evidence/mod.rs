//! Room `evidence`: asks the network and the system what the guard wants to know, and judges nothing.
//!
//! Each file answers one trait of `guard`. Nothing here follows a redirect, uses a proxy or dials an address that the
//! guard did not name; name servers and the forge are asked where the system and the policy say they are.

mod base;
mod forge;
mod gitlab;
mod google;
mod listeners;
mod marker;
mod names;
mod runtime;
mod watch;
mod web;

pub use base::RemoteBase;
pub use forge::Forges;
pub use gitlab::GITLAB_TOKEN_VARIABLE;
pub use google::{GOOGLE_TOKEN_VARIABLE, Google};
pub use listeners::SystemListeners;
pub use marker::HttpMarker;
pub use names::NameServers;
pub use watch::{AskWorld, Revoke, Rounds, Watch};

use crate::guard::Outside;
use crate::secret::Secret;

/// The world as it is: the one that every command asks.
#[derive(Debug, Default)]
pub struct World {
    names: NameServers,
    forge: Forges,
    marker: HttpMarker,
    listeners: SystemListeners,
    marker_key: Option<Secret>,
}

impl AskWorld for World {
    fn outside(&self) -> Outside<'_> {
        self.outside()
    }
}

impl World {
    /// Returns the same world with other name servers.
    #[must_use]
    pub fn with_name_servers(self, names: NameServers) -> Self {
        Self { names, ..self }
    }

    /// Returns the same world with forges that can be asked.
    #[must_use]
    pub fn with_forges(self, forge: Forges) -> Self {
        Self { forge, ..self }
    }

    /// Returns the same world as somebody sees it who may have the key that markers are signed with.
    #[must_use]
    pub fn with_marker_key(self, marker_key: Option<Secret>) -> Self {
        Self { marker_key, ..self }
    }

    /// Returns what the guard may ask.
    #[must_use]
    pub fn outside(&self) -> Outside<'_> {
        Outside {
            resolver: &self.names,
            control_plane: &self.forge,
            marker: &self.marker,
            listeners: &self.listeners,
            marker_key: self.marker_key.as_ref(),
        }
    }
}
