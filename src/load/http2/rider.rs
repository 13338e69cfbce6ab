//! A rider is one line's part in a connection that several lines share: its requests and the streams they are on.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::Taken;
use super::failure::{failure_of, was_never_looked_at};
use super::place::Place;
use super::prepared::{Preparation, Prepared};
use crate::load::codec::Answer;
use crate::load::connection::{Exchange, Failure};
use crate::load::deadline::Deadline;
use crate::load::moved::Moved;
use crate::load::witness::{Aside, Witness};
use crate::measurement::OutcomeClass;

/// One line's part in a connection.
pub(crate) struct Rider {
    place: Rc<Place>,
    preparation: Preparation,
    /// The stream for the next request, once it is sure.
    taken: Option<Taken>,
    streams: VecDeque<Stream>,
    /// Whether the last request was answered; a line whose requests fail one after the other backs off.
    has_answered: bool,
}

/// Why a stream gave no answer.
enum Lost {
    /// The server never looked at the request, so it may be sent again.
    NeverLookedAt,
    Failed(Failure),
}

impl Rider {
    /// Makes the rider of a line.
    pub(crate) fn new(place: Rc<Place>) -> Self {
        Self {
            place,
            preparation: Preparation::default(),
            taken: None,
            streams: VecDeque::new(),
            has_answered: false,
        }
    }

    /// Returns whether there is a connection.
    pub(crate) fn is_open(&self) -> bool {
        self.place.is_open()
    }

    /// Returns whether a request can leave at once; the stream for it is then this line's.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.taken = self.place.take_stream();
        self.taken.is_some()
    }

    /// Waits until a request can leave: for a connection, and for a stream that the server allows.
    pub(crate) async fn get_ready(&mut self, deadline: &mut Deadline) -> Result<(), OutcomeClass> {
        self.taken = Some(self.take_stream(deadline).await?);
        Ok(())
    }

    /// Lets others have the stream that was to be for the next request.
    pub(crate) fn stand_back(&mut self) {
        self.taken = None;
        self.streams.clear();
    }

    /// Returns whether the last request was answered.
    pub(crate) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Returns the bytes that the connection has carried since this was asked last, by whichever line.
    pub(crate) fn take_traffic(&self) -> Moved {
        self.place.take_traffic()
    }

    /// Sends what a wire form holds, each request on a stream of its own, and awaits the first answer; after that,
    /// `index` of them having come, awaits the next one.
    pub(crate) async fn exchange(&mut self, exchange: Exchange<'_>, index: usize) -> Result<Answer, Failure> {
        let Exchange { wire, interest, witness, deadline } = exchange;
        if index == 0 {
            self.streams.clear();
            if !self.preparation.prepare(wire, self.place.scheme()) {
                return Err(Failure::Write);
            }
        }
        self.send_from(index);
        let mut was_resent = false;
        loop {
            let mut stream = match self.streams.pop_front() {
                Some(stream) => stream,
                None => self.send_when_possible(index, deadline).await?,
            };
            witness.begin(interest);
            match stream.answer(witness, deadline).await {
                Ok(status) => {
                    self.has_answered = true;
                    return Ok(Answer { status, keeps_alive: true, leftover: 0 });
                }
                Err(Lost::NeverLookedAt) if !was_resent => {
                    was_resent = true;
                    self.streams.clear();
                }
                Err(lost) => {
                    let failure = lost.into();
                    self.give_up(&stream, failure);
                    return Err(failure);
                }
            }
        }
    }

    /// Sends request `index` and as many behind it as can leave now.
    fn send_from(&mut self, index: usize) {
        for prepared in &self.preparation.requests()[index + self.streams.len()..] {
            let Some(taken) = self.taken.take().or_else(|| self.place.take_stream()) else { return };
            let Ok(stream) = Stream::open(taken, prepared) else { return };
            self.streams.push_back(stream);
        }
    }

    async fn send_when_possible(&self, index: usize, deadline: &mut Deadline) -> Result<Stream, Failure> {
        let taken = self.take_stream(deadline).await.map_err(|class| match class {
            OutcomeClass::Timeout => Failure::Timeout,
            OutcomeClass::Protocol => Failure::Protocol,
            _ => Failure::Read,
        })?;
        Stream::open(taken, &self.preparation.requests()[index]).map_err(|error| failure_of(&error))
    }

    async fn take_stream(&self, deadline: &mut Deadline) -> Result<Taken, OutcomeClass> {
        let mut waiting = pin!(self.place.wait_for_stream());
        poll_fn(|cx| match waiting.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => deadline.poll(cx).map(|()| Err(OutcomeClass::Timeout)),
        })
        .await
    }

    fn give_up(&mut self, stream: &Stream, failure: Failure) {
        self.streams.clear();
        if failure != Failure::Timeout {
            self.has_answered = false;
        } else if stream.taken.0.answers.get() == stream.answers_before {
            // Nothing came for anybody: the next request must not wait for a connection that may be dead.
            self.place.retire(&stream.taken.0);
        }
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NeverLookedAt => Self::Read,
            Lost::Failed(failure) => failure,
        }
    }
}

impl From<h2::Error> for Lost {
    fn from(error: h2::Error) -> Self {
        if was_never_looked_at(&error) { Self::NeverLookedAt } else { Self::Failed(failure_of(&error)) }
    }
}

/// One request on its way. Dropping it before its answer is complete tells the server to stop.
struct Stream {
    part: Part,
    status: u16,
    /// Keeps the sending half alive: dropping it would reset a stream whose body is still being sent.
    _sending: Option<SendStream<Bytes>>,
    taken: Taken,
    /// The answers that the connection had carried when the request was sent.
    answers_before: u64,
}

enum Part {
    Head(ResponseFuture),
    Body(RecvStream),
}

impl Stream {
    fn open(taken: Taken, prepared: &Prepared) -> Result<Self, h2::Error> {
        let (response, sending) = taken.0.send(prepared)?;
        Ok(Self {
            part: Part::Head(response),
            status: 0,
            _sending: sending,
            answers_before: taken.0.answers.get(),
            taken,
        })
    }

    async fn answer(&mut self, witness: &mut Witness, deadline: &mut Deadline) -> Result<u16, Lost> {
        let result = poll_fn(|cx| match self.poll_answer(cx, witness) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => deadline.poll(cx).map(|()| Err(Lost::Failed(Failure::Timeout))),
        });
        let status = result.await?;
        let answers = &self.taken.0.answers;
        answers.set(answers.get() + 1);
        Ok(status)
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, witness: &mut Witness) -> Poll<Result<u16, Lost>> {
        loop {
            match &mut self.part {
                Part::Head(response) => {
                    if witness.keeps_asides() {
                        poll_interim(response, cx, witness)?;
                    }
                    let (head, body) = ready!(Pin::new(response).poll(cx))?.into_parts();
                    self.status = head.status.as_u16();
                    let fields = head.headers.iter();
                    witness.head(
                        self.status,
                        fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
                    );
                    let is_over = body.is_end_stream();
                    self.part = Part::Body(body);
                    if is_over {
                        return Poll::Ready(Ok(self.status));
                    }
                }
                Part::Body(body) => {
                    let Some(piece) = ready!(body.poll_data(cx)) else {
                        // Behind the last piece there is nothing but trailers, which have come by then.
                        if witness.keeps_asides()
                            && let Poll::Ready(Ok(Some(trailers))) = body.poll_trailers(cx)
                        {
                            tell(&trailers, Aside::Trailer, witness);
                        }
                        return Poll::Ready(Ok(self.status));
                    };
                    let piece = piece?;
                    witness.body(&piece).map_err(|_| Lost::Failed(Failure::Protocol))?;
                    if body.is_end_stream() {
                        return Poll::Ready(Ok(self.status));
                    }
                    body.flow_control().release_capacity(piece.len())?;
                }
            }
        }
    }
}

/// Tells the witness of the interim answers that have come.
fn poll_interim(
    response: &mut ResponseFuture,
    cx: &mut Context<'_>,
    witness: &mut Witness,
) -> Result<(), h2::Error> {
    while let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
        tell(interim?.headers(), Aside::Interim, witness);
    }
    Ok(())
}

/// Tells the witness of fields that mean nothing to a run.
fn tell(fields: &HeaderMap, aside: Aside, witness: &mut Witness) {
    for (name, value) in fields {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"] {
            witness.aside(aside, piece);
        }
    }
}
