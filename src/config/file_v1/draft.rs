//! Drafts are what one file says: everything typed, nothing decided, absent where the file is silent.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::problem::{Located, Place};
use crate::guard::MarkerPolicy;
use crate::guard::PlatformKeys;
use crate::request::{Check, FeedOrder, Method, ParamKind};
use crate::scenario::{Arrivals, Breaker, Budget, Metric, Protocol, Rate, ScenarioName, Stage, StageRate};
use crate::secret::SecretPlan;
use crate::verdict::FailOn;

/// What `[target]` says, each entry with its place, for the guard to parse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetTable {
    /// Patterns of hosts that previews have.
    pub preview: Vec<Located<String>>,
    /// Hosts that are never loaded.
    pub production: Vec<Located<String>>,
    /// Files that infrastructure code wrote and that name further hosts which are never loaded.
    pub production_files: Vec<Located<ProductionFile>>,
    /// What the hosting platform said to the announced load test: the number of a ticket, or where it is written.
    pub consent: Option<Located<String>>,
    /// Private networks in which a preview may live.
    pub networks: Vec<Located<IpNet>>,
    /// The platform that previews live on.
    pub platform: Option<Located<PlatformTable>>,
    /// The API of a forge of one's own.
    pub forge: Option<Located<String>>,
    /// The accounts and apps whose deployments count.
    pub deployers: Vec<Located<String>>,
    /// Files with further trusted root certificates; relative to the directory of the configuration.
    pub roots: Vec<Located<PathBuf>>,
    /// The file with the certificate that is shown to a preview which asks for one.
    pub client_certificate: Option<Located<PathBuf>>,
    /// The file with its private key.
    pub client_key: Option<Located<PathBuf>>,
    /// Whether the service that `--local` names speaks TLS.
    pub local_tls: bool,
    /// What previews say of themselves, and how much of it must be seen.
    pub marker: MarkerPolicy,
}

/// What `platform` says: a provider and what pins the project on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformTable {
    /// The provider's name.
    pub name: String,
    /// What pins the project.
    pub keys: PlatformKeys,
}

/// A file that names production hosts, and where in it they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductionFile {
    /// The file; relative to the directory of the configuration until that is known.
    pub from: PathBuf,
    /// The path of keys to the names, joined by dots; the kind of file has a default.
    pub key: Option<String>,
}

#[derive(Debug, Default)]
pub(in crate::config) struct FileV1 {
    pub(in crate::config) target: TargetTable,
    pub(in crate::config) service: Option<ServiceDraft>,
    pub(in crate::config) limits: LimitsDraft,
    pub(in crate::config) secrets: Vec<Located<SecretPlan>>,
    pub(in crate::config) scenarios: Option<Vec<ScenarioDraft>>,
    pub(in crate::config) script: ScriptDraft,
    pub(in crate::config) gate: GateDraft,
    pub(in crate::config) baseline_dir: Option<PathBuf>,
    pub(in crate::config) threads: Option<u32>,
    pub(in crate::config) out: Option<PathBuf>,
}

/// The part of a file that a pull request must not decide for itself.
#[derive(Debug, Default)]
pub(in crate::config) struct PolicyDraft {
    pub(in crate::config) target: TargetTable,
    pub(in crate::config) limits: LimitsDraft,
    pub(in crate::config) service: Option<ServiceDraft>,
    pub(in crate::config) secrets: Vec<Located<SecretPlan>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub(in crate::config) requests: Option<u64>,
    pub(in crate::config) bytes: Option<u64>,
}

#[derive(Debug)]
pub(in crate::config) struct ScenarioDraft {
    pub(in crate::config) name: Option<Located<ScenarioName>>,
    /// The requests of the list, or the one that the scenario itself describes.
    pub(in crate::config) requests: Vec<RequestDraft>,
    pub(in crate::config) feed: Option<FeedDraft>,
    pub(in crate::config) seed: Option<u64>,
    pub(in crate::config) script: Option<Located<String>>,
    pub(in crate::config) protocol: Protocol,
    pub(in crate::config) profile: ProfileDraft,
    pub(in crate::config) gate: GateDraft,
}

/// What scripts may read, write and be told.
#[derive(Debug, Default)]
pub(in crate::config) struct ScriptDraft {
    pub(in crate::config) env: Vec<Located<String>>,
    pub(in crate::config) data: Vec<Located<String>>,
    pub(in crate::config) modules: Vec<Located<String>>,
    pub(in crate::config) sink: Vec<Located<String>>,
    pub(in crate::config) pipeline: Option<u32>,
    pub(in crate::config) sensitive_headers: Option<Vec<Located<String>>>,
    pub(in crate::config) params: Vec<ParamDraft>,
}

#[derive(Debug)]
pub(in crate::config) struct ParamDraft {
    pub(in crate::config) name: Located<String>,
    pub(in crate::config) kind: ParamKind,
    pub(in crate::config) value: Option<Located<String>>,
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
    pub(in crate::config) stages: Option<StagesDraft>,
    pub(in crate::config) arrivals: Option<Arrivals>,
    pub(in crate::config) connections: Option<NonZeroU32>,
    pub(in crate::config) duration: Option<Duration>,
    pub(in crate::config) warm_up: Option<WarmUpDraft>,
    pub(in crate::config) rounds: Option<NonZeroU32>,
    pub(in crate::config) timeout: Option<Duration>,
    pub(in crate::config) think_time: Option<Duration>,
    pub(in crate::config) reconnect_every: Option<NonZeroU32>,
    pub(in crate::config) max_in_flight: Option<NonZeroU32>,
}

#[derive(Debug)]
pub(in crate::config) enum StagesDraft {
    Rates(Vec<Stage<StageRate>>),
    Connections(Vec<Stage<NonZeroU32>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum WarmUpDraft {
    Time(Duration),
    UntilSteady { at_most: Duration },
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
