//! What a service prints goes to a private file; its last lines are its own words when it fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;

use super::error::ServiceError;

/// Enough to hold an error and the stack that led to it.
const LAST_LINES: usize = 20;

/// Twenty lines of the longest kind that a person still reads.
const LAST_BYTES: u64 = 16 * 1024;

/// Creates the log file, readable by its owner alone, and returns it as standard output and standard error.
pub(super) fn open_log(path: &Path) -> Result<(Stdio, Stdio), ServiceError> {
    let open = || -> io::Result<(Stdio, Stdio)> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        Ok((file.try_clone()?.into(), file.into()))
    };
    open().map_err(|source| ServiceError::Log { path: path.to_owned(), source })
}

/// Returns the last lines of a log, without control characters that could rewrite a terminal.
pub(super) fn last_words(path: &Path) -> String {
    let bytes = read_end(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len().saturating_sub(LAST_LINES);
    let is_shown = |c: &char| !c.is_control() || *c == '\t' || *c == '\n';
    lines[last..].join("\n").chars().filter(is_shown).collect()
}

fn read_end(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_twenty_lines_without_escapes() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("service.log");
        let lines: Vec<String> = (0..5000).map(|n| format!("line {n} \u{1b}[31mred")).collect();
        std::fs::write(&log, lines.join("\n")).unwrap();

        let words = last_words(&log);

        assert_eq!(words.lines().count(), 20);
        assert!(words.starts_with("line 4980 [31mred") && words.ends_with("line 4999 [31mred"), "{words}");
    }

    #[test]
    fn a_log_that_is_missing_has_no_words() {
        assert_eq!(last_words(Path::new("no-such-dir/service.log")), "");
    }

    #[cfg(unix)]
    #[test]
    fn a_log_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("out/service.log");

        open_log(&log).unwrap();

        assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
