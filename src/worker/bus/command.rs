//! What tasks ask of the bus.

use super::requests::Put;
use super::subscriptions::Subscribed;
use super::{Bus, Presence, Room};
use crate::bus::{BusCommand, BusEvent, BusItem, Destination, Item, NoRoom, RequestError};
use crate::id::{RequestId, TaskId};
use crate::net::Token;
use crate::task::App;
use crate::time::Timestamp;
use crate::worker::WorkerOutputs;
use crate::worker::pending::{Pending, PendingQueue};

/// What one task asks for, and whom else it concerns.
pub(in crate::worker) struct Asking<'a, A: App, O> {
    pub(in crate::worker) task: TaskId,
    pub(in crate::worker) now: Timestamp,
    /// What tasks are to be told.
    pub(in crate::worker) pending: &'a mut PendingQueue<A>,
    pub(in crate::worker) outputs: &'a mut O,
}

type Command<A> = BusCommand<<A as App>::Channel, <A as App>::Message>;
type Event<A> = BusEvent<<A as App>::Channel, <A as App>::Message>;

impl<A: App> Bus<A> {
    pub(in crate::worker) fn command<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        command: Command<A>,
    ) {
        let task = asking.task;
        match command {
            BusCommand::Send {
                to,
                message,
                no_room,
            } => match to {
                Destination::Task(to) => self.send(asking, to, message, no_room),
                Destination::Channel(channel) => {
                    self.publish(asking, channel, message, no_room);
                }
                Destination::Workers => self.broadcast(asking, message, no_room),
            },
            BusCommand::Request {
                to,
                token,
                message,
                until,
                no_room,
            } => {
                let asked = Asked {
                    to,
                    token,
                    until,
                    no_room,
                };
                self.request(asking, asked, message);
            }
            BusCommand::Reply {
                request,
                message,
                no_room,
            } => self.reply(asking, request, message, no_room),
            BusCommand::Subscribe(channel) => self.subscribe(asking, channel),
            BusCommand::Unsubscribe(channel) => self.unsubscribe(task, channel, asking.outputs),
            BusCommand::BecomeAgent => {
                let agent = *self.agent.get_or_insert(task);
                self.tell(asking, BusEvent::Agent(agent));
            }
        }
    }

    fn subscribe<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        channel: A::Channel,
    ) {
        let peers = self.peers.iter();
        let here = peers.filter(|(_, peer)| peer.presence == Presence::Here);
        let subscribed = self.subscriptions.subscribe(
            asking.task,
            channel,
            here.map(|&(index, _)| index),
            self.subscriptions_max,
        );
        match subscribed {
            Subscribed::Everywhere => self.confirmed.push((asking.task, channel)),
            Subscribed::Underway => {}
            Subscribed::First => self.announce(channel, asking.outputs),
            Subscribed::TooMany => {
                let subscriptions_max = self.subscriptions_max;
                let event = BusEvent::TooManySubscriptions {
                    channel,
                    subscriptions_max,
                };
                self.tell(asking, event);
            }
        }
    }

    fn send<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        to: TaskId,
        message: A::Message,
        no_room: NoRoom,
    ) {
        let worker = to.worker();
        if worker != self.worker && !self.is_here(worker) {
            self.counters.stale += 1;
            asking.pending.tell_undelivered(asking.task, to);
            return;
        }
        let from = Some(asking.task);
        if self.admits(asking, worker, no_room) {
            self.put(asking, worker, Item::Direct { from, to, message });
        } else if no_room == NoRoom::Drop {
            self.counters.dropped += 1;
        } else {
            let to = Destination::Task(to);
            self.refuse(
                asking,
                worker,
                BusCommand::Send {
                    to,
                    message,
                    no_room,
                },
            );
        }
    }

    fn publish<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        channel: A::Channel,
        message: A::Message,
        no_room: NoRoom,
    ) {
        let mut workers = core::mem::take(&mut self.targets);
        workers.extend_from_slice(self.subscriptions.remote(channel));
        if self.subscriptions.interest(channel).0 == crate::bus::Interest::Some {
            workers.push(self.worker);
        }
        let from = Some(asking.task);
        let to = Destination::Channel(channel);
        self.put_all(asking, &mut workers, (to, no_room), message, |message| {
            Item::Publish {
                from,
                channel,
                message,
            }
        });
        self.targets = workers;
    }

    fn broadcast<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        message: A::Message,
        no_room: NoRoom,
    ) {
        let mut workers = core::mem::take(&mut self.targets);
        let peers = self.peers.iter();
        let here = peers.filter(|(_, peer)| peer.presence == Presence::Here);
        workers.extend(here.map(|&(index, _)| index));
        if self.agent.is_some() {
            workers.push(self.worker);
        }
        let from = Some(asking.task);
        let sent = (Destination::Workers, no_room);
        self.put_all(asking, &mut workers, sent, message, |message| {
            Item::Broadcast { from, message }
        });
        self.targets = workers;
    }

    /// Puts a message into the queues to all of these workers, and clears their list.
    fn put_all<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        workers: &mut Vec<u16>,
        (to, no_room): (Destination<A::Channel>, NoRoom),
        message: A::Message,
        item: impl Fn(A::Message) -> Item<A::Channel, A::Message>,
    ) {
        if workers.is_empty() {
            self.counters.unheard += 1;
            return;
        }
        let mut full = None;
        workers.retain(|&worker| {
            let admits = self.admits(asking, worker, no_room);
            if !admits {
                full = Some(worker);
                self.counters.dropped += u64::from(no_room == NoRoom::Drop);
            }
            admits
        });
        if let Some(worker) = full
            && no_room == NoRoom::Wait
        {
            workers.clear();
            let command = BusCommand::Send {
                to,
                message,
                no_room,
            };
            return self.refuse(asking, worker, command);
        }
        let Some(last) = workers.pop() else {
            return;
        };
        for worker in workers.drain(..) {
            self.put(asking, worker, item(message.clone()));
        }
        self.put(asking, last, item(message));
    }

    fn request<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        asked: Asked,
        message: A::Message,
    ) {
        let Asked {
            to,
            token,
            until,
            no_room,
        } = asked;
        let worker = to.worker();
        let reachable = worker == self.worker || self.is_here(worker);
        let admitted = reachable && self.admits(asking, worker, no_room);
        if reachable && !admitted && no_room == NoRoom::Wait {
            let command = BusCommand::Request {
                to,
                token,
                message,
                until,
                no_room,
            };
            return self.refuse(asking, worker, command);
        }
        self.counters.requests += 1;
        let from = asking.task;
        let put = Put {
            from,
            to,
            token,
            error: RequestError::TimedOut,
        };
        let Some(request) = self.requests.put(put, until) else {
            self.counters.requests_failed += 1;
            let requests_max = self.requests.requests_max();
            let error = RequestError::TooMany { requests_max };
            self.tell(asking, BusEvent::RequestFailed { to, token, error });
            return;
        };
        if admitted {
            let item = Item::Request {
                from,
                to,
                request,
                until,
                message,
            };
            self.put(asking, worker, item);
        } else if reachable {
            self.counters.dropped += 1;
            self.requests
                .fail(request, RequestError::NoRoom, asking.now);
        } else {
            self.counters.stale += 1;
            self.requests
                .fail(request, RequestError::WorkerGone, asking.now);
        }
    }

    fn reply<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        request: RequestId,
        message: A::Message,
        no_room: NoRoom,
    ) {
        let (task, worker) = (asking.task, request.worker);
        if !self.requests.may_answer(task, request, asking.now) {
            self.tell(asking, BusEvent::StaleRequest(request));
            return;
        }
        if worker != self.worker && !self.is_here(worker) {
            self.counters.stale += 1;
            return self.requests.forget_asked(request);
        }
        if self.admits(asking, worker, no_room) {
            self.requests.forget_asked(request);
            let item = Item::Reply {
                from: task,
                request,
                message,
            };
            self.put(asking, worker, item);
        } else if no_room == NoRoom::Drop {
            self.requests.forget_asked(request);
            self.counters.dropped += 1;
        } else {
            let command = BusCommand::Reply {
                request,
                message,
                no_room,
            };
            self.refuse(asking, worker, command);
        }
    }

    /// Whether a message of the task has room in the queue to a worker.
    fn admits<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        worker: u16,
        no_room: NoRoom,
    ) -> bool {
        let task = asking.task;
        // Whoever waits has to be told of room first, so that nothing overtakes what came back.
        if no_room == NoRoom::Wait && self.waits(task, worker) {
            return false;
        }
        // What others wait for is theirs to take.
        let has_turn = self.turn == Some((task, worker));
        if worker == self.worker {
            self.has_own_room()
                && self.share(task) < self.messages_per_task_max
                && (has_turn || self.waiting.is_empty())
        } else {
            self.has_room_to(worker, asking.outputs)
                && (has_turn || self.peer(worker).is_none_or(|peer| !peer.has_turns()))
        }
    }

    /// Whether a task is to be told of room in the queue to a worker.
    fn waits(&self, task: TaskId, worker: u16) -> bool {
        if self.returning.contains_key(&(task, worker)) {
            return true;
        }
        if worker == self.worker {
            let over_share = self.over_share.get(&(task.group, task.key.slot));
            over_share == Some(&task) || self.waiting.contains(&task)
        } else {
            let peer = self.peer(worker);
            peer.is_some_and(|peer| peer.waiting.contains(&task))
        }
    }

    /// Puts an item into the queue to a worker, which has room.
    fn put<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        worker: u16,
        item: Item<A::Channel, A::Message>,
    ) {
        self.counters.sent += item.messages();
        if worker == self.worker {
            *self.share_mut(asking.task) += 1;
            self.own.push(item);
        } else {
            asking.outputs.push_bus(worker, BusItem(item));
        }
    }

    /// Gives a command back for want of room. Its task is told when there is.
    fn refuse<O: WorkerOutputs<A>>(
        &mut self,
        asking: &mut Asking<'_, A, O>,
        worker: u16,
        command: Command<A>,
    ) {
        self.counters.refused += 1;
        let task = asking.task;
        let key = (task, worker);
        let returning = self.returning.get(&key);
        if returning.is_some_and(|returning| returning.has_turn) {
            // It is told of room anyway.
        } else if worker == self.worker {
            if self.share(task) < self.messages_per_task_max {
                self.waiting.push(task);
            } else {
                self.over_share.insert((task.group, task.key.slot), task);
            }
        } else if let Some(peer) = self.peer_mut(worker) {
            peer.waiting.push(task);
            if peer.room != Room::Known {
                peer.await_room(worker, asking.outputs);
            }
        }
        // What comes back to one task must not take the room for what others are to be told.
        let returning = self.returning.get(&key).map_or(0, |all| all.commands);
        if returning >= (asking.pending.pending_max() / 4).max(1) {
            self.counters.untold += 1;
        } else if self.tell(asking, BusEvent::NoRoom { worker, command }) {
            self.returning.entry(key).or_default().commands += 1;
        }
    }

    /// Tells the task something, as an input of its own. `false` if it cannot be told.
    fn tell<O>(&mut self, asking: &mut Asking<'_, A, O>, event: Event<A>) -> bool {
        let task = asking.task;
        let told = asking.pending.push(Pending::Bus { task, event }).is_ok();
        self.counters.untold += u64::from(!told);
        told
    }
}

/// A request without its message.
struct Asked {
    to: TaskId,
    token: Token,
    until: Timestamp,
    no_room: NoRoom,
}
