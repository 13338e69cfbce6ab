//! Parameters reach a script as data of a declared type; a value that does not fit ends the run before it begins.

use mlua::{Function, Lua, Table, Value};

use super::error::ScriptError;
use crate::request::{ParamKind, ScriptParam, ScriptPlan};

/// A parameter's value as Lua sees it.
#[derive(Debug, Clone)]
pub(super) enum ParamValue {
    Number(f64),
    Text(String),
}

impl mlua::IntoLua for ParamValue {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        match self {
            Self::Number(number) => Ok(Value::Number(number)),
            Self::Text(text) => text.into_lua(lua),
        }
    }
}

/// Returns the value of a parameter that was checked.
pub(super) fn value_of(param: &ScriptParam) -> ParamValue {
    match (&param.kind, param.value.parse::<i64>()) {
        (ParamKind::Integer { .. }, Ok(number)) => ParamValue::Number(number as f64),
        _ => ParamValue::Text(param.value.clone()),
    }
}

/// Checks every parameter, before the script's text can see one.
pub(super) fn check(plan: &ScriptPlan, lua: &Lua) -> Result<(), ScriptError> {
    let strings: mlua::Result<Table> = lua.globals().get("string");
    let matches: Function = strings
        .and_then(|strings| strings.get("match"))
        .map_err(|error| ScriptError::Machine(plan.name.clone(), error.to_string()))?;
    for param in &plan.params {
        fault(param, &matches).map_or(Ok(()), |why| {
            Err(ScriptError::Param { script: plan.name.clone(), name: param.name.clone(), why })
        })?;
    }
    Ok(())
}

fn fault(param: &ScriptParam, matches: &Function) -> Option<String> {
    match &param.kind {
        ParamKind::Integer { min, max } => {
            let number = param.value.parse::<i64>().ok();
            let fits = number.is_some_and(|number| (*min..=*max).contains(&number));
            (!fits).then(|| format!("is no whole number from {min} to {max}"))
        }
        ParamKind::Choice(choices) => {
            (!choices.contains(&param.value)).then(|| format!("is none of {}", choices.join(", ")))
        }
        ParamKind::Text { max_bytes, pattern } => {
            if param.value.len() > *max_bytes {
                return Some(format!("is longer than {max_bytes} bytes"));
            }
            let pattern = pattern.as_ref()?;
            let whole = format!("^{}$", pattern.trim_start_matches('^').trim_end_matches('$'));
            match matches.call::<Value>((param.value.as_str(), whole)) {
                Ok(Value::Nil) => Some(format!("does not match {pattern:?}")),
                Ok(_) => None,
                Err(_) => Some(format!("cannot be compared with {pattern:?}, which is no Lua pattern")),
            }
        }
    }
}
