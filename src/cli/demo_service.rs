//! `demo-service`: the embedded preview as a program of its own, started by the demo and by this project's own gate.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use super::failure::{Failure, chain};
use super::session::Session;
use crate::preview::{self, Slowdown};
use crate::verdict::Exit;

/// The variable that slows the service, so that a configured `run` command need not change.
const SLOWER_VARIABLE: &str = "DEMO_SLOWER";

/// Serves until the process is told to end.
pub(super) fn serve(session: &Session, slower: Option<&str>) -> Result<Exit, Failure> {
    let slowdown = match slower.or_else(|| session.variable(SLOWER_VARIABLE)) {
        None => Slowdown::NONE,
        Some(text) => Slowdown::parse(text).ok_or_else(|| {
            Failure::usage(
                format!("{text:?} is not a slowdown"),
                "give a share between -90% and 1000%, such as 30%",
            )
        })?,
    };
    let port: u16 = match session.variable("PORT").map(str::parse) {
        None => 0,
        Some(Ok(port)) => port,
        Some(Err(_)) => return Err(Failure::usage("PORT is not a port", "set PORT to a number up to 65535")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::incomplete(format!("cannot start: {}", chain(&error)), None))?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::incomplete(
                format!("cannot listen on {address}: {}", chain(&error)),
                Some("set PORT to a free port".into()),
            )
        })?;
        if let Ok(address) = listener.local_addr() {
            session.console.status("Listening", &format!("on http://{address}"));
        }
        tokio::select! {
            () = preview::serve(listener, slowdown) => {}
            () = session.cancel.cancelled() => {}
        }
        Ok(Exit::Passed)
    })
}
