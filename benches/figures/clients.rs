//! The clients: ours as a user runs it, and its peers. Each gets the same work and says what it saw in its own words.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Processor, Spent, is_installed, pinned, spend};
use crate::site::{ROOT, Site};
use crate::{Failure, Outcome};

/// The program that users run, built with the profile of the bench.
const BINARY: &str = env!("CARGO_BIN_EXE_cargo-loadgate");

/// wrk2 keeps no latency of its first ten seconds.
const WRK2_CALIBRATION: Duration = Duration::from_secs(10);

/// What a run of ours left.
pub(crate) struct OurRun {
    /// User and system time.
    pub(crate) processor_seconds: f64,
    /// The first scenario of `report.json`.
    pub(crate) scenario: Value,
}

impl OurRun {
    /// Returns a number of the report.
    pub(crate) fn number(&self, pointer: &str) -> Outcome<f64> {
        let number = self.scenario.pointer(pointer).and_then(Value::as_f64);
        number.ok_or_else(|| Failure::Client(format!("no {pointer} in {}", self.scenario)))
    }
}

/// Returns the command that a user would type for one scenario's keys; the configuration is written anew.
pub(crate) fn our_command(site: &Site, keys: &str) -> Outcome<Command> {
    let root = site.project.path();
    let text = format!("{}\n[[scenario]]\nname = 'bench'\n{keys}\n", site.policy);
    fs::write(root.join("loadgate.toml"), text)?;
    if site.inside.is_some() {
        merge_into_base(root)?;
    }
    let mut command = pinned(Processor::Clients, site.inside.as_deref(), BINARY);
    command.args(["run", "--quiet", "--threads", "1"]).args(&site.arguments).current_dir(root);
    command.envs(site.variables.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

/// Commits the configuration as the tip of the base branch, where the guard of a preview looks for it.
fn merge_into_base(root: &Path) -> Outcome<()> {
    let identity =
        ["-c", "user.name=a bench", "-c", "user.email=bench@example.test", "-c", "commit.gpgsign=false"];
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--force", "--", "loadgate.toml", ROOT],
        &["commit", "--quiet", "--allow-empty", "--message=the policy"],
        &["update-ref", "refs/remotes/origin/main", "HEAD"],
    ] {
        let status = Command::new("git").args(identity).args(arguments).current_dir(root).status()?;
        if !status.success() {
            return Err(Failure::Client(format!("git {arguments:?} ended with {status}")));
        }
    }
    Ok(())
}

/// Runs ours with one scenario.
pub(crate) fn run_ours(site: &Site, keys: &str) -> Outcome<OurRun> {
    let path = site.project.path().join("target/loadgate/report.json");
    // What an earlier run left must not be taken for this one's.
    let _ = fs::remove_file(&path);
    let Spent { processor_seconds, output } = spend(&mut our_command(site, keys)?)?;
    let bytes = fs::read(path).map_err(|_| Failure::Client(format!("ours left no report: {output}")))?;
    let mut report: Value = serde_json::from_slice(&bytes)?;
    Ok(OurRun { processor_seconds, scenario: report["scenarios"][0].take() })
}

/// What closed-loop work is asked of everybody.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Connections.
    pub(crate) connections: u32,
    /// Streams on each, with HTTP/2; `None` for HTTP/1.1.
    pub(crate) streams: Option<u32>,
    /// How long.
    pub(crate) seconds: u64,
}

/// Another load generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// wrk.
    Wrk,
    /// h2load.
    H2load,
    /// oha.
    Oha,
    /// hey.
    Hey,
    /// wrk2.
    Wrk2,
}

/// What a peer reports of an open loop, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerLatency {
    /// The median.
    pub(crate) p50_us: f64,
    /// The 99th percentile.
    pub(crate) p99_us: f64,
    /// How many of the last requests it stands for; `None` for all.
    pub(crate) last: Option<usize>,
}

impl Peer {
    /// Returns the name of its program.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
            Self::Oha => "oha",
            Self::Hey => "hey",
            Self::Wrk2 => "wrk2",
        }
    }

    /// Returns the peer where its program is on this machine.
    pub(crate) fn if_installed(self) -> Option<Self> {
        is_installed(self.program()).then_some(self)
    }

    /// Runs closed-loop work; returns the processor time that it took, in seconds.
    pub(crate) fn work(self, site: &Site, shape: Shape) -> Outcome<f64> {
        let Shape { connections, streams, seconds } = shape;
        let arguments = match (self, streams) {
            (Self::Wrk, None) => format!("-t1 -c{connections} -d{seconds}s"),
            (Self::H2load, None) => format!("--h1 -t1 -c{connections} -D{seconds}"),
            (Self::H2load, Some(streams)) => format!("-t1 -c{connections} -m{streams} -D{seconds}"),
            (Self::Oha, None) => {
                format!("--no-tui --insecure --output-format json -c {connections} -z {seconds}s")
            }
            (Self::Oha, Some(streams)) => {
                format!(
                    "--no-tui --insecure --output-format json --http2 -c {connections} -p {streams} -z {seconds}s"
                )
            }
            _ => return Err(Failure::Client(format!("{self:?} has no part in this work"))),
        };
        Ok(self.run(site, &arguments)?.processor_seconds)
    }

    /// Runs an open loop, or what comes nearest, and returns the latency that it reports; where it can count from the
    /// intended time, it does.
    pub(crate) fn latency(self, site: &Site, rate: u32, lasts: Duration) -> Outcome<PeerLatency> {
        let seconds = lasts.as_secs();
        let connections = crate::fidelity::CONNECTIONS;
        let arguments = match self {
            Self::Wrk => format!("-t1 -c{connections} -d{seconds}s --latency"),
            Self::Hey => format!("-z {seconds}s -c {connections} -q {}", rate / connections),
            Self::Oha => format!(
                "--no-tui --output-format json -z {seconds}s -c {connections} -q {rate} --latency-correction"
            ),
            Self::Wrk2 => {
                let whole = seconds + WRK2_CALIBRATION.as_secs();
                format!("-t1 -c{connections} -d{whole}s -R{rate} --latency")
            }
            Self::H2load => return Err(Failure::Client("h2load has no open loop".to_owned())),
        };
        let output = self.run(site, &arguments)?.output;
        let quantile = |percent: u32| match self {
            Self::Hey => number_before_unit(&output, &format!("{percent}% in ")).map(|seconds| seconds * 1e6),
            Self::Oha => {
                let report: Value = serde_json::from_str(&output).ok()?;
                Some(report["latencyPercentiles"][format!("p{percent}")].as_f64()? * 1e6)
            }
            _ => wrk_quantile_us(&output, percent),
        };
        let (p50, p99) = (quantile(50), quantile(99));
        let (Some(p50_us), Some(p99_us)) = (p50, p99) else { return Err(self.strange(&output)) };
        let last = (self == Self::Wrk2).then(|| rate as usize * usize::try_from(seconds).unwrap_or(0));
        Ok(PeerLatency { p50_us, p99_us, last })
    }

    fn run(self, site: &Site, arguments: &str) -> Outcome<Spent> {
        let mut command = pinned(Processor::Clients, site.inside.as_deref(), self.program());
        spend(command.args(arguments.split(' ')).arg(&site.url))
    }

    fn strange(self, output: &str) -> Failure {
        Failure::Client(format!("{self:?} said something else than expected: {output}"))
    }
}

/// Returns the number right behind some words, up to a space.
fn number_before_unit(text: &str, words: &str) -> Option<f64> {
    text.split_once(words)?.1.split_whitespace().next()?.parse().ok()
}

/// Reads a line such as `50.000%    1.82ms` (wrk2) or `50%    1.82ms` (wrk).
fn wrk_quantile_us(output: &str, percent: u32) -> Option<f64> {
    let marks = [format!("{percent}.000%"), format!("{percent}%")];
    let value = output.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let mark = words.next()?;
        marks.iter().any(|wanted| wanted == mark).then(|| words.next())?
    })?;
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6)] {
        if let Some(Ok(number)) = value.strip_suffix(unit).map(str::parse::<f64>) {
            return Some(number * factor);
        }
    }
    None
}
