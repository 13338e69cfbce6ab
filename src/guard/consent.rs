//! Consent is what a hosting platform must give before its machines are loaded: some forbid load tests that nobody
//! announced, and answer them by blocking the sender.
//!
//! A platform is known by the zone of a host, or of a name that the host leads to. What hides behind a name of one's
//! own without such a trace is not seen.

/// A platform that wants to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AskingPlatform {
    /// Its name, as its users write it.
    pub(super) name: &'static str,
    /// Whom to ask.
    pub(super) ask_at: &'static str,
    /// What its hosts end with, and what names of one's own lead to.
    zones: &'static [&'static str],
}

/// Vercel permits load tests on Enterprise plans and on notice only; Netlify asks for express permission.
const ASKING_PLATFORMS: [AskingPlatform; 2] = [
    AskingPlatform {
        name: "Vercel",
        ask_at: "Vercel's support, whose guide permits load tests to Enterprise customers who give notice",
        zones: &["vercel.app", "now.sh", "vercel-dns.com"],
    },
    AskingPlatform {
        name: "Netlify",
        ask_at: "Netlify's support; the acceptable use policy asks for express permission",
        zones: &["netlify.app", "netlify.com", "netlifyglobalcdn.com"],
    },
];

/// Returns the platform behind any of these names that forbids unannounced load tests.
pub(super) fn platform_that_forbids<'n>(
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'static AskingPlatform> {
    names.into_iter().find_map(|name| {
        ASKING_PLATFORMS.iter().find(|platform| platform.zones.iter().any(|zone| is_in(name, zone)))
    })
}

fn is_in(name: &str, zone: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_known_by_whole_labels() {
        let platform = |name| platform_that_forbids([name]).map(|platform| platform.name);

        assert_eq!(platform("kiosk-git-feat-stall.vercel.app"), Some("Vercel"));
        assert_eq!(platform("cname.vercel-dns.com."), Some("Vercel"));
        assert_eq!(platform("deploy-preview-7--kiosk.netlify.app"), Some("Netlify"));
        for other in ["notvercel.app", "vercel.app.kiosk.test", "kiosk.pages.dev", ""] {
            assert_eq!(platform(other), None, "{other}");
        }
    }
}
