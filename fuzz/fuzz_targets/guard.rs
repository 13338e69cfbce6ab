//! Fuzzes the guard: whatever the input, a host outside the grammar is never looked up or dialled, nothing but public
//! addresses is pinned, and an answer that a browser would take elsewhere ends the load.
//!
//! The guard's own files are compiled in, so it stays what the program has and this builds in seconds. What is allowed
//! is said here a second time, in other words, so that the guard is not its own judge.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the program uses more of these files than the guard does")]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use url::Url;

use self::context::{
    CommitSha, Context, Forge, PullRequest, PullRequestEvent, PullRequestNumber, Repository,
};
use self::guard::{
    AskMarker, ClearedTarget, ControlPlane, ControlPlaneError, ControlPlaneFacts, DeployedFacts,
    DeploymentQuestion, FindListener, Inquiry, Listener, MarkerAnswer, MarkerFailure, MarkerQuestion,
    Outside, Policy, PreviewPattern, ProductionHost, Resolution, Resolve, ResolveError, Review, Surroundings,
};
use self::target::{Candidate, Source};

#[path = "../../src/context.rs"]
mod context;
#[path = "../../src/guard/mod.rs"]
mod guard;
#[path = "../../src/secret.rs"]
mod secret;
#[path = "../../src/target.rs"]
mod target;

const OWN_HOST: &str = "pr-7.preview.kiosk.example";

/// Where previews have the slug of their branch before them.
const BRANCH_ZONE: &str = ".branch.kiosk.example";

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

/// Separates the parts of an input: no text in UTF-8 has it.
const SEPARATOR: u8 = 0xff;

const FACT: &str = "the constants of this target have their grammar";

/// A world that answers every question the way that lets most targets pass, and writes down whom it was asked about.
struct World {
    addresses: Vec<IpAddr>,
    hosts: RefCell<Vec<String>>,
    dialled: RefCell<Vec<SocketAddr>>,
}

impl World {
    fn outside(&self) -> Outside<'_> {
        Outside { resolver: self, control_plane: self, marker: self, listeners: self, marker_key: None }
    }
}

impl Resolve for World {
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError> {
        self.hosts.borrow_mut().push(host.to_owned());
        Ok(Resolution { addresses: self.addresses.clone(), ..Resolution::default() })
    }
}

impl ControlPlane for World {
    /// Says that whatever is asked about is deployed.
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

impl AskMarker for World {
    fn ask(&self, question: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
        self.hosts.borrow_mut().push(question.origin.host.clone());
        self.dialled.borrow_mut().extend(question.addresses);
        Ok(MarkerAnswer { status: 404, ..MarkerAnswer::default() })
    }
}

impl FindListener for World {
    fn find(&self, _: SocketAddr) -> Option<Vec<Listener>> {
        None
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == SEPARATOR);
    let mut part = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (raw, branch, location) = (part(), part(), part());
    let addresses: Vec<IpAddr> = parts.next().unwrap_or_default().chunks(4).filter_map(address).collect();

    try_target(&raw, &branch, addresses);
    try_answer(&location);
});

/// Returns the address that some bytes stand for, most of them a public one.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match *bytes {
        [a, b, c, d] if a != 0 => Some(Ipv4Addr::new(a, b, c, d).into()),
        [_, b, c, d] => Some(Ipv6Addr::from([b, 0, 0, 0, 0, 0, 0, 0, 0, 0, c, d, 127, 0, 0, 1]).into()),
        _ => None,
    }
}

fn try_target(raw: &str, branch: &str, addresses: Vec<IpAddr>) {
    let world = World { addresses, hosts: RefCell::default(), dialled: RefCell::default() };
    let cleared = guard::clear(&inquiry(raw, branch), &world.outside());

    for host in world.hosts.borrow().iter() {
        assert!(host == OWN_HOST || is_branch_host(host, branch), "{host:?} is outside the grammar: {raw:?}");
    }
    for address in world.dialled.borrow().iter() {
        assert!(world.addresses.contains(&address.ip()) && is_public(address.ip()), "{address} was dialled");
    }
    if let Ok(target) = cleared {
        assert!(world.hosts.borrow().contains(&target.origin().host));
        assert!(target.addresses().iter().all(|pinned| is_public(pinned.ip()) && pinned.port() == 443));
    }
}

/// Returns whether a host is the slug of the branch, as one label, in its zone.
fn is_branch_host(host: &str, branch: &str) -> bool {
    let Some(label) = host.strip_suffix(BRANCH_ZONE) else { return false };
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let is_label = !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_reserved = ["www", "prod", "production", "live", "main", "master"].contains(&label);
    is_label && !is_reserved && letters(branch).starts_with(&letters(label))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !(address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_broadcast())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.to_ipv4().is_some()
                || address.segments()[0] & 0xfe00 == 0xfc00
                || address.segments()[0] & 0xffc0 == 0xfe80)
        }
    }
}

/// A redirect is let pass only where a browser would stay at the preview.
fn try_answer(location: &str) {
    thread_local! {
        static PREVIEW: ClearedTarget = preview();
    }
    PREVIEW.with(|preview| {
        let base = Url::parse(&format!("{}/", preview.origin())).expect(FACT);
        let rules = preview.answer_rules();
        if rules.object_to_field(302, b"location", location.as_bytes()).is_none() {
            let read = base.join(location);
            assert!(read.is_ok_and(|read| read.origin() == base.origin()), "{location:?} leads elsewhere");
        }
        for name in ["alt-svc", "loadgate-preview"] {
            let _ = rules.object_to_field(200, name.as_bytes(), location.as_bytes());
        }
    });
}

fn preview() -> ClearedTarget {
    let world = World {
        addresses: vec![Ipv4Addr::new(76, 76, 21, 21).into()],
        hosts: RefCell::default(),
        dialled: RefCell::default(),
    };
    guard::clear(&inquiry(&format!("https://{OWN_HOST}/"), "feat/menu"), &world.outside()).expect(FACT)
}

fn inquiry(raw: &str, branch: &str) -> Inquiry {
    Inquiry {
        context: Context::PullRequest(Box::new(PullRequest {
            system: "GitHub Actions".into(),
            is_vouched: true,
            forge: Forge::GitHub,
            event: PullRequestEvent::PullRequest,
            action: "synchronize".into(),
            repository: Repository::parse("stall/kiosk").expect(FACT),
            number: PullRequestNumber::parse("7").ok(),
            is_closed: false,
            head_sha: CommitSha::parse(HEAD).expect(FACT),
            head_branch: Some(branch.to_owned()),
            base_branch: Some("main".into()),
            base_sha: None,
            is_from_fork: false,
            deployment: None,
            claims: vec![],
        })),
        candidates: vec![Candidate { source: Source::PreviewVariable, raw: raw.to_owned() }],
        production_facts: vec![],
        policy: Policy {
            preview: ["pr-{pr}.preview.kiosk.example", "{branch}.branch.kiosk.example"]
                .map(|pattern| PreviewPattern::parse(pattern).expect(FACT))
                .into(),
            production: vec![ProductionHost::parse("www.kiosk.example").expect(FACT)],
            review: Review::Base { commit: "89abcde".into() },
            ..Policy::default()
        },
        surroundings: Surroundings::default(),
    }
}
