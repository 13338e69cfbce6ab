//! Configuration: flags, file and metadata become validated `Settings`, or a list of everything that is wrong.
//!
//! It decides what the user wants, not what is allowed: `guard` judges targets, [`check_limits`] the amount of load.
//! `find` finds the file, `file_v1` knows its keys, `scenarios` fills in defaults and flags, `cargo` asks cargo.

mod cargo;
mod file_v1;
mod find;
mod limits;
mod problem;
mod scenarios;
mod section;
mod settings;
mod value;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::target::ServicePlan;

pub use cargo::NoService;
pub use file_v1::TargetTable;
pub use find::{ConfigSource, FILE_NAME};
pub use limits::{Limits, check_limits};
pub use problem::{Located, Place, Problem, Problems};
pub use settings::{BaselineSettings, Overrides, ServiceChoice, Settings};
pub use value::{parse_duration, parse_rate};

use file_v1::{FileV1, ServiceDraft};
use find::Found;

/// One thread sends more than the default limits allow a hundred times over.
const DEFAULT_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// Where a run leaves its files, relative to the root.
const DEFAULT_OUT: &str = "target/loadgate";

/// Where baselines are kept, relative to the root.
const DEFAULT_BASELINES: &str = "baselines";

/// Finds, reads and checks the configuration that holds in `current_dir`, an absolute path.
///
/// # Errors
/// Every problem of the configuration and of the flags, together.
pub fn load(current_dir: &Path, overrides: &Overrides) -> Result<Settings, Problems> {
    let start = start_dir(current_dir, overrides)?;
    let (found, metadata) = find_for_package(&start, overrides)?;
    let (file, mut problems) = read_file(current_dir, &found)?;
    let limits = Limits::from_draft(&file.limits);
    let out = match (&overrides.out, &file.out) {
        (Some(flag), _) => current_dir.join(flag),
        (None, Some(out)) => found.root.join(out),
        (None, None) => found.root.join(DEFAULT_OUT),
    };
    let mut notes = Vec::new();
    if found.source == ConfigSource::Defaults {
        notes.push(format!("no {FILE_NAME} found: uses defaults"));
    }
    let scenarios = match scenarios::resolve(&file, overrides, &found.root, limits, &mut notes) {
        Ok(scenarios) => scenarios,
        Err(more) => {
            problems.append(more);
            Vec::new()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let service = choose_service(&found, file.service, overrides, metadata, &out, &mut notes);
    let threads = file.threads.and_then(|count| NonZeroUsize::new(count as usize));
    Ok(Settings {
        source: found.source,
        target: resolve_roots(file.target, &found.root),
        service,
        local: overrides.local,
        limits,
        scenarios,
        baseline: BaselineSettings {
            dir: found.root.join(file.baseline_dir.unwrap_or_else(|| DEFAULT_BASELINES.into())),
            save: overrides.save_baseline,
        },
        out,
        threads: overrides.threads.or(threads).unwrap_or(DEFAULT_THREADS),
        notes,
        root: found.root,
    })
}

/// The part of a configuration that a pull request must not decide for itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReviewedPolicy {
    /// What `[target]` says.
    pub target: TargetTable,
    /// What `[limits]` says.
    pub limits: Limits,
}

/// Reads `[target]` and `[limits]` from another version of the configuration, such as the merge base's.
///
/// Problems in other sections are not heard: a pull request must be able to mend them. Paths of `roots` stay as
/// they are written.
pub fn read_policy(source: &ConfigSource, text: &str) -> Result<ReviewedPolicy, Problems> {
    let Some(path) = source.path() else {
        return Ok(ReviewedPolicy::default());
    };
    let document = file_v1::parse_toml(path, text)?;
    let Some(table) = config_table(document.as_table(), source) else {
        return Ok(ReviewedPolicy::default());
    };
    let (target, limits, problems) = file_v1::read_policy(path, text, table);
    problems.or_ok(ReviewedPolicy { target, limits: Limits::from_draft(&limits) })
}

fn start_dir(current_dir: &Path, overrides: &Overrides) -> Result<PathBuf, Problem> {
    let Some(manifest) = &overrides.manifest_path else {
        return Ok(current_dir.to_owned());
    };
    let unusable = |why: String| {
        Problem::nowhere(
            format!("--manifest-path {}: {why}", manifest.display()),
            "name an existing Cargo.toml",
        )
    };
    let path = current_dir.join(manifest).canonicalize().map_err(|error| unusable(error.to_string()))?;
    match path.parent() {
        Some(dir) if path.is_file() => Ok(dir.to_owned()),
        _ => Err(unusable("it is not a file".to_owned())),
    }
}

/// Finds the configuration; `-p` needs cargo's help, and cargo's answer is kept for later.
fn find_for_package(
    start: &Path,
    overrides: &Overrides,
) -> Result<(Found, Option<cargo_metadata::Metadata>), Problems> {
    let found = find::find(start, None);
    let Some(name) = &overrides.package else {
        return found.map(|found| (found, None));
    };
    let help = "run in a cargo workspace, or leave out -p";
    let manifest = found.ok().and_then(|found| found.manifest).unwrap_or_else(|| start.join("Cargo.toml"));
    let metadata = cargo::metadata(&manifest).map_err(|why| Problem::nowhere(why, help))?;
    let selected = cargo::package(&metadata, name)?.manifest_path.clone().into_std_path_buf();
    Ok((find::find(start, Some(&selected))?, Some(metadata)))
}

fn config_table<'t>(
    top: &'t toml_edit::Table,
    source: &ConfigSource,
) -> Option<&'t dyn toml_edit::TableLike> {
    match source.tables() {
        [] => Some(top),
        path => find::table_at(top, path)?.as_table_like(),
    }
}

fn read_file(current_dir: &Path, found: &Found) -> Result<(FileV1, Problems), Problems> {
    let Some(path) = found.source.path() else {
        return Ok((FileV1::default(), Problems::default()));
    };
    let shown = path.strip_prefix(current_dir).unwrap_or(path);
    let document = file_v1::parse_toml(shown, &found.text)?;
    match config_table(document.as_table(), &found.source) {
        Some(table) => Ok(file_v1::read(shown, &found.text, table)),
        None => Err(Problem::nowhere(format!("{} is not a table", found.source), "make it a table").into()),
    }
}

fn choose_service(
    found: &Found,
    declared: Option<ServiceDraft>,
    overrides: &Overrides,
    metadata: Option<cargo_metadata::Metadata>,
    out: &Path,
    notes: &mut Vec<String>,
) -> ServiceChoice {
    let log = out.join("service.log");
    if let Some(draft) = declared {
        return ServiceChoice::Declared(declared_plan(draft, &found.root, log));
    }
    let help = format!(
        "add a [service] with `run` to {FILE_NAME}, or start the service yourself and pass --local PORT"
    );
    if overrides.local.is_some() {
        return ServiceChoice::None(NoService {
            why: "--local names a service that already runs".to_owned(),
            help,
        });
    }
    let Some(manifest) = &found.manifest else {
        return ServiceChoice::None(NoService {
            why: "there is no [service] and no Cargo.toml".to_owned(),
            help,
        });
    };
    let metadata = match metadata.map_or_else(|| cargo::metadata(manifest), Ok) {
        Ok(metadata) => metadata,
        Err(why) => return ServiceChoice::None(NoService { why, help }),
    };
    let selection =
        cargo::Selection { package: overrides.package.as_deref(), workspace: overrides.workspace };
    match cargo::discover(&metadata, selection, log) {
        Ok(plan) => {
            notes.push(format!(
                "no [service] is configured: builds it with `{}`",
                plan.build.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
            ));
            notes.push(format!("runs `{}` and waits until / answers", plan.run.join(" ")));
            ServiceChoice::Discovered(plan)
        }
        Err(reason) => ServiceChoice::None(reason),
    }
}

fn declared_plan(draft: ServiceDraft, root: &Path, log: PathBuf) -> ServicePlan {
    ServicePlan {
        build: draft.build,
        run: draft.run,
        ready: draft.ready,
        ready_timeout: draft.ready_timeout.unwrap_or(cargo::DEFAULT_READY_TIMEOUT),
        env: draft.env,
        dir: draft.dir.map_or_else(|| root.to_owned(), |dir| root.join(dir)),
        log,
    }
}

fn resolve_roots(mut target: TargetTable, root: &Path) -> TargetTable {
    for path in &mut target.roots {
        path.value = root.join(&path.value);
    }
    target
}
