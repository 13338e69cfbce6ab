//! L2 asks who named the target: exactly one known source, judged by a policy that is fit for the purpose.
//!
//! Two sources that agree are one; two that differ are none.

use super::Statement;
use crate::context::{DeploymentClaim, PreviewValue};
use crate::guard::receipt::{RefusalCode, shown};
use crate::guard::{Case, Depth, Review, names, production_words};
use crate::target::{Candidate, Source};

const MERGE_FIRST: &str = "merge loadgate.toml with its [target] into the base branch first, in a pull request of its \
     own; [service] and --local work without";

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    let inquiry = case.inquiry;
    let Some(chosen) = choose(&inquiry.candidates) else {
        return Statement::veto(
            RefusalCode::NoSource,
            "nothing names a target",
            "set LOADGATE_PREVIEW_URL in the job, run on `deployment_status`, or configure [service]",
        );
    };
    if let Some(other) = inquiry.candidates.iter().find(|other| !names_the_same(chosen, other)) {
        return Statement::veto(
            RefusalCode::TwoSources,
            format!(
                "two sources differ: {} names {}, {} names {}",
                chosen.source,
                shown(&chosen.raw),
                other.source,
                shown(&other.raw)
            ),
            "let one source name the target: unset LOADGATE_PREVIEW_URL, or don't run on `deployment_status`",
        );
    }
    case.candidate = Some(chosen);
    if case.is_loopback() {
        return Statement::silence(format!("named by {}", chosen.source));
    }
    let claims = inquiry.context.pull_request().map(|pull_request| pull_request.claims.as_slice());
    if let Some(objection) = claims.unwrap_or_default().iter().find_map(object_to_claim) {
        return objection;
    }
    if let Some(problem) = inquiry.policy.problems_for_remote().first() {
        return Statement::veto(RefusalCode::UnfitPolicy, problem.to_string(), problem.help());
    }
    match judge_review(case.depth, &inquiry.policy.review) {
        Ok(reviewed) => Statement::silence(format!("named by {}; {reviewed}", chosen.source)),
        Err(objection) => objection,
    }
}

/// Platforms and CI systems have variables that say what is deployed; none of them may say anything but a preview.
fn object_to_claim(claim: &DeploymentClaim) -> Option<Statement> {
    let word = production_words::find(&claim.value);
    let is_preview = match &claim.expected {
        PreviewValue::Word(expected) => claim.value.eq_ignore_ascii_case(expected),
        PreviewValue::NoneOf(words) => {
            word.is_none() && !words.iter().any(|word| claim.value.eq_ignore_ascii_case(word))
        }
    };
    let expected = match &claim.expected {
        PreviewValue::Word(expected) => format!("; a preview has {expected:?} there"),
        PreviewValue::NoneOf(_) => String::new(),
    };
    (!is_preview).then(|| {
        let value = names::cut(&claim.value);
        Statement::veto(
            RefusalCode::NotForReview,
            format!("{} is {value:?}, so this is no preview of a pull request{expected}", claim.variable),
            "run in the job that deploys the preview of the pull request",
        )
    })
}

/// Returns who has seen the policy, or the objection.
fn judge_review(depth: Depth, review: &Review) -> Result<String, Statement> {
    let veto =
        |fact: String, remedy: String| Err(Statement::veto(RefusalCode::UnreviewedPolicy, fact, remedy));
    match (review, depth) {
        (Review::Base { commit }, _) => Ok(format!("policy of the base branch, commit {commit}")),
        (Review::Missing, _) => {
            veto("the base branch has no policy: this pull request brings its own".into(), MERGE_FIRST.into())
        }
        (Review::None | Review::Unknown { .. }, Depth::Offline) => {
            Ok("policy of the checkout: the base branch could not be asked offline".into())
        }
        (Review::None, Depth::Online) => {
            veto("the policy was not read from the base branch".into(), MERGE_FIRST.into())
        }
        (Review::Unknown { why, remedy }, Depth::Online) => {
            veto(format!("the policy of the base branch is not known: {why}"), remedy.clone())
        }
    }
}

/// The forge's word stands before a variable that any step of the job could have set.
fn choose(candidates: &[Candidate]) -> Option<&Candidate> {
    let is_firm = |candidate: &&Candidate| candidate.source != Source::PreviewVariable;
    candidates.iter().find(is_firm).or(candidates.first())
}

fn names_the_same(one: &Candidate, other: &Candidate) -> bool {
    let bare = |candidate: &Candidate| candidate.raw.strip_suffix('/').unwrap_or(&candidate.raw).to_owned();
    one.source.is_loopback() == other.source.is_loopback() && bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};
    use crate::guard::{FixedResolver, Inquiry, Policy};

    fn named_twice(second: &str) -> Inquiry {
        let mut inquiry = fixture::deployed();
        inquiry.candidates.push(Candidate { source: Source::PreviewVariable, raw: second.into() });
        inquiry
    }

    #[test]
    fn one_named_source_is_needed() {
        assert_passes(ask, &fixture::preview());
        assert_vetoes(ask, &Inquiry { candidates: vec![], ..fixture::preview() }, RefusalCode::NoSource);
    }

    #[test]
    fn sources_that_agree_are_one() {
        assert_passes(ask, &named_twice("https://pr-1.preview.shop.test"));
        assert_passes(ask, &named_twice("https://pr-1.preview.shop.test/"));
    }

    #[test]
    fn sources_that_differ_are_none() {
        assert_vetoes(ask, &named_twice("https://pr-2.preview.shop.test/"), RefusalCode::TwoSources);
        assert_vetoes(ask, &named_twice("https://PR-1.preview.shop.test/"), RefusalCode::TwoSources);

        let mut mixed = fixture::preview();
        mixed.candidates.extend(fixture::loopback().candidates);
        assert_vetoes(ask, &mixed, RefusalCode::TwoSources);
    }

    #[test]
    fn the_payload_stands_before_the_variable() {
        let mut inquiry = named_twice("https://pr-1.preview.shop.test");
        inquiry.candidates.reverse();

        let chosen = choose(&inquiry.candidates).unwrap();

        assert!(matches!(chosen.source, Source::DeploymentStatus { .. }));
    }

    fn claimed(variable: &str, value: &str, expected: &PreviewValue, mut inquiry: Inquiry) -> Inquiry {
        let expected = expected.clone();
        let claim = DeploymentClaim { variable: variable.into(), value: value.into(), expected };
        if let Context::PullRequest(pull_request) = &mut inquiry.context {
            pull_request.claims = vec![claim];
        }
        inquiry
    }

    #[test]
    fn a_variable_that_says_anything_but_preview_is_a_no() {
        let word = PreviewValue::Word("preview".into());
        let env = |value: &str| claimed("VERCEL_ENV", value, &word, fixture::preview());
        assert_passes(ask, &env("preview"));
        for value in ["production", "development", "", "preview2"] {
            assert_vetoes(ask, &env(value), RefusalCode::NotForReview);
        }

        let none_of = PreviewValue::NoneOf(vec!["staging".into()]);
        let tier = |value: &str| claimed("CI_ENVIRONMENT_TIER", value, &none_of, fixture::preview());
        assert_passes(ask, &tier("development"));
        for value in ["staging", "production", "shop (Live)"] {
            assert_vetoes(ask, &tier(value), RefusalCode::NotForReview);
        }
        let local = Inquiry { context: env("production").context, ..fixture::loopback() };
        assert_passes(ask, &local);
    }

    fn code_online(review: Review) -> Option<RefusalCode> {
        let inquiry =
            Inquiry { policy: Policy { review, ..fixture::preview().policy }, ..fixture::preview() };
        fixture::veto_of(fixture::online(ask, &inquiry, &FixedResolver::answering(&[])))
    }

    #[test]
    fn a_policy_that_nobody_has_seen_clears_nothing_remote() {
        let unknown = Review::Unknown { why: "no git".into(), remedy: "fetch more".into() };
        for review in [Review::None, Review::Missing, unknown] {
            assert_eq!(code_online(review), Some(RefusalCode::UnreviewedPolicy));
        }
        assert_eq!(code_online(Review::Base { commit: "89abcde".into() }), None);
    }

    #[test]
    fn an_unfit_policy_clears_nothing_remote() {
        let policy = Policy { production: vec![], ..fixture::preview().policy };

        assert_vetoes(ask, &Inquiry { policy, ..fixture::preview() }, RefusalCode::UnfitPolicy);
        assert_passes(ask, &Inquiry { policy: Policy::default(), ..fixture::loopback() });
    }
}
