//! The last rule: independent sources must agree that the target is a preview of this pull request.
//!
//! There are three: the CI system together with a pattern of the policy, the forge's control plane, and the target
//! itself. Each can be wrong or be fooled alone, so that one of them is never enough.

use super::Statement;
use crate::guard::receipt::RefusalCode;
use crate::guard::{Case, Depth};

pub(in crate::guard) const NAME: &str = "two proofs";

/// How many of the sources must agree.
const NEEDED: usize = 2;

/// A source of proof, and the layers that must all have proven their part for it to count.
struct TrustDomain {
    name: &'static str,
    layers: &'static [&'static str],
}

const DOMAINS: [TrustDomain; 3] = [
    TrustDomain { name: "CI and pattern", layers: &["L1 context", "L5 preview"] },
    TrustDomain { name: "control plane", layers: &["L6 control plane"] },
    TrustDomain { name: "the target itself", layers: &["L8 proof"] },
];

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() {
        return Statement::silence("a service on this machine needs no second proof");
    }
    if case.depth == Depth::Offline {
        return Statement::not_asked("not asked (offline)");
    }
    let agreed: Vec<&str> = DOMAINS
        .iter()
        .filter(|domain| domain.layers.iter().all(|layer| case.has_proof_of(layer)))
        .map(|domain| domain.name)
        .collect();
    if agreed.len() >= NEEDED {
        return Statement::silence(format!("proven by {}", agreed.join(" and by ")));
    }
    let proven = agreed.first().map_or("nothing proves", |_| "only one source proves");
    let by = agreed.first().map(|name| format!(" ({name})")).unwrap_or_default();
    Statement::veto(
        RefusalCode::TooFewProofs,
        format!("{proven} that this is a preview of the pull request{by}; {NEEDED} are needed"),
        "deploy the preview as a GitHub deployment of the pull request's head commit, or let it serve a signed \
         marker at /.well-known/loadgate",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::guard::layers::fixture::{self, NoDeployments};
    use crate::guard::{FixedResolver, Inquiry, LAYERS, Outside, clear};

    fn code_without_deployment(inquiry: &Inquiry) -> Result<(), RefusalCode> {
        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        let world = Outside { control_plane: &NoDeployments, ..fixture::outside(&resolver) };
        clear(inquiry, &world).map(|_| ()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn one_source_alone_is_not_enough() {
        assert_eq!(code_without_deployment(&fixture::preview()), Err(RefusalCode::TooFewProofs));
        assert!(
            clear(&fixture::preview(), &fixture::outside(&FixedResolver::answering(&["76.76.21.21"])))
                .is_ok()
        );
    }

    #[test]
    fn a_ci_system_whose_jobs_may_rewrite_its_words_is_no_source() {
        let mut inquiry = fixture::preview();
        if let Context::PullRequest(pull_request) = &mut inquiry.context {
            pull_request.is_vouched = false;
        }

        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        let refusal = clear(&inquiry, &fixture::outside(&resolver)).unwrap_err();

        assert_eq!((refusal.layer, refusal.code), (NAME, RefusalCode::TooFewProofs));
        assert!(refusal.fact.contains("control plane"), "{}", refusal.fact);
    }

    #[test]
    fn a_service_of_this_machine_needs_no_second_proof() {
        assert_eq!(code_without_deployment(&fixture::loopback()), Ok(()));
    }

    #[test]
    fn every_domain_names_layers_that_exist() {
        for layer in DOMAINS.iter().flat_map(|domain| domain.layers) {
            assert!(LAYERS.iter().any(|known| known.name == *layer), "{layer}");
        }
    }
}
