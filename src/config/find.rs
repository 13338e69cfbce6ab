//! Finding the configuration: `loadgate.toml` upward from where the user stands, or the same keys in `Cargo.toml`.
//!
//! The search ends at the repository's root, so that a file outside the repository never decides what is loaded.
//! It reads manifests itself: a directory without any `Cargo.toml` must work on a machine without cargo.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::file_v1::parse_toml;
use super::problem::{Problem, Problems};

/// The name of the configuration file.
pub const FILE_NAME: &str = "loadgate.toml";

/// A larger configuration is a mistake, and reading it all would only cost memory.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where the settings came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// A `loadgate.toml`.
    File(PathBuf),
    /// `[package.metadata.loadgate]` of this `Cargo.toml`.
    PackageMetadata(PathBuf),
    /// `[workspace.metadata.loadgate]` of this `Cargo.toml`.
    WorkspaceMetadata(PathBuf),
    /// No configuration: everything is a default or a flag.
    Defaults,
}

impl ConfigSource {
    /// Returns the file, where there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::PackageMetadata(path) | Self::WorkspaceMetadata(path) => Some(path),
            Self::Defaults => None,
        }
    }

    /// Returns the tables that lead to the configuration's keys.
    pub(super) fn tables(&self) -> &'static [&'static str] {
        match self {
            Self::File(_) | Self::Defaults => &[],
            Self::PackageMetadata(_) => &["package", "metadata", "loadgate"],
            Self::WorkspaceMetadata(_) => &["workspace", "metadata", "loadgate"],
        }
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::PackageMetadata(path) => write!(f, "[package.metadata.loadgate] in {}", path.display()),
            Self::WorkspaceMetadata(path) => write!(f, "[workspace.metadata.loadgate] in {}", path.display()),
            Self::Defaults => f.write_str("defaults"),
        }
    }
}

/// A configuration that was found, and what lies around it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) source: ConfigSource,
    /// The text of the source's file; empty for defaults.
    pub(super) text: String,
    /// The directory to which paths in the configuration are relative.
    pub(super) root: PathBuf,
    /// The nearest `Cargo.toml`.
    pub(super) manifest: Option<PathBuf>,
}

/// Finds the one configuration that holds at `start`.
///
/// `package_manifest` is the manifest that `-p` selected; else the nearest one is the package's.
pub(super) fn find(start: &Path, package_manifest: Option<&Path>) -> Result<Found, Problems> {
    let mut search = Search::default();
    for dir in start.ancestors() {
        search.look_into(dir, package_manifest)?;
        if dir.join(".git").exists() {
            break;
        }
    }
    if let Some(manifest) = package_manifest
        .filter(|_| search.found.iter().all(|(s, _)| !matches!(s, ConfigSource::PackageMetadata(_))))
    {
        search.read_manifest(manifest, true)?;
    }
    let root_without_config =
        search.workspace_root.as_deref().or(search.manifest.as_deref().and_then(Path::parent));
    let root_without_config = root_without_config.unwrap_or(start).to_owned();
    if search.found.len() > 1 {
        return Err(several(&search.found).into());
    }
    let manifest = package_manifest.map(Path::to_owned).or(search.manifest);
    Ok(match search.found.pop() {
        Some((source, text)) => {
            let root = source.path().and_then(Path::parent).map_or(root_without_config, Path::to_owned);
            Found { source, text, root, manifest }
        }
        None => {
            Found { source: ConfigSource::Defaults, text: String::new(), root: root_without_config, manifest }
        }
    })
}

#[derive(Default)]
struct Search {
    found: Vec<(ConfigSource, String)>,
    manifest: Option<PathBuf>,
    workspace_root: Option<PathBuf>,
}

impl Search {
    fn look_into(&mut self, dir: &Path, package_manifest: Option<&Path>) -> Result<(), Problem> {
        let file = dir.join(FILE_NAME);
        let has_file = self.found.iter().any(|(source, _)| matches!(source, ConfigSource::File(_)));
        if !has_file && file.exists() {
            let text = read_text(&file)?;
            self.found.push((ConfigSource::File(file), text));
        }
        let manifest = dir.join("Cargo.toml");
        if self.workspace_root.is_none() && manifest.is_file() {
            let is_selected =
                package_manifest.map_or(self.manifest.is_none(), |selected| selected == manifest);
            self.manifest.get_or_insert_with(|| manifest.clone());
            self.read_manifest(&manifest, is_selected)?;
        }
        Ok(())
    }

    fn read_manifest(&mut self, manifest: &Path, is_package: bool) -> Result<(), Problem> {
        let text = read_text(manifest)?;
        let document = parse_toml(manifest, &text)?;
        let has = |source: &ConfigSource| table_at(document.as_table(), source.tables()).is_some();
        let workspace = ConfigSource::WorkspaceMetadata(manifest.to_owned());
        let package = ConfigSource::PackageMetadata(manifest.to_owned());
        if document.contains_key("workspace") {
            self.workspace_root = manifest.parent().map(Path::to_owned);
        }
        let sources = [package, workspace];
        let kept = sources
            .into_iter()
            .filter(|s| has(s) && (is_package || !matches!(s, ConfigSource::PackageMetadata(_))));
        self.found.extend(kept.map(|source| (source, text.clone())));
        Ok(())
    }
}

/// Returns the item under a path of keys.
pub(super) fn table_at<'t>(top: &'t toml_edit::Table, path: &[&str]) -> Option<&'t toml_edit::Item> {
    let (last, path) = path.split_last()?;
    let mut table: &dyn toml_edit::TableLike = top;
    for key in path {
        table = table.get(key)?.as_table_like()?;
    }
    table.get(last)
}

/// Reads a text file of bounded size; every way in which it can't be read is a problem that names it.
pub(super) fn read_text(path: &Path) -> Result<String, Problem> {
    let bytes = read_bounded(path, MAX_FILE_BYTES, "1 MiB")?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::nowhere(
            format!("{} is not UTF-8 (at byte {at})", path.display()),
            "save the file as UTF-8 without a byte of another encoding",
        )
    })
}

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read_bounded(path: &Path, limit: u64, limit_in_words: &str) -> Result<Vec<u8>, Problem> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        Problem::nowhere(
            format!("cannot read {shown}: {error}"),
            "check that the file exists and may be read",
        )
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a directory" } else { "not a regular file" };
        return Err(Problem::nowhere(format!("{shown} is {kind}"), "put a file in its place, or remove it"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        let message = format!("{shown} is larger than {limit_in_words}");
        return Err(Problem::nowhere(message, "make it smaller; this much is never needed"));
    }
    Ok(bytes)
}

fn several(found: &[(ConfigSource, String)]) -> Problem {
    let names: Vec<String> = found.iter().map(|(source, _)| source.to_string()).collect();
    Problem::nowhere(
        format!("there are several configurations: {}", names.join(" and ")),
        format!("keep one of them; {FILE_NAME} is the usual place"),
    )
}
