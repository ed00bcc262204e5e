//! Ctrl-C, and SIGTERM, which CI systems send when they cancel a job.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Whether the command was interrupted, and whether it says itself what it had done until then.
#[derive(Debug)]
pub struct Interruption {
    is_interrupted: watch::Sender<bool>,
    is_reported: AtomicBool,
}

impl Default for Interruption {
    fn default() -> Self {
        Self { is_interrupted: watch::Sender::new(false), is_reported: AtomicBool::new(false) }
    }
}

impl Interruption {
    /// Ends all steps of [`Interruption::until_interrupted`].
    pub fn interrupt(&self) {
        self.is_interrupted.send_replace(true);
    }

    /// Whether the command has begun a step whose parts it reports.
    pub fn is_reported(&self) -> bool {
        self.is_reported.load(Ordering::Relaxed)
    }

    /// Runs a step until it ends or the command is interrupted; `None` if it was interrupted. From here on the command
    /// reports what was done, and it has to come to its end at once.
    pub async fn until_interrupted<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        self.is_reported.store(true, Ordering::Relaxed);
        let mut state = self.is_interrupted.subscribe();
        tokio::select! {
            biased;
            _ = state.wait_for(|it| *it) => None,
            result = step => Some(result),
        }
    }
}

/// The signals that interrupt a command. They are caught from the moment at which this is made.
pub struct Signals {
    #[cfg(unix)]
    streams: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Begins to catch signals, within a runtime. A signal that cannot be caught ends the process, as it does by default.
    #[cfg(unix)]
    pub fn catch() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self { streams: kinds.into_iter().filter_map(|it| signal(it).ok()).collect() }
    }

    #[cfg(not(unix))]
    pub fn catch() -> Self {
        Self {}
    }

    /// Waits for the next signal.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        if self.streams.is_empty() {
            return std::future::pending().await;
        }
        let signals = self.streams.iter_mut().map(|it| Box::pin(it.recv()));
        futures_util::future::select_all(signals).await;
    }

    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
