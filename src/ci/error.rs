//! What can be wrong with the environment of a CI job.

use std::io;
use std::path::PathBuf;

use crate::context::MalformedFact;

/// Something in the environment that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum CiError {
    /// A variable that the CI system always sets is missing. Run inside a job, or unset the system's other variables.
    #[error("{variable} is not set although the CI system always sets it")]
    MissingVariable {
        /// The variable.
        variable: &'static str,
    },
    /// A variable's value is no text. Mend the step that sets it.
    #[error("{variable} is not UTF-8")]
    NotText {
        /// The variable.
        variable: String,
    },
    /// A system that says which pull request it runs for leaves out a part. Check what the job does to its variables.
    #[error("{system} names a pull request, but {variables} is missing")]
    MissingFact {
        /// The CI system.
        system: &'static str,
        /// The variables that could hold it.
        variables: String,
    },
    /// A variable is longer than any honest value. Check what sets it.
    #[error("{variable} is longer than {limit} bytes")]
    TooLong {
        /// The variable.
        variable: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Two variables say different things of one fact. Check what sets them.
    #[error("{one} and {other} contradict each other")]
    Contradiction {
        /// A variable.
        one: &'static str,
        /// Another one.
        other: &'static str,
    },
    /// A fact in a variable does not have the shape it must have. Check what sets it.
    #[error("{variable} cannot be understood")]
    MalformedVariable {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        source: MalformedFact,
    },
    /// A variable's value does not have the shape it must have. Mend whatever sets it.
    #[error("{variable} holds no host or URL")]
    NoHost {
        /// The variable.
        variable: String,
    },
    /// The payload file could not be read. Check that the step can see `GITHUB_EVENT_PATH`.
    #[error("cannot read the event payload {}", path.display())]
    Unreadable {
        /// The payload file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The payload is not an ordinary file. Point `GITHUB_EVENT_PATH` at one.
    #[error("the event payload {} is not a file", path.display())]
    NotAFile {
        /// What should be the payload file.
        path: PathBuf,
    },
    /// The payload is larger than any forge sends. Check what replaced the file.
    #[error("the event payload {} is larger than {} MiB", path.display(), limit >> 20)]
    TooLarge {
        /// The payload file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The payload is no JSON, or a field is missing or of the wrong type. Check that the event is what it says.
    #[error("the event payload {} cannot be understood at {field}", path.display())]
    Malformed {
        /// The payload file.
        path: PathBuf,
        /// The path of the field inside the payload.
        field: String,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// A fact in the payload does not have the shape it must have. Check that the event is what it says.
    #[error("the event payload {} cannot be understood at {field}", path.display())]
    MalformedFact {
        /// The payload file.
        path: PathBuf,
        /// The path of the field inside the payload.
        field: String,
        /// What is wrong there.
        source: MalformedFact,
    },
    /// The payload speaks of another repository than the job. Check what replaced the file or the variable.
    #[error("the event payload speaks of {payload:?}, but GITHUB_REPOSITORY of {variable:?}")]
    OtherRepository {
        /// The repository in the payload.
        payload: String,
        /// The repository in the variable.
        variable: String,
    },
    /// The payload speaks of another pull request than the job. Check what replaced the file or the variable.
    #[error("the event payload contradicts {variable} at {field}")]
    OtherPullRequest {
        /// The path of the field inside the payload.
        field: &'static str,
        /// The variable.
        variable: &'static str,
    },
}

impl CiError {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::MissingVariable { .. } => {
                "run inside a job of the CI system, or unset its variables (GITHUB_ACTIONS) to run at a desk"
                    .into()
            }
            Self::NotText { variable }
            | Self::NoHost { variable }
            | Self::TooLong { variable, .. }
            | Self::MalformedVariable { variable, .. } => format!("mend or unset {variable} in the job"),
            Self::MissingFact { .. } | Self::Contradiction { .. } => {
                "let the CI system set its own variables; no step of the job should change them".into()
            }
            Self::Unreadable { .. } | Self::NotAFile { .. } => {
                "check that this step can see the file that GITHUB_EVENT_PATH names".into()
            }
            Self::TooLarge { .. } | Self::OtherRepository { .. } | Self::OtherPullRequest { .. } => {
                "check whether a step of the job replaced the payload or the variable".into()
            }
            Self::Malformed { .. } | Self::MalformedFact { .. } => {
                "check that GITHUB_EVENT_NAME and GITHUB_EVENT_PATH belong to the same event".into()
            }
        }
    }
}
