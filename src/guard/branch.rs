//! A branch's slug is the form of its name that platforms put into a host: lower case letters, digits and `-`.
//!
//! A branch is named by whoever opened the pull request, a stranger perhaps, so that names which could become
//! another host, another pull request or production are refused.

use super::names::{MAX_LABEL_CHARS, cut};
use super::production_words;
use crate::context::PullRequestNumber;

/// Branches that outlive pull requests, beside the words that mean production.
const LASTING_BRANCHES: [&str; 6] = ["develop", "development", "staging", "stage", "trunk", "head"];

/// Returns the slug of a pull request's branch, or says why the name cannot be trusted.
pub(super) fn slug_of(
    branch: &str,
    base: Option<&str>,
    number: Option<PullRequestNumber>,
) -> Result<String, String> {
    if let Some(flaw) = flaw_of_name(branch) {
        return Err(format!("branch {:?} {flaw}", cut(branch)));
    }
    let slug = slug(branch);
    if slug.is_empty() {
        return Err(format!("branch {:?} has no letter or digit for a host", cut(branch)));
    }
    if production_words::is_reserved(&slug) || LASTING_BRANCHES.contains(&slug.as_str()) {
        return Err(format!("branch {:?} has the name of a lasting deployment", cut(branch)));
    }
    if base.is_some_and(|base| self::slug(base) == slug) {
        return Err(format!("branch {:?} has the name of the base branch", cut(branch)));
    }
    match foreign_number(&slug, number) {
        Some(other) => Err(format!("branch {:?} has the name of pull request {other}", cut(branch))),
        None => Ok(slug),
    }
}

/// Lower case; every run of other characters becomes one `-`; cut to one label.
fn slug(branch: &str) -> String {
    let mut slug = String::with_capacity(branch.len());
    for c in branch.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(MAX_LABEL_CHARS);
    slug.trim_end_matches('-').to_owned()
}

fn flaw_of_name(branch: &str) -> Option<&'static str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/_-.+".contains(&b);
    let has_empty_part = branch.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    if branch.is_empty() || branch.len() > 250 {
        Some("is empty or too long")
    } else if !branch.bytes().all(is_plain) {
        Some("holds characters other than letters, digits, '/', '_', '-', '.' and '+'")
    } else if has_empty_part || branch.contains("..") || branch.ends_with('.') {
        Some("has an empty or dotted part")
    } else if branch.starts_with(['-', '_', '+']) {
        Some("does not begin with a letter or a digit")
    } else {
        None
    }
}

/// Returns the number in a slug such as `pr-2`, where it is not the pull request's own.
fn foreign_number(slug: &str, own: Option<PullRequestNumber>) -> Option<&str> {
    let rest = ["deploy-preview", "pull-request", "pull", "pr", "mr"]
        .iter()
        .find_map(|prefix| slug.strip_prefix(prefix))
        .unwrap_or(slug);
    let digits = rest.strip_prefix('-').unwrap_or(rest);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_own = own.is_some_and(|own| own.to_string() == digits);
    (is_number && !is_own).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug_for_one(branch: &str) -> Result<String, String> {
        slug_of(branch, Some("trunk-2"), PullRequestNumber::parse("1").ok())
    }

    #[test]
    fn everyday_branches_have_a_slug() {
        for (branch, expected) in [
            ("feat/cart", "feat-cart"),
            ("FIX_API", "fix-api"),
            ("dependabot/npm_and_yarn/lodash-4.17.21", "dependabot-npm-and-yarn-lodash-4-17-21"),
            ("a--b__c", "a-b-c"),
            ("pr-1", "pr-1"),
        ] {
            assert_eq!(slug_for_one(branch).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_slug_fits_a_label() {
        let long = format!("{}-{}", "a".repeat(62), "b".repeat(20));

        assert_eq!(slug_for_one(&long), Ok("a".repeat(62)));
    }

    #[test]
    fn names_that_could_become_something_else_are_refused() {
        for branch in [
            "",
            "user@live",
            "../www",
            "a/../b",
            "a//b",
            "shop.test/",
            "/shop",
            "shop.test#",
            "shop.test?x",
            "shop.test:443/x",
            "a\nb",
            "a\0b",
            "a b",
            "-o",
            ".hidden",
            "a/.git",
            "`id`",
            "$(id)",
            "${{x}}",
            "\u{ff57}\u{ff57}\u{ff57}",
            "caf\u{e9}",
            "a\\b",
            "a%2eb",
            "___",
            "end.",
        ] {
            assert!(slug_for_one(branch).is_err(), "{branch:?} must be refused");
        }
    }

    #[test]
    fn names_of_lasting_deployments_are_refused() {
        for branch in ["main", "Master", "PROD", "production", "live", "www", "release", "staging", "trunk/2"]
        {
            assert!(slug_for_one(branch).is_err(), "{branch:?} must be refused");
        }
    }

    #[test]
    fn names_of_other_pull_requests_are_refused() {
        for branch in ["pr-2", "PR/2", "pr2", "deploy-preview-11", "2", "pull/2", "pr-01"] {
            assert!(slug_for_one(branch).is_err(), "{branch:?} must be refused");
        }
    }
}
