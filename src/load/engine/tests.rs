//! What tasks and timers of an engine promise. Its sockets are tested in `tcp`.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::pin::Pin;
use std::thread;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock;

const MS: Duration = Duration::from_millis(1);

/// What must happen happens within this, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells that it was dropped.
struct Guest(Rc<Cell<u32>>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn tasks_take_turns() {
    let said = Rc::new(RefCell::new(Vec::new()));

    run(async {
        for name in ["a", "b"] {
            let said = Rc::clone(&said);
            spawn(async move {
                for turn in 0..3 {
                    said.borrow_mut().push((name, turn));
                    yield_now().await;
                }
            });
        }
        while said.borrow().len() < 6 {
            yield_now().await;
        }
    });

    assert_eq!(*said.borrow(), [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]);
}

#[test]
fn tasks_live_on_between_two_runs_of_an_engine() {
    let engine = Engine::new().unwrap();
    let turns = Rc::new(Cell::new(0));
    let counter = Rc::clone(&turns);

    engine
        .block_on(async {
            spawn(async move {
                loop {
                    counter.set(counter.get() + 1);
                    sleep(MS).await;
                }
            });
            yield_now().await;
        })
        .unwrap();
    assert_eq!(turns.get(), 1);
    engine.block_on(async { sleep(20 * MS).await }).unwrap();

    assert!(turns.get() > 1, "{}", turns.get());
}

#[test]
fn another_thread_ends_a_wait() {
    let (token, wakes) = (CancellationToken::new(), 50);
    let begun = clock::monotonic();

    run(async {
        for _ in 0..wakes {
            let token = token.child_token();
            let other = token.clone();
            let thread = thread::spawn(move || other.cancel());
            token.cancelled().await;
            thread.join().unwrap();
        }
    });

    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn another_thread_wakes_a_task_that_waits_beside_the_main_one() {
    let token = CancellationToken::new();
    let other = token.clone();

    run(async {
        let has_come = Rc::new(tokio::sync::Notify::new());
        let told = Rc::clone(&has_come);
        spawn(async move {
            token.cancelled().await;
            told.notify_one();
        });
        let thread = thread::spawn(move || {
            thread::sleep(10 * MS);
            other.cancel();
        });
        assert!(timeout(PATIENCE, has_come.notified()).await.is_some());
        thread.join().unwrap();
    });
}

#[test]
fn what_is_woken_when_its_engine_is_gone_is_nothing() {
    let token = CancellationToken::new();
    let waiting = token.clone();
    let engine = Engine::new().unwrap();
    engine
        .block_on(async {
            spawn(async move { waiting.cancelled().await });
            yield_now().await;
        })
        .unwrap();
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    engine
        .block_on(poll_fn(move |cx| {
            *keep.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        }))
        .unwrap();

    drop(engine);
    token.cancel();

    kept.borrow_mut().take().unwrap().wake();
}

#[test]
fn a_task_is_aborted_once_and_by_itself_as_well() {
    let dropped = Rc::new(Cell::new(0));

    run(async {
        let guest = Guest(Rc::clone(&dropped));
        let handle = spawn(async move {
            let _guest = guest;
            pending::<()>().await;
        });
        yield_now().await;
        assert_eq!(dropped.get(), 0);
        handle.abort();
        handle.abort();
        yield_now().await;
        assert_eq!(dropped.get(), 1);

        let own = Rc::new(RefCell::new(None::<AbortHandle>));
        let (mine, guest) = (Rc::clone(&own), Guest(Rc::clone(&dropped)));
        let handle = spawn(async move {
            let _guest = guest;
            mine.borrow().as_ref().unwrap().abort();
            pending::<()>().await;
        });
        *own.borrow_mut() = Some(handle);
        yield_now().await;
        yield_now().await;
        assert_eq!(dropped.get(), 2);
    });
}

#[test]
fn an_ended_task_leaves_its_place_to_another_and_is_aborted_in_vain() {
    run(async {
        let ended = spawn(async {});
        yield_now().await;
        let has_run = Rc::new(Cell::new(false));
        let tell = Rc::clone(&has_run);
        spawn(async move {
            yield_now().await;
            tell.set(true);
        });

        ended.abort();
        for _ in 0..3 {
            yield_now().await;
        }

        assert!(has_run.get());
    });
}

#[test]
fn an_engine_drops_its_tasks() {
    let dropped = Rc::new(Cell::new(0));
    let engine = Engine::new().unwrap();
    engine
        .block_on(async {
            for _ in 0..3 {
                let guest = Guest(Rc::clone(&dropped));
                spawn(async move {
                    let _guest = guest;
                    // What it holds of the engine is let go of when the engine is no longer the current one.
                    sleep(PATIENCE).await;
                });
            }
            yield_now().await;
        })
        .unwrap();

    drop(engine);

    assert_eq!(dropped.get(), 3);
}

#[test]
fn timers_fire_in_their_order_and_none_before_its_time() {
    let fired = Rc::new(RefCell::new(Vec::new()));

    run(async {
        let begun = clock::monotonic();
        for wait in [9, 3, 6, 3] {
            let fired = Rc::clone(&fired);
            spawn(async move {
                sleep_until(begun + wait * MS).await;
                assert!(begun.elapsed() >= wait * MS, "{wait}");
                fired.borrow_mut().push(wait);
            });
        }
        sleep_until(begun + 10 * MS).await;
    });

    assert_eq!(*fired.borrow(), [3, 3, 6, 9]);
}

#[test]
fn a_timer_that_was_dropped_or_put_off_does_not_fire() {
    run(async {
        let begun = clock::monotonic();
        let mut put_off = sleep_until(begun + 5 * MS);
        drop({
            let mut dropped = sleep_until(begun + 5 * MS);
            poll_fn(|cx| {
                assert!(Pin::new(&mut dropped).poll(cx).is_pending());
                assert!(Pin::new(&mut put_off).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            dropped
        });
        put_off.reset(begun + 30 * MS);

        put_off.await;

        assert!(begun.elapsed() >= 30 * MS);
    });
}

#[test]
fn a_timer_fires_while_tasks_are_always_awake() {
    run(async {
        spawn(async {
            loop {
                yield_now().await;
            }
        });
        spawn(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        }));

        sleep(20 * MS).await;
    });
}

#[test]
fn a_wait_that_is_longer_than_time_itself_is_only_long() {
    run(async {
        assert!(timeout(5 * MS, sleep(Duration::MAX)).await.is_none());
    });
}

#[test]
fn waiting_is_idle_and_working_is_not() {
    let engine = Engine::new().unwrap();

    engine.block_on(async { sleep(30 * MS).await }).unwrap();
    let waited = engine.idle();
    engine.block_on(async { spin(clock::monotonic() + 30 * MS).await }).unwrap();

    assert!(waited >= 25 * MS, "{waited:?}");
    assert_eq!(engine.idle(), waited);
}

async fn spin(until: Instant) {
    while clock::monotonic() < until {
        yield_now().await;
    }
}
