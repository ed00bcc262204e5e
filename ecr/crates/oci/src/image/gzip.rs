//! gzip in independent members, which can be compressed in parallel. Decoders treat consecutive members as one stream (RFC
//! 1952, section 2.2). eStargz layers use the same, so all runtimes support it.

use std::io;

use libdeflater::{CompressionLvl, Compressor};

/// The bytes of input per member: large enough to compress well, small enough to compress a binary of 3 MB on several cores.
pub const CHUNK: usize = 512 * 1024;
/// The level of libdeflate. Its levels are not those of zlib: level 5 makes a service 3 % smaller than zlib's level 6, in two
/// thirds of the time. Level 9 takes five times as long for another 1 %.
pub const LEVEL: i32 = 5;

/// Compresses chunks into members, with memory that is taken once.
pub struct Encoder(Compressor);

impl Encoder {
    /// An encoder with a level of libdeflate.
    ///
    /// # Errors
    /// libdeflate has no such level.
    pub fn new(level: i32) -> io::Result<Self> {
        let level = CompressionLvl::new(level).map_err(|it| io::Error::other(format!("{it:?}")))?;
        Ok(Self(Compressor::new(level)))
    }

    /// Compresses `chunk` into one member, without file name and time (RFC 1952, section 2.3), at the beginning of `output`, which
    /// becomes as long as is needed. Returns the length of the member in bytes.
    ///
    /// # Errors
    /// libdeflate fails, which it does only if it lacks memory.
    pub fn member(&mut self, chunk: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        let bound = self.0.gzip_compress_bound(chunk.len());
        if output.len() < bound {
            *output = vec![0; bound];
        }
        self.0.gzip_compress(chunk, output).map_err(io::Error::other)
    }
}
