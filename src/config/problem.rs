//! A problem is one thing that is wrong with the configuration: where, what, and what to do about it.
//!
//! Problems are gathered, never thrown one at a time, so that a person mends a file in one pass.

use std::fmt;
use std::path::PathBuf;

/// A place in a file, as people and editors count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the current directory where it lies below it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A value and the place it was written at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> Located<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), place: self.place }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is; absent for a flag or a thing that is missing.
    pub place: Option<Place>,
    /// What is wrong: a fragment in lower case without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    /// Makes a problem at a place.
    #[must_use]
    pub fn at(place: &Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place: Some(place.clone()), message: message.into(), help: help.into() }
    }

    /// Makes a problem that stands in no file.
    #[must_use]
    pub fn nowhere(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(place) = &self.place {
            write!(f, "\n  --> {place}")?;
        }
        write!(f, "\n  help: {}", self.help)
    }
}

/// Everything that is wrong, in the order it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Returns whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one more.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds all of another list.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns the value where nothing is wrong, else the problems.
    pub fn or_ok<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_read_like_a_compiler_speaks() {
        let place = Place { file: "loadgate.toml".into(), line: 3, column: 7 };
        let problems = Problems(vec![
            Problem::at(&place, "`rate` is 0, which is out of range", "use more"),
            Problem::nowhere("there is no scenario named \"x\"", "the scenarios are root"),
        ]);

        assert_eq!(
            problems.to_string(),
            "error: `rate` is 0, which is out of range\n  --> loadgate.toml:3:7\n  help: use more\n\n\
             error: there is no scenario named \"x\"\n  help: the scenarios are root"
        );
    }
}
