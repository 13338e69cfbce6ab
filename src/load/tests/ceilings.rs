//! Tests of the ceilings: a run that reaches one ends at once, says which, and the next one sends nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::measurement::Ending;
use crate::request::Wire;

/// Serves and counts the requests that arrive.
fn counting(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicU64>) {
    let arrived = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&arrived);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            counter.fetch_add(1, Ordering::SeqCst);
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    });
    (address, arrived)
}

fn drive_under(ceilings: &Ceilings, address: SocketAddr, scenario: &Scenario) -> Measurement {
    let target = local(address);
    let sources = Mix::new(&scenario.requests, &target.origin().authority(), 0);
    let options = DriveOptions { ceilings: ceilings.clone(), ..options(1) };
    drive(&target, scenario, &sources, &options, &never(), &|_| {}).unwrap()
}

#[test]
fn a_run_ends_at_the_ceiling_of_requests_and_a_second_one_sends_nothing() {
    let (address, arrived) = counting(OK);
    let long = scenario(open_loop(500.0), 4, 60_000 * MS);
    let ceilings = Ceilings::new(100, u64::MAX);

    let first = drive_under(&ceilings, address, &long);
    let after_first = arrived.load(Ordering::SeqCst);
    let second = drive_under(&ceilings, address, &long);

    assert!(matches!(&first.ending, Ending::Exhausted(why) if why.contains("the limit is 100")), "{first:?}");
    assert!((100..20_000).contains(&after_first), "{after_first} requests arrived");
    assert!(matches!(second.ending, Ending::Exhausted(_)), "{second:?}");
    // What the schedule sends before the workers hear of the stop is at most what they do in one turn.
    let more = arrived.load(Ordering::SeqCst) - after_first;
    assert!(more <= 4, "{more} more requests arrived");
}

#[test]
fn a_run_ends_at_the_ceiling_of_bytes() {
    let (address, arrived) = counting(OK);
    let request = Wire::of(&Request::get("/").unwrap(), &local(address).origin().authority());
    let bytes_each = (request.bytes().len() + OK.len()) as u64;

    let seen =
        drive_under(&Ceilings::new(u64::MAX, 10_000), address, &scenario(open_loop(500.0), 4, 60_000 * MS));

    assert!(matches!(&seen.ending, Ending::Exhausted(why) if why.contains("bytes")), "{seen:?}");
    let arrived = arrived.load(Ordering::SeqCst);
    assert!(arrived * bytes_each >= 10_000, "{arrived} requests of {bytes_each} bytes with their answers");
}

#[test]
fn a_run_below_its_ceilings_is_complete() {
    let (address, _) = counting(OK);

    let seen =
        drive_under(&Ceilings::new(10_000, 10_000_000), address, &scenario(open_loop(100.0), 2, 300 * MS));

    assert_eq!(seen.ending, Ending::Complete);
}
