//! Leaves faults out, each with the one that ends it.

use std::collections::BTreeSet;

use super::passes::{SCENARIO, minimise};
use super::search::Search;
use crate::choice::Choice;
use crate::fault::{Fault, NumberedFault};

/// Leaves out as many faults as it can.
pub(super) fn omit(search: &mut Search<'_>) {
    let groups = groups(&search.best().faults);
    minimise(search, groups, |search, chunk| {
        search.attempt_without(chunk.iter().flatten().copied())
    });
}

/// Has the faults that are left be the first ones, with the choices that were made for them: where a
/// scenario draws fault by fault, those before are gone but for the time that they took.
pub(super) fn begin_earlier(search: &mut Search<'_>) {
    let kept: BTreeSet<u64> = search.best().faults.iter().map(|it| it.number).collect();
    let (Some(&first), Some(&last)) = (kept.first(), kept.last()) else {
        return;
    };
    let own = search.loud().filter(|choice| &*choice.site == SCENARIO);
    let Some(by) = own.map(|choice| choice.count).min().filter(|_| first > 0) else {
        return;
    };
    let omitted: Vec<u64> = (0..=last)
        .filter(|number| !kept.contains(&(number + first)))
        .collect();
    let choices: Vec<Choice> = search.log().choices().to_vec();
    // What one fault was drawn with has one count, unless there was more to draw.
    for by in (0..=by).rev().take(TRIED_MAX) {
        let moved = choices.iter().filter_map(|choice| {
            let mut choice = choice.clone();
            if &*choice.site == SCENARIO {
                choice.count = choice.count.checked_sub(by)?;
            }
            Some(choice)
        });
        let moved: Vec<Choice> = moved.collect();
        let candidate = search.log().clone().with_choices(moved);
        if search.attempt_log(candidate.omitting(omitted.iter().copied())) {
            return;
        }
    }
}

/// Faults by their numbers: each with its end, if it has one, since what is never ended would be
/// another fault.
fn groups(faults: &[NumberedFault]) -> Vec<Vec<u64>> {
    let mut groups: Vec<Vec<u64>> = Vec::new();
    let mut ended = vec![false; faults.len()];
    for (index, fault) in faults.iter().enumerate() {
        if ended[index] {
            continue;
        }
        let behind = faults.iter().enumerate().skip(index + 1);
        let mut ends =
            behind.filter(|(other, end)| !ended[*other] && ends(&end.fault, &fault.fault));
        let mut group = vec![fault.number];
        if let Some((other, end)) = ends.next() {
            group.push(end.number);
            ended[other] = true;
        }
        groups.push(group);
    }
    groups
}

/// Whether one fault ends another.
fn ends(end: &Fault, fault: &Fault) -> bool {
    match (fault, end) {
        // The next of its kind takes a node on from there.
        (Fault::Roam { node, .. }, Fault::Roam { node: again, .. }) => node == again,
        (Fault::Readdress { gateway, .. }, Fault::Readdress { gateway: again, .. }) => {
            gateway == again
        }
        _ => undone(fault).is_some_and(|undone| undone == *end),
    }
}

/// What ends a fault. `None` if it ends by itself, or never; or it is the end of another.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not for this part is for another"
)]
fn undone(fault: &Fault) -> Option<Fault> {
    Some(match fault {
        Fault::Crash(node) => Fault::Restart(*node),
        Fault::Pause(node) => Fault::Resume(*node),
        &Fault::Cut { from, to } => Fault::Mend { from, to },
        Fault::Partition { one, other } => Fault::Rejoin {
            one: one.clone(),
            other: other.clone(),
        },
        &Fault::SetLink { from, to, ref link } => {
            link.as_ref()?;
            let link = None;
            Fault::SetLink { from, to, link }
        }
        Fault::LateTimers { who, lateness } => {
            lateness.as_ref()?;
            let (who, lateness) = (who.clone(), None);
            Fault::LateTimers { who, lateness }
        }
        Fault::SlowInputs { who, cost } => {
            cost.as_ref()?;
            let (who, cost) = (who.clone(), None);
            Fault::SlowInputs { who, cost }
        }
        other => return undone_refusal(other),
    })
}

/// The same for what the system of a node refuses.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others end by themselves, or never"
)]
fn undone_refusal(fault: &Fault) -> Option<Fault> {
    Some(match *fault {
        Fault::SendErrors {
            node,
            error,
            chance,
        } if chance > 0.0 => Fault::SendErrors {
            node,
            error,
            chance: 0.0,
        },
        Fault::BindErrors {
            node,
            error,
            chance,
        } if chance > 0.0 => Fault::BindErrors {
            node,
            error,
            chance: 0.0,
        },
        Fault::DescriptorsMax { node, max } => {
            let _some = max?;
            Fault::DescriptorsMax { node, max: None }
        }
        Fault::BusQueue { node, queue_max } => {
            let _some = queue_max?;
            let queue_max = None;
            Fault::BusQueue { node, queue_max }
        }
        Fault::SlowReaders { node, ref delay } => {
            delay.as_ref()?;
            Fault::SlowReaders { node, delay: None }
        }
        Fault::Buggify { labels, calls } if labels > 0.0 || calls > 0.0 => Fault::Buggify {
            labels: 0.0,
            calls: 0.0,
        },
        _ => return None,
    })
}

/// Places to which the choices may be moved.
const TRIED_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use stillpoint::Timestamp;

    use super::*;
    use crate::fault::Comes;
    use crate::node::NodeId;

    fn numbered(faults: impl IntoIterator<Item = Fault>) -> Vec<NumberedFault> {
        let faults = (0..).zip(faults);
        let faults = faults.map(|(number, fault)| NumberedFault {
            number,
            at: Timestamp::from_nanos(number),
            fault,
            comes: Comes::Scheduled,
        });
        faults.collect()
    }

    #[test]
    fn a_fault_goes_with_the_one_that_ends_it() {
        let (a, b) = (NodeId::new(0), NodeId::new(1));
        let faults = numbered([
            Fault::Crash(a),
            Fault::Crash(b),
            Fault::PowerCycle,
            Fault::Restart(b),
            Fault::Restart(a),
            Fault::Restart(a),
        ]);
        let wanted: [&[u64]; 4] = [&[0, 4], &[1, 3], &[2], &[5]];
        assert_eq!(groups(&faults), wanted);
    }

    #[test]
    fn two_that_overlap_have_an_end_each() {
        let (from, to) = (NodeId::new(0), NodeId::new(1));
        let (cut, mend) = (Fault::Cut { from, to }, Fault::Mend { from, to });
        let back = Fault::Mend { from: to, to: from };
        let faults = numbered([cut.clone(), cut, back, mend.clone(), mend]);
        let wanted: [&[u64]; 3] = [&[0, 3], &[1, 4], &[2]];
        assert_eq!(groups(&faults), wanted);
    }
}
