//! Room `ci`: reads CI and platform environments into one typed context, named target candidates and what the
//! environment calls production.
//!
//! It reads variables from a snapshot and one payload file, never the network, and judges nothing: that is the
//! guard's.

mod environment;
mod error;
mod github_actions;
mod payload;
mod production;
mod systems;

pub use environment::Environment;
pub use error::CiError;

use crate::context::Context;
use crate::target::{Candidate, ProductionFact, Source};

/// The variable by which an earlier step of a job names the preview.
pub const PREVIEW_VARIABLE: &str = "LOADGATE_PREVIEW_URL";

/// Everything that the environment tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// For whom the run happens.
    pub context: Context,
    /// What is proposed as a target, each with its source; the event's payload stands first.
    pub candidates: Vec<Candidate>,
    /// Hosts that the environment calls production.
    pub production: Vec<ProductionFact>,
    /// The address of the CI run, where people find its log.
    pub run_url: Option<String>,
    /// What looks odd but stops nothing.
    pub warnings: Vec<String>,
}

/// Reads the environment.
///
/// A variable that is set to nothing counts as not set. What is set but cannot be understood is an error, so that
/// nothing is decided on half of the facts.
pub fn read(environment: &Environment) -> Result<Reading, CiError> {
    let production = production::facts(environment)?;
    let mut reading = match systems::recognise(environment)? {
        systems::Recognised::GitHubActions => github_actions::read(environment)?,
        systems::Recognised::Other { system, event } => Reading::of(Context::OtherCi { system, event }),
        systems::Recognised::Nothing => Reading::of(Context::Desk),
    };
    reading.production = production;
    if let Some(raw) = environment.text(PREVIEW_VARIABLE)? {
        reading.candidates.push(Candidate { source: Source::PreviewVariable, raw: raw.to_owned() });
    } else if environment.is_present(PREVIEW_VARIABLE) {
        reading.warnings.push(format!("{PREVIEW_VARIABLE} is set but empty: did the step that sets it run?"));
    }
    Ok(reading)
}

impl Reading {
    fn of(context: Context) -> Self {
        Self { context, candidates: vec![], production: vec![], run_url: None, warnings: vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_pairs(pairs: &[(&str, &str)]) -> Reading {
        read(&Environment::from_pairs(pairs.iter().copied())).unwrap()
    }

    #[test]
    fn an_empty_environment_is_a_desk() {
        let reading = read_pairs(&[("PATH", "/bin"), ("CI", "false")]);

        assert_eq!(reading, Reading::of(Context::Desk));
    }

    #[test]
    fn the_preview_variable_is_a_candidate_as_it_stands() {
        let reading = read_pairs(&[(PREVIEW_VARIABLE, " https://pr-1.shop.test ")]);

        let expected = Candidate { source: Source::PreviewVariable, raw: " https://pr-1.shop.test ".into() };
        assert_eq!(reading.candidates, [expected]);
    }

    #[test]
    fn an_empty_preview_variable_is_no_candidate_but_is_said() {
        let reading = read_pairs(&[(PREVIEW_VARIABLE, "")]);

        assert_eq!(reading.candidates, []);
        assert_eq!(reading.warnings.len(), 1, "{:?}", reading.warnings);
    }

    #[cfg(unix)]
    #[test]
    fn a_preview_variable_that_is_not_text_is_an_error() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;

        let value = OsString::from_vec(b"https://\xff".to_vec());
        let environment = Environment::from_pairs([(OsString::from(PREVIEW_VARIABLE), value)]);

        let error = read(&environment).unwrap_err();

        assert_eq!(error.to_string(), "LOADGATE_PREVIEW_URL is not UTF-8");
    }
}
