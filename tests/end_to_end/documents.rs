//! The documents speak the truth: README's tables equal the program and the action, the schema takes our own file.

use std::collections::BTreeMap;

use cargo_loadgate::verdict::Exit;

use crate::command::Loadgate;
use crate::parts::repository;

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the rows of the table whose head begins with a text, each as its cells.
fn table(readme: &str, head: &str) -> Vec<Vec<String>> {
    let begins = |line: &&str| line.starts_with(head);
    let rows =
        readme.lines().skip_while(|line| !begins(line)).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<String>> = rows
        .map(|row| {
            let inner = row.trim_start_matches('|').trim_end_matches('|');
            inner.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table begins with {head:?}");
    rows
}

fn help(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    Loadgate::new(directory.path()).arguments(arguments).run().expect(0).stdout
}

/// One entry of `inputs:` or `outputs:` of action.yml: its description and default.
#[derive(Default)]
struct Entry {
    description: String,
    default: String,
}

/// Reads a block of action.yml; the file is our own and keeps to two spaces an indent.
fn action_block(block: &str) -> BTreeMap<String, Entry> {
    let action = text("action.yml");
    let lines = action.lines().skip_while(|line| *line != format!("{block}:")).skip(1);
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut name = String::new();
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let trimmed = line.trim();
        match (line.len() - line.trim_start().len(), trimmed.split_once(':')) {
            (2, Some((entry, _))) => {
                name = entry.to_owned();
                entries.entry(name.clone()).or_default();
            }
            (4, Some((key, value))) => {
                let entry = entries.get_mut(&name).unwrap();
                let value = value.trim().trim_matches('"').to_owned();
                match key {
                    "description" => entry.description = value,
                    "default" => entry.default = value,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    entries
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_program() {
    let rows = table(&text("README.md"), "| exit code |");
    let run_help = help(&["run", "--help"]);

    let told: Vec<(String, String)> = rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let real: Vec<(String, String)> =
        Exit::ALL.iter().map(|exit| (exit.code().to_string(), exit.meaning().to_owned())).collect();
    assert_eq!(told, real);
    for (code, meaning) in real {
        let line = format!("{code:>3}  {meaning}");
        assert!(run_help.contains(&line), "--help lacks {line:?}");
    }
}

#[test]
fn the_usage_in_the_readme_is_what_help_prints() {
    let readme = text("README.md");
    let help = help(&["run", "-h"]);

    let shown =
        readme.split("<!-- usage: run -->\n```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let options = &help[help.find("Usage:").unwrap()..help.find("Exit codes:").unwrap()];

    assert_eq!(shown.map(str::trim_end), Some(options.trim_end()), "run: cargo-loadgate run -h");
}

#[test]
fn the_commands_of_the_readme_are_those_of_the_program() {
    let listed = help(&["--help"]);
    let section = listed.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let real: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();

    let told: Vec<String> =
        table(&text("README.md"), "| command |").into_iter().map(|row| row[0].clone()).collect();

    assert_eq!(told, real);
}

#[test]
fn the_inputs_and_outputs_of_the_readme_are_those_of_the_action() {
    let readme = text("README.md");
    let inputs: BTreeMap<String, (String, String)> = table(&readme, "| input of the action |")
        .into_iter()
        .map(|row| (row[0].clone(), (row[1].clone(), row[2].clone())))
        .collect();
    let outputs: BTreeMap<String, String> = table(&readme, "| output of the action |")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();

    let real_inputs: BTreeMap<_, _> = action_block("inputs")
        .into_iter()
        .map(|(name, entry)| (name, (entry.default, entry.description)))
        .collect();
    let real_outputs: BTreeMap<_, _> =
        action_block("outputs").into_iter().map(|(name, entry)| (name, entry.description)).collect();
    assert_eq!(inputs, real_inputs);
    assert_eq!(outputs, real_outputs);
}

#[test]
fn the_configuration_in_the_readme_is_taken() {
    let readme = text("README.md");
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let policy = readme.split("```toml\n").nth(2).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("loadgate.toml"), format!("{policy}\n{example}")).unwrap();

    let ended = Loadgate::new(directory.path()).arguments(["target"]).run().expect(0);

    assert!(ended.stdout.contains("builds and starts"), "{}", ended.stdout);
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let model = text("docs/threat-model.md");
    let mut sources = String::new();
    let mut folders = vec![repository().join("src"), repository().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    let named: Vec<&str> =
        model.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() >= 3).collect();

    assert!(named.len() > 20, "the threat model names only {} tests", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
