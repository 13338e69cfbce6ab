//! The console is the one way out to the person: status on stderr, results on stdout, all through the redactor.
//!
//! Texts may hold what a file, a server or the environment wrote: they act on no terminal and command no CI system.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

use super::arguments::{Colour, OutputArguments};
use crate::redact::{Redactor, harmless};
use crate::secret::Secret;

/// Width of a status line's verb, as cargo has it.
const VERB_WIDTH: usize = 12;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

/// Prints for a person.
#[derive(Debug)]
pub(super) struct Console {
    redactor: Redactor,
    verbosity: Verbosity,
    is_interactive: bool,
    is_coloured: bool,
}

impl Console {
    /// Makes the console for a command's output flags.
    pub(super) fn new(output: &OutputArguments, redactor: Redactor) -> Self {
        match output.color {
            Colour::Auto => anstream::ColorChoice::Auto,
            Colour::Always => anstream::ColorChoice::Always,
            Colour::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        let verbosity = match (output.quiet, output.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let choice = anstream::AutoStream::choice(&io::stdout());
        Self {
            redactor,
            verbosity,
            is_interactive: io::stderr().is_terminal() && verbosity > Verbosity::Quiet,
            is_coloured: choice != anstream::ColorChoice::Never,
        }
    }

    /// Returns whether a progress bar would be seen by a person.
    pub(super) fn is_interactive(&self) -> bool {
        self.is_interactive
    }

    /// Returns whether stdout shows colours.
    pub(super) fn is_coloured(&self) -> bool {
        self.is_coloured
    }

    /// Returns how much is said.
    pub(super) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Returns the writer of everything that is stored.
    pub(super) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Says what is happening, cargo's way: a verb and its object.
    pub(super) fn status(&self, verb: &str, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            let style = AnsiColor::Green.on_default().bold();
            self.to_stderr(&format!("{style}{verb:>VERB_WIDTH$}{style:#} {}", self.clean(text)));
        }
    }

    /// Says something that the person should know but that stops nothing.
    pub(super) fn warning(&self, text: &str) {
        self.labelled("warning", AnsiColor::Yellow.on_default().bold(), text);
    }

    /// Says what went wrong.
    pub(super) fn error(&self, text: &str) {
        self.labelled("error", AnsiColor::Red.on_default().bold(), text);
    }

    /// Says where it is: file, line and column.
    pub(super) fn place(&self, text: &str) {
        let style = AnsiColor::Blue.on_default().bold();
        self.to_stderr(&format!("  {style}-->{style:#} {}", self.clean(text)));
    }

    /// Says how to mend it.
    pub(super) fn help(&self, text: &str) {
        self.labelled("help", AnsiColor::Cyan.on_default().bold(), text);
    }

    /// Asks something and stays on the line, for the answer.
    pub(super) fn question(&self, text: &str) {
        let style = AnsiColor::Cyan.on_default().bold();
        let asked = format!("{style}{}{style:#}: ", self.clean(text));
        let mut stderr = anstream::stderr();
        let _ = write!(stderr, "{}", self.redactor.redact(&asked)).and_then(|()| stderr.flush());
    }

    /// Says a chosen default, in verbose mode.
    pub(super) fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.to_stderr(&self.clean(text));
        }
    }

    /// Prints a result.
    pub(super) fn result(&self, text: &str) {
        self.rendered(&self.clean(text));
    }

    /// Prints a result as its renderer made it, colours, JSON and annotations included; the renderer has made
    /// everything from outside harmless.
    pub(super) fn rendered(&self, text: &str) {
        let text = self.redactor.redact_registered(text);
        // A reader that went away, such as `head`, is no reason to fail.
        let _ = writeln!(anstream::stdout(), "{}", text.trim_end_matches('\n'));
    }

    fn labelled(&self, label: &str, style: Style, text: &str) {
        self.to_stderr(&format!("{style}{label}{style:#}: {}", self.clean(text)));
    }

    /// Makes a text fit to be printed. What is hidden is hidden first: to be harmless may change how it is spelt.
    fn clean(&self, text: &str) -> String {
        harmless(&self.redactor.redact(text))
    }

    /// Returns a way for lines that a program of this run prints while it runs, hidden and harmless as all others.
    pub(super) fn lines_of_others(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        Arc::new(|line| {
            // Whoever calls this has passed the line through the redactor, which may need several lines to see all.
            let _ = writeln!(anstream::stderr(), "{}", harmless(line));
        })
    }

    /// Asks GitHub's runner to hide values in its log: the one text that is printed as it is.
    ///
    /// Only a stream that the runner may read gets it, never a file.
    pub(super) fn mask_in_log(&self, secrets: &[Secret]) {
        let commands: String = secrets.iter().flat_map(|secret| masking(secret.expose())).collect();
        if commands.is_empty() {
            return;
        }
        let written = if !is_file(&io::stderr()) {
            io::stderr().write_all(commands.as_bytes()).and_then(|()| io::stderr().flush())
        } else if !is_file(&io::stdout()) {
            io::stdout().write_all(commands.as_bytes()).and_then(|()| io::stdout().flush())
        } else {
            Ok(())
        };
        // Without a reader there is no log to hide it in.
        drop(written);
    }

    fn to_stderr(&self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{}", self.redactor.redact(text));
    }
}

/// Returns one command for each spelling that GitHub's own masks know nothing of.
fn masking(value: &str) -> Vec<String> {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(value);
    let in_url: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let mut spellings: Vec<String> = value.lines().map(str::to_owned).collect();
    spellings.push(encoded.trim_end_matches('=').to_owned());
    spellings.extend((in_url != value).then_some(in_url));
    let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    // Shorter ones would blacken the whole log.
    let kept = spellings.iter().filter(|text| text.trim().len() >= 6);
    kept.map(|text| format!("::add-mask::{}\n", escaped(text))).collect()
}

/// Returns whether a stream goes into a file, where no runner would read it.
#[cfg(unix)]
fn is_file(stream: &impl std::os::fd::AsFd) -> bool {
    let copy = stream.as_fd().try_clone_to_owned().map(std::fs::File::from);
    copy.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.is_file())
}

/// Returns whether a stream goes into a file, where no runner would read it; this system does not say.
#[cfg(not(unix))]
fn is_file<S>(_stream: &S) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_one_command_a_spelling_and_cannot_end_early() {
        assert_eq!(
            masking("50%-horse\rx"),
            [
                "::add-mask::50%25-horse%0Dx\n",
                "::add-mask::NTAlLWhvcnNlDXg\n",
                "::add-mask::50%2525-horse%250Dx\n"
            ]
        );
        assert_eq!(masking("first-line\nsecond-line").len(), 4);
        assert!(masking("").is_empty());
    }
}
