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
    /// The manifest nearest to where the user stands.
    pub(super) manifest: &'a Path,
    /// `-p`.
    pub(super) package: Option<&'a str>,
    /// `--workspace`.
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
        Selection { manifest, .. } => {
            let here = package_of(metadata, manifest).map_or_else(Vec::new, |package| binaries(&[package]));
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

/// Returns the package of a manifest; a workspace's own manifest may have none.
fn package_of<'m>(metadata: &'m Metadata, manifest: &Path) -> Option<&'m Package> {
    // Cargo resolves links in paths, the shell that gave the current directory may not.
    let manifest = manifest.canonicalize().ok()?;
    metadata
        .workspace_packages()
        .into_iter()
        .find(|package| package.manifest_path.canonicalize().is_ok_and(|path| path == manifest))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of packages, each with the names of its binaries and further keys.
    fn workspace(packages: &[(&str, &[&str], &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: String, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let members: Vec<&str> = packages.iter().map(|(name, ..)| *name).collect();
        write("Cargo.toml".to_owned(), &format!("[workspace]\nmembers = {members:?}\nresolver = \"3\"\n"));
        for (name, binaries, keys) in packages {
            write(
                format!("{name}/Cargo.toml"),
                &format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{keys}\n"),
            );
            write(format!("{name}/src/lib.rs"), "");
            for binary in *binaries {
                write(format!("{name}/src/bin/{binary}.rs"), "fn main() {}");
            }
        }
        dir
    }

    /// Discovers the service for somebody who stands in `dir`.
    fn discover_in(dir: &Path, package: Option<&str>, workspace: bool) -> Result<ServicePlan, NoService> {
        let manifest = &dir.join("Cargo.toml");
        discover(
            &metadata(manifest).unwrap(),
            Selection { manifest, package, workspace },
            "service.log".into(),
        )
    }

    #[test]
    fn the_only_binary_is_the_service() {
        let dir = workspace(&[("shop", &["server"], ""), ("tools", &[], "")]);

        let plan = discover_in(dir.path(), None, false).unwrap();

        let build = plan.build.unwrap().join(" ");
        assert!(build.starts_with("cargo build --release --bin server -p shop --manifest-path "), "{build}");
        assert!(plan.run[0].ends_with(&format!("release/server{}", std::env::consts::EXE_SUFFIX)));
        assert_eq!(plan.ready.as_deref(), Some("/"));
    }

    #[test]
    fn several_binaries_are_listed_and_none_is_guessed() {
        let dir = workspace(&[("shop", &["server", "admin"], "")]);

        let reason = discover_in(dir.path(), None, false).unwrap_err();

        assert_eq!(reason.why, "several binaries could be the service: admin (shop), server (shop)");
        assert!(reason.help.contains("default-run"));
    }

    #[test]
    fn default_run_decides_between_binaries_of_a_package() {
        let dir = workspace(&[("shop", &["server", "admin"], "default-run = \"server\"")]);

        let plan = discover_in(dir.path(), None, false).unwrap();

        assert!(plan.build.unwrap().contains(&"server".to_owned()));
    }

    #[test]
    fn the_selected_package_or_the_one_at_hand_goes_first() {
        let dir = workspace(&[("shop", &["server"], ""), ("tools", &["migrate"], "")]);

        let selected = discover_in(dir.path(), Some("tools"), false).unwrap();
        let at_hand = discover_in(&dir.path().join("shop"), None, false).unwrap();
        let everything = discover_in(&dir.path().join("shop"), None, true);

        assert!(selected.run[0].contains("migrate"));
        assert!(at_hand.run[0].contains("server"));
        assert!(everything.is_err());
    }

    #[test]
    fn a_library_at_hand_does_not_hide_the_workspaces_binary() {
        let dir = workspace(&[("shop", &["server"], ""), ("tools", &[], "")]);

        let plan = discover_in(&dir.path().join("tools"), None, false).unwrap();

        assert!(plan.run[0].contains("server"));
    }

    #[test]
    fn a_workspace_without_binary_has_no_service() {
        let dir = workspace(&[("tools", &[], "")]);

        let reason = discover_in(dir.path(), None, false).unwrap_err();

        assert_eq!(reason.why, "the workspace has no binary to run as the service");
    }

    #[test]
    fn an_unknown_package_is_answered_with_the_nearest() {
        let dir = workspace(&[("shop", &[], "")]);
        let metadata = metadata(&dir.path().join("Cargo.toml")).unwrap();

        let problem = package(&metadata, "shpo").unwrap_err();

        assert_eq!(problem.help, "did you mean `shop`?");
    }

    #[test]
    fn a_manifest_that_cargo_refuses_is_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "[package]\n").unwrap();

        let why = metadata(&dir.path().join("Cargo.toml")).unwrap_err();

        assert!(why.starts_with("cargo cannot read the workspace: error: "), "{why}");
    }
}
