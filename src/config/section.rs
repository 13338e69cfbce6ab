//! A section is one TOML table under reading: typed getters that gather problems and never stop.
//!
//! A getter returns `None` both for a missing key and for a wrong value; the wrong value has left its problem with
//! the [`Reader`], and whoever holds the reader decides at the end.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use toml_edit::{Item, TableLike, Value};

use super::problem::{Located, Place, Problem, Problems};
use super::value::{nearest, parse_duration, parse_percentage, quoted};
use crate::scenario::OutOfRange;

/// Turns byte offsets of one file into places and keeps what is wrong with it.
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    /// Where each line begins: a file may hold as many places as lines, and none may cost a walk through all of it.
    line_starts: Vec<usize>,
    problems: RefCell<Problems>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, line_starts, problems: RefCell::default() }
    }

    /// Returns the line and column of a byte offset; an offset inside a character counts as that character's.
    pub(super) fn place(&self, span: Option<Range<usize>>) -> Place {
        let offset = span.map_or(0, |span| span.start);
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let line_start = self.line_starts[line - 1];
        let before = self.text[line_start..].char_indices().take_while(|(at, _)| line_start + at < offset);
        let column = before.count() + 1;
        Place { file: self.file.to_owned(), line, column }
    }

    pub(super) fn report(&self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.problems.borrow_mut().push(Problem::at(place, message, help));
    }

    /// Reports a number that a parser found out of range.
    pub(super) fn report_range(&self, key: &str, place: &Place, error: &OutOfRange) {
        self.report(
            place,
            format!("`{key}` is {}, which is out of range", error.found),
            format!("{} must be {}", error.what, error.expected),
        );
    }

    pub(super) fn into_problems(self) -> Problems {
        self.problems.into_inner()
    }
}

/// One table with a name, its unknown keys already reported.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) place: Place,
    table: &'a dyn TableLike,
    name: String,
}

impl<'a> Section<'a> {
    /// Opens a table and reports each key that is not known.
    pub(super) fn open(
        reader: &'a Reader<'a>,
        table: &'a dyn TableLike,
        place: Place,
        name: &str,
        known: &[&str],
    ) -> Self {
        let section = Self { reader, place, table, name: name.to_owned() };
        for (key, item) in table.iter().filter(|(key, _)| !known.contains(key)) {
            let help = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys are {}", known.join(", ")),
            };
            let place = section.key_place(key, item);
            reader.report(&place, format!("unknown key {} in {}", shown_key(key), section.name), help);
        }
        section
    }

    /// Returns the same section, further problems going to another reader.
    pub(super) fn with_reader(self, reader: &'a Reader<'a>) -> Self {
        Self { reader, ..self }
    }

    /// Returns the value of a key and where the value stands.
    pub(super) fn item(&self, key: &str) -> Option<Located<&'a Item>> {
        let item = self.table.get(key).filter(|item| !item.is_none())?;
        let place =
            item.span().map_or_else(|| self.key_place(key, item), |span| self.reader.place(Some(span)));
        Some(Located { value: item, place })
    }

    pub(super) fn text(&self, key: &str) -> Option<Located<String>> {
        let found = self.item(key)?;
        match found.value.as_str() {
            Some(text) => Some(Located { value: text.to_owned(), place: found.place }),
            None => self.wrong_type(key, &found, "a string"),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let found = self.item(key)?;
        found.value.as_bool().or_else(|| self.wrong_type(key, &found, "true or false, without quotes"))
    }

    /// Reads a string and parses it; what the parser says becomes the message.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &str,
        help: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Located<T>> {
        let text = self.text(key)?;
        match parse(&text.value) {
            Ok(value) => Some(Located { value, place: text.place }),
            Err(error) => {
                self.reader.report(&text.place, format!("`{key}`: {error}"), help);
                None
            }
        }
    }

    pub(super) fn texts(&self, key: &str) -> Option<Vec<Located<String>>> {
        let found = self.item(key)?;
        let Some(array) = found.value.as_array() else {
            return self.wrong_type(key, &found, "an array of strings, such as [\"one\", \"two\"]");
        };
        let mut texts = Vec::with_capacity(array.len());
        for value in array {
            let place = self.reader.place(value.span());
            match value.as_str() {
                Some(text) => texts.push(Located { value: text.to_owned(), place }),
                None => {
                    let message =
                        format!("`{key}` holds {}, expected only strings", described(value.type_name()));
                    self.reader.report(&place, message, "put the value in quotes");
                }
            }
        }
        Some(texts)
    }

    /// Reads a table whose keys are free and whose values are strings, in the order written.
    pub(super) fn pairs(&self, key: &str) -> Option<Vec<(String, Located<String>)>> {
        let found = self.item(key)?;
        let Some(table) = found.value.as_table_like() else {
            return self.wrong_type(key, &found, "a table of strings, such as { name = \"value\" }");
        };
        let mut pairs = Vec::with_capacity(table.len());
        for (name, item) in table.iter() {
            let place = item.span().map_or_else(|| found.place.clone(), |span| self.reader.place(Some(span)));
            match item.as_str() {
                Some(text) => pairs.push((name.to_owned(), Located { value: text.to_owned(), place })),
                None => {
                    let kind = described(item.type_name());
                    let message = format!("`{key}.{}` is {kind}, expected a string", name.escape_debug());
                    self.reader.report(&place, message, "put the value in quotes");
                }
            }
        }
        Some(pairs)
    }

    /// Reads a whole or a decimal number.
    pub(super) fn number(&self, key: &str) -> Option<Located<f64>> {
        let found = self.item(key)?;
        match found.value.as_value() {
            Some(Value::Float(number)) => Some(Located { value: *number.value(), place: found.place }),
            // Numbers beyond 2^53 lose digits here, and every range ends far below that.
            Some(Value::Integer(number)) => {
                Some(Located { value: *number.value() as f64, place: found.place })
            }
            _ => self.wrong_type(key, &found, "a number"),
        }
    }

    /// Reads a whole number within a range.
    pub(super) fn count(&self, key: &str, range: RangeInclusive<u32>) -> Option<Located<u32>> {
        let found = self.item(key)?;
        let Some(number) = found.value.as_integer() else {
            return self.wrong_type(key, &found, "a whole number");
        };
        match u32::try_from(number).ok().filter(|count| range.contains(count)) {
            Some(value) => Some(Located { value, place: found.place }),
            None => {
                let help = format!("use a whole number from {} to {}", range.start(), range.end());
                self.reader.report(&found.place, format!("`{key}` is {number}, which is out of range"), help);
                None
            }
        }
    }

    /// Reads a duration of at least `least`.
    pub(super) fn duration(&self, key: &str, least: Duration) -> Option<Located<Duration>> {
        let found = self.item(key)?;
        let Some(text) = found.value.as_str() else {
            return self.wrong_type(
                key,
                &found,
                "a duration in quotes, such as \"30s\", \"250ms\" or \"5m\"",
            );
        };
        match parse_duration(text) {
            Ok(value) if value >= least => Some(Located { value, place: found.place }),
            Ok(_) => {
                let message = format!("`{key}` is {}, which is too short", quoted(text));
                self.reader.report(&found.place, message, format!("use at least {least:?}"));
                None
            }
            Err(error) => {
                self.reader.report_range(key, &found.place, &error);
                None
            }
        }
    }

    /// Reads `"10%"` or `0.1` and checks its range.
    pub(super) fn fraction(
        &self,
        key: &str,
        check: fn(f64) -> Result<f64, OutOfRange>,
    ) -> Option<Located<f64>> {
        let found = self.item(key)?;
        let fraction = match found.value.as_value() {
            Some(Value::String(text)) => parse_percentage(text.value()),
            Some(Value::Float(number)) => Some(*number.value()),
            Some(Value::Integer(number)) if matches!(number.value(), 0 | 1) => Some(*number.value() as f64),
            _ => None,
        };
        let Some(fraction) = fraction else {
            let shown = found.value.as_value().map(ToString::to_string).unwrap_or_default();
            let message = format!("`{key}` is {}, which is no share", shown.trim());
            self.reader.report(
                &found.place,
                message,
                "write a percentage in quotes, such as \"10%\", or 0.1",
            );
            return None;
        };
        match check(fraction) {
            Ok(value) => Some(Located { value, place: found.place }),
            Err(error) => {
                self.reader.report_range(key, &found.place, &error);
                None
            }
        }
    }

    pub(super) fn table(&self, key: &str, known: &[&str]) -> Option<Section<'a>> {
        let found = self.item(key)?;
        match found.value.as_table_like() {
            Some(table) => Some(Section::open(self.reader, table, found.place, &self.inner_name(key), known)),
            None => self.wrong_type(key, &found, "a table"),
        }
    }

    /// Reads `[[key]]` tables, or an array of inline tables, which means the same.
    pub(super) fn tables(&self, key: &str, known: &[&str]) -> Option<Vec<Section<'a>>> {
        let found = self.item(key)?;
        let name = match self.name.strip_prefix("[[").and_then(|name| name.strip_suffix("]]")) {
            Some(outer) => format!("[[{outer}.{key}]]"),
            None => format!("[[{key}]]"),
        };
        let open = |table: &'a dyn TableLike, span| {
            Section::open(self.reader, table, self.reader.place(span), &name, known)
        };
        match found.value {
            Item::ArrayOfTables(tables) => {
                Some(tables.iter().map(|table| open(table, table.span())).collect())
            }
            Item::Value(Value::Array(array)) if array.iter().all(Value::is_inline_table) => {
                let tables = array.iter().filter_map(Value::as_inline_table);
                Some(tables.map(|table| open(table, table.span())).collect())
            }
            _ => self.wrong_type(key, &found, &format!("an array of tables, each begun by {name}")),
        }
    }

    /// Reports a value of the wrong type; returns `None` for the getter to return.
    pub(super) fn wrong_type<T>(&self, key: &str, found: &Located<&Item>, expected: &str) -> Option<T> {
        // The value itself is not shown: a header or a body may hold what nobody should read in a log.
        let kind = described(found.value.type_name());
        let message = format!("`{key}` in {} is {kind}", self.name);
        self.reader.report(&found.place, message, format!("write {expected}"));
        None
    }

    fn inner_name(&self, key: &str) -> String {
        if self.name.starts_with("[[") { format!("`{key}` of {}", self.name) } else { format!("[{key}]") }
    }

    fn key_place(&self, key: &str, item: &Item) -> Place {
        let span = self.table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
        span.map_or_else(|| self.place.clone(), |span| self.reader.place(Some(span)))
    }
}

fn described(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

/// A key may hold anything that TOML can quote.
fn shown_key(key: &str) -> String {
    let shown: String = key.chars().take(60).collect();
    format!("`{}`", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let reader = Reader::new(Path::new("loadgate.toml"), "a\r\n\u{e9}\u{1f534}x\n");
        let place = |offset| {
            let place = reader.place(Some(offset..offset));
            (place.line, place.column)
        };

        assert_eq!((place(0), place(1), place(2)), ((1, 1), (1, 2), (1, 3)));
        assert_eq!((place(3), place(5), place(9)), ((2, 1), (2, 2), (2, 3)));
        assert_eq!((place(11), place(99)), ((3, 1), (3, 1)));
    }

    #[test]
    fn a_place_costs_no_walk_through_the_whole_file() {
        let text = "x = 1\n".repeat(150_000);
        let reader = Reader::new(Path::new("loadgate.toml"), &text);
        let began = crate::clock::monotonic();

        // Walking the file for each of them takes minutes.
        let last = (0..text.len()).step_by(6).map(|at| reader.place(Some(at..at)).line).last();

        assert_eq!(last, Some(150_000));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}
