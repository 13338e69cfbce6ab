//! What a configuration says of requests, from its text to what is sent.

use crate::config::{FILE_NAME, Overrides, load};
use crate::request::FeedOrder;
use crate::scenario::Scenario;

fn project(config: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".git")).unwrap();
    for (name, text) in files.iter().chain(&[(FILE_NAME, config)]) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn load_only(config: &str, files: &[(&str, &str)], overrides: &Overrides) -> Result<Scenario, String> {
    let dir = project(config, files);
    match load(dir.path(), overrides) {
        Ok(mut settings) => Ok(settings.scenarios.remove(0)),
        Err(problems) => Err(problems.to_string()),
    }
}

fn said_of(config: &str) -> String {
    let users = "id,name\n1,canary\n2,canary \"two\"\n..,canary\n";
    match load_only(config, &[("users.csv", users)], &Overrides::default()) {
        Ok(_) => "nothing wrong".to_owned(),
        Err(said) => said,
    }
}

const SHOP: &str = r#"
[[scenario]]
name = "shop"
feed = { file = "users.csv", order = "random" }
seed = 42

[[scenario.request]]
name = "search"
weight = 3
path = "/search?q={word:choice(red, blue)}"
check = { status = [200, "3xx"], header = { content-type = "text/html" }, body-contains = "ok" }

[[scenario.request]]
method = "POST"
path = "/users/{feed.id}/orders"
headers = { content-type = "application/json" }
body = '{"id": "{order:uuid}", "by": "{feed.name}"}'
check = { json = { "/items/0" = { id = 1, tags = ["a", 1.5, true] } } }
"#;

#[test]
fn a_list_of_requests_is_read_whole() {
    let scenario = load_only(SHOP, &[("users.csv", "id,name\n1,a\n2,b\n")], &Overrides::default()).unwrap();

    let requests = &scenario.requests;
    let feed = requests.feed().unwrap();
    let [search, order] = requests.entries() else { panic!("two requests") };
    assert_eq!(requests.summary(), "2 requests: search, POST /users/{feed.id}/orders");
    assert_eq!((search.weight().get(), order.weight().get(), requests.seed()), (3, 1, 42));
    assert_eq!((feed.order(), feed.rows()), (FeedOrder::Random, 2));
    assert!(search.check().status.iter().any(|pattern| pattern.matches(307)));
    assert_eq!(search.check().headers, [("content-type".to_owned(), "text/html".to_owned())]);
    let expected = serde_json::json!({"id": 1, "tags": ["a", 1.5, true]});
    assert_eq!(order.check().json[0].1, expected);
}

#[test]
fn headers_of_the_flags_reach_every_request_and_are_no_templates() {
    let flags = Overrides { headers: vec!["x-key: {id:uuid}".into()], ..Overrides::default() };

    let config = "[[scenario]]\nname = \"a\"\n[[scenario.request]]\npath = \"/a\"\n[[scenario.request]]\npath = \"/b\"\n";
    let scenario = load_only(config, &[], &flags).unwrap();

    for entry in scenario.requests.entries() {
        assert!(!entry.is_template());
        assert_eq!(entry.headers(), [("x-key".to_owned(), "{id:uuid}".to_owned())]);
    }
}

#[test]
fn a_body_from_a_file_is_no_template() {
    let config = "[[scenario]]\nname = \"a\"\nmethod = \"POST\"\nbody-file = \"b.txt\"\n";

    let scenario = load_only(config, &[("b.txt", "{id:uuid}{{")], &Overrides::default()).unwrap();

    assert_eq!(scenario.requests.entries()[0].body(), b"{id:uuid}{{");
}

/// Asserts that each wrong scenario, whose own keys begin at line 3, is answered with a message, its line and a remedy.
fn assert_answers(table: &[(&str, &str, &str)]) {
    for (keys, expected, place) in table {
        let said = said_of(&format!("[[scenario]]\nname = \"a\"\n{keys}\n"));

        assert!(said.contains(expected), "{keys}\n{said}");
        assert!(said.contains(&format!("--> {place}")) && said.contains("  help: "), "{keys}\n{said}");
    }
}

#[test]
fn each_wrong_placeholder_gets_its_own_answer() {
    assert_answers(&[
        ("path = \"/{id\"", "placeholder \"{id\" has no '}'", "loadgate.toml:3:8"),
        ("path = \"/{id:int}\"", "\"int\" makes no value", "loadgate.toml:3:8"),
        ("path = \"/{Id}\"", "\"{Id}\" is no placeholder", "loadgate.toml:3:8"),
        ("path = \"/{id}\"", "no placeholder of this request makes the value `id`", "loadgate.toml:3:8"),
        ("path = \"/{a:uuid}{a:uuid}\"", "the value `a` is made twice", "loadgate.toml:3:8"),
        ("path = \"/{feed.id}\"", "`feed.id` needs a feed, and the scenario has none", "loadgate.toml:3:8"),
        ("path = \"/%2{a:counter}\"", "a placeholder follows an unfinished `%`", "loadgate.toml:3:8"),
        ("path = \"//x{a:counter}\"", "a second slash would name another host", "loadgate.toml:3:8"),
        ("path = \"/{a:counter} x\"", "only printable ASCII", "loadgate.toml:3:8"),
        ("[scenario.headers]\nx-a = \"{a}\"", "makes the value `a`", "loadgate.toml:4:7"),
        ("[scenario.headers]\nHost = \"{a:uuid}\"", "writes this header itself", "loadgate.toml:4:8"),
        ("[scenario.headers]\ncookie = \"__vdpl={a:uuid}\"", "another deployment", "loadgate.toml:4:10"),
        ("body = \"{a:uuid}\"", "needs a `content-type`", "loadgate.toml:3:8"),
        (
            "body = \"{a:uuid}\"\nheaders = { content-type = \"image/png\" }",
            "values cannot be written in a body of content type \"image/png\"",
            "loadgate.toml:3:8",
        ),
        (
            "body = '[{a:uuid}]'\nheaders = { content-type = \"application/json\" }",
            "a placeholder outside of a JSON string must be a number",
            "loadgate.toml:3:8",
        ),
        (
            "body = '[\"{a:uuid}]'\nheaders = { content-type = \"application/json\" }",
            "the body is no JSON",
            "loadgate.toml:3:8",
        ),
        (
            "body = '[\"\\{a:uuid}\"]'\nheaders = { content-type = \"application/json\" }",
            "a placeholder follows an unfinished `\\`",
            "loadgate.toml:3:8",
        ),
    ]);
}

#[test]
fn each_wrong_check_gets_its_own_answer() {
    assert_answers(&[
        ("method = \"HEAD\"\ncheck = { body-contains = \"x\" }", "HEAD has no body", "loadgate.toml:4:9"),
        ("check = { status = [99] }", "it must be a status from 200 to 599", "loadgate.toml:3:21"),
        ("check = { status = [\"2x\"] }", "it must be a status from 200 to 599", "loadgate.toml:3:21"),
        ("check = { status = [] }", "`status` is empty", "loadgate.toml:3:20"),
        ("check = { status = 200 }", "write an array of statuses", "loadgate.toml:3:20"),
        ("check = {}", "`check` checks nothing", "loadgate.toml:3:9"),
        ("check = { json = { \"a\" = 1 } }", "begin it with a slash", "loadgate.toml:3:26"),
        ("check = { json = { \"/a\" = 1979-05-27 } }", "is no JSON", "loadgate.toml:3:27"),
        ("check = { json = { \"/a\" = nan } }", "is no JSON", "loadgate.toml:3:27"),
        ("check = { json = 5 }", "write a table", "loadgate.toml:3:18"),
        ("check = { stauts = [200] }", "did you mean `status`?", "loadgate.toml:3:11"),
    ]);
}

#[test]
fn each_wrong_feed_or_list_gets_its_own_answer() {
    assert_answers(&[
        ("feed = { order = \"once\" }", "`feed` has no `file`", "loadgate.toml:3:8"),
        ("feed = { file = \"users.csv\", order = \"onec\" }", "did you mean \"once\"?", "loadgate.toml:3:38"),
        ("feed = { file = \"users.csv\" }", "no request of the scenario uses the feed", "loadgate.toml:3:17"),
        ("feed = { file = \"none.csv\" }", "cannot read feed \"none.csv\"", "loadgate.toml:3:17"),
        ("feed = { file = \"/etc/hostname.csv\" }", "cannot read feed", "loadgate.toml:3:17"),
        ("seed = -1", "`seed` is -1, which is out of range", "loadgate.toml:3:8"),
        ("request = []", "the list of requests is empty", "loadgate.toml:3:11"),
        ("request = 5", "each begun by [[scenario.request]]", "loadgate.toml:3:11"),
        ("weight = 5", "unknown key `weight`", "loadgate.toml:3:1"),
        (
            "path = \"/\"\n[[scenario.request]]\npath = \"/a\"",
            "both `path` and [[scenario.request]] are given",
            "loadgate.toml:3:8",
        ),
        ("[[scenario.request]]\nweight = 0", "use a whole number from 1 to 10000", "loadgate.toml:4:10"),
        ("[[scenario.request]]\nwieght = 1", "did you mean `weight`?", "loadgate.toml:4:1"),
        ("[[scenario.request]]\nname = \"\"", "it must be 1 to 80 characters", "loadgate.toml:4:8"),
        ("[[scenario.request]]\nname = \"a\\u0007\"", "on one line", "loadgate.toml:4:8"),
        (
            "[[scenario.request]]\n[[scenario.request]]\nmethod = \"GET\"",
            "two requests are named `GET /`",
            "loadgate.toml:4:1",
        ),
    ]);
}

#[test]
fn every_request_of_a_list_is_told_what_is_wrong_with_it() {
    let said = said_of(
        "[[scenario]]\nname = \"a\"\n[[scenario.request]]\npath = \"x\"\n[[scenario.request]]\npath = \"/{a}\"\n",
    );

    assert_eq!(said.matches("error: ").count(), 2, "{said}");
}

#[test]
fn a_row_that_cannot_be_sent_is_named_by_file_and_line_and_its_value_is_not_shown() {
    let with = |keys: &str| {
        said_of(&format!("[[scenario]]\nname = \"a\"\nfeed = {{ file = \"users.csv\" }}\n{keys}\n"))
    };

    let dots = with("path = \"/{feed.id}\"");
    let number =
        with("method = \"POST\"\nbody = '[{feed.name:number}]'\nheaders = { content-type = \"text/json\" }");

    assert_eq!(
        dots,
        "error: row 3 of the feed cannot be sent by request `GET /{feed.id}`: a value of '.' or '..' would change the path\n  \
         --> users.csv:4:1\n  help: mend or remove the row, or use its value in another place of the request"
    );
    assert!(number.contains("in column `name`, it is not a JSON number\n  --> users.csv:2:1"), "{number}");
    assert!(!number.contains("canary"), "{number}");
    assert!(with("path = \"/{feed.mail}\"").contains("the feed has no column `mail`"));
}

#[test]
fn a_feed_is_read_from_the_project_and_nowhere_else() {
    let outside = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(outside.path(), "id\n1\n").unwrap();

    let said = said_of(&format!(
        "[[scenario]]\nname = \"a\"\npath = \"/{{feed.id}}\"\nfeed = {{ file = {:?} }}\n",
        outside.path()
    ));

    assert!(said.contains("lies outside the project") && said.contains("loadgate.toml:4:17"), "{said}");
}

/// Gathers the fenced blocks of one language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let opening = format!("```{language}\n");
    text.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_example_of_the_documentation_is_read() {
    let text = include_str!("../../../docs/scenarios.md");
    let users = blocks(text, "csv");
    let examples = blocks(text, "toml");

    assert!(examples.len() >= 4 && users.len() == 1, "{} and {}", examples.len(), users.len());
    for example in examples {
        let dir = project(example, &[]);
        std::fs::create_dir(dir.path().join("load")).unwrap();
        std::fs::write(dir.path().join("load/users.csv"), users[0]).unwrap();

        let settings = load(dir.path(), &Overrides::default());

        assert!(settings.is_ok(), "{example}\n{}", settings.unwrap_err());
    }
}
