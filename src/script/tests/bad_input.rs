//! Input that is wrong, not hostile: what a callback returns, data that is no data, text that is no Lua.

use super::*;

fn with_file(text: &str, name: &str, csv: &[u8]) -> Bench {
    let mut bench = Bench::of(text);
    bench.plan.files.insert(name.to_owned(), csv.into());
    bench.limits.stage = Duration::from_secs(60);
    bench
}

#[test]
fn what_request_returns_is_a_text_or_the_run_does_not_begin() {
    for (returned, what) in [
        ("nil", "returned nothing"),
        ("", "returned nothing"),
        ("7", "returned a number"),
        ("{}", "returned a table"),
        ("true", "returned a boolean"),
        ("print", "returned a function"),
        ("''", "the request is incomplete (it is empty)"),
        ("'GET', '/path', ''", "the request is incomplete"),
        ("('x'):rep(2e7)", "the request is incomplete"),
        ("wrk.format('POST', '/', nil, ('x'):rep(2e6))", "it is longer than 1 MiB"),
        ("wrk.format('GET', '/' .. ('x'):rep(9000))", "its path is longer than 8 KiB"),
        ("wrk.format('GET', '/', {A = ('x'):rep(9000)})", "its value is longer than 8 KiB"),
    ] {
        let mut bench = Bench::of(&format!("function request() return {returned} end"));
        bench.limits.callback = Duration::from_secs(30);
        let said = bench.refused();
        assert!(said.contains(what), "{returned}: {said}");
    }
}

#[test]
fn a_request_of_a_hundred_megabytes_is_no_request() {
    for returned in
        ["('x'):rep(100 * 1024 * 1024)", "table.concat(table.create(100, ('x'):rep(1024 * 1024)))"]
    {
        let mut bench = Bench::of(&format!("function request() return {returned} end"));
        bench.limits.callback = Duration::from_secs(30);
        let said = bench.refused();
        assert!(said.contains("64 MiB"), "{returned}: {said}");
    }
}

#[test]
fn what_becomes_wrong_during_the_run_ends_it_once() {
    for (body, what) in [
        ("return nil", "request() of load/test.lua returned nothing"),
        ("error('third')", "request(): load/test.lua:3: third"),
        ("return 'GET /\\r\\n\\r\\n'", "returned a request that is refused"),
        ("return ('x'):rep(1e10)", "longer than 64 MiB"),
    ] {
        let text = format!(
            "local n = 0\nfunction request() n = n + 1\n if n > 2 then {body} end return wrk.format() end"
        );
        let script = Bench::of(&text).loaded();
        let mut source = worker(&script, 0);
        next(&mut *source).unwrap();
        next(&mut *source).unwrap();

        let failure = next(&mut *source).unwrap_err();

        assert!(failure.what.contains(what), "{body}: {failure}");
        assert!(!failure.help.is_empty());
        // Lua is not entered again, whoever still asks.
        assert_eq!(source.next(0, &mut Rc::default()).unwrap(), None);
        assert_eq!(answer(&mut *source, &[], "").unwrap(), Judgement::default());
    }
}

#[test]
fn an_error_in_response_is_told_once_and_lua_is_left_alone() {
    let mut script = Bench::of(
        "count = 0\nfunction response() count = count + 1 error('no') end\nfunction done() print(count) end",
    )
    .loaded();
    let mut source = worker(&script, 0);

    let failure = answer(&mut *source, &[], "").unwrap_err();
    for _ in 0..5 {
        assert_eq!(answer(&mut *source, &[], "").unwrap(), Judgement::default());
    }
    source.finish();
    script.done(&measurement()).unwrap();

    assert_eq!(failure.what, "response(): load/test.lua:2: no");
    assert_eq!(printed(&mut script), "1\n");
}

#[test]
fn a_done_that_never_ends_changes_nothing_that_was_measured() {
    let mut script = Bench::of("function done() while true do end end").loaded();
    let before = measurement();
    let shown = before.clone();

    let error = script.done(&shown).unwrap_err();

    assert_eq!(error.to_string(), "done() of load/test.lua was stopped after 100ms");
    assert_eq!(shown, before);
}

#[test]
fn a_syntax_error_names_file_and_line() {
    for (text, place) in [
        ("local x =", "load/test.lua:1:"),
        ("local x = 1\nlocal y = = 2", "load/test.lua:2:"),
        ("function request()\n  return 1\n", "load/test.lua:3:"),
        ("x = 'no end", "load/test.lua:1:"),
        ("\n\nwrk.body = {\"message\":\"Hi!\"}", "load/test.lua:3:"),
        ("goto done", "load/test.lua:1:"),
        ("-- only a comment\n[[text]]", "load/test.lua:2:"),
    ] {
        let error = Bench::of(text).load().unwrap_err();
        assert!(matches!(error, ScriptError::Syntax(_)), "{text}: {error:?}");
        assert!(error.to_string().starts_with(place), "{text}: {error}");
        assert!(error.help().contains("Luau"), "{}", error.help());
    }
    let mut module = Bench::of("require 'lib.gen'");
    module.plan.modules.insert("load/lib/gen.lua".into(), b"local a\nlocal b = )".to_vec());
    assert!(module.refused().starts_with("load/lib/gen.lua:2:"));
    // The first line of a program is the system's, as everywhere.
    assert!(Bench::of("#!/usr/bin/env wrk\nwrk.path = '/'").load().is_ok());
}

#[test]
fn a_feed_that_is_no_csv_is_told_with_its_line_and_without_its_cells() {
    let text =
        "users = wrk.feed('users.csv') function request() return wrk.format('GET', '/' .. users().name) end";
    for (csv, what) in [
        (&b"name,id\nada,1\nprivate\n"[..], "line 3: it has 1 cell where the header has 2"),
        (b"name,id\nada,1\nprivate,2,3\n", "line 3: it has 3 cells where the header has 2"),
        (b"name\n\xff\xfea\x00\n", "line 2: it is not UTF-8"),
        (b"n\xe4me\nada\n", "line 1: it is not UTF-8"),
        // UTF-16 with its mark, as some editors save it.
        (b"\xff\xfen\x00a\x00m\x00e\x00\n\x00", "line 1: it is not UTF-8"),
        (b"", "the first row must name the columns"),
        (b"\n\n", "the first row must name the columns"),
        (b"name,id\n", "it has no row below the header"),
    ] {
        let said = with_file(text, "load/users.csv", csv).refused();
        assert!(said.contains("cannot read feed \"users.csv\"") && said.contains(what), "{said}");
        assert!(!said.contains("private"), "{said}");
    }
    let said = with_file(text, "load/other.csv", b"name\nada\n").refused();
    assert!(said.contains("name it in `data` of [script]"), "{said}");
}

#[test]
fn a_feed_of_a_million_rows_costs_a_script_nothing_and_one_more_is_refused() {
    let text = "users = wrk.feed('users.csv') assert(#users == 1000000, #users)\n\
                function request() return wrk.format('GET', '/' .. users().id .. '/' .. users.random().id) end";
    let mut csv = b"id,name\n".to_vec();
    csv.extend((0..1_000_000).flat_map(|n| format!("{n},u\n").into_bytes()));
    let bench = with_file(text, "users.csv", &csv);

    let script = bench.loaded();

    let (one, two) = (worker(&script, 0), worker(&script, 1));
    let path = |mut source: Box<dyn RequestSource>| next(&mut *source).unwrap().0;
    assert!(path(one).starts_with("GET /0/"), "each worker has its own rows");
    assert!(path(two).starts_with("GET /1/"), "each worker has its own rows");
    csv.extend_from_slice(b"1000000,u\n");
    assert!(with_file(text, "users.csv", &csv).refused().contains("it has more than a million rows"));
}
