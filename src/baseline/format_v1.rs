//! Format 1 is the JSON file of measurements: one record in a stored baseline, one a scenario in `measurement.json`.
//!
//! `{"format": "loadgate-measurement", "version": 1, "records": […]}`. Readers ignore keys that they do not know.
//! What is read is checked as if a stranger had written it, and what is written passes the same checks first.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram_v2::{self, MAX_COUNT};
use super::{BaselineError, Fingerprint, Record};
use crate::context::CommitSha;
use crate::measurement::{
    Ending, GeneratorHealth, MAX_SERVER_TIMINGS, Measurement, OutcomeClass, Outcomes, Round, SteadyState,
};
use crate::scenario::{Rate, ScenarioName};

/// The largest file that is read; a record of five rounds takes about 100 kB.
pub const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// The most scenarios in one file.
pub const MAX_RECORDS: usize = 100;

/// The most rounds in one file: each takes some 660 kB of memory, however small it is on disk.
pub const MAX_ROUNDS: usize = 500;

/// The longest name of a processor, version or zone.
const MAX_NAME_CHARS: usize = 300;

/// The longest reason for an accepted step.
pub const MAX_STEP_CHARS: usize = 2_000;

const FORMAT: &str = "loadgate-measurement";
const VERSION: u64 = 1;

/// Reads a stored baseline: a file of exactly one record.
///
/// # Errors
/// Whatever makes the file unusable; never a panic, whatever the bytes.
pub fn read(bytes: &[u8]) -> Result<Record, BaselineError> {
    let mut records = read_run(bytes)?;
    match (records.pop(), records.len()) {
        (Some(record), 0) => Ok(record),
        (_, others) => Err(BaselineError::damaged(format!(
            "a stored baseline holds one record, this file holds {}",
            others + usize::from(others > 0)
        ))),
    }
}

/// Reads the records of a run, in the order in which its scenarios were driven.
///
/// # Errors
/// Whatever makes the file unusable; never a panic, whatever the bytes.
pub fn read_run(bytes: &[u8]) -> Result<Vec<Record>, BaselineError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(BaselineError::TooLarge { limit_bytes: MAX_FILE_BYTES });
    }
    check_head(bytes)?;
    let file: FileV1 = serde_json::from_slice(bytes).map_err(BaselineError::damaged)?;
    check_sizes(&file.records).map_err(BaselineError::damaged)?;
    file.records.into_iter().map(RecordV1::into_record).collect()
}

/// Writes a stored baseline.
///
/// # Errors
/// [`BaselineError::Unstorable`] where the record holds something that no reader would take.
pub fn write(record: &Record) -> Result<Vec<u8>, BaselineError> {
    write_run(std::slice::from_ref(record))
}

/// Writes the records of a run.
///
/// # Errors
/// [`BaselineError::Unstorable`] where a record holds something that no reader would take.
pub fn write_run(records: &[Record]) -> Result<Vec<u8>, BaselineError> {
    let unstorable = |why: String| BaselineError::Unstorable { why };
    let mut file = FileV1 { format: FORMAT.to_owned(), version: VERSION, records: Vec::new() };
    for record in records {
        check_record(record).map_err(unstorable)?;
        file.records.push(RecordV1::of(record)?);
    }
    check_sizes(&file.records).map_err(unstorable)?;
    let mut bytes = serde_json::to_vec_pretty(&file).map_err(|error| unstorable(error.to_string()))?;
    bytes.push(b'\n');
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(BaselineError::TooLarge { limit_bytes: MAX_FILE_BYTES });
    }
    Ok(bytes)
}

/// Refuses other formats and other versions by name, before their shape can confuse anybody.
fn check_head(bytes: &[u8]) -> Result<(), BaselineError> {
    #[derive(Deserialize)]
    struct Head {
        format: Option<String>,
        version: Option<u64>,
    }
    // Not the library's message: it may quote the foreign file, and that may be anything.
    let head: Head = serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() {
            return BaselineError::damaged("it ends too early");
        }
        BaselineError::Foreign { found: "no JSON object with a format".to_owned() }
    })?;
    if head.format.as_deref() != Some(FORMAT) {
        let found = head.format.map_or("JSON without a format".to_owned(), |format| {
            format!("format {:?}", format.chars().take(40).collect::<String>())
        });
        return Err(BaselineError::Foreign { found });
    }
    match head.version {
        Some(VERSION) => Ok(()),
        Some(found) => Err(BaselineError::OtherVersion { found, known: VERSION }),
        None => Err(BaselineError::damaged("it has no version")),
    }
}

fn check_sizes(records: &[RecordV1]) -> Result<(), String> {
    let rounds: usize = records.iter().map(|record| record.rounds.len()).sum();
    if records.len() > MAX_RECORDS {
        return Err(format!("{} records, at most {MAX_RECORDS} are read", records.len()));
    }
    if rounds > MAX_ROUNDS {
        return Err(format!("{rounds} rounds, at most {MAX_ROUNDS} are read"));
    }
    Ok(())
}

/// Checks what the types leave open.
fn check_record(record: &Record) -> Result<(), String> {
    let print = &record.fingerprint;
    let names =
        [&print.scenario_digest, &print.tool_series, &print.os, &print.arch, &print.cpu, &print.target];
    for name in names.into_iter().chain([&record.tool_version]) {
        check_text(name, MAX_NAME_CHARS)?;
    }
    if let Some(reason) = &record.accepted_step {
        check_text(reason, MAX_STEP_CHARS)?;
    }
    let GeneratorHealth { late_share, lag_p99_us, busy_share } = record.measurement.generator;
    if !(0.0..=1.0).contains(&busy_share) {
        return Err(format!("a busy share of {busy_share}"));
    }
    if !(0.0..=1.0).contains(&late_share) {
        return Err(format!("a share of late requests of {late_share}"));
    }
    if !(lag_p99_us.is_finite() && lag_p99_us >= 0.0) {
        return Err(format!("a lateness of {lag_p99_us} µs"));
    }
    record.measurement.rounds.iter().try_for_each(check_round)
}

fn check_round(round: &Round) -> Result<(), String> {
    if OutcomeClass::ALL.iter().any(|class| round.outcomes.count(*class) > MAX_COUNT) {
        return Err("a round counts more requests than could be sent".to_owned());
    }
    let total = round.outcomes.total();
    for (name, histogram) in &round.server_timing {
        check_text(name, MAX_NAME_CHARS)?;
        if histogram.len() > MAX_COUNT {
            return Err("a round has more values of a server timing than could be sent".to_owned());
        }
    }
    for (what, histogram) in
        [("latency", &round.latency), ("service time", &round.service_time), ("send lag", &round.send_lag)]
    {
        if histogram.len() > total {
            return Err(format!("a round has {} values of {what} for {total} requests", histogram.len()));
        }
    }
    Ok(())
}

/// Control characters could rewrite the terminal that a report is read on.
fn check_text(text: &str, max_chars: usize) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("a text with control characters".to_owned());
    }
    if text.chars().count() > max_chars {
        return Err(format!("a text of more than {max_chars} characters"));
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct FileV1 {
    format: String,
    version: u64,
    records: Vec<RecordV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RecordV1 {
    scenario: ScenarioName,
    commit: Option<CommitSha>,
    measured_at: jiff::Timestamp,
    tool_version: String,
    accepted_step: Option<String>,
    fingerprint: Fingerprint,
    asked_rate: Option<Rate>,
    asked_connections: u32,
    reached_connections: u32,
    elapsed_ns: u64,
    is_partial: bool,
    late_share: f64,
    lag_p99_us: f64,
    busy_share: f64,
    /// Files of earlier versions have none.
    #[serde(default)]
    steady_state: SteadyState,
    rounds: Vec<RoundV1>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RoundV1 {
    outcomes: Outcomes,
    latency: String,
    service_time: String,
    send_lag: String,
    /// Absent in files of before there was any, and where the server said nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    server_timing: BTreeMap<String, String>,
}

impl RecordV1 {
    fn of(record: &Record) -> Result<Self, BaselineError> {
        let measurement = &record.measurement;
        Ok(Self {
            scenario: measurement.scenario.clone(),
            commit: record.commit.clone(),
            measured_at: record.measured_at,
            tool_version: record.tool_version.clone(),
            accepted_step: record.accepted_step.clone(),
            fingerprint: record.fingerprint.clone(),
            asked_rate: measurement.asked_rate,
            asked_connections: measurement.asked_connections,
            reached_connections: measurement.reached_connections,
            elapsed_ns: u64::try_from(measurement.elapsed.as_nanos()).unwrap_or(u64::MAX),
            is_partial: measurement.is_partial(),
            late_share: measurement.generator.late_share,
            lag_p99_us: measurement.generator.lag_p99_us,
            busy_share: measurement.generator.busy_share,
            steady_state: measurement.steady_state,
            rounds: measurement.rounds.iter().map(RoundV1::of).collect::<Result<_, _>>()?,
        })
    }

    fn into_record(self) -> Result<Record, BaselineError> {
        let record = Record {
            measurement: Measurement {
                scenario: self.scenario,
                rounds: self.rounds.iter().map(RoundV1::to_round).collect::<Result<_, _>>()?,
                elapsed: Duration::from_nanos(self.elapsed_ns),
                asked_rate: self.asked_rate,
                asked_connections: self.asked_connections,
                reached_connections: self.reached_connections,
                generator: GeneratorHealth {
                    late_share: self.late_share,
                    lag_p99_us: self.lag_p99_us,
                    busy_share: self.busy_share,
                },
                steady_state: self.steady_state,
                // Why is for the report of that run; here it matters only that nothing is compared with it.
                ending: if self.is_partial { Ending::Interrupted } else { Ending::Complete },
                endpoints: Vec::new(),
                class_latency: Vec::new(),
                bytes_received: None,
            },
            commit: self.commit,
            measured_at: self.measured_at,
            tool_version: self.tool_version,
            fingerprint: self.fingerprint,
            accepted_step: self.accepted_step,
        };
        check_record(&record).map_err(BaselineError::damaged)?;
        Ok(record)
    }
}

impl RoundV1 {
    fn of(round: &Round) -> Result<Self, BaselineError> {
        Ok(Self {
            outcomes: round.outcomes.clone(),
            latency: histogram_v2::encode(&round.latency)?,
            service_time: histogram_v2::encode(&round.service_time)?,
            send_lag: histogram_v2::encode(&round.send_lag)?,
            server_timing: (round.server_timing.iter())
                .map(|(name, seen)| Ok((name.clone(), histogram_v2::encode(seen)?)))
                .collect::<Result<_, BaselineError>>()?,
        })
    }

    fn to_round(&self) -> Result<Round, BaselineError> {
        Ok(Round {
            latency: histogram_v2::decode(&self.latency)?,
            service_time: histogram_v2::decode(&self.service_time)?,
            send_lag: histogram_v2::decode(&self.send_lag)?,
            outcomes: self.outcomes.clone(),
            server_timing: (self.server_timing.iter().take(MAX_SERVER_TIMINGS))
                .map(|(name, seen)| Ok((name.clone(), histogram_v2::decode(seen)?)))
                .collect::<Result<_, BaselineError>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::tests::record;
    use super::*;

    fn valid() -> Vec<u8> {
        write(&record("browse", "2026-11-23T14:57:10Z")).unwrap()
    }

    fn edited(edit: impl FnOnce(&mut Value)) -> String {
        let mut file: Value = serde_json::from_slice(&valid()).unwrap();
        edit(&mut file);
        read(file.to_string().as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_record_survives_the_file() {
        let stored = Record {
            accepted_step: Some("the new index costs 5 %".into()),
            commit: Some(CommitSha::parse(&"a1".repeat(20)).unwrap()),
            ..record("browse", "2026-11-23T14:57:10Z")
        };

        assert_eq!(read(&write(&stored).unwrap()).unwrap(), stored);
    }

    #[test]
    fn a_run_keeps_its_scenarios_in_order() {
        let run = [record("b", "2026-11-23T14:57:10Z"), record("a", "2026-11-23T14:58:10Z")];

        let bytes = write_run(&run).unwrap();

        assert_eq!(read_run(&bytes).unwrap(), run);
        assert!(read(&bytes).unwrap_err().to_string().contains("holds 2"));
        assert!(read(&write_run(&[]).unwrap()).unwrap_err().to_string().contains("holds 0"));
    }

    #[test]
    fn the_file_says_what_it_is() {
        let file: Value = serde_json::from_slice(&valid()).unwrap();

        assert_eq!(file["format"], "loadgate-measurement");
        assert_eq!(file["version"], 1);
        assert_eq!(file["records"][0]["measured-at"], "2026-11-23T14:57:10Z");
        assert_eq!(file["records"][0]["rounds"][0]["outcomes"]["2xx"], 3);
    }

    #[test]
    fn a_newer_version_is_named() {
        assert_eq!(edited(|file| file["version"] = json!(2)), "format 2, this tool reads 1");
    }

    #[test]
    fn foreign_files_are_named() {
        for (text, found) in [
            ("{}", "JSON without a format"),
            ("{\"format\": \"k6\", \"version\": 1}", "format \"k6\""),
            ("hello", "no JSON object"),
            ("[1]", "no JSON object"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();

            assert!(matches!(&error, BaselineError::Foreign { .. }), "{text}: {error}");
            assert!(error.to_string().contains(found), "{text}: {error}");
        }
    }

    #[test]
    fn a_truncated_file_is_damaged() {
        let bytes = valid();

        for end in [0, 1, bytes.len() / 2, bytes.len() - 4] {
            assert!(matches!(read(&bytes[..end]), Err(BaselineError::Damaged { .. })), "{end} bytes");
        }
    }

    #[test]
    fn impossible_numbers_are_damage() {
        assert!(edited(|file| file["records"][0]["late-share"] = json!(null)).contains("damaged"));
        assert!(edited(|file| file["records"][0]["late-share"] = json!(1.5)).contains("late requests"));
        assert!(edited(|file| file["records"][0]["lag-p99-us"] = json!(-1.0)).contains("lateness"));
        assert!(edited(|file| file["records"][0]["asked-rate"] = json!(0)).contains("a rate"));
        let outcomes = json!({"2xx": u64::MAX, "5xx": u64::MAX});
        assert!(
            edited(|file| file["records"][0]["rounds"][0]["outcomes"] = outcomes).contains("could be sent")
        );
    }

    #[test]
    fn a_histogram_cannot_count_more_than_was_sent() {
        let outcomes = json!({"2xx": 2});

        let why = edited(|file| file["records"][0]["rounds"][0]["outcomes"] = outcomes);

        assert!(why.contains("3 values of latency for 2 requests"), "{why}");
    }

    #[test]
    fn texts_cannot_rewrite_a_terminal() {
        let cpu = json!("\u{1b}[2Jfine");

        assert!(edited(|file| file["records"][0]["fingerprint"]["cpu"] = cpu).contains("control characters"));
    }

    #[test]
    fn a_reason_never_quotes_what_could_harm() {
        let outcomes = json!({"\u{1b}[2J": 1, "2xx": 3});
        let long = json!("x".repeat(100_000));

        let hostile = edited(|file| file["records"][0]["rounds"][0]["outcomes"] = outcomes);
        let endless = edited(|file| file["records"][0]["scenario"] = long.clone());
        let number = edited(|file| file["records"][0]["elapsed-ns"] = long);

        assert!(!hostile.contains('\u{1b}') && hostile.contains("unknown variant"), "{hostile:?}");
        assert!(endless.len() < 400 && number.len() < 400);
    }

    #[test]
    fn more_rounds_than_memory_are_refused_before_they_are_decoded() {
        let round = json!({"outcomes": {}, "latency": "", "service-time": "", "send-lag": ""});

        let why = edited(|file| file["records"][0]["rounds"] = json!(vec![round; 501]));

        assert!(why.contains("501 rounds"), "{why}");
    }

    #[test]
    fn what_no_reader_would_take_is_not_written() {
        let mut broken = record("browse", "2026-11-23T14:57:10Z");
        broken.measurement.generator.late_share = f64::NAN;

        assert!(matches!(write(&broken), Err(BaselineError::Unstorable { .. })));
    }

    #[test]
    fn unknown_keys_are_ignored() {
        let mut file: Value = serde_json::from_slice(&valid()).unwrap();
        file["records"][0]["weather"] = json!("rain");

        assert!(read(file.to_string().as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(read(&bytes).is_err());
        }

        #[test]
        fn a_mutated_file_never_panics(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            end in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let mut bytes = valid();
            for (index, byte) in edits {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if is_cut {
                bytes.truncate(end.index(bytes.len()));
            }
            // Whatever is still read must be fit to be written.
            if let Ok(record) = read(&bytes) {
                prop_assert!(write(&record).is_ok());
            }
        }
    }
}
