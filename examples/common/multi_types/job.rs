//! Gets one order done, part by part, by whichever crunches there are.

use core::fmt::Debug;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use stillpoint::{
    BusEvent, Context, Deadline, Input, NoRoom, Outbox, Output, RequestError, Task, TaskId,
    Timestamp, Token, TransmitBuffer,
};

use super::work::{Outcome, Part, combine};
use super::{Channel, Jobs, Message, Spawn};

/// Asks crunches for the parts of one order, each for one at a time, and asks again elsewhere if
/// that fails. Has crunches made if all that it knows are busy.
pub struct Job {
    order: u32,
    parts: Vec<Part>,
    results: Vec<Option<u64>>,
    /// Parts that nobody was asked for, or not to any avail.
    todo: VecDeque<usize>,
    crunches: BTreeMap<TaskId, Crunching>,
    /// Whether it hears of more of them.
    listening: Listening,
    /// Crunches that were asked, or that rest.
    asked: usize,
    /// How often in a row somebody was busy or late.
    strikes: u32,
    context: Option<Context>,
    stage: Stage,
    /// Until when one that was to be made is waited for.
    spawning: Option<Timestamp>,
    started_at: Timestamp,
    outcome: Outcome,
    outbox: Outbox<Jobs>,
}

/// How it stands with a crunch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crunching {
    Idle,
    /// It was asked.
    Asked,
    /// It was busy or late: left alone until then, and nobody is asked in its place.
    Resting(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    No,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for crunches to hear of it, and then until they have had the time to answer.
    Looking(Option<Timestamp>),
    Working,
    /// The outcome was published, and is again at this time.
    Done(Timestamp),
}

impl Job {
    /// Crunches that a job may have made.
    pub const SPAWNS_MAX: u32 = 4;
    /// Parts that it may have asked for at a time.
    pub const ASKED_MAX: usize = 4;
    /// Crunches that it remembers.
    pub const KNOWN_MAX: usize = 12;

    pub fn new(order: u32, parts: Vec<Part>) -> Self {
        Self {
            order,
            results: vec![None; parts.len()],
            todo: (0..parts.len()).collect(),
            crunches: BTreeMap::new(),
            listening: Listening::Yes,
            asked: 0,
            strikes: 0,
            context: None,
            stage: Stage::Looking(None),
            spawning: None,
            started_at: Timestamp::EPOCH,
            outcome: Outcome {
                order,
                value: 0,
                parts: parts.len(),
                retries: 0,
                busy: 0,
                spawned: 0,
                took: Duration::ZERO,
            },
            parts,
            outbox: Outbox::new(),
        }
    }

    fn start(&mut self, now: Timestamp, context: Context) {
        self.context = Some(context);
        self.started_at = now;
        self.outbox.subscribe(Channel::Crunches);
    }

    fn handle_bus(&mut self, now: Timestamp, event: BusEvent<Channel, Message>) {
        match event {
            BusEvent::Subscribed(_) => {
                self.outbox
                    .publish(Channel::RollCall, Message::CallRoll, NoRoom::Drop);
                if let Stage::Looking(until) = &mut self.stage {
                    *until = Some(now.after(ROLL_CALL));
                }
            }
            BusEvent::Message {
                from: Some(from),
                message,
                ..
            } => self.told(from, &message),
            BusEvent::Reply {
                from,
                token,
                message,
            } => self.answered(now, from, token, &message),
            BusEvent::RequestFailed { to, token, error } => self.failed(now, to, token, error),
            // The outcome: it is published again when there is room, or a little later.
            BusEvent::NoRoom { .. } => {}
            BusEvent::Room { .. } => self.publish_outcome(now),
            _ => {}
        }
    }

    fn told(&mut self, from: TaskId, message: &Message) {
        match message {
            Message::Here { parent } => {
                if self.crunches.len() < Self::KNOWN_MAX {
                    self.crunches.entry(from).or_insert(Crunching::Idle);
                }
                let task = self.context.as_ref().map(|context| context.task);
                if *parent == task {
                    self.spawning = None;
                }
            }
            Message::Noted => self.outbox.finish(),
            _ => {}
        }
    }

    fn answered(&mut self, now: Timestamp, from: TaskId, token: Token, message: &Message) {
        let Some(part) = usize::try_from(token.0)
            .ok()
            .filter(|&part| part < self.parts.len())
        else {
            return;
        };
        match message {
            Message::Crunched(result) => {
                self.release(from);
                self.strikes = 0;
                self.results[part] = Some(*result);
                let progress = Message::Progress {
                    order: self.order,
                    done: self.results.iter().flatten().count(),
                    parts: self.parts.len(),
                };
                // Nobody is to wait for a number that the next one makes good for.
                self.outbox
                    .publish(Channel::Progress, progress, NoRoom::Drop);
            }
            _ => {
                self.outcome.busy += 1;
                self.todo.push_back(part);
                self.rest(now, from);
            }
        }
    }

    fn failed(&mut self, now: Timestamp, to: TaskId, token: Token, error: RequestError) {
        self.outcome.retries += 1;
        self.todo.extend(usize::try_from(token.0).ok());
        match error {
            RequestError::Ended | RequestError::WorkerGone => {
                self.release(to);
                self.crunches.remove(&to);
            }
            _ => self.rest(now, to),
        }
    }

    /// A crunch may be asked again, or another in its place.
    fn release(&mut self, crunch: TaskId) {
        if let Some(state) = self.crunches.get_mut(&crunch)
            && core::mem::replace(state, Crunching::Idle) != Crunching::Idle
        {
            self.asked -= 1;
        }
    }

    /// Leaves a crunch alone for a while, and longer each time: many jobs that ask again at once,
    /// and others in between, would keep each other from being answered for ever.
    fn rest(&mut self, now: Timestamp, crunch: TaskId) {
        let (Some(state), Some(context)) = (self.crunches.get_mut(&crunch), &mut self.context)
        else {
            return;
        };
        let rest = REST * 2_u32.pow(self.strikes.min(STRIKES_MAX));
        let rest = context.random.duration(rest / 2..=rest);
        self.strikes += 1;
        *state = Crunching::Resting(now.after(rest));
    }

    /// Hears of more crunches if few are known, and of no more if many are.
    fn listen(&mut self) {
        let few = self.crunches.len() < Self::ASKED_MAX;
        if self.listening == Listening::No && few {
            self.listening = Listening::Yes;
            self.outbox.subscribe(Channel::Crunches);
        } else if self.listening == Listening::Yes && self.crunches.len() >= Self::KNOWN_MAX {
            self.listening = Listening::No;
            self.outbox.unsubscribe(Channel::Crunches);
        }
    }

    /// Asks for what is to be done, as far as there is somebody to be asked.
    fn go_on(&mut self, now: Timestamp) {
        if let Stage::Looking(Some(until)) = self.stage
            && until <= now
        {
            self.stage = Stage::Working;
        }
        if let Stage::Done(at) = self.stage
            && at <= now
        {
            self.publish_outcome(now);
        }
        if self.stage != Stage::Working {
            return;
        }
        if self.spawning.is_some_and(|until| until <= now) {
            self.spawning = None; // It could not be made, or has ended already.
        }
        self.ask(now);
        self.listen();
        if self.results.iter().all(Option::is_some) {
            let results: Vec<u64> = self.results.iter().copied().flatten().collect();
            self.outcome.value = combine(&self.parts, &results);
            self.outcome.took = now.since(self.started_at);
            self.publish_outcome(now);
        } else if !self.todo.is_empty()
            && self.asked < Self::ASKED_MAX
            && self.spawning.is_none()
            && self.outcome.spawned < Self::SPAWNS_MAX.max(self.no_crunch_left())
        {
            self.outcome.spawned += 1;
            self.spawning = Some(now.after(SPAWN_WITHIN));
            self.outbox.spawn(Spawn::Crunch);
        }
    }

    /// Asks those who have nothing to do, some of them, in an order of its own.
    fn ask(&mut self, now: Timestamp) {
        let Some(context) = &mut self.context else {
            return;
        };
        let mut idle = Vec::new();
        for (&crunch, state) in &mut self.crunches {
            if let Crunching::Resting(until) = *state
                && until <= now
            {
                *state = Crunching::Idle;
                self.asked -= 1;
            }
            if *state == Crunching::Idle {
                idle.push(crunch);
            }
        }
        while self.asked < Self::ASKED_MAX && !idle.is_empty() {
            let Some(part) = self.todo.pop_front() else {
                return;
            };
            let choice = context.random.below(idle.len() as u64);
            let crunch = idle.swap_remove(usize::try_from(choice).unwrap_or_default());
            self.crunches.insert(crunch, Crunching::Asked);
            self.asked += 1;
            let message = Message::Crunch(self.parts[part].clone());
            let until = now.after(ANSWER_WITHIN);
            self.outbox
                .request(crunch, Token(part as u64), message, until);
        }
    }

    /// A job that knows nobody may have one more made, however many there were.
    fn no_crunch_left(&self) -> u32 {
        if self.crunches.is_empty() {
            self.outcome.spawned + 1
        } else {
            0
        }
    }

    /// Says what came of it, until the watcher has noted that.
    fn publish_outcome(&mut self, now: Timestamp) {
        self.stage = Stage::Done(now.after(SAY_AGAIN));
        let done = Message::Done(self.outcome);
        self.outbox.publish(Channel::Progress, done, NoRoom::Wait);
    }
}

impl Task for Job {
    type App = Jobs;

    /// Goes behind who takes orders, and before those whom it asks.
    const SHUTDOWN_PHASE: u8 = 1;

    fn handle_input(&mut self, now: Timestamp, input: Input<Jobs>) {
        match input {
            Input::Started(context) => self.start(now, context),
            Input::Bus(event) => self.handle_bus(now, event),
            Input::Shutdown => return self.outbox.finish(),
            _ => {}
        }
        self.go_on(now);
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Jobs>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        match self.stage {
            Stage::Looking(until) => Some(Deadline::new(until?, "roll call")),
            Stage::Done(at) => Some(Deadline::new(at, "say it again")),
            Stage::Working => {
                let rests = self.crunches.values().filter_map(|state| match *state {
                    Crunching::Resting(until) => Some(until),
                    Crunching::Idle | Crunching::Asked => None,
                });
                let at = rests.chain(self.spawning).min()?;
                Some(Deadline::new(at, "a crunch"))
            }
        }
    }

    fn inspect(&self) -> Option<&dyn Debug> {
        Some(&self.results)
    }
}

/// How long a job waits for those that are there to say so.
const ROLL_CALL: Duration = Duration::from_millis(2);

/// How long a crunch may take, with what waits before.
const ANSWER_WITHIN: Duration = Duration::from_millis(50);

/// How long a crunch is left alone that was busy or late: at most, and so often doubled.
const REST: Duration = Duration::from_millis(4);
const STRIKES_MAX: u32 = 6;

/// How long one that was asked for may take to be there.
const SPAWN_WITHIN: Duration = Duration::from_millis(50);

/// When an outcome that was not noted is published again.
const SAY_AGAIN: Duration = Duration::from_millis(200);
