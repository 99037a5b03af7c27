//! What tasks ask of the bus.

use super::requests::Put;
use super::subscriptions::Subscribed;
use super::{Bus, Presence};
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
            return self.tell(asking, BusEvent::RequestFailed { to, token, error });
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
            return self.tell(asking, BusEvent::StaleRequest(request));
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
        let own = worker == self.worker;
        let waiting = if own {
            Some(&self.waiting)
        } else {
            self.peer(worker).map(|peer| &peer.waiting)
        };
        // Whoever waits has to be told of room first, so that nothing overtakes what came back.
        let waits = waiting.is_some_and(|waiting| waiting.contains(&task));
        if no_room == NoRoom::Wait && waits {
            false
        } else if own {
            self.has_own_room() && self.share(task) < self.messages_per_task_max
        } else {
            self.has_room_to(worker, asking.outputs)
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
        if worker == self.worker {
            self.waiting.push(asking.task);
        } else if let Some(peer) = self.peer_mut(worker) {
            peer.waiting.push(asking.task);
            peer.await_room(worker, asking.outputs);
        }
        let task = asking.task;
        let event = BusEvent::NoRoom { worker, command };
        if asking.pending.push(Pending::Bus { task, event }).is_ok() {
            *self.returning.entry(task).or_default() += 1;
        } else {
            self.counters.untold += 1;
        }
    }

    /// Tells the task something, as an input of its own.
    fn tell<O>(&mut self, asking: &mut Asking<'_, A, O>, event: Event<A>) {
        let task = asking.task;
        if asking.pending.push(Pending::Bus { task, event }).is_err() {
            self.counters.untold += 1;
        }
    }
}

/// A request without its message.
struct Asked {
    to: TaskId,
    token: Token,
    until: Timestamp,
    no_room: NoRoom,
}
