//! `[[scenario]]`: one named thing to run; how load is applied over time is for `profile`.

use super::draft::ScenarioDraft;
use super::gate::read_gate;
use super::keys;
use super::profile::read_profile;
use super::request::{read_feed, read_requests};
use crate::config::section::Section;
use crate::scenario::ScenarioName;

pub(super) fn read_scenarios(top: &Section<'_>) -> Option<Vec<ScenarioDraft>> {
    let sections = top.tables("scenario", keys::SCENARIO)?;
    if sections.is_empty() {
        let place = top.item("scenario").map_or_else(|| top.place.clone(), |found| found.place);
        top.reader.report(&place, "the list of scenarios is empty", "add a [[scenario]], or remove the key");
    }
    let drafts: Vec<ScenarioDraft> = sections.iter().map(read_scenario).collect();
    for (index, draft) in drafts.iter().enumerate() {
        let Some(name) = &draft.name else { continue };
        let twin = drafts[..index].iter().find_map(|d| d.name.as_ref().filter(|n| n.value == name.value));
        if let Some(twin) = twin {
            let message = format!("two scenarios are named `{}`", name.value);
            top.reader.report(
                &name.place,
                message,
                format!("rename this one; the other is at line {}", twin.place.line),
            );
        }
    }
    Some(drafts)
}

fn read_scenario(section: &Section<'_>) -> ScenarioDraft {
    let name = section.parsed("name", "choose a short name, such as \"browse\"", ScenarioName::parse);
    if section.item("name").is_none() {
        section.reader.report(
            &section.place,
            "a scenario has no `name`",
            "add one, such as name = \"browse\"",
        );
    }
    let profile = section.table("profile", keys::PROFILE).map(|profile| read_profile(&profile));
    let gate = section.table("gate", keys::GATE).map(|gate| read_gate(&gate));
    ScenarioDraft {
        name,
        requests: read_requests(section),
        feed: section.table("feed", keys::FEED).and_then(|feed| read_feed(&feed)),
        seed: section.count("seed", 0..=u32::MAX).map(|seed| seed.value.into()),
        script: section.text("script"),
        profile: profile.unwrap_or_default(),
        gate: gate.unwrap_or_default(),
    }
}
