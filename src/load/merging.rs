//! Merges what several workers saw into one measurement: histograms are added, which is exact.

use hdrhistogram::Histogram;

use crate::measurement::{EndpointMeasurement, OutcomeClass, Outcomes, Round};

/// Merges the shares of several workers. Workers that were cancelled at the edge of a round may differ by one.
pub(crate) fn merge_rounds(mut shares: Vec<Vec<Round>>) -> Vec<Round> {
    // The longest share is taken as it is: merging into empty histograms would touch all of their pages.
    shares.sort_by_key(Vec::len);
    let mut merged = shares.pop().unwrap_or_default();
    for share in &shares {
        for (round, other) in merged.iter_mut().zip(share) {
            round.merge(other);
        }
    }
    merged
}

/// Merges what several workers saw of endpoints, which are the same where their names are.
pub(crate) fn merge_endpoints(
    shares: impl IntoIterator<Item = Vec<(String, Histogram<u64>, Outcomes)>>,
) -> Vec<EndpointMeasurement> {
    let mut merged: Vec<EndpointMeasurement> = Vec::new();
    for (name, latency, outcomes) in shares.into_iter().flatten() {
        match merged.iter_mut().find(|endpoint| endpoint.name == name) {
            Some(endpoint) => {
                endpoint.latency.add(&latency).expect("both histograms have this project's bounds");
                endpoint.outcomes.merge(&outcomes);
            }
            None => merged.push(EndpointMeasurement { name, latency, outcomes }),
        }
    }
    merged
}

/// Merges the latencies by class of several workers.
pub(crate) fn merge_classes(
    shares: impl IntoIterator<Item = Vec<(OutcomeClass, Histogram<u64>)>>,
) -> Vec<(OutcomeClass, Histogram<u64>)> {
    let mut merged: Vec<(OutcomeClass, Histogram<u64>)> = Vec::new();
    for (class, latency) in shares.into_iter().flatten() {
        match merged.iter_mut().find(|(found, _)| *found == class) {
            Some((_, all)) => all.add(&latency).expect("both histograms have this project's bounds"),
            None => merged.push((class, latency)),
        }
    }
    merged.sort_by_key(|(class, _)| *class);
    merged
}
