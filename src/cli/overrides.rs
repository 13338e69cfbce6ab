//! Hands the typed flags to `config`, which decides what they mean.

use std::path::Path;

use super::arguments::{FailOnWord, ProjectArguments, RunArguments};
use crate::config::Overrides;

/// Returns the overrides of `run`.
pub(super) fn of_run(arguments: &RunArguments, current_directory: &Path) -> Overrides {
    let fail_on = arguments.fail_on.iter().map(|word| match word {
        FailOnWord::Inconclusive => "inconclusive".to_owned(),
        FailOnWord::NoBaseline => "no-baseline".to_owned(),
    });
    Overrides {
        local: arguments.local,
        connections: arguments.connections,
        duration: arguments.duration,
        rate: arguments.rate,
        threads: arguments.threads,
        timeout: arguments.timeout,
        headers: arguments.header.clone(),
        scenarios: arguments.scenario.clone(),
        script: arguments.script.as_ref().map(|script| current_directory.join(script)),
        script_arguments: arguments.script_arguments.clone(),
        params: arguments.param.clone(),
        out: arguments.out.clone(),
        fail_on: fail_on.collect(),
        save_baseline: arguments.save_baseline,
        ..of_project(&arguments.project)
    }
}

/// Returns the overrides of a command that only looks at the project.
pub(super) fn of_project(project: &ProjectArguments) -> Overrides {
    Overrides {
        manifest_path: project.manifest_path.clone(),
        package: project.package.clone(),
        workspace: project.workspace,
        ..Overrides::default()
    }
}
