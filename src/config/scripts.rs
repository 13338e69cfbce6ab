//! Scripts become plans here: everything that a script may read is read now, and nothing while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Overrides;
use super::file_v1::ScriptDraft;
use super::find::read_bounded;
use super::problem::{Located, Problem};
use crate::request::{MAX_SCRIPT_BYTES, Requests, ScriptParam, ScriptPlan};

/// Data that is larger would not fit into a worker's memory either.
const MAX_DATA_BYTES: u64 = 64 * 1024 * 1024;

/// Makes the plan of a scenario's script; the flag's script goes before the file's.
pub(super) fn plan(
    script: Option<&Located<String>>,
    requests: &Requests,
    draft: &ScriptDraft,
    overrides: &Overrides,
    root: &Path,
) -> Result<Option<Arc<ScriptPlan>>, Problem> {
    let (name, text) = match (&overrides.script, script) {
        (Some(path), _) => {
            let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
            (name, read_bounded(path, MAX_SCRIPT_BYTES as u64, "256 KiB")?)
        }
        (None, Some(path)) => {
            (path.value.clone(), read_below(root, path, MAX_SCRIPT_BYTES as u64, "256 KiB")?)
        }
        (None, None) => return Ok(None),
    };
    if !requests.is_plain() {
        let message =
            format!("{name} makes the requests, but the scenario describes several, a check or a template");
        let help =
            "keep one plain path, method, headers and body, which wrk.* begins with, or leave out the script";
        return Err(script.map_or_else(
            || Problem::nowhere(message.clone(), help),
            |script| Problem::at(&script.place, message.clone(), help),
        ));
    }
    let mut plan = ScriptPlan::bare(&name, &text);
    plan.seed = requests.seed() as u32;
    plan.arguments.clone_from(&overrides.script_arguments);
    plan.pipeline = draft.pipeline.unwrap_or(1);
    if let Some(names) = &draft.sensitive_headers {
        plan.sensitive_headers = names.iter().map(|name| name.value.to_ascii_lowercase()).collect();
    }
    plan.environment = draft.env.iter().map(|name| (name.value.clone(), None)).collect();
    for path in &draft.data {
        let text = read_below(root, path, MAX_DATA_BYTES, "64 MiB")?;
        plan.files.insert(path.value.clone(), text.into());
    }
    let mut modules = BTreeMap::new();
    for path in &draft.modules {
        modules.insert(path.value.clone(), read_below(root, path, MAX_SCRIPT_BYTES as u64, "256 KiB")?);
    }
    plan.modules = modules;
    plan.sinks = draft.sink.iter().map(sink).collect::<Result<_, _>>()?;
    plan.params = params(draft, overrides)?;
    Ok(Some(Arc::new(plan)))
}

/// A sink lands beside the reports, so its name is a plain file name.
fn sink(name: &Located<String>) -> Result<String, Problem> {
    let is_plain = name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let begins_well = name.value.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if is_plain && begins_well && name.value.len() <= 64 {
        return Ok(name.value.clone());
    }
    let message = format!("sink {:?} is no plain file name", name.value);
    Err(Problem::at(
        &name.place,
        message,
        "use letters, digits, '.', '_' and '-'; it is written beside the reports",
    ))
}

fn params(draft: &ScriptDraft, overrides: &Overrides) -> Result<Vec<ScriptParam>, Problem> {
    let mut given: BTreeMap<&str, &str> = BTreeMap::new();
    for pair in &overrides.params {
        let help = "write --param name=value with the name of a [[script.param]]";
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Problem::nowhere("a --param has no '='", help));
        };
        if !draft.params.iter().any(|param| param.name.value == name) {
            return Err(Problem::nowhere(format!("there is no parameter {name:?}"), help));
        }
        given.insert(name, value);
    }
    let value_of = |param: &super::file_v1::ParamDraft| {
        let flag = given.get(param.name.value.as_str()).map(|value| (*value).to_owned());
        flag.or_else(|| param.value.as_ref().map(|value| value.value.clone())).ok_or_else(|| {
            let message = format!("parameter `{}` has no value", param.name.value);
            Problem::at(&param.name.place, message, "add `value`, or give --param name=value")
        })
    };
    draft
        .params
        .iter()
        .map(|param| {
            Ok(ScriptParam {
                name: param.name.value.clone(),
                kind: param.kind.clone(),
                value: value_of(param)?,
            })
        })
        .collect()
}

/// Reads a file of the project: a pull request must not be able to send a runner's own files out.
fn read_below(
    root: &Path,
    file: &Located<String>,
    limit: u64,
    limit_in_words: &str,
) -> Result<Vec<u8>, Problem> {
    let located = |problem: Problem| Problem { place: Some(file.place.clone()), ..problem };
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read {:?}: {error}", file.value);
        Problem::at(&file.place, message, "write a path relative to the configuration's directory")
    };
    let root: PathBuf = root.canonicalize().map_err(unreadable)?;
    let path = root.join(&file.value).canonicalize().map_err(unreadable)?;
    if !path.starts_with(&root) {
        let message = format!("{:?} lies outside the project", file.value);
        return Err(Problem::at(&file.place, message, "put the file below the configuration's directory"));
    }
    read_bounded(&path, limit, limit_in_words).map_err(located)
}
