//! What a service prints goes to a private file; its last lines are its own words when it fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::error::ServiceError;
use crate::redact::{RedactedStream, Redactor};

/// Enough to hold an error and the stack that led to it.
const LAST_LINES: usize = 20;

/// Twenty lines of the longest kind that a person still reads.
const LAST_BYTES: u64 = 16 * 1024;

/// How long a build that has ended may keep its output open: something that it left behind holds it.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// A longer line is told in pieces.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Lines of a program that are told while it runs, without secrets.
#[derive(Debug)]
pub(super) struct Lines {
    ended: mpsc::Receiver<()>,
}

impl Lines {
    /// Returns it with the ends of a pipe for standard output and standard error.
    pub(super) fn open(
        redactor: &Redactor,
        tell: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<(Self, Stdio, Stdio), ServiceError> {
        let (mut reader, writer) = io::pipe().map_err(ServiceError::Pipe)?;
        let copy = writer.try_clone().map_err(ServiceError::Pipe)?;
        let (sender, ended) = mpsc::channel();
        let mut stream = RedactedStream::new(redactor);
        let read = move || {
            let mut told = Told { line: Vec::new(), tell };
            let mut piece = vec![0; 16 * 1024];
            // A pipe ends or breaks when the program does; either way there is nothing more to tell.
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                let _ = stream.push(&piece[..length], &mut told);
            }
            let _ = stream.finish(&mut told);
            let _ = told.flush();
            let _ = sender.send(());
        };
        thread::Builder::new().name("build-output".into()).spawn(read).map_err(ServiceError::Pipe)?;
        Ok((Self { ended }, copy.into(), writer.into()))
    }

    /// Waits until all that the program printed is told.
    pub(super) fn finish(self) {
        let _ = self.ended.recv_timeout(LAST_WAIT);
    }
}

/// Tells whole lines.
struct Told {
    line: Vec<u8>,
    tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.line.pop();
                (self.tell)(&String::from_utf8_lossy(&self.line));
                self.line.clear();
            } else if self.line.len() > MAX_LINE_BYTES {
                self.flush()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            (self.tell)(&String::from_utf8_lossy(&self.line));
            self.line.clear();
        }
        Ok(())
    }
}

/// The file that holds what a build or a service prints.
///
/// The program writes it itself and could print anything, so secrets are masked when the log is dropped: drop it
/// after the program.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    redactor: Redactor,
}

impl Log {
    /// Creates the file, readable by its owner alone, and returns it as standard output and standard error too.
    pub(super) fn open(path: &Path, redactor: &Redactor) -> Result<(Self, Stdio, Stdio), ServiceError> {
        let open = || -> io::Result<File> {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let mut options = OpenOptions::new();
            options.create(true).write(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path)
        };
        let cannot = |source| ServiceError::Log { path: path.to_owned(), source };
        let file = open().map_err(cannot)?;
        let log = Self { path: path.to_owned(), redactor: redactor.clone() };
        Ok((log, file.try_clone().map_err(cannot)?.into(), file.into()))
    }

    /// Returns the last lines, without secrets and without control characters that could rewrite a terminal.
    pub(super) fn last_words(&self) -> String {
        let bytes = read_end(&self.path).unwrap_or_default();
        let text = self.redactor.redact(&String::from_utf8_lossy(&bytes));
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(LAST_LINES);
        let is_shown = |c: &char| !c.is_control() || *c == '\t' || *c == '\n';
        lines[last..].join("\n").chars().filter(is_shown).collect()
    }

    fn mask_secrets(&self) -> io::Result<()> {
        if !self.redactor.copy(&mut File::open(&self.path)?, &mut io::sink())? {
            return Ok(());
        }
        let mut masked = tempfile::NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new(".")))?;
        self.redactor.copy(&mut File::open(&self.path)?, &mut masked)?;
        masked.persist(&self.path)?;
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.mask_secrets().is_err() {
            // A log that could not be cleared of secrets must not be found by whoever collects the reports.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns the end of a file, from the beginning of a line: half a secret would not be known as one.
fn read_end(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut bytes)?;
    if length > LAST_BYTES {
        let first_whole = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..first_whole);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn log_with(text: &str) -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let redactor = Redactor::new(vec![Secret::new("correct-horse".into())]);
        let (log, _, _) = Log::open(&dir.path().join("out/service.log"), &redactor).unwrap();
        std::fs::write(&log.path, text).unwrap();
        (dir, log)
    }

    #[test]
    fn last_words_are_the_last_twenty_lines_without_escapes() {
        let lines: Vec<String> = (0..5000).map(|n| format!("line {n} \u{1b}[31mred")).collect();
        let (_dir, log) = log_with(&lines.join("\n"));

        let words = log.last_words();

        assert_eq!(words.lines().count(), 20);
        assert!(words.starts_with("line 4980 [31mred") && words.ends_with("line 4999 [31mred"), "{words}");
    }

    #[test]
    fn last_words_hold_no_secret_and_no_end_of_one() {
        let end = "x".repeat(usize::try_from(LAST_BYTES).unwrap() - 12);
        let (_dir, log) = log_with(&format!("correct-horse{end}\nlast correct-horse"));

        assert_eq!(log.last_words(), "last ***");
    }

    #[test]
    fn a_log_that_is_missing_has_no_words() {
        let (dir, log) = log_with("");
        drop(dir);

        assert_eq!(log.last_words(), "");
    }

    #[test]
    fn a_log_keeps_no_secret() {
        let (dir, log) = log_with("a correct-horse b");
        let path = log.path.clone();

        drop(log);

        assert_eq!(std::fs::read_to_string(path).unwrap(), "a *** b");
        assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_log_is_private_before_and_after_it_is_masked() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, log) = log_with("correct-horse");
        let path = log.path.clone();
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let before = mode();

        drop(log);

        assert_eq!((before, mode()), (0o600, 0o600));
    }
}
