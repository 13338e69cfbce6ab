//! A script plan is everything that a user's script may have: its text, and what it may read, write and be told.
//!
//! `config` gathers it before the run, so that nothing is opened while a script runs; `script` carries it out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Placeholders;

/// The largest script or module; the compiler's own memory has no other limit.
pub const MAX_SCRIPT_BYTES: usize = 256 * 1024;

/// The most requests that a script may send in one go, whatever is declared.
pub const MAX_PIPELINE: u32 = 64;

/// A script and what was declared for it.
#[derive(Clone, PartialEq)]
pub struct ScriptPlan {
    /// Its path as the user wrote it; messages begin with it.
    pub name: String,
    /// Its source.
    pub text: Vec<u8>,
    /// The words after `--`, for `init(args)`.
    pub arguments: Vec<String>,
    /// The typed parameters for `wrk.param`.
    pub params: Vec<ScriptParam>,
    /// The variables that it may read, with their values where they are set.
    pub environment: BTreeMap<String, Option<String>>,
    /// The data files that it may read, by their declared paths.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// The modules that it may require, by their declared paths.
    pub modules: BTreeMap<String, Vec<u8>>,
    /// The names that it may write to.
    pub sinks: Vec<String>,
    /// The most requests that one call of `request` may return.
    pub pipeline: u32,
    /// What `math.random` is seeded with.
    pub seed: u32,
    /// The secrets that it may name.
    pub placeholders: Placeholders,
    /// The headers of answers whose values it sees as placeholders, in lower case.
    pub sensitive_headers: Vec<String>,
}

/// The headers in which services hand out tokens; the default of [`ScriptPlan::sensitive_headers`].
pub const SENSITIVE_HEADERS: [&str; 10] = [
    "set-cookie",
    "authorization",
    "proxy-authorization",
    "x-csrf-token",
    "x-xsrf-token",
    "csrf-token",
    "x-auth-token",
    "x-access-token",
    "x-session-token",
    "x-api-key",
];

impl ScriptPlan {
    /// Returns a plan that declares nothing.
    #[must_use]
    pub fn bare(name: &str, text: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            arguments: Vec::new(),
            params: Vec::new(),
            environment: BTreeMap::new(),
            files: BTreeMap::new(),
            modules: BTreeMap::new(),
            sinks: Vec::new(),
            pipeline: 1,
            seed: 0,
            placeholders: Placeholders::default(),
            sensitive_headers: SENSITIVE_HEADERS.map(str::to_owned).to_vec(),
        }
    }
}

impl fmt::Debug for ScriptPlan {
    /// Shows no value: variables, data and arguments may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptPlan")
            .field("name", &self.name)
            .field("pipeline", &self.pipeline)
            .finish_non_exhaustive()
    }
}

/// A value that reaches a script as data.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptParam {
    /// Its name.
    pub name: String,
    /// What it must be.
    pub kind: ParamKind,
    /// Its value.
    pub value: String,
}

/// What a parameter must be.
#[derive(Debug, Clone, PartialEq)]
pub enum ParamKind {
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// One of a list.
    Choice(Vec<String>),
    /// A text.
    Text {
        /// The most bytes it may have.
        max_bytes: usize,
        /// A Lua pattern that must match all of it.
        pattern: Option<String>,
    },
}
