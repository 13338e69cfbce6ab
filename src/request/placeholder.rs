//! A placeholder stands for a secret where a script would otherwise hold it: a text that means nothing by itself.
//!
//! Its nonce is new in every run and never leaves this process, so that no feed and no server can write one. Whoever
//! turns a script's text into a request finds placeholders by the nonce and lets them stand in declared headers only.

use std::fmt::Write as _;

use memchr::memmem;

/// A secret that scripts may name, and the headers that its value may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredSecret {
    /// Its name.
    pub name: String,
    /// Header names in lower case.
    pub headers: Vec<String>,
}

/// The placeholders of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placeholders {
    nonce: String,
    declared: Vec<DeclaredSecret>,
}

impl Placeholders {
    /// Makes the placeholders of one run; the nonce must be unguessable.
    #[must_use]
    pub fn new(nonce: u128, declared: Vec<DeclaredSecret>) -> Self {
        let mut text = String::new();
        write!(text, "{nonce:032x}").expect("writing to memory cannot fail");
        Self { nonce: text, declared }
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.declared.is_empty()
    }

    /// Returns what stands for a declared secret.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.declared(name).map(|secret| format!("{{secret.{}.{}}}", secret.name, self.nonce))
    }

    /// Returns what stands for `Basic` credentials whose password is a declared secret.
    #[must_use]
    pub fn basic(&self, user: &str, name: &str) -> Option<String> {
        let user = user.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to memory cannot fail");
            hex
        });
        self.declared(name).map(|secret| format!("{{basic.{user}.{}.{}}}", secret.name, self.nonce))
    }

    /// Returns the name of the declared secret that a whole text is the placeholder of.
    #[must_use]
    pub fn named_by(&self, text: &str) -> Option<&str> {
        let secret = self.declared.iter().find(|secret| self.text(&secret.name).as_deref() == Some(text))?;
        Some(&secret.name)
    }

    /// Returns whether a text holds anything of a placeholder.
    #[must_use]
    pub fn touch(&self, text: &[u8]) -> bool {
        !self.is_empty() && memmem::find(text, self.nonce.as_bytes()).is_some()
    }

    /// Returns whether every placeholder in a header's value may stand in this header.
    #[must_use]
    pub fn may_stand_in(&self, header: &[u8], value: &[u8]) -> bool {
        let nonce = self.nonce.as_bytes();
        let mut rest = value;
        while let Some(at) = memmem::find(rest, nonce) {
            let Some(name) =
                rest[..at].strip_suffix(b".").and_then(|before| before.rsplit(|b| *b == b'.').next())
            else {
                return false;
            };
            let is_declared = self.declared.iter().any(|secret| {
                secret.name.as_bytes() == name
                    && secret.headers.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(header))
            });
            rest = &rest[at + nonce.len()..];
            if !is_declared || !rest.starts_with(b"}") {
                return false;
            }
        }
        true
    }

    fn declared(&self, name: &str) -> Option<&DeclaredSecret> {
        self.declared.iter().find(|secret| secret.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Placeholders {
        Placeholders::new(
            7,
            vec![DeclaredSecret { name: "token".into(), headers: vec!["authorization".into()] }],
        )
    }

    #[test]
    fn a_placeholder_stands_in_its_declared_header_only() {
        let placeholders = one();
        let bearer = format!("Bearer {}", placeholders.text("token").unwrap());

        assert!(placeholders.may_stand_in(b"Authorization", bearer.as_bytes()));
        assert!(!placeholders.may_stand_in(b"User-Agent", bearer.as_bytes()));
        assert!(placeholders.touch(bearer.as_bytes()));
        assert_eq!(placeholders.text("other"), None);
    }

    #[test]
    fn credentials_are_bound_to_the_same_header() {
        let placeholders = one();
        let basic = format!("Basic {}", placeholders.basic("u", "token").unwrap());

        assert!(placeholders.may_stand_in(b"authorization", basic.as_bytes()));
        assert!(!placeholders.may_stand_in(b"cookie", basic.as_bytes()));
    }

    #[test]
    fn text_shaped_like_a_placeholder_is_only_text() {
        assert!(!one().touch(b"{secret.token.00000000000000000000000000000008}"));
        assert!(!Placeholders::default().touch(b"anything"));
    }
}
