//! The output of a command, line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// What a command has said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    pub lines: Vec<String>,
    /// Whether the last line was kept back, because it may be the error of the command, which is reported in another
    /// place.
    pub is_last_kept: bool,
}

impl Output {
    /// The last line, if it was kept back.
    pub(super) fn kept(&self) -> Option<&str> {
        self.lines.last().filter(|_| self.is_last_kept).map(String::as_str)
    }
}

/// How long a line is kept back while the command goes on.
const KEPT: Duration = Duration::from_millis(200);

/// Reads all lines. `show` gets each of them, but for one after which the output ends at once.
pub(super) fn read(pipe: impl Read + Send, show: impl Fn(&str)) -> Output {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || {
            let lines = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
            lines.map(text).try_for_each(|it| sender.send(it))
        });
        collect(&receiver, show)
    })
}

fn collect(lines: &Receiver<String>, show: impl Fn(&str)) -> Output {
    let mut output = Output::default();
    loop {
        let next = match output.is_last_kept {
            true => lines.recv_timeout(KEPT),
            false => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if let (true, Ok(_) | Err(RecvTimeoutError::Timeout)) = (output.is_last_kept, &next) {
            output.lines.last().into_iter().for_each(|it| show(it));
        }
        match next {
            Ok(line) => {
                output.lines.push(line);
                output.is_last_kept = true;
            }
            Err(RecvTimeoutError::Timeout) => output.is_last_kept = false,
            Err(RecvTimeoutError::Disconnected) => return output,
        }
    }
}

/// A line without its end. A program may print names that are no text.
fn text(mut line: Vec<u8>) -> String {
    line.pop_if(|it| *it == b'\r');
    String::from_utf8_lossy(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn output_keeps_only_the_last_line_back() {
        let shown = Mutex::new(Vec::new());
        let output = read(&b"one\r\ntwo \xe9\nerror"[..], |it| shown.lock().unwrap().push(it.to_owned()));
        assert_eq!(output.lines, ["one", "two \u{fffd}", "error"]);
        assert!(output.is_last_kept);
        assert_eq!(shown.into_inner().unwrap(), ["one", "two \u{fffd}"]);
    }

    #[test]
    fn output_shows_a_line_after_which_the_program_goes_on() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (sender, receiver) = mpsc::channel();
        let reading = thread::spawn(move || read(reader, |it| sender.send(it.to_owned()).unwrap()));
        std::io::Write::write_all(&mut &writer, b"building\n").unwrap();
        assert_eq!(receiver.recv().unwrap(), "building");
        drop(writer);
        let output = reading.join().unwrap();
        assert_eq!((output.lines.len(), output.is_last_kept), (1, false));
    }
}
