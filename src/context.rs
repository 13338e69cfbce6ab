//! The context says for whom a run happens: a pull request that a CI system vouches for, a person at a desk, or a
//! CI job that belongs to no pull request.
//!
//! These are plain facts with checked grammar. `ci` reads them; `guard` decides what they allow.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A word that does not have the shape it must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not {expected}: {found:?}")]
pub struct MalformedFact {
    /// What was read, such as `pull request number`.
    pub what: &'static str,
    /// The grammar it should follow, in words.
    pub expected: &'static str,
    /// The text that was found, at most 80 characters of it.
    pub found: String,
}

impl MalformedFact {
    fn new(what: &'static str, expected: &'static str, found: &str) -> Self {
        Self { what, expected, found: found.chars().take(80).collect() }
    }
}

/// The number of a pull request: 1 to 10 decimal digits, no leading zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PullRequestNumber(u64);

impl PullRequestNumber {
    /// Reads a number, refusing signs, leading zeros, other digits and words such as `null`.
    pub fn parse(text: &str) -> Result<Self, MalformedFact> {
        let malformed =
            || MalformedFact::new("pull request number", "1 to 10 digits without a leading zero", text);
        let is_plain = !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
        if !is_plain || text.starts_with('0') {
            return Err(malformed());
        }
        text.parse().map(Self).map_err(|_| malformed())
    }

    /// Takes a number that a JSON document gave.
    pub fn from_u64(number: u64) -> Result<Self, MalformedFact> {
        Self::parse(&number.to_string())
    }

    /// Returns the number.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PullRequestNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A full commit id: 40 or 64 lower-case hexadecimal digits, not all zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitSha(String);

impl CommitSha {
    /// Reads a full commit id; names such as `HEAD` and the null id are refused.
    pub fn parse(text: &str) -> Result<Self, MalformedFact> {
        let is_hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_whole = matches!(text.len(), 40 | 64);
        if !is_hex || !is_whole || text.bytes().all(|b| b == b'0') {
            return Err(MalformedFact::new("commit id", "40 or 64 hexadecimal digits, not all zero", text));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first seven digits, as people quote them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl TryFrom<String> for CommitSha {
    type Error = MalformedFact;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<CommitSha> for String {
    fn from(sha: CommitSha) -> Self {
        sha.0
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository on a forge, `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// Reads `owner/name`; both parts are ASCII letters, digits, `.`, `_` or `-`.
    pub fn parse(text: &str) -> Result<Self, MalformedFact> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        match text.split_once('/') {
            Some((owner, name)) if is_part(owner) && is_part(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(MalformedFact::new("repository", "owner/name", text)),
        }
    }

    /// Reads a path of any depth, as GitLab has it; the owner is then everything before the last part.
    pub fn parse_nested(text: &str) -> Result<Self, MalformedFact> {
        let malformed = || MalformedFact::new("repository", "owner/name, or group/subgroup/name", text);
        let (owner, name) = text.rsplit_once('/').ok_or_else(malformed)?;
        let parts = owner.split('/').map(|group| Self::parse(&format!("{group}/{name}")));
        let depth = parts.collect::<Result<Vec<_>, _>>().map_err(|_| malformed())?.len();
        // GitLab itself allows twenty levels of groups.
        if depth > 20 {
            return Err(malformed());
        }
        Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// Returns the owner: a person or an organisation.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns the name without the owner.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Where a pull request lives, and so who can be asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forge {
    /// github.com, or a GitHub of one's own.
    GitHub,
    /// gitlab.com, or a GitLab of one's own.
    GitLab,
    /// Any other, or one that the CI system does not tell.
    Other,
}

impl fmt::Display for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Other => "this forge",
        })
    }
}

/// The event that started the CI job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullRequestEvent {
    /// A deployment of the pull request's head changed its state.
    DeploymentStatus,
    /// The pull request was opened or got new commits.
    PullRequest,
}

/// The deployment that an event speaks of, as its payload says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The forge's number of the deployment.
    pub id: u64,
    /// The environment's name, such as `Preview`.
    pub environment: String,
    /// Other names of the environment: a deployment can be moved to another environment by one of its statuses.
    pub other_environments: Vec<String>,
    /// The state of the latest status, such as `success`.
    pub state: String,
    /// Whether the forge calls the environment a production environment; absent says nothing.
    pub production_environment: Option<bool>,
    /// Whether the forge calls the environment transient; absent says nothing.
    pub transient_environment: Option<bool>,
    /// The branch, tag or commit that was deployed, as the deployer named it.
    pub reference: String,
}

/// What a variable of the environment says about the deployment, and what it says of every preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentClaim {
    /// The variable.
    pub variable: String,
    /// What it holds; empty where it is missing although its companions are there.
    pub value: String,
    /// What it holds for a preview.
    pub expected: PreviewValue,
}

/// What a variable holds when the deployment is a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreviewValue {
    /// Exactly this word, whatever its case.
    Word(String),
    /// Something that is none of these words, whatever their case, and holds no word of production.
    NoneOf(Vec<String>),
}

/// A pull request as the CI system tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The CI system that tells of it, such as `GitHub Actions`.
    pub system: String,
    /// Whether no step of the job can rewrite what the CI system says.
    pub is_vouched: bool,
    /// Where it lives.
    pub forge: Forge,
    /// The event that started the job.
    pub event: PullRequestEvent,
    /// The event's `action`, such as `synchronize`; empty where the event has none.
    pub action: String,
    /// The repository that the pull request wants to change.
    pub repository: Repository,
    /// The number; a `deployment_status` payload does not carry it.
    pub number: Option<PullRequestNumber>,
    /// Whether it is closed or merged: its preview is going away.
    pub is_closed: bool,
    /// The commit under test: the head of the pull request, never the merge commit.
    pub head_sha: CommitSha,
    /// The branch of the pull request, raw: it is checked where it is used.
    pub head_branch: Option<String>,
    /// The branch that the pull request wants to change.
    pub base_branch: Option<String>,
    /// The commit of that branch which the CI system names, where it does.
    pub base_sha: Option<CommitSha>,
    /// Whether the head lives in another repository.
    pub is_from_fork: bool,
    /// The deployment, where the event is about one.
    pub deployment: Option<Deployment>,
    /// What variables say about the deployment that this job belongs to.
    pub claims: Vec<DeploymentClaim>,
}

/// The pull request that a deployment was found to belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedPullRequest {
    /// Its number.
    pub number: PullRequestNumber,
    /// The branch it comes from, raw.
    pub head_branch: String,
    /// The branch it wants to change, raw.
    pub base_branch: String,
    /// Whether its head lives in another repository.
    pub is_from_fork: bool,
}

/// For whom a run happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Context {
    /// Nobody's CI: a person's own machine.
    Desk,
    /// A CI job for a pull request.
    PullRequest(Box<PullRequest>),
    /// A CI job that belongs to no pull request, or a system that is not known well enough to say.
    OtherCi {
        /// The CI system's name.
        system: String,
        /// The event or trigger, as the system names it.
        event: String,
    },
}

impl Context {
    /// Returns the pull request, where there is one.
    #[must_use]
    pub fn pull_request(&self) -> Option<&PullRequest> {
        match self {
            Self::PullRequest(pull_request) => Some(pull_request),
            Self::Desk | Self::OtherCi { .. } => None,
        }
    }

    /// Joins a commit to its pull request, for jobs that are not told the number or the branches.
    ///
    /// The caller has seen that the pull request is open and that its head is the commit under test. Another number
    /// than the job was told changes nothing, and neither does any in a context without a pull request. The branches
    /// are the forge's: the reference of a deployment is any name of its commit, and a tag looks like a branch there.
    #[must_use]
    pub fn joined_to(mut self, found: JoinedPullRequest) -> Self {
        if let Self::PullRequest(pull_request) = &mut self
            && pull_request.number.is_none_or(|number| number == found.number)
        {
            pull_request.number = Some(found.number);
            pull_request.head_branch = Some(found.head_branch);
            pull_request.base_branch = Some(found.base_branch);
            pull_request.is_from_fork = found.is_from_fork;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_request_number_is_plain_decimal() {
        assert_eq!(PullRequestNumber::parse("42").map(PullRequestNumber::value), Ok(42));
        for hostile in
            ["", "0", "01", "-1", "+1", "0x1", "null", "false", "1.www", "\u{661}", "12345678901", " 1"]
        {
            assert!(PullRequestNumber::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn a_commit_id_is_whole_and_not_null() {
        let whole = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(CommitSha::parse(whole).unwrap().short(), "0123456");
        for hostile in ["HEAD", "0123456", "", &"0".repeat(40), &whole.to_uppercase()] {
            assert!(CommitSha::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    #[test]
    fn a_repository_is_two_plain_parts() {
        assert_eq!(Repository::parse("acme/shop").unwrap().to_string(), "acme/shop");
        for hostile in ["acme", "acme/", "/shop", "acme/shop/x", "../shop", "acme/..", "a b/c", "acme/shop?x"]
        {
            assert!(Repository::parse(hostile).is_err(), "{hostile:?} must be refused");
        }
    }

    fn deployment_context(number: Option<&str>) -> Context {
        Context::PullRequest(Box::new(PullRequest {
            system: "GitHub Actions".into(),
            is_vouched: true,
            forge: Forge::GitHub,
            event: PullRequestEvent::DeploymentStatus,
            action: "created".into(),
            repository: Repository::parse("acme/shop").unwrap(),
            number: number.map(|text| PullRequestNumber::parse(text).unwrap()),
            is_closed: false,
            head_sha: CommitSha::parse("0123456789abcdef0123456789abcdef01234567").unwrap(),
            head_branch: None,
            base_branch: None,
            base_sha: None,
            is_from_fork: false,
            deployment: None,
            claims: vec![],
        }))
    }

    #[test]
    fn joining_fills_in_what_the_payload_did_not_say() {
        let joined = |number| {
            let context = deployment_context(number).joined_to(JoinedPullRequest {
                number: PullRequestNumber::parse("2").unwrap(),
                head_branch: "feat/cart".into(),
                base_branch: "trunk".into(),
                is_from_fork: true,
            });
            context.pull_request().unwrap().clone()
        };

        let filled = joined(None);
        assert_eq!(filled.number.map(PullRequestNumber::value), Some(2));
        assert_eq!(filled.head_branch.as_deref(), Some("feat/cart"));
        assert_eq!(filled.base_branch.as_deref(), Some("trunk"));
        assert!(filled.is_from_fork);
        assert_eq!(Context::PullRequest(Box::new(joined(Some("1")))), deployment_context(Some("1")));
    }
}
