//! Drafts are what one file says: everything typed, nothing decided, absent where the file is silent.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::problem::{Located, Place};
use crate::guard::MarkerPolicy;
use crate::request::{Check, FeedOrder, Method};
use crate::scenario::{Breaker, Budget, Metric, Rate, ScenarioName};
use crate::verdict::FailOn;

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
    /// What previews say of themselves, and how much of it must be seen.
    pub marker: MarkerPolicy,
}

#[derive(Debug, Default)]
pub(in crate::config) struct FileV1 {
    pub(in crate::config) target: TargetTable,
    pub(in crate::config) service: Option<ServiceDraft>,
    pub(in crate::config) limits: LimitsDraft,
    pub(in crate::config) scenarios: Option<Vec<ScenarioDraft>>,
    pub(in crate::config) gate: GateDraft,
    pub(in crate::config) baseline_dir: Option<PathBuf>,
    pub(in crate::config) threads: Option<u32>,
    pub(in crate::config) out: Option<PathBuf>,
}

#[derive(Debug)]
pub(in crate::config) struct ServiceDraft {
    pub(in crate::config) build: Option<Vec<String>>,
    pub(in crate::config) run: Vec<String>,
    pub(in crate::config) ready: Option<String>,
    pub(in crate::config) ready_timeout: Option<Duration>,
    pub(in crate::config) env: Vec<(String, String)>,
    pub(in crate::config) dir: Option<PathBuf>,
}

#[derive(Debug, Default)]
pub(in crate::config) struct LimitsDraft {
    pub(in crate::config) rate: Option<Rate>,
    pub(in crate::config) connections: Option<NonZeroU32>,
    pub(in crate::config) duration: Option<Duration>,
}

#[derive(Debug)]
pub(in crate::config) struct ScenarioDraft {
    pub(in crate::config) name: Option<Located<ScenarioName>>,
    /// The requests of the list, or the one that the scenario itself describes.
    pub(in crate::config) requests: Vec<RequestDraft>,
    pub(in crate::config) feed: Option<FeedDraft>,
    pub(in crate::config) seed: Option<u64>,
    pub(in crate::config) profile: ProfileDraft,
    pub(in crate::config) gate: GateDraft,
}

#[derive(Debug)]
pub(in crate::config) struct RequestDraft {
    pub(in crate::config) place: Place,
    pub(in crate::config) name: Option<Located<String>>,
    pub(in crate::config) weight: Option<NonZeroU32>,
    pub(in crate::config) path: Option<Located<String>>,
    pub(in crate::config) method: Option<Method>,
    pub(in crate::config) headers: Vec<(String, Located<String>)>,
    pub(in crate::config) body: Option<BodyDraft>,
    pub(in crate::config) check: Option<Located<Check>>,
}

#[derive(Debug)]
pub(in crate::config) struct FeedDraft {
    pub(in crate::config) file: Located<String>,
    pub(in crate::config) order: FeedOrder,
}

#[derive(Debug)]
pub(in crate::config) enum BodyDraft {
    Text(Located<String>),
    File(Located<String>),
}

#[derive(Debug, Default)]
pub(in crate::config) struct ProfileDraft {
    pub(in crate::config) rate: Option<Rate>,
    pub(in crate::config) connections: Option<NonZeroU32>,
    pub(in crate::config) duration: Option<Duration>,
    pub(in crate::config) warm_up: Option<Duration>,
    pub(in crate::config) rounds: Option<NonZeroU32>,
    pub(in crate::config) timeout: Option<Duration>,
}

#[derive(Debug, Default, Clone)]
pub(in crate::config) struct GateDraft {
    pub(in crate::config) metrics: Option<Vec<Metric>>,
    pub(in crate::config) max_regression: Option<f64>,
    pub(in crate::config) max_error_rate: Option<f64>,
    pub(in crate::config) budgets: Option<Vec<Budget>>,
    pub(in crate::config) fail_on: Option<FailOn>,
    pub(in crate::config) confirm_after: Option<Duration>,
    pub(in crate::config) breaker: Option<Breaker>,
}
