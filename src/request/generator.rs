//! A generator makes a value of a stated type for each request: `integer(1..1000)`, `counter`, `uuid`, `text(8)`,
//! `choice(a, b)`.
//!
//! What it makes follows from the scenario's seed and the worker, so that two runs send the same; a `uuid` alone is
//! new in every run.

use std::fmt::Write as _;

use super::Seat;

/// A longer random text is a body of its own, and belongs in a file.
const MAX_TEXT_CHARS: usize = 256;

/// More words than this are a feed.
const MAX_WORDS: usize = 100;

const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// What a generator makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Generator {
    /// A whole number, both ends included, each as likely as the next.
    Integer { low: i64, high: i64 },
    /// 1, 2, 3 … ; no two requests of a run get the same.
    Counter,
    /// A random UUID (RFC 9562, version 4).
    Uuid,
    /// So many random lower-case letters and digits.
    Text { chars: usize },
    /// One of the words.
    Choice(Vec<String>),
}

impl Generator {
    /// Reads a type with what it needs.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, inner) = match text.split_once('(') {
            Some((name, rest)) => (name.trim_end(), Some(rest.strip_suffix(')')?.trim())),
            None => (text, None),
        };
        match (name, inner) {
            ("counter", None) => Some(Self::Counter),
            ("uuid", None) => Some(Self::Uuid),
            ("integer", Some(range)) => {
                let (low, high) = range.split_once("..")?;
                let (low, high) = (whole(low)?, whole(high)?);
                (low <= high).then_some(Self::Integer { low, high })
            }
            ("text", Some(chars)) => {
                let chars = chars.parse().ok().filter(|chars| (1..=MAX_TEXT_CHARS).contains(chars))?;
                Some(Self::Text { chars })
            }
            ("choice", Some(words)) => {
                let words: Vec<String> = words.split(',').map(|word| word.trim().to_owned()).collect();
                let are_words = words.len() <= MAX_WORDS && words.iter().all(|word| !word.is_empty());
                are_words.then_some(Self::Choice(words))
            }
            _ => None,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Integer { .. } | Self::Counter)
    }

    /// Writes the next value; `made` is how many this generator made for this worker before.
    pub(super) fn write(&self, draws: &mut Draws, made: u64, out: &mut String) {
        match self {
            Self::Integer { low, high } => show(draws.random.i64(low..=high), out),
            Self::Counter => show(1 + u64::from(draws.worker) + made * u64::from(draws.workers), out),
            Self::Uuid => {
                let number = draws.fresh.u128(..) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
                write_uuid(number, out);
            }
            Self::Text { chars } => {
                for _ in 0..*chars {
                    out.push(char::from(LETTERS[draws.random.usize(..LETTERS.len())]));
                }
            }
            Self::Choice(words) => out.push_str(&words[draws.random.usize(..words.len())]),
        }
    }
}

fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    // "+5" is a number to the library, and a riddle to a reader.
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn show(number: impl std::fmt::Display, out: &mut String) {
    write!(out, "{number}").expect("writing to a string cannot fail");
}

fn write_uuid(number: u128, out: &mut String) {
    let hex = |from: u32, bits: u32| (number >> from) & ((1 << bits) - 1);
    write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        hex(96, 32),
        hex(80, 16),
        hex(64, 16),
        hex(48, 16),
        hex(0, 48)
    )
    .expect("writing to a string cannot fail");
}

/// What one worker draws its values from.
#[derive(Debug)]
pub(super) struct Draws {
    /// The same in every run of a scenario.
    pub(super) random: fastrand::Rng,
    /// New in every run.
    fresh: fastrand::Rng,
    worker: u32,
    workers: u32,
}

impl Draws {
    /// Begins a worker's draws; `seed` belongs to the scenario, `run` to this run of it.
    pub(super) fn new(seed: u64, run: u64, seat: Seat) -> Self {
        // Neighbouring seeds must not give neighbouring draws: an odd constant far from any period spreads the workers.
        let own = |seed: u64| {
            let offset = u64::from(seat.worker).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            fastrand::Rng::with_seed(seed.wrapping_add(offset))
        };
        Self { random: own(seed), fresh: own(run), worker: seat.worker, workers: seat.workers.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn seat(worker: u32) -> Seat {
        Seat { worker, workers: 3, lines: 1 }
    }

    fn made(text: &str, seed: u64, run: u64, worker: u32, count: u64) -> Vec<String> {
        let generator = Generator::parse(text).unwrap();
        let mut draws = Draws::new(seed, run, seat(worker));
        let one = |index| {
            let mut out = String::new();
            generator.write(&mut draws, index, &mut out);
            out
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn integers_reach_both_ends_and_nothing_beyond() {
        let numbers: BTreeSet<i64> =
            made("integer(-2..3)", 1, 1, 0, 500).iter().map(|n| n.parse().unwrap()).collect();

        assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2, 3]);
        assert_eq!(made("integer(5..5)", 1, 1, 0, 2), ["5", "5"]);
        let all = format!("integer({}..{})", i64::MIN, i64::MAX);
        assert_eq!(made(&all, 1, 1, 0, 3).len(), 3);
    }

    #[test]
    fn no_two_requests_of_a_run_share_a_count() {
        let mut counts: Vec<u64> =
            (0..3).flat_map(|worker| made("counter", 1, 1, worker, 4)).map(|n| n.parse().unwrap()).collect();
        counts.sort_unstable();

        assert_eq!(counts, (1..=12).collect::<Vec<_>>());
    }

    #[test]
    fn a_uuid_has_version_and_variant_and_is_new_in_every_run() {
        let first = made("uuid", 1, 1, 0, 50);

        for uuid in &first {
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
            assert_eq!(&uuid[14..15], "4", "{uuid}");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 50);
        assert_ne!(first, made("uuid", 1, 2, 0, 50));
    }

    #[test]
    fn the_seed_and_the_worker_decide_what_is_drawn() {
        for text in ["integer(1..1000000)", "text(12)"] {
            let drawn = made(text, 1, 1, 0, 5);

            assert_eq!(drawn, made(text, 1, 2, 0, 5), "{text}: another run");
            assert_ne!(drawn, made(text, 2, 1, 0, 5), "{text}: another seed");
            assert_ne!(drawn, made(text, 1, 1, 1, 5), "{text}: another worker");
        }
    }

    #[test]
    fn every_word_of_a_choice_comes_up() {
        let mut counts = BTreeMap::new();
        for word in made("choice(red, dark blue)", 1, 1, 0, 400) {
            *counts.entry(word).or_insert(0) += 1;
        }

        assert_eq!(counts.keys().collect::<Vec<_>>(), ["dark blue", "red"]);
        assert!(counts.values().all(|&count| count > 120), "{counts:?}");
    }

    #[test]
    fn what_is_no_generator_is_refused() {
        for hostile in [
            "",
            "integer",
            "integer()",
            "integer(1)",
            "integer(5..1)",
            "integer(1..9223372036854775808)",
            "integer(1..+5)",
            "integer(1..2",
            "integer(1..2))",
            "counter()",
            "uuid(4)",
            "text(0)",
            "text(257)",
            "text(-1)",
            "choice()",
            "choice(a,,b)",
            "Integer(1..2)",
            "random",
        ] {
            assert_eq!(Generator::parse(hostile), None, "{hostile:?} must be refused");
        }
    }
}
