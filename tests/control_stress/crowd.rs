//! The tasks of the stress test, and what they count.

use core::fmt;
use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stillpoint::{
    App, Buffer, BufferPool, BusEvent, Context, Deadline, Destination, Input, NoRoom, Outbox,
    Output, Source, Spawned, Spawner, Task, TaskId, Timestamp, Token, TransmitBuffer,
};

#[derive(Debug)]
pub(crate) struct Crowd;

impl App for Crowd {
    type Channel = u8;
    type Message = Note;
    type Command = u64;
    type Report = ();
    type Spawn = Arc<Shared>;
}

/// What members do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Messages to one task, and requests: of these the outcome is known one by one.
    Direct,
    /// Channels and broadcasts, too.
    Everything,
}

/// What all members and the test know.
pub(crate) struct Shared {
    pub(crate) talk: Talk,
    /// Those that have started lately; some are no more.
    pub(crate) members: Mutex<Vec<TaskId>>,
    pub(crate) pools: Mutex<Vec<(u16, BufferPool)>>,
    next: AtomicU64,
    /// What became of each message to one task, by its number.
    marks: Vec<AtomicU8>,
    /// Messages, requests and answers that were given to the bus.
    pub(crate) given: AtomicU64,
    /// The same, as they were heard.
    pub(crate) heard: AtomicU64,
    pub(crate) came_back: AtomicU64,
    pub(crate) undelivered: AtomicU64,
    pub(crate) put: AtomicU64,
    pub(crate) settled: AtomicU64,
    /// Commands that came.
    pub(crate) commands: AtomicU64,
    /// Bodies of messages that there are.
    pub(crate) bodies: Arc<AtomicI64>,
    /// Members that there are.
    pub(crate) alive: AtomicI64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    pub(crate) fn new(talk: Talk) -> Arc<Self> {
        Arc::new(Self {
            talk,
            members: Mutex::default(),
            pools: Mutex::default(),
            next: AtomicU64::new(0),
            marks: (0..MARKS).map(|_| AtomicU8::new(0)).collect(),
            given: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            came_back: AtomicU64::new(0),
            undelivered: AtomicU64::new(0),
            put: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            bodies: Arc::default(),
            alive: AtomicI64::new(0),
        })
    }

    /// A message with a number of its own.
    pub(crate) fn note(self: &Arc<Self>, buffer: Option<Buffer>) -> Note {
        Note {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            _body: Body::new(Arc::clone(&self.bodies)),
            _buffer: buffer,
        }
    }

    /// A message to one task was heard, or came back. It never does either twice, nor both.
    fn mark(&self, number: u64) {
        let mark = usize::try_from(number).ok();
        if let Some(mark) = mark.and_then(|number| self.marks.get(number)) {
            let before = mark.fetch_add(1, Ordering::Relaxed);
            assert_eq!(before, 0, "message {number} was there already");
        }
    }

    pub(crate) fn members(&self) -> MutexGuard<'_, Vec<TaskId>> {
        lock(&self.members)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Clone)]
pub(crate) struct Note {
    number: u64,
    _body: Body,
    _buffer: Option<Buffer>,
}

/// Counts itself.
#[derive(Debug)]
struct Body(Arc<AtomicI64>);

impl Body {
    fn new(bodies: Arc<AtomicI64>) -> Self {
        bodies.fetch_add(1, Ordering::Relaxed);
        Self(bodies)
    }
}

impl Clone for Body {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn spawn(shared: Arc<Shared>, spawner: Spawner<'_, Crowd>) -> Spawned {
    shared.alive.fetch_add(1, Ordering::Relaxed);
    spawner.insert(Member {
        shared,
        context: None,
        deadline: None,
        last: BTreeMap::new(),
        outbox: Outbox::new(),
    })
}

struct Member {
    shared: Arc<Shared>,
    context: Option<(Context, Source)>,
    deadline: Option<Timestamp>,
    /// The last number heard of each who sends.
    last: BTreeMap<Option<TaskId>, u64>,
    outbox: Outbox<Crowd>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Member {
    fn start(&mut self, context: Context) {
        let random = context.random.clone();
        let (task, worker) = (context.task, context.worker());
        let mut pools = lock(&self.shared.pools);
        if !pools.iter().any(|(of, _)| *of == worker) {
            pools.push((worker, context.buffers.clone()));
        }
        drop(pools);
        let mut members = self.shared.members();
        if members.len() < MEMBERS {
            members.push(task);
        } else {
            let place = usize::from(task.key().slot as u16) % MEMBERS;
            members[place] = task;
        }
        drop(members);
        self.context = Some((context, random));
    }

    /// Does something, drawn by chance.
    fn act(&mut self, now: Timestamp) {
        let Some((context, random)) = &mut self.context else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        self.deadline = Some(now.after(random.duration(PAUSE_MIN..=PAUSE_MAX)));
        let members = shared.members();
        let place = random.below(members.len() as u64);
        let to = members[usize::try_from(place).unwrap_or_default()];
        drop(members);
        let no_room = if random.chance(0.5) {
            NoRoom::Wait
        } else {
            NoRoom::Drop
        };
        let mut act = random.below(100);
        if shared.talk == Talk::Direct && (80..98).contains(&act) {
            act = 0;
        }
        let channel = u8::try_from(random.below(16)).unwrap_or_default();
        match act {
            0..60 => {
                for _ in 0..=random.below(8) {
                    let buffer = context.buffers.take(64);
                    shared.given.fetch_add(1, Ordering::Relaxed);
                    self.outbox.send_to(to, shared.note(Some(buffer)), no_room);
                }
            }
            60..80 => {
                shared.given.fetch_add(1, Ordering::Relaxed);
                shared.put.fetch_add(1, Ordering::Relaxed);
                let until = now.after(ANSWER);
                self.outbox.request(to, Token(0), shared.note(None), until);
            }
            80..86 => self.outbox.subscribe(channel),
            86..88 => self.outbox.unsubscribe(channel),
            88..96 => self.outbox.publish(channel, shared.note(None), no_room),
            96 => self.outbox.broadcast(shared.note(None), no_room),
            97 => self.outbox.become_agent(),
            98 => self.outbox.spawn(shared),
            _ if random.chance(0.1) => panic!("{PLANNED}"),
            _ => self.outbox.finish(),
        }
    }

    fn hear(&mut self, event: BusEvent<u8, Note>) {
        let shared = &self.shared;
        match event {
            BusEvent::Message { from, to, message } => {
                shared.heard.fetch_add(1, Ordering::Relaxed);
                if matches!(to, Destination::Task(_)) {
                    shared.mark(message.number);
                }
                let last = self.last.insert(from, message.number);
                assert!(
                    last.is_none_or(|last| last < message.number),
                    "{} after {last:?} of {from:?}",
                    message.number
                );
            }
            BusEvent::Request {
                request, message, ..
            } => {
                shared.heard.fetch_add(1, Ordering::Relaxed);
                shared.mark(message.number);
                shared.given.fetch_add(1, Ordering::Relaxed);
                self.outbox.answer(request, shared.note(None));
            }
            BusEvent::Reply { message, .. } => {
                shared.heard.fetch_add(1, Ordering::Relaxed);
                shared.settled.fetch_add(1, Ordering::Relaxed);
                shared.mark(message.number);
            }
            BusEvent::RequestFailed { .. } => {
                shared.settled.fetch_add(1, Ordering::Relaxed);
            }
            BusEvent::NoRoom { command, .. } => {
                shared.came_back.fetch_add(1, Ordering::Relaxed);
                if let stillpoint::BusCommand::Send {
                    to: Destination::Task(_),
                    message,
                    ..
                }
                | stillpoint::BusCommand::Reply { message, .. } = command
                {
                    shared.mark(message.number);
                }
            }
            BusEvent::Undelivered { messages, .. } => {
                let messages = u64::from(messages);
                shared.undelivered.fetch_add(messages, Ordering::Relaxed);
            }
            BusEvent::StaleRequest(request) => panic!("{request} was answered once and in time"),
            _ => {}
        }
    }
}

impl Task for Member {
    type App = Crowd;

    fn handle_input(&mut self, now: Timestamp, input: Input<Crowd>) {
        match input {
            Input::Started(context) => {
                self.start(context);
                self.deadline = Some(now.after(PAUSE_MAX));
            }
            Input::Timeout => self.act(now),
            Input::Bus(event) => self.hear(event),
            Input::Command(_) => {
                self.shared.commands.fetch_add(1, Ordering::Relaxed);
            }
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Crowd>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.deadline.map(|at| Deadline::new(at, "the next act"))
    }
}

/// What a planned panic says.
pub(crate) const PLANNED: &str = "as planned";

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(60);

/// Longer than any test.
const ANSWER: Duration = Duration::from_secs(3_600);

/// Members whose ids are known to all.
const MEMBERS: usize = 1_000;

/// Messages of which it is known what became of them.
const MARKS: usize = 1 << 24;
