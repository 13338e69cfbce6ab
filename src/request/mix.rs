//! A mix gives a scenario's requests out by their weights, filled with values, and judges the answers by their checks.
//!
//! The order is not random: over every span of as many requests as the weights add up to, each request has exactly
//! its share, evenly spread. So every round of a run holds the same mix, and no luck in it looks like a change.

use std::rc::Rc;
use std::sync::Arc;

use super::feed::Walk;
use super::generator::Draws;
use super::request_text::Prepared;
use super::requests::{Entry, Requests};
use super::source::{
    Answered, Chosen, Endpoint, Judgement, RequestSource, RequestSources, Seat, SourceFailure,
};
use super::template::Filled;
use super::template_error::{Refusal, RowError};
use super::wire::Wire;
use super::{Placeholders, SecretFault};
use crate::secret::Secret;

/// Makes the sources of a scenario's requests.
#[derive(Debug, Clone)]
pub struct Mix {
    requests: Arc<Requests>,
    authority: String,
    run: u64,
    placeholders: Placeholders,
}

impl Mix {
    /// Sends a scenario's requests to an authority (`host` or `host:port`).
    ///
    /// `run` should differ from run to run: what must be new in each, such as a UUID, is drawn from it.
    #[must_use]
    pub fn new(requests: &Requests, authority: &str, run: u64) -> Self {
        let placeholders = Placeholders::default();
        Self { requests: Arc::new(requests.clone()), authority: authority.to_owned(), run, placeholders }
    }

    /// Lets the requests hold secrets.
    #[must_use]
    pub fn with_secrets(self, placeholders: Placeholders) -> Self {
        Self { placeholders, ..self }
    }
}

impl RequestSources for Mix {
    fn for_worker(&self, seat: Seat) -> Result<Box<dyn RequestSource>, SourceFailure> {
        let entries = self.requests.entries();
        let mut draws = Draws::new(self.requests.seed(), self.run, seat);
        let ready =
            entries.iter().map(|entry| self.ready(entry, &mut draws)).collect::<Result<Vec<_>, _>>()?;
        let has_templates = ready.iter().any(|ready| !ready.is_constant);
        Ok(Box::new(MixSource {
            rota: Rota::new(entries.iter().map(|entry| entry.weight().get()), seat.worker),
            walk: self.requests.feed().map(|feed| Walk::new(feed, seat)),
            draws,
            requests: Arc::clone(&self.requests),
            authority: self.authority.clone(),
            ready,
            has_templates,
        }))
    }
}

impl Mix {
    /// Builds what can be built before the load: a request that never changes is written once, its secrets included.
    fn ready(&self, entry: &Entry, draws: &mut Draws) -> Result<Ready, SourceFailure> {
        let sealed = |fault: SecretFault| SourceFailure {
            what: format!("request `{}` cannot be sent: {fault}", entry.name()),
            help: fault.help().to_owned(),
        };
        let mut ready = Ready::default();
        match &entry.request {
            Prepared::Static(request) => ready.wire = Rc::new(Wire::of(request, &self.authority)),
            Prepared::Template(template) => {
                ready.secrets = template.unsealed(&self.placeholders).map_err(sealed)?;
                ready.is_constant = template.is_constant();
                if ready.is_constant {
                    let mut wire = Wire::default();
                    let mut filled = Filled::default();
                    template
                        .fill(None, draws, &ready.secrets, &mut filled)
                        .map_err(|refusal| failure(&self.requests, entry, None, refusal))?;
                    template.write(&filled, &mut wire, &self.authority);
                    ready.wire = Rc::new(wire);
                }
            }
        }
        Ok(ready)
    }
}

struct MixSource {
    requests: Arc<Requests>,
    authority: String,
    ready: Vec<Ready>,
    has_templates: bool,
    rota: Rota,
    walk: Option<Walk>,
    draws: Draws,
}

/// What one request of the mix keeps between its turns.
struct Ready {
    /// What is sent where nothing changes.
    wire: Rc<Wire>,
    /// Whether nothing does.
    is_constant: bool,
    /// What is filled where something does.
    filled: Filled,
    /// The values of its secrets.
    secrets: Vec<Secret>,
}

impl Default for Ready {
    fn default() -> Self {
        Self { wire: Rc::default(), is_constant: true, filled: Filled::default(), secrets: Vec::new() }
    }
}

impl RequestSource for MixSource {
    fn next(&mut self, _line: usize, wire: &mut Rc<Wire>) -> Result<Option<Chosen>, SourceFailure> {
        let index = self.rota.advance();
        let Some((entry, ready)) = self.requests.entries().get(index).zip(self.ready.get_mut(index)) else {
            return Ok(None);
        };
        match &entry.request {
            // Beside templates a line keeps its own memory: to share would cost it with every change of request.
            _ if ready.is_constant && self.has_templates => Rc::make_mut(wire).copy_from(&ready.wire),
            Prepared::Template(template) if !ready.is_constant => {
                let mut row = None;
                if let Some((feed, walk)) = self.requests.feed().zip(self.walk.as_mut())
                    && template.uses_feed
                {
                    let Some(next) = walk.advance(&mut self.draws.random) else {
                        return Ok(None);
                    };
                    row = Some((feed, next));
                }
                template
                    .fill(row, &mut self.draws, &ready.secrets, &mut ready.filled)
                    .map_err(|refusal| failure(&self.requests, entry, row.map(|(_, row)| row), refusal))?;
                let wire = Rc::make_mut(wire);
                wire.clear();
                template.write(&ready.filled, wire, &self.authority);
            }
            Prepared::Static(_) | Prepared::Template(_) => {
                if !Rc::ptr_eq(&ready.wire, wire) {
                    *wire = Rc::clone(&ready.wire);
                }
            }
        }
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        let interest = entry.check().interest();
        Ok(Some(Chosen { endpoint: Endpoint(number), interest, token: u32::from(number) }))
    }

    fn answered(&mut self, chosen: Chosen, answer: &Answered<'_>) -> Result<Judgement, SourceFailure> {
        let entry = self.requests.entries().get(chosen.token as usize);
        Ok(entry.map(|entry| entry.check().judge(answer)).unwrap_or_default())
    }

    fn is_instant(&self) -> bool {
        !self.has_templates
    }

    fn endpoints(&self) -> Vec<String> {
        match self.requests.entries() {
            [_] => Vec::new(),
            several => several.iter().map(|entry| entry.name().to_owned()).collect(),
        }
    }
}

/// Values were tried before the load; what is left are sums of lengths that only chance brings together.
fn failure(requests: &Requests, entry: &Entry, row: Option<usize>, refusal: Refusal) -> SourceFailure {
    let what = match row {
        Some(row) => {
            let column = refusal.column.zip(requests.feed());
            let column = column.map(|(column, feed)| feed.columns()[column].clone());
            RowError { row, column, request: entry.name().to_owned(), why: refusal.why }.to_string()
        }
        None => format!("request `{}` cannot be sent: {}", entry.name(), refusal.why),
    };
    SourceFailure { what, help: RowError::HELP.to_owned() }
}

/// Whose turn it is: smooth weighted round robin, as load balancers use it.
///
/// At every turn each request is given its weight, and the richest pays for all.
#[derive(Debug)]
struct Rota {
    weights: Vec<i64>,
    credits: Vec<i64>,
    total: i64,
}

impl Rota {
    /// Begins at another turn for each worker: together they must not send in step.
    fn new(weights: impl Iterator<Item = u32>, worker: u32) -> Self {
        let weights: Vec<i64> = weights.map(i64::from).collect();
        let total = weights.iter().sum();
        let mut rota = Self { credits: vec![0; weights.len()], weights, total };
        for _ in 0..worker {
            rota.advance();
        }
        rota
    }

    fn advance(&mut self) -> usize {
        if self.weights.len() < 2 {
            return 0;
        }
        let mut richest = 0;
        for index in 0..self.weights.len() {
            self.credits[index] += self.weights[index];
            if self.credits[index] > self.credits[richest] {
                richest = index;
            }
        }
        self.credits[richest] -= self.total;
        richest
    }
}

#[cfg(test)]
mod secret_tests;

#[cfg(test)]
mod tests;
