//! `[target]`: which hosts previews have, which are production, and where addresses may lie.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use url::{Host, Url};

use super::draft::{PlatformTable, TargetTable};
use super::keys;
use crate::config::problem::Located;
use crate::config::section::Section;
use crate::config::value::quoted;
use crate::guard::{MarkerPolicy, PlatformKeys, Provider};

pub(super) fn read_target(top: &Section<'_>) -> TargetTable {
    let Some(section) = top.table("target", keys::TARGET) else {
        return TargetTable::default();
    };
    let networks = section.texts("networks").unwrap_or_default();
    TargetTable {
        preview: section.texts("preview").unwrap_or_default(),
        production: section.texts("production").unwrap_or_default(),
        platform: read_platform(&section),
        forge: section.parsed(
            "forge",
            "write an https address, such as \"https://github.example.com/api/v3\"",
            read_api,
        ),
        deployers: section.texts("deployers").unwrap_or_default(),
        networks: networks.into_iter().filter_map(|text| read_network(&section, text)).collect(),
        roots: section
            .texts("roots")
            .unwrap_or_default()
            .into_iter()
            .map(|text| text.map(PathBuf::from))
            .collect(),
        marker: MarkerPolicy {
            is_required: read_requirement(&section, "marker"),
            is_on_every_answer: read_requirement(&section, "marker-header"),
        },
    }
}

fn read_requirement(section: &Section<'_>, key: &str) -> bool {
    let help = "write \"required\", or \"optional\", which is the default";
    let read = |text: &str| match text {
        "required" => Ok(true),
        "optional" => Ok(false),
        other => Err(format!("{} is no requirement", quoted(other))),
    };
    section.parsed(key, help, read).is_some_and(|found| found.value)
}

fn read_platform(section: &Section<'_>) -> Option<Located<PlatformTable>> {
    let found = section.item("platform")?;
    let table = section.table("platform", keys::PLATFORM)?;
    let text = |key: &str| table.text(key).map(|text| text.value);
    let Some(name) = text("name") else {
        if table.item("name").is_none() {
            let known = Provider::names().collect::<Vec<_>>().join(", ");
            section.reader.report(&table.place, "`platform` has no `name`", format!("name one of {known}"));
        }
        return None;
    };
    let keys = PlatformKeys {
        project: text("project"),
        scope: text("scope"),
        region: text("region"),
        zone: text("zone"),
    };
    Some(Located { value: PlatformTable { name, keys }, place: found.place })
}

/// A token goes there, so that the address is https, or on this machine.
fn read_api(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not an address")?;
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    };
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match url.scheme() {
        _ if !is_bare || url.fragment().is_some() => Err("it holds more than scheme, host and path"),
        "https" => Ok(text.to_owned()),
        "http" if is_loopback => Ok(text.to_owned()),
        _ => Err("it is not https"),
    }
}

fn read_network(section: &Section<'_>, text: Located<String>) -> Option<Located<IpNet>> {
    match text.value.parse::<IpNet>() {
        Ok(network) if network.network() == network.addr() => Some(text.map(|_| network)),
        Ok(network) => {
            let message = format!("network {} has bits set beyond its prefix", quoted(&text.value));
            section.reader.report(&text.place, message, format!("write {}", network.trunc()));
            None
        }
        Err(_) => {
            let help = match text.value.parse::<IpAddr>() {
                Ok(address) => format!("for this one address write \"{}\"", IpNet::from(address)),
                Err(_) => "write an address and a prefix length, such as \"10.20.0.0/16\"".to_owned(),
            };
            section.reader.report(&text.place, format!("{} is not a network", quoted(&text.value)), help);
            None
        }
    }
}
