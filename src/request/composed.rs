//! Composed requests are written from their parts, without a text in between that would have to be read again.
//!
//! The parts meet the same rules as the lines of a raw request (`raw.rs`): what is composed is exactly what reading the
//! text of the same parts would have given. On any doubt nothing is composed, and the text decides.

use super::raw::{Framing, MAX_HEADERS, check_body, check_path, read_field, read_method};
use super::wire::{Unfinished, Wire};
use super::{RawError, RawRules};

/// A request whose headers are being written.
#[derive(Debug)]
pub struct Composing {
    begun: Unfinished,
    framing: Framing,
    names_host: bool,
}

impl Wire {
    /// Begins the one request of an empty wire. Secrets are not looked for: there must be none.
    ///
    /// # Errors
    /// What is wrong with it; the wire must then be cleared, here and below.
    pub fn compose(&mut self, method: &[u8], path: &[u8], rules: &RawRules) -> Result<Composing, RawError> {
        let method = read_method(method)?;
        check_path(path)?;
        let begun = self.begin(method, path, rules.authority.as_bytes());
        // Its text begins with the target's own host.
        let framing = Framing { lines: 1, has_host: true, length: None };
        Ok(Composing { begun, framing, names_host: false })
    }

    /// Adds a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compose_field(
        &mut self,
        composing: &mut Composing,
        name: &[u8],
        value: &[u8],
        rules: &RawRules,
    ) -> Result<(), RawError> {
        // A break at an end would be trimmed away here, and ends the line in a text.
        if value.trim_ascii().len() != value.len() && memchr::memchr2(b'\r', b'\n', value).is_some() {
            return Err(RawError::LineBreak);
        }
        let framing = &mut composing.framing;
        if is_own_host(name) && !composing.names_host {
            composing.names_host = true;
            (framing.lines, framing.has_host) = (framing.lines - 1, false);
        }
        if let Some((name, value)) = read_field(name, value, rules, framing, false)? {
            self.header(&mut composing.begun, name, value);
        }
        Ok(())
    }

    /// Ends the request; a body that is given is counted, even where it is empty.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compose_end(&mut self, composing: Composing, body: Option<&[u8]>) -> Result<(), RawError> {
        let Composing { begun, framing, .. } = composing;
        let counted = framing.length.map_or(0, |_| 1) + body.map_or(0, |_| 1);
        let lines = framing.lines + body.map_or(0, |_| 1);
        if counted > 1 || framing.length.unwrap_or(0) > 0 || lines > MAX_HEADERS {
            return Err(RawError::LineBreak);
        }
        let body = body.unwrap_or_default();
        check_body(body)?;
        self.end(begun, body);
        Ok(())
    }
}

/// Returns whether a header takes the place of the `Host` line that the maker of the text writes otherwise.
pub fn is_own_host(name: &[u8]) -> bool {
    matches!(name, b"Host" | b"host")
}
