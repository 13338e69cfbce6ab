//! A request source is *what* is sent: it gives each line its next request and may look at the answer.
//!
//! Every worker has its own, made on the worker's thread, so a source needs no lock and may hold things that cannot
//! move between threads. `load` knows nothing else of where requests come from.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Wire;

/// Makes the source of each worker.
pub trait RequestSources: Send + Sync {
    /// Makes the source of one worker; called on the worker's own thread before the load begins.
    ///
    /// # Errors
    /// What makes the run impossible, in words for a person.
    fn for_worker(&self, seat: Seat) -> Result<Box<dyn RequestSource>, SourceFailure>;
}

/// Which worker a source is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The worker's number, from 0.
    pub worker: u32,
    /// How many workers there are.
    pub workers: u32,
    /// How many lines (connections, or streams of HTTP/2) the worker has.
    pub lines: usize,
}

/// Gives the lines of one worker their requests.
pub trait RequestSource {
    /// Says what a line sends next, and puts it into `wire`.
    ///
    /// A source whose request never changes puts a shared `Rc` there; one that builds its requests uses
    /// [`Rc::make_mut`] on what it finds, which keeps the memory of the line's last request.
    ///
    /// Returns `None` where this worker has nothing more to send, such as at the end of its data; it then stops.
    ///
    /// # Errors
    /// The run ends with it.
    fn next(&mut self, line: usize, wire: &mut Rc<Wire>) -> Result<Option<Chosen>, SourceFailure>;

    /// Looks at an answer that [`Chosen::interest`] asked for; called once for each answer.
    ///
    /// # Errors
    /// The run ends with it.
    fn answered(&mut self, _chosen: Chosen, _answer: &Answered<'_>) -> Result<Judgement, SourceFailure> {
        Ok(Judgement::default())
    }

    /// Returns whether [`RequestSource::pause`] may ever ask for one; it is not asked where not.
    fn may_pause(&self) -> bool {
        false
    }

    /// Returns how long a line waits before its next request, which is part of no latency; asked before each
    /// [`RequestSource::next`] in the closed loop.
    ///
    /// # Errors
    /// The run ends with it.
    fn pause(&mut self, _line: usize) -> Result<Duration, SourceFailure> {
        Ok(Duration::ZERO)
    }

    /// Returns whether [`RequestSource::next`] takes no time worth measuring; a source that builds requests says no,
    /// and its time is kept out of the service time.
    fn is_instant(&self) -> bool {
        false
    }

    /// Returns the endpoints' names in the order of [`Endpoint`]; asked when the run has ended. A source without
    /// endpoints of its own returns none, and nothing is counted for each.
    fn endpoints(&self) -> Vec<String>;

    /// Returns whether answers are to be counted for each endpoint; asked once, before the load.
    fn has_endpoints(&self) -> bool {
        !self.endpoints().is_empty()
    }

    /// Returns which of the target's pinned addresses this worker's connections go to; `None` leaves the choice to
    /// `load`, which never dials any other.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// Takes note that a run has ended, before [`RequestSource::endpoints`] is asked.
    fn finish(&mut self) {}
}

/// An endpoint's number: what requests of one kind are counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Endpoint(pub u16);

/// What a source chose for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chosen {
    /// What it is counted under.
    pub endpoint: Endpoint,
    /// What the source wants to see of the answers.
    pub interest: Interest,
    /// A number that the source gets back with the answer; `load` does not look at it.
    pub token: u32,
}

/// What a source wants to see of an answer. Each step costs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Interest {
    /// Nothing: the source is not called.
    #[default]
    Nothing,
    /// The status.
    Status,
    /// Status and headers.
    Head,
    /// Status, headers and the body up to [`MAX_SEEN_BODY_BYTES`].
    Body,
}

/// The most of a body that is kept for a source to look at; longer ones are counted whole but seen in part.
pub const MAX_SEEN_BODY_BYTES: usize = 1024 * 1024;

/// One answer as a source sees it.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The line that it came on.
    pub line: usize,
    /// The final status, 200 to 599.
    pub status: u16,
    /// The headers; empty unless asked for.
    pub headers: &'a Headers,
    /// The body; empty unless asked for.
    pub body: &'a [u8],
    /// Whether `body` lacks the end of a body that was too long.
    pub is_body_cut: bool,
}

/// What a source thinks of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Judgement {
    /// Whether a declared check failed: the answer then counts as an error of its own class.
    pub is_failed: bool,
    /// Whether a declared check expects this status: the answer then counts as good, whatever its class.
    pub is_expected: bool,
    /// Another endpoint to count it under.
    pub endpoint: Option<Endpoint>,
    /// Whether this worker is to send no more.
    pub stops_worker: bool,
}

/// The headers of one answer, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    text: Vec<u8>,
    /// Where each name and value ends in the text.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Adds one header.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.text.extend_from_slice(name);
        let name_end = self.text.len();
        self.text.extend_from_slice(value);
        self.ends.push((name_end, self.text.len()));
    }

    /// Becomes the same as another, in the memory that is there.
    pub fn copy_from(&mut self, other: &Self) {
        self.text.clone_from(&other.text);
        self.ends.clone_from(&other.ends);
    }

    /// Returns every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let field = (&self.text[start..name_end], &self.text[name_end..value_end]);
            start = value_end;
            field
        })
    }

    /// Returns name and value of a header, of several the last; names are compared without case.
    #[must_use]
    pub fn last(&self, name: &[u8]) -> Option<(&[u8], &[u8])> {
        let (mut start, mut found) = (0, None);
        for &(name_end, value_end) in &self.ends {
            let its_name = &self.text[start..name_end];
            // Its length tells most names apart, and the same letters are compared sixteen at a time.
            if its_name == name || its_name.len() == name.len() && its_name.eq_ignore_ascii_case(name) {
                found = Some((its_name, &self.text[name_end..value_end]));
            }
            start = value_end;
        }
        found
    }

    /// Returns the first value of a header; names are compared without case.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

/// Why a source cannot go on, in words for a person, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SourceFailure {
    /// What is wrong, with file and line where there are some.
    pub what: String,
    /// How to mend it.
    pub help: String,
}

impl SourceFailure {
    /// Returns both in one line.
    #[must_use]
    pub fn with_help(&self) -> String {
        format!("{} ({})", self.what, self.help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_without_case_and_the_first_one_counts() {
        let mut headers = Headers::default();
        headers.push(b"Retry-After", b"5");
        headers.push(b"X", b"");
        headers.push(b"retry-after", b"9");

        assert_eq!(headers.first("RETRY-after"), Some(&b"5"[..]));
        assert_eq!(headers.first("x"), Some(&b""[..]));
        assert_eq!(headers.last(b"RETRY-after"), Some((&b"retry-after"[..], &b"9"[..])));
        assert_eq!((headers.last(b"X").unwrap().1, headers.last(b"retry")), (&b""[..], None));
        assert_eq!(headers.iter().count(), 3);
        headers.clear();
        assert_eq!(headers.first("x"), None);
    }
}
