//! Reads the workflow files that run this program and says which permissions their jobs lack.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Finding;

/// What a job needs, at which level, and for what.
const NEEDED: [(&str, &str, &str); 3] = [
    ("contents", "read", "to read the repository"),
    ("pull-requests", "write", "for the comment, and to find the pull request of a deployment"),
    ("deployments", "read", "to ask the forge about the preview"),
];

/// Larger workflows are not read.
const MAX_WORKFLOW_BYTES: u64 = 1024 * 1024;

pub(super) fn examine(start: &Path, findings: &mut Vec<Finding>) {
    let Some(directory) = workflow_directory(start) else {
        findings.push(Finding::good("there are no workflow files to look at"));
        return;
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut jobs = 0;
    for file in
        files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "yml" || kind == "yaml"))
    {
        jobs += examine_file(file, findings);
    }
    if jobs == 0 {
        findings.push(
            Finding::warning(
                "no workflow runs cargo loadgate, so that no pull request is gated",
                "add a job as the README shows it",
            )
            .at(&directory),
        );
    }
}

fn workflow_directory(start: &Path) -> Option<PathBuf> {
    start.ancestors().map(|dir| dir.join(".github/workflows")).find(|dir| dir.is_dir())
}

/// Returns how many jobs of the file run this program.
fn examine_file(file: &Path, findings: &mut Vec<Finding>) -> usize {
    let is_small = fs::metadata(file).is_ok_and(|about| about.len() <= MAX_WORKFLOW_BYTES);
    let text = if is_small { fs::read_to_string(file).unwrap_or_default() } else { String::new() };
    if !text.contains("loadgate") {
        return 0;
    }
    let workflow: Value = match serde_saphyr::from_str(&text) {
        Ok(workflow) => workflow,
        Err(error) => {
            let first = error.to_string().lines().next().unwrap_or_default().to_owned();
            findings.push(
                Finding::warning(format!("this workflow is not YAML: {first}"), "mend its syntax").at(file),
            );
            return 0;
        }
    };
    let jobs = workflow.get("jobs").and_then(Value::as_object);
    let ours = jobs.into_iter().flatten().filter(|(_, job)| runs_loadgate(job));
    let mut count = 0;
    for (name, job) in ours {
        count += 1;
        findings.extend(judge(name, job, &workflow).into_iter().map(|finding| finding.at(file)));
    }
    count
}

fn runs_loadgate(job: &Value) -> bool {
    let steps = job.get("steps").and_then(Value::as_array);
    steps.into_iter().flatten().any(|step| {
        let says = |key: &str, word: &str| {
            step.get(key).and_then(Value::as_str).is_some_and(|text| text.contains(word))
        };
        says("uses", "loadgate") || says("run", "cargo loadgate") || says("run", "cargo-loadgate")
    })
}

fn judge(name: &str, job: &Value, workflow: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    if triggers(workflow).iter().any(|trigger| trigger == "pull_request_target") {
        findings.push(Finding::warning(
            format!("job `{name}` runs on pull_request_target, where the guard refuses every remote target"),
            "run on `pull_request` or `deployment_status`",
        ));
    }
    let Some(permissions) = job.get("permissions").or_else(|| workflow.get("permissions")) else {
        findings.push(Finding::warning(
            format!("job `{name}` says no permissions, so that it has whatever the repository's default is"),
            "say them: contents: read, pull-requests: write, deployments: read",
        ));
        return findings;
    };
    let is_deployed = triggers(workflow).iter().any(|trigger| trigger == "deployment_status");
    let needed = NEEDED.iter().filter(|(scope, ..)| is_deployed || *scope != "deployments");
    for (scope, level, why) in needed.filter(|(scope, level, _)| !grants(permissions, scope, level)) {
        findings.push(Finding::warning(
            format!("job `{name}` has no permission `{scope}: {level}`, needed {why}"),
            format!("add `{scope}: {level}` to the permissions of the job"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good(format!("job `{name}` has the permissions it needs")));
    }
    findings
}

fn triggers(workflow: &Value) -> Vec<String> {
    match workflow.get("on") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

fn grants(permissions: &Value, scope: &str, level: &str) -> bool {
    match permissions {
        Value::String(all) => all == "write-all" || (all == "read-all" && level == "read"),
        Value::Object(map) => match map.get(scope).and_then(Value::as_str) {
            Some(granted) => granted == "write" || granted == level,
            None => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Severity;

    fn findings_of(workflow: &str) -> Vec<Finding> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".github/workflows")).unwrap();
        fs::write(dir.path().join(".github/workflows/gate.yml"), workflow).unwrap();
        let mut findings = Vec::new();
        examine(dir.path(), &mut findings);
        findings
    }

    fn warnings_of(trigger: &str, permissions: &str) -> Vec<String> {
        let workflow = format!(
            "on: {trigger}\njobs:\n  gate:\n{permissions}    steps:\n      - uses: stall/cargo-loadgate@0123\n"
        );
        let findings = findings_of(&workflow);
        findings.into_iter().filter(|one| one.severity == Severity::Warning).map(|one| one.what).collect()
    }

    #[test]
    fn a_job_with_its_permissions_is_good() {
        let permissions = "    permissions: { contents: read, pull-requests: write }\n";

        assert_eq!(warnings_of("pull_request", permissions), Vec::<String>::new());
        assert_eq!(warnings_of("[pull_request]", "    permissions: write-all\n"), Vec::<String>::new());
    }

    #[test]
    fn every_missing_permission_is_named() {
        let none = warnings_of("deployment_status", "    permissions: {}\n");
        let some =
            warnings_of("deployment_status", "    permissions: { contents: read, pull-requests: write }\n");
        let silent = warnings_of("pull_request", "");

        assert_eq!(none.len(), 3, "{none:?}");
        assert!(some.len() == 1 && some[0].contains("deployments: read"), "{some:?}");
        assert!(silent.len() == 1 && silent[0].contains("says no permissions"), "{silent:?}");
    }

    #[test]
    fn a_job_on_pull_request_target_is_named() {
        let found = warnings_of("pull_request_target", "    permissions: write-all\n");

        assert!(found.len() == 1 && found[0].contains("pull_request_target"), "{found:?}");
    }

    #[test]
    fn workflows_without_the_gate_or_without_yaml_are_said() {
        let other = findings_of("on: push\njobs:\n  test:\n    steps:\n      - run: cargo test\n");
        let broken = findings_of("on: [loadgate\n");

        assert!(other[0].what.contains("no workflow runs"), "{other:?}");
        assert!(broken[0].what.contains("is not YAML"), "{broken:?}");
    }
}
