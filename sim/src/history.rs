//! What was asked of a system, and what it answered: for those who judge that as a whole.
//!
//! A [`History`] records operations: who has called what and when, and what came of it, or that
//! nobody knows. What it means is for a checker to say: any function of the history, or
//! [`Linearizable`](crate::Linearizable) with a model of the system.

use core::fmt;
use std::collections::BTreeMap;

use stillpoint::Timestamp;

/// Operations in the order in which they began.
///
/// # Example
///
/// ```
/// use stillpoint::Timestamp;
/// use stillpoint_sim::History;
///
/// let mut history = History::new();
/// let at = Timestamp::from_nanos;
/// let first = history.call(at(1), 0, "add 1");
/// let second = history.call(at(2), 1, "add 2");
/// history.returned(second, at(3), 2);
/// history.unknown(first); // Its answer was lost.
/// history
///     .check(|history: &History<&str, i32>| {
///         let answers = history.operations().filter_map(|operation| operation.returned());
///         if answers.eq([&2]) { Ok(()) } else { Err("another answer") }
///     })
///     .expect("one answer");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History<C, R> {
    /// None for what is known not to have taken place.
    operations: Vec<Option<Operation<C, R>>>,
    /// By process, the operation that began last, if it is open.
    open: BTreeMap<u64, OperationId>,
    /// Counts calls and returns.
    moments: u64,
}

/// Names one operation of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(usize);

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation<C, R> {
    /// Who has called: a client, a task. Each does one thing after the other, unless an outcome is
    /// unknown.
    pub process: u64,
    /// What was asked.
    pub call: C,
    /// When.
    pub called_at: Timestamp,
    /// When it returned, and what. None as long as it is open, or if nobody knows.
    pub outcome: Option<(Timestamp, R)>,
    /// The place of its call among all calls and returns.
    pub(crate) began: u64,
    /// The place of its return.
    pub(crate) ended: Option<u64>,
    known: Known,
}

/// Whether more may be heard of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Open,
    Returned,
    Never,
}

/// What a report says of an operation. See [`History::record`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened<C, R> {
    /// It begins.
    Called(C),
    /// It returns.
    Returned(R),
    /// It has not taken place, and never will: it was refused, say.
    Failed,
    /// Nobody knows whether it has taken place, or will: it timed out, say.
    Unknown,
}

/// Judges a history.
pub trait Checker<C, R> {
    /// What is wrong with it.
    type Problem;

    /// # Errors
    ///
    /// What is wrong with the history, if anything is.
    fn check(&self, history: &History<C, R>) -> Result<(), Self::Problem>;
}

impl<C, R, P, F: Fn(&History<C, R>) -> Result<(), P>> Checker<C, R> for F {
    type Problem = P;

    fn check(&self, history: &History<C, R>) -> Result<(), P> {
        self(history)
    }
}

impl<C, R> History<C, R> {
    /// A history of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            operations: Vec::new(),
            open: BTreeMap::new(),
            moments: 0,
        }
    }

    /// An operation begins. What is recorded first has happened first, also at one instant.
    pub fn call(&mut self, at: Timestamp, process: u64, call: C) -> OperationId {
        let id = OperationId(self.operations.len());
        let began = self.next_moment();
        self.operations.push(Some(Operation {
            process,
            call,
            called_at: at,
            outcome: None,
            began,
            ended: None,
            known: Known::Open,
        }));
        self.open.insert(process, id);
        id
    }

    /// An operation returns.
    ///
    /// # Panics
    ///
    /// If it is not open.
    pub fn returned(&mut self, id: OperationId, at: Timestamp, value: R) {
        let ended = self.next_moment();
        let operation = self.end(id, "returns");
        operation.outcome = Some((at, value));
        operation.ended = Some(ended);
        operation.known = Known::Returned;
    }

    /// An operation has not taken place, and never will: it is struck out.
    ///
    /// # Panics
    ///
    /// If it is not open.
    pub fn failed(&mut self, id: OperationId) {
        self.end(id, "fails");
        self.operations[id.0] = None;
    }

    /// Nobody is going to know what became of an operation. It may have taken place, or may later.
    ///
    /// # Panics
    ///
    /// If it is not open.
    pub fn unknown(&mut self, id: OperationId) {
        self.end(id, "becomes unknown").known = Known::Never;
    }

    /// Records what a process tells of the one operation that it has open: of use where tasks report
    /// what they do ([`World::take_reports`](crate::World::take_reports)).
    ///
    /// # Panics
    ///
    /// If the process calls while it has an operation open, or has none when one returns.
    pub fn record(&mut self, at: Timestamp, process: u64, happened: Happened<C, R>) {
        let open = self.open.get(&process).copied();
        let the_open = || {
            open.unwrap_or_else(|| panic!("process {process} at {at}: it has no operation open"))
        };
        match happened {
            Happened::Called(call) => {
                assert!(
                    open.is_none(),
                    "process {process} calls at {at} while it has an operation open: give each \
                    that may overlap with others a process of its own"
                );
                self.call(at, process, call);
            }
            Happened::Returned(value) => self.returned(the_open(), at, value),
            Happened::Failed => self.failed(the_open()),
            Happened::Unknown => self.unknown(the_open()),
        }
    }

    /// All operations, but for those that have not taken place, in the order in which they began.
    pub fn operations(&self) -> impl Iterator<Item = &Operation<C, R>> {
        self.operations.iter().flatten()
    }

    /// Has a checker judge it.
    ///
    /// # Errors
    ///
    /// What the checker finds.
    pub fn check<K: Checker<C, R>>(&self, checker: K) -> Result<(), K::Problem> {
        checker.check(self)
    }

    const fn next_moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// The operation, which is open no more from now on.
    fn end(&mut self, id: OperationId, what: &str) -> &mut Operation<C, R> {
        let operation = self.operations[id.0].as_mut();
        let open = operation.filter(|operation| operation.known == Known::Open);
        let open = open.unwrap_or_else(|| {
            panic!(
                "operation {} {what}, and was over before: it ends once",
                id.0
            )
        });
        if self.open.get(&open.process) == Some(&id) {
            self.open.remove(&open.process);
        }
        open
    }
}

impl<C, R> Operation<C, R> {
    /// What it returned, if it did.
    #[must_use]
    pub const fn returned(&self) -> Option<&R> {
        match &self.outcome {
            Some((_, value)) => Some(value),
            None => None,
        }
    }
}

impl<C, R> Default for History<C, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: fmt::Debug, R: fmt::Debug> fmt::Display for Operation<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (process, call, called_at) = (self.process, &self.call, self.called_at);
        write!(f, "{process}: {call:?} at {called_at}")?;
        match &self.outcome {
            Some((at, value)) => write!(f, " -> {value:?} at {at}"),
            None => f.write_str(" -> (nobody knows)"),
        }
    }
}
