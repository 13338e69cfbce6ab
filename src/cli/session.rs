//! A session is what every command gets from the outside: the console, the environment, the way out, the directory.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::arguments::OutputArguments;
use super::console::Console;
use super::failure::{Failure, chain};
use crate::ci::Environment;
use crate::evidence::{Forges, GITLAB_TOKEN_VARIABLE, GOOGLE_TOKEN_VARIABLE, Google, World};
use crate::guard::{MARKER_KEY_VARIABLE, Surroundings};
use crate::redact::Redactor;
use crate::secret::Secret;

/// Variables whose values must never be shown.
const SECRET_VARIABLES: [&str; 7] = [
    MARKER_KEY_VARIABLE,
    GITLAB_TOKEN_VARIABLE,
    GOOGLE_TOKEN_VARIABLE,
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
        World::default().with_forges(self.forges()).with_marker_key(self.secret(MARKER_KEY_VARIABLE))
    }

    /// Returns the forges that can be asked, with what the environment holds for them.
    pub(super) fn forges(&self) -> Forges {
        Forges {
            github_token: self.forge_token(),
            github_api: self.variable("GITHUB_API_URL").map(str::to_owned),
            gitlab_token: self.secret(GITLAB_TOKEN_VARIABLE),
            gitlab_api: self.variable("CI_API_V4_URL").map(str::to_owned),
            google: Google::with_token(self.secret(GOOGLE_TOKEN_VARIABLE)),
            cancel: self.cancel.clone(),
        }
    }

    /// Returns the token for the forge, where the environment holds one.
    pub(super) fn forge_token(&self) -> Option<Secret> {
        self.secret("GITHUB_TOKEN")
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.variable(name).map(|value| Secret::new(value.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_of_the_environment_is_a_secret_to_the_redactor() {
        for name in [GOOGLE_TOKEN_VARIABLE, GITLAB_TOKEN_VARIABLE, MARKER_KEY_VARIABLE, "GITHUB_TOKEN"] {
            let environment = Environment::from_pairs([(name.to_owned(), "ya29.canary-canary".to_owned())]);
            let redactor = Redactor::new(secrets(&environment));

            let shown = redactor.redact("Google said: ya29.canary-canary is no token");

            assert!(!shown.contains("canary"), "{name}: {shown}");
        }
        assert!(SECRET_VARIABLES.contains(&"LOADGATE_GOOGLE_TOKEN"));
    }
}
