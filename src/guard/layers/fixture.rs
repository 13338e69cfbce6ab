//! Inquiries that the tests of the layers begin with: pull request 1 of `acme/shop`, previews under
//! `preview.shop.test`, production `shop.test` and `www.shop.test`.

use std::cell::RefCell;
use std::net::SocketAddr;

use super::Statement;
use crate::context::{
    CommitSha, Context, Deployment, Forge, PullRequest, PullRequestEvent, PullRequestNumber, Repository,
};
use crate::guard::receipt::{LayerDecision, RefusalCode};
use crate::guard::{
    AskMarker, ControlPlane, ControlPlaneError, ControlPlaneFacts, DeployedFacts, DeploymentQuestion,
    FindListener, Listener, MarkerAnswer, MarkerFailure, MarkerQuestion, Outside, Platform, PlatformKeys,
    PlatformQuestion, PlatformStanding, Resolve, ResolveError, Surroundings,
};
use crate::guard::{
    Case, Depth, FixedResolver, Inquiry, LAYERS, Policy, PreviewPattern, ProductionHost, Review,
};
use crate::target::{Candidate, Source};

type Ask = fn(&mut Case<'_>) -> Statement;

/// A preview that a step of the job names.
pub(in crate::guard) fn preview() -> Inquiry {
    remote("pr-1.preview.shop.test")
}

/// Any remote host that a step of the job names.
pub(in crate::guard) fn remote(host: &str) -> Inquiry {
    named(&format!("https://{host}/"))
}

/// Any text that a step of the job names.
pub(in crate::guard) fn named(raw: &str) -> Inquiry {
    Inquiry {
        context: Context::PullRequest(Box::new(pull_request())),
        candidates: vec![Candidate { source: Source::PreviewVariable, raw: raw.into() }],
        production_facts: vec![],
        policy: Policy {
            preview: vec![PreviewPattern::parse("pr-{pr}.preview.shop.test").unwrap()],
            production: ["shop.test", "www.shop.test"]
                .map(|host| ProductionHost::parse(host).unwrap())
                .into(),
            review: Review::Base { commit: "89abcde".into() },
            ..Policy::default()
        },
        surroundings: Surroundings::default(),
    }
}

/// A preview that a deployment names.
pub(in crate::guard) fn deployed() -> Inquiry {
    let mut pull_request = pull_request();
    pull_request.event = PullRequestEvent::DeploymentStatus;
    pull_request.action = "created".into();
    pull_request.deployment = Some(Deployment {
        id: 9,
        environment: "Preview".into(),
        other_environments: vec![],
        state: "success".into(),
        production_environment: Some(false),
        transient_environment: Some(true),
        reference: "feat/cart".into(),
    });
    let source = Source::DeploymentStatus { deployment: 9, field: "environment_url".into() };
    Inquiry {
        context: Context::PullRequest(Box::new(pull_request)),
        candidates: vec![Candidate { source, raw: "https://pr-1.preview.shop.test/".into() }],
        ..preview()
    }
}

/// The host of a preview channel of Firebase.
pub(in crate::guard) const CHANNEL: &str = "shop--pr1-feat-cart-a1b2c3d4.web.app";

/// The host of a tagged revision of Cloud Run.
pub(in crate::guard) const TAG: &str = "pr-1---shop-a1b2c3-uc.a.run.app";

/// A preview on the platform that a host belongs to, as much of it named as the policy can name.
pub(in crate::guard) fn hosted(host: &str) -> Inquiry {
    let service = host.ends_with("run.app").then_some("projects/acme/locations/us-central1/services/shop");
    on_platform(host, service)
}

/// The same, where the policy does not name the service.
pub(in crate::guard) fn hosted_without_service(host: &str) -> Inquiry {
    on_platform(host, None)
}

fn on_platform(host: &str, service: Option<&str>) -> Inquiry {
    let (name, project) =
        if host.ends_with("run.app") { ("cloud-run", "shop-a1b2c3-uc") } else { ("firebase", "shop") };
    let keys = PlatformKeys {
        project: Some(project.into()),
        service: service.map(str::to_owned),
        ..PlatformKeys::default()
    };
    let platform = Platform::pin(name, &keys).unwrap();
    let named = remote(host);
    let policy =
        Policy { preview: platform.previews().to_vec(), platform: Some(platform), ..named.policy.clone() };
    Inquiry { policy, ..named }
}

/// A service on this machine, at a desk, without any policy.
pub(in crate::guard) fn loopback() -> Inquiry {
    let listener = "127.0.0.1:8080".parse().unwrap();
    Inquiry {
        context: Context::Desk,
        candidates: vec![Candidate::on_loopback(Source::Service, listener)],
        policy: Policy::default(),
        ..preview()
    }
}

fn pull_request() -> PullRequest {
    PullRequest {
        system: "GitHub Actions".into(),
        is_vouched: true,
        forge: Forge::GitHub,
        event: PullRequestEvent::PullRequest,
        action: "synchronize".into(),
        repository: Repository::parse("acme/shop").unwrap(),
        number: PullRequestNumber::parse("1").ok(),
        is_closed: false,
        head_sha: CommitSha::parse("0123456789abcdef0123456789abcdef01234567").unwrap(),
        head_branch: Some("feat/cart".into()),
        base_branch: Some("main".into()),
        base_sha: None,
        is_from_fork: false,
        deployment: None,
        claims: vec![],
    }
}

/// Asks one layer without the network; what earlier layers would find out is found out first.
pub(in crate::guard) fn offline(ask: Ask, inquiry: &Inquiry) -> Statement {
    let resolver = FixedResolver(Err(ResolveError::NoSuchName));
    ask_one(ask, inquiry, Depth::Offline, outside(&resolver))
}

/// Asks one layer with a resolver.
pub(in crate::guard) fn online(ask: Ask, inquiry: &Inquiry, resolver: &dyn Resolve) -> Statement {
    online_in(ask, inquiry, outside(resolver))
}

/// Asks one layer with everything that the world says.
pub(in crate::guard) fn online_in(ask: Ask, inquiry: &Inquiry, outside: Outside<'_>) -> Statement {
    ask_one(ask, inquiry, Depth::Online, outside)
}

/// A world in which the forge has the preview as a deployment, no target serves a marker, and no process can be seen.
pub(in crate::guard) fn outside(resolver: &dyn Resolve) -> Outside<'_> {
    Outside {
        resolver,
        control_plane: &PreviewIsDeployed,
        marker: &NoMarker,
        listeners: &Unseen,
        marker_key: None,
    }
}

/// What the forge says of the pull request: its preview is deployed.
pub(in crate::guard) fn forge_facts() -> ControlPlaneFacts {
    let head = pull_request().head_sha.as_str().to_owned();
    ControlPlaneFacts {
        is_open: true,
        head_sha: head.clone(),
        deployments: vec![DeployedFacts {
            id: 9,
            sha: head,
            environments: vec!["Preview".into()],
            production_environment: Some(false),
            state: "success".into(),
            creators: vec!["github-actions[bot]".into()],
            reporters: vec!["github-actions[bot]".into()],
            urls: vec!["https://pr-1.preview.shop.test/".into()],
        }],
        others: vec![],
    }
}

struct PreviewIsDeployed;

impl ControlPlane for PreviewIsDeployed {
    fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        Ok(forge_facts())
    }
}

/// A forge that gives one answer.
pub(in crate::guard) struct Deployed(pub(in crate::guard) Result<ControlPlaneFacts, ControlPlaneError>);

impl ControlPlane for Deployed {
    fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        self.0.clone()
    }
}

/// A forge that has a preview deployed on a platform, and the platform's own word, which the test can change.
pub(in crate::guard) struct Hosted {
    host: &'static str,
    pub(in crate::guard) standing: RefCell<Result<PlatformStanding, ControlPlaneError>>,
}

impl Hosted {
    pub(in crate::guard) fn new(
        host: &'static str,
        standing: Result<PlatformStanding, ControlPlaneError>,
    ) -> Self {
        Self { host, standing: RefCell::new(standing) }
    }
}

impl ControlPlane for Hosted {
    fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        let mut facts = forge_facts();
        facts.deployments[0].urls = vec![format!("https://{}/", self.host)];
        Ok(facts)
    }

    fn platform_standing(
        &self,
        question: &PlatformQuestion<'_>,
    ) -> Result<PlatformStanding, ControlPlaneError> {
        let (PlatformQuestion::FirebaseChannel { host, .. } | PlatformQuestion::CloudRunTag { host, .. }) =
            question;
        assert_eq!(*host, self.host, "the cleared host is asked about");
        self.standing.borrow().clone()
    }
}

/// A forge that knows the pull request and none of its deployments.
pub(in crate::guard) struct NoDeployments;

impl ControlPlane for NoDeployments {
    fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        Ok(ControlPlaneFacts { deployments: vec![], ..forge_facts() })
    }
}

/// A target that has no marker.
pub(in crate::guard) struct NoMarker;

impl AskMarker for NoMarker {
    fn ask(&self, _: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
        Ok(MarkerAnswer { status: 404, ..MarkerAnswer::default() })
    }
}

/// A system that does not tell who listens.
struct Unseen;

impl FindListener for Unseen {
    fn find(&self, _: SocketAddr) -> Option<Vec<Listener>> {
        None
    }
}

fn ask_one(ask: Ask, inquiry: &Inquiry, depth: Depth, outside: Outside<'_>) -> Statement {
    let mut case = Case::open(inquiry, depth, outside);
    // Earlier layers are asked for what they find out, not for their consent.
    for layer in LAYERS.iter().take_while(|layer| !std::ptr::fn_addr_eq(layer.ask, ask)) {
        let line = (layer.ask)(&mut case).line(layer.name);
        case.lines.push(line);
    }
    ask(&mut case)
}

pub(in crate::guard) fn veto_of(statement: Statement) -> Option<RefusalCode> {
    let line = statement.line("");
    assert_eq!(line.decision == LayerDecision::Veto, line.remedy.is_some(), "{line:?}");
    line.code
}

#[track_caller]
pub(in crate::guard) fn assert_passes(ask: Ask, inquiry: &Inquiry) {
    let statement = offline(ask, inquiry);
    assert_eq!(veto_of(statement.clone()), None, "{statement:?}");
}

#[track_caller]
pub(in crate::guard) fn assert_vetoes(ask: Ask, inquiry: &Inquiry, code: RefusalCode) {
    let statement = offline(ask, inquiry);
    assert_eq!(veto_of(statement.clone()), Some(code), "{statement:?} for {:?}", inquiry.candidates);
}
