//! Tells the pull request what happened. Best effort: whatever fails here is said and changes nothing.

use std::path::Path;

use super::arguments::RunArguments;
use super::artefacts::Artefacts;
use super::failure::chain;
use super::session::Session;
use super::subject::Subject;
use crate::context::Forge;
use crate::publish::{self, CommentPlace};
use crate::report::Report;
use crate::verdict::Verdict;

/// Writes the step's summary and outputs and keeps the one comment up to date.
pub(super) fn publish(
    session: &Session,
    arguments: &RunArguments,
    subject: &Subject,
    report: &Report,
    written: &Artefacts,
) {
    if let Some(path) = session.variable("GITHUB_STEP_SUMMARY") {
        complain(session, "step summary", publish::step_summary(Path::new(path), &written.comment));
    }
    if let Some(path) = session.variable("GITHUB_OUTPUT") {
        let values = outputs(report, written);
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        complain(session, "step outputs", publish::outputs(Path::new(path), &values));
    }
    if session.variable("GITHUB_ACTIONS") == Some("true") {
        for line in annotations(report) {
            session.console.rendered(&line);
        }
    }
    if !arguments.no_comment {
        comment(session, &arguments.id, subject, written);
    }
}

fn comment(session: &Session, id: &str, subject: &Subject, written: &Artefacts) {
    let Some(pull_request) = subject.reading.context.pull_request() else { return };
    let Some(number) = pull_request.number.filter(|_| pull_request.forge == Forge::GitHub) else { return };
    let Some(token) = session.forge_token() else {
        session.console.warning("no comment was posted: there is no GITHUB_TOKEN in the environment");
        return;
    };
    let place = CommentPlace {
        api_url: session.api_url().to_owned(),
        token,
        repository: pull_request.repository.clone(),
        number,
        id: id.to_owned(),
    };
    match publish::comment(&place, &written.comment, &session.cancel) {
        Ok(outcome) => session.console.status("Commented", &outcome.url),
        Err(error) => {
            session.console.warning(&format!("no comment was posted: {}", chain(&error)));
            session.console.help(&error.help());
        }
    }
}

fn outputs(report: &Report, written: &Artefacts) -> Vec<(&'static str, String)> {
    vec![
        ("verdict", report.verdict.as_str().to_owned()),
        ("report-json", written.report_json.display().to_string()),
        ("report-html", written.report_html.display().to_string()),
        ("comment-md", written.comment_md.display().to_string()),
        ("measurement", written.measurement.display().to_string()),
    ]
}

/// Returns one annotation for every scenario that a reviewer should look at.
fn annotations(report: &Report) -> Vec<String> {
    let findings = report.scenarios.iter().flat_map(|scenario| {
        let title = format!("loadgate: {} shows a secret", scenario.measurement.scenario);
        scenario.echoes.iter().map(move |echo| {
            let said = format!("the server sends secret {} back in {}", echo.secret, echo.place);
            publish::annotation(publish::Level::Warning, &title, &said)
        })
    });
    report
        .scenarios
        .iter()
        .filter_map(|scenario| {
            let comparison = &scenario.comparison;
            let level = match comparison.verdict {
                Verdict::Regressed | Verdict::Invalid => publish::Level::Error,
                Verdict::Inconclusive => publish::Level::Warning,
                Verdict::NoBaseline => publish::Level::Notice,
                Verdict::Passed | Verdict::Improved => return None,
            };
            let title = format!("loadgate: {} {}", scenario.measurement.scenario, comparison.verdict);
            Some(publish::annotation(level, &title, &comparison.reasons.join("; ")))
        })
        .chain(findings)
        .collect()
}

fn complain(session: &Session, what: &str, outcome: Result<(), publish::PublishError>) {
    if let Err(error) = outcome {
        session.console.warning(&format!("the {what} could not be written: {}", chain(&error)));
    }
}
