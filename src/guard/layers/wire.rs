//! L9 states what binds the connection: pinned addresses only, no redirects, no proxies, and the trust roots of the
//! system and the policy alone. What is sent is bound by the types of `request` and `load`.

use super::Statement;
use crate::guard::Case;
use crate::guard::receipt::RefusalCode;

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    let surroundings = &case.inquiry.surroundings;
    if let Some(variable) = surroundings.trust.first().filter(|_| !case.is_loopback()) {
        return Statement::veto(
            RefusalCode::ForeignTrust,
            format!("{variable} is set, so the environment can vouch for any server"),
            format!("unset {variable} in the job; extra roots belong into [target] roots"),
        );
    }
    if let Some(variable) = surroundings.proxies.first().filter(|_| !case.is_loopback()) {
        return Statement::veto(
            RefusalCode::Proxy,
            format!("{variable} is set, so the way out is a proxy, and load dials its target itself"),
            format!("unset {variable} for this step of the job; a preview must be reachable without a proxy"),
        );
    }
    let proxies = match surroundings.proxies.as_slice() {
        [] => "no proxy is used".to_owned(),
        names => format!("no proxy is used although {} is set", names.join(", ")),
    };
    let roots = match case.inquiry.policy.trusted_roots.len() {
        0 => String::new(),
        count => format!("; {count} extra root certificates from the policy"),
    };
    Statement::silence(format!(
        "only pinned addresses are dialled, no redirect is followed, {proxies}{roots}"
    ))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};
    use crate::guard::{Inquiry, Surroundings};

    fn with_variable(variable: &str, inquiry: Inquiry) -> Inquiry {
        Inquiry {
            surroundings: Surroundings::observe(|name| (name == variable).then_some(OsStr::new("/tmp/x"))),
            ..inquiry
        }
    }

    #[test]
    fn foreign_trust_roots_are_refused_for_remote_targets() {
        for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            let remote = with_variable(variable, fixture::preview());
            assert_vetoes(ask, &remote, RefusalCode::ForeignTrust);
            assert_passes(ask, &with_variable(variable, fixture::loopback()));
        }
    }

    #[test]
    fn a_proxy_is_a_no_for_a_remote_target() {
        for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            assert_vetoes(ask, &with_variable(variable, fixture::preview()), RefusalCode::Proxy);
        }
    }

    #[test]
    fn proxies_are_named_because_they_are_ignored() {
        let inquiry = with_variable("https_proxy", fixture::loopback());

        let fact = fixture::offline(ask, &inquiry).line("L9").fact;

        assert!(fact.contains("although https_proxy is set"), "{fact}");
    }
}
