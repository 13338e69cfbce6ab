//! L2 asks who named the target: exactly one known source, judged by a policy that is fit for the purpose.
//!
//! Two sources that agree are one; two that differ are none.

use super::Statement;
use crate::guard::Case;
use crate::guard::receipt::{RefusalCode, shown};
use crate::target::{Candidate, Source};

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
    if !case.is_loopback()
        && let Some(problem) = inquiry.policy.problems_for_remote().first()
    {
        return Statement::veto(RefusalCode::UnfitPolicy, problem.to_string(), problem.help());
    }
    case.candidate = Some(chosen);
    Statement::silence(format!("named by {}", chosen.source))
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
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};
    use crate::guard::{Inquiry, Policy};

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

    #[test]
    fn an_unfit_policy_clears_nothing_remote() {
        let policy = Policy { production: vec![], ..fixture::preview().policy };

        assert_vetoes(ask, &Inquiry { policy, ..fixture::preview() }, RefusalCode::UnfitPolicy);
        assert_passes(ask, &Inquiry { policy: Policy::default(), ..fixture::loopback() });
    }
}
