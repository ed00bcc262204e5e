//! Parallel compression in chunks of fixed size. The compressed bytes depend on the input and on the compression, and not on
//! the number of threads.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ecr_types::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{gzip, zstd};

/// The compression of layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// gzip (RFC 1952), which every runtime supports.
    #[default]
    Gzip,
    /// Zstandard (RFC 8878): faster, and a little smaller. It is supported by containerd and by Docker since version 23, but not
    /// by AWS Lambda, and Docker defines no media type for it. It needs the feature `zstd`.
    Zstd,
}

/// A compression with its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressor {
    /// The compression.
    pub compression: Compression,
    /// A level of libdeflate (1 to 12) or of Zstandard (1 to 22).
    level: i32,
}

/// A level that a compression does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{level} is not a level of {compression}, which has 1 to {}", compression.levels().end())]
pub struct InvalidLevel {
    compression: Compression,
    level: i32,
}

impl From<Compression> for Compressor {
    /// With the default level.
    fn from(compression: Compression) -> Self {
        Self { compression, level: compression.default_level() }
    }
}

impl Compressor {
    /// A compression with a level.
    ///
    /// # Errors
    /// The compression has no such level.
    pub fn new(compression: Compression, level: i32) -> Result<Self, InvalidLevel> {
        match compression.levels().contains(&level) {
            true => Ok(Self { compression, level }),
            false => Err(InvalidLevel { compression, level }),
        }
    }

    /// The library, its level and, if it matters, its version: everything except the input on which the compressed bytes
    /// depend.
    pub fn description(self) -> String {
        match self.compression {
            Compression::Gzip => format!("gzip libdeflate {}", self.level),
            Compression::Zstd => format!("zstd {} {}", self.level, zstd::version()),
        }
    }

    /// A chunk as an independent part of the stream: a gzip member or a Zstandard frame.
    fn part(self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        match self.compression {
            Compression::Gzip => gzip::member(chunk, self.level),
            Compression::Zstd => zstd::frame(chunk, self.level),
        }
    }
}

impl Compression {
    fn levels(self) -> RangeInclusive<i32> {
        match self {
            Self::Gzip => 1..=12,
            Self::Zstd => 1..=22,
        }
    }

    fn default_level(self) -> i32 {
        match self {
            Self::Gzip => gzip::LEVEL,
            Self::Zstd => zstd::LEVEL,
        }
    }

    /// The size of a chunk in bytes of input.
    fn chunk(self) -> usize {
        match self {
            Self::Gzip => gzip::CHUNK,
            Self::Zstd => zstd::CHUNK,
        }
    }
}

/// A text that is not the name of a [`Compression`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a compression: use `gzip` or `zstd`")]
pub struct InvalidCompression(String);

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Gzip { "gzip" } else { "zstd" })
    }
}

impl FromStr for Compression {
    type Err = InvalidCompression;

    fn from_str(text: &str) -> Result<Self, InvalidCompression> {
        let known = [Self::Gzip, Self::Zstd].into_iter().find(|it| it.to_string() == text);
        known.ok_or_else(|| InvalidCompression(text.to_owned()))
    }
}

/// Compresses bytes on several threads and writes them to `W` in order. [`Writer::finish`] must be called at the end.
pub struct Writer<W> {
    output: W,
    compressor: Compressor,
    threads: usize,
    /// Chunks that are being compressed, the oldest first.
    running: VecDeque<JoinHandle<io::Result<Vec<u8>>>>,
    pending: Vec<u8>,
    uncompressed: Sha256,
}

impl<W: Write> Writer<W> {
    /// A new stream into `output`. `threads` chunks are compressed at the same time.
    pub fn new(output: W, compressor: impl Into<Compressor>, threads: NonZero<usize>) -> Self {
        let compressor = compressor.into();
        let pending = Vec::with_capacity(compressor.compression.chunk());
        let (running, uncompressed) = (VecDeque::new(), Sha256::new());
        Self { output, compressor, threads: threads.get(), running, pending, uncompressed }
    }

    /// Ends the stream. Returns the output, which is not flushed, and the digest of the input (OCI image specification, "Layer
    /// DiffID").
    ///
    /// # Errors
    /// The output cannot be written, or the compression fails, such as that of Zstandard without the feature `zstd`.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        self.send()?;
        while self.collect()? {}
        Ok((self.output, Digest::from_hash(&self.uncompressed.finalize())))
    }

    /// Compresses the pending chunk on another thread while this one hashes it.
    fn send(&mut self) -> io::Result<()> {
        // One more chunk than there are cores, so that no core waits while this thread reads.
        if self.running.len() > self.threads {
            self.collect()?;
        }
        let next = Vec::with_capacity(self.compressor.compression.chunk());
        let chunk = Arc::new(std::mem::replace(&mut self.pending, next));
        let (compressor, input) = (self.compressor, chunk.clone());
        self.running.push_back(thread::spawn(move || compressor.part(&input)));
        self.uncompressed.update(chunk.as_slice());
        Ok(())
    }

    /// Waits for the oldest chunk and writes it. Returns whether there was one.
    fn collect(&mut self) -> io::Result<bool> {
        let Some(oldest) = self.running.pop_front() else { return Ok(false) };
        let part = oldest.join().unwrap_or_else(|it| std::panic::resume_unwind(it))?;
        self.output.write_all(&part)?;
        Ok(true)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.compressor.compression.chunk();
        // A full chunk is sent when more input follows, so that the stream does not end with an empty chunk.
        if self.pending.len() == size && !bytes.is_empty() {
            self.send()?;
        }
        let n = bytes.len().min(size - self.pending.len());
        self.pending.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Zstandard is tested with the feature `zstd` only.
    fn built_in() -> impl Iterator<Item = Compression> {
        let zstd = zstd::IS_BUILT_IN.then_some(Compression::Zstd);
        std::iter::once(Compression::Gzip).chain(zstd)
    }

    fn compressed(input: &[u8], compression: Compression, threads: usize) -> (Vec<u8>, Digest) {
        let threads = NonZero::new(threads).unwrap();
        let mut writer = Writer::new(Vec::new(), compression, threads);
        writer.write_all(input).unwrap();
        writer.finish().unwrap()
    }

    fn decompressed(bytes: &[u8], compression: Compression) -> Vec<u8> {
        let mut output = Vec::new();
        match compression {
            Compression::Gzip => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut output),
            Compression::Zstd => zstd::decoder(bytes).unwrap().read_to_end(&mut output),
        }
        .unwrap();
        output
    }

    /// Text that compresses, of any length.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b"abcdefgh"[(state >> 29) as usize]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn compressed_stream_can_be_read_by_any_decoder() {
        for compression in built_in() {
            let chunk = compression.chunk();
            for length in [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 5 * chunk + 7] {
                let input = sample(length);
                let (bytes, diff_id) = compressed(&input, compression, 2);
                assert!(decompressed(&bytes, compression) == input, "{compression} of {length} bytes");
                assert_eq!(diff_id, Digest::of(&input));
            }
        }
    }

    #[test]
    fn compressed_bytes_do_not_depend_on_the_number_of_threads() {
        for compression in built_in() {
            for length in [3 * compression.chunk(), 3 * compression.chunk() + 123, 0] {
                let input = sample(length);
                let (one, _) = compressed(&input, compression, 1);
                for threads in [2, 3, 8] {
                    let many = compressed(&input, compression, threads).0;
                    assert!(many == one, "{compression} of {length} bytes, {threads} threads");
                }
            }
        }
    }

    #[test]
    fn compressed_bytes_do_not_change() {
        // The digests of pushed images depend on these bytes. A change would be a conflict with immutable tags.
        let (bytes, _) = compressed(&sample(1_300_000), Compression::Gzip, 2);
        expect_test::expect!["sha256:50ae8d7241f44fc808f68070ec13b467dd949a28a5856c12ef3429932e0b9f91"]
            .assert_eq(Digest::of(&bytes).as_str());
    }

    #[test]
    fn compression_is_parsed_by_name() {
        assert_eq!("zstd".parse(), Ok(Compression::Zstd));
        assert_eq!(
            "brotli".parse::<Compression>().unwrap_err().to_string(),
            "`brotli` is not a compression: use `gzip` or `zstd`"
        );
    }
}
