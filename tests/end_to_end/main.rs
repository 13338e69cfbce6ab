//! End-to-end tests: the built binary against real services, real nginx, real network namespaces.
//!
//! One module a subject. Load goes to loopback or to a namespace that the test made itself, and is bounded.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, wait, connect, look at its surroundings and say what it skips"
)]

mod bad_input;
mod baseline;
mod command;
mod demo;
mod doctor;
mod documents;
#[cfg(target_os = "linux")]
mod forge;
#[cfg(target_os = "linux")]
#[path = "../../src/github/double.rs"]
#[expect(dead_code, reason = "the unit tests of the room need more of it")]
mod github_double;
#[cfg(target_os = "linux")]
mod local_listener;
#[cfg(target_os = "linux")]
mod name_server;
#[cfg(target_os = "linux")]
mod namespace;
mod nginx;
mod parts;
#[cfg(target_os = "linux")]
mod policy_of_base;
#[cfg(target_os = "linux")]
mod preview_comment;
#[cfg(target_os = "linux")]
mod preview_namespace;
#[cfg(target_os = "linux")]
mod preview_proof;
#[cfg(target_os = "linux")]
mod preview_revoked;
mod scripts;
mod service;
mod target;
