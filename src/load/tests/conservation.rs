//! Nothing that was scheduled disappears, whatever a server does with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{MS, OK, open_loop, read_request, run, scenario, serve};

/// What a server does with one request.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Answer,
    AnswerLate,
    Refuse,
    AnswerAndClose,
    BreakOff,
    Reset,
    TalkNonsense,
    NeverAnswer,
}

const DEEDS: [Deed; 8] = [
    Deed::Answer,
    Deed::AnswerLate,
    Deed::Refuse,
    Deed::AnswerAndClose,
    Deed::BreakOff,
    Deed::Reset,
    Deed::TalkNonsense,
    Deed::NeverAnswer,
];

/// Does it; returns whether the connection goes on.
fn done(deed: Deed, stream: &mut TcpStream) -> bool {
    let mut say = |bytes: &[u8]| stream.write_all(bytes).is_ok();
    match deed {
        Deed::Answer => say(OK),
        Deed::AnswerLate => {
            thread::sleep(15 * MS);
            say(OK)
        }
        Deed::Refuse => say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
        Deed::AnswerAndClose => {
            say(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            false
        }
        Deed::BreakOff => {
            say(&OK[..20]);
            false
        }
        Deed::Reset => false,
        Deed::TalkNonsense => say(b"SSH-2.0-x\r\n"),
        // Until the client has had enough.
        Deed::NeverAnswer => stream.read(&mut [0]).is_ok_and(|count| count > 0),
    }
}

/// Serves each connection with the same deeds, beginning with another one each time.
fn serve_deeds(deeds: Vec<Deed>) -> std::net::SocketAddr {
    serve(move |mut stream, number| {
        for deed in deeds.iter().cycle().skip(number) {
            if matches!(deed, Deed::Reset) {
                // Closing with unread bytes makes the kernel send a reset.
                let _ = stream.peek(&mut [0]);
                return;
            }
            if !read_request(&mut stream) || !done(*deed, &mut stream) {
                return;
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sum_of_all_outcomes_is_what_was_scheduled(
        deeds in vec(prop::sample::select(DEEDS.as_slice()), 1..6),
        every_ms in 2_u64..12,
        warm_up_ms in 0_u64..40,
        lasts_ms in 60_u64..200,
        connections in 1_u32..5,
        rounds in 1_u32..4,
    ) {
        // What is due in the very moment of the end belongs to either side.
        prop_assume!(lasts_ms % every_ms != 0);
        let mut scenario = scenario(open_loop(1e3 / every_ms as f64), connections, MS * lasts_ms as u32);
        scenario.profile.warm_up = MS * warm_up_ms as u32;
        scenario.profile.rounds = NonZeroU32::new(rounds).unwrap();
        scenario.profile.timeout = 40 * MS;

        let outcomes = run(serve_deeds(deeds), &scenario).outcomes();

        // The schedule begins anew with the measured time.
        prop_assert_eq!(outcomes.total(), lasts_ms.div_ceil(every_ms), "{:?}", outcomes);
    }
}
