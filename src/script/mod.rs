//! Room `script`: runs the user's Lua, written for wrk, where it can hurt nobody.
//!
//! A [`Script`] is loaded before the run, in a state of its own for `setup` and `done`; [`Script::sources`] gives each
//! worker one more. It meets `load` only as [`RequestSources`](crate::request::RequestSources). What a script may
//! have stands in its [`ScriptPlan`]; nothing is opened or resolved on its behalf.

mod cage;
mod done;
mod draft;
mod error;
mod feed;
mod host;
mod json;
mod legacy;
mod limits;
mod natives;
mod number;
mod params;
mod plain;
#[expect(unsafe_code, reason = "what every request passes costs half without a handle for each value")]
mod raw;
mod source;
mod state;
mod thrift;
mod veil;
mod watchdog;
mod word;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mlua::MultiValue;

use self::cage::Compiled;
use self::host::{Surroundings, Thread};
use self::legacy::Legacy;
use self::source::ScriptSource;
use self::state::State;
use self::watchdog::Watchdog;
use crate::measurement::Measurement;
use crate::request::{RawRules, Request, ScriptPlan, Seat};
use crate::secret::Secret;
use crate::target::Origin;

pub use self::error::ScriptError;
pub use self::host::Tally;
pub use self::limits::{ScriptLimits, Stage};
pub use self::source::ScriptSources;
pub use self::watchdog::LastResort;

/// What a script is loaded with.
#[derive(Clone)]
pub struct ScriptOrders<'a> {
    /// The script and what was declared for it.
    pub plan: &'a Arc<ScriptPlan>,
    /// What `wrk.method`, `wrk.path`, `wrk.headers` and `wrk.body` begin as.
    pub request: &'a Request,
    /// The cleared target.
    pub origin: &'a Origin,
    /// Its pinned addresses.
    pub addresses: &'a [SocketAddr],
    /// How many workers there will be; `setup` is called once for each.
    pub workers: u32,
    /// What the script may cost.
    pub limits: ScriptLimits,
    /// What to do with a call that cannot be stopped.
    pub last_resort: LastResort,
}

/// What the workers share with the main state.
#[derive(Debug)]
struct Shared {
    surroundings: Arc<Surroundings>,
    compiled: Arc<Compiled>,
    watchdog: Watchdog,
    limits: ScriptLimits,
    /// What `setup` decided.
    threads: Vec<Thread>,
    /// Whether `done` will ask what became of the workers' globals.
    wants_globals: bool,
    legacies: Mutex<Vec<Legacy>>,
}

impl Shared {
    fn leave(&self, legacy: Legacy) {
        self.legacies.lock().unwrap_or_else(PoisonError::into_inner).push(legacy);
    }
}

/// A script that is ready for one run.
#[derive(Debug)]
pub struct Script {
    main: State,
    shared: Arc<Shared>,
    workers: u32,
    output: Vec<u8>,
    sinks: BTreeMap<String, Vec<u8>>,
    checks: BTreeMap<String, Tally>,
    tokens: Vec<Secret>,
}

impl Script {
    /// Compiles a script, runs its text and `setup`, and tries a worker's first steps; no socket is opened.
    ///
    /// # Errors
    /// Whatever would end the run at its beginning.
    pub fn load(orders: &ScriptOrders<'_>) -> Result<Self, ScriptError> {
        let plan = orders.plan;
        let compiled = Arc::new(Compiled::compile(plan)?);
        let watchdog = Watchdog::start(plan.name.clone(), orders.limits, Arc::clone(&orders.last_resort))
            .map_err(|error| ScriptError::Machine(plan.name.clone(), error.to_string()))?;
        let surroundings = Arc::new(Surroundings {
            plan: Arc::clone(plan),
            origin: orders.origin.clone(),
            addresses: orders.addresses.to_vec(),
            rules: rules(orders),
            request: orders.request.clone(),
            feeds: feed::Feeds::default(),
        });
        let main = State::load(&surroundings, &compiled, &watchdog, orders.limits, None)?;
        *main.host.first_globals.borrow_mut() = plain::globals(&main.cage.env);
        *main.host.threads.borrow_mut() = vec![Thread::default(); orders.workers as usize];
        main.enter::<()>(Stage::Setup, "setup", orders.workers)?;
        let shared = Arc::new(Shared {
            surroundings,
            compiled,
            watchdog,
            limits: orders.limits,
            threads: main.host.threads.borrow().clone(),
            wants_globals: main.callbacks().done,
            legacies: Mutex::default(),
        });
        // In a state of its own, so that no counter of the script skips one.
        ScriptSource::start(&shared, Seat { worker: 0, workers: orders.workers, lines: 1 })?.probe()?;
        Ok(Self {
            main,
            shared,
            workers: orders.workers,
            output: Vec::new(),
            sinks: BTreeMap::new(),
            checks: BTreeMap::new(),
            tokens: Vec::new(),
        })
    }

    /// Returns what makes the workers' sources.
    #[must_use]
    pub fn sources(&self) -> ScriptSources {
        ScriptSources(Arc::clone(&self.shared))
    }

    /// Gathers what the workers left and calls `done`, where the script defines it.
    ///
    /// # Errors
    /// What went wrong in `done`; the measurement is what it is.
    pub fn done(&mut self, measurement: &Measurement) -> Result<(), ScriptError> {
        self.gather();
        let legacies =
            std::mem::take(&mut *self.shared.legacies.lock().unwrap_or_else(PoisonError::into_inner));
        let machine = |error: mlua::Error| {
            ScriptError::Machine(self.shared.surroundings.plan.name.clone(), error.to_string())
        };
        if self.main.callbacks().done {
            legacy::hand_over(&self.main, &legacies).map_err(machine)?;
            let arguments =
                done::arguments(&self.main.cage.lua, measurement, self.workers).map_err(machine)?;
            self.main.enter::<()>(Stage::Done, "done", MultiValue::from_vec(arguments))?;
        }
        Ok(())
    }

    /// Takes what was printed, written and checked so far, workers in order.
    fn gather(&mut self) {
        self.output.append(&mut self.main.host.take_output());
        let mut legacies = self.shared.legacies.lock().unwrap_or_else(PoisonError::into_inner);
        legacies.sort_by_key(|legacy| legacy.worker);
        for legacy in &mut *legacies {
            self.tokens.append(&mut legacy.tokens);
            self.output.append(&mut legacy.output);
            for (name, mut text) in std::mem::take(&mut legacy.sinks) {
                self.sinks.entry(name).or_default().append(&mut text);
            }
            for (name, tally) in std::mem::take(&mut legacy.checks) {
                let all = self.checks.entry(name).or_default();
                all.met += tally.met;
                all.failed += tally.failed;
            }
        }
    }

    /// Takes the secrets that answers brought: the last ones of each worker, to be kept out of what is shown.
    #[must_use]
    pub fn take_tokens(&mut self) -> Vec<Secret> {
        self.gather();
        std::mem::take(&mut self.tokens)
    }

    /// Takes what the script has printed, workers in order; its text is the script's, so it must not be shown as it is.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        self.gather();
        std::mem::take(&mut self.output)
    }

    /// Takes what the script has written into its sinks.
    #[must_use]
    pub fn take_sinks(&mut self) -> BTreeMap<String, Vec<u8>> {
        for (name, mut text) in self.main.host.sinks.take() {
            self.sinks.entry(name).or_default().append(&mut text);
        }
        std::mem::take(&mut self.sinks)
    }

    /// Returns how often each check was met and failed; complete after [`Script::done`].
    #[must_use]
    pub fn checks(&self) -> &BTreeMap<String, Tally> {
        &self.checks
    }
}

/// Returns what requests of a script may be: to the cleared target, and nothing else.
fn rules(orders: &ScriptOrders<'_>) -> RawRules {
    let authority = orders.origin.authority();
    let mut synonyms = vec![orders.origin.host.clone()];
    if orders.addresses.iter().all(|address| address.ip().is_loopback()) {
        // Scripts for a service of one's own machine spell it in all these ways; what is sent is the authority.
        for name in ["localhost", "127.0.0.1", "[::1]"] {
            synonyms.extend([name.to_owned(), format!("{name}:{}", orders.origin.port)]);
        }
    }
    RawRules {
        authority,
        synonyms,
        most: orders.plan.pipeline as usize,
        placeholders: orders.plan.placeholders.clone(),
    }
}
