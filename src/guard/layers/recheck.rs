//! L10 asks, last of all, whether the platform that would carry the load has agreed to it.

use super::Statement;
use crate::guard::Case;
use crate::guard::consent;
use crate::guard::receipt::RefusalCode;

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() {
        return Statement::silence("nobody needs to agree to load on this machine");
    }
    let Some(origin) = &case.origin else { return Statement::incomplete() };
    let Some(platform) = consent::platform_that_forbids([origin.host.as_str()]) else {
        return Statement::silence("no platform is known here that wants to be asked before a load test");
    };
    match &case.inquiry.policy.consent {
        Some(ticket) => Statement::silence(format!("{} has agreed: {ticket}", platform.name)),
        None => Statement::veto(
            RefusalCode::NoConsent,
            format!("{} forbids load tests that nobody announced", platform.name),
            format!(
                "ask them ({}), then write their answer into [target]: consent = \"TICKET\"",
                platform.ask_at
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};
    use crate::guard::{Inquiry, PreviewPattern};

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

        assert_vetoes(ask, &on_netlify(), RefusalCode::NoConsent);
        assert_passes(ask, &agreed);
    }

    #[test]
    fn other_places_ask_for_no_consent() {
        assert_passes(ask, &fixture::preview());
        assert_passes(ask, &fixture::loopback());
    }
}
