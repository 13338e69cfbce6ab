//! The grammar of chunked bodies (RFC 9112, section 7.1), one byte at a time.
//!
//! Extensions and trailers mean nothing; how long they may be is for the decoder to say.

use super::Malformed;
use crate::load::witness::Aside;

/// Where in a chunked body the next byte lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum ChunkState {
    /// In the hexadecimal size of a chunk.
    Size { value: u64, has_digits: bool },
    /// Behind the size, where extensions are.
    Extension { value: u64 },
    /// At the end of a size line.
    SizeLineFeed { value: u64 },
    /// In the chunk's data, of which so much is left.
    Data(u64),
    /// Right behind the data.
    DataReturn,
    /// At the end of the line behind the data.
    DataLineFeed,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    /// In a trailer line.
    Trailer,
    /// At the end of a trailer line.
    TrailerLineFeed,
    /// Before the body's last byte.
    LastLineFeed,
}

impl ChunkState {
    /// A body's first byte lies here.
    pub(super) const START: Self = Self::Size { value: 0, has_digits: false };

    /// Returns what the next byte is part of, where that means nothing.
    pub(super) fn aside(self) -> Option<Aside> {
        match self {
            Self::Extension { .. } => Some(Aside::ChunkExtension),
            Self::TrailerStart | Self::Trailer | Self::TrailerLineFeed => Some(Aside::Trailer),
            _ => None,
        }
    }

    /// Returns the state after one byte outside chunk data; line ends are CRLF, as a lone LF could hide a chunk.
    pub(super) fn after(self, byte: u8) -> Result<Self, Malformed> {
        Ok(match (self, byte) {
            (Self::Size { value, has_digits: true } | Self::Extension { value }, b'\r') => {
                Self::SizeLineFeed { value }
            }
            (Self::Size { value, has_digits: true }, b';' | b' ' | b'\t') => Self::Extension { value },
            (Self::Size { value, .. }, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed::Chunk)?;
                let shifted = value.checked_mul(16).ok_or(Malformed::Chunk)?;
                Self::Size { value: shifted | u64::from(digit), has_digits: true }
            }
            (Self::SizeLineFeed { value: 0 }, b'\n') => Self::TrailerStart,
            (Self::SizeLineFeed { value }, b'\n') => Self::Data(value),
            (Self::DataReturn, b'\r') => Self::DataLineFeed,
            (Self::DataLineFeed, b'\n') => Self::START,
            (Self::TrailerStart, b'\r') => Self::LastLineFeed,
            (Self::Trailer, b'\r') => Self::TrailerLineFeed,
            (Self::TrailerLineFeed, b'\n') => Self::TrailerStart,
            (Self::Extension { value }, byte) if byte != b'\n' => Self::Extension { value },
            (Self::TrailerStart | Self::Trailer, byte) if byte != b'\n' => Self::Trailer,
            _ => return Err(Malformed::Chunk),
        })
    }
}
