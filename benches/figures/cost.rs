//! What a request costs the client: processor time of the whole program for each answer, ours beside its peers.

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
        (Rival::Floor(Deed::Count, nginx.port), "(floor)"),
        (Rival::Floor(Deed::Measure, nginx.port), "(floor)"),
    ];
    compare("HTTP/1.1, 50 connections", &nginx.site, shape, &rivals, options)
}

/// The same over TLS.
pub(crate) fn https1(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::with_tls()? else { return site::missing("nginx or network namespaces") };
    let shape = Shape { connections: 50, streams: None, seconds: SECONDS };
    let rivals = [(Rival::Peer(Peer::Wrk), "≤ 1.0"), (Rival::Peer(Peer::Oha), "(anchor)")];
    compare("HTTPS/1.1, 50 connections", &nginx.site, shape, &rivals, options)
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
    compare("HTTP/2 over TLS, 10 connections × 10 streams", &nginx.site, shape, &rivals, options)
}

/// A run of at least a million requests beside a short one: recording must not grow dearer.
pub(crate) fn million(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = Nginx::plain()? else { return site::missing("nginx") };
    let long_seconds = if options.is_quick { 2 * BRIEF_SECONDS } else { LONG_SECONDS };
    let run = |seconds| {
        let site = &nginx.site;
        Box::new(move || our_cost(site, Shape { connections: 50, streams: None, seconds }))
    };
    let results = in_turns(options.pairs, vec![run(long_seconds), run(BRIEF_SECONDS)])?;
    let costs = |which: usize| results[which].iter().map(|cost| cost.us).collect::<Vec<_>>();
    let fewest = results[0].iter().map(|cost| cost.answers).fold(f64::INFINITY, f64::min);
    Ok(vec![Line {
        work: format!("{:.1} million requests in one run, beside a run of {BRIEF_SECONDS} s", fewest / 1e6),
        ours: micros(&costs(0)),
        theirs: format!("the short run {}", micros(&costs(1))),
        result: spread(&ratios(&costs(0), &costs(1)), |ratio| format!("{ratio:.2}")),
        goal: "1.0",
    }])
}

/// What our requests cost.
struct Cost {
    /// Microseconds of processor time for each.
    us: f64,
    answers: f64,
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
            Self::Floor(Deed::Count, _) => "two bare calls",
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

    fn cost_us(self, site: &Site, shape: Shape) -> Outcome<f64> {
        match self {
            Self::Peer(peer) => peer.cost_us(site, shape),
            Self::Floor(deed, port) => floor::cost_us(deed, port, shape.connections, shape.seconds),
            Self::BareH2 => {
                floor_h2::cost_us(site, shape.connections, shape.streams.unwrap_or(1), shape.seconds)
            }
        }
    }
}

fn compare(
    work: &str,
    site: &Site,
    shape: Shape,
    rivals: &[(Rival, &'static str)],
    options: &Options,
) -> Outcome<Vec<Line>> {
    let mut measures: Vec<Box<dyn FnMut() -> Outcome<f64>>> =
        vec![Box::new(|| our_cost(site, shape).map(|cost| cost.us))];
    let mut present = Vec::new();
    for &(rival, goal) in rivals {
        if rival.is_here() {
            measures.push(Box::new(move || rival.cost_us(site, shape)));
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

fn our_cost(site: &Site, shape: Shape) -> Outcome<Cost> {
    let run = run_ours(site, &keys(shape))?;
    let answers = run.number("/outcomes/2xx")?;
    Ok(Cost { us: run.processor_seconds * 1e6 / answers, answers })
}

/// The scenario's keys for a shape: everything counts, there is no warm-up.
fn keys(Shape { connections, streams, seconds }: Shape) -> String {
    let protocol = streams.map(|streams| format!("protocol = 'h2'\nstreams = {streams}\n"));
    format!(
        "{}profile = {{ connections = {connections}, duration = '{seconds}s', warm-up = '0s' }}",
        protocol.unwrap_or_default()
    )
}
