//! What git knows of the directory: the commit that is checked out. Best effort; a project need not be a repository.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::context::CommitSha;

/// Returns the commit that is checked out in a directory, where git can tell.
pub(super) fn head(directory: &Path) -> Option<CommitSha> {
    let output = Command::new("git")
        .args(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    CommitSha::parse(std::str::from_utf8(&output.stdout).ok()?.trim()).ok()
}
