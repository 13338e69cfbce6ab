//! What can go wrong between this program and the GitHub API, each with its remedy.
//!
//! No message holds a token: texts of the server are cut short and cleared of it before they come here.

use std::time::Duration;

/// A call to the GitHub API that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GithubError {
    /// `GITHUB_API_URL` is not an address to which a token may be sent; it must be https, or http on loopback.
    #[error("cannot use the GitHub API address {url:?}: {why}")]
    ApiUrl {
        /// The address as found.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token holds characters that no header can carry, or is empty; set the secret again without line breaks.
    #[error("the GitHub token is not usable ({0})")]
    Token(&'static str),
    /// The HTTP client could not be made, most often because the machine has no certificates.
    #[error("cannot set up the connection to GitHub: {0}")]
    Setup(String),
    /// The comment's id could end the marker; use letters, digits, `.`, `_` and `-`.
    #[error("the comment id {0:?} is not 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'")]
    CommentId(String),
    /// The comment is longer than GitHub takes; shorten the report.
    #[error("the comment has {chars} characters, GitHub takes {limit}")]
    TooLong {
        /// The characters of the whole comment.
        chars: usize,
        /// The most that GitHub takes.
        limit: usize,
    },
    /// The token may not do this (401 or 403); grant the permission in the workflow.
    #[error("cannot {what}: GitHub answered {status} {message:?}")]
    Denied {
        /// What was tried.
        what: &'static str,
        /// 401 or 403.
        status: u16,
        /// What GitHub said.
        message: String,
    },
    /// There is no such repository, commit or pull request, or the token may not see it.
    #[error("cannot {what}: GitHub answered 404")]
    NotFound {
        /// What was tried.
        what: &'static str,
    },
    /// GitHub understood the call and refused its content (422).
    #[error("cannot {what}: GitHub answered 422 {message:?}")]
    Rejected {
        /// What was tried.
        what: &'static str,
        /// What GitHub said.
        message: String,
    },
    /// Too many calls (429, or 403 with a limit); wait and run again.
    #[error("cannot {what}: GitHub's rate limit is reached")]
    RateLimited {
        /// What was tried.
        what: &'static str,
        /// How long GitHub asks to wait.
        retry_after: Option<Duration>,
    },
    /// GitHub itself fails (5xx); run again later.
    #[error("cannot {what}: GitHub answered {status}")]
    Outage {
        /// What was tried.
        what: &'static str,
        /// The status.
        status: u16,
    },
    /// An answer that this program does not know, such as a redirect because the repository has moved.
    #[error("cannot {what}: GitHub answered {status}, which is not expected here")]
    Unexpected {
        /// What was tried.
        what: &'static str,
        /// The status.
        status: u16,
    },
    /// No whole answer came in time.
    #[error("cannot {what}: no answer within {timeout:?}")]
    Timeout {
        /// What was tried.
        what: &'static str,
        /// The time that was waited.
        timeout: Duration,
    },
    /// The connection failed: name resolution, TCP, TLS, or it broke off.
    #[error("cannot {what}: {reason}")]
    Connection {
        /// What was tried.
        what: &'static str,
        /// The innermost cause.
        reason: String,
    },
    /// The answer is not the JSON it should be, is cut off or is too large.
    #[error("cannot {what}: the answer cannot be read ({reason})")]
    Malformed {
        /// What was tried.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The list goes on beyond any plausible length.
    #[error("cannot {what}: the list is longer than {pages} pages")]
    TooManyPages {
        /// What was tried.
        what: &'static str,
        /// How many pages were read.
        pages: u32,
    },
}

impl GithubError {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::ApiUrl { .. } => {
                "set GITHUB_API_URL to an https address, such as https://api.github.com".into()
            }
            Self::Token(_) => "pass the token with `env: { GITHUB_TOKEN: ${{ github.token }} }`".into(),
            Self::Setup(_) => "install the system's certificates (package ca-certificates)".into(),
            Self::CommentId(_) => "choose an id of letters and digits".into(),
            Self::TooLong { .. } => "split the scenarios over several runs with ids of their own".into(),
            Self::Denied { status: 401, .. } => "the token is wrong or has expired: set it again".into(),
            Self::Denied { .. } => {
                "grant the job `permissions: { contents: read, pull-requests: write }`; a pull \
                 request from a fork has no such token, so post its comment from a `workflow_run` job"
                    .into()
            }
            Self::NotFound { .. } => {
                "check the repository and the number, and that the token may read this repository".into()
            }
            Self::Rejected { .. } => {
                "GitHub names the reason above; an unknown commit must be pushed first".into()
            }
            Self::RateLimited { retry_after: Some(wait), .. } => {
                format!("wait {} s and run again", wait.as_secs())
            }
            Self::RateLimited { .. } => "wait a minute and run again".into(),
            Self::Outage { .. } => "see https://www.githubstatus.com and run again later".into(),
            Self::Unexpected { .. } => {
                "the repository may have moved: redirects are not followed with a token".into()
            }
            Self::Timeout { .. } | Self::Connection { .. } => {
                "check that this machine reaches the GitHub API, then run again".into()
            }
            Self::Malformed { .. } => "a proxy may have changed the answer; run again".into(),
            Self::TooManyPages { .. } => "close this pull request and open a new one".into(),
        }
    }
}
