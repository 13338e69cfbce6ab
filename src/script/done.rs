//! What `done(summary, latency, requests)` gets, in wrk's units: microseconds, requests per second of one thread.

use mlua::{Lua, Table, Value};

use crate::measurement::{Measurement, OutcomeClass};

/// Makes the arguments of `done`'s entrance.
pub(super) fn arguments(lua: &Lua, measurement: &Measurement, workers: u32) -> mlua::Result<Vec<Value>> {
    let latency = latencies(measurement);
    let rates = rates(measurement, workers);
    let mut values = vec![Value::Table(summary(lua, measurement)?)];
    for distribution in [latency, rates] {
        let (figures, points, counts) = distribution.tables(lua)?;
        values.extend([figures, points, counts].map(Value::Table));
    }
    Ok(values)
}

fn summary(lua: &Lua, measurement: &Measurement) -> mlua::Result<Table> {
    let outcomes = measurement.outcomes();
    let count =
        |classes: &[OutcomeClass]| classes.iter().map(|class| outcomes.count(*class)).sum::<u64>() as f64;
    let errors = lua.create_table()?;
    errors.raw_set("connect", count(&[OutcomeClass::Connect]))?;
    errors.raw_set("read", count(&[OutcomeClass::Read, OutcomeClass::Protocol]))?;
    errors.raw_set("write", count(&[OutcomeClass::Write]))?;
    errors.raw_set("status", count(&[OutcomeClass::ClientError, OutcomeClass::ServerError]))?;
    errors.raw_set("timeout", count(&[OutcomeClass::Timeout, OutcomeClass::Unanswered]))?;
    let summary = lua.create_table()?;
    summary.raw_set("duration", measurement.elapsed.as_micros() as f64)?;
    summary.raw_set("requests", outcomes.answered() as f64)?;
    summary.raw_set("bytes", measurement.bytes_received.unwrap_or(0) as f64)?;
    summary.raw_set("errors", errors)?;
    Ok(summary)
}

/// Values with their counts, ascending.
struct Distribution(Vec<(f64, f64)>);

impl Distribution {
    fn tables(&self, lua: &Lua) -> mlua::Result<(Table, Table, Table)> {
        let count: f64 = self.0.iter().map(|(_, count)| count).sum();
        let mean = self.0.iter().map(|(value, count)| value * count).sum::<f64>() / count.max(1.0);
        let variance = self.0.iter().map(|(value, count)| (value - mean).powi(2) * count).sum::<f64>()
            / (count - 1.0).max(1.0);
        let figures = lua.create_table()?;
        figures.raw_set("min", self.0.first().map_or(0.0, |(value, _)| *value))?;
        figures.raw_set("max", self.0.last().map_or(0.0, |(value, _)| *value))?;
        figures.raw_set("mean", mean)?;
        figures.raw_set("stdev", variance.sqrt())?;
        figures.raw_set("count", count)?;
        let points = lua.create_sequence_from(self.0.iter().map(|(value, _)| *value))?;
        let counts = lua.create_sequence_from(self.0.iter().map(|(_, count)| *count))?;
        Ok((figures, points, counts))
    }

    fn of(values: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut sorted: Vec<(f64, f64)> = values.collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut distinct: Vec<(f64, f64)> = Vec::new();
        for (value, count) in sorted {
            match distinct.last_mut() {
                Some(last) if last.0 == value => last.1 += count,
                _ => distinct.push((value, count)),
            }
        }
        Self(distinct)
    }
}

fn latencies(measurement: &Measurement) -> Distribution {
    let merged = measurement.merged();
    let in_microseconds = |ns: u64| (ns as f64 / 1_000.0).round();
    Distribution::of(merged.latency.iter_recorded().map(|point| {
        (
            in_microseconds(
                merged.latency.median_equivalent(point.value_iterated_to()).min(merged.latency.max()),
            ),
            point.count_at_value() as f64,
        )
    }))
}

/// wrk samples each thread ten times a second; the rounds are what is kept here.
fn rates(measurement: &Measurement, workers: u32) -> Distribution {
    let seconds = measurement.elapsed.as_secs_f64() / measurement.rounds.len().max(1) as f64;
    let per_thread = |answered: u64| {
        (answered as f64 / seconds.max(f64::MIN_POSITIVE) / f64::from(workers.max(1))).round()
    };
    Distribution::of(measurement.rounds.iter().map(|round| (per_thread(round.outcomes.answered()), 1.0)))
}
