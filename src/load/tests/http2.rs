//! HTTP/2 against real servers: lines share connections, and every way in which a server may limit, slow or end them
//! is kept to.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Response};

use super::{
    CLOSED, DriveOptions, EchoWatch, MS, OutcomeClass, classes, drive, local, never, open_loop, options, run,
    scenario, serve,
};
use crate::request::{DeclaredSecret, Method, Mix, Placeholders, Request};
use crate::scenario::{Pacing, Protocol, Scenario};
use crate::secret::Secret;

/// One request as the server sees it.
pub(super) type Asked = (http::Request<RecvStream>, SendResponse<Bytes>);

/// Treats the requests of one connection; after false the server says goodbye.
pub(super) trait Treat: FnMut(Asked) -> bool + Send + 'static {}

impl<T: FnMut(Asked) -> bool + Send + 'static> Treat for T {}

pub(super) fn over_http2(pacing: Pacing, connections: u32, streams: u32, duration: Duration) -> Scenario {
    let streams = NonZeroU32::new(streams).unwrap();
    Scenario { protocol: Protocol::Http2 { streams }, ..scenario(pacing, connections, duration) }
}

/// Serves HTTP/2 without TLS. For every connection `make` makes what treats its requests; where that returns false
/// the server says goodbye and finishes what it has begun.
pub(super) fn serve_http2<T: Treat>(
    builder: &Builder,
    make: impl Fn(usize) -> T + Send + Sync + 'static,
) -> SocketAddr {
    let builder = builder.clone();
    serve(move |stream, number| treat(stream, &builder, make(number)))
}

fn treat(stream: TcpStream, builder: &Builder, mut treat: impl Treat) {
    stream.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
        while let Some(Ok(asked)) = connection.accept().await {
            if !treat(asked) {
                connection.graceful_shutdown();
            }
        }
    });
}

pub(super) fn answer((_, mut respond): Asked, body: &'static [u8]) {
    if let Ok(mut sending) = respond.send_response(Response::new(()), body.is_empty())
        && !body.is_empty()
    {
        let _ = sending.send_data(Bytes::from_static(body), true);
    }
}

fn answer_with_trailer(mut respond: SendResponse<Bytes>, checksum: &str) {
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    sending.send_data(Bytes::from_static(b"ok"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", checksum.parse().unwrap());
    sending.send_trailers(trailers).unwrap();
}

#[test]
fn every_request_of_either_loop_is_answered_and_counted() {
    let address = serve_http2(&Builder::new(), |_| {
        |asked: Asked| {
            answer(asked, b"ok");
            true
        }
    });

    for pacing in [CLOSED, open_loop(400.0)] {
        let measurement = run(address, &over_http2(pacing, 2, 4, 300 * MS));

        // A machine that is too busy for the schedule leaves some requests unsent.
        let wrong = |class: &OutcomeClass| !matches!(class, OutcomeClass::Success | OutcomeClass::Unsent);
        assert!(!classes(&measurement).iter().any(wrong), "{:?}", measurement.outcomes());
        assert!(measurement.outcomes().total() >= 60, "{:?}", measurement.outcomes());
        assert_eq!((measurement.asked_connections, measurement.reached_connections), (2, 2));
        // Two frames for each answer at least, with nine bytes before what they hold.
        assert!(measurement.bytes_received > Some(20 * 60), "{:?}", measurement.bytes_received);
    }
}

#[test]
fn lines_use_their_streams_at_the_same_time() {
    // This server answers nobody before four have asked.
    let address = serve_http2(&Builder::new(), |_| {
        let mut waiting: Vec<Asked> = Vec::new();
        move |asked| {
            waiting.push(asked);
            if waiting.len() == 4 {
                waiting.drain(..).for_each(|one| answer(one, b""));
            }
            true
        }
    });

    let measurement = run(address, &over_http2(CLOSED, 1, 4, 300 * MS));

    let answered = measurement.outcomes().count(OutcomeClass::Success);
    assert!(answered >= 8 && answered.is_multiple_of(4), "{:?}", measurement.outcomes());
    assert_eq!(measurement.reached_connections, 1);
}

#[test]
fn a_server_that_allows_one_stream_gets_one_at_a_time() {
    // The library refuses a stream too many.
    let address = serve_http2(Builder::new().max_concurrent_streams(1), |_| {
        |asked: Asked| {
            answer(asked, b"ok");
            true
        }
    });

    for pacing in [CLOSED, open_loop(200.0)] {
        let measurement = run(address, &over_http2(pacing, 1, 5, 300 * MS));

        let wrong = |class: &OutcomeClass| !matches!(class, OutcomeClass::Success | OutcomeClass::Unsent);
        assert!(!classes(&measurement).iter().any(wrong), "{:?}", measurement.outcomes());
        assert!(measurement.outcomes().count(OutcomeClass::Success) > 0);
    }
}

#[test]
fn a_goodbye_ends_a_connection_and_fails_no_request() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = serve_http2(&Builder::new(), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        let mut left = 20;
        move |asked| {
            answer(asked, b"ok");
            left -= 1;
            left > 0
        }
    });

    let measurement = run(address, &over_http2(CLOSED, 2, 4, 400 * MS));

    assert_eq!(classes(&measurement), [OutcomeClass::Success], "{:?}", measurement.outcomes());
    assert!(connections.load(Ordering::Relaxed) > 4);
    assert!(measurement.reached_connections <= 4, "{}", measurement.reached_connections);
}

#[test]
fn a_connection_is_replaced_after_as_many_requests_as_the_profile_says() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = serve_http2(&Builder::new(), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        |asked: Asked| {
            answer(asked, b"ok");
            true
        }
    });
    let mut scenario = over_http2(CLOSED, 1, 2, 300 * MS);
    scenario.profile.reconnect_every = NonZeroU32::new(3);

    let measurement = run(address, &scenario);

    let answered = measurement.outcomes().count(OutcomeClass::Success);
    let seen = connections.load(Ordering::Relaxed) as u64;
    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
    // Two streams share a connection, so that one more answer may come after the third.
    assert!(seen >= answered / 4 && seen <= answered / 3 + 1, "{answered} over {seen}");
}

#[test]
fn a_server_that_resets_every_stream_is_not_hammered() {
    let requests = Arc::new(AtomicUsize::new(0));
    for reason in [Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM, Reason::ENHANCE_YOUR_CALM] {
        let counted = Arc::clone(&requests);
        let address = serve_http2(&Builder::new(), move |_| {
            let counted = Arc::clone(&counted);
            move |(_, mut respond): Asked| {
                counted.fetch_add(1, Ordering::Relaxed);
                respond.send_reset(reason);
                true
            }
        });

        let measurement = run(address, &over_http2(CLOSED, 2, 4, 300 * MS));

        assert_eq!(classes(&measurement), [OutcomeClass::Read], "{reason}");
        assert!(requests.swap(0, Ordering::Relaxed) < 100, "{reason}");
    }
}

#[test]
fn a_stream_that_is_never_answered_is_timed_out_alone() {
    let address = serve_http2(&Builder::new(), |_| {
        let mut asked_so_far = 0;
        let mut kept = Vec::new();
        move |asked| {
            asked_so_far += 1;
            if asked_so_far == 1 {
                kept.push(asked);
            } else {
                answer(asked, b"ok");
            }
            true
        }
    });
    let mut scenario = over_http2(CLOSED, 1, 2, 400 * MS);
    scenario.profile.timeout = 100 * MS;

    let measurement = run(address, &scenario);

    assert_eq!(classes(&measurement), [OutcomeClass::Success, OutcomeClass::Timeout]);
    // The other stream went on over the same connection.
    assert_eq!(measurement.reached_connections, 1);
}

#[test]
fn a_connection_on_which_nothing_comes_is_given_up() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = serve_http2(&Builder::new(), move |number| {
        counted.fetch_add(1, Ordering::Relaxed);
        let mut kept = Vec::new();
        move |asked| {
            if number == 0 {
                kept.push(asked);
            } else {
                answer(asked, b"ok");
            }
            true
        }
    });
    let mut scenario = over_http2(CLOSED, 1, 3, 500 * MS);
    scenario.profile.timeout = 100 * MS;

    let measurement = run(address, &scenario);

    // Without another connection there would be three with every time-out, and never an answer.
    let count = |class| measurement.outcomes().count(class);
    assert!(count(OutcomeClass::Timeout) >= 3, "{:?}", measurement.outcomes());
    assert!(count(OutcomeClass::Success) > count(OutcomeClass::Timeout), "{:?}", measurement.outcomes());
    assert!(connections.load(Ordering::Relaxed) >= 2);
}

#[test]
fn a_large_body_goes_through_a_tiny_window() {
    const BODY_BYTES: usize = 1024 * 1024;
    let address = serve_http2(Builder::new().initial_window_size(1000), |_| {
        |(request, mut respond): Asked| {
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut received = 0;
                while let Some(Ok(piece)) = body.data().await {
                    received += piece.len();
                    let _ = body.flow_control().release_capacity(piece.len());
                }
                let status = if received == BODY_BYTES { 200 } else { 400 };
                let _ = respond.send_response(Response::builder().status(status).body(()).unwrap(), true);
            });
            true
        }
    });
    let mut scenario = over_http2(CLOSED, 1, 2, 300 * MS);
    scenario.profile.timeout = Duration::from_secs(20);
    scenario.requests =
        Request::new(Method::Post, "/".into(), vec![], vec![b'x'; BODY_BYTES]).unwrap().into();

    let measurement = run(address, &scenario);

    // The machine may be too slow for one of them to end in time; none may be wrong.
    let seen = classes(&measurement);
    let good = [OutcomeClass::Success, OutcomeClass::Unanswered];
    assert!(!seen.is_empty() && seen.iter().all(|class| good.contains(class)), "{seen:?}");
}

#[test]
fn a_large_answer_does_not_wait_for_a_window() {
    static BODY: [u8; 3 * 1024 * 1024] = [b'x'; 3 * 1024 * 1024];
    let address = serve_http2(&Builder::new(), |_| {
        |asked: Asked| {
            answer(asked, &BODY);
            true
        }
    });

    let measurement = run(address, &over_http2(CLOSED, 1, 3, 800 * MS));

    assert!(measurement.outcomes().count(OutcomeClass::Success) > 0, "{:?}", measurement.outcomes());
}

#[test]
fn a_secret_in_an_interim_answer_or_a_trailer_is_told() {
    let address = serve_http2(&Builder::new(), |_| {
        |(_, mut respond): Asked| {
            let interim = Response::builder().status(103).header("link", "correct-horse").body(()).unwrap();
            respond.send_informational(interim).unwrap();
            answer_with_trailer(respond, "correct-horse");
            true
        }
    });
    let secret = DeclaredSecret {
        name: "ONE".into(),
        headers: vec!["authorization".into()],
        value: Ok(Secret::new("correct-horse".into())),
    };
    let watch = EchoWatch::of(&Placeholders::new(1, vec![secret])).map(Arc::new).unwrap();
    let (target, scenario) = (local(address), over_http2(CLOSED, 1, 2, 200 * MS));
    let sources = Mix::new(&scenario.requests, &target.origin().authority(), 1);
    let watched = DriveOptions { echo: Some(Arc::clone(&watch)), ..options(1) };

    let measurement = drive(&target, &scenario, &sources, &watched, &never(), &|_| {}).unwrap();

    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
    let places: Vec<_> = watch.take().into_iter().map(|echo| echo.place).collect();
    assert_eq!(places, ["a trailer", "an interim answer"]);
}

#[test]
fn trailers_end_an_answer() {
    let address = serve_http2(&Builder::new(), |_| {
        |(_, respond): Asked| {
            answer_with_trailer(respond, "1");
            true
        }
    });

    assert_eq!(classes(&run(address, &over_http2(CLOSED, 1, 2, 200 * MS))), [OutcomeClass::Success]);
}

#[test]
fn an_alternative_service_is_not_asked() {
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let alternative = format!("h2=\":{}\"; ma=3600", elsewhere.local_addr().unwrap().port());
    let address = serve_http2(&Builder::new(), move |_| {
        let alternative = alternative.clone();
        move |(_, mut respond): Asked| {
            let head = Response::builder().header("alt-svc", &alternative).body(()).unwrap();
            let _ = respond.send_response(head, true);
            // A new connection would be the moment to go elsewhere.
            false
        }
    });

    assert_eq!(classes(&run(address, &over_http2(CLOSED, 1, 2, 200 * MS))), [OutcomeClass::Success]);
    assert!(elsewhere.accept().is_err(), "somebody asked the alternative service");
}

#[test]
fn a_server_of_http_1_is_told_from_one_of_http_2() {
    let address = super::serve_always(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");

    let measurement = run(address, &over_http2(CLOSED, 1, 2, 150 * MS));

    assert_eq!(classes(&measurement), [OutcomeClass::Protocol]);
}
