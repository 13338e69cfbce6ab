//! What a preview says of itself and what DNS says of it, before load and while load runs: real DNS, real TLS, real
//! nginx, in a network that holds nothing else. Production next to it must hear nothing in every test.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use cargo_loadgate::config::{self, Overrides};
use cargo_loadgate::context::{
    CommitSha, Context, Forge, PullRequest, PullRequestEvent, PullRequestNumber, Repository,
};
use cargo_loadgate::evidence::{AskWorld, NameServers, Revoke, Rounds, Watch, World};
use cargo_loadgate::guard::{
    self, ClearedTarget, ControlPlane, ControlPlaneError, ControlPlaneFacts, DeployedFacts,
    DeploymentQuestion, Inquiry, LayerDecision, Outside, Recheck, RefusalCode, Review, Surroundings,
};
use cargo_loadgate::load::{self, Ceilings, DriveOptions, StopSignal};
use cargo_loadgate::measurement::{Ending, Measurement};
use cargo_loadgate::request::Mix;
use cargo_loadgate::secret::Secret;
use cargo_loadgate::target::{Candidate, Source};
use hmac::{Hmac, KeyInit, Mac};
use tokio_util::sync::CancellationToken;

use crate::forge::HEAD_SHA;
use crate::name_server::{a, cname};
use crate::parts;
use crate::preview_namespace::{PREVIEW_URL, Stage};

const HOST: &str = "pr-1.preview.example.test";
const PREVIEW_ADDRESS: &str = "10.77.0.10";
const PRODUCTION_ADDRESS: &str = "10.77.0.20";
const KEY: &str = "a key that production does not have";

/// Short rounds, so that a test need not wait ten seconds.
const ROUNDS: Rounds = Rounds { target: Duration::from_millis(100), forge: Duration::from_millis(100) };

/// How soon load must be over once the guard has taken its yes back.
const END: Duration = Duration::from_secs(1);

/// What nginx does in front of the service that answers for the marker.
const WITH_MARKER: &str =
    "return 200 'ok'; } location = /.well-known/loadgate { proxy_pass http://10.77.0.10:9000;";

/// Long enough that only the guard can have ended it.
const SCENARIO: &str = "[[scenario]]\nname = \"home\"\npath = \"/\"\n\
    profile = { connections = 2, duration = \"60s\", warm-up = \"200ms\", timeout = \"2s\" }";

/// What the service behind the marker answers.
#[derive(Clone, Copy)]
enum Answer {
    Signed { environment: &'static str },
    SignedForProduction,
    NotFound,
    RedirectToProduction,
}

/// A preview that the test can change, and the world that the guard asks about it.
struct Preview {
    stage: Stage,
    answer: Arc<Mutex<Answer>>,
    world: Arc<TestWorld>,
}

/// The real world, but for the forge, which says what the test wants.
struct TestWorld {
    real: World,
    forge: Mutex<Result<ControlPlaneFacts, ControlPlaneError>>,
}

impl AskWorld for TestWorld {
    fn outside(&self) -> Outside<'_> {
        Outside { control_plane: self, ..self.real.outside() }
    }
}

impl ControlPlane for TestWorld {
    fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        self.forge.lock().unwrap().clone()
    }
}

impl Preview {
    /// Serves a preview with a signed marker, of which the forge has no deployment.
    fn set() -> Option<Self> {
        let stage = Stage::set(WITH_MARKER)?;
        stage.configure("roots = [\"root.pem\"]\nmarker = \"required\"", SCENARIO);
        let answer = Arc::new(Mutex::new(Answer::Signed { environment: "preview" }));
        serve_marker(stage.namespace.listen(&format!("{PREVIEW_ADDRESS}:9000")), Arc::clone(&answer));
        Some(Self::on(stage, answer))
    }

    fn on(stage: Stage, answer: Arc<Mutex<Answer>>) -> Self {
        let resolv_conf = Path::new("/etc/netns").join(stage.namespace.name()).join("resolv.conf");
        let real = World::default()
            .with_name_servers(NameServers::named_in(resolv_conf))
            .with_marker_key(Some(Secret::new(KEY.into())));
        let facts =
            ControlPlaneFacts { is_open: true, head_sha: HEAD_SHA.into(), ..ControlPlaneFacts::default() };
        let world = Arc::new(TestWorld { real, forge: Mutex::new(Ok(facts)) });
        Self { stage, answer, world }
    }

    fn now_answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn inquiry(&self) -> Inquiry {
        let settings = config::load(self.stage.project.path(), &Overrides::default()).unwrap();
        let mut policy = settings.target.to_policy_for_remote().unwrap();
        policy.review = Review::Base { commit: "89abcde".into() };
        Inquiry {
            context: Context::PullRequest(Box::new(pull_request())),
            candidates: vec![Candidate { source: Source::PreviewVariable, raw: PREVIEW_URL.into() }],
            production_facts: vec![],
            policy,
            surroundings: Surroundings::default(),
        }
    }

    fn clear(&self) -> Result<ClearedTarget, Box<guard::Refusal>> {
        let inquiry = self.inquiry();
        self.stage.namespace.enter(|| guard::clear(&inquiry, &self.world.outside()))
    }

    /// Loads the preview under watch, changes something once load flows, and returns how the load ended and how long
    /// it went on after the guard took its yes back.
    fn load_while(&self, change: impl Fn() + Send + Sync) -> (Measurement, Duration) {
        let inquiry = self.inquiry();
        let settings = config::load(self.stage.project.path(), &Overrides::default()).unwrap();
        let scenario = &settings.scenarios[0];
        let options = DriveOptions { threads: settings.threads, ceilings: Ceilings::default(), echo: None };
        self.stage.namespace.enter(|| {
            let target = guard::clear(&inquiry, &self.world.outside()).unwrap();
            let stop = StopSignal::new(&CancellationToken::new());
            let (send, revoked_at) = mpsc::channel();
            let stopped = stop.clone();
            let revoke: Revoke = Arc::new(move |reason| {
                send.send(Instant::now()).unwrap();
                stopped.revoke(reason);
            });
            let world: Arc<dyn AskWorld> = self.world.clone();
            let _watch = Watch::begin(&target, &inquiry, &world, ROUNDS, &revoke).unwrap();
            let changed = Mutex::new(false);
            let sources = Mix::new(&scenario.requests, &target.origin().authority(), 0);
            let measurement = load::drive(&target, scenario, &sources, &options, &stop, &|progress| {
                let mut changed = changed.lock().unwrap();
                if progress.answered > 100 && !*changed {
                    *changed = true;
                    change();
                }
            })
            .unwrap();
            let took = revoked_at.recv().unwrap().elapsed();
            (measurement, took)
        })
    }

    #[track_caller]
    fn assert_revoked(&self, word: &str, change: impl Fn() + Send + Sync) {
        let (measurement, took) = self.load_while(change);

        assert!(
            matches!(&measurement.ending, Ending::Revoked(why) if why.contains(word)),
            "{:?}",
            measurement.ending
        );
        assert!(took < END, "load went on for {took:?}");
        self.stage.assert_production_heard_nothing();
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
        head_sha: CommitSha::parse(HEAD_SHA).unwrap(),
        head_branch: Some("feat/cart".into()),
        base_branch: Some("main".into()),
        base_sha: None,
        is_from_fork: false,
        deployment: None,
        claims: vec![],
    }
}

/// Answers each connection as the test wants now.
fn serve_marker(listener: TcpListener, answer: Arc<Mutex<Answer>>) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let nonce =
                line.split("nonce=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            let response = match *answer.lock().unwrap() {
                Answer::Signed { environment } => json_page(&signed_marker(nonce, HOST, environment)),
                Answer::SignedForProduction => {
                    json_page(&signed_marker(nonce, "www.example.test", "preview"))
                }
                // Platforms put this header on outdated production, too: it proves nothing.
                Answer::NotFound => {
                    "404 Not Found\r\nX-Robots-Tag: noindex\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
                Answer::RedirectToProduction => {
                    "302 Found\r\nLocation: https://www.example.test/\r\nContent-Length: 0\r\n\r\n".to_owned()
                }
            };
            let _ = stream.write_all(format!("HTTP/1.0 {response}").as_bytes());
        }
    });
}

fn json_page(body: &str) -> String {
    format!("200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn signed_marker(nonce: &str, host: &str, environment: &str) -> String {
    serde_json::json!({
        "loadgate": 1, "environment": environment, "host": host, "commit": HEAD_SHA, "nonce": nonce,
        "mac": signature(&format!("loadgate 1\n{nonce}\n{host}\n{environment}\n{HEAD_SHA}\n\n")),
    })
    .to_string()
}

fn signature(text: &str) -> String {
    let signed = Hmac::<sha2::Sha256>::new_from_slice(KEY.as_bytes()).unwrap().chain_update(text).finalize();
    signed.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_preview_that_signs_its_marker_is_cleared_without_a_deployment() {
    let Some(preview) = Preview::set() else { return };

    let target = preview.clear().unwrap();

    let line = target.evidence().layers.iter().find(|line| line.layer == "L8 proof").unwrap();
    assert_eq!(line.decision, LayerDecision::Proof, "{line:?}");
    assert_eq!(target.addresses(), [format!("{PREVIEW_ADDRESS}:443").parse().unwrap()]);
    assert_eq!(preview.stage.requests_to_preview(), 1);
    preview.stage.assert_production_heard_nothing();
}

#[test]
fn a_preview_whose_marker_says_production_is_refused() {
    let Some(preview) = Preview::set() else { return };

    for (answer, code) in [
        (Answer::Signed { environment: "production" }, RefusalCode::MarkerProduction),
        (Answer::RedirectToProduction, RefusalCode::MarkerProduction),
        (Answer::NotFound, RefusalCode::MarkerMissing),
    ] {
        preview.now_answers(answer);
        assert_eq!(preview.clear().unwrap_err().code, code);
    }
    preview.stage.assert_production_heard_nothing();
}

#[test]
fn a_preview_whose_certificate_nobody_vouches_for_is_refused_unasked() {
    let Some(preview) = Preview::set() else { return };
    preview.stage.configure("marker = \"required\"", SCENARIO);

    let refusal = preview.clear().unwrap_err();

    assert_eq!(refusal.code, RefusalCode::Certificate, "{refusal}");
    assert!(!refusal.fact.contains("nonce"), "{refusal}");
    assert_eq!(preview.stage.requests_to_preview(), 0);
}

#[test]
fn a_preview_that_does_not_listen_is_refused() {
    let Some(preview) = Preview::set() else { return };
    preview.stage.namespace.zone().set(HOST, &[a("10.77.0.53")]);

    let refusal = preview.clear().unwrap_err();

    assert_eq!(refusal.code, RefusalCode::MarkerUnavailable, "{refusal}");
}

#[test]
fn a_name_that_leads_to_production_is_refused_before_anything_is_sent() {
    let Some(preview) = Preview::set() else { return };
    let zone = preview.stage.namespace.zone();

    zone.set("edge.provider.test", &[a(PREVIEW_ADDRESS)]);
    zone.set(HOST, &[cname("edge.provider.test")]);
    assert!(preview.clear().is_ok(), "another name alone is no reason");

    zone.set("edge.provider.test", &[cname("www.example.test")]);
    let before = preview.stage.requests_to_preview();
    assert_eq!(preview.clear().unwrap_err().code, RefusalCode::ProductionAlias);
    assert_eq!(preview.stage.requests_to_preview(), before);
    preview.stage.assert_production_heard_nothing();
}

#[test]
fn a_name_that_is_bound_to_another_address_moves_nobody() {
    let Some(preview) = Preview::set() else { return };
    let target = preview.clear().unwrap();

    preview.stage.namespace.zone().set(HOST, &[a(PRODUCTION_ADDRESS)]);
    let inquiry = preview.inquiry();
    let said = preview
        .stage
        .namespace
        .enter(|| guard::recheck(&target, &inquiry, &preview.world.outside(), Recheck::Target))
        .unwrap();

    assert!(said.news[0].contains(PRODUCTION_ADDRESS) && said.news[0].contains("stays pinned"), "{said:?}");
    assert_eq!(
        said.lines[1].decision,
        LayerDecision::Proof,
        "the pinned address is the one that was asked: {said:?}"
    );
    preview.stage.assert_production_heard_nothing();
}

#[test]
fn load_ends_when_the_name_leads_to_production() {
    let Some(preview) = Preview::set() else { return };

    preview.assert_revoked("www.example.test", || {
        preview.stage.namespace.zone().set(HOST, &[cname("www.example.test")]);
    });
}

#[test]
fn load_ends_when_the_marker_says_production() {
    let Some(preview) = Preview::set() else { return };

    preview
        .assert_revoked("production", || preview.now_answers(Answer::Signed { environment: "production" }));
}

#[test]
fn load_ends_when_the_marker_is_made_for_production() {
    let Some(preview) = Preview::set() else { return };

    preview.assert_revoked("says that it is www.example.test", || {
        preview.now_answers(Answer::SignedForProduction);
    });
}

#[test]
fn load_ends_when_the_name_is_bound_elsewhere_for_one_moment() {
    let Some(preview) = Preview::set() else { return };

    // The zone's answers must not be remembered.
    preview.assert_revoked("for this one moment", || {
        preview.stage.namespace.zone().set(HOST, &[a("93.184.215.14")]);
    });
}

#[test]
fn load_ends_when_the_marker_is_lost() {
    let Some(preview) = Preview::set() else { return };

    preview.assert_revoked("serves no marker", || preview.now_answers(Answer::NotFound));
}

#[test]
fn load_ends_when_the_preview_begins_to_lead_to_production() {
    let Some(preview) = Preview::set() else { return };

    preview.assert_revoked("redirects to the production host", || {
        preview.now_answers(Answer::RedirectToProduction);
    });
}

#[test]
fn load_ends_when_the_pull_request_is_closed() {
    let Some(preview) = Preview::set() else { return };

    preview.assert_revoked("closed", || {
        if let Ok(facts) = &mut *preview.world.forge.lock().unwrap() {
            facts.is_open = false;
        }
    });
}

#[test]
fn load_ends_when_the_pull_request_has_a_new_head() {
    let Some(preview) = Preview::set() else { return };

    preview.assert_revoked("head of the pull request", || {
        if let Ok(facts) = &mut *preview.world.forge.lock().unwrap() {
            facts.head_sha = "f".repeat(40);
        }
    });
}

#[test]
fn load_ends_when_the_forge_calls_the_deployment_production() {
    let Some(preview) = Preview::set() else { return };

    preview.assert_revoked("production", || {
        if let Ok(facts) = &mut *preview.world.forge.lock().unwrap() {
            facts.others.push(DeployedFacts {
                id: 12,
                sha: HEAD_SHA.into(),
                environments: vec!["production".into()],
                state: "success".into(),
                urls: vec![PREVIEW_URL.into()],
                ..DeployedFacts::default()
            });
        }
    });
}

#[test]
fn the_documented_nginx_marker_counts_beside_the_forges_word() {
    let documented = documented("### nginx", "```nginx");
    let location = documented.replace("${LOADGATE_HOST}", HOST).replace("${LOADGATE_COMMIT}", HEAD_SHA);
    let Some(stage) = Stage::set(&format!("return 200 'ok'; }} {location} location /unused {{ return 204;"))
    else {
        return;
    };
    stage.configure("roots = [\"root.pem\"]\nmarker = \"required\"", SCENARIO);
    let preview = Preview::on(stage, Arc::new(Mutex::new(Answer::NotFound)));

    assert_eq!(preview.clear().unwrap_err().code, RefusalCode::MarkerMissing, "alone it proves nothing");
    if let Ok(facts) = &mut *preview.world.forge.lock().unwrap() {
        facts.deployments.push(DeployedFacts {
            id: 11,
            sha: HEAD_SHA.into(),
            environments: vec!["Preview".into()],
            state: "success".into(),
            creators: vec!["github-actions[bot]".into()],
            reporters: vec!["github-actions[bot]".into()],
            urls: vec![PREVIEW_URL.into()],
            ..DeployedFacts::default()
        });
    }
    let target = preview.clear().unwrap();

    let line = target.evidence().layers.iter().find(|line| line.layer == "L8 proof").unwrap();
    assert_eq!(line.decision, LayerDecision::Proof, "{line:?}");
    preview.stage.assert_production_heard_nothing();
}

#[test]
fn the_documented_javascript_signs_as_the_document_says() {
    let Some(node) = parts::require("node") else { return };
    let nonce = "000102030405060708090a0b0c0d0e0f";
    let program = format!(
        "{}\nconsole.log(JSON.stringify([loadgateMarker({nonce:?}), loadgateMarker(\"x\"), loadgateMarker({nonce:?}, {{}})]));",
        documented("### Express", "```js")
    );

    let output = std::process::Command::new(node.join("node"))
        .args(["-e", &program])
        .envs([("LOADGATE_HOST", HOST), ("LOADGATE_COMMIT", HEAD_SHA), ("LOADGATE_MARKER_KEY", KEY)])
        .output()
        .unwrap();

    let answers: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let ours: serde_json::Value = serde_json::from_str(&signed_marker(nonce, HOST, "preview")).unwrap();
    assert_eq!(answers[0], ours);
    assert!(answers[1].is_null() && answers[2].is_null(), "{answers}");
}

/// Returns the first block of code that follows a heading of the document.
fn documented(heading: &str, fence: &str) -> String {
    let document = std::fs::read_to_string(parts::repository().join("docs/marker.md")).unwrap();
    let (_, rest) = document.split_once(heading).unwrap();
    let (_, block) = rest.split_once(fence).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}
