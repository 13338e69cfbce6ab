//! What git knows: the commit that is checked out, and the files of the base branch. Best effort; a project need not
//! be a repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::context::{CommitSha, PullRequest};

/// Variables by which the environment would give git another repository or other objects.
const REDIRECTING_VARIABLES: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG_PARAMETERS",
];

/// No configuration and no bundle of certificates is larger.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Returns the commit that is checked out in a directory, where git can tell.
pub(super) fn head(directory: &Path) -> Option<CommitSha> {
    commit(directory, "HEAD")
}

/// Returns where a directory lies in its repository, such as `services/shop/`; empty at the top.
pub(super) fn prefix(directory: &Path) -> Option<String> {
    let bytes = ask(directory, &["rev-parse", "--show-prefix"])?;
    Some(String::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']).to_owned())
}

/// The base branch of a pull request at one commit, in the local repository.
#[derive(Debug)]
pub(super) struct LocalBase {
    directory: PathBuf,
    prefix: String,
    commit: CommitSha,
}

impl LocalBase {
    /// Finds the base branch of a pull request, where the checkout holds it.
    ///
    /// The tip is taken, not the point where the branches part: a pull request chooses that point itself, and could
    /// choose one with a policy that has been tightened since.
    pub(super) fn find(directory: &Path, pull_request: &PullRequest) -> Option<Self> {
        let by_sha = || commit(directory, pull_request.base_sha.as_ref()?.as_str());
        let by_branch = || {
            let branch = pull_request.base_branch.as_deref().filter(|branch| is_plain(branch))?;
            commit(directory, &format!("refs/remotes/origin/{branch}"))
        };
        let commit = by_sha().or_else(by_branch)?;
        Some(Self { directory: directory.to_owned(), prefix: prefix(directory)?, commit })
    }

    pub(super) fn commit(&self) -> &str {
        self.commit.as_str()
    }

    /// Returns a file's bytes, or `None` where the commit has no such file; the path is relative to the directory.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let shown = path.display();
        let path = path.to_str().ok_or_else(|| format!("{shown} is not UTF-8"))?;
        let failed = || format!("git cannot read {shown} at commit {}", self.commit.short());
        let path = format!("{}{path}", self.prefix);
        let list = ["--literal-pathspecs", "ls-tree", "-z", "--full-tree", self.commit.as_str(), "--", &path];
        let listed =
            String::from_utf8(ask(&self.directory, &list).ok_or_else(failed)?).map_err(|_| failed())?;
        let Some(entry) = listed.split('\0').next().filter(|entry| !entry.is_empty()) else {
            return Ok(None);
        };
        let mut fields = entry.split(['\t', ' ']);
        let (Some("100644" | "100755"), Some("blob"), Some(object)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(format!("{shown} is no ordinary file at commit {}", self.commit.short()));
        };
        let size = ask(&self.directory, &["cat-file", "-s", object]).ok_or_else(failed)?;
        let size = String::from_utf8_lossy(&size).trim().parse::<usize>().map_err(|_| failed())?;
        if size > MAX_FILE_BYTES {
            return Err(format!("{shown} is larger than 4 MiB at commit {}", self.commit.short()));
        }
        ask(&self.directory, &["cat-file", "blob", object]).map(Some).ok_or_else(failed)
    }
}

/// A name that git would read as an expression is no branch for us.
fn is_plain(branch: &str) -> bool {
    !branch.is_empty() && branch.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-.+".contains(&byte))
}

fn commit(directory: &Path, name: &str) -> Option<CommitSha> {
    let bytes = ask(directory, &["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])?;
    CommitSha::parse(std::str::from_utf8(&bytes).ok()?.trim()).ok()
}

/// Runs git on the repository of a directory alone: no other repository, no replaced objects, no network.
fn ask(directory: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("git");
    command.arg("--no-replace-objects").args(arguments).current_dir(directory);
    for variable in REDIRECTING_VARIABLES {
        command.env_remove(variable);
    }
    command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0");
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Forge, PullRequestEvent, Repository};

    const EMPTY: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A repository with one commit on `origin/main`.
    fn repository() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir_all(path.join("shop/certificates")).unwrap();
        std::fs::write(path.join("shop/loadgate.toml"), "# base").unwrap();
        std::fs::write(path.join("shop/certificates/root.pem"), b"\xff\0pem").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", path.join("shop/link")).unwrap();
        for arguments in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "--all"],
            &[
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b.test",
                "-c",
                "commit.gpgsign=false",
                "commit",
                "-qm",
                "x",
            ],
            &["update-ref", "refs/remotes/origin/main", "HEAD"],
        ] {
            assert!(Command::new("git").args(arguments).current_dir(path).status().unwrap().success());
        }
        directory
    }

    fn pull_request(base_branch: Option<&str>, base_sha: Option<&str>) -> PullRequest {
        PullRequest {
            system: "GitHub Actions".into(),
            is_vouched: true,
            forge: Forge::GitHub,
            event: PullRequestEvent::PullRequest,
            action: String::new(),
            repository: Repository::parse("acme/shop").unwrap(),
            number: None,
            is_closed: false,
            head_sha: CommitSha::parse(EMPTY).unwrap(),
            head_branch: None,
            base_branch: base_branch.map(str::to_owned),
            base_sha: base_sha.map(|sha| CommitSha::parse(sha).unwrap()),
            is_from_fork: false,
            deployment: None,
            claims: vec![],
        }
    }

    #[test]
    fn files_of_the_base_branch_are_read_whatever_the_checkout_holds() {
        let repository = repository();
        let directory = repository.path().join("shop");
        std::fs::write(directory.join("loadgate.toml"), "# the pull request's own").unwrap();

        let base = LocalBase::find(&directory, &pull_request(Some("main"), Some(EMPTY))).unwrap();

        let read = |path: &str| base.read(Path::new(path));
        assert_eq!(read("loadgate.toml").unwrap().as_deref(), Some(&b"# base"[..]));
        assert_eq!(read("certificates/root.pem").unwrap().as_deref(), Some(&b"\xff\0pem"[..]));
        assert_eq!(read("none.toml").unwrap(), None);
        assert_eq!(read("*.toml").unwrap(), None);
        assert!(read("certificates").is_err() && read("link").is_err());
    }

    #[test]
    fn a_base_that_the_checkout_does_not_hold_is_not_found() {
        let repository = repository();
        let find = |branch, sha| LocalBase::find(repository.path(), &pull_request(branch, sha));

        for (branch, sha) in [
            (None, None),
            (Some("release"), None),
            (Some("main^{commit}"), None),
            (Some("main~0"), None),
            (Some("--all"), None),
            (None, Some(EMPTY)),
        ] {
            assert!(find(branch, sha).is_none(), "{branch:?} {sha:?}");
        }
        let tip = commit(repository.path(), "HEAD").unwrap();
        assert_eq!(find(None, Some(tip.as_str())).unwrap().commit(), tip.as_str());
        let nowhere = tempfile::tempdir().unwrap();
        assert!(LocalBase::find(nowhere.path(), &pull_request(Some("main"), None)).is_none());
    }
}
