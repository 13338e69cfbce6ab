//! L8 for a remote target: asks it for the marker that only a preview serves. A signed one is a proof; an unsigned one
//! counts beside the control plane's word; one that speaks of something else is a no, and none is silence unless the
//! policy requires it, or the host's name is one that a stranger can take.

use super::Statement;
use crate::context::Context;
use crate::guard::answer_rules::object_to_marker;
use crate::guard::endpoint::Endpoint;
use crate::guard::marker::{MARKER_HEADER, MARKER_KEY_VARIABLE, Marker, Reading, Signature};
use crate::guard::names::cut;
use crate::guard::outside::{MarkerAnswer, MarkerFailure, MarkerQuestion};
use crate::guard::receipt::{RefusalCode, shown};
use crate::guard::{AnswerRules, Case, Depth, first_come, production_words};
use crate::target::Origin;

/// The layer whose word makes an unsigned marker count.
const CONTROL_PLANE: &str = "L6 control plane";

const SERVE_ONE: &str = "serve the marker at /.well-known/loadgate as docs/marker.md shows";

const DESCRIBE_ITSELF: &str =
    "let the preview describe itself from its own runtime environment, as docs/marker.md shows";

pub(super) fn ask(case: &mut Case<'_>) -> Statement {
    if case.depth == Depth::Offline {
        return Statement::not_asked("not asked (offline)");
    }
    let Some(origin) = case.origin.clone() else { return Statement::incomplete() };
    if case.addresses.is_empty() {
        return Statement::incomplete();
    }
    let question = MarkerQuestion {
        origin: &origin,
        addresses: &case.addresses,
        trusted_roots: &case.inquiry.policy.trusted_roots,
    };
    match case.outside.marker.ask(&question) {
        Ok(answer) => object_to_server(case, &origin, &answer).unwrap_or_else(|| {
            let said = judge(case, &origin, &answer);
            if said.is_veto() { said } else { miss_header(case, &origin, &answer).unwrap_or(said) }
        }),
        Err(MarkerFailure::Certificate(why)) => Statement::veto(
            RefusalCode::Certificate,
            format!("the certificate of {} cannot be verified: {}", origin.host, cut(&why)),
            "serve a certificate for the host, or add the root that signed it to [target] roots",
        ),
        Err(MarkerFailure::NoAnswer(why)) => unavailable(&origin, &cut(&why)),
    }
}

/// Judges who answered and what the answer's header says, whatever its body does.
fn object_to_server(case: &mut Case<'_>, origin: &Origin, answer: &MarkerAnswer) -> Option<Statement> {
    let host = &origin.host;
    case.endpoint = answer.certificate.as_deref().and_then(Endpoint::of);
    let before = case.rules.and_then(|rules| rules.endpoint());
    if let (Some(now), Some(before)) = (&case.endpoint, before)
        && now.is_another_than(before)
    {
        let fact =
            format!("another server answers for {host}: its certificate has another issuer, for {now}");
        return Some(Statement::veto(
            RefusalCode::EndpointChanged,
            fact,
            "run again on the preview as it is now",
        ));
    }
    let (expected, value) = (case.inquiry.marker_in_header()?, answer.header.as_ref()?);
    if let Some((code, fact)) = object_to_marker(&expected, value.as_bytes()) {
        return Some(Statement::veto(code, fact, DESCRIBE_ITSELF));
    }
    // What was seen once must be seen until the end.
    case.is_header_promised = true;
    None
}

fn miss_header(case: &Case<'_>, origin: &Origin, answer: &MarkerAnswer) -> Option<Statement> {
    let expected = case.inquiry.marker_in_header().filter(|_| case.is_header_promised)?;
    answer.header.is_none().then(|| {
        Statement::veto(
            RefusalCode::MarkerMissing,
            format!(
                "an answer of {} (status {}) lacks the header {MARKER_HEADER}",
                origin.host, answer.status
            ),
            format!("let every answer of the preview carry `{MARKER_HEADER}: {expected}`"),
        )
    })
}

fn judge(case: &mut Case<'_>, origin: &Origin, answer: &MarkerAnswer) -> Statement {
    let host = &origin.host;
    match answer.status {
        401 | 403 | 407 => Statement::veto(
            RefusalCode::Guarded,
            format!("{host} asks for a login (status {}), so load would measure the login", answer.status),
            "let /.well-known/loadgate and the scenarios' paths through without a login",
        ),
        300..=399 => redirected(case, origin, answer.location.as_deref().unwrap_or_default()),
        500..=599 => unavailable(origin, &format!("status {}", answer.status)),
        200 if is_json(answer) => match answer.body.as_deref().map(Marker::read) {
            Some(Reading::Marker(marker)) => weigh(case, origin, answer, &marker),
            Some(Reading::Malformed(flaw)) => {
                mismatch(format!("{host} serves a marker that is unfit: {}", cut(&flaw)))
            }
            Some(Reading::SomethingElse) | None => absent(case, host),
        },
        _ => absent(case, host),
    }
}

fn is_json(answer: &MarkerAnswer) -> bool {
    let kind = answer.content_type.as_deref().unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn redirected(case: &Case<'_>, origin: &Origin, location: &str) -> Statement {
    let target = url::Url::parse(&format!("{origin}/")).and_then(|base| base.join(location));
    let Ok(target) = target else {
        return guarded(format!("{} redirects to what is no place: {}", origin.host, shown(location)));
    };
    let goes_to = target.host_str().unwrap_or_default();
    if case.inquiry.calls_production(goes_to) {
        return Statement::veto(
            RefusalCode::MarkerProduction,
            format!("{} redirects to the production host {}", origin.host, cut(goes_to)),
            "let the preview answer by itself instead of leading to production",
        );
    }
    let is_own = target.scheme() == "https"
        && goes_to == origin.host
        && target.port_or_known_default() == Some(origin.port);
    if is_own {
        return absent(case, &origin.host);
    }
    guarded(format!("{} redirects to {}", origin.host, shown(target.as_str())))
}

fn guarded(fact: String) -> Statement {
    Statement::veto(
        RefusalCode::Guarded,
        fact,
        "let the preview answer by itself instead of leading elsewhere",
    )
}

fn unavailable(origin: &Origin, why: &str) -> Statement {
    Statement::veto(
        RefusalCode::MarkerUnavailable,
        format!("{} cannot be asked who it is: {why}", origin.host),
        "wait in the job until the preview answers",
    )
}

fn absent(case: &Case<'_>, host: &str) -> Statement {
    match demand_for_marker(case) {
        Some(why) => {
            let fact = format!("{host} serves no marker, and {why}");
            Statement::veto(RefusalCode::MarkerMissing, fact, SERVE_ONE)
        }
        None => Statement::silence(format!("{host} serves no marker")),
    }
}

/// Says why the target must prove itself, where it must: the forge does not see who has taken a name in the meantime.
fn demand_for_marker(case: &Case<'_>) -> Option<String> {
    if case.inquiry.policy.marker.is_required {
        return Some("the policy requires one".to_owned());
    }
    let names = case.origin.iter().map(|origin| origin.host.as_str());
    let name = first_come::find(names.chain(case.aliases.iter().map(String::as_str)))?;
    Some(format!("whoever comes first gets a name like {}", cut(name)))
}

fn mismatch(fact: String) -> Statement {
    Statement::veto(RefusalCode::MarkerMismatch, fact, DESCRIBE_ITSELF)
}

fn weigh(case: &mut Case<'_>, origin: &Origin, answer: &MarkerAnswer, marker: &Marker) -> Statement {
    let host = &origin.host;
    if let Some(objection) = object_to(case, origin, answer, marker) {
        return objection;
    }
    let why_weak = match marker.signature(&answer.nonce, case.outside.marker_key) {
        Signature::Valid => {
            case.is_marker_signed = true;
            return Statement::proof(format!("{host} signed that it is {}", described(marker)));
        }
        Signature::Wrong => {
            return mismatch(format!(
                "{host} serves a marker whose signature is wrong for {MARKER_KEY_VARIABLE}"
            ));
        }
        Signature::Unchecked => {
            format!("it is signed, but there is no {MARKER_KEY_VARIABLE} to check it with")
        }
        Signature::Absent => "it is not signed".to_owned(),
    };
    if case.rules.is_some_and(AnswerRules::is_marker_signed) {
        return Statement::veto(
            RefusalCode::ProofLost,
            format!("the marker of {host} was signed and is not any more: {why_weak}"),
            DESCRIBE_ITSELF,
        );
    }
    if case.has_proof_of(CONTROL_PLANE) {
        return Statement::proof(format!(
            "{host} says that it is {}, as the control plane does",
            described(marker)
        ));
    }
    if let Some(why) = demand_for_marker(case) {
        return Statement::veto(
            RefusalCode::MarkerMissing,
            format!("the marker of {host} proves nothing by itself, and {why}: {why_weak}"),
            format!("let the preview sign its marker, and give the job the key as {MARKER_KEY_VARIABLE}"),
        );
    }
    Statement::silence(format!(
        "{host} says that it is {}; alone that proves nothing: {why_weak}",
        described(marker)
    ))
}

fn object_to(case: &Case<'_>, origin: &Origin, answer: &MarkerAnswer, marker: &Marker) -> Option<Statement> {
    let host = &origin.host;
    if let Some(word) = production_words::find(&marker.environment) {
        return Some(Statement::veto(
            RefusalCode::MarkerProduction,
            format!(
                "{host} says that its environment is {:?}, which holds the word {word:?}",
                cut(&marker.environment)
            ),
            "load only previews; production is never loaded",
        ));
    }
    if marker.host != *host {
        return Some(mismatch(format!("{host} says that it is {}", cut(&marker.host))));
    }
    if let Some(age) = &answer.age {
        return Some(mismatch(format!("the marker of {host} comes from a cache (Age: {})", cut(age))));
    }
    let Context::PullRequest(pull_request) = &case.inquiry.context else { return None };
    let head = pull_request.head_sha.as_str();
    if let Some(commit) = marker.commit.as_deref().filter(|commit| *commit != head) {
        let expected = pull_request.head_sha.short();
        return Some(mismatch(format!(
            "{host} runs commit {}, and the pull request's head is {expected}",
            cut(commit)
        )));
    }
    let expected = pull_request.number?.value();
    let number = marker.pull_request.filter(|number| *number != expected)?;
    Some(mismatch(format!("{host} belongs to pull request {number}, and this is {expected}")))
}

fn described(marker: &Marker) -> String {
    let commit =
        marker.commit.as_deref().map(|commit| format!(", commit {}", commit.get(..7).unwrap_or(commit)));
    let number = marker.pull_request.map(|number| format!(", pull request {number}"));
    format!(
        "environment {:?}{}{}",
        cut(&marker.environment),
        commit.unwrap_or_default(),
        number.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::super::proof;
    use super::*;
    use crate::guard::layers::fixture::{self, NoDeployments, online_in, veto_of};
    use crate::guard::marker::signed;
    use crate::guard::receipt::LayerDecision;
    use crate::guard::{AskMarker, ControlPlane, FixedResolver, Inquiry, Outside, Resolution};
    use crate::secret::Secret;

    const NONCE: &str = "000102030405060708090a0b0c0d0e0f";
    const HOST: &str = "pr-1.preview.shop.test";
    const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

    struct Answering(Result<MarkerAnswer, MarkerFailure>);

    impl AskMarker for Answering {
        fn ask(&self, question: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
            assert_eq!(
                question.addresses,
                ["76.76.21.21:443".parse().unwrap()],
                "only pinned addresses are asked"
            );
            self.0.clone()
        }
    }

    fn answer(body: &[u8]) -> MarkerAnswer {
        MarkerAnswer {
            nonce: NONCE.into(),
            status: 200,
            content_type: Some("application/json; charset=utf-8".into()),
            body: Some(body.to_vec()),
            ..MarkerAnswer::default()
        }
    }

    fn required() -> Inquiry {
        let mut inquiry = fixture::preview();
        inquiry.policy.marker.is_required = true;
        inquiry
    }

    /// Asks in a world whose forge knows of no deployment.
    fn said_by(inquiry: &Inquiry, answer: Result<MarkerAnswer, MarkerFailure>) -> Statement {
        said_beside(&NoDeployments, inquiry, answer)
    }

    fn said_beside(
        control_plane: &dyn ControlPlane,
        inquiry: &Inquiry,
        answer: Result<MarkerAnswer, MarkerFailure>,
    ) -> Statement {
        let (resolver, marker) = (FixedResolver::answering(&["76.76.21.21"]), Answering(answer));
        let key = Secret::new("shared".into());
        let outside = fixture::outside(&resolver);
        let outside = Outside { control_plane, marker: &marker, marker_key: Some(&key), ..outside };
        online_in(proof::ask, inquiry, outside)
    }

    fn fields() -> serde_json::Value {
        serde_json::json!({"environment": "preview", "host": HOST, "commit": HEAD, "pull-request": 1})
    }

    fn said_of_fields(change: impl FnOnce(&mut serde_json::Value)) -> Option<RefusalCode> {
        let mut fields = fields();
        change(&mut fields);
        veto_of(said_by(&required(), Ok(answer(&signed(NONCE, "shared", &fields)))))
    }

    fn decision(statement: Statement) -> LayerDecision {
        statement.line("").decision
    }

    #[test]
    fn the_header_of_the_answer_is_heard_too() {
        let own = format!("preview; commit={HEAD}");
        let other = format!("preview; commit={}", "f".repeat(40));
        let mut must = fixture::preview();
        must.policy.marker.is_on_every_answer = true;
        let code = |inquiry: &Inquiry, header: Option<&str>| {
            let header = header.map(str::to_owned);
            let signed = answer(&signed(NONCE, "shared", &fields()));
            let bare = MarkerAnswer { status: 404, ..MarkerAnswer::default() };
            [signed, bare].map(|answer| {
                veto_of(said_by(inquiry, Ok(MarkerAnswer { header: header.clone(), ..answer })))
            })
        };

        assert_eq!(code(&fixture::preview(), None), [None; 2]);
        assert_eq!(code(&must, None), [Some(RefusalCode::MarkerMissing); 2]);
        for inquiry in [&must, &fixture::preview()] {
            assert_eq!(code(inquiry, Some(&own)), [None; 2]);
            assert_eq!(code(inquiry, Some(&other)), [Some(RefusalCode::MarkerMismatch); 2]);
            assert_eq!(code(inquiry, Some(&format!("{own}, {own}"))), [Some(RefusalCode::MarkerMismatch); 2]);
            assert_eq!(code(inquiry, Some("production")), [Some(RefusalCode::MarkerProduction); 2]);
        }
    }

    #[test]
    fn a_login_is_told_as_one_also_where_its_answer_lacks_the_header() {
        let mut inquiry = fixture::preview();
        inquiry.policy.marker.is_on_every_answer = true;

        let said = said_by(&inquiry, Ok(MarkerAnswer { status: 401, ..MarkerAnswer::default() }));

        assert_eq!(veto_of(said), Some(RefusalCode::Guarded));
    }

    #[test]
    fn a_signed_marker_is_a_proof() {
        let said = said_by(&required(), Ok(answer(&signed(NONCE, "shared", &fields()))));

        assert_eq!(decision(said.clone()), LayerDecision::Proof, "{said:?}");
        assert!(said.line("").fact.contains("commit 0123456"));
    }

    #[test]
    fn a_signed_marker_may_leave_out_commit_and_pull_request() {
        let fields = serde_json::json!({"environment": "review", "host": HOST});

        let said = said_by(&required(), Ok(answer(&signed(NONCE, "shared", &fields))));

        assert_eq!(decision(said.clone()), LayerDecision::Proof, "{said:?}");
    }

    #[test]
    fn a_marker_of_something_else_is_a_no_even_when_it_is_signed() {
        assert_eq!(
            said_of_fields(|fields| fields["environment"] = "production".into()),
            Some(RefusalCode::MarkerProduction)
        );
        assert_eq!(
            said_of_fields(|fields| fields["environment"] = "eu-prod".into()),
            Some(RefusalCode::MarkerProduction)
        );
        assert_eq!(
            said_of_fields(|fields| fields["host"] = "www.shop.test".into()),
            Some(RefusalCode::MarkerMismatch)
        );
        assert_eq!(
            said_of_fields(|fields| fields["commit"] = "f".repeat(40).into()),
            Some(RefusalCode::MarkerMismatch)
        );
        assert_eq!(
            said_of_fields(|fields| fields["pull-request"] = 2.into()),
            Some(RefusalCode::MarkerMismatch)
        );
        assert_eq!(said_of_fields(|_| ()), None);
    }

    #[test]
    fn a_signature_of_another_key_or_question_is_a_no() {
        for body in [
            signed(NONCE, "stolen", &fields()),
            signed("an older nonce".replace(' ', "-").as_str(), "shared", &fields()),
        ] {
            assert_eq!(
                veto_of(said_by(&fixture::preview(), Ok(answer(&body)))),
                Some(RefusalCode::MarkerMismatch)
            );
        }
    }

    #[test]
    fn a_cached_marker_is_a_no() {
        let cached = MarkerAnswer { age: Some("3600".into()), ..answer(&signed(NONCE, "shared", &fields())) };

        assert_eq!(veto_of(said_by(&fixture::preview(), Ok(cached))), Some(RefusalCode::MarkerMismatch));
    }

    #[test]
    fn an_unsigned_marker_alone_proves_nothing() {
        let mut document = fields();
        document["loadgate"] = 1.into();
        let unsigned = || Ok(answer(document.to_string().as_bytes()));

        assert_eq!(decision(said_by(&fixture::preview(), unsigned())), LayerDecision::Silence);
        assert_eq!(veto_of(said_by(&required(), unsigned())), Some(RefusalCode::MarkerMissing));
    }

    #[test]
    fn an_unsigned_marker_counts_beside_the_control_planes_word() {
        let mut document = fields();
        document["loadgate"] = 1.into();
        let unsigned = Ok(answer(document.to_string().as_bytes()));
        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        let deployed = fixture::outside(&resolver).control_plane;

        let said = said_beside(deployed, &required(), unsigned);

        assert_eq!(decision(said.clone()), LayerDecision::Proof, "{said:?}");
    }

    #[test]
    fn an_absent_marker_is_silence_unless_the_policy_requires_one() {
        let not_found = MarkerAnswer { status: 404, ..MarkerAnswer::default() };
        let page = MarkerAnswer {
            content_type: Some("text/html".into()),
            ..answer(&signed(NONCE, "shared", &fields()))
        };
        let other_json = answer(b"{\"ok\":true}");
        let huge = MarkerAnswer { body: None, ..answer(b"") };
        for nothing in [not_found, page, other_json, huge] {
            let said = said_by(&fixture::preview(), Ok(nothing.clone()));
            assert_eq!(decision(said), LayerDecision::Silence, "{nothing:?}");
            assert_eq!(veto_of(said_by(&required(), Ok(nothing))), Some(RefusalCode::MarkerMissing));
        }
    }

    #[test]
    fn a_name_that_a_stranger_can_take_needs_a_marker_whatever_the_forge_says() {
        let led_to = |alias: &str, answer: MarkerAnswer| {
            let found = FixedResolver::answering(&["76.76.21.21"]).0.unwrap();
            let resolver = FixedResolver(Ok(Resolution { aliases: vec![alias.into()], ..found }));
            let (marker, key) = (Answering(Ok(answer)), Secret::new("shared".into()));
            let outside = fixture::outside(&resolver);
            let outside = Outside { marker: &marker, marker_key: Some(&key), ..outside };
            veto_of(online_in(proof::ask, &fixture::preview(), outside))
        };
        let none = || MarkerAnswer { status: 404, ..MarkerAnswer::default() };

        assert_eq!(led_to("unclaimed.herokudns.com", none()), Some(RefusalCode::MarkerMissing));
        assert_eq!(led_to("edge.provider.test", none()), None);
        assert_eq!(led_to("unclaimed.herokudns.com", answer(&signed(NONCE, "shared", &fields()))), None);
    }

    #[test]
    fn a_target_that_asks_for_a_login_or_does_not_answer_is_a_no() {
        for (status, code) in [
            (401, RefusalCode::Guarded),
            (403, RefusalCode::Guarded),
            (500, RefusalCode::MarkerUnavailable),
            (503, RefusalCode::MarkerUnavailable),
        ] {
            let refused = MarkerAnswer { status, ..MarkerAnswer::default() };
            assert_eq!(veto_of(said_by(&fixture::preview(), Ok(refused))), Some(code), "{status}");
        }
        let slow = Err(MarkerFailure::NoAnswer("too slow".into()));
        assert_eq!(veto_of(said_by(&fixture::preview(), slow)), Some(RefusalCode::MarkerUnavailable));
        let foreign = Err(MarkerFailure::Certificate("unknown issuer".into()));
        assert_eq!(veto_of(said_by(&fixture::preview(), foreign)), Some(RefusalCode::Certificate));
    }

    #[test]
    fn a_redirect_may_only_stay_at_home() {
        for (location, code) in [
            ("https://www.shop.test/", Some(RefusalCode::MarkerProduction)),
            ("//www.shop.test/x", Some(RefusalCode::MarkerProduction)),
            ("/\\www.shop.test/", Some(RefusalCode::MarkerProduction)),
            ("https:www.shop.test", None),
            ("https://login.sso.test/", Some(RefusalCode::Guarded)),
            ("http://pr-1.preview.shop.test/", Some(RefusalCode::Guarded)),
            ("https://pr-1.preview.shop.test:8443/", Some(RefusalCode::Guarded)),
            ("https://[", Some(RefusalCode::Guarded)),
            ("/login", None),
            ("", None),
        ] {
            let redirect =
                MarkerAnswer { status: 302, location: Some(location.into()), ..MarkerAnswer::default() };
            assert_eq!(veto_of(said_by(&fixture::preview(), Ok(redirect))), code, "{location}");
        }
    }
}
