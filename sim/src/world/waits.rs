//! Finds out who waits for whom.

use core::net::SocketAddr;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, ResourceId, SocketId, TaskId, TaskView, Timestamp};

use super::World;
use super::seat::Seat;
use crate::node::NodeId;
use crate::tcp::EndView;
use crate::wait::{Party, Wait, WaitFor};

/// What passed through sockets last, if somebody wants to know.
#[derive(Debug, Default)]
pub(super) struct Talks {
    pub(super) watched: bool,
    by_socket: IndexMap<(u32, SocketId), Talk, FxBuildHasher>,
}

/// Of one socket: to whom it sent last, and from whom it heard.
#[derive(Debug, Clone, Copy, Default)]
struct Talk {
    sent: Option<(SocketAddr, Timestamp)>,
    heard: Option<(SocketAddr, Timestamp)>,
}

impl Talks {
    #[cold]
    pub(super) fn note_sent(&mut self, now: Timestamp, whose: (u32, SocketId), peer: SocketAddr) {
        self.by_socket.entry(whose).or_default().sent = Some((peer, now));
    }

    #[cold]
    pub(super) fn note_heard(&mut self, now: Timestamp, whose: (u32, SocketId), peer: SocketAddr) {
        self.by_socket.entry(whose).or_default().heard = Some((peer, now));
    }
}

impl<A: App> World<A> {
    /// Who waits, and for what: each task that lives, and each worker that stands still. At most
    /// 1,000 of them, in the order of their nodes.
    #[must_use]
    pub fn waits(&self) -> Vec<Wait> {
        self.waits_of(|_| true)
    }

    /// Notes from now on to whom sockets have sent last and from whom they heard, for
    /// [`World::waits`]. It costs a little for each datagram, so nobody does unless asked.
    pub const fn watch_sockets(&mut self) {
        self.outside.talks.watched = true;
    }

    /// The same, of some nodes.
    pub(super) fn waits_of(&self, counts: impl Fn(NodeId) -> bool) -> Vec<Wait> {
        let mut waits = Vec::new();
        for (number, seat) in (0_u32..).zip(&self.seats) {
            if !counts(NodeId::new(seat.node)) {
                continue;
            }
            let (true, Some(worker)) = (waits.len() < WAITS_MAX, &seat.worker) else {
                continue;
            };
            let mut found: Vec<Wait> = worker
                .task_views()
                .take(WAITS_MAX - waits.len())
                .map(|view| self.wait_of(seat, &view))
                .collect();
            self.add_resources(number, seat, &mut found);
            for request in worker.request_views() {
                let on = self.party(seat.node, request.to.worker(), Some(request.to));
                let until = request.until;
                add(&mut found, request.from, WaitFor::Answer { on, until });
            }
            waits.append(&mut found);
        }
        waits
    }

    fn wait_of(&self, seat: &Seat<A>, view: &TaskView) -> Wait {
        let mut reasons = Vec::new();
        if seat.held {
            let until = seat.held_until();
            reasons.push(WaitFor::Worker { until });
        }
        if let Some(deadline) = view.deadline {
            let timing = seat.timing.as_ref();
            reasons.push(WaitFor::Deadline {
                at: timing.map_or(deadline.at, |timing| timing.due(deadline.at)),
                reason: deadline.reason,
            });
        }
        Wait {
            who: self.party(seat.node, seat.index, Some(view.task)),
            kind: short(view.type_name),
            since: view.since,
            reasons,
        }
    }

    fn add_resources(&self, number: u32, seat: &Seat<A>, waits: &mut [Wait]) {
        let Some(worker) = &seat.worker else {
            return;
        };
        for resource in worker.resource_views() {
            let Some(owner) = resource.owner else {
                continue;
            };
            let reason = match resource.id {
                ResourceId::Socket(socket) => self.talk_of(seat.node, (number, socket)),
                ResourceId::Stream(stream) => {
                    let end = self.outside.tcp.find(number, stream);
                    let end = end.and_then(|slot| self.outside.tcp.look(slot));
                    end.map(|end| self.stream_wait(&end, resource.since))
                }
                // Neither of them owes anything: what comes, comes by itself.
                ResourceId::Listener(_) | ResourceId::Device(_) => None,
                unknown => {
                    panic!("the simulator is older than the worker: what is {unknown:?}?")
                }
            };
            if let Some(reason) = reason {
                add(waits, owner, reason);
            }
        }
    }

    fn talk_of(&self, node: u32, whose: (u32, SocketId)) -> Option<WaitFor> {
        let talk = self.outside.talks.by_socket.get(&whose)?;
        let awaits = match (talk.sent, talk.heard) {
            (Some((_, sent_at)), Some((_, heard_at))) => heard_at <= sent_at,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let target = talk.sent.filter(|_| awaits).map(|(peer, _)| peer);
        Some(WaitFor::Datagrams {
            sent: talk.sent,
            heard: talk.heard,
            on: target.and_then(|target| self.who_is_at(node, whose, target)),
        })
    }

    /// Who gets what a socket sends to an address, if the payload does not matter.
    fn who_is_at(&self, node: u32, whose: (u32, SocketId), at: SocketAddr) -> Option<Party> {
        let network = &self.outside.network;
        let to = network.node_of(node, at.ip())?;
        let from = network.local_of(node, whose)?;
        match network.receiver(to, at, from, &[]) {
            Some((worker, socket)) => {
                let seat = &self.seats[worker as usize];
                let task = seat.worker.as_ref().and_then(|worker| worker.owner(socket));
                Some(self.party(to, seat.index, task))
            }
            None => None,
        }
    }

    fn stream_wait(&self, end: &EndView, since: Timestamp) -> WaitFor {
        let peer = end.peer;
        let on = self.outside.tcp.other(end).map(|other| {
            let seat = &self.seats[other.worker as usize];
            let worker = seat.worker.as_ref();
            let task = worker.and_then(|worker| worker.owner(other.stream?));
            self.party(seat.node, seat.index, task)
        });
        let heard_at = end.heard_at;
        if end.connecting {
            let on = on.or_else(|| {
                let node = end.peer_node?;
                Some(self.party(node, 0, None))
            });
            WaitFor::Connection { peer, on, since }
        } else if end.unread > 0 {
            let bytes = end.unread;
            WaitFor::Reading { peer, bytes }
        } else if end.unacknowledged > 0 {
            let bytes = end.unacknowledged;
            WaitFor::Acknowledgement {
                peer,
                on,
                bytes,
                heard_at,
            }
        } else {
            WaitFor::Bytes { peer, on, heard_at }
        }
    }

    pub(super) fn party(&self, node: u32, worker: u16, task: Option<TaskId>) -> Party {
        let node = NodeId::new(node);
        Party {
            node,
            name: self.node_name(node).to_owned(),
            worker,
            task,
        }
    }
}

fn add(waits: &mut [Wait], task: TaskId, reason: WaitFor) {
    let mut found = waits.iter_mut();
    if let Some(wait) = found.find(|wait| wait.who.task == Some(task)) {
        wait.reasons.push(reason);
    }
}

/// The name of a type without the paths of modules.
pub(super) fn short(type_name: &str) -> String {
    let mut short = String::new();
    for part in type_name.split_inclusive(['<', ',', ' ', '>']) {
        let from = part.rfind("::").map_or(0, |at| at + 2);
        short.push_str(&part[from..]);
    }
    short
}

/// Those who wait that are looked for.
const WAITS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_lose_their_paths() {
        assert_eq!(short("a::b::Task<c::D, e::F<0>>"), "Task<D, F<0>>");
        assert_eq!(short("Plain"), "Plain");
    }
}
