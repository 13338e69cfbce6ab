//! Measures what a request costs the client, beside wrk: nginx on one processor, clients in turn on another.
//!
//! Run with `cargo bench --bench cpu_per_request`; needs Linux, two processors, `nginx`, `wrk` and `taskset`. Pairs
//! alternate and the medians of pairs are compared, so that a machine that changes its speed cheats nobody.

#![expect(clippy::print_stdout, reason = "the table is what this bench is for")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use cargo_loadgate::clock;

const PAIRS: usize = 7;
const SECONDS: u64 = 3;
const CONNECTIONS: u32 = 50;

/// The longer run of the two whose memory is compared.
const LONG_SECONDS: u64 = 15;

/// The kernel counts processor time in hundredths of a second (`USER_HZ`) on every architecture Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// The program that users run, built with the profile of the bench.
const BINARY: &str = env!("CARGO_BIN_EXE_cargo-loadgate");

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let nginx = Nginx::start()?;
    println!("{:>6} {:>14} {:>14} {:>8}", "pair", "ours us/req", "wrk us/req", "ratio");
    let (mut ours, mut wrk, mut ratios) = (vec![], vec![], vec![]);
    for pair in 1..=PAIRS {
        // Neither is always the one that runs on the warmer processor.
        let (mine, theirs) = if pair % 2 == 0 {
            let mine = our_cost(nginx.port)?;
            (mine, wrk_cost(nginx.port)?)
        } else {
            let theirs = wrk_cost(nginx.port)?;
            (our_cost(nginx.port)?, theirs)
        };
        println!("{pair:>6} {mine:>14.3} {theirs:>14.3} {:>8.3}", mine / theirs);
        ours.push(mine);
        wrk.push(theirs);
        ratios.push(mine / theirs);
    }
    println!("{:>6} {:>14.3} {:>14.3} {:>8.3}", "median", median(ours), median(wrk), median(ratios));
    println!("start to first request: {:?}", start_to_first_request()?);
    for seconds in [SECONDS, LONG_SECONDS] {
        let project = project(seconds)?;
        let peak = peak_rss_kib(client(nginx.port, project.path()))?;
        println!("peak RSS at {CONNECTIONS} connections over {seconds} s: {peak} KiB");
    }
    println!("binary: {} KiB", fs::metadata(BINARY)?.len() / 1024);
    Ok(())
}

/// Makes a directory with the configuration of one run: all of it counts, there is no warm-up.
fn project(seconds: u64) -> Outcome<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    let profile = format!("{{ connections = {CONNECTIONS}, duration = '{seconds}s', warm-up = '0s' }}");
    fs::write(
        directory.path().join("loadgate.toml"),
        format!("[[scenario]]\nname = 'bench'\nprofile = {profile}\n"),
    )?;
    Ok(directory)
}

/// Returns the command that a user would type, on the clients' processor.
fn client(port: u16, project: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", BINARY, "run", "--quiet", "--threads", "1", "--local", &port.to_string()]);
    command.current_dir(project).stdout(Stdio::null());
    command
}

fn wrk_client(port: u16, seconds: u64) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "1", "wrk", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")]);
    command.arg(format!("http://127.0.0.1:{port}/"));
    command
}

/// Returns the processor time of our whole program for each answered request, in microseconds.
fn our_cost(port: u16) -> Outcome<f64> {
    let project = project(SECONDS)?;
    let before = children_ticks()?;
    client(port, project.path()).status()?;
    let ticks = children_ticks()? - before;
    let report = fs::read(project.path().join("target/loadgate/report.json"))?;
    let report: serde_json::Value = serde_json::from_slice(&report)?;
    let answered = report["scenarios"][0]["outcomes"]["2xx"].as_f64().ok_or("no answers in the report")?;
    Ok(ticks / TICKS_PER_SECOND * 1e6 / answered)
}

/// Returns the processor time of wrk for each request, in microseconds.
fn wrk_cost(port: u16) -> Outcome<f64> {
    let before = children_ticks()?;
    let output = wrk_client(port, SECONDS).output()?;
    let ticks = children_ticks()? - before;
    let text = String::from_utf8(output.stdout)?;
    let requests: f64 = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in").map(|(count, _)| count.to_owned()))
        .ok_or_else(|| format!("wrk did not say how many requests it made: {text}"))?
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
    let project = project(1)?;
    let started = clock::monotonic();
    let mut child = client(listener.local_addr()?.port(), project.path()).spawn()?;
    // The first connection only asks whether anything listens; the first that says something is load.
    let elapsed = loop {
        let (mut stream, _) = listener.accept()?;
        if stream.read(&mut [0])? > 0 {
            break started.elapsed();
        }
    };
    child.kill()?;
    child.wait()?;
    Ok(elapsed)
}

fn peak_rss_kib(mut command: Command) -> Outcome<u64> {
    let mut child = command.spawn()?;
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
