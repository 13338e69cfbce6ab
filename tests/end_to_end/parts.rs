//! Real parts: asks `tests/support/parts.sh` for nginx, namespaces and the rest, and says plainly what is missing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns where a part is, installing it where the system lets us.
///
/// Where it can't be had the test is skipped with a message; with `CI=true` nothing is skipped.
pub(crate) fn require(part: &str) -> Option<PathBuf> {
    let output = Command::new("bash")
        .arg(repository().join("tests/support/parts.sh"))
        .arg(part)
        .output()
        .expect("bash runs");
    if output.status.success() {
        let path = String::from_utf8(output.stdout).expect("a path is UTF-8");
        return Some(PathBuf::from(path.lines().last().unwrap_or_default()));
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let why = why.lines().last().unwrap_or("no reason given");
    skip(&format!("the part {part:?} is not here: {why}"));
    None
}

/// Says that a test is skipped; with `CI=true` that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(!is_ci(), "nothing is skipped in CI: {why}");
    tell(why);
}

/// Says what is skipped, past the test harness, which shows nothing of a test that passes.
pub(crate) fn tell(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// Returns whether nothing may be skipped.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
