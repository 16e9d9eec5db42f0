//! Ctrl-C and SIGTERM: the first asks a run to stop once what it has done is safe, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context;

/// The exit code of a run that was stopped: what shells give a process that Ctrl-C ended.
pub const EXIT_CODE: u8 = 130;

/// Whether the process was asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Whether the process was asked to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Listens from now on, and calls `first` at the first request. Without this a signal ends the process.
    ///
    /// # Errors
    /// When the system gives no way to listen.
    pub fn listen(&self, first: impl Fn() + Send + 'static) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context("cannot listen for Ctrl-C")?;
        let requested = Arc::clone(&self.0);
        let mut signals = {
            let _inside = runtime.enter();
            Signals::new().context("cannot listen for Ctrl-C")?
        };
        thread::spawn(move || {
            runtime.block_on(async {
                signals.next().await;
                requested.store(true, Ordering::Relaxed);
                first();
                signals.next().await;
            });
            std::process::exit(i32::from(EXIT_CODE));
        });
        Ok(())
    }
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
