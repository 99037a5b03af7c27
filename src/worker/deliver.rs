//! What comes to a worker's tasks over the bus and from the controller.

use super::bus::{Bus, From, Step};
use super::pending::Pending;
use super::{Stopping, Worker, WorkerOutput, WorkerOutputs};
use crate::bus::{BusEvent, BusItem, Item};
use crate::control::{CommandError, CommandTarget, ControlInput, ControlOutput};
use crate::id::TaskId;
use crate::task::{App, Input};

impl<A: App> Worker<A> {
    /// Whether another worker's next item may be handed in. If not, what it sent before is still
    /// being dealt with, and [`Worker::poll_timeout`] says that the worker can go on at once.
    #[must_use]
    pub fn takes_bus(&self, from: u16) -> bool {
        let bus = self.bus.get();
        bus.is_none_or(|bus| bus.is_clear(From::Peer(from)))
    }

    /// The same for the controller's next input.
    #[must_use]
    pub fn takes_control(&self) -> bool {
        let bus = self.bus.get();
        bus.is_none_or(|bus| bus.is_clear(From::Controller))
    }

    /// An item from another worker: dealt with at once unless others wait before it.
    pub(super) fn bus_item(
        &mut self,
        from: u16,
        item: BusItem<A::Channel, A::Message>,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        let source = From::Peer(from);
        let bus = self.bus.made(&self.config);
        if bus.is_clear(source) && bus.knows(from) {
            let step = bus.take(source, item.0, self.now, outputs);
            self.give_step(step, outputs);
        } else {
            bus.push(source, item.0);
        }
    }

    pub(super) fn control(&mut self, input: ControlInput<A>, outputs: &mut impl WorkerOutputs<A>) {
        match input {
            ControlInput::Spawn { id, spawn } => self.spawn((None, Some(id)), spawn, outputs),
            ControlInput::Command { id, to, command } => {
                let given = self.command(to, command, outputs);
                let answer = ControlOutput::Commanded { id, given };
                outputs.push(WorkerOutput::Control(answer));
            }
            ControlInput::Publish { channel, message } => {
                let bus = self.bus.made(&self.config);
                let from = None;
                bus.counters.sent += 1;
                let item = Item::Publish {
                    from,
                    channel,
                    message,
                };
                bus.push(From::Controller, item);
            }
            ControlInput::Broadcast(message) => {
                let bus = self.bus.made(&self.config);
                bus.counters.sent += 1;
                let from = None;
                let item = Item::Broadcast { from, message };
                bus.push(From::Controller, item);
            }
            ControlInput::Shutdown { phase } => self.begin_to_stop(phase),
        }
    }

    fn command(
        &mut self,
        to: CommandTarget,
        command: A::Command,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> Result<TaskId, CommandError> {
        let task = match to {
            CommandTarget::Task(task) => task,
            CommandTarget::Worker(worker) => {
                let agent = self.bus.get().and_then(Bus::agent);
                agent.ok_or(CommandError::NoAgent { worker })?
            }
        };
        if self.try_give(task, Input::Command(command), outputs) {
            Ok(task)
        } else {
            Err(CommandError::Stale { task })
        }
    }

    /// Works off what waits in the lanes, and tells what the bus has to tell: a bounded batch of
    /// each.
    pub(super) fn handle_bus(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        if !self.bus.is_made() {
            return;
        }
        let batch_max = self.config.batch_max;
        if self.has_bus_work() {
            self.turn = self.turn.wrapping_add(1);
            self.bus.made(&self.config).pay_all(outputs);
            let sources = self.bus.made(&self.config).sources();
            for place in 0..sources {
                let source = self
                    .bus
                    .made(&self.config)
                    .source((self.turn as usize + place) % sources);
                for _ in 0..batch_max {
                    let step = self.bus.made(&self.config).step(source, self.now, outputs);
                    if !self.give_step(step, outputs) {
                        break;
                    }
                }
            }
            for _ in 0..batch_max {
                let Some((task, worker)) = self.bus.made(&self.config).poll_room(outputs) else {
                    break;
                };
                self.give_room(task, worker, outputs);
            }
            self.bus.made(&self.config).bury(self.now);
            for _ in 0..batch_max {
                let Some((task, channel)) = self.bus.made(&self.config).poll_confirmed() else {
                    break;
                };
                self.try_give(task, Input::Bus(BusEvent::Subscribed(channel)), outputs);
            }
        }
        for _ in 0..batch_max {
            let Some(failed) = self.bus.made(&self.config).poll_failed(self.now) else {
                break;
            };
            let event = BusEvent::RequestFailed {
                to: failed.to,
                token: failed.token,
                error: failed.error,
            };
            self.try_give(failed.from, Input::Bus(event), outputs);
        }
    }

    /// A task may have been given something back. Tells it of room, if that was the last and its
    /// turn has come meanwhile.
    pub(super) fn settle_returned(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        if let Some((task, worker)) = self.bus.get_mut().and_then(Bus::gave_back) {
            self.give_room(task, worker, outputs);
        }
    }

    /// Tells a task of room, which is its own to take first as long as it is told.
    fn give_room(&mut self, task: TaskId, worker: u16, outputs: &mut impl WorkerOutputs<A>) {
        self.bus.made(&self.config).begin_turn(task, worker);
        self.try_give(task, Input::Bus(BusEvent::Room { worker }), outputs);
        self.bus.made(&self.config).end_turn();
    }

    /// Gives what came of a step to its task. `false` if the lane is clear.
    fn give_step(
        &mut self,
        step: Step<A::Channel, A::Message>,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> bool {
        let (to, event, otherwise) = match step {
            Step::Clear => return false,
            Step::Done => return true,
            Step::Undelivered { from, to } => {
                self.pending.tell_undelivered(from, to);
                return true;
            }
            Step::Give {
                to,
                event,
                otherwise,
            } => (to, event, otherwise),
        };
        // Counted before, since a panic in the driver takes nothing back.
        self.bus.made(&self.config).counters.delivered += 1;
        if !self.try_give(to, Input::Bus(event), outputs) {
            self.bus.made(&self.config).counters.delivered -= 1;
            self.bus.made(&self.config).unreachable(
                to,
                otherwise,
                self.now,
                &mut self.pending,
                outputs,
            );
        }
        true
    }

    /// Tells the tasks of a phase to finish, and of those before.
    pub(super) fn begin_to_stop(&mut self, phase: u8) {
        match &mut self.stopping {
            None => self.stopping = Some(Stopping::telling(None, phase)),
            Some(Stopping::Told { phase: told } | Stopping::Ended { phase: told }) => {
                if phase > *told {
                    self.stopping = Some(Stopping::telling(Some(*told), phase));
                }
            }
            // Each task is told once, so those of the phase before come first.
            Some(Stopping::Telling {
                phase: before,
                then,
                ..
            }) => {
                if phase > *before {
                    *then = (*then).max(Some(phase));
                }
            }
            Some(Stopping::Removing { .. } | Stopping::Removed) => {}
        }
    }

    /// Tells some more tasks to finish.
    pub(super) fn stop_some(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        for _ in 0..self.config.batch_max {
            let Some(Stopping::Telling {
                told,
                phase,
                group,
                slot,
                then,
            }) = self.stopping
            else {
                return;
            };
            let next = self.groups.next_in_phase(told, phase, group, slot);
            self.stopping = Some(match (next, then) {
                (Some(task), _) => Stopping::Telling {
                    told,
                    phase,
                    group: task.group,
                    slot: task.key.slot.saturating_add(1),
                    then,
                },
                (None, Some(then)) => Stopping::telling(Some(phase), then),
                (None, None) => Stopping::Told { phase },
            });
            if let Some(task) = next {
                self.give(task, Input::Shutdown, outputs);
            }
        }
    }

    /// Says so once no task of a phase that was told lives any more.
    pub(super) fn end_phase(&mut self, outputs: &mut impl WorkerOutputs<A>) {
        let Some(Stopping::Told { phase }) = self.stopping else {
            return;
        };
        let Some(next) = self.groups.first_phase() else {
            return; // The worker is stopped, which says it all.
        };
        if next > phase {
            self.stopping = Some(Stopping::Ended { phase });
            let answer = ControlOutput::PhaseEnded { phase, next };
            outputs.push(WorkerOutput::Control(answer));
        }
    }

    /// Gives a task what it is owed for a mistake, if it has not ended.
    pub(super) fn give_pending(
        &mut self,
        pending: Pending<A>,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        match pending {
            Pending::Spawn { parent, spawn } => self.spawn((Some(parent), None), spawn, outputs),
            // A task that has ended needs no more to be told.
            Pending::Network { task, event } => {
                self.try_give(task, Input::Network(event), outputs);
            }
            Pending::Bus { task, event } => {
                if let BusEvent::NoRoom { worker, .. } = event {
                    self.bus.made(&self.config).begin_to_give_back(task, worker);
                }
                self.try_give(task, Input::Bus(event), outputs);
                self.settle_returned(outputs);
            }
        }
    }
}

impl Stopping {
    /// Begins to tell the tasks of a phase, and those of the phases before it that were not told.
    const fn telling(told: Option<u8>, phase: u8) -> Self {
        Self::Telling {
            told,
            phase,
            group: 0,
            slot: 0,
            then: None,
        }
    }
}
