//! Room `ci`: reads CI and platform environments into one typed context, named target candidates and what the
//! environment calls production.
//!
//! It reads variables from a snapshot and one payload file, never the network, and judges nothing: that is the
//! guard's.

mod claims;
mod environment;
mod error;
mod github_actions;
mod payload;
mod production;
mod pull_request;
mod systems;

pub use environment::Environment;
pub use error::CiError;

use systems::{PullRequestFacts, Recognised, System};

use crate::context::{Context, Forge};
use crate::target::{Candidate, ProductionFact, Source};

/// The variable by which an earlier step of a job names the preview.
pub const PREVIEW_VARIABLE: &str = "LOADGATE_PREVIEW_URL";

/// The variable by which GitLab names the review app of the job's environment.
const GITLAB_PREVIEW_VARIABLE: &str = "CI_ENVIRONMENT_URL";

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
        Recognised::GitHubActions => {
            github_actions::read(environment, github_actions::SYSTEM, Forge::GitHub)?
        }
        Recognised::Known { system, event } => read_known(system, event, environment)?,
        Recognised::Unknown { system } => Reading::of(Context::OtherCi { system, event: String::new() }),
        Recognised::Nothing => Reading::of(Context::Desk),
    };
    reading.production.extend(production);
    if let Context::PullRequest(pull_request) = &mut reading.context {
        pull_request.claims = claims::read(environment)?;
    }
    if let Some(raw) = environment.text(PREVIEW_VARIABLE)? {
        reading.candidates.push(Candidate { source: Source::PreviewVariable, raw: raw.to_owned() });
    } else if environment.is_present(PREVIEW_VARIABLE) {
        reading.warnings.push(format!("{PREVIEW_VARIABLE} is set but empty: did the step that sets it run?"));
    }
    Ok(reading)
}

fn read_known(system: &'static System, event: String, environment: &Environment) -> Result<Reading, CiError> {
    let found = match &system.pull_request {
        PullRequestFacts::Payload => Some(github_actions::read(environment, system.name, Forge::Other)?),
        PullRequestFacts::Variables(variables) => pull_request::read(system.name, variables, environment)?,
        PullRequestFacts::Untold => None,
    };
    let Some(mut reading) = found else {
        return Ok(Reading::of(Context::OtherCi { system: system.name.to_owned(), event }));
    };
    if environment.is_set("GITLAB_CI")
        && let Some(raw) = environment.text(GITLAB_PREVIEW_VARIABLE)?
    {
        let source = Source::CiVariable { variable: GITLAB_PREVIEW_VARIABLE.to_owned() };
        reading.candidates.push(Candidate { source, raw: raw.to_owned() });
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
