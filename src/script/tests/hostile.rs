//! Scripts that mean harm, or only do it. Nothing of what they return may reach a socket.

use super::*;
use crate::clock;

/// Everything that runs before the load, so that its deadline shows at once.
fn stopped(text: &str) -> (String, Duration) {
    let began = clock::monotonic();
    let said = Bench::of(text).refused();
    (said, began.elapsed())
}

#[test]
fn an_endless_loop_ends_wherever_it_is() {
    for text in [
        "while true do end",
        "function request() while true do end end",
        "function delay() while true do end end",
        "function init() while true do pcall(function() while true do end end) end end",
        "xpcall(function() error('x') end, function() while true do end end)",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "local function f() return pcall(f) end while true do f() end",
        "for _ = 1, 1e9 do coroutine.wrap(function() while true do end end)() end",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "('a'):rep(10):gsub('a', function() while true do end end)",
        "string.find(('a'):rep(30000), ('a*'):rep(30) .. 'b')",
    ] {
        let (said, took) = stopped(text);

        assert!(
            said.contains("was stopped after 100ms") || said.contains("error in error handling"),
            "{text}: {said}"
        );
        assert!(took < Duration::from_secs(5), "{text} took {took:?}");
    }
}

#[test]
fn a_loop_in_response_ends_the_run() {
    let script = Bench::of("function response() while true do end end").loaded();

    let error = answer(&mut *worker(&script, 0), &[], "").unwrap_err();

    assert_eq!(error.what, "response() of load/test.lua was stopped after 100ms");
}

#[test]
fn patterns_that_cannot_be_interrupted_are_bounded_beforehand() {
    for text in [
        "string.find(('a'):rep(2e6), '[' .. ('b'):rep(2e6) .. 'a]*')",
        "string.gsub(('a'):rep(2e5), '[bbbbbbbbbbbbbbbba]*$', '')",
        "string.match(('a'):rep(3e6), '.-b')",
    ] {
        let mut bench = Bench::of(text);
        bench.limits.stage = Duration::from_secs(30);
        let said = bench.refused();
        assert!(said.contains("longer than"), "{text}: {said}");
    }
    // Quadratic in Luau: minutes. Linear here.
    let mut bench = Bench::of("assert(not string.find(('a'):rep(2e6), ('a'):rep(1e6) .. 'b', 1, true))");
    bench.limits.stage = Duration::from_secs(30);
    assert!(bench.load().is_ok());
}

#[test]
fn a_plain_find_finds_what_luas_own_finds() {
    let text = "local s = ('x'):rep(2000) .. 'needle' .. ('x'):rep(2000)\n\
                local n = 'needle' .. ('x'):rep(900)\n\
                local a, b = s:find(n, 1, true)\nassert(a == 2001 and b == 2906, tostring(a))\n\
                assert(s:find(n, 2002, true) == nil)\nassert(s:find(n, -10, true) == nil)";

    assert!(Bench::of(text).load().is_ok());
}

#[test]
fn deep_recursion_and_bombs_end_in_an_error() {
    for (text, answer) in [
        ("local function f() return 1 + f() end f()", "stack overflow"),
        ("local function f() return f() end f()", "stack overflow"),
        (
            "local t = setmetatable({}, {__index = function(t, k) return t[k] end}) print(t.x)",
            "stack overflow",
        ),
        ("local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end", "needs more than 64 MiB"),
        ("local s = 'x' while true do s = s .. s end", "needs more than 64 MiB"),
        ("buffer.create(1e9)", "needs more than 64 MiB"),
        (
            "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
            "needs more than 64 MiB",
        ),
        ("string.rep('x', 1e10)", "longer than 64 MiB"),
        ("while true do print('x') end", "prints too much"),
        ("wrk.abort('enough')", "ended the run: enough"),
        ("pcall(os.exit, 1) while true do end", "os.exit(1)"),
    ] {
        let mut bench = Bench::of(text);
        bench.limits.stage = Duration::from_secs(20);
        let said = bench.refused();
        assert!(said.contains(answer), "{text}: {said}");
    }
}

#[test]
fn a_script_that_is_too_long_is_not_even_read() {
    let bench = Bench::of(&"a=1\n".repeat(2_500_000));
    let began = clock::monotonic();

    let said = bench.refused();

    assert_eq!(said, "load/test.lua has 10000000 bytes, more than 262144");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn values_with_line_breaks_never_reach_the_wire() {
    for text in [
        "wrk.headers['A'] = 'x\\r\\nB: c'",
        "wrk.headers['A'] = 'x\\nB: c'",
        "wrk.headers['A'] = 'x\\rB: c'",
        "wrk.headers['A'] = 'x\\0'",
        "wrk.headers['A'] = 'x\\r\\n folded'",
        "wrk.headers['A B'] = 'x'",
        "wrk.headers['A:'] = 'x'",
        "wrk.headers['A\\r\\nB'] = 'x'",
        "wrk.headers['A'] = 'x\\r\\n\\r\\nGET /second HTTP/1.1'",
        "wrk.path = '/x HTTP/1.1\\r\\nA: b\\r\\nC:'",
        "wrk.path = '/x HTTP/1.1\\r\\nContent-Length: 46\\r\\n\\r\\n'",
        "wrk.path = '/a b'",
        "wrk.path = 'http://www.example.com/'",
        "wrk.path = '//www.example.com/'",
        "wrk.method = 'GET /x HTTP/1.1\\r\\nA: b\\r\\n\\r\\nGET'",
        "wrk.method = 'CONNECT'",
        "wrk.headers.Host = 'www.example.com'",
        "wrk.headers['X-Forwarded-Host'] = 'www.example.com'",
        "wrk.headers['Transfer-Encoding'] = 'chunked'",
        "wrk.headers['content-length'] = '5' wrk.headers['Content-length'] = '5'",
    ] {
        let fixed = Bench::of(text).refused();
        assert!(fixed.contains("refused"), "{text}: {fixed}");
        let dynamic = Bench::of(&format!("function request() {text} return wrk.format() end")).refused();
        assert!(dynamic.contains("refused"), "{text}: {dynamic}");
        let joined = Bench::of(&format!("function request() {text} return wrk.format() .. '' end")).refused();
        assert!(joined.contains("refused") || joined.contains("line break"), "{text}: {joined}");
    }
}

#[test]
fn a_raw_text_is_one_request_or_refused() {
    let good = first("function request() return 'GET /a HTTP/1.1\\r\\nHost: localhost:8080\\r\\n\\r\\n' end");
    assert!(good.starts_with("GET /a HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{good}");
    for returned in [
        "nil",
        "{}",
        "7",
        "''",
        "'GET'",
        "('x'):rep(2e6)",
        "'GET /a HTTP/1.1\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n'",
        "'POST /a HTTP/1.1\\r\\nContent-Length: 0\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n'",
        "'POST /a HTTP/1.1\\r\\nContent-Length: 20\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n '",
        "'CONNECT www.example.com:443 HTTP/1.1\\r\\n\\r\\n'",
    ] {
        let mut bench = Bench::of(&format!("function request() return {returned} end"));
        bench.limits.callback = Duration::from_secs(30);
        let said = bench.refused();
        assert!(said.starts_with("request() of load/test.lua returned"), "{returned}: {said}");
    }
}

#[test]
fn a_secret_is_refused_outside_its_header_and_never_in_a_name() {
    let with = |text: &str| {
        let mut bench = Bench::of(text);
        bench.plan.placeholders = crate::request::Placeholders::new(
            77,
            vec![crate::request::DeclaredSecret {
                name: "token".into(),
                headers: vec!["authorization".into()],
                value: Ok(Secret::new("correct-horse".into())),
            }],
        );
        bench
    };

    let good = with("wrk.headers.Authorization = 'Bearer ' .. wrk.secret('token')").loaded();
    assert!(next(&mut *worker(&good, 0)).unwrap().0.contains("Authorization: Bearer correct-horse\r\n"));
    let basic = with("wrk.headers.Authorization = wrk.basic('user', wrk.secret('token'))").loaded();
    let credentials = "Authorization: Basic dXNlcjpjb3JyZWN0LWhvcnNl\r\n";
    assert!(next(&mut *worker(&basic, 0)).unwrap().0.contains(credentials));
    for text in [
        "wrk.path = '/' .. wrk.secret('token')",
        "wrk.path = '/?t=' .. wrk.secret('token')",
        "wrk.headers['User-Agent'] = wrk.secret('token')",
        "wrk.headers.Host = wrk.secret('token')",
        "wrk.body = wrk.secret('token') wrk.method = 'POST'",
        "wrk.tag(wrk.secret('token'))",
        "wrk.check(wrk.secret('token'), true)",
        "wrk.headers.Cookie = wrk.secret('token')",
        "wrk.headers[wrk.secret('token')] = 'x'",
        "wrk.headers.Authorization = wrk.basic(wrk.secret('token'), 'x')",
        "wrk.headers.Authorization = 'Bearer ' .. wrk.secret('token'):sub(1, -2)",
        "wrk.headers.Authorization = 'Bearer ' .. wrk.secret('token'):reverse():reverse() .. wrk.secret('none')",
    ] {
        let said = with(text).refused();
        assert!(said.contains("secret"), "{text}: {said}");
    }
    // A text that only looks like one is sent as it is.
    let forged = with("wrk.headers['X-A'] = '{secret.token.0000}'").loaded();
    assert!(next(&mut *worker(&forged, 0)).unwrap().0.contains("X-A: {secret.token.0000}"));
}

#[test]
fn a_call_that_cannot_be_stopped_reaches_the_last_resort_once() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    // A sort of many numbers has no safe point; hard follows soft at once here.
    let mut bench = Bench::of(
        "local t = {} for i = 1, 1.5e6 do t[i] = (i * 7919) % 1000003 end table.sort(t) table.sort(t)",
    );
    bench.limits.stage = Duration::from_millis(20);
    bench.limits.hard = Duration::from_millis(1);
    bench.last_resort = Arc::new(move |why| {
        assert_eq!(why, "the script of load/test.lua did not end and could not be stopped");
        counted.fetch_add(1, Ordering::SeqCst);
    });

    let _ = bench.refused();

    assert!(calls.load(Ordering::SeqCst) <= 1);
}

#[test]
fn an_error_in_done_is_told_and_changes_nothing_else() {
    let mut script = Bench::of("function done(summary) print(summary.requests) error('late') end").loaded();

    let error = script.done(&measurement()).unwrap_err();

    assert!(error.to_string().contains("done(): load/test.lua:1: late"), "{error}");
    assert_eq!(printed(&mut script), "4\n");
}
