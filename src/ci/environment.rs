//! The environment is a snapshot of the process's variables, taken once at start.
//!
//! Values may be secret, so that it shows only names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use super::CiError;

/// An immutable snapshot of environment variables.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Takes a snapshot of name and value pairs; of a repeated name the last value counts.
    pub fn from_pairs<N: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Returns a variable's text, or `None` where it is unset, empty or not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.text(name).ok().flatten()
    }

    /// Returns a variable's text, or `None` where it is unset or empty; what is not UTF-8 is an error.
    pub fn text(&self, name: &str) -> Result<Option<&str>, CiError> {
        let Some(value) = self.0.get(OsStr::new(name)).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        value.to_str().map(Some).ok_or_else(|| CiError::NotText { variable: name.to_owned() })
    }

    /// Returns whether a variable is set to something, whatever it is.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.0.get(OsStr::new(name)).is_some_and(|value| !value.is_empty())
    }

    /// Returns a variable's value as it is, or `None` where it is unset.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Returns whether a variable exists, even with an empty value.
    #[must_use]
    pub fn is_present(&self, name: &str) -> bool {
        self.0.contains_key(OsStr::new(name))
    }

    /// Returns every pair, ordered by name, for the environment of a child process.
    pub fn pairs(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Returns whether a variable has this value, in capitals or not; what is not UTF-8 is an error.
    pub(super) fn says(&self, name: &str, value: &str) -> Result<bool, CiError> {
        Ok(self.text(name)?.is_some_and(|text| text.eq_ignore_ascii_case(value)))
    }

    /// Returns a variable that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, CiError> {
        self.text(name)?.ok_or(CiError::MissingVariable { variable: name })
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_not_set() {
        let environment = Environment::from_pairs([("A", ""), ("B", "b")]);

        assert_eq!((environment.get("A"), environment.get("B")), (None, Some("b")));
        assert!(!environment.is_set("A") && environment.is_present("A") && !environment.is_present("C"));
    }

    #[test]
    fn values_are_never_shown() {
        let environment = Environment::from_pairs([("GITHUB_TOKEN", "hunter2")]);

        assert_eq!(format!("{environment:?}"), r#"{"GITHUB_TOKEN"}"#);
    }
}
