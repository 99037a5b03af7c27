//! Does parts, one after the other, for whichever job asks.

use core::fmt::Debug;
use core::time::Duration;
use std::collections::VecDeque;

use stillpoint::{
    BusCommand, BusEvent, Context, Deadline, Input, NoRoom, Outbox, Output, RequestId, Task,
    Timestamp, TransmitBuffer,
};

use super::work::Part;
use super::{Channel, Jobs, Message};

/// Answers requests; each takes its time, and now and then far too much of it. Goes when nobody has
/// wanted anything for a while.
pub struct Crunch {
    context: Option<Context>,
    /// What waits, with when nobody wants it any more. The first is being done.
    queue: VecDeque<(RequestId, Part, Timestamp)>,
    /// When the first is done; or, if there is none, when this task goes.
    until: Timestamp,
    /// Answers that the bus had no room for: never more than were asked for.
    held: Vec<BusCommand<Channel, Message>>,
    outbox: Outbox<Jobs>,
}

impl Crunch {
    /// Parts that may be asked of it at a time.
    pub const QUEUE_MAX: usize = 2;

    pub const fn new() -> Self {
        Self {
            context: None,
            queue: VecDeque::new(),
            until: Timestamp::MAX,
            held: Vec::new(),
            outbox: Outbox::new(),
        }
    }

    fn here(&self) -> Message {
        let parent = self.context.as_ref().and_then(|context| context.parent);
        Message::Here { parent }
    }

    fn handle_bus(&mut self, now: Timestamp, event: BusEvent<Channel, Message>) {
        match event {
            BusEvent::Subscribed(_) => {
                // Whoever calls the roll from now on reaches us; who has done so before hears this.
                self.outbox
                    .publish(Channel::Crunches, self.here(), NoRoom::Drop);
            }
            BusEvent::Message {
                from: Some(job),
                message: Message::CallRoll,
                ..
            } if self.queue.len() < Self::QUEUE_MAX => {
                self.outbox.send_to(job, self.here(), NoRoom::Drop)
            }
            BusEvent::Request {
                request,
                message: Message::Crunch(part),
                until,
                ..
            } => self.take(now, request, part, until),
            BusEvent::NoRoom { command, .. } => self.held.push(command),
            BusEvent::Room { .. } => {
                for command in self.held.drain(..) {
                    self.outbox.bus(command);
                }
            }
            // An answer came too late: whoever asked has asked somebody else by now.
            _ => {}
        }
    }

    fn take(&mut self, now: Timestamp, request: RequestId, part: Part, until: Timestamp) {
        if until <= now {
            return; // It has waited in a queue for too long.
        }
        if self.queue.len() >= Self::QUEUE_MAX {
            return self.outbox.answer(request, Message::Busy);
        }
        self.queue.push_back((request, part, until));
        if self.queue.len() == 1 {
            self.begin(now);
        }
    }

    /// Begins the first of the queue, or begins to be idle.
    fn begin(&mut self, now: Timestamp) {
        let Some((_, part, _)) = self.queue.front() else {
            self.until = now.after(IDLE_MAX);
            return;
        };
        let mut cost = TIME_FOR_KIB * u32::try_from(part.bytes().len()).unwrap_or(u32::MAX) / 1_024;
        if let Some(context) = &mut self.context
            && context.random.chance(STALL_CHANCE)
        {
            cost *= STALL_FACTOR;
        }
        self.until = now.after(cost);
    }

    fn go_on(&mut self, now: Timestamp) {
        match self.queue.pop_front() {
            None => return self.outbox.finish(),
            Some((request, part, until)) if until > now => {
                self.outbox
                    .answer(request, Message::Crunched(part.crunch()));
            }
            Some(_) => {} // Nobody waits for it any more.
        }
        self.begin(now);
    }
}

impl Task for Crunch {
    type App = Jobs;

    /// Goes when no job wants anything.
    const SHUTDOWN_PHASE: u8 = 2;

    fn handle_input(&mut self, now: Timestamp, input: Input<Jobs>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                self.begin(now);
                self.outbox.subscribe(Channel::RollCall);
            }
            Input::Bus(event) => self.handle_bus(now, event),
            Input::Timeout if self.until <= now => self.go_on(now),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Jobs>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let reason = if self.queue.is_empty() {
            "idle"
        } else {
            "crunch"
        };
        Some(Deadline::new(self.until, reason))
    }

    fn inspect(&self) -> Option<&dyn Debug> {
        Some(&self.queue)
    }
}

/// How long 1,024 bytes take.
const TIME_FOR_KIB: Duration = Duration::from_millis(1);

/// How often a part takes longer than anybody waits.
const STALL_CHANCE: f64 = 0.03;
const STALL_FACTOR: u32 = 100;

/// How long a crunch waits for something to do.
const IDLE_MAX: Duration = Duration::from_millis(100);
