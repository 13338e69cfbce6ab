//! Forwarders are programs that listen here and answer from elsewhere: a port that one of them holds may be production.

/// A program that forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forwarder {
    names: &'static [&'static str],
    /// What it does with what it is sent, in words that follow "and".
    pub(super) what_it_does: &'static str,
}

const FORWARDERS: [Forwarder; 8] = [
    Forwarder {
        names: &["ssh", "sshd", "sshd-session", "autossh", "sshuttle", "dropbear", "dbclient", "mosh-client"],
        what_it_does: "it carries what it is sent through a secure shell to another machine",
    },
    Forwarder {
        names: &["kubectl", "oc", "kubefwd", "k9s", "telepresence", "kubectl-port_forward", "mirrord"],
        what_it_does: "it carries what it is sent into a cluster",
    },
    Forwarder {
        names: &[
            "cloudflared",
            "ngrok",
            "tailscale",
            "tailscaled",
            "chisel",
            "frpc",
            "frps",
            "rathole",
            "bore",
            "zrok",
            "inlets",
            "inlets-pro",
            "gost",
            "wstunnel",
            "localtunnel",
            "lt",
            "devtunnel",
            "iodine",
            "ziti",
            "code-tunnel",
            "code",
            "code-server",
        ],
        what_it_does: "it is the end of a tunnel",
    },
    Forwarder {
        names: &[
            "session-manager-plugin",
            "cloud_sql_proxy",
            "cloud-sql-proxy",
            "gcloud",
            "gcloud.py",
            "tsh",
            "boundary",
            "flyctl",
            "fly",
            "heroku",
            "aws",
            "az",
        ],
        what_it_does: "it carries what it is sent to a service in a cloud",
    },
    Forwarder {
        names: &[
            "socat",
            "nc",
            "ncat",
            "netcat",
            "nc.openbsd",
            "nc.traditional",
            "redir",
            "rinetd",
            "simpleproxy",
            "stunnel",
            "stunnel4",
            "hitch",
            "ghostunnel",
            "systemd-socket-proxyd",
            "xinetd",
        ],
        what_it_does: "it passes on what it is sent",
    },
    Forwarder {
        names: &[
            "haproxy",
            "envoy",
            "traefik",
            "pilot-agent",
            "linkerd2-proxy",
            "varnishd",
            "squid",
            "tinyproxy",
            "privoxy",
            "pound",
            "mitmproxy",
            "mitmdump",
            "mitmweb",
            "toxiproxy",
            "toxiproxy-server",
            "pingora",
        ],
        what_it_does: "it is a proxy for other servers",
    },
    Forwarder {
        names: &[
            "docker-proxy",
            "rootlessport",
            "rootlesskit",
            "slirp4netns",
            "pasta",
            "passt",
            "gvproxy",
            "vpnkit",
        ],
        what_it_does: "it carries what it is sent into a container that cannot be seen from here",
    },
    Forwarder {
        names: &[
            "com.docker.backend",
            "wslrelay",
            "wslrelay.exe",
            "limactl",
            "lima-guestagent",
            "qemu-system-x86_64",
        ],
        what_it_does: "it carries what it is sent into a virtual machine",
    },
];

/// Linux cuts the name that a process has for itself to so many characters.
const COMM_CHARS: usize = 15;

/// Returns the forwarder that goes by a name.
pub(super) fn find(name: &str) -> Option<&'static Forwarder> {
    let is_named = |listed: &&str| *listed == name || (name.len() == COMM_CHARS && listed.starts_with(name));
    FORWARDERS.iter().find(|forwarder| forwarder.names.iter().any(&is_named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarders_are_known_by_their_whole_name() {
        for name in ["ssh", "kubectl", "session-manager-plugin", "session-manager", "docker-proxy"] {
            assert!(find(name).is_some(), "{name}");
        }
        for name in ["", "s", "sshop", "my-envoy-demo", "shop", "nginx", "python3", "node"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
