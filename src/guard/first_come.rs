//! A name is first-come where a hosting provider gives it to whoever asks first, and the host of a custom domain to
//! whoever claims that domain first.
//!
//! A DNS record that outlives what it led to can then be taken over by a stranger, without a trace at the forge: its
//! deployment still says success. Providers that ask for a proof of ownership, or whose names hold a random part, are
//! not here.

use super::platform::Provider;

/// Zones of such providers, known for takeovers by their own warnings about dangling records.
const ZONES: [&str; 16] = [
    "azure-api.net",
    "azurecontainer.io",
    "azureedge.net",
    "azurewebsites.net",
    "bitbucket.io",
    "cloudapp.azure.com",
    "cloudapp.net",
    "core.windows.net",
    "elasticbeanstalk.com",
    "ghost.io",
    "github.io",
    "herokuapp.com",
    "herokudns.com",
    "pantheonsite.io",
    "surge.sh",
    "trafficmanager.net",
];

/// Buckets have a label of their own kind here: `s3`, `s3-website-eu-west-1`.
const BUCKETS: &str = "amazonaws.com";

/// Returns the first name that is first-come; the host stands first, then the names that it leads to.
///
/// A host below a platform of the table is not: there its own shapes say what else must vouch for it. Names on the way
/// from such a host are the platform's own business.
pub(super) fn find<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let host = names.next()?;
    if Provider::of_host(host).is_some() {
        return None;
    }
    std::iter::once(host).chain(names).find(|name| is_first_come(name))
}

fn is_first_come(name: &str) -> bool {
    ZONES.iter().any(|zone| below(name, zone).is_some())
        || below(name, BUCKETS)
            .is_some_and(|labels| labels.split('.').any(|label| label == "s3" || label.starts_with("s3-")))
}

fn below<'n>(name: &'n str, zone: &str) -> Option<&'n str> {
    name.strip_suffix(zone)?.strip_suffix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&'static str]) -> Option<&'static str> {
        find(names.iter().copied())
    }

    #[test]
    fn a_name_that_a_stranger_can_take_is_found_anywhere_on_the_way() {
        for name in [
            "calm-sea-1.herokudns.com",
            "kiosk.github.io",
            "kiosk.eu-west-1.elasticbeanstalk.com",
            "kiosk.s3-website-eu-west-1.amazonaws.com",
            "kiosk.s3.eu-west-1.amazonaws.com",
            "kiosk.trafficmanager.net",
        ] {
            assert_eq!(found(&["pr-7.preview.kiosk.test", "edge.test", name]), Some(name));
            assert_eq!(found(&["pr-7.preview.kiosk.test", name, "edge.test"]), Some(name));
        }
        assert_eq!(found(&["kiosk-pr-7.surge.sh"]), Some("kiosk-pr-7.surge.sh"));
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "pr-7.preview.kiosk.test",
            "notherokudns.com",
            "herokudns.com.kiosk.test",
            "kiosk-live-1.eu-west-1.elb.amazonaws.com",
            "cname.vercel-dns.com",
            "kiosk.pages.dev",
        ] {
            assert_eq!(found(&["pr-7.preview.kiosk.test", name]), None, "{name}");
        }
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_host_of_a_platform_that_the_table_knows_has_rules_of_its_own() {
        assert_eq!(found(&["kiosk-pr-7.herokuapp.com", "eu.herokudns.com"]), None);
    }
}
