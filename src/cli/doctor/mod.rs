//! `doctor`: checks the set-up and says what to mend. It reads files and asks nobody, unless `--ask-production` says
//! so: then each production host gets one GET. No load is sent.
//!
//! What keeps a run from working is *wrong* (exit 2); what weakens the guard or the verdict is a *warning*.

mod machine;
mod production;
mod workflows;

use std::path::Path;

use serde::Serialize;

use super::arguments::DoctorArguments;
use super::failure::Failure;
use super::overrides;
use super::session::Session;
use crate::ci;
use crate::config::{self, Problem, Settings};
use crate::guard::{self, Policy, ProductionMarker};
use crate::verdict::Exit;

/// The version of the JSON form.
const FINDINGS_VERSION: u32 = 1;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Severity {
    /// In order, and worth saying.
    Good,
    /// Weakens the guard or the verdict.
    Warning,
    /// Keeps a run from working.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    what: String,
    /// The file, and the line where it is known.
    place: Option<String>,
    /// How to mend it.
    help: Option<String>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { severity: Severity::Good, what: what.into(), place: None, help: None }
    }

    fn warning(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, what: what.into(), place: None, help: Some(help.into()) }
    }

    fn wrong(problem: Problem) -> Self {
        Self {
            severity: Severity::Wrong,
            what: problem.message,
            place: problem.place.map(|place| place.to_string()),
            help: Some(problem.help),
        }
    }

    fn at(self, path: &Path) -> Self {
        Self { place: Some(path.display().to_string()), ..self }
    }
}

#[derive(Debug, Serialize)]
struct Findings {
    version: u32,
    findings: Vec<Finding>,
}

/// Looks at everything and returns whether a run could work.
pub(super) fn doctor(session: &Session, arguments: &DoctorArguments) -> Result<Exit, Failure> {
    let mut findings = Vec::new();
    let typed = overrides::of_project(&arguments.project);
    match config::load(&session.current_directory, &typed) {
        Ok(settings) => {
            examine(session, &settings, &mut findings);
            if arguments.ask_production {
                ask_production(session, &settings, &mut findings);
            }
        }
        Err(problems) => findings.extend(problems.0.into_iter().map(Finding::wrong)),
    }
    workflows::examine(&session.current_directory, &mut findings);
    machine::examine(&mut findings);
    let worst = findings.iter().map(|finding| finding.severity).max();
    if arguments.json {
        let findings = Findings { version: FINDINGS_VERSION, findings };
        let json = serde_json::to_string_pretty(&findings)
            .map_err(|error| Failure::incomplete(format!("cannot write the findings: {error}"), None))?;
        session.console.rendered(&json);
    } else {
        session.console.result(&text(&findings));
    }
    Ok(if worst == Some(Severity::Wrong) { Exit::BadUsage } else { Exit::Passed })
}

fn examine(session: &Session, settings: &Settings, findings: &mut Vec<Finding>) {
    findings.push(Finding::good(format!("configuration: {}", settings.source)));
    let target = &settings.target;
    let is_remote = !target.preview.is_empty();
    if is_remote {
        match target.to_policy_for_remote() {
            Ok(policy) => {
                examine_policy(settings, &policy, findings);
                // What cannot be read of a job is the run's matter; a desk has no job.
                let known = ci::read(&session.environment).map(|reading| reading.production);
                production::examine_facts(&known.unwrap_or_default(), &policy, findings);
            }
            Err(problems) => findings.extend(problems.0.into_iter().map(Finding::wrong)),
        }
        let problems = config::check_limits(settings);
        findings.extend(problems.0.into_iter().map(Finding::wrong));
    } else {
        findings
            .push(Finding::good("no previews are configured: only services on this machine can be loaded"));
        let policy = target.to_policy().map_err(|problems| problems.0.into_iter().map(Finding::wrong));
        match policy {
            Ok(_) => {}
            Err(more) => findings.extend(more),
        }
    }
    if let (Err(reason), false) = (settings.service.plan(), is_remote) {
        findings
            .push(Finding::warning(format!("there is no service to start: {}", reason.why), &*reason.help));
    }
    findings.push(baselines(&settings.baseline.dir));
}

/// Production that calls itself a preview would defeat the in-band proof.
fn ask_production(session: &Session, settings: &Settings, findings: &mut Vec<Finding>) {
    let Ok(policy) = settings.target.to_policy() else { return };
    let world = session.world();
    for host in &policy.production {
        session.console.status("Asking", &format!("{host} for its marker: one GET to production"));
        findings.push(match guard::production_marker(host, &policy.trusted_roots, &world.outside()) {
            ProductionMarker::Absent => Finding::good(format!("{host} serves no marker")),
            ProductionMarker::Honest => Finding::good(format!("the marker of {host} says production")),
            ProductionMarker::Misleading(how) => Finding::wrong(Problem::nowhere(
                format!("production host {host} serves a preview's marker: {how}"),
                "let the marker's environment come from where the server runs, never from the build, and keep its key \
                 out of production",
            )),
            ProductionMarker::Unknown(why) => {
                Finding::warning(format!("{host} could not be asked for its marker: {why}"), "ask again later")
            }
        });
    }
}

fn examine_policy(settings: &Settings, policy: &Policy, findings: &mut Vec<Finding>) {
    findings.push(Finding::good(format!(
        "{} preview patterns, {} production names",
        policy.preview.len(),
        policy.production.len()
    )));
    if let Some(platform) = policy.platform_without_consent() {
        findings.push(Finding::warning(
            format!("{platform} forbids load tests that nobody announced, and [target] names no consent"),
            "ask the platform, then write where its answer is: consent = \"TICKET\"",
        ));
    }
    production::examine(&settings.root, policy, findings);
}

fn baselines(dir: &Path) -> Finding {
    let is_stored = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "json");
    let stored = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| is_stored(entry).then_some(()));
    match stored.count() {
        0 => Finding::warning(
            "no baseline is stored, so that nothing can be compared",
            "record one on the machine that will compare: cargo loadgate run --save-baseline",
        )
        .at(dir),
        count => Finding::good(format!("{count} stored runs")).at(dir),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.severity {
            Severity::Good => "ok",
            Severity::Warning => "warning",
            Severity::Wrong => "wrong",
        };
        text.push_str(&format!("{word:<9}{}\n", finding.what));
        if let Some(place) = &finding.place {
            text.push_str(&format!("{:<9}at {place}\n", ""));
        }
        if let Some(help) = &finding.help {
            text.push_str(&format!("{:<9}help: {help}\n", ""));
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (wrong, warnings) = (count(Severity::Wrong), count(Severity::Warning));
    text.push_str(&format!("\n{wrong} wrong, {warnings} warnings"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_with_its_place_and_its_remedy() {
        let findings = [Finding::good("fine"), Finding::warning("odd", "mend it").at(Path::new("CNAME"))];

        assert_eq!(
            text(&findings),
            "ok       fine\nwarning  odd\n         at CNAME\n         help: mend it\n\n0 wrong, 1 warnings"
        );
    }

    #[test]
    fn a_store_without_runs_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();

        let empty = baselines(dir.path());
        let missing = baselines(&dir.path().join("nowhere"));
        std::fs::write(dir.path().join("run.json"), "{}").unwrap();
        let stored = baselines(dir.path());

        let severities = [empty, missing, stored].map(|finding| finding.severity);
        assert_eq!(severities, [Severity::Warning, Severity::Warning, Severity::Good]);
    }
}
