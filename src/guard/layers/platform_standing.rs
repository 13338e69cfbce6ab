//! A part of L6 that asks the hosting platform itself whether what would be loaded is live there. A promotion changes no
//! deployment at the forge, and what was promoted says of itself what it always said.
//!
//! Only platforms whose API tells it are asked, and only by a job that has a token for them.

use super::Statement;
use crate::guard::receipt::RefusalCode;
use crate::guard::{Case, PlatformStanding};

/// Returns what the platform said where nothing in it speaks against the host, and nothing where nobody was asked.
pub(super) fn ask(case: &Case<'_>, host: &str) -> Result<Option<&'static str>, Statement> {
    let platform = case.inquiry.policy.platform.as_ref();
    let Some(question) = platform.and_then(|platform| platform.question_about(host)) else {
        return Ok(None);
    };
    match case.outside.control_plane.platform_standing(&question) {
        Ok(PlatformStanding::Unknown) => Ok(None),
        Ok(PlatformStanding::Apart) => Ok(Some("the platform serves something else as live")),
        Ok(PlatformStanding::Live { what }) => Err(Statement::veto(
            RefusalCode::ProductionEnvironment,
            format!("what {host} serves is live: {what}"),
            "load what no visitor of production gets: deploy the pull request anew, and let production have \
             deployments of its own",
        )),
        Ok(PlatformStanding::Foreign { what }) => Err(Statement::veto(
            RefusalCode::NotAPreview,
            format!("the platform does not know {host} as a preview of the policy's project: {what}"),
            "let the `platform` of [target] name the project that deploys the previews",
        )),
        Err(error) => Err(Statement::veto(RefusalCode::ControlPlane, error.to_string(), error.help())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::control_plane;
    use crate::guard::layers::fixture::{self, CHANNEL, Hosted, NoDeployments, TAG, online_in, veto_of};
    use crate::guard::{
        ControlPlane, ControlPlaneError, ControlPlaneFacts, DeploymentQuestion, FixedResolver, Inquiry,
        LayerDecision, Outside, PlatformQuestion,
    };

    fn said(inquiry: &Inquiry, control_plane: &dyn ControlPlane) -> Statement {
        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        online_in(control_plane::ask, inquiry, Outside { control_plane, ..fixture::outside(&resolver) })
    }

    fn said_where(host: &'static str, standing: Result<PlatformStanding, ControlPlaneError>) -> Statement {
        said(&fixture::hosted(host), &Hosted::new(host, standing))
    }

    #[test]
    fn what_is_live_is_refused_whatever_the_forge_says() {
        for host in [CHANNEL, TAG] {
            let what = "the live channel serves it too".to_owned();
            let line = said_where(host, Ok(PlatformStanding::Live { what })).line("L6");

            assert_eq!(line.code, Some(RefusalCode::ProductionEnvironment));
            assert!(line.fact.contains(host) && line.fact.contains("the live channel serves it too"));
            assert!(line.remedy.is_some_and(|remedy| remedy.contains("anew")));
        }
    }

    #[test]
    fn what_is_apart_is_told_beside_the_word_of_the_forge() {
        for host in [CHANNEL, TAG] {
            let line = said_where(host, Ok(PlatformStanding::Apart)).line("L6");

            assert_eq!(line.decision, LayerDecision::Proof, "{line:?}");
            assert!(line.fact.contains("deployment 9") && line.fact.contains("something else as live"));
        }
    }

    #[test]
    fn a_host_that_the_project_does_not_have_is_refused() {
        let foreign = PlatformStanding::Foreign { what: "no tag is there".into() };

        assert_eq!(veto_of(said_where(TAG, Ok(foreign))), Some(RefusalCode::NotAPreview));
    }

    #[test]
    fn a_platform_that_was_asked_and_did_not_answer_is_a_no() {
        let failed = ControlPlaneError::Failed { what: "it answered 503".into(), remedy: "run again".into() };

        for host in [CHANNEL, TAG] {
            let line = said_where(host, Err(failed.clone())).line("L6");
            assert_eq!(line.code, Some(RefusalCode::ControlPlane), "{line:?}");
            assert_eq!(line.remedy.as_deref(), Some("run again"));
        }
    }

    #[test]
    fn without_anybody_to_ask_the_word_of_the_forge_stands_alone() {
        let line = said_where(CHANNEL, Ok(PlatformStanding::Unknown)).line("L6");
        assert_eq!(line.decision, LayerDecision::Proof, "{line:?}");
        assert!(!line.fact.contains("platform"), "{line:?}");

        let nothing_deployed = said(&fixture::hosted(CHANNEL), &NoDeployments);
        assert_eq!(veto_of(nothing_deployed), None, "silence, as the default of the trait says");
    }

    /// A platform that must not be asked.
    struct NotAsked;

    impl ControlPlane for NotAsked {
        fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
            Ok(fixture::forge_facts())
        }

        fn platform_standing(
            &self,
            question: &PlatformQuestion<'_>,
        ) -> Result<PlatformStanding, ControlPlaneError> {
            panic!("{question:?} was asked");
        }
    }

    #[test]
    fn a_preview_elsewhere_and_a_service_without_a_name_are_not_asked_about() {
        assert_eq!(veto_of(said(&fixture::preview(), &NotAsked)), None);
        assert_eq!(veto_of(said(&fixture::loopback(), &NotAsked)), None);

        let elsewhere = fixture::preview();
        let policy = crate::guard::Policy {
            platform: fixture::hosted(CHANNEL).policy.platform,
            ..elsewhere.policy.clone()
        };
        assert_eq!(veto_of(said(&Inquiry { policy, ..elsewhere }, &NotAsked)), None);

        let unnamed = fixture::hosted_without_service(TAG);
        assert_eq!(veto_of(said(&unnamed, &NotAsked)), None);
    }
}
