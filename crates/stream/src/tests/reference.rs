//! What windows are, by their records one after another: without memory, batches, or anything that goes wrong.

use std::collections::BTreeMap;

use crate::{
    core::windows::NEVER,
    pipeline::Windows,
    tests::tiny::{SIZE_MS, partition_key, slot},
};

/// The facts that a message of the tiny pipeline tells: group, key and value.
pub(crate) fn facts_of(message: &str) -> Vec<(i16, i16, i64)> {
    let numbers: Vec<i64> = message.split(' ').filter_map(|word| word.parse().ok()).collect();
    let small = |number: i64| i16::try_from(number).unwrap();
    match numbers[..] {
        [group, key, value] => vec![(small(group), small(key), value)],
        [group, key, value, from, its] => vec![(small(from), small(its), -1), (small(group), small(key), value)],
        _ => Vec::new(),
    }
}

/// Windows, as far as their records were applied. Each partition key has one partition, and its records come in its order.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    /// Of each window the value of each key of a fact, and whether it came late.
    windows: BTreeMap<i16, BTreeMap<i16, (i64, bool)>>,
    /// Of each partition key the clock, the end of what is final, the horizon.
    keys: BTreeMap<String, [i64; 3]>,
    /// How many records were filtered.
    pub(crate) filtered: i64,
}

impl Reference {
    pub(crate) fn apply(&mut self, message: &str, windows: &Windows) {
        let mut is_kept = false;
        for (group, key, value) in facts_of(message) {
            let (at, end) = (slot(group) + i64::from(key), slot(group) + SIZE_MS);
            let [clock, is_final, horizon] = self.keys.entry(partition_key(group)).or_insert([NEVER; 3]);
            if end <= *horizon {
                continue;
            }
            let late = end <= *is_final;
            *clock = at.max(*clock);
            *is_final = (*is_final).max(*clock - windows.lateness_ms);
            *horizon = (*horizon).max(windows.keep_ms.map_or(NEVER, |keep_ms| *clock - keep_ms));
            let window = self.windows.entry(group).or_default();
            let before = window.insert(key, (value, late));
            if let Some(same) = before.filter(|(before, _)| *before == value) {
                window.insert(key, same);
            }
            // A retraction of what is not known says nothing.
            is_kept |= value >= 0 || before.is_some_and(|(before, _)| before >= 0);
        }
        self.filtered += i64::from(!is_kept);
    }

    /// The rows, with how many facts came late.
    pub(crate) fn rows(&self) -> BTreeMap<String, String> {
        let row = |(group, window): (&i16, &BTreeMap<i16, (i64, bool)>)| {
            let counts = || window.iter().filter(|(_, (value, _))| *value >= 0);
            let late = counts().filter(|(_, (_, late))| *late).count();
            let facts = counts().map(|(key, (value, _))| format!("{key}={value}"));
            let late = (late > 0).then(|| format!("late {late}"));
            (format!("g{group}"), facts.chain(late).collect::<Vec<_>>().join(" "))
        };
        self.windows.iter().map(row).filter(|(_, row)| !row.is_empty()).collect()
    }

    /// Each window, and whether it is final.
    pub(crate) fn finality(&self) -> impl Iterator<Item = (i16, bool)> {
        self.windows.keys().map(|group| (*group, slot(*group) + SIZE_MS <= self.keys[&partition_key(*group)][1]))
    }
}

/// A row without how many facts came late.
pub(crate) fn without_late(row: &str) -> &str {
    row.split_once(" late").map_or(row, |(row, _)| row)
}
