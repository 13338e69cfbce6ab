//! What a mix promises: exact shares, values that stay values, and checks that are heard.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::super::{
    Asked, BodyText, Check, Feed, FeedOrder, Headers, Interest, Method, Request, RequestText, StatusPattern,
};
use super::*;

pub(super) const SEAT: Seat = Seat { worker: 0, workers: 1, lines: 1 };

pub(super) fn asked(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Asked {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Asked {
        name: None,
        weight: NonZeroU32::MIN,
        text: RequestText { method, path: path.into(), headers, body: BodyText::Text(body.into()) },
        check: Check::default(),
    }
}

fn weighted(weight: u32, path: &str) -> Asked {
    Asked { weight: NonZeroU32::new(weight).unwrap(), ..asked(Method::Get, path, &[], "") }
}

fn feed(order: FeedOrder, columns: &[&str], rows: &[&[&str]]) -> Feed {
    let mut feed = Feed::new(columns.iter().map(|&name| name.into()).collect(), order).unwrap();
    for row in rows {
        feed.push(None, row.iter().copied()).unwrap();
    }
    feed
}

pub(super) fn requests(feed: Option<Feed>, asked: impl IntoIterator<Item = Asked>) -> Requests {
    let mut requests = Requests::new(feed, 1);
    for one in asked {
        requests.add(one).unwrap();
    }
    requests
}

fn source(requests: &Requests, seat: Seat) -> Box<dyn RequestSource> {
    Mix::new(requests, "127.0.0.1:1", 1).for_worker(seat).unwrap()
}

/// Sends so many requests on one line and returns their paths; fewer where the source ends.
fn paths(source: &mut dyn RequestSource, count: usize) -> Vec<String> {
    let mut wire = Rc::default();
    let mut paths = Vec::new();
    while paths.len() < count && source.next(0, &mut wire).unwrap().is_some() {
        let part = wire.parts().next().unwrap();
        paths.push(String::from_utf8(part.path().to_vec()).unwrap());
    }
    paths
}

#[test]
fn one_plain_request_is_shared_by_all_lines_and_has_no_endpoint_of_its_own() {
    let mut source = source(&Request::get("/a").unwrap().into(), SEAT);
    let (mut first, mut second) = (Rc::default(), Rc::default());

    let chosen = source.next(0, &mut first).unwrap();
    source.next(1, &mut second).unwrap();

    assert!(Rc::ptr_eq(&first, &second));
    assert_eq!(chosen, Some(Chosen::default()));
    assert!(source.is_instant() && !source.has_endpoints());
}

#[test]
fn every_request_has_exactly_its_share_in_every_cycle() {
    let requests = requests(None, [weighted(5, "/a"), weighted(1, "/b"), weighted(2, "/c")]);

    for worker in 0..3 {
        let sent = paths(&mut *source(&requests, Seat { worker, workers: 3, lines: 1 }), 800);

        for cycle in sent.chunks(8) {
            let of = |path: &str| cycle.iter().filter(|sent| *sent == path).count();
            assert_eq!((of("/a"), of("/b"), of("/c")), (5, 1, 2), "{cycle:?}");
        }
    }
}

#[test]
fn shares_are_evenly_spread_and_workers_do_not_send_in_step() {
    let requests = requests(None, [weighted(1, "/a"), weighted(1, "/b")]);
    let sent = |worker| paths(&mut *source(&requests, Seat { worker, workers: 2, lines: 1 }), 4);

    assert_eq!(sent(0), ["/a", "/b", "/a", "/b"]);
    assert_eq!(sent(1), ["/b", "/a", "/b", "/a"]);
}

#[test]
fn each_request_is_counted_under_its_own_name() {
    let mut named = weighted(1, "/a?long=query");
    named.name = Some("search".into());
    let mut source = source(&requests(None, [named, weighted(1, "/p/{id:counter}")]), SEAT);
    let mut wire = Rc::default();

    let first = source.next(0, &mut wire).unwrap().unwrap();
    let second = source.next(0, &mut wire).unwrap().unwrap();

    assert_eq!(source.endpoints(), ["search", "GET /p/{id}"]);
    assert_eq!((first.endpoint, second.endpoint), (Endpoint(0), Endpoint(1)));
    assert!(!source.is_instant());
}

#[test]
fn one_request_takes_all_its_values_from_one_row() {
    let feed = feed(FeedOrder::Sequential, &["id", "name"], &[&["1", "a b"], &["2", "\"c\""]]);
    let post = asked(
        Method::Post,
        "/users/{feed.id}?n={feed.name}&again={feed.id}",
        &[("content-type", "application/json"), ("x-user", "{feed.id}")],
        r#"{"id": {feed.id:number}, "name": "{feed.name}", "n": {n:counter}, "m": {n}}"#,
    );
    let mut source = source(&requests(Some(feed), [post]), SEAT);
    let mut wire = Rc::default();
    let mut sent = Vec::new();
    for _ in 0..3 {
        source.next(0, &mut wire).unwrap();
        let part = wire.parts().next().unwrap();
        let user = part.headers().find(|(name, _)| *name == b"x-user").unwrap().1;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        sent.push((text(part.path()), text(user), text(part.body())));
    }

    let expected = |path: &str, user: &str, body: &str| (path.into(), user.into(), body.into());
    assert_eq!(
        sent,
        [
            expected("/users/1?n=a%20b&again=1", "1", r#"{"id": 1, "name": "a b", "n": 1, "m": 1}"#),
            expected("/users/2?n=%22c%22&again=2", "2", r#"{"id": 2, "name": "\"c\"", "n": 2, "m": 2}"#),
            expected("/users/1?n=a%20b&again=1", "1", r#"{"id": 1, "name": "a b", "n": 3, "m": 3}"#),
        ]
    );
}

#[test]
fn a_feed_that_is_used_once_ends_the_worker_and_no_row_is_sent_twice() {
    let rows: Vec<[String; 1]> = (0..10).map(|id| [id.to_string()]).collect();
    let mut table = Feed::new(vec!["id".into()], FeedOrder::Once).unwrap();
    for row in &rows {
        table.push(None, row.iter().map(String::as_str)).unwrap();
    }
    let requests = requests(Some(table), [weighted(1, "/{feed.id}")]);

    let mut sent: Vec<String> = (0..3)
        .flat_map(|worker| paths(&mut *source(&requests, Seat { worker, workers: 3, lines: 1 }), 100))
        .collect();
    sent.sort();

    assert_eq!(sent, (0..10).map(|id| format!("/{id}")).collect::<Vec<_>>());
}

#[test]
fn a_plain_request_beside_a_template_leaves_the_line_its_memory() {
    let mut source = source(&requests(None, [weighted(1, "/{id:counter}"), weighted(1, "/plain")]), SEAT);
    let mut wire = Rc::default();
    source.next(0, &mut wire).unwrap();
    let memory = Rc::as_ptr(&wire);

    for _ in 0..4 {
        source.next(0, &mut wire).unwrap();
    }

    assert_eq!(Rc::as_ptr(&wire), memory);
}

#[test]
fn the_same_seed_sends_the_same_and_another_does_not() {
    let sent = |seed: u64, run: u64| {
        let mut requests = Requests::new(None, seed);
        requests.add(weighted(1, "/{id:integer(1..1000000)}")).unwrap();
        paths(&mut *Mix::new(&requests, "h", run).for_worker(SEAT).unwrap(), 5)
    };

    assert_eq!(sent(1, 1), sent(1, 2));
    assert_ne!(sent(1, 1), sent(2, 1));
}

#[test]
fn an_answer_is_judged_by_the_check_of_its_own_request() {
    let status = |word: &str| Check { status: vec![StatusPattern::parse(word).unwrap()], ..Check::default() };
    let found = Asked { check: status("2xx"), ..weighted(1, "/found") };
    let gone = Asked { check: status("404"), ..weighted(1, "/gone") };
    let mut source = source(&requests(None, [found, gone]), SEAT);
    let mut wire = Rc::default();
    let mut judged = |status| {
        let chosen = source.next(0, &mut wire).unwrap().unwrap();
        assert_eq!(chosen.interest, Interest::Status);
        let headers = Headers::default();
        let answer = Answered { line: 0, status, headers: &headers, body: b"", is_body_cut: false };
        source.answered(chosen, &answer).unwrap()
    };

    assert!(judged(404).is_failed);
    assert!(judged(404).is_expected);
}

/// A body of each grammar with the same value in it, and the content type that says so.
const GRAMMARS: [(&str, &str); 4] = [
    ("application/json; charset=utf-8", r#"{"a": ["{feed.v}", {"b\"{": "x{feed.v}y"}]}"#),
    ("application/x-www-form-urlencoded", "a={feed.v}&b=x{feed.v}y"),
    ("text/xml", "<a b=\"{feed.v}\">x{feed.v}y</a>"),
    ("text/plain", "a={feed.v}, b=x{feed.v}y"),
];

/// Method, path, headers and body as a server reads them.
type Read = (String, String, Vec<(String, Vec<u8>)>, Vec<u8>);

/// Reads one HTTP/1.1 request as a server would, and asserts that nothing is left.
fn parse_back(bytes: &[u8]) -> Read {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut headers);
    let head = request.parse(bytes).unwrap().unwrap();
    let found: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect();
    let lengths: Vec<&[u8]> = found
        .iter()
        .filter(|(name, _)| name == "content-length")
        .map(|(_, value)| value.as_slice())
        .collect();
    let [length] = lengths.as_slice() else { panic!("one content-length") };
    let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
    assert_eq!(bytes.len(), head + length, "something follows the request");
    (request.method.unwrap().to_owned(), request.path.unwrap().to_owned(), found, bytes[head..].to_vec())
}

/// Values that break out of something, and any other.
fn any_value() -> impl Strategy<Value = String> {
    let hostile = [
        "",
        ".",
        "..",
        "/",
        "//evil.example",
        "?x#y",
        "\r\nHost: evil",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "\n",
        "\"",
        "\\",
        "\\\"",
        "\"}, \"admin\": true, {\"",
        "{",
        "{feed.v}",
        "{{",
        "%",
        "%2",
        "&a=b",
        "; __vdpl=x",
        "<x>",
        "]]>",
        "\u{2028}",
        "é",
        "\u{7f}",
        "\u{1}",
        ",",
        "a\tb",
        "1",
        "-1e5",
    ];
    prop_oneof![
        prop::sample::select(hostile.map(str::to_owned).to_vec()),
        prop::collection::vec(prop::sample::select(hostile.to_vec()), 0..4).prop_map(|parts| parts.concat()),
        any::<String>().prop_map(|text| text.replace('\0', "")),
    ]
}

proptest! {
    #[test]
    fn whatever_the_feed_holds_the_wire_is_one_request_of_the_same_shape(
        value in any_value(), grammar in prop::sample::select(GRAMMARS.to_vec()),
    ) {
        let (content_type, body) = grammar;
        let headers =
            [("content-type", content_type), ("x-value", "<{feed.v}>"), ("cookie", "a={feed.v}; b={feed.v}")];
        let table = feed(FeedOrder::Sequential, &["v"], &[&[&value]]);
        let requests = requests(Some(table), [asked(Method::Put, "/a/{feed.v}/b?c={feed.v}&d", &headers, body)]);
        let mut source = source(&requests, SEAT);
        let mut wire = Rc::default();

        let chosen = source.next(0, &mut wire);

        // What is refused before the load is what would be refused in it.
        prop_assert_eq!(chosen.is_err(), requests.check_rows().is_err());
        if let Err(failure) = chosen {
            prop_assert!(failure.what.starts_with("row 1 of the feed cannot be sent"), "{}", failure.what);
            return Ok(());
        }
        prop_assert_eq!(wire.requests(), 1);
        let (method, path, found, sent) = parse_back(wire.bytes());
        prop_assert_eq!(method, "PUT");
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        prop_assert_eq!(names, ["host", "content-type", "x-value", "cookie", "user-agent", "content-length"]);
        prop_assert_eq!(path.matches('/').count(), 3);
        prop_assert_eq!(path.matches(['?', '&', '#']).count(), 2);
        let url = url::Url::parse(&format!("http://host{path}")).unwrap();
        prop_assert_eq!(url.host_str(), Some("host"));
        prop_assert_eq!(url.path_segments().unwrap().count(), 3);
        prop_assert_eq!(url.query_pairs().next().unwrap().1, value.as_str());
        prop_assert_eq!(&found[2].1, &format!("<{value}>").into_bytes());
        assert_body_keeps_its_shape(content_type, std::str::from_utf8(&sent).unwrap(), &value);
    }

    #[test]
    fn a_number_of_a_feed_never_becomes_more_than_one_value(value in any_value()) {
        let headers = [("content-type", "application/vnd.api+json")];
        let table = feed(FeedOrder::Sequential, &["v"], &[&[&value]]);
        let requests = requests(Some(table), [asked(Method::Post, "/", &headers, r#"[{feed.v:number}, 2]"#)]);
        let mut wire = Rc::default();

        if source(&requests, SEAT).next(0, &mut wire).is_ok() {
            let (_, _, _, body) = parse_back(wire.bytes());
            let document: Vec<f64> = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(document.len(), 2);
        }
    }
}

fn assert_body_keeps_its_shape(content_type: &str, body: &str, value: &str) {
    let around = format!("x{value}y");
    match content_type {
        "application/json; charset=utf-8" => {
            let document: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(document, serde_json::json!({"a": [value, {"b\"{": around}]}));
        }
        "application/x-www-form-urlencoded" => {
            let pairs: Vec<_> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            assert_eq!(pairs, [("a".to_owned(), value.to_owned()), ("b".to_owned(), around)]);
        }
        "text/xml" => {
            assert_eq!(body.matches('<').count(), 2, "{body}");
            assert_eq!(body.matches('"').count(), 2, "{body}");
        }
        _ => assert_eq!(body, format!("a={value}, b={around}")),
    }
}
