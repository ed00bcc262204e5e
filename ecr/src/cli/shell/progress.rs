//! The progress line at the bottom of the terminal: the total progress of all transfers, or what the command
//! waits for.
//!
//! This is not a library because four more crates for one line would slow down every adopter's first build.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ecr_types::human::{size, some_of};
use ecr_types::lock;

use super::Printable;
use crate::cli::table::cut;

/// A handle to the progress line. Clones share the line.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<LineState>>);

#[derive(Debug, Default)]
struct LineState {
    /// Whether there is a terminal to draw on.
    is_visible: bool,
    /// The number of transfers that have not ended.
    transfers: usize,
    /// What they do: `Uploading`, `Pulling`.
    verb: &'static str,
    sent: u64,
    total: u64,
    /// The start of the first of them.
    transferring_since: Option<Instant>,
    /// The steps that are done, and all steps.
    steps: Option<(usize, usize)>,
    drawn_at: Option<Instant>,
    /// What the command waits for: an ID, a verb and a description each.
    waits: Vec<(u64, &'static str, String)>,
    /// The start of the first of them.
    waiting_since: Option<Instant>,
    /// The last ID.
    last_id: u64,
}

/// One transfer in the progress line. It ends when this is dropped.
#[derive(Debug)]
pub struct Bar(Progress);

/// Several steps in the progress line, such as the services that are compiled. They end when this is dropped.
#[derive(Debug)]
pub struct Steps(Progress);

/// One thing that the command waits for. The wait ends when this is dropped.
#[derive(Debug)]
pub struct Waiting(Progress, u64);

/// The minimum time between two redraws during a transfer.
const REDRAW_INTERVAL: Duration = Duration::from_millis(50);
/// The width of the bar between its brackets, in characters.
const BAR_WIDTH: u64 = 20;

impl Progress {
    /// A progress line. It is never drawn unless `is_visible`.
    pub fn new(is_visible: bool) -> Self {
        Self(Arc::new(Mutex::new(LineState { is_visible, ..LineState::default() })))
    }

    /// Adds a transfer of `bytes` bytes.
    pub fn begin(&self, verb: &'static str, bytes: u64) -> Bar {
        let mut line = self.line();
        line.transfers += 1;
        line.transferring_since.get_or_insert_with(Instant::now);
        line.verb = verb;
        line.total += bytes;
        Bar(self.clone())
    }

    /// Shows how many of `total` steps are done.
    pub fn steps(&self, total: usize) -> Steps {
        let mut line = self.line();
        line.steps = Some((0, total));
        line.draw();
        Steps(self.clone())
    }

    /// Adds something that the command waits for.
    pub fn wait(&self, verb: &'static str, what: String) -> Waiting {
        let mut line = self.line();
        line.last_id += 1;
        let id = line.last_id;
        line.waiting_since.get_or_insert_with(Instant::now);
        line.waits.push((id, verb, Printable::line(&what).to_string()));
        line.draw();
        Waiting(self.clone(), id)
    }

    pub fn is_visible(&self) -> bool {
        self.line().is_visible
    }

    /// Clears the line, calls `write`, and draws the line again.
    pub fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        let mut line = self.line();
        line.clear();
        let result = write();
        line.draw();
        result
    }

    fn line(&self) -> MutexGuard<'_, LineState> {
        lock(&self.0)
    }
}

impl Bar {
    /// Adds `bytes` to the number of bytes that were transferred.
    pub fn advance(&self, bytes: u64) {
        let mut line = self.0.line();
        line.sent += bytes;
        if line.drawn_at.is_none_or(|it| it.elapsed() >= REDRAW_INTERVAL) {
            line.draw();
        }
    }
}

impl Steps {
    /// One more step is done.
    pub fn advance(&self) {
        let mut line = self.0.line();
        line.steps = line.steps.map(|(done, total)| (done + 1, total));
        line.draw();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.steps = None;
        line.clear();
        line.draw();
    }
}

impl Waiting {
    /// Sleeps, and updates the elapsed time in the line every second.
    pub async fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.0.line().draw();
            let remaining = end.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining.min(Duration::from_secs(1))).await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.waits.retain(|(id, ..)| *id != self.1);
        if line.waits.is_empty() {
            line.waiting_since = None;
        }
        line.clear();
        line.draw();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.transfers -= 1;
        if line.transfers == 0 {
            line.clear();
            (line.sent, line.total, line.transferring_since) = (0, 0, None);
        }
    }
}

impl LineState {
    fn draw(&mut self) {
        if let Some((done, total)) = self.steps.filter(|_| self.is_visible) {
            let transfer = match self.transfers {
                0 => String::new(),
                _ => format!(", {} / {} sent", size(self.sent.min(self.total)), size(self.total)),
            };
            self.print(&format!(
                "{:>12} [{}] {done}/{total} services{transfer}",
                "Building",
                bar(done as u64, total as u64)
            ));
            return;
        }
        let text = match self.waits.first() {
            _ if !self.is_visible => return,
            _ if self.transfers > 0 => {
                let time = self.transferring_since.map_or(Duration::ZERO, |it| it.elapsed());
                render(self.verb, self.sent, self.total) + &rate(self.sent, self.total, time)
            }
            Some((_, verb, _)) => {
                let names: Vec<_> = self.waits.iter().map(|(.., what)| what.as_str()).collect();
                let seconds = self.waiting_since.map_or(0, |it| it.elapsed().as_secs());
                format!("{verb:>12} {} ({seconds} s)", cut(&some_of(&names, 2), 56))
            }
            None => return,
        };
        self.print(&text);
    }

    fn print(&mut self, text: &str) {
        self.drawn_at = Some(Instant::now());
        // Carriage return and "erase to the end of the line" (ECMA-48).
        let _ = write!(std::io::stderr(), "\r{text}\x1b[K");
        let _ = std::io::stderr().flush();
    }

    fn clear(&mut self) {
        if self.drawn_at.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn render(verb: &str, sent: u64, total: u64) -> String {
    // A retried transfer counts its bytes again.
    let sent = sent.min(total);
    format!("{verb:>12} [{}] {} / {}", bar(sent, total), size(sent), size(total))
}

/// How fast a transfer is, and the time that is left at this rate. Empty in the first second, which says little.
fn rate(sent: u64, total: u64, time: Duration) -> String {
    let per_second = (sent as f64 / time.as_secs_f64()) as u64;
    if time < Duration::from_secs(1) || per_second == 0 {
        return String::new();
    }
    let left = total.saturating_sub(sent).div_ceil(per_second);
    let left = if left < 120 { format!("{left} s") } else { format!("{} min", left.div_ceil(60)) };
    format!(", {}/s, {left} left", size(per_second))
}

fn bar(done: u64, total: u64) -> String {
    let done = (done * BAR_WIDTH).checked_div(total).unwrap_or(BAR_WIDTH) as usize;
    let bar = "=".repeat(done) + if done < BAR_WIDTH as usize { ">" } else { "" };
    format!("{bar:<20}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_fills_up() {
        assert_eq!(render("Uploading", 0, 2_000_000), "   Uploading [>                   ] 0 B / 2.0 MB");
        assert_eq!(
            render("Uploading", 1_000_000, 2_000_000),
            "   Uploading [==========>         ] 1.0 MB / 2.0 MB"
        );
        assert_eq!(
            render("Uploading", 3_000_000, 2_000_000),
            "   Uploading [====================] 2.0 MB / 2.0 MB"
        );
        assert_eq!(render("Uploading", 0, 0), "   Uploading [====================] 0 B / 0 B");
    }

    #[test]
    fn line_tells_rate_and_time_left_within_80_columns() {
        let after = |sent, seconds| rate(sent, 300_000_000, Duration::from_millis(seconds));
        assert_eq!(after(10_000_000, 900), "");
        assert_eq!(after(0, 5000), "");
        assert_eq!(after(100_000_000, 4000), ", 25.0 MB/s, 8 s left");
        assert_eq!(after(1_000_000, 10_000), ", 100.0 kB/s, 50 min left");
        assert_eq!(after(400_000_000, 4000), ", 100.0 MB/s, 0 s left");
        let line = render("Compressing", 888_800_000, 999_900_000) + &after(888_800_000, 1000);
        assert!(line.len() <= 80, "{line}");
    }

    #[test]
    fn bar_counts_steps() {
        assert_eq!(bar(12, 50), "====>               ");
        assert_eq!(bar(50, 50), "=".repeat(20));
    }

    #[test]
    fn line_is_reset_when_all_transfers_have_ended() {
        let progress = Progress::new(false);
        let (first, second) = (progress.begin("Uploading", 10), progress.begin("Uploading", 20));
        first.advance(10);
        drop(first);
        let counts = || {
            let line = progress.line();
            (line.sent, line.total)
        };
        assert_eq!(counts(), (10, 30));
        drop(second);
        assert_eq!(counts(), (0, 0));
    }
}
