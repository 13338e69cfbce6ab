//! Which version of HTTP a run speaks: what the scenario says, or what the server and TLS agree on.
//!
//! It is settled once, before the load, with a connection of its own: how many lines there are must not change in the
//! middle of a run.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::LoadError;
use super::connection::open;
use super::engine::{Engine, timeout};
use super::tls::Tls;
use crate::guard::ClearedTarget;
use crate::scenario::Protocol;

/// Returns how many lines share a connection; `None` for HTTP/1.1.
///
/// A server that cannot be reached agrees on nothing; the run then shows in HTTP/1.1 what is wrong with it.
pub(crate) fn agree(
    protocol: Protocol,
    target: &ClearedTarget,
    tls: Option<&Tls>,
    patience: Duration,
) -> Result<Option<NonZeroUsize>, LoadError> {
    let (streams, is_agreed) = match (protocol, tls) {
        (Protocol::Http1, _) | (Protocol::Auto { .. }, None) => return Ok(None),
        (Protocol::Http2 { streams }, _) => (streams, true),
        (Protocol::Auto { streams }, Some(tls)) => {
            (streams, ask(target, tls, patience).map_err(LoadError::Worker)?)
        }
    };
    Ok(NonZeroUsize::new(streams.get() as usize).filter(|_| is_agreed))
}

fn ask(target: &ClearedTarget, tls: &Tls, patience: Duration) -> io::Result<bool> {
    let answer = Engine::new()?.block_on(async { timeout(patience, open(target, 0, Some(tls))).await })?;
    Ok(matches!(answer, Some(Ok(stream)) if stream.is_http2()))
}
