//! Some values are secrets by the place they stand in, whoever they belong to: the value of a cookie, the credentials
//! of an address, the key in a query.
//!
//! Nothing needs to be registered for them. Where the end of a value is in doubt, more is masked rather than less.

use std::ops::Range;

use memchr::memchr2_iter;

/// Headers whose values are secrets.
const HEADERS: [&str; 16] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "cookie2",
    "set-cookie",
    "set-cookie2",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
    "x-csrf-token",
    "x-xsrf-token",
    "x-session-token",
    "x-amz-security-token",
    "x-vault-token",
    "private-token",
];

/// Names whose values are secrets wherever they are given one.
const STRONG: [&str; 20] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "client_secret",
    "client-secret",
    "secret_key",
    "secret-key",
    "secret_access_key",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "access-token",
    "accesstoken",
    "refresh_token",
    "id_token",
    "auth_token",
    "session_token",
    "private_key",
];

/// Last words of names whose values are secrets in a query; elsewhere they say too many other things.
const WEAK: [&str; 17] = [
    "token",
    "key",
    "sig",
    "signature",
    "code",
    "password",
    "passwd",
    "pwd",
    "secret",
    "auth",
    "session",
    "sessionid",
    "sid",
    "credential",
    "jwt",
    "otp",
    "apikey",
];

/// A longer name is no name.
const MAX_NAME_BYTES: usize = 64;

/// How far before its value a name may begin, with everything that may stand between them.
pub(super) const MAX_NAME_DISTANCE: usize = MAX_NAME_BYTES + 16;

/// Returns whether a header's value is a secret whatever it is.
#[must_use]
pub fn is_sensitive_header(name: &str) -> bool {
    HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Returns where values stand that are secrets by their place.
pub(super) fn values_in(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in memchr2_iter(b'=', b':', bytes) {
        // What stands inside a value is masked with it.
        if found.last().is_some_and(|last| at < last.end) {
            continue;
        }
        let value =
            if bytes[at..].starts_with(b"://") { credentials(bytes, at + 3) } else { named(bytes, at) };
        found.extend(value.filter(|value| !value.is_empty()));
    }
    found
}

/// Finds `user:password` in the address whose authority begins here.
fn credentials(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"/?#\"'<>\\`|^{}[]()".contains(byte);
    let length = bytes[start..].iter().position(is_end).unwrap_or(bytes.len() - start);
    let at = bytes[start..start + length].iter().rposition(|byte| *byte == b'@')?;
    Some(start..start + at)
}

/// Finds the value behind a name that ends before `separator`.
fn named(bytes: &[u8], separator: usize) -> Option<Range<usize>> {
    let mut name_end = separator;
    while name_end > 0 && bytes[name_end - 1] == b' ' && separator - name_end < 4 {
        name_end -= 1;
    }
    if name_end > 0 && matches!(bytes[name_end - 1], b'"' | b'\'') {
        name_end -= 1;
        name_end -= usize::from(name_end > 0 && bytes[name_end - 1] == b'\\');
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let length = bytes[..name_end].iter().rev().take(MAX_NAME_BYTES).take_while(|byte| is_name(byte)).count();
    let name = std::str::from_utf8(&bytes[name_end - length..name_end]).ok()?;
    if name.len() < 3 {
        return None;
    }
    let before = bytes[..name_end - length].last();
    let is_assignment = bytes[separator] == b'=';
    let is_in_query = is_assignment && before.is_some_and(|byte| b"?&;".contains(byte));
    if is_sensitive_header(name) && !is_in_query {
        return Some(rest_of_header(bytes, separator + 1));
    }
    let is_strong = STRONG.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_strong || (is_in_query && (is_weak(name) || is_sensitive_header(name))) {
        return Some(word(bytes, separator + 1));
    }
    // A member of JSON, and an assignment of its own.
    let is_token = name.eq_ignore_ascii_case("token");
    let is_quoted = name_end < separator && matches!(bytes[separator - 1], b'"' | b'\'');
    (is_token && (is_quoted || is_assignment)).then(|| word(bytes, separator + 1))
}

/// Returns whether the last word of a name is one of [`WEAK`]: `sig`, `page_token`, `X-Amz-Signature`, `accessToken`.
fn is_weak(name: &str) -> bool {
    WEAK.iter().any(|weak| {
        let Some(start) = name.len().checked_sub(weak.len()).filter(|at| name.is_char_boundary(*at)) else {
            return false;
        };
        let (before, last) = name.split_at(start);
        let begins_word = before.is_empty()
            || before.ends_with(['-', '_', '.'])
            || last.starts_with(|c: char| c.is_ascii_uppercase());
        begins_word && last.eq_ignore_ascii_case(weak)
    })
}

/// Returns where the value begins, and the quote it is in, if any.
fn opened(bytes: &[u8], mut at: usize) -> (usize, Option<u8>) {
    while bytes.get(at) == Some(&b' ') || bytes.get(at) == Some(&b'\t') {
        at += 1;
    }
    let quote_at = at + usize::from(bytes.get(at) == Some(&b'\\'));
    match bytes.get(quote_at) {
        Some(quote @ (b'"' | b'\'')) => (quote_at + 1, Some(*quote)),
        _ => (at, None),
    }
}

/// A header's value goes to the end of its line or of the quotes that it is in.
fn rest_of_header(bytes: &[u8], after: usize) -> Range<usize> {
    let (start, quote) = opened(bytes, after);
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\r' | b'\n' => break,
            b'<' | b'`' if quote.is_none() => break,
            _ if quote == Some(byte) => break,
            b'"' if quote.is_none() && at > start && bytes[at - 1] == b'=' => {
                // A part in quotes, as `username="…"`, belongs to the value.
                let length = bytes[at + 1..].iter().position(|byte| b"\"\r\n".contains(byte));
                at += length.map_or(0, |length| length + 1);
            }
            b'"' if quote.is_none() && bytes[at - 1] != b'\\' => break,
            _ => {}
        }
        at += 1;
    }
    start..before_backslash(bytes, start, at)
}

/// A value in a query, or one of a single word.
fn word(bytes: &[u8], after: usize) -> Range<usize> {
    let (start, quote) = opened(bytes, after);
    let is_end = |byte: &u8| match quote {
        Some(quote) => *byte == quote || b"\r\n".contains(byte),
        None => byte.is_ascii_whitespace() || b"&;\"'<>#`)}],|".contains(byte),
    };
    let length = bytes[start..].iter().position(is_end).unwrap_or(bytes.len() - start);
    start..before_backslash(bytes, start, start + length)
}

/// The backslash that escapes the quote at the end is not the value's.
fn before_backslash(bytes: &[u8], start: usize, end: usize) -> usize {
    let is_escape = end > start && bytes[end - 1] == b'\\' && matches!(bytes.get(end), Some(b'"' | b'\''));
    end - usize::from(is_escape)
}

#[cfg(test)]
mod tests {
    use crate::redact::Redactor;

    fn shown(text: &str) -> String {
        Redactor::new(Vec::new()).redact(text)
    }

    #[test]
    fn values_of_sensitive_headers_are_masked_in_every_spelling() {
        for (text, expected) in [
            ("Authorization: Bearer abc.def", "Authorization: ***"),
            ("> cookie: a=1; b=2\nnext: 1", "> cookie: ***\nnext: 1"),
            ("{\"set-cookie\": \"a=1; Path=/\", \"x\": 1}", "{\"set-cookie\": \"***\", \"x\": 1}"),
            (
                "{\\\"authorization\\\":\\\"Bearer q\\\",\\\"x\\\":1}",
                "{\\\"authorization\\\":\\\"***\\\",\\\"x\\\":1}",
            ),
            ("Authorization: Digest username=\"u\", response=\"r\"", "Authorization: ***"),
            ("[\"authorization: Basic dTpw\", 1]", "[\"authorization: ***\", 1]"),
            ("<li>cookie: a=b</li>", "<li>cookie: ***</li>"),
            ("headers = { X-Api-Key = 'abc' }", "headers = { X-Api-Key = '***' }"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn credentials_of_an_address_are_masked() {
        assert_eq!(shown("https://u:p@ss@host/a@b"), "https://***@host/a@b");
        assert_eq!(shown("postgres://app:hunter2@db/x"), "postgres://***@db/x");
        assert_eq!(shown("https://host/@user u@host"), "https://host/@user u@host");
    }

    #[test]
    fn keys_in_queries_are_masked_and_their_neighbours_stay() {
        for (text, expected) in [
            ("GET /a?id=7&access_token=abc&x=1", "GET /a?id=7&access_token=***&x=1"),
            ("/a?code=abc#top", "/a?code=***#top"),
            ("/a?X-Amz-Signature=ab12 200", "/a?X-Amz-Signature=*** 200"),
            ("/a?accessToken=ab12\"", "/a?accessToken=***\""),
            ("/a?monkey=1&decode=2&design=3&zipcode=4", "/a?monkey=1&decode=2&design=3&zipcode=4"),
            ("status code=404 key=products", "status code=404 key=products"),
            ("login failed: password=hunter2, user=a", "login failed: password=***, user=a"),
            ("{\"token\":\"abc\",\"kind\":\"x\"}", "{\"token\":\"***\",\"kind\":\"x\"}"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn usual_texts_stay_as_they_are() {
        for text in [
            "error: header \"Cookie\" is not allowed (a cookie in it could route the request)",
            "no comment was posted: there is no GITHUB_TOKEN in the environment",
            "a:b == c, 10:15:00, \u{e9}=\u{e9}",
            ": =",
            "",
        ] {
            assert_eq!(shown(text), text);
        }
    }
}
