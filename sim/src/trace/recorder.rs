//! Takes a [`TraceLog`] down while a run goes on.

use core::fmt::{Debug, Write};
use core::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;
use stillpoint::{App, Packet, TaskId, Worker};
use xxhash_rust::xxh3::xxh3_64;

use super::cause::{Cause, Now};
use super::event::low;
use super::log::{Entry, Form, LoggedTask, NONE, PacketEntry, StateEntry, TraceLog};
use super::{Role, TraceDetail, TraceEvent, TraceKind};
use crate::network::Flight;
use crate::tcp::Segment;

/// What an event is about, where that is more than its words say.
pub(crate) enum Shown<'a> {
    Nothing,
    Datagrams(&'a Flight),
    Segment(&'a Segment),
    Packet {
        packet: &'a Packet,
        form: Form,
        /// The node that it goes to.
        to: u32,
    },
}

/// Texts by their hashes.
pub(crate) type Texts = IndexMap<u64, Arc<str>, FxBuildHasher>;

/// A trace log in the making.
pub(crate) struct Recorder {
    detail: TraceDetail,
    pub(crate) now: Rc<Now>,
    pub(super) log: TraceLog,
    texts: Texts,
    addresses: IndexSet<SocketAddr, FxBuildHasher>,
    /// The numbers of those that were asked for last.
    recent: Vec<Option<(SocketAddr, u32)>>,
    tasks: IndexMap<(u32, TaskId), (), FxBuildHasher>,
    /// Whose sockets, streams and devices are: by node, worker and key.
    owners: IndexMap<(u32, u16, u64), u32, FxBuildHasher>,
    /// The hash of what each task showed last.
    shown: Vec<Option<u64>>,
    /// The damage to what travels next.
    damage: Option<Cause>,
    turn: Turn,
    /// Memory for what is written down.
    text: String,
}

/// An input of a worker, and all that comes of it.
#[derive(Default)]
struct Turn {
    /// The number of the first event.
    first: usize,
    /// Whom the input is for, and why, if its words do not say so.
    task: Option<TaskId>,
    reason: Option<&'static str>,
}

impl Recorder {
    pub(crate) fn new(detail: TraceDetail) -> Self {
        Self {
            detail,
            now: Rc::default(),
            log: TraceLog::empty(),
            texts: IndexMap::default(),
            addresses: IndexSet::default(),
            recent: vec![None; RECENT],
            tasks: IndexMap::default(),
            owners: IndexMap::default(),
            shown: Vec::new(),
            damage: None,
            turn: Turn::default(),
            text: String::new(),
        }
    }

    /// The number of the event that is recorded next.
    pub(crate) fn next(&self) -> Cause {
        Cause::new(u32::try_from(self.log.entries.len()).unwrap_or(NONE))
    }

    /// Keeps an event.
    pub(super) fn keep(&mut self, event: TraceEvent, shown: &Shown<'_>) {
        let number = self.next();
        let kind = event.kind;
        let is_input = kind.role() == Role::Input;
        let mut cause = if is_input {
            self.now.root.get()
        } else {
            self.now.cause.get()
        };
        if kind.is_damage() {
            self.damage = Some(number);
        } else if kind.role() == Role::Travel {
            cause = self.damage.take().unwrap_or(cause);
        }
        let mut task = self.task_of(&event, cause);
        let mut text = if kind.has_text() {
            self.texts.get_index_of(&event.words[0]).map_or(NONE, small)
        } else {
            NONE
        };
        if kind == TraceKind::Timeout {
            if let Some(due) = self.turn.task.take() {
                task = self.task_number(event.node.number(), due);
            }
            if let Some(reason) = self.turn.reason.take() {
                text = self.text_number(reason);
            }
        }
        let packet = match shown {
            Shown::Nothing if kind.is_arrival() && !cause.is_none() => {
                self.log.entries[cause.number() as usize].packet
            }
            Shown::Nothing => NONE,
            Shown::Datagrams(_) | Shown::Segment(_) | Shown::Packet { .. } => {
                self.keep_packet(shown)
            }
        };
        self.log.entries.push(Entry {
            event,
            cause: cause.number(),
            task,
            text,
            packet,
        });
        self.now.last.set(number);
        self.now.stirs.set(kind.stirs());
        if kind.leads() {
            self.now.cause.set(number);
            if !is_input {
                self.now.root.set(number);
            }
        }
    }

    /// Has the last event have the hash of what it brings.
    pub(super) fn note_payload(&mut self, payload: &[u8]) {
        if let Some(last) = self.log.entries.last_mut() {
            last.event.words[2] = xxh3_64(payload);
        }
    }

    /// Keeps a text under its hash.
    pub(super) fn keep_text(&mut self, hash: u64, text: &str) {
        if !self.texts.contains_key(&hash) {
            self.texts.insert(hash, Arc::from(text));
        }
    }

    pub(super) fn text_of(&self, hash: u64) -> Option<&str> {
        self.texts.get(&hash).map(|text| &**text)
    }

    fn text_number(&mut self, text: &str) -> u32 {
        let entry = self.texts.entry(xxh3_64(text.as_bytes()));
        let number = entry.index();
        entry.or_insert_with(|| Arc::from(text));
        small(number)
    }

    /// Whom an event concerns, as far as that is known before its input is over.
    fn task_of(&mut self, event: &TraceEvent, cause: Cause) -> u32 {
        let (kind, node) = (event.kind, event.node.number());
        if kind.is_of_task() {
            let group = event.words[2] & 0xffff;
            let words = [u64::from(event.worker) << 16 | group, event.id];
            return self.task_number(node, TaskId::from_words(words));
        }
        if !kind.is_of_resource() || self.is_lost_on_arrival(kind, cause) {
            return NONE;
        }
        let owner = self.owners.get(&(node, event.worker, event.id));
        owner.copied().unwrap_or(NONE)
    }

    /// Whether it is lost where it arrives: that concerns no task.
    fn is_lost_on_arrival(&self, kind: TraceKind, cause: Cause) -> bool {
        kind.role() == Role::Loss
            && kind != TraceKind::SegmentLost
            && !cause.is_none()
            && self.log.entries[cause.number() as usize].event.kind.role() == Role::Travel
    }

    fn task_number(&mut self, node: u32, task: TaskId) -> u32 {
        let entry = self.tasks.entry((node, task));
        let number = entry.index();
        entry.or_insert(());
        if number == self.log.tasks.len() {
            self.log.tasks.push(LoggedTask {
                node,
                task,
                type_name: NONE,
            });
            self.shown.push(None);
        }
        small(number)
    }

    fn address(&mut self, address: SocketAddr) -> u32 {
        let last = match address.ip() {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => low(u64::from(ip.segments()[7])),
        };
        let place = (last ^ u32::from(address.port())) as usize % RECENT;
        if let Some((known, number)) = self.recent[place]
            && known == address
        {
            return number;
        }
        let number = small(self.addresses.insert_full(address).0);
        self.recent[place] = Some((address, number));
        number
    }

    fn keep_packet(&mut self, shown: &Shown<'_>) -> u32 {
        let mut segment_words = None;
        let (mut entry, payload) = match shown {
            Shown::Nothing => return NONE,
            Shown::Datagrams(flight) => {
                let run = &flight.run;
                let form = Form::Datagrams;
                let mut entry = PacketEntry::new(form, flight.to);
                entry.source = self.address(run.peer);
                entry.target = self.address(flight.target);
                entry.step = small(run.segment_size);
                entry.traffic = run.dscp.bits() << 2 | run.ecn as u8;
                (entry, &run.payload)
            }
            Shown::Segment(segment) => {
                let to = segment.to_node.unwrap_or(NONE);
                let mut entry = PacketEntry::new(Form::Segment, to);
                entry.source = self.address(segment.source);
                entry.target = self.address(segment.target);
                entry.traffic = segment.kind as u8;
                segment_words = Some([segment.position, segment.expected, segment.edge]);
                (entry, &segment.payload)
            }
            Shown::Packet { packet, form, to } => {
                let mut entry = PacketEntry::new(*form, *to);
                entry.source = NONE;
                entry.target = NONE;
                (entry, &packet.payload)
            }
        };
        if let Some(words) = segment_words {
            entry.segment = small(self.log.segments.len());
            self.log.segments.push(words);
        }
        entry.len = small(payload.len());
        let start = self.log.bytes.len();
        if start + payload.len() <= self.detail.payload_bytes_max {
            entry.start = Some(small(start));
            self.log.bytes.extend_from_slice(payload);
        } else if self.detail.payload_bytes_max > 0 {
            self.log.left_out.payloads += 1;
            self.log.left_out.payload_bytes += payload.len() as u64;
        }
        let number = small(self.log.packets.len());
        self.log.packets.push(entry);
        number
    }

    /// A worker is about to be given something.
    pub(crate) fn begin_turn<A: App>(&mut self, worker: &Worker<A>, is_timeout: bool) {
        self.turn = Turn {
            first: self.log.entries.len(),
            task: None,
            reason: None,
        };
        if is_timeout && let Some((task, deadline)) = worker.first_due() {
            self.turn.task = Some(task);
            self.turn.reason = Some(deadline.reason);
        }
    }

    /// A worker has been given something: finds out whom all of that concerns, and looks at those
    /// tasks.
    pub(crate) fn end_turn<A: App>(&mut self, node: u32, worker: &Worker<A>) {
        let first = self.turn.first;
        let Some(input) = self.log.entries.get(first) else {
            return;
        };
        let input = input.event.kind;
        for index in first..self.log.entries.len() {
            let Entry { event, task, .. } = self.log.entries[index];
            let own = event.node.number() == node && event.worker == worker.config().index;
            if task == NONE && own && event.kind.is_of_resource() {
                let words = [0, event.id];
                let key = TaskId::from_words(words).key();
                if let Some(owner) = worker.owner_of_key(key) {
                    let number = self.task_number(node, owner);
                    self.log.entries[index].task = number;
                    let place = (node, event.worker, event.id);
                    self.owners.insert(place, number);
                }
            }
        }
        self.concern(first, input);
        self.name_tasks(node, worker);
        if self.detail.states {
            self.look_at_states(node, worker, first, input);
        }
    }

    /// An input that makes a task concerns that task, and so does what one closes that it has just
    /// opened.
    fn concern(&mut self, first: usize, input: TraceKind) {
        let started = |entry: &&Entry| entry.event.kind == TraceKind::Started;
        if self.log.entries[first].task == NONE && input == TraceKind::Spawn {
            let task = self.log.entries[first..].iter().find(started);
            if let Some(task) = task.map(|entry| entry.task) {
                self.log.entries[first].task = task;
            }
        }
        let task = self.log.entries[first].task;
        if task == NONE || input == TraceKind::Timeout {
            return;
        }
        for entry in &mut self.log.entries[first..] {
            let of_worker = matches!(
                entry.event.kind,
                TraceKind::BusCarried | TraceKind::BusLost | TraceKind::Answer
            );
            let is_unknown =
                entry.event.kind.role() == Role::Output && entry.event.kind.is_of_resource();
            if entry.task == NONE && (of_worker || is_unknown) {
                entry.task = task;
            }
        }
    }

    /// Notes the types of tasks that are new.
    fn name_tasks<A: App>(&mut self, node: u32, worker: &Worker<A>) {
        let mut number = self.log.tasks.len();
        while number > 0 && self.log.tasks[number - 1].type_name == NONE {
            number -= 1;
            let LoggedTask { node: of, task, .. } = self.log.tasks[number];
            let view = worker.task_view(task).filter(|_| of == node);
            if let Some(view) = view {
                let name = self.text_number(short_name(view.type_name));
                self.log.tasks[number].type_name = name;
            } else if number + 64 < self.log.tasks.len() {
                break; // Those are gone, and nobody knows what they were.
            }
        }
    }

    /// Notes what tasks show of themselves, if that is new.
    fn look_at_states<A: App>(
        &mut self,
        node: u32,
        worker: &Worker<A>,
        first: usize,
        input: TraceKind,
    ) {
        let concerned = self.log.entries[first..].iter().map(|entry| entry.task);
        let mut tasks: Vec<u32> = concerned.filter(|&task| task != NONE).collect();
        let is_for_many = !matches!(
            input,
            TraceKind::Datagrams
                | TraceKind::Network
                | TraceKind::Command
                | TraceKind::Packet
                | TraceKind::Received
        );
        if is_for_many && worker.tasks() <= LOOKED_AT_MAX {
            for view in worker.task_views() {
                tasks.push(self.task_number(node, view.task));
            }
        }
        tasks.sort_unstable();
        tasks.dedup();
        let own = worker.config().index;
        for number in tasks {
            let LoggedTask { node: of, task, .. } = self.log.tasks[number as usize];
            if of == node
                && task.worker() == own
                && let Some(state) = worker.inspect(task)
            {
                self.note_state(first, number, state);
            }
        }
    }

    fn note_state(&mut self, first: usize, task: u32, state: &dyn Debug) {
        let mut text = core::mem::take(&mut self.text);
        text.clear();
        write!(text, "{state:?}").expect("a `Debug` that writes its text");
        let hash = xxh3_64(text.as_bytes());
        let known = &mut self.shown[task as usize];
        if *known != Some(hash) {
            *known = Some(hash);
            let text = self.text_number(&text);
            let after = small(first);
            self.log.states.push(StateEntry { after, task, text });
        }
        self.text = text;
    }

    /// Notes that the run has failed by now.
    pub(super) fn note_failure(&mut self) {
        if self.log.failed_after.is_none() {
            self.log.failed_after = Some(self.log.entries.len().saturating_sub(1));
        }
    }

    /// The log as far as it goes, and its texts by hash.
    pub(super) fn finish(self) -> (TraceLog, Texts) {
        let mut log = self.log;
        log.texts = self.texts.values().cloned().collect();
        log.addresses = self.addresses.into_iter().collect();
        (log, self.texts)
    }
}

/// The name of a type without where it is from and what it is generic over.
fn short_name(name: &str) -> &str {
    let plain = name.split('<').next().unwrap_or(name);
    plain.rsplit("::").next().unwrap_or(plain)
}

/// A number of something of which there are never as many.
fn small(number: usize) -> u32 {
    let small = u32::try_from(number).ok().filter(|&small| small < NONE);
    small.expect("a trace of fewer than 2^32 of each")
}

/// Addresses whose numbers are at hand.
const RECENT: usize = 256;

/// Tasks of a worker that are looked at after an input that may be for any of them.
const LOOKED_AT_MAX: usize = 64;
