//! The names of headers: what is one, and whether it is one of those that a request must not bring.

use super::{HOST_OWNED_HEADERS, ROUTING_HEADERS};

/// Returns whether a text is a header's name: a token of at most 256 bytes.
#[must_use]
pub fn is_header_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= 256 && name.iter().all(|byte| IS_TOKEN[usize::from(*byte)])
}

/// The bytes of a token (RFC 9110, section 5.6.2).
const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// The lengths, one bit each, of the names that are looked for, by their first letter in lower case: most headers have
/// another one.
const LISTED_LENGTHS: [u64; 256] = {
    let mut lengths = [0; 256];
    // Of cookies some are refused.
    lengths[b'c' as usize] = 1 << "cookie".len();
    let mut at = 0;
    while at < HOST_OWNED_HEADERS.len() {
        let name = HOST_OWNED_HEADERS[at].as_bytes();
        lengths[name[0] as usize] |= 1 << name.len();
        at += 1;
    }
    at = 0;
    while at < ROUTING_HEADERS.len() {
        let name = ROUTING_HEADERS[at].as_bytes();
        lengths[name[0] as usize] |= 1 << name.len();
        at += 1;
    }
    lengths
};

/// Returns whether a name may be one that the host owns, that routes a request, or a cookie: most are not.
pub(super) fn may_be_listed(name: &[u8]) -> bool {
    let Some(first) = name.first() else { return false };
    name.len() < 64 && LISTED_LENGTHS[usize::from(first.to_ascii_lowercase())] & (1 << name.len()) != 0
}

/// Gateways that hand headers on as variables read an underscore as a hyphen.
pub(super) fn is_any_of(name: &[u8], listed: &[&str]) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let first = name.first().map_or(0, |byte| folded(*byte));
    // The last byte tells nearly all apart.
    let last = name.last().map_or(0, |byte| folded(*byte));
    listed.iter().map(|known| known.as_bytes()).any(|known| {
        known.len() == name.len()
            && known.first() == Some(&first)
            && known.last() == Some(&last)
            && known.iter().zip(name).all(|(a, b)| *a == folded(*b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_is_found_however_it_is_written() {
        for known in HOST_OWNED_HEADERS.iter().chain(&ROUTING_HEADERS) {
            for written in [(*known).to_owned(), known.to_ascii_uppercase(), known.replace('-', "_")] {
                let name = written.as_bytes();
                assert!(may_be_listed(name), "{written}");
                assert!(
                    is_any_of(name, &HOST_OWNED_HEADERS) || is_any_of(name, &ROUTING_HEADERS),
                    "{written}"
                );
            }
        }
        assert!(may_be_listed(b"Cookie"));
        for other in ["accept", "x-forwarded-for", "hosts", "", "x-counter"] {
            assert!(!is_any_of(other.as_bytes(), &HOST_OWNED_HEADERS), "{other}");
            assert!(!is_any_of(other.as_bytes(), &ROUTING_HEADERS), "{other}");
        }
    }

    #[test]
    fn a_name_is_a_token() {
        assert!(is_header_name(b"X-Token_1"));
        for wrong in [&b""[..], b"a b", b"a:", b"a\r", b"\xe4", &[b'a'; 257]] {
            assert!(!is_header_name(wrong), "{wrong:?}");
        }
    }
}
