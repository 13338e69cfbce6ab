//! What can be wrong with a raw request, in words, and what to do about it.

use super::SecretFault;

/// Why a raw request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// It is empty or ends too early.
    #[error("the request is incomplete ({0})")]
    Incomplete(&'static str),
    /// The first line is not `METHOD /path HTTP/1.1`.
    #[error("the request line is not allowed ({0})")]
    RequestLine(&'static str),
    /// A header line breaks the grammar or would change where the request goes or how it is framed.
    #[error("header {0:?} is not allowed ({1})")]
    Header(String, &'static str),
    /// The body is too long, or looks like another request.
    #[error("the body is not allowed ({0})")]
    Body(&'static str),
    /// More requests than declared.
    #[error("there is more than {} in one text", in_words(*.0))]
    TooMany(usize),
    /// `wrk.format` got a part with a line break in it.
    #[error("a part of the request holds a line break or a control character")]
    LineBreak,
    /// The same where it is known in which one.
    #[error("{0} holds a line break")]
    LineBreakIn(String),
    /// A secret stands where it must not, or may not go to this target.
    #[error(transparent)]
    Secret(#[from] SecretFault),
}

/// Returns a number of requests in words.
fn in_words(requests: usize) -> String {
    if requests == 1 { "one request".to_owned() } else { format!("{requests} requests") }
}

impl RawError {
    /// Returns what to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Incomplete(_) => "return what wrk.format gives, which is always complete",
            Self::RequestLine(_) => {
                "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS and a path such as \"/a?b=c\"; wrk.urlencode \
                 and wrk.path encode the rest, and the host is derived"
            }
            Self::Header(..) => {
                "remove the header: where a request goes and how it is framed is not a script's to say"
            }
            Self::Body(_) => "send a smaller body of your own service's data",
            Self::TooMany(_) => "declare `pipeline` in [script] for requests that belong together",
            Self::LineBreak | Self::LineBreakIn(_) => {
                "make values safe with wrk.headervalue, wrk.urlencode or wrk.path"
            }
            Self::Secret(fault) => fault.help(),
        }
    }
}
