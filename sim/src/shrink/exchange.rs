//! Lets what happens to one node happen to another one that was there before it.
//!
//! Where the twelfth of twenty clients has bad luck, none of the others can be left out as long as it
//! has to be the twelfth. What is drawn for a node, its links, its workers and tasks follows from
//! names, so exchanging two names in those of all who draw exchanges the nodes.

use std::collections::BTreeMap;

use stillpoint::Entity;

use super::passes::{SCENARIO, lowered};
use super::search::{Key, Search, key};
use crate::choice::Choice;

/// Tries to have the luck of later nodes happen to earlier ones.
pub(super) fn nodes(search: &mut Search<'_>) {
    search.look_at_names();
    let names = search.names().clone();
    let entities: BTreeMap<&str, Entity> = names
        .iter()
        .map(|(entity, name)| (name.as_str(), *entity))
        .collect();
    let nodes: Vec<String> = search.best().nodes.iter().map(quoted).collect();
    for (late, later) in nodes.iter().enumerate().rev() {
        for earlier in nodes[..late].iter().take(TRIED_MAX) {
            let to = |choice: &Choice| {
                let name = names.get(&choice.entity)?;
                let other = exchanged(name, later, earlier);
                entities.get(other.as_str()).copied()
            };
            let is_later = |choice: &Choice| {
                let name = names.get(&choice.entity);
                name.is_some_and(|name| name.contains(later))
            };
            if search.is_over() || !search.loud().any(is_later) {
                break;
            }
            let change = |choice: &Choice| {
                let mut choice = choice.clone();
                choice.entity = to(&choice).unwrap_or(choice.entity);
                choice
            };
            if search.attempt_choices(|choice| Some(change(choice))) || with_fewer(search, change) {
                break;
            }
        }
    }
}

/// The same, and one number of the scenario's is lowered: the earlier node may be there with fewer
/// nodes, and with the same luck at another place of the scenario.
fn with_fewer(search: &mut Search<'_>, change: impl Fn(&Choice) -> Choice) -> bool {
    let numbers = search
        .loud()
        .filter(|it| (&*it.site, it.count) == (SCENARIO, 0));
    let numbers: Vec<(Key, u64)> = numbers.map(|it| (key(it), it.chosen)).collect();
    if search.loud().count() > LOUD_MAX {
        return false; // There is too much to try. Later there is less.
    }
    for (wanted, chosen) in numbers {
        for to in [0, 1, 2, chosen / 2, chosen.saturating_sub(1)] {
            if to >= chosen {
                continue;
            }
            if search.attempt_choices(|choice| {
                lowered(choice, &wanted, (chosen, to)).map(|choice| change(&choice))
            }) {
                return true;
            }
        }
    }
    false
}

fn quoted(node: &crate::drive::NodeInShort) -> String {
    format!("`{}`", node.name)
}

/// A name in which two others change their places.
fn exchanged(name: &str, one: &str, other: &str) -> String {
    let parts: Vec<String> = name
        .split(one)
        .map(|part| part.replace(other, one))
        .collect();
    parts.join(other)
}

/// Choices with which more than one thing is changed at a time.
const LOUD_MAX: usize = 16;

/// To how many of the earlier nodes it may happen instead.
const TRIED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_change_their_places() {
        let swap = |name| exchanged(name, "`a 1`", "`a`");
        assert_eq!(
            swap("the link from `a` to `a 1`"),
            "the link from `a 1` to `a`"
        );
        assert_eq!(swap("worker 0 of `a 1`"), "worker 0 of `a`");
        assert_eq!(swap("node `b`"), "node `b`");
    }
}
