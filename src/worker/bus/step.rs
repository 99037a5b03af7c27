//! One step of delivering what waits in a lane.

use super::lane::Published;
use super::{Bus, From};
use crate::bus::{BusEvent, BusItem, Destination, Item, RequestError};
use crate::id::{RequestId, TaskId};
use crate::task::App;
use crate::time::Timestamp;
use crate::worker::WorkerOutputs;
use crate::worker::pending::PendingQueue;

/// What came of a step.
pub(in crate::worker) enum Step<C, M> {
    /// The lane is clear.
    Clear,
    /// Something was done; no task is to hear of it.
    Done,
    /// A task is to be told.
    Give {
        to: TaskId,
        event: BusEvent<C, M>,
        /// What follows if it is no more.
        otherwise: Unreachable,
    },
    /// A task is to be told that a message of its own did not arrive.
    Undelivered { from: TaskId, to: TaskId },
}

/// Who is to hear that a task is no more.
#[derive(Debug, Clone, Copy)]
pub(in crate::worker) enum Unreachable {
    /// Who has sent the message.
    Sender(Option<TaskId>),
    /// Who has put the request.
    Request(RequestId),
    /// Nobody.
    Nobody,
}

impl<A: App> Bus<A> {
    /// Takes the next item out of a lane, or goes on with the one that is being published.
    pub(in crate::worker) fn step(
        &mut self,
        source: From,
        now: Timestamp,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> Step<A::Channel, A::Message> {
        let lane = match source {
            From::Own => &mut self.own,
            From::Controller => &mut self.controller,
            From::Peer(index) => match self.peer_mut(index) {
                Some(peer) => &mut peer.lane,
                None => return Step::Clear,
            },
        };
        if let Some(published) = lane.published.take() {
            return self.go_round(source, published);
        }
        let Some(item) = lane.items.pop_front() else {
            return Step::Clear;
        };
        self.take(source, item, now, outputs)
    }

    /// Deals with an item. Published ones begin their round, and stay in the lane.
    pub(in crate::worker) fn take(
        &mut self,
        source: From,
        item: Item<A::Channel, A::Message>,
        now: Timestamp,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> Step<A::Channel, A::Message> {
        self.counters.received += item.messages();
        match item {
            Item::Direct { from, to, message } => {
                self.left_own(source, from);
                Step::Give {
                    to,
                    event: BusEvent::Message {
                        from,
                        to: Destination::Task(to),
                        message,
                    },
                    otherwise: Unreachable::Sender(from),
                }
            }
            Item::Publish {
                from,
                channel,
                message,
            } => {
                self.left_own(source, from);
                self.begin_round(source, from, channel, message)
            }
            Item::Broadcast { from, message } => {
                self.left_own(source, from);
                self.give_agent(from, message)
            }
            Item::Request {
                from,
                to,
                request,
                until,
                message,
            } => {
                self.left_own(source, Some(from));
                if until < now {
                    // It has failed already, and nobody needs to spend work on it.
                    self.counters.stale += 1;
                    return Step::Done;
                }
                if self.requests.admit(request, to, until, now) {
                    let event = BusEvent::Request {
                        from,
                        request,
                        message,
                        until,
                    };
                    let otherwise = Unreachable::Request(request);
                    return Step::Give {
                        to,
                        event,
                        otherwise,
                    };
                }
                let requests_max = self.requests.requests_max();
                let error = RequestError::TooMany { requests_max };
                self.fail(request, error, now, outputs);
                Step::Done
            }
            Item::Reply {
                from,
                request,
                message,
            } => {
                self.left_own(source, Some(from));
                self.take_reply(from, request, message)
            }
            Item::Failed { .. }
            | Item::Undelivered { .. }
            | Item::Interest { .. }
            | Item::InterestKnown { .. } => self.hear(source, item, now, outputs),
        }
    }

    /// Begins to hand a published message to the subscribers, if there are any.
    fn begin_round(
        &mut self,
        source: From,
        from: Option<TaskId>,
        channel: A::Channel,
        message: A::Message,
    ) -> Step<A::Channel, A::Message> {
        let Some(round) = self.subscriptions.begin(channel) else {
            self.counters.unheard += 1;
            return Step::Done;
        };
        let published = Published {
            from,
            channel,
            message,
            round,
        };
        self.go_round(source, published)
    }

    /// A message for the worker's agent, if it has one.
    fn give_agent(
        &mut self,
        from: Option<TaskId>,
        message: A::Message,
    ) -> Step<A::Channel, A::Message> {
        let Some(agent) = self.agent else {
            self.counters.unheard += 1;
            return Step::Done;
        };
        Step::Give {
            to: agent,
            event: BusEvent::Message {
                from,
                to: Destination::Workers,
                message,
            },
            otherwise: Unreachable::Nobody,
        }
    }

    /// An answer, if it does not come too late.
    fn take_reply(
        &mut self,
        from: TaskId,
        request: RequestId,
        message: A::Message,
    ) -> Step<A::Channel, A::Message> {
        let Some(put) = self.requests.take(request) else {
            self.counters.stale += 1;
            return Step::Done;
        };
        self.counters.replies += 1;
        Step::Give {
            to: put.from,
            event: BusEvent::Reply {
                from,
                token: put.token,
                message,
            },
            otherwise: Unreachable::Nobody,
        }
    }

    /// Deals with what another worker says, not a task of it.
    fn hear(
        &mut self,
        source: From,
        item: Item<A::Channel, A::Message>,
        now: Timestamp,
        outputs: &mut impl WorkerOutputs<A>,
    ) -> Step<A::Channel, A::Message> {
        let From::Peer(index) = source else {
            return Step::Done;
        };
        match item {
            Item::Failed { request, error } => self.requests.fail(request, error, now),
            Item::Undelivered { from, to } => {
                return Step::Undelivered { from, to };
            }
            Item::Interest {
                channel,
                interest,
                number,
            } => {
                if !self.is_here(index) {
                    return Step::Done; // It has left, and wants nothing any more.
                }
                self.subscriptions.set_remote(index, channel, interest);
                if interest == crate::bus::Interest::Some
                    && let Some(peer) = self.peer_mut(index)
                {
                    peer.owed_known.insert(channel, number);
                    self.pay(index, outputs);
                }
            }
            Item::InterestKnown { channel, number } => {
                for task in self.subscriptions.known(index, channel, number) {
                    self.confirmed.push((task, channel));
                }
            }
            Item::Direct { .. }
            | Item::Publish { .. }
            | Item::Broadcast { .. }
            | Item::Request { .. }
            | Item::Reply { .. } => {}
        }
        Step::Done
    }

    /// Hands what is being published to one more subscriber. The last one gets the message itself.
    fn go_round(
        &mut self,
        source: From,
        published: Published<A::Channel, A::Message>,
    ) -> Step<A::Channel, A::Message> {
        let Published {
            from,
            channel,
            message,
            round,
        } = published;
        let to = round.subscriber();
        let next = self.subscriptions.go_on(channel, &round);
        let subscribed = self.subscriptions.has(to, channel);
        let given = match next {
            None => subscribed.then_some(message),
            Some(round) => {
                let given = subscribed.then(|| message.clone());
                let published = Some(Published {
                    from,
                    channel,
                    message,
                    round,
                });
                match source {
                    From::Own => self.own.published = published,
                    From::Controller => self.controller.published = published,
                    From::Peer(index) => {
                        if let Some(peer) = self.peer_mut(index) {
                            peer.lane.published = published;
                        }
                    }
                }
                given
            }
        };
        let Some(message) = given else {
            return Step::Done; // It has unsubscribed since.
        };
        Step::Give {
            to,
            event: BusEvent::Message {
                from,
                to: Destination::Channel(channel),
                message,
            },
            otherwise: Unreachable::Nobody,
        }
    }

    /// The receiver is no more.
    pub(in crate::worker) fn unreachable(
        &mut self,
        to: TaskId,
        otherwise: Unreachable,
        now: Timestamp,
        pending: &mut PendingQueue<A>,
        outputs: &mut impl WorkerOutputs<A>,
    ) {
        self.counters.stale += 1;
        match otherwise {
            Unreachable::Sender(Some(from)) if from.worker() == self.worker => {
                pending.tell_undelivered(from, to);
            }
            Unreachable::Sender(Some(from)) => {
                let worker = from.worker();
                // Without room it is counted here and told to nobody.
                if self.has_room_to(worker, outputs) {
                    outputs.push_bus(worker, BusItem(Item::Undelivered { from, to }));
                }
            }
            Unreachable::Request(request) => {
                self.requests.forget_asked(request);
                self.fail(request, RequestError::Ended, now, outputs);
            }
            Unreachable::Sender(None) | Unreachable::Nobody => {}
        }
    }

    /// A message of one of the worker's own tasks has left the own lane.
    fn left_own(&mut self, source: From, from: Option<TaskId>) {
        if let (From::Own, Some(from)) = (source, from) {
            let share = self.share_mut(from);
            *share = share.saturating_sub(1);
            // Whoever is in the slot now has the share of who was there before.
            if *share <= self.messages_per_task_max / 2
                && let Some(waiting) = self.over_share.remove(&(from.group, from.key.slot))
            {
                self.waiting.push(waiting);
            }
        }
    }
}
