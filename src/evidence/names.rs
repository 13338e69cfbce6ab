//! Asks the system's name servers what DNS says of a host: addresses, the CNAME records on the way, HTTPS records.
//!
//! Only the servers' addresses are taken from `resolv.conf`. The absolute name is asked for, so that no search list
//! can turn it into another one; hosts files, caches and the environment have no say.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::svcb::{SVCB, SvcParamValue};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::runtime::block_on;
use crate::guard::{Resolution, Resolve, ResolveError, ServiceBinding};

/// Where systems name their servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// More servers than the system's own resolver asks are not asked here either.
const MAX_SERVERS: usize = 3;

/// How long one server may take for one try.
const PATIENCE_FOR_TRY: Duration = Duration::from_secs(3);

/// How long all questions about a name may take together.
const PATIENCE: Duration = Duration::from_secs(10);

/// The standard port of a name server.
const DNS_PORT: u16 = 53;

/// The name servers that this machine uses.
#[derive(Debug, Clone)]
pub struct NameServers {
    servers: Servers,
    patience: Duration,
}

#[derive(Debug, Clone)]
enum Servers {
    /// Those that a file names; it is read again for each question.
    InFile(PathBuf),
    /// These.
    #[cfg(test)]
    At(Vec<SocketAddr>),
}

impl Default for NameServers {
    fn default() -> Self {
        Self { servers: Servers::InFile(RESOLV_CONF.into()), patience: PATIENCE }
    }
}

impl Resolve for NameServers {
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError> {
        let servers = self.addresses()?;
        let name = absolute(host)?;
        let failed = |why: String| ResolveError::NoAnswer(why);
        block_on(async {
            let resolver = resolver(&servers).map_err(|error| failed(error.to_string()))?;
            tokio::time::timeout(self.patience, ask_everything(&resolver, &name))
                .await
                .unwrap_or_else(|_| Err(failed(format!("not within {} s", self.patience.as_secs()))))
        })
        .map_err(|error| failed(error.to_string()))?
    }
}

impl NameServers {
    /// Returns the servers that a file in the form of `resolv.conf` names.
    #[must_use]
    pub fn named_in(file: PathBuf) -> Self {
        Self { servers: Servers::InFile(file), ..Self::default() }
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        match &self.servers {
            Servers::InFile(path) => read_resolv_conf(path),
            #[cfg(test)]
            Servers::At(addresses) => Ok(addresses.clone()),
        }
    }
}

fn read_resolv_conf(path: &Path) -> Result<Vec<SocketAddr>, ResolveError> {
    let no_server = |why: String| ResolveError::NoServer(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| no_server(error.to_string()))?;
    let servers = servers_in(&text);
    if servers.is_empty() {
        return Err(no_server("it names none by address".into()));
    }
    Ok(servers)
}

fn servers_in(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let is_server = words.next() == Some("nameserver");
        let address: IpAddr = words.next().filter(|_| is_server)?.parse().ok()?;
        Some(SocketAddr::new(address, DNS_PORT))
    };
    text.lines().filter_map(server).take(MAX_SERVERS).collect()
}

fn absolute(host: &str) -> Result<Name, ResolveError> {
    let mut name = Name::from_ascii(host).map_err(|_| ResolveError::NoSuchName)?;
    name.set_fqdn(true);
    Ok(name)
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let configured = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    let config = ResolverConfig::from_parts(None, Vec::new(), configured.collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 0;
    options.preserve_intermediates = true;
    options.timeout = PATIENCE_FOR_TRY;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.num_concurrent_reqs = 1;
    builder.build()
}

async fn ask_everything(resolver: &TokioResolver, name: &Name) -> Result<Resolution, ResolveError> {
    let (four, six, services) = tokio::join!(
        ask(resolver, name, RecordType::A),
        ask(resolver, name, RecordType::AAAA),
        ask(resolver, name, RecordType::HTTPS),
    );
    let mut resolution = Resolution::default();
    for record in four?.iter().chain(&six?).chain(&services?) {
        note(&mut resolution, record);
    }
    Ok(resolution)
}

/// Returns the records of one kind; that there is none of the kind is an answer too.
async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Result<Vec<Record>, ResolveError> {
    match resolver.lookup(name.clone(), kind).await {
        Ok(lookup) => Ok(lookup.answers().to_vec()),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NoError => Ok(Vec::new()),
            ResponseCode::NXDomain => Err(ResolveError::NoSuchName),
            code => Err(ResolveError::NoAnswer(code.to_string())),
        },
        // Old servers do not know HTTPS records, and say so; such a server cannot announce another place either.
        Err(NetError::Dns(DnsError::ResponseCode(ResponseCode::NotImp | ResponseCode::FormErr)))
            if kind == RecordType::HTTPS =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(ResolveError::NoAnswer(format!("{kind}: {error}"))),
    }
}

fn note(resolution: &mut Resolution, record: &Record) {
    if matches!(record.data, RData::A(_) | RData::AAAA(_)) {
        let lifetime = Duration::from_secs(record.ttl.into());
        resolution.lifetime = Some(resolution.lifetime.map_or(lifetime, |shortest| shortest.min(lifetime)));
    }
    match &record.data {
        RData::A(address) => add(&mut resolution.addresses, IpAddr::V4(address.0)),
        RData::AAAA(address) => add(&mut resolution.addresses, IpAddr::V6(address.0)),
        RData::CNAME(target) => add(&mut resolution.aliases, plain(&target.0)),
        RData::HTTPS(service) => add(&mut resolution.services, binding(&service.0)),
        _ => {}
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}

fn binding(record: &SVCB) -> ServiceBinding {
    let mut binding = ServiceBinding::default();
    if !record.target_name.is_root() {
        binding.target = Some(plain(&record.target_name));
    }
    for (_, value) in &record.svc_params {
        match value {
            SvcParamValue::Port(port) => binding.port = Some(*port),
            SvcParamValue::Ipv4Hint(hints) => {
                binding.hints.extend(hints.0.iter().map(|hint| IpAddr::V4(hint.0)));
            }
            SvcParamValue::Ipv6Hint(hints) => {
                binding.hints.extend(hints.0.iter().map(|hint| IpAddr::V6(hint.0)));
            }
            _ => {}
        }
    }
    binding
}

/// Returns a name in lower case, without its trailing dot; bytes that no host name has are escaped.
fn plain(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests;
