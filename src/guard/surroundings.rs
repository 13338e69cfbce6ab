//! Surroundings are the variables that would change, behind the program's back, whom it talks to.
//!
//! Only their names are kept: the values may be secret, and no layer needs them.

use std::ffi::OsStr;

/// Makes glibc give a name another address, or complete it with another domain.
const RESOLVER_VARIABLES: [&str; 2] = ["HOSTALIASES", "LOCALDOMAIN"];

/// Makes most HTTP clients send requests through somebody else.
const PROXY_VARIABLES: [&str; 6] =
    ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Replaces the system's root certificates.
const TRUST_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where systems keep their own root certificates: a trust variable that names only these changes nothing.
const SYSTEM_ROOTS: [&str; 8] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Which of the variables that redirect a program are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    pub(super) resolver: Vec<&'static str>,
    pub(super) proxies: Vec<&'static str>,
    pub(super) trust: Vec<&'static str>,
}

impl Surroundings {
    /// Looks which variables are set to something that matters; `value` returns one's value where it is set.
    #[must_use]
    pub fn observe<'v>(value: impl Fn(&str) -> Option<&'v OsStr>) -> Self {
        let set = |names: &[&'static str]| -> Vec<&'static str> {
            names.iter().copied().filter(|name| value(name).is_some_and(|text| !text.is_empty())).collect()
        };
        let mut trust = set(&TRUST_VARIABLES);
        trust.retain(|name| value(name).is_some_and(|paths| !names_only_system_roots(paths)));
        Self { resolver: set(&RESOLVER_VARIABLES), proxies: set(&PROXY_VARIABLES), trust }
    }
}

fn names_only_system_roots(paths: &OsStr) -> bool {
    paths.to_str().is_some_and(|paths| paths.split(':').all(|path| SYSTEM_ROOTS.contains(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_that_are_set_are_noted() {
        let surroundings = Surroundings::observe(|name| {
            matches!(name, "HOSTALIASES" | "https_proxy" | "PATH").then_some(OsStr::new("x"))
        });

        assert_eq!(surroundings.resolver, ["HOSTALIASES"]);
        assert_eq!(surroundings.proxies, ["https_proxy"]);
        assert!(surroundings.trust.is_empty());
    }

    #[test]
    fn roots_that_are_the_systems_own_are_not_foreign() {
        let trust_of = |value: &'static str| {
            Surroundings::observe(move |name| (name == "SSL_CERT_FILE").then_some(OsStr::new(value))).trust
        };

        assert!(trust_of("/etc/ssl/certs/ca-certificates.crt").is_empty());
        for foreign in ["/tmp/ca.pem", "/etc/ssl/certs/../../../tmp/ca.pem", "/etc/ssl/certs:/tmp", "ca.pem"]
        {
            assert_eq!(trust_of(foreign), ["SSL_CERT_FILE"], "{foreign}");
        }
    }
}
