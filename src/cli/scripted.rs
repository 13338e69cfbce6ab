//! A scenario with a script: the script is loaded before its run, asked for requests during it, and heard after it.

use std::path::Path;
use std::sync::Arc;

use super::artefacts;
use super::console::Console;
use super::failure::Failure;
use super::session::Session;
use crate::config::Settings;
use crate::guard::ClearedTarget;
use crate::measurement::Measurement;
use crate::request::ScriptPlan;
use crate::scenario::Scenario;
use crate::script::{LastResort, Script, ScriptError, ScriptLimits, ScriptOrders};
use crate::verdict::Exit;

/// Fills in what the configuration cannot know: the values of declared variables.
pub(super) fn complete(session: &Session, settings: &mut Settings) {
    for scenario in &mut settings.scenarios {
        let Some(plan) = scenario.script.as_mut().map(Arc::make_mut) else { continue };
        for (name, value) in &mut plan.environment {
            *value = session.environment.get(name).map(str::to_owned);
        }
        session.console.detail(&format!("{} draws random numbers from seed {}", plan.name, plan.seed));
    }
}

/// Loads the script of one drive; nothing is sent yet.
pub(super) fn load(
    scenario: &Scenario,
    plan: &Arc<ScriptPlan>,
    target: &ClearedTarget,
    threads: u32,
    last_resort: LastResort,
) -> Result<Script, Failure> {
    let request = scenario.requests.only().expect("a scenario with a script describes one plain request");
    Script::load(&ScriptOrders {
        plan,
        request,
        origin: target.origin(),
        addresses: target.addresses(),
        workers: threads.min(scenario.profile.connections.get()),
        limits: ScriptLimits::default(),
        last_resort,
    })
    .map_err(|error| failure(&error))
}

/// Lets the script speak after its run; whatever it says, the measurement stands.
pub(super) fn conclude(
    mut script: Script,
    measurement: &Measurement,
    console: &Console,
    directory: &Path,
) -> Result<(), Failure> {
    let done = script.done(measurement);
    hear(&mut script, console);
    if let Err(error) = done {
        console.warning(&error.to_string());
        console.help(&error.help());
    }
    for (name, tally) in script.checks() {
        console.status("Checked", &format!("{name}: {} met, {} failed", tally.met, tally.failed));
    }
    for (name, text) in script.take_sinks() {
        let directory = directory.join("script");
        artefacts::make_directory(&directory)?;
        let text = console.redactor().redact(&String::from_utf8_lossy(&text));
        artefacts::store(&directory.join(name), &text)?;
    }
    Ok(())
}

/// Shows what the script has printed.
pub(super) fn hear(script: &mut Script, console: &Console) {
    let output = script.take_output();
    if !output.is_empty() {
        console.result(&String::from_utf8_lossy(&output));
    }
}

fn failure(error: &ScriptError) -> Failure {
    let exit = match error {
        ScriptError::Syntax(_) | ScriptError::TooLarge { .. } | ScriptError::Param { .. } => Exit::BadUsage,
        _ => Exit::CouldNotComplete,
    };
    Failure::new(exit, error.to_string(), Some(error.help()))
}
