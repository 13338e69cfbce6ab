//! Runs clients and servers on processors of their own and counts what they spend.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::{Failure, Outcome};

/// The kernel counts processor time in hundredths of a second (`USER_HZ`) on every architecture Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// How often the memory of a running program is looked at; the kernel keeps the peak itself.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

/// A processor of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Processor {
    /// Where servers run.
    Servers,
    /// Where clients run, one after the other.
    Clients,
}

/// What a program printed and what it cost.
pub(crate) struct Spent {
    /// User and system time.
    pub(crate) processor_seconds: f64,
    /// Its standard output.
    pub(crate) output: String,
}

/// Returns a command that runs on one processor only, inside a network namespace if one is named.
pub(crate) fn pinned(processor: Processor, inside: Option<&str>, program: &str) -> Command {
    let number = match processor {
        Processor::Servers => "0",
        Processor::Clients => "1",
    };
    let mut command = match inside {
        None => Command::new("taskset"),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, "taskset"]);
            command
        }
    };
    command.args(["-c", number, program]);
    command
}

/// Runs a command to its end. No other child may end meanwhile.
pub(crate) fn spend(command: &mut Command) -> Outcome<Spent> {
    let before = children_ticks()?;
    let output = command.stderr(Stdio::piped()).output()?;
    let ticks = children_ticks()? - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.is_empty() && !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Client(format!("{command:?} ended with {}: {words}", output.status)));
    }
    Ok(Spent { processor_seconds: ticks / TICKS_PER_SECOND, output: text })
}

/// Runs a command to its end and returns the most memory it had resident, in KiB.
pub(crate) fn peak_memory_kib(command: &mut Command) -> Outcome<u64> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(memory_kib(&child));
        thread::sleep(MEMORY_INTERVAL);
    }
    Ok(peak)
}

/// Returns whether a program can be started at all.
pub(crate) fn is_installed(program: &str) -> bool {
    let started = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    started.is_ok()
}

fn memory_kib(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Returns user and system time of all children that were waited for.
fn children_ticks() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let unexpected = || Failure::Client("unexpected /proc/self/stat".to_owned());
    let fields = stat.rsplit_once(") ").ok_or_else(unexpected)?.1;
    fields.split(' ').skip(13).take(2).map(|field| field.parse::<f64>().map_err(|_| unexpected())).sum()
}
