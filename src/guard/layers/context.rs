//! L1 asks for whom the run happens: a remote target needs an open pull request that a recognised CI system vouches
//! for. A service on this machine may be loaded by anybody who can start it.

use super::Statement;
use crate::context::{Context, Deployment, PullRequest, PullRequestEvent, PullRequestNumber};
use crate::guard::receipt::RefusalCode;
use crate::guard::{Case, Depth, names, production_words};

const RUN_ON_PULL_REQUESTS: &str = "run in the job of a pull request (on GitHub Actions: `pull_request` or `deployment_status`), or load a \
     service on this machine with [service] or --local PORT";

/// A live site whatever its flags say: the forge publishes pages from a lasting branch.
const PAGES_ENVIRONMENT: &str = "github-pages";

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() {
        return Statement::proof("the target is a service on this machine");
    }
    match &case.inquiry.context {
        Context::PullRequest(pull_request) => ask_pull_request(pull_request, case.depth),
        Context::Desk => Statement::veto(
            RefusalCode::NoPullRequest,
            "no CI system vouches for this run",
            RUN_ON_PULL_REQUESTS,
        ),
        Context::OtherCi { system, event } => {
            let trigger =
                if event.is_empty() { String::new() } else { format!(" (event {:?})", names::cut(event)) };
            Statement::veto(
                RefusalCode::NoPullRequest,
                format!("the {system} job belongs to no pull request{trigger}"),
                RUN_ON_PULL_REQUESTS,
            )
        }
    }
}

fn ask_pull_request(pull_request: &PullRequest, depth: Depth) -> Statement {
    if pull_request.is_closed || pull_request.action == "closed" {
        return Statement::veto(
            RefusalCode::ClosedPullRequest,
            "the pull request is closed, so its preview is going away",
            "run only while the pull request is open",
        );
    }
    let objection = match (&pull_request.deployment, pull_request.event) {
        (Some(deployment), _) => object_to_deployment(deployment),
        (None, PullRequestEvent::DeploymentStatus) => Some(not_ready("the event holds no deployment")),
        (None, PullRequestEvent::PullRequest) => None,
    };
    if let Some(objection) = objection {
        return objection;
    }
    match pull_request.number {
        Some(number) => vouched(pull_request, number),
        None => Statement::veto(
            RefusalCode::UnknownPullRequest,
            format!("no open pull request is known for commit {}", pull_request.head_sha.short()),
            match depth {
                Depth::Offline => {
                    "ask without --offline: only the forge knows which pull request was deployed"
                }
                Depth::Online => {
                    "give the job `pull-requests: read` and its GITHUB_TOKEN, and deploy the head commit of the \
                     pull request"
                }
            },
        ),
    }
}

fn vouched(pull_request: &PullRequest, number: PullRequestNumber) -> Statement {
    let fact = format!(
        "pull request {number} of {}, commit {}{}",
        pull_request.repository,
        pull_request.head_sha.short(),
        if pull_request.is_from_fork { ", from a fork" } else { "" },
    );
    if pull_request.is_vouched {
        return Statement::proof(fact);
    }
    let system = &pull_request.system;
    Statement::silence(format!("{fact}; no proof: a job of {system} can rewrite what {system} says"))
}

fn object_to_deployment(deployment: &Deployment) -> Option<Statement> {
    if deployment.production_environment == Some(true) {
        let name = names::cut(&deployment.environment);
        return Some(is_production(format!("the forge calls environment {name:?} production")));
    }
    let mut called = std::iter::once(&deployment.environment).chain(&deployment.other_environments);
    if let Some(objection) = called.find_map(|name| object_to_environment(name)) {
        return Some(objection);
    }
    if deployment.state != "success" {
        let state = names::cut(&deployment.state);
        return Some(not_ready(&format!("deployment {} is in state {state:?}", deployment.id)));
    }
    None
}

pub(in crate::guard) fn object_to_environment(environment: &str) -> Option<Statement> {
    let name = names::cut(environment);
    if let Some(word) = production_words::find(environment) {
        return Some(is_production(format!("the name of environment {name:?} holds the word {word:?}")));
    }
    environment
        .eq_ignore_ascii_case(PAGES_ENVIRONMENT)
        .then(|| is_production(format!("environment {name:?} is a live site")))
}

pub(super) fn is_production(fact: String) -> Statement {
    Statement::veto(
        RefusalCode::ProductionEnvironment,
        fact,
        "load only previews; deploy them to an environment of their own, such as \"preview\"",
    )
}

fn not_ready(fact: &str) -> Statement {
    Statement::veto(
        RefusalCode::DeploymentNotReady,
        fact,
        "run the job only for finished deployments: `if: github.event.deployment_status.state == 'success'`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};
    use crate::guard::{FixedResolver, Inquiry};

    fn with_pull_request(change: impl FnOnce(&mut PullRequest)) -> Inquiry {
        let mut inquiry = fixture::deployed();
        if let Context::PullRequest(pull_request) = &mut inquiry.context {
            change(pull_request);
        }
        inquiry
    }

    fn with_deployment(change: impl FnOnce(&mut Deployment)) -> Inquiry {
        with_pull_request(|pull_request| change(pull_request.deployment.as_mut().unwrap()))
    }

    #[test]
    fn an_open_pull_request_may_load_its_preview() {
        assert_passes(ask, &fixture::preview());
        assert_passes(ask, &fixture::deployed());
        assert_passes(ask, &with_pull_request(|pull_request| pull_request.is_from_fork = true));
    }

    #[test]
    fn nobody_else_may_load_a_remote_target() {
        for context in [
            Context::Desk,
            Context::OtherCi { system: "GitHub Actions".into(), event: "push".into() },
            Context::OtherCi { system: "GitHub Actions".into(), event: "pull_request_target".into() },
            Context::OtherCi { system: "GitLab".into(), event: "merge_request_event".into() },
        ] {
            let inquiry = Inquiry { context, ..fixture::preview() };
            assert_vetoes(ask, &inquiry, RefusalCode::NoPullRequest);
        }
    }

    #[test]
    fn anybody_may_load_a_service_of_this_machine() {
        for context in [
            Context::Desk,
            Context::OtherCi { system: "Jenkins".into(), event: String::new() },
            fixture::deployed().context,
        ] {
            assert_passes(ask, &Inquiry { context, ..fixture::loopback() });
        }
    }

    #[test]
    fn a_closed_pull_request_is_over() {
        let by_state = with_pull_request(|pull_request| pull_request.is_closed = true);
        let by_action = with_pull_request(|pull_request| pull_request.action = "closed".into());

        assert_vetoes(ask, &by_state, RefusalCode::ClosedPullRequest);
        assert_vetoes(ask, &by_action, RefusalCode::ClosedPullRequest);
    }

    #[test]
    fn a_deployment_must_belong_to_a_pull_request() {
        let lost = with_pull_request(|pull_request| pull_request.number = None);

        assert_vetoes(ask, &lost, RefusalCode::UnknownPullRequest);
        let offline = fixture::offline(ask, &lost).line("L1").remedy.unwrap();
        let resolver = FixedResolver::answering(&[]);
        let online = fixture::online(ask, &lost, &resolver).line("L1").remedy.unwrap();
        assert!(offline.contains("without --offline") && online.contains("pull-requests: read"), "{online}");
    }

    #[test]
    fn a_deployment_must_be_finished() {
        for state in ["pending", "in_progress", "failure", "error", "inactive", "Success", ""] {
            let inquiry = with_deployment(|deployment| deployment.state = state.into());
            assert_vetoes(ask, &inquiry, RefusalCode::DeploymentNotReady);
        }
        let missing = with_pull_request(|pull_request| pull_request.deployment = None);
        assert_vetoes(ask, &missing, RefusalCode::DeploymentNotReady);
    }

    #[test]
    fn a_production_environment_is_known_by_name_or_flag() {
        for name in
            ["production", "Production", "shop (Production)", "shop \u{2013} Live", "www", "github-pages"]
        {
            let inquiry = with_deployment(|deployment| deployment.environment = name.into());
            assert_vetoes(ask, &inquiry, RefusalCode::ProductionEnvironment);
        }
        let moved = with_deployment(|deployment| deployment.other_environments = vec!["production".into()]);
        assert_vetoes(ask, &moved, RefusalCode::ProductionEnvironment);
        let flagged = with_deployment(|deployment| deployment.production_environment = Some(true));
        assert_vetoes(ask, &flagged, RefusalCode::ProductionEnvironment);
    }

    #[test]
    fn absent_flags_and_innocent_names_say_nothing() {
        for name in ["Preview", "product-images-pr-1", "review/feat"] {
            let inquiry = with_deployment(|deployment| {
                deployment.environment = name.into();
                deployment.production_environment = None;
                deployment.transient_environment = None;
            });
            assert_passes(ask, &inquiry);
        }
    }
}
