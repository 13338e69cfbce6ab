//! Scripts against a real server: what they decide arrives, and what they must not send never does.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::request::ScriptPlan;
use crate::script::{Script, ScriptLimits, ScriptOrders};

/// Keeps the head of every request and answers with a token and a body.
struct Echo {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Echo {
    fn start() -> Self {
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (kept, opened) = (Arc::clone(&heads), Arc::clone(&connections));
        let address = serve(move |mut stream, _| {
            opened.fetch_add(1, Ordering::SeqCst);
            while let Some(head) = read_whole(&mut stream) {
                kept.lock().unwrap().push(head);
                let answer = b"HTTP/1.1 200 OK\r\nX-Token: t0\r\nContent-Length: 2\r\n\r\nok";
                if stream.write_all(answer).is_err() {
                    break;
                }
            }
        });
        Self { address, heads, connections }
    }
}

/// Reads one request with its body; returns its head.
fn read_whole(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).ok()?;
    Some(head)
}

struct Outcome {
    heads: Vec<String>,
    measurement: Measurement,
    printed: String,
}

/// Drives a script for a moment with two workers.
fn drive_script(text: &str, pipeline: u32) -> Outcome {
    let echo = Echo::start();
    let target = local(echo.address);
    let scenario = scenario(CLOSED, 2, 300 * MS);
    let mut plan = ScriptPlan::bare("test.lua", text.as_bytes());
    plan.pipeline = pipeline;
    let orders = ScriptOrders {
        plan: &Arc::new(plan),
        request: scenario.requests.only().unwrap(),
        origin: target.origin(),
        addresses: target.addresses(),
        workers: 2,
        limits: ScriptLimits::default(),
        last_resort: Arc::new(|why| panic!("{why}")),
    };
    let mut script = Script::load(&orders).unwrap_or_else(|error| panic!("{error}"));
    let measurement = drive(&target, &scenario, &script.sources(), &options(2), &never(), &|_| {}).unwrap();
    script.done(&measurement).unwrap_or_else(|error| panic!("{error}"));
    let printed = String::from_utf8(script.take_output()).unwrap();
    let heads = echo.heads.lock().unwrap().clone();
    Outcome { heads, measurement, printed }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scripts").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_example_runs_and_does_what_it_says() {
    let run = |name: &str| {
        let outcome = drive_script(&example(name), 2);
        assert!(outcome.measurement.outcomes().answered() > 0, "{name} got no answer");
        assert_eq!(
            outcome.measurement.outcomes().errors(),
            0,
            "{name}: {:?}",
            outcome.measurement.outcomes()
        );
        outcome
    };

    let post = run("static_post.lua");
    assert!(
        post.heads
            .iter()
            .all(|head| head.starts_with("POST /form ") && head.contains("content-length: 20\r\n"))
    );
    let numbered = run("numbered.lua");
    assert!(
        numbered
            .heads
            .iter()
            .any(|head| head.starts_with("GET /items/1 ") && head.contains("X-Number: 1\r\n"))
    );
    assert!(run("think_time.lua").heads.len() <= 2 * 31);
    let batch = run("batch.lua");
    assert!(batch.heads.iter().any(|head| head.starts_with("GET /logo.svg ")));
    let login = run("login.lua");
    assert!(login.heads.iter().any(|head| head.starts_with("GET /account ") && head.contains("X-Token: t0")));
    let report = run("report.lua");
    assert!(
        report.printed.starts_with("quantile,us\n50,") && !report.printed.contains("seen 0"),
        "{}",
        report.printed
    );
    let workers = run("workers.lua");
    assert!(workers.printed.contains("worker 1 sent ") && workers.printed.contains("worker 2 sent "));
    assert!(run("addresses.lua").printed.contains("uses 127.0.0.1:"));
    assert_eq!(run("enough.lua").heads.len(), 100);
}

#[test]
fn a_script_that_would_send_what_it_must_not_opens_no_connection() {
    let echo = Echo::start();
    let target = local(echo.address);
    let scenario = scenario(CLOSED, 1, 100 * MS);
    for text in [
        "wrk.headers.Host = 'www.example.com'",
        "wrk.path = '/a\\r\\nB: c'",
        "function request() return 'CONNECT www.example.com:443 HTTP/1.1\\r\\n\\r\\n' end",
        "function init() error('no') end",
        "for port = 1, 65535 do wrk.connect('127.0.0.1:' .. port) end",
        "function request() while true do end end",
    ] {
        let plan = Arc::new(ScriptPlan::bare("test.lua", text.as_bytes()));
        let orders = ScriptOrders {
            plan: &plan,
            request: scenario.requests.only().unwrap(),
            origin: target.origin(),
            addresses: target.addresses(),
            workers: 1,
            limits: ScriptLimits::default(),
            last_resort: Arc::new(|why| panic!("{why}")),
        };
        assert!(Script::load(&orders).is_err(), "{text} must be refused");
    }
    assert_eq!(echo.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn an_error_in_a_later_callback_ends_the_run_and_says_so() {
    let text = "n = 0\nfunction response() n = n + 1 if n == 3 then error('third') end end";
    let echo = Echo::start();
    let target = local(echo.address);
    let scenario = scenario(CLOSED, 1, 10_000 * MS);
    let plan = Arc::new(ScriptPlan::bare("test.lua", text.as_bytes()));
    let script = Script::load(&ScriptOrders {
        plan: &plan,
        request: scenario.requests.only().unwrap(),
        origin: target.origin(),
        addresses: target.addresses(),
        workers: 1,
        limits: ScriptLimits::default(),
        last_resort: Arc::new(|why| panic!("{why}")),
    })
    .unwrap();

    let measurement = drive(&target, &scenario, &script.sources(), &options(1), &never(), &|_| {}).unwrap();

    let why = measurement.ending.reason().unwrap();
    assert!(why.contains("response(): test.lua:2: third"), "{why}");
    // One more may have been under way.
    assert!(echo.heads.lock().unwrap().len() <= 4);
}
