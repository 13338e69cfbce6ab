//! A receipt is what the guard saw and decided, layer by layer; a refusal is its no, with a code.
//!
//! Both are made for people and for records: texts from outside are shortened and made harmless before they enter.

use std::net::SocketAddr;

use serde::Serialize;

use crate::target::{Origin, Source};

/// The version of the receipt's form.
const RECEIPT_VERSION: u32 = 1;

/// Why the guard refused, as a stable word for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The job belongs to no pull request that a recognised system vouches for.
    NoPullRequest,
    /// The pull request is closed or merged.
    ClosedPullRequest,
    /// The deployment could not be joined to a pull request.
    UnknownPullRequest,
    /// The deployment is not in the state `success`.
    DeploymentNotReady,
    /// The deployment is still under way; it may be in the state `success` soon.
    DeploymentPending,
    /// The forge calls the deployment's environment production.
    ProductionEnvironment,
    /// The policy is unfit for a remote target.
    UnfitPolicy,
    /// Nothing names a target.
    NoSource,
    /// Two sources name different targets.
    TwoSources,
    /// The text is not a URL in the one form that every parser reads alike.
    MalformedUrl,
    /// The scheme is not `https`, or not plain `http` on loopback.
    Scheme,
    /// The host is an address instead of a name, or not a plain name.
    HostForm,
    /// The port is not the default and no preview pattern names it.
    Port,
    /// The host is production.
    Production,
    /// The host shares a registrable domain with production and lies outside the preview zones.
    ProductionSibling,
    /// The host's name holds a word that means production.
    ProductionWord,
    /// The host matches no preview pattern that is bound to this pull request.
    NotAPreview,
    /// The host only has a preview's shape; nothing binds it to this pull request.
    ShapeOnly,
    /// The name of the pull request's branch cannot be trusted in a host.
    UnfitBranch,
    /// The policy is the pull request's own: the base branch has none, or it could not be read.
    UnreviewedPolicy,
    /// A variable says that the deployment is no preview.
    NotForReview,
    /// The forge could not be asked, or did not answer.
    ControlPlane,
    /// The pull request has another head by now.
    StaleHead,
    /// The deployment was made by somebody whom the policy does not name.
    ForeignDeployer,
    /// Several deployments of the commit could be meant.
    AmbiguousDeployment,
    /// Too few independent sources say that the target is a preview.
    TooFewProofs,
    /// The environment changes how names are resolved.
    ResolverOverride,
    /// The host's addresses could not be found.
    Unresolved,
    /// One of the host's addresses has a special purpose.
    SpecialAddress,
    /// A CNAME or HTTPS record leads to production.
    ProductionAlias,
    /// The name was bound to another place for one moment.
    Rebound,
    /// An HTTPS record leads to another host, port or address.
    ForeignService,
    /// The certificate of the target cannot be verified.
    Certificate,
    /// The target did not answer when it was asked for its marker.
    MarkerUnavailable,
    /// The target serves no marker, and the policy requires one.
    MarkerMissing,
    /// The target serves a marker that is not this preview's.
    MarkerMismatch,
    /// The target's marker says that it is production.
    MarkerProduction,
    /// The target asks for a login or sends its visitors elsewhere.
    Guarded,
    /// A program that forwards to somewhere else listens on the port.
    Forwarder,
    /// It cannot be seen which process listens on the port.
    UnknownListener,
    /// Another process than the service that this run started listens on the port.
    ForeignListener,
    /// What proved the target does not prove it any more.
    ProofLost,
    /// An answer redirects to another place than the target itself.
    Redirect,
    /// An answer says that it comes from the wrong server, or that a proxy must be used.
    Misdirected,
    /// An answer that nobody asked for was pushed.
    Pushed,
    /// Another server than the one that was cleared answers.
    EndpointChanged,
    /// The environment brings its own trust roots.
    ForeignTrust,
    /// The environment says that the world is reached through a proxy.
    Proxy,
    /// The hosting platform forbids load tests that nobody announced, and the policy names no consent.
    NoConsent,
}

impl RefusalCode {
    /// Returns whether it only says that nobody answered, which may pass by itself; a fact does not pass.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unresolved | Self::MarkerUnavailable | Self::ControlPlane)
    }

    /// Returns the word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPullRequest => "no-pull-request",
            Self::ClosedPullRequest => "closed-pull-request",
            Self::UnknownPullRequest => "unknown-pull-request",
            Self::DeploymentNotReady => "deployment-not-ready",
            Self::DeploymentPending => "deployment-pending",
            Self::ProductionEnvironment => "production-environment",
            Self::UnfitPolicy => "unfit-policy",
            Self::NoSource => "no-source",
            Self::TwoSources => "two-sources",
            Self::MalformedUrl => "malformed-url",
            Self::Scheme => "scheme",
            Self::HostForm => "host-form",
            Self::Port => "port",
            Self::Production => "production",
            Self::ProductionSibling => "production-sibling",
            Self::ProductionWord => "production-word",
            Self::NotAPreview => "not-a-preview",
            Self::ShapeOnly => "shape-only",
            Self::UnfitBranch => "unfit-branch",
            Self::UnreviewedPolicy => "unreviewed-policy",
            Self::NotForReview => "not-for-review",
            Self::ControlPlane => "control-plane",
            Self::StaleHead => "stale-head",
            Self::ForeignDeployer => "foreign-deployer",
            Self::AmbiguousDeployment => "ambiguous-deployment",
            Self::TooFewProofs => "too-few-proofs",
            Self::ResolverOverride => "resolver-override",
            Self::Unresolved => "unresolved",
            Self::SpecialAddress => "special-address",
            Self::ProductionAlias => "production-alias",
            Self::Rebound => "rebound",
            Self::ForeignService => "foreign-service",
            Self::Certificate => "certificate",
            Self::MarkerUnavailable => "marker-unavailable",
            Self::MarkerMissing => "marker-missing",
            Self::MarkerMismatch => "marker-mismatch",
            Self::MarkerProduction => "marker-production",
            Self::Guarded => "guarded",
            Self::Forwarder => "forwarder",
            Self::UnknownListener => "unknown-listener",
            Self::ForeignListener => "foreign-listener",
            Self::ProofLost => "proof-lost",
            Self::Redirect => "redirect",
            Self::Misdirected => "misdirected",
            Self::Pushed => "pushed",
            Self::EndpointChanged => "endpoint-changed",
            Self::ForeignTrust => "foreign-trust",
            Self::Proxy => "proxy",
            Self::NoConsent => "no-consent",
        }
    }
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one layer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerDecision {
    /// A fact speaks against the target; nothing overrules it.
    Veto,
    /// A fact speaks for the target.
    Proof,
    /// Nothing speaks against it.
    Silence,
    /// The layer needs the network and was not asked.
    NotAsked,
    /// An earlier layer refused.
    NotReached,
}

/// One layer's line of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerLine {
    /// The layer's number and name, such as `L3 parse`.
    pub layer: &'static str,
    /// What it said.
    pub decision: LayerDecision,
    /// Why it refused; only with a veto.
    pub code: Option<RefusalCode>,
    /// The fact it used, as a sentence without its full stop.
    pub fact: String,
    /// What to do about a veto.
    pub remedy: Option<String>,
}

/// What the guard concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiptDecision {
    /// No layer refused, and every layer was asked.
    Allowed,
    /// No layer refused, but those that need the network were not asked.
    AllowedSoFar,
    /// A layer refused.
    Refused,
}

/// What the guard saw and decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The version of this form.
    pub version: u32,
    /// What was concluded.
    pub decision: ReceiptDecision,
    /// The proposed URL, made harmless: no credentials, no query, no control characters.
    pub candidate: Option<String>,
    /// Where the proposal came from.
    pub source: Option<Source>,
    /// The parsed target, where the URL could be read.
    pub origin: Option<Origin>,
    /// The pinned addresses.
    pub addresses: Vec<SocketAddr>,
    /// Every layer in the order it is asked.
    pub layers: Vec<LayerLine>,
}

impl Receipt {
    pub(super) fn blank() -> Self {
        Self {
            version: RECEIPT_VERSION,
            decision: ReceiptDecision::Refused,
            candidate: None,
            source: None,
            origin: None,
            addresses: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// Returns the facts of the layers that were asked, in order: how the target was derived.
    #[must_use]
    pub fn derivation(&self) -> Vec<String> {
        let was_asked =
            |line: &&LayerLine| !matches!(line.decision, LayerDecision::NotAsked | LayerDecision::NotReached);
        self.layers.iter().filter(was_asked).map(|line| line.fact.clone()).collect()
    }

    /// Returns the line that refused, where one did.
    #[must_use]
    pub fn veto(&self) -> Option<&LayerLine> {
        self.layers.iter().find(|line| line.decision == LayerDecision::Veto)
    }
}

/// The guard's no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{layer} refused the target ({code}): {fact}")]
pub struct Refusal {
    /// The layer that refused, such as `L4 production`.
    pub layer: &'static str,
    /// Why, as a word for machines.
    pub code: RefusalCode,
    /// Why, for people.
    pub fact: String,
    /// What to do about it.
    pub remedy: String,
    /// Everything the guard saw.
    pub receipt: Receipt,
}

impl Refusal {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        self.remedy.clone()
    }
}

/// Makes a URL from outside fit for records: no credentials, no query, no control characters, not long.
pub(super) fn shown(raw: &str) -> String {
    let (head, tail) = match raw.find(['?', '#']) {
        Some(at) => (&raw[..at], "?\u{2026}"),
        None => (raw, ""),
    };
    let without_user = match head.rfind('@') {
        Some(at) => {
            let scheme = head.find("//").map_or(0, |slashes| slashes + 2).min(at);
            format!("{}***{}", &head[..scheme], &head[at..])
        }
        None => head.to_owned(),
    };
    let printable: String = without_user.chars().take(200).flat_map(char::escape_debug).collect();
    printable + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_keeps_neither_credentials_nor_query() {
        assert_eq!(shown("https://pr-1.shop.test/a"), "https://pr-1.shop.test/a");
        assert_eq!(shown("https://me:hunter2@pr-1.shop.test/"), "https://***@pr-1.shop.test/");
        assert_eq!(shown("https://pr-1.shop.test/?token=hunter2"), "https://pr-1.shop.test/?\u{2026}");
        assert!(!shown("hunter2@x").contains("hunter2"));
    }

    #[test]
    fn a_shown_url_stays_on_one_line() {
        let shown = shown("https://a.test/\r\n::error::x\u{1b}[0m");

        assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
    }

    #[test]
    fn a_code_is_the_same_word_everywhere() {
        for code in [RefusalCode::NoPullRequest, RefusalCode::MarkerUnavailable, RefusalCode::NotAPreview] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
