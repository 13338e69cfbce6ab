//! Room `guard`: decides whether a candidate may be loaded, and is the only maker of a [`ClearedTarget`].
//!
//! Layers are asked in the order of `LAYERS`, one file each. Any of them can stop a target, none can overrule
//! another, and what is unknown counts as a no. There is no way to switch a layer off: what may be loaded changes
//! only through the reviewed policy.

mod addresses;
mod answer_rules;
mod branch;
mod cleared;
mod consent;
mod control_plane;
mod endpoint;
mod first_come;
mod forwarders;
mod layers;
mod location;
mod marker;
mod names;
mod outside;
mod pattern;
mod platform;
mod policy;
mod problem;
mod production_marker;
mod production_words;
mod receipt;
mod recheck;
mod resolve;
mod surroundings;

use std::net::SocketAddr;
use std::sync::Arc;

pub use answer_rules::AnswerRules;
pub use cleared::ClearedTarget;
pub use control_plane::{
    ControlPlane, ControlPlaneError, ControlPlaneFacts, DeployedFacts, DeploymentQuestion, PlatformQuestion,
    PlatformStanding,
};
pub use marker::{MARKER_HEADER, MARKER_KEY_VARIABLE, MARKER_PATH, MAX_MARKER_BYTES};
pub use outside::{
    AskMarker, FindListener, Listener, ListeningProcess, MarkerAnswer, MarkerFailure, MarkerQuestion, Outside,
};
pub use pattern::PreviewPattern;
pub use platform::{Platform, PlatformKeys, Provider};
pub use policy::{MarkerPolicy, Policy, ProductionHost, Review};
pub use problem::PolicyProblem;
pub use production_marker::{ProductionMarker, production_marker};
pub use receipt::{LayerDecision, LayerLine, Receipt, ReceiptDecision, Refusal, RefusalCode};
pub use recheck::{Recheck, Rechecked, Revocation, recheck};
pub use resolve::{Resolution, Resolve, ResolveError, ServiceBinding};
pub use surroundings::Surroundings;

#[cfg(test)]
pub(crate) use resolve::FixedResolver;

use answer_rules::ExpectedMarker;
use cleared::Clearance;
use endpoint::Endpoint;
use layers::{Layer, Rhythm, Statement};

use crate::context::Context;
use crate::target::{Candidate, Origin, ProductionFact, Source};

/// Every layer in the order it is asked.
const LAYERS: [Layer; 11] = [
    Layer { name: "L1 context", ask: layers::context::ask, rhythm: Rhythm::Once },
    Layer { name: "L2 provenance", ask: layers::provenance::ask, rhythm: Rhythm::Once },
    Layer { name: "L3 parse", ask: layers::parse::ask, rhythm: Rhythm::Once },
    Layer { name: "L4 production", ask: layers::production::ask, rhythm: Rhythm::Once },
    Layer { name: "L5 preview", ask: layers::preview::ask, rhythm: Rhythm::Once },
    Layer { name: "L6 control plane", ask: layers::control_plane::ask, rhythm: Rhythm::Seldom },
    Layer { name: "L7 address", ask: layers::address::ask, rhythm: Rhythm::Often },
    Layer { name: "L8 proof", ask: layers::proof::ask, rhythm: Rhythm::Often },
    Layer { name: "L9 wire", ask: layers::wire::ask, rhythm: Rhythm::Once },
    Layer { name: "L10 recheck", ask: layers::recheck::ask, rhythm: Rhythm::Once },
    Layer { name: layers::agreement::NAME, ask: layers::agreement::ask, rhythm: Rhythm::Once },
];

/// Everything the guard is told.
#[derive(Debug, Clone)]
pub struct Inquiry {
    /// For whom the run happens.
    pub context: Context,
    /// What is proposed as the target, each with its source.
    pub candidates: Vec<Candidate>,
    /// What the environment calls production.
    pub production_facts: Vec<ProductionFact>,
    /// What the reviewed configuration says.
    pub policy: Policy,
    /// What the environment would do to resolving and connecting.
    pub surroundings: Surroundings,
}

impl Inquiry {
    /// Returns whether the policy or the environment calls a host production.
    fn calls_production(&self, host: &str) -> bool {
        self.policy.production.iter().any(|listed| listed.as_str() == host)
            || self.production_facts.iter().any(|fact| fact.host == host)
    }

    /// Returns what a preview of this pull request says in the header of its answers.
    fn marker_in_header(&self) -> Option<String> {
        let Context::PullRequest(pull_request) = &self.context else { return None };
        let is_remote = !self.candidates.iter().any(|candidate| candidate.source.is_loopback());
        is_remote.then(|| format!("preview; commit={}", pull_request.head_sha))
    }

    /// Returns what answers must not say while load runs.
    fn answer_rules(&self, origin: &Origin, candidate: &Candidate) -> AnswerRules {
        let listed = self.policy.production.iter().map(|host| host.as_str().to_owned());
        let known = self.production_facts.iter().map(|fact| fact.host.clone());
        AnswerRules::new(origin, !candidate.source.is_loopback(), listed.chain(known).collect())
    }
}

/// How far the guard asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only layers that need no network.
    Offline,
    /// Every layer.
    Online,
}

/// What the layers know of a target while they look at it; each fact is set by one layer and read by later ones.
struct Case<'a> {
    inquiry: &'a Inquiry,
    depth: Depth,
    outside: Outside<'a>,
    /// Chosen by L2.
    candidate: Option<&'a Candidate>,
    /// Parsed by L3.
    origin: Option<Origin>,
    /// Found by L5.
    zone: Option<String>,
    /// Found by L5.
    pattern: Option<&'a PreviewPattern>,
    /// Pinned by L7.
    addresses: Vec<SocketAddr>,
    /// Names that the host leads to, found by L7.
    aliases: Vec<String>,
    /// Pinned by an earlier asking, of which this is a repetition.
    pinned: Option<&'a [SocketAddr]>,
    /// Whether answers have the marker in their header: the policy says so, or L8 has seen it.
    is_header_promised: bool,
    /// Whether L8 has seen a marker that is signed.
    is_marker_signed: bool,
    /// The server that L8 met.
    endpoint: Option<Endpoint>,
    /// The rules of the target that was cleared, of which this is a repetition.
    rules: Option<&'a AnswerRules>,
    /// What the layers have said so far.
    lines: Vec<LayerLine>,
    /// What changed since an earlier asking and is no reason to stop.
    news: Vec<String>,
}

/// Returns whether the name of an environment means production.
#[must_use]
pub fn names_production(environment: &str) -> bool {
    layers::context::object_to_environment(environment).is_some()
}

/// Asks the layers and returns what they said; sends no load.
///
/// Stops at the first veto; the receipt lists the layers that were not reached.
#[must_use]
pub fn examine(inquiry: &Inquiry, depth: Depth, outside: &Outside<'_>) -> Receipt {
    let mut case = Case::open(inquiry, depth, *outside);
    case.ask_all();
    case.receipt()
}

/// Returns what is known of a service that `run` will build and start: it is on this machine, and there is nothing
/// to ask the layers about yet.
#[must_use]
pub fn foresee_service() -> Receipt {
    let fact = "not asked: `run` asks once it has started the service on this machine";
    Receipt {
        decision: ReceiptDecision::AllowedSoFar,
        source: Some(Source::Service),
        layers: LAYERS.iter().map(|layer| Statement::not_asked(fact).line(layer.name)).collect(),
        ..Receipt::blank()
    }
}

/// Clears a target for load, or says why not.
///
/// Resolves the host once; the cleared target carries the addresses that were found.
pub fn clear(inquiry: &Inquiry, outside: &Outside<'_>) -> Result<ClearedTarget, Box<Refusal>> {
    let mut case = Case::open(inquiry, Depth::Online, *outside);
    case.ask_all();
    let receipt = case.receipt();
    let known = (case.candidate, case.origin, case.zone);
    match (receipt.decision, known) {
        (ReceiptDecision::Allowed, (Some(candidate), Some(origin), Some(zone)))
            if !case.addresses.is_empty() =>
        {
            let marker = inquiry
                .marker_in_header()
                .map(|value| ExpectedMarker { value, is_promised: case.is_header_promised });
            let rules = inquiry
                .answer_rules(&origin, candidate)
                .with_marker(marker)
                .with_endpoint(case.endpoint)
                .with_signed_marker(case.is_marker_signed);
            Ok(ClearedTarget::new(Clearance {
                origin,
                addresses: case.addresses,
                source: candidate.source.clone(),
                zone,
                trusted_roots: inquiry.policy.trusted_roots.clone(),
                identity: inquiry.policy.identity.clone(),
                rules: Arc::new(rules),
                evidence: receipt,
            }))
        }
        _ => Err(Box::new(refusal(receipt))),
    }
}

fn refusal(receipt: Receipt) -> Refusal {
    // Without a veto the layers left a fact unset: refused all the same, as the last layer that could have set it.
    let veto = receipt.veto().cloned();
    let layer = veto.as_ref().map_or(layers::agreement::NAME, |line| line.layer);
    let code = veto.as_ref().and_then(|line| line.code).unwrap_or(RefusalCode::Unresolved);
    let fact = veto.as_ref().map_or_else(|| layers::INCOMPLETE.into(), |line| line.fact.clone());
    let remedy = veto.and_then(|line| line.remedy).unwrap_or_else(|| layers::REPORT_IT.into());
    Refusal { layer, code, fact, remedy, receipt }
}

impl<'a> Case<'a> {
    fn open(inquiry: &'a Inquiry, depth: Depth, outside: Outside<'a>) -> Self {
        Self {
            inquiry,
            depth,
            outside,
            candidate: None,
            origin: None,
            zone: None,
            pattern: None,
            addresses: Vec::new(),
            aliases: Vec::new(),
            pinned: None,
            is_header_promised: inquiry.policy.marker.is_on_every_answer,
            is_marker_signed: false,
            endpoint: None,
            rules: None,
            lines: Vec::new(),
            news: Vec::new(),
        }
    }

    fn ask_all(&mut self) {
        let mut is_refused = false;
        for layer in &LAYERS {
            let said = if is_refused { Statement::not_reached() } else { (layer.ask)(self) };
            let line = said.line(layer.name);
            is_refused |= line.decision == LayerDecision::Veto;
            self.lines.push(line);
        }
    }

    fn receipt(&self) -> Receipt {
        let layers = self.lines.clone();
        let said = |decision| layers.iter().any(|line| line.decision == decision);
        let decision = if said(LayerDecision::Veto) {
            ReceiptDecision::Refused
        } else if said(LayerDecision::NotAsked) {
            ReceiptDecision::AllowedSoFar
        } else {
            ReceiptDecision::Allowed
        };
        let proposed = self.candidate.or(self.inquiry.candidates.first());
        Receipt {
            decision,
            candidate: proposed.map(|candidate| receipt::shown(&candidate.raw)),
            source: proposed.map(|candidate| candidate.source.clone()),
            origin: self.origin.clone(),
            addresses: self.addresses.clone(),
            layers,
            ..Receipt::blank()
        }
    }

    /// Returns whether a layer has spoken for the target.
    fn has_proof_of(&self, layer: &str) -> bool {
        self.lines.iter().any(|line| line.layer == layer && line.decision == LayerDecision::Proof)
    }

    /// Returns the pattern that L5 found, where production can have the same shape: then only L6 can tell.
    fn shared_shape(&self) -> Option<&'a PreviewPattern> {
        self.pattern.filter(|pattern| pattern.is_shared())
    }

    /// Returns whether the target is on this machine, by the way every candidate was named.
    fn is_loopback(&self) -> bool {
        let candidates = &self.inquiry.candidates;
        !candidates.is_empty() && candidates.iter().all(|candidate| candidate.source.is_loopback())
    }
}

#[cfg(test)]
mod tests;
