//! The base branch goes before the pull request: its policy is found, obeyed, and what differs is said.
//!
//! Git is asked first, then the forge; a policy that cannot be read is no reason to stop a load on this machine, but
//! the guard refuses every other target without one.

use std::path::Path;

use super::failure::{Failure, chain};
use super::git::{self, LocalBase};
use super::session::Session;
use crate::ci::Reading;
use crate::config::{self, BaseError, FILE_NAME, Settings};
use crate::context::PullRequest;
use crate::evidence::RemoteBase;
use crate::guard::{ControlPlaneError, Depth, Review};

/// Where the base branch is read.
enum Base {
    Local(LocalBase),
    Remote { base: Box<RemoteBase>, prefix: String },
}

/// Why a file of the base branch could not be read, and what to do about it.
struct Unreadable {
    why: String,
    remedy: String,
}

impl From<ControlPlaneError> for Unreadable {
    fn from(error: ControlPlaneError) -> Self {
        Self { why: chain(&error), remedy: error.help() }
    }
}

impl Base {
    fn find(
        session: &Session,
        directory: &Path,
        pull_request: &PullRequest,
        depth: Depth,
    ) -> Result<Self, Unreadable> {
        if let Some(base) = LocalBase::find(directory, pull_request) {
            return Ok(Self::Local(base));
        }
        let shallow = "the checkout does not hold it";
        if depth == Depth::Offline {
            return Err(Unreadable { why: shallow.into(), remedy: "ask without --offline".into() });
        }
        let prefix = git::prefix(directory).unwrap_or_default();
        match RemoteBase::find(&session.forges(), pull_request) {
            Ok(base) => Ok(Self::Remote { base: Box::new(base), prefix }),
            Err(error) => Err(Unreadable {
                why: format!("{shallow}, and {}", chain(&error)),
                remedy: format!(
                    "check out the base branch too (actions/checkout with `fetch-depth: 0`); or {}",
                    error.help()
                ),
            }),
        }
    }

    fn commit(&self) -> &str {
        let commit = match self {
            Self::Local(base) => base.commit(),
            Self::Remote { base, .. } => base.commit(),
        };
        commit.get(..7).unwrap_or(commit)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Unreadable> {
        match self {
            Self::Local(base) => base.read(path).map_err(|why| Unreadable {
                why,
                remedy: "check the repository with `git fsck`, or check out anew".into(),
            }),
            Self::Remote { base, prefix } => {
                let path = path.to_str().unwrap_or_default();
                Ok(base.read(&format!("{prefix}{path}"))?)
            }
        }
    }
}

/// The base branch's policy as it was found.
pub(super) struct Obeyed {
    pub(super) review: Review,
    /// Files that the policy names; the settings point into it.
    pub(super) files: tempfile::TempDir,
}

/// Puts the settings of a pull request's job under the policy of the base branch, and says what that changes.
pub(super) fn obey(
    session: &Session,
    settings: &mut Settings,
    reading: &mut Reading,
    depth: Depth,
) -> Result<Obeyed, Failure> {
    let files = tempfile::tempdir().map_err(|error| {
        let why = format!("cannot make a directory for temporary files: {error}");
        Failure::incomplete(why, Some("check the disk and TMPDIR".into()))
    })?;
    let review = match reading.context.pull_request() {
        None => Review::None,
        Some(pull_request) => {
            let (review, notes) = review(session, settings, pull_request, depth, files.path());
            reading.warnings.extend(notes);
            review
        }
    };
    Ok(Obeyed { review, files })
}

fn review(
    session: &Session,
    settings: &mut Settings,
    pull_request: &PullRequest,
    depth: Depth,
    files: &Path,
) -> (Review, Vec<String>) {
    // Where nobody has said what they may be used for, they are not even read.
    settings.withhold_secrets();
    let unreviewed = |why: String| {
        let note = format!("nobody has reviewed this pull request's configuration: {why}");
        if settings.has_reviewed_sections() { vec![note] } else { vec![] }
    };
    let root = settings.root.clone();
    let base = match Base::find(session, &root, pull_request, depth) {
        Ok(base) => base,
        Err(Unreadable { why, remedy }) => {
            let notes = unreviewed(format!("the base branch's is not known ({why})"));
            return (Review::Unknown { why, remedy }, notes);
        }
    };
    match config::read_base(&|path| base.read(path), files) {
        Ok(Some(policy)) => {
            let notes = settings.obey(policy);
            (Review::Base { commit: base.commit().to_owned() }, notes)
        }
        Ok(None) => {
            let notes = unreviewed(format!("the base branch has no {FILE_NAME}"));
            (Review::Missing, notes)
        }
        Err(BaseError::Unreadable(Unreadable { why, remedy })) => {
            let notes = unreviewed(format!("the base branch's cannot be read ({why})"));
            (Review::Unknown { why, remedy }, notes)
        }
        Err(BaseError::Unusable(problems)) => {
            let first = problems.0.first();
            let place = first.and_then(|problem| problem.place.as_ref()).map(|place| format!("{place}: "));
            let message = first.map(|problem| problem.message.as_str()).unwrap_or_default();
            let why = format!("{}{message}", place.unwrap_or_default());
            let notes = unreviewed(format!("the base branch's cannot be used ({why})"));
            (Review::Unknown { why, remedy: "mend it in the base branch first".into() }, notes)
        }
    }
}
