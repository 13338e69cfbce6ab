//! L7 finds the addresses of the host, once, and pins them. One address with a special purpose spoils the whole set,
//! unless the policy lists its network; not knowing is a no.

use std::net::{IpAddr, SocketAddr};

use super::Statement;
use crate::guard::receipt::RefusalCode;
use crate::guard::{Case, Depth, addresses};
use crate::target::Origin;

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    let Some(origin) = case.origin.clone() else { return Statement::incomplete() };
    if case.is_loopback() {
        return pin_loopback(case, &origin);
    }
    if let Some(variable) = case.inquiry.surroundings.resolver.first() {
        return Statement::veto(
            RefusalCode::ResolverOverride,
            format!("{variable} is set, so the environment can give names other addresses"),
            format!("unset {variable} in the job"),
        );
    }
    match case.depth {
        Depth::Offline => Statement::not_asked("not asked (offline)"),
        Depth::Online => pin_remote(case, &origin),
    }
}

fn pin_loopback(case: &mut Case<'_>, origin: &Origin) -> Statement {
    match origin.host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => {
            let pinned = SocketAddr::new(address, origin.port);
            case.addresses = vec![pinned];
            Statement::proof(format!("{pinned} is on this machine"))
        }
        _ => Statement::veto(
            RefusalCode::SpecialAddress,
            format!("{} is not a loopback address", origin.host),
            "name a listener on 127.0.0.1 or [::1]",
        ),
    }
}

fn pin_remote(case: &mut Case<'_>, origin: &Origin) -> Statement {
    let found = match case.outside.resolver.resolve(&origin.host) {
        Ok(found) => found,
        Err(error) => return unresolved(origin, &error.to_string()),
    };
    let mut pinned: Vec<SocketAddr> = Vec::with_capacity(found.addresses.len());
    for address in found.addresses.iter().map(|&address| SocketAddr::new(address, origin.port)) {
        if !pinned.contains(&address) {
            pinned.push(address);
        }
    }
    if pinned.is_empty() {
        return unresolved(origin, "it has no address");
    }
    for address in &pinned {
        if let Some(special) = addresses::objection_to(address.ip(), &case.inquiry.policy.networks) {
            let remedy = if special.is_listable {
                "if previews live in that network, add it to [target] networks by a reviewed change"
            } else {
                "give the preview an ordinary address; addresses of this kind are never loaded"
            };
            return Statement::veto(
                RefusalCode::SpecialAddress,
                format!("{} resolves to {}, a {} address", origin.host, address.ip(), special.purpose),
                remedy,
            );
        }
    }
    let list: Vec<String> = pinned.iter().map(|address| address.ip().to_string()).collect();
    case.addresses = pinned;
    Statement::silence(format!("{} is pinned to {}", origin.host, list.join(", ")))
}

fn unresolved(origin: &Origin, why: &str) -> Statement {
    Statement::veto(
        RefusalCode::Unresolved,
        format!("the addresses of {} are not known: {why}", origin.host),
        "check that the preview is deployed and that its name can be resolved from the job",
    )
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::guard::layers::fixture::{self, online, veto_of};
    use crate::guard::{FixedResolver, Inquiry, ResolveError, Surroundings};

    fn answer(addresses: &[&str]) -> Option<RefusalCode> {
        veto_of(online(ask, &fixture::preview(), &FixedResolver::answering(addresses)))
    }

    #[test]
    fn ordinary_addresses_are_pinned() {
        assert_eq!(answer(&["76.76.21.21"]), None);
        assert_eq!(answer(&["76.76.21.21", "2606:4700::1111"]), None);
    }

    #[test]
    fn one_special_address_spoils_the_set() {
        for address in ["127.0.0.1", "10.0.0.5", "169.254.169.254", "100.64.1.1", "fe80::1", "::ffff:1.1.1.1"]
        {
            assert_eq!(answer(&[address]), Some(RefusalCode::SpecialAddress), "{address}");
            assert_eq!(answer(&["76.76.21.21", address]), Some(RefusalCode::SpecialAddress), "{address}");
        }
    }

    #[test]
    fn a_listed_network_may_be_loaded() {
        let mut inquiry = fixture::preview();
        inquiry.policy.networks = vec!["10.20.0.0/16".parse().unwrap()];
        let ask_for = |address: &str| veto_of(online(ask, &inquiry, &FixedResolver::answering(&[address])));

        assert_eq!(ask_for("10.20.0.5"), None);
        assert_eq!(ask_for("10.21.0.5"), Some(RefusalCode::SpecialAddress));
    }

    #[test]
    fn an_unknown_address_is_a_no() {
        assert_eq!(answer(&[]), Some(RefusalCode::Unresolved));

        let failing = FixedResolver(Err(ResolveError::NoAnswer("too slow".into())));
        let said = online(ask, &fixture::preview(), &failing);
        assert_eq!(veto_of(said), Some(RefusalCode::Unresolved));
    }

    #[test]
    fn an_environment_that_renames_hosts_is_a_no() {
        for variable in ["HOSTALIASES", "LOCALDOMAIN"] {
            let surroundings =
                Surroundings::observe(|name| (name == variable).then_some(OsStr::new("/tmp/x")));
            let inquiry = Inquiry { surroundings: surroundings.clone(), ..fixture::preview() };
            let resolver = FixedResolver::answering(&["76.76.21.21"]);

            assert_eq!(veto_of(online(ask, &inquiry, &resolver)), Some(RefusalCode::ResolverOverride));

            let local = Inquiry { surroundings, ..fixture::loopback() };
            assert_eq!(veto_of(online(ask, &local, &resolver)), None);
        }
    }

    #[test]
    fn a_service_of_this_machine_is_never_looked_up() {
        let resolver = FixedResolver::answering(&["76.76.21.21"]);

        let target = crate::guard::clear(&fixture::loopback(), &fixture::outside(&resolver)).unwrap();

        assert_eq!(target.addresses(), ["127.0.0.1:8080".parse().unwrap()]);
    }
}
