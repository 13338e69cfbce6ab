//! Tests of the guard as a whole: the order of its layers, its receipt, and what no text from outside can do.

mod corpus;

use std::time::Duration;

use proptest::prelude::*;

use super::layers::fixture;
use super::*;
use crate::clock;

fn public() -> FixedResolver {
    FixedResolver::answering(&["76.76.21.21"])
}

/// Answers nothing: asking it would spoil a test of the layers that need no network.
struct NoNetwork;

impl Resolve for NoNetwork {
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError> {
        panic!("{host} was looked up offline");
    }
}

#[test]
fn a_preview_is_cleared_with_its_addresses_and_evidence() {
    let target = clear(&fixture::deployed(), &fixture::outside(&public())).unwrap();

    assert_eq!(target.origin().to_string(), "https://pr-1.preview.shop.test");
    assert_eq!(target.addresses(), ["76.76.21.21:443".parse().unwrap()]);
    assert_eq!(target.zone(), "preview.shop.test");
    assert_eq!(target.evidence().decision, ReceiptDecision::Allowed);
    assert_eq!(target.evidence().derivation().len(), LAYERS.len());
}

#[test]
fn production_is_refused_with_a_code_and_a_remedy() {
    let refusal = clear(&fixture::remote("www.shop.test"), &fixture::outside(&public())).unwrap_err();

    assert_eq!((refusal.layer, refusal.code), ("L4 production", RefusalCode::Production));
    assert_eq!(
        refusal.to_string(),
        "L4 production refused the target (production): www.shop.test is in the production list"
    );
    assert!(!refusal.help().is_empty());
}

#[test]
fn layers_after_a_veto_are_listed_as_not_reached() {
    let receipt = examine(&fixture::remote("www.shop.test"), Depth::Online, &fixture::outside(&public()));

    let decisions: Vec<_> = receipt.layers.iter().map(|line| line.decision).collect();
    let veto = decisions.iter().position(|decision| *decision == LayerDecision::Veto).unwrap();
    assert_eq!(receipt.layers[veto].layer, "L4 production");
    assert!(decisions[veto + 1..].iter().all(|decision| *decision == LayerDecision::NotReached));
    assert_eq!(receipt.layers.len(), LAYERS.len());
}

#[test]
fn offline_the_network_is_not_asked_and_the_receipt_says_so() {
    let receipt = examine(&fixture::preview(), Depth::Offline, &fixture::outside(&NoNetwork));

    assert_eq!(receipt.decision, ReceiptDecision::AllowedSoFar);
    assert_eq!(receipt.addresses, []);
    let line = receipt.layers.iter().find(|line| line.layer == "L7 address").unwrap();
    assert_eq!((line.decision, line.fact.as_str()), (LayerDecision::NotAsked, "not asked (offline)"));
}

#[test]
fn a_service_of_this_machine_is_cleared_without_policy_or_network() {
    let target = clear(&fixture::loopback(), &fixture::outside(&NoNetwork)).unwrap();

    assert_eq!((target.origin().to_string(), target.zone()), ("http://127.0.0.1:8080".into(), "loopback"));
}

#[test]
fn a_receipt_is_a_record_with_stable_names() {
    let receipt = examine(&fixture::remote("www.shop.test"), Depth::Offline, &fixture::outside(&NoNetwork));

    let record = serde_json::to_value(&receipt).unwrap();

    assert_eq!(record["version"], 1);
    assert_eq!(record["decision"], "refused");
    assert_eq!(record["candidate"], "https://www.shop.test/");
    assert_eq!(record["source"]["kind"], "preview-variable");
    assert_eq!(record["layers"][3]["code"], "production");
    assert_eq!(record["layers"][4]["decision"], "not-reached");
}

#[test]
fn credentials_in_a_url_stay_out_of_refusal_and_receipt() {
    let inquiry = fixture::named("https://user:hunter2@pr-1.preview.shop.test/?key=hunter2");

    let refusal = clear(&inquiry, &fixture::outside(&public())).unwrap_err();

    let record = serde_json::to_string(&refusal.receipt).unwrap();
    assert!(!record.contains("hunter2") && !refusal.to_string().contains("hunter2"), "{record}");
}

#[test]
fn the_layers_without_network_take_less_than_a_millisecond() {
    let inquiry = fixture::deployed();
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            let start = clock::monotonic();
            let receipt = examine(&inquiry, Depth::Offline, &fixture::outside(&NoNetwork));
            assert_eq!(receipt.decision, ReceiptDecision::AllowedSoFar);
            start.elapsed()
        })
        .collect();

    times.sort();

    assert!(times[25] < Duration::from_millis(1), "median {:?}", times[25]);
}

/// Texts that are near to a URL of a preview, so that many of them come close to being allowed.
fn nearly_a_url() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => Just("pr-1.preview.shop.test".to_owned()),
        1 => Just("www.shop.test".to_owned()),
        1 => Just("shop.test".to_owned()),
        1 => "[-a-z0-9.]{0,12}",
        1 => "[@:/?#\\\\%.\\[\\]]{1,3}",
        1 => "\\PC{0,4}",
        1 => "[\\x00-\\x20]{1,2}",
    ];
    let scheme = prop_oneof![8 => Just("https://"), 1 => Just("http://"), 1 => Just("https:"), 1 => Just("")];
    (scheme, proptest::collection::vec(piece, 1..4))
        .prop_map(|(scheme, pieces)| scheme.to_owned() + &pieces.concat())
}

fn host_by_plain_reading(raw: &str) -> Option<&str> {
    let rest = raw.strip_prefix("https://")?;
    Some(rest.split(['/', '?', '#']).next().unwrap_or(rest))
}

/// Writes down every name that is looked up.
#[derive(Default)]
struct Recorder(std::cell::RefCell<Vec<String>>);

impl Resolve for Recorder {
    fn resolve(&self, host: &str) -> Result<Resolution, ResolveError> {
        self.0.borrow_mut().push(host.to_owned());
        public().resolve(host)
    }
}

proptest! {
    #[test]
    fn a_host_outside_the_grammar_is_never_looked_up_nor_dialled(raw in nearly_a_url()) {
        let recorder = Recorder::default();

        let cleared = clear(&fixture::named(&raw), &fixture::outside(&recorder));

        let own = "pr-1.preview.shop.test";
        prop_assert!(recorder.0.borrow().iter().all(|host| host == own), "{:?}", recorder.0.borrow());
        if let Ok(target) = cleared {
            prop_assert_eq!(target.origin().host.as_str(), own);
        }
    }

    #[test]
    fn what_is_allowed_is_exactly_the_bound_host(raw in nearly_a_url()) {
        let receipt = examine(&fixture::named(&raw), Depth::Offline, &fixture::outside(&NoNetwork));

        if receipt.decision != ReceiptDecision::Refused {
            let origin = receipt.origin.unwrap();
            prop_assert_eq!(origin.host.as_str(), "pr-1.preview.shop.test");
            prop_assert_eq!(origin.port, 443);
            prop_assert_eq!(host_by_plain_reading(&raw), Some("pr-1.preview.shop.test"));
        }
    }

    #[test]
    fn no_text_makes_the_guard_panic_or_write_control_characters(raw in "\\PC*|[\\x00-\\xff]{0,60}") {
        let receipt = examine(&fixture::named(&raw), Depth::Offline, &fixture::outside(&NoNetwork));

        prop_assert_eq!(receipt.decision, ReceiptDecision::Refused);
        let texts = receipt.layers.iter().map(|line| line.fact.as_str()).chain(receipt.candidate.as_deref());
        for text in texts {
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
        }
    }

    #[test]
    fn whatever_the_branch_the_host_is_its_slug_in_the_zone(branch in "\\PC{0,12}|[a-zA-Z0-9/_.-]{0,12}", host in "[a-z0-9-]{1,12}") {
        let mut inquiry = fixture::remote(&format!("{host}.preview.shop.test"));
        inquiry.policy.preview = vec![PreviewPattern::parse("{branch}.preview.shop.test").unwrap()];
        if let Context::PullRequest(pull_request) = &mut inquiry.context {
            pull_request.head_branch = Some(branch.clone());
        }

        let receipt = examine(&inquiry, Depth::Offline, &fixture::outside(&NoNetwork));

        if receipt.decision != ReceiptDecision::Refused {
            let letters = |text: &str| text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
            prop_assert_eq!(letters(&branch), letters(&host));
        }
    }
}
