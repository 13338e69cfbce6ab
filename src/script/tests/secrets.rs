//! Secrets that scripts handle without ever seeing them: those that were declared, and those that answers bring.

use super::*;
use crate::request::{DeclaredSecret, Placeholders, Sealed};
use crate::secret::Secret;

/// A bench whose script may name `TOKEN` in `authorization`.
fn bench(text: &str, value: Result<Secret, Sealed>) -> Bench {
    let mut bench = Bench::of(text);
    let declared = DeclaredSecret { name: "TOKEN".into(), headers: vec!["authorization".into()], value };
    bench.plan.placeholders = Placeholders::new(0x1234_5678_9abc_def0, vec![declared]);
    bench
}

fn with(text: &str) -> Bench {
    bench(text, Ok(Secret::new("correct-horse".into())))
}

const SESSION: &str = "sid=0123456789abcdef; Path=/; HttpOnly";

#[test]
fn a_script_never_sees_a_declared_secret() {
    let text = "local token = wrk.secret('TOKEN')\nprint(token, #token)\nprint(wrk.basic('u', token))\n\
                function request() return wrk.format(nil, nil, {Authorization = token}) end";
    let mut script = with(text).loaded();
    let sent = next(&mut *worker(&script, 0)).unwrap().0;

    let said = printed(&mut script);

    assert!(sent.contains("Authorization: correct-horse\r\n"), "{sent}");
    assert!(!said.contains("horse") && !said.contains("Y29ycmVjdC1ob3JzZ"), "{said}");
}

#[test]
fn a_secret_that_may_not_go_to_this_target_is_refused_before_anything_is_sent() {
    for (sealed, why) in [(Sealed::Host, "`hosts` do not name it"), (Sealed::Plain, "without TLS")] {
        let said = bench("wrk.headers.Authorization = wrk.secret('TOKEN')", Err(sealed)).refused();
        assert!(
            said.contains("returned a request that is refused: secret `TOKEN`") && said.contains(why),
            "{said}"
        );
    }
    // One that is only named harms nobody.
    assert!(bench("local token = wrk.secret('TOKEN')", Err(Sealed::Host)).load().is_ok());
}

#[test]
fn a_session_that_a_script_copies_from_an_answer_still_works() {
    for (kept, expected) in [
        ("headers['Set-Cookie']", "cookie: sid=0123456789abcdef; Path=/; HttpOnly"),
        ("headers['set-cookie']:match('([^;]+)')", "cookie: sid=0123456789abcdef"),
        ("'sid=' .. headers['Set-Cookie']:match('sid=(%w+)')", "cookie: sid=0123456789abcdef"),
        ("string.gsub(headers['Set-Cookie'], ';.*', '')", "cookie: sid=0123456789abcdef"),
    ] {
        let text = format!(
            "local cookie\nfunction request() return wrk.format(nil, nil, {{cookie = cookie}}) end\n\
             function response(status, headers) cookie = {kept} print(cookie) end"
        );
        let mut script = with(&text).loaded();
        let mut worker = worker(&script, 0);
        next(&mut *worker).unwrap();
        answer(&mut *worker, &[("Set-Cookie", SESSION)], "").unwrap();

        let sent = next(&mut *worker).unwrap().0;

        assert!(sent.contains(&format!("{expected}\r\n")), "{kept}: {sent}");
        drop(worker);
        let said = printed(&mut script);
        assert!(!said.contains("0123456789abcdef"), "{said}");
        assert_eq!(script.take_tokens(), [Secret::new("0123456789abcdef".into())]);
    }
}

#[test]
fn a_token_of_an_answer_goes_back_in_its_own_header_and_into_no_path() {
    let text = |part: &str| {
        format!(
            "local token\nfunction request() if not token then return wrk.format() end {part} end\n\
             function response(status, headers) token = headers['X-Auth-Token'] end"
        )
    };
    let sent = |part: &str| {
        let script = with(&text(part)).loaded();
        let mut worker = worker(&script, 0);
        next(&mut *worker).unwrap();
        answer(&mut *worker, &[("x-auth-token", "Zm9vYmFyYmF6")], "").unwrap();
        next(&mut *worker).map(|(sent, _)| sent)
    };

    let good = sent("return wrk.format(nil, nil, {['X-Auth-Token'] = token})").unwrap();
    let path = sent("return wrk.format(nil, '/?t=' .. token)").unwrap_err();
    let other = sent("return wrk.format(nil, nil, {['X-Other'] = token})").unwrap_err();

    assert!(good.contains("X-Auth-Token: Zm9vYmFyYmF6\r\n"), "{good}");
    assert!(path.what.contains("a secret stands in the request line"), "{path:?}");
    assert!(other.help.contains("sensitive-headers"), "{other:?}");
}

#[test]
fn a_text_that_a_script_calls_sensitive_is_masked_in_all_that_it_says() {
    let text = "local token, seen = nil, 0\nfunction request() return wrk.format(nil, nil, token and {Authorization = 'Bearer ' .. token} or {}) end\n\
                function response(status, headers, body)\n  local raw = body:match('\"t\":\"(.-)\"')\n\
                token = wrk.sensitive(raw)\n  print('got ' .. raw)\n  seen = seen + 1\n  if seen == 2 then error('bad ' .. raw) end\nend";
    let mut script = with(text).loaded();
    let mut worker = worker(&script, 0);
    next(&mut *worker).unwrap();

    answer(&mut *worker, &[], "{\"t\":\"hunter2hunter2\"}").unwrap();
    let sent = next(&mut *worker).unwrap().0;
    // An error ends the script's part in the run, so it comes last.
    let failure = answer(&mut *worker, &[], "{\"t\":\"hunter2hunter2\"}").unwrap_err();

    assert!(sent.contains("Authorization: Bearer hunter2hunter2\r\n"), "{sent}");
    drop(worker);
    let said = printed(&mut script);
    assert_eq!(said, "got ***\ngot ***\n");
    assert!(failure.what.contains("bad ***"), "{failure:?}");
}

#[test]
fn text_that_a_server_or_a_feed_shapes_like_a_placeholder_is_never_filled() {
    let text = "local forged\nfunction request() return wrk.format(nil, nil, {Authorization = forged or 'none'}) end\n\
                function response(status, headers, body) forged = body end";
    for forged in [
        "{secret.TOKEN.00000000000000000000000000000001}",
        "{basic.75.TOKEN.00000000000000000000000000000001}",
        "00000000000000000000000000000001t0n0z",
        "{secret.TOKEN.}",
    ] {
        let script = with(text).loaded();
        let mut worker = worker(&script, 0);
        next(&mut *worker).unwrap();
        answer(&mut *worker, &[], forged).unwrap();

        let sent = next(&mut *worker).unwrap().0;

        assert!(sent.contains(&format!("Authorization: {forged}\r\n")), "{sent}");
    }
}
