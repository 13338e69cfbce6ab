//! Looks for names of production in the files that infrastructure code leaves in a workspace and in what the job is
//! told, and says which of them the policy lacks.

use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::config;
use crate::guard::Policy;
use crate::target::ProductionFact;

/// Files whose very name says that they may hold a production name.
const NAMED_FILES: [&str; 9] = [
    "CNAME",
    "docs/CNAME",
    "public/CNAME",
    "static/CNAME",
    "site/CNAME",
    "vercel.json",
    "package.json",
    "Cargo.toml",
    "web/package.json",
];

/// Directories in which people keep what Kubernetes routes.
const MANIFEST_DIRECTORIES: [&str; 7] =
    ["k8s", "kubernetes", "manifests", "deploy", "deployment", "infra", "ops"];

/// How far below such a directory is looked.
const MAX_DEPTH: usize = 3;

/// More manifests than a person keeps by hand; whoever has more names them in the policy.
const MAX_MANIFESTS: usize = 200;

pub(super) fn examine(root: &Path, policy: &Policy, findings: &mut Vec<Finding>) {
    let mut files: Vec<PathBuf> = NAMED_FILES.iter().map(|name| root.join(name)).collect();
    for directory in MANIFEST_DIRECTORIES {
        collect_manifests(&root.join(directory), MAX_DEPTH, &mut files);
    }
    let before = findings.len();
    for file in files.iter().filter(|file| file.is_file()) {
        // A file without a name, a template or somebody else's YAML is no finding: nobody said that it must hold one.
        let Ok(hosts) = config::production_hosts(file, None) else { continue };
        let shown = file.strip_prefix(root).unwrap_or(file);
        for host in hosts.iter().filter(|host| !is_known(policy, host.as_str())) {
            findings.push(
                Finding::warning(
                    format!("{host} looks like production, and [target] production lacks it"),
                    format!("add \"{host}\", or {{ from = \"{}\" }}", shown.display()),
                )
                .at(shown),
            );
        }
    }
    if findings.len() == before {
        findings.push(Finding::good("no file here names a production host that the policy lacks"));
    }
}

/// Names what only this job's environment calls production: the variables of a platform, the repository's homepage.
pub(super) fn examine_facts(facts: &[ProductionFact], policy: &Policy, findings: &mut Vec<Finding>) {
    for fact in facts.iter().filter(|fact| !is_known(policy, &fact.host)) {
        findings.push(Finding::warning(
            format!("{} is production by {}, and [target] production lacks it", fact.host, fact.variable),
            format!("add \"{}\": other jobs may not be told", fact.host),
        ));
    }
}

fn is_known(policy: &Policy, host: &str) -> bool {
    let is_listed = policy.production.iter().any(|listed| listed.as_str() == host);
    let is_in_preview_zone = policy.preview.iter().any(|pattern| {
        let zone = pattern.zone();
        host == zone || host.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.'))
    });
    is_listed || is_in_preview_zone
}

fn collect_manifests(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if files.len() >= MAX_MANIFESTS {
            return;
        }
        // A link could lead out of the workspace, or in a circle.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() && depth > 0 {
            collect_manifests(&path, depth - 1, files);
        } else if path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{PreviewPattern, ProductionHost};

    #[test]
    fn a_name_that_the_policy_lacks_is_found_and_a_known_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("CNAME", "www.kiosk.test\n");
        write("package.json", r#"{"homepage": "https://new.kiosk.test/"}"#);
        write(
            "k8s/base/ingress.yaml",
            "kind: Ingress\nspec: {rules: [{host: shop.kiosk.test}, {host: pr-1.preview.kiosk.test}]}\n",
        );
        write("k8s/base/chart.yaml", "{{ broken");
        let policy = Policy {
            preview: vec![PreviewPattern::parse("pr-{pr}.preview.kiosk.test").unwrap()],
            production: vec![ProductionHost::parse("www.kiosk.test").unwrap()],
            ..Policy::default()
        };
        let mut findings = Vec::new();

        examine(dir.path(), &policy, &mut findings);

        let found: Vec<_> = findings.iter().filter_map(|finding| finding.what.split(' ').next()).collect();
        assert_eq!(found, ["new.kiosk.test", "shop.kiosk.test"], "{findings:?}");
        assert!(findings[1].help.as_ref().unwrap().contains("k8s/base/ingress.yaml"), "{findings:?}");
    }
}
