//! A session is what every command gets from the outside: the console, the environment, the way out, the directory.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::arguments::OutputArguments;
use super::console::Console;
use super::failure::{Failure, chain};
use crate::ci::Environment;
use crate::evidence::{Forges, GITLAB_TOKEN_VARIABLE, World};
use crate::guard::{MARKER_KEY_VARIABLE, Surroundings};
use crate::redact::Redactor;
use crate::secret::Secret;

/// Variables whose values must never be shown.
const SECRET_VARIABLES: [&str; 6] = [
    MARKER_KEY_VARIABLE,
    GITLAB_TOKEN_VARIABLE,
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
];

/// Where the forge's API is, unless the environment says otherwise.
const GITHUB_API: &str = "https://api.github.com";

/// What a command gets from the outside.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) console: Console,
    pub(super) environment: Environment,
    pub(super) cancel: CancellationToken,
    pub(super) current_directory: PathBuf,
}

impl Session {
    /// Opens a session for a command with the given output flags.
    pub(super) fn open(
        output: &OutputArguments,
        environment: Environment,
        redactor: Redactor,
        cancel: CancellationToken,
    ) -> Result<Self, Failure> {
        let current_directory = std::env::current_dir().map_err(|error| {
            Failure::usage(
                format!("cannot tell the current directory: {}", chain(&error)),
                "change to the directory of the project",
            )
        })?;
        Ok(Self { console: Console::new(output, redactor), environment, cancel, current_directory })
    }

    /// Returns the world that the guard may ask.
    pub(super) fn world(&self) -> World {
        let marker_key = self.variable(MARKER_KEY_VARIABLE).map(|key| Secret::new(key.to_owned()));
        World::default().with_forges(self.forges()).with_marker_key(marker_key)
    }

    /// Returns the forges that can be asked, with what the environment holds for them.
    pub(super) fn forges(&self) -> Forges {
        Forges {
            github_token: self.forge_token(),
            github_api: self.variable("GITHUB_API_URL").map(str::to_owned),
            gitlab_token: self.variable(GITLAB_TOKEN_VARIABLE).map(|token| Secret::new(token.to_owned())),
            gitlab_api: self.variable("CI_API_V4_URL").map(str::to_owned),
            cancel: self.cancel.clone(),
        }
    }

    /// Returns the token for the forge, where the environment holds one.
    pub(super) fn forge_token(&self) -> Option<Secret> {
        self.variable("GITHUB_TOKEN").map(|token| Secret::new(token.to_owned()))
    }

    /// Returns the address of the forge's API.
    pub(super) fn api_url(&self) -> &str {
        self.variable("GITHUB_API_URL").unwrap_or(GITHUB_API)
    }

    /// Returns which variables would change whom the program talks to.
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings::observe(|name| self.environment.raw(name))
    }

    /// Returns the environment for a child process.
    pub(super) fn inherited(&self) -> Vec<(OsString, OsString)> {
        self.environment.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns a variable that is set, is UTF-8 and is not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).filter(|value| !value.is_empty())
    }
}

/// Returns the secrets that the environment holds.
pub(super) fn secrets(environment: &Environment) -> Vec<Secret> {
    SECRET_VARIABLES
        .iter()
        .filter_map(|name| environment.get(name))
        .filter(|value| !value.is_empty())
        .map(|value| Secret::new(value.to_owned()))
        .collect()
}
