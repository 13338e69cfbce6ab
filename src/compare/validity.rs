//! Validity asks of a measurement whether there is anything in it to judge, before anything is compared.

use crate::measurement::{Measurement, OutcomeClass, Outcomes, SteadyState, quantile_us};
use crate::scenario::{Gate, Quantile};

use super::words;

/// The share of requests that the generator may send late before its own lateness is looked at.
const MAX_LATE_SHARE: f64 = 0.05;

/// Lateness below this share of the median latency does not decide what was measured.
const MAX_LAG_OF_MEDIAN: f64 = 0.10;

/// Lateness below a millisecond is what a shared machine's scheduler does to every run, the stored ones included:
/// there the spread of the baseline accounts for it.
const TOLERATED_LAG_US: f64 = 1_000.0;

/// A worker that waits for less than a twentieth of its time has no room to keep a schedule, or to see answers when
/// they come.
const SATURATED_SHARE: f64 = 0.95;

/// From here on, requests that were never sent cannot be laid at the service's door: a busy generator takes longer
/// to see answers, and so keeps its connections longer.
const BUSY_SHARE: f64 = 0.8;

/// The share of due requests that may remain unsent without the rate counting as missed.
const MAX_UNSENT_SHARE: f64 = 0.01;

/// In the closed loop, the share of connections below which the load was another one.
const MIN_REACHED_CONNECTIONS: f64 = 0.9;

/// Where one round of a run has so many answers, an equal time without a single one is no chance.
const ANSWERS_OF_A_LIVE_ROUND: u64 = 100;

/// Says why a run measured nothing that can be judged, where that is so.
pub(super) fn why_invalid(head: &Measurement) -> Option<String> {
    let outcomes = head.outcomes();
    if let Some(reason) = head.ending.reason() {
        return Some(format!("{reason}; what was measured until then is shown, not judged"));
    }
    if outcomes.total() == 0 {
        return Some("nothing was measured: no request was due".to_owned());
    }
    if let Some(why) = why_generator_was_saturated(head) {
        return Some(why);
    }
    if outcomes.answered() == 0 {
        return Some(format!(
            "nothing was measured: 0 of {} requests were answered; {}",
            outcomes.total(),
            failures(&outcomes)
        ));
    }
    why_generator_was_the_bottleneck(head)
}

/// Says in how many rounds the service was silent, where it answered well in another.
///
/// The closed loop sends little to a service that hangs or died: it has few errors then, and the rounds before it fell
/// silent look like a good run.
pub(super) fn why_service_fell_silent(head: &Measurement) -> Option<String> {
    let answers = || head.rounds.iter().map(|round| round.outcomes.answered());
    let silent = answers().filter(|count| *count == 0).count();
    let is_live = answers().any(|count| count >= ANSWERS_OF_A_LIVE_ROUND);
    if !is_live || silent == 0 {
        return None;
    }
    let failures = failures(&head.outcomes());
    let what = if failures.is_empty() { "nothing else was sent".to_owned() } else { failures };
    Some(format!("the service fell silent: {silent} of {} rounds have no answer; {what}", head.rounds.len()))
}

/// In the open loop the load is another one where requests leave late, or not at all, and the generator had hardly
/// any time left to send them: what that shows may be the generator's limit, not the service's.
fn why_generator_was_saturated(head: &Measurement) -> Option<String> {
    let asked = head.asked_rate?;
    let busy = head.generator.busy_share;
    let outcomes = head.outcomes();
    let unsent = outcomes.count(OutcomeClass::Unsent) as f64 / outcomes.total() as f64;
    let all = head.merged();
    let lag_us = quantile_us(&all.send_lag, Quantile::P99).unwrap_or(0.0);
    let median_us = quantile_us(&all.service_time, Quantile::P50).unwrap_or(0.0);
    let is_late = lag_us > TOLERATED_LAG_US && lag_us > MAX_LAG_OF_MEDIAN * median_us;
    let symptom = if busy >= BUSY_SHARE && unsent > MAX_UNSENT_SHARE {
        format!("left {} of the requests unsent", words::share(unsent))
    } else if busy >= SATURATED_SHARE && is_late {
        format!("sent requests up to {} late (p99)", words::time(lag_us))
    } else {
        return None;
    };
    Some(format!(
        "the load generator was the bottleneck: at {asked} it was busy {} of the time and {symptom}; lower the rate, \
         give it more threads (-t) or a larger machine",
        words::share(busy)
    ))
}

/// Only the open loop can be late; it is invalid where more than 5 % of the requests left late and the 99th
/// percentile of that lateness is above a tenth of the median latency and above a millisecond.
fn why_generator_was_the_bottleneck(head: &Measurement) -> Option<String> {
    let lag_us = head.generator.lag_p99_us;
    if !is_often_late(head) || lag_us <= TOLERATED_LAG_US {
        return None;
    }
    let median_us = quantile_us(&head.merged().latency, Quantile::P50)?;
    (lag_us > MAX_LAG_OF_MEDIAN * median_us).then(|| {
        format!(
            "the load generator was the bottleneck: it sent {} of the requests late, by up to {} (p99), against a \
             median latency of {}; lower the rate or use a larger machine",
            words::share(head.generator.late_share),
            words::time(lag_us),
            words::time(median_us)
        )
    })
}

fn is_often_late(head: &Measurement) -> bool {
    head.asked_rate.is_some() && head.generator.late_share > MAX_LATE_SHARE
}

/// Says which failures are too many, where they are.
pub(super) fn why_too_many_errors(gate: &Gate, head: &Measurement) -> Option<String> {
    let outcomes = head.outcomes();
    let rate = outcomes.error_rate()?;
    is_above_error_rate(gate, &outcomes).then(|| {
        format!(
            "{} of {} requests failed ({}); at most {} may",
            words::share(rate),
            outcomes.total(),
            failures(&outcomes),
            words::share(gate.max_error_rate.max(0.0))
        )
    })
}

/// Returns whether more requests failed than the gate permits.
pub(super) fn is_above_error_rate(gate: &Gate, outcomes: &Outcomes) -> bool {
    // `max` turns a limit that is not a number into zero: broken limits are strict ones.
    outcomes.error_rate().is_some_and(|rate| rate > gate.max_error_rate.max(0.0))
}

/// Returns what keeps a valid run from telling anything about latency.
pub(super) fn doubts(head: &Measurement) -> Vec<String> {
    let mut doubts = Vec::new();
    let reached = f64::from(head.reached_connections) / f64::from(head.asked_connections.max(1));
    if head.asked_rate.is_none() && reached < MIN_REACHED_CONNECTIONS {
        doubts.push(format!(
            "only {} of {} connections were open at once: in the closed loop that is another load",
            head.reached_connections, head.asked_connections
        ));
    }
    doubts
}

/// Returns what a reader should know without it changing the verdict.
pub(super) fn remarks(head: &Measurement) -> Vec<String> {
    let mut remarks = Vec::new();
    if head.steady_state == SteadyState::NotFound {
        remarks.push(
            "the warm-up found no steady state: latency was not at rest when measuring began".to_owned(),
        );
    }
    let silent = head.rounds.iter().filter(|round| round.latency.is_empty()).count();
    if silent > 0 {
        remarks.push(format!("{silent} of {} rounds timed no answer", head.rounds.len()));
    }
    let missing = head.asked_connections.saturating_sub(head.reached_connections);
    if head.asked_rate.is_none() && missing > 0 && doubts(head).is_empty() {
        remarks.push(format!("{missing} of {} connections were never open", head.asked_connections));
    }
    if head.asked_rate.is_none() && head.generator.busy_share >= SATURATED_SHARE {
        // It reads answers later than they come then, and nothing tells how much later.
        remarks.push(format!(
            "the load generator was busy {} of the time, so its own work is part of the latency: take fewer \
             connections, a rate, or more threads (-t)",
            words::share(head.generator.busy_share)
        ));
    }
    if is_often_late(head) {
        remarks.push(format!(
            "the load generator sent {} of the requests late, by up to {} (p99)",
            words::share(head.generator.late_share),
            words::time(head.generator.lag_p99_us)
        ));
    }
    remarks
}

fn failures(outcomes: &Outcomes) -> String {
    let classes =
        OutcomeClass::ALL.into_iter().filter(|class| class.is_error() && outcomes.count(*class) > 0);
    classes
        .map(|class| format!("{} {}", class.as_str(), outcomes.count(class)))
        .collect::<Vec<_>>()
        .join(", ")
}
