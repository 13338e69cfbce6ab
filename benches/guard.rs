//! Measures what the guard costs before and during a run, and tries to make it dial a host outside the grammar.
//!
//! `cargo bench --bench guard` times the layers that need no network, the rules that every answer is held against, and
//! what is asked again while load runs. `cargo bench --bench guard -- 10000000` also
//! throws that many mutated targets at all layers, with a resolver that writes down each name it is asked for, and
//! fails at the first name that is not the pull request's own preview. The seed is printed; a second number sets it.

#![expect(clippy::print_stdout, reason = "the table is what this bench is for")]

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cargo_loadgate::clock;
use cargo_loadgate::context::{
    CommitSha, Context, Forge, PullRequest, PullRequestEvent, PullRequestNumber, Repository,
};
use cargo_loadgate::evidence::{HttpMarker, Rounds};
use cargo_loadgate::guard::{
    self, AskMarker, ControlPlane, ControlPlaneError, ControlPlaneFacts, DeployedFacts, DeploymentQuestion,
    Depth, FindListener, Inquiry, Listener, MarkerAnswer, MarkerFailure, MarkerQuestion, Outside, Policy,
    PreviewPattern, ProductionHost, ReceiptDecision, Recheck, Resolution, Resolve, ResolveError, Review,
    Surroundings,
};
use cargo_loadgate::target::{Candidate, Origin, Scheme, Source};
use rustix::time::{ClockId, clock_gettime};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;

const OWN_HOST: &str = "pr-7.preview.kiosk.example";

const TIMED_DECISIONS: u32 = 20_000;

const TIMED_ANSWERS: u32 = 2_000_000;

const TIMED_QUESTIONS: u32 = 50;

/// What a request costs the client at least, on the machine of docs/performance.md; the share is of this.
const REQUEST: Duration = Duration::from_nanos(3_600);

/// The head of an answer as an edge sends it.
const HEAD: [(&str, &str); 12] = [
    ("date", "Fri, 27 Nov 2026 19:00:00 GMT"),
    ("content-type", "application/json; charset=utf-8"),
    ("content-length", "1024"),
    ("connection", "keep-alive"),
    ("server", "edge"),
    ("vary", "accept-encoding"),
    ("cache-control", "private, max-age=0"),
    ("alt-svc", "h3=\":443\"; ma=86400"),
    ("etag", "\"0123456789abcdef\""),
    ("x-request-id", "01234567-89ab-cdef-0123-456789abcdef"),
    ("strict-transport-security", "max-age=31536000"),
    ("loadgate-preview", "preview; commit=0123456789abcdef0123456789abcdef01234567"),
];

/// How many mutations are tried between two lines of progress.
const PROGRESS_STEP: u64 = 1_000_000;

/// What mutations are made of: texts that stand near a URL of a preview, and characters that parsers disagree about.
const PIECES: [&str; 40] = [
    "pr-7",
    "pr-8",
    "preview",
    "kiosk",
    "example",
    "www",
    "attacker",
    "localhost",
    "127.0.0.1",
    "0x7f.1",
    "[::1]",
    "xn--",
    ".",
    "..",
    "-",
    "--",
    "_",
    "@",
    ":",
    ":443",
    ":8443",
    "/",
    "//",
    "\\",
    "?",
    "#",
    ";",
    "%2e",
    "%40",
    "%00",
    "\t",
    "\n",
    "\r",
    " ",
    "\0",
    "\u{3002}",
    "\u{ff0e}",
    "\u{430}",
    "\u{212a}",
    "\u{ad}",
];

/// Whole beginnings, of which mutation begins.
const SEEDS: [&str; 8] = [
    "https://pr-7.preview.kiosk.example/",
    "https://pr-7.preview.kiosk.example",
    "https://www.kiosk.example/",
    "https://pr-8.preview.kiosk.example/",
    "https://pr-7.preview.kiosk.example@www.kiosk.example/",
    "https://pr-7.preview.kiosk.example.attacker.example/",
    "http://pr-7.preview.kiosk.example/",
    "https:",
];

/// Writes down every name it is asked for.
#[derive(Default)]
struct Recorder(RefCell<Vec<String>>);

impl Resolve for Recorder {
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError> {
        self.0.borrow_mut().push(host.to_owned());
        Err(ResolveError::NoAnswer("this bench asks nobody".to_owned()))
    }
}

/// A world in which our own preview is all right.
struct AllRight;

impl Resolve for AllRight {
    fn resolve(&self, _: &str) -> Result<Resolution, ResolveError> {
        Ok(Resolution { addresses: vec![IpAddr::from([76, 76, 21, 21])], ..Resolution::default() })
    }
}

impl AskMarker for AllRight {
    fn ask(&self, _: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
        Ok(MarkerAnswer { status: 404, ..MarkerAnswer::default() })
    }
}

impl ControlPlane for Recorder {
    /// Says that our own preview is deployed, so that nothing is refused here that should be refused elsewhere.
    fn deployments(&self, question: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        let head = question.head_sha.as_str().to_owned();
        let deployment = DeployedFacts {
            id: 70,
            sha: head.clone(),
            environments: vec!["Preview".into()],
            state: "success".into(),
            creators: vec!["github-actions[bot]".into()],
            reporters: vec!["github-actions[bot]".into()],
            urls: vec![format!("https://{OWN_HOST}/")],
            ..DeployedFacts::default()
        };
        Ok(ControlPlaneFacts { is_open: true, head_sha: head, deployments: vec![deployment], others: vec![] })
    }
}

impl AskMarker for Recorder {
    fn ask(&self, question: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
        self.0.borrow_mut().push(question.origin.host.clone());
        Err(MarkerFailure::NoAnswer("this bench asks nobody".to_owned()))
    }
}

impl FindListener for Recorder {
    fn find(&self, _: SocketAddr) -> Option<Vec<Listener>> {
        None
    }
}

impl Recorder {
    fn outside(&self) -> Outside<'_> {
        Outside { resolver: self, control_plane: self, marker: self, listeners: self, marker_key: None }
    }
}

fn main() -> ExitCode {
    // Cargo adds a word of its own to what was typed.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let inquiry = inquiry();
    time_offline_layers(&inquiry);
    time_rules(&inquiry);
    time_marker();
    let Some(tries) = numbers.next() else { return ExitCode::SUCCESS };
    let seed = numbers.next().unwrap_or_else(|| fastrand::u64(..));
    println!("{tries} targets from seed {seed}");
    // Where even the pull request's own preview is refused before DNS, the attack would show nothing.
    let refusal =
        guard::clear(&inquiry, &Recorder::default().outside()).expect_err("DNS gives no answer here");
    if !refusal.layer.starts_with("L7") {
        println!("the pull request's own preview is refused too early: {refusal}");
        return ExitCode::FAILURE;
    }
    match attack(inquiry, tries, &mut fastrand::Rng::with_seed(seed)) {
        Ok(near) => {
            println!("no host outside the grammar was asked for; {near} targets came through to DNS");
            ExitCode::SUCCESS
        }
        Err(target) => {
            println!("a host outside the grammar was asked for: {target:?}");
            ExitCode::FAILURE
        }
    }
}

fn time_offline_layers(inquiry: &Inquiry) {
    let recorder = Recorder::default();
    let mut times: Vec<Duration> = (0..TIMED_DECISIONS)
        .map(|_| {
            let start = clock::monotonic();
            let receipt = guard::examine(inquiry, Depth::Offline, &recorder.outside());
            assert_eq!(receipt.decision, ReceiptDecision::AllowedSoFar, "{receipt:?}");
            start.elapsed()
        })
        .collect();
    times.sort();
    let at = |share: usize| times[times.len() * share / 100];
    println!("all offline layers: median {:?}, p99 {:?}", at(50), at(99));
}

/// Times what every answer is held against, and what the layers cost that are asked again.
fn time_rules(inquiry: &Inquiry) {
    let recorder = Recorder::default();
    let world = Outside { resolver: &AllRight, marker: &AllRight, ..recorder.outside() };
    let target = guard::clear(inquiry, &world).expect("everything is in order");
    let rules = target.answer_rules();
    let start = clock::monotonic();
    for _ in 0..TIMED_ANSWERS {
        let status = black_box(200);
        let mut objection = rules.object_to_status(status);
        for (name, value) in black_box(&HEAD) {
            // As in the load path, which sees every header anyway: the length sorts out nearly all of them.
            if matches!(name.len(), 7 | 8 | 16) {
                objection =
                    objection.or_else(|| rules.object_to_field(status, name.as_bytes(), value.as_bytes()));
            }
        }
        assert!(black_box(objection).is_none());
    }
    let each = start.elapsed() / TIMED_ANSWERS;
    let share = each.as_secs_f64() / REQUEST.as_secs_f64();
    println!("rules for an answer's head: {each:?}, {:.2} % of a request", share * 100.0);
    for (which, every) in
        [(Recheck::Target, Rounds::default().target), (Recheck::Forge, Rounds::default().forge)]
    {
        let start = clock::monotonic();
        for _ in 0..TIMED_DECISIONS {
            let said = guard::recheck(&target, inquiry, &world, which);
            assert!(black_box(said).is_ok());
        }
        let each = start.elapsed() / TIMED_DECISIONS;
        println!("layers that are asked again ({which:?}, every {every:?}): {each:?}");
    }
}

/// Measures the processor time of asking for a marker over TLS; both ends of it are in this process, so that it is more
/// than the client's.
fn time_marker() {
    let made = rcgen::generate_simple_self_signed([OWN_HOST.to_owned()]).expect("a certificate can be made");
    let root = made.cert.der().to_vec();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
        )
        .expect("the certificate is one");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || serve(&listener, &Arc::new(server)));
    let origin = Origin { scheme: Scheme::Https, host: OWN_HOST.into(), port: address.port() };
    let roots = [root];
    let question = MarkerQuestion { origin: &origin, addresses: &[address], trusted_roots: &roots };
    let before = processor_time();
    for _ in 0..TIMED_QUESTIONS {
        let answer = HttpMarker.ask(&question).expect("the server answers");
        assert_eq!(answer.status, 404);
    }
    let each = (processor_time() - before) / TIMED_QUESTIONS;
    let every = Rounds::default().target;
    let share = each.as_secs_f64() / every.as_secs_f64();
    println!(
        "a marker over TLS, both ends: {each:?} every {every:?}, {:.3} % of one processor",
        share * 100.0
    );
}

fn serve(listener: &TcpListener, server: &Arc<ServerConfig>) {
    for stream in listener.incoming().flatten() {
        let Ok(session) = ServerConnection::new(Arc::clone(server)) else { return };
        let mut stream = StreamOwned::new(session, stream);
        // One question fits into one read.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

/// Returns the processor time of this process so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let fact = "processor time is not negative";
    Duration::new(time.tv_sec.try_into().expect(fact), time.tv_nsec.try_into().expect(fact))
}

/// Returns how many targets reached DNS, or the first one that asked for a foreign name.
fn attack(mut inquiry: Inquiry, tries: u64, random: &mut fastrand::Rng) -> Result<u64, String> {
    let recorder = Recorder::default();
    let mut near = 0;
    for done in 0..tries {
        let raw = mutated(random);
        inquiry.candidates[0].raw.clone_from(&raw);
        let _ = guard::clear(&inquiry, &recorder.outside());
        let mut asked = recorder.0.borrow_mut();
        if asked.iter().any(|host| host != OWN_HOST) {
            return Err(raw);
        }
        near += u64::from(!asked.is_empty());
        asked.clear();
        if (done + 1) % PROGRESS_STEP == 0 {
            println!("{} tried, {near} came through", done + 1);
        }
    }
    Ok(near)
}

/// Cuts, joins and sprinkles: most results are near a URL, few are one.
fn mutated(random: &mut fastrand::Rng) -> String {
    let mut text: Vec<char> = SEEDS[random.usize(..SEEDS.len())].chars().collect();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..=text.len());
        match random.u8(..4) {
            0 => {
                let end = random.usize(at..=text.len());
                text.drain(at..end);
            }
            1 | 2 => {
                let piece = PIECES[random.usize(..PIECES.len())];
                text.splice(at..at, piece.chars());
            }
            _ => text.insert(at, random.char(..)),
        }
    }
    text.into_iter().collect()
}

fn inquiry() -> Inquiry {
    let fact = "the constants of this bench have their grammar";
    Inquiry {
        context: Context::PullRequest(Box::new(PullRequest {
            system: "GitHub Actions".into(),
            is_vouched: true,
            forge: Forge::GitHub,
            event: PullRequestEvent::PullRequest,
            action: "synchronize".into(),
            repository: Repository::parse("stall/kiosk").expect(fact),
            number: PullRequestNumber::parse("7").ok(),
            is_closed: false,
            head_sha: CommitSha::parse("0123456789abcdef0123456789abcdef01234567").expect(fact),
            head_branch: Some("feat/menu".into()),
            base_branch: Some("main".into()),
            base_sha: None,
            is_from_fork: false,
            deployment: None,
            claims: vec![],
        })),
        candidates: vec![Candidate { source: Source::PreviewVariable, raw: format!("https://{OWN_HOST}/") }],
        production_facts: vec![],
        policy: Policy {
            preview: vec![PreviewPattern::parse("pr-{pr}.preview.kiosk.example").expect(fact)],
            production: vec![ProductionHost::parse("www.kiosk.example").expect(fact)],
            review: Review::Base { commit: "89abcde".into() },
            ..Policy::default()
        },
        surroundings: Surroundings::default(),
    }
}
