//! L5 asks whether the host is the preview of this very pull request. The default is no: only a host that matches a
//! preview pattern as a whole, with placeholders bound to the pull request's own facts, is one.

use super::Statement;
use crate::context::{Context, PullRequest, PullRequestNumber};
use crate::guard::pattern::{Placeholder, PreviewPattern, has_shape};
use crate::guard::receipt::RefusalCode;
use crate::guard::{Case, branch};
use crate::target::Origin;

/// What the zone of a service on this machine is called.
const LOOPBACK_ZONE: &str = "loopback";

pub(in crate::guard) fn ask(case: &mut Case<'_>) -> Statement {
    if case.is_loopback() {
        case.zone = Some(LOOPBACK_ZONE.into());
        return Statement::silence("a service on this machine needs no preview pattern");
    }
    let (Some(origin), Context::PullRequest(pull_request)) = (&case.origin, &case.inquiry.context) else {
        return Statement::incomplete();
    };
    let patterns = &case.inquiry.policy.preview;
    match find(origin, pull_request, patterns) {
        Ok(found) => {
            case.zone = Some(found.pattern.zone());
            case.pattern = Some(found.pattern);
            Statement::proof(found.fact)
        }
        Err(objection) => objection,
    }
}

struct Found<'p> {
    pattern: &'p PreviewPattern,
    fact: String,
}

/// The facts that placeholders are bound to.
struct Binding {
    number: Option<PullRequestNumber>,
    slug: Option<String>,
}

impl Binding {
    fn of(pull_request: &PullRequest) -> Self {
        Self { number: pull_request.number, slug: slug_of(pull_request).and_then(Result::ok) }
    }

    fn fits(&self, pattern: &PreviewPattern, host: &str) -> bool {
        pattern.captures(host, &|kind, text| self.accepts(kind, text)).is_some()
    }

    fn accepts(&self, placeholder: Placeholder, text: &str) -> bool {
        match placeholder {
            Placeholder::PullRequest => self.number.is_some_and(|number| number.to_string() == text),
            Placeholder::Branch => self.slug.as_deref() == Some(text),
            Placeholder::BranchStart(length) => {
                self.slug.as_deref().is_some_and(|slug| start(slug, length) == text)
            }
            Placeholder::Hash => has_shape(placeholder, text),
        }
    }
}

/// Returns whether a host is a preview of the pull request by a pattern.
pub(super) fn is_preview_of(pull_request: &PullRequest, pattern: &PreviewPattern, host: &str) -> bool {
    Binding::of(pull_request).fits(pattern, host)
}

fn find<'p>(
    origin: &Origin,
    pull_request: &PullRequest,
    patterns: &'p [PreviewPattern],
) -> Result<Found<'p>, Statement> {
    let slug = slug_of(pull_request);
    let binding = Binding::of(pull_request);
    let on_port = || patterns.iter().filter(|pattern| pattern.port() == origin.port);
    let fits =
        |pattern: &&'p PreviewPattern| pattern.has_placeholder() && binding.fits(pattern, &origin.host);
    let fitting = || on_port().filter(fits);
    // A pattern that only previews have says more than one that production can have too.
    let Some(pattern) = fitting().find(|pattern| !pattern.is_shared()).or_else(|| fitting().next()) else {
        return Err(explain(origin, slug, &binding, on_port()));
    };
    if let Some(foreign) = on_port().find(|pattern| is_of_another(pattern, &origin.host, &binding)) {
        return Err(Statement::veto(
            RefusalCode::UnfitBranch,
            format!("{} is also the preview of another pull request by pattern {foreign}", origin.host),
            "rename the branch so that it does not look like another pull request's preview",
        ));
    }
    Ok(Found { pattern, fact: bound_fact(pattern, &origin.host, &binding) })
}

/// Without this a branch could be named like the label that another pull request's number gives.
fn is_of_another(pattern: &PreviewPattern, host: &str, binding: &Binding) -> bool {
    let accepts = |kind: Placeholder, text: &str| match kind {
        Placeholder::PullRequest => has_shape(kind, text) && !binding.accepts(kind, text),
        Placeholder::Branch | Placeholder::BranchStart(_) | Placeholder::Hash => has_shape(kind, text),
    };
    pattern.holds(Placeholder::PullRequest) && pattern.captures(host, &accepts).is_some()
}

fn slug_of(pull_request: &PullRequest) -> Option<Result<String, String>> {
    let head = pull_request.head_branch.as_deref()?;
    Some(branch::slug_of(head, pull_request.base_branch.as_deref(), pull_request.number))
}

fn bound_fact(pattern: &PreviewPattern, host: &str, binding: &Binding) -> String {
    let number = binding.number.filter(|_| pattern.holds(Placeholder::PullRequest));
    let slug = binding.slug.as_ref().filter(|_| pattern.holds_branch());
    let by = match (number, slug) {
        (Some(number), Some(slug)) => format!("pull request {number} and branch {slug}"),
        (Some(number), None) => format!("pull request {number}"),
        (None, Some(slug)) => format!("branch {slug}"),
        (None, None) => "nothing".to_owned(),
    };
    let but = if pattern.is_shared() { "; only the control plane can tell it from production" } else { "" };
    format!("{host} is {pattern} bound to {by}{but}")
}

/// Returns the start of a slug, as platforms cut it: no label part ends with a hyphen.
fn start(slug: &str, length: usize) -> &str {
    slug.get(..length).unwrap_or(slug).trim_end_matches('-')
}

fn explain<'p>(
    origin: &Origin,
    slug: Option<Result<String, String>>,
    binding: &Binding,
    patterns: impl Iterator<Item = &'p PreviewPattern>,
) -> Statement {
    let host = &origin.host;
    let bound: Vec<&PreviewPattern> = patterns.filter(|pattern| pattern.is_bound()).collect();
    let mut shaped = bound.iter().copied().filter(|pattern| pattern.can_match(host));
    // Branches may be named like almost anything, so that the pattern of a number is likelier to be meant.
    let numbered = shaped.clone().find(|pattern| pattern.holds(Placeholder::PullRequest));
    let meant = numbered.or_else(|| shaped.next());
    let expected = match meant.or_else(|| bound.first().copied()) {
        Some(pattern) => {
            format!("the policy expects {}", pattern.filled(binding.number, binding.slug.as_deref()))
        }
        None => {
            format!("no preview pattern with {{pr}} or {{branch}} names port {}, so add one", origin.port)
        }
    };
    let needs_branch = meant.is_some_and(PreviewPattern::holds_branch);
    if let Some(Err(flaw)) = slug.filter(|_| needs_branch) {
        return Statement::veto(
            RefusalCode::UnfitBranch,
            format!("{flaw}, so no host can be bound to it"),
            "rename the branch, or bind previews by {pr}",
        );
    }
    Statement::veto(
        RefusalCode::NotAPreview,
        format!("{} is not the preview of this pull request", origin.authority()),
        format!("{expected}; other zones are added to [target] preview by a reviewed change"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Inquiry;
    use crate::guard::layers::fixture::{self, assert_passes, assert_vetoes};

    fn inquiry(host: &str, patterns: &[&str], branch: Option<&str>) -> Inquiry {
        let mut inquiry = fixture::remote(host);
        inquiry.policy.preview = patterns.iter().map(|text| PreviewPattern::parse(text).unwrap()).collect();
        if let Context::PullRequest(pull_request) = &mut inquiry.context {
            pull_request.head_branch = branch.map(str::to_owned);
        }
        inquiry
    }

    #[test]
    fn the_preview_of_this_pull_request_is_proven() {
        assert_passes(ask, &fixture::preview());
        assert_passes(ask, &inquiry("feat-cart.p.test", &["{branch}.p.test"], Some("feat/cart")));
        assert_passes(ask, &inquiry("pr-1-3f9c2a.p.test", &["pr-{pr}-{hash}.p.test"], None));
        assert_passes(ask, &inquiry("pr-1.p.test", &["{branch}.p.test", "pr-{pr}.p.test"], Some("main")));
    }

    #[test]
    fn everything_else_is_refused_by_default() {
        for host in [
            "pr-2.preview.shop.test",
            "pr-11.preview.shop.test",
            "pr.preview.shop.test",
            "pr-01.preview.shop.test",
            "pr-1-x.preview.shop.test",
            "x-pr-1.preview.shop.test",
            "x.pr-1.preview.shop.test",
            "pr-1.preview.shop.test.evil.example",
            "pr-1.preview.shop.tes",
            "pr-1.previewshop.test",
            "localhost",
            "pr-1.localhost",
            "metadata.internal",
        ] {
            assert_vetoes(ask, &fixture::remote(host), RefusalCode::NotAPreview);
        }
    }

    #[test]
    fn a_shape_that_nothing_binds_is_left_to_the_control_plane() {
        let hashed = inquiry("shop-3f9c2ab1-acme.p.test", &["shop-{hash}-acme.p.test"], Some("feat/cart"));

        let line = fixture::offline(ask, &hashed).line("L5");

        assert!(line.fact.ends_with("only the control plane can tell it from production"), "{line:?}");
    }

    #[test]
    fn a_pattern_that_only_previews_have_stands_before_a_shared_one() {
        let patterns = ["{hash}.p.test", "{branch}.p.test"];
        let line = fixture::offline(ask, &inquiry("featcart.p.test", &patterns, Some("featcart"))).line("L5");

        assert_eq!(line.fact, "featcart.p.test is {branch}.p.test bound to branch featcart");
    }

    #[test]
    fn a_branch_with_an_untrusted_name_binds_nothing() {
        for branch in ["main", "pr-2", "x@live", "../www", "\u{ff57}\u{ff57}"] {
            let host = "feat-cart.p.test";
            assert_vetoes(ask, &inquiry(host, &["{branch}.p.test"], Some(branch)), RefusalCode::UnfitBranch);
        }
        assert_vetoes(
            ask,
            &inquiry("main.p.test", &["{branch}.p.test"], Some("main")),
            RefusalCode::UnfitBranch,
        );
    }

    #[test]
    fn a_refusal_names_the_pattern_that_was_meant() {
        let hash_first = ["{hash}.p.test", "{branch}.p.test", "pr-{pr}.p.test"];
        for (host, patterns, branch, code, expected) in [
            ("pr-2.p.test", &hash_first[..], "feat/cart", RefusalCode::NotAPreview, "pr-1.p.test"),
            ("pr-2.p.test", &hash_first, "main", RefusalCode::NotAPreview, "pr-1.p.test"),
            ("other-name.p.test", &hash_first, "feat/cart", RefusalCode::NotAPreview, "feat-cart.p.test"),
            ("stranger.test", &["{branch}.p.test"], "main", RefusalCode::NotAPreview, "{branch}.p.test"),
            ("pr-1.p.test", &["pr-{pr}.p.test:8443"], "a", RefusalCode::NotAPreview, "names port 443"),
        ] {
            let said = fixture::offline(ask, &inquiry(host, patterns, Some(branch))).line("L5");
            assert_eq!(said.code, Some(code), "{host}: {said:?}");
            assert!(said.remedy.as_ref().unwrap().contains(expected), "{host}: {said:?}");
        }
    }

    #[test]
    fn a_missing_branch_binds_nothing() {
        assert_vetoes(ask, &inquiry("none.p.test", &["{branch}.p.test"], None), RefusalCode::NotAPreview);
        assert_vetoes(ask, &inquiry("branch.p.test", &["{branch}.p.test"], None), RefusalCode::NotAPreview);
    }

    #[test]
    fn a_branch_cannot_take_another_pull_requests_place() {
        let disguised =
            inquiry("app-7-web.p.test", &["{branch}.p.test", "app-{pr}-web.p.test"], Some("app/7/web"));
        let own = inquiry("app-1-web.p.test", &["{branch}.p.test", "app-{pr}-web.p.test"], Some("app/1/web"));

        assert_vetoes(ask, &disguised, RefusalCode::UnfitBranch);
        assert_passes(ask, &own);
    }

    #[test]
    fn a_pattern_counts_only_on_its_port() {
        let mut on_other_port = inquiry("pr-1.p.test", &["pr-{pr}.p.test:8443"], None);
        assert_vetoes(ask, &on_other_port, RefusalCode::NotAPreview);

        on_other_port.candidates[0].raw = "https://pr-1.p.test:8443/".into();
        assert_passes(ask, &on_other_port);
    }

    #[test]
    fn a_service_of_this_machine_needs_no_pattern() {
        assert_passes(ask, &fixture::loopback());
    }
}
