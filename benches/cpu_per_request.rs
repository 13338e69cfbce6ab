//! Measures what a request costs the client, beside wrk: nginx on one processor, clients in turn on another.
//!
//! Run with `cargo bench --bench cpu_per_request`; needs Linux, two processors, `nginx`, `wrk` and `taskset`. Pairs
//! alternate and the medians of pairs are compared, so that a machine that changes its speed cheats nobody.

#![expect(clippy::print_stdout, reason = "the table is what this bench is for")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use cargo_loadgate::clock;
use cargo_loadgate::context::Context;
use cargo_loadgate::guard::{self, Inquiry, Policy, Surroundings, SystemResolver};
use cargo_loadgate::load::{DriveOptions, drive};
use cargo_loadgate::request::Request;
use cargo_loadgate::scenario::{Gate, LoadProfile, Pacing, Scenario, ScenarioName};
use cargo_loadgate::target::{Candidate, Source};
use cargo_loadgate::verdict::FailOn;
use tokio_util::sync::CancellationToken;

const PAIRS: usize = 7;
const SECONDS: u64 = 3;
const CONNECTIONS: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// The kernel counts processor time in hundredths of a second (`USER_HZ`) on every architecture Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--client") {
        return be_client(arguments[at + 1].parse()?, arguments[at + 2].parse()?);
    }
    let nginx = Nginx::start()?;
    println!("{:>6} {:>14} {:>14} {:>8}", "pair", "ours us/req", "wrk us/req", "ratio");
    let (mut ours, mut wrk, mut ratios) = (vec![], vec![], vec![]);
    for pair in 1..=PAIRS {
        // Neither is always the one that runs on the warmer processor.
        let (mine, theirs) = if pair % 2 == 0 {
            let mine = cost(client(nginx.port, SECONDS)?)?;
            (mine, cost(wrk_client(nginx.port, SECONDS))?)
        } else {
            let theirs = cost(wrk_client(nginx.port, SECONDS))?;
            (cost(client(nginx.port, SECONDS)?)?, theirs)
        };
        println!("{pair:>6} {mine:>14.3} {theirs:>14.3} {:>8.3}", mine / theirs);
        ours.push(mine);
        wrk.push(theirs);
        ratios.push(mine / theirs);
    }
    println!("{:>6} {:>14.3} {:>14.3} {:>8.3}", "median", median(ours), median(wrk), median(ratios));
    println!("start to first request: {:?}", start_to_first_request()?);
    println!("peak RSS at {CONNECTIONS} connections: {} KiB", peak_rss_kib(client(nginx.port, SECONDS)?)?);
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/cargo-loadgate");
    if let Ok(metadata) = fs::metadata(binary) {
        println!("release binary: {} KiB", metadata.len() / 1024);
    }
    Ok(())
}

/// Returns the command that loads a port of this machine; it prints how many requests it made.
fn client(port: u16, seconds: u64) -> Outcome<Command> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(env::current_exe()?);
    command.args(["--client", &port.to_string(), &seconds.to_string()]);
    Ok(command)
}

fn wrk_client(port: u16, seconds: u64) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "wrk", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")]);
    command.arg(format!("http://127.0.0.1:{port}/"));
    command
}

/// Runs a client and returns its processor time for each request, in microseconds.
fn cost(mut command: Command) -> Outcome<f64> {
    let before = children_ticks()?;
    let output = command.output()?;
    let ticks = children_ticks()? - before;
    let text = String::from_utf8(output.stdout)?;
    let requests: f64 = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in").map(|(count, _)| count.to_owned()))
        .ok_or_else(|| format!("the client did not say how many requests it made: {text}"))?
        .parse()?;
    Ok(ticks / TICKS_PER_SECOND * 1e6 / requests)
}

/// Returns user and system time of all children that were waited for.
fn children_ticks() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").ok_or("unexpected /proc/self/stat")?.1;
    let ticks: Result<Vec<f64>, _> = fields.split(' ').skip(13).take(2).map(str::parse).collect();
    Ok(ticks?.iter().sum())
}

fn start_to_first_request() -> Outcome<Duration> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let started = clock::monotonic();
    let mut child = client(listener.local_addr()?.port(), 1)?.stdout(Stdio::null()).spawn()?;
    let (mut stream, _) = listener.accept()?;
    stream.read_exact(&mut [0])?;
    let elapsed = started.elapsed();
    child.kill()?;
    child.wait()?;
    Ok(elapsed)
}

fn peak_rss_kib(mut command: Command) -> Outcome<u64> {
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        thread::sleep(Duration::from_millis(50));
    }
    Ok(peak)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An nginx that answers every request at once, stopped when dropped.
struct Nginx {
    port: u16,
    prefix: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Outcome<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let prefix = tempfile::tempdir()?;
        let mut file = fs::File::create(prefix.path().join("nginx.conf"))?;
        write!(
            file,
            "worker_processes 1; pid nginx.pid; error_log /dev/null crit;
             events {{ worker_connections 1024; }}
             http {{
                 access_log off; keepalive_requests 1000000000;
                 server {{ listen 127.0.0.1:{port}; location / {{ return 200 'hello'; }} }}
             }}"
        )?;
        let nginx = Self { port, prefix };
        // It returns when it listens: it goes to the background then.
        let status = nginx.command().status()?;
        if status.success() { Ok(nginx) } else { Err("nginx did not start".into()) }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0", "nginx", "-e", "/dev/null", "-c", "nginx.conf", "-p"])
            .arg(self.prefix.path());
        command
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A server that is gone already needs no stopping.
        let _ = self.command().args(["-s", "stop"]).stderr(Stdio::null()).status();
    }
}

fn be_client(port: u16, seconds: u64) -> Outcome<()> {
    let inquiry = Inquiry {
        context: Context::Desk,
        candidates: vec![Candidate::on_loopback(Source::Local, SocketAddr::from(([127, 0, 0, 1], port)))],
        production_facts: vec![],
        policy: Policy::default(),
        surroundings: Surroundings::default(),
    };
    let target = guard::clear(&inquiry, &SystemResolver::default())?;
    let scenario = Scenario {
        name: ScenarioName::parse("bench")?,
        request: Request::get("/")?,
        profile: LoadProfile {
            pacing: Pacing::ClosedLoop { ceiling: None },
            connections: CONNECTIONS,
            duration: Duration::from_secs(seconds),
            warm_up: Duration::ZERO,
            rounds: LoadProfile::DEFAULT_ROUNDS,
            timeout: Duration::from_secs(2),
        },
        gate: Gate {
            metrics: vec![],
            max_regression: 0.1,
            max_error_rate: 0.01,
            budgets: vec![],
            fail_on: FailOn::default(),
            confirm_after: Duration::ZERO,
        },
    };
    let options = DriveOptions { threads: NonZeroUsize::MIN };
    let measurement = drive(&target, &scenario, &options, &CancellationToken::new(), &|_| {})?;
    println!("{} requests in {:?}", measurement.outcomes().answered(), measurement.elapsed);
    Ok(())
}
