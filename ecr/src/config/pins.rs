//! Base images with a digest beside their tag, and the edit of a manifest that writes it.

use ecr_oci::reference::Reference;
use ecr_types::Digest;
use ecr_types::document::Place;

/// How a base image is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    /// It has no digest.
    Unpinned,
    /// Its tag names another image now.
    Moved,
    /// Its digest is that of its tag.
    Current,
    /// It has a digest and no tag, so that there is nothing to compare it with.
    DigestOnly,
}

/// The state of a base whose tag names the image `now`.
pub fn state(base: &Reference, now: &Digest) -> PinState {
    match (&base.tag, &base.digest) {
        (_, None) => PinState::Unpinned,
        (None, Some(_)) => PinState::DigestOnly,
        (Some(_), Some(pinned)) if pinned == now => PinState::Current,
        (Some(_), Some(_)) => PinState::Moved,
    }
}

/// The text of a base with the digest `now`. The tag stays, so that the digest can be renewed; `latest` is written if there is
/// none.
pub fn pinned(base: &Reference, now: &Digest) -> String {
    let text = base.to_string();
    let name = text.split_once('@').map_or(text.as_str(), |(name, _)| name);
    match base.tag {
        Some(_) => format!("{name}@{now}"),
        None => format!("{name}:latest@{now}"),
    }
}

/// Replaces a string at a position in a TOML text. `None` if there is no plain string with the content `old` between quotes:
/// one with escapes or over several lines.
pub fn replace(text: &str, place: &Place, old: &str, new: &str) -> Option<String> {
    let line_start: usize = text.split_inclusive('\n').take(place.line.checked_sub(1)?).map(str::len).sum();
    let column = text.get(line_start..)?.char_indices().nth(place.column.checked_sub(1)?)?.0;
    let at = line_start + column;
    let quote = text.get(at..)?.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    let rest = text.get(at + 1..)?.strip_prefix(old)?;
    rest.starts_with(quote).then(|| format!("{}{new}{rest}", &text[..at + 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::of(&[n])
    }

    #[test]
    fn base_keeps_its_tag_and_gets_the_digest() {
        let now = digest(1);
        for (base, wanted_state, wanted) in [
            ("debian:12".to_owned(), PinState::Unpinned, format!("debian:12@{now}")),
            ("debian".to_owned(), PinState::Unpinned, format!("debian:latest@{now}")),
            (format!("debian:12@{now}"), PinState::Current, format!("debian:12@{now}")),
            (format!("h.io/a/b:12@{}", digest(2)), PinState::Moved, format!("h.io/a/b:12@{now}")),
            ("127.0.0.1:5000/a".to_owned(), PinState::Unpinned, format!("127.0.0.1:5000/a:latest@{now}")),
        ] {
            let base: Reference = base.parse().unwrap();
            assert_eq!((state(&base, &now), pinned(&base, &now)), (wanted_state, wanted));
        }
        let fixed: Reference = format!("debian@{}", digest(2)).parse().unwrap();
        assert_eq!(state(&fixed, &now), PinState::DigestOnly);
    }

    #[test]
    fn string_is_replaced_where_it_stands() {
        let place = |line, column| Place { line, column, ..Place::file("Cargo.toml") };
        let text = "é = 'x'\r\n[a] # \"old\"\r\nb = { ü = \"old\", c = 'old' } # old\r\n";
        let edited = replace(text, &place(3, 11), "old", "new").unwrap();
        assert_eq!(edited, text.replace("ü = \"old\"", "ü = \"new\""));
        let edited = replace(text, &place(3, 22), "old", "new").unwrap();
        assert_eq!(edited, text.replace("c = 'old'", "c = 'new'"));
        for (line, column) in [(3, 10), (3, 12), (1, 1), (9, 1), (3, 99), (0, 0)] {
            assert_eq!(replace(text, &place(line, column), "old", "new"), None);
        }
        assert_eq!(replace("a = \"\"\"\nold\"\"\"", &place(1, 5), "old", "new"), None);
        assert_eq!(replace("a = \"old2\"", &place(1, 5), "old", "new"), None);
    }
}
