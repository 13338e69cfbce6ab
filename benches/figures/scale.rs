//! What a run needs of the machine: memory, connections, the time to the first request, the size of the program.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;

use cargo_loadgate::clock;

use crate::clients::{our_command, run_ours};
use crate::process::peak_memory_kib;
use crate::site::{Nginx, Site, leave_out};
use crate::table::{Line, median, spread};
use crate::{Options, Outcome};

/// Memory at a thousand connections, over a short and a long run.
pub(crate) fn memory(options: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = nginx()? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    let long = if options.is_quick { 15 } else { 60 };
    for (seconds, goal) in [(10, "≤ 60 MB"), (long, "≤ 60 MB, the same")] {
        let keys = format!("profile = {{ connections = 1000, duration = '{seconds}s', warm-up = '0s' }}");
        let peak = peak_memory_kib(&mut our_command(&nginx.site, &keys)?)?;
        lines.push(Line {
            work: format!("memory at 1,000 connections, {seconds} s"),
            ours: String::new(),
            theirs: String::new(),
            result: format!("**{:.1} MB**", peak as f64 / 1024.0),
            goal,
        });
    }
    Ok(lines)
}

/// Ten thousand connections on one machine.
pub(crate) fn connections(_: &Options) -> Outcome<Vec<Line>> {
    let Some(nginx) = nginx()? else { return Ok(Vec::new()) };
    let keys = "profile = { connections = 10000, duration = '10s', warm-up = '3s' }";
    let run = run_ours(&nginx.site, keys)?;
    Ok(vec![Line {
        work: "10,000 connections".to_owned(),
        ours: format!("error rate {:.2} %", run.number("/error_rate")? * 100.0),
        theirs: String::new(),
        result: format!(
            "**{} reached**, {:.0} answers",
            run.number("/connections/reached")?,
            run.number("/outcomes/2xx")?
        ),
        goal: "10,000, none failed",
    }])
}

/// The time from the start of the program to its first request.
pub(crate) fn first_request(options: &Options) -> Outcome<Vec<Line>> {
    let mut milliseconds = Vec::new();
    for _ in 0..options.pairs {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let site = Site::on_loopback(listener.local_addr()?.port())?;
        let keys = "profile = { connections = 1, duration = '1s', warm-up = '0s' }";
        let mut command = our_command(&site, keys)?;
        let started = clock::monotonic();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        // The first connection only asks whether anything listens; the first that says something is load.
        loop {
            let (mut stream, _) = listener.accept()?;
            if stream.read(&mut [0])? > 0 {
                break;
            }
        }
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        child.kill()?;
        child.wait()?;
    }
    Ok(vec![Line {
        work: "start to first request".to_owned(),
        ours: format!("{:.1} ms", median(&milliseconds)),
        theirs: String::new(),
        result: spread(&milliseconds, |ms| format!("{ms:.1} ms")),
        goal: "< 50 ms",
    }])
}

/// The size of the program.
pub(crate) fn size(_: &Options) -> Outcome<Vec<Line>> {
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_cargo-loadgate"))?.len();
    Ok(vec![Line {
        work: "release binary, stripped".to_owned(),
        ours: String::new(),
        theirs: String::new(),
        result: format!("**{:.1} MB**", bytes as f64 / 1024.0 / 1024.0),
        goal: "< 20 MB",
    }])
}

fn nginx() -> Outcome<Option<Nginx>> {
    let nginx = Nginx::plain()?;
    if nginx.is_none() {
        leave_out("nginx is not installed");
    }
    Ok(nginx)
}
