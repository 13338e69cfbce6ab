//! Answers that a preview must not give end the load at once, over either version of HTTP, and no passing run is left.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::Builder;
use http::Response;

use super::http2::{Asked, over_http2, serve_http2};
use super::{
    CLOSED, MS, Measurement, OK, OutcomeClass, Scenario, classes, drive_fixed, local, never, open_loop,
    read_request, scenario, serve,
};
use crate::clock;
use crate::guard::{AnswerRules, ClearedTarget};
use crate::load::StopSignal;
use crate::measurement::Ending;
use crate::target::{Origin, Scheme};

const HOST: &str = "pr-1.preview.shop.test";

const MARKER: &str = "preview; commit=0123456789abcdef0123456789abcdef01234567";

/// How soon load must be over once the preview has given itself away.
const END: Duration = Duration::from_secs(1);

/// Only the rules can end it.
const LONG: Duration = Duration::from_secs(60);

/// A target on this machine under the rules of a remote preview.
fn preview(address: SocketAddr, is_marker_promised: bool) -> ClearedTarget {
    let origin = Origin { scheme: Scheme::Https, host: HOST.into(), port: 443 };
    let rules = AnswerRules::for_tests(&origin, &["www.shop.test"], Some((MARKER, is_marker_promised)));
    local(address).with_rules(rules)
}

fn answer(status: u16, field: &str) -> String {
    let field = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
    format!("HTTP/1.1 {status} x\r\n{field}Content-Length: 2\r\n\r\nok")
}

/// A preview that answers in one way, and in another once it is told to.
struct Changing {
    address: SocketAddr,
    is_changed: Arc<AtomicBool>,
}

impl Changing {
    fn http1(before: String, after: String) -> Self {
        let is_changed = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&is_changed);
        let address = serve(move |mut stream, _| {
            while read_request(&mut stream) {
                let answer = if now.load(Ordering::SeqCst) { &after } else { &before };
                if std::io::Write::write_all(&mut stream, answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self { address, is_changed }
    }

    /// Answers with status and one header field; an empty name is none.
    fn http2(before: (u16, &'static str, &'static str), after: (u16, &'static str, &'static str)) -> Self {
        let is_changed = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&is_changed);
        let address = serve_http2(&Builder::new(), move |_| {
            let now = Arc::clone(&now);
            move |(_, mut respond): Asked| {
                let (status, name, value) = if now.load(Ordering::SeqCst) { after } else { before };
                let mut response = Response::builder().status(status);
                if !name.is_empty() {
                    response = response.header(name, value);
                }
                if let Ok(mut sending) = respond.send_response(response.body(()).unwrap(), false) {
                    let _ = sending.send_data(Bytes::from_static(b"ok"), true);
                }
                true
            }
        });
        Self { address, is_changed }
    }

    /// Drives until the rules end it; returns what was measured, and how long it went on after the change.
    fn drive(
        &self,
        scenario: &Scenario,
        is_marker_promised: bool,
        stop: &StopSignal,
    ) -> (Measurement, Duration) {
        let changed_at = std::sync::OnceLock::<Instant>::new();
        let target = preview(self.address, is_marker_promised);
        let measurement = drive_fixed(&target, scenario, 2, stop, &|progress| {
            if progress.answered > 20 {
                changed_at.get_or_init(clock::monotonic);
                self.is_changed.store(true, Ordering::SeqCst);
            }
        });
        // A run that ends by itself may have been over before.
        (measurement.unwrap(), changed_at.get().map_or(Duration::ZERO, Instant::elapsed))
    }
}

#[track_caller]
fn assert_revoked(measurement: &Measurement, word: &str) {
    assert!(
        matches!(&measurement.ending, Ending::Revoked(why) if why.contains(word)),
        "{word}: {:?}",
        measurement.ending
    );
    assert!(measurement.is_partial(), "no run that was taken back may pass");
}

/// Returns what ends a run, as status and header, with a word of the reason.
fn fatal_answers() -> [(u16, &'static str, &'static str, &'static str); 12] {
    [
        (301, "location", "https://www.shop.test/", "production host"),
        (303, "location", "/\\www.shop.test/", "production host"),
        (307, "location", "https://www.shop.test/checkout", "production host"),
        (302, "location", "//www.shop.test/", "production host"),
        (302, "location", "https:www.shop.test", "read differently"),
        (302, "location", "http://pr-1.preview.shop.test/", "redirects to http:"),
        (302, "location", "https://pr-2.preview.shop.test/", "pr-2"),
        (302, "location", "https://acme.cloudflareaccess.com/cdn-cgi/access/login/", "cloudflareaccess"),
        (305, "location", "https://proxy.example.net/", "proxy must be used"),
        (421, "x", "y", "not the server for this host"),
        (200, "alt-svc", "h2=\":8443\"", "Alt-Svc"),
        (200, "loadgate-preview", "preview; commit=4567456789abcdef0123456789abcdef01234567", "commit=4567"),
    ]
}

#[test]
fn an_answer_that_gives_the_preview_away_ends_the_load_within_a_second() {
    for (status, name, value, word) in fatal_answers() {
        let changing = Changing::http1(answer(200, ""), answer(status, &format!("{name}: {value}")));

        let (measurement, took) = changing.drive(&scenario(CLOSED, 2, LONG), false, &never());

        assert_revoked(&measurement, word);
        assert!(took < END, "{word}: load went on for {took:?}");
    }
}

#[test]
fn an_answer_that_gives_the_preview_away_ends_the_load_over_http2() {
    for (status, name, value, word) in fatal_answers() {
        let changing = Changing::http2((200, "", ""), (status, name, value));

        let (measurement, took) = changing.drive(&over_http2(open_loop(200.0), 2, 4, LONG), false, &never());

        assert_revoked(&measurement, word);
        assert!(took < END, "{word}: load went on for {took:?}");
    }
}

#[test]
fn what_gives_nothing_away_ends_nothing() {
    for (status, field) in [
        (302, "Location: /login"),
        (302, "Location: ?page=2"),
        (200, "Link: <https://www.shop.test/>; rel=canonical"),
        (201, "Location: https://www.shop.test/items/1"),
        (200, "X-Robots-Tag: noindex"),
        (200, "Refresh: 0;url=https://www.shop.test/"),
        (200, &format!("Loadgate-Preview: {MARKER}")),
    ] {
        let page = answer(status, field);
        let changing = Changing::http1(page.clone(), page);

        let (measurement, _) = changing.drive(&scenario(CLOSED, 1, 300 * MS), false, &never());

        assert_eq!(measurement.ending, Ending::Complete, "{field}");
    }
}

#[test]
fn bodies_that_only_a_browser_would_obey_are_not_read() {
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    for body in [
        format!("<meta http-equiv=refresh content=\"0;url=http://127.0.0.1:{port}/\">"),
        format!("<script>location=\"http://127.0.0.1:{port}/\"</script>"),
    ] {
        let page = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let changing = Changing::http1(page.clone(), page);

        let (measurement, _) = changing.drive(&scenario(CLOSED, 1, 200 * MS), false, &never());

        assert_eq!(classes(&measurement), [OutcomeClass::Success]);
        assert!(elsewhere.accept().is_err(), "somebody obeyed a body");
    }
}

#[test]
fn a_chain_of_redirects_costs_one_request_for_each_that_was_meant() {
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heard);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            let hop = counted.fetch_add(1, Ordering::SeqCst);
            let hop = answer(302, &format!("Location: /hop/{hop}"));
            if std::io::Write::write_all(&mut stream, hop.as_bytes()).is_err() {
                return;
            }
        }
    });

    let measurement =
        drive_fixed(&preview(address, false), &scenario(open_loop(50.0), 1, 400 * MS), 1, &never(), &|_| {});

    let measurement = measurement.unwrap();
    assert_eq!(classes(&measurement), [OutcomeClass::Redirect]);
    assert_eq!(heard.load(Ordering::SeqCst) as u64, measurement.outcomes().total());
}

#[test]
fn a_marker_that_was_promised_and_is_lost_ends_the_load_within_a_second() {
    let marked = format!("Loadgate-Preview: {MARKER}");
    let http1 = Changing::http1(answer(200, &marked), answer(200, ""));
    let (measurement, took) = http1.drive(&scenario(CLOSED, 2, LONG), true, &never());
    assert_revoked(&measurement, "lack the header");
    assert!(took < END, "load went on for {took:?}");

    let http2 = Changing::http2((200, "loadgate-preview", MARKER), (200, "", ""));
    let (measurement, took) = http2.drive(&over_http2(open_loop(100.0), 1, 4, LONG), true, &never());
    assert_revoked(&measurement, "lack the header");
    assert!(took < END, "load went on for {took:?}");
}

#[test]
fn a_marker_that_was_never_promised_is_not_missed() {
    let changing = Changing::http1(answer(200, &format!("Loadgate-Preview: {MARKER}")), answer(200, ""));

    let (measurement, _) = changing.drive(&scenario(CLOSED, 2, 900 * MS), false, &never());

    assert_eq!(measurement.ending, Ending::Complete);
}

#[test]
fn error_pages_of_the_edge_without_the_marker_are_no_loss() {
    let changing = Changing::http1(answer(200, &format!("Loadgate-Preview: {MARKER}")), answer(502, ""));

    let (measurement, _) = changing.drive(&scenario(CLOSED, 2, 900 * MS), true, &never());

    assert_eq!(measurement.ending, Ending::Complete, "the breaker judges errors, not the guard");
}

#[test]
fn one_answer_without_its_marker_among_many_is_seen_and_ends_nothing() {
    let count = AtomicUsize::new(0);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            let marked = format!("Loadgate-Preview: {MARKER}");
            let is_edge = count.fetch_add(1, Ordering::SeqCst) == 50;
            let answer = answer(404, if is_edge { "" } else { &marked });
            if std::io::Write::write_all(&mut stream, answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let unmarked = AtomicUsize::new(0);

    let measurement =
        drive_fixed(&preview(address, true), &scenario(CLOSED, 1, 600 * MS), 1, &never(), &|progress| {
            unmarked.store(usize::try_from(progress.unmarked).unwrap(), Ordering::SeqCst);
        });

    assert_eq!((measurement.unwrap().ending, unmarked.load(Ordering::SeqCst)), (Ending::Complete, 1));
}

#[test]
fn a_target_that_was_taken_back_is_not_loaded_by_the_next_scenario() {
    let changing = Changing::http1(answer(200, ""), answer(302, "Location: https://www.shop.test/"));
    let stop = never();
    changing.drive(&scenario(CLOSED, 1, LONG), false, &stop);
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heard);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = std::io::Write::write_all(&mut stream, OK);
        }
    });

    for pacing in [CLOSED, open_loop(100.0)] {
        let next = drive_fixed(&preview(address, false), &scenario(pacing, 2, LONG), 1, &stop, &|_| {});

        assert_revoked(&next.unwrap(), "production host");
    }
    assert_eq!(heard.load(Ordering::SeqCst), 0);
}

#[test]
fn a_service_on_this_machine_may_redirect_but_not_to_production() {
    let to = |location: &str| {
        let page = answer(302, &format!("Location: {location}"));
        let changing = Changing::http1(page.clone(), page);
        let target = local(changing.address);
        let rules = AnswerRules::of_loopback(target.origin(), &["www.shop.test"]);
        drive_fixed(&target.with_rules(rules), &scenario(CLOSED, 1, 200 * MS), 1, &never(), &|_| {})
            .unwrap()
            .ending
    };

    assert_eq!(to("http://127.0.0.1:1/"), Ending::Complete);
    assert!(matches!(to("https://www.shop.test/login"), Ending::Revoked(_)));
}
