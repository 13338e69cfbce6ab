//! A part of L10 that asks, last of all, whether the platform that would carry the load has agreed to it.

use super::Statement;
use crate::guard::Case;
use crate::guard::consent;
use crate::guard::platform::Platform;
use crate::guard::receipt::RefusalCode;

/// Returns the fact that nothing is in the way, or the veto.
pub(super) fn ask(case: &Case<'_>) -> Result<String, Statement> {
    if case.is_loopback() {
        return Ok("nobody needs to agree to load on this machine".to_owned());
    }
    let Some(origin) = &case.origin else { return Err(Statement::incomplete()) };
    let policy = &case.inquiry.policy;
    let names = std::iter::once(&origin.host).chain(&case.aliases).map(String::as_str);
    let provider = policy.platform.as_ref().map(Platform::provider);
    let Some(platform) = consent::platform_that_forbids(provider, names) else {
        return Ok("no platform is known here that wants to be asked before a load test".to_owned());
    };
    match &policy.consent {
        Some(ticket) => Ok(format!("{} has agreed: {ticket}", platform.name)),
        None => Err(Statement::veto(
            RefusalCode::NoConsent,
            format!("{} forbids load tests that nobody announced", platform.name),
            format!(
                "ask {}, then write where the answer is into [target]: consent = \"TICKET\"",
                platform.ask_at
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};
    use crate::guard::layers::recheck;
    use crate::guard::{FixedResolver, Inquiry, PreviewPattern, Resolution};

    fn on_netlify() -> Inquiry {
        let mut inquiry = fixture::remote("deploy-preview-1--shop.netlify.app");
        inquiry.policy.preview =
            vec![PreviewPattern::parse("deploy-preview-{pr}--shop.netlify.app").unwrap()];
        inquiry
    }

    #[test]
    fn a_platform_that_forbids_load_tests_must_have_agreed() {
        let mut agreed = on_netlify();
        agreed.policy.consent = Some("ticket 4711".into());

        assert_vetoes(recheck::ask, &on_netlify(), RefusalCode::NoConsent);
        assert_passes(recheck::ask, &agreed);
    }

    #[test]
    fn a_name_of_ones_own_that_leads_to_such_a_platform_needs_its_consent_too() {
        let led_by = |alias: &str| {
            let found = Resolution {
                aliases: vec![alias.into()],
                addresses: vec!["76.76.21.21".parse().unwrap()],
                ..Resolution::default()
            };
            let said = fixture::online(recheck::ask, &fixture::preview(), &FixedResolver(Ok(found)));
            fixture::veto_of(said)
        };

        assert_eq!(led_by("cname.vercel-dns.com"), Some(RefusalCode::NoConsent));
        assert_eq!(led_by("shop.pages.dev"), None);
    }

    #[test]
    fn other_places_ask_for_no_consent() {
        assert_passes(recheck::ask, &fixture::preview());
        assert_passes(recheck::ask, &fixture::loopback());
    }
}
