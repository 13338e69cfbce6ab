//! The command line: the only room that prints, reads argv or knows every other.
//!
//! One file a command; `session` is what a command gets from the outside, `console` the one way out to the person.

mod arguments;
mod artefacts;
mod base;
mod baseline;
mod confirmation;
mod console;
mod demo;
mod demo_service;
mod doctor;
mod emergency;
mod explanation;
mod failure;
mod gate;
mod git;
mod joining;
mod overrides;
mod panic;
mod patience;
mod progress;
mod publishing;
mod remember;
mod run;
mod scripted;
mod secrets;
mod session;
mod signals;
mod subject;
mod target;
mod vigil;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::arguments::{Command, CommandLine, OutputArguments};
use self::console::Console;
use self::failure::Failure;
use self::session::Session;
use crate::ci::Environment;
use crate::redact::Redactor;
use crate::verdict::Exit;

/// Runs the program: reads argv and the environment, does what was asked, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments::without_cargo_prefix(std::env::args_os())) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are asked for and go to stdout; clap knows which is which.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::BadUsage } else { Exit::Passed };
            return ExitCode::from(exit.code());
        }
    };
    let environment = environment();
    // One redactor for every writer: what a run learns to hide is hidden in its last words as well.
    let redactor = Redactor::new(session::secrets(&environment));
    panic::redact(&redactor);
    let exit = run(&line, environment, &redactor).unwrap_or_else(|failure| {
        tell(output_of(&line), &failure, redactor);
        failure.exit
    });
    ExitCode::from(exit.code())
}

fn run(line: &CommandLine, environment: Environment, redactor: &Redactor) -> Result<Exit, Failure> {
    let session =
        Session::open(output_of(line), environment, redactor.clone(), signals::cancelled_by_signal())?;
    match &line.command {
        None => run::run(&session, &line.run),
        Some(Command::Run(arguments)) => run::run(&session, arguments),
        Some(Command::Demo(arguments)) => demo::demo(&session, arguments),
        Some(Command::Target(arguments)) => target::target(&session, arguments),
        Some(Command::Doctor(arguments)) => doctor::doctor(&session, arguments),
        Some(Command::Baseline(command)) => baseline::baseline(&session, command),
        Some(Command::DemoService { slower }) => demo_service::serve(&session, slower.as_deref()),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut CommandLine::command(), "cargo-loadgate", &mut script);
            // A reader that went away is no reason to fail.
            let _ = std::io::stdout().write_all(&script);
            Ok(Exit::Passed)
        }
    }
}

fn output_of(line: &CommandLine) -> &OutputArguments {
    match &line.command {
        Some(Command::Run(arguments)) => &arguments.output,
        Some(Command::Demo(arguments)) => &arguments.output,
        Some(Command::Target(arguments)) => &arguments.output,
        Some(Command::Doctor(arguments)) => &arguments.output,
        Some(Command::Baseline(command)) => &command.store().output,
        Some(Command::DemoService { .. } | Command::Completions { .. }) | None => &line.run.output,
    }
}

/// Says why there is no verdict; the failure may have come before the session.
fn tell(output: &OutputArguments, failure: &Failure, redactor: Redactor) {
    let console = Console::new(output, redactor);
    for told in &failure.told {
        console.error(&told.message);
        if let Some(place) = &told.place {
            console.place(place);
        }
        if let Some(help) = &told.help {
            console.help(help);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment() -> Environment {
    Environment::from_pairs(std::env::vars_os())
}
