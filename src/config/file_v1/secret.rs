//! `[[secret]]`: what must not be seen, where it comes from and where it may go. The value itself never stands here.

use std::path::PathBuf;
use std::time::Duration;

use super::keys;
use crate::config::problem::Located;
use crate::config::section::Section;
use crate::request::{is_secret_name, secret_header_fault};
use crate::secret::{SecretHost, SecretPlan, SecretSource};

/// More than any service asks for.
const MAX_SECRETS: usize = 32;

/// Long enough for a command that asks a vault over the network.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn read_secrets(top: &Section<'_>) -> Vec<Located<SecretPlan>> {
    let sections = top.tables("secret", keys::SECRET).unwrap_or_default();
    if let Some(first) = sections.get(MAX_SECRETS) {
        let message = format!("there are more than {MAX_SECRETS} secrets");
        top.reader.report(&first.place, message, "keep those that requests need");
    }
    let mut secrets: Vec<Located<SecretPlan>> = Vec::new();
    for section in sections.iter().take(MAX_SECRETS) {
        let (name, source) = (read_name(section), read_source(section));
        let (headers, hosts) = (read_headers(section), read_hosts(section));
        let Some(name) = name else { continue };
        if let Some(twin) = secrets.iter().find(|known| known.value.name == name.value) {
            let message = format!("two secrets are named `{}`", name.value);
            let help = format!("give this one another `name`; the other is at line {}", twin.place.line);
            section.reader.report(&name.place, message, help);
        }
        let (Some(source), Some(headers), Some(hosts)) = (source, headers, hosts) else { continue };
        let plan = SecretPlan { name: name.value, source, headers, hosts };
        secrets.push(Located { value: plan, place: section.place.clone() });
    }
    secrets
}

fn read_name(section: &Section<'_>) -> Option<Located<String>> {
    if section.item("name").is_none() {
        section.reader.report(
            &section.place,
            "a secret has no `name`",
            "add one, such as name = \"API_TOKEN\"",
        );
        return None;
    }
    let name = section.text("name")?;
    if is_secret_name(&name.value) {
        return Some(name);
    }
    // Whoever writes the value here must not find it in the log as well.
    let help = "use letters, digits, `_` and `-`, at most 64; the value itself stands nowhere in this file";
    section.reader.report(&name.place, "`name` is no name of a secret", help);
    None
}

fn read_source(section: &Section<'_>) -> Option<SecretSource> {
    let given: Vec<&str> =
        ["env", "file", "command"].into_iter().filter(|key| section.item(key).is_some()).collect();
    let [source] = given[..] else {
        let message = if given.is_empty() {
            "a secret has no source".to_owned()
        } else {
            format!("a secret has {} sources: {}", given.len(), given.join(" and "))
        };
        let help =
            "write one of env = \"VARIABLE\", file = \"PATH\" and command = [\"program\", \"argument\"]";
        section.reader.report(&section.place, message, help);
        return None;
    };
    let timeout = section.duration("timeout", Duration::from_millis(100));
    if let Some(timeout) = &timeout {
        if source != "command" {
            let help = "remove it: only a command takes time";
            section.reader.report(&timeout.place, format!("`timeout` beside `{source}`"), help);
        } else if timeout.value > LONGEST_TIMEOUT {
            let help = format!("use at most {LONGEST_TIMEOUT:?}");
            section.reader.report(&timeout.place, "`timeout` is too long", help);
        }
    }
    match source {
        "env" => {
            section.parsed("env", "name a variable, such as API_TOKEN", variable).map(|found| found.value)
        }
        "file" => section.text("file").map(|path| SecretSource::File(PathBuf::from(path.value))),
        _ => {
            let argv = section.texts("command")?;
            let timeout = timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.value).min(LONGEST_TIMEOUT);
            read_command(section, argv).map(|argv| SecretSource::Command { argv, timeout })
        }
    }
}

fn variable(text: &str) -> Result<SecretSource, &'static str> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit());
    // A value that was written in the place of its variable is not repeated.
    if is_name { Ok(SecretSource::Variable(text.to_owned())) } else { Err("it is no name of a variable") }
}

fn read_command(section: &Section<'_>, argv: Vec<Located<String>>) -> Option<Vec<String>> {
    let Some(program) = argv.first() else {
        let help = "write the program and each argument apart: command = [\"vault\", \"read\", \"…\"]";
        section.reader.report(&section.place, "`command` names no program", help);
        return None;
    };
    if program.value.is_empty() || argv.iter().any(|word| word.value.contains('\0')) {
        let help = "write the program and each argument apart, without NUL";
        section.reader.report(&program.place, "`command` cannot be run", help);
        return None;
    }
    // A program of the checkout could be the pull request's own.
    if program.value.contains('/') && !program.value.starts_with('/') {
        let help = "name a program of the PATH, or one with its absolute path outside of the repository";
        section.reader.report(&program.place, "`command` names a program of the checkout", help);
        return None;
    }
    Some(argv.into_iter().map(|word| word.value).collect())
}

fn read_headers(section: &Section<'_>) -> Option<Vec<String>> {
    let help = "name the headers that it may go into, such as headers = [\"authorization\"]";
    let Some(names) = section.item("headers").and_then(|_| section.texts("headers")) else {
        if section.item("headers").is_none() {
            section.reader.report(&section.place, "a secret has no `headers`", help);
        }
        return None;
    };
    if names.is_empty() {
        section.reader.report(&section.place, "`headers` of a secret is empty", help);
        return None;
    }
    let mut headers = Vec::new();
    for name in names {
        match secret_header_fault(&name.value) {
            None => headers.push(name.value.to_ascii_lowercase()),
            Some(why) => {
                let message = format!("`headers` names {:?}: {why}", shortened(&name.value));
                section.reader.report(&name.place, message, help);
            }
        }
    }
    Some(headers)
}

/// Returns `None` for what is wrong, and `Some(None)` where no hosts are named.
#[expect(clippy::option_option, reason = "to name none and to name no good one are different things")]
fn read_hosts(section: &Section<'_>) -> Option<Option<Vec<SecretHost>>> {
    if section.item("hosts").is_none() {
        return Some(None);
    }
    let help =
        "write \"pr-1.preview.example.com\", \"*.preview.example.com\", or \"localhost\" for this machine";
    let names = section.texts("hosts")?;
    if names.is_empty() {
        section.reader.report(&section.place, "`hosts` of a secret is empty: it could go nowhere", help);
    }
    let mut hosts = Vec::new();
    for name in names {
        match SecretHost::parse(&name.value) {
            Ok(host) => hosts.push(host),
            Err(why) => {
                let message = format!("`hosts` names {:?}: {why}", shortened(&name.value));
                section.reader.report(&name.place, message, help);
            }
        }
    }
    Some(Some(hosts))
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
