//! The two ways in which others get the program: the container image and the GitHub action.
//!
//! A test program of their own: building takes all processors, and cargo runs test programs one after the other, so
//! that the tests which measure are left in peace.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, look at its surroundings and say what it skips"
)]

mod action;
#[path = "../end_to_end/command.rs"]
#[expect(dead_code, reason = "the end-to-end tests need more of it")]
mod command;
mod image;
#[path = "../end_to_end/parts.rs"]
mod parts;

/// Returns whether a test that takes minutes may run: in CI always, elsewhere where the variable asks for it.
fn has_time_for(variable: &str, what: &str) -> bool {
    let is_asked_for = std::env::var(variable).is_ok_and(|value| value == "1");
    if !is_asked_for && !parts::is_ci() {
        parts::tell(&format!("{what} takes minutes; ask for it with {variable}=1"));
    }
    is_asked_for || parts::is_ci()
}
