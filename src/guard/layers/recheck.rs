//! L10 says what is asked again while load runs (`guard::recheck` asks it); before that, whether the platform has
//! agreed to the load.

use super::{Statement, consent};
use crate::guard::Case;

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    match consent::ask(case) {
        Ok(fact) => Statement::silence(format!("{fact}; {}", asked_again(case))),
        Err(veto) => veto,
    }
}

fn asked_again(case: &Case<'_>) -> &'static str {
    if case.is_loopback() {
        "while load runs, the listening process is looked for again and again"
    } else {
        "while load runs, DNS, the marker and the control plane are asked again and again"
    }
}
