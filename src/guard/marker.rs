//! A marker is a small document by which a preview says who it is: `GET /.well-known/loadgate`.
//!
//! Signed with a key that only previews and their gate know, over a nonce that was never used before, it is a proof.
//! Unsigned it is a claim, such as a static host can make, and needs somebody else's word beside it.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::secret::Secret;

/// Where previews serve their marker.
pub const MARKER_PATH: &str = "/.well-known/loadgate";

/// The header that previews put on every answer, where the policy says so.
pub const MARKER_HEADER: &str = "Loadgate-Preview";

/// The variable that holds the key which markers are signed with.
pub const MARKER_KEY_VARIABLE: &str = "LOADGATE_MARKER_KEY";

/// The largest document that can be a marker.
pub const MAX_MARKER_BYTES: usize = 4_096;

/// The one version of the document so far.
const VERSION: u32 = 1;

/// The longest text that one field of a marker can need: a host name.
const MAX_FIELD_CHARS: usize = 253;

/// What a preview says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Marker {
    loadgate: u32,
    /// The environment that the server runs in.
    pub(super) environment: String,
    /// The host that the server serves.
    pub(super) host: String,
    /// The commit that it runs.
    pub(super) commit: Option<String>,
    /// The pull request that it belongs to.
    pub(super) pull_request: Option<u64>,
    /// The nonce of the question, in a signed answer.
    pub(super) nonce: Option<String>,
    mac: Option<String>,
}

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// A marker.
    Marker(Marker),
    /// Meant to be one, but unfit.
    Malformed(String),
    /// Something else: what many servers answer to any path.
    SomethingElse,
}

/// How much a marker proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// It answers this very question, and only who has the key can.
    Valid,
    /// It is signed, by another key or for another question.
    Wrong,
    /// It is signed, and there is no key here to check it with.
    Unchecked,
    /// It is not signed.
    Absent,
}

impl Marker {
    /// Reads a JSON body. A document with the key `loadgate` is meant as a marker and must be a whole one.
    pub(super) fn read(body: &[u8]) -> Reading {
        let marker: Marker = match serde_json::from_slice(body) {
            Ok(marker) => marker,
            Err(error) => {
                let document = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
                return if document.get("loadgate").is_some() {
                    Reading::Malformed(error.to_string())
                } else {
                    Reading::SomethingElse
                };
            }
        };
        match marker.flaw() {
            Some(flaw) => Reading::Malformed(flaw),
            None => Reading::Marker(marker),
        }
    }

    fn flaw(&self) -> Option<String> {
        if self.loadgate != VERSION {
            return Some(format!("version {} is not known", self.loadgate));
        }
        let texts = [
            ("environment", Some(&self.environment)),
            ("host", Some(&self.host)),
            ("commit", self.commit.as_ref()),
            ("nonce", self.nonce.as_ref()),
            ("mac", self.mac.as_ref()),
        ];
        // Fields are signed line by line: a line break inside one could shift what the signature speaks of.
        let is_unfit = |text: &str| {
            text.is_empty() || text.len() > MAX_FIELD_CHARS || !text.bytes().all(|b| b.is_ascii_graphic())
        };
        let unfit = texts.iter().find(|(_, text)| text.is_some_and(|text| is_unfit(text)));
        if let Some((name, _)) = unfit {
            return Some(format!("`{name}` is empty, too long or not plain ASCII"));
        }
        // Any service that echoes what it is asked would do that.
        (self.nonce.is_some() && self.mac.is_none()).then(|| "it has a nonce and no `mac`".to_owned())
    }

    /// Checks the signature, in constant time.
    pub(super) fn signature(&self, nonce: &str, key: Option<&Secret>) -> Signature {
        let Some(mac) = &self.mac else { return Signature::Absent };
        let Some(key) = key else { return Signature::Unchecked };
        let is_answer = self.nonce.as_deref() == Some(nonce);
        match (is_answer, from_hex(mac), signer(key)) {
            (true, Some(mac), Some(signer)) => {
                match signer.chain_update(self.signed_text(nonce)).verify_slice(&mac) {
                    Ok(()) => Signature::Valid,
                    Err(_) => Signature::Wrong,
                }
            }
            _ => Signature::Wrong,
        }
    }

    /// Returns what is signed: one line a field, empty where the marker does not have it.
    fn signed_text(&self, nonce: &str) -> String {
        let pull_request = self.pull_request.map(|number| number.to_string()).unwrap_or_default();
        format!(
            "loadgate {VERSION}\n{nonce}\n{}\n{}\n{}\n{pull_request}\n",
            self.host,
            self.environment,
            self.commit.as_deref().unwrap_or_default(),
        )
    }
}

fn signer(key: &Secret) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key.expose().as_bytes()).ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

/// Signs and writes a marker as a preview does, for tests.
#[cfg(test)]
pub(super) fn signed(nonce: &str, key: &str, fields: &serde_json::Value) -> Vec<u8> {
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    let number = fields["pull-request"].as_u64().map(|number| number.to_string()).unwrap_or_default();
    let lines = [
        "loadgate 1".to_owned(),
        nonce.to_owned(),
        text("host"),
        text("environment"),
        text("commit"),
        number,
    ];
    let signer = signer(&Secret::new(key.into())).expect("a key of any length is one");
    let mac = signer.chain_update(lines.join("\n") + "\n").finalize().into_bytes();
    let mut document = fields.clone();
    document["loadgate"] = 1.into();
    document["nonce"] = nonce.into();
    document["mac"] = mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    document.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "000102030405060708090a0b0c0d0e0f";

    fn key() -> Secret {
        Secret::new("shared".into())
    }

    fn fields() -> serde_json::Value {
        serde_json::json!({"environment": "preview", "host": "pr-1.preview.shop.test", "commit": "abc"})
    }

    fn marker(body: &[u8]) -> Marker {
        match Marker::read(body) {
            Reading::Marker(marker) => marker,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_signature_holds_for_its_nonce_and_key_alone() {
        let marker = marker(&signed(NONCE, "shared", &fields()));

        assert_eq!(marker.signature(NONCE, Some(&key())), Signature::Valid);
        assert_eq!(marker.signature(&NONCE.replace('0', "f"), Some(&key())), Signature::Wrong);
        assert_eq!(marker.signature(NONCE, Some(&Secret::new("other".into()))), Signature::Wrong);
        assert_eq!(marker.signature(NONCE, None), Signature::Unchecked);
    }

    #[test]
    fn a_signature_speaks_of_every_field() {
        let genuine = String::from_utf8(signed(NONCE, "shared", &fields())).unwrap();

        for (from, to) in [
            ("\"preview\"", "\"production\""),
            ("pr-1.", "pr-2."),
            ("\"abc\"", "\"abd\""),
            ("\"loadgate\"", "\"pull-request\":7,\"loadgate\""),
        ] {
            let forged = genuine.replacen(from, to, 1);
            assert_ne!(forged, genuine);
            assert_eq!(
                marker(forged.as_bytes()).signature(NONCE, Some(&key())),
                Signature::Wrong,
                "{forged}"
            );
        }
    }

    #[test]
    fn the_signed_text_is_the_documented_one() {
        let body = signed(
            "n",
            "k",
            &serde_json::json!({"environment": "preview", "host": "h", "commit": "c", "pull-request": 7}),
        );

        assert_eq!(marker(&body).signed_text("n"), "loadgate 1\nn\nh\npreview\nc\n7\n");
    }

    #[test]
    fn what_is_no_marker_is_something_else() {
        for body in ["", "ok", "<html>", "[1]", "{}", "{\"ok\":true}", "null"] {
            assert_eq!(Marker::read(body.as_bytes()), Reading::SomethingElse, "{body}");
        }
    }

    #[test]
    fn what_is_meant_as_a_marker_must_be_a_whole_one() {
        for body in [
            r#"{"loadgate":1}"#,
            r#"{"loadgate":2,"environment":"preview","host":"h"}"#,
            r#"{"loadgate":1,"environment":"","host":"h"}"#,
            r#"{"loadgate":1,"environment":"preview\nx","host":"h"}"#,
            r#"{"loadgate":1,"environment":"production","environment":"preview","host":"h"}"#,
            r#"{"loadgate":1,"environment":"preview","host":"h","nonce":"n"}"#,
            r#"{"loadgate":1,"environment":"preview","host":"h","more":1}"#,
        ] {
            assert!(matches!(Marker::read(body.as_bytes()), Reading::Malformed(_)), "{body}");
        }
    }
}
