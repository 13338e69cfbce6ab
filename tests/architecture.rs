//! Keeps the house as `src/lib.rs` draws it: floors, a sentence at every door, files that fit in a head.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up; a room imports only from floors below its own.
const FLOORS: [&[&str]; 5] = [
    &["clock", "context", "measurement", "request", "scenario", "secret", "target", "verdict"],
    &["baseline", "ci", "github", "guard", "preview", "redact", "script", "sockets", "stats", "vault"],
    &["compare", "config", "evidence", "load", "publish", "service"],
    &["report"],
    &["cli"],
];

/// Lines of a file before its tests; more than this no longer fits in a head.
const MAX_LINES_BEFORE_TESTS: usize = 400;

/// The one room that may hold unsafe code, and the file that lets it.
const RAW_ROOM: &str = "src/script/raw/";
const ITS_DOOR: &str = "src/script/mod.rs";

/// Lines of code, comments apart, that one person can keep in mind all at once.
const MAX_LINES_OF_RAW_ROOM: usize = 300;

struct SourceFile {
    path: PathBuf,
    room: String,
    code: String,
}

fn source_files() -> Vec<SourceFile> {
    files_below("src")
}

fn files_below(folder: &str) -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let inside = path.strip_prefix(&root).expect("the walk stays inside src");
            let room = inside.components().next().expect("a file has a name").as_os_str().to_string_lossy();
            let room = room.trim_end_matches(".rs").to_owned();
            let code = fs::read_to_string(&path).expect("sources are UTF-8");
            files.push(SourceFile { path, room, code });
        }
    }
    assert!(files.len() > 5, "the walk found only {} files below {folder}", files.len());
    files
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// Returns the rooms that a file names as `crate::room`, one by one or in a group of a `use`.
fn imported_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut words = Vec::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => words.push(std::mem::take(&mut word)),
                    other if depth == 0 => word.push(other),
                    _ => {}
                }
            }
            words.push(word);
            rooms.extend(words.iter().map(|word| first_word(word.trim())));
        } else {
            rooms.insert(first_word(rest));
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the code above the unit tests, which stand last in a file.
fn before_tests(code: &str) -> &str {
    let tests = ["\nmod tests {", "\nmod tests;"].iter().filter_map(|opening| code.find(opening)).min();
    &code[..tests.unwrap_or(code.len())]
}

/// Returns the code without its unit tests and comments: tests may look sideways, prose may name anything.
fn without_tests_and_comments(code: &str) -> String {
    before_tests(code)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_room_stands_on_exactly_one_floor() {
    for file in source_files() {
        if file.room == "lib" || file.room == "main" {
            continue;
        }
        assert!(floor_of(&file.room).is_some(), "{} belongs to no floor", file.path.display());
    }
}

#[test]
fn a_room_imports_only_from_floors_below() {
    let mut wrong = Vec::new();
    for file in source_files() {
        // Tests may look sideways.
        if file.path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let Some(floor) = floor_of(&file.room) else { continue };
        for import in imported_rooms(&without_tests_and_comments(&file.code)) {
            if import == file.room {
                continue;
            }
            let allowed = match floor_of(&import) {
                // Words are nouns about each other; the compiler already refuses a cycle of types that matters.
                Some(0) if floor == 0 => true,
                Some(other) => other < floor,
                None => false,
            };
            if !allowed {
                wrong.push(format!("{} imports `{import}`", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the floors:\n{}", wrong.join("\n"));
}

#[test]
fn words_do_no_input_or_output() {
    for file in source_files().into_iter().filter(|file| floor_of(&file.room) == Some(0)) {
        let code = without_tests_and_comments(&file.code);
        for door in
            ["std::fs", "std::net::Tcp", "std::net::Udp", "std::process", "std::io", "tokio::", "reqwest::"]
        {
            assert!(!code.contains(door), "{} opens {door}", file.path.display());
        }
    }
}

#[test]
fn the_judging_rooms_see_no_socket_and_no_file() {
    for file in source_files() {
        if !matches!(file.room.as_str(), "compare" | "stats" | "report") {
            continue;
        }
        let code = without_tests_and_comments(&file.code);
        for door in ["std::fs", "std::net", "std::process", "tokio::", "reqwest::"] {
            assert!(!code.contains(door), "{} opens {door}", file.path.display());
        }
    }
}

#[test]
fn every_file_opens_with_what_its_noun_means() {
    for file in source_files() {
        assert!(file.code.starts_with("//! "), "{} does not open with //!", file.path.display());
    }
}

#[test]
fn files_fit_in_a_head() {
    for file in source_files() {
        let lines = before_tests(&file.code).lines().count();
        assert!(lines <= MAX_LINES_BEFORE_TESTS, "{}: {lines} lines before tests", file.path.display());
    }
}

#[test]
fn nothing_is_called_after_nothing() {
    for file in source_files() {
        let stem = file.path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        assert!(
            !["util", "utils", "common", "helpers", "imp", "misc", "types"].contains(&stem.as_str()),
            "{} says nothing by its name",
            file.path.display()
        );
    }
}

/// Returns how often a word stands in code, comments apart; `unsafe_code` is another word than `unsafe`.
fn count_of(word: &str, code: &str) -> usize {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|w| *w == word)
        .count()
}

#[test]
fn unsafe_code_stays_in_one_small_room() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut raw_lines = 0;
    for file in ["src", "tests", "benches"].into_iter().flat_map(files_below) {
        let path = file.path.strip_prefix(manifest).expect("the walk stays inside the package");
        let (path, this) = (path.to_string_lossy().replace('\\', "/"), path.ends_with("architecture.rs"));
        if path.starts_with(RAW_ROOM) {
            let lines = without_tests_and_comments(&file.code);
            raw_lines += lines.lines().filter(|line| !line.trim().is_empty()).count();
            continue;
        }
        assert!(this || count_of("unsafe", &file.code) == 0, "{path} holds unsafe code");
        let exceptions = count_of("unsafe_code", &file.code);
        assert!(this || exceptions == usize::from(path == ITS_DOOR), "{path} lets unsafe code in");
    }
    assert!((1..=MAX_LINES_OF_RAW_ROOM).contains(&raw_lines), "{RAW_ROOM} has {raw_lines} lines of code");
    let settings = fs::read_to_string(manifest.join("Cargo.toml")).expect("the manifest can be read");
    assert!(settings.contains("\nunsafe_code = \"deny\"\n"), "the lint must be denied everywhere else");
    assert_eq!(count_of("unsafe", "// unsafe\nlet unsafe_code = unsafe { 1 };"), 1);
}

#[test]
fn groups_of_imports_are_seen() {
    let code = "use crate::{guard::{Policy, x}, load};\nfn f() { crate::report::render() }";

    let rooms = imported_rooms(code);

    assert_eq!(rooms.into_iter().collect::<Vec<_>>(), ["guard", "load", "report"]);
}
