//! L7 asks DNS about the host, once, and pins the addresses. A production name anywhere in the answer, or one address
//! with a special purpose that the policy does not list, spoils the whole of it; not knowing is a no.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::Statement;
use crate::guard::names::cut;
use crate::guard::receipt::RefusalCode;
use crate::guard::resolve::{Resolution, ServiceBinding};
use crate::guard::{Case, Depth, Inquiry, Policy, addresses};
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
    let objection = object_to_names(case.inquiry, origin, &found)
        .or_else(|| object_to_addresses(&case.inquiry.policy, origin, &found))
        .or_else(|| object_to_services(origin, &found));
    if let Some(objection) = objection {
        return objection;
    }
    let way = if found.aliases.is_empty() {
        String::new()
    } else {
        format!(" by way of {}", found.aliases.iter().map(|name| cut(name)).collect::<Vec<_>>().join(", "))
    };
    case.aliases.clone_from(&found.aliases);
    if found.addresses.is_empty() {
        return unresolved(origin, "it has no address");
    }
    if let Some(pinned) = case.pinned {
        if is_rebound(&found, pinned) {
            return rebound(origin, &found.addresses, pinned);
        }
        case.addresses = pinned.to_vec();
        let (fact, is_news) = kept(origin, &found.addresses, pinned, &way);
        case.news.extend(is_news.then(|| fact.clone()));
        return Statement::silence(fact);
    }
    let mut pinned: Vec<SocketAddr> = Vec::with_capacity(found.addresses.len());
    for address in found.addresses.iter().map(|&address| SocketAddr::new(address, origin.port)) {
        if !pinned.contains(&address) {
            pinned.push(address);
        }
    }
    let list = listed(pinned.iter().map(SocketAddr::ip));
    case.addresses = pinned;
    Statement::silence(format!("{} is pinned to {list}{way}", origin.host))
}

/// A preview that leads to a production name is production under another name.
fn object_to_names(inquiry: &Inquiry, origin: &Origin, found: &Resolution) -> Option<Statement> {
    let targets = found.services.iter().filter_map(|service| service.target.as_ref());
    let name = found.aliases.iter().chain(targets).find(|name| inquiry.calls_production(name))?;
    Some(Statement::veto(
        RefusalCode::ProductionAlias,
        format!("DNS leads from {} to the production host {}", origin.host, cut(name)),
        "give the preview a record of its own that does not lead to production",
    ))
}

fn object_to_addresses(policy: &Policy, origin: &Origin, found: &Resolution) -> Option<Statement> {
    let hints = found.services.iter().flat_map(|service| &service.hints);
    let special = |address: &IpAddr| Some((*address, addresses::objection_to(*address, &policy.networks)?));
    let (address, special) = found.addresses.iter().chain(hints).find_map(special)?;
    let remedy = if special.is_listable {
        "if previews live in that network, add it to [target] networks by a reviewed change"
    } else {
        "give the preview an ordinary address; addresses of this kind are never loaded"
    };
    Some(Statement::veto(
        RefusalCode::SpecialAddress,
        format!("{} resolves to {address}, a {} address", origin.host, special.purpose),
        remedy,
    ))
}

/// Load never goes where an HTTPS record points, but such a record shows that the host's owner serves it elsewhere.
fn object_to_services(origin: &Origin, found: &Resolution) -> Option<Statement> {
    let elsewhere = |service: &ServiceBinding| {
        let target = service.target.as_ref().filter(|name| **name != origin.host);
        let foreign = target.filter(|name| !found.aliases.contains(name));
        if let Some(name) = foreign {
            return Some(format!("host {}", cut(name)));
        }
        if let Some(port) = service.port.filter(|port| *port != origin.port) {
            return Some(format!("port {port}"));
        }
        let hint = service.hints.iter().find(|hint| !found.addresses.contains(hint))?;
        Some(format!("address {hint}, which is none of its own"))
    };
    let place = found.services.iter().find_map(elsewhere)?;
    Some(Statement::veto(
        RefusalCode::ForeignService,
        format!("an HTTPS record of {} leads to {place}", origin.host),
        "let the HTTPS record of the preview name the host itself, or remove it",
    ))
}

/// Returns whether a name was given an address that must not be remembered, in none of the networks that it had: so
/// names are bound to another place behind the back of whoever has checked them. An edge stays among its networks, or
/// lets its answers be remembered for a while.
fn is_rebound(found: &Resolution, pinned: &[SocketAddr]) -> bool {
    let is_near =
        |address: &IpAddr| pinned.iter().any(|pinned| network_of(pinned.ip()) == network_of(*address));
    found.lifetime == Some(Duration::ZERO) && !found.addresses.iter().any(is_near)
}

/// As much of an address as one provider has at least: what registries give out is no smaller.
fn network_of(address: IpAddr) -> Option<IpNet> {
    let length = if address.is_ipv4() { 16 } else { 32 };
    IpNet::new(address, length).ok().map(|network| network.trunc())
}

fn rebound(origin: &Origin, found: &[IpAddr], pinned: &[SocketAddr]) -> Statement {
    Statement::veto(
        RefusalCode::Rebound,
        format!(
            "{} was bound to {} for this one moment; it was {}",
            origin.host,
            listed(found.iter().copied()),
            listed(pinned.iter().map(SocketAddr::ip))
        ),
        "give the preview's record a time to live, and let it lead to the preview alone",
    )
}

/// During the run new addresses are no reason to stop: load stays with those that were pinned. Returns that, and
/// whether there are some.
fn kept(origin: &Origin, found: &[IpAddr], pinned: &[SocketAddr], way: &str) -> (String, bool) {
    let is_new = |address: &IpAddr| !pinned.iter().any(|pinned| pinned.ip() == *address);
    let new: Vec<IpAddr> = found.iter().copied().filter(is_new).collect();
    if new.is_empty() {
        return (format!("{} still has its pinned addresses{way}", origin.host), false);
    }
    let fact = format!(
        "{} now has {} too{way}, which are not used: it stays pinned to {}",
        origin.host,
        listed(new.into_iter()),
        listed(pinned.iter().map(SocketAddr::ip))
    );
    (fact, true)
}

fn listed(addresses: impl Iterator<Item = IpAddr>) -> String {
    addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(", ")
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

    fn said_of(resolution: Resolution) -> Option<RefusalCode> {
        let resolver = FixedResolver(Ok(resolution));
        veto_of(online(ask, &fixture::preview(), &resolver))
    }

    fn resolution() -> Resolution {
        Resolution { addresses: vec!["76.76.21.21".parse().unwrap()], ..Resolution::default() }
    }

    fn with_service(service: ServiceBinding) -> Resolution {
        Resolution { services: vec![service], ..resolution() }
    }

    #[test]
    fn a_production_name_anywhere_in_the_chain_is_a_no() {
        let led_by = |names: &[&str]| {
            said_of(Resolution { aliases: names.iter().map(ToString::to_string).collect(), ..resolution() })
        };

        assert_eq!(led_by(&["edge.provider.test"]), None);
        assert_eq!(led_by(&["not-www.shop.test"]), None);
        assert_eq!(led_by(&["www.shop.test"]), Some(RefusalCode::ProductionAlias));
        assert_eq!(led_by(&["edge.provider.test", "shop.test"]), Some(RefusalCode::ProductionAlias));

        let mut inquiry = fixture::preview();
        let fact = crate::target::ProductionFact { host: "lb.provider.test".into(), variable: "URL".into() };
        inquiry.production_facts = vec![fact];
        let resolver =
            FixedResolver(Ok(Resolution { aliases: vec!["lb.provider.test".into()], ..resolution() }));
        assert_eq!(veto_of(online(ask, &inquiry, &resolver)), Some(RefusalCode::ProductionAlias));
    }

    #[test]
    fn the_way_to_the_address_is_told() {
        let resolver =
            FixedResolver(Ok(Resolution { aliases: vec!["edge.provider.test".into()], ..resolution() }));

        let fact = online(ask, &fixture::preview(), &resolver).line("").fact;

        assert_eq!(fact, "pr-1.preview.shop.test is pinned to 76.76.21.21 by way of edge.provider.test");
    }

    #[test]
    fn an_https_record_may_only_speak_of_the_host_itself() {
        let own = ServiceBinding { hints: vec!["76.76.21.21".parse().unwrap()], ..ServiceBinding::default() };
        let named =
            ServiceBinding { target: Some("pr-1.preview.shop.test".into()), port: Some(443), ..own.clone() };
        assert_eq!(said_of(with_service(own.clone())), None);
        assert_eq!(said_of(with_service(named)), None);

        for (service, code) in [
            (ServiceBinding { target: Some("cdn.test".into()), ..own.clone() }, RefusalCode::ForeignService),
            (ServiceBinding { port: Some(8443), ..own.clone() }, RefusalCode::ForeignService),
            (
                ServiceBinding { hints: vec!["1.1.1.1".parse().unwrap()], ..own.clone() },
                RefusalCode::ForeignService,
            ),
            (
                ServiceBinding { hints: vec!["10.0.0.1".parse().unwrap()], ..own.clone() },
                RefusalCode::SpecialAddress,
            ),
            (
                ServiceBinding { target: Some("www.shop.test".into()), ..own.clone() },
                RefusalCode::ProductionAlias,
            ),
        ] {
            assert_eq!(said_of(with_service(service.clone())), Some(code), "{service:?}");
        }
    }

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
