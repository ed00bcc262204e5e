//! Steps of several parts, such as one for each repository, that tell after Ctrl-C which of them were done.

use std::sync::Mutex;

use ecr_types::lock;
use futures_util::stream::{self, StreamExt};

use crate::cli::shell::Shell;

/// A part of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<T> {
    /// It was not begun.
    Waiting,
    /// It was begun. A request may have had its effect, although its answer was not awaited.
    Running,
    /// It has ended.
    Done(T),
}

/// Runs `work` for each item, at most `concurrency` at the same time, until all have ended or the command is interrupted. The
/// parts are in the order of the items.
pub async fn run_parts<I, T>(
    shell: &Shell,
    items: impl IntoIterator<Item = I>,
    concurrency: usize,
    work: impl AsyncFn(I) -> T,
) -> Vec<Part<T>> {
    let items: Vec<_> = items.into_iter().collect();
    let parts = Mutex::new(items.iter().map(|_| Part::Waiting).collect::<Vec<_>>());
    let (work, all) = (&work, &parts);
    let each = items.into_iter().enumerate().map(|(n, item)| async move {
        lock(all)[n] = Part::Running;
        let result = work(item).await;
        lock(all)[n] = Part::Done(result);
    });
    let step = stream::iter(each).buffer_unordered(concurrency.max(1)).collect::<()>();
    shell.until_interrupted(step).await;
    parts.into_inner().unwrap_or_default()
}
