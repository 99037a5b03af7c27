//! The two state machines, as data.
//!
//! Groups and workers go through these states, and through no others; each change is checked
//! against [`TaskState::may_become`] and [`WorkerState::may_become`], in release builds too.
//!
//! ```text
//! One task:
//!     Created -> Waiting                      attached to a worker
//!     Waiting -> OnTick | OnInput             its deadline passed | I/O, bus or control input
//!     OnTick, OnInput -> PopOutput | Waiting  it has output | it has none
//!     PopOutput -> PopOutput | Waiting        more output | none left
//!
//! One worker, a task at a time:
//!     Waiting -> OnTick -> OnTickSingleTask -> PopCurrentTickTaskOutput (until none)
//!             -> OnTick (next due task) -> Waiting
//!     Waiting -> OnInput -> OnInputSingleTask -> PopCurrentInputTaskOutput (until none) -> Waiting
//! ```

/// Where one task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the design fixes the states")]
pub enum TaskState {
    /// It has its place, and has been told nothing yet.
    Created,
    /// It is drained. Only now may it be given an input.
    Waiting,
    /// It is being given a timeout.
    OnTick,
    /// It is being given another input.
    OnInput,
    /// It is being asked for its output.
    PopOutput,
}

impl TaskState {
    /// Whether the machine has an arrow from here to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Created => matches!(next, Self::Waiting),
            Self::Waiting => matches!(next, Self::OnTick | Self::OnInput),
            Self::OnTick | Self::OnInput | Self::PopOutput => {
                matches!(next, Self::PopOutput | Self::Waiting)
            }
        }
    }

    /// Goes on to `next`.
    ///
    /// # Panics
    ///
    /// If there is no arrow to it: a fault of this library, never of a task.
    #[inline(always)]
    pub(crate) const fn enter(&mut self, next: Self) {
        assert!(
            self.may_become(next),
            "no such arrow between the states of a task"
        );
        *self = next;
    }
}

/// Where a worker stands, or a group that is driven on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the design fixes the states")]
pub enum WorkerState {
    /// Everything is drained: the still point. Only now may it be given an input.
    Waiting,
    /// It looks for the next task whose deadline has passed.
    OnTick,
    /// That task is being given its timeout.
    OnTickSingleTask,
    /// The output of that timeout is being taken.
    PopCurrentTickTaskOutput,
    /// It looks for the task that an input is for.
    OnInput,
    /// That task is being given the input.
    OnInputSingleTask,
    /// The output of that input is being taken.
    PopCurrentInputTaskOutput,
}

impl WorkerState {
    /// Whether the machine has an arrow from here to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Waiting => matches!(next, Self::OnTick | Self::OnInput),
            Self::OnTick => matches!(next, Self::OnTickSingleTask | Self::Waiting),
            Self::OnTickSingleTask => matches!(next, Self::PopCurrentTickTaskOutput),
            Self::PopCurrentTickTaskOutput => matches!(next, Self::OnTick),
            Self::OnInput => matches!(next, Self::OnInputSingleTask | Self::Waiting),
            Self::OnInputSingleTask => matches!(next, Self::PopCurrentInputTaskOutput),
            Self::PopCurrentInputTaskOutput => matches!(next, Self::Waiting),
        }
    }

    /// Goes on to `next`.
    ///
    /// # Panics
    ///
    /// If there is no arrow to it: a fault of this library, never of a task.
    #[inline(always)]
    pub(crate) const fn enter(&mut self, next: Self) {
        assert!(
            self.may_become(next),
            "no such arrow between the states of a worker"
        );
        *self = next;
    }
}

/// Which of the two ways through the machine an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Tick,
    Input,
}

impl Way {
    pub(crate) const fn task(self) -> TaskState {
        match self {
            Self::Tick => TaskState::OnTick,
            Self::Input => TaskState::OnInput,
        }
    }

    pub(crate) const fn single_task(self) -> WorkerState {
        match self {
            Self::Tick => WorkerState::OnTickSingleTask,
            Self::Input => WorkerState::OnInputSingleTask,
        }
    }

    pub(crate) const fn pop_output(self) -> WorkerState {
        match self {
            Self::Tick => WorkerState::PopCurrentTickTaskOutput,
            Self::Input => WorkerState::PopCurrentInputTaskOutput,
        }
    }

    /// Where the machine goes once the task is drained.
    pub(crate) const fn drained(self) -> WorkerState {
        match self {
            Self::Tick => WorkerState::OnTick,
            Self::Input => WorkerState::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: [TaskState; 5] = {
        use TaskState::*;
        [Created, Waiting, OnTick, OnInput, PopOutput]
    };

    const WORKER: [WorkerState; 7] = {
        use WorkerState::*;
        [
            Waiting,
            OnTick,
            OnTickSingleTask,
            PopCurrentTickTaskOutput,
            OnInput,
            OnInputSingleTask,
            PopCurrentInputTaskOutput,
        ]
    };

    #[test]
    fn a_task_has_the_arrows_of_the_design_and_no_others() {
        use TaskState::*;
        let arrows = [
            (Created, Waiting),
            (Waiting, OnTick),
            (Waiting, OnInput),
            (OnTick, PopOutput),
            (OnTick, Waiting),
            (OnInput, PopOutput),
            (OnInput, Waiting),
            (PopOutput, PopOutput),
            (PopOutput, Waiting),
        ];
        for from in TASK {
            for to in TASK {
                assert_eq!(
                    from.may_become(to),
                    arrows.contains(&(from, to)),
                    "{from:?} -> {to:?}"
                );
            }
        }
    }

    #[test]
    fn a_worker_has_the_arrows_of_the_design_and_no_others() {
        use WorkerState::*;
        let arrows = [
            (Waiting, OnTick),
            (OnTick, OnTickSingleTask),
            (OnTickSingleTask, PopCurrentTickTaskOutput),
            (PopCurrentTickTaskOutput, OnTick),
            (OnTick, Waiting),
            (Waiting, OnInput),
            (OnInput, OnInputSingleTask),
            (OnInputSingleTask, PopCurrentInputTaskOutput),
            (PopCurrentInputTaskOutput, Waiting),
            (OnInput, Waiting), // The input was for nobody who is still there.
        ];
        for from in WORKER {
            for to in WORKER {
                assert_eq!(
                    from.may_become(to),
                    arrows.contains(&(from, to)),
                    "{from:?} -> {to:?}"
                );
            }
        }
    }
}
