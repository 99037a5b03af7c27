//! Puppets: tasks that do on the bus what they are told, and keep what they hear.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

use core::time::Duration;

use stillpoint::{
    App, BusCommand, BusEvent, Deadline, Destination, Input, NoRoom, Outbox, Output, RequestError,
    Spawned, Spawner, Task, TaskId, Timestamp, Token, TransmitBuffer,
};
use stillpoint_sim::{BusLink, NodeId, World};

/// The application. Messages are numbers.
#[derive(Debug)]
pub struct Show;

impl App for Show {
    type Channel = u8;
    type Message = u64;
    type Command = Act;
    type Report = Said;
    type Spawn = Role;
}

#[derive(Debug, Clone)]
pub enum Act {
    Subscribe(u8),
    Unsubscribe(u8),
    BecomeAgent,
    /// Numbers from 0 on, or from where the last of this kind has ended. Those that may be dropped
    /// overtake others that came back, and are [`HASTY`] more.
    Send {
        to: TaskId,
        count: u64,
        no_room: NoRoom,
    },
    Publish {
        channel: u8,
        number: u64,
        no_room: NoRoom,
    },
    Broadcast(u64),
    Ask {
        to: TaskId,
        number: u64,
        within: Duration,
    },
    /// Sends itself a message for each that it gets from itself.
    TalkToItself,
    /// Wants a timeout so often.
    Tick(Duration),
    Finish,
    Panic,
    /// Heard and nothing else.
    Note(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// A shutdown came.
    ShutDown,
    Noted(u64),
}

/// What a puppet is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Role {
    /// In which phase it is told to finish.
    pub phase: u8,
    /// Whether it does not, then.
    pub stubborn: bool,
    /// Whether it leaves requests without an answer.
    pub silent: bool,
    /// Whether it is not to be made at all.
    pub refused: bool,
}

pub fn spawn(role: Role, spawner: Spawner<'_, Show>) -> Spawned {
    if role.refused {
        return spawner.refuse("no such role");
    }
    match role.phase {
        0 => spawner.insert(Puppet::<0>::new(role)),
        1 => spawner.insert(Puppet::<1>::new(role)),
        _ => spawner.insert(Puppet::<2>::new(role)),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Message {
        from: Option<TaskId>,
        to: Destination<u8>,
        number: u64,
    },
    Reply(u64),
    Failed(RequestError),
    Subscribed(u8),
    Agent(TaskId),
    NoRoom(u16),
    Room(u16),
    Undelivered(u32),
    Stale,
    Tick,
    Noted(u64),
}

/// A task of the shutdown phase `PHASE`.
pub struct Puppet<const PHASE: u8> {
    role: Role,
    itself: Option<TaskId>,
    sent: u64,
    asked: usize,
    talks: bool,
    every: Option<Duration>,
    next_at: Option<Timestamp>,
    /// What came back for want of room in the queue to a worker.
    returned: Vec<(u16, BusCommand<u8, u64>)>,
    pub heard: Vec<(Timestamp, Heard)>,
    outbox: Outbox<Show>,
}

impl<const PHASE: u8> Puppet<PHASE> {
    const fn new(role: Role) -> Self {
        Self {
            role,
            itself: None,
            sent: 0,
            asked: 0,
            talks: false,
            every: None,
            next_at: None,
            returned: Vec::new(),
            heard: Vec::new(),
            outbox: Outbox::new(),
        }
    }

    /// How many messages wait for room.
    pub fn waiting(&self) -> usize {
        self.returned.len()
    }

    /// How many of its requests were neither answered nor have failed.
    pub fn unanswered(&self) -> usize {
        let heard = self.heard.iter();
        let over = heard.filter(|(_, heard)| matches!(heard, Heard::Reply(_) | Heard::Failed(_)));
        self.asked - over.count()
    }

    fn act(&mut self, now: Timestamp, act: Act) {
        let outbox = &mut self.outbox;
        match act {
            Act::Subscribe(channel) => outbox.subscribe(channel),
            Act::Unsubscribe(channel) => outbox.unsubscribe(channel),
            Act::BecomeAgent => outbox.become_agent(),
            Act::Send { to, count, no_room } => {
                let first = if no_room == NoRoom::Drop { HASTY } else { 0 };
                for number in self.sent..self.sent + count {
                    outbox.send_to(to, first + number, no_room);
                }
                self.sent += count;
            }
            Act::Publish {
                channel,
                number,
                no_room,
            } => outbox.publish(channel, number, no_room),
            Act::Broadcast(number) => outbox.broadcast(number, NoRoom::Wait),
            Act::Ask { to, number, within } => {
                self.asked += 1;
                outbox.request(to, Token(number), number, now.after(within));
            }
            Act::TalkToItself => {
                self.talks = true;
                self.talk();
            }
            Act::Tick(every) => {
                self.every = Some(every);
                self.next_at = Some(now.after(every));
            }
            Act::Finish => outbox.finish(),
            Act::Panic => panic!("told to panic"),
            Act::Note(number) => {
                self.heard.push((now, Heard::Noted(number)));
                outbox.report(Said::Noted(number));
            }
        }
    }

    fn talk(&mut self) {
        let itself = self.itself.expect("started");
        self.outbox.send_to(itself, 0, NoRoom::Drop);
    }

    fn hear(&mut self, event: BusEvent<u8, u64>) -> Heard {
        match event {
            BusEvent::Message { from, to, message } => Heard::Message {
                from,
                to,
                number: message,
            },
            BusEvent::Request {
                request, message, ..
            } => {
                if !self.role.silent {
                    self.outbox.answer(request, message + 1);
                }
                Heard::Noted(message)
            }
            BusEvent::Reply { message, .. } => Heard::Reply(message),
            BusEvent::RequestFailed { error, .. } => Heard::Failed(error),
            BusEvent::Subscribed(channel) => Heard::Subscribed(channel),
            BusEvent::Agent(agent) => Heard::Agent(agent),
            BusEvent::NoRoom { worker, command } => {
                self.returned.push((worker, command));
                Heard::NoRoom(worker)
            }
            BusEvent::Room { worker } => {
                let has_room = |(full, _): &mut (u16, _)| *full == worker;
                for (_, command) in self.returned.extract_if(.., has_room) {
                    self.outbox.bus(command);
                }
                Heard::Room(worker)
            }
            BusEvent::Undelivered { messages, .. } => Heard::Undelivered(messages),
            BusEvent::StaleRequest(_) => Heard::Stale,
            unknown => panic!("{unknown:?}"),
        }
    }
}

impl<const PHASE: u8> Task for Puppet<PHASE> {
    type App = Show;

    const SHUTDOWN_PHASE: u8 = PHASE;

    fn handle_input(&mut self, now: Timestamp, input: Input<Show>) {
        match input {
            Input::Started(context) => self.itself = Some(context.task),
            Input::Timeout => {
                self.next_at = self.every.map(|every| now.after(every));
                self.heard.push((now, Heard::Tick));
            }
            Input::Bus(event) => {
                let heard = self.hear(event);
                let from_itself =
                    matches!(heard, Heard::Message { from, .. } if from == self.itself);
                if self.talks && from_itself {
                    self.talk();
                } else {
                    self.heard.push((now, heard));
                }
            }
            Input::Command(act) => self.act(now, act),
            Input::Shutdown => {
                self.outbox.report(Said::ShutDown);
                if !self.role.stubborn {
                    self.outbox.finish();
                }
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Show>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Some(Deadline::new(self.next_at?, "tick"))
    }
}

/// What messages are more that may be dropped.
pub const HASTY: u64 = 1 << 32;

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// A node with this many workers and this bus.
pub fn node(world: &mut World<Show>, workers: u16, bus: BusLink) -> NodeId {
    let node = world.node("node", [10, 0, 0, 1]).workers(workers);
    node.bus(bus).spawner(spawn)
}

/// One more puppet on a worker.
pub fn puppet(world: &mut World<Show>, node: NodeId, worker: u16) -> TaskId {
    puppet_as(world, node, worker, Role::default())
}

pub fn puppet_as(world: &mut World<Show>, node: NodeId, worker: u16, role: Role) -> TaskId {
    let before: Vec<TaskId> = all(world, node);
    world.spawn(node, worker, role);
    world.run_for(Duration::from_nanos(1)).unwrap();
    let new = all(world, node)
        .into_iter()
        .find(|task| !before.contains(task));
    new.expect("a puppet that was made")
}

/// All puppets of a node.
pub fn all(world: &World<Show>, node: NodeId) -> Vec<TaskId> {
    let first = world.tasks::<Puppet<0>>(node).map(|(task, _)| task);
    let second = world.tasks::<Puppet<1>>(node).map(|(task, _)| task);
    let third = world.tasks::<Puppet<2>>(node).map(|(task, _)| task);
    first.chain(second).chain(third).collect()
}

/// All that a puppet of phase 0 has heard, and when.
pub fn heard_at(world: &World<Show>, node: NodeId, task: TaskId) -> Vec<(Timestamp, Heard)> {
    let puppet = world.task::<Puppet<0>>(node, task).expect("it lives");
    puppet.heard.clone()
}

/// All that a puppet of phase 0 has heard.
pub fn heard(world: &World<Show>, node: NodeId, task: TaskId) -> Vec<Heard> {
    let heard = heard_at(world, node, task);
    heard.into_iter().map(|(_, heard)| heard).collect()
}

/// The messages that it has had: from whom, and their numbers.
pub fn messages(world: &World<Show>, node: NodeId, task: TaskId) -> Vec<(Option<TaskId>, u64)> {
    let heard = heard(world, node, task);
    let messages = heard.into_iter().filter_map(|heard| match heard {
        Heard::Message { from, number, .. } => Some((from, number)),
        _ => None,
    });
    messages.collect()
}

/// Their numbers alone.
pub fn numbers(world: &World<Show>, node: NodeId, task: TaskId) -> Vec<u64> {
    let messages = messages(world, node, task).into_iter();
    messages.map(|(_, number)| number).collect()
}
