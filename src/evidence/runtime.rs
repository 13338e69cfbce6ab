//! Runs a question that waits for the network to its end, for callers that do not wait by themselves.

use std::io;

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
