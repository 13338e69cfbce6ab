//! L8 asks the target itself: a remote one for its marker, one on this machine for the process that listens.

use super::{Statement, listener, marker};
use crate::guard::Case;

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() { listener::ask(case) } else { marker::ask(case) }
}
