//! `[target]`: which hosts previews have, which are production, and where addresses may lie.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::draft::TargetTable;
use super::keys;
use crate::config::problem::Located;
use crate::config::section::Section;
use crate::config::value::quoted;
use crate::guard::MarkerPolicy;

pub(super) fn read_target(top: &Section<'_>) -> TargetTable {
    let Some(section) = top.table("target", keys::TARGET) else {
        return TargetTable::default();
    };
    if let Some(platform) = section.item("platform") {
        let help = "list the hosts of your previews in `preview`, such as \"pr-{pr}.preview.example.com\"";
        section.reader.report(&platform.place, "`platform` is not supported yet; use preview patterns", help);
    }
    let networks = section.texts("networks").unwrap_or_default();
    TargetTable {
        preview: section.texts("preview").unwrap_or_default(),
        production: section.texts("production").unwrap_or_default(),
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
