//! Signals that ask a process to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that SIGINT or SIGTERM cancels, so that the process drains; a second signal ends it at once.
///
/// # Panics
/// Outside of a tokio runtime, or when the system refuses a signal handler.
pub fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let mut interrupt = listen(SignalKind::interrupt());
    let mut terminate = listen(SignalKind::terminate());
    let stopping = stop.clone();
    tokio::spawn(async move {
        let name = either(&mut interrupt, &mut terminate).await;
        tracing::info!(signal = name, "stopping; a second signal ends the process at once");
        stopping.cancel();
        either(&mut interrupt, &mut terminate).await;
        // 128 + SIGINT, as shells report an interrupted command.
        std::process::exit(130);
    });
    stop
}

fn listen(kind: SignalKind) -> Signal {
    signal(kind).expect("the system allows a handler for SIGINT and SIGTERM")
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
