//! What the two loops promise about schedule, counts, rounds and their end.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_util::sync::CancellationToken;

use super::{
    CLOSED, MS, OK, OutcomeClass, Pacing, Rate, answer_always, classes, classes_of_sent, drive_fixed, local,
    never, open_loop, read_request, run, scenario, serve, serve_always,
};
use crate::clock;
use crate::load::{Phase, StopSignal};
use crate::scenario::{Quantile, Scenario};

fn in_rounds(mut scenario: Scenario, rounds: u32) -> Scenario {
    scenario.profile.rounds = NonZeroU32::new(rounds).unwrap();
    scenario
}

#[test]
fn the_closed_loop_keeps_all_connections_busy() {
    let measurement = run(serve_always(OK), &in_rounds(scenario(CLOSED, 5, 300 * MS), 3));

    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
    assert_eq!((measurement.asked_connections, measurement.reached_connections), (5, 5));
    assert_eq!((measurement.rounds.len(), measurement.elapsed), (3, 300 * MS));
    for round in &measurement.rounds {
        assert!(round.latency.len() > 10);
        assert_eq!(round.latency.len(), round.outcomes.total());
        assert_eq!((round.latency.max(), round.send_lag.max()), (round.service_time.max(), 0));
    }
}

#[test]
fn the_closed_loop_stays_under_its_ceiling() {
    let pacing = Pacing::ClosedLoop { ceiling: Rate::per_second(100.0).ok(), stages: Vec::new() };

    let measurement =
        drive_fixed(&local(serve_always(OK)), &scenario(pacing, 8, 400 * MS), 2, &never(), &|_| {});

    let total = measurement.unwrap().outcomes().total();
    assert!((30..=41).contains(&total), "{total}");
}

#[test]
fn a_ceiling_that_is_out_of_reach_holds_nobody_up() {
    let pacing = Pacing::ClosedLoop { ceiling: Rate::per_second(1e6).ok(), stages: Vec::new() };

    let measurement = run(serve_always(OK), &scenario(pacing, 1, 300 * MS));

    // With a timer for each request there would be one in a millisecond.
    let total = measurement.outcomes().total();
    assert!(total > 450, "{total}");
}

#[test]
fn waiting_for_the_ceiling_is_part_of_no_latency() {
    let pacing = Pacing::ClosedLoop { ceiling: Rate::per_second(20.0).ok(), stages: Vec::new() };

    let measurement = run(serve_always(OK), &scenario(pacing, 4, 400 * MS));

    let p50 = crate::measurement::quantile_us(&measurement.merged().latency, Quantile::P50).unwrap();
    assert!(p50 < 20_000.0, "{p50}");
}

#[test]
fn the_open_loop_sends_exactly_what_is_due() {
    for (rate, threads, due) in [(500.0, 1, 150), (500.0, 3, 150), (33.3, 2, 10)] {
        let scenario = in_rounds(scenario(open_loop(rate), 6, 300 * MS), 3);

        let measurement =
            drive_fixed(&local(serve_always(OK)), &scenario, threads, &never(), &|_| {}).unwrap();

        assert_eq!(classes_of_sent(&measurement), [OutcomeClass::Success], "{rate}");
        assert_eq!(measurement.outcomes().total(), due, "{rate}");
        assert_eq!(measurement.asked_rate.map(Rate::requests_per_second), Some(rate));
    }
}

#[test]
fn the_open_loop_counts_delay_from_the_intended_time() {
    let address = serve(|mut stream, _| {
        let mut is_first = true;
        while read_request(&mut stream) {
            if std::mem::take(&mut is_first) {
                thread::sleep(200 * MS);
            }
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });

    let measurement = run(address, &scenario(open_loop(100.0), 1, 400 * MS));

    let round = measurement.merged();
    assert_eq!((round.outcomes.total(), classes_of_sent(&measurement)), (40, vec![OutcomeClass::Success]));
    // One answer was slow, but about twenty requests were due meanwhile and had to wait.
    let slow = |histogram: &hdrhistogram::Histogram<u64>| histogram.count_between(20_000_000, u64::MAX);
    assert!(slow(&round.latency) >= 15, "{}", slow(&round.latency));
    assert!(slow(&round.send_lag) >= 15, "{}", slow(&round.send_lag));
    assert!(slow(&round.service_time) <= 3, "{}", slow(&round.service_time));
    // The wait of up to 200 ms was the server's doing.
    assert!(measurement.generator.lag_p99_us < 100_000.0, "{:?}", measurement.generator);
}

#[test]
fn what_is_due_and_never_sent_is_counted() {
    let address = serve(|mut stream, _| while read_request(&mut stream) {});
    let mut scenario = scenario(open_loop(100.0), 2, 300 * MS);
    scenario.profile.timeout = 400 * MS;

    let measurement = run(address, &scenario);

    let outcomes = measurement.outcomes();
    assert_eq!(outcomes.total(), 30);
    assert_eq!(outcomes.count(OutcomeClass::Unsent), 28, "{outcomes:?}");
    assert_eq!(measurement.merged().latency.len(), 30);
    assert!(measurement.merged().latency.max() >= 250_000_000);
}

#[test]
fn the_warm_up_is_sent_and_not_counted() {
    let requests = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&requests);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            *seen.lock().unwrap() += 1;
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    let mut scenario = scenario(open_loop(200.0), 4, 200 * MS);
    scenario.profile.warm_up = 200 * MS;

    let measurement = run(address, &scenario);

    assert_eq!((measurement.outcomes().total(), measurement.elapsed), (40, 200 * MS));
    assert_eq!(*requests.lock().unwrap(), 80);
}

#[test]
fn the_bytes_of_measured_answers_are_counted() {
    let mut scenario = scenario(open_loop(100.0), 2, 200 * MS);
    scenario.profile.warm_up = 95 * MS;

    let measurement = run(serve_always(OK), &scenario);

    let answers = measurement.outcomes().count(OutcomeClass::Success);
    assert_eq!(measurement.bytes_received, Some(answers * OK.len() as u64));
}

#[test]
fn progress_is_told_while_load_flows() {
    let told = Mutex::new(Vec::new());
    let mut scenario = scenario(CLOSED, 1, 250 * MS);
    scenario.profile.warm_up = 250 * MS;

    drive_fixed(&local(serve_always(OK)), &scenario, 1, &never(), &|progress| {
        told.lock().unwrap().push(progress);
    })
    .unwrap();

    let told = told.into_inner().unwrap();
    assert!(told.iter().any(|progress| progress.phase == Phase::WarmUp));
    assert!(told.iter().any(|progress| progress.phase == Phase::Measuring && progress.answered > 0));
    assert!(told.iter().all(|progress| progress.elapsed <= progress.total && progress.total == 500 * MS));
}

#[test]
fn a_cancelled_run_keeps_what_it_measured() {
    for pacing in [CLOSED, open_loop(100.0)] {
        let answers = Arc::new(AtomicBool::new(true));
        let does_answer = Arc::clone(&answers);
        let address = serve(move |mut stream, _| {
            while read_request(&mut stream) {
                if does_answer.load(Ordering::Relaxed) && stream.write_all(OK).is_err() {
                    return;
                }
            }
        });
        let cancel = CancellationToken::new();
        let scenario = in_rounds(scenario(pacing, 2, 60_000 * MS), 600);
        let started = clock::monotonic();

        let measurement =
            drive_fixed(&local(address), &scenario, 2, &StopSignal::new(&cancel), &|progress| {
                // The server hangs in the second round; the third never comes.
                answers.store(progress.elapsed < 110 * MS, Ordering::Relaxed);
                if progress.elapsed > 210 * MS {
                    cancel.cancel();
                }
            })
            .unwrap();

        assert!(measurement.is_partial());
        assert!(started.elapsed() < 1300 * MS, "{:?}", started.elapsed());
        assert!((210 * MS..600 * MS).contains(&measurement.elapsed), "{:?}", measurement.elapsed);
        let rounds = measurement.elapsed.as_nanos().div_ceil(100_000_000);
        assert_eq!(measurement.rounds.len() as u128, rounds);
        assert!(measurement.outcomes().count(OutcomeClass::Success) > 0);
        assert!(measurement.outcomes().count(OutcomeClass::Unanswered) > 0);
        if let Some(rate) = measurement.asked_rate {
            let due = measurement.elapsed.as_secs_f64() * rate.requests_per_second();
            let total = measurement.outcomes().total();
            assert!((total as f64 - due).abs() <= 2.0, "{total} of {due}");
        }
    }
}

#[test]
fn a_run_cancelled_in_the_warm_up_measured_nothing() {
    let cancel = CancellationToken::new();
    let mut scenario = scenario(CLOSED, 1, 60_000 * MS);
    scenario.profile.warm_up = 60_000 * MS;

    let measurement =
        drive_fixed(&local(serve_always(OK)), &scenario, 1, &StopSignal::new(&cancel), &|_| cancel.cancel())
            .unwrap();

    assert!(measurement.is_partial() && measurement.rounds.is_empty() && measurement.elapsed.is_zero());
    assert_eq!(measurement.outcomes().total(), 0);
}

#[test]
fn more_threads_than_connections_are_not_started() {
    let scenario = scenario(CLOSED, 2, 100 * MS);

    let measurement = drive_fixed(&local(serve_always(OK)), &scenario, 64, &never(), &|_| {}).unwrap();

    assert_eq!(measurement.reached_connections, 2);
    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
}

#[test]
fn every_pinned_address_gets_its_share_and_no_other() {
    let seen = Arc::new(Mutex::new([0, 0]));
    let addresses = [0, 1].map(|number| {
        let seen = Arc::clone(&seen);
        serve(move |mut stream, _| {
            seen.lock().unwrap()[number] += 1;
            answer_always(&mut stream, OK);
        })
    });
    let origin = local(addresses[0]).origin().clone();
    let target = crate::guard::ClearedTarget::for_tests(origin, addresses.to_vec(), vec![]);

    drive_fixed(&target, &scenario(CLOSED, 4, 100 * MS), 1, &never(), &|_| {}).unwrap();

    assert_eq!(*seen.lock().unwrap(), [2, 2]);
}

#[test]
fn an_address_that_takes_no_connection_costs_no_request() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let somebody = serve(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let target = crate::guard::ClearedTarget::for_tests(
        local(somebody).origin().clone(),
        vec![nobody, somebody],
        vec![],
    );

    let measurement = drive_fixed(&target, &scenario(CLOSED, 2, 100 * MS), 1, &never(), &|_| {}).unwrap();

    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
}

#[test]
fn a_connection_that_hangs_while_it_opens_is_not_lost() {
    // A listener that never accepts: the kernel completes TCP, nobody completes TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let target = crate::guard::ClearedTarget::for_tests(
        crate::target::Origin {
            scheme: crate::target::Scheme::Https,
            host: "localhost".into(),
            port: listener.local_addr().unwrap().port(),
        },
        vec![listener.local_addr().unwrap()],
        vec![rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.der().to_vec()],
    );
    for pacing in [CLOSED, open_loop(20.0)] {
        let mut scenario = scenario(pacing, 2, 100 * MS);
        scenario.profile.timeout = 500 * MS;
        let cancel = CancellationToken::new();

        let measurement = drive_fixed(&target, &scenario, 1, &StopSignal::new(&cancel), &|progress| {
            if progress.phase == Phase::Draining {
                cancel.cancel();
            }
        })
        .unwrap();

        assert_eq!(measurement.outcomes().total(), 2, "{:?}", measurement.outcomes());
    }
}

/// Accepts connections until one of them sends; returns how many were open then, and has all answered from there on.
fn count_until_one_sends(listener: TcpListener) -> usize {
    listener.set_nonblocking(true).unwrap();
    let mut open = Vec::new();
    let accept = |open: &mut Vec<TcpStream>| {
        open.extend(std::iter::from_fn(|| listener.accept().ok().map(|(stream, _)| stream)));
    };
    let has_sent = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        stream.peek(&mut [0]).is_ok_and(|count| count > 0)
    };
    while !open.iter().any(has_sent) {
        accept(&mut open);
        thread::yield_now();
    }
    accept(&mut open);
    let count = open.len();
    thread::spawn(move || {
        listener.set_nonblocking(false).unwrap();
        for mut stream in open.into_iter().chain(listener.incoming().flatten()) {
            stream.set_nonblocking(false).unwrap();
            thread::spawn(move || answer_always(&mut stream, OK));
        }
    });
    count
}

#[test]
fn many_connections_are_opened_before_the_first_one_sends() {
    // More than a short backlog, and hardly more than it holds while the server waits for a processor.
    const CONNECTIONS: usize = 129;
    let open_at_first_request = || {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || count_until_one_sends(listener));
        run(address, &scenario(CLOSED, CONNECTIONS as u32, 300 * MS));
        server.join().unwrap()
    };

    // Where one sends as soon as it is open, some twenty are by then. A machine that is too busy to open all of them in
    // time has fewer as well, but not always.
    let counts: Vec<_> =
        (0..10).map(|_| open_at_first_request()).take_while(|&open| open < CONNECTIONS).collect();

    assert!(counts.len() < 10, "{counts:?}");
}
