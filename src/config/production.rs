//! Production as code: the names of production, read from the files that infrastructure code writes anyway.
//!
//! A file that names nothing is an error: an empty answer must never become an empty list of what is refused.

use std::path::Path;

use serde_json::Value;
use url::Url;

use super::file_v1::{ProductionFile, parse_toml};
use super::find::{read_text, table_at};
use super::problem::{Located, Problem, Problems};
use crate::guard::ProductionHost;
use crate::target::keeps_code;

/// How deep names may be nested: `terraform output` seldom goes beyond two.
const MAX_DEPTH: usize = 16;

/// What is wrong with a file, and how to mend it.
struct Flaw {
    why: String,
    help: String,
}

fn flaw(why: impl Into<String>, help: impl Into<String>) -> Flaw {
    Flaw { why: why.into(), help: help.into() }
}

/// Returns the production hosts that a file names; there is at least one.
///
/// `key` is the path of keys to the names, joined by dots. A URL counts as its host, and `*.example.com` as
/// `example.com`, whose neighbours the guard refuses anyway.
///
/// # Errors
/// Whatever keeps the file from being read or from naming a host.
pub fn production_hosts(path: &Path, key: Option<&str>) -> Result<Vec<ProductionHost>, Problem> {
    let text = read_text(path)?;
    hosts_in(path, key, &text).map_err(|Flaw { why, help }| {
        Problem::nowhere(format!("cannot take production names from {}: {why}", path.display()), help)
    })
}

/// Reads every file that a policy refers to; the problems stand where the policy names the file.
pub(super) fn read_all(files: &[Located<ProductionFile>], problems: &mut Problems) -> Vec<ProductionHost> {
    let mut hosts = Vec::new();
    for file in files {
        match production_hosts(&file.value.from, file.value.key.as_deref()) {
            Ok(more) => hosts.extend(more),
            Err(problem) => problems.push(Problem::at(&file.place, problem.message, problem.help)),
        }
    }
    hosts
}

fn hosts_in(path: &Path, key: Option<&str>, text: &str) -> Result<Vec<ProductionHost>, Flaw> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let names = match name {
        "CNAME" => lines(text),
        "Cargo.toml" => homepage(path, key, text)?,
        "package.json" => of_json(text, Some(key.unwrap_or("homepage")))?,
        "vercel.json" => of_json(text, Some(key.unwrap_or("alias")))?,
        _ if has_extension(path, &["json"]) => of_json(text, key)?,
        _ if has_extension(path, &["yaml", "yml"]) => of_yaml(text, key)?,
        _ => {
            return Err(flaw(
                "this kind of file is not known",
                "name a .json, .yaml or .yml file, CNAME, or Cargo.toml",
            ));
        }
    };
    if names.is_empty() {
        return Err(flaw(
            "it names no host",
            "check `from` and `key`: an empty list of production names would protect nothing",
        ));
    }
    names.iter().map(|name| host_of(name)).collect()
}

fn has_extension(path: &Path, wanted: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    wanted.iter().any(|one| extension.eq_ignore_ascii_case(one))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Reads a host from a name, a wildcard or a URL.
fn host_of(name: &str) -> Result<ProductionHost, Flaw> {
    let shown: String = name.chars().take(80).collect();
    let unreadable = || {
        flaw(
            format!("{shown:?} is no host name and no URL"),
            "let the file name hosts, such as \"www.example.com\"",
        )
    };
    let host = if name.contains("://") {
        let url = Url::parse(name).map_err(|_| unreadable())?;
        url.host_str().ok_or_else(unreadable)?.to_owned()
    } else {
        name.strip_prefix("*.").unwrap_or(name).to_owned()
    };
    let host = ProductionHost::parse(&host).map_err(|_| unreadable())?;
    if keeps_code(host.as_str()) {
        return Err(flaw(
            format!("{host} keeps code, it is not production"),
            "name the address of the live service, or leave this file out",
        ));
    }
    Ok(host)
}

fn homepage(path: &Path, key: Option<&str>, text: &str) -> Result<Vec<String>, Flaw> {
    let document = parse_toml(path, text).map_err(|problem| flaw(problem.message, problem.help))?;
    let read = |key: &str| {
        let keys: Vec<&str> = key.split('.').collect();
        table_at(document.as_table(), &keys)?.as_str().map(str::to_owned)
    };
    let found = match key {
        Some(key) => read(key),
        None => read("package.homepage").or_else(|| read("workspace.package.homepage")),
    };
    found.map(|name| vec![name]).ok_or_else(|| {
        flaw(
            format!("it has no {}", key.unwrap_or("package.homepage")),
            "add the homepage, or leave this file out",
        )
    })
}

fn of_json(text: &str, key: Option<&str>) -> Result<Vec<String>, Flaw> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| flaw(format!("it is not JSON: {error}"), "write the file anew"))?;
    let Some(key) = key else {
        let keys: Vec<&String> = value.as_object().into_iter().flat_map(|map| map.keys()).take(8).collect();
        let known = keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
        return Err(flaw("no `key` says where the names stand", format!("add `key`; this file has {known}")));
    };
    names_under(&value, key)
}

/// Reads the values of one key, or the hosts that Kubernetes routes from the outside.
fn of_yaml(text: &str, key: Option<&str>) -> Result<Vec<String>, Flaw> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default().to_owned();
        flaw(
            format!("it is not plain YAML: {first}"),
            "templates are read after rendering: write the output of `helm template` or `kustomize build`",
        )
    })?;
    if let Some(key) = key {
        let found = documents.iter().find_map(|document| names_under(document, key).ok());
        return found.ok_or_else(|| flaw(format!("no document has a name under `{key}`"), "check `key`"));
    }
    let mut names = Vec::new();
    for document in &documents {
        add_routed_hosts(document, MAX_DEPTH, &mut names);
    }
    Ok(names)
}

fn add_routed_hosts(resource: &Value, depth: usize, names: &mut Vec<String>) {
    let list = |pointer: &str| resource.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let mut add = |name: Option<&str>| names.extend(name.map(str::to_owned));
    match resource.get("kind").and_then(Value::as_str).unwrap_or_default() {
        "Ingress" => {
            list("/spec/rules").for_each(|rule| add(rule.get("host").and_then(Value::as_str)));
            let hosts = list("/spec/tls").filter_map(|tls| tls.get("hosts")?.as_array());
            hosts.flatten().for_each(|host| add(host.as_str()));
        }
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" => {
            list("/spec/hostnames").for_each(|host| add(host.as_str()));
        }
        "Gateway" => {
            list("/spec/listeners").for_each(|one| add(one.get("hostname").and_then(Value::as_str)));
        }
        "List" if depth > 0 => {
            for item in list("/items") {
                add_routed_hosts(item, depth - 1, names);
            }
        }
        _ => {}
    }
}

fn names_under(value: &Value, key: &str) -> Result<Vec<String>, Flaw> {
    let mut value = unwrapped(value)?;
    for part in key.split('.') {
        let next = value.get(part).ok_or_else(|| {
            flaw(format!("there is no key `{part}` (of `{key}`)"), "check `key`, or write the file anew")
        })?;
        value = unwrapped(next)?;
    }
    let mut names = Vec::new();
    add_texts(value, MAX_DEPTH, &mut names)?;
    Ok(names)
}

/// `terraform output -json` wraps each value in an object that says its type and whether it is secret.
fn unwrapped(value: &Value) -> Result<&Value, Flaw> {
    let is_wrapped = value.get("sensitive").is_some_and(Value::is_boolean);
    match value.get("value").filter(|_| is_wrapped) {
        None => Ok(value),
        Some(_) if value.get("sensitive") == Some(&Value::Bool(true)) => Err(flaw(
            "the output is marked sensitive, and production names are shown in receipts",
            "name an output that is not sensitive",
        )),
        Some(inner) => Ok(inner),
    }
}

fn add_texts(value: &Value, depth: usize, names: &mut Vec<String>) -> Result<(), Flaw> {
    match value {
        Value::String(text) => names.push(text.clone()),
        Value::Array(items) if depth > 0 => {
            items.iter().try_for_each(|item| add_texts(item, depth - 1, names))?;
        }
        Value::Object(map) if depth > 0 => {
            map.values().try_for_each(|item| add_texts(item, depth - 1, names))?;
        }
        _ => {
            return Err(flaw(
                "the names are not all texts",
                "let `key` lead to a text, a list of texts or a map of texts",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, key: Option<&str>, text: &str) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        match production_hosts(&path, key) {
            Ok(hosts) => Ok(hosts.iter().map(ToString::to_string).collect()),
            Err(problem) => {
                assert!(!problem.help.is_empty() && problem.message.contains(name), "{problem}");
                Err(problem.message)
            }
        }
    }

    const OUTPUTS: &str = r#"{
        "web_hosts": {"sensitive": false, "type": ["list", "string"], "value": ["www.kiosk.test", "kiosk.test"]},
        "api": {"sensitive": false, "type": "string", "value": "https://api.kiosk.test/v1"},
        "zones": {"sensitive": false, "type": "map", "value": {"eu": "eu.kiosk.test", "us": "us.kiosk.test"}},
        "password": {"sensitive": true, "type": "string", "value": "hunter2"},
        "count": {"sensitive": false, "type": "number", "value": 3},
        "none": {"sensitive": false, "type": "list", "value": []}
    }"#;

    #[test]
    fn outputs_of_terraform_name_production() {
        let of = |key| read("outputs.json", Some(key), OUTPUTS);

        assert_eq!(of("web_hosts").unwrap(), ["www.kiosk.test", "kiosk.test"]);
        assert_eq!(of("api").unwrap(), ["api.kiosk.test"]);
        assert_eq!(of("zones.eu").unwrap(), ["eu.kiosk.test"]);
        assert_eq!(of("zones").unwrap().len(), 2);
    }

    #[test]
    fn outputs_that_name_nothing_are_an_error_and_no_secret_is_shown() {
        for (key, expected) in [
            (Some("missing"), "there is no key `missing`"),
            (Some("none"), "it names no host"),
            (Some("count"), "the names are not all texts"),
            (Some("password"), "is marked sensitive"),
            (None, "no `key` says where"),
        ] {
            let said = read("outputs.json", key, OUTPUTS).unwrap_err();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn hosts_that_kubernetes_routes_are_production() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec:\n  tls:\n  - hosts: [shop.kiosk.test]\n  \
                    rules:\n  - host: www.kiosk.test\n  - host: '*.eu.kiosk.test'\n  - http: {}\n---\nkind: Service\n---\n\
                    kind: HTTPRoute\nspec:\n  hostnames: [api.kiosk.test]\n---\nkind: List\nitems:\n- kind: Gateway\n  \
                    spec:\n    listeners: [{hostname: gate.kiosk.test}]\n";

        let hosts = read("ingress.yaml", None, text).unwrap();

        assert_eq!(
            hosts,
            ["www.kiosk.test", "eu.kiosk.test", "shop.kiosk.test", "api.kiosk.test", "gate.kiosk.test"]
        );
        assert_eq!(
            read("values.yml", Some("web.host"), "web: {host: a.kiosk.test}").unwrap(),
            ["a.kiosk.test"]
        );
    }

    #[test]
    fn yaml_that_routes_nothing_or_is_a_template_is_an_error() {
        for text in [
            "kind: Service\n",
            "",
            "kind: Ingress\nspec: {rules: [{host: '{{ .Values.host }}'}]}\n",
            "kind: Ingress\nspec:\n  rules: {{ toYaml .Values.rules }}\n",
            "a: [\n",
        ] {
            assert!(read("ingress.yaml", None, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn small_files_of_platforms_name_production() {
        assert_eq!(read("CNAME", None, "www.kiosk.test\n\n").unwrap(), ["www.kiosk.test"]);
        assert_eq!(read("vercel.json", None, r#"{"alias": ["kiosk.test"]}"#).unwrap(), ["kiosk.test"]);
        assert_eq!(
            read("package.json", None, r#"{"homepage": "https://kiosk.test/"}"#).unwrap(),
            ["kiosk.test"]
        );
        let manifest = "[package]\nname = \"a\"\nhomepage = \"https://kiosk.test\"\n";
        assert_eq!(read("Cargo.toml", None, manifest).unwrap(), ["kiosk.test"]);
        let inherited = "[package]\nhomepage.workspace = true\n[workspace.package]\nhomepage = \"https://w.kiosk.test\"\n";
        assert_eq!(read("Cargo.toml", None, inherited).unwrap(), ["w.kiosk.test"]);
    }

    #[test]
    fn files_that_are_empty_broken_or_about_something_else_are_errors() {
        for (name, text) in [
            ("CNAME", ""),
            ("CNAME", " \n"),
            ("CNAME", "not a host\n"),
            ("CNAME", "203.0.113.9\n"),
            ("vercel.json", "{}"),
            ("vercel.json", ""),
            ("vercel.json", r#"{"alias": []}"#),
            ("package.json", r#"{"homepage": 5}"#),
            ("package.json", r#"{"homepage": "https://github.com/stall/kiosk"}"#),
            ("Cargo.toml", "[package]\nname = \"a\"\n"),
            ("Cargo.toml", "[package\n"),
            ("hosts.txt", "www.kiosk.test"),
        ] {
            assert!(read(name, None, text).is_err(), "{name}: {text:?}");
        }
        assert!(production_hosts(Path::new("/nowhere/CNAME"), None).is_err());
    }

    #[test]
    fn a_file_beyond_all_measure_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("CNAME");
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();

        let problem = production_hosts(&path, None).unwrap_err();

        assert!(problem.message.contains("larger than 1 MiB"), "{problem}");
    }
}
