//! Numbers, durations, sizes and lists as text for messages and tables.

/// A number with its noun in the singular or the plural: `1 image`, `2 repositories`.
pub fn count(n: impl Into<u64>, thing: &str) -> String {
    let n = n.into();
    let plural = match (n, thing.strip_suffix('y')) {
        (1, _) => thing.to_owned(),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{thing}s"),
    };
    format!("{n} {plural}")
}

/// A total and its parts, as in the last line of a command: `3 repositories: 1 deleted, 2 kept`. Parts of 0 are left out.
pub fn counted(total: usize, thing: &str, counts: &[(usize, &str)]) -> String {
    let parts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let total = count(total as u64, thing);
    if parts.is_empty() { total } else { format!("{total}: {parts}") }
}

/// The first `shown` items and the number of the others: `a, b, c and 4 more`.
pub fn some_of<T: std::fmt::Display>(items: &[T], shown: usize) -> String {
    let words: Vec<_> = items.iter().take(shown).map(ToString::to_string).collect();
    let words = words.join(", ");
    if items.len() > shown { format!("{words} and {} more", items.len() - shown) } else { words }
}

/// All items, each in backquotes: `` `a`, `b` ``.
pub fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// An age in seconds, rounded down to the largest unit that fits: `3 days`. A negative age is 0.
pub fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, "second"));
    count(seconds / length, unit)
}

/// An age in seconds for a narrow column: `now`, `59 min`, `23 h`, `400 d`. A negative age is `now`.
pub fn short_age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => "now".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time limit: `1 minute`, `90 seconds`, `250 ms`. Fractions of a millisecond are cut off.
pub fn duration(duration: std::time::Duration) -> String {
    let milliseconds = duration.as_millis();
    match duration.as_secs() {
        _ if !milliseconds.is_multiple_of(1000) => format!("{milliseconds} ms"),
        seconds if seconds > 0 && seconds.is_multiple_of(60) => count(seconds / 60, "minute"),
        seconds => count(seconds, "second"),
    }
}

/// `text` in lines of at most `width` characters, broken between words. A longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map(|it| it.chars().count()).unwrap_or_default();
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            *line += if line.is_empty() { "" } else { " " };
            *line += word;
        }
    }
    lines
}

/// An amount in USD: `$1.20`, or `<$0.01` for a smaller one that is not 0.
pub fn money(usd: f64) -> String {
    if usd > 0.0 && usd < 0.005 { "<$0.01".to_owned() } else { format!("${usd:.2}") }
}

/// A size in bytes, in decimal units as in ECR's prices: `999 B`, `1.4 MB`.
pub fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_formats() {
        assert_eq!(count(1u64, "repository"), "1 repository");
        assert_eq!(count(2u64, "repository"), "2 repositories");
        assert_eq!(count(0u64, "image"), "0 images");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_392_451), "1.4 MB");
        assert_eq!(
            (age(0.4), age(90.0), age(200_000.0)),
            ("0 seconds".into(), "1 minute".into(), "2 days".into())
        );
        assert_eq!([0.0, 60.0, 7200.0, 1e6].map(short_age), ["now", "1 min", "2 h", "11 d"]);
        assert_eq!(
            (money(0.0), money(0.0001), money(12.345)),
            ("$0.00".into(), "<$0.01".into(), "$12.35".into())
        );
        let shown = |milliseconds| duration(std::time::Duration::from_millis(milliseconds));
        assert_eq!([60_000, 90_000, 250].map(shown), ["1 minute", "90 seconds", "250 ms"]);
        assert_eq!(wrap("aa bb  cccccc d", 5), ["aa bb", "cccccc", "d"]);
        assert_eq!(some_of(&["a", "b", "c"], 2), "a, b and 1 more");
    }
}
