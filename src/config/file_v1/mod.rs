//! The configuration file, version 1: which keys there are and what their values may be, each on its own.
//!
//! Reading gives drafts: everything typed, nothing decided. Defaults, flags and whatever needs two sections at once
//! belong to `scenarios` and to [`super::load`].

mod draft;
mod gate;
mod profile;
mod request;
mod scenario;
mod script;
mod secret;
mod service;
mod target;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::TableLike;

use super::problem::{Problem, Problems};
use super::section::{Reader, Section};
use super::value::{parse_bytes, quoted};
use crate::scenario::Rate;

pub(super) use draft::{
    BodyDraft, FeedDraft, FileV1, GateDraft, LimitsDraft, ParamDraft, PolicyDraft, ProfileDraft,
    RequestDraft, ScenarioDraft, ScriptDraft, ServiceDraft, StagesDraft, WarmUpDraft,
};
pub use draft::{PlatformTable, ProductionFile, TargetTable};
pub(super) use gate::add_fail_on;
use gate::read_gate;
use scenario::read_scenarios;
use script::read_script;
use secret::read_secrets;
use service::read_service;
use target::read_target;

/// Every section and its keys; `docs/loadgate.schema.json` lists the same.
pub(super) mod keys {
    pub(in crate::config) const FILE: &[&str] =
        &["target", "service", "limits", "secret", "scenario", "script", "gate", "baseline", "run"];
    pub(in crate::config) const TARGET: &[&str] = &[
        "preview",
        "production",
        "networks",
        "roots",
        "marker",
        "marker-header",
        "client-certificate",
        "client-key",
        "local-tls",
        "platform",
        "consent",
        "forge",
        "deployers",
    ];
    pub(in crate::config) const PLATFORM: &[&str] =
        &["name", "project", "scope", "region", "zone", "service"];
    pub(in crate::config) const PRODUCTION_FILE: &[&str] = &["from", "key"];
    pub(in crate::config) const SERVICE: &[&str] = &["build", "run", "ready", "ready-timeout", "env", "dir"];
    pub(in crate::config) const LIMITS: &[&str] = &["rate", "connections", "duration", "requests", "bytes"];
    pub(in crate::config) const SCENARIO: &[&str] = &[
        "name",
        "path",
        "method",
        "headers",
        "body",
        "body-file",
        "check",
        "request",
        "feed",
        "seed",
        "script",
        "protocol",
        "streams",
        "profile",
        "gate",
    ];
    pub(in crate::config) const REQUEST: &[&str] =
        &["name", "weight", "path", "method", "headers", "body", "body-file", "check"];
    pub(in crate::config) const CHECK: &[&str] = &["status", "header", "body-contains", "json"];
    pub(in crate::config) const FEED: &[&str] = &["file", "order"];
    pub(in crate::config) const PROFILE: &[&str] = &[
        "rate",
        "stages",
        "steps",
        "arrivals",
        "seed",
        "connections",
        "duration",
        "warm-up",
        "rounds",
        "timeout",
        "think-time",
        "reconnect-every",
        "max-in-flight",
    ];
    pub(in crate::config) const STAGE: &[&str] = &["rate", "connections", "over"];
    pub(in crate::config) const STEP: &[&str] = &["rate", "for"];
    pub(in crate::config) const WARM_UP: &[&str] = &["until", "at-most"];
    pub(in crate::config) const SECRET: &[&str] =
        &["name", "env", "file", "command", "timeout", "headers", "hosts"];
    pub(in crate::config) const SCRIPT: &[&str] =
        &["env", "data", "modules", "sink", "pipeline", "sensitive-headers", "param"];
    pub(in crate::config) const PARAM: &[&str] =
        &["name", "type", "min", "max", "choices", "max-length", "pattern", "value"];
    pub(in crate::config) const GATE: &[&str] = &[
        "metrics",
        "max-regression",
        "max-error-rate",
        "budget",
        "fail-on",
        "confirm-after",
        "circuit-breaker",
    ];
    pub(super) const BREAKER: &[&str] = &["error-share", "connect-failures", "latency"];
    pub(in crate::config) const BASELINE: &[&str] = &["store"];
    pub(in crate::config) const RUN: &[&str] = &["threads", "out"];
}

/// More connections than one machine has ports towards one address.
pub const MAX_CONNECTIONS: u32 = 60_000;

/// More threads than any runner has processors.
pub const MAX_THREADS: u32 = 256;

/// A shorter run holds no round worth judging.
pub(super) const SHORTEST_DURATION: Duration = Duration::from_millis(100);

/// No time at all makes no sense for a time-out or a budget.
const SHORTEST_TIMEOUT: Duration = Duration::from_micros(1);

/// Parses TOML; a syntax error becomes a located problem.
pub(super) fn parse_toml<'t>(file: &Path, text: &'t str) -> Result<toml_edit::Document<&'t str>, Problem> {
    toml_edit::Document::parse(text).map_err(|error| {
        let place = Reader::new(file, text).place(error.span());
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        Problem::at(&place, format!("invalid TOML: {what}"), "mend the syntax at this place")
    })
}

/// Reads every section of a configuration table.
pub(super) fn read(file: &Path, text: &str, table: &dyn TableLike) -> (FileV1, Problems) {
    let reader = Reader::new(file, text);
    let top = Section::open(&reader, table, reader.place(None), "the configuration", keys::FILE);
    let run = top.table("run", keys::RUN);
    let draft = FileV1 {
        target: read_target(&top),
        service: top.table("service", keys::SERVICE).and_then(|section| read_service(&section)),
        limits: read_limits(&top),
        secrets: read_secrets(&top),
        scenarios: read_scenarios(&top),
        script: top.table("script", keys::SCRIPT).map(|section| read_script(&section)).unwrap_or_default(),
        gate: top.table("gate", keys::GATE).map(|section| read_gate(&section)).unwrap_or_default(),
        baseline_dir: top.table("baseline", keys::BASELINE).and_then(|section| read_store(&section)),
        threads: run.as_ref().and_then(|run| run.count("threads", 1..=MAX_THREADS)).map(|count| count.value),
        out: run.as_ref().and_then(|run| run.text("out")).map(|out| out.value.into()),
    };
    drop((run, top));
    (draft, reader.into_problems())
}

/// Reads `[target]`, `[limits]`, `[service]` and `[[secret]]` alone: the part that a pull request must not decide for
/// itself.
pub(super) fn read_policy(file: &Path, text: &str, table: &dyn TableLike) -> (PolicyDraft, Problems) {
    let unheard = Reader::new(file, text);
    let reader = Reader::new(file, text);
    let top = Section::open(&unheard, table, reader.place(None), "the configuration", keys::FILE)
        .with_reader(&reader);
    let policy = PolicyDraft {
        target: read_target(&top),
        limits: read_limits(&top),
        service: top.table("service", keys::SERVICE).and_then(|section| read_service(&section)),
        secrets: read_secrets(&top),
    };
    drop(top);
    (policy, reader.into_problems())
}

fn read_limits(top: &Section<'_>) -> LimitsDraft {
    let Some(section) = top.table("limits", keys::LIMITS) else {
        return LimitsDraft::default();
    };
    LimitsDraft {
        rate: read_rate(&section),
        connections: read_connections(&section),
        duration: section.duration("duration", SHORTEST_DURATION).map(|duration| duration.value),
        requests: section.count("requests", 1..=u32::MAX).map(|count| count.value.into()),
        bytes: section
            .parsed("bytes", "write an amount of data in quotes, such as \"64MiB\" or \"1GB\"", parse_bytes)
            .map(|bytes| bytes.value),
    }
}

fn read_rate(section: &Section<'_>) -> Option<Rate> {
    let number = section.number("rate")?;
    Rate::per_second(number.value)
        .inspect_err(|error| section.reader.report_range("rate", &number.place, error))
        .ok()
}

fn read_connections(section: &Section<'_>) -> Option<NonZeroU32> {
    section.count("connections", 1..=MAX_CONNECTIONS).and_then(|count| NonZeroU32::new(count.value))
}

fn read_store(section: &Section<'_>) -> Option<PathBuf> {
    let store = section.text("store")?;
    match store.value.split_once(':') {
        Some(("dir", path)) if !path.is_empty() => Some(path.into()),
        Some((scheme @ ("github" | "s3"), _)) => {
            let message = format!("stores of kind `{scheme}` are not supported yet");
            section.reader.report(&store.place, message, "use \"dir:PATH\", such as \"dir:baselines\"");
            None
        }
        _ => {
            let message = format!("{} names no store", quoted(&store.value));
            section.reader.report(&store.place, message, "use \"dir:PATH\", such as \"dir:baselines\"");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &str) -> Result<FileV1, Problems> {
        let file = Path::new("loadgate.toml");
        let document = parse_toml(file, text)?;
        let (draft, problems) = read(file, text, document.as_table());
        problems.or_ok(draft)
    }

    fn said_of(text: &str) -> String {
        read_text(text).map_or_else(|problems| problems.to_string(), |_| "nothing wrong".to_owned())
    }

    #[test]
    fn a_whole_file_is_read() {
        let draft = read_text(include_str!("whole.toml")).unwrap();

        let scenarios = draft.scenarios.unwrap();
        assert_eq!(draft.target.preview[0].value, "pr-{pr}.preview.example.com");
        let platform = draft.target.platform.unwrap().value;
        assert_eq!((platform.name.as_str(), platform.keys.scope.as_deref()), ("vercel", Some("acme")));
        assert_eq!(draft.target.networks[0].value.to_string(), "10.20.0.0/16");
        assert_eq!(draft.service.unwrap().run, ["target/release/shop"]);
        assert_eq!(scenarios[0].profile.rate, Rate::per_second(100.0).ok());
        assert_eq!(scenarios[1].gate.max_regression, Some(0.2));
        assert_eq!(scenarios[3].requests.len(), 3);
        assert_eq!(draft.gate.budgets.unwrap()[0].limit, Duration::from_millis(250));
        assert_eq!(draft.baseline_dir, Some("baselines".into()));
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_place_and_the_nearest_word() {
        assert_eq!(
            said_of("[limits]\nrate = 5\n  conections = 3\n"),
            "error: unknown key `conections` in [limits]\n  --> loadgate.toml:3:3\n  help: did you mean `connections`?"
        );
        assert_eq!(
            said_of("[baseline]\n\"\\u001b[31m\" = 1"),
            "error: unknown key `\\u{1b}[31m` in [baseline]\n  --> loadgate.toml:2:1\n  help: known keys are store"
        );
    }

    #[test]
    fn every_problem_of_a_file_is_told_at_once() {
        let text = "[limits]\nrate = -1\nconnections = \"many\"\nduration = \"5 minutes\"\n[gate]\nmetrics = [\"p101\", 5]\n";

        assert_eq!(
            said_of(text),
            "error: `rate` is -1, which is out of range\n  --> loadgate.toml:2:8\n  \
             help: a rate must be between 0.0001 and 10000000 requests per second\n\n\
             error: `connections` in [limits] is a string\n  --> loadgate.toml:3:15\n  help: write a whole number\n\n\
             error: `duration` is \"5 minutes\", which is out of range\n  --> loadgate.toml:4:12\n  \
             help: a duration must be a number and one of us, ms, s, m, h, such as 250ms, 1.5s or 5m, at most 24h\n\n\
             error: `metrics` holds an integer, expected only strings\n  --> loadgate.toml:6:20\n  \
             help: put the value in quotes\n\n\
             error: `metrics` is \"p101\", which is out of range\n  --> loadgate.toml:6:12\n  \
             help: a metric must be 'p' and a percentile above 0 and below 100, such as p50, p99 or p99.9"
        );
    }

    #[test]
    fn broken_toml_is_placed() {
        let said = said_of("[limits]\nrate = = 5\n");

        assert!(said.starts_with("error: invalid TOML: "), "{said}");
        assert!(said.contains("\n  --> loadgate.toml:2:"), "{said}");
    }

    fn assert_answers(table: &[(&str, &str)]) {
        for (text, expected) in table {
            let said = said_of(text);
            assert!(said.contains(expected), "{text}\n{said}");
            assert!(said.contains("  --> loadgate.toml:") && said.contains("  help: "), "{text}\n{said}");
        }
    }

    #[test]
    fn a_wrong_secret_gets_its_own_answer_and_no_value_is_repeated() {
        let with = |rest: &str| format!("[[secret]]\nname = \"T\"\nheaders = [\"authorization\"]\n{rest}");
        let cases = [
            ("[[secret]]\nenv = \"A\"\nheaders = [\"a\"]".to_owned(), "a secret has no `name`"),
            (
                "[[secret]]\nname = \"a b\"\nenv = \"A\"\nheaders = [\"a\"]".to_owned(),
                "`name` is no name of a secret",
            ),
            (with(""), "a secret has no source"),
            (with("env = \"A\"\nfile = \"b\""), "a secret has 2 sources: env and file"),
            (with("env = \"hunter2-hunter2\""), "`env`: it is no name of a variable"),
            (with("value = \"hunter2-hunter2\""), "unknown key `value` in [[secret]]"),
            (with("command = []"), "`command` names no program"),
            (with("command = \"pass show x\""), "`command` in [[secret]] is a string"),
            (with("command = [\"./get\"]"), "`command` names a program of the checkout"),
            (with("command = [\"get\"]\ntimeout = \"5m\""), "`timeout` is too long"),
            (with("env = \"A\"\ntimeout = \"5s\""), "`timeout` beside `env`"),
            (with("env = \"A\"\nhosts = []"), "`hosts` of a secret is empty"),
            (with("env = \"A\"\nhosts = [\"https://a.example.com\"]"), "it is no host's name"),
            (format!("{0}env = \"A\"\n{0}env = \"B\"", with("")), "two secrets are named `T`"),
            ("[[secret]]\nname = \"T\"\nenv = \"A\"".to_owned(), "a secret has no `headers`"),
            (
                "[[secret]]\nname = \"T\"\nenv = \"A\"\nheaders = [\"host\"]".to_owned(),
                "the load generator writes this header itself",
            ),
            (
                "[[secret]]\nname = \"T\"\nenv = \"A\"\nheaders = [\"User-Agent\"]".to_owned(),
                "it lands in the logs",
            ),
            (
                "[[secret]]\nname = \"T\"\nenv = \"A\"\nheaders = [\"x-forwarded-host\"]".to_owned(),
                "route the request",
            ),
            ("[script]\nsensitive-headers = [\"a b\"]".to_owned(), "which is no header's name"),
        ];

        for (text, expected) in cases {
            let said = said_of(&text);
            assert!(said.contains(expected) && !said.contains("hunter2"), "{text}\n{said}");
            assert!(said.contains("  --> loadgate.toml:") && said.contains("  help: "), "{text}\n{said}");
        }
        let good = read_text(&with("command = [\"pass\", \"show\"]\nhosts = [\"localhost\"]")).unwrap();
        assert_eq!(good.secrets[0].value.headers, ["authorization"]);
    }

    #[test]
    fn a_wrong_target_or_service_gets_its_own_answer() {
        assert_answers(&[
            ("[target]\nplatform = { project = \"shop\" }", "`platform` has no `name`"),
            ("[target]\nplatform = \"vercel\"", "`platform` in [target] is a string"),
            (
                "[target]\nplatform = { name = \"cloud-run\", service = 5 }",
                "`service` in [platform] is an integer",
            ),
            ("[target]\nplatform = { name = \"vercel\", team = \"a\" }", "unknown key `team` in [platform]"),
            ("[target]\nforge = \"http://github.example.com\"", "`forge`: it is not https"),
            ("[target]\nforge = \"https://user@github.example.com\"", "`forge`: it holds more than"),
            ("[target]\nnetworks = [\"10.0.0.1\"]", "help: for this one address write \"10.0.0.1/32\""),
            ("[target]\nnetworks = [\"10.0.0.1/8\"]", "help: write 10.0.0.0/8"),
            ("[target]\nnetworks = [\"all\"]", "\"all\" is not a network"),
            ("[target]\npreview = \"a\"", "`preview` in [target] is a string"),
            ("[target]\nclient-key = \"k\"", "`client-key` is given without `client-certificate`"),
            ("[target]\nlocal-tls = \"yes\"", "help: write true or false, without quotes"),
            ("target = 5", "`target` in the configuration is an integer"),
            ("[service]\nready = \"/\"", "[service] has no `run`"),
            ("[service]\nrun = \"cargo run\"", "write each word apart: run = [\"program\", \"argument\"]"),
            ("[service]\nrun = []", "`run` in [service] names no program"),
            ("[service]\nrun = [\"a\\u0000\"]", "`run` holds a NUL"),
            ("[service]\nrun = [\"a\"]\nready = \"http://example.com\"", "it must start with '/'"),
            ("[service]\nrun = [\"a\"]\nready-timeout = 5", "a duration in quotes"),
            ("[service]\nrun = [\"a\"]\nenv = { PORT = \"1\" }", "`env.PORT` cannot be set"),
            ("[service]\nrun = [\"a\"]\nenv = { LOADGATE_X = \"1\" }", "`env.LOADGATE_X` cannot be set"),
            (
                "[service]\nrun = [\"a\"]\nenv = { \"A=B\" = \"1\" }",
                "`env.A=B` cannot be an environment variable",
            ),
            ("[service]\nrun = [\"a\"]\nenv = { A = 1 }", "`env.A` is an integer, expected a string"),
        ]);
    }

    #[test]
    fn a_wrong_limit_or_scenario_gets_its_own_answer() {
        assert_answers(&[
            ("[limits]\nrate = nan", "`rate` is NaN, which is out of range"),
            ("[limits]\nrate = inf", "`rate` is inf, which is out of range"),
            ("[limits]\nrate = 0", "`rate` is 0, which is out of range"),
            ("[limits]\nconnections = 0", "`connections` is 0, which is out of range"),
            ("[limits]\nconnections = 99999999999", "use a whole number from 1 to 60000"),
            ("[limits]\nduration = \"0s\"", "`duration` is \"0s\", which is too short"),
            ("[limits]\nduration = \"-5s\"", "`duration` is \"-5s\", which is out of range"),
            ("[limits]\nduration = \"999999999999h\"", "which is out of range"),
            ("scenario = []", "the list of scenarios is empty"),
            ("scenario = 5", "each begun by [[scenario]]"),
            ("[scenario]\nname = \"a\"", "`scenario` in the configuration is a table"),
            ("[[scenario]]\npath = \"/\"", "a scenario has no `name`"),
            ("[[scenario]]\nname = \"a/b\"", "a scenario name must be 1 to 64"),
            ("[[scenario]]\nname = \"a\"\n[[scenario]]\nname = \"a\"", "two scenarios are named `a`"),
            ("[script]\npipeline = 0", "`pipeline` is 0, which is out of range"),
            ("[[script.param]]\nname = \"a\"\ntype = \"list\"", "\"list\" is no type of a parameter"),
            ("[[script.param]]\nvalue = \"a\"", "a parameter has no `name`"),
            ("[[scenario]]\nname = \"a\"\nprotocol = \"h3\"", "use \"http/1.1\", \"h2\" or \"auto\""),
            ("[[scenario]]\nname = \"a\"\nstreams = 4", "`streams` is given without `protocol`"),
            ("[[scenario]]\nname = \"a\"\nprotocol = \"http/1.1\"\nstreams = 4", "HTTP/1.1 has none"),
            ("[[scenario]]\nname = \"a\"\nprotocol = \"h2\"\nstreams = 0", "`streams` is 0"),
            ("[[scenario]]\nname = \"a\"\nmethod = \"CONNECT\"", "method \"CONNECT\" is not allowed"),
            (
                "[[scenario]]\nname = \"a\"\nbody = \"x\"\nbody-file = \"y\"",
                "both `body` and `body-file` are given",
            ),
            ("[[scenario]]\nname = \"a\"\nprofile = { rounds = 0 }", "`rounds` is 0, which is out of range"),
            ("[[scenario]]\nname = \"a\"\nprofile = { warmup = \"1s\" }", "did you mean `warm-up`?"),
            (
                "[[scenario]]\nname = \"a\"\nprofile = { timeout = \"0s\" }",
                "`timeout` is \"0s\", which is too short",
            ),
        ]);
    }

    fn with_profile(profile: &str) -> String {
        format!("[[scenario]]\nname = \"a\"\nprofile = {{ {profile} }}\n")
    }

    #[test]
    fn a_wrong_profile_gets_its_own_answer() {
        let contradiction = |one: &str, other: &str| format!("`{one}` and `{other}` contradict each other");
        let stages = "stages = [{ rate = 5, over = \"0s\" }, { rate = 5, over = \"9s\" }]";
        let crowd = "stages = [{ connections = 5, over = \"9s\" }]";
        let steps = "steps = [{ rate = 5, for = \"9s\" }]";
        for (profile, expected) in [
            (format!("rate = 5, {stages}"), contradiction("rate", "stages")),
            (format!("rate = 5, {steps}"), contradiction("rate", "steps")),
            (format!("{steps}, {stages}"), contradiction("stages", "steps")),
            (format!("duration = \"9s\", {stages}"), contradiction("duration", "stages")),
            (format!("duration = \"9s\", {steps}"), contradiction("duration", "steps")),
            ("think-time = \"1s\", rate = 5".to_owned(), contradiction("think-time", "rate")),
            (format!("think-time = \"1s\", {stages}"), contradiction("think-time", "stages")),
            (format!("think-time = \"1s\", {steps}"), contradiction("think-time", "steps")),
            (format!("connections = 5, {crowd}"), contradiction("connections", "stages")),
            (format!("max-in-flight = 5, {crowd}"), contradiction("max-in-flight", "stages")),
            (format!("arrivals = \"poisson\", {crowd}"), contradiction("arrivals", "stages")),
            ("arrivals = \"poisson\"".to_owned(), "`arrivals` has no meaning without a rate".to_owned()),
            ("max-in-flight = 5".to_owned(), "`max-in-flight` has no meaning without a rate".to_owned()),
        ] {
            assert_answers(&[(&with_profile(&profile), &expected)]);
        }
    }

    #[test]
    fn wrong_stages_seeds_and_warm_ups_get_their_own_answer() {
        let zero = "stages = [{ rate = 5, over = \"9s\" }]";
        for (profile, expected) in [
            ("stages = []", "needs either a `rate` in each stage or `connections` in each"),
            ("stages = 5", "`stages` in `profile` of [[scenario]] is an integer"),
            ("stages = [{ over = \"1s\" }]", "needs either a `rate`"),
            (
                "stages = [{ rate = 1, over = \"1s\" }, { connections = 1, over = \"1s\" }]",
                "needs either a `rate`",
            ),
            ("stages = [{ rate = 1 }]", "`over` is missing"),
            ("stages = [{ rate = -1, over = \"1s\" }]", "`rate` is -1, which is out of range"),
            ("stages = [{ rate = nan, over = \"1s\" }]", "`rate` is NaN, which is out of range"),
            ("stages = [{ rate = 1, over = \"-1s\" }]", "`over` is \"-1s\", which is out of range"),
            ("stages = [{ rate = 1, over = \"0s\" }]", "`stages` together take 0ns, which is too short"),
            ("stages = [{ rate = 0, over = \"9s\" }]", "`stages` send nothing"),
            ("stages = [{ connections = 0, over = \"9s\" }]", "`connections` is 0, which is out of range"),
            ("stages = [{ rate = 1, until = \"9s\" }]", "unknown key `until`"),
            ("steps = [{ rate = 1 }]", "`for` is missing"),
            ("steps = [{ for = \"1s\" }]", "`rate` is missing"),
            ("rate = 5, arrivals = \"bursts\"", "\"bursts\" is no kind of arrivals"),
            ("rate = 5, seed = 5", "`seed` has no meaning without random arrivals"),
            ("rate = 5, arrivals = \"poisson\", seed = -1", "`seed` is -1, which is out of range"),
            ("warm-up = { until = \"warm\" }", "\"warm\" is nothing that a warm-up can wait for"),
            ("warm-up = { at-most = \"9s\" }", "`until` is missing"),
            ("warm-up = { until = \"steady\", at-most = \"1s\" }", "`at-most` is \"1s\", which is too short"),
            ("warm-up = 5", "a duration in quotes"),
            ("think-time = \"-1s\"", "`think-time` is \"-1s\", which is out of range"),
            ("reconnect-every = 0", "`reconnect-every` is 0, which is out of range"),
            ("rate = 5, max-in-flight = 0", "`max-in-flight` is 0, which is out of range"),
        ] {
            assert_answers(&[(&with_profile(profile), expected)]);
        }
        let cold = format!("{zero}, warm-up = \"5s\"");
        assert_answers(&[(
            &with_profile(&cold),
            "the stages begin at zero, so there is no load for a `warm-up`",
        )]);
        let many = vec!["{ rate = 1, over = \"1s\" }"; 101].join(", ");
        assert_answers(&[(&with_profile(&format!("stages = [{many}]")), "`stages` has too many entries")]);
        assert_eq!(said_of(&with_profile(&format!("{zero}, warm-up = \"0s\""))), "nothing wrong");
    }

    #[test]
    fn a_wrong_gate_store_or_run_gets_its_own_answer() {
        assert_answers(&[
            ("[gate]\nmax-regression = 10", "`max-regression` is 10, which is no share"),
            ("[gate]\nmax-regression = \"0%\"", "max-regression must be above 0% and at most 1000%"),
            ("[gate]\nmax-regression = nan", "`max-regression` is NaN%, which is out of range"),
            ("[gate]\nmax-error-rate = 1.5", "max-error-rate must be between 0% and 100%"),
            ("[gate]\nmetrics = [\"p999\", \"p99.9\"]", "metric p99.9 is listed twice"),
            ("[gate]\nbudget = { p0 = \"1s\" }", "above 0 and below 100"),
            ("[gate]\nbudget = { p99 = \"0ms\" }", "which is too short"),
            ("[gate]\nfail-on = [\"everything\"]", "unknown verdict \"everything\" in `fail-on`"),
            ("[baseline]\nstore = \"s3://bucket\"", "stores of kind `s3` are not supported yet"),
            ("[baseline]\nstore = \"github:baselines\"", "use \"dir:PATH\", such as \"dir:baselines\""),
            ("[baseline]\nstore = \"dir:\"", "\"dir:\" names no store"),
            ("[run]\nthreads = 0", "`threads` is 0, which is out of range"),
        ]);
    }

    #[test]
    fn values_that_may_be_secret_are_not_repeated() {
        let said = said_of("[[scenario]]\nname = \"a\"\nheaders = \"Bearer canary\"\nbody = [\"canary\"]\n");

        assert!(said.contains("`headers`") && said.contains("`body`"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }

    #[test]
    fn a_regression_may_be_named_because_it_always_fails() {
        let draft = read_text("[gate]\nfail-on = [\"regression\", \"inconclusive\"]").unwrap();

        assert_eq!(
            draft.gate.fail_on.map(|fail_on| (fail_on.inconclusive, fail_on.no_baseline)),
            Some((true, false))
        );
    }

    #[test]
    fn the_shipped_schema_knows_the_same_keys() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/loadgate.schema.json")).unwrap();
        let names = |pointer: &str| -> BTreeSet<String> {
            let properties = schema.pointer(pointer).and_then(serde_json::Value::as_object);
            properties.unwrap_or_else(|| panic!("{pointer} is missing")).keys().cloned().collect()
        };
        let sections = [
            ("/properties", keys::FILE),
            ("/$defs/target/properties", keys::TARGET),
            ("/$defs/platform/properties", keys::PLATFORM),
            ("/$defs/production-file/properties", keys::PRODUCTION_FILE),
            ("/$defs/service/properties", keys::SERVICE),
            ("/$defs/limits/properties", keys::LIMITS),
            ("/$defs/scenario/properties", keys::SCENARIO),
            ("/$defs/secret/properties", keys::SECRET),
            ("/$defs/script/properties", keys::SCRIPT),
            ("/$defs/param/properties", keys::PARAM),
            ("/$defs/request/properties", keys::REQUEST),
            ("/$defs/check/properties", keys::CHECK),
            ("/$defs/feed/properties", keys::FEED),
            ("/$defs/profile/properties", keys::PROFILE),
            ("/$defs/profile/properties/stages/items/properties", keys::STAGE),
            ("/$defs/profile/properties/steps/items/properties", keys::STEP),
            ("/$defs/profile/properties/warm-up/oneOf/1/properties", keys::WARM_UP),
            ("/$defs/gate/properties", keys::GATE),
            ("/$defs/baseline/properties", keys::BASELINE),
            ("/$defs/run/properties", keys::RUN),
        ];
        for (pointer, known) in sections {
            assert_eq!(names(pointer), known.iter().map(|key| (*key).to_owned()).collect(), "{pointer}");
        }
        let inner = sections.iter().filter(|(pointer, _)| pointer.matches('/').count() > 3).count();
        assert_eq!(names("/$defs").len(), sections.len() - inner - 1);
    }

    fn any_toml() -> impl Strategy<Value = String> {
        let word = prop::sample::select(
            [
                keys::FILE,
                keys::TARGET,
                keys::SERVICE,
                keys::LIMITS,
                keys::SECRET,
                keys::SCENARIO,
                keys::REQUEST,
                keys::CHECK,
                keys::FEED,
                keys::PROFILE,
                keys::STAGE,
                keys::STEP,
                keys::WARM_UP,
                keys::GATE,
            ]
            .concat(),
        );
        let value = prop_oneof![
            Just("\"5m\"".to_owned()),
            Just("[]".to_owned()),
            Just("[\"a\", \"10.0.0.0/8\", 5, {}]".to_owned()),
            Just("{ a = \"\\u0000\", p99 = \"1s\", \"\" = 1 }".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| format!("{number:?}").replace("NaN", "nan")),
            any::<String>().prop_map(|text| format!("{text:?}")),
        ];
        let line = prop_oneof![
            word.clone().prop_map(|word| format!("[{word}]")),
            word.clone().prop_map(|word| format!("[[{word}]]")),
            (word.clone(), word.clone(), value.clone())
                .prop_map(|(a, b, value)| format!("{a}.{b} = {value}")),
            (word, value).prop_map(|(word, value)| format!("{word} = {value}")),
            any::<String>(),
        ];
        prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any_toml()) {
            let file = Path::new("loadgate.toml");
            if let Ok(document) = parse_toml(file, &text) {
                let (_, problems) = read(file, &text, document.as_table());
                let _ = problems.to_string();
                let _ = read_policy(file, &text, document.as_table());
            }
        }
    }
}
