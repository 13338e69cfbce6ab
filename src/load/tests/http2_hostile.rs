//! Hostile and broken servers of HTTP/2, byte by byte: each gets the outcome it deserves, and none stops a run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;
use http::{HeaderMap, Response};

use super::http2::{Asked, over_http2, serve_http2};
use super::{CLOSED, MS, OutcomeClass, classes_of_sent, run, serve};
use crate::measurement::Ending;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ALTSVC: u8 = 10;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200`, as the static table has it.
const STATUS_200: &[u8] = &[0x88];

/// `:status: 103`, spelt out.
const STATUS_103: &[u8] = b"\x08\x03103";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Reads one frame; returns its kind, flags and stream.
fn read_frame(stream: &mut TcpStream) -> Option<(u8, u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    std::io::copy(&mut stream.take(length.into()), &mut std::io::sink()).ok()?;
    Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
}

/// Greets every client and treats each of its requests with a closure, which is given the stream's number.
fn serve_frames(
    treat: impl Fn(&mut TcpStream, u32) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    serve(move |mut stream, _| {
        let mut preface = [0; 24];
        if stream.read_exact(&mut preface).is_err() || stream.write_all(&frame(SETTINGS, 0, 0, &[])).is_err()
        {
            return;
        }
        while let Some((kind, flags, number)) = read_frame(&mut stream) {
            let result = match (kind, flags) {
                (HEADERS, _) => treat(&mut stream, number),
                (SETTINGS, 0) => stream.write_all(&frame(SETTINGS, ACK, 0, &[])),
                _ => Ok(()),
            };
            if result.is_err() {
                return;
            }
        }
    })
}

/// Runs two streams on each of two connections, with little patience.
fn attack(address: SocketAddr) -> Vec<OutcomeClass> {
    attack_for(address, 150 * MS)
}

fn attack_for(address: SocketAddr, patience: Duration) -> Vec<OutcomeClass> {
    let mut scenario = over_http2(CLOSED, 2, 2, 200 * MS);
    scenario.profile.timeout = patience;
    classes_of_sent(&run(address, &scenario))
}

#[test]
fn frames_byte_by_byte_are_an_answer() {
    let address = serve_frames(|stream, number| {
        for byte in frame(HEADERS, END_HEADERS | END_STREAM, number, STATUS_200) {
            stream.write_all(&[byte])?;
        }
        Ok(())
    });

    assert_eq!(attack(address), [OutcomeClass::Success]);
}

#[test]
fn interim_answers_and_unknown_frames_are_passed_over() {
    let address = serve_frames(|stream, number| {
        stream.write_all(&frame(ALTSVC, 0, number, b"\0\0h2=\":1\""))?;
        stream.write_all(&frame(0xbe, 0xff, number, b"whatever"))?;
        stream.write_all(&frame(PING, 0, 0, b"12345678"))?;
        for _ in 0..3 {
            stream.write_all(&frame(HEADERS, END_HEADERS, number, STATUS_103))?;
        }
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, number, STATUS_200))
    });

    assert_eq!(attack(address), [OutcomeClass::Success]);
}

#[test]
fn a_pushed_answer_is_a_breach_of_protocol_and_takes_the_target_back() {
    let address = serve_frames(|stream, number| {
        let mut promise = 2_u32.to_be_bytes().to_vec();
        // GET, http and / as the static table has them.
        promise.extend_from_slice(&[0x82, 0x86, 0x84]);
        stream.write_all(&frame(PUSH_PROMISE, END_HEADERS, number, &promise))
    });

    let measurement = run(address, &over_http2(CLOSED, 2, 2, 60_000 * MS));

    assert_eq!(classes_of_sent(&measurement), [OutcomeClass::Protocol]);
    assert!(
        matches!(&measurement.ending, Ending::Revoked(why) if why.contains("pushes")),
        "{:?}",
        measurement.ending
    );
}

#[test]
fn endless_headers_are_cut() {
    let address = serve_frames(|stream, number| {
        stream.write_all(&frame(HEADERS, 0, number, STATUS_200))?;
        loop {
            stream.write_all(&frame(CONTINUATION, 0, number, b"\0\x01a\x01b"))?;
        }
    });

    assert_eq!(attack(address), [OutcomeClass::Protocol]);
}

#[test]
fn endless_interim_answers_end_with_the_deadline() {
    let address = serve_frames(|stream, number| {
        loop {
            stream.write_all(&frame(HEADERS, END_HEADERS, number, STATUS_103))?;
        }
    });

    assert_eq!(attack(address), [OutcomeClass::Timeout]);
}

#[test]
fn an_endless_body_ends_with_the_deadline() {
    let address = serve_frames(|stream, number| {
        stream.write_all(&frame(HEADERS, END_HEADERS, number, STATUS_200))?;
        // More than any window: without updates from the client this would be a breach.
        for _ in 0..64 {
            stream.write_all(&frame(DATA, 0, number, &[b'x'; 16_000]))?;
        }
        Ok(())
    });

    assert_eq!(attack(address), [OutcomeClass::Timeout]);
}

#[test]
fn headers_and_trailers_without_measure_are_refused() {
    let long = |bytes: usize| (0..bytes / 2_000).map(|number| (format!("x-{number}"), "y".repeat(2_000)));
    let headers = serve_http2(&Builder::new(), move |_| {
        move |(_, mut respond): Asked| {
            let head = long(80_000).fold(Response::builder(), |head, (name, value)| head.header(name, value));
            let _ = respond.send_response(head.body(()).unwrap(), true);
            true
        }
    });
    let trailers = serve_http2(&Builder::new(), move |_| {
        move |(_, mut respond): Asked| {
            let Ok(mut sending) = respond.send_response(Response::new(()), false) else { return true };
            let _ = sending.send_data(Bytes::from_static(b"ok"), false);
            let mut fields = HeaderMap::new();
            for (name, value) in long(300_000) {
                fields.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            }
            let _ = sending.send_trailers(fields);
            true
        }
    });

    assert_eq!(attack_for(headers, 2000 * MS), [OutcomeClass::Protocol]);
    assert_eq!(attack_for(trailers, 2000 * MS), [OutcomeClass::Protocol]);
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_a_breach_of_protocol() {
    let address = serve_frames(|stream, number| {
        // content-length: 9, spelt out with its name from the static table.
        let head = [STATUS_200, b"\x0f\x0d\x019"].concat();
        stream.write_all(&frame(HEADERS, END_HEADERS, number, &head))?;
        stream.write_all(&frame(DATA, END_STREAM, number, b"short"))
    });

    assert_eq!(attack(address), [OutcomeClass::Protocol]);
}

#[test]
fn an_answer_without_a_status_is_a_breach_of_protocol() {
    let address = serve_frames(|stream, number| {
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, number, b"\0\x01a\x01b"))
    });

    assert_eq!(attack(address), [OutcomeClass::Protocol]);
}

#[test]
fn garbage_is_a_breach_of_protocol() {
    let before_settings = serve(|mut stream, _| {
        let _ = stream.write_all(b"\xff\xfe\xfd and so on, and so on, and so on");
        // Closing with unread bytes would make the kernel send a reset, which may be seen before the garbage.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let after_settings = serve_frames(|stream, _| stream.write_all(&[0xff; 64]));

    assert_eq!(attack(before_settings), [OutcomeClass::Protocol]);
    assert_eq!(attack(after_settings), [OutcomeClass::Protocol]);
}

#[test]
fn a_server_that_never_says_what_it_allows_is_timed_out() {
    let address = serve(|mut stream, _| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });

    // Whoever still waits for the connection at the very end has not sent.
    assert_eq!(attack(address), [OutcomeClass::Timeout]);
}

#[test]
fn a_connection_that_breaks_under_its_streams_is_a_read_error() {
    let address = serve_frames(|_, _| Err(std::io::ErrorKind::Other.into()));

    assert_eq!(attack(address), [OutcomeClass::Read]);
}

#[test]
fn a_goodbye_with_an_error_is_a_read_error() {
    let address = serve_frames(|stream, _| {
        // It has looked at no stream, for INTERNAL_ERROR.
        stream.write_all(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2]))
    });

    assert_eq!(attack(address), [OutcomeClass::Read]);
}

#[test]
fn a_server_that_says_goodbye_to_everybody_is_asked_twice_and_not_for_ever() {
    let address = serve_frames(|stream, _| stream.write_all(&frame(GOAWAY, 0, 0, &[0; 8])));

    assert_eq!(attack(address), [OutcomeClass::Read]);
}
