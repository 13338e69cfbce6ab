//! The guard's receipt as a table that people paste into an issue: where the target came from, each layer, each fact.

use crate::guard::{LayerDecision, Receipt, ReceiptDecision};

/// Returns the page that people paste into an issue: the receipt, what a run would send, and a fence around both that
/// keeps what outside texts hold from being markup, a mention or a reference there.
pub(super) fn page(receipt: &Receipt, forecast: &str) -> String {
    let version = concat!("cargo loadgate ", env!("CARGO_PKG_VERSION"), ", target");
    let load = wrapped(&format!("{:<LABEL_WIDTH$}", "would send"), forecast);
    format!("```text\n{version}\n\n{load}{}\n```", explanation(receipt))
}

/// Returns the receipt as a table.
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
    fn nothing_from_outside_ends_the_pages_fence() {
        let outside = "``` ".repeat(60);
        let receipt = Receipt { candidate: Some(outside.clone()), ..crate::guard::foresee_service() };

        let page = page(&receipt, &outside);

        let fences: Vec<usize> =
            page.lines().enumerate().filter(|(_, line)| line.starts_with("```")).map(|(at, _)| at).collect();
        assert_eq!(fences, [0, page.lines().count() - 1], "{page}");
        let is_inside = |line: &&str| line.trim_start().starts_with("```") && line.starts_with("    ");
        assert!(page.lines().filter(is_inside).count() > 0, "a test shows what would end a fence: {page}");
    }

    #[test]
    fn long_facts_are_broken_at_words() {
        let text = wrapped("L1 context      ", &"word ".repeat(40));

        assert!(text.lines().all(|line| line.chars().count() <= LINE_WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("                word")), "{text}");
        assert_eq!(text.matches("word").count(), 40);
    }
}
