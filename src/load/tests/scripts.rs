//! Scripts against a real server: what they decide arrives, and what they must not send never does.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock;
use crate::measurement::Ending;
use crate::request::ScriptPlan;
use crate::script::{Script, ScriptError, ScriptLimits, ScriptOrders};

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

/// A script before its run, with all that it is loaded with.
pub(super) struct Loading<'a> {
    target: &'a ClearedTarget,
    scenario: &'a Scenario,
    plan: Arc<ScriptPlan>,
    limits: ScriptLimits,
}

/// What a script's run left.
pub(super) struct Driven {
    pub(super) measurement: Measurement,
    pub(super) printed: String,
    pub(super) script: Script,
}

pub(super) fn load_script<'a>(
    target: &'a ClearedTarget,
    scenario: &'a Scenario,
    plan: ScriptPlan,
) -> Loading<'a> {
    Loading { target, scenario, plan: Arc::new(plan), limits: ScriptLimits::default() }
}

impl Loading<'_> {
    fn load(&self) -> Result<Script, ScriptError> {
        Script::load(&ScriptOrders {
            plan: &self.plan,
            request: self.scenario.requests.only().unwrap(),
            origin: self.target.origin(),
            addresses: self.target.addresses(),
            workers: 2,
            limits: self.limits,
            last_resort: Arc::new(|why| panic!("{why}")),
        })
    }

    /// Drives it with two workers, whatever comes of it.
    pub(super) fn drive(&self) -> Driven {
        let mut script = self.load().unwrap_or_else(|error| panic!("{error}"));
        let measurement =
            drive(self.target, self.scenario, &script.sources(), &options(2), &never(), &|_| {}).unwrap();
        script.done(&measurement).unwrap_or_else(|error| panic!("{error}"));
        let printed = String::from_utf8(script.take_output()).unwrap();
        Driven { measurement, printed, script }
    }

    /// What is wrong with one that must not load.
    pub(super) fn refused(&self) -> String {
        self.load().err().map(|error| error.to_string()).expect("the script must be refused")
    }
}

struct Outcome {
    heads: Vec<String>,
    measurement: Measurement,
    printed: String,
}

/// Drives a script for a moment with two workers.
fn drive_script(text: &str, pipeline: u32) -> Outcome {
    let echo = Echo::start();
    let mut plan = ScriptPlan::bare("test.lua", text.as_bytes());
    plan.pipeline = pipeline;
    let driven = load_script(&local(echo.address), &scenario(CLOSED, 2, 300 * MS), plan).drive();
    let heads = echo.heads.lock().unwrap().clone();
    Outcome { heads, measurement: driven.measurement, printed: driven.printed }
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
        "wrk.headers[':authority'] = 'www.example.com'",
        "wrk.headers['X-Forwarded-Host'] = 'www.example.com'",
        "wrk.headers['X-Original-URL'] = '/admin'",
        "wrk.headers['Cloudflare-Workers-Version-Overrides'] = 'shop=\"1\"'",
        "wrk.headers.Cookie = 'a=b; __vdpl=dpl_live'",
        "wrk.headers.Upgrade = 'h2c'",
        "wrk.headers.A = 'b\\r\\nHost: www.example.com'",
        "wrk.path = '/a\\r\\nB: c'",
        "wrk.path = '//www.example.com/x'",
        "wrk.path = 'https://www.example.com/'",
        "wrk.method = 'CONNECT'",
        "function request() return 'CONNECT www.example.com:443 HTTP/1.1\\r\\n\\r\\n' end",
        "function request() return 'GET https://www.example.com/ HTTP/1.1\\r\\n\\r\\n' end",
        "function request() return wrk.format('GET', 'https://api.example.com/') end",
        "function request()
           return wrk.format('GET', 'https://www.example.com/', {['x-vercel-protection-bypass'] = 'sesame'})
         end",
        "wrk.connect('203.0.113.10:443')",
        "wrk.lookup('www.example.com', 443)",
        "wrk.lookup('dns.example.com', 'https')",
        "require('socket').dns.toip('www.example.com')",
        "require('resolver')",
        "wrk.resolver = 'https://dns.example.com/dns-query'",
        "wrk.dns = {server = '1.1.1.1'}",
        "wrk.doh = true",
        "function init() error('no') end",
        "for port = 1, 65535 do wrk.connect('127.0.0.1:' .. port) end",
        "function request() while true do end end",
    ] {
        let plan = ScriptPlan::bare("test.lua", text.as_bytes());
        assert!(!load_script(&target, &scenario, plan).refused().is_empty(), "{text}");
    }
    assert_eq!(echo.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn an_error_in_a_later_callback_ends_the_run_and_says_so() {
    let text = "n = 0\nfunction response() n = n + 1 if n == 3 then error('third') end end";
    let echo = Echo::start();
    let plan = ScriptPlan::bare("test.lua", text.as_bytes());

    let driven = load_script(&local(echo.address), &scenario(CLOSED, 1, 10_000 * MS), plan).drive();

    let why = driven.measurement.ending.reason().unwrap();
    assert!(why.contains("response(): test.lua:2: third"), "{why}");
    // One more may have been under way.
    assert!(echo.heads.lock().unwrap().len() <= 4);
}

#[test]
fn an_error_of_one_worker_is_raised_once_however_many_answers_are_under_way() {
    // Each connection holds an answer back until sixteen have asked, so that many come at once.
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            counted.fetch_add(1, Ordering::SeqCst);
            while counted.load(Ordering::SeqCst) < 16 {
                thread::yield_now();
            }
            if stream.write_all(OK).is_err() {
                return;
            }
        }
    });
    let text = "errors = 0 function response() errors = errors + 1 error('no') end\n\
                function done() print(errors <= 2) end";
    let plan = ScriptPlan::bare("test.lua", text.as_bytes());

    let driven = load_script(&local(address), &scenario(CLOSED, 16, 5_000 * MS), plan).drive();

    assert!(driven.measurement.ending.reason().unwrap().contains("response(): test.lua:1: no"));
    // One for each of the two workers.
    assert_eq!(driven.printed, "true\n");
}

#[test]
fn a_loop_that_begins_during_the_run_ends_it_within_a_second() {
    let text = "local n = 0\nfunction request() n = n + 1 while n > 50 do end return wrk.format() end";
    let echo = Echo::start();
    let plan = ScriptPlan::bare("test.lua", text.as_bytes());
    let began = clock::monotonic();

    let driven = load_script(&local(echo.address), &scenario(CLOSED, 2, 20_000 * MS), plan).drive();

    let why = driven.measurement.ending.reason().unwrap();
    assert!(why.contains("request() of test.lua was stopped after 250ms"), "{why}");
    assert!(began.elapsed() < 10_000 * MS, "{:?}", began.elapsed());
}

/// Line 39 of the corpus of hostile scripts: what the script cannot be told, the engine's own bounds do.
#[test]
fn a_script_that_storms_a_failing_server_is_stopped_by_the_breaker() {
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let address = serve(move |mut stream, _| {
        while read_request(&mut stream) {
            counted.fetch_add(1, Ordering::SeqCst);
            if stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let text = "function delay() return 0 end\n\
                function request() return wrk.format():rep(64) end\n\
                function response(status) if status == 503 then wrk.path = '/again' end end";
    let mut plan = ScriptPlan::bare("test.lua", text.as_bytes());
    plan.pipeline = 64;
    let mut scenario = scenario(CLOSED, 4, 60_000 * MS);
    scenario.gate.breaker = Breaker::default();
    let began = clock::monotonic();

    let driven = load_script(&local(address), &scenario, plan).drive();

    assert!(
        matches!(&driven.measurement.ending, Ending::Unhealthy(why) if why.contains("failed")),
        "{:?}",
        driven.measurement.ending
    );
    assert!(began.elapsed() < 20_000 * MS, "{:?}", began.elapsed());
    assert!(served.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_storm_meets_the_ceiling_of_requests_where_the_server_bears_it() {
    let echo = Echo::start();
    let text = "function request() return wrk.format():rep(8) end";
    let mut plan = ScriptPlan::bare("test.lua", text.as_bytes());
    plan.pipeline = 8;
    let (target, scenario) = (local(echo.address), scenario(CLOSED, 4, 60_000 * MS));
    let script = load_script(&target, &scenario, plan).load().unwrap();
    let options = DriveOptions { ceilings: Ceilings::new(500, 1 << 30), ..options(1) };

    let measurement = drive(&target, &scenario, &script.sources(), &options, &never(), &|_| {}).unwrap();

    assert!(matches!(measurement.ending, Ending::Exhausted(_)), "{:?}", measurement.ending);
}
