//! Scripts over HTTP/2: the same callbacks, on streams of shared connections.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::Builder;
use http::Response;

use super::http2::{Asked, over_http2, serve_http2};
use super::scripts::{Driven, load_script};
use super::*;
use crate::request::ScriptPlan;

/// What a server saw: method, path and two headers of each request.
type Seen = Arc<Mutex<Vec<String>>>;

/// Serves HTTP/2; every answer brings a token and says which request of its connection it answers.
fn serve_tokens(seen: &Seen) -> SocketAddr {
    let seen = Arc::clone(seen);
    serve_http2(&Builder::new(), move |_| {
        let seen = Arc::clone(&seen);
        let mut served = 0;
        move |(request, mut respond): Asked| {
            served += 1;
            let header = |name: &str| {
                request.headers().get(name).map_or("-", |value| value.to_str().unwrap_or("?")).to_owned()
            };
            let (method, path) = (request.method(), request.uri().path_and_query().unwrap());
            seen.lock().unwrap().push(format!(
                "{method} {path} {} {}",
                header("x-number"),
                header("x-token")
            ));
            let status = if request.uri().path() == "/missing" { 404 } else { 200 };
            let answer = Response::builder().status(status).header("X-Token", "t0").body(()).unwrap();
            if let Ok(mut sending) = respond.send_response(answer, false) {
                let _ = sending.send_data(Bytes::from(format!("answer {served}")), true);
            }
            true
        }
    })
}

/// Drives a script over two connections of four streams each.
fn drive_over_http2(text: &str, pipeline: u32) -> (Vec<String>, Driven) {
    let seen = Seen::default();
    let address = serve_tokens(&seen);
    let mut plan = ScriptPlan::bare("test.lua", text.as_bytes());
    plan.pipeline = pipeline;
    let driven = load_script(&local(address), &over_http2(CLOSED, 2, 4, 300 * MS), plan).drive();
    let seen = seen.lock().unwrap().clone();
    (seen, driven)
}

#[test]
fn request_and_response_work_over_http2() {
    let (seen, driven) = drive_over_http2(
        // An answer may come in after the end and be none of the measurement.
        "token, n, answers = nil, 0, 0\n\
         function request() n = n + 1 wrk.headers['X-Number'] = n return wrk.format('GET', '/items?n=' .. n) end\n\
         function response(status, headers, body)\n\
           answers = answers + 1\n\
           assert(status == 200 and body:match('^answer %d+$'), body)\n\
           assert(headers['X-Token'] == 't0' and headers['x-token'] == 't0')\n\
           local names = {} for name in pairs(headers) do names[#names + 1] = name end\n\
           assert(table.concat(names, ' '):find('x-token', 1, true))\n\
           if not token then token = headers['X-Token'] wrk.headers['X-Token'] = token end\n\
         end\n\
         function done(summary, latency) print(math.abs(answers - summary.requests) <= 16, latency.min > 0, n >= answers) end",
        1,
    );

    assert_eq!(classes(&driven.measurement), [OutcomeClass::Success], "{:?}", driven.measurement.ending);
    assert!(seen.iter().any(|line| line == "GET /items?n=1 1 -"), "{seen:?}");
    assert!(seen.iter().any(|line| line.ends_with(" t0")), "{seen:?}");
    assert_eq!(driven.printed, "true\ttrue\ttrue\n");
}

#[test]
fn delay_and_stop_work_over_http2() {
    let (seen, _) = drive_over_http2("function delay() return 50 end", 1);
    // Sixteen streams for 300 ms, each with a pause before every request.
    assert!(!seen.is_empty() && seen.len() <= 8 * 2 * 7, "{}", seen.len());

    let (seen, driven) = drive_over_http2(
        "local n = 0 function response() n = n + 1 if n == 20 then wrk.thread:stop() end end",
        1,
    );
    assert!(seen.len() >= 40 && seen.len() <= 40 + 8 * 2, "{}", seen.len());
    assert!(driven.measurement.elapsed < 290 * MS, "{:?}", driven.measurement.elapsed);
}

#[test]
fn tags_and_checks_are_counted_over_http2() {
    let (_, driven) = drive_over_http2(
        "local n = 0\n\
         function request() n = n + 1\n\
           if n % 2 == 0 then wrk.tag('items') return wrk.format('GET', '/items') end\n\
           wrk.tag('missing') return wrk.format('GET', '/missing') end\n\
         function response(status) wrk.check('is there', status == 200) end",
        1,
    );

    let outcomes = driven.measurement.outcomes();
    assert!(
        outcomes.count(OutcomeClass::Success) > 0 && outcomes.count(OutcomeClass::Check) > 0,
        "{outcomes:?}"
    );
    let names: Vec<&str> = driven.measurement.endpoints.iter().map(|one| one.name.as_str()).collect();
    assert!(names.contains(&"items") && names.contains(&"missing"), "{names:?}");
    let checked = driven.script.checks()["is there"];
    // A request that its line's script finished a moment too late is answered, and belongs to no round.
    let is_near = |said: u64, counted: u64| (counted..=counted + 16).contains(&said);
    assert!(is_near(checked.met, outcomes.count(OutcomeClass::Success)), "{checked:?} {outcomes:?}");
    assert!(is_near(checked.failed, outcomes.count(OutcomeClass::Check)), "{checked:?} {outcomes:?}");
}

#[test]
fn what_is_pipelined_over_http1_goes_on_streams_of_its_own_over_http2() {
    let text = "function request()\n\
                return wrk.format('GET', '/a') .. wrk.format('GET', '/b') .. wrk.format('POST', '/c', nil, 'body') end\n\
                function response(status, headers, body) assert(status == 200 and #body > 7) end";

    let (seen, driven) = drive_over_http2(text, 3);

    assert_eq!(classes(&driven.measurement), [OutcomeClass::Success], "{:?}", driven.measurement.ending);
    let count = |wanted: &str| seen.iter().filter(|line| line.starts_with(wanted)).count();
    assert!(count("GET /a ") > 0);
    assert!(count("GET /a ") == count("GET /b ") && count("GET /b ") == count("POST /c "), "{seen:?}");
}

#[test]
fn more_than_is_declared_is_refused_over_http2_as_well() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let address = serve(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let plan = ScriptPlan::bare("test.lua", b"function request() return wrk.format() .. wrk.format() end");

    let error = load_script(&local(address), &over_http2(CLOSED, 1, 4, 100 * MS), plan).refused();

    assert!(error.contains("more than one request"), "{error}");
    assert_eq!(opened.load(Ordering::SeqCst), 0);
}
