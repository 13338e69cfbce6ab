//! A fingerprint holds what must be equal for two measurements to be comparable: load, tool, machine, kind of target.
//!
//! The gate is no part of it: a stricter limit does not change what was measured.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::machine::Machine;
use crate::scenario::{LoadProfile, Pacing, Scenario};

/// Parts of header names whose values are credentials: they change from run to run without changing the load.
const CREDENTIAL_HEADERS: [&str; 7] = ["auth", "cookie", "token", "secret", "key", "session", "bypass"];

/// What must be equal for two measurements to be comparable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fingerprint {
    /// Hash of everything that shapes the load: request, pacing, connections, durations, time-out.
    pub scenario_digest: String,
    /// The major version of the tool that measured (`0.1` while the major version is zero).
    pub tool_series: String,
    /// The operating system of the machine that generated the load.
    pub os: String,
    /// The architecture of that machine.
    pub arch: String,
    /// The processor's name, as the system tells it.
    pub cpu: String,
    /// The number of processors that the generator could use.
    pub cpus: u32,
    /// What kind of target was loaded: `loopback` for a service on the same machine, else the preview's zone.
    pub target: String,
}

impl Fingerprint {
    /// Returns the fingerprint of driving `scenario` from `machine` against a kind of target.
    ///
    /// `target` is `loopback` for a service on the same machine, else the preview's zone, such as
    /// `preview.example.com`.
    #[must_use]
    pub fn of(scenario: &Scenario, machine: &Machine, target: &str) -> Self {
        Self {
            scenario_digest: digest(canonical_text(scenario)),
            tool_series: series(env!("CARGO_PKG_VERSION")),
            os: machine.os.clone(),
            arch: machine.arch.clone(),
            cpu: machine.cpu.clone(),
            cpus: machine.cpus,
            target: target.to_owned(),
        }
    }

    /// Says in words what differs between this fingerprint and that of the run at hand; empty where they are equal.
    ///
    /// An example is `processor: A, now B`.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut words = Vec::new();
        if self.scenario_digest != now.scenario_digest {
            words.push("scenario: its request or load profile changed".to_owned());
        }
        let parts = [
            ("tool", &self.tool_series, &now.tool_series),
            ("operating system", &self.os, &now.os),
            ("architecture", &self.arch, &now.arch),
            ("processor", &self.cpu, &now.cpu),
            ("processors", &self.cpus.to_string(), &now.cpus.to_string()),
            ("target", &self.target, &now.target),
        ];
        for (what, was, is) in parts {
            if was != is {
                words.push(format!("{what}: {was}, now {is}"));
            }
        }
        words
    }
}

/// Returns the part of a version within which measurements stay comparable.
fn series(version: &str) -> String {
    let mut numbers = version.split('.');
    match (numbers.next(), numbers.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        (None, _) => version.to_owned(),
    }
}

/// Writes everything that shapes the load as one text, every value behind its length, so that no two scenarios share
/// a text.
fn canonical_text(scenario: &Scenario) -> String {
    let request = &scenario.request;
    let mut text = String::from("loadgate scenario 1\n");
    let mut line = |key: &str, value: &str| {
        writeln!(text, "{key} {} {value}", value.len()).expect("writing to a string cannot fail");
    };
    line("method", request.method().as_str());
    line("path", request.path());
    for (name, value) in request.headers() {
        let name = name.to_ascii_lowercase();
        let is_credential = CREDENTIAL_HEADERS.iter().any(|part| name.contains(part));
        line("header", &name);
        line("value", if is_credential { "(credential)" } else { value });
    }
    line("body", &digest(request.body()));
    for (key, value) in profile_lines(&scenario.profile) {
        line(key, &value);
    }
    text
}

fn profile_lines(profile: &LoadProfile) -> Vec<(&'static str, String)> {
    let pacing = match profile.pacing {
        Pacing::OpenLoop { rate } => format!("open {rate}"),
        Pacing::ClosedLoop { ceiling: Some(rate) } => format!("closed below {rate}"),
        Pacing::ClosedLoop { ceiling: None } => "closed".to_owned(),
    };
    vec![
        ("pacing", pacing),
        ("connections", profile.connections.to_string()),
        ("duration", profile.duration.as_nanos().to_string()),
        ("warm-up", profile.warm_up.as_nanos().to_string()),
        ("rounds", profile.rounds.to_string()),
        ("timeout", profile.timeout.as_nanos().to_string()),
    ]
}

fn digest(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::request::{Method, Request};
    use crate::scenario::{Breaker, Gate, Rate, ScenarioName};
    use crate::verdict::FailOn;

    fn scenario(request: Request) -> Scenario {
        Scenario {
            name: ScenarioName::parse("browse").unwrap(),
            request,
            profile: LoadProfile {
                pacing: Pacing::OpenLoop { rate: Rate::per_second(100.0).unwrap() },
                connections: NonZeroU32::new(8).unwrap(),
                duration: Duration::from_secs(30),
                warm_up: Duration::from_secs(5),
                rounds: LoadProfile::DEFAULT_ROUNDS,
                timeout: Duration::from_secs(2),
            },
            gate: Gate {
                metrics: Vec::new(),
                max_regression: 0.1,
                max_error_rate: 0.01,
                budgets: Vec::new(),
                fail_on: FailOn::default(),
                confirm_after: Duration::ZERO,
                breaker: Breaker::OFF,
            },
        }
    }

    fn machine() -> Machine {
        Machine { os: "linux".into(), arch: "x86_64".into(), cpu: "A".into(), cpus: 2 }
    }

    fn of(scenario: &Scenario) -> String {
        Fingerprint::of(scenario, &machine(), "loopback").scenario_digest
    }

    #[test]
    fn everything_that_shapes_the_load_changes_the_digest() {
        let plain = scenario(Request::get("/a").unwrap());
        let mut others = vec![
            scenario(Request::get("/b").unwrap()),
            scenario(Request::new(Method::Post, "/a".into(), Vec::new(), Vec::new()).unwrap()),
            scenario(Request::new(Method::Get, "/a".into(), Vec::new(), b"x".to_vec()).unwrap()),
            scenario(Request::get("/a").unwrap().with_header("accept", "text/html").unwrap()),
        ];
        let change = |edit: fn(&mut LoadProfile)| {
            let mut changed = plain.clone();
            edit(&mut changed.profile);
            changed
        };
        others.push(change(|profile| profile.pacing = Pacing::ClosedLoop { ceiling: None }));
        others.push(change(|profile| profile.connections = NonZeroU32::MIN));
        others.push(change(|profile| profile.duration = Duration::from_secs(31)));
        others.push(change(|profile| profile.warm_up = Duration::ZERO));
        others.push(change(|profile| profile.rounds = NonZeroU32::MIN));
        others.push(change(|profile| profile.timeout = Duration::from_secs(3)));

        let mut digests: Vec<String> = others.iter().map(of).collect();
        digests.push(of(&plain));
        digests.sort();
        digests.dedup();

        assert_eq!(digests.len(), others.len() + 1);
        assert!(digests.iter().all(|digest| digest.len() == 64));
    }

    #[test]
    fn the_gate_and_a_fresh_credential_change_nothing() {
        let with =
            |token: &str| scenario(Request::get("/a").unwrap().with_header("Authorization", token).unwrap());
        let mut stricter = with("Bearer one");
        stricter.gate.max_regression = 0.01;

        assert_eq!(of(&with("Bearer one")), of(&with("Bearer two")));
        assert_eq!(of(&with("Bearer one")), of(&stricter));
        assert_ne!(of(&with("Bearer one")), of(&scenario(Request::get("/a").unwrap())));
    }

    #[test]
    fn differences_are_said_in_words() {
        let scenario = scenario(Request::get("/a").unwrap());
        let stored = Fingerprint::of(&scenario, &machine(), "loopback");
        let now = Fingerprint::of(&scenario, &Machine { cpu: "B".into(), cpus: 4, ..machine() }, "loopback");

        assert_eq!(stored.differences(&now), ["processor: A, now B", "processors: 2, now 4"]);
        assert!(stored.differences(&stored).is_empty());
    }

    #[test]
    fn a_series_ends_where_comparability_may_end() {
        assert_eq!(series("0.1.7"), "0.1");
        assert_eq!(series("2.3.4"), "2");
    }
}
