//! wrk's contract, callback by callback, with its units and without its traps.

use super::*;

#[test]
fn a_static_script_is_asked_once_and_never_again() {
    let script = Bench::of(
        "wrk.method = 'POST'; wrk.body = 'foo=bar&baz=quux'; wrk.path = '/form'\n\
         wrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'",
    )
    .loaded();
    let mut source = worker(&script, 0);
    let (mut one, mut two) = (Rc::default(), Rc::default());

    source.next(0, &mut one).unwrap();
    let chosen = source.next(0, &mut two).unwrap();

    assert!(Rc::ptr_eq(&one, &two), "the same request must be shared");
    assert_eq!(chosen, Some(Chosen::default()));
    assert!(source.is_instant());
    let text = String::from_utf8_lossy(one.bytes()).into_owned();
    assert!(text.starts_with("POST /form HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{text}");
    assert!(text.contains("Content-Type: application/x-www-form-urlencoded\r\n"), "{text}");
    assert!(text.ends_with("content-length: 16\r\n\r\nfoo=bar&baz=quux"), "{text}");
}

#[test]
fn request_is_not_called_once_too_often() {
    let script = Bench::of(
        "counter = 0\nrequest = function()\n path = '/' .. counter\n wrk.headers['X-Counter'] = counter\n \
         counter = counter + 1\n return wrk.format(nil, path)\nend",
    )
    .loaded();
    let mut source = worker(&script, 0);

    for expected in 0..3 {
        let (text, chosen) = next(&mut *source).unwrap();
        assert!(text.starts_with(&format!("GET /{expected} HTTP/1.1\r\n")), "{text}");
        assert!(text.contains(&format!("X-Counter: {expected}\r\n")), "{text}");
        assert_eq!(chosen.interest, crate::request::Interest::Nothing);
    }
}

#[test]
fn the_number_of_parameters_decides_what_response_sees() {
    use crate::request::Interest::{Body, Head, Nothing, Status};
    let interest = |response: &str| {
        let script = Bench::of(response).loaded();
        next(&mut *worker(&script, 0)).unwrap().1.interest
    };

    assert_eq!(interest(""), Nothing);
    assert_eq!(interest("function response() end"), Status);
    assert_eq!(interest("function response(status) end"), Status);
    assert_eq!(interest("function response(status, headers) end"), Head);
    assert_eq!(interest("function response(status, headers, body) end"), Body);
    assert_eq!(interest("function response(...) end"), Body);
}

#[test]
fn headers_of_an_answer_are_found_without_case_and_can_be_listed() {
    let mut script = Bench::of(
        "function response(status, headers, body)\n\
           print(status, headers['x-token'], headers['X-TOKEN'], headers.Nothing, #body)\n\
           local names = {}\n for name in pairs(headers) do names[#names + 1] = name end\n\
           table.sort(names)\n print(table.concat(names, ' '))\n print(headers['X-token'])\n\
         end\nfunction done() end",
    )
    .loaded();
    let mut source = worker(&script, 0);

    answer(&mut *source, &[("X-Token", "a"), ("Server", "s"), ("X-Token", "b")], "body").unwrap();
    source.finish();
    script.done(&measurement()).unwrap();

    assert_eq!(printed(&mut script), "200\tb\tb\tnil\t4\nServer X-Token\nb\n");
}

#[test]
fn a_header_that_is_looked_at_comes_along_and_is_listed_as_it_came() {
    let mut script = Bench::of(
        "n = 0\nfunction response(status, headers)\n n = n + 1\n\
           local seen = { tostring(headers['x-token']), tostring(headers['X-Nothing']), tostring(headers.etag), tostring(headers.a), tostring(headers.b) }\n\
           if n == 3 then for name, value in pairs(headers) do seen[#seen + 1] = name .. '=' .. value end end\n\
           seen[#seen + 1] = tostring(headers['X-TOKEN'])\n\
           table.sort(seen)\n print(table.concat(seen, ' '))\n\
         end\nfunction done() end",
    )
    .loaded();
    let mut source = worker(&script, 0);

    for token in ["one", "two", "three"] {
        answer(&mut *source, &[("X-Token", "none"), ("X-TOKEN", token), ("Etag", "e"), ("b", "5")], "")
            .unwrap();
    }
    answer(&mut *source, &[], "").unwrap();
    source.finish();
    script.done(&measurement()).unwrap();

    assert_eq!(
        printed(&mut script),
        "5 e nil nil one one\n5 e nil nil two two\n5 Etag=e X-TOKEN=three X-Token=none b=5 e nil nil three three\n\
         nil nil nil nil nil nil\n"
    );
}

#[test]
fn a_token_from_an_answer_goes_into_later_requests() {
    let script = Bench::of(
        "token = nil\npath = '/authenticate'\nrequest = function() return wrk.format('GET', path) end\n\
         response = function(status, headers, body)\n if not token and status == 200 then\n\
         token = headers['X-Token']\n path = '/resource'\n wrk.headers['X-Token'] = token\n end\nend",
    )
    .loaded();
    let mut source = worker(&script, 0);

    let before = next(&mut *source).unwrap().0;
    answer(&mut *source, &[("x-token", "t0")], "").unwrap();
    let after = next(&mut *source).unwrap().0;

    assert!(before.starts_with("GET /authenticate ") && !before.contains("X-Token"), "{before}");
    assert!(after.starts_with("GET /resource ") && after.contains("X-Token: t0\r\n"), "{after}");
}

#[test]
fn done_gets_wrks_units_and_the_workers_counters() {
    let mut script = Bench::of(
        "local counter, threads = 1, {}\nstatuses = {}\nresponses = 0\n\
         function setup(thread) thread:set('id', counter); table.insert(threads, thread); counter = counter + 1 end\n\
         function init(args) requests = 0 end\n\
         function request() requests = requests + 1; return wrk.request() end\n\
         function response(status) responses = responses + 1; statuses[status] = (statuses[status] or 0) + 1 end\n\
         function done(summary, latency, requests_)\n\
           for _, thread in ipairs(threads) do print(thread:get('id'), thread:get('requests')) end\n\
           print(responses, requests, statuses[200], id)\n\
           print(summary.duration, summary.requests, summary.bytes, summary.errors.status, summary.errors.timeout)\n\
           local value, count = latency(2)\n\
           print(latency.min, latency.max, #latency, value, count, latency:percentile(50), latency:percentile(99.9))\n\
           print(requests_.max)\n\
         end",
    )
    .loaded();

    for (number, requests) in [(0, 3), (1, 2)] {
        let mut source = worker(&script, number);
        for _ in 0..requests {
            next(&mut *source).unwrap();
            answer(&mut *source, &[], "").unwrap();
        }
        source.finish();
    }
    script.done(&measurement()).unwrap();

    assert_eq!(
        printed(&mut script),
        "1\t3\n2\t2\n5\t5\t5\tnil\n1000000\t4\t4096\t1\t2\n1000\t2000\t2\t2000\t2\t2000\t2000\n2\n"
    );
}

#[test]
fn delay_is_in_milliseconds_and_nothing_else() {
    let wait = |value: &str| {
        let script = Bench::of(&format!("function delay() return {value} end")).load()?;
        Ok::<_, ScriptError>(worker(&script, 0).pause(0).unwrap())
    };

    assert_eq!(wait("50"), Ok(Duration::from_millis(50)));
    assert_eq!(wait("'5'"), Ok(Duration::from_millis(5)));
    assert_eq!(wait("1e308"), Ok(Duration::from_secs(86_400)));
    for hostile in ["0/0", "1/0", "-1/0", "-1", "nil", "{}", "'soon'"] {
        let error = wait(hostile).unwrap_err();
        assert!(error.to_string().starts_with("delay() of load/test.lua returned"), "{hostile}: {error}");
    }
    assert_eq!(wait("nil").unwrap_err().to_string(), "delay() of load/test.lua returned nothing");
    assert_eq!(wait("{}").unwrap_err().to_string(), "delay() of load/test.lua returned a table");
}

#[test]
fn pipelined_requests_are_sent_within_what_is_declared() {
    let text = "init = function(args)\n local r = {}\n r[1] = wrk.format(nil, '/?foo')\n r[2] = wrk.format(nil, '/?bar')\n\
                req = table.concat(r)\nend\nrequest = function() return req end";
    let mut bench = Bench::of(text);

    assert!(bench.refused().contains("there is more than one request in one text"));
    bench.plan.pipeline = 2;
    let script = bench.loaded();
    let mut wire = Rc::default();
    worker(&script, 0).next(0, &mut wire).unwrap();
    assert_eq!(wire.requests(), 2);
}

#[test]
fn a_thread_stops_itself_and_setup_can_stop_it_too() {
    let script = Bench::of(
        "local counter = 1\nfunction response()\n if counter == 2 then wrk.thread:stop() end\n counter = counter + 1\nend",
    )
    .loaded();
    let mut source = worker(&script, 0);

    assert!(!answer(&mut *source, &[], "").unwrap().stops_worker);
    assert!(answer(&mut *source, &[], "").unwrap().stops_worker);
    let stopped = Bench::of("function setup(thread) thread:stop() end").loaded();
    let mut source = worker(&stopped, 1);
    assert_eq!(source.next(0, &mut Rc::default()).unwrap(), None);
}

#[test]
fn addresses_are_those_that_were_pinned_and_no_other() {
    let mut script = Bench::of(
        "local addrs\nfunction setup(thread)\n addrs = addrs or wrk.lookup(wrk.host, wrk.port or 'http')\n\
         for i = #addrs, 1, -1 do if not wrk.connect(addrs[i]) then table.remove(addrs, i) end end\n\
         thread.addr = addrs[math.random(#addrs)]\nend\n\
         function init(args)\n local msg = 'thread addr: %s'\n print(msg:format(wrk.thread.addr))\n print(args[0], args[1], #args)\nend",
    );
    script.plan.arguments = vec!["word".into()];
    let mut script = script.loaded();
    let mut source = worker(&script, 1);
    assert_eq!(source.address(), Some("127.0.0.1:8080".parse().unwrap()));
    source.finish();
    script.done(&measurement()).unwrap();

    assert_eq!(printed(&mut script), "thread addr: 127.0.0.1:8080\nhttp://127.0.0.1:8080/\tword\t1\n");
    for hostile in [
        "wrk.lookup('www.example.com', 'http')",
        "wrk.lookup('127.0.0.1', '22')",
        "for port = 1, 65535 do wrk.connect('127.0.0.1:' .. port) end",
        "function setup(thread) thread.addr = '127.0.0.1:9' end",
    ] {
        let said = Bench::of(hostile).refused();
        assert!(said.contains("cleared target"), "{hostile}: {said}");
    }
}

#[test]
fn what_was_declared_can_be_read_and_nothing_else() {
    let mut bench = Bench::of(
        "print(os.getenv('STAGE'), os.getenv('UNSET'))\n\
         local f = io.open('users.csv'); print(f:read('*l'), f:read('*n')); f:close()\n\
         for line in io.lines('./data/users.csv') do io.write(line, ';') end\n\
         print(require('json').encode({a = {1, 2}, b = 'x'}), require 'cjson'.decode('{\"a\":[1,null]}').a[1])\n\
         print(require('lib.gen').name, require 'bit'.bxor(5, 3), bit.tohex(-1))\n\
         print(wrk.param('size') + 1, ('%s %s %d'):format(nil, true, 3))",
    );
    bench.plan.environment = [("STAGE".into(), Some("preview".into())), ("UNSET".into(), None)].into();
    bench.plan.files = [("data/users.csv".into(), Arc::from(&b"id\n42\n"[..]))].into();
    bench.plan.modules = [("load/lib/gen.lua".into(), b"return {name = 'gen'}".to_vec())].into();
    bench.plan.params = vec![crate::request::ScriptParam {
        name: "size".into(),
        kind: crate::request::ParamKind::Integer { min: 1, max: 9 },
        value: "7".into(),
    }];
    let mut script = bench.loaded();

    assert_eq!(
        printed(&mut script),
        "preview\tnil\nid\t42\nid;42;{\"a\":[1,2],\"b\":\"x\"}\t1\ngen\t6\tffffffff\n8\tnil true 3\n"
    );
    // The text, which counts with it, has not seen the second one.
    for value in ["70", "many"] {
        bench.plan.params[0].value = value.into();
        assert_eq!(bench.refused(), "parameter `size` of load/test.lua is no whole number from 1 to 9");
    }
    for (hostile, answer) in [
        ("os.getenv('HOME')", "name it in `env`"),
        ("io.open('/etc/passwd')", "name it in `data`"),
        ("for line in io.lines('x') do end", "name it in `data`"),
        ("io.open('out.txt', 'w')", "name it in `sink`"),
        ("require 'socket.http'", "the generator owns all connections"),
        ("require 'socket'.connect('127.0.0.1', 22)", "the generator owns all connections"),
        ("wrk.secret('token')", "declare it as a [[secret]]"),
        ("wrk.param('x')", "declare it as a [[script.param]]"),
        ("os.execute('sleep 1')", "delay()"),
        ("io.popen('ls')", "declare its output in `data`"),
        ("loadstring('return 1')()", "write the code into the script"),
        ("os.exit(3)", "os.exit(3)"),
    ] {
        let said = Bench::of(&format!("\n{hostile}")).refused();
        assert!(said.contains(answer), "{hostile}: {said}");
        assert!(said.contains("load/test.lua"), "{said}");
    }
}

#[test]
fn each_worker_reads_its_own_rows_of_a_feed() {
    let mut bench = Bench::of(
        "local users = wrk.feed('users.csv')\nfunction request() return wrk.format('GET', wrk.path{'u', users().name}) end",
    );
    bench.plan.files = [("users.csv".into(), Arc::from(&b"name\na b\nb/c\nc\n"[..]))].into();
    let script = bench.loaded();
    let paths = |number| {
        let mut source = worker(&script, number);
        (0..3)
            .map(|_| next(&mut *source).unwrap().0.split(' ').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    assert_eq!(paths(0), ["/u/a%20b", "/u/c", "/u/a%20b"]);
    assert_eq!(paths(1), ["/u/b%2Fc", "/u/b%2Fc", "/u/b%2Fc"]);
    bench.plan.files = [("users.csv".into(), Arc::from(&b"a,b\n1\n"[..]))].into();
    let said = bench.refused();
    assert!(
        said.contains("load/test.lua:1: ") && said.contains("\"users.csv\", line 2: it has 1 cell "),
        "{said}"
    );
}

#[test]
fn sinks_hold_what_was_written() {
    let mut bench =
        Bench::of("function done() local f = io.open('out.json', 'w'); f:write('{', 1, '}'); f:close() end");
    bench.plan.sinks = vec!["out.json".into()];
    let mut script = bench.loaded();
    script.done(&measurement()).unwrap();

    assert_eq!(script.take_sinks(), [("out.json".to_owned(), b"{1}".to_vec())].into());
}

#[test]
fn checks_and_tags_are_counted_and_bounded() {
    let script = Bench::of(
        "function request() wrk.tag('home'); return wrk.request() end\n\
         function response(status) wrk.check('is ok', status == 201); wrk.tag('answer') end\nfunction done() end",
    )
    .loaded();
    let mut source = worker(&script, 0);

    let chosen = next(&mut *source).unwrap().1;
    let judgement = answer(&mut *source, &[], "").unwrap();

    assert_eq!((chosen.endpoint.0, judgement.endpoint.map(|e| e.0), judgement.is_failed), (1, Some(2), true));
    assert_eq!(source.endpoints(), ["untagged", "home", "answer"]);
    assert!(
        Bench::of("for i = 1, 100 do wrk.tag('t' .. i) end").refused().contains("more than 64 endpoints")
    );
}

#[test]
fn random_numbers_are_wide_and_differ_by_worker_and_repeat_by_seed() {
    let text = "function request() return wrk.format('GET', '/' .. math.random(0, 4294967295)) end";
    let path = |seed, number| {
        let mut bench = Bench::of(&format!("math.randomseed(os.time())\n{text}"));
        bench.plan.seed = seed;
        let script = bench.loaded();
        next(&mut *worker(&script, number)).unwrap().0
    };

    assert_eq!(path(1, 0), path(1, 0));
    assert_ne!(path(1, 0), path(1, 1));
    assert_ne!(path(1, 0), path(2, 0));
    let wide = Bench::of(
        "local most = 0\nfor i = 1, 200 do most = math.max(most, math.random(0, 4294967295)) end\nassert(most > 2147483648)",
    );
    assert!(wide.load().is_ok());
}

#[test]
fn later_changes_of_wrk_reach_the_next_request() {
    let text = first("function request() wrk.path = '/later'; return wrk.request() end");

    assert!(text.starts_with("GET /later "), "{text}");
}
