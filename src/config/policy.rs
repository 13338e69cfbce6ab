//! Turns what `[target]` says into the guard's policy, giving every objection of the guard its place in the file.

use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::file_v1::TargetTable;
use super::problem::{Located, Problem, Problems};
use super::production::read_all;
use crate::guard::{Platform, Policy, PolicyProblem, PreviewPattern, ProductionHost};
use crate::secret::Secret;
use crate::target::ClientIdentity;

/// A bundle of root certificates is smaller; a larger file is something else.
const MAX_ROOTS_BYTES: u64 = 4 * 1024 * 1024;

/// The largest key in use takes a fifth of it.
const MAX_KEY_BYTES: u64 = 64 * 1024;

impl TargetTable {
    /// Returns the policy that the table declares.
    ///
    /// # Errors
    /// Every entry that the guard cannot take, and every certificate file that cannot be read.
    pub fn to_policy(&self) -> Result<Policy, Problems> {
        let mut problems = Problems::default();
        let platform = self.pinned_platform(&mut problems);
        let mut preview = taken(&self.preview, PreviewPattern::parse, &mut problems);
        preview.extend(platform.iter().flat_map(Platform::previews).cloned());
        let mut production = taken(&self.production, ProductionHost::parse, &mut problems);
        production.extend(read_all(&self.production_files, &mut problems));
        let policy = Policy {
            preview,
            production,
            consent: self.consent.as_ref().map(|consent| consent.value.clone()),
            networks: self.networks.iter().map(|network| network.value).collect(),
            trusted_roots: self.read_roots(&mut problems),
            identity: self.read_identity(&mut problems),
            marker: self.marker,
            platform,
            forge_api: self.forge.as_ref().map(|forge| forge.value.clone()),
            deployers: self.deployers.iter().map(|deployer| deployer.value.clone()).collect(),
            ..Policy::default()
        };
        problems.or_ok(policy)
    }

    /// Returns the policy where it is fit for a remote target.
    ///
    /// # Errors
    /// As [`TargetTable::to_policy`], and everything that a remote target needs and the policy lacks.
    pub fn to_policy_for_remote(&self) -> Result<Policy, Problems> {
        let policy = self.to_policy()?;
        let mut problems = Problems::default();
        for problem in policy.problems_for_remote() {
            problems.push(self.placed(&problem));
        }
        problems.or_ok(policy)
    }

    /// Returns the name of the places where previews live, for the fingerprint of measurements.
    #[must_use]
    pub fn preview_zone(&self) -> String {
        let mut patterns: Vec<&str> = self.preview.iter().map(|pattern| pattern.value.as_str()).collect();
        if let Some(platform) = &self.platform {
            patterns.push(&platform.value.name);
            patterns.extend(platform.value.keys.project.as_deref());
        }
        patterns.sort_unstable();
        patterns.join(" ")
    }

    fn pinned_platform(&self, problems: &mut Problems) -> Option<Platform> {
        let Located { value, place } = self.platform.as_ref()?;
        Platform::pin(&value.name, &value.keys)
            .inspect_err(|problem| {
                problems.push(Problem::at(place, format!("`target.platform`: {problem}"), problem.help()));
            })
            .ok()
    }

    fn placed(&self, problem: &PolicyProblem) -> Problem {
        let entry = match problem {
            PolicyProblem::FixedPreview { pattern }
            | PolicyProblem::CoversProduction { pattern, .. }
            | PolicyProblem::BesideProduction { pattern, .. } => {
                self.preview.iter().find(|entry| entry.value == *pattern).map(|entry| &entry.place)
            }
            PolicyProblem::UnlistableNetwork { network } => {
                self.networks.iter().find(|entry| entry.value == *network).map(|entry| &entry.place)
            }
            _ => None,
        };
        let message = format!("`{}`: {problem}", problem.key());
        match entry {
            Some(place) => Problem::at(place, message, problem.help()),
            None => Problem::nowhere(message, problem.help()),
        }
    }

    fn read_roots(&self, problems: &mut Problems) -> Vec<Vec<u8>> {
        let mut roots = Vec::new();
        for file in &self.roots {
            match certificates(&file.value) {
                Ok(more) => roots.extend(more),
                Err(why) => problems.push(Problem::at(
                    &file.place,
                    format!("cannot read root certificates from {}: {why}", file.value.display()),
                    "name a PEM file that holds at least one certificate",
                )),
            }
        }
        roots
    }

    fn read_identity(&self, problems: &mut Problems) -> Option<ClientIdentity> {
        let (certificate, key) = (self.client_certificate.as_ref()?, self.client_key.as_ref()?);
        let certificates = certificates(&certificate.value).map_err(|why| {
            problems.push(Problem::at(
                &certificate.place,
                format!("cannot read the client certificate from {}: {why}", certificate.value.display()),
                "name a PEM file that holds the certificate, and behind it those that lead to its root",
            ));
        });
        let key = private_key(key).map_err(|problem| problems.push(problem));
        Some(ClientIdentity { certificates: certificates.ok()?, key: key.ok()? })
    }
}

/// Reads a private key that only its owner can read; what it holds is never part of a message.
fn private_key(file: &Located<PathBuf>) -> Result<Secret, Problem> {
    let shown = file.value.display();
    let unreadable = |why: &dyn std::fmt::Display, help: String| {
        Problem::at(&file.place, format!("cannot use the client key {shown}: {why}"), help)
    };
    let form = || "name a PEM file that holds one private key without a password".to_owned();
    let metadata = std::fs::metadata(&file.value).map_err(|error| unreadable(&error, form()))?;
    if let Some(mode) = mode_for_others(&metadata) {
        let why = format!("others may read it (its mode is {mode:o})");
        return Err(unreadable(&why, format!("keep it to its owner: chmod 600 {shown}")));
    }
    if metadata.len() > MAX_KEY_BYTES {
        return Err(unreadable(&"it is larger than 64 KiB", form()));
    }
    let text = std::fs::read_to_string(&file.value).map_err(|error| unreadable(&error, form()))?;
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(Secret::new(text)),
        Err(_) => Err(unreadable(&"it holds no private key", form())),
    }
}

/// Returns a file's mode where somebody else than its owner may do something with it.
#[cfg(unix)]
fn mode_for_others(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Returns a file's mode where somebody else than its owner may do something with it.
#[cfg(not(unix))]
fn mode_for_others(_metadata: &std::fs::Metadata) -> Option<u32> {
    None
}

fn taken<T>(
    entries: &[Located<String>],
    parse: impl Fn(&str) -> Result<T, PolicyProblem>,
    problems: &mut Problems,
) -> Vec<T> {
    let mut taken = Vec::new();
    for entry in entries {
        match parse(&entry.value) {
            Ok(value) => taken.push(value),
            Err(problem) => {
                problems.push(Problem::at(&entry.place, problem.to_string(), problem.help()));
            }
        }
    }
    taken
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_ROOTS_BYTES {
        return Err("it is larger than 4 MiB".to_owned());
    }
    let found = CertificateDer::pem_file_iter(path)
        .map_err(|error| error.to_string())?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(found.into_iter().map(|certificate| certificate.to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Place, PlatformTable, ProductionFile};

    fn located<T>(value: T, line: usize) -> Located<T> {
        Located { value, place: Place { file: "loadgate.toml".into(), line, column: 1 } }
    }

    fn table(preview: &str, production: &str) -> TargetTable {
        TargetTable {
            preview: vec![located(preview.to_owned(), 2)],
            production: vec![located(production.to_owned(), 3)],
            ..TargetTable::default()
        }
    }

    #[test]
    fn a_good_table_is_a_policy() {
        let policy = table("pr-{pr}.preview.example.com", "www.example.com").to_policy_for_remote().unwrap();

        assert_eq!((policy.preview.len(), policy.production.len()), (1, 1));
    }

    #[test]
    fn a_platform_brings_its_patterns_and_its_production_and_must_be_pinned() {
        let keys = |scope: Option<&str>| crate::guard::PlatformKeys {
            project: Some("shop".into()),
            scope: scope.map(str::to_owned),
            ..crate::guard::PlatformKeys::default()
        };
        let pinned = |scope| TargetTable {
            platform: Some(located(PlatformTable { name: "vercel".into(), keys: keys(scope) }, 4)),
            preview: vec![],
            ..table("", "www.example.com")
        };

        let policy = pinned(Some("acme")).to_policy_for_remote().unwrap();
        assert_eq!(policy.preview[0].to_string(), "shop-git-{branch}-acme.vercel.app");
        assert_eq!(policy.platform.unwrap().production()[0].as_str(), "shop.vercel.app");

        let problems = pinned(None).to_policy().unwrap_err().to_string();
        assert!(
            problems.contains("`scope` is missing") && problems.contains("loadgate.toml:4"),
            "{problems}"
        );
    }

    #[test]
    fn a_service_belongs_to_cloud_run_and_has_its_grammar() {
        let with = |name: &str, service: &str| TargetTable {
            platform: Some(located(
                PlatformTable {
                    name: name.into(),
                    keys: crate::guard::PlatformKeys {
                        project: Some("shop-a1b2c3-uc".into()),
                        service: Some(service.into()),
                        ..crate::guard::PlatformKeys::default()
                    },
                },
                5,
            )),
            preview: vec![],
            ..table("", "www.example.com")
        };
        let good = "projects/acme/locations/europe-west1/services/shop";

        assert!(with("cloud-run", good).to_policy_for_remote().is_ok());
        for (name, service, said) in [
            ("firebase", good, "it has no `service`"),
            ("cloud-run", "shop", "its `service` is not"),
            ("cloud-run", "projects/acme/locations/europe-west1/services/../shop", "its `service` is not"),
        ] {
            let problems = with(name, service).to_policy().unwrap_err().to_string();
            assert!(problems.contains(said) && problems.contains("loadgate.toml:5"), "{problems}");
        }
    }

    #[test]
    fn the_guards_objections_get_their_line() {
        let problems = table("*.example.com", "*").to_policy().unwrap_err();

        let lines: Vec<_> = problems.0.iter().map(|one| one.place.as_ref().map(|place| place.line)).collect();
        assert_eq!(lines, [Some(2), Some(3)]);
    }

    #[test]
    fn an_empty_table_is_fit_for_loopback_only() {
        assert!(TargetTable::default().to_policy().is_ok());
        assert_eq!(TargetTable::default().to_policy_for_remote().unwrap_err().0.len(), 2);
    }

    /// A certificate and its key in files, the key with a mode.
    fn identity(directory: &Path, mode: u32) -> TargetTable {
        use std::os::unix::fs::PermissionsExt;

        let made = rcgen::generate_simple_self_signed(["gate".to_owned()]).unwrap();
        let (certificate, key) = (directory.join("gate.pem"), directory.join("gate.key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        TargetTable {
            client_certificate: Some(located(certificate, 6)),
            client_key: Some(located(key, 7)),
            ..TargetTable::default()
        }
    }

    #[test]
    fn a_client_key_is_used_only_where_nobody_else_can_read_it() {
        let directory = tempfile::tempdir().unwrap();

        let policy = identity(directory.path(), 0o600).to_policy().unwrap();
        let problems = identity(directory.path(), 0o640).to_policy().unwrap_err().to_string();

        assert_eq!(policy.identity.unwrap().certificates.len(), 1);
        assert!(problems.contains("others may read it (its mode is 640)"), "{problems}");
        assert!(problems.contains("loadgate.toml:7") && problems.contains("chmod 600"), "{problems}");
    }

    #[test]
    fn a_client_key_that_is_none_is_named_but_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let table = identity(directory.path(), 0o600);
        std::fs::write(directory.path().join("gate.key"), "hunter2").unwrap();

        let problems = table.to_policy().unwrap_err().to_string();

        assert!(problems.contains("it holds no private key") && !problems.contains("hunter2"), "{problems}");
    }

    #[test]
    fn production_may_be_named_by_files_and_an_unreadable_file_is_a_located_problem() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("CNAME");
        let file = ProductionFile { from: from.clone(), key: None };
        let table = TargetTable {
            production: vec![],
            production_files: vec![located(file, 7)],
            ..table("pr-{pr}.preview.example.com", "")
        };

        let missing = table.to_policy_for_remote().unwrap_err();
        std::fs::write(&from, "www.example.com\n").unwrap();
        let policy = table.to_policy_for_remote().unwrap();

        assert!(missing.to_string().contains("--> loadgate.toml:7"), "{missing}");
        assert_eq!(policy.production[0].as_str(), "www.example.com");
    }

    #[test]
    fn a_root_file_without_certificates_is_a_located_problem() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("roots.pem");
        std::fs::write(&path, "no certificate here").unwrap();
        let table = TargetTable { roots: vec![located(path, 5)], ..TargetTable::default() };

        let problems = table.to_policy().unwrap_err();

        assert!(problems.to_string().contains("loadgate.toml:5"), "{problems}");
    }
}
