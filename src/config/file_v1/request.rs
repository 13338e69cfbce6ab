//! What a scenario sends: one request in the scenario itself or a list of them, with their checks and their feed.

use std::num::NonZeroU32;

use serde_json::{Map, Value as Json};
use toml_edit::{Item, Value};

use super::draft::{BodyDraft, FeedDraft, RequestDraft};
use super::keys;
use crate::config::problem::Located;
use crate::config::section::Section;
use crate::config::value::{nearest, quoted};
use crate::request::{
    Check, CheckError, FeedOrder, JsonPointer, MAX_REQUESTS, MAX_WEIGHT, Method, StatusPattern,
};

/// A longer name fits no table of a report.
const MAX_NAME_CHARS: usize = 80;

/// The keys of a request that may stand in the scenario itself.
const SHORT_FORM: [&str; 6] = ["path", "method", "headers", "body", "body-file", "check"];

/// Reads the list of requests, or the one that the scenario itself describes.
pub(super) fn read_requests(scenario: &Section<'_>) -> Vec<RequestDraft> {
    let Some(list) = scenario.item("request") else {
        return vec![RequestDraft { name: None, weight: None, ..read_request(scenario) }];
    };
    for key in SHORT_FORM {
        if let Some(found) = scenario.item(key) {
            let message = format!("both `{key}` and [[scenario.request]] are given");
            scenario.reader.report(&found.place, message, "move it into one of the requests");
        }
    }
    let sections = scenario.tables("request", keys::REQUEST).unwrap_or_default();
    if list.value.as_array().is_some_and(toml_edit::Array::is_empty) {
        let help = "add a [[scenario.request]], or remove the key";
        scenario.reader.report(&list.place, "the list of requests is empty", help);
    }
    if sections.len() > MAX_REQUESTS {
        let message = format!("a scenario has {} requests", sections.len());
        scenario.reader.report(&list.place, message, format!("use at most {MAX_REQUESTS}"));
    }
    sections.iter().map(read_listed).collect()
}

fn read_listed(section: &Section<'_>) -> RequestDraft {
    let name = section.parsed("name", "choose a short name, such as \"search\"", |name| {
        let is_short = !name.trim().is_empty() && name.chars().count() <= MAX_NAME_CHARS;
        let is_plain = is_short && !name.contains(char::is_control);
        if is_plain { Ok(name.to_owned()) } else { Err("it must be 1 to 80 characters on one line") }
    });
    let weight = section.count("weight", 1..=MAX_WEIGHT).and_then(|weight| NonZeroU32::new(weight.value));
    RequestDraft { name, weight, ..read_request(section) }
}

/// Reads what a scenario and a request of the list have in common.
fn read_request(section: &Section<'_>) -> RequestDraft {
    let method = section.parsed("method", "write it in upper case, such as \"POST\"", Method::parse);
    let check = section.table("check", keys::CHECK);
    RequestDraft {
        place: section.place.clone(),
        name: None,
        weight: None,
        path: section.text("path"),
        method: method.map(|method| method.value),
        headers: section.pairs("headers").unwrap_or_default(),
        body: read_body(section),
        check: check.map(|check| Located { value: read_check(&check), place: check.place }),
    }
}

fn read_body(section: &Section<'_>) -> Option<BodyDraft> {
    let (text, file) = (section.text("body"), section.text("body-file"));
    match (text, file) {
        (Some(_), Some(file)) => {
            section.reader.report(&file.place, "both `body` and `body-file` are given", "keep one of them");
            None
        }
        (Some(text), None) => Some(BodyDraft::Text(text)),
        (None, file) => file.map(BodyDraft::File),
    }
}

fn read_check(section: &Section<'_>) -> Check {
    let headers = section.pairs("header").unwrap_or_default();
    let check = Check {
        status: read_statuses(section).unwrap_or_default(),
        headers: headers.into_iter().map(|(name, value)| (name, value.value)).collect(),
        body_contains: section.text("body-contains").map(|text| text.value),
        json: read_json(section).unwrap_or_default(),
    };
    if keys::CHECK.iter().all(|key| section.item(key).is_none()) {
        section.reader.report(&section.place, "`check` checks nothing", "say what, such as status = [200]");
    }
    check
}

fn read_statuses(section: &Section<'_>) -> Option<Vec<StatusPattern>> {
    let found = section.item("status")?;
    let Some(array) = found.value.as_array() else {
        return section.wrong_type("status", &found, "an array of statuses, such as [200, \"3xx\"]");
    };
    if array.is_empty() {
        let help = "name a status such as 200 or \"2xx\", or remove the key";
        section.reader.report(&found.place, "`status` is empty, so no answer could be good", help);
    }
    let mut patterns = Vec::with_capacity(array.len());
    for value in array {
        let pattern = match value {
            Value::Integer(status) => StatusPattern::exact(*status.value()),
            Value::String(text) => StatusPattern::parse(text.value()),
            _ => Err(CheckError::Status),
        };
        match pattern {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let place = section.reader.place(value.span());
                section.reader.report(
                    &place,
                    format!("`status`: {error}"),
                    "write such as [200, 204] or [\"2xx\"]",
                );
            }
        }
    }
    Some(patterns)
}

fn read_json(section: &Section<'_>) -> Option<Vec<(JsonPointer, Json)>> {
    let found = section.item("json")?;
    let Some(table) = found.value.as_table_like() else {
        return section.wrong_type("json", &found, "a table, such as { \"/items/0/id\" = 1 }");
    };
    let mut expected = Vec::with_capacity(table.len());
    for (pointer, item) in table.iter() {
        let place = item.span().map_or_else(|| found.place.clone(), |span| section.reader.place(Some(span)));
        match (JsonPointer::parse(pointer), json_of_item(item)) {
            (Ok(pointer), Some(value)) => expected.push((pointer, value)),
            (Err(error), _) => {
                let message = format!("`json`: {} is wrong: {error}", quoted(pointer));
                section.reader.report(&place, message, "begin it with a slash, as RFC 6901 says");
            }
            (_, None) => {
                let message = format!("`json`: what {} must be is no JSON", quoted(pointer));
                section.reader.report(&place, message, "write a string, a number, true, false, or a list");
            }
        }
    }
    Some(expected)
}

fn json_of_item(item: &Item) -> Option<Json> {
    match item {
        Item::Value(value) => json_of(value),
        Item::Table(table) => {
            let members = table.iter().map(|(key, item)| Some((key.to_owned(), json_of_item(item)?)));
            members.collect::<Option<Map<_, _>>>().map(Json::Object)
        }
        Item::ArrayOfTables(_) | Item::None => None,
    }
}

fn json_of(value: &Value) -> Option<Json> {
    match value {
        Value::String(text) => Some(Json::String(text.value().clone())),
        Value::Integer(number) => Some(Json::from(*number.value())),
        Value::Float(number) => serde_json::Number::from_f64(*number.value()).map(Json::Number),
        Value::Boolean(word) => Some(Json::Bool(*word.value())),
        Value::Datetime(_) => None,
        Value::Array(array) => array.iter().map(json_of).collect::<Option<_>>().map(Json::Array),
        Value::InlineTable(table) => {
            let members = table.iter().map(|(key, value)| Some((key.to_owned(), json_of(value)?)));
            members.collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}

pub(super) fn read_feed(section: &Section<'_>) -> Option<FeedDraft> {
    let order = section.parsed("order", "use \"sequential\", \"random\" or \"once\"", read_order);
    if section.item("file").is_none() {
        let help = "name the file with the rows, such as file = \"load/users.csv\"";
        section.reader.report(&section.place, "`feed` has no `file`", help);
    }
    let order = order.map_or_else(FeedOrder::default, |order| order.value);
    section.text("file").map(|file| FeedDraft { file, order })
}

fn read_order(word: &str) -> Result<FeedOrder, String> {
    let known = FeedOrder::WORDS.iter().find(|(known, _)| *known == word);
    known.map(|(_, order)| *order).ok_or_else(|| {
        let near = nearest(word, FeedOrder::WORDS.iter().map(|(known, _)| *known));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        format!("{} is no order{near}", quoted(word))
    })
}
