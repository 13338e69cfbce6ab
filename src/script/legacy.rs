//! What a worker's script leaves behind when its run has ended, and how `done` gets to see it.

use std::collections::BTreeMap;

use mlua::Value;

use super::host::Tally;
use super::plain::{Plain, Plains};
use super::state::State;
use crate::secret::Secret;

/// What one worker's script leaves.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    pub(super) worker: u32,
    /// Its globals when the load began.
    pub(super) before: Plains,
    /// Its globals at the end.
    pub(super) globals: Plains,
    pub(super) output: Vec<u8>,
    pub(super) sinks: BTreeMap<String, Vec<u8>>,
    pub(super) checks: BTreeMap<String, Tally>,
    /// The secrets that answers brought; whatever it said may hold them in some form.
    pub(super) tokens: Vec<Secret>,
}

/// Gives the main state what the workers have: each one's globals for `thread:get`, and what they changed in the
/// globals of the same names.
///
/// In wrk a counter of `response` is nothing in `done`; here it is the workers' sum.
pub(super) fn hand_over(state: &State, legacies: &[Legacy]) -> mlua::Result<()> {
    let mut threads = state.host.threads.borrow_mut();
    for legacy in legacies {
        if let Some(thread) = threads.get_mut(legacy.worker as usize) {
            thread.globals = Some(legacy.globals.clone());
        }
    }
    drop(threads);
    let names: std::collections::BTreeSet<&String> =
        legacies.iter().flat_map(|legacy| legacy.globals.keys()).collect();
    for name in names {
        let held: Value = state.cage.env.raw_get(name.as_str())?;
        let Ok(first) = Plain::take(&held) else { continue };
        let mut merged = first.clone();
        for legacy in legacies {
            let Some(after) = legacy.globals.get(name) else { continue };
            let before = legacy.before.get(name);
            if before != Some(after) {
                merged = Some(match merged {
                    Some(merged) => merged.add_change(before, after),
                    None => after.clone(),
                });
            }
        }
        if let Some(changed) = merged.filter(|merged| Some(merged) != first.as_ref()) {
            state.cage.env.raw_set(name.as_str(), changed.give(&state.cage.lua)?)?;
        }
    }
    Ok(())
}
