//! What a run leaves in its output directory, each file private to its owner and written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::failure::{Failure, chain};
use crate::baseline::{Record, dir};
use crate::guard::Receipt;
use crate::redact::Redactor;
use crate::report::{Report, html, json_v1, markdown};

/// The files of a run.
#[derive(Debug)]
pub(super) struct Artefacts {
    pub(super) report_json: PathBuf,
    pub(super) report_html: PathBuf,
    pub(super) comment_md: PathBuf,
    pub(super) measurement: PathBuf,
    pub(super) comment: String,
}

/// Writes every artefact of a run into a directory, making it where it is missing.
pub(super) fn write(
    directory: &Path,
    report: &Report,
    receipt: &Receipt,
    records: &[Record],
    redactor: &Redactor,
) -> Result<Artefacts, Failure> {
    make_directory(directory)?;
    // The report's texts were redacted before; what renderers make of them may be spelt otherwise.
    let comment = redactor.redact_registered(&markdown::render(report));
    let artefacts = Artefacts {
        report_json: directory.join("report.json"),
        report_html: directory.join("report.html"),
        comment_md: directory.join("comment.md"),
        measurement: directory.join("measurement.json"),
        comment,
    };
    let receipt = serde_json::to_string_pretty(receipt)
        .map_err(|error| Failure::incomplete(format!("cannot write the receipt: {error}"), None))?;
    store(&artefacts.report_json, &redactor.redact_registered(&json_v1::render(report)))?;
    store(&artefacts.report_html, &redactor.redact_registered(&html::render(report)))?;
    store(&artefacts.comment_md, &artefacts.comment)?;
    dir::write_file(&artefacts.measurement, records)
        .map_err(|error| Failure::incomplete(chain(&error), Some(error.help())))?;
    store(&directory.join("receipt.json"), &clean_json(&receipt, redactor))?;
    Ok(artefacts)
}

/// Redacts every text of a JSON document, each by itself: in its written form a text's end could be mistaken.
fn clean_json(document: &str, redactor: &Redactor) -> String {
    let mut cleaned = String::with_capacity(document.len());
    let mut rest = document;
    while let Some(start) = rest.find('"') {
        cleaned.push_str(&rest[..start]);
        rest = &rest[start..];
        let mut is_escaped = true;
        let end = rest.bytes().position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        let (written, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        let text = serde_json::from_str::<String>(written).unwrap_or_default();
        cleaned.push_str(&serde_json::Value::from(redactor.redact(&text)).to_string());
        rest = after;
    }
    cleaned.push_str(rest);
    cleaned
}

/// Makes a directory and those above it.
pub(super) fn make_directory(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| cannot_write(directory, &error))
}

/// Writes one file whole or not at all.
pub(super) fn store(path: &Path, text: &str) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::incomplete(
        format!("cannot write {}: {}", path.display(), chain(error)),
        Some("choose another directory with --out, or make this one writable".into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_replaces_its_elder_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");

        store(&path, "old").unwrap();
        store(&path, "new").unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_document_is_cleaned_text_by_text_and_stays_one() {
        let redactor = Redactor::new(vec![crate::secret::Secret::new("correct-horse".into())]);
        let document =
            r#"{"a\"b": ["cookie: sid=", "x \"correct-horse\" \\", 1], "c": "Authorization: d\\"}"#;

        let cleaned = clean_json(document, &redactor);

        assert_eq!(cleaned, r#"{"a\"b": ["cookie: ***", "x \"***\" \\", 1], "c": "Authorization: ***"}"#);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let occupied = directory.path().join("file");
        fs::write(&occupied, "").unwrap();

        let failure = make_directory(&occupied.join("out")).unwrap_err();

        assert!(failure.told[0].message.contains("file"), "{failure:?}");
    }
}
