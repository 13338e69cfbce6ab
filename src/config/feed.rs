//! Reading a feed: CSV with a header row, a JSON array of objects, or one JSON object a line.
//!
//! Whatever is wrong is said with file and line and a remedy, and never with a value: the rows may be private.

use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::file_v1::FeedDraft;
use super::problem::{Place, Problem};
use super::requests::read_project_file;
use crate::request::{Feed, FeedError, FeedOrder, RowError};

/// More data than this is read slower than it is worth before a run.
const MAX_FEED_BYTES: u64 = 64 * 1024 * 1024;

/// Reads the feed of a scenario.
pub(super) fn read_feed(root: &Path, draft: &FeedDraft) -> Result<Feed, Problem> {
    let extension = Path::new(&draft.file.value).extension().and_then(|extension| extension.to_str());
    let read = match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("csv") => read_csv,
        Some("json") => read_json,
        Some("jsonl" | "ndjson") => read_json_lines,
        _ => {
            let message = format!("feed {:?} has no known kind", draft.file.value);
            let help = "name a file that ends in .csv, .json, .jsonl or .ndjson";
            return Err(Problem::at(&draft.file.place, message, help));
        }
    };
    let bytes = read_project_file(root, &draft.file, "feed", MAX_FEED_BYTES, "64 MiB")?;
    let feed = text(&bytes).and_then(|text| read(text, draft.order)).map_err(|fault| fault.problem(draft))?;
    if feed.rows() == 0 {
        let message = format!("feed {:?} has no rows", draft.file.value);
        return Err(Problem::at(&draft.file.place, message, "add one, or remove the feed"));
    }
    Ok(feed)
}

/// Says which row a request cannot be sent with.
pub(super) fn row_problem(error: &RowError, feed: &Feed, draft: &FeedDraft) -> Problem {
    let place = match feed.line(error.row) {
        Some(line) => line_of(draft, line as usize),
        None => draft.file.place.clone(),
    };
    Problem::at(&place, error.to_string(), RowError::HELP)
}

/// The feed lies beside the configuration that names it.
fn line_of(draft: &FeedDraft, line: usize) -> Place {
    let beside = draft.file.place.file.parent().unwrap_or(Path::new(""));
    Place { file: beside.join(&draft.file.value), line, column: 1 }
}

/// What is wrong with a file.
struct Fault {
    line: usize,
    message: String,
    help: &'static str,
}

impl Fault {
    fn new(line: usize, message: impl Into<String>, help: &'static str) -> Self {
        Self { line, message: message.into(), help }
    }

    fn table(line: usize, error: FeedError) -> Self {
        Self::new(line, error.to_string(), error.help())
    }

    fn problem(self, draft: &FeedDraft) -> Problem {
        let message = format!("cannot use the feed: {}", self.message);
        Problem::at(&line_of(draft, self.line), message, self.help)
    }
}

/// Checks the encoding and leaves out the mark that some editors begin a file with.
fn text(bytes: &[u8]) -> Result<&str, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            Err(Fault::new(line, "it is not UTF-8", "save the file as UTF-8"))
        }
    }
}

fn read_csv(text: &str, order: FeedOrder) -> Result<Feed, Fault> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|error| csv_fault(&error))?;
    let columns = columns.iter().map(str::to_owned).collect();
    let mut feed = Feed::new(columns, order).map_err(|error| Fault::table(1, error))?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| csv_fault(&error))? {
        let line = record.position().map_or(0, |position| begin_of_record(text, position));
        let values: Vec<&str> = record.iter().collect();
        feed.push(Some(line), values.into_iter()).map_err(|error| Fault::table(line as usize, error))?;
    }
    Ok(feed)
}

/// The library's position is the end of the record before: empty lines lie between.
fn begin_of_record(text: &str, position: &csv::Position) -> u32 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n');
    u32::try_from(position.line() + empty.count() as u64).unwrap_or(u32::MAX)
}

fn csv_fault(error: &csv::Error) -> Fault {
    let line = error.position().map_or(1, csv::Position::line);
    let line = usize::try_from(line).unwrap_or(usize::MAX);
    Fault::new(line, "it is no CSV", "write one row a line with commas between the values")
}

const OBJECTS: &str = "write objects of plain values, every one with the same keys";

fn read_json_lines(text: &str, order: FeedOrder) -> Result<Feed, Fault> {
    let mut rows = JsonRows { order, feed: None };
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let row: Map<String, Value> =
            serde_json::from_str(line).map_err(|_| Fault::new(number, "it is no JSON object", OBJECTS))?;
        let place = u32::try_from(number).unwrap_or(u32::MAX);
        rows.push(Some(place), &row).map_err(|reason| reason.at(number))?;
    }
    rows.finish()
}

fn read_json(text: &str, order: FeedOrder) -> Result<Feed, Fault> {
    let mut rows = JsonRows { order, feed: None };
    let mut reason = None;
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Array { rows: &mut rows, reason: &mut reason }.deserialize(&mut reader);
    match read.and_then(|()| reader.end()) {
        Ok(()) => rows.finish(),
        // What the library says may repeat a value.
        Err(error) => Err(match reason {
            Some(reason) => reason.at(error.line()),
            None => Fault::new(error.line(), "it is no JSON array of objects", OBJECTS),
        }),
    }
}

/// Gathers objects as rows; the first one names the columns.
struct JsonRows {
    order: FeedOrder,
    feed: Option<Feed>,
}

/// Why an object is no row.
enum NoRow {
    Table(FeedError),
    Lacks(usize),
    NotPlain(usize),
}

impl NoRow {
    fn at(&self, line: usize) -> Fault {
        match self {
            Self::Table(error) => Fault::table(line, *error),
            Self::Lacks(column) => {
                Fault::new(line, format!("an object lacks key {column} of the first one"), OBJECTS)
            }
            Self::NotPlain(column) => {
                Fault::new(line, format!("the value of column {column} is a list or an object"), OBJECTS)
            }
        }
    }
}

impl JsonRows {
    fn push(&mut self, line: Option<u32>, row: &Map<String, Value>) -> Result<(), NoRow> {
        let feed = match &mut self.feed {
            Some(feed) => feed,
            none => none.insert(Feed::new(row.keys().cloned().collect(), self.order).map_err(NoRow::Table)?),
        };
        let (found, expected) = (row.len(), feed.columns().len());
        let mut values = Vec::with_capacity(expected);
        for (index, column) in feed.columns().iter().enumerate() {
            values.push(match row.get(column).ok_or(NoRow::Lacks(index + 1))? {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                Value::Array(_) | Value::Object(_) => return Err(NoRow::NotPlain(index + 1)),
                plain => plain.to_string(),
            });
        }
        if found != expected {
            return Err(NoRow::Table(FeedError::Width { found, expected }));
        }
        feed.push(line, values.iter().map(String::as_str)).map_err(NoRow::Table)
    }

    fn finish(self) -> Result<Feed, Fault> {
        self.feed.ok_or_else(|| Fault::new(1, "it has no rows", "add one, or remove the feed"))
    }
}

/// Reads an array object by object: a whole tree of a large file would cost ten times its size.
struct Array<'r> {
    rows: &'r mut JsonRows,
    reason: &'r mut Option<NoRow>,
}

impl<'de> DeserializeSeed<'de> for Array<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        while let Some(row) = objects.next_element::<Map<String, Value>>()? {
            if let Err(reason) = self.rows.push(None, &row) {
                *self.reason = Some(reason);
                return Err(A::Error::custom("no row"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
