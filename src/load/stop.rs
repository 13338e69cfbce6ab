//! The stop signal ends a run early and remembers why: the first reason given is the one that is told.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::measurement::Ending;

/// Ends a run from outside; clones share one state.
#[derive(Debug, Clone)]
pub struct StopSignal {
    token: CancellationToken,
    why: Arc<OnceLock<Ending>>,
    /// The signal that this one is a child of.
    parent: Option<Box<Self>>,
}

impl StopSignal {
    /// Makes a signal that also fires when `interrupt` does.
    #[must_use]
    pub fn new(interrupt: &CancellationToken) -> Self {
        Self { token: interrupt.child_token(), why: Arc::default(), parent: None }
    }

    /// Returns a signal for one of several runs: it fires with this one, and ends that run alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), why: Arc::default(), parent: Some(Box::new(self.clone())) }
    }

    /// Ends the run; a later reason changes nothing.
    pub fn stop(&self, why: Ending) {
        // An earlier reason stands.
        let _ = self.why.set(why);
        self.token.cancel();
    }

    /// Ends the run because the target may not be loaded any more, and with it every other run of that target: those
    /// of the signal that this one is a child of.
    pub fn revoke(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.stop(Ending::Revoked(reason.clone()));
        if let Some(parent) = &self.parent {
            parent.revoke(reason);
        }
    }

    /// Returns whether it was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns how a run with this signal ends.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match (self.why.get(), &self.parent) {
            (Some(why), _) => why.clone(),
            (None, Some(parent)) if parent.is_given() => parent.ending(),
            (None, _) if self.is_given() => Ending::Interrupted,
            (None, _) => Ending::Complete,
        }
    }

    /// Returns what fires with it.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stands() {
        let signal = StopSignal::new(&CancellationToken::new());

        signal.clone().revoke("the deployment became production");
        signal.stop(Ending::Unhealthy("slow".into()));

        assert_eq!(signal.ending(), Ending::Revoked("the deployment became production".into()));
    }

    #[test]
    fn one_of_several_runs_can_end_alone() {
        let all = StopSignal::new(&CancellationToken::new());
        let (first, second) = (all.child(), all.child());

        first.stop(Ending::Unhealthy("slow".into()));
        assert_eq!((all.is_given(), second.ending()), (false, Ending::Complete));
        all.revoke("promoted");

        assert_eq!(first.ending(), Ending::Unhealthy("slow".into()));
        assert_eq!(second.ending(), Ending::Revoked("promoted".into()));
    }

    #[test]
    fn a_target_that_is_taken_back_is_so_for_every_run() {
        let all = StopSignal::new(&CancellationToken::new());
        let (first, second) = (all.child(), all.child());

        first.revoke("promoted");

        assert_eq!((all.ending(), second.ending()), (Ending::Revoked("promoted".into()), all.ending()));
    }

    #[test]
    fn an_interruption_from_outside_is_told_as_one() {
        let interrupt = CancellationToken::new();
        let signal = StopSignal::new(&interrupt);
        assert_eq!((signal.is_given(), signal.ending()), (false, Ending::Complete));

        interrupt.cancel();

        assert_eq!((signal.is_given(), signal.ending()), (true, Ending::Interrupted));
    }
}
