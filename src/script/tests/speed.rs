//! How long a script's part of a request takes; printed, because a busy machine proves nothing.

use super::*;
use crate::clock;

#[test]
fn a_workers_state_and_its_requests_are_cheap() {
    let script = Bench::of(
        "counter = 0\nrequest = function()\n path = '/' .. counter\n wrk.headers['X-Counter'] = counter\n \
         counter = counter + 1\n return wrk.format(nil, path)\nend",
    )
    .loaded();
    let began = clock::monotonic();
    let mut source = worker(&script, 0);
    let set_up = began.elapsed();
    let mut wire = Rc::default();
    let count = 20_000;
    let began = clock::monotonic();
    for _ in 0..count {
        source.next(0, &mut wire).unwrap();
    }
    let each = began.elapsed() / count;

    println!("set-up {set_up:?}, counter.lua {each:?} a request");
    assert!(set_up < Duration::from_secs(1) && each < Duration::from_millis(1));
}
