//! A directory of baselines: one file a run, named by scenario, time and commit, never overwritten.
//!
//! Anything else in it is left alone: a README lies there undisturbed, and what looks like a baseline but is none is
//! named to the caller.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::{BaselineError, Record, format_v1};

/// The name's ending of every stored baseline.
const EXTENSION: &str = "json";

/// So many runs of one scenario and commit within one second mean that something is broken.
const MAX_SAME_NAMES: u32 = 1_000;

/// A directory that keeps baselines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirStore {
    path: PathBuf,
}

/// What a store remembers.
#[derive(Debug, Default)]
pub struct Recall {
    /// Every readable record with its file, the oldest first.
    pub records: Vec<(PathBuf, Record)>,
    /// Every file that should be a record and is none.
    pub skipped: Vec<Skipped>,
}

impl Recall {
    /// Returns the records without their files, as a comparison wants them.
    #[must_use]
    pub fn into_records(self) -> Vec<Record> {
        self.records.into_iter().map(|(_, record)| record).collect()
    }
}

/// A file that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why, as a fragment of a sentence.
    pub why: String,
}

/// Which records outlive a pruning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many of the newest stay, of each scenario and fingerprint.
    pub keep: usize,
    /// The age beyond which none stays, not even one of the newest.
    pub older_than: Option<Duration>,
}

impl DirStore {
    /// Names the directory; it need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Stores a record in a new file and returns its path.
    ///
    /// The file appears whole or not at all, and takes the place of no other.
    ///
    /// # Errors
    /// Where the record is not fit to be stored, or the system refuses.
    pub fn save(&self, record: &Record) -> Result<PathBuf, BaselineError> {
        let bytes = format_v1::write(record)?;
        fs::create_dir_all(&self.path).map_err(|source| io_error("create", &self.path, source))?;
        let mut file =
            stage(&self.path, &bytes).map_err(|source| io_error("write in", &self.path, source))?;

        let stem = file_stem(record);
        for attempt in 1..=MAX_SAME_NAMES {
            let suffix = if attempt == 1 { String::new() } else { format!("-{attempt}") };
            let path = self.path.join(format!("{stem}{suffix}.{EXTENSION}"));
            match file.persist_noclobber(&path) {
                Ok(_) => {
                    self.sync();
                    return Ok(path);
                }
                Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => file = taken.file,
                Err(other) => return Err(io_error("write", &path, other.error)),
            }
        }
        Err(io_error("write in", &self.path, io::ErrorKind::AlreadyExists.into()))
    }

    /// Reads every record, the oldest first; a directory that does not exist holds none.
    ///
    /// # Errors
    /// As [`Self::each`].
    pub fn records(&self) -> Result<Recall, BaselineError> {
        self.recent(usize::MAX, |_| true)
    }

    /// Reads every record, but keeps the rounds only of those that are wanted, and of each scenario and fingerprint
    /// only of the newest `keep`: a store may hold thousands of runs, and the rounds of one take megabytes of memory.
    ///
    /// # Errors
    /// As [`Self::each`].
    pub fn recent(&self, keep: usize, is_wanted: impl Fn(&Record) -> bool) -> Result<Recall, BaselineError> {
        let mut records = Vec::new();
        let skipped = self.each(|path, mut record| {
            if !is_wanted(&record) {
                record.measurement.rounds = Vec::new();
            }
            records.push((path, record));
            thin_out(&mut records, keep);
        })?;
        records.sort_by(|(a_path, a), (b_path, b)| (a.measured_at, a_path).cmp(&(b.measured_at, b_path)));
        Ok(Recall { records, skipped })
    }

    /// Hands over every record with its file, one at a time and in no order; returns the files that are none.
    ///
    /// # Errors
    /// Where the directory exists and cannot be listed. A file that cannot be used is returned and is no error.
    pub fn each(&self, mut take: impl FnMut(PathBuf, Record)) -> Result<Vec<Skipped>, BaselineError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("list", &self.path, error)),
        };
        let mut skipped = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| io_error("list", &self.path, source))?;
            let path = entry.path();
            let has_name = path.extension().is_some_and(|extension| extension == EXTENSION);
            let kind = entry.file_type();
            if !has_name || kind.as_ref().is_ok_and(fs::FileType::is_dir) {
                continue;
            }
            let read = match kind {
                Ok(kind) if kind.is_file() => read_record(&path),
                // A link could lead out of the store, and a pipe would block for ever.
                Ok(_) => Err("not a regular file".to_owned()),
                Err(error) => Err(io_error("look at", &path, error).to_string()),
            };
            match read {
                Ok(record) => take(path, record),
                Err(why) => skipped.push(Skipped { path, why }),
            }
        }
        skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(skipped)
    }

    /// Removes the records that outlived their use and returns their paths; with `is_dry_run` it only returns them.
    ///
    /// The newest accepted step of a scenario always stays, for without it the runs before it would count again.
    /// Files that cannot be read are not touched.
    ///
    /// # Errors
    /// Where the directory cannot be listed or a file cannot be removed.
    pub fn prune(
        &self,
        retention: Retention,
        now: jiff::Timestamp,
        is_dry_run: bool,
    ) -> Result<Vec<PathBuf>, BaselineError> {
        let recall = self.recent(0, |_| false)?;
        let doomed = outlived(&recall.records, retention, now);
        if !is_dry_run {
            for path in &doomed {
                match fs::remove_file(path) {
                    // Another pruning was quicker.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(|source| io_error("remove", path, source))?,
                }
            }
            self.sync();
        }
        Ok(doomed)
    }

    /// Makes new and removed names durable where the system can; where it cannot, the files are still whole.
    fn sync(&self) {
        if let Ok(directory) = File::open(&self.path) {
            let _ = directory.sync_all();
        }
    }
}

/// Reads the records of any measurement file, such as the `measurement.json` of a run.
///
/// # Errors
/// Where the file cannot be read or is not of format 1.
pub fn read_file(path: &Path) -> Result<Vec<Record>, BaselineError> {
    let in_file = |source| BaselineError::File { path: path.to_owned(), source: Box::new(source) };
    format_v1::read_run(&read_bytes(path)?).map_err(in_file)
}

/// Writes the records of a run as one measurement file, replacing an earlier one whole.
///
/// # Errors
/// Where a record is not fit to be stored, or the system refuses.
pub fn write_file(path: &Path, records: &[Record]) -> Result<(), BaselineError> {
    let bytes = format_v1::write_run(records)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot_write = |source| io_error("write", path, source);
    fs::create_dir_all(directory).map_err(cannot_write)?;
    let file = stage(directory, &bytes).map_err(cannot_write)?;
    file.persist(path).map(drop).map_err(|error| cannot_write(error.error))
}

/// Writes the bytes to a nameless neighbour of the file that they shall become, down to the disk.
fn stage(directory: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".loadgate-").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn read_record(path: &Path) -> Result<Record, String> {
    let bytes = read_bytes(path).map_err(|error| error.to_string())?;
    format_v1::read(&bytes).map_err(|error| error.to_string())
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, BaselineError> {
    let cannot_read = |source| io_error("read", path, source);
    let mut bytes = Vec::new();
    // One byte beyond the limit is enough for `format_v1` to see that there is more.
    let limit = format_v1::MAX_FILE_BYTES + 1;
    File::open(path).map_err(cannot_read)?.take(limit).read_to_end(&mut bytes).map_err(cannot_read)?;
    Ok(bytes)
}

fn file_stem(record: &Record) -> String {
    let time = record.measured_at.strftime("%Y%m%dT%H%M%SZ");
    let commit = record.commit.as_ref().map_or("local", |commit| commit.short());
    format!("{}-{time}-{commit}", record.measurement.scenario)
}

fn is_same_kind(a: &Record, b: &Record) -> bool {
    a.measurement.scenario == b.measurement.scenario && a.fingerprint == b.fingerprint
}

/// Where the last record makes one too many of its kind, takes the rounds from the oldest of them.
fn thin_out(records: &mut [(PathBuf, Record)], keep: usize) {
    let has_rounds = |record: &Record| !record.measurement.rounds.is_empty();
    let Some((_, last)) = records.last().filter(|(_, last)| has_rounds(last)) else { return };
    let alike = records
        .iter()
        .enumerate()
        .filter(|(_, (_, record))| has_rounds(record) && is_same_kind(record, last))
        .map(|(index, (_, record))| (record.measured_at, index))
        .collect::<Vec<_>>();
    if let Some((_, oldest)) = alike.iter().min().filter(|_| alike.len() > keep) {
        records[*oldest].1.measurement.rounds = Vec::new();
    }
}

fn outlived(records: &[(PathBuf, Record)], retention: Retention, now: jiff::Timestamp) -> Vec<PathBuf> {
    let mut doomed = Vec::new();
    for (index, (path, record)) in records.iter().enumerate() {
        // A run from the future is not compared with, so it takes the place of none that is.
        let newer =
            records[index + 1..].iter().map(|(_, other)| other).filter(|other| other.measured_at <= now);
        let rank = newer.clone().filter(|other| is_same_kind(record, other)).count();
        let age = Duration::try_from(now.duration_since(record.measured_at)).unwrap_or_default();
        let is_outlived = rank >= retention.keep || retention.older_than.is_some_and(|limit| age > limit);
        let is_newest_step = record.accepted_step.is_some()
            && !newer.clone().any(|other| {
                other.accepted_step.is_some() && other.measurement.scenario == record.measurement.scenario
            });
        if is_outlived && !is_newest_step {
            doomed.push(path.clone());
        }
    }
    doomed
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> BaselineError {
    BaselineError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;
    use crate::context::CommitSha;

    fn store() -> (tempfile::TempDir, DirStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = DirStore::new(directory.path().join("baselines"));
        (directory, store)
    }

    fn names(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn a_directory_that_does_not_exist_holds_nothing() {
        let (_directory, store) = store();

        let recall = store.records().unwrap();

        assert!(recall.records.is_empty() && recall.skipped.is_empty());
    }

    #[test]
    fn a_saved_record_is_recalled_under_a_telling_name() {
        let (_directory, store) = store();
        let commit = CommitSha::parse(&"0123456789".repeat(4)).unwrap();
        let saved = Record { commit: Some(commit), ..record("browse", "2026-11-23T14:57:10.5Z") };

        let path = store.save(&saved).unwrap();

        assert_eq!(names(std::slice::from_ref(&path)), ["browse-20261123T145710Z-0123456.json"]);
        assert_eq!(store.records().unwrap().records, [(path, saved)]);
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_is_left_behind() {
        let (_directory, store) = store();
        let same = record("browse", "2026-11-23T14:57:10Z");

        let paths = [store.save(&same).unwrap(), store.save(&same).unwrap()];

        assert_eq!(
            names(&paths),
            ["browse-20261123T145710Z-local.json", "browse-20261123T145710Z-local-2.json"]
        );
        assert_eq!(fs::read_dir(&store.path).unwrap().count(), 2);
    }

    #[test]
    fn records_are_sorted_by_time_whatever_their_names() {
        let (_directory, store) = store();
        for (scenario, time) in [("z", "2026-11-01T00:00:00Z"), ("a", "2026-11-03T00:00:00Z")] {
            store.save(&record(scenario, time)).unwrap();
        }

        let recall = store.records().unwrap();

        let scenarios: Vec<_> =
            recall.records.iter().map(|(_, record)| record.measurement.scenario.as_str()).collect();
        assert_eq!(scenarios, ["z", "a"]);
    }

    #[test]
    fn only_the_newest_wanted_runs_keep_their_rounds() {
        let (_directory, store) = store();
        for (scenario, day) in [("a", 4), ("a", 1), ("a", 3), ("a", 2), ("b", 1), ("unwanted", 5)] {
            store.save(&record(scenario, &format!("2026-11-{day:02}T00:00:00Z"))).unwrap();
        }

        let recall = store.recent(2, |record| record.measurement.scenario.as_str() != "unwanted").unwrap();

        let whole: Vec<_> = recall
            .records
            .iter()
            .filter(|(_, record)| !record.measurement.rounds.is_empty())
            .map(|(path, _)| path.clone())
            .collect();
        assert_eq!(recall.records.len(), 6);
        assert_eq!(
            names(&whole),
            [
                "b-20261101T000000Z-local.json",
                "a-20261103T000000Z-local.json",
                "a-20261104T000000Z-local.json"
            ]
        );
    }

    #[test]
    fn damaged_files_are_named_and_foreign_ones_left_alone() {
        let (_directory, store) = store();
        store.save(&record("browse", "2026-11-23T14:57:10Z")).unwrap();
        fs::write(store.path.join("README.md"), "hello").unwrap();
        fs::write(store.path.join("broken.json"), "{\"format\": \"loadgate-measurement\"").unwrap();
        fs::create_dir(store.path.join("directory.json")).unwrap();

        let recall = store.records().unwrap();

        assert_eq!(recall.records.len(), 1);
        assert_eq!(recall.skipped.len(), 1);
        assert!(recall.skipped[0].path.ends_with("broken.json"));
        assert_eq!(recall.skipped[0].why, "damaged: it ends too early");
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_not_followed() {
        let (directory, store) = store();
        let inside = store.save(&record("browse", "2026-11-23T14:57:10Z")).unwrap();
        let outside = directory.path().join("outside.json");
        fs::rename(inside, &outside).unwrap();
        std::os::unix::fs::symlink(&outside, store.path.join("link.json")).unwrap();

        let recall = store.records().unwrap();

        assert!(recall.records.is_empty());
        assert_eq!(recall.skipped[0].why, "not a regular file");
        assert_eq!(read_file(&outside).unwrap().len(), 1);
    }

    #[test]
    fn an_oversized_file_is_skipped() {
        let (_directory, store) = store();
        fs::create_dir_all(&store.path).unwrap();
        let file = File::create(store.path.join("huge.json")).unwrap();
        file.set_len(format_v1::MAX_FILE_BYTES + 1).unwrap();

        let recall = store.records().unwrap();

        assert!(recall.skipped[0].why.contains("larger than"), "{:?}", recall.skipped);
    }

    #[test]
    fn a_measurement_file_is_replaced_whole() {
        let (directory, _store) = store();
        let path = directory.path().join("out/measurement.json");
        let run = [record("a", "2026-11-23T14:57:10Z"), record("b", "2026-11-23T14:58:10Z")];

        write_file(&path, &run[..1]).unwrap();
        write_file(&path, &run).unwrap();

        assert_eq!(read_file(&path).unwrap(), run);
    }

    #[test]
    fn a_missing_file_is_an_error_with_a_remedy() {
        let error = read_file(Path::new("does/not/exist.json")).unwrap_err();

        assert!(error.to_string().starts_with("cannot read does/not/exist.json"), "{error}");
        assert!(!error.help().is_empty());
    }

    #[test]
    fn pruning_keeps_the_newest_of_each_kind() {
        let (_directory, store) = store();
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        for (scenario, day) in [("a", 1), ("a", 2), ("a", 3), ("b", 1)] {
            store.save(&record(scenario, &format!("2026-11-{day:02}T00:00:00Z"))).unwrap();
        }
        let retention = Retention { keep: 2, older_than: None };

        let planned = store.prune(retention, now, true).unwrap();
        let before = store.records().unwrap().records.len();
        let removed = store.prune(retention, now, false).unwrap();

        assert_eq!((planned.as_slice(), before), (removed.as_slice(), 4));
        assert_eq!(names(&removed), ["a-20261101T000000Z-local.json"]);
        assert_eq!(store.records().unwrap().records.len(), 3);
    }

    #[test]
    fn runs_from_the_future_drive_none_out() {
        let (_directory, store) = store();
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        let step = |time| Record { accepted_step: Some("wanted".into()), ..record("a", time) };
        for run in [
            record("a", "2026-11-01T00:00:00Z"),
            step("2026-11-02T00:00:00Z"),
            record("a", "2026-11-03T00:00:00Z"),
            step("2036-11-01T00:00:00Z"),
        ] {
            store.save(&run).unwrap();
        }

        let removed = store.prune(Retention { keep: 1, older_than: None }, now, false).unwrap();

        assert_eq!(names(&removed), ["a-20261101T000000Z-local.json"]);
    }

    #[test]
    fn pruning_by_age_spares_the_newest_accepted_step_and_unreadable_files() {
        let (_directory, store) = store();
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        let step = Record { accepted_step: Some("wanted".into()), ..record("a", "2026-01-02T00:00:00Z") };
        for old in [record("a", "2026-01-01T00:00:00Z"), step] {
            store.save(&old).unwrap();
        }
        fs::write(store.path.join("broken.json"), "x").unwrap();
        let week = Duration::from_secs(7 * 24 * 3600);

        let removed = store.prune(Retention { keep: 30, older_than: Some(week) }, now, false).unwrap();

        assert_eq!(names(&removed), ["a-20260101T000000Z-local.json"]);
        assert!(store.path.join("broken.json").exists());
    }
}
