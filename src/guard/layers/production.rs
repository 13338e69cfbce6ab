//! L4 asks whether the host is production: by the policy's list, by what the environment says, by living beside a
//! production host, or by a word in its name.

use std::collections::BTreeSet;

use super::Statement;
use crate::guard::pattern::{Placeholder, PreviewPattern};
use crate::guard::policy::Policy;
use crate::guard::receipt::RefusalCode;
use crate::guard::{Case, Inquiry, production_words};

const LOAD_A_PREVIEW: &str = "load a preview of the pull request instead; production is never loaded";

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() {
        return Statement::silence("a loopback address is nobody's production host");
    }
    let Some(origin) = &case.origin else { return Statement::incomplete() };
    let host = origin.host.as_str();
    let inquiry = case.inquiry;
    object_to_production(inquiry, host)
        .or_else(|| object_to_sibling(inquiry, host))
        .or_else(|| object_to_word(&inquiry.policy, host))
        .unwrap_or_else(|| {
            Statement::silence(format!("{host} is not production by list, neighbourhood or name"))
        })
}

fn object_to_production(inquiry: &Inquiry, host: &str) -> Option<Statement> {
    let is_listed = inquiry.policy.every_production().any(|listed| listed.as_str() == host);
    let by_variable = inquiry.production_facts.iter().find(|fact| fact.host == host);
    let fact = match (is_listed, by_variable) {
        (true, _) => format!("{host} is in the production list"),
        (false, Some(fact)) => format!("{host} is production: {} says so", fact.variable),
        (false, None) => return None,
    };
    Some(Statement::veto(RefusalCode::Production, fact, LOAD_A_PREVIEW))
}

fn object_to_sibling(inquiry: &Inquiry, host: &str) -> Option<Statement> {
    let domain = psl::domain_str(host)?;
    let neighbour =
        production_hosts(inquiry).into_iter().find(|name| psl::domain_str(name) == Some(domain))?;
    let is_in_preview_zone =
        inquiry.policy.preview.iter().any(|pattern| outside_zone(pattern, host).is_some());
    (!is_in_preview_zone).then(|| {
        Statement::veto(
            RefusalCode::ProductionSibling,
            format!("{host} is under {domain} like production host {neighbour}, outside the preview zones"),
            "add the zone of the previews to [target] preview, if this is one",
        )
    })
}

fn object_to_word(policy: &Policy, host: &str) -> Option<Statement> {
    let word = word_in_host(policy, host)?;
    Some(Statement::veto(
        RefusalCode::ProductionWord,
        format!("the name {host} holds the word {word:?}"),
        "name previews without words of production, for example by {pr} instead of {branch}",
    ))
}

/// Text that the policy fixes is not asked: whoever reviewed it saw the word.
fn word_in_host(policy: &Policy, host: &str) -> Option<&'static str> {
    let any_text = |_: Placeholder, text: &str| !text.is_empty();
    let shapes: Vec<_> =
        policy.preview.iter().filter_map(|pattern| pattern.captures(host, &any_text)).collect();
    if shapes.is_empty() {
        let zone_free = policy.preview.iter().find_map(|pattern| outside_zone(pattern, host));
        return production_words::find(zone_free.unwrap_or(host));
    }
    let word_in = |captures: &Vec<(Placeholder, &str)>| {
        captures.iter().find_map(|(_, text)| production_words::find(text))
    };
    let words: Option<Vec<_>> = shapes.iter().map(word_in).collect();
    words.and_then(|words| words.first().copied())
}

/// Returns the part of the host left of the pattern's zone, where it lies in it.
fn outside_zone<'h>(pattern: &PreviewPattern, host: &'h str) -> Option<&'h str> {
    if !pattern.has_placeholder() {
        return None;
    }
    host.strip_suffix(&pattern.zone())?.strip_suffix('.')
}

fn production_hosts(inquiry: &Inquiry) -> BTreeSet<&str> {
    let listed = inquiry.policy.every_production().map(crate::guard::ProductionHost::as_str);
    listed.chain(inquiry.production_facts.iter().map(|fact| fact.host.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};
    use crate::target::ProductionFact;

    #[test]
    fn a_preview_is_not_production() {
        assert_passes(ask, &fixture::preview());
        assert_passes(ask, &fixture::loopback());
    }

    #[test]
    fn listed_hosts_are_production() {
        for host in ["shop.test", "www.shop.test"] {
            assert_vetoes(ask, &fixture::remote(host), RefusalCode::Production);
        }
    }

    #[test]
    fn hosts_that_the_environment_names_are_production() {
        let mut inquiry = fixture::preview();
        inquiry.production_facts =
            vec![ProductionFact { host: "pr-1.preview.shop.test".into(), variable: "URL".into() }];

        assert_vetoes(ask, &inquiry, RefusalCode::Production);
    }

    #[test]
    fn neighbours_of_production_are_refused_outside_the_preview_zone() {
        for host in ["admin.shop.test", "preview.shop.test", "a.b.shop.test", "xpreview.shop.test"] {
            assert_vetoes(ask, &fixture::remote(host), RefusalCode::ProductionSibling);
        }
        assert_passes(ask, &fixture::remote("anything.preview.shop.test"));
        assert_passes(ask, &fixture::remote("stranger.example"));
    }

    #[test]
    fn other_customers_of_a_platform_are_no_neighbours() {
        let mut inquiry = fixture::remote("pr-1-shop.netlify.app");
        inquiry.production_facts =
            vec![ProductionFact { host: "shop.netlify.app".into(), variable: "URL".into() }];

        assert_passes(ask, &inquiry);
    }

    #[test]
    fn words_of_production_are_tokens_of_the_free_part() {
        for host in ["www.preview.shop.test", "api-prod.preview.shop.test", "eu.live2.example"] {
            assert_vetoes(ask, &fixture::remote(host), RefusalCode::ProductionWord);
        }
        assert_passes(ask, &fixture::remote("product-delivery.preview.shop.test"));
    }

    #[test]
    fn words_that_the_policy_fixes_are_not_asked() {
        let mut inquiry = fixture::remote("www-git-feat-cart-acme.previews.example");
        inquiry.policy.preview =
            vec![PreviewPattern::parse("www-git-{branch}-acme.previews.example").unwrap()];
        assert_passes(ask, &inquiry);

        let mut inquiry = fixture::remote("www-git-main-acme.previews.example");
        inquiry.policy.preview =
            vec![PreviewPattern::parse("www-git-{branch}-acme.previews.example").unwrap()];
        assert_vetoes(ask, &inquiry, RefusalCode::ProductionWord);
    }
}
