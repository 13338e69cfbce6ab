//! The policy says where previews live and what production is; it is written by people and reviewed.
//!
//! Every entry is parsed into a type that cannot be wrong by itself. What only the whole policy shows (a pattern
//! that also covers production, say) is found by [`Policy::problems_for_remote`].

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

use super::addresses;
use super::pattern::PreviewPattern;

/// The longest host name that DNS can carry.
pub(super) const MAX_HOST_CHARS: usize = 253;

/// The longest label that DNS can carry.
pub(super) const MAX_LABEL_CHARS: usize = 63;

/// What a repository's reviewed configuration says about targets.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Where previews live.
    pub preview: Vec<PreviewPattern>,
    /// Hosts that are never loaded.
    pub production: Vec<ProductionHost>,
    /// Special-purpose networks that a preview may live in.
    pub networks: Vec<IpNet>,
    /// Extra root certificates that previews are signed with, DER.
    pub trusted_roots: Vec<Vec<u8>>,
}

impl Policy {
    /// Returns everything that makes this policy unfit for a remote target; loopback targets need none of it.
    #[must_use]
    pub fn problems_for_remote(&self) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        if self.production.is_empty() {
            problems.push(PolicyProblem::NoProduction);
        }
        if self.preview.is_empty() {
            problems.push(PolicyProblem::NoPreview);
        }
        for pattern in &self.preview {
            if !pattern.has_placeholder() {
                problems.push(PolicyProblem::FixedPreview { pattern: pattern.to_string() });
            }
            let covered = self.production.iter().find(|host| pattern.can_match(host.as_str()));
            if let Some(host) = covered {
                problems.push(PolicyProblem::CoversProduction {
                    pattern: pattern.to_string(),
                    host: host.to_string(),
                });
            }
        }
        let too_wide = self.networks.iter().filter(|network| !addresses::is_listable(network));
        problems.extend(too_wide.map(|&network| PolicyProblem::UnlistableNetwork { network }));
        problems
    }
}

/// The name of a production host, in canonical form: lower case, no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ProductionHost(String);

impl ProductionHost {
    /// Reads one exact host name; wildcards, URLs, ports and addresses are refused.
    pub fn parse(text: &str) -> Result<Self, PolicyProblem> {
        let canonical = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match flaw_of_host(&canonical) {
            None => Ok(Self(canonical)),
            Some(flaw) => Err(PolicyProblem::MalformedProduction { entry: cut(text), flaw }),
        }
    }

    /// Returns the canonical name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProductionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something in the policy that must be mended before a remote target can be cleared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// Nothing is called production, so nothing would be kept from load. List the production hosts.
    #[error("no production host is listed")]
    NoProduction,
    /// Nothing is called a preview, so nothing can be cleared. List where previews live.
    #[error("no preview pattern is listed")]
    NoPreview,
    /// A production entry is not one exact host name. Write each name on its own.
    #[error("production entry {entry:?} is not a host name: {flaw}")]
    MalformedProduction {
        /// The entry, cut to a readable length.
        entry: String,
        /// What is wrong with it.
        flaw: &'static str,
    },
    /// A preview pattern does not follow the grammar. Mend it as the text says.
    #[error("preview pattern {pattern:?} cannot be used: {flaw}")]
    MalformedPattern {
        /// The pattern, cut to a readable length.
        pattern: String,
        /// What is wrong with it.
        flaw: &'static str,
    },
    /// A preview pattern names one lasting host, so nothing ties it to a pull request. Add `{pr}` or `{branch}`.
    #[error("preview pattern {pattern:?} names one fixed host")]
    FixedPreview {
        /// The pattern.
        pattern: String,
    },
    /// A preview pattern and the production list overlap. Give previews a zone of their own.
    #[error("preview pattern {pattern:?} also covers the production host {host}")]
    CoversProduction {
        /// The pattern.
        pattern: String,
        /// The production host.
        host: String,
    },
    /// A network reaches beyond one special-purpose block. List only the private range that previews live in.
    #[error("network {network} is not inside one private range")]
    UnlistableNetwork {
        /// The network.
        network: IpNet,
    },
}

impl PolicyProblem {
    /// Returns the remedy in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NoProduction => {
                "list every production host: production = [\"example.com\", \"www.example.com\"]".into()
            }
            Self::NoPreview => "say where previews live: preview = [\"pr-{pr}.preview.example.com\"]".into(),
            Self::MalformedProduction { .. } => {
                "write one exact host name an entry, such as \"www.example.com\"".into()
            }
            Self::MalformedPattern { .. } => {
                "write host labels with {pr}, {branch} or {hash} inside them, such as \
                 \"pr-{pr}.preview.example.com\" or \"pr-{pr}.preview.example.com:8443\""
                    .into()
            }
            Self::FixedPreview { .. } => "bind the pattern to the pull request with {pr} or {branch}".into(),
            Self::CoversProduction { .. } => {
                "give previews a zone of their own, such as \"pr-{pr}.preview.example.com\"".into()
            }
            Self::UnlistableNetwork { .. } => {
                "list only the private range that previews live in, such as \"10.20.0.0/16\"".into()
            }
        }
    }

    /// Returns the configuration key that holds the problem.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::NoProduction | Self::MalformedProduction { .. } => "target.production",
            Self::UnlistableNetwork { .. } => "target.networks",
            Self::NoPreview
            | Self::MalformedPattern { .. }
            | Self::FixedPreview { .. }
            | Self::CoversProduction { .. } => "target.preview",
        }
    }
}

/// Returns what keeps a lower-case text from being a host name, or `None` where it is one.
pub(super) fn flaw_of_host(host: &str) -> Option<&'static str> {
    if host.is_empty() {
        return Some("it is empty");
    }
    if host.contains('*') {
        return Some("wildcards are not understood");
    }
    if host.contains('/') || host.contains(':') {
        return Some("scheme, port and path do not belong here");
    }
    if host.len() > MAX_HOST_CHARS {
        return Some("it is longer than 253 characters");
    }
    if let Some(flaw) = host.split('.').find_map(flaw_of_label) {
        return Some(flaw);
    }
    ends_like_an_address(host).then_some("it is an address, not a name")
}

/// Returns what keeps a text from being one label of a host name, or `None` where it is one.
pub(super) fn flaw_of_label(label: &str) -> Option<&'static str> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if label.is_empty() {
        return Some("a label is empty");
    }
    if label.len() > MAX_LABEL_CHARS {
        return Some("a label is longer than 63 characters");
    }
    if !label.bytes().all(is_plain) {
        return Some("labels hold only a-z, 0-9 and '-'; write other scripts in their xn-- form");
    }
    (label.starts_with('-') || label.ends_with('-')).then_some("a label begins or ends with '-'")
}

/// Returns whether a URL parser would take the host for an IPv4 address because of its last label.
pub(super) fn ends_like_an_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let is_hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    is_hex || last.bytes().all(|b| b.is_ascii_digit())
}

/// Cuts a text that goes into a message.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(preview: &[&str], production: &[&str], networks: &[&str]) -> Policy {
        Policy {
            preview: preview.iter().map(|text| PreviewPattern::parse(text).unwrap()).collect(),
            production: production.iter().map(|text| ProductionHost::parse(text).unwrap()).collect(),
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
            trusted_roots: Vec::new(),
        }
    }

    #[test]
    fn a_production_host_is_compared_in_canonical_form() {
        assert_eq!(ProductionHost::parse("WWW.Example.COM.").unwrap().as_str(), "www.example.com");
        assert_eq!(ProductionHost::parse("intranet").unwrap().as_str(), "intranet");
    }

    #[test]
    fn a_production_entry_must_be_one_exact_name() {
        for entry in [
            "",
            "*",
            "*.shop.test",
            "https://shop.test",
            "shop.test/",
            "shop.test:443",
            "203.0.113.9",
            "0x7f.1",
            "shop..test",
            "-shop.test",
            "shop_1.test",
            "sh\u{f6}p.test",
            "[::1]",
            "a b.test",
            ".",
        ] {
            assert!(ProductionHost::parse(entry).is_err(), "{entry:?} must be refused");
        }
    }

    #[test]
    fn a_sound_policy_has_no_problems() {
        let sound = policy(&["pr-{pr}.preview.shop.test"], &["shop.test", "www.shop.test"], &["10.1.0.0/16"]);

        assert_eq!(sound.problems_for_remote(), []);
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let unfit = policy(&["staging.shop.test", "{branch}.shop.test"], &["www.shop.test"], &["0.0.0.0/0"]);

        let problems = unfit.problems_for_remote();

        assert!(matches!(problems[0], PolicyProblem::FixedPreview { .. }), "{problems:?}");
        assert!(matches!(problems[1], PolicyProblem::CoversProduction { .. }), "{problems:?}");
        assert!(matches!(problems[2], PolicyProblem::UnlistableNetwork { .. }), "{problems:?}");
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn an_empty_policy_protects_nothing_and_says_so() {
        let problems = Policy::default().problems_for_remote();

        assert_eq!(problems, [PolicyProblem::NoProduction, PolicyProblem::NoPreview]);
    }
}
