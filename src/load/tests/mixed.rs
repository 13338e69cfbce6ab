//! Whole runs of several requests: shares, checks and feeds as a real server sees them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::request::{Asked, BodyText, Check, Feed, FeedOrder, Method, RequestText, Requests, StatusPattern};

fn asked(path: &str, weight: u32, status: &str) -> Asked {
    let text = RequestText {
        method: Method::Get,
        path: path.into(),
        headers: Vec::new(),
        body: BodyText::Text(String::new()),
    };
    let check = Check { status: vec![StatusPattern::parse(status).unwrap()], ..Check::default() };
    Asked { name: None, weight: NonZeroU32::new(weight).unwrap(), text, check }
}

fn requests(feed: Option<Feed>, several: impl IntoIterator<Item = Asked>) -> Requests {
    let mut requests = Requests::new(feed, 1);
    several.into_iter().for_each(|asked| requests.add(asked).unwrap());
    requests
}

/// Reads the path of one request without a body.
fn read_path(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().split(' ').nth(1).map(str::to_owned)
}

/// Serves 404 below `/gone` and 200 elsewhere, and counts the paths.
fn counting_server() -> (SocketAddr, Arc<Mutex<BTreeMap<String, u64>>>) {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let counted = Arc::clone(&seen);
    let address = serve(move |mut stream, _| {
        while let Some(path) = read_path(&mut stream) {
            *counted.lock().unwrap().entry(path.clone()).or_insert(0) += 1;
            let status = if path.starts_with("/gone") { "404 Not Found" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (address, seen)
}

#[test]
fn each_endpoint_gets_its_share_and_its_own_check() {
    let (address, seen) = counting_server();
    let mut scenario = scenario(CLOSED, 2, 300 * MS);
    scenario.requests =
        requests(None, [asked("/a", 3, "2xx"), asked("/gone", 1, "404"), asked("/gone/too", 1, "200")]);

    let measurement = run(address, &scenario);

    let counts: Vec<(&str, u64, Vec<OutcomeClass>)> = measurement
        .endpoints
        .iter()
        .map(|endpoint| {
            let of = |class: &OutcomeClass| endpoint.outcomes.count(*class) > 0;
            let classes = OutcomeClass::ALL.into_iter().filter(of).collect();
            (endpoint.name.as_str(), endpoint.outcomes.total(), classes)
        })
        .collect();
    let [(a, of_a, good), (gone, of_gone, expected), (too, _, failed)] = counts.as_slice() else {
        panic!("{counts:?}")
    };
    assert_eq!([*a, *gone, *too], ["GET /a", "GET /gone", "GET /gone/too"]);
    assert_eq!(
        (good.as_slice(), expected.as_slice(), failed.as_slice()),
        (
            [OutcomeClass::Success].as_slice(),
            [OutcomeClass::Expected].as_slice(),
            [OutcomeClass::Check].as_slice()
        )
    );
    assert!(of_a.abs_diff(of_gone * 3) <= 6, "{counts:?}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.values().sum::<u64>(), measurement.outcomes().total(), "{seen:?}");
}

#[test]
fn a_feed_that_is_used_once_ends_the_load_and_no_row_is_sent_twice() {
    let (address, seen) = counting_server();
    let mut feed = Feed::new(vec!["id".into()], FeedOrder::Once).unwrap();
    for id in 0..40 {
        feed.push(None, [format!("a b/{id}").as_str()].into_iter()).unwrap();
    }
    let mut scenario = scenario(CLOSED, 4, 500 * MS);
    scenario.requests = requests(Some(feed), [asked("/{feed.id}", 1, "200")]);

    let measurement = drive_fixed(&local(address), &scenario, 2, &never(), &|_| {}).unwrap();

    let expected: BTreeMap<String, u64> = (0..40).map(|id| (format!("/a%20b%2F{id}"), 1)).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(measurement.outcomes().count(OutcomeClass::Success), 40);
}
