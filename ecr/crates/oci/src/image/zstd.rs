//! Zstandard in independent frames, which can be compressed in parallel. Decoders treat consecutive frames as one stream (RFC
//! 8878, section 3.1).
//!
//! The library is up to a tenth of a cold build, so it is compiled with the feature `zstd` only. No other module depends on
//! that feature.

use std::io::{self, BufRead, Read};

/// Whether this program was compiled with the feature `zstd`.
pub const IS_BUILT_IN: bool = cfg!(feature = "zstd");

/// The bytes of input per frame. For a service, frames of this size are 2 % larger than a single frame.
pub const CHUNK: usize = 1024 * 1024;
/// The level of compression, which is the library's default.
pub const LEVEL: i32 = 3;

/// How to enable the feature in a workspace, for error messages.
pub const HOW: &str = "build xtask with it: `cargo add --package xtask xtask-ecr --features zstd`";

/// The library's version, such as `1.5.7`, on which the compressed bytes may depend. Empty without the feature `zstd`.
pub fn version() -> &'static str {
    #[cfg(feature = "zstd")]
    return ::zstd::zstd_safe::version_string();
    #[cfg(not(feature = "zstd"))]
    return "";
}

/// Compresses `chunk` into one frame.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] without the feature `zstd`; the library fails.
pub fn frame(chunk: &[u8], level: i32) -> io::Result<Vec<u8>> {
    #[cfg(feature = "zstd")]
    return ::zstd::bulk::compress(chunk, level);
    #[cfg(not(feature = "zstd"))]
    return Err(missing((chunk, level)));
}

/// A reader that decompresses `input`, frame by frame.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] without the feature `zstd`; the library fails.
pub fn decoder<'a>(input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    #[cfg(feature = "zstd")]
    return Ok(Box::new(::zstd::Decoder::with_buffer(input)?));
    #[cfg(not(feature = "zstd"))]
    return Err(missing(input));
}

#[cfg(not(feature = "zstd"))]
fn missing<T>(_: T) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("this xtask was built without zstd; {HOW}"))
}
