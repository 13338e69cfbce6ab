//! The cage is a state of Lua in which nothing but the documented names can be reached.
//!
//! The order matters: what could hurt is removed and what scripts need is put in its place, then everything global is
//! frozen, then `wrk` comes in, which scripts may write to, then the memory limit, and only then the script's text.
//! Text alone is taken: code in compiled form would be believed without a check.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, Table, VmState};

use super::error::ScriptError;
use super::host::Host;
use super::natives;
use super::raw::{self, Entrance, Leash};
use crate::request::{MAX_SCRIPT_BYTES, ScriptPlan};

/// The name of the host's own Lua in places and tracebacks.
pub(super) const OWN_CHUNK: &str = "loadgate";

const BASE: &str = include_str!("lua/base.luau");
const WRK: &str = include_str!("lua/wrk.luau");

/// Tables whose fields change while scripts run: the compiler must not remember what they held at first.
const CHANGING: [&str; 3] = ["wrk", "package", "_G"];

/// Everything in compiled form; each state loads the same.
#[derive(Debug)]
pub(super) struct Compiled {
    base: Vec<u8>,
    wrk: Vec<u8>,
    pub(super) script: Vec<u8>,
    modules: BTreeMap<String, Vec<u8>>,
}

impl Compiled {
    /// Compiles a script and its modules.
    pub(super) fn compile(plan: &ScriptPlan) -> Result<Self, ScriptError> {
        check_size(&plan.name, &plan.text)?;
        plan.modules.iter().try_for_each(|(path, text)| check_size(path, text))?;
        let own = |source: &str| compile(OWN_CHUNK, source.as_bytes(), 2);
        let mut modules = BTreeMap::new();
        for (path, text) in &plan.modules {
            // A module meets globals that the script has made already; without optimization none is remembered.
            modules.insert(path.clone(), compile(path, text, 0)?);
        }
        Ok(Self { base: own(BASE)?, wrk: own(WRK)?, script: compile(&plan.name, &plan.text, 1)?, modules })
    }

    /// Returns path and code of the module that a script requires as `load/lib/gen`, `lib.gen` or `gen`.
    pub(super) fn module(&self, name: &str) -> Option<(&str, &[u8])> {
        let wanted = name.trim_start_matches("./").trim_end_matches(".lua").replace('.', "/");
        let stem = |path: &str| {
            path.trim_start_matches("./").trim_end_matches(".lua").trim_end_matches(".luau").to_owned()
        };
        let exact = self.modules.iter().find(|(path, _)| stem(path) == wanted);
        let ending = format!("/{wanted}");
        let mut alike = self.modules.iter().filter(|(path, _)| stem(path).ends_with(&ending));
        let found = exact.or_else(|| alike.next().filter(|_| alike.next().is_none()));
        found.map(|(path, code)| (path.as_str(), code.as_slice()))
    }
}

/// The compiler's memory and time have no other bound than the length of what it is given.
fn check_size(name: &str, text: &[u8]) -> Result<(), ScriptError> {
    if text.len() > MAX_SCRIPT_BYTES {
        return Err(ScriptError::TooLarge { name: name.to_owned(), bytes: text.len() });
    }
    Ok(())
}

fn compile(name: &str, text: &[u8], optimization: u8) -> Result<Vec<u8>, ScriptError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    // As Lua's own loader has it: a first line that begins with '#' is for the system's shell.
    let text = if text.first() == Some(&b'#') { [b"--", text].concat().into() } else { Cow::Borrowed(text) };
    let compiler = Compiler::new().set_optimization_level(optimization).set_debug_level(1);
    compiler.set_mutable_globals(CHANGING).compile(text).map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => {
            // The message begins with the line.
            let message: String = message.lines().next().unwrap_or_default().chars().take(300).collect();
            ScriptError::Syntax(format!("{name}:{message}"))
        }
        other => ScriptError::Machine(name.to_owned(), other.to_string()),
    })
}

/// Loads code that [`Compiled`] holds.
pub(super) fn load(lua: &Lua, name: &str, code: &[u8]) -> mlua::Result<Function> {
    // The code is this process's own: `compile` made it from text.
    lua.load(code).set_name(format!("={name}")).set_mode(ChunkMode::Binary).into_function()
}

/// A state that is ready for the script's text.
#[derive(Debug)]
pub(super) struct Cage {
    _leash: Leash,
    pub(super) lua: Lua,
    /// Where the script's globals live.
    pub(super) env: Table,
    /// The functions through which the host enters.
    pub(super) entrances: Table,
    /// Those that every request passes.
    pub(super) request: Function,
    pub(super) response: Entrance,
}

impl Cage {
    /// Builds one.
    pub(super) fn build(
        host: &Rc<Host>,
        compiled: &Arc<Compiled>,
        memory_bytes: usize,
    ) -> mlua::Result<Self> {
        let lua = Lua::new();
        let natives = natives::table(&lua, host, compiled)?;
        let base: Table = load(&lua, OWN_CHUNK, &compiled.base)?.call((lua.globals(), &natives))?;
        lua.sandbox(true)?;
        let env = lua.globals();
        let entrances: Table = load(&lua, OWN_CHUNK, &compiled.wrk)?.call((&env, &base, natives))?;
        let request = raw::request_entrance(&lua, host, &env)?;
        let of_headers = [base.raw_get("Headers")?, base.raw_get("current")?, base.raw_get("wanted")?];
        let response = raw::response_entrance(&lua, host, &env, of_headers)?;
        let watch = Arc::clone(&host.watch);
        lua.set_interrupt(move |_| {
            if watch.must_stop() {
                Err(mlua::Error::runtime("the script was stopped"))
            } else {
                Ok(VmState::Continue)
            }
        });
        let leash = host.watch.alarm.leash(&lua)?;
        lua.set_memory_limit(memory_bytes)?;
        Ok(Self { _leash: leash, lua, env, entrances, request, response })
    }
}
