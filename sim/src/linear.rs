//! Linearizability: whether each operation of a history can have taken place at one moment between
//! its call and its return (M. Herlihy, J. Wing: Linearizability, ACM TOPLAS 12(3), 1990).
//!
//! The search is that of J. Wing and C. Gong (Testing and verifying concurrent objects, JPDC 17,
//! 1993): of the operations that may come next, try one, and go back if that leads nowhere. As G.
//! Lowe proposes (Testing for linearizability, 2016), what has been tried is remembered: the same
//! operations done, in the same state, lead to the same end. Calls of different keys are judged
//! apart, since linearizability is local (Herlihy and Wing, theorem 1); that makes the difference
//! between a moment and for ever.

use core::fmt::{self, Debug};
use core::hash::Hash;
use std::collections::BTreeMap;

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use crate::history::{Checker, History, Operation};

/// What a system is to do, one call after the other.
pub trait Model {
    /// What is asked of it.
    type Call: Debug;
    /// What it answers.
    type Return: Debug;
    /// Its state.
    type State: Clone + Eq + Hash + Debug;

    /// The state at the beginning; that of one key, if calls have keys.
    fn init(&self) -> Self::State;

    /// The state behind a call, or `None` if the system would not answer this in that state. Of a
    /// call whose outcome nobody knows, `returned` is `None`: then the state behind it if it takes
    /// place.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        returned: Option<&Self::Return>,
    ) -> Option<Self::State>;

    /// What the call is about. Calls of different keys must have nothing to do with each other.
    fn key(&self, call: &Self::Call) -> String {
        let _ = call;
        String::new()
    }
}

/// Checks whether a history could be that of a model that does one thing at a time.
///
/// # Example
///
/// ```
/// use stillpoint::Timestamp;
/// use stillpoint_sim::{History, Linearizable, Model};
///
/// /// A register: `Some` writes, `None` reads.
/// struct Register;
///
/// impl Model for Register {
///     type Call = Option<u32>;
///     type Return = u32;
///     type State = u32;
///     fn init(&self) -> u32 {
///         0
///     }
///     fn step(&self, state: &u32, call: &Option<u32>, returned: Option<&u32>) -> Option<u32> {
///         match call {
///             Some(written) => Some(*written),
///             None => returned.is_none_or(|read| read == state).then_some(*state),
///         }
///     }
/// }
///
/// let at = Timestamp::from_nanos;
/// let mut history = History::new();
/// let write = history.call(at(1), 0, Some(7));
/// let read = history.call(at(2), 1, None);
/// history.returned(read, at(3), 7); // Before the write has returned: that may be.
/// history.returned(write, at(4), 7);
/// let late = history.call(at(5), 1, None);
/// history.check(Linearizable::new(Register)).expect("linearizable");
/// history.returned(late, at(6), 0); // But not that it is forgotten.
/// let told = history.check(Linearizable::new(Register)).unwrap_err();
/// assert!(told.to_string().contains("1: None at 0.000000005s -> 0"));
/// ```
#[derive(Debug, Clone)]
pub struct Linearizable<M> {
    model: M,
    steps_max: u64,
}

impl<M: Model> Linearizable<M> {
    /// Checks against this model, with up to ten million steps.
    #[must_use]
    pub const fn new(model: M) -> Self {
        let steps_max = 10_000_000;
        Self { model, steps_max }
    }

    /// Gives up after so many steps of the model. The time that a history takes can grow without
    /// measure with the number of operations of one key that overlap.
    #[must_use]
    pub const fn steps_max(mut self, steps_max: u64) -> Self {
        self.steps_max = steps_max;
        self
    }
}

/// Why a history is not known to be linearizable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotLinearizable {
    /// It is not, and this is the first answer that cannot be.
    #[error("{0}")]
    Stuck(Box<Stuck>),
    /// There was not time enough to find out.
    #[error(
        "not known whether it is linearizable: {steps_max} steps were not enough for {operations} \
        operations of key `{key}`. Let fewer overlap, give calls keys (`Model::key`), or allow more \
        (`Linearizable::steps_max`)"
    )]
    TooHard {
        /// Of which key.
        key: String,
        /// How many operations it has.
        operations: usize,
        /// The steps that there were.
        steps_max: u64,
    },
}

/// Where no order of the operations leads on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stuck {
    /// Of which key.
    pub key: String,
    /// The operation with the first answer that cannot be.
    pub operation: String,
    /// Operations that can be put in order before, as far as that goes: the last of them.
    pub ordered: Vec<String>,
    /// How many these are in all.
    pub ordered_count: usize,
    /// The state behind them.
    pub state: String,
    /// The others that have begun by then. None of them that may be next can be.
    pub window: Vec<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not linearizable")?;
        if !self.key.is_empty() {
            write!(f, " for key `{}`", self.key)?;
        }
        write!(
            f,
            ": no order explains\n  {}\nat best, {} operations go before",
            self.operation, self.ordered_count
        )?;
        if self.ordered.len() < self.ordered_count {
            write!(f, "; the last of them")?;
        }
        for operation in &self.ordered {
            write!(f, "\n  {operation}")?;
        }
        write!(
            f,
            "\nand then the state is {}, in which none of",
            self.state
        )?;
        for operation in &self.window {
            write!(f, "\n  {operation}")?;
        }
        f.write_str("\ncan be next")
    }
}

impl<M: Model> Checker<M::Call, M::Return> for Linearizable<M> {
    type Problem = NotLinearizable;

    fn check(&self, history: &History<M::Call, M::Return>) -> Result<(), NotLinearizable> {
        let mut by_key: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for operation in history.operations() {
            let of_key = by_key.entry(self.model.key(&operation.call)).or_default();
            of_key.push(operation);
        }
        for (key, operations) in by_key {
            self.check_key(&key, &operations)?;
        }
        Ok(())
    }
}

/// What a search came to.
enum Searched<S> {
    Linear,
    /// Of the orders that were tried, the longest, and the state behind it.
    Stuck(Vec<usize>, S),
    TooHard,
}

impl<M: Model> Linearizable<M> {
    fn check_key(
        &self,
        key: &str,
        operations: &[&Operation<M::Call, M::Return>],
    ) -> Result<(), NotLinearizable> {
        let too_hard = || NotLinearizable::TooHard {
            key: key.to_owned(),
            operations: operations.len(),
            steps_max: self.steps_max,
        };
        match self.search(operations) {
            Searched::Linear => return Ok(()),
            Searched::TooHard => return Err(too_hard()),
            Searched::Stuck(..) => {}
        }
        // What happened up to a moment is linearizable if what happened up to a later one is. So
        // there is a first answer that cannot be.
        let mut ends: Vec<u64> = operations.iter().filter_map(|known| known.ended).collect();
        ends.sort_unstable();
        let (mut good, mut bad) = (0, ends.len());
        while bad - good > 1 {
            let middle = usize::midpoint(good, bad);
            let cut = Cut::new(operations, ends[middle - 1]);
            match self.search_cut(&cut) {
                Searched::Linear => good = middle,
                Searched::Stuck(..) => bad = middle,
                Searched::TooHard => return Err(too_hard()),
            }
        }
        let cut = Cut::new(operations, ends[bad - 1]);
        let Searched::Stuck(order, state) = self.search_cut(&cut) else {
            return Err(too_hard());
        };
        let text = |index: usize| cut.operations[index].to_string();
        let window = (0..cut.operations.len()).filter(|index| !order.contains(index));
        let last = cut
            .operations
            .iter()
            .find(|known| known.ended == Some(cut.until));
        Err(NotLinearizable::Stuck(Box::new(Stuck {
            key: key.to_owned(),
            operation: last.map(ToString::to_string).unwrap_or_default(),
            ordered_count: order.len(),
            ordered: order[order.len().saturating_sub(SHOWN_MAX)..]
                .iter()
                .map(|&index| text(index))
                .collect(),
            state: format!("{state:?}"),
            window: window.map(text).collect(),
        })))
    }

    fn search(&self, operations: &[&Operation<M::Call, M::Return>]) -> Searched<M::State> {
        self.search_cut(&Cut::new(operations, u64::MAX))
    }

    /// Looks for an order of the operations up to a moment in which each answer is what it should
    /// be. Those without an answer by then may be left out.
    fn search_cut(&self, cut: &Cut<'_, M::Call, M::Return>) -> Searched<M::State> {
        let operations = &cut.operations;
        let required = operations
            .iter()
            .filter(|known| cut.returned(known).is_some());
        let required = required.count();
        let mut done = Done::new(operations.len());
        let mut tried = IndexSet::with_hasher(FxBuildHasher);
        let mut path: Vec<Taken<M::State>> = Vec::new();
        let (mut state, mut from, mut answered) = (self.model.init(), 0, 0);
        let mut longest: Option<(usize, Vec<usize>, M::State)> = None;
        let mut steps = 0;
        loop {
            if answered == required {
                return Searched::Linear;
            }
            let mut next = None;
            for index in cut.may_be_next(&done, from) {
                steps += 1;
                if steps > self.steps_max {
                    return Searched::TooHard;
                }
                let operation = &operations[index];
                let returned = cut.returned(operation);
                if let Some(behind) = self.model.step(&state, &operation.call, returned) {
                    done.set(index);
                    if tried.insert((done.clone(), behind.clone())) {
                        next = Some((index, behind));
                        break;
                    }
                    done.unset(index);
                }
            }
            if let Some((index, behind)) = next {
                answered += usize::from(cut.returned(operations[index]).is_some());
                let before = core::mem::replace(&mut state, behind);
                path.push(Taken { index, before });
                from = 0;
                continue;
            }
            if longest.as_ref().is_none_or(|(most, ..)| answered > *most) {
                let order = path.iter().map(|taken| taken.index).collect();
                longest = Some((answered, order, state.clone()));
            }
            let Some(Taken { index, before }) = path.pop() else {
                let (_, order, state) = longest.unwrap_or((0, Vec::new(), state));
                return Searched::Stuck(order, state);
            };
            done.unset(index);
            answered -= usize::from(cut.returned(operations[index]).is_some());
            (state, from) = (before, index + 1);
        }
    }
}

/// An operation that was put in order, and the state before it.
struct Taken<S> {
    index: usize,
    before: S,
}

/// What has happened up to a moment.
struct Cut<'a, C, R> {
    /// In the order of their calls.
    operations: Vec<&'a Operation<C, R>>,
    until: u64,
}

impl<'a, C, R> Cut<'a, C, R> {
    fn new(operations: &[&'a Operation<C, R>], until: u64) -> Self {
        let begun = operations.iter().filter(|known| known.began <= until);
        Self {
            operations: begun.copied().collect(),
            until,
        }
    }

    /// What the operation has returned by then.
    fn returned(&self, operation: &'a Operation<C, R>) -> Option<&'a R> {
        let ended = operation.ended.filter(|&ended| ended <= self.until);
        ended.and_then(|_| operation.returned())
    }

    /// The operations from an index on that are not done, and before whose call none of the others
    /// has returned.
    fn may_be_next(&self, done: &Done, from: usize) -> Vec<usize> {
        let mut first_end = u64::MAX;
        let mut next = Vec::new();
        for index in done.first_unset()..self.operations.len() {
            let operation = self.operations[index];
            if operation.began > first_end {
                break; // So did all that follow.
            }
            if done.is_set(index) {
                continue;
            }
            let ended = operation.ended.filter(|&ended| ended <= self.until);
            first_end = first_end.min(ended.unwrap_or(u64::MAX));
            next.push(index);
        }
        next.retain(|&index| index >= from);
        next
    }
}

/// Which operations were put in order.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn is_set(&self, index: usize) -> bool {
        self.0[index / 64] & 1 << (index % 64) != 0
    }

    /// All before are set.
    fn first_unset(&self) -> usize {
        let full = self.0.iter().take_while(|&&word| word == u64::MAX).count();
        let next = self.0.get(full).map_or(0, |word| word.trailing_ones());
        full * 64 + next as usize
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn unset(&mut self, index: usize) {
        self.0[index / 64] &= !(1 << (index % 64));
    }
}

/// Operations shown of those that can be put in order.
const SHOWN_MAX: usize = 5;
