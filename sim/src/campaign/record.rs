//! What is written of a campaign: lines of JSON, each whole by itself.

use core::ops::Range;
use std::collections::BTreeMap;

use miniserde::json::Value;
use stillpoint::Timestamp;

use super::{Plan, Shard};
use crate::check::Tried;
use crate::coverage::{Behaviour, Coverage};
use crate::failure::FailureClass;
use crate::json::{self, FormatError, field, quote, read, wrong};
use crate::trace::TraceHash;

/// The first line of a file: what is run, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) plan: Plan,
    /// Canaries, and within how many seeds each is to be found.
    pub(crate) canaries: Vec<(String, u64)>,
    /// The version of this crate.
    pub(crate) version: String,
    /// A hash of the program.
    pub(crate) build: String,
}

/// What became of some seeds of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) scenario: String,
    pub(crate) seeds: Range<u64>,
    /// How much happened in all of them.
    pub(crate) events: u64,
    pub(crate) coverage: Coverage,
    pub(crate) failures: BTreeMap<FailureClass, Group>,
}

/// Failures of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// How many seeds have failed so.
    pub(crate) count: u64,
    /// The one with the smallest seed.
    pub(crate) example: Example,
    /// The smallest seeds, that of the example first: up to [`SEEDS_MAX`].
    pub(crate) seeds: Vec<u64>,
}

/// One failure of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) seed: u64,
    pub(crate) message: String,
    pub(crate) events: u64,
    pub(crate) at: Timestamp,
    pub(crate) trace_hash: TraceHash,
}

/// Whether a canary was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CanaryRecord {
    pub(crate) name: String,
    pub(crate) found: Option<u64>,
    /// How many seeds it took.
    pub(crate) seeds: u64,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Header(Header),
    Chunk(Box<Chunk>),
    Canary(CanaryRecord),
}

impl Chunk {
    pub(crate) fn new(scenario: &str, from: u64) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seeds: from..from,
            events: 0,
            coverage: Coverage::default(),
            failures: BTreeMap::new(),
        }
    }

    /// Notes what became of the next seed.
    pub(crate) fn note(&mut self, tried: Tried) {
        let summary = tried.summary;
        self.seeds.end = summary.seed.saturating_add(1);
        self.events += summary.events;
        self.coverage.note(&tried.footprint);
        let Some(failure) = tried.failure else {
            return;
        };
        let group = Group {
            count: 1,
            example: Example {
                seed: summary.seed,
                message: failure.to_string(),
                events: summary.events,
                at: summary.at,
                trace_hash: summary.trace_hash,
            },
            seeds: vec![summary.seed],
        };
        add_group(&mut self.failures, failure.class(), group);
    }

    /// How many seeds have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().map(|group| group.count).sum()
    }
}

/// Joins failures of one class.
pub(crate) fn add_group(
    groups: &mut BTreeMap<FailureClass, Group>,
    class: FailureClass,
    group: Group,
) {
    let Some(known) = groups.get_mut(&class) else {
        groups.insert(class, group);
        return;
    };
    known.count += group.count;
    known.seeds.extend(group.seeds);
    known.seeds.sort_unstable();
    known.seeds.truncate(SEEDS_MAX);
    if group.example.seed < known.example.seed {
        known.example = group.example;
    }
}

impl Record {
    /// As a line, with its end.
    pub(crate) fn to_line(&self) -> String {
        let mut line = match self {
            Self::Header(header) => header.to_json(),
            Self::Chunk(chunk) => chunk.to_json(),
            Self::Canary(canary) => canary.to_json(),
        };
        line.push('\n');
        line
    }

    /// Reads what [`Record::to_line`] has written.
    pub(crate) fn from_line(line: &str) -> Result<Self, FormatError> {
        let value = json::parse(line)?;
        match read(&value, "record", "a text", json::text)? {
            "sweep" => Header::from_value(&value).map(Self::Header),
            "chunk" => Chunk::from_value(&value).map(|chunk| Self::Chunk(Box::new(chunk))),
            "canary" => CanaryRecord::from_value(&value).map(Self::Canary),
            _ => Err(wrong(
                "`record`",
                "`sweep`, `chunk` or `canary`",
                field(&value, "record"),
            )),
        }
    }
}

impl Header {
    fn to_json(&self) -> String {
        let Plan {
            scenarios,
            seeds,
            chunk,
            shard,
        } = &self.plan;
        let scenarios: Vec<String> = scenarios.iter().map(|name| quote(name)).collect();
        let canaries = self.canaries.iter();
        let canaries = canaries.map(|(name, within)| format!("{}:{within}", quote(name)));
        let canaries: Vec<String> = canaries.collect();
        format!(
            "{{\"record\":\"sweep\",\"format\":{FORMAT},\"version\":{},\"build\":{},\
            \"scenarios\":[{}],\"seeds\":{},\"chunk\":{chunk},\"shard\":\"{shard}\",\
            \"canaries\":{{{}}}}}",
            quote(&self.version),
            quote(&self.build),
            scenarios.join(","),
            range(seeds),
            canaries.join(","),
        )
    }

    fn from_value(value: &Value) -> Result<Self, FormatError> {
        let format = read(value, "format", "a number", json::number)?;
        if format != FORMAT {
            return Err(wrong("`format`", "1", field(value, "format")));
        }
        let text = |name| read(value, name, "a text", json::text).map(str::to_owned);
        let names = read(value, "scenarios", "a list of names", |value| {
            let names = json::list(value)?.iter();
            names
                .map(|name| json::text(name).map(str::to_owned))
                .collect()
        })?;
        let shard = read(value, "shard", "one of several: \"2/4\"", |value| {
            Shard::parse(json::text(value)?).ok()
        })?;
        let canaries = read(value, "canaries", "numbers by name", |value| {
            let canaries = json::object(value)?.iter();
            canaries
                .map(|(name, within)| Some((name.clone(), json::number(within)?)))
                .collect()
        })?;
        let chunk = |value| json::number(value).filter(|&chunk| chunk > 0);
        Ok(Self {
            plan: Plan {
                scenarios: names,
                seeds: read_range(value)?,
                chunk: read(value, "chunk", "a number of seeds", chunk)?,
                shard,
            },
            canaries,
            version: text("version")?,
            build: text("build")?,
        })
    }
}

impl Chunk {
    fn to_json(&self) -> String {
        let groups = self.failures.iter();
        let groups: Vec<String> = groups
            .map(|(class, group)| group_json(class, group))
            .collect();
        format!(
            "{{\"record\":\"chunk\",\"scenario\":{},\"seeds\":{},\"events\":{},\
            \"coverage\":{},\"failures\":[{}]}}",
            quote(&self.scenario),
            range(&self.seeds),
            self.events,
            coverage_json(&self.coverage),
            groups.join(","),
        )
    }

    fn from_value(value: &Value) -> Result<Self, FormatError> {
        let seeds = read_range(value)?;
        let failures = read(value, "failures", "a list", json::list)?;
        let failures = failures.iter().map(read_group);
        let failures: BTreeMap<_, _> = failures.collect::<Result<_, _>>()?;
        let failed: u64 = failures
            .values()
            .fold(0, |sum: u64, group: &Group| sum.saturating_add(group.count));
        if failed > seeds.end - seeds.start {
            let found = field(value, "seeds");
            return Err(wrong("`seeds`", "at least as many as have failed", found));
        }
        Ok(Self {
            scenario: read(value, "scenario", "a text", json::text)?.to_owned(),
            coverage: read_coverage(field(value, "coverage"), seeds.end - seeds.start)?,
            seeds,
            events: read(value, "events", "a number", json::number)?,
            failures,
        })
    }
}

impl CanaryRecord {
    fn to_json(&self) -> String {
        let found = match self.found {
            Some(seed) => format!("\"{seed:#x}\""),
            None => "null".to_owned(),
        };
        let (name, seeds) = (quote(&self.name), self.seeds);
        format!("{{\"record\":\"canary\",\"name\":{name},\"found\":{found},\"seeds\":{seeds}}}")
    }

    fn from_value(value: &Value) -> Result<Self, FormatError> {
        let found = read(value, "found", "a seed as \"0x2a\", or null", |value| {
            let seed = json::hex(value).map(Some);
            seed.or_else(|| matches!(value, Value::Null).then_some(None))
        })?;
        Ok(Self {
            name: read(value, "name", "a text", json::text)?.to_owned(),
            found,
            seeds: read(value, "seeds", "a number", json::number)?,
        })
    }
}

/// A group of failures, as JSON.
pub(crate) fn group_json(class: &FailureClass, group: &Group) -> String {
    let Example {
        seed,
        message,
        events,
        at,
        trace_hash,
    } = &group.example;
    let seeds: Vec<String> = group
        .seeds
        .iter()
        .map(|seed| format!("\"{seed:#x}\""))
        .collect();
    format!(
        "{{\"kind\":{},\"what\":{},\"count\":{},\"seed\":\"{seed:#x}\",\"message\":{},\
        \"events\":{events},\"at\":{},\"trace\":\"{trace_hash}\",\"seeds\":[{}]}}",
        quote(&class.kind),
        quote(&class.what),
        group.count,
        quote(message),
        at.as_nanos(),
        seeds.join(","),
    )
}

fn read_group(value: &Value) -> Result<(FailureClass, Group), FormatError> {
    let text = |name| read(value, name, "a text", json::text).map(str::to_owned);
    let class = FailureClass {
        kind: text("kind")?,
        what: text("what")?,
    };
    let hash = |value| u128::from_str_radix(json::text(value)?, 16).ok();
    let example = Example {
        seed: read(value, "seed", "a number as \"0x2a\"", json::hex)?,
        message: text("message")?,
        events: read(value, "events", "a number", json::number)?,
        at: read(value, "at", "nanoseconds", json::number).map(Timestamp::from_nanos)?,
        trace_hash: TraceHash(read(value, "trace", "a hexadecimal hash", hash)?),
    };
    let seeds = read(value, "seeds", "a list of seeds", |value| {
        json::list(value)?.iter().map(json::hex).collect()
    })?;
    let count = read(value, "count", "a number", json::number)?;
    let group = Group {
        count,
        example,
        seeds,
    };
    Ok((class, group))
}

/// What was reached, as JSON. What was not is left out where all there is is known.
pub(crate) fn coverage_json(coverage: &Coverage) -> String {
    let mut text = "{".to_owned();
    for behaviour in Behaviour::ALL {
        let known = matches!(behaviour, Behaviour::Event | Behaviour::Drop);
        let counts = coverage.of(behaviour).into_iter();
        let counts = counts.filter(|&(_, seeds)| !known || seeds > 0);
        let counts = counts.map(|(name, seeds)| format!("{}:{seeds}", quote(name)));
        let counts: Vec<String> = counts.collect();
        if !counts.is_empty() {
            let comma = if text.len() > 1 { "," } else { "" };
            text += &format!("{comma}\"{}\":{{{}}}", behaviour.name(), counts.join(","));
        }
    }
    text + "}"
}

fn read_coverage(value: &Value, seeds: u64) -> Result<Coverage, FormatError> {
    let mut coverage = Coverage::default();
    coverage.seeds = seeds;
    let all = json::object(value).ok_or_else(|| wrong("`coverage`", "an object", value))?;
    for (kind, counts) in all {
        let mut known = Behaviour::ALL.into_iter();
        let behaviour = known.find(|behaviour| behaviour.name() == kind.as_str());
        let fits = |count: &Value| json::number(count).filter(|&count| count <= seeds);
        for (name, count) in json::object(counts).into_iter().flatten() {
            let place = || format!("`{name}` of `{kind}` in `coverage`");
            let seeds = fits(count).ok_or_else(|| wrong(place(), "a number of seeds", count))?;
            if !behaviour.is_some_and(|behaviour| coverage.count(behaviour, name, seeds)) {
                return Err(wrong(place(), "something that this version knows", count));
            }
        }
    }
    Ok(coverage)
}

/// Seeds as a text in JSON: numbers of 64 bits are more than many readers can hold.
pub(crate) fn range(seeds: &Range<u64>) -> String {
    format!("\"{:#x}..{:#x}\"", seeds.start, seeds.end)
}

fn read_range(value: &Value) -> Result<Range<u64>, FormatError> {
    read(value, "seeds", "a range as \"0x0..0x2a\"", |value| {
        let (from, to) = json::text(value)?.split_once("..")?;
        let seed = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let (from, to) = (seed(from)?, seed(to)?);
        (from < to).then_some(from..to)
    })
}

/// The format that is written and read.
const FORMAT: u64 = 1;

/// Seeds that are kept of a group of failures.
const SEEDS_MAX: usize = 16;
