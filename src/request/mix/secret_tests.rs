//! Secrets in a mix: written where they may stand, and kept from everywhere else.

use super::super::{Asked, DeclaredSecret, Method, Sealed, TemplateError};
use super::tests::{self, SEAT, asked};
use super::*;

fn requests(asked: Asked) -> Requests {
    tests::requests(None, [asked])
}

fn with_token(value: Result<Secret, Sealed>) -> Placeholders {
    let declared = DeclaredSecret { name: "TOKEN".into(), headers: vec!["authorization".into()], value };
    Placeholders::new(5, vec![declared])
}

fn sent(requests: &Requests, placeholders: Placeholders) -> Result<Vec<String>, SourceFailure> {
    let mut source = Mix::new(requests, "h", 1).with_secrets(placeholders).for_worker(SEAT)?;
    let mut texts = Vec::new();
    for _ in 0..2 {
        let mut wire = Rc::default();
        source.next(0, &mut wire)?;
        texts.push(String::from_utf8(wire.bytes().to_vec()).unwrap());
    }
    Ok(texts)
}

#[test]
fn a_secret_is_written_into_a_request_that_stays_prebuilt() {
    let headers = [("authorization", "Bearer {secret.TOKEN}")];
    let requests = requests(asked(Method::Get, "/", &headers, ""));
    let placeholders = with_token(Ok(Secret::new("correct-horse".into())));
    let source = Mix::new(&requests, "h", 1).with_secrets(placeholders.clone()).for_worker(SEAT).unwrap();

    assert!(source.is_instant());
    assert!(
        sent(&requests, placeholders).unwrap()[1].contains("\r\nauthorization: Bearer correct-horse\r\n")
    );
    assert!(!format!("{requests:?}").contains("horse"));
}

#[test]
fn a_secret_stands_beside_values_that_change() {
    let headers = [("authorization", "Bearer {secret.TOKEN}"), ("x-id", "{id:counter}")];
    let requests = requests(asked(Method::Get, "/{id}", &headers, ""));

    let texts = sent(&requests, with_token(Ok(Secret::new("correct-horse".into())))).unwrap();

    assert!(texts.iter().all(|text| text.contains("authorization: Bearer correct-horse\r\n")), "{texts:?}");
    assert_ne!(texts[0], texts[1]);
}

#[test]
fn a_secret_that_may_not_be_sent_keeps_the_source_from_being_made() {
    let good = requests(asked(Method::Get, "/", &[("authorization", "{secret.TOKEN}")], ""));
    let elsewhere = requests(asked(Method::Get, "/", &[("x-other", "{secret.TOKEN}")], ""));
    let unknown = requests(asked(Method::Get, "/", &[("authorization", "{secret.OTHER}")], ""));
    let value = || Ok(Secret::new("correct-horse".into()));

    let why = |requests: &Requests, value| sent(requests, with_token(value)).unwrap_err().to_string();

    assert!(sent(&good, with_token(value())).is_ok());
    assert!(why(&good, Err(Sealed::Host)).contains("its `hosts` do not name it"));
    assert!(why(&elsewhere, value()).contains("stands in header \"x-other\""));
    assert!(why(&unknown, value()).contains("there is no secret \"OTHER\""));
}

#[test]
fn a_secret_has_no_place_in_a_path_or_a_body() {
    let json = [("content-type", "application/json")];
    for hostile in [
        asked(Method::Get, "/{secret.TOKEN}", &[], ""),
        asked(Method::Post, "/", &json, "{\"a\": \"{secret.TOKEN}\"}"),
        asked(Method::Post, "/", &[], "{secret.TOKEN}"),
    ] {
        let error = Requests::new(None, 1).add(hostile).unwrap_err();
        assert_eq!(error.error, TemplateError::SecretPlace);
    }
}
