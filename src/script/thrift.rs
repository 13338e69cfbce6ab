//! Thrift has garbage collected before a script's heap meets its limit, where Lua fails without a look at what is
//! garbage.

use std::cell::Cell;

use mlua::Lua;
use mlua::state::{GcIncParams, GcMode};

use super::limits::Stage;

/// How large Lua lets the heap become until garbage is gone, in percent of what is kept: its own default.
const AMPLE_GOAL: usize = 200;

/// The same for what comes once for a worker, in which a script may keep much of what it makes.
const STAGE_GOAL: usize = 125;

/// The same where memory is as good as full.
const LEAST_GOAL: usize = 105;

/// What the heap may become with garbage, in percent of its limit.
const FULL_PERCENT: usize = 85;

/// How much is looked at for what is made while garbage is collected, in percent of it: Lua's own default.
const AMPLE_STEPS: i32 = 200;

/// The same where the goal is a smaller one.
const THRIFTY_STEPS: i32 = 1600;

/// The collector's setting in one state.
#[derive(Debug)]
pub(super) struct Thrift {
    /// The limit of the heap.
    limit_bytes: usize,
    /// How large the heap may become until garbage is gone, in percent of what is kept.
    goal: Cell<usize>,
}

impl Thrift {
    /// Describes a state that collects as Lua does by itself.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, goal: Cell::new(AMPLE_GOAL) }
    }

    /// Sets the collector for what comes next.
    ///
    /// The goal counts at the end of a collection, when the heap is little more than what is kept.
    pub(super) fn prepare(&self, lua: &Lua, stage: Stage) {
        let goal = if stage.is_of_requests() {
            let full = self.limit_bytes.saturating_mul(FULL_PERCENT);
            let used = lua.used_memory();
            if used.saturating_mul(AMPLE_GOAL) <= full { AMPLE_GOAL } else { (full / used).max(LEAST_GOAL) }
        } else {
            STAGE_GOAL
        };
        if self.goal.replace(goal) != goal {
            let steps = if goal == AMPLE_GOAL { AMPLE_STEPS } else { THRIFTY_STEPS };
            let parameters = GcIncParams::default().goal(goal as i32).step_multiplier(steps);
            lua.gc_set_mode(GcMode::Incremental(parameters));
        }
    }
}
