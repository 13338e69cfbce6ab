//! How true the reported latencies are: against the truth server's own record, and against what a stall must give.

use std::time::Duration;

use crate::clients::{Peer, run_ours};
use crate::site::{Neighbour, Nginx, Site, TruthServer, leave_out};
use crate::table::{Line, in_turns, median, spread};
use crate::{Failure, Options, Outcome};

/// Connections of every client; more than the truth server ever has requests at once, but for a stall.
pub(crate) const CONNECTIONS: u32 = 20;

/// Requests per second.
const RATE: u32 = 500;

/// How long one run against log-normal service times is measured.
const LOG_NORMAL: Duration = Duration::from_secs(4);

/// Two whole periods of the stalling server.
const STALLS: Duration = Duration::from_secs(10);

/// A fifth of all requests falls into a stall of one second and waits for what is left of it; the longest hundredth of
/// all is the longest twentieth of those, which waits at least 0.95 s, and half a millisecond of service.
const STALL_P99_US: f64 = 950_500.0;

/// By how much a client's report is off.
#[derive(Debug, Clone, Copy)]
struct Error {
    median_us: f64,
    p99_share: f64,
}

/// Who measures.
#[derive(Debug, Clone, Copy)]
enum Who {
    Ours { is_service_time: bool },
    Peer(Peer),
}

/// What a client reports.
struct Reported {
    p50_us: f64,
    p99_us: f64,
    /// How many of the last answers it stands for.
    last: Option<usize>,
    /// The median of the service time, where it is told apart.
    service_p50_us: Option<f64>,
}

/// Log-normal service times with a median of one millisecond: the errors of the median and of the 99th percentile.
pub(crate) fn log_normal(options: &Options) -> Outcome<Vec<Line>> {
    log_normal_lines(options, "log-normal 1 ms", ["≤ 30 µs", "≤ 5 %"])
}

/// The same while another program keeps the clients' processor busy.
pub(crate) fn neighbour(options: &Options) -> Outcome<Vec<Line>> {
    let _neighbour = Neighbour::start()?;
    log_normal_lines(options, "log-normal 1 ms, busy neighbour", ["(shown)"; 2])
}

fn log_normal_lines(options: &Options, work: &str, goals: [&'static str; 2]) -> Outcome<Vec<Line>> {
    let mut who = vec![Who::Ours { is_service_time: false }, Who::Ours { is_service_time: true }];
    who.extend(peers(&[Peer::Hey, Peer::Oha, Peer::Wrk2]));
    let measures: Vec<Box<dyn FnMut() -> Outcome<Error>>> = who
        .iter()
        .map(|&who| Box::new(move || log_normal_error(who)) as Box<dyn FnMut() -> Outcome<Error>>)
        .collect();
    let results = in_turns(options.pairs, measures)?;
    let mut lines = Vec::new();
    for (who, errors) in who.iter().zip(&results) {
        let is_ours = matches!(who, Who::Ours { .. });
        let median_us: Vec<f64> = errors.iter().map(|error| error.median_us).collect();
        let p99: Vec<f64> = errors.iter().map(|error| error.p99_share * 100.0).collect();
        let mut line = |what: &str, result: String, goal| {
            let (ours, theirs) =
                if is_ours { (who.name(), String::new()) } else { (String::new(), who.name()) };
            let work = format!("open loop {RATE}/s, {work}: error of the {what}");
            lines.push(Line { work, ours, theirs, result, goal: if is_ours { goal } else { "(anchor)" } });
        };
        line("median", spread(&median_us, |us| format!("{us:+.0} µs")), goals[0]);
        line("p99", spread(&p99, |percent| format!("{percent:+.1} %")), goals[1]);
    }
    Ok(lines)
}

/// A server that stalls for one second in every five: what the 99th percentile says of it.
pub(crate) fn stall(options: &Options) -> Outcome<Vec<Line>> {
    let mut who = vec![Who::Ours { is_service_time: false }];
    who.extend(peers(&[Peer::Wrk, Peer::Oha, Peer::Wrk2]));
    let measures: Vec<Box<dyn FnMut() -> Outcome<Reported>>> = who
        .iter()
        .map(|&who| {
            let measure = move || {
                let server = TruthServer::start("stall")?;
                who.report(&server.site, STALLS)
            };
            Box::new(measure) as Box<dyn FnMut() -> Outcome<Reported>>
        })
        .collect();
    let results = in_turns(options.pairs, measures)?;
    let lines = who.iter().zip(&results).map(|(who, reports)| {
        let errors: Vec<f64> =
            reports.iter().map(|report| (report.p99_us / STALL_P99_US - 1.0) * 100.0).collect();
        let medians: Vec<f64> = reports.iter().map(|report| report.p50_us).collect();
        let services: Vec<f64> = reports.iter().filter_map(|report| report.service_p50_us).collect();
        let mut said = format!("{}: median {:.0} µs", who.name(), median(&medians));
        if !services.is_empty() {
            said += &format!(", of service time {:.0} µs", median(&services));
        }
        let is_ours = matches!(who, Who::Ours { .. });
        Line {
            work: format!("open loop {RATE}/s, stalls 1 s in 5: error of the p99"),
            ours: if is_ours { said.clone() } else { String::new() },
            theirs: if is_ours { String::new() } else { said },
            result: spread(&errors, |percent| format!("{percent:+.1} %")),
            goal: if is_ours { "within 5 %" } else { "(anchor)" },
        }
    });
    Ok(lines.collect())
}

/// Ten thousand requests a second on an idle processor: how late they leave.
pub(crate) fn send_lag(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::plain()? else {
        leave_out("nginx is not installed");
        return Ok(Vec::new());
    };
    let keys = "profile = { rate = 10000, connections = 50, duration = '3s', warm-up = '1s' }";
    let (mut p99, mut p50) = (Vec::new(), Vec::new());
    for _ in 0..options.pairs {
        let run = run_ours(&nginx.site, keys)?;
        p50.push(run.number("/send_lag/p50_us")?);
        p99.push(run.number("/send_lag/p99_us")?);
    }
    Ok(vec![Line {
        work: "open loop 10,000/s on an idle processor: p99 of the send lag".to_owned(),
        ours: format!("median {:.0} µs", median(&p50)),
        theirs: String::new(),
        result: spread(&p99, |us| format!("{us:.0} µs")),
        goal: "≤ 100 µs",
    }])
}

fn peers(wanted: &[Peer]) -> Vec<Who> {
    let installed = wanted.iter().filter_map(|&peer| {
        let found = peer.if_installed();
        if found.is_none() {
            leave_out(&format!("{} is not installed", peer.program()));
        }
        found.map(Who::Peer)
    });
    installed.collect()
}

fn log_normal_error(who: Who) -> Outcome<Error> {
    let server = TruthServer::start("log-normal")?;
    let reported = who.report(&server.site, LOG_NORMAL)?;
    let mut truth = server.finish()?;
    if let Some(last) = reported.last {
        truth.drain(..truth.len().saturating_sub(last));
    }
    truth.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = (share * truth.len() as f64).ceil() as usize;
        truth.get(place.saturating_sub(1)).copied().ok_or(Failure::Nothing)
    };
    Ok(Error {
        median_us: reported.p50_us - quantile(0.5)?,
        p99_share: reported.p99_us / quantile(0.99)? - 1.0,
    })
}

impl Who {
    fn name(self) -> String {
        match self {
            Self::Ours { is_service_time: false } => "latency".to_owned(),
            Self::Ours { is_service_time: true } => "service time".to_owned(),
            Self::Peer(peer) => peer.program().to_owned(),
        }
    }

    fn report(self, site: &Site, lasts: Duration) -> Outcome<Reported> {
        let is_service_time = match self {
            Self::Peer(peer) => {
                let latency = peer.latency(site, RATE, lasts)?;
                let (p50_us, p99_us, last) = (latency.p50_us, latency.p99_us, latency.last);
                return Ok(Reported { p50_us, p99_us, last, service_p50_us: None });
            }
            Self::Ours { is_service_time } => is_service_time,
        };
        let seconds = lasts.as_secs();
        let keys = format!(
            "profile = {{ rate = {RATE}, connections = {CONNECTIONS}, duration = '{seconds}s', warm-up = '1s' }}"
        );
        let run = run_ours(site, &keys)?;
        let what = if is_service_time { "service_time" } else { "latency" };
        let count = run.number(&format!("/{what}/count"))?;
        Ok(Reported {
            p50_us: run.number(&format!("/{what}/p50_us"))?,
            p99_us: run.number(&format!("/{what}/p99_us"))?,
            last: Some(count as usize),
            service_p50_us: Some(run.number("/service_time/p50_us")?),
        })
    }
}
