//! A histogram on file is HdrHistogram's V2 encoding, compressed with zlib and written as base64.
//!
//! The encoding is public and shared by all HdrHistogram libraries, so that other tools can read ours. Reading
//! trusts nothing: the crate's own decoder allocates whatever a length field says and overflows on an extreme run
//! of zeros, so the bytes are decompressed with a limit and walked once before it sees them.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};

use super::BaselineError;
use crate::measurement::{HIGHEST_TRACKABLE_NS, LOWEST_DISCERNIBLE_NS, SIGNIFICANT_DIGITS, empty_histogram};

/// The first four bytes of the compressed and of the plain encoding.
const COMPRESSED_COOKIE: u32 = 0x1c84_9314;
const PLAIN_COOKIE: u32 = 0x1c84_9313;

/// Cookie, payload length, normalizing offset, digits, lowest, highest, ratio.
const PLAIN_HEADER_BYTES: usize = 40;

/// More than the worst histogram of this project's range needs: about 27 000 counts of at most nine bytes each.
const MAX_PLAIN_BYTES: u64 = 512 * 1024;

/// Base64 of an incompressible encoding of that size.
const MAX_TEXT_BYTES: usize = 720 * 1024;

/// The most requests that one histogram may count; sums of many stay exact in an `f64` and far from overflow.
pub(super) const MAX_COUNT: u64 = 100_000_000_000_000;

/// Encodes a histogram.
pub(super) fn encode(histogram: &Histogram<u64>) -> Result<String, BaselineError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error| BaselineError::Unstorable { why: error.to_string() })?;
    Ok(STANDARD.encode(bytes))
}

/// Decodes a histogram of exactly this project's range and precision.
pub(super) fn decode(text: &str) -> Result<Histogram<u64>, BaselineError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(BaselineError::damaged("a histogram is longer than any of this project's"));
    }
    let compressed = STANDARD.decode(text).map_err(|error| damaged_histogram(&error.to_string()))?;
    let plain = decompress(&compressed)?;
    let payload = check_header(&plain)?;
    check_counts(payload, empty_histogram().distinct_values())?;
    Deserializer::new()
        .deserialize(&mut plain.as_slice())
        .map_err(|error| damaged_histogram(&error.to_string()))
}

fn damaged_histogram(why: &str) -> BaselineError {
    BaselineError::damaged(format!("a histogram does not decode ({why})"))
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, BaselineError> {
    let mut fields = Fields { bytes };
    if fields.u32() != Some(COMPRESSED_COOKIE) {
        return Err(damaged_histogram("it is not in the V2 deflate encoding"));
    }
    if fields.u32().map(u64::from) != Some(fields.bytes.len() as u64) {
        return Err(damaged_histogram("its length is wrong"));
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(fields.bytes)
        .take(MAX_PLAIN_BYTES + 1)
        .read_to_end(&mut plain)
        .map_err(|error| damaged_histogram(&error.to_string()))?;
    if plain.len() as u64 > MAX_PLAIN_BYTES {
        return Err(damaged_histogram("it inflates beyond any of this project's"));
    }
    Ok(plain)
}

/// Checks every header field and returns the counts behind them.
fn check_header(plain: &[u8]) -> Result<&[u8], BaselineError> {
    let mut fields = Fields { bytes: plain };
    let is_plain = fields.u32() == Some(PLAIN_COOKIE);
    let is_whole =
        fields.u32().map(u64::from) == plain.len().checked_sub(PLAIN_HEADER_BYTES).map(|n| n as u64);
    let is_unshifted = fields.u32() == Some(0);
    if !(is_plain && is_whole && is_unshifted) {
        return Err(damaged_histogram("its header is wrong"));
    }
    let range = (fields.u32(), fields.u64(), fields.u64());
    if range != (Some(u32::from(SIGNIFICANT_DIGITS)), Some(LOWEST_DISCERNIBLE_NS), Some(HIGHEST_TRACKABLE_NS))
    {
        return Err(damaged_histogram("its range or precision is another tool's"));
    }
    if fields.u64() != Some(1.0_f64.to_bits()) {
        return Err(damaged_histogram("its values are scaled"));
    }
    Ok(fields.bytes)
}

/// Walks the counts: LEB128 numbers of at most nine bytes, zig-zag coded; a negative one is a run of zeros.
fn check_counts(mut payload: &[u8], slots: usize) -> Result<(), BaselineError> {
    let (mut slot, mut total) = (0_u64, 0_u64);
    while !payload.is_empty() {
        let (coded, rest) =
            read_varint(payload).ok_or_else(|| damaged_histogram("it ends inside a number"))?;
        payload = rest;
        let magnitude = (coded >> 1) + (coded & 1);
        let is_run_of_zeros = coded & 1 == 1;
        slot = slot.saturating_add(if is_run_of_zeros { magnitude } else { 1 });
        total = total.saturating_add(if is_run_of_zeros { 0 } else { magnitude });
        if slot > slots as u64 {
            return Err(damaged_histogram("it has more counts than its range"));
        }
        if total > MAX_COUNT {
            return Err(damaged_histogram("it counts more requests than could be sent"));
        }
    }
    Ok(())
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().enumerate().take(9) {
        let is_last = index == 8 || byte & 0x80 == 0;
        // The ninth byte carries eight bits: it needs no mark for a tenth.
        let bits = if index == 8 { byte } else { byte & 0x7f };
        value |= u64::from(bits) << (7 * index);
        if is_last {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Big-endian fields, read one after the other.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u32::from_be_bytes(*field))
    }

    fn u64(&mut self) -> Option<u64> {
        let (field, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u64::from_be_bytes(*field))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    fn filled() -> Histogram<u64> {
        let mut histogram = empty_histogram();
        for value in [100, 150, 2_000_000, 2_000_000, 950_000_000, HIGHEST_TRACKABLE_NS] {
            histogram.record(value).unwrap();
        }
        histogram
    }

    fn pack(plain: &[u8]) -> String {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        let body = encoder.finish().unwrap();
        let mut bytes = COMPRESSED_COOKIE.to_be_bytes().to_vec();
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        STANDARD.encode(bytes)
    }

    fn plain(payload_bytes: u32, digits: u32, lowest: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in [PLAIN_COOKIE, payload_bytes, 0, digits] {
            bytes.extend(field.to_be_bytes());
        }
        for field in [lowest, HIGHEST_TRACKABLE_NS, 1.0_f64.to_bits()] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(payload);
        bytes
    }

    fn refusal(plain: &[u8]) -> String {
        decode(&pack(plain)).unwrap_err().to_string()
    }

    #[test]
    fn a_histogram_survives_the_file() {
        for histogram in [empty_histogram(), filled()] {
            let text = encode(&histogram).unwrap();

            let back = decode(&text).unwrap();

            assert_eq!(back, histogram);
            assert_eq!(
                (back.len(), back.max(), back.min()),
                (histogram.len(), histogram.max(), histogram.min())
            );
        }
    }

    #[test]
    fn the_hand_made_encoding_of_these_tests_is_a_good_one() {
        assert_eq!(decode(&pack(&plain(1, 3, LOWEST_DISCERNIBLE_NS, &[4]))).unwrap().len(), 2);
    }

    #[test]
    fn another_tools_range_is_refused() {
        assert!(refusal(&plain(1, 2, LOWEST_DISCERNIBLE_NS, &[4])).contains("another tool's"));
        assert!(refusal(&plain(1, 3, 1, &[4])).contains("another tool's"));
    }

    #[test]
    fn a_length_field_allocates_nothing() {
        assert!(refusal(&plain(u32::MAX, 3, LOWEST_DISCERNIBLE_NS, &[4])).contains("header"));
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        assert!(refusal(&vec![0; 64 * 1024 * 1024]).contains("inflates"));
    }

    #[test]
    fn runs_and_counts_beyond_all_sense_are_refused() {
        let endless_run = [0xff; 9];
        let huge_count = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];

        assert!(refusal(&plain(9, 3, LOWEST_DISCERNIBLE_NS, &endless_run)).contains("more counts"));
        assert!(refusal(&plain(9, 3, LOWEST_DISCERNIBLE_NS, &huge_count)).contains("more requests"));
        assert!(refusal(&plain(1, 3, LOWEST_DISCERNIBLE_NS, &[0x80])).contains("inside a number"));
        assert!(refusal(&plain(30_000, 3, LOWEST_DISCERNIBLE_NS, &[2; 30_000])).contains("more counts"));
    }

    proptest! {
        #[test]
        fn whatever_the_counts_say_is_read_safely(payload in prop::collection::vec(any::<u8>(), 0..64)) {
            let length = u32::try_from(payload.len()).unwrap();

            if let Ok(histogram) = decode(&pack(&plain(length, 3, LOWEST_DISCERNIBLE_NS, &payload))) {
                prop_assert!(histogram.len() <= MAX_COUNT);
                prop_assert_eq!(decode(&encode(&histogram).unwrap()).unwrap(), histogram);
            }
        }
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for text in ["", "!", "AAAA", &STANDARD.encode([0; 64]), &encode(&filled()).unwrap()[..20]] {
            assert!(decode(text).is_err(), "{text:?} must be refused");
        }
    }
}
