//! The configuration file, version 1: which keys there are and what their values may be, each on its own.
//!
//! Reading gives drafts: everything typed, nothing decided. Defaults, flags and whatever needs two sections at once
//! belong to `scenarios` and to [`super::load`].

mod draft;
mod gate;
mod scenario;
mod service;
mod target;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::TableLike;

use super::problem::{Problem, Problems};
use super::section::{Reader, Section};
use super::value::quoted;
use crate::scenario::Rate;

pub use draft::TargetTable;
pub(super) use draft::{
    BodyDraft, FileV1, GateDraft, LimitsDraft, ProfileDraft, ScenarioDraft, ServiceDraft,
};
pub(super) use gate::add_fail_on;
use gate::read_gate;
use scenario::read_scenarios;
use service::read_service;
use target::read_target;

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
