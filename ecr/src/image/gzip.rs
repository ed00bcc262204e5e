//! gzip in fixed chunks on all cores.
//!
//! The input is cut into chunks of [`CHUNK`] bytes; each is deflated by itself, primed with the 32 KiB before it
//! (as pigz does), and ends on a byte boundary, so that the parts can simply be joined (RFC 1951, section 3.2.4).
//! The bytes depend on input, level and chunk size, and not on the number of threads.

use std::io::{self, Write};
use std::num::NonZero;
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use sha2::{Digest as _, Sha256};

use crate::name::Digest;

/// Bytes of input a chunk: large enough to compress well, small enough that a service of 3 MB keeps cores busy.
const CHUNK: usize = 512 * 1024;
/// The window of deflate: what a chunk may refer back to.
const WINDOW: usize = 32 * 1024;
/// zlib's default level. Level 9 takes three times as long for 0.4 % of the size.
pub const LEVEL: u32 = 6;

/// Compresses what is written to it into `W`.
pub struct Writer<W> {
    output: W,
    threads: usize,
    window: Vec<u8>,
    pending: Vec<u8>,
    crc: Crc,
    uncompressed: Sha256,
}

impl<W: Write> Writer<W> {
    /// Begins a gzip stream: no name, no time (RFC 1952, section 2.3).
    pub fn new(mut output: W, threads: NonZero<usize>) -> io::Result<Self> {
        const UNKNOWN_SYSTEM: u8 = 255;
        output.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, UNKNOWN_SYSTEM])?;
        let (window, pending) = (Vec::new(), Vec::new());
        let threads = threads.get();
        Ok(Self { output, threads, window, pending, crc: Crc::new(), uncompressed: Sha256::new() })
    }

    /// Ends the stream. The digest is that of the input, which OCI calls the layer's DiffID.
    pub fn finish(mut self) -> io::Result<(W, Digest)> {
        self.deflate(true)?;
        self.output.write_all(&self.crc.sum().to_le_bytes())?;
        self.output.write_all(&self.crc.amount().to_le_bytes())?;
        Ok((self.output, Digest::from_hash(&self.uncompressed.finalize())))
    }

    /// Deflates what is pending, one thread a chunk, while this thread hashes the same bytes.
    fn deflate(&mut self, is_last: bool) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut chunks: Vec<&[u8]> = pending.chunks(CHUNK).collect();
        if is_last && chunks.is_empty() {
            chunks.push(&[]);
        }
        let n = chunks.len();
        let first_window = std::mem::take(&mut self.window);
        let uncompressed = &mut self.uncompressed;
        let deflated = thread::scope(|scope| {
            let jobs = chunks.iter().enumerate().map(|(at, chunk)| {
                let window = if at == 0 { first_window.as_slice() } else { tail(chunks[at - 1]) };
                let is_last = is_last && at + 1 == n;
                scope.spawn(move || deflate_chunk(window, chunk, is_last))
            });
            let jobs: Vec<_> = jobs.collect();
            uncompressed.update(&pending);
            let join = |job: thread::ScopedJoinHandle<'_, _>| {
                job.join().unwrap_or_else(|it| std::panic::resume_unwind(it))
            };
            jobs.into_iter().map(join).collect::<io::Result<Vec<_>>>()
        })?;
        for (bytes, crc) in deflated {
            self.output.write_all(&bytes)?;
            self.crc.combine(&crc);
        }
        self.window = tail(&pending).to_vec();
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let batch = self.threads * CHUNK;
        // Only now is it known that the full batch is not the last one. Were it flushed as soon as it is full, an
        // input of whole batches would end differently for different numbers of threads.
        if self.pending.len() == batch && !bytes.is_empty() {
            self.deflate(false)?;
        }
        let n = bytes.len().min(batch - self.pending.len());
        self.pending.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tail(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(WINDOW)..]
}

fn deflate_chunk(window: &[u8], chunk: &[u8], is_last: bool) -> io::Result<(Vec<u8>, Crc)> {
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    if !window.is_empty() {
        deflate.set_dictionary(window)?;
    }
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut output = Vec::with_capacity(chunk.len() / 2 + 64);
    loop {
        let rest = &chunk[usize::try_from(deflate.total_in()).unwrap_or(chunk.len())..];
        let status = deflate.compress_vec(rest, &mut output, flush)?;
        // With room to spare there is nothing left to write.
        let has_room = output.len() < output.capacity();
        match status {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError if has_room && !is_last => break,
            _ => output.reserve(CHUNK / 4),
        }
    }
    let mut crc = Crc::new();
    crc.update(chunk);
    Ok((output, crc))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn compressed(input: &[u8], threads: usize) -> (Vec<u8>, Digest) {
        let mut writer = Writer::new(Vec::new(), NonZero::new(threads).unwrap()).unwrap();
        writer.write_all(input).unwrap();
        writer.finish().unwrap()
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
    fn what_is_compressed_can_be_read_by_any_gzip() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 7] {
            let input = sample(length);
            let (bytes, diff_id) = compressed(&input, 2);
            let mut output = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut output).unwrap();
            assert!(output == input, "{length} bytes");
            assert_eq!(diff_id, Digest::of(&input));
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        for length in [6 * CHUNK, 6 * CHUNK + 123, 0] {
            let input = sample(length);
            let (one, _) = compressed(&input, 1);
            for threads in [2, 3, 4, 6, 8] {
                assert!(compressed(&input, threads).0 == one, "{length} bytes, {threads} threads");
            }
        }
    }
}
