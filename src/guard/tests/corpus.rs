//! The corpus of targets as a test: every line of `tests/corpus/targets.txt` is judged as it is written there.
//!
//! A line sets one thing on the stage that the file's head describes; everything else stays in order, so that the
//! layer that answers is the layer that is meant.

mod world;

use std::ffi::OsStr;

use crate::ci::{self, Environment};
use crate::context::{CommitSha, Deployment, PullRequestNumber};
use crate::guard::layers::fixture;
use crate::guard::*;
use crate::request::{Method, Request};

const CORPUS: &str = include_str!("../../../tests/corpus/targets.txt");

const PREVIEWS: [&str; 10] = [
    "pr-{pr}.preview.kiosk.example",
    "deploy-preview-{pr}--kiosk.netlify.app",
    "kiosk-git-{branch}-stall.vercel.app",
    "{branch}.kiosk.pages.dev",
    "pr-{pr}.d9z8y7x6w5v4u3.amplifyapp.com",
    "kiosk--pr{pr}-{branch}-{hash}.web.app",
    "pr-{pr}-stall-kiosk.fly.dev",
    "calm-sea-0f1e2d3c4-{pr}.eastus2.2.azurestaticapps.net",
    "stall-kiosk-preview-pr-{pr}.surge.sh",
    "menu-{hash}.preview.kiosk.example",
];

const PRODUCTION: [&str; 8] = [
    "kiosk.example",
    "www.kiosk.example",
    "api.kiosk.example",
    "kiosk.netlify.app",
    "kiosk.herokuapp.com",
    "kiosk.web.app",
    "kiosk.pages.dev",
    "kiosk-live-1.eu-west-1.elb.amazonaws.com",
];

const OWN_PREVIEW: &str = "https://pr-7.preview.kiosk.example/";

/// Who refuses, or `None` where nobody does; `report` where somebody only tells the report.
type Refuser = Option<String>;

/// Judges the rest of a line.
type Judge = fn(&str) -> Refuser;

/// What a line is about where it is no URL, and who judges it.
const KINDS: [(&str, Judge); 14] = [
    ("answer:", world::judge_answer),
    ("branch:", judge_branch),
    ("number:", |text| PullRequestNumber::parse(text).err().map(|_| "facts".into())),
    ("commit:", |text| CommitSha::parse(text).err().map(|_| "facts".into())),
    ("env:", judge_environment),
    ("deployment:", judge_deployment),
    ("dns:", world::judge_names),
    ("forge:", world::judge_forge),
    ("later:", world::judge_later),
    ("marker:", world::judge_marker),
    ("path:", |path| Request::get(path).err().map(|_| "request".into())),
    ("header:", judge_header),
    ("method:", |method| Method::parse(method).err().map(|_| "request".into())),
    ("policy:", judge_policy),
];

struct Line {
    number: usize,
    is_unannounced: bool,
    expected: Refuser,
    input: String,
}

impl Line {
    /// Returns whether it is about a URL that a step of the job names.
    fn is_plain(&self) -> bool {
        !KINDS.iter().any(|(kind, _)| self.input.starts_with(kind))
    }
}

fn lines() -> Vec<Line> {
    let numbered = CORPUS.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(read_line).collect()
}

fn read_line((number, line): (usize, &str)) -> Line {
    let (is_unannounced, rest) = match line.strip_prefix("unannounced ") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, line),
    };
    let (expected, rest) = if let Some(rest) = rest.strip_prefix("allow ") {
        (None, rest)
    } else if let Some(rest) = rest.strip_prefix("report ") {
        (Some("report".to_owned()), rest)
    } else {
        let rest = rest.strip_prefix("refuse ").unwrap_or_else(|| panic!("line {number}: no verdict"));
        let (layer, rest) = rest.split_once(' ').unwrap_or_else(|| panic!("line {number}: no layer"));
        (Some(layer.to_owned()), rest)
    };
    let (input, why) = rest.trim().split_once("  ").unwrap_or_else(|| panic!("line {number}: no reason"));
    assert!(!why.trim().is_empty(), "line {number}: no reason");
    Line { number, is_unannounced, expected, input: decoded(input.trim()) }
}

fn decoded(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        let kind = after.next().expect("an escape is whole");
        rest = after.as_str();
        let mut hexadecimal = |digits: &str, length: usize| {
            rest = &rest[length..];
            let code = u32::from_str_radix(digits, 16).expect("an escape holds hexadecimal digits");
            char::from_u32(code).expect("an escape is a character")
        };
        plain.push(match kind {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            '0' => '\0',
            's' => ' ',
            '\\' => '\\',
            'x' => hexadecimal(&after.as_str()[..2], 2),
            'u' => {
                let end = after.as_str().find('}').expect("an escape is whole");
                hexadecimal(&after.as_str()[1..end], end + 1)
            }
            other => panic!("the escape \\{other} is not known"),
        });
    }
    plain + rest
}

/// Pull request 7 of stall/kiosk, with everything in order.
fn stage(raw: &str) -> Inquiry {
    let mut inquiry = fixture::named(raw);
    inquiry.policy.preview = PREVIEWS.map(|text| PreviewPattern::parse(text).unwrap()).into();
    inquiry.policy.production = PRODUCTION.map(|text| ProductionHost::parse(text).unwrap()).into();
    inquiry.policy.consent = Some("ticket 7".into());
    if let Context::PullRequest(pull_request) = &mut inquiry.context {
        pull_request.number = PullRequestNumber::parse("7").ok();
        pull_request.head_branch = Some("feat/menu".into());
    }
    inquiry
}

/// Answers nothing: whoever asks it has let a target through that it should have refused.
struct NobodyIsAsked;

impl Resolve for NobodyIsAsked {
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError> {
        panic!("{host} was looked up");
    }
}

fn examine_offline(inquiry: &Inquiry) -> Receipt {
    examine(inquiry, Depth::Offline, &fixture::outside(&NobodyIsAsked))
}

fn refuser_of(receipt: &Receipt) -> Refuser {
    receipt.veto().map(|line| line.layer.split(' ').next().unwrap_or_default().to_owned())
}

fn judged(line: &Line) -> Refuser {
    if let Some((input, judge)) =
        KINDS.iter().find_map(|(kind, judge)| Some((line.input.strip_prefix(kind)?, judge)))
    {
        return judge(input);
    }
    let mut inquiry = stage(&line.input);
    if line.is_unannounced {
        inquiry.policy.consent = None;
    }
    refuser_of(&examine_offline(&inquiry))
}

fn judge_branch(text: &str) -> Refuser {
    let (branch, label) = text.rsplit_once(' ').expect("a branch and its label");
    let mut inquiry = stage(&format!("https://{label}.preview.kiosk.example/"));
    inquiry.policy.preview = ["{branch}.preview.kiosk.example", "pr-{pr}.preview.kiosk.example"]
        .map(|text| PreviewPattern::parse(text).unwrap())
        .into();
    if let Context::PullRequest(pull_request) = &mut inquiry.context {
        pull_request.head_branch = Some(branch.to_owned());
    }
    refuser_of(&examine_offline(&inquiry))
}

fn judge_environment(text: &str) -> Refuser {
    let dir = tempfile::tempdir().unwrap();
    let event = dir.path().join("event.json");
    let sides = |branch: &str, sha: &str| serde_json::json!({"ref": branch, "sha": sha.repeat(4), "repo": {"full_name": "stall/kiosk"}});
    let payload = serde_json::json!({
        "action": "synchronize", "number": 7, "repository": {"full_name": "stall/kiosk"},
        "pull_request": {"number": 7, "state": "open", "head": sides("feat/menu", "0123456789"),
                         "base": sides("main", "9876543210"),
                         "title": "Preview: https://www.kiosk.example", "body": format!("Preview: {OWN_PREVIEW}")},
        // What people and other systems write, and no source names a target by.
        "comment": {"body": format!("Preview: {OWN_PREVIEW}")},
        "context": "deploy/kiosk", "state": "success", "target_url": OWN_PREVIEW,
    });
    std::fs::write(&event, payload.to_string()).unwrap();
    let mut variables: std::collections::BTreeMap<String, String> = [
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("GITHUB_EVENT_PATH", event.to_str().unwrap()),
        ("GITHUB_REPOSITORY", "stall/kiosk"),
        ("GITHUB_BASE_REF", "main"),
        (ci::PREVIEW_VARIABLE, OWN_PREVIEW),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for setting in text.split(' ') {
        match setting.split_once('=') {
            Some((name, value)) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(setting),
        };
    }
    let environment = Environment::from_pairs(variables);
    let Ok(reading) = ci::read(&environment) else { return Some("facts".into()) };
    let inquiry = Inquiry {
        context: reading.context,
        candidates: reading.candidates,
        production_facts: reading.production,
        surroundings: Surroundings::observe(|name| environment.raw(name).filter(|v| *v != OsStr::new(""))),
        ..stage(OWN_PREVIEW)
    };
    refuser_of(&examine_offline(&inquiry))
}

/// Reads words of the form `key=value`. A value may hold spaces: a word without a key belongs to the one before.
fn words(text: &str) -> Vec<(String, String)> {
    let mut words: Vec<(String, String)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match (word.split_once('='), words.last_mut()) {
            (Some((key, value)), _) => words.push((key.to_owned(), value.to_owned())),
            (None, Some((_, before))) => *before = format!("{before} {word}"),
            (None, None) => panic!("{word:?} is not key=value"),
        }
    }
    words
}

fn judge_deployment(text: &str) -> Refuser {
    let mut deployment = Deployment {
        id: 70,
        environment: String::new(),
        other_environments: vec![],
        state: "success".into(),
        production_environment: None,
        transient_environment: None,
        reference: "feat/menu".into(),
    };
    let mut url = OWN_PREVIEW.to_owned();
    let mut step = None;
    for (key, value) in words(text) {
        match key.as_str() {
            "environment" => deployment.environment = value,
            "other" => deployment.other_environments.push(value),
            "state" => deployment.state = value,
            "production" => deployment.production_environment = Some(value == "true"),
            "transient" => deployment.transient_environment = Some(value == "true"),
            "url" => url = value,
            "step" => step = Some(Candidate { source: Source::PreviewVariable, raw: value }),
            other => panic!("deployments have no {other}"),
        }
    }
    let mut inquiry = stage(OWN_PREVIEW);
    let source = Source::DeploymentStatus { deployment: 70, field: "environment_url".into() };
    inquiry.candidates = [Some(Candidate { source, raw: url }), step].into_iter().flatten().collect();
    if let Context::PullRequest(pull_request) = &mut inquiry.context {
        pull_request.event = crate::context::PullRequestEvent::DeploymentStatus;
        pull_request.deployment = Some(deployment);
    }
    refuser_of(&examine_offline(&inquiry))
}

fn judge_header(text: &str) -> Refuser {
    let (name, value) = text.split_once(": ").expect("a header is `name: value`");
    let request = Request::get("/").unwrap().with_header(name, value);
    request.err().map(|_| "request".into())
}

fn judge_policy(text: &str) -> Refuser {
    let (preview, production) = text.split_once('|').expect("previews | production");
    let parse = || {
        let entries = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let preview =
            entries(preview).iter().map(|text| PreviewPattern::parse(text)).collect::<Result<_, _>>()?;
        let production =
            entries(production).iter().map(|text| ProductionHost::parse(text)).collect::<Result<_, _>>()?;
        Ok::<_, PolicyProblem>(Policy { preview, production, ..Policy::default() })
    };
    let is_sound = parse().is_ok_and(|policy| policy.problems_for_remote().is_empty());
    (!is_sound).then(|| "policy".into())
}

#[test]
fn every_line_of_the_corpus_behaves_as_it_is_written() {
    let lines = lines();

    let wrong: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let found = judged(line);
            let said = |refuser: &Refuser| refuser.clone().unwrap_or_else(|| "nobody".into());
            (found != line.expected).then(|| {
                format!(
                    "line {}: {:?} is refused by {}, not by {}",
                    line.number,
                    line.input,
                    said(&found),
                    said(&line.expected)
                )
            })
        })
        .collect();

    assert!(lines.len() >= 200, "{} lines", lines.len());
    assert!(wrong.is_empty(), "{} of {} lines:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

#[test]
fn no_line_that_is_refused_before_the_network_looks_up_a_name() {
    let needs_no_network =
        |refuser: &Refuser| refuser.as_deref().is_some_and(|layer| ["L3", "L4", "L5"].contains(&layer));
    for line in lines().iter().filter(|line| needs_no_network(&line.expected) && line.is_plain()) {
        let receipt = examine(&stage(&line.input), Depth::Online, &fixture::outside(&NobodyIsAsked));

        assert_eq!(receipt.decision, ReceiptDecision::Refused, "line {}", line.number);
    }
}
