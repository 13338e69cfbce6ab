//! A failure is why a command ends without a verdict: what happened, how to mend it, and the exit.

use std::error::Error;

use crate::config::Problems;
use crate::verdict::Exit;

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// What happened, each with its remedy.
    pub(super) told: Vec<Told>,
}

/// One thing that happened and how to mend it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) message: String,
    /// File, line and column, where it is about a file.
    pub(super) place: Option<String>,
    pub(super) help: Option<String>,
}

impl Failure {
    /// One thing that happened.
    pub(super) fn new(exit: Exit, message: impl Into<String>, help: Option<String>) -> Self {
        Self { exit, told: vec![Told { message: message.into(), place: None, help }] }
    }

    /// Wrong usage or configuration.
    pub(super) fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Exit::BadUsage, message, Some(help.into()))
    }

    /// The run could not complete.
    pub(super) fn incomplete(message: impl Into<String>, help: Option<String>) -> Self {
        Self::new(Exit::CouldNotComplete, message, help)
    }

    /// Everything that is wrong with the configuration, at once.
    pub(super) fn problems(problems: Problems) -> Self {
        let told = problems.0.into_iter().map(|problem| Told {
            message: problem.message,
            place: problem.place.map(|place| place.to_string()),
            help: Some(problem.help),
        });
        Self { exit: Exit::BadUsage, told: told.collect() }
    }
}

/// Returns an error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
