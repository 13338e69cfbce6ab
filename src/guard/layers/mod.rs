//! A layer is one question about a target, answered with the fact it used: a veto, a proof or silence.
//!
//! One file each. A layer may only add to what the case knows; it never changes what another layer found.

pub(super) mod address;
pub(super) mod agreement;
mod consent;
pub(super) mod context;
pub(super) mod control_plane;
mod listener;
mod marker;
pub(super) mod parse;
mod platform_standing;
pub(super) mod preview;
pub(super) mod production;
pub(super) mod proof;
pub(super) mod provenance;
pub(super) mod recheck;
pub(super) mod wire;

#[cfg(test)]
pub(super) mod fixture;

use super::Case;
use super::receipt::{LayerDecision, LayerLine, RefusalCode};

/// Said when a layer misses what an earlier one should have found.
pub(super) const INCOMPLETE: &str = "the guard did not learn all it needs";

/// The remedy for a fault of the guard itself.
pub(super) const REPORT_IT: &str = "this is a fault of cargo-loadgate: please report it with the receipt";

/// A layer's place in the order.
pub(super) struct Layer {
    pub(super) name: &'static str,
    pub(super) ask: fn(&mut Case<'_>) -> Statement,
    pub(super) rhythm: Rhythm,
}

/// When a layer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rhythm {
    /// Before load: its facts cannot change.
    Once,
    /// Before load, and often while it runs.
    Often,
    /// Before load, and now and then while it runs: whom it asks counts questions.
    Seldom,
}

/// What a layer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    decision: LayerDecision,
    code: Option<RefusalCode>,
    fact: String,
    remedy: Option<String>,
}

impl Statement {
    pub(super) fn veto(code: RefusalCode, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            decision: LayerDecision::Veto,
            code: Some(code),
            fact: fact.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub(super) fn proof(fact: impl Into<String>) -> Self {
        Self { decision: LayerDecision::Proof, code: None, fact: fact.into(), remedy: None }
    }

    pub(super) fn silence(fact: impl Into<String>) -> Self {
        Self { decision: LayerDecision::Silence, code: None, fact: fact.into(), remedy: None }
    }

    pub(super) fn not_asked(fact: impl Into<String>) -> Self {
        Self { decision: LayerDecision::NotAsked, code: None, fact: fact.into(), remedy: None }
    }

    pub(super) fn not_reached() -> Self {
        let fact = "not reached: an earlier layer refused".into();
        Self { decision: LayerDecision::NotReached, code: None, fact, remedy: None }
    }

    /// Adds a fact that does not change the decision.
    fn also(self, fact: &str) -> Self {
        Self { fact: format!("{}; {fact}", self.fact), ..self }
    }

    /// Refuses because an earlier layer left a fact unset.
    fn incomplete() -> Self {
        Self::veto(RefusalCode::MalformedUrl, INCOMPLETE, REPORT_IT)
    }

    fn is_veto(&self) -> bool {
        self.decision == LayerDecision::Veto
    }

    pub(super) fn line(self, layer: &'static str) -> LayerLine {
        LayerLine { layer, decision: self.decision, code: self.code, fact: self.fact, remedy: self.remedy }
    }
}
