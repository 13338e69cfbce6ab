//! L6 asks the forge whether the target is a deployment of this pull request's head, made by somebody trusted, and
//! in no environment of production; then the platform, where it can be asked, whether it is live.
//!
//! The flags `production_environment` and `transient_environment` only count against a target: forges set the first
//! to false for live sites too. What is not answered counts as a no.

use super::context::{is_production, object_to_environment};
use super::preview::is_preview_of;
use super::{Statement, platform_standing};
use crate::context::{Context, PullRequest, PullRequestEvent};
use crate::guard::receipt::RefusalCode;
use crate::guard::{
    Case, ControlPlaneError, ControlPlaneFacts, DeployedFacts, DeploymentQuestion, Depth, PreviewPattern,
    names,
};
use crate::target::host_of;

/// States of a deployment that has not ended yet, at GitHub and at GitLab.
const UNDER_WAY: [&str; 5] = ["created", "in_progress", "pending", "queued", "running"];

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() {
        return Statement::silence("a service on this machine is nobody's deployment");
    }
    let (Some(origin), Context::PullRequest(pull_request)) = (&case.origin, &case.inquiry.context) else {
        return Statement::incomplete();
    };
    if case.depth == Depth::Offline {
        return Statement::not_asked("not asked (offline)");
    }
    let Some(number) = pull_request.number else { return Statement::incomplete() };
    let question = DeploymentQuestion {
        forge: pull_request.forge,
        api: case.inquiry.policy.forge_api.as_deref(),
        repository: &pull_request.repository,
        number,
        head_sha: &pull_request.head_sha,
    };
    let said = match case.outside.control_plane.deployments(&question) {
        Ok(facts) => {
            let hearing = Hearing { case, pull_request, host: &origin.host, facts: &facts };
            hearing.judge()
        }
        Err(error) => unanswered(case.shared_shape(), &error),
    };
    if said.is_veto() {
        return said;
    }
    match platform_standing::ask(case, &origin.host) {
        Ok(None) => said,
        Ok(Some(fact)) => said.also(fact),
        Err(veto) => veto,
    }
}

fn unanswered(shared_shape: Option<&PreviewPattern>, error: &ControlPlaneError) -> Statement {
    match (error, shared_shape) {
        (ControlPlaneError::Absent(_), None) => Statement::silence(error.to_string()),
        (_, None) => Statement::veto(RefusalCode::ControlPlane, error.to_string(), error.help()),
        (ControlPlaneError::Absent(_), Some(pattern)) => Statement::veto(
            RefusalCode::ControlPlane,
            format!("{error}, and production deployments can have the shape of {pattern} too"),
            "bind previews to the pull request by a pattern with {pr} in a zone of your own",
        ),
        (_, Some(pattern)) => Statement::veto(
            RefusalCode::ControlPlane,
            format!("{error}; without it {pattern} may be production"),
            error.help(),
        ),
    }
}

/// What the forge said, about one host.
struct Hearing<'a> {
    case: &'a Case<'a>,
    pull_request: &'a PullRequest,
    host: &'a str,
    facts: &'a ControlPlaneFacts,
}

impl Hearing<'_> {
    fn judge(&self) -> Statement {
        let here: Vec<&DeployedFacts> =
            self.facts.deployments.iter().filter(|deployment| is_now_at(deployment, self.host)).collect();
        let objection = self
            .object_to_pull_request()
            .or_else(|| self.object_to_production())
            .or_else(|| self.object_to_event(&here))
            .or_else(|| here.iter().find_map(|deployment| self.object_to_deployment(deployment)));
        if let Some(objection) = objection {
            return objection;
        }
        // The newest stands for the host: an older one may have been replaced.
        let Some(deployment) = here.iter().max_by_key(|deployment| deployment.id) else {
            return self.nothing_here();
        };
        if deployment.state != "success" {
            return self.not_successful(deployment);
        }
        self.object_to_ambiguity(deployment).unwrap_or_else(|| {
            Statement::proof(format!(
                "{} has deployment {} of {} at {} in environment {:?} by {}",
                self.pull_request.forge,
                deployment.id,
                self.pull_request.head_sha.short(),
                self.host,
                names::cut(deployment.environments.first().map_or("", String::as_str)),
                names::cut(deployment.creators.first().map_or("", String::as_str)),
            ))
        })
    }

    fn object_to_pull_request(&self) -> Option<Statement> {
        if !self.facts.is_open {
            return Some(Statement::veto(
                RefusalCode::ClosedPullRequest,
                format!("{} says that the pull request is closed", self.pull_request.forge),
                "run only while the pull request is open",
            ));
        }
        let head = self.pull_request.head_sha.as_str();
        (self.facts.head_sha != head).then(|| {
            Statement::veto(
                RefusalCode::StaleHead,
                format!(
                    "the head of the pull request is {} by now, not {}",
                    names::cut(&self.facts.head_sha),
                    self.pull_request.head_sha.short()
                ),
                "run again for the new head; this run's result would not belong to it",
            )
        })
    }

    /// Whatever its state is: what was production once has production's name.
    fn object_to_production(&self) -> Option<Statement> {
        let all = self.facts.deployments.iter().chain(&self.facts.others);
        let mut production = all.filter(|deployment| means_production(deployment).is_some());
        let found = production.find(|deployment| was_at(deployment, self.host))?;
        Some(is_production(format!(
            "{} is at {}: deployment {} is production",
            self.host, self.pull_request.forge, found.id
        )))
    }

    /// An event that speaks of a deployment must speak of the one that is here.
    fn object_to_event(&self, here: &[&DeployedFacts]) -> Option<Statement> {
        let named = self.pull_request.deployment.as_ref()?;
        if self.pull_request.event != PullRequestEvent::DeploymentStatus {
            return None;
        }
        (!here.iter().any(|deployment| deployment.id == named.id)).then(|| {
            Statement::veto(
                RefusalCode::NotAPreview,
                format!("{} does not know deployment {} at {}", self.pull_request.forge, named.id, self.host),
                "let the deployment's latest status carry the URL of the preview as environment_url",
            )
        })
    }

    fn object_to_deployment(&self, deployment: &DeployedFacts) -> Option<Statement> {
        if let Some(objection) = means_production(deployment) {
            return Some(objection);
        }
        if deployment.sha != self.pull_request.head_sha.as_str() {
            return Some(Statement::veto(
                RefusalCode::StaleHead,
                format!("deployment {} is of commit {}", deployment.id, names::cut(&deployment.sha)),
                "deploy the head commit of the pull request, not its merge commit",
            ));
        }
        let trusted = self.case.inquiry.policy.trusted_deployers();
        let is_trusted = |authors: &[String]| authors.iter().any(|author| trusted.contains(&author.as_str()));
        // Whoever may write statuses can give any deployment another URL.
        let (deed, authors) = if !is_trusted(&deployment.creators) {
            ("was made", &deployment.creators)
        } else if !is_trusted(&deployment.reporters) && !deployment.state.is_empty() {
            ("got its latest status", &deployment.reporters)
        } else {
            return None;
        };
        Some({
            let by = authors.join(", ");
            Statement::veto(
                RefusalCode::ForeignDeployer,
                format!(
                    "deployment {} {deed} by {:?}; the policy trusts {}",
                    deployment.id,
                    names::cut(&by),
                    trusted.join(", ")
                ),
                "if this account deploys your previews, add it to deployers in [target] by a reviewed change",
            )
        })
    }

    fn not_successful(&self, deployment: &DeployedFacts) -> Statement {
        Statement::veto(
            if is_under_way(deployment) {
                RefusalCode::DeploymentPending
            } else {
                RefusalCode::DeploymentNotReady
            },
            format!(
                "deployment {} for {} is in state {:?}",
                deployment.id,
                self.host,
                names::cut(&deployment.state)
            ),
            "run once the deployment has succeeded, and before another one replaces it",
        )
    }

    /// One commit may be deployed several times, as in a monorepo, under several environments or one; then the policy
    /// must tell them apart.
    fn object_to_ambiguity(&self, chosen: &DeployedFacts) -> Option<Statement> {
        if self.pull_request.event == PullRequestEvent::DeploymentStatus {
            return None;
        }
        let pattern = self.case.pattern?;
        let rival = self.facts.deployments.iter().find(|other| {
            // The same commit may also be the head of another pull request, whose preview is none of this one.
            let is_rival =
                |host: String| host != self.host && is_preview_of(self.pull_request, pattern, &host);
            let mut hosts = other.urls.iter().filter_map(|url| host_of(url));
            other.state == "success" && hosts.any(is_rival)
        })?;
        Some(Statement::veto(
            RefusalCode::AmbiguousDeployment,
            format!("deployments {} and {} of the commit both fit {pattern}", chosen.id, rival.id),
            "name the project in the policy's pattern, or run on `deployment_status`",
        ))
    }

    /// Returns a deployment of the head that is under way: the forge often learns only at its end where it is.
    fn without_a_place(&self) -> Option<&DeployedFacts> {
        let head = self.pull_request.head_sha.as_str();
        let mut of_head = self.facts.deployments.iter().filter(|deployment| deployment.sha == head);
        of_head.find(|deployment| {
            deployment.urls.is_empty() && is_under_way(deployment) && means_production(deployment).is_none()
        })
    }

    fn nothing_here(&self) -> Statement {
        let forge = self.pull_request.forge;
        let commit = self.pull_request.head_sha.short();
        match (self.case.shared_shape(), self.without_a_place()) {
            (None, _) => {
                Statement::silence(format!("{forge} has no deployment of {commit} at {}", self.host))
            }
            (_, Some(deployment)) => self.not_successful(deployment),
            (Some(pattern), _) => Statement::veto(
                RefusalCode::ShapeOnly,
                format!(
                    "{forge} has no deployment of {commit} at {}, and production deployments can have the shape of \
                     {pattern} too",
                    self.host
                ),
                "let the platform report its previews to the forge as deployments of the head commit",
            ),
        }
    }
}

/// Returns whether a deployment may still succeed.
fn is_under_way(deployment: &DeployedFacts) -> bool {
    UNDER_WAY.contains(&deployment.state.as_str())
}

fn means_production(deployment: &DeployedFacts) -> Option<Statement> {
    if deployment.production_environment == Some(true) {
        return Some(is_production(format!(
            "the forge calls the environment of deployment {} production",
            deployment.id
        )));
    }
    deployment.environments.iter().find_map(|name| object_to_environment(name))
}

/// The latest status that names a URL says where a deployment is.
fn is_now_at(deployment: &DeployedFacts, host: &str) -> bool {
    deployment.urls.first().is_some_and(|url| host_of(url).as_deref() == Some(host))
}

fn was_at(deployment: &DeployedFacts, host: &str) -> bool {
    deployment.urls.iter().any(|url| host_of(url).as_deref() == Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture::{self, Deployed, online_in, veto_of};
    use crate::guard::{ControlPlane, FixedResolver, Inquiry, Outside};

    fn said(inquiry: &Inquiry, control_plane: &dyn ControlPlane) -> Statement {
        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        online_in(ask, inquiry, Outside { control_plane, ..fixture::outside(&resolver) })
    }

    fn with(change: impl FnOnce(&mut ControlPlaneFacts)) -> Option<RefusalCode> {
        let mut facts = fixture::forge_facts();
        change(&mut facts);
        veto_of(said(&fixture::preview(), &Deployed(Ok(facts))))
    }

    fn with_deployment(change: impl FnOnce(&mut DeployedFacts)) -> Option<RefusalCode> {
        with(|facts| change(&mut facts.deployments[0]))
    }

    #[test]
    fn a_deployment_of_the_head_is_proof() {
        let line = said(&fixture::preview(), &Deployed(Ok(fixture::forge_facts()))).line("L6");

        assert_eq!(line.decision, crate::guard::LayerDecision::Proof, "{line:?}");
        assert!(line.fact.contains("github-actions[bot]"), "{line:?}");
        assert_eq!(with_deployment(|deployment| deployment.production_environment = None), None);
    }

    #[test]
    fn the_pull_request_must_be_open_at_this_head() {
        assert_eq!(with(|facts| facts.is_open = false), Some(RefusalCode::ClosedPullRequest));
        assert_eq!(with(|facts| facts.head_sha = "f".repeat(40)), Some(RefusalCode::StaleHead));
        assert_eq!(with(|facts| facts.head_sha.clear()), Some(RefusalCode::StaleHead));
    }

    #[test]
    fn an_environment_of_production_is_refused_by_name_and_by_flag() {
        for name in
            ["Production", "my-app (Production)", "live", "www", "github-pages", "shop \u{2013} Production"]
        {
            let code =
                with_deployment(|deployment| deployment.environments = vec!["Preview".into(), name.into()]);
            assert_eq!(code, Some(RefusalCode::ProductionEnvironment), "{name}");
        }
        let flagged = with_deployment(|deployment| deployment.production_environment = Some(true));
        assert_eq!(flagged, Some(RefusalCode::ProductionEnvironment));
        let word_inside =
            with_deployment(|deployment| deployment.environments = vec!["product-images-pr-1".into()]);
        assert_eq!(word_inside, None);
    }

    #[test]
    fn a_production_deployment_at_the_same_host_is_refused_whatever_its_state_and_commit() {
        for state in ["success", "inactive", "failure"] {
            let code = with(|facts| {
                facts.others.push(DeployedFacts {
                    id: 3,
                    sha: "f".repeat(40),
                    environments: vec!["Production".into()],
                    state: state.into(),
                    urls: vec!["https://PR-1.preview.shop.test./x".into()],
                    ..DeployedFacts::default()
                });
            });
            assert_eq!(code, Some(RefusalCode::ProductionEnvironment), "{state}");
        }
        let elsewhere = with(|facts| {
            facts.others.push(DeployedFacts {
                environments: vec!["Production".into()],
                urls: vec!["https://www.shop.test/".into(), "no url".into()],
                ..DeployedFacts::default()
            });
        });
        assert_eq!(elsewhere, None);
    }

    #[test]
    fn only_a_successful_deployment_counts() {
        for (states, expected) in [
            (
                &["inactive", "failure", "error", "canceled", "Success", ""][..],
                RefusalCode::DeploymentNotReady,
            ),
            (&["pending", "in_progress", "queued", "created", "running"], RefusalCode::DeploymentPending),
        ] {
            for &state in states {
                let code = with_deployment(|deployment| deployment.state = state.into());
                assert_eq!(code, Some(expected), "{state}");
            }
        }
        let replaced = with(|facts| {
            let newer = DeployedFacts { id: 10, state: "inactive".into(), ..facts.deployments[0].clone() };
            facts.deployments.push(newer);
        });
        assert_eq!(replaced, Some(RefusalCode::DeploymentNotReady));
    }

    #[test]
    fn the_deployed_commit_is_the_head() {
        let merge = with_deployment(|deployment| deployment.sha = "f".repeat(40));

        assert_eq!(merge, Some(RefusalCode::StaleHead));
    }

    #[test]
    fn the_creator_must_be_trusted() {
        let made_by =
            |creator: &str| with_deployment(|deployment| deployment.creators = vec![creator.into()]);
        for creator in ["mallory", "vercel[bot]", "github-actions", ""] {
            assert_eq!(made_by(creator), Some(RefusalCode::ForeignDeployer), "{creator}");
        }
        assert_eq!(
            with_deployment(|deployment| deployment.creators.clear()),
            Some(RefusalCode::ForeignDeployer)
        );

        let by_status = with_deployment(|deployment| deployment.reporters = vec!["mallory".into()]);
        assert_eq!(by_status, Some(RefusalCode::ForeignDeployer));

        let mut facts = fixture::forge_facts();
        facts.deployments[0].creators = vec!["deployer-of-shop".into()];
        facts.deployments[0].reporters = vec!["deployer-of-shop".into()];
        let mut inquiry = fixture::preview();
        inquiry.policy.deployers = vec!["deployer-of-shop".into()];
        assert_eq!(veto_of(said(&inquiry, &Deployed(Ok(facts)))), None);
    }

    #[test]
    fn an_event_must_speak_of_the_deployment_that_is_here() {
        let known = said(&fixture::deployed(), &Deployed(Ok(fixture::forge_facts())));
        assert_eq!(veto_of(known), None);

        let mut facts = fixture::forge_facts();
        facts.deployments[0].id = 8;
        assert_eq!(veto_of(said(&fixture::deployed(), &Deployed(Ok(facts)))), Some(RefusalCode::NotAPreview));
    }

    #[test]
    fn two_deployments_that_the_policy_cannot_tell_apart_are_refused() {
        let mut facts = fixture::forge_facts();
        facts.deployments[0].urls = vec!["https://shop-1a2b3c4d.p.test".into()];
        let other = DeployedFacts {
            id: 8,
            environments: vec!["Preview docs".into()],
            urls: vec!["https://shop-9f9f9f9f.p.test".into()],
            ..facts.deployments[0].clone()
        };
        facts.deployments.push(other);
        let mut inquiry = fixture::remote("shop-1a2b3c4d.p.test");
        inquiry.policy.preview = vec![PreviewPattern::parse("shop-{hash}.p.test").unwrap()];

        let code = |facts: &ControlPlaneFacts| veto_of(said(&inquiry, &Deployed(Ok(facts.clone()))));
        assert_eq!(code(&facts), Some(RefusalCode::AmbiguousDeployment));

        facts.deployments[1].environments = facts.deployments[0].environments.clone();
        assert_eq!(code(&facts), Some(RefusalCode::AmbiguousDeployment), "one environment is no excuse");

        facts.deployments[1].state = "inactive".into();
        assert_eq!(code(&facts), None, "it was replaced");

        facts.deployments.truncate(1);
        assert_eq!(veto_of(said(&inquiry, &Deployed(Ok(facts)))), None);
    }

    #[test]
    fn without_a_deployment_a_bound_pattern_stays_open_and_a_shared_shape_is_refused() {
        assert_eq!(with(|facts| facts.deployments.clear()), None);

        let mut shaped = fixture::remote("shop-3f9c2ab1-acme.p.test");
        shaped.policy.preview = vec![PreviewPattern::parse("shop-{hash}-acme.p.test").unwrap()];
        let facts = ControlPlaneFacts { deployments: vec![], ..fixture::forge_facts() };
        assert_eq!(veto_of(said(&shaped, &Deployed(Ok(facts)))), Some(RefusalCode::ShapeOnly));

        let under_way = |state: &str, production| {
            let mut facts = fixture::forge_facts();
            facts.deployments[0] = DeployedFacts {
                state: state.into(),
                urls: vec![],
                production_environment: Some(production),
                ..facts.deployments[0].clone()
            };
            veto_of(said(&shaped, &Deployed(Ok(facts))))
        };
        assert_eq!(under_way("in_progress", false), Some(RefusalCode::DeploymentPending));
        assert_eq!(under_way("in_progress", true), Some(RefusalCode::ShapeOnly));
        assert_eq!(under_way("failure", false), Some(RefusalCode::ShapeOnly));
    }

    #[test]
    fn not_knowing_is_a_no() {
        let failed =
            ControlPlaneError::Failed { what: "GitHub answered 500".into(), remedy: "run again".into() };
        let no_token = ControlPlaneError::NoToken { forge: "GitHub", variable: "GITHUB_TOKEN" };
        let foreign =
            ControlPlaneError::ForeignApi { variable: "GITHUB_API_URL", found: "https://evil.test".into() };
        for error in [failed, no_token, foreign] {
            let statement = said(&fixture::preview(), &Deployed(Err(error.clone())));
            assert_eq!(veto_of(statement), Some(RefusalCode::ControlPlane), "{error}");
        }
    }

    #[test]
    fn a_forge_that_is_never_asked_leaves_a_bound_pattern_to_other_proof() {
        let absent = Deployed(Err(ControlPlaneError::Absent("this forge")));
        assert_eq!(veto_of(said(&fixture::preview(), &absent)), None);

        let mut shaped = fixture::remote("shop-3f9c2ab1-acme.p.test");
        shaped.policy.preview = vec![PreviewPattern::parse("shop-{hash}-acme.p.test").unwrap()];
        assert_eq!(veto_of(said(&shaped, &absent)), Some(RefusalCode::ControlPlane));
    }

    #[test]
    fn offline_the_forge_is_not_asked_and_loopback_never_is() {
        struct NoForge;
        impl ControlPlane for NoForge {
            fn deployments(
                &self,
                _: &DeploymentQuestion<'_>,
            ) -> Result<ControlPlaneFacts, ControlPlaneError> {
                panic!("the forge was asked");
            }
        }

        assert_eq!(veto_of(said(&fixture::loopback(), &NoForge)), None);
        fixture::assert_passes(ask, &fixture::preview());
    }
}
