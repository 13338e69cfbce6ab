//! A worker's own script as a source of requests. Where the script is static, Lua is entered once and never again.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use mlua::Value;

use super::draft::Unsent;
use super::error::{ScriptError, one_of};
use super::legacy::Legacy;
use super::limits::Stage;
use super::plain::{Plains, globals};
use super::state::{Callbacks, State};
use super::{Shared, host};
use crate::request::{
    Answered, Chosen, Endpoint, Judgement, RequestSource, RequestSources, Seat, SourceFailure, Wire,
};

/// A longer delay than any run.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes each worker's source; it can be sent to the workers, while the script itself stays where it was loaded.
#[derive(Debug, Clone)]
pub struct ScriptSources(pub(super) Arc<Shared>);

impl RequestSources for ScriptSources {
    fn for_worker(&self, seat: Seat) -> Result<Box<dyn RequestSource>, SourceFailure> {
        let source = ScriptSource::start(&self.0, seat)?;
        Ok(Box::new(source))
    }
}

/// The script of one worker.
#[derive(Debug)]
pub(super) struct ScriptSource {
    state: State,
    shared: Arc<Shared>,
    seat: Seat,
    callbacks: Callbacks,
    /// The request of a script that never changes it.
    fixed: Option<Rc<Wire>>,
    /// The globals when the load began, where `done` will want to know what changed.
    before: Option<Plains>,
    address: Option<SocketAddr>,
    is_finished: bool,
    /// An error ends the run; answers that come meanwhile must not raise it again.
    has_failed: bool,
}

impl ScriptSource {
    /// Loads the script for a worker, gives it what `setup` decided, and runs `init`.
    pub(super) fn start(shared: &Arc<Shared>, seat: Seat) -> Result<Self, ScriptError> {
        let Shared { surroundings, compiled, watchdog, limits, .. } = &**shared;
        let state = State::load(surroundings, compiled, watchdog, *limits, Some(seat))?;
        let number = seat.worker as usize;
        let thread = shared.threads.get(number).cloned().unwrap_or_default();
        let machine =
            |error: mlua::Error| ScriptError::Machine(surroundings.plan.name.clone(), error.to_string());
        for (name, value) in &thread.assigned {
            let value = value.give(&state.cage.lua).map_err(machine)?;
            state.cage.env.raw_set(name.as_str(), value).map_err(machine)?;
        }
        let mut threads = vec![host::Thread::default(); number + 1];
        threads[number].address = thread.address;
        *state.host.threads.borrow_mut() = threads;
        state.host.is_stopped.set(thread.is_stopped);
        let mut source = Self {
            state,
            shared: Arc::clone(shared),
            seat,
            callbacks: Callbacks::default(),
            fixed: None,
            before: None,
            address: thread.address,
            is_finished: false,
            has_failed: false,
        };
        source.begin()?;
        Ok(source)
    }

    fn begin(&mut self) -> Result<(), ScriptError> {
        let plan = &self.shared.surroundings.plan;
        let machine = |error: mlua::Error| ScriptError::Machine(plan.name.clone(), error.to_string());
        let arguments = self.state.cage.lua.create_table().map_err(machine)?;
        let url = format!("{}{}", self.shared.surroundings.origin, self.shared.surroundings.request.path());
        let words = std::iter::once(&url).chain(&plan.arguments);
        for (index, word) in words.enumerate() {
            arguments.raw_set(index, word.as_str()).map_err(machine)?;
        }
        self.state.enter::<()>(Stage::Init, "init", arguments)?;
        self.callbacks = self.state.callbacks();
        if !self.callbacks.request {
            self.state.static_request()?;
            let mut wire = Wire::default();
            self.put(Stage::Init, &mut wire)?;
            self.fixed = Some(Rc::new(wire));
        }
        self.before = self.shared.wants_globals.then(|| globals(&self.state.cage.env));
        Ok(())
    }

    /// Tries once everything that happens before the first byte is sent, in a state that is then thrown away.
    pub(super) fn probe(mut self) -> Result<(), ScriptError> {
        self.is_finished = true;
        if self.callbacks.delay {
            self.wait()?;
        }
        self.choose(&mut Rc::default()).map(|_| ())
    }

    fn choose(&mut self, wire: &mut Rc<Wire>) -> Result<Chosen, ScriptError> {
        let host = Rc::clone(&self.state.host);
        match &self.fixed {
            Some(fixed) => {
                if !Rc::ptr_eq(fixed, wire) {
                    *wire = Rc::clone(fixed);
                }
            }
            None => {
                self.state.request()?;
                self.put(Stage::Request, Rc::make_mut(wire))?;
            }
        }
        let endpoint = Endpoint(host.endpoint.take().unwrap_or(0));
        Ok(Chosen { endpoint, interest: self.callbacks.interest, ..Chosen::default() })
    }

    /// Puts what the script returned into a wire; nothing of it is sent on any doubt.
    fn put(&self, stage: Stage, wire: &mut Wire) -> Result<(), ScriptError> {
        let sent = self.state.host.draft.borrow_mut().send(wire);
        sent.map_err(|unsent| {
            let name = self.shared.surroundings.plan.name.clone();
            match unsent {
                Unsent::Returned(what) => ScriptError::Returned(stage, name, what),
                Unsent::Refused(error) => ScriptError::Request(stage, name, error),
            }
        })
    }

    fn wait(&self) -> Result<Duration, ScriptError> {
        let value = self.state.delay()?;
        let milliseconds = match &value {
            Value::Integer(number) => Some(*number as f64),
            Value::Number(number) => Some(*number),
            // As in Lua, a text of digits is a number.
            Value::String(text) => text.to_string_lossy().trim().parse().ok(),
            _ => None,
        };
        let Some(milliseconds) = milliseconds.filter(|number: &f64| number.is_finite() && *number >= 0.0)
        else {
            let shown = milliseconds.map_or_else(|| one_of(value.type_name()), |number| number.to_string());
            return Err(ScriptError::Returned(
                Stage::Delay,
                self.shared.surroundings.plan.name.clone(),
                shown,
            ));
        };
        Ok(Duration::try_from_secs_f64(milliseconds / 1_000.0).unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY))
    }

    /// Notes an error: Lua is not entered again after it.
    fn note<T>(&mut self, outcome: Result<T, ScriptError>) -> Result<T, SourceFailure> {
        self.has_failed |= outcome.is_err();
        Ok(outcome?)
    }

    fn judge(&self, answer: &Answered<'_>) -> Result<Judgement, ScriptError> {
        let host = &self.state.host;
        self.state.response(answer, self.callbacks.interest)?;
        Ok(Judgement {
            is_failed: host.has_failed.replace(false),
            endpoint: host.endpoint.take().map(Endpoint),
            stops_worker: host.is_stopped.get(),
            ..Judgement::default()
        })
    }
}

impl RequestSource for ScriptSource {
    fn next(&mut self, _line: usize, wire: &mut Rc<Wire>) -> Result<Option<Chosen>, SourceFailure> {
        if self.has_failed || self.state.host.is_stopped.get() {
            return Ok(None);
        }
        let chosen = self.choose(wire);
        self.note(chosen).map(Some)
    }

    fn is_instant(&self) -> bool {
        self.fixed.is_some() && !self.callbacks.delay
    }

    fn has_endpoints(&self) -> bool {
        // Known before the first tag is set: a script that never names it has none.
        memmem::find(&self.shared.surroundings.plan.text, b"tag").is_some()
    }

    fn answered(&mut self, _chosen: Chosen, answer: &Answered<'_>) -> Result<Judgement, SourceFailure> {
        if self.has_failed {
            return Ok(Judgement::default());
        }
        let judgement = self.judge(answer);
        self.note(judgement)
    }

    fn may_pause(&self) -> bool {
        self.callbacks.delay
    }

    fn pause(&mut self, _line: usize) -> Result<Duration, SourceFailure> {
        if self.has_failed || !self.callbacks.delay {
            return Ok(Duration::ZERO);
        }
        let pause = self.wait();
        self.note(pause)
    }

    fn endpoints(&self) -> Vec<String> {
        // Number 0 is what no tag named.
        if self.has_endpoints() { self.state.host.endpoints.borrow().clone() } else { Vec::new() }
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let host = &self.state.host;
        self.shared.leave(Legacy {
            worker: self.seat.worker,
            before: self.before.take().unwrap_or_default(),
            globals: if self.shared.wants_globals { globals(&self.state.cage.env) } else { Plains::new() },
            output: host.take_output(),
            sinks: host.sinks.take(),
            checks: host.checks.take(),
            tokens: host.tokens.borrow().values().cloned().collect(),
        });
    }

    fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl Drop for ScriptSource {
    /// What a failing script printed is what explains it.
    fn drop(&mut self) {
        self.finish();
    }
}
