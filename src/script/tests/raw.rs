//! What the functions of the raw room meet: want of memory at each value that they make, errors and endless loops in
//! whatever they call, coroutines, and metatables that a script has put in the way.

use super::*;

fn source_of(text: &str, memory_bytes: usize) -> Box<dyn RequestSource> {
    let mut bench = Bench::of(text);
    bench.limits.memory_bytes = memory_bytes;
    bench.limits.callback = Duration::from_secs(30);
    worker(&bench.loaded(), 0)
}

/// Answers, with bodies of half a MiB that differ, until something is wrong.
fn answer_until_refused(source: &mut dyn RequestSource) -> String {
    let failure = (0..200).find_map(|turn| {
        answer(
            source,
            &[("X-Id", &"7".repeat(turn % 100)), ("X-Turn", &turn.to_string())],
            &format!("{turn}{}", "x".repeat(500_000)),
        )
        .err()
    });
    failure.expect("the memory comes to an end").what
}

#[test]
fn memory_that_ends_at_a_value_of_the_hosts_making_is_told_as_the_scripts() {
    let small = 4 * 1024 * 1024;
    for text in [
        "local all = {} function response(_, _, body) all[#all + 1] = body end",
        "local all = {} function response(_, headers, body) all[#all + 1] = headers['X-Id'] .. headers['x-turn'] .. body end",
    ] {
        let said = answer_until_refused(&mut *source_of(text, small));
        assert_eq!(said, "response() of load/test.lua needs more than 4 MiB of memory", "{text}");
    }
    for make in [
        "wrk.format('POST', '/', nil, ('x'):rep(5e5) .. #all)",
        "wrk.format('POST', '/', nil, ('x'):rep(2e6) .. #all)",
        "wrk.format('GET', '/' .. #all, {A = ('x'):rep(5e5)})",
    ] {
        let text = format!(
            "local all = {{}} go = false function request() while go do all[#all + 1] = {make} end go = true return wrk.format() end"
        );
        let mut source = source_of(&text, small);
        next(&mut *source).unwrap();
        let said = next(&mut *source).unwrap_err().what;
        // A request that is wrong is told when the next one is made.
        let expected = if make.contains('A') { "not allowed" } else { "needs more than 4 MiB of memory" };
        assert!(said.contains(expected), "{make}: {said}");
    }
}

#[test]
fn the_state_is_whole_after_memory_has_run_out() {
    let text = "local n = 0\nfunction request()\n n = n + 1\n local ok, why = pcall(function()\n  local all = {}\n  \
                while true do all[#all + 1] = wrk.format('POST', '/' .. #all, nil, ('x'):rep(9e5)) end\n end)\n \
                assert(not ok)\n return wrk.format('GET', '/' .. n, {['X-Why'] = tostring(why)})\nend";
    let mut source = source_of(text, 8 * 1024 * 1024);
    for turn in 1..5 {
        let sent = next(&mut *source).unwrap().0;
        assert!(sent.starts_with(&format!("GET /{turn} HTTP/1.1\r\n")), "{sent}");
        assert!(sent.contains("X-Why: not enough memory\r\n"), "{sent}");
    }
}

#[test]
fn whatever_a_callback_raises_is_told_with_its_place() {
    for (raised, told) in [
        ("error('no luck')", "load/test.lua:1: no luck"),
        ("error('no luck', 0)", "load/test.lua:1: no luck"),
        ("error({})", "load/test.lua:1: "),
        ("error(setmetatable({}, {__tostring = function() return 'words' end}))", "load/test.lua:1: words"),
        ("error()", "load/test.lua:1: nil"),
        ("error(7)", "load/test.lua:1: 7"),
        ("error(true)", "load/test.lua:1: true"),
        ("local x = nil + 1", "load/test.lua:1: attempt to perform arithmetic (add) on nil and number"),
        ("coroutine.wrap(function() error('inside') end)()", "load/test.lua:1: load/test.lua:1: inside"),
        ("coroutine.yield()", "load/test.lua:1: attempt to yield"),
        (
            "wrk.format('GET', '/', {['a b'] = 'c'})",
            "load/test.lua:1: header \"a b\" is no token of RFC 9110",
        ),
        ("wrk.format('GET', '/a b') wrk.format()", "load/test.lua:1: the request line is not allowed"),
        ("wrk.format(nil, nil, 7)", "load/test.lua:1: attempt to iterate over a number value"),
        ("wrk.format({})", "load/test.lua:1: attempt to concatenate table with string"),
        (
            "wrk.format('POST', '/', nil, {a = 1})",
            "load/test.lua:1: the body is a table, which has no text: wrk.json makes one of a table",
        ),
        (
            "wrk.format('GET', '/', {A = 'b\\nc'}) wrk.format()",
            "load/test.lua:1: header \"A\" holds a line break",
        ),
        (
            "wrk.format('GET', '/', {A = 'b\\r\\n'}) wrk.format()",
            "load/test.lua:1: header \"A\" holds a line break",
        ),
        ("wrk.format('GET', '/a\\r\\nB: c') wrk.format()", "load/test.lua:1: the path holds a line break"),
        ("wrk.format('GET', '/', {A = print})", "load/test.lua:1: header A is a function, which has no text"),
        ("wrk.format('GET', '/', {A = ('x'):rep(2e6)})", "load/test.lua:1: the first line and the headers"),
        ("wrk.format('GET', '/' .. ('x'):rep(2e6))", "load/test.lua:1: the first line and the headers"),
        (
            "request = nil; response = nil; coroutine.wrap(wrk.format)('GET', '/a b') wrk.format()",
            "load/test.lua:1: ",
        ),
    ] {
        let in_request = Bench::of(&format!("function request() {raised} end")).refused();
        assert!(in_request.starts_with(&format!("request(): {told}")), "{raised}: {in_request}");
        let script = Bench::of(&format!("function response(s, h, b) {raised} end")).loaded();
        let in_response = answer(&mut *worker(&script, 0), &[("a", "b")], "body").unwrap_err().what;
        assert!(in_response.starts_with(&format!("response(): {told}")), "{raised}: {in_response}");
    }
    let gone = Bench::of("function request() request = nil return wrk.format() end").loaded();
    let mut source = worker(&gone, 0);
    next(&mut *source).unwrap();
    assert_eq!(next(&mut *source).unwrap_err().what, "request(): attempt to call a nil value");
}

#[test]
fn a_static_body_without_a_text_is_refused() {
    let said = Bench::of("wrk.body = {a = 1}").refused();

    assert_eq!(said, "init(): the body is a table, which has no text: wrk.json makes one of a table");
}

#[test]
fn an_endless_loop_ends_wherever_the_host_calls_into_the_script() {
    let spin = "while true do end";
    for text in [
        "wrk.format('GET', '/', setmetatable({}, {__iter = function() @ end}))",
        "wrk.format('GET', '/', setmetatable({}, {__iter = function() return function() return 'a', 1 end end}))",
        "wrk.format('GET', '/', {A = setmetatable({}, {__tostring = function() @ end})})",
        "wrk.format('POST', '/', nil, setmetatable({}, {__tostring = function() @ end}))",
        "wrk.format(setmetatable({}, {__concat = function() @ end}), '/')",
        "coroutine.wrap(function() wrk.format('GET', '/') @ end)()",
        "error(setmetatable({}, {__tostring = function() @ end}))",
        "while true do wrk.format('GET', '/') end",
        "while true do pcall(wrk.format, 'GET', '/a b') end",
        "('a'):rep(30000):find(('a*'):rep(30) .. 'b')",
    ] {
        let text = text.replace('@', spin);
        let said = Bench::of(&format!("function request() {text} end")).refused();
        let is_told = said.contains("was stopped after 100ms") || said.contains("error in error handling");
        assert!(is_told || said.contains("needs more than"), "{text}: {said}");
        let script = Bench::of(&format!("function response(s, h, b) {text} end")).loaded();
        let said = answer(&mut *worker(&script, 0), &[("a", "b")], "body").unwrap_err().what;
        let is_told = said.contains("was stopped after 100ms") || said.contains("error in error handling");
        assert!(is_told || said.contains("needs more than"), "{text}: {said}");
    }
}

#[test]
fn parts_of_a_request_may_be_anything_that_has_a_text() {
    for (arguments, sent) in [
        ("'GET', '/a', {X = 1, [2] = true}", "GET /a HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"),
        ("'GET', '/a', {[2] = 3.5}", "\r\n2: 3.5\r\n"),
        ("'GET', '/a', {[2.5] = 1e15}", "\r\n2.5: 1000000000000000\r\n"),
        ("'GET', '/a', {X = -0.0}", "\r\nX: -0\r\n"),
        ("'GET', '/a', {X = 1e300}", "\r\nX: 1e+300\r\n"),
        ("'GET', '/a', {X = false}", "\r\nX: false\r\n"),
        ("'GET', 'http://127.0.0.1:8080/whole'", "GET /whole HTTP/1.1\r\n"),
        ("'GET', '/a', setmetatable({X = 1}, {__index = function() return 2 end})", "\r\nX: 1\r\n"),
        ("'GET', '/a', setmetatable({}, {__iter = function() return next, {Y = 3} end})", "\r\nY: 3\r\n"),
        ("'POST', '/a', {}, 7", "\r\ncontent-length: 1\r\n\r\n7"),
        ("'POST', '/a', {}, false", "\r\ncontent-length: 5\r\n\r\nfalse"),
        ("'POST', '/a', {['Content-Length'] = 99}, ''", "\r\ncontent-length: 0\r\n\r\n"),
        ("false, false, false", "GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent"),
        (
            "'GET', '/a', {Host = 'localhost:8080', X = 1}",
            "GET /a HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nX: 1\r\nuser-agent",
        ),
        ("'GET', '/a', {host = 'LOCALHOST'}", "GET /a HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent"),
        (
            "'GET', '/a', {}, nil, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20",
            "GET /a ",
        ),
    ] {
        let sending = first(&format!("function request() return wrk.format({arguments}) end"));
        assert!(sending.contains(sent), "{arguments}: {sending}");
        // Another text with the same content is read, and must come to the same.
        let joined = first(&format!("function request() return '' .. wrk.format({arguments}) .. '' end"));
        assert_eq!(joined, sending, "{arguments}");
        let coroutine = first(&format!(
            "function request() return coroutine.wrap(function() return wrk.format({arguments}) end)() end"
        ));
        assert_eq!(coroutine, sending, "{arguments}");
    }
}

#[test]
fn the_text_of_a_request_is_wrks_own() {
    let text = "local text = wrk.format('POST', '/a', {X = 1, Host = 'localhost:8080'}, 'hi')\n\
                assert(text:find('^POST /a HTTP/1.1\\r\\n'), text)\n\
                assert(text:find('\\r\\nX: 1\\r\\n', 1, true) and text:find('\\r\\nHost: localhost:8080\\r\\n', 1, true), text)\n\
                assert(text:find('\\r\\nContent%-Length: 2\\r\\n\\r\\nhi$'), text)\n\
                assert(wrk.format('GET', '/') == 'GET / HTTP/1.1\\r\\nHost: 127.0.0.1:8080\\r\\n\\r\\n')\n\
                local long = ('x'):rep(2000000)\n\
                local posted = wrk.format('POST', '/', {}, long)\n\
                assert(posted:sub(1, -#long - 1):find('Content%-Length: 2000000\\r\\n\\r\\n$') and posted:sub(-3) == 'xxx')";

    let said = Bench::of(text).refused();

    // All of it holds; that the last one is too long is told at the end of the text.
    assert!(said.contains("the body is not allowed (it is longer than 1 MiB)"), "{said}");
    let sent =
        Bench::of("function request() return wrk.format('POST', '/', {}, ('x'):rep(2000000)) end").refused();
    assert!(
        sent.starts_with("request() of load/test.lua returned a request that is refused: the body is"),
        "{sent}"
    );
}

#[test]
fn metatables_that_a_script_puts_in_the_way_change_nothing_for_the_host() {
    for hostile in ["getmetatable(headers).__index = print", "getmetatable(headers).__iter = nil"] {
        let text = format!("function response(status, headers, body) local x = headers.a {hostile} end");
        assert!(answer(&mut *worker(&Bench::of(&text).loaded(), 0), &[("A", "1")], "").is_err(), "{hostile}");
    }
    let text = "setmetatable(wrk.headers, {__newindex = function(t, k, v) rawset(t, k, v) end})\n\
                function request() wrk.headers.X = 1 return wrk.format() end\n\
                function response(status, headers, body)\n kept = kept or headers\n setmetatable(headers, nil)\n \
                headers.A = 'changed' assert(rawget(headers, 'A') == 'changed')\nend";
    let script = Bench::of(text).loaded();
    let mut source = worker(&script, 0);
    for _ in 0..3 {
        assert!(next(&mut *source).unwrap().0.contains("\r\nX: 1\r\n"));
        answer(&mut *source, &[("A", "1")], "body").unwrap();
    }
    let late = "local kept\nfunction request() if kept then print(kept.B) end return wrk.format() end\n\
                function response(status, headers, body) kept = headers end";
    let mut source = worker(&Bench::of(late).loaded(), 0);
    next(&mut *source).unwrap();
    answer(&mut *source, &[("B", "1")], "").unwrap();
    assert!(next(&mut *source).unwrap_err().what.contains("can be read during response() only"));
}

#[test]
fn a_panic_of_the_host_is_an_error_of_the_call() {
    let mut bench = Bench::of("function request() return wrk.format('GET', '/') end");
    // The panic's own report takes its time.
    bench.limits.callback = Duration::from_secs(30);
    let script = bench.loaded();
    let held = script.main.host.draft.borrow_mut();

    let said = script.main.request().unwrap_err().to_string();

    assert!(said.contains("the load generator failed"), "{said}");
    drop(held);
    script.main.request().unwrap();
}
