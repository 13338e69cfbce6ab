//! A program that prints a secret: started without a shell, heard on standard output only, ended when its time is up.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{MAX_VALUE_BYTES, Sources, Unusable, without_newline};
use crate::clock;

/// How often a program is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Returns what a program prints.
pub(super) fn output(argv: &[String], timeout: Duration, sources: &Sources<'_>) -> Result<Vec<u8>, Unusable> {
    let [program, arguments @ ..] = argv else { return Err(Unusable::Short) };
    if Path::new(program).starts_with(sources.root) {
        return Err(Unusable::Inside(program.into()));
    }
    let cannot = |source| Unusable::Start { program: program.clone(), source };
    let mut command = Command::new(program);
    // What it says beside the value may hold the value.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // What it starts in turn must end with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = Ended(command.spawn().map_err(cannot)?);
    let printed = child.0.stdout.take();
    let (sender, heard) = mpsc::channel();
    // A program that prints without end must not fill the pipe and wait, so it is read beside its run.
    thread::Builder::new()
        .name("secret".into())
        .spawn(move || {
            let mut bytes = Vec::new();
            let read =
                printed.map_or(Ok(0), |pipe| pipe.take(MAX_VALUE_BYTES as u64 + 3).read_to_end(&mut bytes));
            // Nobody listens any more only where its time was up.
            let _ = sender.send(read.map(|_| bytes));
        })
        .map_err(cannot)?;
    let deadline = clock::monotonic() + timeout;
    let slow = || Unusable::Slow { program: program.clone(), limit: timeout };
    let bytes = loop {
        if sources.cancel.is_cancelled() {
            return Err(Unusable::Cancelled);
        }
        match heard.recv_timeout(POLL) {
            Ok(read) => break read.map_err(cannot)?,
            Err(mpsc::RecvTimeoutError::Timeout) if clock::monotonic() < deadline => {}
            Err(_) => return Err(slow()),
        }
    };
    if bytes.len() > MAX_VALUE_BYTES + 2 {
        return Err(Unusable::Long);
    }
    loop {
        match child.status().map_err(cannot)? {
            Some(status) if status.success() => return Ok(without_newline(bytes)),
            Some(status) => {
                return Err(Unusable::Failed { program: program.clone(), status: status.to_string() });
            }
            None if clock::monotonic() >= deadline => return Err(slow()),
            None if sources.cancel.is_cancelled() => return Err(Unusable::Cancelled),
            None => thread::sleep(POLL),
        }
    }
}

/// A program that does not outlive the question.
struct Ended(Child);

impl Ended {
    fn status(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // It may end by itself at this moment.
            #[cfg(unix)]
            if let Some(group) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
