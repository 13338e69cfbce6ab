//! Reads files of the base branch from the forge, for checkouts that do not hold it.

use super::Forges;
use super::forge::converse;
use crate::context::{PullRequest, Repository};
use crate::github::Client;
use crate::guard::ControlPlaneError;

/// The base branch of a pull request, at one commit, as the forge has it.
#[derive(Debug)]
pub struct RemoteBase {
    client: Client,
    forges: Forges,
    repository: Repository,
    commit: String,
}

impl RemoteBase {
    /// Finds the base branch of a pull request on github.com.
    ///
    /// Which forge of one's own may be trusted is said by the policy, which is yet to be read; so that only the one
    /// that everybody knows is asked.
    pub fn find(forges: &Forges, pull_request: &PullRequest) -> Result<Self, ControlPlaneError> {
        let client = forges.github(None, pull_request.forge)?;
        let repository = pull_request.repository.clone();
        let commit = match (&pull_request.base_sha, &pull_request.base_branch) {
            (Some(sha), _) => sha.as_str().to_owned(),
            (None, Some(branch)) => converse(client.tip_of(&repository, branch), &forges.cancel)?,
            (None, None) => {
                return Err(ControlPlaneError::Failed {
                    what: "the job does not say which branch is the base".into(),
                    remedy: "run in the job of a pull request".into(),
                });
            }
        };
        Ok(Self { client, forges: forges.clone(), repository, commit })
    }

    /// Returns the commit that is read.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Returns a file's bytes, or `None` where the commit has no such file.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ControlPlaneError> {
        converse(self.client.file_at(&self.repository, path, &self.commit), &self.forges.cancel).map_err(
            |error| match error {
                ControlPlaneError::Failed { what, .. } => {
                    ControlPlaneError::Failed { what, remedy: REMEDY.into() }
                }
                other => other,
            },
        )
    }
}

const REMEDY: &str = "grant the job `permissions: { contents: read }`, or check out the base branch too \
     (actions/checkout with `fetch-depth: 0`)";
