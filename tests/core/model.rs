//! What a worker of probes does, said as simply as it can be: lists that are searched from end to
//! end, no ids, no erased types. It writes the book that the worker is to write.

use std::collections::VecDeque;

use stillpoint::{End, SpawnError, WorkerConfig};

use super::bench::Say;
use super::probe::{Act, Birth, Entry, Heard, Kind, Place, Pushed, Said};

#[path = "model_port.rs"]
mod port;

pub(crate) struct Model {
    limits: WorkerConfig,
    now: u64,
    tasks: Vec<Life>,
    sockets: Vec<Socket>,
    groups: Vec<(Kind, Places)>,
    socket_places: Places,
    first_group: usize,
    waiting: VecDeque<Own>,
    shutdown: Shutdown,
    pub(crate) book: Vec<Entry>,
}

/// A task that lives or lived.
struct Life {
    birth: Birth,
    alive: bool,
    group: usize,
    slot: u32,
    timeouts: usize,
    wants: Option<u64>,
    panics: Option<Place>,
}

struct Socket {
    owner: Option<usize>,
    slot: u32,
}

/// An input that the worker gives itself.
enum Own {
    Spawn(usize, Birth),
    Tell(usize, Heard),
}

enum Shutdown {
    No,
    /// Whoever is at this group and slot, or behind, is to be told.
    From(usize, u32),
    Told,
}

/// Numbers that are given out; the one given back last is given out first.
#[derive(Default)]
struct Places {
    free: Vec<u32>,
    ever: u32,
}

impl Places {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.ever += 1;
            self.ever - 1
        })
    }

    fn taken(&self) -> usize {
        self.ever as usize - self.free.len()
    }
}

impl Model {
    /// A model with one task and one socket that were another worker's.
    pub(crate) fn with_foreigners(limits: WorkerConfig) -> Self {
        let (birth, group, slot) = (Birth::default(), usize::MAX, u32::MAX);
        let life = Life {
            birth,
            alive: false,
            group,
            slot,
            timeouts: 0,
            wants: None,
            panics: None,
        };
        Self {
            limits,
            now: 0,
            tasks: vec![life],
            sockets: vec![Socket { owner: None, slot }],
            groups: Vec::new(),
            socket_places: Places::default(),
            first_group: 0,
            waiting: VecDeque::new(),
            shutdown: Shutdown::No,
            book: Vec::new(),
        }
    }

    pub(crate) fn alive(&self) -> usize {
        self.tasks.iter().filter(|life| life.alive).count()
    }

    pub(crate) fn open(&self) -> usize {
        self.sockets
            .iter()
            .filter(|socket| socket.owner.is_some())
            .count()
    }

    pub(crate) fn wants(&self) -> Option<u64> {
        if !self.waiting.is_empty() || matches!(self.shutdown, Shutdown::From(..)) {
            return Some(self.now);
        }
        self.tasks
            .iter()
            .filter(|life| life.alive)
            .filter_map(|life| life.wants)
            .min()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let told = !matches!(self.shutdown, Shutdown::No);
        told && self.alive() == 0 && self.waiting.is_empty()
    }

    pub(crate) fn say(&mut self, now: u64, say: &Say) {
        self.now = self.now.max(now);
        match say {
            Say::Timeout => self.timeout(),
            Say::Spawn(birth) => self.spawn(None, birth.clone()),
            Say::Command(task, acts) => {
                let task = task % self.tasks.len();
                if self.tasks[task].alive {
                    self.turn(task, Heard::Command, acts.clone());
                } else {
                    self.push(Pushed::Stale(task));
                }
            }
            Say::Opened(socket) => self.network(*socket, Heard::Opened),
            Say::OpenFailed(socket) => {
                self.network(*socket, |socket| Heard::OpenFailed(Some(socket)))
            }
            Say::Datagram(socket) => self.network(*socket, Heard::Datagram),
            Say::Shutdown => {
                if matches!(self.shutdown, Shutdown::No) {
                    self.shutdown = Shutdown::From(0, 0);
                }
            }
            Say::Abort => {
                self.shutdown = Shutdown::Told;
                while let Some(task) = self.next_from(0, 0) {
                    self.end(task, End::Removed);
                }
                while let Some(own) = self.waiting.pop_front() {
                    if let Own::Spawn(parent, birth) = own {
                        self.spawn(Some(parent), birth);
                    }
                }
            }
        }
    }

    fn network(&mut self, socket: usize, heard: impl Fn(usize) -> Heard) {
        let socket = socket % self.sockets.len();
        let Some(task) = self.sockets[socket].owner else {
            return;
        };
        let heard = heard(socket);
        if matches!(heard, Heard::OpenFailed(_)) {
            self.release(socket);
        }
        let acts = match heard {
            Heard::Datagram(_) => self.tasks[task].birth.datagram.clone(),
            _ => Vec::new(),
        };
        self.turn(task, heard, acts);
    }

    fn timeout(&mut self) {
        let mut left = self.limits.batch_max;
        let groups = self.groups.len();
        for offset in 0..groups {
            let group = (self.first_group + offset) % groups;
            while left > 0
                && let Some(task) = self.most_overdue(group)
            {
                let life = &mut self.tasks[task];
                life.wants = None;
                let acts = life
                    .birth
                    .timeouts
                    .get(life.timeouts)
                    .cloned()
                    .unwrap_or_default();
                life.timeouts += 1;
                self.turn(task, Heard::Timeout, acts);
                left -= 1;
            }
        }
        self.first_group = (self.first_group + 1) % groups.max(1);

        for _ in 0..self.waiting.len().min(self.limits.batch_max as usize) {
            match self.waiting.pop_front() {
                Some(Own::Spawn(parent, birth)) => self.spawn(Some(parent), birth),
                Some(Own::Tell(task, heard)) if self.tasks[task].alive => {
                    self.turn(task, heard, Vec::new());
                }
                _ => {}
            }
        }

        for _ in 0..self.limits.batch_max {
            let Shutdown::From(group, slot) = self.shutdown else {
                break;
            };
            let Some(task) = self.next_from(group, slot) else {
                self.shutdown = Shutdown::Told;
                break;
            };
            self.shutdown = Shutdown::From(self.tasks[task].group, self.tasks[task].slot + 1);
            let acts = self.tasks[task].birth.shutdown.clone();
            self.turn(task, Heard::Shutdown, acts);
        }
    }

    fn most_overdue(&self, group: usize) -> Option<usize> {
        let due = |life: &Life| life.alive && life.group == group && life.wants <= Some(self.now);
        (0..self.tasks.len())
            .filter(|&task| self.tasks[task].wants.is_some() && due(&self.tasks[task]))
            .min_by_key(|&task| (self.tasks[task].wants, self.tasks[task].slot))
    }

    fn next_from(&self, group: usize, slot: u32) -> Option<usize> {
        let place = |task: usize| (self.tasks[task].group, self.tasks[task].slot);
        (0..self.tasks.len())
            .filter(|&task| self.tasks[task].alive && place(task) >= (group, slot))
            .min_by_key(|&task| place(task))
    }

    fn spawn(&mut self, parent: Option<usize>, birth: Birth) {
        let error = match birth.kind {
            _ if !matches!(self.shutdown, Shutdown::No) => Some(SpawnError::Stopping),
            Kind::Refused => Some(SpawnError::Refused {
                reason: "not this one".to_owned(),
            }),
            Kind::Panicking => Some(SpawnError::Panicked {
                message: "in spawn".to_owned(),
            }),
            Kind::First | Kind::Second | Kind::Third | Kind::PanickingLate => None,
        };
        if let Some(error) = error {
            return self.push(Pushed::SpawnFailed { parent, error });
        }
        let late = birth.kind == Kind::PanickingLate;
        let kind = if late { Kind::First } else { birth.kind };
        if !self.groups.iter().any(|(of, _)| *of == kind) {
            self.groups.push((kind, Places::default()));
        }
        let group = self
            .groups
            .iter()
            .position(|(of, _)| *of == kind)
            .expect("it is there now");
        let places = &mut self.groups[group].1;
        let full = places.taken() == self.limits.tasks_max as usize;
        if late {
            if !full {
                let slot = places.take();
                places.free.push(slot);
            }
            let error = SpawnError::Panicked {
                message: "after insert".to_owned(),
            };
            return self.push(Pushed::SpawnFailed { parent, error });
        }
        if full {
            let error = SpawnError::GroupFull {
                tasks_max: self.limits.tasks_max,
            };
            return self.push(Pushed::SpawnFailed { parent, error });
        }
        let slot = places.take();
        let (task, start) = (self.tasks.len(), birth.start.clone());
        let life = Life {
            birth,
            alive: true,
            group,
            slot,
            timeouts: 0,
            wants: None,
            panics: None,
        };
        self.tasks.push(life);
        self.push(Pushed::Started { task, parent });
        self.turn(task, Heard::Started, start);
    }

    /// One input to one task, and all that follows from it.
    fn turn(&mut self, task: usize, input: Heard, acts: Vec<Act>) {
        let panicked = |place: Place| End::Panicked {
            message: place.message().to_owned(),
        };
        let (now, tick) = (self.now, input == Heard::Timeout);
        self.book.push(Entry::Given { task, now, input });
        let mut steps = VecDeque::new();
        for act in acts {
            let life = &mut self.tasks[task];
            match act {
                Act::After(wait) => life.wants = Some(now.saturating_add_signed(wait)),
                Act::Rest => life.wants = None,
                Act::Panic(Place::HandleInput) => {
                    return self.end(task, panicked(Place::HandleInput));
                }
                Act::Panic(place @ (Place::PollTimeout | Place::Drop)) => life.panics = Some(place),
                step => steps.push_back(step),
            }
        }
        let mut outputs = 0;
        while let Some(step) = steps.pop_front() {
            let said = self.said(&step);
            self.book.push(Entry::Polled {
                task,
                output: Some(said.clone()),
            });
            match said {
                Said::Panic => return self.end(task, panicked(Place::PollOutput)),
                Said::Finished => return self.end(task, End::Finished),
                _ if outputs == self.limits.outputs_max => {
                    return self.end(
                        task,
                        End::Runaway {
                            outputs_max: outputs,
                        },
                    );
                }
                _ => outputs += 1,
            }
            if step == Act::RunAway {
                steps.push_front(Act::RunAway);
            }
            self.output(task, said, step);
        }
        self.book.push(Entry::Polled { task, output: None });
        let life = &self.tasks[task];
        self.book.push(Entry::Asked {
            task,
            wants: life.wants,
        });
        if life.panics == Some(Place::PollTimeout) {
            self.end(task, panicked(Place::PollTimeout));
        } else if let Some(at) = life.wants.filter(|&at| tick && at <= now) {
            self.end(task, spin(now, at));
        }
    }

    fn said(&self, step: &Act) -> Said {
        let socket = |number: usize| number % self.sockets.len();
        match *step {
            Act::Report(tag) => Said::Report(tag),
            Act::RunAway => Said::Report(0),
            Act::Finish => Said::Finished,
            Act::Spawn(_) => Said::Spawn,
            Act::Open => Said::Open,
            Act::Close(number) => Said::Close(socket(number)),
            Act::Send(number) | Act::Write(number, _) | Act::SendTooLong(number) => {
                Said::Transmit(socket(number))
            }
            Act::Panic(_) => Said::Panic,
            Act::Draw | Act::After(_) | Act::Rest => unreachable!("{step:?} is not modelled"),
        }
    }

    fn push(&mut self, pushed: Pushed) {
        self.book.push(Entry::Pushed(pushed));
    }
}

/// The end of a task that was given its timeout and wants another at once.
pub(crate) fn spin(now: u64, at: u64) -> End {
    use stillpoint::Timestamp;
    let (now, at) = (Timestamp::from_nanos(now), Timestamp::from_nanos(at));
    let message =
        format!("would spin: given its timeout at {now}, it wants another at {at} (probe)");
    End::Panicked { message }
}
