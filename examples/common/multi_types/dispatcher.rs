//! Takes orders for its worker, and has a job made for each.

use stillpoint::{BusEvent, Input, Outbox, Output, Task, TaskId, Timestamp, TransmitBuffer};

use super::{Jobs, Report, Spawn};

/// The agent of its worker: what the controller commands the worker to do comes to it.
pub struct Dispatcher {
    task: Option<TaskId>,
    outbox: Outbox<Jobs>,
}

impl Dispatcher {
    pub const fn new() -> Self {
        Self {
            task: None,
            outbox: Outbox::new(),
        }
    }
}

impl Task for Dispatcher {
    type App = Jobs;

    /// Who takes orders goes first.
    const SHUTDOWN_PHASE: u8 = 0;

    fn handle_input(&mut self, _now: Timestamp, input: Input<Jobs>) {
        match input {
            Input::Started(context) => {
                self.task = Some(context.task);
                self.outbox.become_agent();
            }
            Input::Bus(BusEvent::Agent(agent)) => {
                if self.task == Some(agent) {
                    self.outbox.report(Report::Ready);
                } else {
                    self.outbox.finish(); // There was one before.
                }
            }
            Input::Command(order) => {
                let (parts, order) = (order.work.split(), order.number);
                self.outbox.spawn(Spawn::Job { order, parts });
            }
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Jobs>> {
        self.outbox.pop()
    }
}
