//! What variables say about the deployment that this job belongs to: a preview, or something that lives on.
//!
//! A row counts only where its companion shows that the variable means what it says. Silence is no claim.

use super::{CiError, Environment};
use crate::context::{DeploymentClaim, PreviewValue};

struct Rule {
    /// Shows that the platform is there.
    companion: Option<&'static str>,
    variable: &'static str,
    says: Says,
}

/// What the variable holds for a preview.
enum Says {
    /// Exactly this.
    Word(&'static str),
    /// Neither one of these nor a word of production.
    NoneOf(&'static [&'static str]),
    /// Anything: it is missing where the deployment is no preview.
    Something,
}

const fn rule(companion: Option<&'static str>, variable: &'static str, says: Says) -> Rule {
    Rule { companion, variable, says }
}

/// Environments that outlive pull requests without being production.
const LASTING: &[&str] = &["staging", "stage", "preprod", "pre-production"];

const RULES: [Rule; 15] = [
    rule(None, "VERCEL_ENV", Says::Word("preview")),
    rule(None, "VERCEL_TARGET_ENV", Says::Word("preview")),
    rule(Some("NETLIFY"), "CONTEXT", Says::Word("deploy-preview")),
    rule(Some("CF_PAGES"), "CF_PAGES_BRANCH", Says::NoneOf(LASTING)),
    rule(Some("WORKERS_CI"), "WORKERS_CI_BRANCH", Says::NoneOf(LASTING)),
    rule(Some("RENDER"), "IS_PULL_REQUEST", Says::Word("true")),
    rule(Some("HEROKU_APP_NAME"), "HEROKU_PR_NUMBER", Says::Something),
    rule(None, "RAILWAY_ENVIRONMENT_NAME", Says::NoneOf(LASTING)),
    rule(Some("OKTETO_NAMESPACE"), "OKTETO_IS_PREVIEW_ENVIRONMENT", Says::Word("true")),
    rule(None, "QOVERY_ENVIRONMENT_TYPE", Says::NoneOf(LASTING)),
    rule(Some("GITLAB_CI"), "CI_ENVIRONMENT_TIER", Says::NoneOf(LASTING)),
    rule(Some("GITLAB_CI"), "CI_ENVIRONMENT_NAME", Says::NoneOf(LASTING)),
    rule(Some("GITLAB_CI"), "CI_ENVIRONMENT_ACTION", Says::NoneOf(&["stop"])),
    rule(None, "CI_PIPELINE_DEPLOY_TARGET", Says::NoneOf(LASTING)),
    rule(None, "DRONE_DEPLOY_TO", Says::NoneOf(LASTING)),
];

/// Bitbucket names the environment itself and its kind apart.
const BITBUCKET: [&str; 2] = ["BITBUCKET_DEPLOYMENT_ENVIRONMENT", "BITBUCKET_DEPLOYMENT_ENVIRONMENT_TYPE"];

/// Returns everything that variables say about the deployment.
pub(super) fn read(environment: &Environment) -> Result<Vec<DeploymentClaim>, CiError> {
    let bitbucket = BITBUCKET.iter().map(|variable| rule(None, variable, Says::NoneOf(LASTING)));
    let mut claims = Vec::new();
    for rule in RULES.into_iter().chain(bitbucket) {
        if rule.companion.is_some_and(|companion| !environment.is_set(companion)) {
            continue;
        }
        let text = environment.text(rule.variable)?;
        let expected = match rule.says {
            Says::Word(word) => PreviewValue::Word(word.to_owned()),
            Says::NoneOf(words) => {
                PreviewValue::NoneOf(words.iter().map(|word| (*word).to_owned()).collect())
            }
            // Nothing equals no number, so that the claim of a missing one is refused.
            Says::Something if text.is_none() => {
                PreviewValue::Word("the number of a pull request".to_owned())
            }
            Says::Something => continue,
        };
        // A companion without its variable says less than a word of it; only a word that must be there is missed.
        let is_needed = rule.companion.is_some() && !matches!(rule.says, Says::NoneOf(_));
        let value = match text {
            Some(text) => text.to_owned(),
            None if is_needed => String::new(),
            None => continue,
        };
        claims.push(DeploymentClaim { variable: rule.variable.to_owned(), value, expected });
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let claims = read(&Environment::from_pairs(pairs.iter().copied())).unwrap();
        claims.into_iter().map(|claim| (claim.variable, claim.value)).collect()
    }

    fn one(variable: &str, value: &str) -> Vec<(String, String)> {
        vec![(variable.to_owned(), value.to_owned())]
    }

    #[test]
    fn an_environment_without_platforms_claims_nothing() {
        assert_eq!(claims(&[("PATH", "/bin"), ("CONTEXT", "production"), ("CI", "true")]), []);
    }

    #[test]
    fn what_a_platform_says_is_told() {
        for (pairs, variable, value) in [
            (&[("VERCEL_ENV", "production")][..], "VERCEL_ENV", "production"),
            (&[("NETLIFY", "true"), ("CONTEXT", "branch-deploy")], "CONTEXT", "branch-deploy"),
            (&[("CF_PAGES", "1"), ("CF_PAGES_BRANCH", "main")], "CF_PAGES_BRANCH", "main"),
            (&[("RENDER", "true"), ("IS_PULL_REQUEST", "false")], "IS_PULL_REQUEST", "false"),
            (&[("GITLAB_CI", "true"), ("CI_ENVIRONMENT_ACTION", "stop")], "CI_ENVIRONMENT_ACTION", "stop"),
            (&[("CI_PIPELINE_DEPLOY_TARGET", "production")], "CI_PIPELINE_DEPLOY_TARGET", "production"),
            (&[("DRONE_DEPLOY_TO", "production")], "DRONE_DEPLOY_TO", "production"),
            (
                &[("BITBUCKET_DEPLOYMENT_ENVIRONMENT", "production")],
                "BITBUCKET_DEPLOYMENT_ENVIRONMENT",
                "production",
            ),
        ] {
            assert_eq!(claims(pairs), one(variable, value));
        }
    }

    #[test]
    fn a_word_that_is_missing_beside_its_platform_is_missed() {
        assert_eq!(claims(&[("NETLIFY", "true")]), one("CONTEXT", ""));
        assert_eq!(claims(&[("RENDER", "true"), ("IS_PULL_REQUEST", "")]), one("IS_PULL_REQUEST", ""));
        assert_eq!(claims(&[("HEROKU_APP_NAME", "shop")]), one("HEROKU_PR_NUMBER", ""));
        assert_eq!(claims(&[("HEROKU_APP_NAME", "shop-pr-1"), ("HEROKU_PR_NUMBER", "1")]), []);
        assert_eq!(claims(&[("GITLAB_CI", "true")]), []);
    }

    #[cfg(unix)]
    #[test]
    fn a_claim_that_is_not_text_is_an_error() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;

        let environment = Environment::from_pairs([("VERCEL_ENV", OsString::from_vec(b"pre\xff".to_vec()))]);

        assert_eq!(read(&environment).unwrap_err().to_string(), "VERCEL_ENV is not UTF-8");
    }
}
