//! One input to one task, and its drain: the heart of the runtime.
//!
//! The task is given its input, then asked for output until it has none, then for its deadline.
//! Each of these calls is a task boundary: a panic stops there and ends this task alone (law 6).
//! Panics of the driver are not caught; they leave `open_turn` behind, which is gone on with
//! before anything else is done.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::timer::LazyTimers;
use super::{GroupOutputs, Member, TaskGroup, Turn};
use crate::slots::Key;
use crate::state::{TaskState, Way, WorkerState};
use crate::task::{End, Input, Output, Task, put};
use crate::time::{Deadline, Timestamp};
use crate::transmit::Payload;

impl<T: Task> TaskGroup<T> {
    /// Gives the task at `key`, which waits, one input, and drains it. `false` if there is none.
    /// The input is made where the task takes it: a copy for each call on the way costs more.
    #[inline(always)]
    pub(super) fn turn(
        &mut self,
        now: Timestamp,
        key: Key,
        way: Way,
        input: impl FnOnce() -> Input<T::App>,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> bool {
        assert!(
            now >= self.now,
            "time runs backwards: {now} after {}",
            self.now
        );
        self.now = now;
        let Some(member) = self.tasks.get_mut(key) else {
            return false;
        };
        self.inputs += 1;
        self.timeouts += u64::from(way == Way::Tick);
        self.state.enter(way.single_task());
        member.state.enter(way.task());
        let given = guard(|| member.task.handle_input(now, input()));
        self.state.enter(way.pop_output());
        match given {
            Ok(()) => {
                self.open_turn = Some(Turn {
                    key,
                    way,
                    outputs: 0,
                });
                self.drain(outputs);
            }
            Err(panic) => {
                self.state.enter(way.drained());
                self.end(key, panic, outputs);
            }
        }
        true
    }

    /// Goes on with the turn that a panic in the driver broke off, if there is one.
    #[inline]
    pub(super) fn finish_open_turn(&mut self, outputs: &mut (impl GroupOutputs<T::App> + ?Sized)) {
        if self.state != WorkerState::Waiting {
            self.go_on(outputs);
        }
    }

    #[cold]
    fn go_on(&mut self, outputs: &mut (impl GroupOutputs<T::App> + ?Sized)) {
        self.drain(outputs);
        if self.state == WorkerState::OnTick {
            self.state.enter(WorkerState::Waiting);
        }
    }

    /// Asks the task of the open turn for output until it has none, then for its deadline.
    #[inline(always)]
    fn drain(&mut self, outputs: &mut (impl GroupOutputs<T::App> + ?Sized)) {
        let Some(Turn { key, way, .. }) = self.open_turn else {
            return;
        };
        let rested = self.take_all(key, way, outputs);
        self.open_turn = None;
        self.state.enter(way.drained());
        if let Err(end) = rested {
            self.end(key, end, outputs);
        }
    }

    /// Gives all output of the task to `outputs`, then asks for its deadline. An error is the task's
    /// end.
    #[inline(always)]
    fn take_all(
        &mut self,
        key: Key,
        way: Way,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) -> Result<(), End> {
        let (now, outputs_max, id) = (self.now, self.common.outputs_max, self.id(key));
        let (Some(member), Some(turn)) = (self.tasks.get_mut(key), &mut self.open_turn) else {
            return Ok(());
        };
        loop {
            let mut transmit = outputs.lend();
            // Written to their places directly: as a result of `guard` they would be moved once
            // more. The last output and the deadline are asked for in one go, as a boundary is a
            // call that cannot be inlined.
            let (mut output, mut deadline) = (None, None);
            guard(|| {
                put(&mut output, member.task.poll_output(now, &mut transmit));
                if output.is_none() {
                    deadline = member.task.poll_timeout();
                }
            })?;
            // Looked at where it is, since moving it once more costs more than all the rest.
            match &output {
                None => {
                    let timers = &mut self.timers;
                    return member.rest(now, (key, way), deadline.as_ref(), timers);
                }
                Some(Output::Finished) => return Err(End::Finished),
                Some(_) if turn.outputs == outputs_max => {
                    return Err(End::Runaway { outputs_max });
                }
                Some(_) => {}
            }
            if let Some(len) = output
                .as_ref()
                .and_then(Output::payload)
                .and_then(Payload::lent)
                && transmit.written() != Some(len)
            {
                let message = "sent a payload that is not what it has just written into the lent \
                    memory; send it with the same call, or keep a `Buffer`";
                return Err(End::Panicked {
                    message: message.to_owned(),
                });
            }
            member.state.enter(TaskState::PopOutput);
            turn.outputs += 1;
            outputs.take_output(id, &mut output);
        }
    }

    /// The task is no more: its timer, its slot and its id go, and the driver releases the rest.
    pub(super) fn end(
        &mut self,
        key: Key,
        end: End,
        outputs: &mut (impl GroupOutputs<T::App> + ?Sized),
    ) {
        self.timers.set(key.slot, None);
        let member = self.tasks.remove(key);
        // Dropping it runs the task's code, so that is a boundary too.
        let dropped = guard(|| drop(member));
        let end = match dropped {
            Err(panic) if !end.is_failure() => panic,
            Ok(()) | Err(_) => end,
        };
        let ends = self.ends.get_or_insert_default();
        match end {
            End::Finished => ends.finished += 1,
            End::Panicked { .. } => ends.panicked += 1,
            End::Runaway { .. } => ends.runaway += 1,
            End::Removed => ends.removed += 1,
        }
        outputs.ended(self.id(key), end);
    }
}

impl<T> Member<T> {
    /// The task is drained: arms its deadline and lets it wait.
    #[inline(always)]
    fn rest(
        &mut self,
        now: Timestamp,
        (key, way): (Key, Way),
        deadline: Option<&Deadline>,
        timers: &mut LazyTimers,
    ) -> Result<(), End> {
        self.state.enter(TaskState::Waiting);
        match deadline {
            Some(deadline) if way == Way::Tick && deadline.at <= now => {
                let reason = deadline.reason;
                let at = deadline.at;
                let message = format!(
                    "would spin: given its timeout at {now}, it wants another at {at} ({reason})"
                );
                return Err(End::Panicked { message });
            }
            Some(deadline) => {
                self.reason = deadline.reason;
                timers.set(key.slot, Some(deadline.at));
            }
            None => timers.set(key.slot, None),
        }
        Ok(())
    }
}

/// Calls into a task; its panic becomes its end.
pub(crate) fn guard<R>(call: impl FnOnce() -> R) -> Result<R, End> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let message = panic_message(payload.as_ref());
        // A payload may itself panic when it is dropped. What that leaves is never dropped.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Box::leak(second);
        }
        End::Panicked { message }
    })
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(a payload that is no text)".to_owned())
}
