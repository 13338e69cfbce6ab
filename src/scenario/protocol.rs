//! The protocol says which version of HTTP carries the requests, and how many of them share a connection.

use std::fmt;
use std::num::NonZeroU32;

/// Which version of HTTP carries the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1: a connection carries one request after the other.
    #[default]
    Http1,
    /// HTTP/2: agreed on by TLS, or taken for granted without TLS ("prior knowledge").
    Http2 {
        /// How many requests a connection carries at once.
        streams: NonZeroU32,
    },
    /// Whichever TLS agrees on, HTTP/2 preferred; HTTP/1.1 without TLS. It is asked once, before the load.
    Auto {
        /// How many requests a connection of HTTP/2 carries at once.
        streams: NonZeroU32,
    },
}

impl Protocol {
    /// How many streams a connection of HTTP/2 has where nobody says.
    pub const DEFAULT_STREAMS: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1 => f.write_str("HTTP/1.1"),
            Self::Http2 { streams } => write!(f, "HTTP/2 with {streams} streams a connection"),
            Self::Auto { streams } => {
                write!(f, "HTTP/2 with {streams} streams a connection where TLS agrees on it, else HTTP/1.1")
            }
        }
    }
}
