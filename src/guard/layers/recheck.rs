//! L10 says what is asked again while load runs; before that, whether the platform has agreed to the load.

use super::{Statement, consent};
use crate::guard::Case;

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    match consent::ask(case) {
        Ok(fact) => Statement::silence(format!("{fact}; nothing is asked again")),
        Err(veto) => veto,
    }
}
