//! What the scenarios send is made here: drafts, the headers of the flags, and the files of bodies and feeds.
//!
//! A file must lie below the configuration: a pull request must not be able to send a runner's own files out.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::feed::{read_feed, row_problem};
use super::file_v1::{BodyDraft, RequestDraft, ScenarioDraft};
use super::find::read_bounded;
use super::problem::{Located, Place, Problem, Problems};
use super::value::nearest;
use crate::request::{
    Asked, BodyText, DEFAULT_SEED, Method, RequestPart, RequestText, RequestTextError, Requests, escaped,
};
use crate::secret::SecretPlan;

/// A body is sent as often as there are requests, and is kept in memory.
const MAX_BODY_BYTES: u64 = 1024 * 1024;

/// Makes everything that one scenario sends.
pub(super) fn resolve(
    draft: &ScenarioDraft,
    flags: &[(String, String)],
    root: &Path,
    secrets: &[Located<SecretPlan>],
    problems: &mut Problems,
) -> Option<Requests> {
    let feed = match draft.feed.as_ref().map(|feed| read_feed(root, feed)).transpose() {
        Ok(feed) => feed,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let mut requests = Requests::new(feed, draft.seed.unwrap_or(DEFAULT_SEED));
    let mut found = Problems::default();
    for request in &draft.requests {
        let asked = match asked(request, flags, root) {
            Ok(asked) => asked,
            Err(problem) => {
                found.push(problem);
                continue;
            }
        };
        if let Err(error) = requests.add(asked) {
            found.push(Problem::at(place_of(request, &error), error.to_string(), error.error.help()));
        }
    }
    if found.is_empty() {
        found.append(check_names(&requests, draft));
        found.append(check_feed(&requests, draft));
        found.append(check_secrets(&requests, draft, secrets));
    }
    let is_whole = found.is_empty();
    problems.append(found);
    is_whole.then_some(requests)
}

/// Makes one request; a header of the flags replaces the file's header of the same name.
fn asked(draft: &RequestDraft, flags: &[(String, String)], root: &Path) -> Result<Asked, Problem> {
    let body = match &draft.body {
        None => BodyText::Bytes(Vec::new()),
        Some(BodyDraft::Text(text)) => BodyText::Text(text.value.clone()),
        Some(BodyDraft::File(file)) => {
            BodyText::Bytes(read_project_file(root, file, "body-file", MAX_BODY_BYTES, "1 MiB")?)
        }
    };
    let is_replaced = |name: &str| flags.iter().any(|(flag, _)| flag.eq_ignore_ascii_case(name));
    let kept = draft.headers.iter().filter(|(name, _)| !is_replaced(name));
    let mut headers: Vec<(String, String)> =
        kept.map(|(name, value)| (name.clone(), value.value.clone())).collect();
    // What is typed on the command line may be a token, never a template.
    headers.extend(flags.iter().map(|(name, value)| (name.clone(), escaped(value))));
    let text = RequestText {
        method: draft.method.unwrap_or(Method::Get),
        path: draft.path.as_ref().map_or_else(|| "/".to_owned(), |path| path.value.clone()),
        headers,
        body,
    };
    Ok(Asked {
        name: draft.name.as_ref().map(|name| name.value.clone()),
        weight: draft.weight.unwrap_or(NonZeroU32::MIN),
        text,
        check: draft.check.as_ref().map(|check| check.value.clone()).unwrap_or_default(),
    })
}

/// Points at the key that the error speaks of.
fn place_of<'d>(draft: &'d RequestDraft, error: &RequestTextError) -> &'d Place {
    let place = match &error.part {
        RequestPart::Path => draft.path.as_ref().map(|path| &path.place),
        RequestPart::Header(name) => {
            let header = draft.headers.iter().find(|(header, _)| header.starts_with(name.as_str()));
            header.map(|(_, value)| &value.place)
        }
        RequestPart::Body => match &draft.body {
            Some(BodyDraft::Text(body) | BodyDraft::File(body)) => Some(&body.place),
            None => None,
        },
        RequestPart::Check => draft.check.as_ref().map(|check| &check.place),
    };
    place.unwrap_or(&draft.place)
}

/// Two requests of one name could not be told apart in a report.
fn check_names(requests: &Requests, draft: &ScenarioDraft) -> Problems {
    let mut problems = Problems::default();
    let entries = requests.entries();
    for (index, (entry, request)) in entries.iter().zip(&draft.requests).enumerate() {
        if let Some(twin) = entries[..index].iter().position(|other| other.name() == entry.name()) {
            let place = request.name.as_ref().map_or(&request.place, |name| &name.place);
            let message = format!("two requests are named `{}`", entry.name());
            let line = draft.requests[twin].place.line;
            problems.push(Problem::at(
                place,
                message,
                format!("give this one a `name` of its own; the other is at line {line}"),
            ));
        }
    }
    problems
}

/// A secret that no request may hold, or not there, is known before anything is fetched.
fn check_secrets(requests: &Requests, draft: &ScenarioDraft, secrets: &[Located<SecretPlan>]) -> Problems {
    let mut problems = Problems::default();
    for (index, name, header) in requests.secrets() {
        let Some(request) = draft.requests.get(index) else { continue };
        let written = request.headers.iter().find(|(known, _)| known == header);
        let place = written.map_or(&request.place, |(_, value)| &value.place);
        let plan = secrets.iter().find(|secret| secret.value.name == name);
        let problem = match plan {
            None => {
                let names: Vec<&str> = secrets.iter().map(|secret| secret.value.name.as_str()).collect();
                let help = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("did you mean {{secret.{near}}}?"),
                    None if names.is_empty() => format!("declare it: [[secret]] with name = \"{name}\""),
                    None => format!("the secrets are {}", names.join(", ")),
                };
                Problem::at(place, format!("there is no secret `{name}`"), help)
            }
            Some(plan) if plan.value.headers.iter().any(|known| known.eq_ignore_ascii_case(header)) => {
                continue;
            }
            Some(plan) => {
                let message =
                    format!("secret `{name}` stands in header {header:?}, which its `headers` do not name");
                let help = format!("add {header:?} to `headers` at line {}", plan.place.line);
                Problem::at(place, message, help)
            }
        };
        problems.push(problem);
    }
    problems
}

fn check_feed(requests: &Requests, draft: &ScenarioDraft) -> Problems {
    let (Some(feed), Some(feed_draft)) = (requests.feed(), &draft.feed) else {
        return Problems::default();
    };
    let place = &feed_draft.file.place;
    if !requests.uses_feed() {
        let message = "no request of the scenario uses the feed";
        return Problem::at(place, message, "write {feed.column} where a value belongs, or remove the feed")
            .into();
    }
    match requests.check_rows() {
        Ok(()) => Problems::default(),
        Err(error) => row_problem(&error, feed, feed_draft).into(),
    }
}

/// Finds a file of the project, which must lie below the configuration's directory.
pub(super) fn project_file(root: &Path, file: &Located<String>, key: &str) -> Result<PathBuf, Problem> {
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read {key} {:?}: {error}", file.value);
        Problem::at(&file.place, message, "write a path relative to the configuration's directory")
    };
    let root = root.canonicalize().map_err(unreadable)?;
    let path = root.join(&file.value).canonicalize().map_err(unreadable)?;
    if path.starts_with(&root) {
        return Ok(path);
    }
    let message = format!("{key} {:?} lies outside the project", file.value);
    Err(Problem::at(&file.place, message, "put the file below the configuration's directory"))
}

/// Reads a file of the project.
pub(super) fn read_project_file(
    root: &Path,
    file: &Located<String>,
    key: &str,
    limit: u64,
    limit_in_words: &str,
) -> Result<Vec<u8>, Problem> {
    let path = project_file(root, file, key)?;
    read_bounded(&path, limit, limit_in_words)
        .map_err(|problem| Problem { place: Some(file.place.clone()), ..problem })
}

#[cfg(test)]
mod tests;
