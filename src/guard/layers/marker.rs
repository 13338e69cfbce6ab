//! L8 for a remote target: asks it for the marker that only a preview serves.

use super::Statement;
use crate::guard::{Case, Depth};

pub(super) fn ask(case: &mut Case<'_>) -> Statement {
    match case.depth {
        Depth::Offline => Statement::not_asked("not asked (offline)"),
        Depth::Online => Statement::silence("the target was not asked for a marker"),
    }
}
