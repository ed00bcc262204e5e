//! One line at the bottom of the terminal that tells how far the uploads are, all of them together, or what is waited
//! for.
//!
//! Written here rather than taken from a library: four crates more for one line would show in every adopter's cold
//! build.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ecr_types::human::{size, some_of};

use crate::cli::table::cut;

/// The line; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Line>>);

#[derive(Debug, Default)]
struct Line {
    /// Whether there is a terminal to draw on.
    is_visible: bool,
    /// Uploads that have not ended.
    open: usize,
    sent: u64,
    total: u64,
    drawn: Option<Instant>,
    /// What is waited for, each with a number.
    waits: Vec<(u64, &'static str, String)>,
    /// When the first of them began.
    since: Option<Instant>,
    /// The last number.
    last: u64,
}

/// The share of one upload. When it is dropped, the upload has ended.
#[derive(Debug)]
pub struct Bar(Progress);

/// Something that is waited for. When it is dropped, the waiting is over.
#[derive(Debug)]
pub struct Waiting(Progress, u64);

/// How often the line is drawn anew at most.
const PAUSE: Duration = Duration::from_millis(50);
/// Characters of the bar between its brackets.
const WIDTH: u64 = 24;

impl Progress {
    /// A line that is drawn, or one that nobody sees.
    pub fn new(is_visible: bool) -> Self {
        Self(Arc::new(Mutex::new(Line { is_visible, ..Line::default() })))
    }

    /// An upload of `bytes` begins.
    pub fn begin(&self, bytes: u64) -> Bar {
        let mut line = self.line();
        line.open += 1;
        line.total += bytes;
        Bar(self.clone())
    }

    /// Something is waited for.
    pub fn wait(&self, verb: &'static str, what: String) -> Waiting {
        let mut line = self.line();
        line.last += 1;
        let number = line.last;
        line.since.get_or_insert_with(Instant::now);
        line.waits.push((number, verb, what));
        line.draw();
        Waiting(self.clone(), number)
    }

    /// Whether somebody sees the line.
    pub fn is_visible(&self) -> bool {
        self.line().is_visible
    }

    /// Writes something above the line.
    pub fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        let mut line = self.line();
        line.clear();
        let result = write();
        line.draw();
        result
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bar {
    /// `bytes` more have been sent.
    pub fn advance(&self, bytes: u64) {
        let mut line = self.0.line();
        line.sent += bytes;
        if line.drawn.is_none_or(|it| it.elapsed() >= PAUSE) {
            line.draw();
        }
    }
}

impl Waiting {
    /// Sleeps, and lets the line tell how long it has been.
    pub async fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.0.line().draw();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.waits.retain(|(number, ..)| *number != self.1);
        if line.waits.is_empty() {
            line.since = None;
        }
        line.clear();
        line.draw();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.open -= 1;
        if line.open == 0 {
            line.clear();
            (line.sent, line.total) = (0, 0);
        }
    }
}

impl Line {
    fn draw(&mut self) {
        let text = match self.waits.first() {
            _ if !self.is_visible => return,
            _ if self.open > 0 => render(self.sent, self.total),
            Some((_, verb, _)) => {
                let names: Vec<_> = self.waits.iter().map(|(.., what)| what.as_str()).collect();
                let seconds = self.since.map_or(0, |it| it.elapsed().as_secs());
                format!("{verb:>12} {} ({seconds} s)", cut(&some_of(&names, 2), 56))
            }
            None => return,
        };
        self.drawn = Some(Instant::now());
        // Carriage return and "erase to the end of the line" (ECMA-48).
        let _ = write!(std::io::stderr(), "\r{text}\x1b[K");
        let _ = std::io::stderr().flush();
    }

    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn render(sent: u64, total: u64) -> String {
    // An attempt that was made anew counts its bytes again.
    let sent = sent.min(total);
    let done = (sent * WIDTH).checked_div(total).unwrap_or(WIDTH) as usize;
    let bar = "=".repeat(done) + if done < WIDTH as usize { ">" } else { "" };
    format!("{:>12} [{bar:<24}] {} / {}", "Uploading", size(sent), size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_up() {
        assert_eq!(render(0, 2_000_000), "   Uploading [>                       ] 0 B / 2.0 MB");
        assert_eq!(render(1_000_000, 2_000_000), "   Uploading [============>           ] 1.0 MB / 2.0 MB");
        assert_eq!(render(3_000_000, 2_000_000), "   Uploading [========================] 2.0 MB / 2.0 MB");
        assert_eq!(render(0, 0), "   Uploading [========================] 0 B / 0 B");
    }

    #[test]
    fn the_line_is_empty_again_when_all_uploads_have_ended() {
        let progress = Progress::new(false);
        let (one, two) = (progress.begin(10), progress.begin(20));
        one.advance(10);
        drop(one);
        let counts = || {
            let line = progress.line();
            (line.sent, line.total)
        };
        assert_eq!(counts(), (10, 30));
        drop(two);
        assert_eq!(counts(), (0, 0));
    }
}
