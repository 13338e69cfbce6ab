//! What goes in and what comes out: the flags as they were typed, and the settings of a run.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::base::Sections;
use super::{ConfigSource, Limits, Located, NoService, TargetTable};
use crate::scenario::{Rate, Scenario};
use crate::secret::SecretPlan;
use crate::target::ServicePlan;

/// What the user typed beside the command: it holds for every scenario and goes before the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// `--manifest-path`: the `Cargo.toml` to begin at, instead of the current directory.
    pub manifest_path: Option<PathBuf>,
    /// `-p`: the package whose metadata and binary are meant.
    pub package: Option<String>,
    /// `--workspace`: all packages are meant.
    pub workspace: bool,
    /// `--local`: the port of a service that already listens on loopback.
    pub local: Option<u16>,
    /// `-c`.
    pub connections: Option<NonZeroU32>,
    /// `-d`.
    pub duration: Option<Duration>,
    /// `-R`.
    pub rate: Option<Rate>,
    /// `-t`.
    pub threads: Option<NonZeroUsize>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `-H`, each `Name: value`.
    pub headers: Vec<String>,
    /// `-s`, absolute: the script of every scenario.
    pub script: Option<PathBuf>,
    /// The words after `--`, for the script.
    pub script_arguments: Vec<String>,
    /// `--param`, each `name=value`.
    pub params: Vec<String>,
    /// The names of the scenarios to run; all where empty.
    pub scenarios: Vec<String>,
    /// `--out`, relative to the current directory.
    pub out: Option<PathBuf>,
    /// `--fail-on`: `inconclusive`, `no-baseline`; the file's where empty.
    pub fail_on: Vec<String>,
    /// `--save-baseline`.
    pub save_baseline: bool,
}

/// The service that this run could build and start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceChoice {
    /// `[service]` says how.
    Declared(ServicePlan),
    /// Cargo knows one binary that it must be.
    Discovered(ServicePlan),
    /// There is none; only a remote target or `--local` can be loaded.
    None(NoService),
}

impl ServiceChoice {
    /// Returns the plan, or why there is none.
    pub fn plan(&self) -> Result<&ServicePlan, &NoService> {
        match self {
            Self::Declared(plan) | Self::Discovered(plan) => Ok(plan),
            Self::None(reason) => Err(reason),
        }
    }
}

/// Where measurements are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineSettings {
    /// The directory of stored measurements.
    pub dir: PathBuf,
    /// Whether this run is to be stored.
    pub save: bool,
}

/// Everything that a run needs to know, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The directory to which the configuration's paths are relative.
    pub root: PathBuf,
    /// Where the configuration came from.
    pub source: ConfigSource,
    /// What `[target]` says.
    pub target: TargetTable,
    /// The service on this machine.
    pub service: ServiceChoice,
    /// The port of a service that already listens on loopback.
    pub local: Option<u16>,
    /// The most load that a target may receive.
    pub limits: Limits,
    /// What must not be seen, where it comes from and where it may go.
    pub secrets: Vec<Located<SecretPlan>>,
    /// What to run, in order; never empty.
    pub scenarios: Vec<Scenario>,
    /// Where measurements are remembered.
    pub baseline: BaselineSettings,
    /// The directory for what the run leaves.
    pub out: PathBuf,
    /// How many threads send load.
    pub threads: NonZeroUsize,
    /// The sections that the base branch decides, as they are written.
    pub(super) sections: Sections,
    /// The defaults that were chosen and that a person should hear of, one fragment each.
    pub notes: Vec<String>,
}
