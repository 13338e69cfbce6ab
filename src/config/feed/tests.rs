//! Feeds of every kind, and every way in which a file can be none.

use super::*;
use crate::config::problem::Located;

fn read_as(name: &str, bytes: &[u8]) -> Result<Feed, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), bytes).unwrap();
    let place = Place { file: "sub/loadgate.toml".into(), line: 7, column: 9 };
    let file = Located { value: name.to_owned(), place };
    let draft = FeedDraft { file, order: FeedOrder::Sequential };
    read_feed(dir.path(), &draft).map_err(|problem| problem.to_string())
}

fn rows(feed: &Feed) -> Vec<Vec<&str>> {
    (0..feed.rows()).map(|row| feed.values(row).collect()).collect()
}

#[test]
fn csv_has_a_header_quotes_and_lines() {
    let text = "\u{feff}id, First name\n1,\"a, \"\"b\"\"\"\n2,\"two\nlines\"\n\n3,é\n";

    let feed = read_as("users.csv", text.as_bytes()).unwrap();

    assert_eq!(feed.columns(), ["id", "First name"]);
    assert_eq!(rows(&feed), [["1", "a, \"b\""], ["2", "two\nlines"], ["3", "é"]]);
    assert_eq!((feed.line(0), feed.line(1), feed.line(2)), (Some(2), Some(3), Some(6)));
}

#[test]
fn json_gives_plain_values_as_text() {
    let array = br#"[{"id": 1, "ok": true, "name": "a\nb"}, {"name": null, "ok": 1.5, "id": "x"}]"#;
    let lines = b"{\"id\": 1}\n\n  {\"id\": -2}\r\n";

    let array = read_as("users.json", array).unwrap();
    let lines = read_as("users.jsonl", lines).unwrap();

    assert_eq!(array.columns(), ["id", "name", "ok"]);
    assert_eq!(rows(&array), [["1", "a\nb", "true"], ["x", "", "1.5"]]);
    assert_eq!((rows(&lines), lines.line(1)), (vec![vec!["1"], vec!["-2"]], Some(3)));
}

#[test]
fn a_file_that_is_no_feed_is_told_with_its_line_and_never_with_a_value() {
    let cases: &[(&str, &[u8], &str, &str)] = &[
        ("a.csv", b"id,canary\n1,canary\n2\n", "the row has 1 values, but there are 2 columns", "a.csv:3:1"),
        ("a.csv", b"id,name\r\n1,canary\r\n\r\n\r\n2\r\n", "the row has 1 values", "a.csv:5:1"),
        ("a.csv", b"id,name\n1,canary,3\n", "the row has 3 values", "a.csv:2:1"),
        ("a.csv", b"id,name\n1,ok\n2,canary\xff\n", "it is not UTF-8", "a.csv:3:1"),
        ("a.csv", b"\xff\xfei\0d\0", "it is not UTF-8", "a.csv:1:1"),
        ("a.csv", b"id,id\n1,canary\n", "the name of column 2 is empty, repeated", "a.csv:1:1"),
        ("a.csv", b"id,\n1,canary\n", "the name of column 2", "a.csv:1:1"),
        ("a.csv", b"id\n1\ncanary\0\n", "the value of column 1 holds a NUL", "a.csv:3:1"),
        ("a.csv", b"id,name\n", "has no rows", "sub/loadgate.toml:7:9"),
        ("a.csv", b"", "it has no columns", "a.csv:1:1"),
        ("a.json", b"[{\"id\": 1},\n{\"id\": [\"canary\"]}]", "the value of column 1 is a list", "a.json:2:"),
        ("a.json", b"[{\"id\": 1},\n{\"canary\": 1}]", "an object lacks key 1 of the first one", "a.json:2:"),
        ("a.json", b"[{\"id\": 1},\n{\"id\": 1, \"canary\": 1}]", "the row has 2 values", "a.json:2:"),
        ("a.json", b"[{\"id\": 1},\n\"canary\"]", "it is no JSON array of objects", "a.json:2:"),
        ("a.json", b"[{\"id\": \"canary\"}", "it is no JSON array of objects", "a.json:1:"),
        ("a.json", b"[{\"id\": 1}] \"canary\"", "it is no JSON array of objects", "a.json:1:"),
        ("a.json", b"[]", "it has no rows", "a.json:1:"),
        ("a.json", b"{\"id\": \"canary\"}", "it is no JSON array of objects", "a.json:1:"),
        ("a.jsonl", b"{\"id\": 1}\ncanary\n", "it is no JSON object", "a.jsonl:2:1"),
        ("a.jsonl", b"{\"id\": 1}\n[\"canary\"]\n", "it is no JSON object", "a.jsonl:2:1"),
        ("a.txt", b"id\n1\n", "has no known kind", "sub/loadgate.toml:7:9"),
        ("a", b"id\n1\n", "has no known kind", "sub/loadgate.toml:7:9"),
    ];
    for (name, bytes, expected, place) in cases {
        let said = read_as(name, bytes).unwrap_err();

        assert!(said.contains(expected), "{name}: {expected}\n{said}");
        assert!(said.contains(place) && said.contains("\n  help: "), "{name}: {place}\n{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_nested_flood_of_brackets_is_refused_and_not_followed() {
    let said = read_as("a.json", "[".repeat(200_000).as_bytes()).unwrap_err();

    assert!(said.contains("it is no JSON array of objects"), "{said}");
}

#[test]
fn a_million_rows_are_read_and_the_next_one_is_refused() {
    let text = format!("id\n{}", "1\n".repeat(1_000_001));

    let said = read_as("a.csv", text.as_bytes()).unwrap_err();

    assert!(said.contains("it has more than 1000000 rows") && said.contains("a.csv:1000002:1"), "{said}");
}
