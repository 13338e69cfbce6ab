//! The subject is what a run is about: a preview that CI names, a service that we start, or one that already listens.
//!
//! It is chosen once, from the settings and the environment, and says of itself what `guard` must be asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::confirmation;
use super::emergency::Running;
use super::explanation::explanation;
use super::failure::{Failure, chain};
use super::session::Session;
use super::{base, joining, patience, secrets};
use crate::ci::{self, Reading};
use crate::config::{self, Forecast, NoService, ServiceChoice, Settings};
use crate::context::{CommitSha, Context};
use crate::evidence::{AskWorld, Revoke, Rounds, Watch};
use crate::guard::{self, ClearedTarget, Depth, Inquiry, Refusal};
use crate::load::{Ceilings, StopSignal};
use crate::redact::harmless;
use crate::scenario::Scenario;
use crate::service::{self, BuildOutput, RunningService, ServiceError};
use crate::target::{Candidate, ServicePlan, Source};
use crate::verdict::Exit;

/// What a run is about.
#[derive(Debug)]
pub(super) struct Subject {
    kind: Kind,
    pub(super) reading: Reading,
    candidates: Vec<Candidate>,
    policy: guard::Policy,
    /// Shared with who must stop it where this thread cannot.
    running: Running,
    /// Variables that a service of this run must not see.
    withheld: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    /// A preview deployment that CI names.
    Preview,
    /// A service that this run builds and starts.
    Service(ServicePlan),
    /// A service that already listens on loopback.
    Local { port: u16, speaks_tls: bool },
}

impl Subject {
    /// Chooses what the run is about, under the policy of the base branch.
    ///
    /// Offline neither the pull request of a deployment nor a base branch that is not checked out is looked for.
    pub(super) fn choose(session: &Session, settings: &mut Settings, depth: Depth) -> Result<Self, Failure> {
        let mut reading =
            ci::read(&session.environment).map_err(|error| Failure::usage(chain(&error), error.help()))?;
        if depth == Depth::Online && settings.local.is_none() && !reading.candidates.is_empty() {
            joining::find_pull_request(session, &mut reading);
        }
        // The policy may point to files that live as long as this.
        let base = base::obey(session, settings, &mut reading, depth)?;
        let kind = match (settings.local, reading.candidates.is_empty(), &settings.service) {
            (Some(port), ..) => Kind::Local { port, speaks_tls: settings.target.local_tls },
            (None, false, _) => Kind::Preview,
            (None, true, ServiceChoice::Declared(plan) | ServiceChoice::Discovered(plan)) => {
                Kind::Service(plan.clone())
            }
            (None, true, ServiceChoice::None(reason)) => {
                return Err(nothing_to_load(reason, &reading.warnings));
            }
        };
        let policy = match kind {
            Kind::Preview => settings.target.to_policy_for_remote(),
            Kind::Service(_) | Kind::Local { .. } => settings.target.to_policy(),
        }
        .map_err(Failure::problems)?;
        let policy = guard::Policy { review: base.review, ..policy };
        // The policy has read the files it names.
        drop(base.files);
        let candidates = match kind {
            Kind::Preview => reading.candidates.clone(),
            Kind::Service(_) => Vec::new(),
            Kind::Local { port, speaks_tls } => {
                vec![local_candidate(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), speaks_tls)]
            }
        };
        let withheld = secrets::variables_of_others(settings).map(str::to_owned).collect();
        Ok(Self { kind, reading, candidates, policy, running: Running::default(), withheld })
    }

    /// Returns whether the target is on this machine.
    fn is_local(&self) -> bool {
        !matches!(self.kind, Kind::Preview)
    }

    /// Returns whether the target does not exist yet, because this run starts it.
    pub(super) fn will_start_a_service(&self) -> bool {
        matches!(self.kind, Kind::Service(_))
    }

    /// Makes the target ready to be asked: starts the service, or finds who listens.
    pub(super) fn prepare(&mut self, session: &Session) -> Result<(), Failure> {
        match &self.kind {
            Kind::Preview => Ok(()),
            Kind::Local { port, speaks_tls } => {
                let listener = service::check_loopback_listener(*port).map_err(|error| incomplete(&error))?;
                self.candidates = vec![local_candidate(listener, *speaks_tls)];
                Ok(())
            }
            Kind::Service(plan) => {
                let plan = plan.clone();
                self.start(session, &plan)
            }
        }
    }

    fn start(&mut self, session: &Session, plan: &ServicePlan) -> Result<(), Failure> {
        let redactor = session.console.redactor();
        let mut inherited = session.inherited();
        inherited.retain(|(name, _)| self.withheld.iter().all(|withheld| name != withheld.as_str()));
        if let Some(build) = &plan.build {
            session.console.status("Building", &build.join(" "));
            let build_output = BuildOutput::Visible(session.console.lines_of_others());
            service::build(plan, &inherited, redactor, build_output, &session.cancel)
                .map_err(|error| incomplete(&error))?;
        }
        let running = service::start(plan, &inherited, redactor, &session.cancel)
            .map_err(|error| incomplete(&error))?;
        let address = running.address();
        session.console.status("Started", &format!("{} on {address}", plan.run.join(" ")));
        self.candidates = vec![Candidate::on_loopback(Source::Service, address)];
        *self.running.lock() = Some(running);
        Ok(())
    }

    /// Asks the guard; only its yes can be loaded.
    pub(super) fn clear(&self, session: &Session) -> Result<ClearedTarget, Failure> {
        let cleared =
            patience::clear(session, &self.inquiry(session)).map_err(|refusal| refused(&refusal))?;
        session.console.status("Cleared", &format!("{} ({})", cleared.origin(), cleared.source()));
        session.console.detail(&explanation(cleared.evidence()));
        Ok(cleared)
    }

    /// Lets a person at a desk confirm a run that goes beyond what anybody may send; a service that this run started
    /// is proven to be its own.
    pub(super) fn confirm(
        &self,
        session: &Session,
        cleared: &ClearedTarget,
        scenarios: &[Scenario],
    ) -> Result<(), Failure> {
        let forecast = Forecast::of(scenarios, None);
        let is_beyond = match self.kind {
            Kind::Service(_) => false,
            Kind::Local { .. } => forecast.is_long(),
            Kind::Preview => forecast.is_heavy(),
        };
        if !is_beyond || !matches!(self.reading.context, Context::Desk) {
            return Ok(());
        }
        confirmation::confirm(session, &cleared.origin().authority(), &forecast)
    }

    /// Begins to watch the cleared target, so that the load ends when the guard takes its yes back.
    ///
    /// A service that this run started needs no watch: it can only end, and that is seen.
    pub(super) fn watch(
        &self,
        session: &Session,
        cleared: &ClearedTarget,
        stop: &StopSignal,
    ) -> Result<Option<Watch>, Failure> {
        if self.will_start_a_service() {
            return Ok(None);
        }
        let stop = stop.clone();
        let revoke: Revoke = Arc::new(move |reason| stop.revoke(reason));
        let world: Arc<dyn AskWorld> = Arc::new(session.world());
        Watch::begin(cleared, &self.inquiry(session), &world, Rounds::default(), &revoke).map(Some).map_err(
            |error| {
                Failure::incomplete(
                    format!("cannot watch the target while load runs: {}", chain(&error)),
                    Some("free some threads or memory on this machine".into()),
                )
            },
        )
    }

    /// Returns the question for the guard.
    pub(super) fn inquiry(&self, session: &Session) -> Inquiry {
        Inquiry {
            context: self.reading.context.clone(),
            candidates: self.candidates.clone(),
            production_facts: self.reading.production.clone(),
            policy: self.policy.clone(),
            surroundings: session.surroundings(),
        }
    }

    /// Returns the scenarios, refusing those that the limits do not permit; on this machine only time is bounded.
    pub(super) fn permitted_scenarios(&self, settings: &Settings) -> Result<Vec<Scenario>, Failure> {
        if self.is_local() {
            let problems = config::check_time(settings);
            return problems.or_ok(settings.scenarios.clone()).map_err(Failure::problems);
        }
        Ok(settings.clone().within_limits().map_err(Failure::problems)?.scenarios)
    }

    /// Returns what the run may send and receive in all; on this machine only time and memory are bounded.
    pub(super) fn ceilings(&self, settings: &Settings) -> Ceilings {
        if self.is_local() {
            return Ceilings::default();
        }
        Ceilings::new(settings.limits.requests, settings.limits.bytes)
    }

    /// Returns the kind of target, as fingerprints have it.
    pub(super) fn kind(&self, settings: &Settings) -> String {
        if self.is_local() { "loopback".to_owned() } else { settings.target.preview_zone() }
    }

    /// Returns the commit under test: the pull request's head, else what git has checked out.
    pub(super) fn commit(&self, session: &Session) -> Option<CommitSha> {
        match self.reading.context.pull_request() {
            Some(pull_request) => Some(pull_request.head_sha.clone()),
            None => super::git::head(&session.current_directory),
        }
    }

    /// Returns how the service that was started ended, where it did so by itself.
    pub(super) fn died(&self) -> Option<String> {
        self.running.lock().as_mut().and_then(RunningService::exited).map(|how| harmless(&how))
    }

    /// Stops what was started.
    pub(super) fn stop(&self) {
        self.running.stop();
    }

    /// Returns what was started, for who must stop it where this thread cannot.
    pub(super) fn running(&self) -> &Running {
        &self.running
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.stop();
    }
}

fn local_candidate(listener: SocketAddr, speaks_tls: bool) -> Candidate {
    if speaks_tls {
        Candidate::on_loopback_over_tls(Source::Local, listener)
    } else {
        Candidate::on_loopback(Source::Local, listener)
    }
}

/// Returns the failure of a refused target: layer, fact and remedy.
pub(super) fn refused(refusal: &Refusal) -> Failure {
    Failure::new(Exit::Refused, refusal.to_string(), Some(refusal.help()))
}

/// Without a target, what looked odd in the environment is likely to be why.
fn nothing_to_load(reason: &NoService, warnings: &[String]) -> Failure {
    let mut message =
        format!("there is nothing to load: no preview in the environment and no service: {}", reason.why);
    quote(&mut message, warnings.iter().map(String::as_str));
    let help = format!(
        "{}; or use --local PORT for a service that already listens, or set LOADGATE_PREVIEW_URL in an earlier \
         step of the pull request's job",
        reason.help
    );
    Failure::usage(message, help)
}

/// Returns the failure of a service, with what the service itself said last.
pub(super) fn incomplete(error: &ServiceError) -> Failure {
    let mut message = chain(error);
    quote(&mut message, error.words().unwrap_or_default().lines());
    Failure::incomplete(message, Some(error.help()))
}

/// Adds lines that somebody else wrote, marked as theirs.
fn quote<'l>(message: &mut String, lines: impl Iterator<Item = &'l str>) {
    for line in lines {
        message.push_str("\n  | ");
        message.push_str(&harmless(line));
    }
}
