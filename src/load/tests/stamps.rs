//! A worker that is kept from its sockets: the kernel's receive stamps take that out of what is measured.

use std::rc::Rc;
use std::thread;

use super::*;
use crate::request::{Chosen, RequestSource, RequestSources, Seat, SourceFailure, Wire};

/// How long the worker is kept busy before each request.
const BUSY: Duration = Duration::from_millis(10);

/// A source that takes the worker's time, as a busy neighbour on its processor would.
struct Busy(Rc<Wire>);

impl RequestSource for Busy {
    fn next(&mut self, _line: usize, wire: &mut Rc<Wire>) -> Result<Option<Chosen>, SourceFailure> {
        thread::sleep(BUSY);
        *wire = Rc::clone(&self.0);
        Ok(Some(Chosen::default()))
    }

    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }
}

struct BusySources(Request, String);

impl RequestSources for BusySources {
    fn for_worker(&self, _: Seat) -> Result<Box<dyn RequestSource>, SourceFailure> {
        Ok(Box::new(Busy(Rc::new(Wire::of(&self.0, &self.1)))))
    }
}

/// Returns the median service time of four connections on one worker that is always busy.
fn median_service_time(pacing: Pacing) -> Duration {
    let target = local(serve_always(OK));
    let scenario = scenario(pacing, 4, 600 * MS);
    let sources = BusySources(Request::get("/").unwrap(), target.origin().authority());
    let measurement = drive(&target, &scenario, &sources, &options(1), &never(), &|_| {}).unwrap();
    let service_time = measurement.merged().service_time;
    assert!(service_time.len() > 10, "{}", service_time.len());
    Duration::from_nanos(service_time.value_at_quantile(0.5))
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_waits_for_a_busy_worker_has_the_time_of_its_arrival_in_the_open_loop() {
    let service_time = median_service_time(open_loop(400.0));

    assert!(service_time < BUSY / 2, "{service_time:?}");
}

#[test]
fn in_the_closed_loop_the_wait_for_a_busy_worker_is_seen() {
    let service_time = median_service_time(CLOSED);

    assert!(service_time >= BUSY, "{service_time:?}");
}
