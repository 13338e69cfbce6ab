//! A preview pattern says what the host of a preview looks like, label by label: fixed text and the placeholders
//! `{pr}`, `{branch}` and `{hash}`.
//!
//! There are no regular expressions and no wildcards, so that a reader sees at once what a pattern covers. What a
//! placeholder may stand for is decided by the caller.

use std::fmt;

use super::names;
use super::platform::Provider;
use super::problem::PolicyProblem;
use crate::context::PullRequestNumber;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// The number of the pull request.
    PullRequest,
    /// The slug of the pull request's branch.
    Branch,
    /// So many characters of the slug, as platforms cut it; only the table of platforms writes it.
    BranchStart(usize),
    /// A token that a platform chose; nothing ties it to a pull request.
    Hash,
}

impl Placeholder {
    fn named(name: &str, author: Author) -> Option<Self> {
        match (name, author) {
            ("pr", _) => Some(Self::PullRequest),
            ("branch", _) => Some(Self::Branch),
            ("hash", _) => Some(Self::Hash),
            (name, Author::Platform) => name.strip_prefix("branch-")?.parse().ok().map(Self::BranchStart),
            (_, Author::Policy) => None,
        }
    }
}

/// Who wrote a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    Policy,
    Platform,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

/// Words that a shared platform's other customers put into their names too, so that they tell no project apart.
const COMMON_WORDS: [&str; 15] = [
    "app", "branch", "deploy", "dev", "git", "merge", "mr", "pr", "preview", "previews", "pull", "request",
    "review", "test", "web",
];

/// Decides whether a placeholder may stand for a text.
pub(super) type Accepts<'a> = &'a dyn Fn(Placeholder, &str) -> bool;

/// The shape of a preview's host, and the port where it is not 443.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewPattern {
    text: String,
    labels: Vec<Vec<Part>>,
    port: u16,
    is_shared: bool,
}

impl PreviewPattern {
    /// Reads a pattern such as `pr-{pr}.preview.example.com` or `pr-{pr}.preview.example.com:8443`.
    ///
    /// The part to the right of the last placeholder must be a zone that not everybody can register names in.
    pub fn parse(text: &str) -> Result<Self, PolicyProblem> {
        Self::read(text, Author::Policy)
            .map_err(|flaw| PolicyProblem::MalformedPattern { pattern: names::cut(text), flaw })
    }

    /// Reads a pattern of the table of platforms.
    pub(super) fn of_platform(text: &str) -> Result<Self, PolicyProblem> {
        Self::read(text, Author::Platform)
            .map_err(|flaw| PolicyProblem::MalformedPattern { pattern: names::cut(text), flaw })
    }

    /// Returns the same pattern, known to have the shape of production too.
    pub(super) fn shared_with_production(self) -> Self {
        Self { is_shared: true, ..self }
    }

    fn read(text: &str, author: Author) -> Result<Self, &'static str> {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, read_port(port)?),
            None => (text, 443),
        };
        // Stand-ins as short as the shortest real values, so that the host rules see a whole name.
        let mut example = host.replace("{pr}", "1").replace("{branch}", "b").replace("{hash}", "000000");
        if author == Author::Platform {
            example = ["{branch-10}", "{branch-20}"].iter().fold(example, |text, cut| text.replace(cut, "b"));
        }
        if let Some(flaw) = flaw_of_example(&example) {
            return Err(flaw);
        }
        let labels = host.split('.').map(|label| read_label(label, author)).collect::<Result<Vec<_>, _>>()?;
        let pattern = Self { text: text.to_owned(), labels, port, is_shared: false };
        pattern.check_zone(&example)?;
        Ok(pattern)
    }

    fn check_zone(&self, example: &str) -> Result<(), &'static str> {
        let Some(last) = self.last_variable_label() else { return Ok(()) };
        let zone = self.zone();
        if zone.is_empty() || names::ends_like_an_address(&zone) {
            return Err("the placeholders need a fixed zone to their right");
        }
        // Some suffixes are wildcards: then it is the placeholder's label that strangers register names under.
        let below_labels = example.splitn(last + 1, '.').last().unwrap_or(example);
        if psl::suffix_str(below_labels) == Some(below_labels) {
            return Err("anybody can register names there");
        }
        let Some(suffix) = psl::suffix(zone.as_bytes()) else { return Ok(()) };
        if suffix.as_bytes() != zone.as_bytes() {
            return Ok(());
        }
        // Under a hosting platform's suffix each label is another customer, unless fixed text tells ours apart.
        let is_platform = suffix.typ() == Some(psl::Type::Private);
        let has_text =
            self.labels[last].iter().any(|part| matches!(part, Part::Text(text) if tells_apart(text)));
        match (is_platform, has_text) {
            (true, true) => Ok(()),
            (true, false) => {
                Err("on a shared platform the placeholder's label needs the project's name in it")
            }
            (false, _) => Err("anybody can register names there"),
        }
    }

    /// Returns the port that the pattern's targets listen on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the fixed labels to the right of the last placeholder: the zone that previews live in.
    #[must_use]
    pub fn zone(&self) -> String {
        let first = self.last_variable_label().map_or(0, |last| last + 1);
        let fixed = self.labels[first..].iter().filter_map(|parts| fixed_text(parts));
        fixed.collect::<Vec<_>>().join(".")
    }

    /// Returns whether there is any placeholder.
    pub(super) fn has_placeholder(&self) -> bool {
        self.last_variable_label().is_some()
    }

    /// Returns whether the pattern holds a certain placeholder.
    pub(super) fn holds(&self, placeholder: Placeholder) -> bool {
        self.labels.iter().flatten().any(|part| *part == Part::Placeholder(placeholder))
    }

    /// Returns whether the branch ties the pattern to the pull request.
    pub(super) fn holds_branch(&self) -> bool {
        let is_branch = |part: &Part| {
            matches!(part, Part::Placeholder(Placeholder::Branch | Placeholder::BranchStart(_)))
        };
        self.labels.iter().flatten().any(is_branch)
    }

    /// Returns whether a placeholder ties the pattern to the pull request.
    pub(super) fn is_bound(&self) -> bool {
        self.holds(Placeholder::PullRequest) || self.holds_branch()
    }

    /// Returns whether production, or a stranger, can have a host of this shape.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared || !self.is_bound() || Provider::shares_shape(self)
    }

    /// Returns whether branches give whole labels right below a host, so that a branch could be named like any of
    /// the host's neighbours.
    pub(super) fn opens_labels_below(&self, host: &str) -> bool {
        let is_free = |last: usize| self.labels[last] == [Part::Placeholder(Placeholder::Branch)];
        !self.holds(Placeholder::PullRequest)
            && self.last_variable_label().is_some_and(is_free)
            && self.zone() == host
    }

    /// Returns whether any pull request could give this host.
    pub(super) fn can_match(&self, host: &str) -> bool {
        self.captures(host, &has_shape).is_some()
    }

    /// Returns whether the pattern spells the label at this place, of a host of so many labels, letter by letter.
    pub(super) fn spells(&self, label: &str, index: usize, labels: usize) -> bool {
        self.labels.len() == labels
            && self.labels.get(index).and_then(|parts| fixed_text(parts)) == Some(label)
    }

    /// Matches a host as a whole; returns what each placeholder stands for, left to right.
    pub(super) fn captures<'h>(
        &self,
        host: &'h str,
        accepts: Accepts<'_>,
    ) -> Option<Vec<(Placeholder, &'h str)>> {
        let mut captures = Vec::new();
        let mut labels = host.split('.');
        for parts in &self.labels {
            let label = labels.next()?;
            if !match_label(parts, label, accepts, &mut captures) {
                return None;
            }
        }
        labels.next().is_none().then_some(captures)
    }

    /// Returns the host with what is known filled in, for people.
    pub(super) fn filled(&self, number: Option<PullRequestNumber>, branch: Option<&str>) -> String {
        let mut text = self.text.clone();
        if let Some(number) = number {
            text = text.replace("{pr}", &number.to_string());
        }
        if let Some(branch) = branch {
            text = text.replace("{branch}", branch);
        }
        text
    }

    fn last_variable_label(&self) -> Option<usize> {
        self.labels.iter().rposition(|parts| fixed_text(parts).is_none())
    }
}

impl fmt::Display for PreviewPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns whether a text has the shape that a placeholder's values have, whatever they stand for.
pub(super) fn has_shape(placeholder: Placeholder, text: &str) -> bool {
    match placeholder {
        Placeholder::PullRequest => PullRequestNumber::parse(text).is_ok(),
        Placeholder::Branch | Placeholder::BranchStart(_) => {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        }
        Placeholder::Hash => {
            (6..=40).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        }
    }
}

/// Returns whether a text beside a placeholder can be a project's name.
fn tells_apart(text: &str) -> bool {
    text.split('-').any(|word| !word.is_empty() && !COMMON_WORDS.contains(&word))
}

fn flaw_of_example(example: &str) -> Option<&'static str> {
    if example.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some("it is not in lower case");
    }
    if example.contains(['{', '}']) {
        return Some("the placeholders are {pr}, {branch} and {hash}");
    }
    names::flaw_of_host(example)
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 && port.to_string() == text => Ok(port),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

fn read_label(label: &str, author: Author) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = label;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or("a placeholder is not closed")?;
        let placeholder =
            Placeholder::named(name, author).ok_or("the placeholders are {pr}, {branch} and {hash}")?;
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        } else if matches!(parts.last(), Some(Part::Placeholder(_))) {
            return Err("two placeholders touch, so nobody can tell where one ends");
        }
        if parts.contains(&Part::Placeholder(placeholder)) {
            return Err("a label holds the same placeholder twice");
        }
        parts.push(Part::Placeholder(placeholder));
        rest = tail;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    if parts.len() > 1 && label.starts_with("xn--") {
        return Err("a label in xn-- form cannot hold a placeholder");
    }
    Ok(parts)
}

fn fixed_text(parts: &[Part]) -> Option<&str> {
    match parts {
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// Matches one label; a placeholder takes as little as lets the rest match.
fn match_label<'h>(
    parts: &[Part],
    label: &'h str,
    accepts: Accepts<'_>,
    captures: &mut Vec<(Placeholder, &'h str)>,
) -> bool {
    let Some((first, rest)) = parts.split_first() else { return label.is_empty() };
    match first {
        Part::Text(text) => label
            .strip_prefix(text.as_str())
            .is_some_and(|remaining| match_label(rest, remaining, accepts, captures)),
        Part::Placeholder(placeholder) => {
            let before = captures.len();
            let ends = (1..=label.len()).filter(|&end| label.is_char_boundary(end));
            for end in ends {
                let (value, remaining) = label.split_at(end);
                captures.push((*placeholder, value));
                if accepts(*placeholder, value) && match_label(rest, remaining, accepts, captures) {
                    return true;
                }
                captures.truncate(before);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PreviewPattern {
        PreviewPattern::parse(text).unwrap()
    }

    #[test]
    fn patterns_of_the_usual_platforms_are_understood() {
        for text in [
            "pr-{pr}.preview.shop.test",
            "pr-{pr}.preview.shop.test:8443",
            "{branch}.preview.shop.test",
            "deploy-preview-{pr}--shop.netlify.app",
            "shop-git-{branch}-acme.vercel.app",
            "shop-{hash}-acme.vercel.app",
            "{branch}.shop.pages.dev",
            "web.pr-{pr}.preview.shop.test",
            "staging.shop.test",
            "pr-{pr}.xn--shp-sna.test",
        ] {
            assert!(PreviewPattern::parse(text).is_ok(), "{text} must be understood");
        }
    }

    #[test]
    fn patterns_that_cover_strangers_or_cannot_be_read_are_refused() {
        for text in [
            "",
            "*.preview.shop.test",
            "https://pr-{pr}.preview.shop.test",
            "pr-{pr}.preview.shop.test/",
            "pr-{PR}.preview.shop.test",
            "pr-{number}.preview.shop.test",
            "pr-{pr.preview.shop.test",
            "pr-pr}.preview.shop.test",
            "{pr}{hash}.preview.shop.test",
            "{pr}-{pr}.preview.shop.test",
            "PR-{pr}.preview.shop.test",
            "pr-{pr}.com",
            "pr-{pr}.co.uk",
            "{branch}.netlify.app",
            "pr-{pr}.netlify.app",
            "deploy-preview-{pr}.fly.dev",
            "{branch}.compute.amazonaws.com",
            "{branch}.x-{pr}.compute.amazonaws.com",
            "preview.shop.{branch}",
            "{pr}",
            "10.0.0.{pr}",
            "pr-{pr}..shop.test",
            "xn--{branch}.preview.shop.test",
            "pr-{pr}.preview.shop.test:0",
            "pr-{pr}.preview.shop.test:0443",
            "pr-{pr}.preview.shop.test:70000",
            "pr-{pr}.preview.shop.test:{pr}",
            "pr-{pr}.pr\u{e9}view.test",
            "pr-{pr}-.preview.shop.test",
            "[0-9]+.preview.shop.test",
        ] {
            assert!(PreviewPattern::parse(text).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn a_match_covers_the_whole_host() {
        let pattern = pattern("pr-{pr}.preview.shop.test");

        assert!(pattern.can_match("pr-7.preview.shop.test"));
        for other in [
            "pr-7.preview.shop.test.evil.test",
            "x.pr-7.preview.shop.test",
            "xpr-7.preview.shop.test",
            "pr-7x.preview.shop.test",
            "pr-.preview.shop.test",
            "pr-07.preview.shop.test",
            "pr-7.previewxshop.test",
            "preview.shop.test",
            "",
        ] {
            assert!(!pattern.can_match(other), "{other:?} must not match");
        }
    }

    #[test]
    fn placeholders_capture_what_they_stand_for() {
        let pattern = pattern("shop-{branch}-{hash}.preview.shop.test");

        let captures = pattern.captures("shop-feat-cart-3f9c2a.preview.shop.test", &has_shape).unwrap();

        assert_eq!(captures, [(Placeholder::Branch, "feat-cart"), (Placeholder::Hash, "3f9c2a")]);
    }

    #[test]
    fn the_zone_is_what_stands_right_of_the_placeholders() {
        assert_eq!(pattern("web.pr-{pr}.preview.shop.test").zone(), "preview.shop.test");
        assert_eq!(pattern("deploy-preview-{pr}--shop.netlify.app").zone(), "netlify.app");
    }
}
