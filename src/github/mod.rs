//! GitHub is asked which pull request a commit belongs to, and told what a run found.
//!
//! Every call has a time-out, follows no redirect, reads a bounded answer and fails with a typed error. The room
//! trusts nothing of what it reads: a comment is ours only if we wrote it.

mod comment;
mod deployment;
mod error;
mod file;
mod pull_request;

#[cfg(test)]
pub(crate) mod double;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use octocrab::Octocrab;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::secret::{Secret, may_carry_secrets};

pub use comment::{CommentChange, CommentOutcome, is_comment_id};
pub use deployment::{DeploymentDesk, DeploymentEntry, DeploymentFilter, DeploymentRecord, PullRequestState};
pub use error::GithubError;
pub use pull_request::PullRequestFacts;

/// How long one call may take, from the connection to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read: a hundred comments of the greatest length need less.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// The most entries that GitHub puts on a page.
const PER_PAGE: usize = 100;

/// Longer lists are not read: no honest pull request has ten thousand comments.
const MAX_PAGES: u32 = 100;

/// Speaks to one GitHub API with one token.
#[derive(Debug, Clone)]
pub struct Client {
    api_url: Url,
    token: Secret,
    timeout: Duration,
}

/// An answer whose status says success.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// An address to which a token must not go (http is for loopback only), or a token that is no token.
    pub fn new(api_url: &str, token: &Secret) -> Result<Self, GithubError> {
        let api_url = checked_api_url(api_url)?;
        let is_plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if token.expose().is_empty() {
            return Err(GithubError::Token("it is empty"));
        }
        if !is_plain {
            return Err(GithubError::Token("it holds white space or other characters that no token has"));
        }
        Ok(Self { api_url, token: token.clone(), timeout: TIMEOUT })
    }

    /// Returns the same client with another time-out for each call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Opens a session for the runtime that polls it; octocrab's worker lives and dies with that runtime.
    fn open(&self) -> Result<Session<'_>, GithubError> {
        // Another crate may have installed a provider first, and any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let setup = |error: octocrab::Error| GithubError::Setup(self.cleared(&innermost(&error)));
        let octocrab = Octocrab::builder()
            .base_uri(self.api_url.as_str())
            .map_err(setup)?
            .personal_token(self.token.expose())
            .build()
            .map_err(setup)?;
        Ok(Session { client: self, octocrab })
    }

    /// Returns a server's text, short and without the token.
    fn cleared(&self, text: &str) -> String {
        text.replace(self.token.expose(), "***").chars().filter(|c| !c.is_control()).take(300).collect()
    }
}

/// A client while it is used.
struct Session<'a> {
    client: &'a Client,
    octocrab: Octocrab,
}

impl Session<'_> {
    /// Sends one call; `what` completes the sentence "cannot …".
    async fn call(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, GithubError> {
        let exchange = async {
            let broken = |error: octocrab::Error| GithubError::Connection {
                what,
                reason: self.client.cleared(&innermost(&error)),
            };
            let request = http::Request::builder().method(method).uri(path);
            let request = self.octocrab.build_request(request, body).map_err(broken)?;
            let response = self.octocrab.execute(request).await.map_err(broken)?;
            let (parts, body) = response.into_parts();
            let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| GithubError::Malformed {
                what,
                reason: self.client.cleared(&innermost(error.as_ref())),
            };
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(unreadable)?.to_bytes();
            if parts.status.is_success() {
                return Ok(Answer { headers: parts.headers, body });
            }
            Err(self.refusal(what, parts.status, &parts.headers, &body))
        };
        let timeout = self.client.timeout;
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(GithubError::Timeout { what, timeout }))
    }

    /// Sends one call and reads its answer.
    async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, GithubError> {
        let answer = self.call(what, method, path, body).await?;
        self.read(what, &answer.body)
    }

    /// Reads every page of a list.
    async fn all_pages<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
    ) -> Result<Vec<T>, GithubError> {
        let mut entries = Vec::new();
        for page in 1..=MAX_PAGES {
            // The address of the next page is never taken from the answer: it could lead to another host.
            let path = format!("{path}?per_page={PER_PAGE}&page={page}");
            let answer = self.call(what, Method::GET, &path, None).await?;
            let found: Vec<T> = self.read(what, &answer.body)?;
            let is_last = found.is_empty() || (found.len() < PER_PAGE && !names_next_page(&answer.headers));
            entries.extend(found);
            if is_last {
                return Ok(entries);
            }
        }
        Err(GithubError::TooManyPages { what, pages: MAX_PAGES })
    }

    fn read<T: DeserializeOwned>(&self, what: &'static str, body: &[u8]) -> Result<T, GithubError> {
        serde_json::from_slice(body)
            .map_err(|error| GithubError::Malformed { what, reason: self.client.cleared(&error.to_string()) })
    }

    fn refusal(
        &self,
        what: &'static str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> GithubError {
        let message = self.client.cleared(&message_of(body));
        let is_limited = status == StatusCode::TOO_MANY_REQUESTS
            || (status == StatusCode::FORBIDDEN && is_rate_limit(headers, &message));
        match status.as_u16() {
            _ if is_limited => GithubError::RateLimited { what, retry_after: retry_after(headers) },
            status @ (401 | 403) => GithubError::Denied { what, status, message },
            404 => GithubError::NotFound { what },
            422 => GithubError::Rejected { what, message },
            status @ 500..=599 => GithubError::Outage { what, status },
            status => GithubError::Unexpected { what, status },
        }
    }
}

fn checked_api_url(text: &str) -> Result<Url, GithubError> {
    let refuse = |why| GithubError::ApiUrl { url: text.chars().take(120).collect(), why };
    let url = Url::parse(text).map_err(|_| refuse("it is not an address"))?;
    if !url.username().is_empty() || url.password().is_some() {
        // The text would show the password.
        return Err(GithubError::ApiUrl { url: String::new(), why: "it holds a user name or a password" });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it has a query or a fragment"));
    }
    match url.scheme() {
        _ if may_carry_secrets(&url) => Ok(url),
        "http" => Err(refuse("http would show the token to the network; only a loopback address may use it")),
        _ => Err(refuse("it is neither https nor http")),
    }
}

fn names_next_page(headers: &HeaderMap) -> bool {
    let links = headers.get_all(header::LINK).into_iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|link| link.split(',')).any(|link| link.contains("rel=\"next\""))
}

fn message_of(body: &[u8]) -> String {
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let message = document.as_ref().and_then(|document| document.get("message")).and_then(Value::as_str);
    message.unwrap_or_default().to_owned()
}

fn is_rate_limit(headers: &HeaderMap, message: &str) -> bool {
    let is_used_up = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    is_used_up || headers.contains_key(header::RETRY_AFTER) || message.to_lowercase().contains("rate limit")
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Returns the cause at the end of the chain: outer messages only repeat that something failed.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::double::{Double, Reply};
    use super::*;
    use crate::context::{PullRequestNumber, Repository};

    fn client(double: &Double) -> Client {
        Client::new(&double.url(), &Secret::new("ghs_t0ken".into())).unwrap()
    }

    async fn comment(client: &Client) -> Result<CommentOutcome, GithubError> {
        let repository = Repository::parse("acme/shop").unwrap();
        client.upsert_comment(&repository, PullRequestNumber::parse("7").unwrap(), "x", "body").await
    }

    #[test]
    fn a_token_goes_to_https_or_loopback_only() {
        let token = Secret::new("t".into());
        for fine in
            ["https://api.github.com", "https://ghe.example/api/v3", "http://127.0.0.1:1", "http://[::1]:1/"]
        {
            assert!(Client::new(fine, &token).is_ok(), "{fine} must be taken");
        }
        for hostile in [
            "http://api.github.com",
            "http://localhost.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "https://user:pass@api.github.com",
            "https://api.github.com/?x",
            "api.github.com",
            "",
        ] {
            let error = Client::new(hostile, &token).unwrap_err();
            assert!(matches!(error, GithubError::ApiUrl { .. }), "{hostile}");
            assert!(!error.to_string().contains("pass@"));
        }
    }

    #[test]
    fn a_token_is_one_plain_word() {
        for hostile in ["", "a b", "a\nb", "a\r\nHost: x", "\u{e9}"] {
            let error = Client::new("https://api.github.com", &Secret::new(hostile.into())).unwrap_err();
            assert!(matches!(error, GithubError::Token(_)), "{hostile:?}");
        }
    }

    #[tokio::test]
    async fn each_refusal_has_its_error() {
        type Check = fn(&GithubError) -> bool;
        let cases: [(Reply, Check); 9] = [
            (Reply::json(401, "{}"), |e| matches!(e, GithubError::Denied { status: 401, .. })),
            (Reply::json(404, "{}"), |e| matches!(e, GithubError::NotFound { .. })),
            (Reply::json(422, "{\"message\":\"no\"}"), |e| matches!(e, GithubError::Rejected { .. })),
            (Reply::json(429, "{}"), |e| matches!(e, GithubError::RateLimited { retry_after: None, .. })),
            (Reply::json(403, "{}").with_header("retry-after", "30"), |e| {
                matches!(e, GithubError::RateLimited { retry_after: Some(_), .. })
            }),
            (Reply::json(403, "{\"message\":\"You have exceeded a secondary rate limit\"}"), |e| {
                matches!(e, GithubError::RateLimited { .. })
            }),
            (Reply::json(502, "<html>"), |e| matches!(e, GithubError::Outage { status: 502, .. })),
            (Reply::json(301, "{}").with_header("location", "http://127.0.0.1:9/"), |e| {
                matches!(e, GithubError::Unexpected { status: 301, .. })
            }),
            (Reply::json(200, "{\"id\":"), |e| matches!(e, GithubError::Malformed { .. })),
        ];
        for (reply, is_expected) in cases {
            let double = Double::start(move |_| reply.clone());

            let error = comment(&client(&double)).await.unwrap_err();

            assert!(is_expected(&error), "{error:?}");
            assert!(!error.help().is_empty());
        }
    }

    #[tokio::test]
    async fn a_denial_names_the_permission_to_add() {
        let double = Double::start(|request| match request.path.as_str() {
            "/user" => Reply::json(200, "{\"id\":1,\"login\":\"me\"}"),
            _ => Reply::json(403, "{\"message\":\"Resource not accessible by integration\"}"),
        });

        let error = comment(&client(&double)).await.unwrap_err();

        assert!(error.to_string().contains("Resource not accessible by integration"), "{error}");
        assert!(error.help().contains("pull-requests: write"));
    }

    #[tokio::test]
    async fn no_error_repeats_the_token() {
        let double = Double::start(|_| Reply::json(422, "{\"message\":\"bad ghs_t0ken\\u001b[2J\"}"));

        let error = comment(&client(&double)).await.unwrap_err();

        assert_eq!(
            error.to_string(),
            "cannot ask who the token belongs to: GitHub answered 422 \"bad ***[2J\""
        );
        assert!(!format!("{error:?} {:?}", client(&double)).contains("ghs_t0ken"));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_runs_into_the_time_out() {
        let double = Double::start(|_| Reply::silence());

        let error = comment(&client(&double).with_timeout(Duration::from_millis(50))).await.unwrap_err();

        assert!(matches!(error, GithubError::Timeout { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_an_error() {
        let double = Double::start(|_| Reply::json(200, "{\"id\":1}").with_header("content-length", "4000"));

        let error = comment(&client(&double)).await.unwrap_err();

        assert!(matches!(error, GithubError::Malformed { .. } | GithubError::Connection { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(&url, &Secret::new("t".into())).unwrap();

        let error = comment(&client).await.unwrap_err();

        assert!(matches!(error, GithubError::Connection { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_server_without_tls_is_an_error_behind_https() {
        let double = Double::start(|_| Reply::json(200, "{}"));
        let url = double.url().replace("http://", "https://");

        let error = comment(&Client::new(&url, &Secret::new("t".into())).unwrap()).await.unwrap_err();

        assert!(matches!(error, GithubError::Connection { .. }), "{error:?}");
        assert!(double.requests().is_empty(), "nothing may be sent in plain text");
    }

    #[tokio::test]
    async fn the_token_is_sent_once_and_with_the_version() {
        let double = Double::start(|_| Reply::json(404, "{}"));

        let _ = comment(&client(&double)).await;

        let request = &double.requests()[0];
        assert_eq!(request.headers_named("authorization"), ["Bearer ghs_t0ken"]);
        assert_eq!(request.headers_named("x-github-api-version").len(), 1);
        assert_eq!(request.headers_named("user-agent").len(), 1);
    }
}
