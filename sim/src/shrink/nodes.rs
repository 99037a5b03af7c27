//! Deletes nodes: those behind them move up, with all that was drawn for them.
//!
//! Where a scenario makes as many nodes of a kind as it has drawn, and draws for one after the other,
//! the twentieth of twenty-one clients can be the first of two: its name, and so all who draw in its
//! name, is that of an earlier one, and what the scenario drew for it comes earlier.

use std::collections::{BTreeMap, BTreeSet};

use stillpoint::Entity;

use super::passes::{SCENARIO, with};
use super::search::{Key, Search, key};
use crate::choice::Choice;

/// Deletes as many nodes as it can, of each number that the scenario has drawn of some.
pub(super) fn delete_nodes(search: &mut Search<'_>) {
    search.look_at_names();
    for number in numbers(search) {
        let nodes = search.best().nodes.len();
        let mut chunk = nodes / 2;
        while chunk > 0 {
            let mut from = 0;
            while from + chunk <= search.best().nodes.len() && !search.is_over() {
                if !delete_some(search, &number, from, chunk) {
                    from += chunk;
                }
            }
            chunk /= 2;
        }
    }
}

/// The numbers that the scenario has drawn of which one less is a node less.
fn numbers(search: &mut Search<'_>) -> Vec<Key> {
    let nodes = search.best().nodes.len();
    let own = search
        .loud()
        .filter(|choice| &*choice.site == SCENARIO && choice.count == 0);
    let own: Vec<(Key, u64)> = own.map(|choice| (key(choice), choice.chosen)).collect();
    let fewer = own.into_iter().filter(|(number, chosen)| {
        let choices = search.log().choices().iter();
        let choices: Vec<Choice> = choices.map(|it| with(it, number, chosen - 1)).collect();
        let run = search.probe(&search.log().clone().with_choices(choices));
        run.is_some_and(|run| run.nodes.len() < nodes)
    });
    fewer.map(|(number, _)| number).collect()
}

/// Deletes `chunk` nodes, of which `from` is the first.
fn delete_some(search: &mut Search<'_>, number: &Key, from: usize, chunk: usize) -> bool {
    let Some(chosen) = search
        .loud()
        .find(|it| key(it) == *number)
        .map(|it| it.chosen)
    else {
        return false;
    };
    let deleted = chunk as u64;
    let Some(left) = chosen.checked_sub(deleted) else {
        return false;
    };
    let entities = Renamed::of(search, from, chunk);
    // The scenario may have made some nodes before it drew for one after the other.
    for before in 0..=from.min(BEFORE_MAX) {
        let first = (from - before) as u64;
        let moved = search.attempt_choices(|choice| {
            let mut choice = with(choice, number, left);
            if &*choice.site != SCENARIO {
                choice.entity = entities.now(choice.entity)?;
            } else if key(&choice) != *number && choice.count >= first && is_row(&choice) {
                choice.count = choice
                    .count
                    .checked_sub(deleted)
                    .filter(|&it| it >= first)?;
            }
            Some(choice)
        });
        if moved {
            return true;
        }
    }
    false
}

/// Whether a choice of the scenario's is one of a row, as far as that can be seen: what is drawn
/// once has the count 0.
const fn is_row(choice: &Choice) -> bool {
    choice.count > 0
}

/// Who is whom when nodes are gone.
struct Renamed {
    /// Those whose names change, and those that are gone.
    entities: BTreeMap<Entity, Option<Entity>>,
}

impl Renamed {
    fn of(search: &Search<'_>, from: usize, chunk: usize) -> Self {
        let nodes: Vec<&str> = search
            .best()
            .nodes
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        let later = nodes.iter().skip(from + chunk).zip(nodes.iter().skip(from));
        let later: BTreeMap<&str, &str> = later.map(|(&old, &new)| (old, new)).collect();
        let gone: BTreeSet<&str> = nodes.iter().skip(from).take(chunk).copied().collect();
        let names = search.names();
        let known: BTreeMap<&str, Entity> = names
            .iter()
            .map(|(entity, name)| (name.as_str(), *entity))
            .collect();
        let mut entities = BTreeMap::new();
        for (&entity, name) in names {
            if name_parts(name).any(|part| gone.contains(part)) {
                entities.insert(entity, None);
            } else if name_parts(name).any(|part| later.contains_key(part)) {
                let new = renamed(name, &later);
                let new = known.get(new.as_str()).copied();
                entities.insert(entity, new);
            }
        }
        Self { entities }
    }

    fn now(&self, entity: Entity) -> Option<Entity> {
        self.entities.get(&entity).copied().unwrap_or(Some(entity))
    }
}

/// The names in what an entity is called: they stand in backticks.
fn name_parts(name: &str) -> impl Iterator<Item = &str> {
    name.split('`').skip(1).step_by(2)
}

fn renamed(name: &str, later: &BTreeMap<&str, &str>) -> String {
    let parts = name.split('`').enumerate();
    let parts: Vec<&str> = parts
        .map(|(index, part)| {
            let new = later.get(part).filter(|_| index % 2 == 1);
            new.copied().unwrap_or(part)
        })
        .collect();
    parts.join("`")
}

/// Nodes that are made before.
const BEFORE_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_move_up_together() {
        let later = BTreeMap::from([("b", "a"), ("c", "b")]);
        let names = |name| renamed(name, &later);
        assert_eq!(
            names("the link from `c` to `b`"),
            "the link from `b` to `a`"
        );
        assert_eq!(names("worker 0 of `d`"), "worker 0 of `d`");
        assert_eq!(names("b"), "b");
    }
}
