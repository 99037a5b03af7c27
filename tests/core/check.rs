//! The drain law, demanded of a book: it knows nothing of what tasks want, only of turns.

use super::probe::{Entry, Heard, Pushed, Said};

/// Law 1: one turn after the other. A turn is an input, then outputs until there are none, then
/// the question for a deadline; or it ends early, with the task. What a task says reaches the
/// driver before the task is asked again. Outside turns tasks are only dropped.
///
/// # Panics
///
/// At the first entry that breaks it.
pub(crate) fn check_drain(entries: &[Entry]) {
    let mut turn = Turn::None;
    for (index, entry) in entries.iter().enumerate() {
        let next = turn.next(entry);
        turn = next.unwrap_or_else(|| {
            let from = index.saturating_sub(5);
            panic!(
                "after {turn:?}, {entry:?} breaks the drain law: {:?}",
                &entries[from..=index]
            )
        });
    }
    assert_eq!(turn, Turn::None, "the worker returned within a turn");
}

/// How far the turn of a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    None,
    /// The task is to be asked for output.
    Drain(usize),
    /// It said this; the driver may have it.
    Report(usize, u64),
    /// It has no more output, and is to be asked for its deadline.
    Drained(usize),
}

impl Turn {
    fn next(self, entry: &Entry) -> Option<Self> {
        match (self, entry) {
            (Self::None, &Entry::Given { task, .. }) => Some(Self::Drain(task)),
            (Self::Drain(open), &Entry::Polled { task, ref output }) if open == task => {
                Some(match output {
                    None => Self::Drained(task),
                    Some(Said::Report(report)) => Self::Report(task, *report),
                    Some(_) => Self::Drain(task),
                })
            }
            (Self::Drained(open), &Entry::Asked { task, .. }) if open == task => Some(Self::None),
            (Self::Report(task, report), Entry::Pushed(Pushed::Report(by, pushed))) => {
                (task == *by && report == *pushed).then_some(Self::Drain(task))
            }
            // Whoever is within a turn may end there; outside, anybody may be removed.
            (Self::Drain(open) | Self::Report(open, _), &Entry::Dropped { task }) => {
                (open == task).then_some(Self::None)
            }
            (Self::None, Entry::Dropped { .. }) => Some(Self::None),
            // Nothing is said of others within a turn.
            (Self::Drain(open), Entry::Pushed(pushed)) => match pushed {
                Pushed::SpawnFailed {
                    parent: Some(by), ..
                }
                | Pushed::Untold(by) => (open == *by).then_some(self),
                Pushed::Open(_) | Pushed::Transmit(..) | Pushed::Close(_) => Some(self),
                Pushed::Report(..)
                | Pushed::Started { .. }
                | Pushed::SpawnFailed { .. }
                | Pushed::Ended(..)
                | Pushed::Stale(_) => None,
            },
            (Self::None, Entry::Pushed(pushed)) => {
                let within = matches!(
                    pushed,
                    Pushed::Report(..) | Pushed::Open(_) | Pushed::Transmit(..)
                );
                (!within).then_some(self)
            }
            _ => None,
        }
    }
}

/// Who was given what, in order.
pub(crate) fn given(entries: &[Entry]) -> Vec<(usize, Heard)> {
    let given = |entry: &Entry| match entry {
        Entry::Given { task, input, .. } => Some((*task, input.clone())),
        Entry::Polled { .. } | Entry::Asked { .. } | Entry::Dropped { .. } | Entry::Pushed(_) => {
            None
        }
    };
    entries.iter().filter_map(given).collect()
}
