//! The text of files as editors and shells write them: UTF-8, with or without a byte order mark.

use std::io;

use thiserror::Error;

/// Why a file is not read as text. The message follows the name of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotText {
    /// UTF-16, which `>` of Windows PowerShell and "Unicode" of Notepad write.
    #[error("it is UTF-16, not UTF-8")]
    Utf16,
    /// UTF-32.
    #[error("it is UTF-32, not UTF-8")]
    Utf32,
    /// Another encoding, or no text at all.
    #[error("it is not UTF-8: line {line} has the byte 0x{byte:02X}")]
    Other {
        /// The line of the first invalid byte, counted from 1.
        line: usize,
        /// The first invalid byte.
        byte: u8,
    },
}

impl NotText {
    /// The reason within an error of input and output that was made from one; `None` for other errors.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What converts the file.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Utf16 => {
                "save it as UTF-8, such as with `iconv --from-code=UTF-16 --to-code=UTF-8 FILE > NEW`; \
                 in PowerShell, write with `Set-Content -Encoding utf8`"
            }
            Self::Utf32 => {
                "save it as UTF-8, such as with `iconv --from-code=UTF-32 --to-code=UTF-8 FILE > NEW`"
            }
            Self::Other { .. } => {
                "save it as UTF-8, such as with `iconv --from-code=WINDOWS-1252 --to-code=UTF-8 FILE > NEW`"
            }
        }
    }
}

impl From<NotText> for io::Error {
    fn from(reason: NotText) -> Self {
        Self::new(io::ErrorKind::InvalidData, reason)
    }
}

/// The text of a file without its byte order mark (Unicode Standard, section 23.8), so that positions are those that an
/// editor shows. A second mark is part of the text.
///
/// # Errors
/// The bytes are not UTF-8. UTF-16 and UTF-32 are recognized by their mark; without one, UTF-16 is recognized by a NUL in
/// the first two bytes, because every format that this project reads begins with ASCII (RFC 4627, section 3).
///
/// ```
/// use ecr_types::text::{NotText, decode};
///
/// assert_eq!(decode(b"\xEF\xBB\xBF{}".to_vec()), Ok("{}".to_owned()));
/// assert_eq!(decode(b"\xFF\xFE{\0}\0".to_vec()), Err(NotText::Utf16));
/// ```
pub fn decode(bytes: Vec<u8>) -> Result<String, NotText> {
    if let Some(other) = other_encoding(&bytes) {
        return Err(other);
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let (valid, rest) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let line = valid.iter().filter(|it| **it == b'\n').count() + 1;
        NotText::Other { line, byte: rest.first().copied().unwrap_or_default() }
    })?;
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    Ok(text)
}

/// The encoding that the first bytes show, if it is not UTF-8. The mark of UTF-32 begins with that of UTF-16.
fn other_encoding(bytes: &[u8]) -> Option<NotText> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some(NotText::Utf32),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some(NotText::Utf16),
        [first, second, ..] if (*first == 0) != (*second == 0) => Some(NotText::Utf16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_reads_utf_8_and_names_other_encodings() {
        let utf16 =
            |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let utf32 = |text: &str, bytes: fn(u32) -> [u8; 4]| {
            text.chars().flat_map(|it| bytes(u32::from(it))).collect::<Vec<_>>()
        };
        let rows: [(&str, Vec<u8>, Result<&str, NotText>); 14] = [
            ("empty file", b"".to_vec(), Ok("")),
            ("UTF-8", "{\"ü\": 1}".into(), Ok("{\"ü\": 1}")),
            ("UTF-8 with mark", "\u{FEFF}{}".into(), Ok("{}")),
            ("the mark alone", "\u{FEFF}".into(), Ok("")),
            ("two marks: only the first is one", "\u{FEFF}\u{FEFF}a".into(), Ok("\u{FEFF}a")),
            ("a mark later on is a character", "a\u{FEFF}".into(), Ok("a\u{FEFF}")),
            (
                "UTF-16LE with mark: PowerShell 5.1, `>`",
                utf16("\u{FEFF}{}", u16::to_le_bytes),
                Err(NotText::Utf16),
            ),
            ("UTF-16BE with mark", utf16("\u{FEFF}{}", u16::to_be_bytes), Err(NotText::Utf16)),
            (
                "UTF-16LE without mark: `iconv -t UTF-16LE`",
                utf16("{}", u16::to_le_bytes),
                Err(NotText::Utf16),
            ),
            ("UTF-16BE without mark", utf16("{}", u16::to_be_bytes), Err(NotText::Utf16)),
            ("UTF-32LE with mark", utf32("\u{FEFF}{", u32::to_le_bytes), Err(NotText::Utf32)),
            ("UTF-32BE with mark", utf32("\u{FEFF}{", u32::to_be_bytes), Err(NotText::Utf32)),
            ("Latin-1", b"a\nb\xE9".to_vec(), Err(NotText::Other { line: 2, byte: 0xE9 })),
            ("gzip", b"\x1F\x8B\x08".to_vec(), Err(NotText::Other { line: 1, byte: 0x8B })),
        ];
        for (name, bytes, wanted) in rows {
            assert_eq!(decode(bytes), wanted.map(str::to_owned), "{name}");
        }
    }
}
