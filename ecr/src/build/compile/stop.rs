//! Ending a cargo that another thread waits for.

use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use ecr_types::lock;

/// Ends the invocations of cargo of one build, of which one runs at a time. Its clones end the same ones.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    is_stopped: bool,
    running: Option<Child>,
}

impl Stop {
    /// Ends cargo, and lets no other begin. cargo compiles again what its compilers leave unfinished.
    pub fn stop(&self) {
        let mut state = lock(&self.0);
        state.is_stopped = true;
        if let Some(mut running) = state.running.take() {
            // One that has ended by itself cannot be ended.
            let _ = running.kill();
            let _ = running.wait();
        }
    }

    /// Starts cargo, and returns its output and its lines for people. `None` if it is not to begin any more.
    ///
    /// # Errors
    /// cargo cannot be run.
    pub(super) fn start(&self, command: &mut Command) -> Result<Option<(ChildStdout, ChildStderr)>> {
        let mut state = lock(&self.0);
        if state.is_stopped {
            return Ok(None);
        }
        let mut child = command.spawn().context("failed to run cargo")?;
        let pipes = child.stdout.take().zip(child.stderr.take()).context("cargo has no output")?;
        state.running = Some(child);
        Ok(Some(pipes))
    }

    /// Waits for the end of cargo, which has closed its output.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn wait(&self) -> Result<()> {
        let running = lock(&self.0).running.take();
        running.map(|mut it| it.wait()).transpose().context("failed to wait for cargo")?;
        Ok(())
    }
}
