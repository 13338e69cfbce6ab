//! The raw side of Lua: the one room with unsafe code, behind an interface that is safe.
//!
//! Everything here can be had through `mlua` as well, at a price for every request: the interrupt would be armed always,
//! and each value that `wrk.format`, `request` and `response` pass would have a handle of its own.

mod alarm;
mod functions;

pub(super) use self::alarm::{Alarm, Leash};
pub(super) use self::functions::{Entrance, Shown, format_function, request_entrance, response_entrance};
