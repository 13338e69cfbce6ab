//! The secrets of a run: read under the base branch's policy, hidden from every writer, bound to the cleared target.

use super::failure::Failure;
use super::session::Session;
use crate::config::{Problem, Problems, Settings};
use crate::guard::{ClearedTarget, MARKER_KEY_VARIABLE};
use crate::redact::is_sensitive_header;
use crate::request::{Entry, Placeholders};
use crate::scenario::Scenario;
use crate::secret::{Secret, SecretPlan, SecretSource};
use crate::vault::{self, Keyring, Sources};

/// Reads the secrets that the scenarios may name, and makes every writer and the log of CI hide them.
pub(super) fn open(
    session: &Session,
    settings: &Settings,
    scenarios: &[Scenario],
) -> Result<Keyring, Failure> {
    let any_script = scenarios.iter().any(|scenario| scenario.script.is_some());
    let is_named = |name: &str| {
        scenarios.iter().any(|scenario| scenario.requests.secrets().any(|(_, used, _)| used == name))
    };
    // Which of them a script will name nobody can know.
    let needed: Vec<_> =
        settings.secrets.iter().filter(|secret| any_script || is_named(&secret.value.name)).collect();
    let plans: Vec<SecretPlan> = needed.iter().map(|secret| secret.value.clone()).collect();
    let sources = Sources {
        root: &settings.root,
        variable: &|name| session.environment.get(name).map(str::to_owned),
        cancel: &session.cancel,
    };
    let keyring = vault::read(&plans, &sources).map_err(|errors| {
        let problem = |(index, error): (usize, vault::VaultError)| {
            Problem::at(&needed[index].place, super::failure::chain(&error), error.help())
        };
        Failure::problems(Problems(errors.into_iter().map(problem).collect()))
    })?;
    let values = keyring.values();
    session.console.redactor().register(&values);
    session.console.redactor().register(&written_credentials(scenarios));
    if session.variable("GITHUB_ACTIONS") == Some("true") {
        // The tokens of the job itself are the runner's own, which hides them already.
        let marker_key = session.variable(MARKER_KEY_VARIABLE).map(|key| Secret::new(key.to_owned()));
        session.console.mask_in_log(&marker_key.into_iter().chain(values).collect::<Vec<_>>());
    }
    Ok(keyring)
}

/// Returns the credentials that stand in the configuration or on the command line itself: nobody should write them
/// there, and whoever does must not find them in a report as well.
fn written_credentials(scenarios: &[Scenario]) -> Vec<Secret> {
    let entries = scenarios.iter().flat_map(|scenario| scenario.requests.entries());
    let headers = entries.flat_map(Entry::headers);
    let values = headers.filter(|(name, _)| is_sensitive_header(name)).flat_map(|(_, value)| {
        // `Bearer` and `Basic` are no secrets, what follows them is.
        let last = value.rsplit(' ').next().unwrap_or(value);
        [value.as_str(), last]
    });
    values
        .filter(|value| value.len() >= 8 && !value.contains('{'))
        .map(|value| Secret::new(value.to_owned()))
        .collect()
}

/// Returns what stands for the secrets in requests to a cleared target.
pub(super) fn bind(keyring: &Keyring, cleared: &ClearedTarget) -> Result<Placeholders, Failure> {
    Ok(keyring.for_target(nonce()?, cleared.origin(), cleared.addresses()))
}

/// A nonce of 128 bits that nobody can guess.
fn nonce() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| {
        Failure::incomplete("the system gives no random numbers", Some("run it again".to_owned()))
    })?;
    Ok(u128::from_be_bytes(bytes))
}

/// Returns the variables whose secrets may not go to this machine: a service that runs here must not get them either.
pub(super) fn variables_of_others(settings: &Settings) -> impl Iterator<Item = &str> {
    settings.secrets.iter().filter_map(|secret| match &secret.value.source {
        SecretSource::Variable(name) if !secret.value.may_go_to("localhost", true) => Some(name.as_str()),
        _ => None,
    })
}
