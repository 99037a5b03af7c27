//! Which seeds of which scenarios, in which order.

use core::ops::Range;
use std::collections::BTreeMap;

use super::Shard;
use crate::replay::parse_seed;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) scenarios: Vec<String>,
    pub(crate) seeds: Range<u64>,
    /// Seeds of a chunk.
    pub(crate) chunk: u64,
    pub(crate) shard: Shard,
}

/// Some seeds of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Number of the scenario.
    pub(crate) scenario: usize,
    pub(crate) seeds: Range<u64>,
}

/// Seeds that were run, by scenario: ranges that do not touch, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ran(BTreeMap<String, Vec<Range<u64>>>);

impl Plan {
    /// All pieces of this shard that were not run yet. The scenarios take turns, so that all get
    /// their share of a budget.
    pub(crate) fn pieces<'a>(&'a self, ran: &'a Ran) -> impl Iterator<Item = Piece> + 'a {
        let chunks = (self.seeds.end - self.seeds.start).div_ceil(self.chunk);
        let count = self.scenarios.len() as u64;
        let pieces = (0..chunks).flat_map(move |chunk| {
            // Another shard begins each round, so that none has all of the slow scenario.
            let mine = (0..count).filter(move |number| self.shard.has(chunk + number));
            mine.map(move |number| (chunk, number))
        });
        pieces.flat_map(move |(chunk, number)| {
            let from = self.seeds.start + chunk * self.chunk;
            let to = from.saturating_add(self.chunk).min(self.seeds.end);
            let scenario = usize::try_from(number).unwrap_or(usize::MAX);
            let left = ran.left(&self.scenarios[scenario], from..to);
            left.into_iter().map(move |seeds| Piece { scenario, seeds })
        })
    }

    /// How many seeds this shard has in all, of one scenario.
    pub(crate) fn wanted(&self, scenario: usize) -> Ran {
        let mut wanted = Ran::default();
        let nothing = Ran::default();
        for piece in self.pieces(&nothing) {
            if piece.scenario == scenario {
                wanted.add(&self.scenarios[scenario], piece.seeds);
            }
        }
        wanted
    }

    /// Whether there is no end to the seeds but that of all numbers.
    pub(crate) const fn is_open(&self) -> bool {
        self.seeds.end == u64::MAX
    }
}

/// Seeds of a chunk, if nobody says how many: a thousand chunks, so that a file is not long and
/// little is lost when it ends early.
pub(crate) fn chunk_of(seeds: &Range<u64>) -> u64 {
    if seeds.end == u64::MAX {
        return 256;
    }
    ((seeds.end - seeds.start) / 1_000).clamp(1, 4_096)
}

impl Ran {
    /// Notes that these were run. `false` if some of them were before.
    pub(crate) fn add(&mut self, scenario: &str, seeds: Range<u64>) -> bool {
        if !self.0.contains_key(scenario) {
            self.0.insert(scenario.to_owned(), Vec::new());
        }
        let Some(ranges) = self.0.get_mut(scenario) else {
            return true;
        };
        let at = ranges.partition_point(|range| range.end < seeds.start);
        let mut joined = seeds.clone();
        let mut behind = at;
        let mut is_new = true;
        while let Some(range) = ranges.get(behind).filter(|range| range.start <= seeds.end) {
            is_new &= range.end <= seeds.start || range.start >= seeds.end;
            joined = joined.start.min(range.start)..joined.end.max(range.end);
            behind += 1;
        }
        ranges.splice(at..behind, [joined]);
        is_new
    }

    /// What of these was not run.
    pub(crate) fn left(&self, scenario: &str, seeds: Range<u64>) -> Vec<Range<u64>> {
        let mut left = Vec::new();
        let mut from = seeds.start;
        let ranges = self.0.get(scenario).map(Vec::as_slice).unwrap_or_default();
        let first = ranges.partition_point(|range| range.end <= seeds.start);
        for range in ranges[first..]
            .iter()
            .take_while(|range| range.start < seeds.end)
        {
            if range.start > from {
                left.push(from..range.start);
            }
            from = from.max(range.end);
        }
        if from < seeds.end {
            left.push(from..seeds.end);
        }
        left
    }

    /// The ranges of one scenario.
    pub(crate) fn of(&self, scenario: &str) -> &[Range<u64>] {
        self.0.get(scenario).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Seeds as people write them: `0..10000`, `0x10..0x20`, `0..=9`, `5..` without an end, or a number of
/// seeds from 0 on.
pub(crate) fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let text = text.trim();
    let wrong = |error: String| format!("seeds `{text}`: {error}");
    let seed = |text: &str| parse_seed(text).map_err(wrong);
    let Some((from, to)) = text.split_once("..") else {
        return match seed(text)? {
            0 => Err(wrong("none to run".to_owned())),
            count => Ok(0..count),
        };
    };
    let from = if from.is_empty() { 0 } else { seed(from)? };
    let to = match to.strip_prefix('=') {
        Some(last) => seed(last)?
            .checked_add(1)
            .ok_or_else(|| wrong("the last seed there is cannot be run".to_owned()))?,
        None if to.is_empty() => u64::MAX,
        None => seed(to)?,
    };
    if from >= to {
        let told = "none to run, as the first is not before the end: write `0..10000`";
        return Err(wrong(told.to_owned()));
    }
    Ok(from..to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_written_as_ranges() {
        for (text, wanted) in [
            ("0..10", 0..10),
            ("0x10..0x20", 16..32),
            ("3..=3", 3..4),
            ("7..", 7..u64::MAX),
            ("..5", 0..5),
            ("100", 0..100),
        ] {
            assert_eq!(parse_seeds(text), Ok(wanted), "{text}");
        }
        for (text, told) in [
            ("5..5", "none to run"),
            ("9..2", "none to run"),
            ("0", "none to run"),
            ("a..b", "a is no seed"),
            ("1..2..3", "2..3 is no seed"),
            ("-1..3", "-1 is no seed"),
            ("0..99999999999999999999", "is no seed"),
            ("1..=0xffffffffffffffff", "the last seed there is"),
            ("", "is no seed"),
        ] {
            let error = parse_seeds(text).unwrap_err();
            assert!(
                error.contains(told) && error.contains(&format!("`{text}`")),
                "{error}"
            );
        }
    }

    fn plan(shard: Shard) -> Plan {
        Plan {
            scenarios: ["a", "b", "c"].map(str::to_owned).to_vec(),
            seeds: 5..103,
            chunk: 10,
            shard,
        }
    }

    #[test]
    fn the_shards_have_all_seeds_between_them_and_none_twice() {
        for count in 1..=7 {
            let mut ran = Ran::default();
            for index in 0..count {
                let plan = plan(Shard { index, count });
                for piece in plan.pieces(&Ran::default()) {
                    assert!(ran.add(&plan.scenarios[piece.scenario], piece.seeds));
                }
            }
            for name in ["a", "b", "c"] {
                assert_eq!(
                    ran.of(name),
                    core::slice::from_ref(&plan(Shard::WHOLE).seeds)
                );
            }
        }
    }

    #[test]
    fn what_was_run_is_left_out_and_nothing_else() {
        let plan = plan(Shard::WHOLE);
        let mut ran = Ran::default();
        for seeds in [7..9, 20..40, 98..103, 9..10] {
            assert!(ran.add("b", seeds));
        }
        assert!(!ran.clone().add("b", 39..41));
        let mut left = Ran::default();
        for piece in plan.pieces(&ran) {
            assert!(left.add(&plan.scenarios[piece.scenario], piece.seeds));
        }
        assert_eq!(left.of("a"), core::slice::from_ref(&plan.seeds));
        assert_eq!(left.of("b"), [5..7, 10..20, 40..98]);
    }
}
