//! JSON for scripts: both ways, bounded in depth and size.

use mlua::{Lua, Table, Value};

/// Deeper nesting is a cycle or an attack.
const MAX_DEPTH: usize = 64;

/// The longest text that is written.
const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;

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
    let entries: Vec<(Value, Value)> =
        table.pairs::<Value, Value>().collect::<mlua::Result<_>>().map_err(unreadable)?;
    if length > 0 && entries.len() == length {
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

/// Reads a JSON text; `null` becomes the null of `json.null`.
pub(super) fn decode(lua: &Lua, text: &[u8]) -> Result<mlua::Result<Value>, String> {
    // serde_json refuses nesting beyond 128 by itself.
    let value: serde_json::Value = serde_json::from_slice(text)
        .map_err(|error| format!("it is not JSON (line {}, column {})", error.line(), error.column()))?;
    Ok(give(lua, &value))
}

fn give(lua: &Lua, value: &serde_json::Value) -> mlua::Result<Value> {
    Ok(match value {
        serde_json::Value::Null => Value::NULL,
        serde_json::Value::Bool(truth) => Value::Boolean(*truth),
        serde_json::Value::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::String(lua.create_string(text)?),
        serde_json::Value::Array(values) => {
            let table = lua.create_table_with_capacity(values.len(), 0)?;
            for (index, value) in values.iter().enumerate() {
                table.raw_set(index + 1, give(lua, value)?)?;
            }
            Value::Table(table)
        }
        serde_json::Value::Object(values) => {
            let table = lua.create_table_with_capacity(0, values.len())?;
            for (name, value) in values {
                table.raw_set(lua.create_string(name)?, give(lua, value)?)?;
            }
            Value::Table(table)
        }
    })
}
