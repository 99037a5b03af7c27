//! The full trace of one run, as data.

use core::fmt::Write;
use core::net::SocketAddr;
use std::sync::Arc;

use stillpoint::TaskId;

use super::{TraceEvent, TraceHash, shortened};
use crate::failure::Failure;
use crate::node::NodeId;

/// What a [`TraceLog`] is to hold besides its events.
///
/// # Example
///
/// ```
/// # use stillpoint::App;
/// use stillpoint_sim::TraceDetail;
/// # fn scenario<A: App>(world: &mut stillpoint_sim::World<A>) {
/// world.record_log(TraceDetail::new().payloads(16 << 20).states());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceDetail {
    pub(super) payload_bytes_max: usize,
    pub(super) states: bool,
}

impl TraceDetail {
    /// Events alone.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            payload_bytes_max: 0,
            states: false,
        }
    }

    /// The payloads of datagrams, segments and packets too, for captures, up to so many bytes in
    /// all; 4 GiB are the most. The log counts what it leaves out.
    #[must_use]
    pub const fn payloads(mut self, bytes_max: usize) -> Self {
        let most = (NONE - 1) as usize;
        self.payload_bytes_max = if bytes_max < most { bytes_max } else { most };
        self
    }

    /// What tasks show of themselves ([`Task::inspect`](stillpoint::Task::inspect)), after each
    /// input that has changed it.
    #[must_use]
    pub const fn states(mut self) -> Self {
        self.states = true;
        self
    }
}

/// The full trace of one run: each event with its time, its node and worker, whom it concerns, and
/// the event that has led to it.
///
/// [`World::record_log`](crate::World::record_log) begins one, and
/// [`World::take_log`](crate::World::take_log) gives it. It is data, and needs no world: it can be
/// written to a file and read again ([`TraceLog::to_bytes`], [`TraceLog::from_bytes`]), filtered,
/// compared, and drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceLog {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) hash: TraceHash,
    pub(super) nodes: Vec<Node>,
    pub(super) entries: Vec<Entry>,
    pub(super) tasks: Vec<LoggedTask>,
    pub(super) texts: Vec<Arc<str>>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) packets: Vec<PacketEntry>,
    /// Position, what is expected, and the edge of segments.
    pub(super) segments: Vec<[u64; 3]>,
    /// Payloads, one behind the other.
    pub(super) bytes: Vec<u8>,
    pub(super) states: Vec<StateEntry>,
    pub(super) left_out: LeftOut,
    /// The last event before the run failed.
    pub(super) failed_after: Option<usize>,
    pub(super) failure: Option<String>,
}

/// What a log was to hold and has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeftOut {
    /// Payloads: see [`TraceDetail::payloads`].
    pub payloads: u64,
    /// And their bytes.
    pub payload_bytes: u64,
}

/// A node and its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) workers: u16,
}

/// An event, and what else is known of it: numbers of what stands elsewhere, or [`NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) event: TraceEvent,
    pub(crate) cause: u32,
    pub(crate) task: u32,
    pub(crate) text: u32,
    pub(crate) packet: u32,
}

/// A task that events concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoggedTask {
    pub(crate) node: u32,
    pub(crate) task: TaskId,
    /// A text.
    pub(crate) type_name: u32,
}

/// What a task shows of itself from an event on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateEntry {
    pub(crate) after: u32,
    pub(crate) task: u32,
    pub(crate) text: u32,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Form {
    Datagrams = 1,
    Segment,
    /// Out of a TUN device.
    Ip,
    /// Out of a TAP device.
    Frame,
}

/// Something that travels, as a capture shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) form: Form,
    /// As in [`PacketEntry`].
    pub(crate) traffic: u8,
    pub(crate) to: Option<usize>,
    pub(crate) way: Option<(SocketAddr, SocketAddr)>,
    pub(crate) len: usize,
    pub(crate) step: usize,
    pub(crate) payload: Option<&'a [u8]>,
    /// Position, what is expected, and the edge.
    pub(crate) segment: Option<[u64; 3]>,
}

/// Something that travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketEntry {
    pub(crate) form: Form,
    /// Differentiated services and congestion, as in an IP header; of a segment, its kind.
    pub(crate) traffic: u8,
    /// The node that it goes to.
    pub(crate) to: u32,
    /// Addresses.
    pub(crate) source: u32,
    pub(crate) target: u32,
    /// Bytes of the payload, and from one datagram to the next; 0 if there is one.
    pub(crate) len: u32,
    pub(crate) step: u32,
    /// Where the payload begins, if it was kept.
    pub(crate) start: Option<u32>,
    pub(crate) segment: u32,
}

impl PacketEntry {
    pub(super) const fn new(form: Form, to: u32) -> Self {
        Self {
            form,
            traffic: 0,
            to,
            source: NONE,
            target: NONE,
            len: 0,
            step: 0,
            start: None,
            segment: NONE,
        }
    }
}

/// One event of a [`TraceLog`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEvent<'a> {
    /// Its place in the log.
    pub index: usize,
    /// When, where and what.
    pub event: TraceEvent,
    /// Whom it concerns: the task that is given or gives something, or owns the socket. `None` if
    /// nobody, or nobody in particular.
    pub task: Option<TaskId>,
    /// The event that has led to it. `None` if the scenario itself has.
    pub cause: Option<usize>,
    /// What it is about, as text, if there is one; for a timeout, why the task wanted it.
    pub text: Option<&'a str>,
    /// Where what travels comes from, and where it goes to.
    pub way: Option<(SocketAddr, SocketAddr)>,
    /// The bytes that travel, if the log [was to hold them](TraceDetail::payloads).
    pub payload: Option<&'a [u8]>,
}

impl TraceLog {
    pub(super) const fn empty() -> Self {
        Self {
            name: String::new(),
            seed: 0,
            hash: TraceHash(0),
            nodes: Vec::new(),
            entries: Vec::new(),
            tasks: Vec::new(),
            texts: Vec::new(),
            addresses: Vec::new(),
            packets: Vec::new(),
            segments: Vec::new(),
            bytes: Vec::new(),
            states: Vec::new(),
            left_out: LeftOut {
                payloads: 0,
                payload_bytes: 0,
            },
            failed_after: None,
            failure: None,
        }
    }

    /// The same under a name: that of its scenario, say. Pictures show it.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        (!self.name.is_empty()).then_some(&*self.name)
    }

    /// The seed that the run follows from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The hash of all that had happened when the log was taken: [`World::trace_hash`](crate::World::trace_hash).
    #[must_use]
    pub const fn hash(&self) -> TraceHash {
        self.hash
    }

    /// How many events it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing has happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it was to hold and has no room for.
    #[must_use]
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// The names of the nodes, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &str)> {
        let numbers = (0..).map(NodeId::new);
        numbers.zip(self.nodes.iter().map(|node| &*node.name))
    }

    /// The node of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let mut nodes = self.nodes();
        nodes.find(|(_, known)| *known == name).map(|(id, _)| id)
    }

    /// The name of a node; empty if there is none.
    #[must_use]
    pub fn node_name(&self, node: NodeId) -> &str {
        let known = self.nodes.get(node.index());
        known.map_or("", |known| &known.name)
    }

    /// The tasks that events concern, with the names of their types, as far as these are known.
    pub fn tasks(&self) -> impl Iterator<Item = (NodeId, TaskId, &str)> {
        self.tasks.iter().map(|known| {
            let name = self.text(known.type_name).unwrap_or_default();
            (NodeId::new(known.node), known.task, name)
        })
    }

    /// One event.
    #[must_use]
    pub fn event(&self, index: usize) -> Option<LogEvent<'_>> {
        let entry = self.entries.get(index)?;
        Some(self.view(index, entry))
    }

    fn view(&self, index: usize, entry: &Entry) -> LogEvent<'_> {
        let task = self.tasks.get(entry.task as usize);
        let packet = self.packets.get(entry.packet as usize);
        LogEvent {
            index,
            event: entry.event,
            task: task.map(|known| known.task),
            cause: (entry.cause != NONE).then_some(entry.cause as usize),
            text: self.text(entry.text),
            way: packet.and_then(|packet| self.way(packet)),
            payload: packet.and_then(|packet| self.payload(packet)),
        }
    }

    /// All events, in order.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = LogEvent<'_>> + ExactSizeIterator {
        let entries = self.entries.iter().enumerate();
        entries.map(|(index, entry)| self.view(index, entry))
    }

    /// An event as a line: when, at which node and worker, and what.
    ///
    /// # Panics
    ///
    /// If there is no such event.
    #[must_use]
    pub fn line(&self, index: usize) -> String {
        let entry = &self.entries[index];
        let event = &entry.event;
        let node = self.node_name(event.node);
        let mut line = format!("{} {node}/{} ", event.at, event.worker);
        let written = event.write(&mut line, |_| self.text(entry.text).map(shortened));
        written.expect("a `String` takes any text");
        if event.kind == super::TraceKind::Timeout
            && let Some(reason) = self.text(entry.text)
        {
            write!(line, " of {}", self.task_name(entry.task)).expect("a `String` takes any text");
            write!(line, ": {reason}").expect("a `String` takes any text");
        }
        line
    }

    /// All events as lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        (0..self.len()).map(|index| self.line(index)).collect()
    }

    /// The chain of causes that ends with an event: first what nothing in the log has led to, then
    /// what that has led to, and so on.
    ///
    /// # Panics
    ///
    /// If there is no such event.
    #[must_use]
    pub fn causes(&self, index: usize) -> Vec<usize> {
        let first = (index, &self.entries[index]);
        // A cause comes before what it leads to.
        let chain = core::iter::successors(Some(first), |&(index, entry)| {
            let cause = entry.cause as usize;
            (cause < index).then(|| (cause, &self.entries[cause]))
        });
        let mut chain: Vec<usize> = chain.map(|(index, _)| index).collect();
        chain.reverse();
        chain
    }

    /// What a task has shown of itself last, once this event and all that its input has led to were
    /// over. `None` if it had shown nothing by then, or the log
    /// [was not to hold it](TraceDetail::states).
    #[must_use]
    pub fn state(&self, node: NodeId, task: TaskId, index: usize) -> Option<&str> {
        let until = self
            .states
            .partition_point(|state| state.after as usize <= index);
        let states = self.states[..until].iter().rev();
        let mut of_task = states.filter(|state| {
            let known = self.tasks.get(state.task as usize);
            known.is_some_and(|known| known.node == node.number() && known.task == task)
        });
        self.text(of_task.next()?.text)
    }

    /// What all tasks have shown last by then, with the names of their types: those that have shown
    /// something, in the order in which they began.
    pub fn states_at(&self, index: usize) -> impl Iterator<Item = (NodeId, TaskId, &str, &str)> {
        let by_then = |state: &&StateEntry| state.after as usize <= index;
        let mut last = vec![NONE; self.tasks.len()];
        for state in self.states.iter().take_while(by_then) {
            if let Some(last) = last.get_mut(state.task as usize) {
                *last = state.text;
            }
        }
        let shown = self.tasks().zip(last);
        shown.filter_map(|((node, task, name), text)| Some((node, task, name, self.text(text)?)))
    }

    /// Why the run has failed, and the last event before, if it has failed and there was one.
    #[must_use]
    pub fn failure(&self) -> Option<(&str, usize)> {
        Some((self.failure.as_deref()?, self.failed_after?))
    }

    /// Notes why the run has failed, if no failure is known: a world knows of those that are for
    /// good, and not of what its scenario says in the end.
    pub fn note_failure(&mut self, failure: &Failure) {
        if self.failure.is_none() {
            self.failure = Some(failure.to_string());
        }
        if self.failed_after.is_none() {
            self.failed_after = self.len().checked_sub(1);
        }
    }

    /// How many workers each node has had.
    pub(crate) fn workers(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().map(|node| usize::from(node.workers))
    }

    /// By event: the number of the task that it concerns.
    pub(crate) fn task_numbers(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|entry| entry.task)
    }

    /// All that tasks have shown: after which event, which task, and what.
    pub(crate) fn states(&self) -> impl Iterator<Item = (u32, u32, &str)> {
        let states = self.states.iter();
        states.map(|state| {
            (
                state.after,
                state.task,
                self.text(state.text).unwrap_or_default(),
            )
        })
    }

    /// What an event is about, as a capture shows it.
    pub(crate) fn seen(&self, index: usize) -> Option<Seen<'_>> {
        let entry = self.entries.get(index)?;
        let packet = self.packets.get(entry.packet as usize)?;
        Some(Seen {
            form: packet.form,
            traffic: packet.traffic,
            to: (packet.to != NONE).then_some(packet.to as usize),
            way: self.way(packet),
            len: packet.len as usize,
            step: packet.step as usize,
            payload: self.payload(packet),
            segment: self.segments.get(packet.segment as usize).copied(),
        })
    }

    /// The node that what an event is about goes to.
    pub(crate) fn destination(&self, index: usize) -> Option<NodeId> {
        let packet = self.packets.get(self.entries.get(index)?.packet as usize)?;
        (packet.to != NONE).then(|| NodeId::new(packet.to))
    }

    /// Whether two events are about one and the same packet.
    pub(crate) fn is_same_packet(&self, one: usize, other: usize) -> bool {
        let packet = |index: usize| self.entries.get(index).map(|entry| entry.packet);
        packet(one).is_some_and(|packet| packet != NONE) && packet(one) == packet(other)
    }

    /// A task as text: its type, and its id.
    pub(crate) fn task_name(&self, task: u32) -> String {
        let Some(known) = self.tasks.get(task as usize) else {
            return String::new();
        };
        match self.text(known.type_name) {
            Some(name) => format!("{name} {}", known.task),
            None => known.task.to_string(),
        }
    }

    pub(super) fn text(&self, number: u32) -> Option<&str> {
        self.texts.get(number as usize).map(|text| &**text)
    }

    pub(super) fn way(&self, packet: &PacketEntry) -> Option<(SocketAddr, SocketAddr)> {
        let address = |number: u32| self.addresses.get(number as usize).copied();
        address(packet.source).zip(address(packet.target))
    }

    pub(super) fn payload(&self, packet: &PacketEntry) -> Option<&[u8]> {
        let start = packet.start? as usize;
        self.bytes
            .get(start..start.checked_add(packet.len as usize)?)
    }
}

/// No number: of no event, no task, no text.
pub(crate) const NONE: u32 = u32::MAX;
