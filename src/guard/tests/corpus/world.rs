//! What the world says of the stage's preview: DNS, the forge, the target itself, before load and while load runs.
//!
//! Everything is in order but for what a line changes. The layers judge it as they do in a run.

use super::{OWN_PREVIEW, PRODUCTION, Refuser, refuser_of, stage, words};
use crate::guard::layers::fixture;
use crate::guard::marker::signed;
use crate::guard::*;
use crate::secret::Secret;
use crate::target::{Origin, Scheme};

const HOST: &str = "pr-7.preview.kiosk.example";

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

const OWN_MARKER: &str = "preview; commit=0123456789abcdef0123456789abcdef01234567";

const NONCE: &str = "000102030405060708090a0b0c0d0e0f";

const KEY: &str = "only previews have it";

struct World {
    resolution: Result<Resolution, ResolveError>,
    facts: ControlPlaneFacts,
    standing: Result<PlatformStanding, ControlPlaneError>,
    answer: MarkerAnswer,
    key: Secret,
}

impl Resolve for World {
    fn resolve(&self, _: &str) -> Result<Resolution, ResolveError> {
        self.resolution.clone()
    }
}

impl ControlPlane for World {
    fn deployments(&self, _: &DeploymentQuestion<'_>) -> Result<ControlPlaneFacts, ControlPlaneError> {
        Ok(self.facts.clone())
    }

    fn platform_standing(&self, _: &PlatformQuestion<'_>) -> Result<PlatformStanding, ControlPlaneError> {
        self.standing.clone()
    }
}

impl AskMarker for World {
    fn ask(&self, _: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
        Ok(self.answer.clone())
    }
}

impl World {
    /// The preview is deployed and signs its marker.
    fn in_order() -> Self {
        let mut facts = fixture::forge_facts();
        facts.deployments[0].urls = vec![OWN_PREVIEW.to_owned()];
        Self {
            resolution: Ok(FixedResolver::answering(&["76.76.21.21"]).0.unwrap()),
            facts,
            standing: Ok(PlatformStanding::Unknown),
            answer: marker("200 environment=preview"),
            key: Secret::new(KEY.into()),
        }
    }

    fn outside(&self) -> Outside<'_> {
        let marker_key = Some(&self.key);
        Outside { control_plane: self, marker: self, marker_key, ..fixture::outside(self) }
    }

    fn examine(&self, inquiry: &Inquiry) -> Refuser {
        refuser_of(&examine(inquiry, Depth::Online, &self.outside()))
    }
}

/// The forge has deployed the preview, and nobody serves a marker.
pub(super) fn judge_names(text: &str) -> Refuser {
    let world = World { resolution: resolution(text), answer: marker("404"), ..World::in_order() };
    world.examine(&stage(OWN_PREVIEW))
}

/// Deployments are separated by `+`; `at=` names another target, `trust=` another deployer, `platform=` what the
/// platform itself says. The marker is in order.
pub(super) fn judge_forge(text: &str) -> Refuser {
    let mut inquiry = stage(OWN_PREVIEW);
    let mut standing = Ok(PlatformStanding::Unknown);
    for (key, value) in words(text) {
        match key.as_str() {
            "at" => inquiry.candidates[0].raw = value,
            "trust" => inquiry.policy.deployers.push(value),
            "platform" => standing = said_by_platform(&value),
            _ => {}
        }
    }
    let host = host_of(&inquiry);
    pin_platform(&mut inquiry.policy, &host);
    let answer = marker(&format!("200 environment=preview host={host}"));
    World { facts: forge(text), standing, answer, ..World::in_order() }.examine(&inquiry)
}

fn host_of(inquiry: &Inquiry) -> String {
    url::Url::parse(&inquiry.candidates[0].raw).unwrap().host_str().unwrap().to_owned()
}

/// Where the target lies on a platform that can be asked, the policy names it.
fn pin_platform(policy: &mut Policy, host: &str) {
    let (name, project, service) = match host.rsplit_once('.').map_or("", |(rest, _)| rest) {
        rest if rest.ends_with(".web") => ("firebase", "kiosk", None),
        rest if rest.ends_with(".run") => {
            ("cloud-run", "kiosk-a1b2c3-uc", Some("projects/stall/locations/us-central1/services/kiosk"))
        }
        _ => return,
    };
    let keys = PlatformKeys {
        project: Some(project.into()),
        service: service.map(str::to_owned),
        ..PlatformKeys::default()
    };
    let platform = Platform::pin(name, &keys).unwrap();
    policy.preview.extend_from_slice(platform.previews());
    policy.platform = Some(platform);
}

fn said_by_platform(word: &str) -> Result<PlatformStanding, ControlPlaneError> {
    let what = "the corpus says so".to_owned();
    match word {
        "apart" => Ok(PlatformStanding::Apart),
        "live" => Ok(PlatformStanding::Live { what }),
        "foreign" => Ok(PlatformStanding::Foreign { what }),
        "nothing" => Err(ControlPlaneError::Failed { what, remedy: "run again".into() }),
        other => panic!("no platform says {other}"),
    }
}

/// The policy requires a marker unless the line says `required=no`; the forge knows of no deployment unless it says
/// `deployed=yes`; `at=` names another target.
pub(super) fn judge_marker(text: &str) -> Refuser {
    let mut inquiry = stage(OWN_PREVIEW);
    let world = World { answer: marker(text), ..World::in_order() };
    let (mut is_required, mut is_deployed) = (true, false);
    for (key, value) in words(text.split_once(' ').map_or("", |(_, words)| words)) {
        match key.as_str() {
            "required" => is_required = value == "yes",
            "deployed" => is_deployed = value == "yes",
            "at" => inquiry.candidates[0].raw = value,
            _ => {}
        }
    }
    inquiry.policy.marker.is_required = is_required;
    let mut facts = World::in_order().facts;
    facts.deployments[0].urls = vec![inquiry.candidates[0].raw.clone()];
    facts.deployments.truncate(usize::from(is_deployed));
    World { facts, ..world }.examine(&inquiry)
}

/// The preview was cleared, and while load runs the world changes; what the platform says begins with the target.
pub(super) fn judge_later(text: &str) -> Refuser {
    let (kind, mut text) = text.split_once(':').expect("what changes, and to what");
    let mut inquiry = stage(OWN_PREVIEW);
    inquiry.policy.marker.is_required = true;
    let mut world = World::in_order();
    if kind == "platform" {
        let (target, said) = text.split_once(' ').expect("a target, and what the platform says of it");
        inquiry.candidates[0].raw = target.to_owned();
        let host = host_of(&inquiry);
        pin_platform(&mut inquiry.policy, &host);
        world.facts.deployments[0].urls = vec![target.to_owned()];
        world.answer = marker(&format!("200 environment=preview host={host}"));
        world.standing = said_by_platform("apart");
        text = said;
    }
    let target = clear(&inquiry, &world.outside()).unwrap();
    match kind {
        "dns" => world.resolution = resolution(text),
        "forge" => world.facts = forge(text),
        "marker" => world.answer = marker(text),
        "platform" => world.standing = said_by_platform(text),
        other => panic!("{other} does not change"),
    }
    let mut news = Vec::new();
    for which in [Recheck::Target, Recheck::Forge] {
        match recheck(&target, &inquiry, &world.outside(), which) {
            Ok(said) => news.extend(said.news),
            Err(revocation) => return revocation.layer.split(' ').next().map(str::to_owned),
        }
    }
    (!news.is_empty()).then(|| "report".to_owned())
}

/// An answer is its status and one header field; what ends the load refuses.
pub(super) fn judge_answer(text: &str) -> Refuser {
    let (status, field) = text.split_once(' ').expect("an answer is a status and a header");
    let (name, value) = field.split_once(": ").expect("a header is `name: value`");
    let status = status.parse().expect("a status is a number");
    let origin = Origin { scheme: Scheme::Https, host: HOST.into(), port: 443 };
    let rules = AnswerRules::for_tests(&origin, &PRODUCTION, Some((OWN_MARKER, false)));
    let objection = rules
        .object_to_status(status)
        .or_else(|| rules.object_to_field(status, name.as_bytes(), value.as_bytes()));
    match objection {
        Some(revocation) => revocation.layer.split(' ').next().map(str::to_owned),
        None => rules.remark().map(|_| "report".to_owned()),
    }
}

/// Addresses and the names that lead to them, separated by commas; `port=` and `host=` are of an HTTPS record.
fn resolution(text: &str) -> Result<Resolution, ResolveError> {
    let mut found = Resolution::default();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("port", port)) => {
                let port = Some(port.parse().expect("a port is a number"));
                found.services.push(ServiceBinding { port, ..ServiceBinding::default() });
            }
            Some(("host", name)) => {
                let target = Some(name.to_owned());
                found.services.push(ServiceBinding { target, ..ServiceBinding::default() });
            }
            Some(("lifetime", seconds)) => {
                let seconds = seconds.parse().expect("a lifetime is a number of seconds");
                found.lifetime = Some(std::time::Duration::from_secs(seconds));
            }
            Some((other, _)) => panic!("DNS has no {other}"),
            None if word == "nothing" => return Err(ResolveError::NoAnswer("SERVFAIL".into())),
            None => match word.parse() {
                Ok(address) => found.addresses.push(address),
                Err(_) => found.aliases.push(word.to_owned()),
            },
        }
    }
    Ok(found)
}

fn forge(text: &str) -> ControlPlaneFacts {
    let mut facts = World::in_order().facts;
    let usual = facts.deployments.remove(0);
    for (older, text) in text.split(" + ").enumerate() {
        let mut deployment = DeployedFacts { id: 90 - u64::try_from(older).unwrap(), ..usual.clone() };
        for (key, value) in words(text) {
            match key.as_str() {
                "environment" => deployment.environments = vec![value],
                "state" => deployment.state = value,
                "production" => deployment.production_environment = Some(value == "true"),
                "commit" => deployment.sha = if value == "head" { HEAD.to_owned() } else { value },
                "creator" => deployment.creators = vec![value],
                "reporter" => deployment.reporters = vec![value],
                "url" => deployment.urls = vec![value],
                "head" => facts.head_sha = value,
                "open" => facts.is_open = value == "true",
                "at" | "trust" | "platform" => {}
                other => panic!("the forge tells no {other}"),
            }
        }
        facts.deployments.push(deployment);
    }
    facts
}

/// A status, and words: the fields of a marker, `sign=` how it is signed, and what else the answer carries.
fn marker(text: &str) -> MarkerAnswer {
    let (status, text) = text.split_once(' ').unwrap_or((text, ""));
    let mut answer = MarkerAnswer {
        nonce: NONCE.into(),
        status: status.parse().expect("a status is a number"),
        content_type: Some("application/json".into()),
        ..MarkerAnswer::default()
    };
    let mut fields = serde_json::json!({"host": HOST, "commit": HEAD, "pull-request": 7});
    let (mut sign, mut is_twice) = ("key".to_owned(), false);
    for (key, value) in words(text) {
        match key.as_str() {
            "age" => answer.age = Some(value),
            "at" | "deployed" | "required" => {}
            "location" => answer.location = Some(value),
            "type" => answer.content_type = Some(value),
            "pull-request" => fields[key] = value.parse::<u64>().unwrap().into(),
            "sign" => sign = value,
            "twice" => is_twice = value == "environment",
            _ => fields[key] = value.into(),
        }
    }
    if fields.get("environment").is_none() {
        return answer;
    }
    let mut body = match sign.as_str() {
        "key" => signed(NONCE, KEY, &fields),
        "other" => signed(NONCE, "another key", &fields),
        "earlier" => signed(&NONCE.replace('0', "f"), KEY, &fields),
        "no" | "echo" => {
            fields["loadgate"] = 1.into();
            if sign == "echo" {
                fields["nonce"] = NONCE.into();
            }
            fields.to_string().into_bytes()
        }
        other => panic!("nobody signs with {other}"),
    };
    if is_twice {
        body.splice(1..1, *b"\"environment\":\"production\",");
    }
    answer.body = Some(body);
    answer
}
