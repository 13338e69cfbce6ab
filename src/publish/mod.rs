//! Publishing tells the pull request what happened: the comment, the step summary, the step's outputs, annotations.
//!
//! It is a courtesy. Whatever fails here is a warning for the caller to show; no verdict depends on it.

use std::collections::hash_map::RandomState;
use std::fs::OpenOptions;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::context::{CommitSha, PullRequestNumber, Repository};
use crate::github::{Client, CommentOutcome, GithubError, PullRequestFacts};
use crate::redact::harmless;
use crate::secret::Secret;

/// The most that GitHub takes for the summary of one step; a larger file is dropped as a whole.
const MAX_SUMMARY_BYTES: u64 = 1024 * 1024;

/// Something that could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file that the CI system named cannot be written; the job's disk may be full or the variable wrong.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Earlier parts of the step have used up the room for its summary; write less there.
    #[error("the step summary is full: {} has {bytes} bytes", path.display())]
    SummaryFull {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A name that could be read as another output; names are letters, digits, `_` and `-`.
    #[error("{0:?} is no name for an output")]
    OutputName(String),
    /// GitHub did not take the comment.
    #[error("cannot comment on the pull request")]
    Github(#[from] GithubError),
    /// The system gave no thread or no event queue; the machine is out of resources.
    #[error("cannot start the connection to GitHub")]
    Runtime(#[source] std::io::Error),
    /// The run was told to end before GitHub had answered; run again.
    #[error("interrupted before GitHub answered")]
    Interrupted,
}

impl PublishError {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Write { .. } => "check the disk and the variable that names the file".into(),
            Self::SummaryFull { .. } => {
                "GitHub shows at most 1 MiB for a step; run loadgate in a step of its own".into()
            }
            Self::OutputName(_) => "use letters, digits, '_' and '-'".into(),
            Self::Github(error) => error.help(),
            Self::Interrupted => "run again".into(),
            Self::Runtime(_) => "free memory or raise the limit of threads and open files".into(),
        }
    }
}

/// Appends Markdown to the step's summary (`GITHUB_STEP_SUMMARY`), cut to the room that is left.
pub fn step_summary(path: &Path, markdown: &str) -> Result<(), PublishError> {
    const NOTE: &str = "\n\nThe rest is left out: the step summary has no room for it.\n";
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    let room = usize::try_from(MAX_SUMMARY_BYTES.saturating_sub(bytes)).unwrap_or(usize::MAX);
    let whole = format!("{}\n\n", markdown.trim_end());
    if whole.len() <= room {
        return append(path, &whole);
    }
    let Some(room) = room.checked_sub(NOTE.len()) else {
        return Err(PublishError::SummaryFull { path: path.to_owned(), bytes });
    };
    let room = whole.floor_char_boundary(room);
    let end = whole[..room].rfind('\n').unwrap_or(room);
    append(path, &format!("{}{NOTE}", &whole[..end]))
}

/// Appends named values to the step's outputs (`GITHUB_OUTPUT`).
///
/// A value of several lines stands between delimiters that nobody can guess, so that it cannot add outputs.
pub fn outputs(path: &Path, values: &[(&str, &str)]) -> Result<(), PublishError> {
    let mut text = String::new();
    for (name, value) in values {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !is_plain || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(PublishError::OutputName((*name).to_owned()));
        }
        if value.contains(['\n', '\r']) {
            let delimiter = delimiter_not_in(value);
            text.push_str(&format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"));
        } else {
            text.push_str(&format!("{name}={value}\n"));
        }
    }
    append(path, &text)
}

/// How prominent an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The job fails because of it.
    Error,
    /// Somebody should look.
    Warning,
    /// Good to know.
    Notice,
}

/// Returns one line that GitHub Actions shows as an annotation; `cli` prints it.
#[must_use]
pub fn annotation(level: Level, title: &str, message: &str) -> String {
    let command = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
    };
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{command} title={title}::{}", escaped(message))
}

/// Where the comment goes, and with which token.
#[derive(Debug, Clone)]
pub struct CommentPlace {
    /// The API's address: `GITHUB_API_URL`.
    pub api_url: String,
    /// The token that writes.
    pub token: Secret,
    /// The repository of the pull request.
    pub repository: Repository,
    /// The pull request.
    pub number: PullRequestNumber,
    /// Tells several comments of one pull request apart: one a matrix leg or service.
    pub id: String,
}

/// Writes the one comment of this id on the pull request, and returns when that is done.
pub fn comment(
    place: &CommentPlace,
    markdown: &str,
    cancel: &CancellationToken,
) -> Result<CommentOutcome, PublishError> {
    let client = Client::new(&place.api_url, &place.token)?;
    finish(client.upsert_comment(&place.repository, place.number, &place.id, markdown), cancel)
}

/// Finds the pull requests whose head is a commit, and returns when the forge has answered.
pub fn pull_requests_of(
    api_url: &str,
    token: &Secret,
    repository: &Repository,
    head: &CommitSha,
    cancel: &CancellationToken,
) -> Result<Vec<PullRequestFacts>, PublishError> {
    let client = Client::new(api_url, token)?;
    finish(client.pull_requests_with_head(repository, head), cancel)
}

/// Runs a conversation with the forge to its end, or until it is cancelled.
///
/// On a thread of its own: the caller may itself run on a runtime, which must not be blocked from within.
fn finish<T: Send>(
    conversation: impl Future<Output = Result<T, GithubError>> + Send,
    cancel: &CancellationToken,
) -> Result<T, PublishError> {
    let talk = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(PublishError::Runtime)?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(PublishError::Interrupted),
                said = conversation => Ok(said?),
            }
        })
    };
    std::thread::scope(|scope| {
        let talking = std::thread::Builder::new().name("forge".into()).spawn_scoped(scope, talk);
        let finished = talking.map_err(PublishError::Runtime)?.join();
        finished.unwrap_or_else(|_| {
            Err(PublishError::Runtime(std::io::Error::other("the connection's thread died")))
        })
    })
}

fn append(path: &Path, text: &str) -> Result<(), PublishError> {
    let written = OpenOptions::new().create(true).append(true).open(path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| PublishError::Write { path: path.to_owned(), source })
}

fn delimiter_not_in(value: &str) -> String {
    loop {
        // Each `RandomState` is seeded by the system's randomness.
        let [first, second] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
        let delimiter = format!("loadgate-{first:016x}{second:016x}");
        if !value.contains(&delimiter) {
            return delimiter;
        }
    }
}

fn escaped(text: &str) -> String {
    harmless(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::CommentChange;
    use crate::github::double::{Double, Reply};

    #[test]
    fn a_summary_is_appended() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "earlier\n").unwrap();

        step_summary(file.path(), "### one\n").unwrap();
        step_summary(file.path(), "### two").unwrap();

        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "earlier\n### one\n\n### two\n\n");
    }

    #[test]
    fn a_summary_never_grows_beyond_what_github_takes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x".repeat(1_000_000)).unwrap();

        step_summary(file.path(), &"line \u{1f534}\n".repeat(10_000)).unwrap();

        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!((1_040_000..=1_048_576).contains(&text.len()), "{}", text.len());
        assert!(text.ends_with("no room for it.\n"));
        let full = step_summary(file.path(), &"line\n".repeat(100)).unwrap_err();
        assert!(matches!(full, PublishError::SummaryFull { .. }), "{full:?}");
    }

    #[test]
    fn a_value_of_several_lines_cannot_add_an_output() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let hostile = "a\nEOF\nverdict=passed";

        outputs(file.path(), &[("verdict", "regressed"), ("comment", hostile)]).unwrap();

        let text = std::fs::read_to_string(file.path()).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, "verdict=regressed");
        let delimiter = rest.lines().next().unwrap().strip_prefix("comment<<").unwrap();
        assert_eq!(rest, format!("comment<<{delimiter}\n{hostile}\n{delimiter}\n"));
        assert!(delimiter.len() > 32 && delimiter != delimiter_not_in(hostile));
    }

    #[test]
    fn an_output_has_a_plain_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for hostile in ["", "a=b", "a\nb", "1a", "a<<b", "a b"] {
            let error = outputs(file.path(), &[(hostile, "x")]).unwrap_err();
            assert!(matches!(error, PublishError::OutputName(_)), "{hostile:?}");
        }
        outputs(file.path(), &[("report-json", "x")]).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();

        let error = step_summary(&directory.path().join("none/summary"), "x").unwrap_err();

        assert!(matches!(error, PublishError::Write { .. }), "{error:?}");
    }

    #[test]
    fn an_annotation_is_one_command() {
        assert_eq!(
            annotation(Level::Error, "loadgate: a, b", "100 % slower\n::stop-commands::x\r"),
            "::error title=loadgate%3A a%2C b::100 %25 slower%0A\\x3a:stop-commands::x\\r"
        );
        assert_eq!(annotation(Level::Notice, "t", "m"), "::notice title=t::m");
    }

    fn place_at(double: &Double) -> CommentPlace {
        CommentPlace {
            api_url: double.url(),
            token: Secret::new("t".into()),
            repository: Repository::parse("acme/shop").unwrap(),
            number: PullRequestNumber::parse("7").unwrap(),
            id: "api".into(),
        }
    }

    #[test]
    fn a_comment_can_be_written_from_anywhere() {
        let double = Double::start(|request| match request.method.as_str() {
            "POST" => Reply::json(201, "{\"id\":1,\"html_url\":\"https://github.com/c/1\"}"),
            _ if request.path == "/user" => Reply::json(200, "{\"id\":1,\"login\":\"me\"}"),
            _ => Reply::json(200, "[]"),
        });
        let place = place_at(&double);

        let outside = comment(&place, "body", &CancellationToken::new()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inside = runtime.block_on(async { comment(&place, "body", &CancellationToken::new()) }).unwrap();

        assert_eq!(outside.change, CommentChange::Created);
        assert_eq!(outside, inside);
    }

    #[test]
    fn an_outage_is_an_error_with_a_remedy() {
        let double = Double::start(|_| Reply::json(503, ""));
        let place = place_at(&double);

        let error = comment(&place, "body", &CancellationToken::new()).unwrap_err();

        assert!(matches!(error, PublishError::Github(GithubError::Outage { status: 503, .. })), "{error:?}");
        assert!(error.help().contains("githubstatus"));
    }

    #[test]
    fn an_interrupt_ends_a_conversation_that_goes_nowhere() {
        let cancel = CancellationToken::new();
        let silence = Double::start(|_| Reply::silence());
        let place = place_at(&silence);

        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while silence.requests().is_empty() {
                    std::thread::yield_now();
                }
                cancel.cancel();
            });
            comment(&place, "body", &cancel).unwrap_err()
        });

        assert!(matches!(error, PublishError::Interrupted), "{error}");
    }
}
