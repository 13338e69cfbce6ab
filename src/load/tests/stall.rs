//! A server that stalls cannot hide it: schedule, queue and tally against the analytic answer, without any clock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{MS, Pacing, Rate};
use crate::clock;
use crate::load::pacer::{Course, Part, Schedule, Window};
use crate::load::tally::{Tally, Times};
use crate::measurement::{OutcomeClass, Round, quantile_us};
use crate::request::Endpoint;
use crate::scenario::{Arrivals, LoadProfile, Quantile};

const RATE: f64 = 500.0;
const LINES: usize = 10;
const SERVICE_TIME: Duration = MS;

/// The server stands still in the first second of every five.
fn answered_at(start: Instant, sent_at: Instant) -> Instant {
    let since = sent_at - start;
    let into_period = Duration::from_millis(since.as_millis() as u64 % 5000);
    if into_period < 1000 * MS {
        let period = since.as_secs() / 5;
        return start + Duration::from_secs(5 * period + 1) + SERVICE_TIME;
    }
    sent_at + SERVICE_TIME
}

/// Drives the schedule over lines that carry one request at a time, the one that is free first taking the next.
fn drive(start: Instant, arrivals: Arrivals) -> Round {
    let rate = Rate::per_second(RATE).unwrap();
    let plain = LoadProfile::plain(Pacing::open(rate), NonZeroU32::new(LINES as u32).unwrap());
    let profile = LoadProfile { duration: Duration::from_secs(100), ..plain };
    let window = Window::new(start, &profile);
    let part = Part { number: 0, of: 1 };
    let mut schedule = Schedule::new(window.clone(), Course::of(&profile), arrivals, part);
    let mut tally = Tally::new(window.clone(), 1, false, Arc::default());
    let mut free_from = [start; LINES];
    while schedule.due() < window.ends_at() {
        let intended_at = schedule.due();
        schedule.skip(1);
        let line = (0..LINES).min_by_key(|line| free_from[*line]).unwrap();
        let sent_at = intended_at.max(free_from[line]);
        let finished_at = answered_at(start, sent_at);
        free_from[line] = finished_at;
        tally.answered(
            OutcomeClass::Success,
            Endpoint::default(),
            Times { intended_at, sent_at, finished_at },
        );
    }
    tally.finish(1).rounds.remove(0)
}

#[test]
fn a_stall_of_one_second_in_five_is_in_the_99th_percentile_of_latency() {
    let start = clock::monotonic();

    let round = drive(start, Arrivals::Even);

    // A request that is due u seconds into the stall waits for its end, and then for the 500·u before it, which ten
    // lines clear at 10 000 a second: 1 − u + u/20. A fifth of all requests are due in a stall, so one in a hundred
    // of all is due in its first twentieth: p99 is the latency at u = 0.05.
    let analytic_us = 1e6 * (1.0 - 0.95 * 0.05) + 1e3;
    let p99_us = quantile_us(&round.latency, Quantile::P99).unwrap();
    assert!((p99_us / analytic_us - 1.0).abs() < 0.05, "{p99_us} is not {analytic_us}");
    assert_eq!(round.outcomes.total(), 50_000);
    // The service time alone sees ten requests of each stall, four in a thousand: nothing of it in its p99.
    let service_us = quantile_us(&round.service_time, Quantile::P99).unwrap();
    assert!((service_us / 1e3 - 1.0).abs() < 0.01, "{service_us}");
    let lag_us = quantile_us(&round.send_lag, Quantile::P99).unwrap();
    assert!((lag_us / (analytic_us - 1e3) - 1.0).abs() < 0.05, "{lag_us}");
}

#[test]
fn arrivals_of_a_crowd_see_the_same_stall() {
    let start = clock::monotonic();

    let round = drive(start, Arrivals::Poisson { seed: 3 });

    let p99_us = quantile_us(&round.latency, Quantile::P99).unwrap();
    assert!((p99_us / 953_500.0 - 1.0).abs() < 0.05, "{p99_us}");
}
