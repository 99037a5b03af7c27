//! Looks for what is left in a world, and empties it.

use core::time::Duration;

use stillpoint::{App, ResourceId, TaskId, Timestamp, Worker};

use super::World;
use super::seat::Seat;
use super::waits::short;
use crate::failure::Failure;
use crate::leak::{Leak, LeakKind};
use crate::node::NodeId;

/// Where leaks are looked for, and those that were found.
struct Found {
    node: String,
    worker: Option<u16>,
    leaks: Vec<Leak>,
}

impl Found {
    fn add(
        &mut self,
        kind: LeakKind,
        owner: Option<TaskId>,
        since: Option<Timestamp>,
        what: String,
    ) {
        self.leaks.push(Leak {
            kind,
            node: self.node.clone(),
            worker: self.worker,
            owner,
            since,
            what,
        });
    }

    fn count(&mut self, kind: LeakKind, count: usize, what: &str) {
        if count > 0 {
            self.add(kind, None, None, format!("{count} {what}"));
        }
    }
}

impl<A: App> World<A> {
    /// Everything that is there now and would not be in a world that has come to its end: tasks,
    /// what they have open, what waits and what is on its way, and memory. Node by node.
    ///
    /// Memory that the scenario holds counts as well: a [`Buffer`](stillpoint::Buffer) in its hands,
    /// or in a report that it has not taken.
    #[must_use]
    pub fn leaks(&self) -> Vec<Leak> {
        let mut found = Found {
            node: String::new(),
            worker: None,
            leaks: Vec::new(),
        };
        for seat in &self.seats {
            if let Some(worker) = &seat.worker {
                self.node_name(NodeId::new(seat.node))
                    .clone_into(&mut found.node);
                found.worker = Some(seat.index);
                self.worker_leaks(seat, worker, &mut found);
            }
        }
        found.worker = None;
        for end in self.outside.tcp.looks().filter(|end| end.alone) {
            self.node_name(NodeId::new(end.node))
                .clone_into(&mut found.node);
            let (peer, bytes) = (end.peer, end.unacknowledged);
            let what = format!(
                "a closed stream to {peer} that nobody there acknowledges the end of, nor \
                {bytes} bytes"
            );
            found.add(LeakKind::Stream, None, Some(end.heard_at), what);
        }
        for (node, device, packets) in self.outside.network.devices.taken() {
            self.node_name(NodeId::new(node))
                .clone_into(&mut found.node);
            let what = format!(
                "packets of `{device}` that the host has taken in (`World::take_packets` takes \
                them)"
            );
            found.count(LeakKind::Packet, packets, &what);
        }
        found.node.clear();
        let counters = self.counters();
        for (count, what) in [
            (counters.in_flight, "datagrams on their way"),
            (counters.packets.in_flight, "packets on their way"),
            (counters.segments.in_flight, "segments on their way"),
        ] {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            found.count(LeakKind::Flight, count, what);
        }
        let what = "buffers in use, by whoever is named here, by reports that nobody has taken, or \
            by the scenario";
        found.count(LeakKind::Buffer, self.buffers_in_use(), what);
        found.leaks
    }

    fn worker_leaks(&self, seat: &Seat<A>, worker: &Worker<A>, found: &mut Found) {
        for view in worker.task_views() {
            let (owner, since) = (Some(view.task), Some(view.since));
            let what = format!("{} ({})", view.task, short(view.type_name));
            found.add(LeakKind::Task, owner, since, what);
            if let Some(deadline) = view.deadline {
                let what = format!("a timer for {} ({})", deadline.at, deadline.reason);
                found.add(LeakKind::Timer, owner, None, what);
            }
        }
        for view in worker.resource_views() {
            let kind = match view.id {
                ResourceId::Socket(_) => LeakKind::Socket,
                ResourceId::Listener(_) => LeakKind::Listener,
                ResourceId::Stream(_) => LeakKind::Stream,
                ResourceId::Device(_) => LeakKind::Device,
                unknown => {
                    panic!("the simulator is older than the worker: what is {unknown:?}?")
                }
            };
            let closed = if view.owner.is_none() { ", closed" } else { "" };
            let what = format!("{}{closed}", view.id);
            found.add(kind, view.owner, Some(view.since), what);
        }
        for request in worker.request_views() {
            let what = format!("{} to {}", request.request, request.to);
            found.add(LeakKind::Request, Some(request.from), None, what);
        }
        for (task, channel) in worker.subscriptions() {
            let what = format!("a subscription to {channel:?}");
            found.add(LeakKind::Subscription, Some(task), None, what);
        }
        let (queued, _) = self.outside.buses.depth(seat.node, seat.index);
        let messages = worker.messages_waiting() + queued;
        found.count(LeakKind::Message, messages, "messages that wait");
        let inputs = worker.inputs_pending() + seat.backlog.inputs.len() + seat.underway();
        found.count(LeakKind::Input, inputs, "inputs that wait");
    }

    /// Ends everything in an orderly way, and demands that nothing is left: tells all tasks of all
    /// nodes to finish, phase by phase, runs until nothing more happens, and then looks for
    /// [`World::leaks`].
    ///
    /// # Errors
    ///
    /// - [`Failure::Leaked`] if something is left, or goes on for longer than `limit`.
    /// - What failed for good: see [`World::failure`].
    pub fn finish(&mut self, limit: Duration) -> Result<(), Failure> {
        for (number, _) in (0_u32..).zip(0..self.nodes.len()) {
            self.begin_shutdown(number, None);
        }
        let ended = self.run_until_idle(limit);
        if let Some(failure) = self.failure() {
            return Err(failure.clone());
        }
        let leaks = self.leaks();
        if leaks.is_empty() {
            return ended;
        }
        let at = self.now();
        Err(Failure::Leaked { at, leaks })
    }
}
