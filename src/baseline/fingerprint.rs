//! A fingerprint holds what must be equal for two measurements to be comparable: load, tool, machine, kind of target.
//!
//! The gate is no part of it: a stricter limit does not change what was measured.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::machine::Machine;
use crate::request::{Check, Entry, Feed, Requests};
use crate::scenario::{Arrivals, Level, LoadProfile, Pacing, Protocol, RateShape, Scenario, Stage};

/// Parts of names of headers and columns whose values are credentials: they change from run to run without changing the load.
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
    let mut text = Canonical(String::from("loadgate scenario 1\n"));
    match scenario.requests.only() {
        // The form that scenarios had before there could be several requests: what is stored stays comparable.
        Some(_) => scenario.requests.entries().iter().for_each(|entry| text.request(entry)),
        None => text.requests(&scenario.requests),
    }
    if let Some(script) = &scenario.script {
        text.line("script", &digest(&script.text));
        for (name, module) in &script.modules {
            text.line(name, &digest(module));
        }
        for (name, data) in &script.files {
            text.line(name, &digest(data));
        }
        for param in &script.params {
            text.line(&param.name, &digest(&param.value));
        }
        text.line("arguments", &digest(script.arguments.join("\n")));
    }
    // HTTP/1.1 has no line, as it had none when there was nothing else.
    if scenario.protocol != Protocol::Http1 {
        text.line("protocol", &scenario.protocol.to_string());
    }
    for (key, value) in profile_lines(&scenario.profile) {
        text.line(key, &value);
    }
    text.0
}

struct Canonical(String);

impl Canonical {
    fn line(&mut self, key: &str, value: &str) {
        writeln!(self.0, "{key} {} {value}", value.len()).expect("writing to a string cannot fail");
    }

    /// Names are no part of it: to call an endpoint otherwise changes nothing that is sent.
    fn requests(&mut self, requests: &Requests) {
        self.line("requests", &requests.entries().len().to_string());
        self.line("seed", &requests.seed().to_string());
        for entry in requests.entries() {
            self.line("weight", &entry.weight().to_string());
            self.line("filled", if entry.is_template() { "yes" } else { "no" });
            self.request(entry);
            self.check(entry.check());
        }
        if let Some(feed) = requests.feed() {
            self.line("feed", feed.order().as_str());
            self.line("rows", &feed_digest(feed));
        }
    }

    fn request(&mut self, entry: &Entry) {
        self.line("method", entry.method().as_str());
        self.line("path", entry.path());
        for (name, value) in entry.headers() {
            let name = name.to_ascii_lowercase();
            self.line("header", &name);
            self.line("value", if is_credential(&name) { "(credential)" } else { value });
        }
        self.line("body", &digest(entry.body()));
    }

    /// A check decides which answers count, and with that which latencies are compared.
    fn check(&mut self, check: &Check) {
        for pattern in &check.status {
            self.line("check-status", &format!("{:?}", pattern.range()));
        }
        for (name, value) in &check.headers {
            self.line("check-header", &name.to_ascii_lowercase());
            self.line("check-value", value);
        }
        if let Some(text) = &check.body_contains {
            self.line("check-body", text);
        }
        for (pointer, value) in &check.json {
            self.line("check-json", pointer.as_str());
            self.line("check-value", &value.to_string());
        }
    }
}

fn is_credential(lower_case_name: &str) -> bool {
    CREDENTIAL_HEADERS.iter().any(|part| lower_case_name.contains(part))
}

/// Hashes the values of a feed; those of a column whose name says that it holds credentials are left out.
fn feed_digest(feed: &Feed) -> String {
    let mut hash = Sha256::new();
    let mut put = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    let kept: Vec<bool> =
        feed.columns().iter().map(|column| !is_credential(&column.to_ascii_lowercase())).collect();
    feed.columns().iter().for_each(|column| put(column));
    for row in 0..feed.rows() {
        for (value, _) in feed.values(row).zip(&kept).filter(|(_, is_kept)| **is_kept) {
            put(value);
        }
    }
    hex(&hash.finalize())
}

/// Lists what shapes the load over time. What a profile does not use adds no line: measurements of tools that did not
/// know it yet stay comparable. The ramp adds none either, as it follows from the others.
fn profile_lines(profile: &LoadProfile) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("pacing", pacing(&profile.pacing)),
        ("connections", profile.connections.to_string()),
        ("duration", profile.duration.as_nanos().to_string()),
        ("warm-up", profile.warm_up.as_nanos().to_string()),
        ("rounds", profile.rounds.to_string()),
        ("timeout", profile.timeout.as_nanos().to_string()),
    ];
    if let Pacing::OpenLoop { arrivals: Arrivals::Poisson { seed }, .. } = profile.pacing {
        lines.push(("poisson", seed.to_string()));
    }
    if profile.until_steady {
        lines.push(("until", "steady".to_owned()));
    }
    if !profile.think_time.is_zero() {
        lines.push(("think-time", profile.think_time.as_nanos().to_string()));
    }
    if let Some(requests) = profile.reconnect_every {
        lines.push(("reconnect-every", requests.to_string()));
    }
    if let Some(requests) = profile.max_in_flight {
        lines.push(("max-in-flight", requests.to_string()));
    }
    lines
}

fn pacing(pacing: &Pacing) -> String {
    match pacing {
        Pacing::OpenLoop { shape: RateShape::Constant(rate), .. } => format!("open {rate}"),
        Pacing::OpenLoop { shape: RateShape::Stages(list), .. } => format!("open{}", stages(list)),
        Pacing::ClosedLoop { ceiling, stages: list } => {
            let below = ceiling.map_or(String::new(), |rate| format!(" below {rate}"));
            format!("closed{below}{}", stages(list))
        }
    }
}

fn stages<Target: Level>(stages: &[Stage<Target>]) -> String {
    let words =
        stages.iter().map(|stage| format!(" to {} over {}", stage.target.level(), stage.over.as_nanos()));
    words.collect()
}

fn digest(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::request::{Asked, BodyText, FeedOrder, Method, Request, RequestText};
    use crate::scenario::{Breaker, Gate, Rate, ScenarioName, StageRate};
    use crate::verdict::FailOn;

    fn scenario(request: Request) -> Scenario {
        scenario_of(request.into())
    }

    /// A GET of a path that may hold placeholders.
    fn asked(path: &str) -> Asked {
        let text = RequestText {
            method: Method::Get,
            path: path.into(),
            headers: Vec::new(),
            body: BodyText::Text(String::new()),
        };
        Asked { name: None, weight: NonZeroU32::MIN, text, check: Check::default() }
    }

    fn scenario_with(feed: Option<Feed>, seed: u64, several: &[Asked]) -> Scenario {
        let mut requests = Requests::new(feed, seed);
        several.iter().for_each(|asked| requests.add(asked.clone()).unwrap());
        scenario_of(requests)
    }

    fn scenario_of(requests: Requests) -> Scenario {
        Scenario {
            name: ScenarioName::parse("browse").unwrap(),
            requests,
            script: None,
            protocol: Protocol::Http1,
            profile: LoadProfile {
                duration: Duration::from_secs(30),
                warm_up: Duration::from_secs(5),
                rounds: LoadProfile::DEFAULT_ROUNDS,
                timeout: Duration::from_secs(2),
                ..LoadProfile::plain(
                    Pacing::open(Rate::per_second(100.0).unwrap()),
                    NonZeroU32::new(8).unwrap(),
                )
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
        others.push(change(|profile| profile.pacing = Pacing::CLOSED));
        others.push(change(|profile| profile.connections = NonZeroU32::MIN));
        others.push(change(|profile| profile.duration = Duration::from_secs(31)));
        others.push(change(|profile| profile.warm_up = Duration::ZERO));
        others.push(change(|profile| profile.rounds = NonZeroU32::MIN));
        others.push(change(|profile| profile.timeout = Duration::from_secs(3)));
        others.push(change(|profile| profile.until_steady = true));
        others.push(change(|profile| profile.think_time = Duration::from_millis(1)));
        others.push(change(|profile| profile.reconnect_every = Some(NonZeroU32::MIN)));
        others.push(change(|profile| profile.max_in_flight = Some(NonZeroU32::MIN)));
        for seed in [0, 1] {
            let mut random = plain.clone();
            let shape = RateShape::Constant(Rate::per_second(100.0).unwrap());
            random.profile.pacing = Pacing::OpenLoop { shape, arrivals: Arrivals::Poisson { seed } };
            others.push(random);
        }
        for (target, over_s) in [(100.0, 30), (100.0, 31), (99.0, 30)] {
            let over = Duration::from_secs(over_s);
            let stage = Stage { target: StageRate::per_second(target).unwrap(), over };
            let mut staged = plain.clone();
            staged.profile.pacing =
                Pacing::OpenLoop { shape: RateShape::Stages(vec![stage]), arrivals: Arrivals::Even };
            others.push(staged);
            let mut crowd = plain.clone();
            let stage = Stage { target: NonZeroU32::new(target as u32).unwrap(), over };
            crowd.profile.pacing = Pacing::ClosedLoop { ceiling: None, stages: vec![stage] };
            others.push(crowd);
        }

        let mut digests: Vec<String> = others.iter().map(of).collect();
        digests.push(of(&plain));
        digests.sort();
        digests.dedup();

        assert_eq!(digests.len(), others.len() + 1);
        assert!(digests.iter().all(|digest| digest.len() == 64));
    }

    /// Written down when there were no stages, seeds, pauses or limits in flight: stored measurements hold them.
    #[test]
    fn profiles_of_the_first_kind_keep_their_digest() {
        let plain = scenario(Request::get("/a").unwrap());
        let mut below = plain.clone();
        below.profile.pacing =
            Pacing::ClosedLoop { ceiling: Rate::per_second(50.0).ok(), stages: Vec::new() };
        let mut closed = plain.clone();
        closed.profile.pacing = Pacing::CLOSED;
        closed.profile.ramp = Duration::from_secs(2);

        assert_eq!(of(&plain), "5a40159f3219d23034354b0908792f0e997d90bff38563f1d1d7db506eb36341");
        assert_eq!(of(&below), "7a1bea6e2a433ee340332d5826be7818378eae070124e90afce38475b62e3f41");
        assert_eq!(of(&closed), "e094453908e25e72b1523b1eaf8c190b691634d97df576fa026cd69b7cfa3bf3");
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
    fn a_plain_request_keeps_the_text_that_stored_baselines_were_hashed_from() {
        let request = Request::new(Method::Post, "/a".into(), vec![("X-Token".into(), "1".into())], vec![]);

        let text = canonical_text(&scenario(request.unwrap()));

        let expected = "loadgate scenario 1\nmethod 4 POST\npath 2 /a\nheader 7 x-token\nvalue 12 (credential)\nbody 64 \
                        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\npacing 10 open 100/s\n";
        assert!(text.starts_with(expected), "{text}");
        // One request in the list is the same as the short form.
        let listed = scenario_with(None, 7, &[Asked { name: Some("x".into()), ..asked("/a") }]);
        assert_eq!(of(&listed), of(&scenario(Request::get("/a").unwrap())));
    }

    #[test]
    fn everything_that_is_sent_and_judged_changes_the_digest_and_a_name_does_not() {
        let check = |word: &str| Check { body_contains: Some(word.into()), ..Check::default() };
        let heavy = Asked { weight: NonZeroU32::new(2).unwrap(), ..asked("/a") };
        let lists = [
            scenario_with(None, 1, &[asked("/a")]),
            scenario_with(None, 1, &[asked("/a"), asked("/b")]),
            scenario_with(None, 1, &[asked("/b"), asked("/a")]),
            scenario_with(None, 2, &[asked("/a"), asked("/b")]),
            scenario_with(None, 1, &[heavy, asked("/b")]),
            scenario_with(None, 1, &[Asked { check: check("x"), ..asked("/a") }]),
            scenario_with(None, 1, &[Asked { check: check("y"), ..asked("/a") }]),
            scenario_with(None, 1, &[asked("/{id:counter}")]),
            scenario_with(None, 1, &[asked("/{{id:counter}")]),
        ];

        let mut digests: Vec<String> = lists.iter().map(of).collect();
        digests.sort();
        digests.dedup();

        assert_eq!(digests.len(), lists.len());
        let named = Asked { name: Some("other".into()), ..asked("/a") };
        assert_eq!(of(&scenario_with(None, 1, &[named, asked("/b")])), of(&lists[1]));
    }

    #[test]
    fn the_rows_of_a_feed_change_the_digest_and_its_credentials_do_not() {
        let with = |id: &str, token: &str, order: FeedOrder| {
            let mut feed = Feed::new(vec!["id".into(), "Token".into()], order).unwrap();
            feed.push(None, [id, token].into_iter()).unwrap();
            of(&scenario_with(Some(feed), 1, &[asked("/{feed.id}")]))
        };

        assert_eq!(with("1", "a", FeedOrder::Once), with("1", "b", FeedOrder::Once));
        assert_ne!(with("1", "a", FeedOrder::Once), with("2", "a", FeedOrder::Once));
        assert_ne!(with("1", "a", FeedOrder::Once), with("1", "a", FeedOrder::Random));
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
