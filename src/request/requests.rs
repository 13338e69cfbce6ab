//! What a scenario sends: one request or several, each with its weight, its check and its name, and the feed they share.
//!
//! Here they are only kept; `mix` says which of them is sent next.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::check::Check;
use super::feed::Feed;
use super::generator::Draws;
use super::request_text::{Prepared, RequestText, prepare, shown};
use super::template::Filled;
use super::template_error::{RequestPart, RequestTextError, RowError, TemplateError};
use super::{Method, Placeholders, Request, Seat, SecretFault};
use crate::secret::Secret;

/// The heaviest request.
pub const MAX_WEIGHT: u32 = 10_000;

/// More kinds of requests than anybody reads about in a report.
pub const MAX_REQUESTS: usize = 100;

/// As many names as fit on a line of a report.
const SUMMARY_NAMES: usize = 3;

/// Where draws begin where nobody says: every run sends the same, so that runs can be compared.
pub const DEFAULT_SEED: u64 = 1;

/// Everything that a scenario sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Requests {
    entries: Vec<Entry>,
    feed: Option<Arc<Feed>>,
    seed: u64,
}

/// One request of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    name: String,
    weight: NonZeroU32,
    check: Check,
    pub(super) request: Prepared,
}

/// One request as a person asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The endpoint's name; the method and the path where nothing is said.
    pub name: Option<String>,
    /// How often it is sent beside the others.
    pub weight: NonZeroU32,
    /// What is sent.
    pub text: RequestText,
    /// What its answer must be like.
    pub check: Check,
}

impl Requests {
    /// Makes a scenario's requests without any yet; `seed` decides which values are drawn.
    #[must_use]
    pub fn new(feed: Option<Feed>, seed: u64) -> Self {
        Self { entries: Vec::new(), feed: feed.map(Arc::new), seed }
    }

    /// Adds one more request.
    ///
    /// # Errors
    /// What keeps it from being sent, whatever its values are.
    pub fn add(&mut self, asked: Asked) -> Result<(), RequestTextError> {
        let Asked { name, weight, text, check } = asked;
        if text.method == Method::Head && check.reads_body() {
            return Err(RequestTextError { part: RequestPart::Check, error: TemplateError::HeadBody });
        }
        let name = name.unwrap_or_else(|| format!("{} {}", text.method.as_str(), shown(&text.path)));
        let request = prepare(text, self.feed.as_deref())?;
        self.entries.push(Entry { name, weight, check, request });
        Ok(())
    }

    /// Tries every row of the feed in every request that uses it.
    ///
    /// # Errors
    /// The first row that could not be sent: better known before the load than in the middle of it.
    pub fn check_rows(&self) -> Result<(), RowError> {
        let Some(feed) = self.feed.as_deref() else {
            return Ok(());
        };
        let mut draws = Draws::new(self.seed, self.seed, Seat { worker: 0, workers: 1, lines: 1 });
        for entry in &self.entries {
            let Prepared::Template(template) = &entry.request else { continue };
            let mut filled = Filled::default();
            // Their values are not known yet, and any that a secret may have can be sent.
            let secrets = vec![Secret::new("1".to_owned()); template.secrets.len()];
            for row in 0..if template.uses_feed { feed.rows() } else { 0 } {
                template.fill(Some((feed, row)), &mut draws, &secrets, &mut filled).map_err(|refusal| {
                    RowError {
                        row,
                        column: refusal.column.map(|column| feed.columns()[column].clone()),
                        request: entry.name.clone(),
                        why: refusal.why,
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Returns the length of the largest body, templates as they are written: an estimate of what will be sent.
    #[must_use]
    pub fn largest_body_bytes(&self) -> u64 {
        let bytes = |entry: &Entry| match &entry.request {
            Prepared::Static(request) => request.body().len(),
            Prepared::Template(template) => template.text.body.as_bytes().len(),
        };
        self.entries.iter().map(bytes).max().unwrap_or(0) as u64
    }

    /// Returns whether a request takes values from the feed.
    #[must_use]
    pub fn uses_feed(&self) -> bool {
        let uses = |entry: &Entry| matches!(&entry.request, Prepared::Template(t) if t.uses_feed);
        self.entries.iter().any(uses)
    }

    /// Returns the requests in the order in which they were added.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the feed.
    #[must_use]
    pub fn feed(&self) -> Option<&Feed> {
        self.feed.as_deref()
    }

    /// Returns what decides which values are drawn.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the one request that is always sent as it is, where there is no other and no check.
    #[must_use]
    pub fn only(&self) -> Option<&Request> {
        match self.entries.as_slice() {
            [Entry { request: Prepared::Static(request), check, .. }] if check.is_empty() => Some(request),
            _ => None,
        }
    }

    /// Returns whether there is one request without a check in which nothing changes, as a script begins with.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        match self.entries.as_slice() {
            [Entry { request: Prepared::Template(template), check, .. }] => {
                check.is_empty() && template.is_constant()
            }
            _ => self.only().is_some(),
        }
    }

    /// Returns the one plain request with placeholders where its secrets stand; `None` where there is no such one.
    ///
    /// # Errors
    /// A secret may not stand where it does.
    pub fn veiled(&self, placeholders: &Placeholders) -> Result<Option<Request>, SecretFault> {
        match self.entries.as_slice() {
            [Entry { request: Prepared::Template(template), .. }] if self.is_plain() => {
                template.veiled(placeholders).map(Some)
            }
            _ => Ok(self.only().cloned()),
        }
    }

    /// Returns every secret that a request names, with the request's place in the list and the header.
    pub fn secrets(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.entries.iter().enumerate().flat_map(|(index, entry)| {
            let used = match &entry.request {
                Prepared::Static(_) => &[],
                Prepared::Template(template) => template.secrets.as_slice(),
            };
            used.iter().map(move |used| (index, used.name.as_str(), used.header.as_str()))
        })
    }

    /// Says in one line what is sent.
    ///
    /// Examples are `GET /products` and `3 requests: GET /products, POST /orders, GET /health`.
    #[must_use]
    pub fn summary(&self) -> String {
        if let [only] = self.entries.as_slice() {
            return only.line();
        }
        let names: Vec<&str> = self.entries.iter().take(SUMMARY_NAMES).map(Entry::name).collect();
        let more = match self.entries.len().saturating_sub(SUMMARY_NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{} requests: {}{more}", self.entries.len(), names.join(", "))
    }
}

impl From<Request> for Requests {
    fn from(request: Request) -> Self {
        let name = format!("{} {}", request.method().as_str(), request.path());
        let entry = Entry {
            name,
            weight: NonZeroU32::MIN,
            check: Check::default(),
            request: Prepared::Static(request),
        };
        Self { entries: vec![entry], feed: None, seed: DEFAULT_SEED }
    }
}

impl Entry {
    /// Returns the endpoint's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how often it is sent beside the others.
    #[must_use]
    pub fn weight(&self) -> NonZeroU32 {
        self.weight
    }

    /// Returns what its answer must be like.
    #[must_use]
    pub fn check(&self) -> &Check {
        &self.check
    }

    /// Returns whether something in it changes from request to request.
    #[must_use]
    pub fn is_template(&self) -> bool {
        matches!(self.request, Prepared::Template(_))
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> Method {
        match &self.request {
            Prepared::Static(request) => request.method(),
            Prepared::Template(template) => template.text.method,
        }
    }

    /// Returns the path with its query; that of a template as it is written.
    #[must_use]
    pub fn path(&self) -> &str {
        match &self.request {
            Prepared::Static(request) => request.path(),
            Prepared::Template(template) => &template.text.path,
        }
    }

    /// Returns the headers; those of a template as they are written.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        match &self.request {
            Prepared::Static(request) => request.headers(),
            Prepared::Template(template) => &template.text.headers,
        }
    }

    /// Returns the body; that of a template as it is written.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.request {
            Prepared::Static(request) => request.body(),
            Prepared::Template(template) => template.text.body.as_bytes(),
        }
    }

    fn line(&self) -> String {
        let path = if self.is_template() { shown(self.path()) } else { self.path().to_owned() };
        format!("{} {path}", self.method().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BodyText, FeedOrder};

    fn asked(path: &str) -> Asked {
        Asked {
            name: None,
            weight: NonZeroU32::MIN,
            text: RequestText {
                method: Method::Get,
                path: path.into(),
                headers: Vec::new(),
                body: BodyText::Bytes(Vec::new()),
            },
            check: Check::default(),
        }
    }

    #[test]
    fn one_line_says_what_is_sent() {
        let mut requests = Requests::new(None, DEFAULT_SEED);
        requests.add(asked("/products/{id:integer(1..5)}")).unwrap();
        assert_eq!(requests.summary(), "GET /products/{id}");

        for path in ["/a", "/b", "/c"] {
            requests.add(asked(path)).unwrap();
        }

        assert_eq!(requests.summary(), "4 requests: GET /products/{id}, GET /a, GET /b and 1 more");
        assert_eq!(Requests::from(Request::get("/x?y={z}").unwrap()).summary(), "GET /x?y={z}");
    }

    #[test]
    fn a_row_that_cannot_be_sent_is_named_before_the_load_and_its_value_is_not() {
        let mut feed = Feed::new(vec!["id".into(), "key".into()], FeedOrder::Once).unwrap();
        feed.push(Some(2), ["1", "fine"].into_iter()).unwrap();
        feed.push(Some(3), ["..", "canary\r\nX: y"].into_iter()).unwrap();
        let said = |asked: Asked| {
            let mut requests = Requests::new(Some(feed.clone()), DEFAULT_SEED);
            requests.add(asked).unwrap();
            requests.check_rows().unwrap_err().to_string()
        };
        let mut header = asked("/");
        header.text.headers.push(("x-key".into(), "{feed.key}".into()));

        assert_eq!(
            said(header),
            "row 2 of the feed cannot be sent by request `GET /`: in column `key`, it holds a line break or another control character"
        );
        assert_eq!(
            said(asked("/a/{feed.id}")),
            "row 2 of the feed cannot be sent by request `GET /a/{feed.id}`: a value of '.' or '..' would change the path"
        );
    }

    #[test]
    fn a_script_begins_with_placeholders_where_its_scenario_names_secrets() {
        let declared = crate::request::DeclaredSecret {
            name: "TOKEN".into(),
            headers: vec!["authorization".into()],
            value: Ok(Secret::new("correct-horse".into())),
        };
        let placeholders = Placeholders::new(3, vec![declared]);
        let with = |header: &str, value: &str| {
            let mut one = asked("/a");
            one.text.headers.push((header.into(), value.into()));
            let mut requests = Requests::new(None, DEFAULT_SEED);
            requests.add(one).unwrap();
            requests
        };
        let good = with("Authorization", "Bearer {secret.TOKEN}");

        let request = good.veiled(&placeholders).unwrap().unwrap();

        let expected = format!("Bearer {}", placeholders.text("TOKEN").unwrap());
        assert_eq!(request.headers(), [("Authorization".to_owned(), expected)]);
        assert!(good.is_plain() && !with("x", "{id:counter}").is_plain());
        assert!(with("x-other", "{secret.TOKEN}").veiled(&placeholders).is_err());
        assert_eq!(good.secrets().collect::<Vec<_>>(), [(0, "TOKEN", "Authorization")]);
    }

    #[test]
    fn a_check_of_a_body_that_never_comes_is_refused() {
        let mut head = asked("/");
        head.text.method = Method::Head;
        head.check.body_contains = Some("x".into());

        let error = Requests::new(None, DEFAULT_SEED).add(head).unwrap_err();

        assert_eq!((error.part, error.error), (RequestPart::Check, TemplateError::HeadBody));
    }

    #[test]
    fn only_a_plain_request_without_a_check_is_the_only_one() {
        let mut templated = Requests::new(None, DEFAULT_SEED);
        templated.add(asked("/{id:counter}")).unwrap();
        let mut checked = Requests::new(None, DEFAULT_SEED);
        let check = Check { body_contains: Some("x".into()), ..Check::default() };
        checked.add(Asked { check, ..asked("/") }).unwrap();

        assert!(Requests::from(Request::get("/").unwrap()).only().is_some());
        assert!(templated.only().is_none() && checked.only().is_none());
    }
}
