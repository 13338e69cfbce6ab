//! Servers within their rights that are easily misjudged: early answers, floods, closes; and what all of them add up to.

use std::io::{Read, Write};

use super::{
    CLOSED, MS, OK, OutcomeClass, answer_always, classes, classes_of_sent, open_loop, read_request, run,
    scenario, serve,
};
use crate::request::{Method, Request};

#[test]
fn an_answer_that_lasts_until_the_close_is_followed_by_no_pause() {
    let address = serve(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts");
    });

    let measurement = run(address, &scenario(open_loop(50.0), 1, 600 * MS));

    assert_eq!(classes_of_sent(&measurement), [OutcomeClass::Success]);
    let latency = measurement.merged().latency;
    // Pauses would grow to half a second, and all requests due meanwhile wait.
    assert!(latency.value_at_quantile(0.5) < 20_000_000, "{}", latency.value_at_quantile(0.5));
}

#[test]
fn an_endless_body_times_out_however_fast_it_comes() {
    let address = serve(|mut stream, _| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let flood = vec![b'x'; 4_000_000];
        while stream.write_all(&flood).is_ok() {}
    });
    let mut scenario = scenario(CLOSED, 1, 500 * MS);
    scenario.profile.timeout = 100 * MS;

    let outcomes = run(address, &scenario).outcomes();

    assert!(outcomes.count(OutcomeClass::Timeout) >= 3, "{outcomes:?}");
    assert_eq!(outcomes.total(), outcomes.count(OutcomeClass::Timeout), "{outcomes:?}");
}

/// A request whose body is larger than all socket buffers on its way.
fn upload() -> Request {
    Request::new(Method::Post, "/".into(), vec![], vec![b'b'; 20_000_000]).unwrap()
}

#[test]
fn an_answer_before_the_end_of_the_request_counts() {
    for does_close in [true, false] {
        let address = serve(move |mut stream, _| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
            if !does_close {
                std::thread::sleep(3000 * MS);
            }
        });
        let mut scenario = scenario(CLOSED, 1, 200 * MS);
        scenario.requests = upload().into();

        let measurement = run(address, &scenario);

        assert_eq!(classes(&measurement), [OutcomeClass::ClientError], "{does_close}");
    }
}

#[test]
fn a_service_that_answers_while_it_reads_is_no_deadlock() {
    let address = serve(|mut stream, _| {
        let mut piece = vec![0; 65_536];
        while read_request(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n");
            let mut left = 20_000_000;
            while left > 0 {
                let Ok(count @ 1..) = stream.read(&mut piece) else { return };
                if stream.write_all(&piece[..count]).is_err() {
                    return;
                }
                left -= count;
            }
        }
    });
    let mut scenario = scenario(CLOSED, 1, 100 * MS);
    scenario.requests = upload().into();

    assert_eq!(classes(&run(address, &scenario)), [OutcomeClass::Success]);
}

#[test]
fn no_server_makes_a_scheduled_request_disappear() {
    type Behaviour = fn(std::net::TcpStream, usize);
    let servers: [(&str, Behaviour); 7] = [
        ("closes at once", |_, _| {}),
        ("never answers", |mut stream, _| while read_request(&mut stream) {}),
        ("closes after each answer", |mut stream, _| {
            read_request(&mut stream);
            let _ = stream.write_all(OK);
        }),
        ("refuses every second connection", |mut stream, number| {
            if number % 2 == 0 {
                answer_always(&mut stream, OK);
            }
        }),
        ("dies halfway through the third answer", |mut stream, _| {
            for _ in 0..2 {
                read_request(&mut stream);
                let _ = stream.write_all(OK);
            }
            read_request(&mut stream);
            let _ = stream.write_all(&OK[..20]);
        }),
        ("answers before it is asked", |mut stream, _| {
            let _ = stream.write_all(OK);
            answer_always(&mut stream, OK);
        }),
        ("sends a body where there is none", |mut stream, _| {
            answer_always(&mut stream, b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok");
        }),
    ];
    for (name, behave) in servers {
        let mut scenario = scenario(open_loop(200.0), 3, 300 * MS);
        scenario.profile.warm_up = 50 * MS;
        scenario.profile.timeout = 60 * MS;

        let measurement = run(serve(behave), &scenario);

        assert_eq!(measurement.outcomes().total(), 60, "{name}: {:?}", measurement.outcomes());
    }
}
