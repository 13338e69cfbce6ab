//! A state is a script that was loaded once: its cage, and the calls that go into it under the watchdog's eyes.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, Value};

use super::cage::{Cage, Compiled, load};
use super::error::{ScriptError, message_of};
use super::host::{Host, Surroundings};
use super::limits::{ScriptLimits, Stage};
use super::params;
use super::raw::Shown;
use super::thrift::Thrift;
use super::watchdog::Watchdog;
use crate::request::{Answered, Interest, Seat};

/// What the script defines, asked once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Callbacks {
    pub(super) request: bool,
    pub(super) delay: bool,
    pub(super) done: bool,
    /// What `response` can see.
    pub(super) interest: Interest,
}

/// One loaded script.
#[derive(Debug)]
pub(super) struct State {
    pub(super) cage: Cage,
    pub(super) host: Rc<Host>,
    limits: ScriptLimits,
    modules: Vec<String>,
    delay: Function,
    thrift: Thrift,
}

impl State {
    /// Builds the cage and runs the script's text in it.
    pub(super) fn load(
        surroundings: &Arc<Surroundings>,
        compiled: &Arc<Compiled>,
        watchdog: &Watchdog,
        limits: ScriptLimits,
        seat: Option<Seat>,
    ) -> Result<Self, ScriptError> {
        let plan = &surroundings.plan;
        let machine = |error: mlua::Error| ScriptError::Machine(plan.name.clone(), error.to_string());
        let host = Host::new(Arc::clone(surroundings), watchdog.watch(), seat);
        let cage = Cage::build(&host, compiled, limits.memory_bytes).map_err(machine)?;
        // The workers' states come after the main one, and have the same parameters.
        if seat.is_none() {
            params::check(plan, &cage.lua)?;
        }
        let delay = cage.entrances.raw_get("delay").map_err(machine)?;
        let modules = plan.modules.keys().cloned().collect();
        let text = load(&cage.lua, &plan.name, &compiled.script).map_err(machine)?;
        let thrift = Thrift::new(limits.memory_bytes);
        let state = Self { cage, host, limits, modules, delay, thrift };
        state.call::<()>(Stage::Text, &text, ())?;
        Ok(state)
    }

    /// Returns what the script defines now.
    pub(super) fn callbacks(&self) -> Callbacks {
        let function = |name: &str| self.cage.env.raw_get::<Function>(name).ok();
        let interest =
            function("response").map(|response| response.info()).map_or(Interest::Nothing, |info| match info
                .num_params
            {
                _ if info.is_vararg => Interest::Body,
                0 | 1 => Interest::Status,
                2 => Interest::Head,
                _ => Interest::Body,
            });
        Callbacks {
            request: function("request").is_some(),
            delay: function("delay").is_some(),
            done: function("done").is_some(),
            interest,
        }
    }

    /// Calls an entrance by its name.
    pub(super) fn enter<R: FromLuaMulti>(
        &self,
        stage: Stage,
        entrance: &str,
        arguments: impl IntoLuaMulti,
    ) -> Result<R, ScriptError> {
        let function: Function =
            self.cage.entrances.raw_get(entrance).map_err(|error| self.failure(stage, &error))?;
        self.call(stage, &function, arguments)
    }

    /// Asks for the next requests, which are then the host's draft.
    pub(super) fn request(&self) -> Result<(), ScriptError> {
        self.call(Stage::Request, &self.cage.request, ())
    }

    /// Asks for the one request that never changes; it is then the host's draft.
    pub(super) fn static_request(&self) -> Result<(), ScriptError> {
        self.enter::<()>(Stage::Init, "text", ())?;
        self.host.draft.borrow_mut().choose();
        Ok(())
    }

    /// Asks how long to wait.
    pub(super) fn delay(&self) -> Result<Value, ScriptError> {
        self.call(Stage::Delay, &self.delay, ())
    }

    /// Shows an answer.
    pub(super) fn response(&self, answer: &Answered<'_>, interest: Interest) -> Result<(), ScriptError> {
        let has_headers = interest >= Interest::Head;
        if has_headers {
            self.host.headers.borrow_mut().copy_from(answer.headers);
        }
        let body = (interest == Interest::Body).then_some(answer.body);
        let shown = Shown { status: answer.status, has_headers, body };
        self.watched(Stage::Response, || self.cage.response.show(&shown))
    }

    fn call<R: FromLuaMulti>(
        &self,
        stage: Stage,
        function: &Function,
        arguments: impl IntoLuaMulti,
    ) -> Result<R, ScriptError> {
        self.watched(stage, || function.call::<R>(arguments))
    }

    fn watched<R>(&self, stage: Stage, call: impl FnOnce() -> mlua::Result<R>) -> Result<R, ScriptError> {
        let watch = &self.host.watch;
        self.host.begin_call();
        self.thrift.prepare(&self.cage.lua, stage);
        watch.enter(stage);
        let outcome = call();
        watch.leave();
        match outcome {
            Ok(value) if !watch.must_stop() => Ok(value),
            Ok(_) => Err(self.stopped(stage)),
            Err(error) => Err(self.failure(stage, &error)),
        }
    }

    fn stopped(&self, stage: Stage) -> ScriptError {
        let name = self.host.plan().name.clone();
        match &*self.host.aborted.borrow() {
            Some(why) if !self.host.watch.was_overdue() => ScriptError::Aborted(stage, name, why.clone()),
            _ => ScriptError::Deadline(stage, name, self.limits.deadline(stage)),
        }
    }

    fn failure(&self, stage: Stage, error: &mlua::Error) -> ScriptError {
        if self.host.watch.must_stop() {
            return self.stopped(stage);
        }
        let name = &self.host.plan().name;
        if is_memory(error) {
            return ScriptError::Memory(stage, name.clone(), self.limits.memory_bytes / 1024 / 1024);
        }
        let mut names = vec![name.as_str()];
        names.extend(self.modules.iter().map(String::as_str));
        let host = &self.host;
        // Before it is cut short: the rest of a secret would not be known as one.
        let unveiled = |text: &str| String::from_utf8_lossy(&host.unveiled(text.as_bytes())).into_owned();
        ScriptError::Failed(stage, message_of(error, &names, unveiled))
    }
}

/// Makes a value without the limit of memory, for texts whose size is bounded otherwise.
///
/// With a limit set, every making of a string is a protected call, which costs more than the string. The limit comes
/// back before any of the script's own code runs.
pub(super) fn unlimited<T>(lua: &Lua, make: impl FnOnce(&Lua) -> mlua::Result<T>) -> mlua::Result<T> {
    let limit = lua.set_memory_limit(0)?;
    let made = make(lua);
    lua.set_memory_limit(limit)?;
    made
}

fn is_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } => is_memory(cause),
        mlua::Error::RuntimeError(message) => message.starts_with("not enough memory"),
        _ => false,
    }
}
