//! What cargo knows of the workspace: which package was meant, and the one binary that could be the service.
//!
//! Cargo is asked only where the answer is needed: for `-p`, and to find a service that nobody declared.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

use super::problem::Problem;
use super::value::nearest;
use crate::target::ServicePlan;

/// How long a service may take to become ready, where nobody says.
pub(super) const DEFAULT_READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no service, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoService {
    /// Why none could be found: a fragment.
    pub why: String,
    /// The remedy.
    pub help: String,
}

/// Which packages a person means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'a> {
    pub(super) package: Option<&'a str>,
    pub(super) workspace: bool,
}

/// Asks cargo about the workspace of a manifest, without touching the network.
pub(super) fn metadata(manifest: &Path) -> Result<Metadata, String> {
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().map_err(|error| match error {
        cargo_metadata::Error::CargoMetadata { stderr } => {
            let words: Vec<&str> =
                stderr.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
            format!("cargo cannot read the workspace: {}", words.join("; "))
        }
        other => format!("cargo cannot be asked about the workspace: {other}"),
    })
}

/// Returns the package that `-p` names.
pub(super) fn package<'m>(metadata: &'m Metadata, name: &str) -> Result<&'m Package, Problem> {
    let packages = metadata.workspace_packages();
    let names = || packages.iter().map(|package| package.name.as_str());
    packages.iter().find(|package| package.name.as_str() == name).copied().ok_or_else(|| {
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the workspace's packages are {}", names().collect::<Vec<_>>().join(", ")),
        };
        Problem::nowhere(format!("the workspace has no package named {name:?}"), help)
    })
}

/// Finds the one binary that the selection leaves and plans to build and run it.
pub(super) fn discover(
    metadata: &Metadata,
    selection: Selection<'_>,
    log: PathBuf,
) -> Result<ServicePlan, NoService> {
    let everything = binaries(&metadata.workspace_packages());
    let candidates = match selection {
        Selection { package: Some(name), .. } => {
            everything.into_iter().filter(|binary| binary.package.name.as_str() == name).collect()
        }
        Selection { workspace: true, .. } => everything,
        Selection { .. } => {
            let here = metadata.root_package().map_or_else(Vec::new, |package| binaries(&[package]));
            if here.is_empty() { everything } else { here }
        }
    };
    match candidates.as_slice() {
        [] => Err(NoService {
            why: "the workspace has no binary to run as the service".to_owned(),
            help: "add a [service] with `run` to loadgate.toml, or start it yourself and pass --local PORT"
                .to_owned(),
        }),
        [only] => Ok(plan(metadata, *only, log)),
        several => {
            let names: Vec<String> =
                several.iter().map(|b| format!("{} ({})", b.name, b.package.name.as_str())).collect();
            Err(NoService {
                why: format!("several binaries could be the service: {}", names.join(", ")),
                help: "choose a package with -p, set its `default-run`, or add a [service] to loadgate.toml"
                    .to_owned(),
            })
        }
    }
}

#[derive(Clone, Copy)]
struct Binary<'m> {
    package: &'m Package,
    name: &'m str,
}

/// Lists the binaries that `cargo run` would consider in these packages.
fn binaries<'m>(packages: &[&'m Package]) -> Vec<Binary<'m>> {
    let mut found = Vec::new();
    for package in packages {
        let targets = package.targets.iter().filter(|target| target.is_kind(TargetKind::Bin));
        let names = targets.map(|target| target.name.as_str());
        match &package.default_run {
            Some(name) => found.extend(names.filter(|n| n == name).map(|name| Binary { package, name })),
            None => found.extend(names.map(|name| Binary { package, name })),
        }
    }
    found
}

fn plan(metadata: &Metadata, binary: Binary<'_>, log: PathBuf) -> ServicePlan {
    let manifest = metadata.workspace_root.join("Cargo.toml");
    let program = metadata.target_directory.join("release").join(format!(
        "{}{}",
        binary.name,
        std::env::consts::EXE_SUFFIX
    ));
    let package = binary.package.name.as_str();
    let build = [
        "cargo",
        "build",
        "--release",
        "--bin",
        binary.name,
        "-p",
        package,
        "--manifest-path",
        manifest.as_str(),
    ];
    ServicePlan {
        build: Some(build.map(str::to_owned).to_vec()),
        run: vec![program.into_string()],
        ready: Some("/".to_owned()),
        ready_timeout: DEFAULT_READY_TIMEOUT,
        env: Vec::new(),
        dir: metadata.workspace_root.clone().into_std_path_buf(),
        log,
    }
}
