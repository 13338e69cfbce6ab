//! Recalls stored measurements and saves new ones, and says what of it went wrong without failing the run.

use super::failure::{Failure, chain};
use super::gate::Judged;
use super::session::Session;
use crate::baseline::{BaselineError, DirStore, Fingerprint, Record};
use crate::clock;
use crate::compare::{self, History};
use crate::config::Settings;
use crate::verdict::Verdict;

/// What is remembered.
#[derive(Debug)]
pub(super) struct Recalled {
    pub(super) records: Vec<Record>,
    /// A sentence for every stored file that could not be used.
    pub(super) warnings: Vec<String>,
}

/// So many runs of each fingerprint are recalled whole: as many as are compared with, and as many again of which
/// some may be no good.
const KEPT_WHOLE: usize = 2 * compare::MAX_RUNS;

/// Reads every stored run, whole where it may be compared with one of these fingerprints; a file that cannot be read
/// is named and skipped.
pub(super) fn recall(settings: &Settings, fingerprints: &[Fingerprint]) -> Result<Recalled, Failure> {
    let now = clock::wall();
    let is_wanted = |record: &Record| {
        let mut histories = fingerprints.iter().map(|fingerprint| History { records: &[], fingerprint, now });
        histories.any(|history| compare::is_candidate(record, &history))
    };
    let recall = store(settings).recent(KEPT_WHOLE, is_wanted).map_err(|error| failed(&error))?;
    Ok(Recalled {
        records: recall.records.into_iter().map(|(_, record)| record).collect(),
        warnings: recall
            .skipped
            .into_iter()
            .map(|skipped| format!("skipped baseline {}: {}", skipped.path.display(), skipped.why))
            .collect(),
    })
}

/// Saves the runs that are fit to be compared with; returns a sentence for each that is not.
pub(super) fn save(
    session: &Session,
    settings: &Settings,
    judged: &[Judged],
) -> Result<Vec<String>, Failure> {
    let store = store(settings);
    let mut refused = Vec::new();
    for one in judged {
        let name = &one.record.measurement.scenario;
        match (one.record.measurement.is_partial(), one.report.comparison.verdict) {
            (true, _) => refused.push(format!("{name} was not saved as a baseline: the run was cut short")),
            (_, Verdict::Invalid) => {
                refused.push(format!("{name} was not saved as a baseline: the run is invalid"));
            }
            (_, Verdict::Regressed) => refused.push(format!(
                "{name} was not saved as a baseline, because it regressed; to accept the new speed run \
                 `cargo loadgate baseline promote --accept REASON`"
            )),
            _ => {
                let path = store.save(&one.record).map_err(|error| failed(&error))?;
                session.console.status("Saved", &path.display().to_string());
            }
        }
    }
    Ok(refused)
}

/// Returns the store that the settings name.
pub(super) fn store(settings: &Settings) -> DirStore {
    DirStore::new(settings.baseline.dir.clone())
}

/// Returns the failure of a store that cannot be used at all.
pub(super) fn failed(error: &BaselineError) -> Failure {
    Failure::incomplete(chain(error), Some(error.help()))
}
