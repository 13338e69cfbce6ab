//! Plain values are what can leave a Lua state: numbers, texts, truths and tables of them. They carry data between
//! states that share nothing.

use std::collections::BTreeMap;

use mlua::{Lua, Table, Value};

/// Deeper tables are cycles or mistakes.
const MAX_DEPTH: usize = 32;

/// More values than this are no result, but data.
const MAX_VALUES: usize = 100_000;

/// More text than this is no result either; it is kept outside of the script's own memory.
const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// What may still be copied out of a state.
struct Budget {
    values: usize,
    bytes: usize,
}

impl Budget {
    fn whole() -> Self {
        Self { values: MAX_VALUES, bytes: MAX_TEXT_BYTES }
    }

    fn spend(&mut self, values: usize, bytes: usize) -> Result<(), String> {
        self.values =
            self.values.checked_sub(values).ok_or(format!("it holds more than {MAX_VALUES} values"))?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or("it holds more than 4 MiB of text")?;
        Ok(())
    }
}

/// A value without a state.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    Truth(bool),
    Number(f64),
    Text(Vec<u8>),
    Table(BTreeMap<Key, Plain>),
}

/// What a value of a table stands under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Truth(bool),
    /// The bits of a number.
    Number(u64),
    Text(Vec<u8>),
}

impl Key {
    fn number(number: f64) -> Self {
        // Minus zero and zero are one key.
        Self::Number((number + 0.0).to_bits())
    }

    fn of(plain: Plain) -> Result<Self, String> {
        match plain {
            Plain::Truth(truth) => Ok(Self::Truth(truth)),
            Plain::Number(number) => Ok(Self::number(number)),
            Plain::Text(text) => Ok(Self::Text(text)),
            Plain::Table(_) => Err("a table is a key of it".into()),
        }
    }

    fn give(&self, lua: &Lua) -> mlua::Result<Value> {
        Ok(match self {
            Self::Truth(truth) => Value::Boolean(*truth),
            Self::Number(bits) => Value::Number(f64::from_bits(*bits)),
            Self::Text(text) => Value::String(lua.create_string(text)?),
        })
    }
}

/// Named plain values.
pub(super) type Plains = BTreeMap<String, Plain>;

impl Plain {
    /// Copies a value; `Ok(None)` is nil.
    pub(super) fn take(value: &Value) -> Result<Option<Self>, String> {
        Self::take_within(value, MAX_DEPTH, &mut Budget::whole())
    }

    fn take_within(value: &Value, depth: usize, budget: &mut Budget) -> Result<Option<Self>, String> {
        budget.spend(1, 0)?;
        Ok(Some(match value {
            Value::Nil => return Ok(None),
            Value::Boolean(truth) => Self::Truth(*truth),
            Value::Integer(number) => Self::Number(*number as f64),
            Value::Number(number) => Self::Number(*number),
            Value::String(text) => {
                budget.spend(0, text.as_bytes().len())?;
                Self::Text(text.as_bytes().to_vec())
            }
            Value::Table(table) => {
                if depth == 0 {
                    return Err("its tables are nested too deeply, or hold themselves".into());
                }
                let mut entries = BTreeMap::new();
                for entry in table.pairs::<Value, Value>() {
                    let (key, value) = entry.map_err(|_| "it cannot be read".to_owned())?;
                    let key = Self::take_within(&key, depth - 1, budget)?;
                    let value = Self::take_within(&value, depth - 1, budget)?;
                    if let (Some(key), Some(value)) = (key, value) {
                        entries.insert(Key::of(key)?, value);
                    }
                }
                Self::Table(entries)
            }
            other => return Err(format!("a {} cannot leave its thread", other.type_name())),
        }))
    }

    /// Makes a value of a state.
    pub(super) fn give(&self, lua: &Lua) -> mlua::Result<Value> {
        Ok(match self {
            Self::Truth(truth) => Value::Boolean(*truth),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::String(lua.create_string(text)?),
            Self::Table(entries) => {
                let table = lua.create_table()?;
                for (key, value) in entries {
                    table.raw_set(key.give(lua)?, value.give(lua)?)?;
                }
                Value::Table(table)
            }
        })
    }

    /// Adds what a worker changed between `before` and `after`: numbers by their difference, lists by what was
    /// appended, everything else as it became.
    pub(super) fn add_change(self, before: Option<&Self>, after: &Self) -> Self {
        if before == Some(after) {
            return self;
        }
        match (self, after) {
            (Self::Number(sum), Self::Number(after)) => {
                let before = if let Some(Self::Number(before)) = before { *before } else { 0.0 };
                Self::Number(sum + after - before)
            }
            (Self::Table(all), Self::Table(after)) => {
                let none = BTreeMap::new();
                let before = if let Some(Self::Table(before)) = before { before } else { &none };
                Self::Table(add_entries(all, before, after))
            }
            (_, after) => after.clone(),
        }
    }
}

fn add_entries(
    mut all: BTreeMap<Key, Plain>,
    before: &BTreeMap<Key, Plain>,
    after: &BTreeMap<Key, Plain>,
) -> BTreeMap<Key, Plain> {
    let is_list = length(after) == after.len() && length(before) == before.len();
    let mut end = length(&all);
    for (key, value) in after {
        let was = before.get(key);
        if is_list && was.is_none() {
            end += 1;
            all.insert(Key::number(end as f64), value.clone());
        } else if let Some(mine) = all.remove(key) {
            all.insert(key.clone(), mine.add_change(was, value));
        } else {
            all.insert(key.clone(), value.clone());
        }
    }
    all
}

/// Returns how many entries stand under 1, 2, 3 and so on.
fn length(entries: &BTreeMap<Key, Plain>) -> usize {
    (1_u32..).take_while(|index| entries.contains_key(&Key::number(f64::from(*index)))).count()
}

/// Copies every global that is plain, within what may be copied in all; functions and what holds them stay.
pub(super) fn globals(env: &Table) -> Plains {
    let mut plains = Plains::new();
    let mut budget = Budget::whole();
    for (name, value) in env.pairs::<Value, Value>().flatten() {
        let Value::String(name) = name else { continue };
        let name = name.to_string_lossy();
        if matches!(name.as_str(), "wrk" | "_G" | "package") {
            continue;
        }
        if let Ok(Some(plain)) = Plain::take_within(&value, MAX_DEPTH, &mut budget) {
            plains.insert(name, plain);
        }
    }
    plains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: &[f64]) -> Plain {
        Plain::Table(
            values
                .iter()
                .enumerate()
                .map(|(i, v)| (Key::number(i as f64 + 1.0), Plain::Number(*v)))
                .collect(),
        )
    }

    #[test]
    fn counters_of_workers_are_summed_and_constants_stay() {
        let sum = Plain::Number(5.0)
            .add_change(Some(&Plain::Number(5.0)), &Plain::Number(7.0))
            .add_change(Some(&Plain::Number(5.0)), &Plain::Number(6.0));
        let name = Plain::Text(b"a".to_vec());

        assert_eq!(sum, Plain::Number(8.0));
        assert_eq!(name.clone().add_change(Some(&name), &name), name);
    }

    #[test]
    fn what_workers_append_stands_behind_each_other() {
        let all = list(&[1.0]).add_change(Some(&list(&[1.0])), &list(&[1.0, 2.0]));

        assert_eq!(all.add_change(Some(&list(&[1.0])), &list(&[1.0, 3.0])), list(&[1.0, 2.0, 3.0]));
    }

    #[test]
    fn what_is_copied_out_of_a_state_is_bounded() {
        let lua = Lua::new();
        let text = lua.create_string("x".repeat(MAX_TEXT_BYTES + 1)).unwrap();
        let many = lua.create_sequence_from(0..=MAX_VALUES).unwrap();

        assert!(Plain::take(&Value::String(text.clone())).unwrap_err().contains("4 MiB of text"));
        assert!(Plain::take(&Value::Table(many)).unwrap_err().contains("100000 values"));
        let env = lua.create_table().unwrap();
        env.set("text", text).unwrap();
        env.set("small", 7).unwrap();
        assert!(!globals(&env).contains_key("text"));
    }

    #[test]
    fn a_table_that_holds_itself_stays_where_it_is() {
        let lua = Lua::new();
        let table = lua.create_table().unwrap();
        table.set("me", table.clone()).unwrap();

        assert!(Plain::take(&Value::Table(table)).is_err());
    }
}
