//! What whole runs make of the kinds of profiles: ramps, stages, random arrivals, pauses, limits, steady states.

use std::io::Write;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    CLOSED, MS, OK, OutcomeClass, Pacing, Rate, classes, drive_fixed, local, never, open_loop, read_request,
    run, scenario, serve, serve_always,
};
use crate::clock;
use crate::load::StopSignal;
use crate::measurement::{SteadyState, quantile_us};
use crate::scenario::{Arrivals, Quantile, RateShape, Scenario, Stage, StageRate};

/// Serves every request after a pause that depends on its number on its connection.
fn serve_after(pause: impl Fn(u32) -> Duration + Send + Sync + 'static) -> std::net::SocketAddr {
    serve(move |mut stream, _| {
        for number in 0.. {
            if !read_request(&mut stream) {
                return;
            }
            thread::sleep(pause(number));
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    })
}

fn until_steady(mut scenario: Scenario, at_most: Duration) -> Scenario {
    (scenario.profile.warm_up, scenario.profile.until_steady) = (at_most, true);
    scenario
}

#[test]
fn connections_of_a_closed_loop_open_one_by_one_in_the_ramp() {
    let opened: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = Arc::clone(&opened);
    let address = serve(move |mut stream, _| {
        seen.lock().unwrap().push(clock::monotonic());
        super::answer_always(&mut stream, OK);
    });
    let mut scenario = scenario(CLOSED, 4, 100 * MS);
    scenario.profile.ramp = 400 * MS;

    let measurement = run(address, &scenario);

    let opened = opened.lock().unwrap();
    let (first, last) = (opened.iter().min().unwrap(), opened.iter().max().unwrap());
    assert_eq!((opened.len(), measurement.reached_connections), (4, 4));
    // The last of four is due 300 ms after the first; a busy machine may have accepted the first one late.
    assert!(*last - *first > 100 * MS, "{:?}", *last - *first);
    assert_eq!((measurement.elapsed, classes(&measurement)), (100 * MS, vec![OutcomeClass::Success]));
}

#[test]
fn an_open_loop_climbs_before_it_is_measured() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            seen.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    let mut scenario = scenario(open_loop(200.0), 4, 200 * MS);
    scenario.profile.ramp = 200 * MS;

    let measurement = run(address, &scenario);

    assert_eq!((measurement.outcomes().total(), measurement.elapsed), (40, 200 * MS));
    // Half as many as at the full rate, which they reach in a straight line.
    assert_eq!(requests.load(Ordering::Relaxed), 60);
}

#[test]
fn stages_send_the_integral_of_their_rates() {
    let stage =
        |target, over_ms: u32| Stage { target: StageRate::per_second(target).unwrap(), over: over_ms * MS };
    let stages = vec![stage(400.0, 200), stage(400.0, 100), stage(0.0, 0), stage(0.0, 50), stage(100.0, 50)];
    let pacing = Pacing::OpenLoop { shape: RateShape::Stages(stages), arrivals: Arrivals::Even };

    for threads in [1, 3] {
        let scenario = scenario(pacing.clone(), 6, 400 * MS);
        let measurement =
            drive_fixed(&local(serve_always(OK)), &scenario, threads, &never(), &|_| {}).unwrap();

        // 40 in the climb, 40 at the top, none in the pause, 2.5 in the second climb.
        let total = measurement.outcomes().total();
        assert!((82..=83).contains(&total), "{total}");
        assert_eq!(measurement.asked_rate, Rate::per_second(206.25).ok());
    }
}

#[test]
fn random_arrivals_are_as_many_on_every_run_with_one_seed() {
    let scenario = |seed| {
        let shape = RateShape::Constant(Rate::per_second(300.0).unwrap());
        scenario(Pacing::OpenLoop { shape, arrivals: Arrivals::Poisson { seed } }, 6, 300 * MS)
    };
    let total = |seed| {
        drive_fixed(&local(serve_always(OK)), &scenario(seed), 2, &never(), &|_| {})
            .unwrap()
            .outcomes()
            .total()
    };

    let totals: Vec<u64> = [1, 2, 3, 4].map(total).to_vec();

    assert_eq!(total(1), totals[0]);
    assert!(totals.iter().any(|total| *total != totals[0]), "{totals:?}");
    assert!(totals.iter().all(|total| (50..130).contains(total)), "{totals:?}");
}

#[test]
fn what_random_arrivals_never_sent_is_counted() {
    let address = serve(|mut stream, _| while read_request(&mut stream) {});
    let shape = RateShape::Constant(Rate::per_second(300.0).unwrap());
    let pacing = Pacing::OpenLoop { shape, arrivals: Arrivals::Poisson { seed: 1 } };
    let answered = scenario(pacing, 2, 300 * MS);
    let mut hung = answered.clone();
    hung.profile.timeout = 400 * MS;

    let due = run(serve_always(OK), &answered).outcomes().total();
    let outcomes = run(address, &hung).outcomes();

    assert_eq!(outcomes.total(), due);
    assert_eq!(outcomes.count(OutcomeClass::Unsent), due - 2, "{outcomes:?}");
}

#[test]
fn think_time_is_waited_and_part_of_no_latency() {
    let mut scenario = scenario(CLOSED, 2, 400 * MS);
    scenario.profile.think_time = 50 * MS;

    let measurement = run(serve_always(OK), &scenario);

    let total = measurement.outcomes().total();
    assert!((2..=16).contains(&total), "{total}");
    assert!(quantile_us(&measurement.merged().latency, Quantile::P50).unwrap() < 40_000.0);
}

#[test]
fn no_more_are_in_flight_than_may_be() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&now), Arc::clone(&most));
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            counters.1.fetch_max(counters.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(20 * MS);
            counters.0.fetch_sub(1, Ordering::SeqCst);
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    for (limit, threads) in [(3, 1), (3, 2), (1, 2)] {
        let mut scenario = scenario(open_loop(300.0), 8, 300 * MS);
        scenario.profile.max_in_flight = NonZeroU32::new(limit);
        most.store(0, Ordering::SeqCst);

        let measurement = drive_fixed(&local(address), &scenario, threads, &never(), &|_| {}).unwrap();

        assert_eq!(most.load(Ordering::SeqCst), limit as usize);
        assert_eq!(measurement.outcomes().total(), 90);
        assert!(measurement.outcomes().count(OutcomeClass::Unsent) > 20, "{:?}", measurement.outcomes());
    }
}

#[test]
fn stages_of_connections_join_and_leave() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&open), Arc::clone(&most));
    let left_early: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let leavers = Arc::clone(&left_early);
    let address = serve(move |mut stream, _| {
        counters.1.fetch_max(counters.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        super::answer_always(&mut stream, OK);
        counters.0.fetch_sub(1, Ordering::SeqCst);
        leavers.lock().unwrap().push(clock::monotonic());
    });
    let stage = |target, over_ms: u32| Stage { target: NonZeroU32::new(target).unwrap(), over: over_ms * MS };
    let stages = vec![stage(4, 200), stage(1, 0), stage(1, 400)];
    let pacing = Pacing::ClosedLoop { ceiling: None, stages };

    let measurement = run(address, &scenario(pacing, 4, 600 * MS));
    let ended_at = clock::monotonic();

    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
    assert_eq!((most.load(Ordering::SeqCst), measurement.reached_connections), (4, 4));
    let left_early = left_early.lock().unwrap().iter().filter(|at| ended_at - **at > 100 * MS).count();
    assert_eq!(left_early, 3);
}

#[test]
fn measuring_begins_when_latency_is_steady() {
    let address = serve_after(|_| 20 * MS);
    let started = clock::monotonic();

    let measurement = run(address, &until_steady(scenario(CLOSED, 3, 200 * MS), 20_000 * MS));

    assert_eq!(measurement.steady_state, SteadyState::Found);
    assert!(started.elapsed() < 20_000 * MS, "{:?}", started.elapsed());
    assert_eq!((measurement.elapsed, measurement.rounds.len()), (200 * MS, 1));
    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
    // Only the measured time is counted: three connections at 20 ms for 200 ms.
    assert!(measurement.outcomes().total() <= 33, "{:?}", measurement.outcomes());
}

#[test]
fn a_service_that_never_comes_to_rest_is_measured_all_the_same() {
    // Every answer takes three per cent longer than the one before.
    let address = serve_after(|number| (MS * 5).mul_f64(1.03_f64.powi(number.min(100) as i32)));

    for pacing in [CLOSED, open_loop(50.0)] {
        let measurement = run(address, &until_steady(scenario(pacing, 1, 300 * MS), 1200 * MS));

        assert_eq!(measurement.steady_state, SteadyState::NotFound);
        assert_eq!((measurement.elapsed, measurement.is_partial()), (300 * MS, false));
        assert!(measurement.outcomes().total() > 0);
        if measurement.asked_rate.is_some() {
            assert_eq!(measurement.outcomes().total(), 15);
        }
    }
}

#[test]
fn a_run_that_still_waits_for_a_steady_state_ends_at_once_when_cancelled() {
    for pacing in [CLOSED, open_loop(50.0)] {
        let cancel = CancellationToken::new();
        let scenario = until_steady(scenario(pacing, 2, 60_000 * MS), 60_000 * MS);
        let started = clock::monotonic();

        let measurement =
            drive_fixed(&local(serve_always(OK)), &scenario, 2, &StopSignal::new(&cancel), &|_| {
                cancel.cancel();
            })
            .unwrap();

        assert!(started.elapsed() < 5000 * MS, "{:?}", started.elapsed());
        assert!(measurement.is_partial() && measurement.rounds.is_empty() && measurement.elapsed.is_zero());
        assert_eq!(measurement.outcomes().total(), 0);
    }
}

#[test]
fn a_connection_is_renewed_after_so_many_requests() {
    let connections = Arc::new(AtomicU64::new(0));
    let requests = Arc::new(AtomicU64::new(0));
    let (opened, asked) = (Arc::clone(&connections), Arc::clone(&requests));
    let address = serve(move |mut stream, _| {
        opened.fetch_add(1, Ordering::Relaxed);
        while read_request(&mut stream) {
            asked.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    let mut scenario = scenario(CLOSED, 2, 200 * MS);
    scenario.profile.reconnect_every = NonZeroU32::new(3);

    let measurement = run(address, &scenario);

    let (connections, requests) = (connections.load(Ordering::Relaxed), requests.load(Ordering::Relaxed));
    assert_eq!(measurement.outcomes().errors(), 0);
    assert!(
        connections >= 3 && connections.abs_diff(requests.div_ceil(3)) <= 2,
        "{connections} for {requests}"
    );
}
