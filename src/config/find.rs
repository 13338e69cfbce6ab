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
/// `selected` is the manifest of the package that `-p` names; else the nearest manifest is the package's.
pub(super) fn find(start: &Path, selected: Option<&Path>) -> Result<Found, Problems> {
    let nearby = Nearby::look_around(start)?;
    let manifest = selected.map(Path::to_owned).or(nearby.nearest_manifest);
    let dir_of = |manifest: &Option<PathBuf>| manifest.as_deref().and_then(Path::parent).map(Path::to_owned);
    let default_root = dir_of(&nearby.workspace_manifest).or_else(|| dir_of(&manifest));

    let file = nearby.file.map(ConfigSource::File);
    let package = manifest.clone().map(ConfigSource::PackageMetadata);
    let workspace = nearby.workspace_manifest.map(ConfigSource::WorkspaceMetadata);
    let mut sources = Vec::new();
    for source in [file, package, workspace].into_iter().flatten() {
        sources.extend(text_of(&source)?.map(|text| (source, text)));
    }
    if sources.len() > 1 {
        return Err(several(&sources).into());
    }
    let (source, text) = sources.pop().unwrap_or((ConfigSource::Defaults, String::new()));
    let root = source.path().and_then(Path::parent).map(Path::to_owned).or(default_root);
    Ok(Found { root: root.unwrap_or_else(|| start.to_owned()), source, text, manifest })
}

/// The files between a directory and the root of its repository.
#[derive(Default)]
struct Nearby {
    file: Option<PathBuf>,
    nearest_manifest: Option<PathBuf>,
    workspace_manifest: Option<PathBuf>,
}

impl Nearby {
    fn look_around(start: &Path) -> Result<Self, Problem> {
        let mut nearby = Self::default();
        for dir in start.ancestors() {
            let file = dir.join(FILE_NAME);
            // A link that leads nowhere counts: to pass over it in silence would drop the policy that it stands for.
            if nearby.file.is_none() && file.symlink_metadata().is_ok() {
                nearby.file = Some(file);
            }
            let manifest = dir.join("Cargo.toml");
            if nearby.workspace_manifest.is_none() && manifest.is_file() {
                if has_table(&manifest, &["workspace"])? {
                    nearby.workspace_manifest = Some(manifest.clone());
                }
                nearby.nearest_manifest.get_or_insert(manifest);
            }
            if dir.join(".git").exists() {
                break;
            }
        }
        Ok(nearby)
    }
}

/// Returns the text of a source's file, where the file holds a configuration.
fn text_of(source: &ConfigSource) -> Result<Option<String>, Problem> {
    match source {
        ConfigSource::Defaults => Ok(None),
        ConfigSource::File(path) => read_text(path).map(Some),
        ConfigSource::PackageMetadata(path) | ConfigSource::WorkspaceMetadata(path) => {
            if has_table(path, source.tables())? { read_text(path).map(Some) } else { Ok(None) }
        }
    }
}

fn has_table(manifest: &Path, path: &[&str]) -> Result<bool, Problem> {
    let text = read_text(manifest)?;
    let document = parse_toml(manifest, &text)?;
    Ok(table_at(document.as_table(), path).is_some())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files into a directory that is a repository of its own.
    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    const METADATA: &str = "[workspace]\n[workspace.metadata.loadgate.limits]\nrate = 5\n";

    #[test]
    fn the_nearest_file_upward_is_found() {
        let dir =
            repository(&[("loadgate.toml", "# root"), ("shop/loadgate.toml", "# shop"), ("shop/src/x", "")]);

        let found = find(&dir.path().join("shop/src"), None).unwrap();

        assert_eq!(found.source, ConfigSource::File(dir.path().join("shop/loadgate.toml")));
        assert_eq!((found.root, found.text), (dir.path().join("shop"), "# shop".to_owned()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_a_problem() {
        let dir = repository(&[]);
        std::os::unix::fs::symlink("loadgate.toml", dir.path().join("loadgate.toml")).unwrap();

        let problems = find(dir.path(), None).unwrap_err();

        assert!(problems.0[0].message.starts_with("cannot read "), "{problems:?}");
    }

    #[test]
    fn a_file_outside_the_repository_is_not_looked_at() {
        let outer = repository(&[("loadgate.toml", ""), ("inner/.git/HEAD", ""), ("inner/src/x", "")]);

        let found = find(&outer.path().join("inner/src"), None).unwrap();

        assert_eq!(found.source, ConfigSource::Defaults);
    }

    #[test]
    fn metadata_of_the_workspace_holds_in_its_members() {
        let dir = repository(&[("Cargo.toml", METADATA), ("shop/Cargo.toml", "[package]\nname = \"shop\"")]);

        let found = find(&dir.path().join("shop"), None).unwrap();

        assert_eq!(found.source, ConfigSource::WorkspaceMetadata(dir.path().join("Cargo.toml")));
        assert_eq!(found.root, dir.path());
    }

    #[test]
    fn metadata_of_another_package_does_not_hold() {
        let package = "[package]\nname = \"shop\"\n[package.metadata.loadgate]\n";
        let dir = repository(&[("Cargo.toml", "[workspace]"), ("shop/Cargo.toml", package)]);

        let here = find(&dir.path().join("shop"), None).unwrap();
        let above = find(dir.path(), None).unwrap();
        let selected = find(dir.path(), Some(&dir.path().join("shop/Cargo.toml"))).unwrap();

        assert_eq!(here.source, ConfigSource::PackageMetadata(dir.path().join("shop/Cargo.toml")));
        assert_eq!(above.source, ConfigSource::Defaults);
        assert_eq!(selected.source, here.source);
    }

    #[test]
    fn a_file_and_metadata_together_are_refused_by_both_names() {
        let dir = repository(&[("Cargo.toml", METADATA), ("loadgate.toml", "")]);

        let said = find(dir.path(), None).unwrap_err().to_string();

        let (file, manifest) = (dir.path().join("loadgate.toml"), dir.path().join("Cargo.toml"));
        let both = format!("{} and [workspace.metadata.loadgate] in {}", file.display(), manifest.display());
        assert!(said.starts_with(&format!("error: there are several configurations: {both}\n")), "{said}");
    }

    #[test]
    fn files_that_cannot_be_read_as_text_are_named() {
        let dir = repository(&[
            ("dir/loadgate.toml/x", ""),
            ("binary/loadgate.toml", ""),
            ("huge/loadgate.toml", ""),
        ]);
        std::fs::write(dir.path().join("binary/loadgate.toml"), b"# caf\xe9").unwrap();
        std::fs::write(dir.path().join("huge/loadgate.toml"), " ".repeat(1024 * 1024 + 1)).unwrap();

        for (name, expected) in [
            ("dir", "is a directory"),
            ("binary", "is not UTF-8 (at byte 5)"),
            ("huge", "is larger than 1 MiB"),
        ] {
            let said = find(&dir.path().join(name), None).unwrap_err().to_string();
            assert!(said.contains("loadgate.toml") && said.contains(expected), "{said}");
        }
    }

    #[test]
    fn a_broken_manifest_is_placed() {
        let dir = repository(&[("Cargo.toml", "[package]\nname = = 1")]);

        let said = find(dir.path(), None).unwrap_err().to_string();

        assert!(said.contains("Cargo.toml:2:"), "{said}");
    }
}
