//! A worker is one thread with its own single-threaded runtime, its share of the connections and of the schedule.
//!
//! It lets its lines run until the end of the measured time, waits a little for what is still in flight, and settles
//! the rest.

use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::closed_loop::Plan;
use super::crew::{Crew, Orders};
use super::engine::{self, Engine, sleep_until};
use super::muster::Muster;
use super::open_loop::Board;
use super::pacer::{Course, Part, Schedule};
use super::tally::{Published, Seen, Tally};
use super::timer::{Lead, Timer};
use super::{closed_loop, open_loop};
use crate::clock;
use crate::request::{RequestSources, Seat, SourceFailure};
use crate::scenario::{LoadProfile, Pacing};

/// How long the end of a run waits for answers.
const LONGEST_DRAIN: Duration = Duration::from_secs(2);

/// The same after Ctrl-C: a person waits.
const CANCELLED_DRAIN: Duration = Duration::from_millis(500);

/// What one worker has to do.
pub(crate) struct Assignment<'a> {
    /// What all lines need to know.
    pub(crate) orders: Arc<Orders>,
    /// Makes the worker's source of requests.
    pub(crate) sources: &'a dyn RequestSources,
    /// How load is applied over time.
    pub(crate) profile: LoadProfile,
    /// The same as levels over time.
    pub(crate) course: Course,
    /// Where the workers meet before the clock of the run begins.
    pub(crate) muster: Arc<Muster>,
    /// Which worker this is, of how many.
    pub(crate) part: Part,
    /// This worker's connections.
    pub(crate) connections: usize,
    /// Where it shows its progress.
    pub(crate) published: Arc<Published>,
}

/// What one worker saw.
pub(crate) struct Share {
    /// What its tally holds.
    pub(crate) seen: Seen,
    /// The names of the endpoints by their numbers.
    pub(crate) endpoints: Vec<String>,
    /// When it stopped sending.
    pub(crate) ended_at: Instant,
    /// Whether it was stopped before its end.
    pub(crate) was_stopped: bool,
    /// The share of its time that it had something to do.
    pub(crate) busy_share: f64,
}

/// What keeps a worker from working.
#[derive(Debug)]
pub(crate) enum WorkerError {
    /// The system gave no poller or timer.
    System(io::Error),
    /// There is no source of requests.
    Source(SourceFailure),
    /// Another worker could not come.
    CalledOff,
}

impl From<io::Error> for WorkerError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Does one assignment on the current thread.
pub(crate) fn work(assignment: &Assignment<'_>) -> Result<Share, WorkerError> {
    // Whatever ends it before the run has begun, nobody may wait for it.
    carry_out(assignment).inspect_err(|_| assignment.muster.call_off())
}

fn carry_out(assignment: &Assignment<'_>) -> Result<Share, WorkerError> {
    let engine = Engine::new()?;
    let lines_per_connection = assignment.orders.lines_per_connection.map_or(1, NonZeroUsize::get);
    let seat = Seat {
        worker: assignment.part.number,
        workers: assignment.part.of,
        lines: assignment.connections * lines_per_connection,
    };
    let source = assignment.sources.for_worker(seat).map_err(WorkerError::Source)?;
    let window = assignment.muster.arrive().ok_or(WorkerError::CalledOff)?;
    let rounds = assignment.profile.rounds.get();
    let published = Arc::clone(&assignment.published);
    let tally = Tally::new(window.clone(), rounds, source.has_endpoints(), published)
        .with_slow_from(assignment.orders.slow_from);
    let orders = Arc::clone(&assignment.orders);
    let crew = Crew::new(orders, window, tally, source, assignment.connections);
    let started_at = clock::monotonic();
    let sent = engine.block_on(send(assignment, &crew))?;
    // Taken before the idle drain.
    let time = started_at.elapsed();
    let busy = time.saturating_sub(engine.idle());
    let busy_share = busy.as_secs_f64() / time.as_secs_f64().max(f64::MIN_POSITIVE);
    let was_stopped = engine.block_on(settle(assignment, &crew, sent))?;
    // Dropping the engine drops the lines, and with them every other owner of the crew.
    drop(engine);
    let ended_at = crew.ends_at();
    let rounds_begun = crew.window().rounds_begun(ended_at);
    let (tally, mut source) = crew.dismiss().expect("only the lines shared the crew, and they are gone");
    source.finish();
    let endpoints = source.endpoints();
    Ok(Share { seen: tally.finish(rounds_begun), endpoints, ended_at, was_stopped, busy_share })
}

/// How the sending ended.
struct Sent {
    board: Option<Rc<Board>>,
    was_cancelled: bool,
}

/// Starts the lines and lets them send until the end.
async fn send(assignment: &Assignment<'_>, crew: &Rc<Crew>) -> Sent {
    let board = match &assignment.profile.pacing {
        Pacing::ClosedLoop { .. } => {
            let plan = Plan::new(assignment, crew.window());
            for line in 0..crew.lines() {
                engine::spawn(closed_loop::run(Rc::clone(crew), Rc::clone(&plan), line));
            }
            None
        }
        Pacing::OpenLoop { arrivals, .. } => {
            let (window, course) = (crew.window().clone(), assignment.course.clone());
            let schedule = Schedule::new(window, course, *arrivals, assignment.part);
            let board = Board::new(Rc::clone(crew), schedule, &assignment.profile, assignment.part);
            for line in 0..crew.lines() {
                engine::spawn(open_loop::run(Rc::clone(&board), line));
            }
            Some(board)
        }
    };
    let was_cancelled = send_until_end(assignment, crew, board.as_deref()).await;
    Sent { board, was_cancelled }
}

/// Settles every request; returns whether the run was cancelled.
async fn settle(assignment: &Assignment<'_>, crew: &Rc<Crew>, sent: Sent) -> bool {
    let drain_was_cut = drain(assignment, crew, sent.was_cancelled).await;
    crew.give_up(clock::monotonic());
    if let Some(board) = sent.board {
        board.count_unsent(assignment.profile.rounds.get());
    }
    sent.was_cancelled || drain_was_cut
}

async fn send_until_end(assignment: &Assignment<'_>, crew: &Crew, board: Option<&Board>) -> bool {
    let lead = if board.is_some() { Lead::for_workers(assignment.part.of) } else { Lead::NONE };
    let timer = Timer::new(lead);
    let sending = async {
        match board {
            Some(board) => board.dispatch(&timer).await,
            None => {
                crew.window().announced().await;
                timer.sleep_until(crew.ends_at()).await;
            }
        }
    };
    let ended_early = crew.ended_early();
    tokio::select! {
        biased;
        () = assignment.orders.stop.token().cancelled() => {
            crew.end_now(clock::monotonic());
            true
        }
        () = ended_early => false,
        () = sending => false,
    }
}

/// Waits for what is in flight; returns whether that was cut short.
async fn drain(assignment: &Assignment<'_>, crew: &Crew, was_cancelled: bool) -> bool {
    let patience = assignment.orders.timeout.min(LONGEST_DRAIN);
    let impatience = patience.min(CANCELLED_DRAIN);
    let limit = clock::monotonic() + if was_cancelled { impatience } else { patience };
    let cut = async {
        if was_cancelled {
            std::future::pending::<()>().await;
        }
        assignment.orders.stop.token().cancelled().await;
        sleep_until(clock::monotonic() + impatience).await;
    };
    tokio::select! {
        biased;
        () = crew.quiet() => false,
        () = sleep_until(limit) => false,
        () = cut => true,
    }
}
