//! What a request costs the client: processor time of the whole program for each request, ours beside its peers.
//!
//! Requests are counted by the server, in the same way for everybody. What clients count is not the same: ours leaves
//! out those of the ramp, which comes before the measured time.

use crate::clients::{Peer, Shape, run_ours};
use crate::floor::{self, Deed};
use crate::floor_h2;
use crate::site::{self, Nginx, Site, leave_out};
use crate::table::{Line, certain, in_turns, micros, ratios, spread};
use crate::{Failure, Options, Outcome};

/// How long one run lasts: long enough that start, guard and reports are a small part of it, as in a gate.
pub(crate) const SECONDS: u64 = 5;

/// How long the runs of [`million`] last.
const LONG_SECONDS: u64 = 24;
const BRIEF_SECONDS: u64 = 2;

/// HTTP/1.1 in the clear on 50 connections.
pub(crate) fn http1(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::plain()? else { return site::missing("nginx") };
    let shape = Shape { connections: 50, streams: None, seconds: SECONDS };
    let rivals = [
        (Rival::Peer(Peer::Wrk), "≤ 0.85"),
        (Rival::Peer(Peer::H2load), "(anchor)"),
        (Rival::Peer(Peer::Oha), "(anchor)"),
        (Rival::Floor(Deed::Ignore, nginx.port), "(floor)"),
        (Rival::Floor(Deed::Measure, nginx.port), "(floor)"),
    ];
    compare("HTTP/1.1, 50 connections", &nginx, shape, &rivals, options)
}

/// The same over TLS.
pub(crate) fn https1(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::with_tls()? else { return site::missing("nginx or network namespaces") };
    let shape = Shape { connections: 50, streams: None, seconds: SECONDS };
    let rivals = [(Rival::Peer(Peer::Wrk), "≤ 1.0"), (Rival::Peer(Peer::Oha), "(anchor)")];
    compare("HTTPS/1.1, 50 connections", &nginx, shape, &rivals, options)
}

/// HTTP/2 over TLS on ten connections with ten streams each.
pub(crate) fn http2(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::with_tls()? else { return site::missing("nginx or network namespaces") };
    let shape = Shape { connections: 10, streams: Some(10), seconds: SECONDS };
    let rivals = [
        (Rival::Peer(Peer::H2load), "≤ 1.0"),
        (Rival::Peer(Peer::Oha), "≤ 0.75"),
        (Rival::BareH2, "(floor)"),
    ];
    compare("HTTP/2 over TLS, 10 connections × 10 streams", &nginx, shape, &rivals, options)
}

/// A run of at least a million requests beside a short one: recording must not grow dearer.
pub(crate) fn million(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::plain()? else { return site::missing("nginx") };
    let long_seconds = if options.is_quick { 2 * BRIEF_SECONDS } else { LONG_SECONDS };
    let run = |seconds| {
        let shape = Shape { connections: 50, streams: None, seconds };
        let nginx = &nginx;
        Box::new(move || cost(nginx, || our_work(&nginx.site, shape)))
    };
    let results = in_turns(options.pairs, vec![run(long_seconds), run(BRIEF_SECONDS)])?;
    let costs = |which: usize| results[which].iter().map(|cost| cost.us).collect::<Vec<_>>();
    let fewest = results[0].iter().map(|cost| cost.requests).fold(f64::INFINITY, f64::min);
    Ok(vec![Line {
        work: format!("{:.1} million requests in one run, beside a run of {BRIEF_SECONDS} s", fewest / 1e6),
        ours: micros(&costs(0)),
        theirs: format!("the short run {}", micros(&costs(1))),
        result: spread(&ratios(&costs(0), &costs(1)), |ratio| format!("{ratio:.2}")),
        goal: "1.0",
    }])
}

/// What requests cost.
pub(crate) struct Cost {
    /// Microseconds of processor time for each.
    pub(crate) us: f64,
    requests: f64,
}

/// Does work at a server that is given in seconds of processor time; returns what each of its requests cost.
pub(crate) fn cost(nginx: &Nginx, work: impl FnOnce() -> Outcome<f64>) -> Outcome<Cost> {
    let (seconds, requests) = nginx.requests_of(work)?;
    if requests == 0 {
        return Err(Failure::Nothing);
    }
    let requests = requests as f64;
    Ok(Cost { us: seconds * 1e6 / requests, requests })
}

/// With whom ours is compared.
#[derive(Debug, Clone, Copy)]
enum Rival {
    Peer(Peer),
    /// The bare system calls, on a port of loopback.
    Floor(Deed, u16),
    /// The library alone, on the site's preview.
    BareH2,
}

impl Rival {
    fn name(self) -> &'static str {
        match self {
            Self::Peer(peer) => peer.program(),
            Self::Floor(Deed::Ignore, _) => "two bare calls",
            Self::Floor(Deed::Measure, _) => "two calls, timed and recorded",
            Self::BareH2 => "bare h2 crate",
        }
    }

    fn is_here(self) -> bool {
        match self {
            Self::Peer(peer) => peer.if_installed().is_some(),
            Self::Floor(..) | Self::BareH2 => true,
        }
    }

    /// Does the work; returns the processor time that it took, in seconds.
    fn work(self, site: &Site, shape: Shape) -> Outcome<f64> {
        match self {
            Self::Peer(peer) => peer.work(site, shape),
            Self::Floor(deed, port) => floor::work(deed, port, shape.connections, shape.seconds),
            Self::BareH2 => {
                floor_h2::work(site, shape.connections, shape.streams.unwrap_or(1), shape.seconds)
            }
        }
    }
}

fn compare(
    work: &str,
    nginx: &Nginx,
    shape: Shape,
    rivals: &[(Rival, &'static str)],
    options: &Options,
) -> Outcome<Vec<Line>> {
    let mut measures: Vec<Box<dyn FnMut() -> Outcome<f64>>> =
        vec![Box::new(|| cost(nginx, || our_work(&nginx.site, shape)).map(|cost| cost.us))];
    let mut present = Vec::new();
    for &(rival, goal) in rivals {
        if rival.is_here() {
            let work = move || rival.work(&nginx.site, shape);
            measures.push(Box::new(move || cost(nginx, work).map(|cost| cost.us)));
            present.push((rival, goal));
        } else {
            leave_out(&format!("{} is not installed", rival.name()));
        }
    }
    let results = in_turns(options.short_turns, measures)?;
    let (ours, theirs) = results.split_first().ok_or(Failure::Nothing)?;
    Ok(present
        .iter()
        .zip(theirs)
        .map(|(&(rival, goal), theirs)| Line {
            work: work.to_owned(),
            ours: micros(ours),
            theirs: format!("{} {}", rival.name(), micros(theirs)),
            result: certain(&ratios(ours, theirs)),
            goal,
        })
        .collect())
}

fn our_work(site: &Site, shape: Shape) -> Outcome<f64> {
    Ok(run_ours(site, &keys(shape))?.processor_seconds)
}

/// The scenario's keys for a shape. Without a warm-up there is still a ramp.
fn keys(Shape { connections, streams, seconds }: Shape) -> String {
    let protocol = streams.map(|streams| format!("protocol = 'h2'\nstreams = {streams}\n"));
    format!(
        "{}profile = {{ connections = {connections}, duration = '{seconds}s', warm-up = '0s' }}",
        protocol.unwrap_or_default()
    )
}
