//! Columns of text as people read them, within the width of a terminal.

use anstyle::{AnsiColor, Style};
use ecr_types::human::printable;

/// The width that every table keeps to.
pub const WIDTH: usize = 80;

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// To be looked at.
    Warning,
    /// Wrong.
    Bad,
    /// Beside the point.
    Dim,
    /// The name of something.
    Title,
}

/// A piece of text with its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
    /// Text that is cut where the line would be too long.
    Flexible,
}

/// Rows below a line of titles.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Title => Style::new().bold(),
        }
    }

    /// `text` in the tone's colour.
    pub fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

impl Cell {
    /// Text in a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: printable(&text.into()), tone }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub fn add(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// The lines, each of them indented by so many spaces and at most [`WIDTH`] characters long as long as the
    /// flexible columns can give way.
    pub fn lines(&self, indent: usize) -> impl Iterator<Item = String> + '_ {
        let widths = self.widths(indent);
        let titles: Vec<_> = self.columns.iter().map(|(title, _)| Cell::new(*title, Tone::Dim)).collect();
        let title = self.line(&titles, &widths, indent);
        let rows = self.rows.iter().map(move |row| self.line(row, &widths, indent));
        std::iter::once(title).chain(rows)
    }

    /// As wide as what is in them; too wide a table takes from its flexible columns, the widest first.
    fn widths(&self, indent: usize) -> Vec<usize> {
        let width = |n: usize, title: &str| {
            let cells = self.rows.iter().map(|row| row[n].text.chars().count());
            cells.max().unwrap_or_default().max(title.chars().count())
        };
        let mut widths: Vec<_> =
            self.columns.iter().enumerate().map(|(n, (title, _))| width(n, title)).collect();
        let gaps = indent + GAP * self.columns.len().saturating_sub(1);
        let flexible = |n: &usize| self.columns[*n].1 == Align::Flexible;
        while gaps + widths.iter().sum::<usize>() > WIDTH {
            let Some(n) = (0..widths.len()).filter(flexible).max_by_key(|n| widths[*n]) else { break };
            if widths[n] <= NARROWEST {
                break;
            }
            widths[n] -= 1;
        }
        widths
    }

    fn line(&self, row: &[Cell], widths: &[usize], indent: usize) -> String {
        let mut line = " ".repeat(indent);
        let last = row.len().saturating_sub(1);
        for (n, (cell, width)) in row.iter().zip(widths).enumerate() {
            let text = cut(&cell.text, *width);
            let padding = " ".repeat(width.saturating_sub(text.chars().count()));
            let (before, after) = match self.columns[n].1 {
                Align::Right => (padding.as_str(), ""),
                Align::Left | Align::Flexible if n == last => ("", ""),
                Align::Left | Align::Flexible => ("", padding.as_str()),
            };
            line += before;
            line += &cell.tone.paint(&text);
            line += after;
            line += if n == last { "" } else { &"  "[..GAP] };
        }
        line
    }
}

/// Spaces between columns.
const GAP: usize = 2;
/// What remains of a flexible column at least.
const NARROWEST: usize = 6;

/// `text` with an ellipsis where it is longer than `width` characters.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_to_its_width() {
        let mut table =
            Table::new(&[("NAME", Align::Flexible), ("SIZE", Align::Right), ("SCAN", Align::Left)]);
        table.add(vec!["short".into(), "1.0 MB".into(), "no findings".into()]);
        table.add(vec!["x".repeat(90).into(), "10.0 MB".into(), Cell::new("failed", Tone::Plain)]);
        let lines: Vec<_> = table.lines(2).map(|it| anstream_free(&it)).collect();
        assert!(lines.iter().all(|it| it.chars().count() <= WIDTH), "{lines:#?}");
        assert_eq!(lines[1].trim_end(), format!("  short{}   1.0 MB  no findings", " ".repeat(51)));
        assert!(lines[2].contains("x…  10.0 MB  failed"));
    }

    /// The text without its colours.
    fn anstream_free(line: &str) -> String {
        let mut parts = line.split('\x1b');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
    }
}
