//! What can be wrong with a request that is written with placeholders, each with its remedy. No value is ever shown.

use super::RequestError;

/// The part of a request that an error speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestPart {
    /// The path with its query.
    Path,
    /// The header of this name.
    Header(String),
    /// The body.
    Body,
    /// The check.
    Check,
}

/// A request that cannot be sent as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct RequestTextError {
    /// Where the error is.
    pub part: RequestPart,
    /// What it is.
    pub error: TemplateError,
}

impl From<RequestError> for RequestTextError {
    fn from(error: RequestError) -> Self {
        let part = match &error {
            RequestError::Header(name, _) => RequestPart::Header(name.clone()),
            RequestError::Method(_) | RequestError::Path(..) => RequestPart::Path,
        };
        Self { part, error: error.into() }
    }
}

/// What is wrong with a text that may hold placeholders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A placeholder without end.
    #[error("placeholder {0:?} has no '}}'")]
    Unclosed(String),
    /// Braces around something that is no placeholder.
    #[error("{0:?} is no placeholder")]
    Malformed(String),
    /// A secret that is spelt like a value.
    #[error("a secret is not written with a colon")]
    SecretSpelling(String),
    /// A secret where none may stand.
    #[error("a secret may stand in a header's value only")]
    SecretPlace,
    /// A type that does not exist or lacks what it needs.
    #[error("{0:?} makes no value")]
    Generator(String),
    /// Two placeholders of one request make a value of one name.
    #[error("the value `{0}` is made twice")]
    MadeTwice(String),
    /// A placeholder repeats a value that the request does not make.
    #[error("no placeholder of this request makes the value `{0}`")]
    NotMade(String),
    /// A value of a feed where there is no feed.
    #[error("`feed.{0}` needs a feed, and the scenario has none")]
    NoFeed(String),
    /// A column that the feed does not have, and the one that may be meant.
    #[error("the feed has no column `{0}`")]
    NoColumn(String),
    /// A placeholder that completes an escape of the text before it.
    #[error("a placeholder follows an unfinished `{0}`")]
    SplitEscape(&'static str),
    /// A body with placeholders whose grammar nobody knows.
    #[error("a body with placeholders needs a `content-type` that says how values are written in it")]
    NoContentType,
    /// A body with placeholders of a content type that values cannot be written in.
    #[error("values cannot be written in a body of content type {0:?}")]
    ContentType(String),
    /// A text where JSON wants a value.
    #[error("a placeholder outside of a JSON string must be a number")]
    NotANumber,
    /// A body that is not JSON whatever its placeholders hold.
    #[error("the body is no JSON, whatever its placeholders hold")]
    NotJson,
    /// A check of a body that never comes.
    #[error("the answer to HEAD has no body to check")]
    HeadBody,
    /// The text around the placeholders cannot be sent.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl TemplateError {
    /// Returns the remedy, in one line.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::SecretSpelling(_) => "write {secret.NAME} with the name of a [[secret]]",
            Self::SecretPlace => {
                "paths and bodies land in logs: send it in a header that `headers` of its [[secret]] names"
            }
            Self::Unclosed(_) | Self::Malformed(_) => {
                "write {name:integer(1..1000)}, {name} or {feed.column}; write {{ for a brace that is meant as text"
            }
            Self::Generator(_) => {
                "use integer(1..1000), counter, uuid, text(8) with 1 to 256 characters, or choice(one, two)"
            }
            Self::MadeTwice(_) => "give each its own name, or write {name} to repeat the value",
            Self::NotMade(_) => "make it once, such as {id:integer(1..1000)}, then repeat it as {id}",
            Self::NoFeed(_) => "add feed = { file = \"load/users.csv\" } to the scenario",
            Self::NoColumn(_) => "name a column as the first row of the feed does",
            Self::SplitEscape(_) => "finish the escape, or put the whole value into the placeholder",
            Self::NoContentType | Self::ContentType(_) => {
                "send a fixed content-type of JSON, application/x-www-form-urlencoded, XML, HTML or text/…"
            }
            Self::NotANumber => {
                "put it in quotes, or make it an integer(…), a counter or {feed.column:number}"
            }
            Self::NotJson => "mend the JSON around the placeholders",
            Self::HeadBody => "check status and headers, or use GET",
            Self::Request(RequestError::Method(_)) => "choose another method",
            Self::Request(RequestError::Path(..)) => {
                "write a path such as \"/products?page=2\"; the host is derived"
            }
            Self::Request(RequestError::Header(..)) => "remove the header, or send one of your own service's",
        }
    }
}

/// A value that cannot be sent where a request wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The column of the feed that it is from, where one value alone is to blame.
    pub(super) column: Option<usize>,
    /// Why it cannot be sent.
    pub(super) why: &'static str,
}

/// A row of the feed with which a request cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {} of the feed cannot be sent by request `{request}`: {}{why}", row + 1, in_column(column.as_deref()))]
pub struct RowError {
    /// The row, from 0.
    pub row: usize,
    /// The column, where one value alone is to blame.
    pub column: Option<String>,
    /// The name of the request.
    pub request: String,
    /// Why it cannot be sent.
    pub why: &'static str,
}

impl RowError {
    /// The remedy, in one line.
    pub const HELP: &'static str = "mend or remove the row, or use its value in another place of the request";
}

fn in_column(column: Option<&str>) -> String {
    column.map_or_else(String::new, |column| format!("in column `{}`, ", column.escape_debug()))
}
