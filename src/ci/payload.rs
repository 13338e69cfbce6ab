//! The payload is the JSON document with which the forge tells of an event; here are the parts that are read.
//!
//! Others write it, so that its size is bounded and every missing or odd field is named.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::CiError;

/// Forges cap webhook payloads at 25 MB, but real ones stay far below a megabyte.
const MAX_PAYLOAD_BYTES: u64 = 8 << 20;

/// The payload of a `pull_request` event.
#[derive(Debug, Deserialize)]
pub(super) struct PullRequestPayload {
    pub(super) action: String,
    pub(super) pull_request: PullRequestBody,
    pub(super) repository: RepositoryBody,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullRequestBody {
    pub(super) number: u64,
    pub(super) state: String,
    pub(super) head: BranchBody,
    pub(super) base: BranchBody,
}

#[derive(Debug, Deserialize)]
pub(super) struct BranchBody {
    #[serde(rename = "ref")]
    pub(super) name: String,
    pub(super) sha: String,
    /// Null where the repository was deleted.
    pub(super) repo: Option<RepositoryBody>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryBody {
    pub(super) full_name: String,
    /// What people write into the repository's page; GitHub's name for it.
    pub(super) homepage: Option<String>,
    /// The same, as Gitea and Forgejo call it.
    pub(super) website: Option<String>,
}

/// The payload of a `deployment_status` event.
#[derive(Debug, Deserialize)]
pub(super) struct DeploymentStatusPayload {
    #[serde(default)]
    pub(super) action: String,
    pub(super) deployment_status: DeploymentStatusBody,
    pub(super) deployment: DeploymentBody,
    pub(super) repository: RepositoryBody,
    pub(super) workflow_run: Option<RunBody>,
    pub(super) check_run: Option<RunBody>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeploymentStatusBody {
    pub(super) state: String,
    pub(super) environment: Option<String>,
    pub(super) environment_url: Option<String>,
    pub(super) target_url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeploymentBody {
    pub(super) id: u64,
    pub(super) sha: String,
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) environment: String,
    pub(super) original_environment: Option<String>,
    pub(super) production_environment: Option<bool>,
    pub(super) transient_environment: Option<bool>,
}

/// The run that made the deployment, where a workflow made it.
#[derive(Debug, Deserialize)]
pub(super) struct RunBody {
    pub(super) pull_requests: Option<Vec<RunPullRequestBody>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunPullRequestBody {
    pub(super) number: u64,
    pub(super) head: RunBranchBody,
    pub(super) base: RunBranchBody,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunBranchBody {
    #[serde(rename = "ref")]
    pub(super) name: String,
    pub(super) sha: String,
    pub(super) repo: Option<RunRepositoryBody>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct RunRepositoryBody {
    pub(super) id: u64,
}

/// Reads a payload of known shape.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CiError> {
    let bytes = read_bounded(path)?;
    let mut document = serde_json::Deserializer::from_slice(&bytes);
    let malformed = |field: String, source| CiError::Malformed { path: path.to_owned(), field, source };
    let payload = serde_path_to_error::deserialize(&mut document).map_err(|error| {
        let field = error.path().to_string();
        malformed(field, error.into_inner())
    })?;
    document.end().map_err(|error| malformed("the end".into(), error))?;
    Ok(payload)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, CiError> {
    let unreadable = |source| CiError::Unreadable { path: path.to_owned(), source };
    let too_large = || CiError::TooLarge { path: path.to_owned(), limit: MAX_PAYLOAD_BYTES };
    // Asked before opening: a pipe would make the opening wait for a writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(CiError::NotAFile { path: path.to_owned() });
    }
    if metadata.len() > MAX_PAYLOAD_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_PAYLOAD_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_PAYLOAD_BYTES { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io::Write;

    use super::*;

    fn read_text(text: &[u8]) -> Result<PullRequestPayload, CiError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        read(file.path())
    }

    fn explanation(text: &[u8]) -> String {
        let error = read_text(text).unwrap_err();
        assert!(!error.help().is_empty());
        format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
    }

    #[test]
    fn a_missing_field_is_named_with_its_place() {
        let text = br#"{"action":"opened","pull_request":{"number":1,"state":"open",
            "head":{"ref":"a","repo":null},"base":{"ref":"main","sha":"1","repo":null}},
            "repository":{"full_name":"acme/shop"}}"#;

        let explanation = explanation(text);

        assert!(explanation.contains("pull_request.head: missing field `sha`"), "{explanation}");
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_with_its_place() {
        let explanation = explanation(br#"{"action":"opened","pull_request":{"number":"1"}}"#);

        assert!(explanation.contains("pull_request.number: invalid type: string"), "{explanation}");
    }

    #[test]
    fn what_is_no_json_is_said() {
        for text in [&b""[..], b"{", b"null", b"[]", b"\xff\xfe", b"{\"action\":\"\xff\"}", b"{} {}"] {
            assert!(matches!(read_text(text), Err(CiError::Malformed { .. })), "{text:?}");
        }
        let nested = [b"{\"action\":".to_vec(), vec![b'['; 100_000]].concat();
        assert!(matches!(read_text(&nested), Err(CiError::Malformed { .. })));
    }

    #[test]
    fn a_huge_payload_is_refused_unread() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(50 << 20).unwrap();

        let error = read::<PullRequestPayload>(file.path()).unwrap_err();

        assert!(matches!(error, CiError::TooLarge { .. }) && error.to_string().ends_with("8 MiB"), "{error}");
    }

    #[test]
    fn a_payload_must_be_a_file_that_is_there() {
        let directory = tempfile::tempdir().unwrap();

        let missing = read::<PullRequestPayload>(&directory.path().join("none.json")).unwrap_err();
        let not_a_file = read::<PullRequestPayload>(directory.path()).unwrap_err();

        assert!(matches!(missing, CiError::Unreadable { .. }), "{missing}");
        assert!(matches!(not_a_file, CiError::NotAFile { .. }), "{not_a_file}");
    }
}
