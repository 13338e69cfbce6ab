//! Runs a question that waits for the network to its end, for callers that do not wait by themselves.

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::web::failed;
use crate::guard::ControlPlaneError;

/// Runs a conversation with `who` to its end, or until it took too long or is cancelled.
pub(super) fn converse<T: Send>(
    who: &str,
    patience: Duration,
    cancel: &CancellationToken,
    conversation: impl Future<Output = Result<T, ControlPlaneError>> + Send,
) -> Result<T, ControlPlaneError> {
    let talk = async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(failed(format!("interrupted before {who} answered"))),
            () = tokio::time::sleep(patience) => {
                Err(failed(format!("{who} took longer than {} s to answer", patience.as_secs())))
            }
            said = conversation => said,
        }
    };
    block_on(talk).map_err(|error| failed(format!("cannot ask {who}: {error}")))?
}

/// Runs a future to its end on a thread of its own, so that a caller inside another runtime is no trap.
pub(super) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("evidence".into()).spawn_scoped(scope, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(future))
        })?;
        worker.join().unwrap_or_else(|_| Err(io::Error::other("the question could not be asked")))
    })
}
