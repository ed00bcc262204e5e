//! Zstandard in frames that can be made side by side: a decoder takes one after the other for one stream (RFC 8878,
//! section 3.1).
//!
//! The library is up to a tenth of the cold build, so it is there only where an xtask asks for the feature `zstd`. No other file
//! looks at that.

use std::io::{self, BufRead, Read};

/// Whether this program has it.
pub const IS_BUILT_IN: bool = cfg!(feature = "zstd");

/// Bytes of input a frame: for a service, frames of this size cost 2 % against a single one.
pub const CHUNK: usize = 1024 * 1024;
/// The library's default level.
pub const LEVEL: i32 = 3;

/// What an xtask has to say in its Cargo.toml.
pub const HOW: &str = "build xtask with it: `cargo add --package xtask xtask-ecr --features zstd`";

/// The library's version: with another one, the same input may make other bytes.
pub fn version() -> &'static str {
    #[cfg(feature = "zstd")]
    return ::zstd::zstd_safe::version_string();
    #[cfg(not(feature = "zstd"))]
    return "";
}

/// A frame of its own.
pub fn frame(chunk: &[u8]) -> io::Result<Vec<u8>> {
    #[cfg(feature = "zstd")]
    return ::zstd::bulk::compress(chunk, LEVEL);
    #[cfg(not(feature = "zstd"))]
    return Err(missing(chunk));
}

/// Reads what is compressed, frame by frame.
pub fn decoder<'a>(input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    #[cfg(feature = "zstd")]
    return Ok(Box::new(::zstd::Decoder::with_buffer(input)?));
    #[cfg(not(feature = "zstd"))]
    return Err(missing(input));
}

#[cfg(not(feature = "zstd"))]
fn missing<T>(_: T) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("this xtask cannot do zstd; {HOW}"))
}
