//! Scripts against the room alone: no sockets here, because a script never has one.

mod api;
mod bad_input;
mod cage;
mod corpus;
mod hostile;
mod limits;
mod raw;
mod secrets;
mod speed;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::measurement::{OutcomeClass, Round};
use crate::request::{Answered, Chosen, Headers, RequestSource, RequestSources, SourceFailure, Wire};
use crate::scenario::ScenarioName;
use crate::target::Scheme;

/// What tests load scripts with.
pub(super) struct Bench {
    pub(super) plan: ScriptPlan,
    pub(super) request: Request,
    pub(super) limits: ScriptLimits,
    pub(super) workers: u32,
    pub(super) last_resort: LastResort,
}

impl Bench {
    pub(super) fn of(text: &str) -> Self {
        Self {
            plan: ScriptPlan::bare("load/test.lua", text.as_bytes()),
            request: Request::get("/").unwrap(),
            limits: ScriptLimits {
                callback: Duration::from_millis(100),
                stage: Duration::from_millis(100),
                hard: Duration::from_secs(60),
                ..ScriptLimits::default()
            },
            workers: 2,
            last_resort: Arc::new(|_| {}),
        }
    }

    pub(super) fn load(&self) -> Result<Script, ScriptError> {
        Script::load(&ScriptOrders {
            plan: &Arc::new(self.plan.clone()),
            request: &self.request,
            origin: &Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 8080 },
            addresses: &["127.0.0.1:8080".parse().unwrap()],
            workers: self.workers,
            limits: self.limits,
            last_resort: Arc::clone(&self.last_resort),
        })
    }

    /// Loads a script that must load.
    pub(super) fn loaded(&self) -> Script {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is wrong with a script that must not load.
    pub(super) fn refused(&self) -> String {
        match self.load() {
            Ok(_) => panic!("the script was taken:\n{}", String::from_utf8_lossy(&self.plan.text)),
            Err(error) => error.to_string(),
        }
    }
}

pub(super) fn worker(script: &Script, number: u32) -> Box<dyn RequestSource> {
    let seat = Seat { worker: number, workers: script.workers, lines: 1 };
    script.sources().for_worker(seat).unwrap_or_else(|error| panic!("{error}"))
}

/// The first request of a script as it would go over the wire.
pub(super) fn first(text: &str) -> String {
    let script = Bench::of(text).loaded();
    next(&mut *worker(&script, 0)).unwrap().0
}

pub(super) fn next(source: &mut dyn RequestSource) -> Result<(String, Chosen), SourceFailure> {
    let mut wire = Rc::new(Wire::default());
    let chosen = source.next(0, &mut wire)?.expect("the worker has not stopped");
    Ok((String::from_utf8_lossy(wire.bytes()).into_owned(), chosen))
}

pub(super) fn answer(
    source: &mut dyn RequestSource,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Judgement, SourceFailure> {
    let mut fields = Headers::default();
    for (name, value) in headers {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    let seen = Answered { line: 0, status: 200, headers: &fields, body: body.as_bytes(), is_body_cut: false };
    source.answered(Chosen::default(), &seen)
}

pub(super) use crate::request::Judgement;

/// A measurement of three answers after 1, 2 and 2 ms, and one status error.
pub(super) fn measurement() -> Measurement {
    let mut round = Round::empty();
    for milliseconds in [1, 2, 2] {
        round.latency.record(milliseconds * 1_000_000).unwrap();
    }
    round.outcomes.add(OutcomeClass::Success, 3);
    round.outcomes.add(OutcomeClass::ServerError, 1);
    round.outcomes.add(OutcomeClass::Timeout, 2);
    blank_measurement(ScenarioName::parse("test").unwrap(), vec![round])
}

pub(super) fn printed(script: &mut Script) -> String {
    String::from_utf8(script.take_output()).unwrap()
}

pub(super) fn blank_measurement(scenario: ScenarioName, rounds: Vec<Round>) -> Measurement {
    Measurement {
        scenario,
        rounds,
        elapsed: Duration::from_secs(1),
        asked_rate: None,
        asked_connections: 1,
        reached_connections: 1,
        generator: crate::measurement::GeneratorHealth::default(),
        ending: crate::measurement::Ending::Complete,
        steady_state: crate::measurement::SteadyState::NotSought,
        endpoints: vec![],
        class_latency: vec![],
        bytes_received: Some(4_096),
    }
}
