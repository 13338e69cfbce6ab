//! A template is a request with placeholders: read once, filled for every request.
//!
//! Every value is written in the grammar of its place, and what comes out passes the same checks as a plain request:
//! no value can add a header, a second request, another path segment or a member to a JSON object.

use zeroize::Zeroize;

use super::encoding::Encoding;
use super::feed::Feed;
use super::generator::{Draws, Generator};
use super::request_text::{BodyText, RequestText};
use super::source::Seat;
use super::template_error::{Refusal, RequestPart, RequestTextError, TemplateError};
use super::{Placeholders, Request, SecretFault, Wire, path_fault, value_fault};
use crate::secret::Secret;

/// A request with places for values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    /// The request as it is written.
    pub(super) text: RequestText,
    pub(super) path: Text,
    /// The values of the headers, whose names stand in the text.
    pub(super) headers: Vec<HeaderText>,
    pub(super) body: Text,
    /// What makes the values that do not come from the feed.
    pub(super) generators: Vec<Generator>,
    pub(super) uses_feed: bool,
    /// The secrets that stand in its headers.
    pub(super) secrets: Vec<SecretUse>,
}

/// A secret in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretUse {
    pub(super) name: String,
    pub(super) header: String,
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeaderText {
    pub(super) value: Text,
    pub(super) is_cookie: bool,
}

/// Literals and places for values.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Text(pub(super) Vec<Fragment>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fragment {
    Literal(String),
    Value { source: Source, encoding: Encoding },
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Generator(usize),
    Column(usize),
    Secret(usize),
}

/// The memory in which one template is filled; its text is that of the last request.
#[derive(Default)]
pub(super) struct Filled {
    path: String,
    headers: Vec<String>,
    body: String,
    made: Vec<String>,
    /// How many requests were filled.
    count: u64,
}

impl Text {
    /// Writes the text; `value` looks values up.
    fn write<'v>(&self, out: &mut String, value: impl Fn(Source) -> Option<&'v str>) -> Result<(), Refusal> {
        out.clear();
        for fragment in &self.0 {
            match fragment {
                Fragment::Literal(text) => out.push_str(text),
                Fragment::Value { source, encoding } => {
                    let column = match source {
                        Source::Column(column) => Some(*column),
                        Source::Generator(_) | Source::Secret(_) => None,
                    };
                    let refuse = |why| Refusal { column, why };
                    let text = value(*source).ok_or_else(|| refuse("there is no row to take it from"))?;
                    encoding.write(text, out).map_err(refuse)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the text with a value that passes everywhere: a digit.
    fn sample(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, |_| Some("1")).expect("a digit can stand in every place");
        out
    }
}

impl Text {
    fn holds_secret(&self) -> bool {
        self.0.iter().any(|fragment| matches!(fragment, Fragment::Value { source: Source::Secret(_), .. }))
    }
}

impl Template {
    /// Returns whether every request of it is the same: nothing but secrets stands in its places.
    pub(super) fn is_constant(&self) -> bool {
        self.generators.is_empty() && !self.uses_feed
    }

    /// Returns the values of its secrets, in the order of their places.
    pub(super) fn unsealed(&self, placeholders: &Placeholders) -> Result<Vec<Secret>, SecretFault> {
        self.secrets.iter().map(|used| placeholders.value(&used.name, &used.header).cloned()).collect()
    }

    /// Returns the request of a constant template with placeholders for its secrets.
    pub(super) fn veiled(&self, placeholders: &Placeholders) -> Result<Request, SecretFault> {
        let mut texts = Vec::with_capacity(self.secrets.len());
        for used in &self.secrets {
            placeholders.value(&used.name, &used.header)?;
            texts.extend(placeholders.text(&used.name).map(Secret::new));
        }
        let mut filled = Filled::default();
        let mut draws = Draws::new(0, 0, Seat { worker: 0, workers: 1, lines: 1 });
        self.fill(None, &mut draws, &texts, &mut filled).map_err(|_| SecretFault::Broken)?;
        let names = self.text.headers.iter().map(|(name, _)| name.clone());
        let headers = names.zip(std::mem::take(&mut filled.headers)).collect();
        let body = match &self.text.body {
            BodyText::Text(_) => std::mem::take(&mut filled.body).into_bytes(),
            BodyText::Bytes(bytes) => bytes.clone(),
        };
        let path = std::mem::take(&mut filled.path);
        Request::new(self.text.method, path, headers, body).map_err(|_| SecretFault::Broken)
    }

    /// Checks what stands around the placeholders.
    pub(super) fn check_sample(&self) -> Result<(), RequestTextError> {
        let names = self.text.headers.iter().map(|(name, _)| name.clone());
        let headers = names.zip(self.headers.iter().map(|header| header.value.sample())).collect();
        Request::new(self.text.method, self.path.sample(), headers, Vec::new())
            .map_err(RequestTextError::from)?;
        let is_json = self.body.0.iter().any(|fragment| {
            matches!(fragment, Fragment::Value { encoding: Encoding::JsonString | Encoding::JsonNumber, .. })
        });
        if is_json && serde_json::from_str::<serde::de::IgnoredAny>(&self.body.sample()).is_err() {
            return Err(RequestTextError { part: RequestPart::Body, error: TemplateError::NotJson });
        }
        Ok(())
    }

    /// Fills the template with new values and the feed's row; the memory of the last request is used again.
    pub(super) fn fill(
        &self,
        row: Option<(&Feed, usize)>,
        draws: &mut Draws,
        secrets: &[Secret],
        filled: &mut Filled,
    ) -> Result<(), Refusal> {
        filled.headers.resize_with(self.headers.len(), String::new);
        filled.made.resize_with(self.generators.len(), String::new);
        for (generator, made) in self.generators.iter().zip(&mut filled.made) {
            made.clear();
            generator.write(draws, filled.count, made);
        }
        filled.count += 1;
        let Filled { path, headers, body, made, .. } = filled;
        let value = |source| match source {
            Source::Generator(index) => Some(made[index].as_str()),
            Source::Column(column) => row.map(|(feed, row)| feed.value(row, column)),
            Source::Secret(index) => secrets.get(index).map(Secret::expose),
        };
        self.path.write(path, value)?;
        let refuse = |why| Err(Refusal { column: None, why });
        if let Some(why) = path_fault(path) {
            return refuse(why);
        }
        if has_dot_segment(path) {
            return refuse("a value of '.' or '..' would change the path");
        }
        for (header, out) in self.headers.iter().zip(headers) {
            header.value.write(out, value)?;
            if let Some(why) = value_fault(out, header.is_cookie) {
                return refuse(why);
            }
        }
        self.body.write(body, value)
    }

    /// Writes the filled request behind what a wire holds.
    pub(super) fn write(&self, filled: &Filled, wire: &mut Wire, authority: &str) {
        let mut begun = wire.begin(self.text.method, filled.path.as_bytes(), authority.as_bytes());
        for (((name, _), header), value) in self.text.headers.iter().zip(&self.headers).zip(&filled.headers) {
            if header.value.holds_secret() {
                wire.secret_header(&mut begun, name.as_bytes(), value.as_bytes());
            } else {
                wire.header(&mut begun, name.as_bytes(), value.as_bytes());
            }
        }
        wire.end(
            begun,
            match &self.text.body {
                BodyText::Text(_) => filled.body.as_bytes(),
                BodyText::Bytes(bytes) => bytes,
            },
        );
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        // Any of them may hold a secret's value.
        self.headers.zeroize();
    }
}

/// Servers resolve `.` and `..` before they look a path up.
fn has_dot_segment(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    path.split('/').any(|segment| segment == "." || segment == "..")
}
