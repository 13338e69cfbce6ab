//! The policy says where previews live and what production is; it is written by people and reviewed.
//!
//! Every entry is parsed into a type that cannot be wrong by itself. What only the whole policy shows (a pattern
//! that also covers production, say) is found by [`Policy::problems_for_remote`].

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

use super::addresses;
use super::consent;
use super::names::{cut, flaw_of_host};
use super::pattern::PreviewPattern;
use super::platform::Platform;
use super::problem::PolicyProblem;
use crate::target::ClientIdentity;

/// What a repository's reviewed configuration says about targets.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Where previews live.
    pub preview: Vec<PreviewPattern>,
    /// Hosts that are never loaded.
    pub production: Vec<ProductionHost>,
    /// What the hosting platform said to the announced load test, such as the number of a ticket.
    pub consent: Option<String>,
    /// Special-purpose networks that a preview may live in.
    pub networks: Vec<IpNet>,
    /// Extra root certificates that previews are signed with, DER.
    pub trusted_roots: Vec<Vec<u8>>,
    /// What this program shows to a preview that asks for a client certificate.
    pub identity: Option<ClientIdentity>,
    /// The platform that previews live on, where it is a known one; its patterns stand in `preview` too.
    pub platform: Option<Platform>,
    /// The API of the forge, where it is one of one's own.
    pub forge_api: Option<String>,
    /// The accounts and apps whose deployments count; the platform's, or GitHub Actions, where empty.
    pub deployers: Vec<String>,
    /// Who has seen this policy before it is obeyed.
    pub review: Review,
    /// What previews say of themselves.
    pub marker: MarkerPolicy,
}

/// Who has seen a policy before it is obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Review {
    /// Nobody: it lies in the checkout, which the pull request has written.
    #[default]
    None,
    /// The base branch has no policy, so that the pull request brings its own.
    Missing,
    /// What the base branch says could not be found out.
    Unknown {
        /// Why.
        why: String,
        /// What to do about it.
        remedy: String,
    },
    /// It is what the base branch says.
    Base {
        /// The commit that was read, as people quote it.
        commit: String,
    },
}

/// What previews say of themselves, and how much of it must be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarkerPolicy {
    /// Whether a target without a valid marker is refused.
    pub is_required: bool,
    /// Whether every answer carries the header `Loadgate-Preview`.
    pub is_on_every_answer: bool,
}

impl Policy {
    /// Returns the platform of a preview pattern that forbids unannounced load tests and has not been asked.
    #[must_use]
    pub fn platform_without_consent(&self) -> Option<&'static str> {
        let zones: Vec<String> = self.preview.iter().map(PreviewPattern::zone).collect();
        let platform = consent::platform_that_forbids(
            self.platform.as_ref().map(Platform::provider),
            zones.iter().map(String::as_str),
        )?;
        self.consent.is_none().then_some(platform.name)
    }

    /// Returns everything that makes this policy unfit for a remote target; loopback targets need none of it.
    #[must_use]
    pub fn problems_for_remote(&self) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        // A name under which others register theirs is nobody's production: a list of such names protects nothing.
        if self.production.iter().all(ProductionHost::is_public_suffix) {
            problems.push(PolicyProblem::NoProduction);
        }
        if self.preview.is_empty() {
            problems.push(PolicyProblem::NoPreview);
        }
        let production: Vec<&ProductionHost> = self.every_production().collect();
        for pattern in &self.preview {
            if !pattern.has_placeholder() {
                problems.push(PolicyProblem::FixedPreview { pattern: pattern.to_string() });
            }
            let covered = production.iter().find(|host| pattern.can_match(host.as_str()));
            if let Some(host) = covered {
                problems.push(PolicyProblem::CoversProduction {
                    pattern: pattern.to_string(),
                    host: host.to_string(),
                });
            }
            let is_open_below =
                |host: &&&ProductionHost| !host.is_on_platform() && pattern.opens_labels_below(host.as_str());
            let neighbour = production.iter().find(is_open_below);
            if let Some(host) = neighbour.filter(|_| covered.is_none()) {
                problems.push(PolicyProblem::BesideProduction {
                    pattern: pattern.to_string(),
                    host: host.to_string(),
                });
            }
        }
        let too_wide = self.networks.iter().filter(|network| !addresses::is_listable(network));
        problems.extend(too_wide.map(|&network| PolicyProblem::UnlistableNetwork { network }));
        problems
    }

    /// Returns the listed production hosts and those that the platform gives every project.
    pub(super) fn every_production(&self) -> impl Iterator<Item = &ProductionHost> {
        self.production.iter().chain(self.platform.iter().flat_map(Platform::production))
    }

    /// Returns the accounts and apps whose deployments count.
    pub(super) fn trusted_deployers(&self) -> Vec<&str> {
        if !self.deployers.is_empty() {
            return self.deployers.iter().map(String::as_str).collect();
        }
        let of_platform = self.platform.as_ref().map(Platform::deployers).unwrap_or_default();
        if of_platform.is_empty() { vec![ACTIONS_APP] } else { of_platform.to_vec() }
    }
}

/// Whoever deploys from a workflow deploys as this app.
const ACTIONS_APP: &str = "github-actions[bot]";

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

    /// Below such a host live only deployments that the platform itself made, no neighbours with names of their own.
    fn is_on_platform(&self) -> bool {
        psl::suffix(self.0.as_bytes()).is_some_and(|suffix| suffix.typ() == Some(psl::Type::Private))
    }

    fn is_public_suffix(&self) -> bool {
        psl::suffix(self.0.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == self.0.as_str())
    }
}

impl fmt::Display for ProductionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(preview: &[&str], production: &[&str], networks: &[&str]) -> Policy {
        Policy {
            preview: preview.iter().map(|text| PreviewPattern::parse(text).unwrap()).collect(),
            production: production.iter().map(|text| ProductionHost::parse(text).unwrap()).collect(),
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
            ..Policy::default()
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
    fn a_branch_must_not_be_able_to_take_the_name_of_productions_neighbour() {
        let open = policy(&["{branch}.shop.test"], &["shop.test"], &[]);

        let problems = open.problems_for_remote();

        assert!(matches!(problems[..], [PolicyProblem::BesideProduction { .. }]), "{problems:?}");
        for bound in
            ["pr-{pr}.shop.test", "web-{branch}.shop.test", "{branch}.preview.shop.test", "{pr}.shop.test"]
        {
            assert_eq!(policy(&[bound], &["shop.test"], &[]).problems_for_remote(), [], "{bound}");
        }
        assert_eq!(policy(&["{branch}.shop.pages.dev"], &["shop.pages.dev"], &[]).problems_for_remote(), []);
    }

    #[test]
    fn a_preview_pattern_on_a_platform_that_wants_to_be_asked_is_seen() {
        let on_netlify = policy(&["deploy-preview-{pr}--shop.netlify.app"], &["shop.test"], &[]);
        let agreed = Policy { consent: Some("ticket 1".into()), ..on_netlify.clone() };
        let elsewhere = policy(&["pr-{pr}.preview.shop.test"], &["shop.test"], &[]);

        assert_eq!(on_netlify.platform_without_consent(), Some("Netlify"));
        assert_eq!((agreed.platform_without_consent(), elsewhere.platform_without_consent()), (None, None));
    }

    #[test]
    fn public_suffixes_alone_are_no_production_list() {
        for (production, is_empty) in [
            (&["com", "co.uk"][..], true),
            (&["vercel.app"], true),
            (&["com", "shop.test"], false),
            (&["intranet"], false),
        ] {
            let problems = policy(&["pr-{pr}.preview.shop.test"], production, &[]).problems_for_remote();
            assert_eq!(problems == [PolicyProblem::NoProduction], is_empty, "{production:?}: {problems:?}");
        }
    }

    #[test]
    fn an_empty_policy_protects_nothing_and_says_so() {
        let problems = Policy::default().problems_for_remote();

        assert_eq!(problems, [PolicyProblem::NoProduction, PolicyProblem::NoPreview]);
    }
}
