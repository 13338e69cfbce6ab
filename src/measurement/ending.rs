//! An ending is how a run ended: as planned, or why not.

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ending {
    /// As planned.
    #[default]
    Complete,
    /// Somebody interrupted it (Ctrl-C).
    Interrupted,
    /// The circuit breaker opened: the target was not well, for this reason.
    Unhealthy(String),
    /// The guard took its permission back, for this reason.
    Revoked(String),
    /// The run reached a ceiling of what may be sent, and this one.
    Exhausted(String),
    /// The source of requests failed, for this reason.
    SourceFailed(String),
}

impl Ending {
    /// Passes what somebody else may have said through a filter.
    pub(super) fn clean(&mut self, filter: &dyn Fn(&str) -> String) {
        match self {
            Self::Complete | Self::Interrupted => {}
            Self::Unhealthy(why) | Self::Revoked(why) | Self::Exhausted(why) | Self::SourceFailed(why) => {
                *why = filter(why);
            }
        }
    }

    /// Returns why a run was cut short, as a fragment; `None` where it was not.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Complete => None,
            Self::Interrupted => Some("the run was interrupted".to_owned()),
            Self::Unhealthy(why) => Some(format!("the target was unhealthy: {why}")),
            Self::Revoked(why) => Some(format!("the guard took its permission back: {why}")),
            Self::Exhausted(why) => Some(format!("the run reached its ceiling: {why}")),
            Self::SourceFailed(why) => Some(format!("the requests ended early: {why}")),
        }
    }
}
