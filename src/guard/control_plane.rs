//! The control plane is whoever knows deployments: the forge, and the platform behind it.
//!
//! The guard asks through [`ControlPlane`] and judges what comes back; who is asked, and how, is known to room
//! `evidence` alone. Not knowing is an answer of its own here, and layer L6 reads it as a no.

use crate::context::{CommitSha, Forge, PullRequestNumber, Repository};

/// Tells what the forge knows of a pull request and its deployments.
pub trait ControlPlane {
    /// Asks now; nothing is remembered from an earlier question.
    fn deployments(&self, question: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError>;

    /// Asks the platform itself now, where it can be asked; nothing is known where it cannot.
    fn platform_standing(&self, _: &PlatformQuestion<'_>) -> Result<PlatformStanding, ControlPlaneError> {
        Ok(PlatformStanding::Unknown)
    }
}

/// What the guard wants to know.
#[derive(Debug, Clone, Copy)]
pub struct DeploymentQuestion<'a> {
    /// Where the pull request lives.
    pub forge: Forge,
    /// The forge's API, where the policy names one: a forge of one's own.
    pub api: Option<&'a str>,
    /// The repository that the pull request wants to change.
    pub repository: &'a Repository,
    /// The pull request.
    pub number: PullRequestNumber,
    /// The commit under test.
    pub head_sha: &'a CommitSha,
}

/// What the forge said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlPlaneFacts {
    /// Whether the pull request is open.
    pub is_open: bool,
    /// The head of the pull request as it is now.
    pub head_sha: String,
    /// The deployments of the commit under test, in any environment.
    pub deployments: Vec<DeployedFacts>,
    /// Other deployments of the repository that may be production, whatever their commit.
    pub others: Vec<DeployedFacts>,
}

/// One deployment as the forge has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeployedFacts {
    /// The forge's number of the deployment.
    pub id: u64,
    /// The deployed commit.
    pub sha: String,
    /// Every name that the environment has or had, the current one first.
    pub environments: Vec<String>,
    /// Whether the forge calls the environment production; absent says nothing.
    pub production_environment: Option<bool>,
    /// The state of the latest status, such as `success`; empty where there is none.
    pub state: String,
    /// Who made the deployment: the account, and the app it used where there was one.
    pub creators: Vec<String>,
    /// Who wrote the latest status: the account, and the app it used where there was one.
    pub reporters: Vec<String>,
    /// Where it can be reached, as its statuses say, the latest first.
    pub urls: Vec<String>,
}

/// What the guard wants to know from the platform that a host lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformQuestion<'a> {
    /// Whether a channel of Firebase Hosting serves the version that is live.
    FirebaseChannel {
        /// The site.
        site: &'a str,
        /// The channel's id, as the host has it.
        channel: &'a str,
        /// The host that the channel must be at.
        host: &'a str,
    },
    /// Whether the revision behind a tag of a Cloud Run service gets traffic.
    CloudRunTag {
        /// The service: `projects/P/locations/L/services/S`.
        service: &'a str,
        /// The host that the tag must be at.
        host: &'a str,
    },
}

/// What the platform said; texts in it are fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformStanding {
    /// Nobody could be asked.
    Unknown,
    /// What is behind the host is not what production's visitors get.
    Apart,
    /// What is behind the host is what production's visitors get.
    Live {
        /// What the platform said.
        what: String,
    },
    /// The host is not where the policy's project has its preview.
    Foreign {
        /// What the platform said.
        what: String,
    },
}

/// Why the control plane said nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlPlaneError {
    /// No control plane can be asked for this forge. Prove the preview by its marker instead.
    #[error("{0} is not asked about deployments")]
    Absent(&'static str),
    /// There is no token to ask with. Pass one to the job.
    #[error("there is no {variable} to ask {forge} with")]
    NoToken {
        /// The forge.
        forge: &'static str,
        /// The variable that would hold the token.
        variable: &'static str,
    },
    /// The environment names an API that the policy does not. Name it in the policy, by a reviewed change.
    #[error("{variable} names the API {found}, which the policy does not")]
    ForeignApi {
        /// The variable.
        variable: &'static str,
        /// What it holds, cut to a readable length.
        found: String,
    },
    /// The question was asked and not answered: refused, broken, or too slow.
    #[error("{what}")]
    Failed {
        /// What went wrong.
        what: String,
        /// What to do about it.
        remedy: String,
    },
}

impl ControlPlaneError {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Absent(_) => "let the preview prove itself by its marker".into(),
            Self::NoToken { variable, .. } => format!(
                "pass the token to the step as {variable}; on GitHub also grant the job \
                 `permissions: {{ deployments: read, pull-requests: read }}`"
            ),
            Self::ForeignApi { found, .. } => {
                format!("if this is your own forge, add forge = \"{found}\" to [target] by a reviewed change")
            }
            Self::Failed { remedy, .. } => remedy.clone(),
        }
    }
}
