//! `cargo loadgate` fails a pull request that makes an HTTP service slower, and can't be pointed at production.
//!
//! The house has five floors; a room imports only from floors below it (`tests/architecture.rs` keeps it so):
//!
//! ```text
//! cli        the only room that prints, reads argv or knows every other
//! report     says what happened: terminal, markdown, html, json_v1
//! joiners    config · service · load · compare · publish · evidence
//! rooms      ci · guard · stats · baseline · github · redact · preview · script · sockets · vault     (each imports words only)
//! words      clock · context · target · request · scenario · measurement · verdict · secret
//! ```
//!
//! A run reads in `cli::run` as one list: parse → configure → clear → prepare → drive → recall → compare → judge →
//! report → publish. `docs/ARCHITECTURE.md` says where to begin.

pub mod clock;
pub mod context;
pub mod measurement;
pub mod request;
pub mod scenario;
pub mod secret;
pub mod target;
pub mod verdict;

pub mod baseline;
pub mod ci;
pub mod github;
pub mod guard;
pub mod preview;
pub mod redact;
pub mod script;
pub(crate) mod sockets;
pub mod stats;
pub mod vault;

pub mod compare;
pub mod config;
pub mod evidence;
pub mod load;
pub mod publish;
pub mod service;

pub mod report;

pub mod cli;
