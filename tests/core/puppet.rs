//! Tasks on the bus that do what they are told, and note what they hear.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use stillpoint::{
    App, BusCommand, BusEvent, Deadline, Destination, Input, NoRoom, Output, RequestError,
    RequestId, Task, TaskId, Timestamp, Token, TransmitBuffer,
};

#[derive(Debug)]
pub(crate) struct Town;

impl App for Town {
    type Channel = u8;
    type Message = Note;
    type Command = Vec<Act>;
    type Report = u64;
    type Spawn = Birth;
}

/// A message. Its number says when it was written; what its reader does about it is in it.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) number: u64,
    pub(crate) then: Vec<Act>,
    pub(crate) clones: Arc<AtomicU32>,
}

impl Note {
    /// One that nobody of the town has written.
    pub(crate) fn foreign(number: u64) -> Self {
        Self {
            number,
            then: Vec::new(),
            clones: Arc::default(),
        }
    }
}

impl Clone for Note {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self {
            number: self.number,
            then: self.then.clone(),
            clones: Arc::clone(&self.clones),
        }
    }
}

/// Who is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Whom {
    Task(TaskId),
    /// By the order in which all came to be, modulo how many there were so far.
    Number(usize),
    Me,
    /// Who has written what this is about.
    Back,
    Channel(u8),
    Workers,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    Subscribe(u8),
    Unsubscribe(u8),
    BecomeAgent,
    Send(Whom, NoRoom, Vec<Self>),
    /// Ask somebody, who has so many nanoseconds.
    Request(Whom, NoRoom, u64, Vec<Self>),
    /// Answer what it was asked first and has not answered.
    Reply(NoRoom),
    /// Answer a request that anybody was asked, by number.
    ReplyTo(usize),
    /// Want a timeout so many nanoseconds from now on.
    After(u64),
    /// Say something to the controller.
    Report(u64),
    Spawn(Birth),
    Panic,
    RunAway,
    Finish,
}

/// What a task is made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Birth {
    /// The shutdown phase of its type: 0, 1 or 9.
    pub(crate) phase: u8,
    pub(crate) start: Vec<Act>,
    /// What it does at each timeout.
    pub(crate) timeout: Vec<Act>,
    /// What it does whenever something comes back for want of room, besides sending it again later.
    pub(crate) no_room: Vec<Act>,
    pub(crate) shutdown: Vec<Act>,
}

impl Default for Birth {
    fn default() -> Self {
        Self {
            phase: 0,
            start: Vec::new(),
            timeout: Vec::new(),
            no_room: Vec::new(),
            shutdown: vec![Act::Finish],
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    Started,
    Timeout,
    Command,
    Shutdown,
    Message {
        from: Option<TaskId>,
        to: Destination<u8>,
        number: u64,
    },
    Request {
        from: TaskId,
        request: RequestId,
        number: u64,
    },
    Reply {
        from: TaskId,
        token: u64,
        number: u64,
    },
    Failed {
        to: TaskId,
        token: u64,
        error: RequestError,
    },
    Subscribed(u8),
    TooManySubscriptions(u8),
    Agent(TaskId),
    NoRoom(u16, u64),
    Room(u16),
    Undelivered(TaskId, u32),
    Stale(RequestId),
}

/// What was written, and when last it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) from: TaskId,
    /// The receiver, unless there are several.
    pub(crate) to: Option<TaskId>,
    pub(crate) form: Form,
    pub(crate) no_room: NoRoom,
    pub(crate) last_sent: u64,
    /// When a request fails.
    pub(crate) until: u64,
    pub(crate) clones: Arc<AtomicU32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Message,
    Request,
    Reply,
}

/// What all tasks of a cluster hear and do.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<(u64, TaskId, Heard)>,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) requests: Vec<RequestId>,
    pub(crate) written: Vec<Written>,
    /// How often something was sent, what came back and was sent again included.
    pub(crate) sent: u64,
    /// What came back and waits with its writer to be sent again.
    pub(crate) returned: usize,
    /// Who has subscribed to what, and has not ended.
    pub(crate) subscribed: BTreeSet<(TaskId, u8)>,
    /// Who was given an input and is not drained.
    undrained: Option<TaskId>,
}

pub(crate) type SharedLog = Rc<RefCell<Log>>;

#[derive(Debug)]
pub(crate) struct Puppet<const PHASE: u8> {
    log: SharedLog,
    birth: Birth,
    me: Option<TaskId>,
    now: Timestamp,
    steps: VecDeque<Step>,
    /// Requests that it has not answered.
    asked: VecDeque<RequestId>,
    /// What came back for want of room, by whose.
    returned: Vec<(u16, Command)>,
    wants: Option<Timestamp>,
}

type Command = BusCommand<u8, Note>;

#[derive(Debug)]
enum Step {
    /// Do something on account of somebody.
    Act(Act, Option<TaskId>),
    /// Send what came back.
    Again(Command),
}

impl<const PHASE: u8> Puppet<PHASE> {
    pub(crate) fn new(birth: Birth, log: SharedLog) -> Self {
        Self {
            log,
            birth,
            me: None,
            now: Timestamp::EPOCH,
            steps: VecDeque::new(),
            asked: VecDeque::new(),
            returned: Vec::new(),
            wants: None,
        }
    }

    pub(crate) fn me(&self) -> TaskId {
        self.me.expect("the first input is `Started`")
    }

    fn hear(&mut self, event: BusEvent<u8, Note>) -> (Heard, Vec<Act>, Option<TaskId>) {
        match event {
            BusEvent::Message { from, to, message } => {
                let number = message.number;
                (Heard::Message { from, to, number }, message.then, from)
            }
            BusEvent::Request {
                from,
                request,
                message,
                ..
            } => {
                self.asked.push_back(request);
                self.log.borrow_mut().requests.push(request);
                let number = message.number;
                let heard = Heard::Request {
                    from,
                    request,
                    number,
                };
                (heard, message.then, Some(from))
            }
            BusEvent::Reply {
                from,
                token: Token(token),
                message,
            } => {
                let number = message.number;
                let heard = Heard::Reply {
                    from,
                    token,
                    number,
                };
                (heard, message.then, Some(from))
            }
            BusEvent::NoRoom { worker, command } => {
                let number = number_of(&command);
                self.returned.push((worker, command));
                self.log.borrow_mut().returned += 1;
                (
                    Heard::NoRoom(worker, number),
                    self.birth.no_room.clone(),
                    None,
                )
            }
            BusEvent::Room { worker } => {
                let all = core::mem::take(&mut self.returned);
                let (again, kept): (Vec<_>, Vec<_>) =
                    all.into_iter().partition(|&(at, _)| at == worker);
                self.returned = kept;
                self.log.borrow_mut().returned -= again.len();
                let again = again.into_iter().map(|(_, command)| Step::Again(command));
                self.steps.extend(again);
                (Heard::Room(worker), Vec::new(), None)
            }
            other => (told(other), Vec::new(), None),
        }
    }

    fn whom(&self, whom: Whom, back: Option<TaskId>) -> Option<Destination<u8>> {
        Some(match whom {
            Whom::Task(task) => Destination::Task(task),
            Whom::Number(number) => {
                let tasks = &self.log.borrow().tasks;
                Destination::Task(tasks[number % tasks.len()])
            }
            Whom::Me => Destination::Task(self.me()),
            Whom::Back => Destination::Task(back?),
            Whom::Channel(channel) => Destination::Channel(channel),
            Whom::Workers => Destination::Workers,
        })
    }

    fn note(&self, form: Form, to: Option<TaskId>, no_room: NoRoom, then: Vec<Act>) -> Note {
        let written = &mut self.log.borrow_mut().written;
        let clones = Arc::<AtomicU32>::default();
        let number = written.len() as u64;
        written.push(Written {
            from: self.me(),
            to,
            form,
            no_room,
            last_sent: 0,
            until: 0,
            clones: Arc::clone(&clones),
        });
        Note {
            number,
            then,
            clones,
        }
    }

    /// Asks something of the bus.
    fn bus(&self, command: Command) -> Output<Town> {
        let log = &mut *self.log.borrow_mut();
        match command {
            BusCommand::Subscribe(channel) => {
                log.subscribed.insert((self.me(), channel));
            }
            BusCommand::Unsubscribe(channel) => {
                log.subscribed.remove(&(self.me(), channel));
            }
            _ => {}
        }
        if let Some(note) = note_of(&command) {
            log.sent += 1;
            log.written[note.number as usize].last_sent = log.sent;
        }
        Output::Bus(command)
    }

    fn act(&mut self, act: Act, back: Option<TaskId>) -> Option<Output<Town>> {
        Some(match act {
            Act::Subscribe(channel) => self.bus(BusCommand::Subscribe(channel)),
            Act::Unsubscribe(channel) => self.bus(BusCommand::Unsubscribe(channel)),
            Act::BecomeAgent => self.bus(BusCommand::BecomeAgent),
            Act::Send(whom, no_room, then) => {
                let to = self.whom(whom, back)?;
                let receiver = match to {
                    Destination::Task(task) => Some(task),
                    Destination::Channel(_) | Destination::Workers => None,
                };
                let message = self.note(Form::Message, receiver, no_room, then);
                self.bus(BusCommand::Send {
                    to,
                    message,
                    no_room,
                })
            }
            Act::Request(whom, no_room, wait, then) => {
                let Destination::Task(to) = self.whom(whom, back)? else {
                    return None;
                };
                let message = self.note(Form::Request, Some(to), no_room, then);
                let at = self.now.as_nanos().saturating_add(wait);
                self.log.borrow_mut().written[message.number as usize].until = at;
                self.bus(BusCommand::Request {
                    to,
                    token: Token(message.number),
                    message,
                    until: Timestamp::from_nanos(at),
                    no_room,
                })
            }
            Act::Reply(no_room) => self.reply(self.asked.front().copied()?, no_room),
            Act::ReplyTo(number) => {
                let requests = self.log.borrow().requests.clone();
                let request = requests[number.checked_rem(requests.len())?];
                self.reply(request, NoRoom::Wait)
            }
            Act::Report(report) => Output::Report(report),
            Act::Spawn(birth) => Output::Spawn(birth),
            Act::RunAway => {
                self.steps.push_front(Step::Act(Act::RunAway, None));
                Output::Report(0)
            }
            Act::Finish => Output::Finished,
            Act::Panic => std::panic::resume_unwind(Box::new("as it was told")),
            Act::After(_) => return None,
        })
    }

    fn reply(&mut self, request: RequestId, no_room: NoRoom) -> Output<Town> {
        self.asked.retain(|&asked| asked != request);
        let message = self.note(Form::Reply, None, no_room, Vec::new());
        self.bus(BusCommand::Reply {
            request,
            message,
            no_room,
        })
    }
}

impl<const PHASE: u8> Task for Puppet<PHASE> {
    type App = Town;
    const SHUTDOWN_PHASE: u8 = PHASE;

    fn handle_input(&mut self, now: Timestamp, input: Input<Town>) {
        self.now = now;
        let (heard, acts, back) = match input {
            Input::Started(context) => {
                self.me = Some(context.task);
                self.log.borrow_mut().tasks.push(context.task);
                (Heard::Started, self.birth.start.clone(), None)
            }
            Input::Timeout => {
                self.wants = None;
                (Heard::Timeout, self.birth.timeout.clone(), None)
            }
            Input::Command(acts) => (Heard::Command, acts, None),
            Input::Shutdown => (Heard::Shutdown, self.birth.shutdown.clone(), None),
            Input::Bus(event) => self.hear(event),
            other => panic!("a puppet does not know {other:?}"),
        };
        let me = self.me();
        {
            let log = &mut *self.log.borrow_mut();
            assert_eq!(log.undrained, None, "{me} is told {heard:?}");
            log.undrained = Some(me);
            log.entries.push((now.as_nanos(), me, heard));
        }
        if acts.first() == Some(&Act::Panic) {
            std::panic::resume_unwind(Box::new("as it was told"));
        }
        for act in acts {
            if let Act::After(wait) = act {
                self.wants = Some(Timestamp::from_nanos(now.as_nanos().saturating_add(wait)));
            }
            self.steps.push_back(Step::Act(act, back));
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Town>> {
        while let Some(step) = self.steps.pop_front() {
            let output = match step {
                Step::Act(act, back) => self.act(act, back),
                Step::Again(command) => Some(self.bus(command)),
            };
            if output.is_some() {
                return output;
            }
        }
        self.log.borrow_mut().undrained = None;
        None
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.wants.map(|at| Deadline::new(at, "puppet"))
    }
}

impl<const PHASE: u8> Drop for Puppet<PHASE> {
    fn drop(&mut self) {
        let log = &mut *self.log.borrow_mut();
        log.returned -= self.returned.len();
        while let Some(me) = self.me
            && let Some(&mine) = log.subscribed.range((me, 0)..=(me, u8::MAX)).next()
        {
            log.subscribed.remove(&mine);
        }
        if log.undrained == self.me {
            log.undrained = None;
        }
    }
}

/// What was heard, of which a puppet makes nothing.
fn told(event: BusEvent<u8, Note>) -> Heard {
    match event {
        BusEvent::RequestFailed {
            to,
            token: Token(token),
            error,
        } => Heard::Failed { to, token, error },
        BusEvent::Subscribed(channel) => Heard::Subscribed(channel),
        BusEvent::TooManySubscriptions { channel, .. } => Heard::TooManySubscriptions(channel),
        BusEvent::Agent(agent) => Heard::Agent(agent),
        BusEvent::Undelivered { to, messages } => Heard::Undelivered(to, messages),
        BusEvent::StaleRequest(request) => Heard::Stale(request),
        other => panic!("a puppet does not know {other:?}"),
    }
}

fn note_of(command: &Command) -> Option<&Note> {
    match command {
        BusCommand::Send { message, .. }
        | BusCommand::Request { message, .. }
        | BusCommand::Reply { message, .. } => Some(message),
        _ => None,
    }
}

fn number_of(command: &Command) -> u64 {
    let note = note_of(command);
    note.expect("only messages come back").number
}
