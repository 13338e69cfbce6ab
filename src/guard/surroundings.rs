//! Surroundings are the variables that would change, behind the program's back, whom it talks to.
//!
//! Only their names are kept: the values may be secret, and no layer needs them.

/// Makes glibc give a name another address, or complete it with another domain.
const RESOLVER_VARIABLES: [&str; 2] = ["HOSTALIASES", "LOCALDOMAIN"];

/// Makes most HTTP clients send requests through somebody else.
const PROXY_VARIABLES: [&str; 6] =
    ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// Replaces the system's root certificates.
const TRUST_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Which of the variables that redirect a program are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    pub(super) resolver: Vec<&'static str>,
    pub(super) proxies: Vec<&'static str>,
    pub(super) trust: Vec<&'static str>,
}

impl Surroundings {
    /// Looks which variables are set to something.
    #[must_use]
    pub fn observe(is_set: impl Fn(&str) -> bool) -> Self {
        let set = |names: &[&'static str]| names.iter().copied().filter(|name| is_set(name)).collect();
        Self {
            resolver: set(&RESOLVER_VARIABLES),
            proxies: set(&PROXY_VARIABLES),
            trust: set(&TRUST_VARIABLES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_that_are_set_are_noted() {
        let surroundings =
            Surroundings::observe(|name| matches!(name, "HOSTALIASES" | "https_proxy" | "PATH"));

        assert_eq!(surroundings.resolver, ["HOSTALIASES"]);
        assert_eq!(surroundings.proxies, ["https_proxy"]);
        assert!(surroundings.trust.is_empty());
    }
}
