//! Room `guard`: decides whether a candidate may be loaded, and is the only maker of a [`ClearedTarget`].
//!
//! Layers are asked in the order of `LAYERS`, one file each. Any of them can stop a target, none can overrule
//! another, and what is unknown counts as a no. There is no way to switch a layer off: what may be loaded changes
//! only through the reviewed policy.

mod addresses;
mod branch;
mod cleared;
mod layers;
mod names;
mod pattern;
mod policy;
mod problem;
mod production_words;
mod receipt;
mod resolve;
mod surroundings;

use std::net::SocketAddr;

pub use cleared::ClearedTarget;
pub use pattern::PreviewPattern;
pub use policy::{Policy, ProductionHost};
pub use problem::PolicyProblem;
pub use receipt::{LayerDecision, LayerLine, Receipt, ReceiptDecision, Refusal, RefusalCode};
pub use resolve::{Resolve, SystemResolver};
pub use surroundings::Surroundings;

#[cfg(test)]
pub(crate) use resolve::FixedResolver;

use cleared::Clearance;
use layers::{Layer, Statement};

use crate::context::Context;
use crate::target::{Candidate, Origin, ProductionFact, Source};

/// Every layer in the order it is asked. Numbers that are missing belong to layers that are not built yet.
const LAYERS: [Layer; 7] = [
    Layer { name: "L1 context", ask: layers::context::ask },
    Layer { name: "L2 provenance", ask: layers::provenance::ask },
    Layer { name: "L3 parse", ask: layers::parse::ask },
    Layer { name: "L4 production", ask: layers::production::ask },
    Layer { name: "L5 preview", ask: layers::preview::ask },
    Layer { name: "L7 address", ask: layers::address::ask },
    Layer { name: "L9 wire", ask: layers::wire::ask },
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
    resolver: &'a dyn Resolve,
    /// Chosen by L2.
    candidate: Option<&'a Candidate>,
    /// Parsed by L3.
    origin: Option<Origin>,
    /// Found by L5.
    zone: Option<String>,
    /// Pinned by L7.
    addresses: Vec<SocketAddr>,
}

/// Asks the layers and returns what they said; never connects to the target.
///
/// Stops at the first veto; the receipt lists the layers that were not reached.
#[must_use]
pub fn examine(inquiry: &Inquiry, depth: Depth, resolver: &dyn Resolve) -> Receipt {
    let mut case = Case::open(inquiry, depth, resolver);
    let lines = case.ask_all();
    case.receipt(lines)
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
pub fn clear(inquiry: &Inquiry, resolver: &dyn Resolve) -> Result<ClearedTarget, Box<Refusal>> {
    let mut case = Case::open(inquiry, Depth::Online, resolver);
    let lines = case.ask_all();
    let receipt = case.receipt(lines);
    let known = (case.candidate, case.origin, case.zone);
    match (receipt.decision, known) {
        (ReceiptDecision::Allowed, (Some(candidate), Some(origin), Some(zone)))
            if !case.addresses.is_empty() =>
        {
            Ok(ClearedTarget::new(Clearance {
                origin,
                addresses: case.addresses,
                source: candidate.source.clone(),
                zone,
                trusted_roots: inquiry.policy.trusted_roots.clone(),
                identity: inquiry.policy.identity.clone(),
                evidence: receipt,
            }))
        }
        _ => Err(Box::new(refusal(receipt))),
    }
}

fn refusal(receipt: Receipt) -> Refusal {
    // Without a veto the layers left a fact unset: refused all the same, as the last layer that could have set it.
    let veto = receipt.veto().cloned();
    let layer = veto.as_ref().map_or("L9 wire", |line| line.layer);
    let code = veto.as_ref().and_then(|line| line.code).unwrap_or(RefusalCode::Unresolved);
    let fact = veto.as_ref().map_or_else(|| layers::INCOMPLETE.into(), |line| line.fact.clone());
    let remedy = veto.and_then(|line| line.remedy).unwrap_or_else(|| layers::REPORT_IT.into());
    Refusal { layer, code, fact, remedy, receipt }
}

impl<'a> Case<'a> {
    fn open(inquiry: &'a Inquiry, depth: Depth, resolver: &'a dyn Resolve) -> Self {
        Self { inquiry, depth, resolver, candidate: None, origin: None, zone: None, addresses: Vec::new() }
    }

    fn ask_all(&mut self) -> Vec<LayerLine> {
        let mut lines = Vec::with_capacity(LAYERS.len());
        let mut is_refused = false;
        for layer in &LAYERS {
            let line = if is_refused {
                Statement::not_reached().line(layer.name)
            } else {
                (layer.ask)(self).line(layer.name)
            };
            is_refused |= line.decision == LayerDecision::Veto;
            lines.push(line);
        }
        lines
    }

    fn receipt(&self, layers: Vec<LayerLine>) -> Receipt {
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

    /// Returns whether the target is on this machine, by the way every candidate was named.
    fn is_loopback(&self) -> bool {
        let candidates = &self.inquiry.candidates;
        !candidates.is_empty() && candidates.iter().all(|candidate| candidate.source.is_loopback())
    }
}

#[cfg(test)]
mod tests;
