//! A file of a repository at a commit or a branch, read without a checkout.

use base64::Engine as _;
use http::Method;
use serde::Deserialize;

use crate::context::Repository;
use crate::github::{Client, GithubError};

const WHAT: &str = "read a file of the repository";

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    encoding: String,
    content: Option<String>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
}

impl Client {
    /// Returns a file's bytes, or `None` where the commit has no such file.
    ///
    /// `path` is relative to the repository's root. A commit that does not exist has no files either, so that it must
    /// come from GitHub itself.
    pub async fn file_at(
        &self,
        repository: &Repository,
        path: &str,
        commit: &str,
    ) -> Result<Option<Vec<u8>>, GithubError> {
        let malformed = |reason: &str| GithubError::Malformed { what: WHAT, reason: reason.to_owned() };
        let encode =
            |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        // Encoded piece by piece: the slashes of a path stay, and `+` means a space in a query only.
        let pieces: Vec<String> = path.split('/').map(|piece| encode(piece).replace('+', "%20")).collect();
        let path = format!("/repos/{repository}/contents/{}?ref={}", pieces.join("/"), encode(commit));
        let entry: Entry = match self.open()?.ask(WHAT, Method::GET, &path, None).await {
            Ok(entry) => entry,
            Err(GithubError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if entry.kind != "file" || entry.encoding != "base64" {
            return Err(malformed("it is not a plain file, or larger than a megabyte"));
        }
        let text: String = entry.content.unwrap_or_default().split_ascii_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Some).map_err(|_| malformed("its content is not base64"))
    }

    /// Returns the commit at the tip of a branch.
    pub async fn tip_of(&self, repository: &Repository, branch: &str) -> Result<String, GithubError> {
        let branch: String = url::form_urlencoded::byte_serialize(branch.as_bytes()).collect();
        let path = format!("/repos/{repository}/commits/{}", branch.replace('+', "%20"));
        let commit: Commit = self.open()?.ask("find the base branch", Method::GET, &path, None).await?;
        Ok(commit.sha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::double::{Double, Reply};
    use crate::secret::Secret;

    async fn read(reply: Reply) -> Result<Option<Vec<u8>>, GithubError> {
        let double = Double::start(move |_| reply.clone());
        let client = Client::new(&double.url(), &Secret::new("t".into())).unwrap();
        let repository = Repository::parse("acme/shop").unwrap();
        let read = client.file_at(&repository, "a b/loadgate.toml", "89abcdef").await;
        assert_eq!(double.requests()[0].path, "/repos/acme/shop/contents/a%20b/loadgate.toml?ref=89abcdef");
        read
    }

    #[tokio::test]
    async fn a_file_is_read_and_a_missing_one_is_none() {
        let found = Reply::json(200, r#"{"type":"file","encoding":"base64","content":"W3Rhcmdl\ndF0=\n"}"#);

        assert_eq!(read(found).await.unwrap().as_deref(), Some(&b"[target]"[..]));
        assert_eq!(read(Reply::json(404, "{}")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_plain_file_is_an_error() {
        for body in [
            r#"{"type":"symlink","encoding":"base64","content":""}"#,
            r#"{"type":"file","encoding":"none","content":""}"#,
            r#"{"type":"file","encoding":"base64","content":"***"}"#,
            "[]",
        ] {
            let error = read(Reply::json(200, body)).await.unwrap_err();
            assert!(matches!(error, GithubError::Malformed { .. }), "{body}: {error}");
        }
        assert!(matches!(read(Reply::json(403, "{}")).await, Err(GithubError::Denied { .. })));
    }
}
