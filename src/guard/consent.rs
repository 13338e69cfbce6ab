//! Consent is what a hosting platform must give before its machines are loaded: some forbid load tests that nobody
//! announced, and answer them by blocking the sender.
//!
//! A platform is known because the policy names it, by the zone of a host, or by a name that the host leads to. What
//! hides behind a name of one's own without such a trace is not seen.

use super::platform::Provider;

/// A platform that wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AskingPlatform {
    /// Its name in the table of providers.
    provider: &'static str,
    /// Its name, as its users write it.
    pub(super) name: &'static str,
    /// Whom to ask.
    pub(super) ask_at: &'static str,
    /// Its own zone, which is also that of a preview pattern there, and those that names of its customers lead to.
    zones: &'static [&'static str],
}

/// Vercel permits load tests on Enterprise plans and on notice only; Netlify asks for express permission.
const ASKING_PLATFORMS: [AskingPlatform; 2] = [
    AskingPlatform {
        provider: "vercel",
        name: "Vercel",
        ask_at: "Vercel's support, whose guide permits load tests to Enterprise customers who give notice",
        zones: &["vercel.app", "now.sh", "vercel-dns.com"],
    },
    AskingPlatform {
        provider: "netlify",
        name: "Netlify",
        ask_at: "Netlify's support; the acceptable use policy asks for express permission",
        zones: &["netlify.app", "netlify.com", "netlifyglobalcdn.com"],
    },
];

/// Returns the platform that forbids unannounced load tests: the one that the policy names, or one behind any of the
/// names.
pub(super) fn platform_that_forbids<'n>(
    provider: Option<&Provider>,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'static AskingPlatform> {
    let of_provider = |provider: &Provider| {
        let mut asking = ASKING_PLATFORMS.iter().filter(|_| provider.needs_consent);
        asking.find(|platform| platform.provider == provider.name)
    };
    provider.and_then(of_provider).or_else(|| names.into_iter().find_map(platform_of_name))
}

fn platform_of_name(name: &str) -> Option<&'static AskingPlatform> {
    let name = name.strip_suffix('.').unwrap_or(name);
    ASKING_PLATFORMS.iter().find(|platform| platform.zones.iter().any(|zone| is_in(name, zone)))
}

fn is_in(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_known_by_whole_labels() {
        let platform = |name| platform_that_forbids(None, [name]).map(|platform| platform.name);

        assert_eq!(platform("kiosk-git-feat-stall.vercel.app"), Some("Vercel"));
        assert_eq!(platform("cname.vercel-dns.com."), Some("Vercel"));
        assert_eq!(platform("deploy-preview-7--kiosk.netlify.app"), Some("Netlify"));
        for other in ["notvercel.app", "vercel.app.kiosk.test", "kiosk.pages.dev", ""] {
            assert_eq!(platform(other), None, "{other}");
        }
    }

    #[test]
    fn a_platform_that_the_policy_names_is_known_without_any_trace() {
        for name in Provider::names() {
            let provider = Provider::named(name).unwrap();
            let found = platform_that_forbids(Some(provider), ["preview.kiosk.test"]);
            assert_eq!(found.is_some(), provider.needs_consent, "{name}");
        }
    }
}
