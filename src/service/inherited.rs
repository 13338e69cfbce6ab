//! What a service inherits: the environment without what belongs to this program and to the CI system.
//!
//! The code of a pull request runs in the service; tokens of the job have no business there.

use std::ffi::{OsStr, OsString};

/// Variables with these prefixes stay behind: our own, and the runner's tokens and addresses.
const PREFIXES: [&str; 2] = ["LOADGATE_", "ACTIONS_"];

/// Variables with these names stay behind: the tokens of the forge.
const NAMES: [&str; 2] = ["GITHUB_TOKEN", "GH_TOKEN"];

/// Returns the variables that a service may see.
pub(super) fn inherited(environment: &[(OsString, OsString)]) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    let pairs = environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    pairs.filter(|(name, _)| {
        // Windows does not tell upper from lower case in names.
        let name = name.to_string_lossy().to_ascii_uppercase();
        !NAMES.contains(&name.as_str()) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_the_job_stay_behind() {
        let names = [
            "PATH",
            "LOADGATE_PREVIEW_URL",
            "GITHUB_TOKEN",
            "gh_token",
            "ACTIONS_RUNTIME_TOKEN",
            "GITHUB_SHA",
        ];
        let environment: Vec<_> = names.map(|name| (OsString::from(name), OsString::from("x"))).to_vec();

        let kept: Vec<&OsStr> = inherited(&environment).map(|(name, _)| name).collect();

        assert_eq!(kept, ["PATH", "GITHUB_SHA"]);
    }
}
