//! Reads a GitHub Actions job: which pull request it belongs to, and which preview a deployment names.
//!
//! The commit under test is the head of the pull request as the payload says it; `GITHUB_SHA` is a merge commit
//! that nobody deployed.

use std::path::Path;

use super::payload::{self, DeploymentStatusPayload, PullRequestPayload, RepositoryBody, RunPullRequestBody};
use super::{CiError, Environment, Reading, production};
use crate::context::{
    CommitSha, Context, Deployment, Forge, MalformedFact, PullRequest, PullRequestEvent, PullRequestNumber,
    Repository,
};
use crate::target::{Candidate, Source};

/// The name of the system whose payloads these are.
pub(super) const SYSTEM: &str = "GitHub Actions";

/// Reads a job of GitHub Actions, or of a system that hands its jobs the same variables and payload.
pub(super) fn read(
    environment: &Environment,
    system: &'static str,
    forge: Forge,
) -> Result<Reading, CiError> {
    let event = environment.required("GITHUB_EVENT_NAME")?;
    let mut reading = match event {
        "pull_request" => read_pull_request(environment)?,
        "deployment_status" => read_deployment_status(environment)?,
        other => Reading::of(Context::OtherCi { system: system.into(), event: other.to_owned() }),
    };
    if let Context::PullRequest(pull_request) = &mut reading.context {
        pull_request.system = system.to_owned();
        pull_request.forge = forge;
    }
    reading.run_url = run_url(environment);
    Ok(reading)
}

fn read_pull_request(environment: &Environment) -> Result<Reading, CiError> {
    let path = Path::new(environment.required("GITHUB_EVENT_PATH")?);
    let payload: PullRequestPayload = payload::read(path)?;
    let facts = Facts { path, environment };
    let body = payload.pull_request;
    let name_of = |repo: &Option<RepositoryBody>| repo.as_ref().map(|repo| repo.full_name.clone());
    let base = name_of(&body.base.repo).unwrap_or_else(|| payload.repository.full_name.clone());
    let context = PullRequest {
        system: SYSTEM.into(),
        is_vouched: true,
        forge: Forge::GitHub,
        event: PullRequestEvent::PullRequest,
        action: payload.action,
        repository: facts.repository(&payload.repository)?,
        number: Some(facts.number("pull_request.number", body.number)?),
        is_closed: body.state != "open",
        head_sha: facts.sha("pull_request.head.sha", &body.head.sha)?,
        // A deleted repository is somebody else's too.
        is_from_fork: name_of(&body.head.repo).is_none_or(|head| head != base),
        head_branch: Some(body.head.name),
        base_branch: Some(body.base.name),
        base_sha: Some(facts.sha("pull_request.base.sha", &body.base.sha)?),
        deployment: None,
        claims: vec![],
    };
    facts.agree_with_job(&context)?;
    let mut reading = Reading::of(Context::PullRequest(Box::new(context)));
    reading.production.extend(production::homepage(&payload.repository));
    Ok(reading)
}

fn read_deployment_status(environment: &Environment) -> Result<Reading, CiError> {
    let path = Path::new(environment.required("GITHUB_EVENT_PATH")?);
    let payload: DeploymentStatusPayload = payload::read(path)?;
    let facts = Facts { path, environment };
    let run = find_run(&payload);
    let by_reference = number_in_reference(&payload.deployment.reference);
    // A run that tells of another pull request than the reference is about something else.
    let run = run.filter(|run| by_reference.is_none_or(|number| number.value() == run.number));
    let by_run =
        run.as_ref().map(|run| facts.number("workflow_run.pull_requests.number", run.number)).transpose()?;
    let branch = run.as_ref().map(|run| run.head.name.clone());
    let deployment = payload.deployment;
    let mut context = PullRequest {
        system: SYSTEM.into(),
        is_vouched: true,
        forge: Forge::GitHub,
        event: PullRequestEvent::DeploymentStatus,
        action: payload.action,
        repository: facts.repository(&payload.repository)?,
        number: by_reference.or(by_run),
        is_closed: false,
        head_sha: facts.sha("deployment.sha", &deployment.sha)?,
        head_branch: branch.or_else(|| branch_in_reference(&deployment.reference)),
        base_branch: run.as_ref().map(|run| run.base.name.clone()),
        base_sha: None,
        is_from_fork: run.as_ref().is_some_and(|run| run.head.repo != run.base.repo),
        deployment: None,
        claims: vec![],
    };
    let status = payload.deployment_status;
    let candidates = candidate(deployment.id, status.environment_url, status.target_url);
    context.deployment = Some(Deployment {
        id: deployment.id,
        environment: deployment.environment,
        other_environments: [deployment.original_environment, status.environment]
            .into_iter()
            .flatten()
            .collect(),
        state: status.state,
        production_environment: deployment.production_environment,
        transient_environment: deployment.transient_environment,
        reference: deployment.reference,
    });
    let mut reading = Reading::of(Context::PullRequest(Box::new(context)));
    reading.production.extend(production::homepage(&payload.repository));
    if candidates.is_none() {
        reading.warnings.push(format!("deployment {} names no URL", deployment.id));
    }
    reading.candidates.extend(candidates);
    Ok(reading)
}

/// Turns texts and numbers of a payload into checked facts, naming the field that is wrong.
struct Facts<'a> {
    path: &'a Path,
    environment: &'a Environment,
}

impl Facts<'_> {
    fn number(&self, field: &str, number: u64) -> Result<PullRequestNumber, CiError> {
        PullRequestNumber::from_u64(number).map_err(|source| self.malformed(field, source))
    }

    fn sha(&self, field: &str, sha: &str) -> Result<CommitSha, CiError> {
        CommitSha::parse(sha).map_err(|source| self.malformed(field, source))
    }

    fn repository(&self, body: &RepositoryBody) -> Result<Repository, CiError> {
        let repository = Repository::parse(&body.full_name)
            .map_err(|source| self.malformed("repository.full_name", source))?;
        match self.environment.text("GITHUB_REPOSITORY")? {
            Some(variable) if !variable.eq_ignore_ascii_case(&body.full_name) => {
                Err(CiError::OtherRepository {
                    payload: body.full_name.clone(),
                    variable: variable.to_owned(),
                })
            }
            _ => Ok(repository),
        }
    }

    /// Any step can rewrite the payload's file, but none the job's own variables.
    fn agree_with_job(&self, pull_request: &PullRequest) -> Result<(), CiError> {
        let number = pull_request.number.map(|number| number.to_string());
        let job_number = self.environment.text("GITHUB_REF")?.and_then(|reference| {
            let (number, _) = reference.strip_prefix("refs/pull/")?.split_once('/')?;
            Some(number)
        });
        let head = self.environment.text("GITHUB_HEAD_REF")?;
        let base = self.environment.text("GITHUB_BASE_REF")?;
        for (variable, said, field, payload) in [
            ("GITHUB_REF", job_number, "pull_request.number", number.as_deref()),
            ("GITHUB_HEAD_REF", head, "pull_request.head.ref", pull_request.head_branch.as_deref()),
            ("GITHUB_BASE_REF", base, "pull_request.base.ref", pull_request.base_branch.as_deref()),
        ] {
            if said.is_some() && said != payload {
                return Err(CiError::OtherPullRequest { field, variable });
            }
        }
        Ok(())
    }

    fn malformed(&self, field: &str, source: MalformedFact) -> CiError {
        CiError::MalformedFact { path: self.path.to_owned(), field: field.to_owned(), source }
    }
}

/// `environment_url` is newer and means the deployment; `target_url` may also be a log, but older deployers set no other.
fn candidate(
    deployment: u64,
    environment_url: Option<String>,
    target_url: Option<String>,
) -> Option<Candidate> {
    let fields = [("environment_url", environment_url), ("target_url", target_url)];
    let (field, raw) = fields
        .into_iter()
        .find_map(|(field, url)| url.filter(|url| !url.is_empty()).map(|url| (field, url)))?;
    Some(Candidate { source: Source::DeploymentStatus { deployment, field: field.into() }, raw })
}

/// Returns the one pull request of the deploying run whose head was deployed; of several none is guessed.
fn find_run(payload: &DeploymentStatusPayload) -> Option<RunPullRequestBody> {
    let runs = [&payload.workflow_run, &payload.check_run];
    let mut heads: Vec<&RunPullRequestBody> = runs
        .into_iter()
        .flatten()
        .filter_map(|run| run.pull_requests.as_ref())
        .flatten()
        .filter(|pull_request| pull_request.head.sha == payload.deployment.sha)
        .collect();
    if heads.iter().any(|head| head.number != heads[0].number) {
        heads.retain(|head| head.head.name == payload.deployment.reference);
    }
    let first = *heads.first()?;
    heads.iter().all(|head| head.number == first.number).then(|| first.clone())
}

fn number_in_reference(reference: &str) -> Option<PullRequestNumber> {
    let (number, kind) = reference.strip_prefix("refs/pull/")?.split_once('/')?;
    matches!(kind, "merge" | "head").then(|| PullRequestNumber::parse(number).ok()).flatten()
}

/// A deployer may also name a tag or a commit, which is no branch.
fn branch_in_reference(reference: &str) -> Option<String> {
    if let Some(branch) = reference.strip_prefix("refs/heads/") {
        return Some(branch.to_owned());
    }
    let is_commit = CommitSha::parse(reference).is_ok();
    (!reference.is_empty() && !reference.starts_with("refs/") && !is_commit).then(|| reference.to_owned())
}

fn run_url(environment: &Environment) -> Option<String> {
    let server = environment.get("GITHUB_SERVER_URL")?;
    let repository = Repository::parse(environment.get("GITHUB_REPOSITORY")?).ok()?;
    let run = environment.get("GITHUB_RUN_ID")?;
    let is_number = run.bytes().all(|b| b.is_ascii_digit());
    let server = url::Url::parse(server).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    let server = server.as_str().trim_end_matches('/');
    is_number.then(|| format!("{server}/{repository}/actions/runs/{run}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::{Value, json};

    use super::*;

    const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";
    const MERGE: &str = "fedcba9876543210fedcba9876543210fedcba98";

    fn read_event(event: &str, payload: &Value) -> Result<Reading, CiError> {
        read_event_with(event, payload, ("GITHUB_JOB", "gate"))
    }

    fn read_event_with(
        event: &str,
        payload: &Value,
        variable: (&'static str, &str),
    ) -> Result<Reading, CiError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(payload.to_string().as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        super::super::read(&Environment::from_pairs([
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", event),
            ("GITHUB_EVENT_PATH", path),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_RUN_ID", "77"),
            ("GITHUB_SHA", MERGE),
            variable,
        ]))
    }

    fn pull_request_payload() -> Value {
        json!({
            "action": "synchronize",
            "number": 1,
            "pull_request": {
                "number": 1,
                "state": "open",
                "head": { "ref": "feat/cart", "sha": HEAD, "repo": { "full_name": "acme/shop" } },
                "base": { "ref": "main", "sha": MERGE, "repo": { "full_name": "acme/shop" } },
            },
            "repository": { "full_name": "acme/shop" },
        })
    }

    fn deployment_payload() -> Value {
        json!({
            "action": "created",
            "deployment_status": {
                "state": "success",
                "environment_url": "https://pr-1.preview.shop.test/",
                "target_url": "https://ci.shop.test/log",
            },
            "deployment": { "id": 9, "sha": HEAD, "ref": "feat/cart", "environment": "Preview" },
            "repository": { "full_name": "acme/shop" },
        })
    }

    fn pull_request_of(event: &str, payload: &Value) -> PullRequest {
        let reading = read_event(event, payload).unwrap();
        reading.context.pull_request().unwrap().clone()
    }

    fn changed(mut payload: Value, pointer: &str, value: Value) -> Value {
        *payload.pointer_mut(pointer).unwrap() = value;
        payload
    }

    #[test]
    fn a_pull_request_is_known_by_its_head_not_by_the_merge_commit() {
        let pull_request = pull_request_of("pull_request", &pull_request_payload());

        assert_eq!(pull_request.head_sha.as_str(), HEAD);
        assert_eq!(pull_request.number.unwrap().value(), 1);
        assert_eq!(pull_request.head_branch.as_deref(), Some("feat/cart"));
        assert_eq!(pull_request.base_branch.as_deref(), Some("main"));
        assert!(!pull_request.is_from_fork && !pull_request.is_closed);
    }

    #[test]
    fn a_head_in_another_or_a_deleted_repository_is_a_fork() {
        for repo in [json!({ "full_name": "mallory/shop" }), Value::Null] {
            let payload = changed(pull_request_payload(), "/pull_request/head/repo", repo);
            assert!(pull_request_of("pull_request", &payload).is_from_fork);
        }
    }

    #[test]
    fn the_homepage_of_the_repository_is_called_production() {
        for (event, payload) in
            [("pull_request", pull_request_payload()), ("deployment_status", deployment_payload())]
        {
            let named = |key: &str, value: Value| {
                let mut payload = payload.clone();
                payload["repository"][key] = value;
                let production = read_event(event, &payload).unwrap().production;
                production.into_iter().map(|fact| fact.host).collect::<Vec<_>>()
            };

            assert_eq!(named("homepage", json!("https://www.shop.test/")), ["www.shop.test"]);
            assert_eq!(named("website", json!("https://www.shop.test/")), ["www.shop.test"]);
            assert_eq!(named("homepage", json!("https://github.com/acme/shop")), [""; 0]);
            assert_eq!(named("homepage", Value::Null), [""; 0]);
        }
    }

    #[test]
    fn a_closed_pull_request_is_told() {
        let payload = changed(pull_request_payload(), "/pull_request/state", json!("closed"));

        assert!(pull_request_of("pull_request", &payload).is_closed);
    }

    #[test]
    fn other_events_belong_to_no_pull_request() {
        for event in
            ["push", "schedule", "merge_group", "workflow_dispatch", "pull_request_target", "workflow_run"]
        {
            let reading = read_event(event, &pull_request_payload()).unwrap();
            let expected = Context::OtherCi { system: SYSTEM.into(), event: event.into() };
            assert_eq!(reading.context, expected);
        }
    }

    #[test]
    fn a_deployment_names_its_preview() {
        let reading = read_event("deployment_status", &deployment_payload()).unwrap();

        let source = Source::DeploymentStatus { deployment: 9, field: "environment_url".into() };
        assert_eq!(reading.candidates, [Candidate { source, raw: "https://pr-1.preview.shop.test/".into() }]);
        let pull_request = reading.context.pull_request().unwrap();
        assert_eq!(pull_request.number, None);
        assert_eq!(pull_request.head_branch.as_deref(), Some("feat/cart"));
        assert_eq!(pull_request.deployment.as_ref().unwrap().production_environment, None);
    }

    #[test]
    fn a_deployment_without_environment_url_is_known_by_its_target_url() {
        let payload = changed(deployment_payload(), "/deployment_status/environment_url", json!(""));
        let reading = read_event("deployment_status", &payload).unwrap();
        assert_eq!(reading.candidates[0].raw, "https://ci.shop.test/log");

        let payload = changed(payload, "/deployment_status/target_url", Value::Null);
        let reading = read_event("deployment_status", &payload).unwrap();
        assert_eq!((reading.candidates.len(), reading.warnings.len()), (0, 1));
    }

    #[test]
    fn a_deployment_is_joined_by_its_reference() {
        let number_for = |reference: &str| {
            let payload = changed(deployment_payload(), "/deployment/ref", json!(reference));
            pull_request_of("deployment_status", &payload).number.map(PullRequestNumber::value)
        };

        assert_eq!(number_for("refs/pull/12/merge"), Some(12));
        assert_eq!(number_for("refs/pull/12/head"), Some(12));
        for reference in ["refs/pull/12", "refs/pull/012/head", "refs/pull/12/x", "pull/12/head", ""] {
            assert_eq!(number_for(reference), None, "{reference}");
        }
    }

    #[test]
    fn a_deployment_is_joined_by_the_run_that_made_it() {
        let entry = |number: u64, branch: &str, sha: &str| {
            json!({ "number": number, "head": { "ref": branch, "sha": sha, "repo": { "id": 1 } },
                "base": { "ref": "main", "sha": MERGE, "repo": { "id": 1 } } })
        };
        let number_for = |entries: Value| {
            let mut payload = deployment_payload();
            payload["workflow_run"] = json!({ "pull_requests": entries });
            pull_request_of("deployment_status", &payload).number.map(PullRequestNumber::value)
        };

        assert_eq!(number_for(json!([entry(3, "feat/cart", HEAD)])), Some(3));
        assert_eq!(number_for(json!([entry(3, "feat/cart", MERGE)])), None);
        assert_eq!(number_for(json!([entry(3, "other", HEAD), entry(4, "feat/cart", HEAD)])), Some(4));
        assert_eq!(number_for(json!([entry(3, "a", HEAD), entry(4, "b", HEAD)])), None);
        assert_eq!(number_for(Value::Null), None);
    }

    #[test]
    fn a_commit_or_a_tag_is_no_branch() {
        assert_eq!(branch_in_reference("feat/cart").as_deref(), Some("feat/cart"));
        assert_eq!(branch_in_reference("refs/heads/feat/cart").as_deref(), Some("feat/cart"));
        for reference in [HEAD, "refs/tags/v1", "refs/pull/1/merge", ""] {
            assert_eq!(branch_in_reference(reference), None, "{reference}");
        }
    }

    #[test]
    fn facts_without_their_shape_are_errors_that_name_the_field() {
        for (event, payload, pointer, value) in [
            ("pull_request", pull_request_payload(), "/pull_request/number", json!(0)),
            ("pull_request", pull_request_payload(), "/pull_request/head/sha", json!("HEAD")),
            ("pull_request", pull_request_payload(), "/repository/full_name", json!("../x")),
            ("deployment_status", deployment_payload(), "/deployment/sha", json!("0".repeat(40))),
        ] {
            let error = read_event(event, &changed(payload, pointer, value)).unwrap_err();
            let field = pointer[1..].replace('/', ".");
            assert!(error.to_string().ends_with(&format!("at {field}")), "{error}");
        }
    }

    #[test]
    fn a_payload_of_another_repository_is_refused() {
        let payload = changed(pull_request_payload(), "/repository/full_name", json!("mallory/shop"));

        let error = read_event("pull_request", &payload).unwrap_err();

        assert!(matches!(error, CiError::OtherRepository { .. }), "{error}");
    }

    #[test]
    fn a_payload_that_contradicts_the_job_is_refused() {
        for (variable, agreeing, other) in [
            ("GITHUB_REF", "refs/pull/1/merge", "refs/pull/2/merge"),
            ("GITHUB_HEAD_REF", "feat/cart", "feat/other"),
            ("GITHUB_BASE_REF", "main", "release"),
        ] {
            let read_with =
                |value| read_event_with("pull_request", &pull_request_payload(), (variable, value));
            assert!(read_with(agreeing).is_ok() && read_with("").is_ok(), "{variable}");
            let error = read_with(other).unwrap_err();
            assert!(error.to_string().contains(variable), "{error}");
        }
    }

    #[test]
    fn every_name_of_a_deployments_environment_is_told() {
        let mut payload = changed(deployment_payload(), "/deployment/environment", json!("Preview"));
        payload["deployment"]["original_environment"] = json!("staging");
        payload["deployment_status"]["environment"] = json!("production");

        let deployment = pull_request_of("deployment_status", &payload).deployment.unwrap();

        assert_eq!(deployment.other_environments, ["staging", "production"]);
    }

    #[test]
    fn the_address_of_the_run_is_told() {
        let reading = read_event("push", &json!({})).unwrap();

        assert_eq!(reading.run_url.as_deref(), Some("https://github.com/acme/shop/actions/runs/77"));
    }

    #[test]
    fn a_job_without_its_own_variables_is_an_error() {
        let environment = Environment::from_pairs([("GITHUB_ACTIONS", "true")]);

        let error = super::super::read(&environment).unwrap_err();

        assert!(matches!(error, CiError::MissingVariable { variable: "GITHUB_EVENT_NAME" }), "{error}");
    }
}
