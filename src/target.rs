//! A target is what receives load. Before it is cleared it is only a candidate: a text with a named source.
//!
//! `ci` and `service` name candidates, `guard` parses and clears them. An `Origin` is the parsed form: scheme, host
//! and port, and nothing else that could move a request somewhere else.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::secret::Secret;

/// Where a candidate came from; every run has exactly one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Source {
    /// The payload of a `deployment_status` event: `environment_url`, else `target_url`.
    DeploymentStatus {
        /// The forge's number of the deployment.
        deployment: u64,
        /// The payload's field that held the URL.
        field: String,
    },
    /// `LOADGATE_PREVIEW_URL`, set by an earlier step of the same job.
    PreviewVariable,
    /// A variable of the CI system itself.
    CiVariable {
        /// The variable, such as `CI_ENVIRONMENT_URL`.
        variable: String,
    },
    /// A service that this run built and started on loopback.
    Service,
    /// A service that already listened on loopback: `run --local PORT`.
    Local,
}

impl Source {
    /// Returns whether the target is on this machine, by the way it was named.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::Service | Self::Local)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeploymentStatus { deployment, field } => {
                write!(f, "deployment_status event, deployment {deployment}, {field}")
            }
            Self::PreviewVariable => f.write_str("LOADGATE_PREVIEW_URL"),
            Self::CiVariable { variable } => f.write_str(variable),
            Self::Service => f.write_str("the service this run started"),
            Self::Local => f.write_str("--local"),
        }
    }
}

/// A URL that somebody proposes as the target; nothing is known about it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where the text came from.
    pub source: Source,
    /// The text, exactly as found.
    pub raw: String,
}

impl Candidate {
    /// Names a listener on this machine, for [`Source::Service`] and [`Source::Local`].
    #[must_use]
    pub fn on_loopback(source: Source, listener: SocketAddr) -> Self {
        Self { source, raw: format!("http://{listener}") }
    }

    /// Names a listener on this machine that speaks TLS; its certificate must be for the address itself.
    #[must_use]
    pub fn on_loopback_over_tls(source: Source, listener: SocketAddr) -> Self {
        Self { source, raw: format!("https://{listener}") }
    }
}

/// A host that the environment calls production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductionFact {
    /// The host, lower case, without a trailing dot.
    pub host: String,
    /// The variable that said so.
    pub variable: String,
}

/// Places where code is kept: a home page there is nobody's production.
const CODE_HOSTS: [&str; 7] =
    ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "crates.io", "docs.rs", "lib.rs"];

/// Returns whether a host keeps code, so that a home page there says nothing of production.
#[must_use]
pub fn keeps_code(host: &str) -> bool {
    CODE_HOSTS.contains(&host)
}

/// How a target is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain text, for loopback only.
    Http,
    /// TLS with a verified certificate.
    Https,
}

impl Scheme {
    /// Returns the port that a URL of this scheme leaves out.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Scheme, host and port of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// The host in canonical form: lower case, no trailing dot, an IP literal without brackets.
    pub host: String,
    /// The port, also where it is the scheme's default.
    pub port: u16,
}

impl Origin {
    /// Returns the value of the `Host` header: the port appears only where it is not the default.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// How this program proves to a preview who it is: a certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, and those that lead from it to a root that the preview trusts; DER.
    pub certificates: Vec<Vec<u8>>,
    /// The private key, PEM.
    pub key: Secret,
}

/// How an ephemeral preview is built and started on this machine.
///
/// `config` makes it and `service` carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlan {
    /// The program that builds it and its arguments; absent where there is nothing to build.
    pub build: Option<Vec<String>>,
    /// The program that serves and its arguments; a relative program with a `/` in it is looked up in `dir`.
    pub run: Vec<String>,
    /// The path that answers 2xx once the service can take load; absent: as soon as the port accepts.
    pub ready: Option<String>,
    /// How long it may take to become ready.
    pub ready_timeout: Duration,
    /// Variables that both programs get beside the inherited ones; the service gets `PORT` as well.
    pub env: Vec<(String, String)>,
    /// The directory in which both programs run.
    pub dir: PathBuf,
    /// The file that takes what the service prints.
    pub log: PathBuf,
}

/// Returns the host that a URL names, in lower case and without the dot of an absolute name.
pub(crate) fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.host_str()?.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_names_only_unusual_ports() {
        let https = Origin { scheme: Scheme::Https, host: "pr-1.preview.example.com".into(), port: 443 };
        let local = Origin { scheme: Scheme::Http, host: "127.0.0.1".into(), port: 8080 };
        let six = Origin { scheme: Scheme::Http, host: "::1".into(), port: 8080 };

        assert_eq!(https.to_string(), "https://pr-1.preview.example.com");
        assert_eq!(local.to_string(), "http://127.0.0.1:8080");
        assert_eq!(six.to_string(), "http://[::1]:8080");
    }
}
