//! What can be wrong with a script, in words that name its file and line, and what to do about it.

use std::time::Duration;

use super::limits::{MAX_SHOWN_ERROR_BYTES, Stage};
use crate::request::{MAX_SCRIPT_BYTES, RawError, SourceFailure};

/// Why a script cannot go on; the run ends with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A script or module is longer than the compiler is given.
    #[error("{name} has {bytes} bytes, more than {MAX_SCRIPT_BYTES}")]
    TooLarge {
        /// Its path.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// A script or module is not Lua.
    #[error("{0}")]
    Syntax(String),
    /// A parameter's value is not what it must be.
    #[error("parameter `{name}` of {script} {why}")]
    Param {
        /// The script.
        script: String,
        /// The parameter.
        name: String,
        /// What is wrong with it; never its value.
        why: String,
    },
    /// A callback raised an error.
    #[error("{0}: {1}")]
    Failed(Stage, String),
    /// A callback gave something that cannot be used.
    #[error("{0} of {1} returned {2}")]
    Returned(Stage, String, String),
    /// A request must not be sent.
    #[error("{0} of {1} returned a request that is refused: {2}")]
    Request(Stage, String, RawError),
    /// A callback did not end in time.
    #[error("{0} of {1} was stopped after {2:?}")]
    Deadline(Stage, String, Duration),
    /// A script needs more memory than it may have.
    #[error("{0} of {1} needs more than {2} MiB of memory")]
    Memory(Stage, String, usize),
    /// The script ended the run itself.
    #[error("{0} of {1} ended the run: {2}")]
    Aborted(Stage, String, String),
    /// The system or the library refused a state.
    #[error("cannot start the script {0}: {1}")]
    Machine(String, String),
}

impl ScriptError {
    /// Returns what to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::TooLarge { .. } => "move data out of the script into files that `data` declares".into(),
            Self::Syntax(_) => "mend the script at this line; the dialect is Luau, which has no goto".into(),
            Self::Param { .. } => "give a value that fits the [[script.param]]".into(),
            Self::Failed(..) => "mend it at this place".into(),
            Self::Aborted(..) => "look at why the script calls wrk.abort or os.exit".into(),
            Self::Returned(Stage::Delay, ..) => "return milliseconds, such as 50".into(),
            Self::Returned(..) => "return the text that wrk.format gives".into(),
            Self::Request(_, _, error) => error.help().into(),
            Self::Deadline(..) => {
                "end every loop; long work belongs into init() or a step before the run".into()
            }
            Self::Memory(..) => "keep less: count instead of collecting, and read data with wrk.feed".into(),
            Self::Machine(..) => "look at the memory limits of this machine".into(),
        }
    }
}

impl From<ScriptError> for SourceFailure {
    fn from(error: ScriptError) -> Self {
        Self { what: error.to_string(), help: error.help() }
    }
}

/// Names a value by its kind of Lua: `a table`, and `nothing` for nil.
pub(super) fn one_of(kind: &str) -> String {
    if kind == "nil" { "nothing".to_owned() } else { format!("a {kind}") }
}

/// What an error of the library says: its message in one line with the script's own place in front.
pub(super) fn message_of(
    error: &mlua::Error,
    names: &[&str],
    unveiled: impl FnOnce(&str) -> String,
) -> String {
    let mut text = String::new();
    gather(error, &mut text);
    let text = unveiled(&text);
    let (message, trace) = text.split_once("\nstack traceback:").unwrap_or((&text, ""));
    let message = without_own_place(message.trim_start_matches("runtime error: "));
    let first_line = message.lines().next().unwrap_or_default();
    let is_placed =
        |line: &str| names.iter().any(|name| line.strip_prefix(name).is_some_and(|r| r.starts_with(':')));
    let mut shown: String = first_line.chars().take(MAX_SHOWN_ERROR_BYTES).collect();
    if !is_placed(first_line) {
        let frame = trace.lines().map(str::trim).find(|line| is_placed(line));
        if let Some(place) = frame.and_then(place_of) {
            shown = format!("{place}: {shown}");
        }
    }
    shown
}

fn gather(error: &mlua::Error, text: &mut String) {
    match error {
        mlua::Error::CallbackError { traceback, cause } => {
            gather(cause, text);
            text.push_str("\nstack traceback:\n");
            text.push_str(traceback);
        }
        mlua::Error::RuntimeError(message) | mlua::Error::MemoryError(message) => text.push_str(message),
        mlua::Error::SyntaxError { message, .. } => text.push_str(message),
        other => text.push_str(&other.to_string()),
    }
}

/// The host's own Lua names no place that would help anybody.
fn without_own_place(message: &str) -> &str {
    let Some(rest) = message.strip_prefix(super::cage::OWN_CHUNK).and_then(|rest| rest.strip_prefix(':'))
    else {
        return message;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[digits..].strip_prefix(": ").unwrap_or(rest)
}

/// Returns `file:line` of a traceback's line.
fn place_of(frame: &str) -> Option<&str> {
    let colon = frame.find(':')?;
    let digits = frame[colon + 1..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &frame[..colon + 1 + digits])
}
