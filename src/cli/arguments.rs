//! The command line as it is typed. Parsing only: what the words mean is decided by `config` and the commands.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::baseline::format_v1::MAX_STEP_CHARS;
use crate::github;
use crate::scenario::Rate;
use crate::verdict::Exit;

/// Fails a pull request that makes an HTTP service slower, and can't be pointed at production.
#[derive(Debug, Parser)]
#[command(
    name = "cargo loadgate",
    bin_name = "cargo loadgate",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = exit_codes(),
)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    #[command(flatten)]
    pub(super) run: RunArguments,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Resolve the target, clear it, drive the load, compare, report (the default)
    #[command(after_help = exit_codes())]
    Run(Box<RunArguments>),
    /// Show the whole story on this machine: a baseline, a pass, and a caught regression
    Demo(DemoArguments),
    /// Show how the target was derived and what each guard layer says; sends no load
    Target(TargetArguments),
    /// Check the set-up and say what to mend; sends no load
    Doctor(DoctorArguments),
    /// List, show, promote or prune stored measurements
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Serve the demo's preview on loopback, on the port in PORT
    #[command(hide = true)]
    DemoService {
        /// How much slower than usual it answers, such as 30%
        #[arg(long, value_name = "SHARE")]
        slower: Option<String>,
    },
}

/// Where the project is and how to talk about it; the meanings are cargo's.
#[derive(Debug, Clone, Args)]
pub(super) struct ProjectArguments {
    /// Package whose binary is the service
    #[arg(short, long, value_name = "SPEC")]
    pub(super) package: Option<String>,

    /// Look for the service in all packages of the workspace
    #[arg(long)]
    pub(super) workspace: bool,

    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub(super) manifest_path: Option<PathBuf>,
}

/// How much is said, and in which colours.
#[derive(Debug, Clone, Args)]
pub(super) struct OutputArguments {
    /// Colouring
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Colour::Auto)]
    pub(super) color: Colour,

    /// Print only errors and the verdict
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Print the guard's receipt and every chosen default
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// `run`
#[derive(Debug, Clone, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) project: ProjectArguments,

    /// Load a service that already listens on this machine's loopback, and only there
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) local: Option<u16>,

    /// Run only this scenario; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(super) scenario: Vec<String>,

    /// Connections to keep open
    #[arg(short, long, value_name = "N", value_parser = connections)]
    pub(super) connections: Option<NonZeroU32>,

    /// Measured time, such as 30s or 5m
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(super) duration: Option<Duration>,

    /// Requests per second, whatever the answers do (open loop)
    #[arg(short = 'R', long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<Rate>,

    /// Threads that generate load
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub(super) threads: Option<NonZeroUsize>,

    /// Script in wrk's Lua that makes the requests
    #[arg(short, long, value_name = "FILE")]
    pub(super) script: Option<PathBuf>,

    /// Value of a parameter that [[script.param]] declares; may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) param: Vec<String>,

    /// Words for the script's init(args)
    #[arg(last = true, value_name = "WORD")]
    pub(super) script_arguments: Vec<String>,

    /// Header to send with every request, "Name: value"; may be given more than once
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub(super) header: Vec<String>,

    /// How long one request may take, such as 10s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) timeout: Option<Duration>,

    /// Print the latency distribution in detail
    #[arg(long)]
    pub(super) latency: bool,

    /// Store this measurement with the baselines
    #[arg(long)]
    pub(super) save_baseline: bool,

    /// Verdicts without an answer that shall fail the run: inconclusive, no-baseline
    #[arg(long, value_name = "VERDICT", value_delimiter = ',')]
    pub(super) fail_on: Vec<FailOnWord>,

    /// Do not post a comment on the pull request
    #[arg(long)]
    pub(super) no_comment: bool,

    /// Tells apart the comments of several gates on one pull request
    #[arg(long, value_name = "ID", default_value = "loadgate", value_parser = comment_id)]
    pub(super) id: String,

    /// Directory for the reports [default: target/loadgate]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// A verdict without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOnWord {
    /// The data cannot tell
    Inconclusive,
    /// There is nothing to compare with
    NoBaseline,
}

/// `demo`
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Directory for the reports [default: target/loadgate/demo]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// `target`
#[derive(Debug, Args)]
pub(super) struct TargetArguments {
    #[command(flatten)]
    pub(super) project: ProjectArguments,

    /// Explain a service on this machine's loopback instead of a preview
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) local: Option<u16>,

    /// Ask only the layers that need no network
    #[arg(long)]
    pub(super) offline: bool,

    /// Print the receipt as JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// `doctor`
#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    pub(super) project: ProjectArguments,

    /// Ask each production host of the policy for its marker: one GET each, which production should not answer
    #[arg(long)]
    pub(super) ask_production: bool,

    /// Print the findings as JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// `baseline`
#[derive(Debug, Subcommand)]
pub(super) enum BaselineCommand {
    /// List the stored runs
    List(StoreArguments),
    /// Show one stored run
    Show {
        /// A file of the store, or the beginning of its name
        run: String,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Store the last run's measurement, for example to accept an intended change of speed
    Promote {
        /// The measurement [default: target/loadgate/measurement.json]
        measurement: Option<PathBuf>,
        /// Begin a new history with it, and say why the change of speed is accepted
        #[arg(long, value_name = "REASON", value_parser = reason)]
        accept: Option<String>,
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Delete old runs
    Prune {
        /// Runs to keep of each scenario and environment
        #[arg(long, value_name = "N", default_value_t = 30)]
        keep: usize,
        /// Also delete runs older than this many days
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u32>,
        /// Only say what would be deleted
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        store: StoreArguments,
    },
}

/// Where the stored runs are.
#[derive(Debug, Args)]
pub(super) struct StoreArguments {
    #[command(flatten)]
    pub(super) project: ProjectArguments,

    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Returns argv in the one form that the parser knows: cargo passes the subcommand's own name along.
pub(super) fn without_cargo_prefix(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.get(1).is_some_and(|first| first == "loadgate") {
        arguments.remove(1);
    }
    arguments
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<Rate, String> {
    crate::config::parse_rate(text).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<String, String> {
    let is_sentence = !text.trim().is_empty()
        && text.chars().count() <= MAX_STEP_CHARS
        && !text.chars().any(char::is_control);
    if is_sentence {
        Ok(text.to_owned())
    } else {
        Err(format!("give a reason on one line, of at most {MAX_STEP_CHARS} characters"))
    }
}

fn comment_id(text: &str) -> Result<String, String> {
    if github::is_comment_id(text) {
        return Ok(text.to_owned());
    }
    Err("use 1 to 64 letters, digits, '.', '_' or '-', no two '-' together and none at the end".into())
}

fn connections(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("use a whole number from 1 to {}", crate::config::MAX_CONNECTIONS))
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("use a whole number from 1 to {}", crate::config::MAX_THREADS))
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn cargo_and_direct_spelling_are_the_same() {
        let by_cargo = ["cargo-loadgate", "loadgate", "run"].map(OsString::from);
        let direct = ["cargo-loadgate", "run"].map(OsString::from);

        assert_eq!(without_cargo_prefix(by_cargo.into_iter()), direct);
    }

    #[test]
    fn no_flag_or_word_can_name_a_url() {
        for hostile in [
            &["--url", "https://www.example.com"][..],
            &["https://www.example.com"],
            &["run", "https://x/"],
            &["run", "--force"],
        ] {
            let typed = std::iter::once("cargo-loadgate").chain(hostile.iter().copied());
            assert!(CommandLine::try_parse_from(typed).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn an_id_that_the_comment_cannot_carry_is_refused_before_any_load() {
        for hostile in ["", "a--b", "a-", "a b", "-->"] {
            let typed = ["cargo-loadgate".to_owned(), format!("--id={hostile}")];
            assert!(CommandLine::try_parse_from(typed).is_err(), "{hostile:?}");
        }
        assert!(CommandLine::try_parse_from(["cargo-loadgate", "--id=api-v1.2_x"]).is_ok());
    }

    #[test]
    fn a_count_that_is_none_is_answered_in_plain_words() {
        for typed in ["-c=0", "-c=99999999999", "-t=0", "-t=many"] {
            let error = CommandLine::try_parse_from(["cargo-loadgate", typed]).unwrap_err().to_string();
            assert!(error.contains("use a whole number from 1 to "), "{typed}: {error}");
        }
    }

    #[test]
    fn run_is_the_default_command() {
        let typed = ["cargo-loadgate", "--local", "8080", "-c", "50", "-d", "10s"];

        let line = CommandLine::try_parse_from(typed).unwrap();

        assert!(line.command.is_none());
        assert_eq!((line.run.local, line.run.connections), (Some(8080), NonZeroU32::new(50)));
        assert_eq!(line.run.duration, Some(Duration::from_secs(10)));
    }
}
