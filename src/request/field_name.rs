//! A header's name is a token; a table answers what a byte may be, because every header of every request is asked.

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
