//! L8 for a target on this machine: asks which process listens, because a loopback port may be a tunnel to production.
//!
//! A server that forwards by its own configuration (nginx as a proxy, say) looks like any server; that is not seen.

use super::Statement;
use crate::guard::Case;
use crate::guard::forwarders;
use crate::guard::names::cut;
use crate::guard::outside::{Listener, ListeningProcess};
use crate::guard::receipt::RefusalCode;
use crate::target::Source;

const START_IT_DIRECTLY: &str =
    "stop the forwarder and start the service itself on this port, or let `run` start it: see [service]";

pub(super) fn ask(case: &mut Case<'_>) -> Statement {
    let (Some(candidate), Some(&address)) = (case.candidate, case.addresses.first()) else {
        return Statement::incomplete();
    };
    let Some(listeners) = case.outside.listeners.find(address) else {
        return Statement::silence(
            "this system does not tell which process listens, so a tunnel is not seen",
        );
    };
    if listeners.is_empty() {
        return unknown(
            format!("no process of this network listens at {address}, so what answers there is elsewhere"),
            "start the service itself on this port, or let `run` start it: see [service]",
        );
    }
    let mut seen = Vec::new();
    for listener in &listeners {
        let Some(process) = &listener.process else { return hidden(address, listener) };
        if let Some(forwarder) = process.names.iter().find_map(|name| forwarders::find(name)) {
            return Statement::veto(
                RefusalCode::Forwarder,
                format!("{} listens at {address}, and {}", told(process), forwarder.what_it_does),
                START_IT_DIRECTLY,
            );
        }
        seen.push(process);
    }
    match &candidate.source {
        Source::Service => match seen.iter().find(|process| !process.is_ours) {
            None => {
                Statement::proof(format!("{address} is held by what this run started: {}", told_all(&seen)))
            }
            Some(stranger) => Statement::veto(
                RefusalCode::ForeignListener,
                format!("{} listens at {address}, and this run did not start it", told(stranger)),
                "let the service listen by itself on the port that PORT names",
            ),
        },
        _ => Statement::proof(format!("{address} is held by {}, no known forwarder", told_all(&seen))),
    }
}

fn hidden(address: std::net::SocketAddr, listener: &Listener) -> Statement {
    unknown(
        format!("the process that listens at {address} cannot be seen: it belongs to user {}", listener.user),
        "run as the user whose service it is and where its processes are seen (containers: in the same process \
         namespace), or let `run` start it: see [service]",
    )
}

fn unknown(fact: String, remedy: &str) -> Statement {
    Statement::veto(RefusalCode::UnknownListener, fact, remedy)
}

fn told_all(processes: &[&ListeningProcess]) -> String {
    let mut told: Vec<String> = processes.iter().map(|process| told(process)).collect();
    // A server with many workers shares one socket among them.
    let more = told.len().saturating_sub(2);
    told.truncate(2);
    let list = told.join(", ");
    if more == 0 { list } else { format!("{list} and {more} more") }
}

fn told(process: &ListeningProcess) -> String {
    let name = process.names.first().map_or("a process without a name", String::as_str);
    // The name is somebody else's choice: it must stay on its line.
    let printable: String = cut(name).chars().flat_map(char::escape_debug).collect();
    format!("{printable} (process {})", process.pid)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::proof;
    use super::*;
    use crate::guard::layers::fixture::{self, online_in, veto_of};
    use crate::guard::receipt::LayerDecision;
    use crate::guard::{FindListener, FixedResolver, Inquiry, Outside};
    use crate::target::Candidate;

    struct Listening(Option<Vec<Listener>>);

    impl FindListener for Listening {
        fn find(&self, address: SocketAddr) -> Option<Vec<Listener>> {
            assert_eq!(address, "127.0.0.1:8080".parse().unwrap());
            self.0.clone()
        }
    }

    fn process(name: &str, is_ours: bool) -> Listener {
        Listener { user: 1000, process: Some(ListeningProcess { pid: 7, names: vec![name.into()], is_ours }) }
    }

    fn local() -> Inquiry {
        let candidates = vec![Candidate::on_loopback(Source::Local, "127.0.0.1:8080".parse().unwrap())];
        Inquiry { candidates, ..fixture::loopback() }
    }

    fn said_of(inquiry: &Inquiry, listeners: Option<Vec<Listener>>) -> Statement {
        let (resolver, listening) = (FixedResolver::answering(&[]), Listening(listeners));
        online_in(proof::ask, inquiry, Outside { listeners: &listening, ..fixture::outside(&resolver) })
    }

    #[test]
    fn a_service_that_already_listens_may_be_loaded() {
        let said = said_of(&local(), Some(vec![process("shop", false), process("shop", false)])).line("");

        assert_eq!(said.decision, LayerDecision::Proof);
        assert!(said.fact.contains("shop (process 7)"), "{}", said.fact);
    }

    #[test]
    fn a_forwarder_is_refused_and_named() {
        for name in ["ssh", "kubectl", "cloudflared", "ngrok", "socat", "haproxy", "envoy", "docker-proxy"] {
            let said = said_of(&local(), Some(vec![process("shop", false), process(name, false)]));

            assert!(said.clone().line("").fact.contains(name), "{said:?}");
            assert_eq!(veto_of(said), Some(RefusalCode::Forwarder), "{name}");
        }
    }

    #[test]
    fn a_service_that_starts_a_forwarder_is_refused_too() {
        let said = said_of(&fixture::loopback(), Some(vec![process("ssh", true)]));

        assert_eq!(veto_of(said), Some(RefusalCode::Forwarder));
    }

    #[test]
    fn a_started_service_must_hold_its_port_itself() {
        let own = said_of(&fixture::loopback(), Some(vec![process("shop", true)]));
        let foreign =
            said_of(&fixture::loopback(), Some(vec![process("shop", true), process("other", false)]));

        assert_eq!(own.line("").decision, LayerDecision::Proof);
        assert_eq!(veto_of(foreign), Some(RefusalCode::ForeignListener));
    }

    #[test]
    fn who_cannot_be_seen_is_refused() {
        let hidden = vec![Listener { user: 0, process: None }];

        for listeners in [hidden, vec![]] {
            assert_eq!(veto_of(said_of(&local(), Some(listeners))), Some(RefusalCode::UnknownListener));
        }
    }

    #[test]
    fn a_system_that_does_not_tell_is_silence() {
        assert_eq!(said_of(&local(), None).line("").decision, LayerDecision::Silence);
    }

    #[test]
    fn a_name_from_outside_stays_on_its_line() {
        let said = said_of(&local(), Some(vec![process("shop\n::error::x", false)])).line("");

        assert!(!said.fact.contains('\n'), "{}", said.fact);
    }
}
