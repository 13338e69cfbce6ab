//! A placeholder stands for a secret where a script would otherwise hold it: a text that means nothing by itself.
//!
//! Its nonce is new in every run and never leaves this process, so that no feed and no server can write one. The
//! serialiser finds placeholders by the nonce while it writes a request, and writes the value in a declared header of a
//! target that may have it. Everything else is a [`SecretFault`], and the request is not sent.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use zeroize::Zeroizing;

use super::token::Tokens;
use crate::secret::{Secret, SecretPlan};
use crate::target::{Origin, Scheme};

/// A secret that requests may name, and what became of it for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredSecret {
    /// Its name.
    pub name: String,
    /// Header names in lower case.
    pub headers: Vec<String>,
    /// Its value, or why it may not go to this target.
    pub value: Result<Secret, Sealed>,
}

/// Why a secret's value may not go to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Its `hosts` do not name the target.
    Host,
    /// The connection would be readable on its way.
    Plain,
}

impl DeclaredSecret {
    /// Binds a secret to a target, at its pinned addresses.
    #[must_use]
    pub fn bound(plan: &SecretPlan, value: &Secret, origin: &Origin, addresses: &[SocketAddr]) -> Self {
        let is_loopback = addresses.iter().all(|address| address.ip().is_loopback());
        let value = if !plan.may_go_to(&origin.host, is_loopback) {
            Err(Sealed::Host)
        } else if origin.scheme != Scheme::Https && !is_loopback {
            Err(Sealed::Plain)
        } else {
            Ok(value.clone())
        };
        Self { name: plan.name.clone(), headers: plan.headers.clone(), value }
    }
}

/// Why a request that names a secret is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// It stands where no secret may.
    #[error("a secret stands {0}, where none may")]
    Place(&'static str),
    /// It stands in a header that was not declared for it.
    #[error("a secret stands in header {header:?}, for which `{name}` was not declared")]
    Header {
        /// The secret.
        name: String,
        /// The header.
        header: String,
    },
    /// There is no secret of this name.
    #[error("there is no secret {0:?}")]
    Undeclared(String),
    /// It may not go to this target.
    #[error("secret `{0}` may not go to this target: its `hosts` do not name it")]
    Host(String),
    /// It may not go over a connection that others can read.
    #[error("secret `{0}` may not go over a connection without TLS to another machine")]
    Plain(String),
    /// A placeholder was cut or changed.
    #[error("what stands for a secret was cut or changed")]
    Broken,
    /// What stood for a token of an answer means nothing any more.
    #[error("what stands for a token is not known to this worker any more")]
    Forgotten,
}

impl SecretFault {
    /// Returns what to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Place(_) | Self::Header { .. } => {
                "put a secret only into a header that `headers` of its [[secret]] names; a token of an answer may go \
                 into the header that it came in, `cookie` and `authorization`, or leave its header out of \
                 `sensitive-headers` of [script]"
            }
            Self::Undeclared(_) => {
                "declare it as a [[secret]]; in a pull request the base branch's configuration counts"
            }
            Self::Host(_) => {
                "add the host to `hosts` of the [[secret]], or `localhost` for a service on this machine"
            }
            Self::Plain(_) => "load the target over https",
            Self::Broken => "send the text that wrk.secret gives as it is; wrk.basic makes credentials of it",
            Self::Forgotten => {
                "use a token in the worker that received it; each keeps the last 64, and the oldest go first"
            }
        }
    }
}

/// The placeholders of one run against one target.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Placeholders {
    nonce: String,
    declared: Vec<DeclaredSecret>,
}

impl fmt::Debug for Placeholders {
    /// Whoever knows the nonce could write a placeholder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placeholders").field("declared", &self.declared).finish_non_exhaustive()
    }
}

impl Placeholders {
    /// Makes the placeholders of one run; the nonce must be unguessable.
    #[must_use]
    pub fn new(nonce: u128, declared: Vec<DeclaredSecret>) -> Self {
        let mut text = String::new();
        write!(text, "{nonce:032x}").expect("writing to memory cannot fail");
        Self { nonce: text, declared }
    }

    /// Returns whether no secret is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.declared.is_empty()
    }

    /// Returns whether there is a nonce to tell placeholders by.
    pub(super) fn is_live(&self) -> bool {
        !self.nonce.is_empty()
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

    /// Returns what stands for a token of an answer: letters and digits, as patterns in scripts expect of a token.
    pub(super) fn token(&self, seat: u32, number: u64) -> String {
        format!("{}t{seat}n{number}z", self.nonce)
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
        !self.nonce.is_empty() && memmem::find(text, self.nonce.as_bytes()).is_some()
    }

    /// Returns a secret's value where it may stand in this header.
    ///
    /// # Errors
    /// Why it may not.
    pub fn value(&self, name: &str, header: &str) -> Result<&Secret, SecretFault> {
        let secret = self.declared(name).ok_or_else(|| SecretFault::Undeclared(shown(name.as_bytes())))?;
        if !secret.headers.iter().any(|allowed| allowed.eq_ignore_ascii_case(header)) {
            return Err(SecretFault::Header { name: secret.name.clone(), header: shown(header.as_bytes()) });
        }
        secret.value.as_ref().map_err(|sealed| match sealed {
            Sealed::Host => SecretFault::Host(secret.name.clone()),
            Sealed::Plain => SecretFault::Plain(secret.name.clone()),
        })
    }

    /// Returns every value that may go to the target, with the secret's name.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.declared.iter().filter_map(|secret| Some((secret.name.as_str(), secret.value.as_ref().ok()?)))
    }

    /// Returns a header's value with each placeholder's value in its place.
    pub(super) fn filled(
        &self,
        header: &[u8],
        value: &[u8],
        tokens: &Tokens,
    ) -> Result<Zeroizing<Vec<u8>>, SecretFault> {
        let nonce = self.nonce.as_bytes();
        let mut filled = Zeroizing::new(Vec::with_capacity(value.len() + 256));
        let mut rest = value;
        while let Some(at) = memmem::find(rest, nonce) {
            let (before, after) = (&rest[..at], &rest[at + nonce.len()..]);
            rest = match after.first() {
                Some(b'}') => {
                    self.fill_declared(header, before, &mut filled)?;
                    &after[1..]
                }
                Some(b't') => {
                    filled.extend_from_slice(before);
                    let (text, length) = token_of(after).ok_or(SecretFault::Broken)?;
                    let token = tokens.value(text, header)?;
                    filled.extend_from_slice(token.expose().as_bytes());
                    &after[length..]
                }
                _ => return Err(SecretFault::Broken),
            };
        }
        filled.extend_from_slice(rest);
        Ok(filled)
    }

    /// Writes what stands before a placeholder's nonce: plain text, and the value that the placeholder stands for.
    fn fill_declared(&self, header: &[u8], before: &[u8], filled: &mut Vec<u8>) -> Result<(), SecretFault> {
        let opened = before.iter().rposition(|byte| *byte == b'{').ok_or(SecretFault::Broken)?;
        let inner = std::str::from_utf8(&before[opened + 1..]).map_err(|_| SecretFault::Broken)?;
        let words: Vec<&str> = inner.split('.').collect();
        let header = String::from_utf8_lossy(header);
        filled.extend_from_slice(&before[..opened]);
        match words[..] {
            ["secret", name, ""] => filled.extend_from_slice(self.value(name, &header)?.expose().as_bytes()),
            ["basic", user, name, ""] => {
                let mut pair = Zeroizing::new(unhex(user).ok_or(SecretFault::Broken)?);
                pair.push(b':');
                pair.extend_from_slice(self.value(name, &header)?.expose().as_bytes());
                filled.extend_from_slice(Zeroizing::new(STANDARD.encode(&*pair)).as_bytes());
            }
            _ => return Err(SecretFault::Broken),
        }
        Ok(())
    }

    fn declared(&self, name: &str) -> Option<&DeclaredSecret> {
        self.declared.iter().find(|secret| secret.name == name)
    }
}

/// Returns seat and number of a token's placeholder behind its nonce, and how long that part is.
fn token_of(after: &[u8]) -> Option<((u32, u64), usize)> {
    let end = after.iter().position(|byte| *byte == b'z')?;
    let text = std::str::from_utf8(&after[1..end]).ok()?;
    let (seat, number) = text.split_once('n')?;
    Some(((seat.parse().ok()?, number.parse().ok()?), end + 1))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{SecretHost, SecretSource};

    fn declared(value: Result<Secret, Sealed>) -> Placeholders {
        let headers = vec!["authorization".into()];
        Placeholders::new(7, vec![DeclaredSecret { name: "TOKEN".into(), headers, value }])
    }

    fn one() -> Placeholders {
        declared(Ok(Secret::new("correct-horse".into())))
    }

    fn filled(placeholders: &Placeholders, header: &str, value: &str) -> Result<String, SecretFault> {
        let filled = placeholders.filled(header.as_bytes(), value.as_bytes(), &Tokens::default())?;
        Ok(String::from_utf8(filled.to_vec()).unwrap())
    }

    #[test]
    fn a_value_takes_its_place_in_a_declared_header_only() {
        let placeholders = one();
        let bearer = format!(
            "Bearer {}, again {}",
            placeholders.text("TOKEN").unwrap(),
            placeholders.text("TOKEN").unwrap()
        );

        let sent = filled(&placeholders, "Authorization", &bearer);

        assert_eq!(sent.as_deref(), Ok("Bearer correct-horse, again correct-horse"));
        assert!(matches!(filled(&placeholders, "User-Agent", &bearer), Err(SecretFault::Header { .. })));
        assert!(placeholders.touch(bearer.as_bytes()));
        assert_eq!(placeholders.text("other"), None);
    }

    #[test]
    fn credentials_are_encoded_with_the_value_and_bound_to_the_same_header() {
        let placeholders = one();
        let basic = format!("Basic {}", placeholders.basic("us:er", "TOKEN").unwrap());

        let sent = filled(&placeholders, "authorization", &basic);

        assert_eq!(sent.unwrap(), format!("Basic {}", STANDARD.encode("us:er:correct-horse")));
        assert!(filled(&placeholders, "cookie", &basic).is_err());
    }

    #[test]
    fn a_sealed_value_stays_where_it_is() {
        for (sealed, fault) in [
            (Sealed::Host, SecretFault::Host("TOKEN".into())),
            (Sealed::Plain, SecretFault::Plain("TOKEN".into())),
        ] {
            let placeholders = declared(Err(sealed));
            let text = placeholders.text("TOKEN").unwrap();

            assert_eq!(filled(&placeholders, "authorization", &text), Err(fault));
            assert_eq!(placeholders.values().count(), 0);
        }
    }

    #[test]
    fn what_was_cut_or_glued_together_is_refused() {
        let placeholders = one();
        let nonce = placeholders.nonce.clone();
        for hostile in [
            nonce.clone(),
            format!("{nonce}}}"),
            format!("{{secret.{nonce}}}"),
            format!("{{secret.TOKEN.x.{nonce}}}"),
            format!("{{basic.zz.TOKEN.{nonce}}}"),
            format!("{{basic.7.TOKEN.{nonce}}}"),
            format!("{{secret.OTHER.{nonce}}}"),
            format!("{{secret.TOKEN.{nonce}"),
            format!("{nonce}t0n1"),
            format!("{nonce}t0n1z"),
            format!("{nonce}tz"),
        ] {
            assert!(filled(&placeholders, "authorization", &hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn text_shaped_like_a_placeholder_is_only_text() {
        assert!(!one().touch(b"{secret.TOKEN.00000000000000000000000000000008}"));
        assert!(!Placeholders::default().touch(b"anything"));
    }

    #[test]
    fn a_secret_goes_to_the_hosts_it_was_declared_for_over_tls_or_loopback() {
        let bound = |hosts: Option<Vec<SecretHost>>, scheme, host: &str, address: &str| {
            let source = SecretSource::Variable("X".into());
            let plan = SecretPlan { name: "TOKEN".into(), source, headers: vec![], hosts };
            let origin = Origin { scheme, host: host.into(), port: 1 };
            let value = Secret::new("correct-horse".into());
            DeclaredSecret::bound(&plan, &value, &origin, &[address.parse().unwrap()]).value.err()
        };
        let preview = || Some(vec![SecretHost::parse("*.preview.example.com").unwrap()]);
        let (near, far) = ("127.0.0.1:1", "192.0.2.1:443");

        assert_eq!(bound(None, Scheme::Http, "127.0.0.1", near), None);
        assert_eq!(bound(None, Scheme::Https, "pr-1.preview.example.com", far), None);
        assert_eq!(bound(None, Scheme::Http, "pr-1.preview.example.com", far), Some(Sealed::Plain));
        assert_eq!(bound(preview(), Scheme::Https, "pr-1.preview.example.com", far), None);
        assert_eq!(bound(preview(), Scheme::Https, "pr-1.other.example.com", far), Some(Sealed::Host));
        assert_eq!(bound(preview(), Scheme::Http, "127.0.0.1", near), Some(Sealed::Host));
        assert_eq!(bound(Some(vec![SecretHost::Loopback]), Scheme::Http, "127.0.0.1", near), None);
    }

    #[test]
    fn neither_value_nor_nonce_is_printed() {
        let shown = format!("{:?}", one());

        assert!(!shown.contains("horse") && !shown.contains(&one().nonce), "{shown}");
    }
}
