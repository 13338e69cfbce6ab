//! The simplest source: the same request every time, built once for the whole run.

use std::rc::Rc;

use super::{Chosen, Request, RequestSource, RequestSources, Seat, SourceFailure, Wire};

/// Gives every line the same request.
#[derive(Debug, Clone)]
pub struct Fixed {
    wire: Wire,
}

impl Fixed {
    /// Builds the request's wire form for an authority (`host` or `host:port`).
    #[must_use]
    pub fn new(request: &Request, authority: &str) -> Self {
        Self { wire: Wire::of(request, authority) }
    }
}

impl RequestSources for Fixed {
    fn for_worker(&self, _seat: Seat) -> Result<Box<dyn RequestSource>, SourceFailure> {
        Ok(Box::new(FixedSource { wire: Rc::new(self.wire.clone()) }))
    }
}

struct FixedSource {
    wire: Rc<Wire>,
}

impl RequestSource for FixedSource {
    fn next(&mut self, _line: usize, wire: &mut Rc<Wire>) -> Result<Option<Chosen>, SourceFailure> {
        if !Rc::ptr_eq(&self.wire, wire) {
            *wire = Rc::clone(&self.wire);
        }
        Ok(Some(Chosen::default()))
    }

    fn is_instant(&self) -> bool {
        true
    }

    fn endpoints(&self) -> Vec<String> {
        Vec::new()
    }
}
