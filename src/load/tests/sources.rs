//! What a source of requests can do with a run: pipeline, see answers, judge, tag, stop and fail.

use std::io::Write;
use std::num::NonZeroUsize;
use std::rc::Rc;

use super::{
    CLOSED, MS, OK, OutcomeClass, local, never, open_loop, read_request, scenario, serve, serve_always,
};
use crate::load::{Ceilings, DriveOptions, LoadError, drive};
use crate::measurement::{Ending, Measurement};
use crate::request::{
    Answered, Chosen, Endpoint, Interest, Judgement, Request, RequestSource, RequestSources, Seat,
    SourceFailure, Wire,
};
use crate::scenario::Scenario;

/// What a test's source does at its n-th request.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Sends three requests at once and wants to see the answers.
    Pipelines,
    /// Counts under two endpoints in turn and finds every second answer wrong.
    Judges,
    /// Has five requests.
    Ends,
    /// Breaks at the fifth request.
    Breaks,
    /// Cannot even begin.
    Refuses,
}

struct Source {
    behaviour: Behaviour,
    sent: u32,
    seen: u32,
}

impl RequestSources for Behaviour {
    fn for_worker(&self, _seat: Seat) -> Result<Box<dyn RequestSource>, SourceFailure> {
        match self {
            Self::Refuses => Err(failure("line 3: no such function")),
            behaviour => Ok(Box::new(Source { behaviour: *behaviour, sent: 0, seen: 0 })),
        }
    }
}

fn failure(what: &str) -> SourceFailure {
    SourceFailure { what: what.into(), help: "mend the script".into() }
}

impl RequestSource for Source {
    fn next(&mut self, _line: usize, wire: &mut Rc<Wire>) -> Result<Option<Chosen>, SourceFailure> {
        self.sent += 1;
        let wire = Rc::make_mut(wire);
        wire.clear();
        let requests = if matches!(self.behaviour, Behaviour::Pipelines) { 3 } else { 1 };
        for _ in 0..requests {
            wire.push(&Request::get("/").unwrap(), "test");
        }
        match self.behaviour {
            Behaviour::Ends if self.sent > 5 => Ok(None),
            Behaviour::Breaks if self.sent > 5 => Err(failure("line 7: attempt to index nil")),
            _ => Ok(Some(Chosen {
                endpoint: Endpoint(u16::try_from(self.sent % 2).unwrap()),
                interest: Interest::Body,
                token: self.sent,
            })),
        }
    }

    fn answered(&mut self, chosen: Chosen, answer: &Answered<'_>) -> Result<Judgement, SourceFailure> {
        self.seen += 1;
        assert_eq!((answer.status, answer.body, chosen.token > 0), (200, &b"ok"[..], true));
        assert_eq!(answer.headers.first("content-length"), Some(&b"2"[..]));
        let is_failed = matches!(self.behaviour, Behaviour::Judges) && self.sent.is_multiple_of(2);
        Ok(Judgement { is_failed, ..Judgement::default() })
    }

    fn endpoints(&self) -> Vec<String> {
        vec!["even".into(), "odd".into()]
    }
}

fn try_run(
    behaviour: Behaviour,
    address: std::net::SocketAddr,
    scenario: &Scenario,
) -> Result<Measurement, LoadError> {
    let options = DriveOptions { threads: NonZeroUsize::MIN, ceilings: Ceilings::default(), echo: None };
    drive(&local(address), scenario, &behaviour, &options, &never(), &|_| {})
}

#[test]
fn pipelined_requests_have_an_outcome_each() {
    // Two answers in one piece, the third alone: what is left of a read belongs to the next answer.
    let address = serve(|mut stream, _| {
        while read_request(&mut stream) && read_request(&mut stream) && read_request(&mut stream) {
            let pieces = [&[OK, OK, &OK[..10]].concat()[..], &OK[10..]];
            if pieces.iter().any(|piece| stream.write_all(piece).is_err()) {
                return;
            }
        }
    });

    let measurement = try_run(Behaviour::Pipelines, address, &scenario(CLOSED, 2, 100 * MS)).unwrap();

    let outcomes = measurement.outcomes();
    assert!(outcomes.count(OutcomeClass::Success) > 30, "{outcomes:?}");
    assert_eq!(outcomes.total() % 3, 0);
    assert_eq!(outcomes.errors(), 0);
}

#[test]
fn a_connection_that_closes_in_the_middle_loses_what_was_sent_behind() {
    let address = serve(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });

    let measurement =
        try_run(Behaviour::Pipelines, address, &scenario(open_loop(50.0), 4, 200 * MS)).unwrap();

    let outcomes = measurement.outcomes();
    assert_eq!(outcomes.total(), 30, "{outcomes:?}");
    let lost = outcomes.count(OutcomeClass::Read) + outcomes.count(OutcomeClass::Write);
    assert!(lost >= 20, "{outcomes:?}");
}

#[test]
fn answers_are_judged_and_counted_for_each_endpoint() {
    let measurement = try_run(Behaviour::Judges, serve_always(OK), &scenario(CLOSED, 1, 100 * MS)).unwrap();

    let outcomes = measurement.outcomes();
    let (good, bad) = (outcomes.count(OutcomeClass::Success), outcomes.count(OutcomeClass::Check));
    assert!(good > 5 && good.abs_diff(bad) <= 1, "{outcomes:?}");
    let names: Vec<&str> = measurement.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    assert_eq!(names, ["even", "odd"]);
    assert_eq!(measurement.endpoints[0].outcomes.count(OutcomeClass::Check), bad);
    assert_eq!(measurement.endpoints[1].latency.len(), good);
    // A failed check can be fast: it is in no percentile.
    assert_eq!(measurement.merged().latency.len(), good);
}

#[test]
fn a_source_that_is_at_its_end_ends_the_run_quietly() {
    let measurement = try_run(Behaviour::Ends, serve_always(OK), &scenario(CLOSED, 1, 10_000 * MS)).unwrap();

    assert_eq!((measurement.outcomes().total(), &measurement.ending), (5, &Ending::Complete));
    assert!(measurement.elapsed < 5_000 * MS);
}

#[test]
fn a_source_that_breaks_ends_the_run_with_its_reason() {
    let measurement =
        try_run(Behaviour::Breaks, serve_always(OK), &scenario(CLOSED, 1, 10_000 * MS)).unwrap();

    assert_eq!(
        measurement.ending,
        Ending::SourceFailed("line 7: attempt to index nil (mend the script)".into())
    );
    assert_eq!(measurement.outcomes().count(OutcomeClass::Success), 5);
}

#[test]
fn a_source_that_cannot_begin_sends_nothing() {
    let error = try_run(Behaviour::Refuses, serve_always(OK), &scenario(CLOSED, 1, 100 * MS)).unwrap_err();

    assert_eq!(error.to_string(), "cannot make the requests: line 3: no such function");
    assert_eq!(error.help(), "mend the script");
}
