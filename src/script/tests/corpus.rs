//! The corpus of hostile scripts, one test a line, each with the outcome that it must have.
//!
//! Lines about secrets have their tests beside the redactor; what must be seen in a run has its test beside the load.

use super::*;
use crate::clock;
use crate::script::watchdog::Watchdog;

/// Every line runs with the deadline of a callback, and ends with these words.
#[track_caller]
fn stopped(text: &str) {
    let said = Bench::of(text).refused();
    assert!(said.ends_with("was stopped after 100ms"), "{text}: {said}");
}

/// A script that may take its time and must be refused for another reason.
#[track_caller]
fn refused(text: &str, words: &str) {
    let mut bench = Bench::of(text);
    bench.limits.stage = Duration::from_secs(30);
    bench.limits.callback = Duration::from_secs(30);
    let said = bench.refused();
    assert!(said.contains(words), "{text}: {said}");
}

#[test]
fn line_1_a_spinning_request_is_stopped() {
    stopped("function request() while true do end end");
    stopped("function request() while true do pcall(function() while true do end end) end end");
}

#[test]
fn line_3_a_spinning_handler_of_an_error_is_stopped_and_its_words_are_not_heard() {
    stopped(
        "function request() xpcall(function() error('x') end, function() while true do end end) \
         while true do end end",
    );
    let said = Bench::of(
        "function request() error(setmetatable({}, {__tostring = function() while true do end end})) end",
    )
    .refused();
    assert!(
        said == "request(): error in error handling" || said.ends_with("was stopped after 100ms"),
        "{said}"
    );
}

#[test]
fn line_5_a_quadratic_class_is_refused_before_it_is_tried() {
    refused(
        "string.find(('a'):rep(2e6), '[' .. ('b'):rep(2e6) .. 'a]*')",
        "the pattern is longer than 512 bytes",
    );
    refused("string.find(('a'):rep(2e6), '[bbbbbbbbbbba]*$')", "too long for a pattern with a class");
    refused("string.gsub(('a'):rep(2e5), '[bbba]*$', '')", "too long for a pattern with a class");
}

/// What the bounds keep away: Luau's own routine looks at no flag, and the process is all that can be ended.
#[test]
fn line_5_without_the_bound_only_the_last_resort_is_left() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let limits = ScriptLimits {
        callback: Duration::from_millis(10),
        hard: Duration::from_millis(10),
        ..ScriptLimits::default()
    };
    let last_resort: LastResort = Arc::new(move |why| {
        assert_eq!(why, "request() of load/test.lua did not end and could not be stopped");
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let watchdog = Watchdog::start("load/test.lua".into(), limits, last_resort).unwrap();
    let watch = watchdog.watch();
    let lua = mlua::Lua::new();
    let seen = Arc::clone(&watch);
    lua.set_interrupt(move |_| {
        if seen.must_stop() { Err(mlua::Error::runtime("stopped")) } else { Ok(mlua::VmState::Continue) }
    });
    let text = "string.find(('a'):rep(16000), '[' .. ('b'):rep(16000) .. 'a]*')";

    watch.enter(Stage::Request);
    // Again and again: a fast machine may end one before anybody looks.
    while calls.load(Ordering::SeqCst) == 0 && !watch.must_stop() {
        let _ = lua.load(text).exec();
    }
    let _ = lua.load(text).exec();
    let began = clock::monotonic();
    while calls.load(Ordering::SeqCst) == 0 && began.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    watch.leave();
    drop(watchdog);

    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn line_7_a_backtracking_pattern_is_stopped_while_it_matches() {
    stopped("function request() string.find(('a'):rep(30000), ('a*'):rep(30) .. 'b') end");
    stopped("function request() while true do string.match(('('):rep(30000), '%b()') end end");
}

#[test]
fn line_9_recursion_is_a_stack_overflow_and_the_next_script_runs() {
    refused("local function f() return 1 + f() end f()", "stack overflow");
    refused("local function f() return f() end f()", "stack overflow");
    refused(
        "local t = setmetatable({}, {__index = function(t, k) return t[k] end}) print(t.x)",
        "stack overflow",
    );
    assert!(Bench::of("wrk.path = '/alive'").load().is_ok());
}

#[test]
fn line_11_a_heap_bomb_meets_the_limit_of_memory() {
    for text in limits::BOMBS {
        refused(text, "needs more than 64 MiB");
    }
    refused("string.rep('x', 1e10)", "longer than 64 MiB");
}

#[test]
fn line_13_a_source_that_is_too_long_is_not_compiled() {
    let literal = format!("t = {{{}0}}", "0,".repeat(1_000_000));
    for text in ["a=1\n".repeat(2_500_000), literal] {
        let plan = ScriptPlan::bare("load/test.lua", text.as_bytes());
        let fastest = (0..5)
            .map(|_| {
                let began = clock::monotonic();
                let said = Compiled::compile(&plan).unwrap_err().to_string();
                assert!(said.ends_with("more than 262144"), "{said}");
                began.elapsed()
            })
            .min();
        assert!(fastest.unwrap() < Duration::from_millis(5), "{fastest:?}");
    }
    let began = clock::monotonic();
    let largest = format!("local t = {{{}0}}", "0,".repeat(130_000));
    assert!(largest.len() <= crate::request::MAX_SCRIPT_BYTES);
    let _ = Bench::of(&largest).load();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn line_15_a_flood_of_prints_ends_at_its_budget() {
    refused("while true do print('x') end", "prints too much");
    refused("while true do io.write(('x'):rep(1000)) end", "prints too much");
    refused("while true do io.stderr:write('x\\n') end", "prints too much");
    refused("while true do wrk.log('x') end", "prints too much");
    // What many calls print together is kept up to the budget, and ends nothing.
    let mut script = Bench::of("function request() print('x') return wrk.format() end").loaded();
    let mut source = worker(&script, 0);
    for _ in 0..3_000 {
        next(&mut *source).unwrap();
    }
    drop(source);
    let said = printed(&mut script);
    assert!(said.ends_with("x\n(and 2000 more lines, which are not kept)\n"), "{}", said.len());
    let mut bench = Bench::of("while true do pcall(print, ('x'):rep(10000)) end");
    bench.limits.stage = Duration::from_millis(200);
    assert!(bench.refused().ends_with("was stopped after 200ms"));
}

#[test]
fn line_17_require_opens_no_file_wherever_it_points() {
    let planted = tempfile::tempdir().unwrap();
    let path = planted.path().join("planted.lua");
    std::fs::write(&path, "print('it ran') return {}").unwrap();
    std::fs::write(planted.path().join(".config.luau"), "print('it ran') return {}").unwrap();
    std::fs::write(planted.path().join(".luaurc"), "{\"aliases\": {\"x\": \".\"}}").unwrap();
    let stem = path.with_extension("").display().to_string();
    let whole = path.display().to_string();

    for name in ["../../.ssh/id", "@x/planted", "@self/planted", "/etc/passwd", "./planted", &stem, &whole] {
        for call in ["require", "dofile", "loadfile"] {
            let bench = Bench::of(&format!("local m = {call}('{name}')"));
            let said = bench.refused();
            // The same words whether there is such a file or not.
            let expected = format!("there is no module {name:?}; declare its file in `modules` of [script]");
            assert!(said.contains(&expected), "{call} {name}: {said}");
        }
    }
    for call in ["load('return 1')", "loadstring('return 1')", "string.dump(print)"] {
        assert!(Bench::of(call).refused().contains("is not available to scripts"), "{call}");
    }
}

#[test]
fn line_19_nothing_that_is_there_can_be_poisoned() {
    for text in [
        "string.format = print",
        "getmetatable('').__index = print",
        "getmetatable('').__index.format = print",
        "wrk.format = print",
        "rawset(string, 'format', print)",
        "rawset(getmetatable(''), '__index', {})",
        "setmetatable(wrk, {})",
        "setmetatable(_G, {__index = print})",
        "table.insert = nil",
    ] {
        let text = format!("{text}\nassert(('%d'):format(7) == '7')");
        match Bench::of(&text).load() {
            Ok(script) => {
                // What may be replaced is the script's own: requests and other states are as before.
                let text = next(&mut *worker(&script, 0)).unwrap().0;
                assert!(text.starts_with("GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{text}");
            }
            Err(error) => {
                let said = error.to_string();
                assert!(
                    said.contains("readonly")
                        || said.contains("cannot be")
                        || said.contains("protected")
                        || said.contains("nil"),
                    "{said}"
                );
            }
        }
    }
}

#[test]
fn line_21_no_address_of_the_heap_is_told() {
    let mut script = Bench::of(
        "print(tostring({}), print, tostring(print), coroutine.create(print), buffer.create(1))\n\
         print(pcall(error, {}), ('%s'):format({}), `{ {} }`, io.stdout, wrk, wrk.headers)\n\
         print(select(2, pcall(function() return {} .. '' end)), next({a = {}}))",
    )
    .loaded();

    let said = printed(&mut script);

    assert!(!said.contains("0x") && said.contains("table: "), "{said}");
}

#[test]
fn line_23_a_header_with_a_break_in_it_is_refused() {
    for value in [
        "'x\\r\\nB: c'",
        "'x\\nB: c'",
        "'x\\rB: c'",
        "'x\\0'",
        "'x\\r\\n folded'",
        "'x\\r\\n\\tfolded'",
        "'\\127'",
    ] {
        let said = Bench::of(&format!("wrk.headers['A'] = {value}")).refused();
        assert!(said.contains("refused"), "{value}: {said}");
    }
    for name in ["'A B'", "'A:'", "'A\\r\\nB'", "''", "'A\\0'", "'A\\t'", "' A'", "'A(b)'"] {
        let said = Bench::of(&format!("wrk.headers[{name}] = 'x'")).refused();
        assert!(said.contains("refused"), "{name}: {said}");
    }
    // What is allowed beside it.
    assert!(first("wrk.headers['X-A'] = 'a\\tb \\228'").contains("X-A: a\tb "));
}

#[test]
fn line_25_a_second_request_hides_in_no_raw_text() {
    let hidden = [
        "'GET /a HTTP/1.1\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n'",
        "'POST /a HTTP/1.1\\r\\nContent-Length: 0\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n'",
        "'POST /a HTTP/1.1\\r\\nContent-Length: 20\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n '",
        "'POST /a HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n'",
        "'POST /a HTTP/1.1\\r\\nContent-Length: 1\\r\\nContent-Length: 30\\r\\n\\r\\nGET /b HTTP/1.1\\r\\n\\r\\n'",
    ];
    for text in hidden {
        let said = Bench::of(&format!("function request() return {text} end")).refused();
        assert!(said.contains("refused"), "{text}: {said}");
    }
    // Declared, and both whole: allowed. Declared, and one of them in doubt: not.
    let mut declared = Bench::of(&format!("function request() return {} end", hidden[0]));
    declared.plan.pipeline = 2;
    let mut wire = Rc::default();
    worker(&declared.loaded(), 0).next(0, &mut wire).unwrap();
    assert_eq!(wire.requests(), 2);
    for text in &hidden[2..] {
        let mut declared = Bench::of(&format!("function request() return {text} end"));
        declared.plan.pipeline = 2;
        assert!(declared.refused().contains("refused"), "{text}");
    }
}

#[test]
fn line_27_the_host_cannot_be_swapped() {
    for text in [
        "wrk.headers.Host = 'www.example.com'",
        "wrk.headers['X-Forwarded-Host'] = 'www.example.com'",
        "wrk.headers['x_forwarded_host'] = 'www.example.com'",
        "wrk.headers['Forwarded'] = 'host=www.example.com'",
        "wrk.host = 'www.example.com'",
        "wrk.port = 22",
        "wrk.scheme = 'https'",
        "wrk.path = 'http://www.example.com/'",
        "wrk.path = 'http://127.0.0.1:8080@www.example.com/'",
        "wrk.path = 'http://127.0.0.1:80801/'",
        "wrk.path = 'http://127.0.0.1:8080//www.example.com/'",
        "wrk.path = 'https://127.0.0.1:8080/'",
    ] {
        let said = Bench::of(text).refused();
        assert!(said.contains("refused") || said.contains("cannot be set"), "{text}: {said}");
    }
    // What says the same is allowed: scripts for one's own machine spell it in several ways.
    let text =
        first("wrk.host = 'localhost' wrk.port = 8080 wrk.scheme = 'http' wrk.headers.Host = 'localhost'");
    assert!(text.starts_with("GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{text}");
    let text =
        first("function request() return wrk.format('GET', 'http://localhost:8080/a?b=http://c/') end");
    assert!(text.starts_with("GET /a?b=http://c/ HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{text}");
}

#[test]
fn line_29_a_scan_of_ports_opens_nothing() {
    refused(
        "for port = 1, 65535 do wrk.connect('127.0.0.1:' .. port) end",
        "no address of the cleared target",
    );
    refused("for port = 1, 65535 do wrk.lookup(wrk.host, port) end", "for the cleared target");
    refused("local s = require('socket') s.tcp()", "socket.tcp is not available to scripts");
}

#[test]
fn line_39_a_thousand_pipelined_requests_are_refused_whatever_is_declared() {
    let text = "function request() return wrk.format():rep(1000) end";
    let mut bench = Bench::of(text);
    bench.limits.callback = Duration::from_secs(30);
    assert!(bench.refused().contains("more than one request"));
    bench.plan.pipeline = crate::request::MAX_PIPELINE;

    assert!(bench.refused().contains("more than 64 requests"));
}
