//! A feed is a table of values that requests are filled with: rows of named columns, read before the run.
//!
//! Its values may be private: nothing here shows one, not even for debugging. Whoever reads the file pushes its rows.

use std::fmt;
use std::ops::Range;

use super::Seat;

/// More rows are data for a benchmark of a database, not for a gate.
pub const MAX_FEED_ROWS: usize = 1_000_000;

/// A table of more columns is most likely no table of values.
const MAX_FEED_COLUMNS: usize = 256;

/// More values than this cost more memory for their places than for themselves.
const MAX_FEED_CELLS: usize = 16_000_000;

/// In which order the rows of a feed are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FeedOrder {
    /// One after the other, and from the beginning when all are used.
    #[default]
    Sequential,
    /// Any row at any time, chosen by the scenario's seed.
    Random,
    /// Each row once; a worker whose share is used up sends no more.
    Once,
}

impl FeedOrder {
    /// Every order by the word that people write.
    pub const WORDS: [(&'static str, Self); 3] =
        [("sequential", Self::Sequential), ("random", Self::Random), ("once", Self::Once)];

    /// Returns the word that people write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Random => "random",
            Self::Once => "once",
        }
    }
}

/// What keeps a table from being a feed; no variant carries a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// There is no column to take a value from.
    #[error("it has no columns")]
    NoColumns,
    /// Too many columns.
    #[error("it has more than {MAX_FEED_COLUMNS} columns")]
    Columns,
    /// A column without a usable name, counted from 1.
    #[error(
        "the name of column {0} is empty, repeated, longer than 64 characters, or holds a brace or a control character"
    )]
    ColumnName(usize),
    /// Too many rows.
    #[error("it has more than {MAX_FEED_ROWS} rows")]
    Rows,
    /// Too many values.
    #[error("it has more than {MAX_FEED_CELLS} values")]
    Cells,
    /// A row with more or fewer values than there are columns.
    #[error("the row has {found} values, but there are {expected} columns")]
    Width {
        /// The values of the row.
        found: usize,
        /// The columns of the table.
        expected: usize,
    },
    /// A value with a NUL, in the column counted from 1.
    #[error("the value of column {0} holds a NUL")]
    Nul(usize),
}

impl FeedError {
    /// Returns the remedy, in one line.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::NoColumns | Self::Columns | Self::ColumnName(_) => {
                "begin the table with a row that gives each column a short name of its own"
            }
            Self::Rows | Self::Cells => "leave out what the requests do not need",
            Self::Width { .. } => "give every row one value for each column; quote values that hold a comma",
            Self::Nul(_) => "remove it: no request can carry it",
        }
    }
}

/// A table of values with the order in which its rows are used.
#[derive(Clone, PartialEq, Eq)]
pub struct Feed {
    order: FeedOrder,
    columns: Vec<String>,
    /// All values, one behind the other: a million rows must not be a million allocations.
    text: String,
    /// Where each value ends in the text.
    ends: Vec<u32>,
    /// The line of each row in its file; empty where the rows have none.
    lines: Vec<u32>,
}

impl Feed {
    /// Makes a table without rows.
    ///
    /// # Errors
    /// Names that no placeholder could say.
    pub fn new(columns: Vec<String>, order: FeedOrder) -> Result<Self, FeedError> {
        if columns.is_empty() {
            return Err(FeedError::NoColumns);
        }
        if columns.len() > MAX_FEED_COLUMNS {
            return Err(FeedError::Columns);
        }
        for (index, name) in columns.iter().enumerate() {
            let is_plain =
                !name.contains(|c: char| c.is_control() || "{}:".contains(c)) && name.trim() == name;
            if name.is_empty() || name.chars().count() > 64 || !is_plain || columns[..index].contains(name) {
                return Err(FeedError::ColumnName(index + 1));
            }
        }
        Ok(Self { order, columns, text: String::new(), ends: Vec::new(), lines: Vec::new() })
    }

    /// Adds a row, with its line where the file has lines: either every row has one or none has.
    ///
    /// # Errors
    /// A row that does not fit the columns, or one too many.
    pub fn push<'v>(
        &mut self,
        line: Option<u32>,
        values: impl ExactSizeIterator<Item = &'v str>,
    ) -> Result<(), FeedError> {
        let (found, expected) = (values.len(), self.columns.len());
        if found != expected {
            return Err(FeedError::Width { found, expected });
        }
        if self.rows() >= MAX_FEED_ROWS {
            return Err(FeedError::Rows);
        }
        if self.ends.len() + found > MAX_FEED_CELLS {
            return Err(FeedError::Cells);
        }
        for (index, value) in values.enumerate() {
            if value.contains('\0') {
                return Err(FeedError::Nul(index + 1));
            }
            self.text.push_str(value);
            self.ends.push(u32::try_from(self.text.len()).map_err(|_| FeedError::Cells)?);
        }
        self.lines.extend(line);
        Ok(())
    }

    /// Returns the order in which the rows are used.
    #[must_use]
    pub fn order(&self) -> FeedOrder {
        self.order
    }

    /// Returns the names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns how many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len() / self.columns.len()
    }

    /// Returns the line of a row in its file, from 1.
    #[must_use]
    pub fn line(&self, row: usize) -> Option<u32> {
        self.lines.get(row).copied()
    }

    /// Returns the values of a row in the order of the columns.
    pub fn values(&self, row: usize) -> impl Iterator<Item = &str> {
        (0..self.columns.len()).map(move |column| self.value(row, column))
    }

    /// Returns one value.
    pub(super) fn value(&self, row: usize, column: usize) -> &str {
        &self.text[self.span(row * self.columns.len() + column)]
    }

    fn span(&self, index: usize) -> Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[index] as usize
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("order", &self.order)
            .field("columns", &self.columns.len())
            .field("rows", &self.rows())
            .finish_non_exhaustive()
    }
}

/// The walk of one worker through its share of the rows: of n workers, worker w has the rows w, w + n, w + 2n …
#[derive(Debug)]
pub(super) struct Walk {
    order: FeedOrder,
    rows: usize,
    first: usize,
    step: usize,
    next: usize,
}

impl Walk {
    pub(super) fn new(feed: &Feed, seat: Seat) -> Self {
        let (rows, step) = (feed.rows(), seat.workers.max(1) as usize);
        let mut first = seat.worker as usize;
        // A worker beyond the last row shares another's, unless no row may be used twice.
        if feed.order != FeedOrder::Once && rows > 0 {
            first %= rows;
        }
        Self { order: feed.order, rows, first, step, next: first }
    }

    /// Returns the next row, or nothing where all are used.
    pub(super) fn advance(&mut self, random: &mut fastrand::Rng) -> Option<usize> {
        if self.first >= self.rows {
            return None;
        }
        match self.order {
            FeedOrder::Random => {
                let share = (self.rows - self.first).div_ceil(self.step);
                Some(self.first + random.usize(..share) * self.step)
            }
            FeedOrder::Sequential | FeedOrder::Once => {
                if self.next >= self.rows && self.order == FeedOrder::Sequential {
                    self.next = self.first;
                }
                let row = self.next;
                self.next = row.saturating_add(self.step);
                (row < self.rows).then_some(row)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(rows: usize, order: FeedOrder) -> Feed {
        let mut feed = Feed::new(vec!["id".into(), "name".into()], order).unwrap();
        for row in 0..rows {
            feed.push(Some(row as u32 + 2), [row.to_string().as_str(), "canary"].into_iter()).unwrap();
        }
        feed
    }

    fn walk(feed: &Feed, worker: u32, workers: u32, steps: usize) -> Vec<Option<usize>> {
        let mut walk = Walk::new(feed, Seat { worker, workers, lines: 1 });
        let mut random = fastrand::Rng::with_seed(7);
        (0..steps).map(|_| walk.advance(&mut random)).collect()
    }

    #[test]
    fn values_lie_where_row_and_column_meet() {
        let feed = feed(3, FeedOrder::Sequential);

        assert_eq!((feed.rows(), feed.value(2, 0), feed.value(0, 1)), (3, "2", "canary"));
        assert_eq!(feed.values(1).collect::<Vec<_>>(), ["1", "canary"]);
        assert_eq!((feed.line(2), feed.line(3)), (Some(4), None));
    }

    #[test]
    fn workers_share_the_rows_and_none_is_used_twice_where_once_is_asked() {
        let sequential = feed(5, FeedOrder::Sequential);
        let once = feed(5, FeedOrder::Once);

        assert_eq!(walk(&sequential, 1, 2, 4), [Some(1), Some(3), Some(1), Some(3)]);
        let mut used: Vec<usize> = (0..3).flat_map(|worker| walk(&once, worker, 3, 9)).flatten().collect();
        used.sort_unstable();
        assert_eq!(used, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn more_workers_than_rows_share_or_stop_at_once() {
        assert_eq!(walk(&feed(2, FeedOrder::Sequential), 3, 4, 2), [Some(1), Some(1)]);
        assert_eq!(walk(&feed(2, FeedOrder::Once), 3, 4, 2), [None, None]);
        assert_eq!(walk(&feed(0, FeedOrder::Sequential), 0, 1, 1), [None]);
        assert_eq!(walk(&feed(0, FeedOrder::Random), 0, 1, 1), [None]);
    }

    #[test]
    fn random_rows_stay_in_the_workers_share_and_reach_all_of_it() {
        let feed = feed(10, FeedOrder::Random);

        let mut rows: Vec<usize> = walk(&feed, 1, 3, 200).into_iter().flatten().collect();
        assert_eq!(rows.len(), 200);
        rows.sort_unstable();
        rows.dedup();

        assert_eq!(rows, [1, 4, 7]);
    }

    #[test]
    fn names_that_no_placeholder_can_say_are_refused() {
        let named = |names: &[&str]| Feed::new(names.iter().map(|&n| n.into()).collect(), FeedOrder::Once);

        assert!(named(&["e-mail", "First name", "größe"]).is_ok());
        assert_eq!(named(&[]), Err(FeedError::NoColumns));
        for hostile in ["", " a", "a}", "a{", "a:b", "a\n", &"x".repeat(65)] {
            assert_eq!(named(&["ok", hostile]), Err(FeedError::ColumnName(2)), "{hostile:?}");
        }
        assert_eq!(named(&["a", "b", "a"]), Err(FeedError::ColumnName(3)));
        assert_eq!(
            Feed::new((0..257).map(|n| n.to_string()).collect(), FeedOrder::Once),
            Err(FeedError::Columns)
        );
    }

    #[test]
    fn a_row_fits_its_columns_and_holds_no_nul() {
        let mut feed = feed(1, FeedOrder::Once);

        assert_eq!(feed.push(None, ["a"].into_iter()), Err(FeedError::Width { found: 1, expected: 2 }));
        assert_eq!(feed.push(None, ["a", "b\0"].into_iter()), Err(FeedError::Nul(2)));
    }

    #[test]
    fn a_feed_shows_no_value_not_even_for_debugging() {
        assert!(!format!("{:?}", feed(2, FeedOrder::Once)).contains("canary"));
    }
}
