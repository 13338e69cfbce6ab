//! `[script]`: what the scripts of this file may read, write and be told.

use super::draft::{ParamDraft, ScriptDraft};
use super::keys;
use crate::config::problem::Located;
use crate::config::section::Section;
use crate::config::value::quoted;
use crate::request::{MAX_PIPELINE, ParamKind, is_header_name};

/// The longest text that a parameter may be.
const MAX_PARAM_BYTES: u32 = 4096;

pub(super) fn read_script(section: &Section<'_>) -> ScriptDraft {
    let texts = |key: &str| section.texts(key).unwrap_or_default();
    let params = section.tables("param", keys::PARAM).unwrap_or_default();
    ScriptDraft {
        env: texts("env"),
        data: texts("data"),
        modules: texts("modules"),
        sink: texts("sink"),
        pipeline: section.count("pipeline", 1..=MAX_PIPELINE).map(|count| count.value),
        sensitive_headers: read_sensitive_headers(section),
        params: params.iter().filter_map(read_param).collect(),
    }
}

fn read_sensitive_headers(section: &Section<'_>) -> Option<Vec<Located<String>>> {
    let names = section.texts("sensitive-headers")?;
    for name in names.iter().filter(|name| !is_header_name(name.value.as_bytes())) {
        let message = format!("`sensitive-headers` holds {}, which is no header's name", quoted(&name.value));
        section.reader.report(&name.place, message, "name headers of answers, such as \"set-cookie\"");
    }
    Some(names)
}

fn read_param(section: &Section<'_>) -> Option<ParamDraft> {
    let name = section.text("name");
    if name.is_none() && section.item("name").is_none() {
        section.reader.report(
            &section.place,
            "a parameter has no `name`",
            "add one, such as name = \"size\"",
        );
    }
    let kind = section.text("type");
    let choices = section.texts("choices");
    let number = |key: &str, default: f64| section.number(key).map_or(default, |found| found.value);
    let kind = match kind.as_ref().map(|kind| kind.value.as_str()) {
        Some("integer") => ParamKind::Integer {
            min: number("min", i32::MIN.into()) as i64,
            max: number("max", i32::MAX.into()) as i64,
        },
        Some("choice") => {
            ParamKind::Choice(choices.unwrap_or_default().into_iter().map(|choice| choice.value).collect())
        }
        Some("text") | None => ParamKind::Text {
            max_bytes: section.count("max-length", 1..=MAX_PARAM_BYTES).map_or(256, |count| count.value)
                as usize,
            pattern: section.text("pattern").map(|pattern| pattern.value),
        },
        Some(other) => {
            let message = format!("{other:?} is no type of a parameter");
            let place = kind.map_or_else(|| section.place.clone(), |kind| kind.place);
            section.reader.report(&place, message, "use \"integer\", \"choice\" or \"text\"");
            return None;
        }
    };
    Some(ParamDraft { name: name?, kind, value: section.text("value") })
}
