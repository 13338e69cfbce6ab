//! Room `load`: drives a cleared target and measures it.
//!
//! Three things stay apart: *what* is sent (`request`), *when* (`pacer`, `closed_loop`, `open_loop`) and *how*
//! (`carrier`, `connection`, `codec`, `http2`, `tls`). A `worker` is a thread with its own connections, which runs them
//! as tasks of its `engine`; a `tally` holds what it saw.
//! Only `connection::open` opens sockets, and it takes a [`ClearedTarget`].

mod breaker;
mod carrier;
mod ceilings;
mod closed_loop;
mod codec;
mod connection;
mod crew;
mod deadline;
mod echo;
mod engine;
mod hold;
mod http2;
mod line;
mod loss;
mod merging;
mod moved;
mod muster;
mod negotiation;
mod open_loop;
mod pacer;
mod server_timing;
mod stamp;
mod stop;
mod tally;
mod timer;
mod tls;
mod witness;
mod worker;

#[cfg(test)]
mod tests;

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

pub use self::ceilings::Ceilings;
pub use self::echo::EchoWatch;
pub use self::stop::StopSignal;

use self::breaker::{Counts, Watch};
use self::ceilings::Traffic;
use self::crew::{OpenConnections, Orders};
use self::hold::Hold;
use self::loss::{Loss, Marked};
use self::merging::{merge_classes, merge_endpoints, merge_rounds};
use self::muster::Muster;
use self::pacer::{Course, Part, Window, bounded};
use self::tally::{Lateness, Published};
use self::tls::Tls;
use self::worker::{Assignment, Share, WorkerError, work};
use crate::clock;
use crate::guard::ClearedTarget;
use crate::measurement::{Ending, GeneratorHealth, Measurement, empty_histogram};
use crate::request::{RequestSources, SourceFailure};
use crate::scenario::{Pacing, Scenario};

/// How often the caller hears of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The schedule begins this long after the call, so that threads that start a little late are not late at once.
const START_DELAY: Duration = Duration::from_millis(2);

/// How a run uses this machine.
#[derive(Debug, Clone)]
pub struct DriveOptions {
    /// Worker threads; never more than connections are used.
    pub threads: NonZeroUsize,
    /// What all scenarios of the run together may send and receive.
    pub ceilings: Ceilings,
    /// What looks for secrets in answers, where secrets may be sent.
    pub echo: Option<Arc<EchoWatch>>,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Load flows, nothing is counted yet.
    WarmUp,
    /// Load flows and is measured.
    Measuring,
    /// Nothing is sent any more; outstanding answers are awaited.
    Draining,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// The time since its start, at most `total`.
    pub elapsed: Duration,
    /// The time that load flows: warm-up and measured time.
    pub total: Duration,
    /// Whole answers since the start, those of the warm-up included.
    pub answered: u64,
    /// Requests since the start that count as errors.
    pub errors: u64,
    /// Answers since the start that redirect.
    pub redirects: u64,
    /// Answers since the start that lack the marker which they must have.
    pub unmarked: u64,
}

/// What makes a run impossible; everything that a server can do is an outcome instead.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The TLS library refused its own configuration: a broken build.
    #[error("cannot configure TLS")]
    Tls(#[source] rustls::Error),
    /// An extra root is no certificate: it must be one DER-encoded X.509 certificate.
    #[error("cannot use a trusted root certificate")]
    RootCertificate(#[source] rustls::Error),
    /// The system has no root certificates and the target brings none: install the system's `ca-certificates`.
    #[error("cannot find any root certificate")]
    NoRoots,
    /// The host is neither a DNS name nor an address, so no certificate could be for it.
    #[error("cannot verify a certificate for host {host:?}")]
    ServerName {
        /// The host of the target.
        host: String,
    },
    /// The client certificate and its key cannot be used together.
    #[error("cannot use the client certificate")]
    Identity(#[source] rustls::Error),
    /// The system gave no thread, poller or timer: its limits are too low.
    #[error("cannot start a worker thread")]
    Worker(#[source] io::Error),
    /// There is no source of requests; nothing was sent.
    #[error("cannot make the requests: {0}")]
    Source(SourceFailure),
}

impl From<WorkerError> for LoadError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::System(error) => Self::Worker(error),
            WorkerError::Source(failure) => Self::Source(failure),
            WorkerError::CalledOff => Self::Worker(io::Error::other("the run was called off")),
        }
    }
}

impl LoadError {
    /// Returns what to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Tls(_) => "report this as a bug: it does not depend on your set-up",
            Self::RootCertificate(_) => "give a DER-encoded X.509 certificate authority",
            Self::NoRoots => "install the system's root certificates (package ca-certificates)",
            Self::Identity(_) => {
                "give the certificate in `client-certificate` and its own key in `client-key`"
            }
            Self::ServerName { .. } => "the preview's host must be a DNS name or an IP address",
            Self::Worker(_) => "raise the limits on threads and open files (ulimit -u, ulimit -n)",
            Self::Source(failure) => &failure.help,
        }
        .to_owned()
    }
}

/// Drives one scenario against a cleared target and returns what was seen.
///
/// Blocks until the run has ended and drained. `progress` is called about ten times a second on the calling thread.
/// When `stop` is given, the run ends within a second and what was measured until then is returned, with the reason.
///
/// # Errors
/// Only what makes the run impossible; failures of the server are outcomes.
pub fn drive(
    target: &ClearedTarget,
    scenario: &Scenario,
    sources: &dyn RequestSources,
    options: &DriveOptions,
    stop: &StopSignal,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Measurement, LoadError> {
    // A run that fails halfway must stop the workers that have started, but not what else the caller stops.
    let stop = stop.child();
    let tls = Tls::prepare(target, scenario.protocol, &stop)?;
    let timeout = bounded(scenario.profile.timeout);
    let lines_per_connection = negotiation::agree(scenario.protocol, target, tls.as_ref(), timeout)?;
    let orders = Arc::new(Orders {
        tls,
        lines_per_connection,
        target: target.clone(),
        stop: stop.clone(),
        timeout,
        echo: options.echo.clone(),
        hold: Hold::new(clock::monotonic()),
        reconnect_every: scenario.profile.reconnect_every,
        slow_from: scenario.gate.breaker.latency,
        is_scheduled: matches!(scenario.profile.pacing, Pacing::OpenLoop { .. }),
        open_connections: OpenConnections::default(),
    });
    let assignments = assign(scenario, sources, options, &orders);
    let muster = Arc::clone(&assignments[0].muster);
    let mut watch = Watch::new(scenario.gate.breaker, clock::monotonic());
    let mut loss = Loss::new(clock::monotonic());
    let look = || {
        if let Some(why) = options.ceilings.reached_by(traffic(&assignments)) {
            stop.stop(Ending::Exhausted(why));
        }
    };
    look();
    let shares = run_workers(&assignments, &stop, || {
        look();
        if let Some((missing, of)) = loss.look(clock::monotonic(), marked(&assignments)) {
            stop.revoke(target.answer_rules().loss_of_marker(missing, of).to_string());
        }
        if let Some(why) = watch.look(clock::monotonic(), counts(&assignments)) {
            stop.stop(Ending::Unhealthy(why));
        }
        if let Some(window) = muster.window() {
            window.watch(clock::monotonic());
            progress(observe(window, &assignments));
        }
    });
    options.ceilings.use_up(traffic(&assignments));
    let shares = shares?;
    let window = muster.window().expect("every worker waited for it");
    Ok(measurement(scenario, window, &orders, shares))
}

/// Divides connections among the workers as evenly as possible; each gets at least one.
fn assign<'a>(
    scenario: &Scenario,
    sources: &'a dyn RequestSources,
    options: &DriveOptions,
    orders: &Arc<Orders>,
) -> Vec<Assignment<'a>> {
    let profile = &scenario.profile;
    let connections = profile.connections.get();
    // A worker without anything to send would be one too many.
    let most = profile.max_in_flight.unwrap_or(profile.connections).get().min(connections);
    let workers = u32::try_from(options.threads.get()).unwrap_or(u32::MAX).min(most);
    let course = Course::of(profile);
    let muster = Arc::new(Muster::new(workers, profile.clone()));
    (0..workers)
        .map(|number| Assignment {
            orders: Arc::clone(orders),
            sources,
            profile: profile.clone(),
            course: course.clone(),
            muster: Arc::clone(&muster),
            part: Part { number, of: workers },
            connections: Part { number, of: workers }.share(connections),
            published: Arc::default(),
        })
        .collect()
}

/// Runs every worker on its own thread and calls `tell` now and then until all have reported.
fn run_workers(
    assignments: &[Assignment<'_>],
    stop: &StopSignal,
    mut tell: impl FnMut(),
) -> Result<Vec<Share>, WorkerError> {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for assignment in assignments {
            let reporter = sender.clone();
            let report = move || {
                // Nobody listens any more only where another worker has failed.
                let _ = reporter.send(work(assignment));
            };
            let started = thread::Builder::new()
                .name(format!("load-{}", assignment.part.number))
                .spawn_scoped(scope, report);
            if let Err(error) = started {
                assignment.muster.call_off();
                stop.stop(Ending::Interrupted);
                return Err(error.into());
            }
        }
        drop(sender);
        let mut shares = Vec::with_capacity(assignments.len());
        let mut failure = None;
        loop {
            match receiver.recv_timeout(PROGRESS_INTERVAL) {
                Ok(Ok(share)) => shares.push(share),
                // That a worker was sent home says nothing of why.
                Ok(Err(WorkerError::CalledOff)) => {}
                Ok(Err(error)) => {
                    stop.stop(Ending::Interrupted);
                    failure = Some(error);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => tell(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return failure.map_or(Ok(shares), Err),
            }
        }
    })
}

/// Returns what all workers have published of what went to and fro.
fn traffic(assignments: &[Assignment<'_>]) -> Traffic {
    let sum = |count: fn(&Published) -> &AtomicU64| sum(assignments, count);
    Traffic { requests: sum(|published| &published.sent), bytes: sum(|published| &published.traffic) }
}

/// Adds up one count of all workers.
fn sum(assignments: &[Assignment<'_>], count: fn(&Published) -> &AtomicU64) -> u64 {
    assignments.iter().map(|one| count(&one.published).load(Ordering::Relaxed)).sum()
}

fn observe(window: &Window, assignments: &[Assignment<'_>]) -> Progress {
    let now = clock::monotonic();
    let total = window.total();
    let phase = match now {
        now if window.measured_from().is_none_or(|from| now < from) => Phase::WarmUp,
        now if now < window.ends_at() => Phase::Measuring,
        _ => Phase::Draining,
    };
    let sum = |count: fn(&Published) -> &AtomicU64| sum(assignments, count);
    Progress {
        phase,
        elapsed: now.saturating_duration_since(window.starts_at()).min(total),
        total,
        answered: sum(|published| &published.answered),
        errors: sum(|published| &published.errors),
        redirects: sum(|published| &published.redirects),
        unmarked: sum(|published| &published.unmarked),
    }
}

/// Returns how many answers lack the marker, and of how many.
fn marked(assignments: &[Assignment<'_>]) -> Marked {
    let sum = |count: fn(&Published) -> &AtomicU64| sum(assignments, count);
    Marked { answered: sum(|published| &published.answered), missing: sum(|published| &published.unmarked) }
}

/// Returns what the breaker looks at.
fn counts(assignments: &[Assignment<'_>]) -> Counts {
    let each = |count: fn(&Published) -> &AtomicU64| {
        assignments.iter().map(move |one| count(&one.published).load(Ordering::Relaxed))
    };
    Counts {
        settled: each(|published| &published.settled).sum(),
        errors: each(|published| &published.failed).sum(),
        slow: each(|published| &published.slow).sum(),
        // An answer that any worker got shows that connections are taken.
        connect_failures: if each(|published| &published.connect_failures).any(|failures| failures == 0) {
            0
        } else {
            each(|published| &published.connect_failures).sum()
        },
    }
}

fn measurement(scenario: &Scenario, window: &Window, orders: &Orders, shares: Vec<Share>) -> Measurement {
    let profile = &scenario.profile;
    let ended_at = shares.iter().map(|share| share.ended_at).max().unwrap_or_else(|| window.starts_at());
    let was_stopped = shares.iter().any(|share| share.was_stopped);
    let busy_share = shares.iter().map(|share| share.busy_share).fold(0.0, f64::max).min(1.0);
    let (mut rounds, mut lateness, mut endpoints, mut classes) = (vec![], vec![], vec![], vec![]);
    let bytes_received = shares.iter().map(|share| share.seen.bytes_received).sum();
    for share in shares {
        rounds.push(share.seen.rounds);
        lateness.push(share.seen.lateness);
        classes.push(share.seen.class_latency);
        let named = share.endpoints.into_iter().zip(share.seen.endpoints);
        endpoints.push(
            named
                .filter_map(|(name, seen)| seen.map(|(latency, outcomes)| (name, latency, outcomes)))
                .collect(),
        );
    }
    Measurement {
        scenario: scenario.name.clone(),
        rounds: merge_rounds(rounds),
        elapsed: window
            .measured_from()
            .map_or(Duration::ZERO, |from| ended_at.saturating_duration_since(from)),
        asked_rate: profile.pacing.mean_rate(),
        asked_connections: profile.connections.get(),
        reached_connections: orders.open_connections.most(),
        generator: health(&lateness, busy_share),
        steady_state: window.steady_state(),
        // A signal that came when everything was over cut nothing short.
        ending: match orders.stop.ending() {
            // A target that was taken back is so at whatever moment.
            ending @ (Ending::SourceFailed(_) | Ending::Revoked(_)) => ending,
            ending if was_stopped => ending,
            _ => Ending::Complete,
        },
        endpoints: merge_endpoints(endpoints),
        class_latency: merge_classes(classes),
        bytes_received: Some(bytes_received),
    }
}

fn health(shares: &[Lateness], busy_share: f64) -> GeneratorHealth {
    let mut lateness = empty_histogram();
    for share in shares {
        lateness.add(&share.histogram).expect("both histograms have this project's bounds");
    }
    if lateness.is_empty() {
        return GeneratorHealth { busy_share, ..GeneratorHealth::default() };
    }
    let late: u64 = shares.iter().map(|share| share.late).sum();
    GeneratorHealth {
        late_share: late as f64 / lateness.len() as f64,
        lag_p99_us: lateness.value_at_quantile(0.99) as f64 / 1_000.0,
        busy_share,
    }
}
