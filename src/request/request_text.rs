//! A request as a person writes it, with placeholders, and how it is read: into a plain request where nothing in it
//! changes, else into a template whose every placeholder knows where its value comes from and how it is written.

use super::encoding::Encoding;
use super::feed::Feed;
use super::generator::Generator;
use super::piece::{Piece, split};
use super::template::{Fragment, HeaderText, SecretUse, Source, Template, Text};
use super::template_error::{RequestPart, RequestTextError, TemplateError};
use super::{Method, Request, canonical_name, is_cookie};

/// A request as a person writes it: path, header values and a text body may hold placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestText {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// The headers in the order in which they are sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: BodyText,
}

/// A body as a person gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyText {
    /// A text that may hold placeholders.
    Text(String),
    /// Bytes that are sent as they are.
    Bytes(Vec<u8>),
}

impl BodyText {
    /// Returns the body as it is written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// What a text turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Prepared {
    /// Nothing in it changes.
    Static(Request),
    /// It is filled for every request.
    Template(Template),
}

/// Reads a request; `feed` is what its placeholders may take values from.
pub(super) fn prepare(text: RequestText, feed: Option<&Feed>) -> Result<Prepared, RequestTextError> {
    let at = |part: &RequestPart| {
        let part = part.clone();
        move |error| RequestTextError { part, error }
    };
    let path = split(&text.path).map_err(at(&RequestPart::Path))?;
    let mut headers = Vec::with_capacity(text.headers.len());
    for (name, value) in &text.headers {
        headers.push(split(value).map_err(at(&RequestPart::Header(name.clone())))?);
    }
    let body = match &text.body {
        BodyText::Text(body) => split(body).map_err(at(&RequestPart::Body))?,
        BodyText::Bytes(_) => Vec::new(),
    };
    if [&path, &body].into_iter().chain(&headers).all(|pieces| is_literal(pieces)) {
        let names = text.headers.into_iter().map(|(name, _)| name);
        let headers = names.zip(headers.iter().map(|pieces| joined(pieces))).collect();
        let body = match text.body {
            BodyText::Text(_) => joined(&body).into_bytes(),
            BodyText::Bytes(bytes) => bytes,
        };
        let request =
            Request::new(text.method, joined(&path), headers, body).map_err(RequestTextError::from)?;
        return Ok(Prepared::Static(request));
    }
    let mut names =
        Names { made: Vec::new(), generators: Vec::new(), feed, uses_feed: false, secrets: Vec::new() };
    for (pieces, part) in parts(&text, &path, &headers, &body) {
        names.learn(pieces).map_err(at(&part))?;
    }
    let mut texts = Vec::with_capacity(headers.len() + 2);
    for (pieces, part) in parts(&text, &path, &headers, &body) {
        let encodings = encodings(pieces, &part, &text).map_err(at(&part))?;
        texts.push(names.text(pieces, encodings, &part).map_err(at(&part))?);
    }
    let body = texts.pop().unwrap_or_default();
    let mut texts = texts.into_iter();
    let path = texts.next().unwrap_or_default();
    let headers = text.headers.iter().zip(texts);
    let headers =
        headers.map(|((name, _), value)| HeaderText { value, is_cookie: is_cookie(name) }).collect();
    let Names { generators, uses_feed, secrets, .. } = names;
    let template = Template { text, path, headers, body, generators, uses_feed, secrets };
    template.check_sample()?;
    Ok(Prepared::Template(template))
}

/// Lists every part with its pieces: the path, the headers, the body.
fn parts<'p>(
    text: &'p RequestText,
    path: &'p [Piece],
    headers: &'p [Vec<Piece>],
    body: &'p [Piece],
) -> impl Iterator<Item = (&'p [Piece], RequestPart)> {
    let names = text.headers.iter().map(|(name, _)| RequestPart::Header(name.clone()));
    std::iter::once((path, RequestPart::Path))
        .chain(headers.iter().map(Vec::as_slice).zip(names))
        .chain(std::iter::once((body, RequestPart::Body)))
}

fn is_literal(pieces: &[Piece]) -> bool {
    pieces.iter().all(|piece| matches!(piece, Piece::Literal(_)))
}

fn joined(pieces: &[Piece]) -> String {
    pieces.iter().map(Piece::shown).collect()
}

/// Returns a text as it is shown to people: `/products/{id}` without what makes the value.
pub(super) fn shown(text: &str) -> String {
    split(text).map_or_else(|_| text.to_owned(), |pieces| joined(&pieces))
}

/// The names that placeholders may say.
struct Names<'f> {
    made: Vec<String>,
    generators: Vec<Generator>,
    feed: Option<&'f Feed>,
    uses_feed: bool,
    secrets: Vec<SecretUse>,
}

impl Names<'_> {
    fn learn(&mut self, pieces: &[Piece]) -> Result<(), TemplateError> {
        for piece in pieces {
            if let Piece::Made { name, generator } = piece {
                if self.made.contains(name) {
                    return Err(TemplateError::MadeTwice(name.clone()));
                }
                self.made.push(name.clone());
                self.generators.push(generator.clone());
            }
        }
        Ok(())
    }

    /// Joins pieces and the encodings of their values.
    fn text(
        &mut self,
        pieces: &[Piece],
        encodings: Vec<Encoding>,
        part: &RequestPart,
    ) -> Result<Text, TemplateError> {
        let mut fragments = Vec::with_capacity(pieces.len());
        let mut encodings = encodings.into_iter();
        for piece in pieces {
            let (source, is_number) = match piece {
                Piece::Literal(text) => {
                    fragments.push(Fragment::Literal(text.clone()));
                    continue;
                }
                Piece::Made { name, .. } | Piece::Repeated(name) => {
                    let index = self.made.iter().position(|made| made == name);
                    let index = index.ok_or_else(|| TemplateError::NotMade(name.clone()))?;
                    (Source::Generator(index), self.generators[index].is_number())
                }
                Piece::Column { name, is_number } => (Source::Column(self.column(name)?), *is_number),
                Piece::Secret(name) => (Source::Secret(self.secret(name, part)?), false),
            };
            let encoding = encodings.next().expect("every placeholder has its encoding");
            if encoding == Encoding::JsonNumber && !is_number {
                return Err(TemplateError::NotANumber);
            }
            fragments.push(Fragment::Value { source, encoding });
        }
        Ok(Text(fragments))
    }

    fn secret(&mut self, name: &str, part: &RequestPart) -> Result<usize, TemplateError> {
        let RequestPart::Header(header) = part else { return Err(TemplateError::SecretPlace) };
        self.secrets.push(SecretUse { name: name.to_owned(), header: header.clone() });
        Ok(self.secrets.len() - 1)
    }

    fn column(&mut self, name: &str) -> Result<usize, TemplateError> {
        self.uses_feed = true;
        let feed = self.feed.ok_or_else(|| TemplateError::NoFeed(name.to_owned()))?;
        let index = feed.columns().iter().position(|column| column == name);
        index.ok_or_else(|| TemplateError::NoColumn(name.to_owned()))
    }
}

/// Finds the encoding of each placeholder of a part.
fn encodings(
    pieces: &[Piece],
    part: &RequestPart,
    text: &RequestText,
) -> Result<Vec<Encoding>, TemplateError> {
    if is_literal(pieces) {
        return Ok(Vec::new());
    }
    let holds_secret = pieces.iter().any(|piece| matches!(piece, Piece::Secret(_)));
    if holds_secret && !matches!(part, RequestPart::Header(_)) {
        return Err(TemplateError::SecretPlace);
    }
    let encoding = match part {
        RequestPart::Path => Encoding::Percent,
        RequestPart::Header(name) if is_cookie(name) => Encoding::Cookie,
        RequestPart::Header(_) | RequestPart::Check => Encoding::Header,
        RequestPart::Body => match body_encoding(text)? {
            Encoding::JsonString => return json_encodings(pieces),
            other => other,
        },
    };
    if encoding == Encoding::Percent {
        check_percent_signs(pieces)?;
    }
    let places = pieces.iter().filter(|piece| !matches!(piece, Piece::Literal(_)));
    // A secret may be a whole list of cookies: it was chosen by whoever made the policy.
    let of = |piece: &Piece| if matches!(piece, Piece::Secret(_)) { Encoding::Header } else { encoding };
    Ok(places.map(of).collect())
}

/// A literal must not leave an escape open for a value to finish.
fn check_percent_signs(pieces: &[Piece]) -> Result<(), TemplateError> {
    for piece in &pieces[..pieces.len() - 1] {
        if let Piece::Literal(text) = piece {
            let is_open = text.bytes().rev().take(2).any(|byte| byte == b'%');
            if is_open {
                return Err(TemplateError::SplitEscape("%"));
            }
        }
    }
    Ok(())
}

fn body_encoding(text: &RequestText) -> Result<Encoding, TemplateError> {
    let mut types = text.headers.iter().filter(|(name, _)| canonical_name(name) == "content-type");
    let (_, value) = types.next().ok_or(TemplateError::NoContentType)?;
    if types.next().is_some() || split(value).is_ok_and(|pieces| !is_literal(&pieces)) {
        return Err(TemplateError::NoContentType);
    }
    let essence = value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase();
    let is = |kind: &str| essence.ends_with(&format!("/{kind}")) || essence.ends_with(&format!("+{kind}"));
    if is("json") {
        Ok(Encoding::JsonString)
    } else if essence == "application/x-www-form-urlencoded" {
        Ok(Encoding::Percent)
    } else if is("xml") || is("html") {
        Ok(Encoding::Markup)
    } else if essence.starts_with("text/") {
        Ok(Encoding::Plain)
    } else {
        Err(TemplateError::ContentType(essence.chars().take(60).collect()))
    }
}

/// Walks through the literals as a JSON reader would: inside a string values are escaped, outside they are numbers.
fn json_encodings(pieces: &[Piece]) -> Result<Vec<Encoding>, TemplateError> {
    let (mut is_in_string, mut is_escaped) = (false, false);
    let mut encodings = Vec::new();
    for piece in pieces {
        let Piece::Literal(text) = piece else {
            if is_escaped {
                return Err(TemplateError::SplitEscape("\\"));
            }
            encodings.push(if is_in_string { Encoding::JsonString } else { Encoding::JsonNumber });
            continue;
        };
        for byte in text.bytes() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_in_string => is_escaped = true,
                b'"' => is_in_string = !is_in_string,
                _ => {}
            }
        }
    }
    Ok(encodings)
}
