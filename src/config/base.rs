//! The base branch's configuration decides what a pull request must not decide for itself: which targets there are,
//! how much load they may receive, and which programs are started.
//!
//! Narrowing is free: production names that the pull request adds and limits that it lowers hold at once. Everything
//! else that it changes there waits for its merge, and the report says so.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use toml_edit::{Item, TableLike, Value};

use super::file_v1::{self, LimitsDraft, PolicyDraft, ServiceDraft};
use super::find::{FILE_NAME, table_at};
use super::problem::{Located, Problem, Problems};
use super::{
    ConfigSource, Limits, ServiceChoice, Settings, TargetTable, config_table, declared_plan, located_files,
};
use crate::secret::SecretPlan;

/// The sections that the base branch decides; those that this version does not know are compared all the same.
const REVIEWED_SECTIONS: [&str; 5] = ["target", "limits", "service", "secret", "tls"];

/// The reviewed sections as they are written, in a form that spelling and order do not change.
pub(super) type Sections = BTreeMap<&'static str, String>;

/// The base branch's configuration, as far as a pull request must not change it.
#[derive(Debug, Default)]
pub struct ReviewedPolicy {
    target: TargetTable,
    limits: LimitsDraft,
    service: Option<ServiceDraft>,
    secrets: Vec<Located<SecretPlan>>,
    sections: Sections,
}

/// Reads a file of the base branch, by its path from the configuration's directory; `None` where there is none.
pub type ReadBase<'a, E> = &'a dyn Fn(&Path) -> Result<Option<Vec<u8>>, E>;

/// Why the base branch's policy cannot be obeyed.
#[derive(Debug)]
pub enum BaseError<E> {
    /// It could not be read.
    Unreadable(E),
    /// It was read and cannot be understood; the base branch must be mended first.
    Unusable(Problems),
}

/// Reads the base branch's policy, or `None` where it has none.
///
/// Files that the policy names are put below `directory`, which must live until the settings are used up: the pull
/// request has written those in the checkout.
pub fn read_base<E>(read: ReadBase<'_, E>, directory: &Path) -> Result<Option<ReviewedPolicy>, BaseError<E>> {
    let mut found: Vec<(ConfigSource, String)> = Vec::new();
    for (name, source) in candidates() {
        let path = Path::new(name);
        let Some(bytes) = read(path).map_err(BaseError::Unreadable)? else { continue };
        let text = String::from_utf8(bytes).map_err(|_| {
            let help = "save the file as UTF-8 in the base branch";
            BaseError::Unusable(
                Problem::nowhere(format!("{name} of the base branch is not UTF-8"), help).into(),
            )
        })?;
        let is_there = match source.tables() {
            [] => true,
            tables => {
                let document = file_v1::parse_toml(path, &text).map_err(unusable)?;
                table_at(document.as_table(), tables).is_some()
            }
        };
        if is_there {
            found.push((source, text));
        }
    }
    let Some((source, text)) = found.pop() else { return Ok(None) };
    if !found.is_empty() {
        let message = "the base branch has several configurations";
        return Err(unusable(Problem::nowhere(message, "keep one of them in the base branch")));
    }
    let mut policy = read_policy(&source, &text).map_err(BaseError::Unusable)?;
    bring_files(&mut policy.target, read, directory)?;
    Ok(Some(policy))
}

/// Takes the files that a policy names from the base branch too; those outside the repository are the machine's.
fn bring_files<E>(
    target: &mut TargetTable,
    read: ReadBase<'_, E>,
    directory: &Path,
) -> Result<(), BaseError<E>> {
    let roots = target.roots.iter_mut().map(|root| (&root.place, &mut root.value));
    let names = target.production_files.iter_mut().map(|file| (&file.place, &mut file.value.from));
    for (place, path) in roots.chain(names) {
        if path.is_absolute() {
            continue;
        }
        let shown = path.display().to_string();
        let problem = |why: &str, help: &str| unusable(Problem::at(place, format!("{shown}: {why}"), help));
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(problem(
                "it lies outside the configuration's directory",
                "keep the file beside loadgate.toml",
            ));
        }
        let bytes = read(path).map_err(BaseError::Unreadable)?;
        let bytes =
            bytes.ok_or_else(|| problem("the base branch has no such file", "add it to the base branch"))?;
        let copy = directory.join(&*path);
        let parent = copy.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&copy, bytes)).map_err(|error| {
            problem(&format!("it cannot be kept: {error}"), "check the disk for temporary files")
        })?;
        *path = copy;
    }
    Ok(())
}

fn unusable<E>(problem: Problem) -> BaseError<E> {
    BaseError::Unusable(problem.into())
}

fn candidates() -> [(&'static str, ConfigSource); 3] {
    let manifest = || PathBuf::from("Cargo.toml");
    [
        (FILE_NAME, ConfigSource::File(FILE_NAME.into())),
        ("Cargo.toml", ConfigSource::WorkspaceMetadata(manifest())),
        ("Cargo.toml", ConfigSource::PackageMetadata(manifest())),
    ]
}

/// Problems in other sections are not heard: a pull request must be able to mend them.
fn read_policy(source: &ConfigSource, text: &str) -> Result<ReviewedPolicy, Problems> {
    let Some(path) = source.path() else { return Ok(ReviewedPolicy::default()) };
    let path = &PathBuf::from(format!("{} of the base branch", path.display()));
    let document = file_v1::parse_toml(path, text)?;
    let Some(table) = config_table(document.as_table(), source) else {
        return Ok(ReviewedPolicy::default());
    };
    let (PolicyDraft { target, limits, service, secrets }, problems) =
        file_v1::read_policy(path, text, table);
    problems.or_ok(ReviewedPolicy { target, limits, service, secrets, sections: sections_of(table) })
}

/// Returns the reviewed sections of a configuration.
pub(super) fn sections_of(table: &dyn TableLike) -> Sections {
    let written = |section: &&str| table.get(section).filter(|item| !item.is_none());
    REVIEWED_SECTIONS
        .into_iter()
        .filter_map(|section| Some((section, canonical(written(&section)?))))
        .collect()
}

impl Settings {
    /// Returns whether the configuration holds anything that the base branch decides.
    #[must_use]
    pub fn has_reviewed_sections(&self) -> bool {
        !self.sections.is_empty()
    }

    /// Takes away every secret, because nobody has reviewed where it would go.
    pub fn withhold_secrets(&mut self) {
        self.secrets.clear();
    }

    /// Puts the settings under the base branch's policy; returns what the pull request changes, one sentence a
    /// section.
    pub fn obey(&mut self, base: ReviewedPolicy) -> Vec<String> {
        let notes = self.differences(&base);
        let own_production = std::mem::take(&mut self.target.production);
        let own_files = std::mem::take(&mut self.target.production_files);
        self.target = base.target;
        // A key is never in the repository: an earlier step of the job has put it, with its certificate, where it is.
        let identity = &mut self.target.client_certificate;
        for file in identity.iter_mut().chain(&mut self.target.client_key) {
            file.value = self.root.join(&file.value);
        }
        for name in own_production {
            if self.target.production.iter().all(|known| known.value != name.value) {
                self.target.production.push(name);
            }
        }
        self.target.production_files.extend(own_files);
        self.secrets = located_files(base.secrets, &self.root);
        self.limits = self.limits.narrowed_to(&Limits::from_draft(&base.limits));
        // A first [service] is the pull request's own code on this machine, and so is what cargo would build.
        if let (Some(draft), None) = (base.service, self.local) {
            let log = self.out.join("service.log");
            self.service = ServiceChoice::Declared(declared_plan(draft, &self.root, log));
        }
        notes
    }

    fn differences(&self, base: &ReviewedPolicy) -> Vec<String> {
        let differs = |section: &&str| self.sections.get(section) != base.sections.get(section);
        REVIEWED_SECTIONS
            .into_iter()
            .filter(differs)
            .map(|section| {
                let holds = match section {
                    "target" => {
                        "the base branch's holds until the merge; production hosts that were added hold at once"
                    }
                    "limits" => "the base branch's hold until the merge; lower ones hold at once",
                    "service" if !base.sections.contains_key("service") => {
                        "the base branch has none, so this one is run although nobody has reviewed it"
                    }
                    _ => "the base branch's holds until the merge",
                };
                let section = if section == "secret" { "[[secret]]".to_owned() } else { format!("[{section}]") };
                format!("{section} is not what the base branch says: {holds}")
            })
            .collect()
    }
}

/// Returns a value in a form that spelling, order and comments do not change.
fn canonical(item: &Item) -> String {
    match item {
        Item::None => String::new(),
        Item::Value(value) => canonical_value(value),
        Item::Table(table) => canonical_table(table),
        Item::ArrayOfTables(tables) => {
            let tables: Vec<String> = tables.iter().map(|table| canonical_table(table)).collect();
            format!("[{}]", tables.join(","))
        }
    }
}

fn canonical_value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", text.value()),
        Value::Integer(number) => number.value().to_string(),
        Value::Float(number) => number.value().to_string(),
        Value::Boolean(truth) => truth.value().to_string(),
        Value::Datetime(time) => time.value().to_string(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical_value).collect();
            format!("[{}]", values.join(","))
        }
        Value::InlineTable(table) => canonical_table(table),
    }
}

fn canonical_table(table: &dyn TableLike) -> String {
    let pairs: BTreeMap<&str, String> = table.iter().map(|(key, item)| (key, canonical(item))).collect();
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key:?}={value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::config::Located;
    use crate::config::{Overrides, load};
    use crate::scenario::Rate;

    const BASE: &str =
        "[target]\npreview = [\"pr-{pr}.p.test\"]\nproduction = [\"shop.test\"]\n[limits]\nrate = 100\n";

    /// Settings of a pull request's own file.
    fn proposed(text: &str) -> Settings {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(".git")).unwrap();
        std::fs::write(directory.path().join(FILE_NAME), text).unwrap();
        let overrides = Overrides { local: None, ..Overrides::default() };
        load(directory.path(), &overrides).unwrap()
    }

    fn read_files(files: &[(&str, &str)]) -> Result<Option<ReviewedPolicy>, BaseError<Infallible>> {
        let directory = tempfile::tempdir().unwrap();
        read_base(
            &|path| {
                let found = files.iter().find(|(name, _)| Path::new(name) == path);
                Ok(found.map(|(_, text)| text.as_bytes().to_vec()))
            },
            directory.path(),
        )
    }

    fn base(text: &str) -> ReviewedPolicy {
        read_files(&[(FILE_NAME, text)]).unwrap().unwrap()
    }

    fn production(settings: &Settings) -> Vec<&str> {
        settings.target.production.iter().map(|name| name.value.as_str()).collect()
    }

    #[test]
    fn secrets_are_those_of_the_base_branch_and_none_where_nobody_has_reviewed_any() {
        let secret = |variable: &str| {
            format!("[[secret]]\nname = \"TOKEN\"\nenv = \"{variable}\"\nheaders = [\"authorization\"]\n")
        };
        let mut settings = proposed(&secret("DEPLOY_KEY"));
        let mut unreviewed = settings.clone();

        let notes = settings.obey(base(&format!("{BASE}{}", secret("TEST_TOKEN"))));
        unreviewed.withhold_secrets();

        let source = &settings.secrets[0].value.source;
        assert_eq!(source, &crate::secret::SecretSource::Variable("TEST_TOKEN".into()));
        assert!(
            notes.iter().any(|note| note.starts_with("[[secret]] is not what the base branch says")),
            "{notes:?}"
        );
        assert!(unreviewed.secrets.is_empty());
    }

    #[test]
    fn a_pull_request_that_changes_nothing_changes_nothing() {
        let spelt_otherwise = "# A comment.\n[limits]\nrate = 100\n[target]\nproduction = [ 'shop.test', ]\n\
                               preview = [\"pr-{pr}.p.test\"]\n";
        for own in [BASE, spelt_otherwise] {
            let mut settings = proposed(own);
            let before = settings.clone();
            assert_eq!(settings.obey(base(BASE)), Vec::<String>::new());
            assert_eq!((settings.limits, production(&settings)), (before.limits, production(&before)));
        }
    }

    #[test]
    fn widening_waits_for_the_merge_and_is_said() {
        let mut settings = proposed(
            "[target]\npreview = [\"{branch}.shop.test\"]\nproduction = []\n[limits]\nrate = 5000\nconnections = 999\n",
        );

        let notes = settings.obey(base(BASE));

        assert_eq!(settings.target.preview[0].value, "pr-{pr}.p.test");
        assert_eq!(production(&settings), ["shop.test"]);
        assert_eq!(
            (Some(settings.limits.rate), settings.limits.connections.get()),
            (Rate::per_second(100.0).ok(), 32)
        );
        assert!(
            notes[0].starts_with("[target] is not") && notes[1].starts_with("[limits] is not"),
            "{notes:?}"
        );
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn narrowing_holds_at_once() {
        let mut settings = proposed(
            "[target]\npreview = [\"pr-{pr}.p.test\"]\nproduction = [\"new.test\", \"shop.test\"]\n[limits]\nrate = 7\n",
        );

        settings.obey(base(BASE));

        assert_eq!(production(&settings), ["shop.test", "new.test"]);
        assert_eq!(Some(settings.limits.rate), Rate::per_second(7.0).ok());
    }

    #[test]
    fn removing_the_file_does_not_remove_the_policy() {
        let mut settings = proposed("");

        let notes = settings.obey(base(BASE));

        assert_eq!((production(&settings), notes.len()), (vec!["shop.test"], 2));
    }

    #[test]
    fn the_client_key_is_the_machines_own_file_where_the_base_branch_says() {
        let text = "[target]\nclient-certificate = \"gate.pem\"\nclient-key = \"/run/gate.key\"\n";
        let mut settings = proposed("");

        settings.obey(base(text));

        let path = |file: &Option<Located<PathBuf>>| file.as_ref().unwrap().value.clone();
        assert_eq!(path(&settings.target.client_certificate), settings.root.join("gate.pem"));
        assert_eq!(path(&settings.target.client_key), Path::new("/run/gate.key"));
    }

    #[test]
    fn the_programs_of_the_base_branch_are_run() {
        let with_service = |run: &str| format!("{BASE}[service]\nrun = [\"{run}\"]\n");
        let run_of = |settings: &Settings| settings.service.plan().unwrap().run.clone();

        let mut changed = proposed(&with_service("./other"));
        let notes = changed.obey(base(&with_service("./serve")));
        assert_eq!(run_of(&changed), ["./serve"]);
        assert!(notes[0].contains("[service]") && notes[0].contains("until the merge"), "{notes:?}");

        let mut first = proposed(&with_service("./other"));
        let notes = first.obey(base(BASE));
        assert_eq!(run_of(&first), ["./other"]);
        assert!(notes[0].contains("although nobody has reviewed it"), "{notes:?}");
    }

    #[test]
    fn sections_that_are_not_known_yet_are_compared_too() {
        let table = |text: &'static str| {
            let document = file_v1::parse_toml(Path::new("x"), text).unwrap();
            sections_of(document.as_table())
        };

        assert_ne!(table("[tls]\na = 1"), table("[tls]\na = 2"));
        assert_ne!(table("[[secret]]\na = 1"), table("[[secret]]\na = 1\n[[secret]]\na = 2"));
        assert_eq!(table("tls = { a = 1, b = 'x' }"), table("[tls]\nb = \"x\"\na = 1 # one"));
        assert_eq!(table("[gate]\nmetrics = []"), table("[[scenario]]\nname = \"a\""));
    }

    #[test]
    fn metadata_of_the_manifest_is_a_policy_too() {
        let manifest = "[package]\nname = \"shop\"\n[package.metadata.loadgate.limits]\nrate = 5\n";

        let policy = read_files(&[("Cargo.toml", manifest)]).unwrap().unwrap();

        assert_eq!(policy.limits.rate, Rate::per_second(5.0).ok());
        assert!(read_files(&[("Cargo.toml", "[package]\nname = \"shop\"\n")]).unwrap().is_none());
        assert!(read_files(&[]).unwrap().is_none());
        let both = read_files(&[("Cargo.toml", manifest), (FILE_NAME, BASE)]);
        assert!(matches!(both, Err(BaseError::Unusable(_))), "{both:?}");
    }

    #[test]
    fn a_base_that_cannot_be_understood_is_no_policy() {
        for text in ["[limits]\nrate = 0\n", "[limits]\nrates = 5\n", "[target", "target = 5"] {
            let read = read_files(&[(FILE_NAME, text)]);
            let Err(BaseError::Unusable(problems)) = read else { panic!("{text}: {read:?}") };
            assert!(problems.to_string().contains("base branch"), "{problems}");
        }
        let foreign_section = format!("unknown = 1\n{BASE}[[scenario]]\n");
        assert!(read_files(&[(FILE_NAME, &foreign_section)]).is_ok(), "problems elsewhere may be mended");
    }

    #[test]
    fn files_that_the_policy_names_come_from_the_base_branch() {
        let directory = tempfile::tempdir().unwrap();
        let text = "[target]\nroots = [\"certificates/root.pem\", \"/etc/corporate.pem\"]\n";
        let files = [(FILE_NAME, text), ("certificates/root.pem", "the reviewed one")];
        let read = |path: &Path| -> Result<Option<Vec<u8>>, Infallible> {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            Ok(found.map(|(_, text)| text.as_bytes().to_vec()))
        };

        let policy = read_base(&read, directory.path()).unwrap().unwrap();

        let roots: Vec<&Path> = policy.target.roots.iter().map(|root| root.value.as_path()).collect();
        assert_eq!(std::fs::read_to_string(roots[0]).unwrap(), "the reviewed one");
        assert!(roots[0].starts_with(directory.path()));
        assert_eq!(roots[1], Path::new("/etc/corporate.pem"));
        for hostile in ["../root.pem", "none.pem"] {
            let text = format!("[target]\nroots = [\"{hostile}\"]\n");
            let refused = read_files(&[(FILE_NAME, &text)]);
            assert!(matches!(refused, Err(BaseError::Unusable(_))), "{hostile}: {refused:?}");
        }
    }
}
