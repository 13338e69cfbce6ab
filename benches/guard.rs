//! Measures what a decision of the guard costs, and tries to make it dial a host outside the grammar.
//!
//! `cargo bench --bench guard` times the layers that need no network. `cargo bench --bench guard -- 10000000` also
//! throws that many mutated targets at all layers, with a resolver that writes down each name it is asked for, and
//! fails at the first name that is not the pull request's own preview. The seed is printed; a second number sets it.

#![expect(clippy::print_stdout, reason = "the table is what this bench is for")]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use cargo_loadgate::clock;
use cargo_loadgate::context::{
    CommitSha, Context, Forge, PullRequest, PullRequestEvent, PullRequestNumber, Repository,
};
use cargo_loadgate::guard::{
    self, AskMarker, ControlPlane, ControlPlaneError, ControlPlaneFacts, DeployedFacts, DeploymentQuestion,
    Depth, FindListener, Inquiry, Listener, MarkerAnswer, MarkerFailure, MarkerQuestion, Outside, Policy,
    PreviewPattern, ProductionHost, ReceiptDecision, Resolution, Resolve, ResolveError, Review, Surroundings,
};
use cargo_loadgate::target::{Candidate, Source};

const OWN_HOST: &str = "pr-7.preview.kiosk.example";

const TIMED_DECISIONS: u32 = 20_000;

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
