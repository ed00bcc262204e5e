//! Zstandard in frames that can be made side by side: a decoder takes one after the other for one stream (RFC 8878,
//! section 3.1).

use std::io;

pub use ::zstd::Decoder;

/// Bytes of input a frame: for a service, frames of this size cost 2 % against a single one.
pub const CHUNK: usize = 1024 * 1024;
/// The library's default level.
pub const LEVEL: i32 = 3;

/// The library's version: with another one, the same input may make other bytes.
pub fn version() -> &'static str {
    ::zstd::zstd_safe::version_string()
}

/// A frame of its own.
pub fn frame(chunk: &[u8]) -> io::Result<Vec<u8>> {
    ::zstd::bulk::compress(chunk, LEVEL)
}
