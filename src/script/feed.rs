//! A feed is a table of data that a script reads row by row. It is read once, kept outside of Lua and shared by all
//! states.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// More rows than any run needs.
const MAX_ROWS: usize = 1_000_000;

/// The rows of one file in compact form.
#[derive(Debug)]
pub(super) struct Feed {
    columns: Vec<String>,
    text: Vec<u8>,
    /// Where each cell ends, row after row.
    ends: Vec<u32>,
}

impl Feed {
    /// Reads CSV with a header row.
    pub(super) fn read(name: &str, csv: &[u8]) -> Result<Self, String> {
        let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv);
        let mut reader = csv::ReaderBuilder::new().from_reader(csv);
        let wrong = |line: u64, why: &str| format!("cannot read feed {name:?}, line {line}: {why}");
        let header = reader.byte_headers().map_err(|error| wrong(1, &reason(&error)))?;
        let columns: Result<Vec<String>, _> =
            header.iter().map(|cell| std::str::from_utf8(cell).map(|text| text.trim().to_owned())).collect();
        let columns = columns.map_err(|_| wrong(1, "it is not UTF-8"))?;
        if columns.iter().all(String::is_empty) {
            return Err(wrong(1, "the first row must name the columns"));
        }
        let mut feed = Self { columns, text: Vec::new(), ends: Vec::new() };
        let mut record = csv::ByteRecord::new();
        let mut rows = 0;
        loop {
            let line = reader.position().line();
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(wrong(line, &reason(&error))),
            }
            rows += 1;
            if rows > MAX_ROWS {
                return Err(wrong(line, "it has more than a million rows"));
            }
            if std::str::from_utf8(record.as_slice()).is_err() {
                return Err(wrong(line, "it is not UTF-8"));
            }
            feed.push(&record).ok_or_else(|| wrong(line, "it is longer than 4 GiB"))?;
        }
        if rows == 0 {
            return Err(wrong(2, "it has no row below the header"));
        }
        Ok(feed)
    }

    fn push(&mut self, record: &csv::ByteRecord) -> Option<()> {
        for cell in record {
            self.text.extend_from_slice(cell);
            self.ends.push(u32::try_from(self.text.len()).ok()?);
        }
        Some(())
    }

    /// Returns how many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.ends.len() / self.columns.len()
    }

    /// Returns column and cell of each cell of a row.
    pub(super) fn row(&self, number: usize) -> impl Iterator<Item = (&str, &[u8])> {
        let first = number * self.columns.len();
        self.columns.iter().enumerate().filter_map(move |(column, name)| {
            let cell = first + column;
            let start = if cell == 0 { 0 } else { *self.ends.get(cell - 1)? };
            let end = *self.ends.get(cell)?;
            Some((name.as_str(), &self.text[start as usize..end as usize]))
        })
    }
}

/// The cause without the cells, which may be private.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let cells = if *len == 1 { "cell" } else { "cells" };
            format!("it has {len} {cells} where the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".into(),
        _ => "it is not CSV".into(),
    }
}

/// The feeds of a run, by the names of their files.
#[derive(Debug, Default)]
pub(super) struct Feeds(Mutex<BTreeMap<String, Arc<Feed>>>);

impl Feeds {
    /// Returns a feed, reading it where no state has asked for it before.
    pub(super) fn open(&self, name: &str, csv: &[u8]) -> Result<Arc<Feed>, String> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(name) {
            return Ok(Arc::clone(feed));
        }
        let feed = Arc::new(Feed::read(name, csv)?);
        feeds.insert(name.to_owned(), Arc::clone(&feed));
        Ok(feed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_its_number() {
        let feed = Feed::read("u.csv", b"\xef\xbb\xbfname,id\n\"a, b\",1\nc,\n").unwrap();

        assert_eq!(feed.rows(), 2);
        assert_eq!(feed.row(0).collect::<Vec<_>>(), [("name", &b"a, b"[..]), ("id", b"1")]);
        assert_eq!(feed.row(1).collect::<Vec<_>>(), [("name", &b"c"[..]), ("id", b"")]);
    }

    #[test]
    fn what_is_wrong_with_a_feed_is_told_with_its_line_and_without_its_cells() {
        let said = |csv: &[u8]| Feed::read("u.csv", csv).unwrap_err();

        assert_eq!(
            said(b"a,b\n1,2\nprivate\n"),
            "cannot read feed \"u.csv\", line 3: it has 1 cell where the header has 2"
        );
        assert_eq!(said(b"a\n\xff\xfe\n"), "cannot read feed \"u.csv\", line 2: it is not UTF-8");
        assert!(said(b"").contains("the first row must name the columns"));
        assert!(said(b"a,b\n").contains("no row below the header"));
    }

    #[test]
    fn a_million_rows_are_read_and_one_more_is_not() {
        let mut csv = b"id\n".to_vec();
        csv.extend(b"7\n".repeat(MAX_ROWS));

        assert_eq!(Feed::read("u.csv", &csv).unwrap().rows(), MAX_ROWS);
        csv.extend(b"8\n");
        assert!(Feed::read("u.csv", &csv).unwrap_err().contains("more than a million rows"));
    }
}
