//! L10 says what is asked again while load runs; `guard::recheck` asks it.

use super::Statement;
use crate::guard::Case;

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() {
        return Statement::silence("while load runs, the listening process is looked for again and again");
    }
    Statement::silence("while load runs, DNS, the marker and the control plane are asked again and again")
}
