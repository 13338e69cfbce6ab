//! A platform is a hosting provider whose preview hosts are known, with the project that the policy pins.
//!
//! One table says of each provider what its previews and its production look like, whose deployments it makes, and
//! which shapes both kinds share. A hostname's shape alone proves nothing: it only says what to ask next.

use super::control_plane::PlatformQuestion;
use super::pattern::PreviewPattern;
use super::policy::ProductionHost;
use super::problem::PolicyProblem;

/// What the policy pins of a platform; which of them are needed depends on the provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformKeys {
    /// The project, site, service or application, as it stands in host names.
    pub project: Option<String>,
    /// The team or account, as it stands in host names.
    pub scope: Option<String>,
    /// The region, as it stands in host names.
    pub region: Option<String>,
    /// The domain that previews live under, for providers without one of their own.
    pub zone: Option<String>,
    /// The resource name of a service, `projects/P/locations/L/services/S`, for the provider's own API; never needed.
    pub service: Option<String>,
}

/// The providers whose own API tells what is live.
const FIREBASE: &str = "firebase";
const CLOUD_RUN: &str = "cloud-run";

/// A hosting provider as the table knows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Provider {
    /// The name that the policy writes.
    pub name: &'static str,
    /// Whether it forbids load tests that were not announced.
    pub needs_consent: bool,
    /// The suffix of all its hosts; empty for providers without one.
    suffix: &'static str,
    /// Hosts of previews; `{project}` and its like are filled in from the policy.
    previews: &'static [Shape],
    /// Hosts of production that every project has.
    production: &'static [&'static str],
    /// As whom its deployments are made; empty where it makes none.
    deployers: &'static [&'static str],
}

/// What a host looks like.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    pattern: &'static str,
    /// Whether production deployments, or strangers, can have the same shape.
    is_shared: bool,
}

const fn own(pattern: &'static str) -> Shape {
    Shape { pattern, is_shared: false }
}

const fn shared(pattern: &'static str) -> Shape {
    Shape { pattern, is_shared: true }
}

/// Every provider. Shapes follow the providers' documents, where they have any; where a host may also be production,
/// or be anybody's who came first, the shape is shared and only the control plane can tell.
const PROVIDERS: [Provider; 14] = [
    Provider {
        name: "vercel",
        needs_consent: true,
        suffix: "vercel.app",
        previews: &[
            shared("{project}-git-{branch}-{scope}.vercel.app"),
            shared("{project}-{hash}-{scope}.vercel.app"),
        ],
        production: &["{project}.vercel.app", "{project}-{scope}.vercel.app"],
        deployers: &["vercel[bot]"],
    },
    Provider {
        name: "netlify",
        needs_consent: true,
        suffix: "netlify.app",
        previews: &[
            own("deploy-preview-{pr}--{project}.netlify.app"),
            own("{branch}--{project}.netlify.app"),
            shared("{hash}--{project}.netlify.app"),
        ],
        production: &["{project}.netlify.app"],
        deployers: &["netlify[bot]", "github-actions[bot]"],
    },
    Provider {
        name: "cloudflare-pages",
        needs_consent: false,
        suffix: "pages.dev",
        previews: &[own("{branch}.{project}.pages.dev"), shared("{hash}.{project}.pages.dev")],
        production: &["{project}.pages.dev"],
        deployers: &["cloudflare-workers-and-pages[bot]", "github-actions[bot]"],
    },
    Provider {
        name: "cloudflare-workers",
        needs_consent: false,
        suffix: "workers.dev",
        previews: &[shared("{hash}-{project}.{scope}.workers.dev")],
        production: &["{project}.{scope}.workers.dev"],
        deployers: &["cloudflare-workers-and-pages[bot]", "github-actions[bot]"],
    },
    Provider {
        name: "render",
        needs_consent: false,
        suffix: "onrender.com",
        previews: &[shared("{project}-pr-{pr}.onrender.com")],
        production: &["{project}.onrender.com"],
        deployers: &["render[bot]"],
    },
    Provider {
        name: "heroku",
        needs_consent: false,
        suffix: "herokuapp.com",
        previews: &[
            shared("{project}-pr-{pr}.herokuapp.com"),
            shared("{project}-pr-{pr}-{hash}.herokuapp.com"),
        ],
        production: &["{project}.herokuapp.com"],
        deployers: &["heroku[bot]", "github-actions[bot]"],
    },
    Provider {
        name: "fly",
        needs_consent: false,
        suffix: "fly.dev",
        previews: &[own("pr-{pr}-{project}.fly.dev")],
        production: &["{project}.fly.dev"],
        deployers: &["github-actions[bot]"],
    },
    Provider {
        name: "railway",
        needs_consent: false,
        suffix: "up.railway.app",
        previews: &[shared("{project}-pr-{pr}.up.railway.app")],
        production: &["{project}.up.railway.app", "{project}-production.up.railway.app"],
        deployers: &["railway-app[bot]"],
    },
    Provider {
        name: "amplify",
        needs_consent: false,
        suffix: "amplifyapp.com",
        previews: &[own("pr-{pr}.{project}.amplifyapp.com")],
        production: &[
            "main.{project}.amplifyapp.com",
            "master.{project}.amplifyapp.com",
            "{project}.amplifyapp.com",
        ],
        deployers: &["github-actions[bot]"],
    },
    Provider {
        name: "azure-static-web-apps",
        needs_consent: false,
        suffix: "azurestaticapps.net",
        previews: &[own("{project}-{pr}.{region}.azurestaticapps.net")],
        production: &["{project}.azurestaticapps.net", "{project}.{region-partition}.azurestaticapps.net"],
        deployers: &["github-actions[bot]"],
    },
    Provider {
        name: FIREBASE,
        needs_consent: false,
        suffix: "web.app",
        previews: &[own("{project}--pr{pr}-{branch-20}-{hash}.web.app")],
        production: &["{project}.web.app", "{project}.firebaseapp.com"],
        deployers: &["github-actions[bot]"],
    },
    Provider {
        name: CLOUD_RUN,
        needs_consent: false,
        suffix: "run.app",
        previews: &[own("pr-{pr}---{project}.a.run.app"), own("pr{pr}---{project}.a.run.app")],
        production: &["{project}.a.run.app"],
        deployers: &["github-actions[bot]"],
    },
    Provider {
        name: "gitlab",
        needs_consent: false,
        suffix: "",
        previews: &[
            own("review-{branch}.{zone}"),
            own("review-{branch}-{hash}.{zone}"),
            own("review-{branch-10}-{hash}.{zone}"),
            own("mr-{pr}.{zone}"),
        ],
        production: &["{zone}"],
        deployers: &[],
    },
    Provider {
        name: "kubernetes",
        needs_consent: false,
        suffix: "",
        previews: &[own("pr-{pr}.{zone}")],
        production: &["{zone}"],
        deployers: &["github-actions[bot]"],
    },
];

impl Provider {
    /// Returns the provider of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// Returns the provider whose own domain a host lies under.
    #[must_use]
    pub fn of_host(host: &str) -> Option<&'static Self> {
        let is_under = |suffix: &str| {
            !suffix.is_empty() && host.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
        };
        PROVIDERS.iter().find(|provider| is_under(provider.suffix))
    }

    /// Returns every name that the policy may write.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROVIDERS.iter().map(|provider| provider.name)
    }

    /// Returns the keys that the policy must write for this provider.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        let texts = || self.previews.iter().map(|shape| shape.pattern).chain(self.production.iter().copied());
        ["project", "scope", "region", "zone"]
            .into_iter()
            .filter(move |key| texts().any(|text| text.contains(&format!("{{{key}}}"))))
    }

    /// Returns whether production or a stranger can have a name like this on the provider: a pattern that the policy
    /// itself writes is compared with the shapes of the table.
    pub(super) fn shares_shape(pattern: &PreviewPattern) -> bool {
        let zone = pattern.zone();
        let provider = PROVIDERS.iter().find(|provider| {
            provider.suffix == zone || Self::of_host(&zone).is_some_and(|found| found.name == provider.name)
        });
        provider.is_some_and(|provider| provider.previews.iter().all(|shape| shape.is_shared))
    }
}

/// A provider together with what the policy pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    provider: &'static Provider,
    keys: PlatformKeys,
    previews: Vec<PreviewPattern>,
    production: Vec<ProductionHost>,
}

impl Platform {
    /// Pins a provider's shapes to one project.
    ///
    /// # Errors
    /// A name that the table does not know, a key that is missing, foreign or no part of a host name.
    pub fn pin(name: &str, keys: &PlatformKeys) -> Result<Self, PolicyProblem> {
        let unusable = |flaw: String| PolicyProblem::UnusablePlatform { name: super::names::cut(name), flaw };
        let Some(provider) = Provider::named(name) else {
            let known: Vec<&str> = Provider::names().collect();
            return Err(unusable(format!("the known platforms are {}", known.join(", "))));
        };
        let given = keys.given();
        for (key, value) in &given {
            if !provider.keys().any(|known| known == *key) {
                return Err(unusable(format!("it has no `{key}`")));
            }
            if let Some(flaw) = flaw_of_key(key, value) {
                return Err(unusable(format!("its `{key}` cannot be part of a host name: {flaw}")));
            }
        }
        if let Some(missing) = provider.keys().find(|key| !given.iter().any(|(name, _)| name == key)) {
            return Err(unusable(format!("its `{missing}` is missing")));
        }
        if let Some(flaw) = keys.service.as_deref().and_then(|service| flaw_of_service(name, service)) {
            return Err(unusable(flaw.to_owned()));
        }
        let mut previews = Vec::new();
        for shape in provider.previews {
            let pattern = PreviewPattern::of_platform(&filled(shape.pattern, &given))?;
            previews.push(if shape.is_shared { pattern.shared_with_production() } else { pattern });
        }
        let hosts = provider.production.iter().map(|host| ProductionHost::parse(&filled(host, &given)));
        let production = hosts.collect::<Result<_, _>>()?;
        Ok(Self { provider, keys: keys.clone(), previews, production })
    }

    /// Returns the provider.
    #[must_use]
    pub fn provider(&self) -> &'static Provider {
        self.provider
    }

    /// Returns the patterns of the project's previews.
    #[must_use]
    pub fn previews(&self) -> &[PreviewPattern] {
        &self.previews
    }

    /// Returns the hosts that the provider gives the project's production.
    #[must_use]
    pub fn production(&self) -> &[ProductionHost] {
        &self.production
    }

    /// Returns what the provider itself can be asked about a host; `None` where it is not asked, or the policy does not
    /// name what to ask about.
    pub(super) fn question_about<'a>(&'a self, host: &'a str) -> Option<PlatformQuestion<'a>> {
        let label = host.strip_suffix(self.provider.suffix)?.strip_suffix('.')?;
        match self.provider.name {
            FIREBASE => {
                let site = self.keys.project.as_deref()?;
                let (channel, _hash) = label.strip_prefix(site)?.strip_prefix("--")?.rsplit_once('-')?;
                (!channel.is_empty()).then_some(PlatformQuestion::FirebaseChannel { site, channel, host })
            }
            CLOUD_RUN => {
                let service = self.keys.service.as_deref()?;
                Some(PlatformQuestion::CloudRunTag { service, host })
            }
            _ => None,
        }
    }

    /// Returns as whom the provider makes its deployments.
    pub(super) fn deployers(&self) -> &'static [&'static str] {
        self.provider.deployers
    }
}

impl PlatformKeys {
    fn given(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("project", &self.project),
            ("scope", &self.scope),
            ("region", &self.region),
            ("zone", &self.zone),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
    }
}

/// A project or a team is part of one label; a region and a zone may be several.
fn flaw_of_key(key: &str, value: &str) -> Option<&'static str> {
    match key {
        "region" | "zone" => value.split('.').find_map(super::names::flaw_of_label),
        _ => super::names::flaw_of_label(value),
    }
}

/// Each part of the name is one segment of an address that a token is sent to.
fn flaw_of_service(provider: &str, service: &str) -> Option<&'static str> {
    if provider != CLOUD_RUN {
        return Some("it has no `service`");
    }
    let is_name = |part: &str| super::names::flaw_of_label(part).is_none();
    let is_whole = match service.split('/').collect::<Vec<_>>()[..] {
        ["projects", project, "locations", location, "services", name] => {
            [project, location, name].into_iter().all(is_name)
        }
        _ => false,
    };
    (!is_whole).then_some("its `service` is not \"projects/P/locations/L/services/S\"")
}

fn filled(shape: &str, given: &[(&'static str, &str)]) -> String {
    let mut text = shape.to_owned();
    for (key, value) in given {
        text = text.replace(&format!("{{{key}}}"), value);
        if *key == "region" {
            // The default host keeps only the partition of the region, such as the 2 of eastus2.2.
            text = text.replace("{region-partition}", value.rsplit('.').next().unwrap_or(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::layers::fixture;
    use crate::guard::{Depth, FixedResolver, Inquiry, LayerDecision, Policy, RefusalCode, examine};

    fn keys(project: &str, scope: &str, region: &str, zone: &str) -> PlatformKeys {
        let key = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (project, scope, region, zone) = (key(project), key(scope), key(region), key(zone));
        PlatformKeys { project, scope, region, zone, service: None }
    }

    /// What the layers without network say of a host, where only a platform is declared.
    fn judged(name: &str, keys: &PlatformKeys, host: &str) -> (Option<RefusalCode>, bool) {
        let platform = Platform::pin(name, keys).unwrap();
        let named = fixture::remote(host);
        let policy = Policy {
            preview: platform.previews().to_vec(),
            platform: Some(platform.clone()),
            consent: Some("ticket 1".into()),
            ..named.policy.clone()
        };
        let inquiry = Inquiry { policy, ..named };
        let resolver = FixedResolver::answering(&[]);
        let receipt = examine(&inquiry, Depth::Offline, &fixture::outside(&resolver));
        let fact = &receipt.layers.iter().find(|line| line.layer == "L5 preview").unwrap();
        let needs = fact.decision == LayerDecision::Proof && fact.fact.contains("only the control plane");
        (receipt.veto().and_then(|line| line.code), needs)
    }

    /// Checks hosts of a platform: `allowed` stay open, with or without need of the control plane, `refused` not.
    #[track_caller]
    fn check(name: &str, keys: &PlatformKeys, allowed: &[(&str, bool)], refused: &[&str]) {
        for (host, needs) in allowed {
            assert_eq!(judged(name, keys, host), (None, *needs), "{host}");
        }
        for host in refused {
            let (code, _) = judged(name, keys, host);
            assert!(code.is_some(), "{host} must be refused");
        }
    }

    #[test]
    fn vercel() {
        check(
            "vercel",
            &keys("my-app", "acme", "", ""),
            &[("my-app-git-feat-cart-acme.vercel.app", true), ("my-app-3f9c2ab1x-acme.vercel.app", true)],
            &[
                "my-app.vercel.app",
                "my-app-acme.vercel.app",
                "my-app-git-main-acme.vercel.app",
                "my-app2-git-feat-cart-acme.vercel.app",
                "my-app-git-feat-cart-mallory.vercel.app",
            ],
        );
    }

    #[test]
    fn netlify() {
        check(
            "netlify",
            &keys("my-site", "", "", ""),
            &[
                ("deploy-preview-1--my-site.netlify.app", false),
                ("feat-cart--my-site.netlify.app", false),
                ("5d4a0a8b2c--my-site.netlify.app", true),
            ],
            &[
                "my-site.netlify.app",
                "deploy-preview-11--my-site.netlify.app",
                "deploy-preview-1--my-site2.netlify.app",
                "main--my-site.netlify.app",
            ],
        );
    }

    #[test]
    fn cloudflare_pages() {
        check(
            "cloudflare-pages",
            &keys("my-app", "", "", ""),
            &[("feat-cart.my-app.pages.dev", false), ("373f31e2.my-app.pages.dev", true)],
            &["my-app.pages.dev", "main.my-app.pages.dev", "feat-cart.other.pages.dev"],
        );
    }

    #[test]
    fn cloudflare_workers() {
        check(
            "cloudflare-workers",
            &keys("my-worker", "acme", "", ""),
            &[("8cb79a3e-my-worker.acme.workers.dev", true)],
            &["my-worker.acme.workers.dev", "8cb79a3e-my-worker.mallory.workers.dev"],
        );
    }

    #[test]
    fn render() {
        check(
            "render",
            &keys("my-svc", "", "", ""),
            &[("my-svc-pr-1.onrender.com", true)],
            &["my-svc.onrender.com", "my-svc-pr-11.onrender.com", "x-my-svc-pr-1.onrender.com"],
        );
    }

    #[test]
    fn heroku() {
        check(
            "heroku",
            &keys("my-app", "", "", ""),
            &[("my-app-pr-1.herokuapp.com", true), ("my-app-pr-1-0a1b2c3d4e5f.herokuapp.com", true)],
            &["my-app.herokuapp.com", "my-app-pr-2.herokuapp.com", "my-app-pr-1-www.herokuapp.com"],
        );
    }

    #[test]
    fn fly() {
        check(
            "fly",
            &keys("acme-shop", "", "", ""),
            &[("pr-1-acme-shop.fly.dev", false)],
            &["acme-shop.fly.dev", "pr-1-acme-shop-prod.fly.dev", "prod1-acme-shop.fly.dev"],
        );
    }

    #[test]
    fn railway() {
        check(
            "railway",
            &keys("web-shop", "", "", ""),
            &[("web-shop-pr-1.up.railway.app", true)],
            &[
                "web-shop.up.railway.app",
                "web-shop-production.up.railway.app",
                "web-shop-pr-12.up.railway.app",
            ],
        );
    }

    #[test]
    fn amplify() {
        check(
            "amplify",
            &keys("d1a2b3c4d5e6f7", "", "", ""),
            &[("pr-1.d1a2b3c4d5e6f7.amplifyapp.com", false)],
            &[
                "main.d1a2b3c4d5e6f7.amplifyapp.com",
                "pr-1.d0000000000000.amplifyapp.com",
                "pr-2.d1a2b3c4d5e6f7.amplifyapp.com",
            ],
        );
    }

    #[test]
    fn azure_static_web_apps() {
        check(
            "azure-static-web-apps",
            &keys("lemon-tree-0a1b2c3d4", "", "eastus2.2", ""),
            &[("lemon-tree-0a1b2c3d4-1.eastus2.2.azurestaticapps.net", false)],
            &[
                "lemon-tree-0a1b2c3d4.2.azurestaticapps.net",
                "lemon-tree-0a1b2c3d4-2.eastus2.2.azurestaticapps.net",
                "lemon-tree-0a1b2c3d4-1.westus2.2.azurestaticapps.net",
            ],
        );
    }

    #[test]
    fn firebase() {
        check(
            "firebase",
            &keys("my-proj", "", "", ""),
            &[("my-proj--pr1-feat-cart-a1b2c3d4.web.app", false)],
            &[
                "my-proj.web.app",
                "my-proj.firebaseapp.com",
                "my-proj--live-a1b2c3d4.web.app",
                "my-proj--pr2-feat-cart-a1b2c3d4.web.app",
            ],
        );
    }

    #[test]
    fn cloud_run_tags() {
        check(
            "cloud-run",
            &keys("my-svc-abc123-uc", "", "", ""),
            &[("pr-1---my-svc-abc123-uc.a.run.app", false)],
            &[
                "my-svc-abc123-uc.a.run.app",
                "prod---my-svc-abc123-uc.a.run.app",
                "pr-2---my-svc-abc123-uc.a.run.app",
            ],
        );
    }

    #[test]
    fn gitlab_review_apps() {
        check(
            "gitlab",
            &keys("", "", "", "review.shop.example"),
            &[
                ("review-feat-cart.review.shop.example", false),
                ("review-feat-cart-x7k2p9.review.shop.example", false),
                ("mr-1.review.shop.example", false),
            ],
            &["review.shop.example", "review-main.review.shop.example", "mr-2.review.shop.example"],
        );
    }

    #[test]
    fn a_kubernetes_of_ones_own() {
        check(
            "kubernetes",
            &keys("", "", "", "preview.shop.example"),
            &[("pr-1.preview.shop.example", false)],
            &["preview.shop.example", "pr-2.preview.shop.example", "www.preview.shop.example"],
        );
    }

    #[test]
    fn every_provider_has_a_row_that_can_be_pinned() {
        for provider in &PROVIDERS {
            let value =
                |key: &str, text: &str| provider.keys().any(|known| known == key).then(|| text.to_owned());
            let keys = PlatformKeys {
                project: value("project", "shop"),
                scope: value("scope", "acme"),
                region: value("region", "eastus2.2"),
                zone: value("zone", "preview.shop.example"),
                service: None,
            };
            let platform = Platform::pin(provider.name, &keys).unwrap();
            assert!(
                !platform.previews().is_empty() && !platform.production().is_empty(),
                "{}",
                provider.name
            );
            for host in platform.production() {
                let covering = platform.previews().iter().find(|pattern| pattern.can_match(host.as_str()));
                assert_eq!(covering, None, "{host}");
            }
        }
    }

    #[test]
    fn a_platform_that_is_not_pinned_is_refused() {
        for (name, keys, said) in [
            ("vercell", keys("a", "b", "", ""), "the known platforms are vercel"),
            ("vercel", keys("my-app", "", "", ""), "`scope` is missing"),
            ("netlify", keys("my-site", "acme", "", ""), "it has no `scope`"),
            ("netlify", keys("{pr}", "", "", ""), "cannot be part of a host name"),
            ("netlify", keys("*", "", "", ""), "cannot be part of a host name"),
            ("netlify", keys("my.site", "", "", ""), "cannot be part of a host name"),
            ("kubernetes", keys("", "", "", "*.example"), "cannot be part of a host name"),
        ] {
            let problem = Platform::pin(name, &keys).unwrap_err().to_string();
            assert!(problem.contains(said), "{problem}");
        }
        assert!(Platform::pin("kubernetes", &keys("", "", "", "com")).is_err());
    }

    fn with_service(service: &str) -> PlatformKeys {
        PlatformKeys { service: Some(service.into()), ..keys("shop-a1b2c3-uc", "", "", "") }
    }

    #[test]
    fn a_service_is_a_whole_resource_name_and_cloud_runs_alone() {
        let good = with_service("projects/acme-1/locations/europe-west1/services/shop");
        assert!(Platform::pin("cloud-run", &good).is_ok());

        let elsewhere = Platform::pin("firebase", &good).unwrap_err().to_string();
        assert!(elsewhere.contains("it has no `service`"), "{elsewhere}");
        for service in [
            "",
            "shop",
            "projects/acme/locations/europe-west1/services/",
            "projects/acme/locations/europe-west1/services/shop/",
            "/projects/acme/locations/europe-west1/services/shop",
            "projects/acme/locations/europe-west1/jobs/shop",
            "projects/acme/locations/europe-west1/services/shop/revisions/r",
            "projects/acme/locations/../services/shop",
            "projects/acme/locations/europe-west1/services/shop?x=1",
            "projects/acme/locations/europe-west1/services/Shop",
            "projects/acme/locations/europe-west1/services/shop%2f",
            "projects/acme\n/locations/europe-west1/services/shop",
        ] {
            let problem = Platform::pin("cloud-run", &with_service(service)).unwrap_err().to_string();
            assert!(problem.contains("its `service` is not"), "{service:?}: {problem}");
        }
    }

    #[test]
    fn firebase_and_cloud_run_can_be_asked_about_the_projects_own_hosts() {
        let firebase = Platform::pin("firebase", &keys("my-proj", "", "", "")).unwrap();
        let host = "my-proj--pr1-feat-cart-a1b2c3d4.web.app";
        let channel = PlatformQuestion::FirebaseChannel { site: "my-proj", channel: "pr1-feat-cart", host };
        assert_eq!(firebase.question_about(host), Some(channel));
        for other in ["my-proj.web.app", "other--pr1-x-a1b2c3d4.web.app", "my-proj---a1b2c3d4.web.app"] {
            assert_eq!(firebase.question_about(other), None, "{other}");
        }

        let service = "projects/acme/locations/europe-west1/services/shop";
        let cloud_run = Platform::pin("cloud-run", &with_service(service)).unwrap();
        for host in ["pr-1---shop-a1b2c3-uc.a.run.app", "pr-1---shop-1234.europe-west1.run.app"] {
            let tag = PlatformQuestion::CloudRunTag { service, host };
            assert_eq!(cloud_run.question_about(host), Some(tag));
        }
        assert_eq!(cloud_run.question_about("pr-1.preview.shop.test"), None);

        let unnamed = Platform::pin("cloud-run", &keys("shop-a1b2c3-uc", "", "", "")).unwrap();
        assert_eq!(unnamed.question_about("pr-1---shop-a1b2c3-uc.a.run.app"), None);
        let netlify = Platform::pin("netlify", &keys("my-site", "", "", "")).unwrap();
        assert_eq!(netlify.question_about("deploy-preview-1--my-site.netlify.app"), None);
    }

    #[test]
    fn a_host_tells_its_provider() {
        let name_of = |host: &str| Provider::of_host(host).map(|provider| provider.name);

        assert_eq!(name_of("my-app-git-x-acme.vercel.app"), Some("vercel"));
        assert_eq!(name_of("vercel.app.example"), None);
        assert_eq!(name_of("notvercel.app"), None);
        assert!(Provider::named("vercel").unwrap().needs_consent);
        assert!(!Provider::named("heroku").unwrap().needs_consent);
    }
}
