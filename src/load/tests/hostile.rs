//! Hostile and broken servers: each gets the outcome it deserves, and none stops or stalls a run.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{
    CLOSED, MS, Measurement, OK, OutcomeClass, answer_always, classes, classes_of_sent, open_loop,
    read_request, run, scenario, serve, serve_always,
};
use crate::clock;
use crate::request::{Method, Request};

/// Runs two connections for 150 ms.
fn attack(address: std::net::SocketAddr) -> Measurement {
    run(address, &scenario(CLOSED, 2, 150 * MS))
}

#[test]
fn answers_are_told_apart_by_their_status() {
    for (answer, class) in [
        (OK, OutcomeClass::Success),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            OutcomeClass::Redirect,
        ),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", OutcomeClass::ClientError),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", OutcomeClass::ServerError),
    ] {
        let measurement = attack(serve_always(answer));

        assert_eq!(classes(&measurement), [class]);
        let recorded = measurement.merged().latency.len();
        assert_eq!(recorded > 0, !class.is_error(), "{class:?}");
    }
}

#[test]
fn a_redirect_is_never_followed() {
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let location = elsewhere.local_addr().unwrap();
    let address = serve(move |mut stream, _| {
        let answer =
            format!("HTTP/1.1 302 Found\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n");
        answer_always(&mut stream, answer.as_bytes());
    });

    assert_eq!(classes(&attack(address)), [OutcomeClass::Redirect]);
    assert!(elsewhere.accept().is_err(), "somebody followed the redirect");
}

#[test]
fn what_is_not_http_is_a_protocol_error() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"<html>hello, I speak HTTP/0.9</html>",
        b"\0\xff\xfe\x01",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nmore than two bytes",
    ] {
        let measurement = attack(serve_always(garbage));

        assert_eq!(classes(&measurement), [OutcomeClass::Protocol], "{}", garbage.escape_ascii());
    }
}

#[test]
fn endless_headers_are_cut() {
    let address = serve(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"A: and so on, and so on, and so on\r\n").is_ok() {}
    });

    assert_eq!(classes(&attack(address)), [OutcomeClass::Protocol]);
}

#[test]
fn an_answer_that_breaks_off_is_a_read_error() {
    for part in [&b""[..], b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot a hundred"] {
        let address = serve(move |mut stream, _| {
            read_request(&mut stream);
            let _ = stream.write_all(part);
        });

        assert_eq!(classes(&attack(address)), [OutcomeClass::Read], "{}", part.escape_ascii());
    }
}

#[test]
fn a_reset_is_a_read_or_write_error() {
    let address = serve(|stream, _| {
        // Closing with unread bytes makes the kernel send a reset.
        let mut byte = [0];
        let _ = stream.peek(&mut byte);
    });

    let classes = classes(&attack(address));

    assert!(!classes.is_empty());
    assert!(
        classes.iter().all(|class| matches!(class, OutcomeClass::Read | OutcomeClass::Write)),
        "{classes:?}"
    );
}

#[test]
fn a_server_that_never_answers_is_timed_out_while_the_run_goes_on() {
    let address = serve(|mut stream, _| while read_request(&mut stream) {});
    let mut scenario = scenario(CLOSED, 2, 350 * MS);
    scenario.profile.timeout = 100 * MS;

    let measurement = run(address, &scenario);

    let outcomes = measurement.outcomes();
    assert!(outcomes.count(OutcomeClass::Timeout) >= 4, "{outcomes:?}");
    assert_eq!(
        outcomes.total(),
        outcomes.count(OutcomeClass::Timeout) + outcomes.count(OutcomeClass::Unanswered)
    );
    let round = measurement.merged();
    assert_eq!((round.latency.len(), round.service_time.len()), (outcomes.total(), 0));
    assert!(round.latency.max() >= 100_000_000);
}

#[test]
fn a_stall_in_the_middle_of_an_answer_is_timed_out() {
    let address = serve(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
        let _ = stream.read_exact(&mut [0]);
    });
    let mut scenario = scenario(CLOSED, 1, 250 * MS);
    scenario.profile.timeout = 80 * MS;

    let outcomes = run(address, &scenario).outcomes();

    assert!(outcomes.count(OutcomeClass::Timeout) >= 2, "{outcomes:?}");
}

#[test]
fn a_server_that_drips_bytes_cannot_outlast_the_time_out() {
    let address = serve(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(MS);
        }
    });
    let mut scenario = scenario(CLOSED, 1, 250 * MS);
    scenario.profile.timeout = 80 * MS;

    let outcomes = run(address, &scenario).outcomes();

    assert!(outcomes.count(OutcomeClass::Timeout) >= 2, "{outcomes:?}");
}

#[test]
fn single_bytes_are_put_together() {
    let address = serve(|mut stream, _| {
        while read_request(&mut stream) {
            for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        }
    });

    assert_eq!(classes(&attack(address)), [OutcomeClass::Success]);
}

#[test]
fn a_server_that_closes_after_each_answer_is_reconnected() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"[..],
        b"HTTP/1.0 200 OK\r\n\r\nas long as it lasts",
    ] {
        let address = serve(move |mut stream, _| {
            read_request(&mut stream);
            let _ = stream.write_all(answer);
        });

        let measurement = attack(address);

        assert_eq!(classes(&measurement), [OutcomeClass::Success]);
        assert!(measurement.outcomes().total() > 2, "{:?}", measurement.outcomes());
    }
}

#[test]
fn a_connection_closed_while_idle_is_no_error() {
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    let address = serve(move |mut stream, _| {
        seen.fetch_add(1, Ordering::Relaxed);
        read_request(&mut stream);
        let _ = stream.write_all(OK);
    });

    let measurement = run(address, &scenario(open_loop(10.0), 1, 400 * MS));

    assert_eq!(classes_of_sent(&measurement), [OutcomeClass::Success]);
    assert_eq!(measurement.outcomes().total(), 4);
    assert!(connections.load(Ordering::Relaxed) >= 4);
}

#[test]
fn a_port_where_nobody_listens_gives_connect_errors_and_is_not_hammered() {
    let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();

    let outcomes = run(address, &scenario(CLOSED, 1, 300 * MS)).outcomes();

    // Pauses of 10, 20, 40, 80 and 160 ms fit into the time.
    let count = outcomes.count(OutcomeClass::Connect);
    assert_eq!(count, outcomes.total());
    assert!((2..=6).contains(&count), "{count}");
}

#[test]
fn a_scheduled_run_against_nobody_counts_every_request() {
    let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();

    let outcomes = run(address, &scenario(open_loop(200.0), 4, 300 * MS)).outcomes();

    assert!(outcomes.count(OutcomeClass::Connect) > 0, "{outcomes:?}");
    assert_eq!(outcomes.total(), 60);
    assert_eq!(
        outcomes.total(),
        outcomes.count(OutcomeClass::Connect) + outcomes.count(OutcomeClass::Unsent)
    );
}

#[test]
fn a_hundred_megabytes_are_read_and_forgotten() {
    const PIECE: &[u8] = &[b'x'; 1_000_000];
    let address = serve(|mut stream, _| {
        while read_request(&mut stream) {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
            if stream.write_all(head).is_err() || (0..100).any(|_| stream.write_all(PIECE).is_err()) {
                return;
            }
        }
    });

    let measurement = run(address, &scenario(CLOSED, 1, 50 * MS));

    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
}

#[test]
fn an_answer_to_head_is_complete_without_its_body() {
    let mut scenario = scenario(CLOSED, 1, 100 * MS);
    scenario.requests = Request::new(Method::Head, "/".into(), vec![], vec![]).unwrap().into();

    let measurement = run(serve_always(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), &scenario);

    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
}

#[test]
fn a_large_body_is_sent_whole() {
    const BODY: usize = 3_000_000;
    let address = serve(|mut stream, _| {
        let mut body = vec![0; BODY];
        while read_request(&mut stream) && stream.read_exact(&mut body).is_ok() {
            let answer = if body.iter().all(|byte| *byte == b'b') { OK } else { b"garbled" };
            let _ = stream.write_all(answer);
        }
    });
    let mut scenario = scenario(CLOSED, 1, 100 * MS);
    scenario.requests = Request::new(Method::Post, "/".into(), vec![], vec![b'b'; BODY]).unwrap().into();

    assert_eq!(classes(&run(address, &scenario)), [OutcomeClass::Success]);
}

#[test]
fn what_is_unanswered_at_the_end_is_counted_and_does_not_hold_up_the_run() {
    let address = serve(|mut stream, _| while read_request(&mut stream) {});
    let mut scenario = scenario(CLOSED, 3, 100 * MS);
    scenario.profile.timeout = 300 * MS;
    let started: Instant = clock::monotonic();

    let measurement = run(address, &scenario);

    assert_eq!(measurement.outcomes().total(), 3);
    assert_eq!(measurement.merged().latency.len(), 3);
    assert!(started.elapsed() < 900 * MS, "{:?}", started.elapsed());
}
