//! Layers compressed in fixed chunks, on all cores. The bytes depend on the input and the compression, and not on the number
//! of threads.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ecr_types::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{gzip, zstd};

/// How layers are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// What everything reads.
    #[default]
    Gzip,
    /// Faster and a little smaller: containerd, and docker from 23 on; not AWS Lambda, and no media type of docker's.
    Zstd,
}

impl Compression {
    /// What the compressed bytes depend on, beside the input.
    pub fn description(self) -> String {
        match self {
            Self::Gzip => format!("gzip libdeflate {}", gzip::LEVEL),
            Self::Zstd => format!("zstd {} {}", zstd::LEVEL, zstd::version()),
        }
    }

    /// A chunk as a part of the stream that stands by itself.
    fn part(self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => gzip::member(chunk),
            Self::Zstd => zstd::frame(chunk),
        }
    }

    /// Bytes of input that are compressed by themselves.
    fn chunk(self) -> usize {
        match self {
            Self::Gzip => gzip::CHUNK,
            Self::Zstd => zstd::CHUNK,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Gzip { "gzip" } else { "zstd" })
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Gzip, Self::Zstd].into_iter().find(|it| it.to_string() == text);
        known.ok_or_else(|| format!("`{text}` is not a compression: `gzip` and `zstd` are"))
    }
}

/// Compresses what is written to it into `W`.
pub struct Writer<W> {
    output: W,
    compression: Compression,
    threads: usize,
    /// Chunks that are being compressed, the oldest first.
    running: VecDeque<JoinHandle<io::Result<Vec<u8>>>>,
    pending: Vec<u8>,
    uncompressed: Sha256,
}

impl<W: Write> Writer<W> {
    /// Begins a stream.
    pub fn new(output: W, compression: Compression, threads: NonZero<usize>) -> Self {
        let pending = Vec::with_capacity(compression.chunk());
        let (running, uncompressed) = (VecDeque::new(), Sha256::new());
        Self { output, compression, threads: threads.get(), running, pending, uncompressed }
    }

    /// Ends the stream. The digest is that of the input, which OCI calls the layer's DiffID.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        self.send()?;
        while self.collect()? {}
        Ok((self.output, Digest::from_hash(&self.uncompressed.finalize())))
    }

    /// Hands the pending chunk to a thread of its own, and hashes it meanwhile.
    fn send(&mut self) -> io::Result<()> {
        // One more than there are cores, so that none waits while this thread reads.
        if self.running.len() > self.threads {
            self.collect()?;
        }
        let next = Vec::with_capacity(self.compression.chunk());
        let chunk = Arc::new(std::mem::replace(&mut self.pending, next));
        let (compression, input) = (self.compression, chunk.clone());
        self.running.push_back(thread::spawn(move || compression.part(&input)));
        self.uncompressed.update(chunk.as_slice());
        Ok(())
    }

    /// Writes the oldest chunk; whether there was one.
    fn collect(&mut self) -> io::Result<bool> {
        let Some(oldest) = self.running.pop_front() else { return Ok(false) };
        let part = oldest.join().unwrap_or_else(|it| std::panic::resume_unwind(it))?;
        self.output.write_all(&part)?;
        Ok(true)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.compression.chunk();
        // Not before there is more: what ends with a full chunk has no empty one after it.
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

    const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

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
    fn what_is_compressed_can_be_read_by_any_decoder() {
        for compression in BOTH {
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
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        for compression in BOTH {
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
    fn the_streams_are_what_they_ever_were() {
        // Every tag that was ever pushed stands on these bytes: a change here is a conflict there.
        let (bytes, _) = compressed(&sample(1_300_000), Compression::Gzip, 2);
        expect_test::expect!["sha256:50ae8d7241f44fc808f68070ec13b467dd949a28a5856c12ef3429932e0b9f91"]
            .assert_eq(Digest::of(&bytes).as_str());
    }

    #[test]
    fn compressions_are_named() {
        assert_eq!("zstd".parse(), Ok(Compression::Zstd));
        assert_eq!(
            "brotli".parse::<Compression>().unwrap_err(),
            "`brotli` is not a compression: `gzip` and `zstd` are"
        );
    }
}
