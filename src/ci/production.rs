//! What the environment calls production: variables of hosting platforms that hold the live site's name.
//!
//! Each rule was taken from the platform's documentation. A variable that holds a preview on one day and production
//! on another counts only where its companion says production.

use std::net::IpAddr;

use url::Url;

use super::payload::RepositoryBody;
use super::{CiError, Environment};
use crate::target::{ProductionFact, keeps_code};

/// One variable, when it counts, and how to read a production host from it.
struct Rule {
    variable: &'static str,
    counts: fn(&Environment) -> Result<bool, CiError>,
    read: fn(&str) -> Option<String>,
}

const fn rule(
    variable: &'static str,
    counts: fn(&Environment) -> Result<bool, CiError>,
    read: fn(&str) -> Option<String>,
) -> Rule {
    Rule { variable, counts, read }
}

const RULES: [Rule; 14] = [
    rule("VERCEL_PROJECT_PRODUCTION_URL", |_| Ok(true), host_of),
    rule("VERCEL_URL", |environment| environment.says("VERCEL_ENV", "production"), host_of),
    rule("VERCEL_BRANCH_URL", |environment| environment.says("VERCEL_ENV", "production"), host_of),
    rule("URL", |environment| Ok(environment.is_set("NETLIFY")), host_of),
    rule("SITE_NAME", |environment| Ok(environment.is_set("NETLIFY")), |name| app_of(name, "netlify.app")),
    rule("DEPLOY_URL", is_netlify_production, host_of),
    rule("DEPLOY_PRIME_URL", is_netlify_production, host_of),
    rule("CF_PAGES_URL", |environment| Ok(environment.is_set("CF_PAGES")), pages_project_of),
    rule("RENDER_EXTERNAL_URL", |environment| environment.says("IS_PULL_REQUEST", "false"), host_of),
    rule("RENDER_EXTERNAL_HOSTNAME", |environment| environment.says("IS_PULL_REQUEST", "false"), host_of),
    rule("HEROKU_PARENT_APP_NAME", |_| Ok(true), |name| app_of(name, "herokuapp.com")),
    rule(
        "HEROKU_APP_NAME",
        |environment| Ok(!environment.is_set("HEROKU_PR_NUMBER")),
        |name| app_of(name, "herokuapp.com"),
    ),
    rule(
        "RAILWAY_PUBLIC_DOMAIN",
        |environment| environment.says("RAILWAY_ENVIRONMENT_NAME", "production"),
        host_of,
    ),
    rule("CI_ENVIRONMENT_URL", is_gitlab_production, host_of),
];

/// Returns every host that the environment calls production.
pub(super) fn facts(environment: &Environment) -> Result<Vec<ProductionFact>, CiError> {
    let mut facts = Vec::new();
    for rule in &RULES {
        if !(rule.counts)(environment)? {
            continue;
        }
        let Some(text) = environment.text(rule.variable)? else { continue };
        let host = (rule.read)(text).ok_or_else(|| CiError::NoHost { variable: rule.variable.to_owned() })?;
        facts.push(ProductionFact { host, variable: rule.variable.to_owned() });
    }
    Ok(facts)
}

/// Returns what the repository's page calls its home, where that is a site and not the code itself.
///
/// Nobody promised that it is one: a text without a host is no fact, other than in a platform's variable.
pub(super) fn homepage(repository: &RepositoryBody) -> Option<ProductionFact> {
    let texts = [&repository.homepage, &repository.website];
    let host = texts.into_iter().flatten().find_map(|text| host_of(text.trim()))?;
    let is_site = host.contains('.') && !keeps_code(&host) && host.parse::<IpAddr>().is_err();
    is_site.then(|| ProductionFact { host, variable: "the repository's homepage".to_owned() })
}

fn is_netlify_production(environment: &Environment) -> Result<bool, CiError> {
    Ok(environment.is_set("NETLIFY") && environment.says("CONTEXT", "production")?)
}

fn is_gitlab_production(environment: &Environment) -> Result<bool, CiError> {
    Ok(environment.is_set("GITLAB_CI") && environment.says("CI_ENVIRONMENT_TIER", "production")?)
}

/// Reads a URL or a bare host.
fn host_of(text: &str) -> Option<String> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
    let host = url.ok()?.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

fn app_of(name: &str, platform: &str) -> Option<String> {
    let is_label = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_label.then(|| format!("{}.{platform}", name.to_ascii_lowercase()))
}

/// Each deployment has a host of its own below the project's, and the project's host is the live site.
fn pages_project_of(text: &str) -> Option<String> {
    let host = host_of(text)?;
    let project = host.strip_suffix(".pages.dev").and_then(|rest| rest.rsplit('.').next());
    Some(project.map_or_else(|| host.clone(), |project| format!("{project}.pages.dev")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(text: &str) -> Option<String> {
        let body =
            RepositoryBody { full_name: "acme/shop".into(), homepage: Some(text.into()), website: None };
        homepage(&body).map(|fact| fact.host)
    }

    #[test]
    fn the_repositorys_homepage_is_production() {
        for text in ["https://www.shop.test/", "www.shop.test", " HTTP://WWW.shop.test:8080/a?b#c "] {
            assert_eq!(home(text).as_deref(), Some("www.shop.test"), "{text:?}");
        }
    }

    #[test]
    fn a_homepage_that_is_no_site_says_nothing() {
        for text in [
            "",
            "shop",
            "our shop",
            "https://",
            "https://github.com/acme/shop",
            "https://docs.rs/shop",
            "127.0.0.1",
        ] {
            assert_eq!(home(text), None, "{text:?}");
        }
    }

    fn hosts(pairs: &[(&str, &str)]) -> Vec<String> {
        let facts = facts(&Environment::from_pairs(pairs.iter().copied())).unwrap();
        facts.into_iter().map(|fact| fact.host).collect()
    }

    #[test]
    fn production_variables_of_platforms_are_read() {
        assert_eq!(hosts(&[("VERCEL_PROJECT_PRODUCTION_URL", "Shop.Test.")]), ["shop.test"]);
        assert_eq!(hosts(&[("NETLIFY", "true"), ("URL", "https://www.shop.test/")]), ["www.shop.test"]);
        assert_eq!(hosts(&[("NETLIFY", "true"), ("SITE_NAME", "shop")]), ["shop.netlify.app"]);
        assert_eq!(
            hosts(&[("CF_PAGES", "1"), ("CF_PAGES_URL", "https://3f9c.shop.pages.dev")]),
            ["shop.pages.dev"]
        );
        assert_eq!(hosts(&[("HEROKU_PARENT_APP_NAME", "shop")]), ["shop.herokuapp.com"]);
    }

    #[test]
    fn a_variable_counts_only_where_its_companion_says_production() {
        let url = ("VERCEL_URL", "shop-3f9c-acme.vercel.app");
        assert_eq!(hosts(&[url, ("VERCEL_ENV", "production")]), ["shop-3f9c-acme.vercel.app"]);
        assert!(hosts(&[url, ("VERCEL_ENV", "preview")]).is_empty());

        let app = ("HEROKU_APP_NAME", "shop-pr-1");
        assert_eq!(hosts(&[app]), ["shop-pr-1.herokuapp.com"]);
        assert!(hosts(&[app, ("HEROKU_PR_NUMBER", "1")]).is_empty());

        assert!(hosts(&[("URL", "https://www.shop.test/")]).is_empty());

        // People name this one, and write it as they like.
        let domain = ("RAILWAY_PUBLIC_DOMAIN", "shop.test");
        assert_eq!(hosts(&[domain, ("RAILWAY_ENVIRONMENT_NAME", "Production")]), ["shop.test"]);
        assert!(hosts(&[domain, ("RAILWAY_ENVIRONMENT_NAME", "pr-1")]).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_companion_that_cannot_be_read_is_an_error() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;

        let environment = Environment::from_pairs([
            ("VERCEL_URL", OsString::from("shop-3f9c-acme.vercel.app")),
            ("VERCEL_ENV", OsString::from_vec(b"production\xff".to_vec())),
        ]);

        assert_eq!(facts(&environment).unwrap_err().to_string(), "VERCEL_ENV is not UTF-8");
    }

    #[test]
    fn a_production_variable_that_cannot_be_read_is_an_error() {
        for text in ["https://", "not a host", "https://[::1"] {
            let environment = Environment::from_pairs([("VERCEL_PROJECT_PRODUCTION_URL", text)]);
            let error = facts(&environment).unwrap_err();
            assert_eq!(error.to_string(), "VERCEL_PROJECT_PRODUCTION_URL holds no host or URL");
        }
    }
}
