//! A closed loop whose answers are the same again and again takes a short way; whatever is different once is counted
//! as it would be anywhere.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::{CLOSED, MS, OK, OutcomeClass, read_request, run, scenario, serve};

/// So many answers are the same before one that is not.
const REFRAINS: u64 = 6;

/// What a server has done.
#[derive(Default)]
struct Done {
    usual: AtomicU64,
    odd: AtomicU64,
}

/// Answers the same, then once with `odd`, and so on; that returns whether the connection goes on.
fn serve_with_odd(odd: impl Fn(&mut TcpStream) -> bool + Send + Sync + 'static) -> (SocketAddr, Arc<Done>) {
    let done = Arc::new(Done::default());
    let counted = Arc::clone(&done);
    let address = serve(move |mut stream, _| {
        for turn in 1.. {
            if !read_request(&mut stream) {
                return;
            }
            // Counted before it is said, so that the client cannot be quicker than the count.
            let goes_on = if turn % (REFRAINS + 1) > 0 {
                counted.usual.fetch_add(1, Ordering::SeqCst);
                stream.write_all(OK).is_ok()
            } else {
                counted.odd.fetch_add(1, Ordering::SeqCst);
                odd(&mut stream)
            };
            if !goes_on {
                return;
            }
        }
    });
    (address, done)
}

fn say(text: &'static [u8]) -> impl Fn(&mut TcpStream) -> bool {
    move |stream| stream.write_all(text).is_ok()
}

/// Runs a closed loop beside such a server and compares what was counted with what was done.
fn check(name: &str, class: OutcomeClass, odd: impl Fn(&mut TcpStream) -> bool + Send + Sync + 'static) {
    let (address, done) = serve_with_odd(odd);
    let mut scenario = scenario(CLOSED, 3, 300 * MS);
    scenario.profile.timeout = 60 * MS;

    let measurement = run(address, &scenario);

    let outcomes = measurement.outcomes();
    let (usual, odd) = (done.usual.load(Ordering::SeqCst), done.odd.load(Ordering::SeqCst));
    assert!(odd > 1 && usual > REFRAINS, "{name}: {usual} {odd}");
    let is_good = class == OutcomeClass::Success;
    let good = usual + if is_good { odd } else { 0 };
    assert_eq!(outcomes.count(OutcomeClass::Success), good, "{name}: {outcomes:?}");
    assert!(is_good || outcomes.count(class) == odd, "{name}: {odd} {class:?} of {outcomes:?}");
    assert_eq!(outcomes.total(), usual + odd, "{name}: {outcomes:?}");
}

#[test]
fn a_good_answer_that_is_different_is_one_more() {
    for (name, text) in [
        ("another body", &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"[..]),
        ("another length", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ("another header", b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok"),
        ("no body", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        (
            "an interim answer",
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
    ] {
        check(name, OutcomeClass::Success, say(text));
    }
}

#[test]
fn an_answer_in_pieces_is_one() {
    for at in [1, OK.len() - 3, OK.len() - 1] {
        check("pieces", OutcomeClass::Success, move |stream| {
            let said = stream.write_all(&OK[..at]).is_ok();
            thread::sleep(Duration::from_millis(3));
            said && stream.write_all(&OK[at..]).is_ok()
        });
    }
}

#[test]
fn an_answer_that_is_no_success_has_its_own_class() {
    for (class, text) in [
        (OutcomeClass::ClientError, &b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nok"[..]),
        (OutcomeClass::ServerError, b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nok"),
        (OutcomeClass::Redirect, b"HTTP/1.1 302 Go\r\nContent-Length: 2\r\n\r\nok"),
        // A pause that is over at once.
        (OutcomeClass::RetryLater, b"HTTP/1.1 503 Later\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nok"),
    ] {
        check(&format!("{class:?}"), class, say(text));
    }
}

#[test]
fn what_ends_the_connection_is_counted_once() {
    check("close", OutcomeClass::Success, |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        false
    });
    check("until the end", OutcomeClass::Success, |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok");
        false
    });
    check("broken off", OutcomeClass::Read, |stream| {
        let _ = stream.write_all(&OK[..OK.len() - 1]);
        false
    });
    check("nothing", OutcomeClass::Read, |_| false);
    check("nonsense", OutcomeClass::Protocol, |stream| {
        let _ = stream.write_all(b"SSH-2.0-x\r\n");
        false
    });
    check("more than was asked for", OutcomeClass::Protocol, |stream| {
        let _ = stream.write_all(&[OK, b"x"].concat());
        false
    });
    check("silence", OutcomeClass::Timeout, |stream| stream.read(&mut [0]).is_ok_and(|count| count > 0));
}
