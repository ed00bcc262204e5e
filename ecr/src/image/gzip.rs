//! gzip in parts that can be made side by side.
//!
//! Each chunk is deflated by itself, primed with the 32 KiB before it (as pigz does), and ends on a byte boundary, so that
//! the parts can simply be joined (RFC 1951, section 3.2.4).

use std::io;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes of input a chunk: large enough to compress well, small enough that a service of 3 MB keeps cores busy.
pub const CHUNK: usize = 512 * 1024;
/// The window of deflate: what a chunk may refer back to.
const WINDOW: usize = 32 * 1024;
/// zlib's default level. Level 9 takes three times as long for 0.4 % of the size.
pub const LEVEL: u32 = 6;

/// No name, no time, an unknown system (RFC 1952, section 2.3).
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Checksum and length of the input, which end the stream (RFC 1952, section 2.3.1).
#[derive(Debug, Default)]
pub struct Trailer(Crc);

impl Trailer {
    /// Adds that of the next part.
    pub fn add(&mut self, part: &Self) {
        self.0.combine(&part.0);
    }

    /// As it stands at the end.
    pub fn bytes(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.0.sum().to_le_bytes());
        bytes[4..].copy_from_slice(&self.0.amount().to_le_bytes());
        bytes
    }
}

/// Deflates a chunk that comes after `before`.
pub fn deflate(before: &[u8], chunk: &[u8], is_last: bool) -> io::Result<(Vec<u8>, Trailer)> {
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    let window = &before[before.len().saturating_sub(WINDOW)..];
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
    Ok((output, Trailer(crc)))
}
