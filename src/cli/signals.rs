//! Turns Ctrl-C, termination and hang-up into a cancellation, so that every way out runs the destructors that stop
//! what was started.

use std::sync::mpsc;

use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled by the first signal that asks the process to end.
pub(super) fn cancelled_by_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let (ready, is_ready) = mpsc::channel::<()>();
    // Without the thread a signal ends the process at once; the run itself is not affected, so its failure is no error.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(first_signal(ready));
            cancelled.cancel();
            // Later signals find the handlers still in place and change nothing: the way out is already taken.
            runtime.block_on(std::future::pending::<()>());
        }
    });
    // Ends when the handlers are in place or can't be: nothing is started that an early signal would leave behind.
    let _ = is_ready.recv();
    token
}

#[cfg(unix)]
async fn first_signal(ready: mpsc::Sender<()>) {
    use tokio::signal::unix::{SignalKind, signal};

    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        drop(ready);
        return std::future::pending().await;
    };
    drop(ready);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

#[cfg(not(unix))]
async fn first_signal(ready: mpsc::Sender<()>) {
    // This system's handler is made by the first wait, which nothing can overtake by more than a moment.
    drop(ready);
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
