//! What a campaign has come to. Made of records, in any order, and of nothing else.

use core::fmt::Write;
use core::ops::Range;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::plan::Ran;
use super::record::{Group, add_group, coverage_json, group_json, range};
use super::{CanaryRecord, Chunk, Header, Shard};
use crate::coverage::{Behaviour, Coverage};
use crate::failure::FailureClass;
use crate::json::quote;

/// What a campaign has come to.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// By name, all that were to be run.
    pub(crate) scenarios: BTreeMap<String, Part>,
    pub(crate) canaries: Vec<Caught>,
    /// Whether the labels that no seed has reached are a failure. They are none while there are
    /// seeds that were not run.
    pub(crate) labels: Labels,
    pub(crate) ran: Ran,
}

/// Whether labels that were not reached are held against a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Labels {
    /// All seeds that there are to be were run.
    Judged,
    /// More are to come, or are elsewhere.
    NotYet,
}

/// What one scenario has come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(crate) events: u64,
    pub(crate) coverage: Coverage,
    pub(crate) failures: BTreeMap<FailureClass, Group>,
    /// Seeds that were wanted and are not there.
    pub(crate) missing: Vec<Range<u64>>,
}

/// Whether a canary was found, by each shard.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    pub(crate) name: String,
    pub(crate) within: u64,
    pub(crate) by: Vec<(Shard, CanaryRecord)>,
}

/// What is to be thought of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    NothingFound,
    Failures,
    Broken,
}

/// What is told with failures that only this process knows.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// The line that runs this program.
    pub(crate) program: String,
    /// Folders that were written, by scenario and seed.
    pub(crate) folders: BTreeMap<(String, u64), PathBuf>,
}

impl Verdict {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::NothingFound => 0,
            Self::Failures => 1,
            Self::Broken => 2,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NothingFound => "nothing found",
            Self::Failures => "failures found",
            Self::Broken => "the sweep is broken",
        }
    }
}

impl Report {
    pub(crate) fn new(header: &Header) -> Self {
        let scenarios = header.plan.scenarios.iter();
        let canaries = header.canaries.iter();
        Self {
            scenarios: scenarios
                .map(|name| (name.clone(), Part::default()))
                .collect(),
            canaries: canaries
                .map(|(name, within)| Caught {
                    name: name.clone(),
                    within: *within,
                    by: Vec::new(),
                })
                .collect(),
            labels: Labels::NotYet,
            ran: Ran::default(),
        }
    }

    pub(crate) fn add(&mut self, chunk: &Chunk) {
        self.ran.add(&chunk.scenario, chunk.seeds.clone());
        let part = self.scenarios.entry(chunk.scenario.clone()).or_default();
        part.events += chunk.events;
        part.coverage.add(&chunk.coverage);
        for (class, group) in &chunk.failures {
            add_group(&mut part.failures, class.clone(), group.clone());
        }
    }

    pub(crate) fn add_canary(&mut self, shard: Shard, record: &CanaryRecord) {
        let mut canaries = self.canaries.iter_mut();
        if let Some(known) = canaries.find(|known| known.name == record.name) {
            known.by.push((shard, record.clone()));
            known.by.sort_by_key(|(shard, _)| *shard);
        }
    }

    /// Notes which seeds were wanted of a scenario.
    pub(crate) fn want(&mut self, scenario: &str, wanted: &[Range<u64>]) {
        let missing = wanted
            .iter()
            .flat_map(|seeds| self.ran.left(scenario, seeds.clone()));
        let missing = missing.collect();
        if let Some(part) = self.scenarios.get_mut(scenario) {
            part.missing = missing;
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.scenarios.values().all(|part| part.missing.is_empty())
    }

    /// Seeds that have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.scenarios.values().map(Part::failed).sum()
    }

    pub(crate) fn seeds(&self) -> u64 {
        let parts = self.scenarios.values();
        parts.map(|part| part.coverage.seeds).sum()
    }

    /// The canaries that were to be found and were not.
    fn lost_canaries(&self) -> impl Iterator<Item = (&Caught, Option<Shard>)> {
        self.canaries.iter().flat_map(|caught| {
            let none = caught.by.is_empty().then_some((caught, None));
            let lost = caught
                .by
                .iter()
                .filter(|(_, record)| record.found.is_none());
            none.into_iter()
                .chain(lost.map(move |(shard, _)| (caught, Some(*shard))))
        })
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let unreached = |part: &Part| part.coverage.unreached().next().is_some();
        if self.lost_canaries().next().is_some() {
            Verdict::Broken
        } else if self.failed() > 0
            || (self.labels == Labels::Judged && self.scenarios.values().any(unreached))
        {
            Verdict::Failures
        } else {
            Verdict::NothingFound
        }
    }

    /// As text.
    pub(crate) fn text(&self, extras: &Extras, detail: Detail) -> String {
        let mut text = String::new();
        for (name, part) in &self.scenarios {
            part.write(&mut text, name, self.labels, extras, detail);
        }
        for caught in &self.canaries {
            for (shard, record) in &caught.by {
                let of = match caught.by.len() {
                    1 => String::new(),
                    _ => format!(" by shard {shard}"),
                };
                if record.found.is_some() {
                    let seeds = record.seeds;
                    line(
                        &mut text,
                        format_args!("canary `{}`: found after {seeds} seeds{of}", caught.name),
                    );
                }
            }
        }
        for (caught, shard) in self.lost_canaries() {
            let Caught { name, within, .. } = caught;
            if shard.is_none() {
                line(
                    &mut text,
                    format_args!(
                        "BROKEN: canary `{name}` was not looked for, as the sweep ended before"
                    ),
                );
                continue;
            }
            let of = shard.map_or_else(String::new, |shard| format!(" by shard {shard}"));
            line(
                &mut text,
                format_args!(
                    "BROKEN: canary `{name}` was not found within {within} seeds{of}, though it has a \
                    bug. What else was not found says nothing"
                ),
            );
        }
        let verdict = self.verdict().text();
        line(&mut text, format_args!("{} seeds: {verdict}", self.seeds()));
        text
    }

    /// As JSON.
    pub(crate) fn to_json(&self, extras: &Extras) -> String {
        let parts = self.scenarios.iter();
        let parts: Vec<String> = parts
            .map(|(name, part)| part.to_json(name, extras))
            .collect();
        let canaries = self.canaries.iter().map(|caught| {
            let by = caught.by.iter().map(|(shard, record)| {
                let found = match record.found {
                    Some(seed) => format!("\"{seed:#x}\""),
                    None => "null".to_owned(),
                };
                let seeds = record.seeds;
                format!("{{\"shard\":\"{shard}\",\"found\":{found},\"seeds\":{seeds}}}")
            });
            let by: Vec<String> = by.collect();
            let (name, within) = (quote(&caught.name), caught.within);
            format!(
                "{{\"name\":{name},\"within\":{within},\"by\":[{}]}}",
                by.join(",")
            )
        });
        let canaries: Vec<String> = canaries.collect();
        format!(
            "{{\"verdict\":\"{}\",\"seeds\":{},\"failed\":{},\"scenarios\":[{}],\"canaries\":[{}]}}\n",
            self.verdict().text(),
            self.seeds(),
            self.failed(),
            parts.join(","),
            canaries.join(","),
        )
    }
}

/// How much of the coverage is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// How much of what was reached, and what never was.
    Brief,
    /// All of it, with counts.
    Full,
}

impl Part {
    fn failed(&self) -> u64 {
        self.failures.values().map(|group| group.count).sum()
    }

    fn write(
        &self,
        text: &mut String,
        name: &str,
        labels: Labels,
        extras: &Extras,
        detail: Detail,
    ) {
        let (seeds, events) = (self.coverage.seeds, self.events);
        let failed = match self.failed() {
            0 => "none failed".to_owned(),
            failed => format!("{failed} FAILED, in {} ways", self.failures.len()),
        };
        line(
            text,
            format_args!("{name}: {seeds} seeds, {events} events, {failed}"),
        );
        let missing: u64 = self
            .missing
            .iter()
            .map(|seeds| seeds.end - seeds.start)
            .sum();
        if missing > 0 {
            let first: Vec<String> = self.missing.iter().take(SHOWN_MAX).map(range).collect();
            let more = if self.missing.len() > SHOWN_MAX {
                " and more"
            } else {
                ""
            };
            line(
                text,
                format_args!("  not run: {missing} seeds: {}{more}", first.join(", ")),
            );
        }
        self.write_failures(text, name, extras);
        self.write_coverage(text, detail);
        let unreached: Vec<&str> = self.coverage.unreached().collect();
        if !unreached.is_empty() {
            let unreached = unreached.join("`, `");
            match labels {
                Labels::Judged => line(
                    text,
                    format_args!(
                        "  FAILED: reached by none of {seeds} seeds: `{unreached}`. The scenario does \
                        not try what it is meant to, or needs more seeds"
                    ),
                ),
                Labels::NotYet => line(
                    text,
                    format_args!(
                        "  reached by none of {seeds} seeds yet: `{unreached}`. More were to come"
                    ),
                ),
            }
        }
    }

    fn write_failures(&self, text: &mut String, name: &str, extras: &Extras) {
        // Those that fail most often are the first.
        let mut groups: Vec<_> = self.failures.iter().collect();
        groups.sort_by_key(|(_, group)| core::cmp::Reverse(group.count));
        for (class, group) in groups.iter().take(GROUPS_MAX) {
            let (count, example) = (group.count, &group.example);
            line(text, format_args!("  {count} × {class}"));
            let mut message = example.message.lines();
            let first = message.next().unwrap_or_default();
            let more = if message.next().is_some() { " …" } else { "" };
            line(
                text,
                format_args!("      seed {:#x}: {first}{more}", example.seed),
            );
            let replay = extras.replay(name, example.seed);
            line(text, format_args!("      {replay}"));
            if let Some(folder) = extras.folders.get(&(name.to_owned(), example.seed)) {
                line(text, format_args!("      {}", folder.display()));
            }
        }
        if let Some(more) = groups
            .len()
            .checked_sub(GROUPS_MAX)
            .filter(|&more| more > 0)
        {
            line(text, format_args!("  and {more} more: see `--json`"));
        }
    }

    fn write_coverage(&self, text: &mut String, detail: Detail) {
        let mut reached = Vec::new();
        for behaviour in Behaviour::ALL {
            let all = self.coverage.of(behaviour);
            let some = all.iter().filter(|&&(_, seeds)| seeds > 0).count();
            if some > 0 || !self.coverage.never(behaviour).is_empty() {
                let of = if behaviour == Behaviour::Transition {
                    String::new()
                } else {
                    format!(" of {}", all.len())
                };
                reached.push(format!("{} {some}{of}", behaviour.name()));
            }
        }
        line(text, format_args!("  reached: {}", reached.join(", ")));
        for behaviour in Behaviour::ALL {
            if detail == Detail::Full {
                for (name, seeds) in self.coverage.of(behaviour) {
                    let kind = behaviour.name();
                    line(text, format_args!("    {seeds:>10} {kind}: {name}"));
                }
                continue;
            }
            let never = self.coverage.never(behaviour);
            // There are many of these, and few are for any one scenario.
            let is_rare = matches!(behaviour, Behaviour::Drop | Behaviour::Event);
            if !is_rare && behaviour != Behaviour::Label && !never.is_empty() {
                let (kind, never) = (behaviour.name(), never.join("`, `"));
                line(text, format_args!("  never reached, of {kind}: `{never}`"));
            }
        }
    }

    fn to_json(&self, name: &str, extras: &Extras) -> String {
        let failures = self.failures.iter().map(|(class, group)| {
            let mut json = group_json(class, group);
            json.pop();
            let seed = group.example.seed;
            json += &format!(",\"replay\":{}", quote(&extras.replay(name, seed)));
            if let Some(folder) = extras.folders.get(&(name.to_owned(), seed)) {
                json += &format!(",\"folder\":{}", quote(&folder.display().to_string()));
            }
            json + "}"
        });
        let failures: Vec<String> = failures.collect();
        let missing: Vec<String> = self.missing.iter().map(range).collect();
        let never = Behaviour::ALL.into_iter().filter_map(|behaviour| {
            let never = self.coverage.never(behaviour);
            let names: Vec<String> = never.into_iter().map(quote).collect();
            let some = !names.is_empty();
            some.then(|| format!("\"{}\":[{}]", behaviour.name(), names.join(",")))
        });
        let never: Vec<String> = never.collect();
        format!(
            "{{\"name\":{},\"seeds\":{},\"missing\":[{}],\"events\":{},\"failed\":{},\
            \"failures\":[{}],\"coverage\":{},\"never\":{{{}}}}}",
            quote(name),
            self.coverage.seeds,
            missing.join(","),
            self.events,
            self.failed(),
            failures.join(","),
            coverage_json(&self.coverage),
            never.join(","),
        )
    }
}

impl Extras {
    /// The line that runs one seed.
    pub(crate) fn replay(&self, scenario: &str, seed: u64) -> String {
        let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:".contains(char);
        let name = if !scenario.is_empty() && scenario.chars().all(plain) {
            scenario.to_owned()
        } else {
            format!("'{}'", scenario.replace('\'', "'\\''"))
        };
        format!("{} run {name} --seed {seed:#x}", self.program)
    }
}

fn line(text: &mut String, line: core::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a `String` takes any text");
}

/// Ranges of seeds that are shown.
const SHOWN_MAX: usize = 4;

/// Groups of failures that are shown.
const GROUPS_MAX: usize = 20;
