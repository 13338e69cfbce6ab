//! Asks Google whether the very thing that is loaded is live: a version of Firebase Hosting that the live channel serves
//! too, or a revision of Cloud Run that gets traffic.
//!
//! Both addresses are fixed, so that nothing in the environment chooses who hears the token or who answers. Facts are
//! told; what follows from them is the guard's to say. Without a token nobody is asked.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::runtime::converse;
use super::web::{self, failed};
use crate::guard::{ControlPlaneError, PlatformQuestion, PlatformStanding};
use crate::secret::{Secret, may_carry_secrets};
use crate::target::host_of;

/// The variable that holds an OAuth access token of an account that may read the platform.
pub const GOOGLE_TOKEN_VARIABLE: &str = "LOADGATE_GOOGLE_TOKEN";

/// Where Firebase Hosting answers.
const FIREBASE_API: &str = "https://firebasehosting.googleapis.com";

/// Where Cloud Run answers.
const RUN_API: &str = "https://run.googleapis.com";

/// How long all questions together may take: load goes on meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// No name of Google's is longer; it is cut where it is shown.
const MAX_SHOWN_CHARS: usize = 120;

/// Google's APIs, with the token that this job may have for them.
#[derive(Debug, Clone)]
pub struct Google {
    token: Option<Secret>,
    firebase: Api,
    run: Api,
}

/// One API: where it is, and what to do where it says no.
#[derive(Debug, Clone)]
struct Api {
    name: &'static str,
    base: String,
    role: &'static str,
    on_not_found: &'static str,
}

impl Default for Google {
    fn default() -> Self {
        Self {
            token: None,
            firebase: Api {
                name: "Firebase Hosting",
                base: FIREBASE_API.into(),
                role: "roles/firebasehosting.viewer",
                on_not_found: "write the site into `project` of the platform, and give the channel an id that its \
                               host shows whole",
            },
            run: Api {
                name: "Cloud Run",
                base: RUN_API.into(),
                role: "roles/run.viewer",
                on_not_found: "write the service that previews are tags of into `service` of the platform",
            },
        }
    }
}

impl Google {
    /// Returns the APIs as they can be asked with a token, or not at all without one.
    #[must_use]
    pub fn with_token(token: Option<Secret>) -> Self {
        Self { token, ..Self::default() }
    }

    pub(super) fn ask(
        &self,
        question: &PlatformQuestion<'_>,
        cancel: &CancellationToken,
    ) -> Result<PlatformStanding, ControlPlaneError> {
        let Some(token) = &self.token else { return Ok(PlatformStanding::Unknown) };
        let api = match question {
            PlatformQuestion::FirebaseChannel { .. } => &self.firebase,
            PlatformQuestion::CloudRunTag { .. } => &self.run,
        };
        let desk = Desk { client: web::client_for(api.name)?, api, token };
        converse(api.name, PATIENCE, cancel, desk.talk(question))
    }
}

/// Asks one API.
struct Desk<'a> {
    client: reqwest::Client,
    api: &'a Api,
    token: &'a Secret,
}

impl Desk<'_> {
    async fn talk(&self, question: &PlatformQuestion<'_>) -> Result<PlatformStanding, ControlPlaneError> {
        match *question {
            PlatformQuestion::FirebaseChannel { site, channel, host } => {
                // The preview first: what is promoted between the two answers is then seen in the second.
                let preview = self.channel(site, channel).await?;
                let live = self.channel(site, LIVE_CHANNEL).await?;
                standing_of_channel(site, &preview, &live, host)
            }
            PlatformQuestion::CloudRunTag { service, host } => {
                let path: Vec<&str> = std::iter::once("v2").chain(service.split('/')).collect();
                let found: Service = self.read(&path).await?;
                self.check_name(&found.name, service)?;
                standing_of_tag(&found, host)
            }
        }
    }

    async fn channel(&self, site: &str, channel: &str) -> Result<Channel, ControlPlaneError> {
        let found: Channel = self.read(&["v1beta1", "sites", site, "channels", channel]).await?;
        self.check_name(&found.name, &format!("sites/{site}/channels/{channel}"))?;
        Ok(found)
    }

    /// An answer about something else is no answer. Google may put the project before a name, or its number into one.
    fn check_name(&self, found: &str, asked: &str) -> Result<(), ControlPlaneError> {
        let without_project = asked.strip_prefix("projects/").and_then(|rest| rest.split_once('/'));
        let asked = without_project.map_or(asked, |(_, rest)| rest);
        if found == asked || found.ends_with(&format!("/{asked}")) {
            return Ok(());
        }
        Err(failed(format!("{} answers about {}, not about {asked}", self.api.name, shown(found))))
    }

    async fn read<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ControlPlaneError> {
        let (name, what) = (self.api.name, path.last().copied().unwrap_or_default());
        let unfit = || failed(format!("{name} cannot be asked at {}", self.api.base));
        let mut url = Url::parse(&self.api.base).map_err(|_| unfit())?;
        if !may_carry_secrets(&url) {
            return Err(unfit());
        }
        // Each part becomes one segment, so that no part can name another place.
        url.path_segments_mut().map_err(|()| unfit())?.pop_if_empty().extend(path);
        let request = self.client.get(url).bearer_auth(self.token.expose());
        web::read_json(request, name, what, |status| self.denied(status, what)).await
    }

    fn denied(&self, status: u16, what: &str) -> ControlPlaneError {
        let Api { name, role, on_not_found, .. } = self.api;
        let remedy = match status {
            401 => {
                format!("give the job a fresh access token as {GOOGLE_TOKEN_VARIABLE}; each lasts an hour")
            }
            403 => format!(
                "give the account of {GOOGLE_TOKEN_VARIABLE} the role {role}, and see that its project may use the API"
            ),
            404 => (*on_not_found).to_owned(),
            429 => "wait until Google takes questions again".to_owned(),
            _ => "run again".to_owned(),
        };
        ControlPlaneError::Failed { what: format!("{name} answered {status} ({what})"), remedy }
    }
}

/// The channel that every site has.
const LIVE_CHANNEL: &str = "live";

#[derive(Deserialize)]
struct Channel {
    name: String,
    url: Option<String>,
    release: Option<Release>,
}

#[derive(Deserialize)]
struct Release {
    /// A release that switches the site off has none.
    version: Option<Version>,
}

#[derive(Deserialize)]
struct Version {
    name: String,
}

impl Channel {
    fn version(&self) -> Option<&str> {
        let version = self.release.as_ref()?.version.as_ref()?;
        Some(version.name.as_str()).filter(|name| !name.is_empty())
    }
}

fn standing_of_channel(
    site: &str,
    preview: &Channel,
    live: &Channel,
    host: &str,
) -> Result<PlatformStanding, ControlPlaneError> {
    let url = preview.url.as_deref().unwrap_or_default();
    if host_of(url).as_deref() != Some(host) {
        let what = format!("its channel is at {}", shown(url));
        return Ok(PlatformStanding::Foreign { what });
    }
    let version = preview.version().ok_or_else(|| ControlPlaneError::Failed {
        what: format!("Firebase Hosting serves nothing at {host} yet"),
        remedy: "run once the preview has been deployed".into(),
    })?;
    if live.version() == Some(version) {
        let what = format!("the live channel of {site} serves version {} too", shown(version));
        return Ok(PlatformStanding::Live { what });
    }
    Ok(PlatformStanding::Apart)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    name: String,
    #[serde(default)]
    uri: String,
    #[serde(default)]
    urls: Vec<String>,
    latest_ready_revision: Option<String>,
    #[serde(default)]
    traffic_statuses: Vec<Traffic>,
}

/// Traffic as it is given now, to a revision or to whichever is the latest.
#[derive(Deserialize)]
struct Traffic {
    #[serde(rename = "type")]
    kind: Option<String>,
    revision: Option<String>,
    /// Absent where it is none.
    #[serde(default)]
    percent: u32,
    tag: Option<String>,
    uri: Option<String>,
}

impl Service {
    /// A service has several addresses, and a tag one below each of them; only one is written beside the tag.
    fn is_at(&self, entry: &Traffic, host: &str) -> bool {
        if entry.uri.as_deref().and_then(host_of).as_deref() == Some(host) {
            return true;
        }
        let Some((tag, service_host)) = host.split_once("---") else { return false };
        let mut own = self.urls.iter().chain([&self.uri]).filter_map(|url| host_of(url));
        entry.tag.as_deref() == Some(tag) && own.any(|own| own == service_host)
    }

    /// Returns the short name of the revision that an entry stands for.
    fn revision_of<'a>(&'a self, entry: &'a Traffic) -> Result<&'a str, ControlPlaneError> {
        let is_latest = entry.kind.as_deref() == Some("TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST");
        let named = entry.revision.as_deref().filter(|name| !name.is_empty());
        let latest = self.latest_ready_revision.as_deref().filter(|name| is_latest && !name.is_empty());
        let revision = named.or(latest).and_then(|name| name.rsplit('/').next());
        revision.ok_or_else(|| failed("Cloud Run does not say which revision gets traffic".into()))
    }
}

fn standing_of_tag(service: &Service, host: &str) -> Result<PlatformStanding, ControlPlaneError> {
    let (here, others): (Vec<&Traffic>, Vec<&Traffic>) =
        service.traffic_statuses.iter().partition(|entry| service.is_at(entry, host));
    if here.is_empty() {
        return Ok(PlatformStanding::Foreign { what: "no tag of the service is there".into() });
    }
    let mut revisions = Vec::new();
    for entry in here {
        let revision = service.revision_of(entry)?;
        if entry.percent > 0 {
            return Ok(visited(revision, entry.percent));
        }
        revisions.push(revision);
    }
    for entry in others.into_iter().filter(|entry| entry.percent > 0) {
        let revision = service.revision_of(entry)?;
        if revisions.contains(&revision) {
            return Ok(visited(revision, entry.percent));
        }
    }
    Ok(PlatformStanding::Apart)
}

fn visited(revision: &str, percent: u32) -> PlatformStanding {
    let what = format!("revision {} gets {percent} % of the service's traffic", shown(revision));
    PlatformStanding::Live { what }
}

/// Quotes a text of the answer, so that it cannot do more than be read.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(MAX_SHOWN_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::evidence::Forges;
    use crate::github::double::{Double, Heard, Reply};
    use crate::guard::ControlPlane;

    const CHANNEL_HOST: &str = "shop--pr1-feat-cart-a1b2c3d4.web.app";
    const TAG_HOST: &str = "pr-1---shop-a1b2c3-uc.a.run.app";
    const SERVICE: &str = "projects/acme/locations/us-central1/services/shop";
    const CHANNEL: PlatformQuestion<'_> =
        PlatformQuestion::FirebaseChannel { site: "shop", channel: "pr1-feat-cart", host: CHANNEL_HOST };
    const TAG: PlatformQuestion<'_> = PlatformQuestion::CloudRunTag { service: SERVICE, host: TAG_HOST };

    impl Google {
        fn at(base: &str) -> Self {
            let mut google = Self::with_token(Some(Secret::new("ya29.x".into())));
            google.firebase.base = base.to_owned();
            google.run.base = base.to_owned();
            google
        }
    }

    fn ask_double(
        question: &PlatformQuestion<'_>,
        answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Result<PlatformStanding, ControlPlaneError> {
        let double = Double::start(move |heard| {
            assert_eq!(heard.method, "GET");
            assert_eq!(heard.headers_named("authorization"), ["Bearer ya29.x"]);
            answer(heard)
        });
        // Through the door that the guard uses.
        Forges { google: Google::at(&double.url()), ..Forges::default() }.platform_standing(question)
    }

    fn is_live(standing: Result<PlatformStanding, ControlPlaneError>, with: &str) -> bool {
        matches!(standing.unwrap(), PlatformStanding::Live { what } if what.contains(with))
    }

    fn is_foreign(standing: Result<PlatformStanding, ControlPlaneError>) -> bool {
        matches!(standing.unwrap(), PlatformStanding::Foreign { .. })
    }

    fn channel(id: &str, url: &str, version: &str) -> Value {
        json!({
            "name": format!("projects/acme/sites/shop/channels/{id}"),
            "url": url,
            "release": { "name": "r", "type": "DEPLOY", "version": { "name": version, "status": "FINALIZED" } },
        })
    }

    /// A site whose preview channel and live channel serve these versions.
    fn site(preview: &'static str, live: &'static str) -> impl Fn(&Heard) -> Reply + Send + Sync + 'static {
        move |heard| {
            let body = match heard.path.as_str() {
                "/v1beta1/sites/shop/channels/pr1-feat-cart" => {
                    channel("pr1-feat-cart", &format!("https://{CHANNEL_HOST}"), preview)
                }
                "/v1beta1/sites/shop/channels/live" => channel("live", "https://shop.web.app", live),
                _ => return Reply::json(500, "{}"),
            };
            Reply::json(200, &body.to_string())
        }
    }

    /// The service with these entries of traffic.
    fn service(statuses: &Value) -> impl Fn(&Heard) -> Reply + Send + Sync + use<> {
        let body = json!({
            "name": SERVICE,
            "uri": "https://shop-a1b2c3-uc.a.run.app",
            "urls": ["https://shop-1234.us-central1.run.app", "https://shop-a1b2c3-uc.a.run.app"],
            "latestReadyRevision": format!("{SERVICE}/revisions/shop-00042-abc"),
            "trafficStatuses": statuses,
        });
        move |heard| {
            assert_eq!(heard.path, format!("/v2/{SERVICE}"));
            Reply::json(200, &body.to_string())
        }
    }

    fn tagged(revision: &str) -> Value {
        json!({ "type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": revision, "tag": "pr-1",
            "uri": format!("https://{TAG_HOST}") })
    }

    fn visited_by(revision: &str, percent: u32) -> Value {
        json!({ "type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": revision, "percent": percent })
    }

    fn latest(percent: u32) -> Value {
        json!({ "type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": percent })
    }

    #[test]
    fn a_version_that_the_live_channel_serves_too_is_live() {
        let (own, other) = ("sites/shop/versions/1a", "sites/shop/versions/2b");

        assert!(is_live(ask_double(&CHANNEL, site(own, own)), "versions/1a"));
        assert_eq!(ask_double(&CHANNEL, site(own, other)), Ok(PlatformStanding::Apart));
    }

    #[test]
    fn a_site_that_was_never_released_or_is_switched_off_serves_nothing_live() {
        for live in [json!({}), json!({ "release": { "type": "SITE_DISABLE" } })] {
            let standing = ask_double(&CHANNEL, move |heard| {
                if !heard.path.ends_with("/live") {
                    return site("v", "w")(heard);
                }
                let mut live = live.clone();
                live["name"] = json!("sites/shop/channels/live");
                Reply::json(200, &live.to_string())
            });
            assert_eq!(standing, Ok(PlatformStanding::Apart));
        }
    }

    #[test]
    fn a_channel_at_another_host_is_none_of_ours() {
        for url in ["https://shop--pr1-feat-cart-ffffffff.web.app", "https://shop.web.app/x", "", "no url"] {
            let standing = ask_double(&CHANNEL, move |heard| {
                if heard.path.ends_with("/live") {
                    return site("v", "w")(heard);
                }
                Reply::json(200, &channel("pr1-feat-cart", url, "v").to_string())
            });
            assert!(is_foreign(standing), "{url}");
        }
    }

    #[test]
    fn a_channel_without_a_version_and_one_of_another_name_are_no_answer() {
        let mut empty = channel("pr1-feat-cart", &format!("https://{CHANNEL_HOST}"), "v");
        empty["release"] = Value::Null;
        let other = channel("pr2-feat-cart", &format!("https://{CHANNEL_HOST}"), "v");
        for (body, said) in [(empty, "serves nothing"), (other, "answers about")] {
            let error = ask_double(&CHANNEL, move |heard| {
                if heard.path.ends_with("/live") {
                    return site("v", "w")(heard);
                }
                Reply::json(200, &body.to_string())
            })
            .unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_revision_that_gets_traffic_by_any_entry_is_live() {
        let mut own_share = tagged("shop-00041-xyz");
        own_share["percent"] = json!(5);
        let mut by_type = latest(0);
        by_type["tag"] = json!("pr-1");
        by_type["uri"] = json!(format!("https://{TAG_HOST}"));
        let long = format!("{SERVICE}/revisions/shop-00041-xyz");
        for (statuses, said) in [
            (json!([own_share]), "5 %"),
            (json!([tagged("shop-00041-xyz"), visited_by("shop-00041-xyz", 10)]), "10 %"),
            (json!([visited_by(&long, 100), tagged("shop-00041-xyz")]), "100 %"),
            (json!([latest(100), tagged("shop-00042-abc")]), "shop-00042-abc"),
            (json!([by_type, visited_by("shop-00042-abc", 1)]), "1 %"),
        ] {
            assert!(is_live(ask_double(&TAG, service(&statuses)), said), "{statuses}");
        }
    }

    #[test]
    fn a_revision_that_gets_no_traffic_is_apart() {
        for statuses in [
            json!([tagged("shop-00043-new"), latest(100)]),
            json!([visited_by("shop-00040-old", 100), tagged("shop-00043-new")]),
            json!([visited_by("shop-00043-new", 0), tagged("shop-00043-new"), latest(100)]),
        ] {
            assert_eq!(ask_double(&TAG, service(&statuses)), Ok(PlatformStanding::Apart), "{statuses}");
        }
    }

    #[test]
    fn a_tag_is_known_by_every_address_of_its_service() {
        let host = "pr-1---shop-1234.us-central1.run.app";
        let question = PlatformQuestion::CloudRunTag { service: SERVICE, host };
        let statuses = json!([tagged("shop-00042-abc"), latest(100)]);

        assert!(is_live(ask_double(&question, service(&statuses)), "shop-00042-abc"));
    }

    #[test]
    fn a_host_that_no_tag_is_at_is_none_of_ours() {
        let mut other = tagged("shop-00042-abc");
        other["uri"] = json!("https://pr-11---shop-a1b2c3-uc.a.run.app");
        other["tag"] = json!("pr-11");
        for statuses in [json!([other, latest(100)]), json!([latest(100)]), json!([])] {
            assert!(is_foreign(ask_double(&TAG, service(&statuses))), "{statuses}");
        }
    }

    #[test]
    fn traffic_to_a_revision_without_a_name_is_no_answer() {
        let nameless = json!({ "percent": 50 });
        for statuses in [json!([tagged("a"), nameless]), json!([tagged("")])] {
            let error = ask_double(&TAG, service(&statuses)).unwrap_err();
            assert!(error.to_string().contains("which revision"), "{error}");
        }
    }

    /// Every way not to answer, and what is said of it.
    fn failures() -> Vec<(Reply, &'static str, &'static str)> {
        vec![
            (Reply::json(401, "{}"), "401", "fresh access token"),
            (Reply::json(403, "{}"), "403", ".viewer"),
            (Reply::json(404, "{}"), "404", "of the platform"),
            (Reply::json(429, "{}"), "429", "wait"),
            (Reply::json(503, ""), "503", "run again"),
            (Reply::json(302, "").with_header("location", "http://127.0.0.1:9/"), "302", "run again"),
            (Reply::json(200, "{\"name\":").with_header("content-length", "99"), "broke off", "run again"),
            (Reply::json(200, "{\"name\":"), "cannot be read", "run again"),
            (Reply::json(200, "[]"), "cannot be read", "run again"),
            (Reply::json(200, "{}"), "cannot be read", "run again"),
            (Reply::json(200, "{\"name\":\"sites/x\"}"), "answers about", "run again"),
            (Reply::json(200, &" ".repeat(web::MAX_BODY_BYTES + 1)), "says more than", "run again"),
        ]
    }

    #[test]
    fn every_failure_of_the_platforms_api_is_told_with_a_remedy() {
        for (reply, said, remedy) in failures() {
            let run = reply.clone();
            let of_run = ask_double(&TAG, move |_| run.clone()).unwrap_err();
            let (first, second) = (reply.clone(), reply);
            let of_preview = ask_double(&CHANNEL, move |heard| {
                if heard.path.ends_with("/live") { site("v", "w")(heard) } else { first.clone() }
            });
            let of_live = ask_double(&CHANNEL, move |heard| {
                if heard.path.ends_with("/live") { second.clone() } else { site("v", "w")(heard) }
            });
            for error in [of_run, of_preview.unwrap_err(), of_live.unwrap_err()] {
                assert!(error.to_string().contains(said), "{said}: {error}");
                assert!(error.help().contains(remedy), "{said}: {}", error.help());
                assert!(!format!("{error:?} {}", error.help()).contains("ya29"));
            }
        }
    }

    #[test]
    fn a_redirect_is_not_followed_with_the_token() {
        let thief = Double::start(|_| Reply::json(200, "{}"));
        let location = format!("{}/v2/{SERVICE}", thief.url());

        let error =
            ask_double(&TAG, move |_| Reply::json(307, "").with_header("location", &location)).unwrap_err();

        assert!(error.to_string().contains("307"), "{error}");
        assert!(thief.requests().is_empty());
    }

    #[test]
    fn what_an_answer_says_is_shown_without_its_control_characters() {
        let hostile = "v\u{1b}[2J\n::error::";

        let standing = ask_double(&CHANNEL, site(hostile, hostile)).unwrap();

        let PlatformStanding::Live { what } = standing else { panic!("{standing:?}") };
        assert!(!what.chars().any(char::is_control), "{what:?}");
    }

    #[test]
    fn a_silent_api_ends_with_the_run_that_waits_for_it() {
        let double = Double::start(|_| Reply::silence());
        let forges = Forges { google: Google::at(&double.url()), ..Forges::default() };
        forges.cancel.cancel();

        let error = forges.platform_standing(&CHANNEL).unwrap_err();

        assert!(error.to_string().contains("interrupted"), "{error}");
    }

    #[test]
    fn without_a_token_google_is_not_asked() {
        let double = Double::start(|_| Reply::json(200, "{}"));
        let google = Google { token: None, ..Google::at(&double.url()) };
        let forges = Forges { google, ..Forges::default() };

        assert_eq!(forges.platform_standing(&CHANNEL), Ok(PlatformStanding::Unknown));
        assert_eq!(forges.platform_standing(&TAG), Ok(PlatformStanding::Unknown));
        assert!(double.requests().is_empty());
    }

    #[test]
    fn the_token_goes_to_two_fixed_places_and_never_in_plain_text() {
        let google = Google::with_token(Some(Secret::new("ya29.x".into())));
        assert_eq!(google.firebase.base, "https://firebasehosting.googleapis.com");
        assert_eq!(google.run.base, "https://run.googleapis.com");

        for base in ["http://run.googleapis.com", "ftp://run.googleapis.com", "run.googleapis.com"] {
            let forges = Forges { google: Google::at(base), ..Forges::default() };
            let error = forges.platform_standing(&TAG).unwrap_err();
            assert!(error.to_string().contains("cannot be asked"), "{error}");
        }
        assert!(!format!("{google:?}").contains("ya29"));
    }
}
