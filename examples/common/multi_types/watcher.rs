//! Hears of all jobs, and tells the controller what came of them.

use core::fmt::Debug;

use stillpoint::{BusEvent, Input, NoRoom, Outbox, Output, Task, Timestamp, TransmitBuffer};

use super::{Channel, Jobs, Message, Report};

/// There is one, on any worker.
#[derive(Debug)]
pub struct Watcher {
    progress: u64,
    done: u64,
    outbox: Outbox<Jobs>,
}

impl Watcher {
    pub const fn new() -> Self {
        Self {
            progress: 0,
            done: 0,
            outbox: Outbox::new(),
        }
    }

    fn handle_bus(&mut self, event: BusEvent<Channel, Message>) {
        match event {
            // From here on nothing is missed: time to take orders.
            BusEvent::Subscribed(_) => self.outbox.report(Report::Watching),
            BusEvent::Message {
                message: Message::Progress { .. },
                ..
            } => self.progress += 1,
            BusEvent::Message {
                from: Some(job),
                message: Message::Done(outcome),
                ..
            } => {
                self.done += 1;
                self.outbox.report(Report::Done(outcome));
                // If there is no room for it, the job will say so again.
                self.outbox.send_to(job, Message::Noted, NoRoom::Drop);
            }
            _ => {}
        }
    }
}

impl Task for Watcher {
    type App = Jobs;

    /// Goes when nobody is left to be watched.
    const SHUTDOWN_PHASE: u8 = 3;

    fn handle_input(&mut self, _now: Timestamp, input: Input<Jobs>) {
        match input {
            Input::Started(_) => self.outbox.subscribe(Channel::Progress),
            Input::Bus(event) => self.handle_bus(event),
            Input::Shutdown => {
                let (progress, done) = (self.progress, self.done);
                self.outbox.report(Report::Watched { progress, done });
                self.outbox.finish();
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Jobs>> {
        self.outbox.pop()
    }

    fn inspect(&self) -> Option<&dyn Debug> {
        Some(self)
    }
}
