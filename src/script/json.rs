//! JSON for scripts: both ways, bounded in depth and size.

use std::cell::RefCell;
use std::fmt;

use mlua::{Lua, Table, Value};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Deeper nesting is a cycle or an attack.
const MAX_DEPTH: usize = 64;

/// The longest text that is written or read.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

/// The most names of one object.
const MAX_NAMES: usize = 100_000;

/// Writes a value; a table with entries 1 to n is an array, an empty one an object, as cjson does it.
pub(super) fn encode(value: &Value) -> Result<Vec<u8>, String> {
    let mut json = Vec::new();
    write(value, MAX_DEPTH, &mut json)?;
    Ok(json)
}

fn write(value: &Value, depth: usize, json: &mut Vec<u8>) -> Result<(), String> {
    if json.len() > MAX_JSON_BYTES {
        return Err("the JSON is longer than 4 MiB".into());
    }
    match value {
        Value::Nil => json.extend_from_slice(b"null"),
        Value::LightUserData(pointer) if pointer.0.is_null() => json.extend_from_slice(b"null"),
        Value::Boolean(truth) => json.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Integer(number) => json.extend_from_slice(number.to_string().as_bytes()),
        Value::Number(number) if !number.is_finite() => return Err("JSON has no NaN and no infinity".into()),
        Value::Number(number) => json.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_text(&text.as_bytes(), json)?,
        Value::Table(table) => {
            if depth == 0 {
                return Err("the tables are nested too deeply, or hold themselves".into());
            }
            write_table(table, depth - 1, json)?;
        }
        other => return Err(format!("JSON has no {}", other.type_name())),
    }
    Ok(())
}

fn write_text(text: &[u8], json: &mut Vec<u8>) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "a text for JSON must be UTF-8".to_owned())?;
    serde_json::to_writer(json, text).map_err(|error| error.to_string())
}

fn write_table(table: &Table, depth: usize, json: &mut Vec<u8>) -> Result<(), String> {
    let unreadable = |_| "a table cannot be read".to_owned();
    let length = table.raw_len();
    let mut count = 0;
    table
        .for_each(|_: Value, _: Value| {
            count += 1;
            Ok(())
        })
        .map_err(unreadable)?;
    if length > 0 && count == length {
        json.push(b'[');
        for index in 1..=length {
            if index > 1 {
                json.push(b',');
            }
            write(&table.raw_get::<Value>(index).map_err(unreadable)?, depth, json)?;
        }
        json.push(b']');
        return Ok(());
    }
    // They are gathered outside of the script's own memory.
    if count > MAX_NAMES {
        return Err(format!("a table for JSON has at most {MAX_NAMES} names"));
    }
    let entries: Vec<(Value, Value)> =
        table.pairs::<Value, Value>().collect::<mlua::Result<_>>().map_err(unreadable)?;
    let mut named = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match key {
            Value::String(text) => named.push((text.as_bytes().to_vec(), value)),
            Value::Integer(number) => named.push((number.to_string().into_bytes(), value)),
            Value::Number(number) => named.push((number.to_string().into_bytes(), value)),
            other => return Err(format!("a {} cannot be a key in JSON", other.type_name())),
        }
    }
    // The same value gives the same text in every run.
    named.sort_by(|a, b| a.0.cmp(&b.0));
    json.push(b'{');
    for (index, (key, value)) in named.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_text(key, json)?;
        json.push(b':');
        write(value, depth, json)?;
    }
    json.push(b'}');
    Ok(())
}

/// Reads a JSON text right into Lua's own memory, so that its limit holds; `null` becomes the null of `json.null`.
pub(super) fn decode(lua: &Lua, text: &[u8]) -> mlua::Result<Result<Value, String>> {
    if text.len() > MAX_JSON_BYTES {
        return Ok(Err("the JSON is longer than 4 MiB".into()));
    }
    let wrong = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    // serde_json refuses nesting beyond 128 by itself.
    let read = Reading { lua, wrong: &wrong }.deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    match (read, wrong.take()) {
        (_, Some(error)) => Err(error),
        (Ok(value), None) => Ok(Ok(value)),
        (Err(error), None) => {
            Ok(Err(format!("it is not JSON (line {}, column {})", error.line(), error.column())))
        }
    }
}

/// Makes a Lua value of whatever comes next.
#[derive(Clone, Copy)]
struct Reading<'a> {
    lua: &'a Lua,
    /// What Lua itself refused, such as memory.
    wrong: &'a RefCell<Option<mlua::Error>>,
}

impl Reading<'_> {
    fn keep<T, E: de::Error>(&self, outcome: mlua::Result<T>) -> Result<T, E> {
        outcome.map_err(|error| {
            *self.wrong.borrow_mut() = Some(error);
            E::custom("the value cannot be made")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Boolean(truth))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.keep(self.lua.create_string(text)).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let table = self.keep(self.lua.create_table())?;
        while let Some(value) = values.next_element_seed(self)? {
            self.keep(table.raw_push(value))?;
        }
        Ok(Value::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let table = self.keep(self.lua.create_table())?;
        while let Some(name) = values.next_key_seed(self)? {
            let value = values.next_value_seed(self)?;
            self.keep(table.raw_set(name, value))?;
        }
        Ok(Value::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Result<String, String> {
        let lua = Lua::new();
        let value = decode(&lua, text.as_bytes()).unwrap()?;
        encode(&value).map(|json| String::from_utf8(json).unwrap())
    }

    #[test]
    fn what_is_read_is_written_again() {
        for text in [r#"{"a":[1,2.5,"x"],"b":{"c":null,"d":true}}"#, "[]", "7", "\"\u{e9}\\n\""] {
            let written = again(text).unwrap();
            let same = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
            // An empty table is an object, as cjson has it.
            let expected = if text == "[]" { "{}" } else { text };
            assert_eq!(same(&written), same(expected));
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        assert_eq!(again("{\"a\":\n1,}").unwrap_err(), "it is not JSON (line 2, column 3)");
        for wrong in ["", "[1] 2", "nul", "'a'", "{\"a\" 1}", &"[".repeat(100_000)] {
            assert!(again(wrong).is_err(), "{wrong:?} must be refused");
        }
    }

    #[test]
    fn a_long_json_text_stays_within_luas_memory() {
        let lua = Lua::new();
        let text = format!("[{}0]", "0,".repeat(1_000_000));
        lua.set_memory_limit(4 * 1024 * 1024).unwrap();

        let outcome = decode(&lua, text.as_bytes());

        assert!(matches!(outcome, Err(mlua::Error::MemoryError(_))), "{outcome:?}");
    }

    #[test]
    fn a_table_of_too_many_names_is_no_json() {
        let lua = Lua::new();
        let table = lua.create_table().unwrap();
        for number in 0..=MAX_NAMES {
            table.raw_set(format!("n{number}"), 1).unwrap();
        }

        assert_eq!(encode(&Value::Table(table)).unwrap_err(), "a table for JSON has at most 100000 names");
    }
}
