//! `target`: shows how the target was derived and what each guard layer says. Sends no load.

use super::arguments::TargetArguments;
use super::failure::Failure;
use super::overrides;
use super::session::Session;
use super::subject::Subject;
use crate::config::{self, Overrides};
use crate::guard::{self, Depth, LayerDecision, Receipt, ReceiptDecision, SystemResolver};
use crate::verdict::Exit;

/// Explains the target and returns whether it would be loaded.
pub(super) fn target(session: &Session, arguments: &TargetArguments) -> Result<Exit, Failure> {
    let typed = Overrides { local: arguments.local, ..overrides::of_project(&arguments.project) };
    let settings = config::load(&session.current_directory, &typed).map_err(Failure::problems)?;
    let mut subject = Subject::choose(session, &settings)?;
    if subject.will_start_a_service() {
        session.console.result(
            "The target will be a service that `run` builds and starts on this machine's loopback; \
             there is no remote target to clear.",
        );
        return Ok(Exit::Passed);
    }
    let depth = if arguments.offline { Depth::Offline } else { Depth::Online };
    if depth == Depth::Online {
        subject.find_pull_request(session)?;
    }
    let receipt = guard::examine(&subject.inquiry(session), depth, &SystemResolver::default());
    if arguments.json {
        let json = serde_json::to_string_pretty(&receipt)
            .map_err(|error| Failure::incomplete(format!("cannot write the receipt: {error}"), None))?;
        session.console.result(&json);
    } else {
        session.console.result(&explanation(&receipt));
    }
    Ok(match receipt.decision {
        ReceiptDecision::Refused => Exit::Refused,
        ReceiptDecision::Allowed | ReceiptDecision::AllowedSoFar => Exit::Passed,
    })
}

/// Returns the receipt as the table that people paste into an issue.
pub(super) fn explanation(receipt: &Receipt) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        text.push_str(&wrapped(&format!("{label:<LABEL_WIDTH$}"), value));
    };
    line("candidate", receipt.candidate.as_deref().unwrap_or("none"));
    if let Some(source) = &receipt.source {
        line("source", &source.to_string());
    }
    if let Some(origin) = &receipt.origin {
        line("origin", &origin.to_string());
    }
    if !receipt.addresses.is_empty() {
        let addresses: Vec<String> = receipt.addresses.iter().map(ToString::to_string).collect();
        line("pinned", &addresses.join(", "));
    }
    text.push('\n');
    for layer in &receipt.layers {
        let said = match layer.decision {
            LayerDecision::Veto => "VETO",
            LayerDecision::Proof => "proof",
            LayerDecision::Silence => "-",
            LayerDecision::NotAsked => "not asked",
            LayerDecision::NotReached => "not reached",
        };
        text.push_str(&wrapped(&format!("{:<LABEL_WIDTH$}{said:<12}", layer.layer), &layer.fact));
        if let Some(remedy) = &layer.remedy {
            text.push_str(&wrapped(&format!("{:<LABEL_WIDTH$}{:<12}", "", "remedy"), remedy));
        }
    }
    text.push_str(&format!("\n{}", conclusion(receipt)));
    text
}

/// The column where the second column of the table begins.
const LABEL_WIDTH: usize = 16;

/// The width of a terminal that everybody has.
const LINE_WIDTH: usize = 80;

fn conclusion(receipt: &Receipt) -> String {
    match receipt.decision {
        ReceiptDecision::AllowedSoFar => {
            "ALLOWED so far; layers that need the network were not asked".to_owned()
        }
        ReceiptDecision::Allowed => "ALLOWED: this target may be loaded".to_owned(),
        ReceiptDecision::Refused => match receipt.veto() {
            Some(veto) => format!("REFUSED by {}; no load is sent", veto.layer),
            None => "REFUSED; no load is sent".to_owned(),
        },
    }
}

/// Returns a first column and a text beside it, broken at words so that no line is wider than a terminal.
fn wrapped(label: &str, text: &str) -> String {
    let indent = label.chars().count();
    let mut lines = vec![label.to_owned()];
    let mut used = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > indent && used + 1 + length > LINE_WIDTH {
            lines.push(" ".repeat(indent));
            used = indent;
        }
        if let Some(line) = lines.last_mut() {
            if used > indent {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_facts_are_broken_at_words() {
        let text = wrapped("L1 context      ", &"word ".repeat(40));

        assert!(text.lines().all(|line| line.chars().count() <= LINE_WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("                word")), "{text}");
        assert_eq!(text.matches("word").count(), 40);
    }
}
