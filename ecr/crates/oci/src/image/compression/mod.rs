//! The compressions of layers, and parallel compression in chunks of fixed size. The compressed bytes depend on the input and on
//! the compression, and not on the number of threads.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{gzip, zstd};

mod writer;

pub use writer::Writer;

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

    /// What compresses the chunks of a stream.
    fn encoder(self) -> io::Result<Encoder> {
        Ok(match self.compression {
            Compression::Gzip => Encoder::Gzip(gzip::Encoder::new(self.level)?),
            Compression::Zstd => Encoder::Zstd(zstd::Encoder::new(self.level)?),
        })
    }
}

/// Compresses chunks one after the other, each as an independent part of the stream. The part does not depend on the chunks before.
enum Encoder {
    Gzip(gzip::Encoder),
    Zstd(zstd::Encoder),
}

impl Encoder {
    /// Writes a gzip member or a Zstandard frame to the beginning of `output`, which becomes as long as is needed, and returns its
    /// length.
    fn part(&mut self, chunk: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Gzip(it) => it.member(chunk, output),
            Self::Zstd(it) => it.frame(chunk, output),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_parsed_by_name() {
        assert_eq!("zstd".parse(), Ok(Compression::Zstd));
        assert_eq!(
            "brotli".parse::<Compression>().unwrap_err().to_string(),
            "`brotli` is not a compression: use `gzip` or `zstd`"
        );
    }
}
