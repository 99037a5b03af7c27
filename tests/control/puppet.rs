//! Puppets: tasks that do what they are told, and tell what they hear.
#![allow(dead_code, reason = "several test programs use it, each some of it")]

use core::fmt;
use core::net::SocketAddr;

use stillpoint::{
    App, Buffer, BufferPool, BusEvent, Deadline, Input, NetworkEvent, NoRoom, Outbox, Output,
    RequestId, Spawned, Spawner, Task, TaskId, Timestamp, Token, TransmitBuffer,
};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Play;

impl App for Play {
    type Channel = u8;
    type Message = u64;
    type Command = Act;
    type Report = Told;
    type Spawn = Role;
}

pub(crate) type Heard = BusEvent<u8, u64>;

/// What a puppet is to do.
pub(crate) struct Act(pub(crate) Box<dyn FnOnce(&mut Hands) + Send>);

impl Act {
    pub(crate) fn new(act: impl FnOnce(&mut Hands) + Send + 'static) -> Self {
        Self(Box::new(act))
    }

    /// Nothing but to say so.
    pub(crate) fn say(number: u64) -> Self {
        Self::new(move |hands| hands.tell(News::Said(number)))
    }
}

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Act")
    }
}

/// What a puppet is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Finishes in the first phase of a shutdown.
    First,
    /// In the second.
    Second,
    /// In the last.
    Last,
    /// Does not finish when it is told to.
    Stubborn,
    /// Cannot be made.
    Impossible,
    /// Whoever makes it panics.
    Accident,
    /// Panics when it has started.
    Weak,
}

/// What a puppet says, and when it did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told(pub(crate) Timestamp, pub(crate) News);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Acted,
    Said(u64),
    Timeout,
    Shutdown,
    Bus(Heard),
    /// Its socket is open, here.
    Bound(SocketAddr),
}

/// What a puppet can do things with.
pub(crate) struct Hands {
    pub(crate) now: Timestamp,
    pub(crate) me: Option<TaskId>,
    pub(crate) outbox: Outbox<Play>,
    pub(crate) deadline: Option<Timestamp>,
    /// Whether it keeps to itself what it hears over the bus.
    pub(crate) is_silent: bool,
    /// Whether it keeps to itself what comes back for want of room.
    pub(crate) is_patient: bool,
    /// Whether it goes on when it is told to finish.
    pub(crate) is_stubborn: bool,
    /// Messages and requests that it has heard.
    pub(crate) heard: u64,
    /// The last request that it was asked and has not answered.
    pub(crate) asked: Option<RequestId>,
    /// Whom it sends a message to when it is told to finish.
    pub(crate) last_words: Option<TaskId>,
    pub(crate) buffers: Option<BufferPool>,
    pub(crate) kept: Vec<Buffer>,
    /// What it does when a datagram comes.
    pub(crate) on_datagram: Option<Box<dyn FnMut() + Send>>,
    #[expect(clippy::type_complexity, reason = "a function, in a box")]
    pub(crate) react: Option<Box<dyn FnMut(&Heard, &mut Self) + Send>>,
}

impl Hands {
    pub(crate) fn tell(&mut self, news: News) {
        self.outbox.report(Told(self.now, news));
    }

    /// Asks, and gives a long time to answer.
    pub(crate) fn ask(&mut self, to: TaskId, message: u64) {
        let until = self.now.after(core::time::Duration::from_secs(3_600));
        self.outbox.request(to, Token(message), message, until);
    }
}

struct Puppet<const PHASE: u8>(Hands);

pub(crate) fn spawn(role: Role, spawner: Spawner<'_, Play>) -> Spawned {
    let mut hands = Hands {
        now: Timestamp::EPOCH,
        me: None,
        outbox: Outbox::new(),
        deadline: None,
        is_silent: false,
        is_patient: false,
        is_stubborn: false,
        heard: 0,
        asked: None,
        last_words: None,
        buffers: None,
        kept: Vec::new(),
        on_datagram: None,
        react: None,
    };
    match role {
        Role::First => spawner.insert(Puppet::<0>(hands)),
        Role::Second => spawner.insert(Puppet::<1>(hands)),
        Role::Last => spawner.insert(Puppet::<255>(hands)),
        Role::Stubborn => {
            hands.is_stubborn = true;
            spawner.insert(Puppet::<0>(hands))
        }
        Role::Impossible => spawner.refuse("it is impossible"),
        Role::Accident => panic!("an accident in the making"),
        Role::Weak => spawner.insert(Weak),
    }
}

impl<const PHASE: u8> Puppet<PHASE> {
    fn bus(&mut self, event: Heard) {
        let hands = &mut self.0;
        match event {
            BusEvent::Message { .. } => hands.heard += 1,
            BusEvent::Request { request, .. } => {
                hands.heard += 1;
                hands.asked = Some(request);
            }
            _ => {}
        }
        if let Some(mut react) = hands.react.take() {
            react(&event, hands);
            hands.react.get_or_insert(react);
        }
        let is_kept = hands.is_patient && matches!(event, BusEvent::NoRoom { .. });
        if !hands.is_silent && !is_kept {
            hands.tell(News::Bus(event));
        }
    }
}

impl<const PHASE: u8> Task for Puppet<PHASE> {
    type App = Play;

    const SHUTDOWN_PHASE: u8 = PHASE;

    fn handle_input(&mut self, now: Timestamp, input: Input<Play>) {
        self.0.now = now;
        match input {
            Input::Started(context) => {
                self.0.me = Some(context.task);
                self.0.buffers = Some(context.buffers);
            }
            Input::Timeout => {
                self.0.deadline = None;
                self.0.tell(News::Timeout);
            }
            Input::Bus(event) => self.bus(event),
            Input::Network(NetworkEvent::UdpOpened { local, .. }) => {
                self.0.tell(News::Bound(local));
            }
            Input::Network(NetworkEvent::Datagrams { .. }) => {
                if let Some(on_datagram) = &mut self.0.on_datagram {
                    on_datagram();
                }
            }
            Input::Command(Act(act)) => act(&mut self.0),
            Input::Shutdown => {
                self.0.tell(News::Shutdown);
                if let Some(to) = self.0.last_words {
                    self.0.outbox.send_to(to, 0, NoRoom::Wait);
                }
                if !self.0.is_stubborn {
                    self.0.outbox.finish();
                }
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Play>> {
        self.0.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let deadline = self.0.deadline;
        deadline.map(|at| Deadline::new(at, "as it was told"))
    }
}

struct Weak;

impl Task for Weak {
    type App = Play;

    fn handle_input(&mut self, _: Timestamp, _: Input<Play>) {
        panic!("weak");
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Play>> {
        None
    }
}
