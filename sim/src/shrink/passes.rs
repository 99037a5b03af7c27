//! Ways to make choices simpler: each tries many candidates, and none knows what a choice means.

use std::collections::BTreeSet;
use std::sync::Arc;

use stillpoint::Entity;

use super::search::{Key, Search, key};
use crate::choice::Choice;

/// Leaves out as many of `keys` as it can: all of them, halves, quarters, down to single ones.
///
/// This is the greedy half of delta debugging: A. Zeller, R. Hildebrandt: Simplifying and isolating
/// failure-inducing input (IEEE TSE 28, 2002). That none can be left out after that is not sure, but
/// whoever asks goes round until nothing changes.
pub(super) fn minimise<K>(
    search: &mut Search<'_>,
    mut keys: Vec<K>,
    mut attempt: impl FnMut(&mut Search<'_>, &[K]) -> bool,
) {
    let mut chunk = keys.len();
    while chunk > 0 {
        let mut at = 0;
        while at < keys.len() && !search.is_over() {
            let end = keys.len().min(at + chunk);
            if attempt(search, &keys[at..end]) {
                keys.drain(at..end);
            } else {
                at = end;
            }
        }
        chunk /= 2;
    }
}

/// Makes all choices quiet that are alike, for as many kinds of them as it can. Those of one site,
/// or one entity, are such a kind: what draws for a fault, a link, a message is an entity.
pub(super) fn quiet_by<K: Ord + Clone>(search: &mut Search<'_>, alike: impl Fn(&Choice) -> K) {
    let (mut known, mut keys) = (BTreeSet::new(), Vec::new());
    for choice in search.loud() {
        let key = alike(choice);
        if known.insert(key.clone()) {
            keys.push(key);
        }
    }
    minimise(search, keys, |search, chunk| {
        let chunk: BTreeSet<K> = chunk.iter().cloned().collect();
        search.attempt_choices(|choice| {
            Some(if chunk.contains(&alike(choice)) {
                quiet(choice)
            } else {
                choice.clone()
            })
        })
    });
}

fn quiet(choice: &Choice) -> Choice {
    let mut quiet = choice.clone();
    quiet.chosen = 0;
    quiet
}

/// Lowers numbers by binary search: counts, latencies. Where that a lower one fails does not mean
/// that a higher one does, what comes out is one that cannot be lowered by one.
pub(super) fn lower(search: &mut Search<'_>, of: impl Fn(&Choice) -> bool) {
    let numbers = search.loud().filter(|choice| choice.options > 2);
    let keys: Vec<Key> = numbers.filter(|choice| of(choice)).map(key).collect();
    for wanted in keys {
        let mut low = 0;
        while let Some(high) = chosen(search, &wanted)
            && low + 1 < high
            && !search.is_over()
        {
            // Most numbers that matter are small, so the first guess is.
            let mid = if low == 0 {
                high.isqrt().clamp(1, high - 1)
            } else {
                low + (high - low) / 2
            };
            if !lower_to(search, &wanted, mid) && !lower_and_move(search, &wanted, (high, mid)) {
                low = mid;
            }
        }
    }
}

fn lower_to(search: &mut Search<'_>, wanted: &Key, to: u64) -> bool {
    search.attempt_choices(|choice| Some(with(choice, wanted, to)))
}

/// The same for a choice of the scenario's own, in case that it says how often something is done for
/// which the scenario draws: what it has drawn for the last of these is drawn earlier then.
fn lower_and_move(search: &mut Search<'_>, wanted: &Key, (from, to): (u64, u64)) -> bool {
    (&*wanted.0, wanted.2) == (SCENARIO, 0)
        && search.attempt_choices(|choice| lowered(choice, wanted, (from, to)))
}

pub(super) fn lowered(choice: &Choice, wanted: &Key, (from, to): (u64, u64)) -> Option<Choice> {
    let mut choice = with(choice, wanted, to);
    if *choice.site == *SCENARIO && key(&choice) != *wanted && choice.count > 0 {
        choice.count = choice.count.checked_sub(from - to)?;
    }
    Some(choice)
}

pub(super) fn with(choice: &Choice, wanted: &Key, chosen: u64) -> Choice {
    let mut choice = choice.clone();
    if key(&choice) == *wanted {
        choice.chosen = chosen;
    }
    choice
}

fn chosen(search: &Search<'_>, wanted: &Key) -> Option<u64> {
    let mut loud = search.loud();
    let choice = loud.find(|choice| key(choice) == *wanted)?;
    Some(choice.chosen)
}

/// Deletes draws: those that `alike` puts together move up, so that what a later one decided happens
/// earlier.
pub(super) fn delete<K: Ord + Clone>(search: &mut Search<'_>, alike: impl Fn(&Choice) -> K) {
    let keys: BTreeSet<K> = search.loud().map(&alike).collect();
    for wanted in keys {
        let mut number = 0;
        while let Some((before, count)) = gap(search, number, |it| alike(it) == wanted) {
            if search.is_over() {
                return;
            }
            let mut by = count - before;
            if by > GAP_MAX {
                break;
            }
            while by > 0 && !search.attempt_choices(|it| moved(it, alike(it) == wanted, count, by))
            {
                by /= 2;
            }
            // The draw itself.
            let deleted = by == 0
                && search.attempt_choices(|it| {
                    let is_it = alike(it) == wanted;
                    if is_it && it.count == count {
                        None
                    } else {
                        moved(it, is_it, count, 1)
                    }
                });
            if by == 0 && !deleted {
                number += 1;
            }
        }
    }
}

/// The `number`-th count at which a choice is loud, behind how many that have to stay before it.
fn gap(search: &Search<'_>, number: usize, of: impl Fn(&Choice) -> bool) -> Option<(u64, u64)> {
    let counts = search.loud().filter(|choice| of(choice));
    let counts: BTreeSet<u64> = counts.map(|choice| choice.count).collect();
    let mut counts = counts.into_iter().skip(number.saturating_sub(1));
    if number == 0 {
        return Some((0, counts.next()?));
    }
    let before = counts.next()?;
    Some((before + 1, counts.next()?))
}

#[expect(clippy::unnecessary_wraps, reason = "what a change of choices gives")]
fn moved(choice: &Choice, is_it: bool, from: u64, by: u64) -> Option<Choice> {
    let mut choice = choice.clone();
    if is_it && choice.count >= from {
        choice.count -= by;
    }
    Some(choice)
}

/// Swaps neighbours of one entity and site, so that the smaller one comes first.
pub(super) fn reorder(search: &mut Search<'_>) {
    let mut loud: Vec<Choice> = search.loud().cloned().collect();
    loud.sort_by_key(key);
    for pair in loud.windows(2) {
        let (one, other) = (&pair[0], &pair[1]);
        let neighbours = (&one.site, one.entity) == (&other.site, other.entity);
        let fits = one.chosen < other.options && other.chosen < one.options;
        if !neighbours || !fits || one.chosen <= other.chosen {
            continue;
        }
        search.attempt_choices(|choice| {
            let mut choice = choice.clone();
            if choice.is_same_draw(one) {
                choice.chosen = other.chosen;
            } else if choice.is_same_draw(other) {
                choice.chosen = one.chosen;
            }
            Some(choice)
        });
    }
}

pub(super) fn site(choice: &Choice) -> Arc<str> {
    Arc::clone(&choice.site)
}

pub(super) fn site_and_entity(choice: &Choice) -> (Arc<str>, Entity) {
    (Arc::clone(&choice.site), choice.entity)
}

/// The site of [`World::draw`](crate::World::draw).
pub(super) const SCENARIO: &str = "scenario";

/// Counts that are further apart than this are none: some entities are drawn for by the nanosecond.
const GAP_MAX: u64 = 1 << 20;
