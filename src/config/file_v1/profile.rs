//! `profile` of a scenario: how load is applied over time, and which of its keys contradict each other.

use std::num::NonZeroU32;
use std::time::Duration;

use super::draft::{ProfileDraft, StagesDraft, WarmUpDraft};
use super::{MAX_CONNECTIONS, SHORTEST_DURATION, SHORTEST_TIMEOUT, keys, read_connections, read_rate};
use crate::config::section::Section;
use crate::config::value::quoted;
use crate::scenario::{Arrivals, Level, Stage, StageRate, level_at_start};

/// More rounds make each of them too short to say anything.
const MAX_ROUNDS: u32 = 1000;

/// More stages than anybody can picture.
const MAX_STAGES: usize = 100;

/// A shorter warm-up has no room for enough slices that hold more than a handful of answers each.
const SHORTEST_UNTIL_STEADY: Duration = Duration::from_secs(2);

/// How long a warm-up waits for a steady state, where only `until` is written.
const DEFAULT_AT_MOST: Duration = Duration::from_secs(30);

/// Where no seed is written: any number does, as long as it is the same on every run.
const DEFAULT_SEED: u32 = 1;

/// Keys that say the same thing in two ways, or things that cannot both be, with what to do about it.
const CONTRADICTIONS: [(&str, &str, &str); 9] = [
    ("rate", "stages", "keep `rate` for a constant rate, or put it into the stages"),
    ("rate", "steps", "keep `rate` for a constant rate, or put it into the steps"),
    ("stages", "steps", "keep one of them; a step is a stage that jumps and then holds"),
    ("duration", "stages", "remove `duration`: the measured time is that of all stages together"),
    ("duration", "steps", "remove `duration`: the measured time is that of all steps together"),
    ("think-time", "rate", "remove one: in the open loop requests are due by the rate, whoever is thinking"),
    ("think-time", "steps", "remove one: in the open loop requests are due by the rate, whoever is thinking"),
    (
        "think-time",
        "arrivals",
        "remove one: in the open loop requests are due by the rate, whoever is thinking",
    ),
    (
        "think-time",
        "max-in-flight",
        "remove one: think time belongs to the closed loop, the limit to the open one",
    ),
];

pub(super) fn read_profile(section: &Section<'_>) -> ProfileDraft {
    for (one, other, help) in CONTRADICTIONS {
        contradict(section, one, other, help);
    }
    let stages = read_stages(section).or_else(|| read_steps(section));
    match &stages {
        Some(StagesDraft::Connections(_)) => {
            for key in ["connections", "arrivals", "max-in-flight"] {
                let help =
                    "stages of connections are a closed loop: remove the key, or write stages of `rate`";
                contradict(section, key, "stages", help);
            }
        }
        Some(StagesDraft::Rates(_)) => {
            contradict(
                section,
                "think-time",
                "stages",
                "remove one: in the open loop requests are due by the rate",
            );
        }
        None => {}
    }
    let draft = ProfileDraft {
        rate: read_rate(section),
        stages,
        arrivals: read_arrivals(section),
        connections: read_connections(section),
        duration: section.duration("duration", SHORTEST_DURATION).map(|duration| duration.value),
        warm_up: read_warm_up(section),
        rounds: section.count("rounds", 1..=MAX_ROUNDS).and_then(|count| NonZeroU32::new(count.value)),
        timeout: section.duration("timeout", SHORTEST_TIMEOUT).map(|timeout| timeout.value),
        think_time: section.duration("think-time", Duration::ZERO).map(|think_time| think_time.value),
        reconnect_every: section
            .count("reconnect-every", 1..=u32::MAX)
            .and_then(|count| NonZeroU32::new(count.value)),
        max_in_flight: section
            .count("max-in-flight", 1..=u32::MAX)
            .and_then(|count| NonZeroU32::new(count.value)),
    };
    check_warm_up_of_stages(section, &draft);
    draft
}

fn contradict(section: &Section<'_>, one: &str, other: &str, help: &str) {
    if let (Some(found), Some(_)) = (section.item(one), section.item(other)) {
        section.reader.report(&found.place, format!("`{one}` and `{other}` contradict each other"), help);
    }
}

/// Reads `stages`, all of `rate` or all of `connections`.
fn read_stages(section: &Section<'_>) -> Option<StagesDraft> {
    let listed = section.tables("stages", keys::STAGE)?;
    let place = section.item("stages")?.place;
    let has = |key: &str| listed.iter().filter(|stage| stage.item(key).is_some()).count();
    let (rates, connections) = (has("rate"), has("connections"));
    if rates + connections != listed.len() || (rates > 0 && connections > 0) || listed.is_empty() {
        section.reader.report(
            &place,
            "`stages` needs either a `rate` in each stage or `connections` in each",
            "write such as stages = [{ rate = 50, over = \"10s\" }, { rate = 50, over = \"30s\" }]",
        );
        return None;
    }
    if rates > 0 {
        let stages = listed
            .iter()
            .map(|stage| Some(Stage { target: read_stage_rate(stage)?, over: read_time(stage, "over")? }));
        let stages = checked(section, "stages", stages.collect::<Option<_>>()?)?;
        return Some(StagesDraft::Rates(stages));
    }
    let stages = listed.iter().map(|stage| {
        let target = stage.count("connections", 1..=MAX_CONNECTIONS)?;
        Some(Stage { target: NonZeroU32::new(target.value)?, over: read_time(stage, "over")? })
    });
    let stages = checked(section, "stages", stages.collect::<Option<_>>()?)?;
    Some(StagesDraft::Connections(stages))
}

/// Reads `steps`: each is a jump to a rate that is held for a time.
fn read_steps(section: &Section<'_>) -> Option<StagesDraft> {
    let listed = section.tables("steps", keys::STEP)?;
    let steps = listed.iter().map(|step| {
        let (rate, held) = (read_stage_rate(step)?, read_time(step, "for")?);
        Some([Stage { target: rate, over: Duration::ZERO }, Stage { target: rate, over: held }])
    });
    let stages = steps.collect::<Option<Vec<_>>>()?.concat();
    Some(StagesDraft::Rates(checked(section, "steps", stages)?))
}

fn read_stage_rate(stage: &Section<'_>) -> Option<StageRate> {
    let Some(number) = stage.number("rate") else {
        require(stage, "rate", "say the requests per second, such as rate = 50");
        return None;
    };
    StageRate::per_second(number.value)
        .inspect_err(|error| stage.reader.report_range("rate", &number.place, error))
        .ok()
}

fn read_time(stage: &Section<'_>, key: &str) -> Option<Duration> {
    require(stage, key, "say how long it takes, such as \"10s\"");
    stage.duration(key, Duration::ZERO).map(|over| over.value)
}

fn require(section: &Section<'_>, key: &str, help: &str) {
    if section.item(key).is_none() {
        section.reader.report(&section.place, format!("`{key}` is missing"), help);
    }
}

/// Checks what only all stages together can show.
fn checked<Target: Level>(
    section: &Section<'_>,
    key: &str,
    stages: Vec<Stage<Target>>,
) -> Option<Vec<Stage<Target>>> {
    let whole = stages.iter().map(|stage| stage.over).fold(Duration::ZERO, Duration::saturating_add);
    let (message, help) = if stages.len() > MAX_STAGES {
        (format!("`{key}` has too many entries"), format!("write at most {MAX_STAGES}; a step counts as two"))
    } else if whole < SHORTEST_DURATION {
        let help = format!("let them take at least {SHORTEST_DURATION:?}");
        (format!("`{key}` together take {whole:?}, which is too short"), help)
    } else if stages.iter().all(|stage| stage.target.level() == 0.0) {
        (format!("`{key}` send nothing"), "give at least one of them a rate above 0".to_owned())
    } else {
        return Some(stages);
    };
    let place = section.item(key).map_or_else(|| section.place.clone(), |found| found.place);
    section.reader.report(&place, message, help);
    None
}

fn read_arrivals(section: &Section<'_>) -> Option<Arrivals> {
    let seed = section.count("seed", 0..=u32::MAX).map(|seed| seed.value);
    let found = section.parsed("arrivals", "write \"even\" or \"poisson\"", |word| match word {
        "even" => Ok(Arrivals::Even),
        "poisson" => Ok(Arrivals::Poisson { seed: seed.unwrap_or(DEFAULT_SEED) }),
        other => Err(format!("{} is no kind of arrivals", quoted(other))),
    });
    let arrivals = found.map(|found| found.value);
    if let (Some(place), None | Some(Arrivals::Even)) =
        (section.item("seed").map(|found| found.place), arrivals)
    {
        section.reader.report(
            &place,
            "`seed` has no meaning without random arrivals",
            "add arrivals = \"poisson\", or remove the seed",
        );
    }
    let has_rate = ["rate", "stages", "steps"].iter().any(|key| section.item(key).is_some());
    for key in ["arrivals", "max-in-flight"] {
        if let Some(found) = section.item(key).filter(|_| !has_rate) {
            let message = format!("`{key}` has no meaning without a rate");
            section.reader.report(
                &found.place,
                message,
                "add `rate`, `stages` or `steps`, or remove the key",
            );
        }
    }
    arrivals
}

fn read_warm_up(section: &Section<'_>) -> Option<WarmUpDraft> {
    let found = section.item("warm-up")?;
    if !found.value.is_table_like() {
        return section.duration("warm-up", Duration::ZERO).map(|time| WarmUpDraft::Time(time.value));
    }
    let table = section.table("warm-up", keys::WARM_UP)?;
    require(&table, "until", "write until = \"steady\", or a plain warm-up = \"5s\"");
    let until = table.parsed("until", "write until = \"steady\"", |word| match word {
        "steady" => Ok(()),
        other => Err(format!("{} is nothing that a warm-up can wait for", quoted(other))),
    });
    let at_most = match table.item("at-most") {
        Some(_) => table.duration("at-most", SHORTEST_UNTIL_STEADY)?.value,
        None => DEFAULT_AT_MOST,
    };
    until.map(|_| WarmUpDraft::UntilSteady { at_most })
}

/// Before stages that begin at zero there is nothing to warm up with.
fn check_warm_up_of_stages(section: &Section<'_>, draft: &ProfileDraft) {
    let begins_at_zero = match &draft.stages {
        Some(StagesDraft::Rates(stages)) => level_at_start(stages).is_none(),
        Some(StagesDraft::Connections(stages)) => level_at_start(stages).is_none(),
        None => false,
    };
    let is_asked = draft.warm_up.is_some_and(|warm_up| warm_up != WarmUpDraft::Time(Duration::ZERO));
    if let Some(found) = section.item("warm-up").filter(|_| begins_at_zero && is_asked) {
        section.reader.report(
            &found.place,
            "the stages begin at zero, so there is no load for a `warm-up`",
            "begin with a stage that jumps (over = \"0s\") to the load of the warm-up, or remove `warm-up`",
        );
    }
}
