//! What load does for a server that is not well, asks for patience, or says how long it took itself.

use std::io::Write;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{
    CLOSED, MS, OK, OutcomeClass, answer_always, classes, open_loop, read_request, run, scenario, serve,
    serve_always,
};
use crate::clock;
use crate::measurement::{Ending, quantile_us};
use crate::scenario::{Breaker, Quantile};

const BROKEN: &[u8] = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_service_that_breaks_ends_the_run_within_a_second() {
    let answers = Arc::new(AtomicU64::new(0));
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            let is_broken = answers.fetch_add(1, Ordering::Relaxed) > 100;
            if stream.write_all(if is_broken { BROKEN } else { OK }).is_err() {
                return;
            }
        }
    });
    let mut scenario = scenario(open_loop(200.0), 4, 20_000 * MS);
    scenario.gate.breaker = Breaker::default();
    let start = clock::monotonic();

    let measurement = run(address, &scenario);

    // Half a second of good answers, then at most a second, and the drain.
    assert!(start.elapsed() < 3_000 * MS, "{:?}", start.elapsed());
    assert!(
        matches!(&measurement.ending, Ending::Unhealthy(why) if why.contains("failed")),
        "{measurement:?}"
    );
    assert!(measurement.outcomes().count(OutcomeClass::Success) >= 100);
}

#[test]
fn a_port_where_nobody_listens_opens_the_breaker() {
    let address = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let mut scenario = scenario(CLOSED, 8, 20_000 * MS);
    scenario.gate.breaker = Breaker { connect_failures: NonZeroU32::new(20), ..Breaker::OFF };

    let measurement = run(address, &scenario);

    assert!(matches!(&measurement.ending, Ending::Unhealthy(why) if why.contains("connections failed")));
}

#[test]
fn slow_answers_open_the_breaker_where_declared() {
    let address = serve(|mut stream, _| {
        while read_request(&mut stream) {
            thread::sleep(20 * MS);
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    let mut scenario = scenario(CLOSED, 4, 20_000 * MS);
    scenario.gate.breaker = Breaker { latency: Some(5 * MS), ..Breaker::OFF };

    let measurement = run(address, &scenario);

    assert!(matches!(&measurement.ending, Ending::Unhealthy(why) if why.contains("longer than 5ms")));
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = b"HTTP/1.1 429 Too Many\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    });
    let mut scenario = scenario(open_loop(100.0), 2, 500 * MS);
    scenario.gate.breaker = Breaker::default();

    let measurement = run(address, &scenario);

    // One connection each, at most, had a request on its way when the first answer came.
    assert!(requests.load(Ordering::Relaxed) <= 2, "{requests:?}");
    assert_eq!(classes(&measurement), [OutcomeClass::RetryLater]);
    assert_eq!((measurement.outcomes().total(), &measurement.ending), (50, &Ending::Complete));
    assert_eq!(measurement.class_latency.len(), 1);
}

#[test]
fn a_closed_loop_waits_as_long_as_it_is_asked_to() {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            let is_first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            let busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(if is_first { &busy[..] } else { OK }).is_err() {
                return;
            }
        }
    });

    let measurement = run(address, &scenario(CLOSED, 1, 1300 * MS));

    assert_eq!(classes(&measurement), [OutcomeClass::Success, OutcomeClass::RetryLater]);
    // The second of waiting is part of no latency.
    assert!(measurement.merged().latency.max() < 900_000_000);
    assert_eq!(measurement.outcomes().count(OutcomeClass::RetryLater), 1);
}

#[test]
fn the_servers_own_times_become_metrics() {
    let address = serve_always(
        b"HTTP/1.1 200 OK\r\nServer-Timing: db;dur=5, app;dur=7.5\r\nContent-Length: 2\r\n\r\nok",
    );

    let measurement = run(address, &scenario(CLOSED, 1, 100 * MS));

    let timings = measurement.merged().server_timing;
    let median = |name: &str| quantile_us(&timings[name], Quantile::P50).unwrap().round();
    assert_eq!(timings.keys().collect::<Vec<_>>(), ["app", "db"]);
    assert!((median("db") - 5_000.0).abs() <= 5.0 && (median("app") - 7_500.0).abs() <= 8.0);
}

#[test]
fn a_server_that_invents_names_does_not_fill_the_memory() {
    let address = serve(|mut stream, number| {
        let mut answers = 0;
        while read_request(&mut stream) {
            answers += 1;
            let head = format!(
                "HTTP/1.1 200 OK\r\nServer-Timing: n{number}-{answers};dur=1\r\nContent-Length: 0\r\n\r\n"
            );
            if stream.write_all(head.as_bytes()).is_err() {
                return;
            }
        }
    });

    let measurement = run(address, &scenario(CLOSED, 2, 200 * MS));

    assert_eq!(measurement.merged().server_timing.len(), crate::measurement::MAX_SERVER_TIMINGS);
}

#[test]
fn an_error_of_another_class_keeps_its_latency_apart() {
    let address = serve(|mut stream, _| answer_always(&mut stream, BROKEN));

    let measurement = run(address, &scenario(CLOSED, 1, Duration::from_millis(50)));

    let [(class, latency)] = &measurement.class_latency[..] else { panic!("{measurement:?}") };
    assert_eq!((*class, latency.len()), (OutcomeClass::ServerError, measurement.outcomes().total()));
    assert!(measurement.merged().latency.is_empty());
}
