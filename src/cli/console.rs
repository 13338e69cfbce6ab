//! The console is the one way out to the person: status on stderr, results on stdout, all through the redactor.
//!
//! Texts may hold what a file, a server or the environment wrote: they act on no terminal and command no CI system.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use super::arguments::{Colour, OutputArguments};
use crate::redact::{Redactor, harmless};

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
            self.to_stderr(&format!("{style}{verb:>VERB_WIDTH$}{style:#} {}", harmless(text)));
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
        self.to_stderr(&format!("  {style}-->{style:#} {}", harmless(text)));
    }

    /// Says how to mend it.
    pub(super) fn help(&self, text: &str) {
        self.labelled("help", AnsiColor::Cyan.on_default().bold(), text);
    }

    /// Asks something and stays on the line, for the answer.
    pub(super) fn question(&self, text: &str) {
        let style = AnsiColor::Cyan.on_default().bold();
        let asked = format!("{style}{}{style:#}: ", harmless(text));
        let mut stderr = anstream::stderr();
        let _ = write!(stderr, "{}", self.redactor.redact(&asked)).and_then(|()| stderr.flush());
    }

    /// Says a chosen default, in verbose mode.
    pub(super) fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.to_stderr(&harmless(text));
        }
    }

    /// Prints a result.
    pub(super) fn result(&self, text: &str) {
        self.rendered(&harmless(text));
    }

    /// Prints a result as its renderer made it, colours, JSON and annotations included; the renderer has made
    /// everything from outside harmless.
    pub(super) fn rendered(&self, text: &str) {
        let text = self.redactor.redact(text);
        // A reader that went away, such as `head`, is no reason to fail.
        let _ = writeln!(anstream::stdout(), "{}", text.trim_end_matches('\n'));
    }

    fn labelled(&self, label: &str, style: Style, text: &str) {
        self.to_stderr(&format!("{style}{label}{style:#}: {}", harmless(text)));
    }

    fn to_stderr(&self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{}", self.redactor.redact(text));
    }
}
