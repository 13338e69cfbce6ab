//! `[[scenario]]`: one named thing to run; how load is applied over time is for `profile`.

use std::num::NonZeroU32;

use super::draft::ScenarioDraft;
use super::gate::read_gate;
use super::keys;
use super::profile::read_profile;
use super::request::{read_feed, read_requests};
use crate::config::section::Section;
use crate::config::value::quoted;
use crate::scenario::{Protocol, ScenarioName};

/// As many as servers allow unless they are told otherwise; more would wait in line.
const MAX_STREAMS: u32 = 100;

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
        protocol: read_protocol(section),
        profile: profile.unwrap_or_default(),
        gate: gate.unwrap_or_default(),
    }
}

fn read_protocol(section: &Section<'_>) -> Protocol {
    let streams = section.count("streams", 1..=MAX_STREAMS);
    let count = streams.as_ref().and_then(|count| NonZeroU32::new(count.value));
    let several = count.unwrap_or(Protocol::DEFAULT_STREAMS);
    let Some(word) = section.text("protocol") else {
        if let Some(streams) = streams {
            let help = "add protocol = \"h2\", or remove `streams`: HTTP/1.1 has none";
            section.reader.report(&streams.place, "`streams` is given without `protocol`", help);
        }
        return Protocol::Http1;
    };
    match word.value.as_str() {
        "h2" => Protocol::Http2 { streams: several },
        "auto" => Protocol::Auto { streams: several },
        "http/1.1" => {
            if let Some(streams) = streams {
                let help = "remove it, or write protocol = \"h2\"";
                section.reader.report(&streams.place, "`streams` is given, but HTTP/1.1 has none", help);
            }
            Protocol::Http1
        }
        other => {
            let message = format!("unknown protocol {}", quoted(other));
            section.reader.report(&word.place, message, "use \"http/1.1\", \"h2\" or \"auto\"");
            Protocol::Http1
        }
    }
}
