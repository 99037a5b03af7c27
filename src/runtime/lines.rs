//! What connects a worker's thread with its controller and with the other workers.

use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Receiver;

use super::doorbell::Doorbell;
use super::ring::{RingReceiver, RingSender};
use crate::bus::BusItem;
use crate::control::{CommandId, ControlInput, ControlOutput, WorkerSummary};
use crate::id::TaskId;
use crate::task::App;
use crate::worker::WorkerOutput;

/// What a controller sends to a worker. Commands come most often, so they go without a box.
#[derive(Debug)]
pub(super) enum Told<A: App> {
    Command { task: TaskId, command: A::Command },
    Other(Box<ControlInput<A>>),
}

/// What a worker sends to its controller. Reports come most often, so they go without a box.
#[derive(Debug)]
pub(super) enum Event<A: App> {
    Report { task: TaskId, report: A::Report },
    Other(Box<WorkerOutput<A>>),
}

/// What a worker leaves behind.
pub(super) struct Stopped<A: App> {
    pub(super) summary: WorkerSummary,
    /// What its controller is to hear and there was no room for.
    pub(super) last_words: Vec<Event<A>>,
}

/// A worker's ends of all that leads to it and away from it.
pub(super) struct Lines<A: App> {
    pub(super) bell: Arc<Doorbell>,
    pub(super) control: RingReceiver<Told<A>>,
    /// From threads that have no controller.
    pub(super) remote: Receiver<Box<ControlInput<A>>>,
    pub(super) mailbox: Arc<Mailbox<A>>,
    pub(super) stop: Arc<StopSignal>,
    pub(super) stopping: Stop,
    pub(super) events: Events<A>,
    pub(super) peers: Peers<A>,
}

impl<A: App> Lines<A> {
    /// Whether nothing waits for the worker, so that it may sleep.
    pub(super) fn are_quiet(&self) -> bool {
        self.control.is_empty()
            && self.remote.is_empty()
            && !self.mailbox.has_any()
            && self.stop.load() == self.stopping
            && self.events.may_sleep()
            && self.peers.may_sleep()
    }

    /// Wakes whoever has something to hear from the last batch.
    pub(super) fn flush(&mut self) {
        self.control.flush();
        self.events.flush();
        for (_, line) in &mut self.peers.0 {
            line.outbound.flush();
            line.inbound.flush();
        }
    }
}

/// What a worker's controller is to hear.
pub(super) struct Events<A: App> {
    ring: RingSender<Event<A>>,
    events_max: usize,
    /// Answers that the controller waits for and for which there was no room. Bounded by what it
    /// may have asked for.
    held: VecDeque<Event<A>>,
    /// Tasks that the controller asked for: it waits for their ends.
    asked_for: BTreeSet<TaskId>,
    /// Others, for which there was no room.
    pub(super) dropped: u64,
}

impl<A: App> Events<A> {
    pub(super) const fn new(ring: RingSender<Event<A>>, events_max: usize) -> Self {
        Self {
            ring,
            events_max,
            held: VecDeque::new(),
            asked_for: BTreeSet::new(),
            dropped: 0,
        }
    }

    pub(super) fn report(&mut self, task: TaskId, report: A::Report) {
        // A worker never waits for its controller.
        if !self.held.is_empty() || self.ring.push(Event::Report { task, report }).is_err() {
            self.dropped += 1;
        }
    }

    pub(super) fn push(&mut self, output: WorkerOutput<A>) {
        if is_untracked(&output) {
            return;
        }
        let awaited = self.is_awaited(&output);
        // What nobody has asked for leaves half of the places to reports.
        if !awaited && self.ring.room() <= self.events_max / 2 {
            self.dropped += 1;
            return;
        }
        let event = Event::Other(Box::new(output));
        let event = if self.held.is_empty() {
            match self.ring.push(event) {
                // At once: there may be a task later in this batch that does not return.
                Ok(()) => return self.ring.flush(),
                Err(event) => event,
            }
        } else {
            event
        };
        if awaited {
            self.held.push_back(event);
        } else {
            self.dropped += 1;
        }
    }

    fn is_awaited(&mut self, output: &WorkerOutput<A>) -> bool {
        match output {
            WorkerOutput::Control(output) => {
                if let ControlOutput::Spawned { made: Ok(task), .. } = output {
                    self.asked_for.insert(*task);
                }
                true
            }
            WorkerOutput::Started { task, .. } => self.asked_for.contains(task),
            WorkerOutput::Ended { task, .. } => self.asked_for.remove(task),
            WorkerOutput::Network(_)
            | WorkerOutput::Report { .. }
            | WorkerOutput::SpawnFailed { .. }
            | WorkerOutput::Stale(_)
            | WorkerOutput::Untold { .. } => false,
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Nothing comes any more. What waits, in order, behind what is in the ring.
    pub(super) fn end(&mut self) -> Vec<Event<A>> {
        self.held.drain(..).collect()
    }

    /// Sends what was held, as far as there is room.
    pub(super) fn send_held(&mut self) {
        let _: bool = self.ring.room_came();
        while let Some(event) = self.held.pop_front() {
            if let Err(event) = self.ring.push(event) {
                self.held.push_front(event);
                if !self.ring.wait_for_room() {
                    return;
                }
                if self.ring.is_abandoned() {
                    return self.held.clear(); // Nobody is to hear it any more.
                }
            }
        }
    }

    fn may_sleep(&self) -> bool {
        self.ring.may_sleep()
    }

    fn flush(&mut self) {
        // Room may have come after the last one that waited for it was gone.
        if !self.held.is_empty() || !self.ring.may_sleep() {
            self.send_held();
        }
        self.ring.flush();
    }
}

/// Whether it answers a command that nobody keeps track of.
const fn is_untracked<A: App>(output: &WorkerOutput<A>) -> bool {
    matches!(
        output,
        WorkerOutput::Control(ControlOutput::Commanded { id, .. })
            if id.0 == CommandId::UNTRACKED.0
    )
}

/// The lines to the other workers, by index.
pub(super) struct Peers<A: App>(pub(super) Vec<(u16, PeerLine<A>)>);

/// The bus between this worker and another.
pub(super) struct PeerLine<A: App> {
    pub(super) outbound: Outbound<A>,
    pub(super) inbound: RingReceiver<BusItem<A::Channel, A::Message>>,
    /// The other worker is no more; what it has sent is still here.
    pub(super) left: bool,
}

impl<A: App> Peers<A> {
    pub(super) fn get_mut(&mut self, worker: u16) -> Option<&mut PeerLine<A>> {
        let place = self.0.binary_search_by_key(&worker, |&(index, _)| index);
        Some(&mut self.0[place.ok()?].1)
    }

    pub(super) fn insert(&mut self, worker: u16, line: PeerLine<A>) {
        if let Err(place) = self.0.binary_search_by_key(&worker, |&(index, _)| index) {
            self.0.insert(place, (worker, line));
        }
    }

    /// The next item from a worker.
    pub(super) fn pop(&mut self, from: u16) -> Option<BusItem<A::Channel, A::Message>> {
        self.get_mut(from)?.inbound.pop()
    }

    /// How many items wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.iter().map(|(_, line)| line.inbound.len()).sum()
    }

    /// A worker that is no more, and all of whose items were taken.
    pub(super) fn first_over(&self) -> Option<u16> {
        let over = |line: &PeerLine<A>| line.left && line.inbound.is_empty();
        let mut lines = self.0.iter();
        lines.find(|(_, line)| over(line)).map(|&(index, _)| index)
    }

    /// Ends the lines to a worker. How many messages to it nobody takes.
    pub(super) fn remove(&mut self, worker: u16) -> u64 {
        let place = self.0.binary_search_by_key(&worker, |&(index, _)| index);
        let Ok(place) = place else {
            return 0;
        };
        let (_, line) = self.0.remove(place);
        line.end()
    }

    /// Ends all lines. How many messages nobody takes, as far as this side is the last to end.
    pub(super) fn end(&mut self) -> u64 {
        self.0.drain(..).map(|(_, line)| line.end()).sum()
    }

    fn may_sleep(&self) -> bool {
        let quiet =
            |line: &PeerLine<A>| line.inbound.is_empty() && line.outbound.may_sleep() && !line.left;
        self.0.iter().all(|(_, line)| quiet(line))
    }
}

impl<A: App> PeerLine<A> {
    pub(super) const fn new(
        outbound: Outbound<A>,
        inbound: RingReceiver<BusItem<A::Channel, A::Message>>,
    ) -> Self {
        Self {
            outbound,
            inbound,
            left: false,
        }
    }

    /// Ends it. How many messages nobody takes, as far as this side is the last to end.
    pub(super) fn end(mut self) -> u64 {
        let mut lost = 0;
        while let Some(item) = self.inbound.pop() {
            lost += item.messages();
        }
        // Whoever sends on counts what it sends to nobody. If it has ended meanwhile, we do.
        self.inbound.end(|item| lost += item.messages());
        lost + self.outbound.end()
    }
}

/// Where items for another worker go in. Knows which of those that wait are messages, so that these
/// can be counted if nobody takes them.
pub(super) struct Outbound<A: App> {
    ring: RingSender<BusItem<A::Channel, A::Message>>,
    /// There was room when it was asked for, and that is to be told.
    has_room: bool,
    /// The place that the next one goes into.
    next: usize,
    /// For each place of the ring, whether it holds a message.
    messages: Box<[bool]>,
}

impl<A: App> Outbound<A> {
    pub(super) fn new(ring: RingSender<BusItem<A::Channel, A::Message>>, capacity: usize) -> Self {
        Self {
            ring,
            has_room: false,
            next: 0,
            messages: vec![false; capacity].into_boxed_slice(),
        }
    }

    pub(super) fn room(&self) -> usize {
        self.ring.room()
    }

    pub(super) fn push(&mut self, item: BusItem<A::Channel, A::Message>) {
        self.messages[self.next] = item.messages() > 0;
        self.next += 1;
        if self.next == self.messages.len() {
            self.next = 0;
        }
        let pushed = self.ring.push(item);
        assert!(pushed.is_ok(), "a worker sends only where there is room");
    }

    /// Has [`Outbound::room_came`] say once when there is room again.
    pub(super) fn want_room(&mut self) {
        self.has_room = self.ring.wait_for_room();
    }

    pub(super) fn room_came(&mut self) -> bool {
        core::mem::take(&mut self.has_room) || self.ring.room_came()
    }

    fn may_sleep(&self) -> bool {
        !self.has_room && self.ring.may_sleep()
    }

    pub(super) fn flush(&mut self) {
        self.ring.flush();
    }

    /// Ends it, and counts the messages in it that nobody will take: none if the other worker may
    /// take them still.
    pub(super) fn end(self) -> u64 {
        let left = self.ring.end();
        // The last ones that were pushed, in a ring.
        let (behind, before) = self.messages.split_at(self.next);
        let places = behind.iter().rev().chain(before.iter().rev());
        places.take(left).filter(|&&message| message).count() as u64
    }
}

/// What a controller tells a worker about others. Never full: there is at most one of each kind
/// for each other worker.
pub(super) struct Mailbox<A: App> {
    any: AtomicBool,
    mail: Mutex<Vec<Mail<A>>>,
}

/// One letter.
pub(super) enum Mail<A: App> {
    /// There is one more worker.
    Joined { worker: u16, line: PeerLine<A> },
    /// A worker is no more.
    Left { worker: u16 },
}

impl<A: App> Mailbox<A> {
    pub(super) const fn new() -> Self {
        Self {
            any: AtomicBool::new(false),
            mail: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn put(&self, mail: Mail<A>) {
        let mut all = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(mail);
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn has_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Vec<Mail<A>> {
        let mut all = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(false, Ordering::Release);
        core::mem::take(&mut *all)
    }
}

/// Whether a worker is to stop, and how. What is more comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    No,
    /// The tasks of this phase are to finish, and those of the ones before.
    Phase(u8),
    Abort,
}

/// Says so to one thread. Beside the queue of inputs, so that a full queue cannot hold it up.
#[derive(Debug)]
pub(super) struct StopSignal(AtomicU16);

impl StopSignal {
    pub(super) const fn new() -> Self {
        Self(AtomicU16::new(0))
    }

    /// Asks for it. Never goes back.
    pub(super) fn ask(&self, stop: Stop) {
        let number = match stop {
            Stop::No => 0,
            Stop::Phase(phase) => 1 + u16::from(phase),
            Stop::Abort => u16::MAX,
        };
        self.0.fetch_max(number, Ordering::SeqCst);
    }

    pub(super) fn load(&self) -> Stop {
        match self.0.load(Ordering::SeqCst) {
            0 => Stop::No,
            u16::MAX => Stop::Abort,
            phase => Stop::Phase(u8::try_from(phase - 1).unwrap_or(u8::MAX)),
        }
    }
}
