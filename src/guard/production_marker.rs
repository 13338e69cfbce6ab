//! A check of the set-up, and no layer: does production itself serve the marker by which previews are known?
//!
//! Where it does, L8 proves nothing any more: a marker that was built into an artefact is promoted with it.

use super::marker::{Marker, Reading};
use super::outside::{MarkerQuestion, Outside};
use super::policy::ProductionHost;
use super::production_words;
use crate::target::{Origin, Scheme};

/// What production answers when it is asked for a marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProductionMarker {
    /// No marker, as it should be.
    Absent,
    /// A marker that calls itself production; previews stay told apart.
    Honest,
    /// A marker that calls itself something else, or that cannot be read as one.
    Misleading(String),
    /// Nothing is known, for this reason.
    Unknown(String),
}

/// Asks a production host for its marker: one `GET`, sent only where a person wanted it.
#[must_use]
pub fn production_marker(
    host: &ProductionHost,
    trusted_roots: &[Vec<u8>],
    outside: &Outside<'_>,
) -> ProductionMarker {
    let origin = Origin { scheme: Scheme::Https, host: host.to_string(), port: Scheme::Https.default_port() };
    let found = match outside.resolver.resolve(&origin.host) {
        Ok(found) => found,
        Err(error) => return ProductionMarker::Unknown(error.to_string()),
    };
    let addresses: Vec<_> = found.addresses.iter().map(|&address| (address, origin.port).into()).collect();
    if addresses.is_empty() {
        return ProductionMarker::Unknown("it has no address".to_owned());
    }
    let question = MarkerQuestion { origin: &origin, addresses: &addresses, trusted_roots };
    let answer = match outside.marker.ask(&question) {
        Ok(answer) => answer,
        Err(failure) => return ProductionMarker::Unknown(failure.to_string()),
    };
    match answer.body.filter(|_| answer.status == 200).map(|body| Marker::read(&body)) {
        None | Some(Reading::SomethingElse) => ProductionMarker::Absent,
        Some(Reading::Malformed(flaw)) => ProductionMarker::Misleading(format!("it is malformed: {flaw}")),
        Some(Reading::Marker(marker)) if production_words::find(&marker.environment).is_some() => {
            ProductionMarker::Honest
        }
        Some(Reading::Marker(marker)) => {
            ProductionMarker::Misleading(format!("it calls itself {:?}", marker.environment))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture;
    use crate::guard::{AskMarker, FixedResolver, MarkerAnswer, MarkerFailure};

    /// Answers every question with one document.
    struct Serves(u16, &'static str);

    impl AskMarker for Serves {
        fn ask(&self, question: &MarkerQuestion<'_>) -> Result<MarkerAnswer, MarkerFailure> {
            assert_eq!(question.addresses, ["76.76.21.21:443".parse().unwrap()]);
            Ok(MarkerAnswer { status: self.0, body: Some(self.1.into()), ..MarkerAnswer::default() })
        }
    }

    fn asked(marker: &dyn AskMarker) -> ProductionMarker {
        let resolver = FixedResolver::answering(&["76.76.21.21"]);
        let host = ProductionHost::parse("www.shop.test").unwrap();
        production_marker(&host, &[], &Outside { marker, ..fixture::outside(&resolver) })
    }

    #[test]
    fn production_without_a_marker_or_with_an_honest_one_is_told_apart() {
        assert_eq!(asked(&Serves(404, "")), ProductionMarker::Absent);
        assert_eq!(asked(&Serves(200, "<!doctype html>")), ProductionMarker::Absent);
        let honest = r#"{"loadgate": 1, "environment": "production", "host": "www.shop.test"}"#;
        assert_eq!(asked(&Serves(200, honest)), ProductionMarker::Honest);
    }

    #[test]
    fn production_that_calls_itself_a_preview_is_found() {
        let promoted = r#"{"loadgate": 1, "environment": "preview", "host": "www.shop.test"}"#;

        assert!(matches!(asked(&Serves(200, promoted)), ProductionMarker::Misleading(_)));
        assert!(matches!(asked(&Serves(200, r#"{"loadgate": 7}"#)), ProductionMarker::Misleading(_)));
    }

    #[test]
    fn what_cannot_be_asked_is_unknown() {
        let resolver = FixedResolver::answering(&[]);
        let host = ProductionHost::parse("www.shop.test").unwrap();

        let said = production_marker(&host, &[], &fixture::outside(&resolver));

        assert!(matches!(said, ProductionMarker::Unknown(_)), "{said:?}");
    }
}
