//! `target`: shows how the target was derived and what each guard layer says. Sends no load.

use super::arguments::TargetArguments;
use super::explanation::page;
use super::failure::Failure;
use super::overrides;
use super::session::Session;
use super::subject::Subject;
use crate::config::{self, Forecast, Overrides, Settings};
use crate::guard::{self, Depth, Receipt, ReceiptDecision};
use crate::verdict::Exit;

/// Explains the target and returns whether it would be loaded.
pub(super) fn target(session: &Session, arguments: &TargetArguments) -> Result<Exit, Failure> {
    let typed = Overrides { local: arguments.local, ..overrides::of_project(&arguments.project) };
    let mut settings = config::load(&session.current_directory, &typed).map_err(Failure::problems)?;
    let depth = if arguments.offline { Depth::Offline } else { Depth::Online };
    let subject = Subject::choose(session, &mut settings, depth)?;
    for warning in &subject.reading.warnings {
        session.console.warning(warning);
    }
    if subject.will_start_a_service() && arguments.json {
        print_json(session, &guard::foresee_service())?;
        return Ok(Exit::Passed);
    }
    if subject.will_start_a_service() {
        session.console.result(
            "The target will be a service that `run` builds and starts on this machine's loopback; \
             there is no remote target to clear.",
        );
        return Ok(Exit::Passed);
    }
    let receipt = guard::examine(&subject.inquiry(session), depth, &session.world().outside());
    if arguments.json {
        print_json(session, &receipt)?;
    } else {
        session.console.result(&page(&receipt, &would_send(&subject, &settings)));
    }
    Ok(match receipt.decision {
        ReceiptDecision::Refused => Exit::Refused,
        ReceiptDecision::Allowed | ReceiptDecision::AllowedSoFar => Exit::Passed,
    })
}

/// Says what `run` would send, or why it would not.
fn would_send(subject: &Subject, settings: &Settings) -> String {
    match subject.permitted_scenarios(settings) {
        Ok(scenarios) => Forecast::of(&scenarios, None).to_string(),
        Err(failure) => {
            let why = failure.told.first().map_or("", |told| told.message.as_str());
            format!("nothing: {why}")
        }
    }
}

fn print_json(session: &Session, receipt: &Receipt) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(receipt)
        .map_err(|error| Failure::incomplete(format!("cannot write the receipt: {error}"), None))?;
    session.console.rendered(&json);
    Ok(())
}
