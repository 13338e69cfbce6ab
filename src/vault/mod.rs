//! Room `vault`: reads the values of declared secrets, once and before any load.
//!
//! A value comes from a variable, a private file or a program's output, and stays in a [`Keyring`]. No message ever
//! quotes one: what is wrong with a value is said without it.

mod program;

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::request::{DeclaredSecret, Placeholders};
use crate::secret::{Secret, SecretPlan, SecretSource};
use crate::target::Origin;

/// A shorter value could stand anywhere by chance: to mask it would shred every log.
const MIN_VALUE_BYTES: usize = 8;

/// Half of the longest header.
const MAX_VALUE_BYTES: usize = 4 * 1024;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use secret `{name}`: {why}")]
pub struct VaultError {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub why: Unusable,
}

/// What is wrong with a secret's source or value.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The variable is not set, or is empty; a forge gives no secrets to pull requests of forks.
    #[error("the variable {0} is not set")]
    Unset(String),
    /// The file cannot be opened, or is a link.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is a directory, a pipe or the like.
    #[error("{0} is no regular file")]
    NoFile(PathBuf),
    /// Somebody else than its owner may do something with the file.
    #[error("others may read {path} (its mode is {mode:o})")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The program lies in the checkout, where a pull request may have put it.
    #[error("{0} lies in the checkout")]
    Inside(PathBuf),
    /// The program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// The program failed; what it says is not shown, because it may be the secret.
    #[error("{program} ended with {status}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
    },
    /// The program did not end in time.
    #[error("{program} did not end within {limit:?}")]
    Slow {
        /// The program.
        program: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The run was interrupted.
    #[error("the run was interrupted")]
    Cancelled,
    /// The value is no UTF-8.
    #[error("its value is no UTF-8 text")]
    NotText,
    /// The value is too short to be told apart from other text.
    #[error("its value is shorter than {MIN_VALUE_BYTES} characters")]
    Short,
    /// The value does not fit into a header.
    #[error("its value is longer than {MAX_VALUE_BYTES} bytes")]
    Long,
    /// The value has several lines.
    #[error("its value has several lines")]
    Lines,
    /// The value cannot stand in a header.
    #[error("its value holds a control character, or white space at an end")]
    Unsendable,
}

impl VaultError {
    /// Returns what to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match &self.why {
            Unusable::Unset(name) => format!(
                "give this step the variable {name}, such as from `secrets.{name}`; pull requests of forks get no secrets"
            ),
            Unusable::File { .. } | Unusable::NoFile(_) => {
                "name a regular file that you own and that is no link".to_owned()
            }
            Unusable::Exposed { path, .. } => format!("keep it to its owner: chmod 600 {}", path.display()),
            Unusable::Inside(_) => "name a program outside of the repository".to_owned(),
            Unusable::Start { .. } => "install the program, or name it with its absolute path".to_owned(),
            Unusable::Failed { program, .. } => format!("run {program} yourself to see what it says"),
            Unusable::Slow { .. } => "raise `timeout` of the [[secret]], or see why it waits".to_owned(),
            Unusable::Cancelled => "run it again".to_owned(),
            Unusable::Short => {
                "use a longer one: what is this short cannot be kept out of reports".to_owned()
            }
            Unusable::Lines => {
                "give the one line that goes into the header; keys of several lines have no place there"
                    .to_owned()
            }
            Unusable::NotText | Unusable::Long | Unusable::Unsendable => {
                "give the text that goes into the header, and nothing else".to_owned()
            }
        }
    }
}

/// The secrets of a run.
#[derive(Debug, Default)]
pub struct Keyring {
    secrets: Vec<(SecretPlan, Secret)>,
}

impl Keyring {
    /// Returns every value.
    #[must_use]
    pub fn values(&self) -> Vec<Secret> {
        self.secrets.iter().map(|(_, value)| value.clone()).collect()
    }

    /// Binds the secrets to a cleared target; the nonce must be unguessable.
    #[must_use]
    pub fn for_target(&self, nonce: u128, origin: &Origin, addresses: &[SocketAddr]) -> Placeholders {
        let bind =
            |(plan, value): &(SecretPlan, Secret)| DeclaredSecret::bound(plan, value, origin, addresses);
        Placeholders::new(nonce, self.secrets.iter().map(bind).collect())
    }
}

/// What a reader may ask of the world.
pub struct Sources<'a> {
    /// The directory of the configuration.
    pub root: &'a Path,
    /// Looks a variable up.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Ends a program that runs.
    pub cancel: &'a CancellationToken,
}

/// Reads the values of secrets.
///
/// # Errors
/// Everything that is wrong, with the place of each secret in `plans`.
pub fn read(plans: &[SecretPlan], sources: &Sources<'_>) -> Result<Keyring, Vec<(usize, VaultError)>> {
    let mut keyring = Keyring::default();
    let mut errors = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        match value(&plan.source, sources).and_then(checked) {
            Ok(value) => keyring.secrets.push((plan.clone(), value)),
            Err(why) => errors.push((index, VaultError { name: plan.name.clone(), why })),
        }
    }
    if errors.is_empty() { Ok(keyring) } else { Err(errors) }
}

fn value(source: &SecretSource, sources: &Sources<'_>) -> Result<Vec<u8>, Unusable> {
    match source {
        SecretSource::Variable(name) => (sources.variable)(name)
            .filter(|value| !value.is_empty())
            .map(String::into_bytes)
            .ok_or_else(|| Unusable::Unset(name.clone())),
        SecretSource::File(path) => private_file(path),
        SecretSource::Command { argv, timeout } => program::output(argv, *timeout, sources),
    }
}

/// Reads a file that is its owner's alone and no link.
fn private_file(path: &Path) -> Result<Vec<u8>, Unusable> {
    let unreadable = |source| Unusable::File { path: path.to_owned(), source };
    let file = open_without_link(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Unusable::NoFile(path.to_owned()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Unusable::Exposed { path: path.to_owned(), mode });
        }
    }
    let mut bytes = Vec::new();
    file.take(MAX_VALUE_BYTES as u64 + 3).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(without_newline(bytes))
}

/// What is looked at is what was opened: between a look at a path and its opening it could become a link.
#[cfg(unix)]
fn open_without_link(path: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// What is looked at is what was opened, as far as this system can say.
#[cfg(not(unix))]
fn open_without_link(path: &Path) -> std::io::Result<File> {
    if std::fs::symlink_metadata(path)?.is_symlink() {
        return Err(std::io::Error::other("it is a link"));
    }
    File::open(path)
}

/// Editors and `echo` end a file with one line feed, which is no part of the value.
fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

fn checked(bytes: Vec<u8>) -> Result<Secret, Unusable> {
    // From here on its memory is cleared whatever is wrong with it.
    let value = Secret::new(String::from_utf8(bytes).map_err(|_| Unusable::NotText)?);
    let text = value.expose();
    if text.contains(['\n', '\r']) {
        return Err(Unusable::Lines);
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(Unusable::Unsendable);
    }
    if text.chars().count() < MIN_VALUE_BYTES {
        return Err(Unusable::Short);
    }
    if text.len() > MAX_VALUE_BYTES {
        return Err(Unusable::Long);
    }
    Ok(value)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read_one(source: SecretSource) -> Result<Secret, VaultError> {
        let plan =
            SecretPlan { name: "TOKEN".into(), source, headers: vec!["authorization".into()], hosts: None };
        let sources = Sources {
            root: Path::new("/nowhere"),
            variable: &|name| match name {
                "EMPTY" => Some(String::new()),
                "SHORT" => Some("hunter2".into()),
                "LINES" => Some("hunter2hunter2\nhunter3hunter3".into()),
                "GOOD" => Some("correct-horse".into()),
                _ => None,
            },
            cancel: &CancellationToken::new(),
        };
        read(&[plan], &sources)
            .map(|keyring| keyring.values().remove(0))
            .map_err(|mut errors| errors.remove(0).1)
    }

    fn said(source: SecretSource) -> String {
        let error = read_one(source).unwrap_err();
        let help = error.help();
        assert!(!help.is_empty());
        let said = format!("{error} | {help}");
        assert!(!said.contains("hunter"), "{said}");
        said
    }

    fn file(directory: &Path, text: &[u8], mode: u32) -> SecretSource {
        let path = directory.join(format!("secret-{mode:o}"));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        SecretSource::File(path)
    }

    fn variable(name: &str) -> SecretSource {
        SecretSource::Variable(name.into())
    }

    fn command(argv: &[&str], milliseconds: u64) -> SecretSource {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        SecretSource::Command { argv, timeout: Duration::from_millis(milliseconds) }
    }

    #[test]
    fn a_variable_holds_a_secret_or_is_named() {
        assert_eq!(read_one(variable("GOOD")).unwrap().expose(), "correct-horse");
        assert!(said(variable("MISSING")).contains("the variable MISSING is not set"));
        assert!(said(variable("EMPTY")).contains("pull requests of forks get no secrets"));
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_being_shown() {
        assert!(said(variable("SHORT")).contains("shorter than 8 characters"));
        assert!(said(variable("LINES")).contains("several lines"));
        let directory = tempfile::tempdir().unwrap();
        for (bytes, why) in [
            (&b"hunter2hunter2\xff"[..], "no UTF-8"),
            (b"hunter2\thunter2", "control character"),
            (b" hunter2hunter2", "white space at an end"),
            (b"hunter2hunter2\n\n", "several lines"),
            (&[b'x'; 5000], "longer than 4096 bytes"),
            (b"", "shorter"),
        ] {
            assert!(said(file(directory.path(), bytes, 0o600)).contains(why), "{why}");
        }
    }

    #[test]
    fn a_file_must_be_its_owners_alone_and_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let good = file(directory.path(), b"correct-horse\n", 0o600);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("secret-600"), &link).unwrap();

        assert_eq!(read_one(good).unwrap().expose(), "correct-horse");
        assert_eq!(
            read_one(file(directory.path(), b"correct-horse\r\n", 0o400)).unwrap().expose(),
            "correct-horse"
        );
        assert!(said(file(directory.path(), b"hunter2hunter2", 0o640)).contains("others may read"));
        assert!(said(file(directory.path(), b"hunter2hunter2", 0o604)).contains("chmod 600"));
        assert!(said(SecretSource::File(link)).contains("cannot read"));
        assert!(said(SecretSource::File(directory.path().to_owned())).contains("no regular file"));
        assert!(said(SecretSource::File(directory.path().join("none"))).contains("cannot read"));
    }

    #[test]
    fn a_program_gives_what_it_prints_and_is_never_quoted() {
        assert_eq!(
            read_one(command(&["printf", "%s\\n", "correct-horse"], 5_000)).unwrap().expose(),
            "correct-horse"
        );
        assert!(
            said(command(&["sh", "-c", "echo hunter2hunter2; echo hunter2hunter2 >&2; exit 3"], 5_000))
                .contains("ended with exit status: 3")
        );
        assert!(said(command(&["no-such-program-of-loadgate"], 5_000)).contains("cannot start"));
        assert!(
            said(command(&["sh", "-c", "echo hunter2hunter2; sleep 30"], 200))
                .contains("did not end within 200ms")
        );
        assert!(
            said(command(&["sh", "-c", "yes hunter2hunter2 | head -c 1000000"], 5_000)).contains("longer")
        );
        assert!(said(command(&["/nowhere/tool"], 5_000)).contains("lies in the checkout"));
        // No shell reads the words.
        assert!(read_one(command(&["printf", "%s", "$HOME;`id`"], 5_000)).unwrap().expose() == "$HOME;`id`");
    }

    #[test]
    fn a_program_that_is_cancelled_ends() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let sources = Sources { root: Path::new("/nowhere"), variable: &|_| None, cancel: &cancel };

        let argv = ["sleep".to_owned(), "30".to_owned()];

        assert!(matches!(
            program::output(&argv, Duration::from_secs(20), &sources),
            Err(Unusable::Cancelled)
        ));
    }
}
