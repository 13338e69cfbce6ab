//! While load runs, the layers whose facts can change are asked again. What they say then can only end the load: a
//! recheck never clears anything and never moves it to another address.

use super::layers::Rhythm;
use super::receipt::{LayerDecision, LayerLine, RefusalCode};
use super::{Case, ClearedTarget, Depth, Inquiry, LAYERS, Outside};

/// Which layers are asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// Those that ask the target and the system: DNS, the marker, the listening process.
    Target,
    /// Those that ask the forge, which counts questions.
    Forge,
}

/// Why the load must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{layer} took the target back ({code}): {fact}")]
pub struct Revocation {
    /// The layer that did, such as `L8 proof`.
    pub layer: &'static str,
    /// Why, as a word for machines.
    pub code: RefusalCode,
    /// Why, for people.
    pub fact: String,
    /// Whether it only says that nobody answered: once is no reason to end the load.
    pub is_transient: bool,
}

/// What the layers say of a target that may be loaded on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rechecked {
    /// The layers that were asked again.
    pub lines: Vec<LayerLine>,
    /// What changed since and is no reason to stop, for the report.
    pub news: Vec<String>,
}

/// Asks again about a target that was cleared. Returns what the layers say now, or why the load must end.
///
/// A layer that spoke for the target when it was cleared and no longer does has taken its word back.
pub fn recheck(
    target: &ClearedTarget,
    inquiry: &Inquiry,
    outside: &Outside<'_>,
    which: Recheck,
) -> Result<Rechecked, Revocation> {
    let mut case = Case::open(inquiry, Depth::Online, *outside);
    case.pinned = Some(target.addresses());
    case.rules = Some(target.answer_rules());
    case.is_header_promised |= target.answer_rules().is_marker_promised();
    let mut said = Vec::new();
    for layer in &LAYERS {
        let is_asked = match layer.rhythm {
            Rhythm::Once => true,
            Rhythm::Often => which == Recheck::Target,
            Rhythm::Seldom => which == Recheck::Forge,
        };
        if !is_asked {
            // An unsigned marker leans on the control plane's word, which stands until it is asked again.
            case.lines.extend(line_of(target, layer.name).cloned());
            continue;
        }
        let line = (layer.ask)(&mut case).line(layer.name);
        if let Some(revocation) = objection_of(target, &line) {
            return Err(revocation);
        }
        case.lines.push(line.clone());
        if layer.rhythm != Rhythm::Once {
            said.push(line);
        }
    }
    Ok(Rechecked { lines: said, news: case.news })
}

fn objection_of(target: &ClearedTarget, line: &LayerLine) -> Option<Revocation> {
    let revoked = |code: RefusalCode, fact: String| Revocation {
        layer: line.layer,
        code,
        fact,
        is_transient: code.is_transient(),
    };
    if line.decision == LayerDecision::Veto {
        return Some(revoked(line.code.unwrap_or(RefusalCode::Unresolved), line.fact.clone()));
    }
    let was_proof = line_of(target, line.layer).is_some_and(|before| before.decision == LayerDecision::Proof);
    (was_proof && line.decision != LayerDecision::Proof)
        .then(|| revoked(RefusalCode::ProofLost, format!("what proved the target is gone: {}", line.fact)))
}

fn line_of<'t>(target: &'t ClearedTarget, layer: &str) -> Option<&'t LayerLine> {
    target.evidence().layers.iter().find(|line| line.layer == layer)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::guard::layers::fixture::{self, CHANNEL, Hosted, NoDeployments, TAG};
    use crate::guard::marker::signed;
    use crate::guard::{
        AskMarker, ControlPlaneError, FixedResolver, MarkerAnswer, MarkerFailure, MarkerQuestion,
        PlatformStanding, Resolution, ResolveError, clear,
    };
    use crate::secret::Secret;

    const NONCE: &str = "000102030405060708090a0b0c0d0e0f";

    /// A preview that the test can change.
    struct Preview(RefCell<Result<MarkerAnswer, MarkerFailure>>);

    impl AskMarker for Preview {
        fn ask(&self, question: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
            assert_eq!(
                question.addresses,
                ["76.76.21.21:443".parse().unwrap()],
                "only pinned addresses are asked"
            );
            self.0.borrow().clone()
        }
    }

    fn marker_of(environment: &str) -> MarkerAnswer {
        let fields = serde_json::json!({"environment": environment, "host": "pr-1.preview.shop.test"});
        MarkerAnswer {
            nonce: NONCE.into(),
            status: 200,
            content_type: Some("application/json".into()),
            body: Some(signed(NONCE, "shared", &fields)),
            ..MarkerAnswer::default()
        }
    }

    /// Clears a preview that proves itself, lets it change, and asks again.
    fn after(
        resolution: Result<Resolution, ResolveError>,
        marker: Result<MarkerAnswer, MarkerFailure>,
    ) -> Result<Rechecked, Revocation> {
        after_being(marker_of("preview"), resolution, marker)
    }

    fn after_being(
        cleared: MarkerAnswer,
        resolution: Result<Resolution, ResolveError>,
        marker: Result<MarkerAnswer, MarkerFailure>,
    ) -> Result<Rechecked, Revocation> {
        let key = Secret::new("shared".into());
        let preview = Preview(RefCell::new(Ok(cleared)));
        let before = FixedResolver::answering(&["76.76.21.21"]);
        let world =
            |resolver| Outside { marker: &preview, marker_key: Some(&key), ..fixture::outside(resolver) };
        let target = clear(&fixture::preview(), &world(&before)).unwrap();
        *preview.0.borrow_mut() = marker;

        recheck(&target, &fixture::preview(), &world(&FixedResolver(resolution)), Recheck::Target)
    }

    fn found(addresses: &[&str]) -> Resolution {
        FixedResolver::answering(addresses).0.unwrap()
    }

    #[test]
    fn what_stays_the_same_may_be_loaded_on() {
        let said = after(Ok(found(&["76.76.21.21"])), Ok(marker_of("preview"))).unwrap();

        let asked: Vec<_> = said.lines.iter().map(|line| line.layer).collect();
        assert_eq!(asked, ["L7 address", "L8 proof"]);
        assert!(said.news.is_empty(), "{:?}", said.news);
    }

    #[test]
    fn new_addresses_are_told_and_not_used() {
        let said = after(Ok(found(&["1.1.1.1"])), Ok(marker_of("preview"))).unwrap();

        assert_eq!(said.news, [said.lines[0].fact.clone()]);
        assert!(said.news[0].contains("1.1.1.1") && said.news[0].contains("stays pinned"), "{:?}", said.news);
    }

    #[test]
    fn a_marker_that_was_signed_must_stay_signed_whatever_the_forge_says() {
        let fields = serde_json::json!({
            "loadgate": 1, "environment": "preview", "host": "pr-1.preview.shop.test",
        });
        let unsigned =
            || MarkerAnswer { body: Some(fields.to_string().into_bytes()), ..marker_of("preview") };
        let same = || Ok(found(&["76.76.21.21"]));

        let revocation = after(same(), Ok(unsigned())).unwrap_err();

        assert_eq!(revocation.code, RefusalCode::ProofLost, "{revocation}");
        assert!(after_being(unsigned(), same(), Ok(unsigned())).is_ok(), "it never was signed");
    }

    #[test]
    fn a_name_that_is_bound_to_another_place_for_one_moment_ends_the_load() {
        let lasting = |addresses: &[&str], seconds| {
            let lifetime = Some(std::time::Duration::from_secs(seconds));
            let resolution = Resolution { lifetime, ..found(addresses) };
            after(Ok(resolution), Ok(marker_of("preview"))).map_err(|revocation| revocation.code)
        };

        assert_eq!(lasting(&["1.1.1.1"], 0).unwrap_err(), RefusalCode::Rebound);
        assert_eq!(lasting(&["2606:4700::1"], 0).unwrap_err(), RefusalCode::Rebound);
        for (addresses, seconds) in
            [(&["76.76.9.9"][..], 0), (&["1.1.1.1", "76.76.21.21"], 0), (&["1.1.1.1"], 1)]
        {
            assert_eq!(lasting(addresses, seconds).unwrap().news.len(), 1, "{addresses:?}");
        }
    }

    #[test]
    fn facts_end_the_load_at_once() {
        let same = || Ok(found(&["76.76.21.21"]));
        let to_production = Resolution { aliases: vec!["www.shop.test".into()], ..found(&["76.76.21.21"]) };
        let redirect = MarkerAnswer {
            status: 302,
            location: Some("https://www.shop.test/".into()),
            ..MarkerAnswer::default()
        };
        let gone = MarkerAnswer { status: 404, ..MarkerAnswer::default() };
        for (resolution, marker, code) in [
            (Ok(to_production), Ok(marker_of("preview")), RefusalCode::ProductionAlias),
            (Ok(found(&["169.254.169.254"])), Ok(marker_of("preview")), RefusalCode::SpecialAddress),
            (same(), Ok(marker_of("production")), RefusalCode::MarkerProduction),
            (same(), Ok(redirect), RefusalCode::MarkerProduction),
            (same(), Ok(gone), RefusalCode::ProofLost),
            (same(), Err(MarkerFailure::Certificate("another issuer".into())), RefusalCode::Certificate),
        ] {
            let revocation = after(resolution, marker).unwrap_err();
            assert_eq!((revocation.code, revocation.is_transient), (code, false), "{revocation}");
        }
    }

    fn with_header(header: Option<&str>) -> MarkerAnswer {
        MarkerAnswer { header: header.map(str::to_owned), ..marker_of("preview") }
    }

    #[test]
    fn a_header_that_was_seen_must_be_seen_again_and_one_that_never_was_need_not() {
        let own = "preview; commit=0123456789abcdef0123456789abcdef01234567";
        let other = "preview; commit=ffffffffffffffffffffffffffffffffffffffff";
        let code = |before, now| {
            let same = Ok(found(&["76.76.21.21"]));
            after_being(with_header(before), same, Ok(with_header(now))).err().map(|gone| gone.code)
        };

        assert_eq!(code(Some(own), Some(own)), None);
        assert_eq!(code(Some(own), None), Some(RefusalCode::MarkerMissing));
        assert_eq!(code(None, None), None);
        assert_eq!(code(None, Some(own)), None);
        assert_eq!(code(None, Some(other)), Some(RefusalCode::MarkerMismatch));
        assert_eq!(code(Some(own), Some("production")), Some(RefusalCode::MarkerProduction));
    }

    #[test]
    fn a_marker_that_tells_of_another_commit_ends_the_load() {
        let fields = serde_json::json!({
            "environment": "preview", "host": "pr-1.preview.shop.test", "commit": "f".repeat(40),
        });
        let redeployed =
            MarkerAnswer { body: Some(signed(NONCE, "shared", &fields)), ..marker_of("preview") };

        let revocation = after(Ok(found(&["76.76.21.21"])), Ok(redeployed)).unwrap_err();

        assert_eq!(revocation.code, RefusalCode::MarkerMismatch, "{revocation}");
    }

    #[test]
    fn another_servers_certificate_ends_the_load_and_a_renewed_one_does_not() {
        let serving = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            // Each is its own issuer.
            let mut params = rcgen::CertificateParams::new(names).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, fastrand::u64(..).to_string());
            let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            MarkerAnswer { certificate: Some(made.der().to_vec()), ..marker_of("preview") }
        };
        let same = || Ok(found(&["76.76.21.21"]));
        let before = || serving(&["*.preview.shop.test"]);

        let other = after_being(before(), same(), Ok(serving(&["www.shop.test", "*.preview.shop.test"])));

        assert_eq!(other.unwrap_err().code, RefusalCode::EndpointChanged);
        assert!(after_being(before(), same(), Ok(serving(&["*.preview.shop.test"]))).is_ok());
    }

    #[test]
    fn silence_is_told_apart_from_facts() {
        let slow = Err(MarkerFailure::NoAnswer("too slow".into()));
        let unresolved = after(Err(ResolveError::NoAnswer("too slow".into())), Ok(marker_of("preview")));

        assert!(after(Ok(found(&["76.76.21.21"])), slow).unwrap_err().is_transient);
        assert!(unresolved.unwrap_err().is_transient);
    }

    #[test]
    fn a_deployment_that_is_gone_ends_the_load() {
        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        let world = fixture::outside(&resolver);
        let target = clear(&fixture::preview(), &world).unwrap();
        assert!(recheck(&target, &fixture::preview(), &world, Recheck::Forge).is_ok());

        let gone = Outside { control_plane: &NoDeployments, ..world };
        let revocation = recheck(&target, &fixture::preview(), &gone, Recheck::Forge).unwrap_err();

        assert_eq!(revocation.code, RefusalCode::ProofLost, "{revocation}");
    }

    /// Clears a preview that its platform calls apart from production, lets the platform say something else, and asks
    /// again.
    fn after_standing(
        host: &'static str,
        standing: Result<PlatformStanding, ControlPlaneError>,
    ) -> Result<Rechecked, Revocation> {
        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        let platform = Hosted::new(host, Ok(PlatformStanding::Apart));
        let world = Outside { control_plane: &platform, ..fixture::outside(&resolver) };
        let inquiry = fixture::hosted(host);
        let target = clear(&inquiry, &world).unwrap();
        *platform.standing.borrow_mut() = standing;

        recheck(&target, &inquiry, &world, Recheck::Forge)
    }

    #[test]
    fn a_promotion_that_only_the_platform_tells_ends_the_load() {
        for host in [CHANNEL, TAG] {
            let live = PlatformStanding::Live { what: "it gets 10 % of the traffic".into() };
            let revocation = after_standing(host, Ok(live)).unwrap_err();

            assert_eq!(revocation.layer, "L6 control plane", "{revocation}");
            assert_eq!(revocation.code, RefusalCode::ProductionEnvironment, "{revocation}");
            assert!(!revocation.is_transient && revocation.fact.contains("10 %"), "{revocation}");
            assert!(after_standing(host, Ok(PlatformStanding::Apart)).is_ok());
        }
    }

    #[test]
    fn a_platform_that_falls_silent_is_told_apart_from_one_that_calls_the_preview_live() {
        let failed = ControlPlaneError::Failed { what: "it answered 503".into(), remedy: "run again".into() };

        let revocation = after_standing(CHANNEL, Err(failed)).unwrap_err();

        assert_eq!((revocation.code, revocation.is_transient), (RefusalCode::ControlPlane, true));
    }
}
