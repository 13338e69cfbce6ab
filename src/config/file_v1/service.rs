//! `[service]`: the programs of an ephemeral preview on this machine.

use std::path::PathBuf;

use super::SHORTEST_DURATION;
use super::draft::ServiceDraft;
use crate::config::problem::Located;
use crate::config::section::Section;
use crate::request::Request;

pub(super) fn read_service(section: &Section<'_>) -> Option<ServiceDraft> {
    let build = read_argv(section, "build");
    let run = read_argv(section, "run");
    if section.item("run").is_none() {
        let help = "add the program that serves, such as run = [\"target/release/shop\"]; it gets PORT";
        section.reader.report(&section.place, "[service] has no `run`", help);
    }
    let ready = section.parsed("ready", "write the path that answers 2xx, such as \"/healthz\"", |path| {
        Request::get(path).map(|request| request.path().to_owned())
    });
    let ready_timeout = section.duration("ready-timeout", SHORTEST_DURATION);
    let env = section.pairs("env").unwrap_or_default();
    let env = env.into_iter().filter_map(|pair| read_variable(section, pair)).collect();
    let dir = section.text("dir").map(|dir| PathBuf::from(dir.value));
    Some(ServiceDraft {
        build,
        run: run?,
        ready: ready.map(|path| path.value),
        ready_timeout: ready_timeout.map(|timeout| timeout.value),
        env,
        dir,
    })
}

/// Reads a program with its arguments; it never meets a shell.
fn read_argv(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let found = section.item(key)?;
    if found.value.is_str() {
        let message = format!("`{key}` in [service] is a string; it is run without a shell");
        section.reader.report(
            &found.place,
            message,
            format!("write each word apart: {key} = [\"program\", \"argument\"]"),
        );
        return None;
    }
    let words = section.texts(key)?;
    if words.first().is_none_or(|program| program.value.is_empty()) {
        let message = format!("`{key}` in [service] names no program");
        section.reader.report(
            &found.place,
            message,
            "write the program and its arguments as an array of strings",
        );
        return None;
    }
    if let Some(broken) = words.iter().find(|word| word.value.contains('\0')) {
        section.reader.report(
            &broken.place,
            format!("`{key}` holds a NUL"),
            "remove it: no program can take it",
        );
        return None;
    }
    Some(words.into_iter().map(|word| word.value).collect())
}

fn read_variable(section: &Section<'_>, (name, text): (String, Located<String>)) -> Option<(String, String)> {
    let shown = name.escape_debug();
    let refuse = |message: String, help: &str| {
        section.reader.report(&text.place, message, help);
        None
    };
    if name == "PORT" {
        return refuse(
            "`env.PORT` cannot be set".to_owned(),
            "remove it: a free port is chosen for every run",
        );
    }
    if name.starts_with("LOADGATE_") {
        return refuse(
            format!("`env.{shown}` cannot be set"),
            "choose a name that does not begin with LOADGATE_",
        );
    }
    if name.is_empty() || name.contains(['=', '\0']) || text.value.contains('\0') {
        return refuse(format!("`env.{shown}` cannot be an environment variable"), "remove '=' and NUL");
    }
    Some((name, text.value))
}
