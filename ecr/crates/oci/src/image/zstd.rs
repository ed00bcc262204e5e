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

/// Compresses chunks into frames, with memory that is taken once.
pub struct Encoder(#[cfg(feature = "zstd")] ::zstd::bulk::Compressor<'static>);

impl Encoder {
    /// An encoder with a level of Zstandard.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] without the feature `zstd`; the library fails.
    pub fn new(level: i32) -> io::Result<Self> {
        #[cfg(feature = "zstd")]
        return ::zstd::bulk::Compressor::new(level).map(Self);
        #[cfg(not(feature = "zstd"))]
        return Err(missing(level));
    }

    /// Compresses `chunk` into one frame at the beginning of `output`, which becomes as long as is needed. Returns the length of the
    /// frame in bytes.
    ///
    /// # Errors
    /// The library fails.
    pub fn frame(&mut self, chunk: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        #[cfg(feature = "zstd")]
        {
            let bound = ::zstd::zstd_safe::compress_bound(chunk.len());
            if output.len() < bound {
                *output = vec![0; bound];
            }
            self.0.compress_to_buffer(chunk, output.as_mut_slice())
        }
        #[cfg(not(feature = "zstd"))]
        return Err(missing((chunk, output)));
    }
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
