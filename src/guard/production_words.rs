//! Words that mean production, in host names, branches and names of environments.
//!
//! Names are compared token by token, never by substring: `product-images` is no production.

/// The words, lower case.
const WORDS: [&str; 7] = ["prod", "production", "live", "main", "master", "www", "release"];

/// Returns the first production word among the tokens of a name; digits around a token do not hide it.
pub(super) fn find(name: &str) -> Option<&'static str> {
    let folded = name.to_lowercase();
    let mut tokens = folded.split(|c: char| !c.is_alphanumeric());
    tokens.find_map(|token| {
        let bare = token.trim_matches(|c: char| c.is_ascii_digit());
        WORDS.into_iter().find(|word| *word == bare)
    })
}

/// Returns whether the whole text is a production word.
pub(super) fn is_reserved(text: &str) -> bool {
    WORDS.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_as_tokens_in_any_case() {
        for name in ["prod", "Production", "shop (LIVE)", "Shop\u{2013}Production", "api_prod1", "eu.www"] {
            assert!(find(name).is_some(), "{name} means production");
        }
    }

    #[test]
    fn parts_of_longer_words_mean_nothing() {
        for name in ["product-images", "delivery", "maintenance", "Preview", "released", "reproduction", ""] {
            assert_eq!(find(name), None, "{name}");
        }
    }
}
