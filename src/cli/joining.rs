//! Joins a deployment to its pull request: the event does not name it, but the forge knows it by the commit.

use super::failure::chain;
use super::session::Session;
use crate::ci::Reading;
use crate::context::{Context, Forge, JoinedPullRequest};
use crate::publish;

/// A `deployment_status` payload does not name its pull request, and some CI systems don't name its base branch; the
/// forge knows both by the commit.
///
/// The guard refuses a deployment without a pull request, so what fails here is only said.
pub(super) fn find_pull_request(session: &Session, reading: &mut Reading) {
    let Some(pull_request) = reading.context.pull_request() else { return };
    let known = pull_request.number;
    let is_whole = known.is_some() && pull_request.base_branch.is_some();
    if is_whole || pull_request.forge != Forge::GitHub {
        return;
    }
    let Some(token) = session.forge_token() else {
        session.console.warning(
            "there is no GITHUB_TOKEN in the environment to find the deployment's pull request with",
        );
        return;
    };
    let api_url = session.api_url();
    let (repository, head) = (&pull_request.repository, &pull_request.head_sha);
    match publish::pull_requests_of(api_url, &token, repository, head, &session.cancel) {
        Ok(found) => {
            let is_meant = |number| known.is_none_or(|known| known == number);
            let mut open = found.into_iter().filter(|one| one.is_open && is_meant(one.number));
            match (open.next(), open.next()) {
                (Some(only), None) => {
                    let context = std::mem::replace(&mut reading.context, Context::Desk);
                    reading.context = context.joined_to(JoinedPullRequest {
                        number: only.number,
                        head_branch: only.head_branch,
                        base_branch: only.base_branch,
                        is_from_fork: only.is_from_fork,
                    });
                }
                (None, _) => session.console.warning("no open pull request has the deployed commit"),
                (Some(_), Some(_)) => {
                    session.console.warning("several open pull requests have the deployed commit");
                }
            }
        }
        Err(error) => {
            session.console.warning(&format!("cannot find the deployment's pull request: {}", chain(&error)));
            session.console.help(&error.help());
        }
    }
}
