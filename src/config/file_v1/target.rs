//! `[target]`: which hosts previews have, which are production, and where addresses may lie.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use toml_edit::Value;
use url::Url;

use super::draft::{PlatformTable, ProductionFile, TargetTable};
use super::keys;
use crate::config::problem::Located;
use crate::config::section::Section;
use crate::config::value::quoted;
use crate::guard::{MarkerPolicy, PlatformKeys, Provider};
use crate::secret::may_carry_secrets;

/// Longer than any ticket's number or address.
const MAX_CONSENT_CHARS: usize = 200;

pub(super) fn read_target(top: &Section<'_>) -> TargetTable {
    let Some(section) = top.table("target", keys::TARGET) else {
        return TargetTable::default();
    };
    let networks = section.texts("networks").unwrap_or_default();
    let (production, production_files) = read_production(&section);
    let (certificate, key) = (section.text("client-certificate"), section.text("client-key"));
    check_pair(&section, certificate.as_ref(), key.as_ref());
    TargetTable {
        preview: section.texts("preview").unwrap_or_default(),
        production,
        production_files,
        consent: read_consent(&section),
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
        client_certificate: certificate.map(|text| text.map(PathBuf::from)),
        client_key: key.map(|text| text.map(PathBuf::from)),
        local_tls: section.flag("local-tls").unwrap_or(false),
        marker: MarkerPolicy {
            is_required: read_requirement(&section, "marker"),
            is_on_every_answer: read_requirement(&section, "marker-header"),
        },
    }
}

/// Reads host names and `{ from = "FILE", key = "…" }`, in any order.
fn read_production(section: &Section<'_>) -> (Vec<Located<String>>, Vec<Located<ProductionFile>>) {
    let (mut names, mut files) = (Vec::new(), Vec::new());
    let Some(found) = section.item("production") else { return (names, files) };
    let Some(array) = found.value.as_array() else {
        let expected = "an array of host names, such as [\"example.com\", { from = \"CNAME\" }]";
        let _: Option<()> = section.wrong_type("production", &found, expected);
        return (names, files);
    };
    for value in array {
        let place = section.reader.place(value.span());
        match value {
            Value::String(text) => names.push(Located { value: text.value().clone(), place }),
            Value::InlineTable(table) => {
                let inner =
                    Section::open(section.reader, table, place, "`production`", keys::PRODUCTION_FILE);
                files.extend(read_production_file(&inner));
            }
            _ => section.reader.report(
                &place,
                format!("`production` holds {}, expected host names", value.type_name()),
                "write a host name in quotes, or a file as { from = \"CNAME\" }",
            ),
        }
    }
    (names, files)
}

fn read_production_file(section: &Section<'_>) -> Option<Located<ProductionFile>> {
    let key = section.text("key").map(|key| key.value);
    let Some(from) = section.item("from").and_then(|_| section.text("from")) else {
        if section.item("from").is_none() {
            let help = "name a file that infrastructure code wrote, such as { from = \"CNAME\" }";
            section.reader.report(&section.place, "a file of production names has no `from`", help);
        }
        return None;
    };
    Some(from.map(|from| ProductionFile { from: PathBuf::from(from), key }))
}

fn read_consent(section: &Section<'_>) -> Option<Located<String>> {
    let text = section.text("consent")?;
    let length = text.value.chars().count();
    let is_sentence = !text.value.trim().is_empty()
        && length <= MAX_CONSENT_CHARS
        && !text.value.chars().any(char::is_control);
    if is_sentence {
        return Some(text);
    }
    section.reader.report(
        &text.place,
        "`consent` names no ticket",
        format!(
            "write where the platform's answer can be found, such as the number of the ticket, in at most \
             {MAX_CONSENT_CHARS} characters"
        ),
    );
    None
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
        service: text("service"),
    };
    Some(Located { value: PlatformTable { name, keys }, place: found.place })
}

/// A token goes there, so that the address is https, or on this machine.
fn read_api(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is not an address")?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match url.scheme() {
        _ if !is_bare || url.fragment().is_some() => Err("it holds more than scheme, host and path"),
        _ if may_carry_secrets(&url) => Ok(text.to_owned()),
        _ => Err("it is not https"),
    }
}

/// Reports a certificate without its key, or a key without its certificate.
fn check_pair(section: &Section<'_>, certificate: Option<&Located<String>>, key: Option<&Located<String>>) {
    let (given, missing) = match (certificate, key) {
        (Some(certificate), None) => (certificate, ("client-certificate", "client-key")),
        (None, Some(key)) => (key, ("client-key", "client-certificate")),
        _ => return,
    };
    let message = format!("`{}` is given without `{}`", missing.0, missing.1);
    section.reader.report(&given.place, message, format!("add `{}`: each is a PEM file", missing.1));
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
