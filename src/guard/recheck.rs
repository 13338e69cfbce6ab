//! While load runs, the layers whose facts can change are asked again. What they say then can only end the load: a
//! recheck never clears anything and never moves it to another address.

use super::layers::Rhythm;
use super::receipt::{LayerDecision, LayerLine, RefusalCode};
use super::{Case, ClearedTarget, Depth, Inquiry, LAYERS, Outside};

/// Which layers are asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// Those that ask the target and the system: DNS, the marker, the listening process.
    Target,
    /// Those that ask the forge, which counts questions.
    Forge,
}

/// Why the load must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{layer} took the target back ({code}): {fact}")]
pub struct Revocation {
    /// The layer that did, such as `L8 proof`.
    pub layer: &'static str,
    /// Why, as a word for machines.
    pub code: RefusalCode,
    /// Why, for people.
    pub fact: String,
    /// Whether it only says that nobody answered: once is no reason to end the load.
    pub is_transient: bool,
}

/// Asks again about a target that was cleared. Returns what the layers say now, or why the load must end.
///
/// A layer that spoke for the target when it was cleared and no longer does has taken its word back.
pub fn recheck(
    target: &ClearedTarget,
    inquiry: &Inquiry,
    outside: &Outside<'_>,
    which: Recheck,
) -> Result<Vec<LayerLine>, Revocation> {
    let mut case = Case::open(inquiry, Depth::Online, *outside);
    case.pinned = Some(target.addresses());
    let mut said = Vec::new();
    for layer in &LAYERS {
        let is_asked = match layer.rhythm {
            Rhythm::Once => true,
            Rhythm::Often => which == Recheck::Target,
            Rhythm::Seldom => which == Recheck::Forge,
        };
        if !is_asked {
            // An unsigned marker leans on the control plane's word, which stands until it is asked again.
            case.lines.extend(line_of(target, layer.name).cloned());
            continue;
        }
        let line = (layer.ask)(&mut case).line(layer.name);
        if let Some(revocation) = objection_of(target, &line) {
            return Err(revocation);
        }
        case.lines.push(line.clone());
        if layer.rhythm != Rhythm::Once {
            said.push(line);
        }
    }
    Ok(said)
}

fn objection_of(target: &ClearedTarget, line: &LayerLine) -> Option<Revocation> {
    let revoked = |code: RefusalCode, fact: String| Revocation {
        layer: line.layer,
        code,
        fact,
        is_transient: code.is_transient(),
    };
    if line.decision == LayerDecision::Veto {
        return Some(revoked(line.code.unwrap_or(RefusalCode::Unresolved), line.fact.clone()));
    }
    let was_proof = line_of(target, line.layer).is_some_and(|before| before.decision == LayerDecision::Proof);
    (was_proof && line.decision != LayerDecision::Proof)
        .then(|| revoked(RefusalCode::ProofLost, format!("what proved the target is gone: {}", line.fact)))
}

fn line_of<'t>(target: &'t ClearedTarget, layer: &str) -> Option<&'t LayerLine> {
    target.evidence().layers.iter().find(|line| line.layer == layer)
}
