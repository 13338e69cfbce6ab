//! The configuration file, version 1: which keys there are and what their values may be, each on its own.
//!
//! Reading gives drafts: everything typed, nothing decided. Defaults, flags and whatever needs two sections at once
//! belong to `scenarios` and to [`super::load`].

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml_edit::TableLike;

use super::problem::{Located, Place, Problem, Problems};
use super::section::{Reader, Section};
use super::value::{check_error_rate, check_regression, quoted};
use crate::request::{Method, Request};
use crate::scenario::{Budget, Quantile, Rate, ScenarioName};
use crate::verdict::FailOn;

/// Every section and its keys; `docs/loadgate.schema.json` lists the same.
pub(super) mod keys {
    pub(in crate::config) const FILE: &[&str] =
        &["target", "service", "limits", "scenario", "gate", "baseline", "run"];
    pub(in crate::config) const TARGET: &[&str] = &["preview", "production", "networks", "roots", "platform"];
    pub(in crate::config) const SERVICE: &[&str] = &["build", "run", "ready", "ready-timeout", "env", "dir"];
    pub(in crate::config) const LIMITS: &[&str] = &["rate", "connections", "duration"];
    pub(in crate::config) const SCENARIO: &[&str] =
        &["name", "path", "method", "headers", "body", "body-file", "script", "profile", "gate"];
    pub(in crate::config) const PROFILE: &[&str] =
        &["rate", "connections", "duration", "warm-up", "rounds", "timeout"];
    pub(in crate::config) const GATE: &[&str] =
        &["metrics", "max-regression", "max-error-rate", "budget", "fail-on", "confirm-after"];
    pub(in crate::config) const BASELINE: &[&str] = &["store"];
    pub(in crate::config) const RUN: &[&str] = &["threads", "out"];
}

/// More connections than one machine has ports towards one address.
pub(super) const MAX_CONNECTIONS: u32 = 60_000;

/// More threads than any runner has processors.
pub(super) const MAX_THREADS: u32 = 256;

/// More rounds make each of them too short to say anything.
const MAX_ROUNDS: u32 = 1000;

/// A shorter run holds no round worth judging.
pub(super) const SHORTEST_DURATION: Duration = Duration::from_millis(100);

/// No time at all makes no sense for a time-out or a budget.
const SHORTEST_TIMEOUT: Duration = Duration::from_micros(1);

/// What `[target]` says, each entry with its place, for the guard to parse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetTable {
    /// Patterns of hosts that previews have.
    pub preview: Vec<Located<String>>,
    /// Hosts that are never loaded.
    pub production: Vec<Located<String>>,
    /// Private networks in which a preview may live.
    pub networks: Vec<Located<IpNet>>,
    /// Files with further trusted root certificates; relative to the directory of the configuration.
    pub roots: Vec<Located<PathBuf>>,
}

#[derive(Debug, Default)]
pub(super) struct FileV1 {
    pub(super) target: TargetTable,
    pub(super) service: Option<ServiceDraft>,
    pub(super) limits: LimitsDraft,
    pub(super) scenarios: Option<Vec<ScenarioDraft>>,
    pub(super) gate: GateDraft,
    pub(super) baseline_dir: Option<PathBuf>,
    pub(super) threads: Option<u32>,
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct ServiceDraft {
    pub(super) build: Option<Vec<String>>,
    pub(super) run: Vec<String>,
    pub(super) ready: Option<String>,
    pub(super) ready_timeout: Option<Duration>,
    pub(super) env: Vec<(String, String)>,
    pub(super) dir: Option<PathBuf>,
}

#[derive(Debug, Default)]
pub(super) struct LimitsDraft {
    pub(super) rate: Option<Rate>,
    pub(super) connections: Option<NonZeroU32>,
    pub(super) duration: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct ScenarioDraft {
    pub(super) place: Place,
    pub(super) name: Option<Located<ScenarioName>>,
    pub(super) path: Option<Located<String>>,
    pub(super) method: Option<Method>,
    pub(super) headers: Vec<(String, Located<String>)>,
    pub(super) body: Option<BodyDraft>,
    pub(super) profile: ProfileDraft,
    pub(super) gate: GateDraft,
}

#[derive(Debug)]
pub(super) enum BodyDraft {
    Text(String),
    File(Located<String>),
}

#[derive(Debug, Default)]
pub(super) struct ProfileDraft {
    pub(super) rate: Option<Rate>,
    pub(super) connections: Option<NonZeroU32>,
    pub(super) duration: Option<Duration>,
    pub(super) warm_up: Option<Duration>,
    pub(super) rounds: Option<NonZeroU32>,
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct GateDraft {
    pub(super) metrics: Option<Vec<Quantile>>,
    pub(super) max_regression: Option<f64>,
    pub(super) max_error_rate: Option<f64>,
    pub(super) budgets: Option<Vec<Budget>>,
    pub(super) fail_on: Option<FailOn>,
    pub(super) confirm_after: Option<Duration>,
}

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
        scenarios: read_scenarios(&top),
        gate: top.table("gate", keys::GATE).map(|section| read_gate(&section)).unwrap_or_default(),
        baseline_dir: top.table("baseline", keys::BASELINE).and_then(|section| read_store(&section)),
        threads: run.as_ref().and_then(|run| run.count("threads", 1..=MAX_THREADS)).map(|count| count.value),
        out: run.as_ref().and_then(|run| run.text("out")).map(|out| out.value.into()),
    };
    drop((run, top));
    (draft, reader.into_problems())
}

/// Reads `[target]` and `[limits]` alone: the part that a pull request must not decide for itself.
pub(super) fn read_policy(
    file: &Path,
    text: &str,
    table: &dyn TableLike,
) -> (TargetTable, LimitsDraft, Problems) {
    let unheard = Reader::new(file, text);
    let reader = Reader::new(file, text);
    let top = Section::open(&unheard, table, reader.place(None), "the configuration", keys::FILE)
        .with_reader(&reader);
    let (target, limits) = (read_target(&top), read_limits(&top));
    drop(top);
    (target, limits, reader.into_problems())
}

fn read_target(top: &Section<'_>) -> TargetTable {
    let Some(section) = top.table("target", keys::TARGET) else {
        return TargetTable::default();
    };
    if let Some(platform) = section.item("platform") {
        let help = "list the hosts of your previews in `preview`, such as \"pr-{pr}.preview.example.com\"";
        section.reader.report(&platform.place, "`platform` is not supported yet; use preview patterns", help);
    }
    let networks = section.texts("networks").unwrap_or_default();
    TargetTable {
        preview: section.texts("preview").unwrap_or_default(),
        production: section.texts("production").unwrap_or_default(),
        networks: networks.into_iter().filter_map(|text| read_network(&section, text)).collect(),
        roots: section
            .texts("roots")
            .unwrap_or_default()
            .into_iter()
            .map(|text| text.map(PathBuf::from))
            .collect(),
    }
}

fn read_network(section: &Section<'_>, text: Located<String>) -> Option<Located<IpNet>> {
    match text.value.parse::<IpNet>() {
        Ok(network) if network.network() == network.addr() => Some(text.map(|_| network)),
        Ok(network) => {
            let message = format!("network {} has bits set beyond its prefix", quoted(&text.value));
            section.reader.report(&text.place, message, format!("write {}", network.trunc()));
            None
        }
        Err(_) => {
            let help = match text.value.parse::<IpAddr>() {
                Ok(address) => format!("for this one address write \"{}\"", IpNet::from(address)),
                Err(_) => "write an address and a prefix length, such as \"10.20.0.0/16\"".to_owned(),
            };
            section.reader.report(&text.place, format!("{} is not a network", quoted(&text.value)), help);
            None
        }
    }
}

fn read_limits(top: &Section<'_>) -> LimitsDraft {
    let Some(section) = top.table("limits", keys::LIMITS) else {
        return LimitsDraft::default();
    };
    LimitsDraft {
        rate: read_rate(&section),
        connections: read_connections(&section),
        duration: section.duration("duration", SHORTEST_DURATION).map(|duration| duration.value),
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

fn read_service(section: &Section<'_>) -> Option<ServiceDraft> {
    let build = read_argv(section, "build");
    let run = read_argv(section, "run");
    if section.item("run").is_none() {
        let help = "add the program that serves, such as run = [\"target/release/shop\"]; it gets PORT";
        section.reader.report(&section.place, "[service] has no `run`", help);
    }
    let ready = section.parsed("ready", "write the path that answers 2xx, such as \"/healthz\"", |path| {
        Request::get(path).map(|request| request.path().to_owned())
    });
    let ready_timeout = section.duration("ready-timeout", SHORTEST_DURATION);
    let env = section.pairs("env").unwrap_or_default();
    let env = env.into_iter().filter_map(|pair| read_variable(section, pair)).collect();
    let dir = section.text("dir").map(|dir| PathBuf::from(dir.value));
    Some(ServiceDraft {
        build,
        run: run?,
        ready: ready.map(|path| path.value),
        ready_timeout: ready_timeout.map(|timeout| timeout.value),
        env,
        dir,
    })
}

/// Reads a program with its arguments; it never meets a shell.
fn read_argv(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let found = section.item(key)?;
    if found.value.is_str() {
        let message = format!("`{key}` in [service] is a string; it is run without a shell");
        section.reader.report(
            &found.place,
            message,
            format!("write each word apart: {key} = [\"program\", \"argument\"]"),
        );
        return None;
    }
    let words = section.texts(key)?;
    if words.first().is_none_or(|program| program.value.is_empty()) {
        let message = format!("`{key}` in [service] names no program");
        section.reader.report(
            &found.place,
            message,
            "write the program and its arguments as an array of strings",
        );
        return None;
    }
    if let Some(broken) = words.iter().find(|word| word.value.contains('\0')) {
        section.reader.report(
            &broken.place,
            format!("`{key}` holds a NUL"),
            "remove it: no program can take it",
        );
        return None;
    }
    Some(words.into_iter().map(|word| word.value).collect())
}

fn read_variable(section: &Section<'_>, (name, text): (String, Located<String>)) -> Option<(String, String)> {
    let shown = name.escape_debug();
    let refuse = |message: String, help: &str| {
        section.reader.report(&text.place, message, help);
        None
    };
    if name == "PORT" {
        return refuse(
            "`env.PORT` cannot be set".to_owned(),
            "remove it: a free port is chosen for every run",
        );
    }
    if name.starts_with("LOADGATE_") {
        return refuse(
            format!("`env.{shown}` cannot be set"),
            "choose a name that does not begin with LOADGATE_",
        );
    }
    if name.is_empty() || name.contains(['=', '\0']) || text.value.contains('\0') {
        return refuse(format!("`env.{shown}` cannot be an environment variable"), "remove '=' and NUL");
    }
    Some((name, text.value))
}

fn read_scenarios(top: &Section<'_>) -> Option<Vec<ScenarioDraft>> {
    let sections = top.tables("scenario", keys::SCENARIO)?;
    if sections.is_empty() {
        let place = top.item("scenario").map_or_else(|| top.place.clone(), |found| found.place);
        top.reader.report(&place, "the list of scenarios is empty", "add a [[scenario]], or remove the key");
    }
    let drafts: Vec<ScenarioDraft> = sections.iter().map(read_scenario).collect();
    for (index, draft) in drafts.iter().enumerate() {
        let Some(name) = &draft.name else { continue };
        let twin = drafts[..index].iter().find_map(|d| d.name.as_ref().filter(|n| n.value == name.value));
        if let Some(twin) = twin {
            let message = format!("two scenarios are named `{}`", name.value);
            top.reader.report(
                &name.place,
                message,
                format!("rename this one; the other is at line {}", twin.place.line),
            );
        }
    }
    Some(drafts)
}

fn read_scenario(section: &Section<'_>) -> ScenarioDraft {
    if let Some(script) = section.item("script") {
        let help = "describe the request with `path`, `method`, `headers` and `body`";
        section.reader.report(&script.place, "scripts are not supported yet", help);
    }
    let name = section.parsed("name", "choose a short name, such as \"browse\"", ScenarioName::parse);
    if section.item("name").is_none() {
        section.reader.report(
            &section.place,
            "a scenario has no `name`",
            "add one, such as name = \"browse\"",
        );
    }
    let method = section.parsed("method", "write it in upper case, such as \"POST\"", Method::parse);
    let profile = section.table("profile", keys::PROFILE).map(|profile| read_profile(&profile));
    let gate = section.table("gate", keys::GATE).map(|gate| read_gate(&gate));
    ScenarioDraft {
        place: section.place.clone(),
        name,
        path: section.text("path"),
        method: method.map(|method| method.value),
        headers: section.pairs("headers").unwrap_or_default(),
        body: read_body(section),
        profile: profile.unwrap_or_default(),
        gate: gate.unwrap_or_default(),
    }
}

fn read_body(section: &Section<'_>) -> Option<BodyDraft> {
    let (text, file) = (section.text("body"), section.text("body-file"));
    match (text, file) {
        (Some(_), Some(file)) => {
            section.reader.report(&file.place, "both `body` and `body-file` are given", "keep one of them");
            None
        }
        (Some(text), None) => Some(BodyDraft::Text(text.value)),
        (None, file) => file.map(BodyDraft::File),
    }
}

fn read_profile(section: &Section<'_>) -> ProfileDraft {
    ProfileDraft {
        rate: read_rate(section),
        connections: read_connections(section),
        duration: section.duration("duration", SHORTEST_DURATION).map(|duration| duration.value),
        warm_up: section.duration("warm-up", Duration::ZERO).map(|warm_up| warm_up.value),
        rounds: section.count("rounds", 1..=MAX_ROUNDS).and_then(|count| NonZeroU32::new(count.value)),
        timeout: section.duration("timeout", SHORTEST_TIMEOUT).map(|timeout| timeout.value),
    }
}

fn read_gate(section: &Section<'_>) -> GateDraft {
    GateDraft {
        metrics: read_metrics(section),
        max_regression: section.fraction("max-regression", check_regression).map(|share| share.value),
        max_error_rate: section.fraction("max-error-rate", check_error_rate).map(|share| share.value),
        budgets: read_budgets(section),
        fail_on: read_fail_on(section),
        confirm_after: section.duration("confirm-after", Duration::ZERO).map(|pause| pause.value),
    }
}

fn read_metrics(section: &Section<'_>) -> Option<Vec<Quantile>> {
    let mut metrics = Vec::new();
    for text in section.texts("metrics")? {
        match Quantile::parse(&text.value) {
            Ok(quantile) if metrics.contains(&quantile) => {
                section.reader.report(
                    &text.place,
                    format!("metric {quantile} is listed twice"),
                    "remove one of them",
                );
            }
            Ok(quantile) => metrics.push(quantile),
            Err(error) => section.reader.report_range("metrics", &text.place, &error),
        }
    }
    Some(metrics)
}

fn read_budgets(section: &Section<'_>) -> Option<Vec<Budget>> {
    let table = section.item("budget")?;
    let names: Vec<String> = table
        .value
        .as_table_like()
        .map(|t| t.iter().map(|(key, _)| key.to_owned()).collect())
        .unwrap_or_default();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let budget = section.table("budget", &known)?;
    let mut budgets = Vec::new();
    for name in &known {
        let limit = budget.duration(name, SHORTEST_TIMEOUT);
        match (Quantile::parse(name), limit) {
            (Ok(quantile), Some(limit)) => budgets.push(Budget { quantile, limit: limit.value }),
            (Err(error), _) => budget.reader.report_range("budget", &table.place, &error),
            (Ok(_), None) => {}
        }
    }
    Some(budgets)
}

fn read_fail_on(section: &Section<'_>) -> Option<FailOn> {
    let mut fail_on = FailOn::default();
    for text in section.texts("fail-on")? {
        match add_fail_on(fail_on, &text.value) {
            Ok(more) => fail_on = more,
            Err(help) => {
                section.reader.report(
                    &text.place,
                    format!("unknown verdict {} in `fail-on`", quoted(&text.value)),
                    help,
                );
            }
        }
    }
    Some(fail_on)
}

/// Adds one word of `fail-on`; the error is the remedy.
pub(super) fn add_fail_on(fail_on: FailOn, word: &str) -> Result<FailOn, &'static str> {
    match word {
        "inconclusive" => Ok(FailOn { inconclusive: true, ..fail_on }),
        "no-baseline" => Ok(FailOn { no_baseline: true, ..fail_on }),
        "regression" => Ok(fail_on),
        _ => Err("use \"inconclusive\" or \"no-baseline\"; a regression always fails"),
    }
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
