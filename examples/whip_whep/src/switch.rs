//! Who gets what comes: datagrams by session, media by audience.
//!
//! A datagram finds its session by the address it comes from. A new address is learnt from a STUN
//! request that names a session and is signed with its password (RFC 8445, 7.3): so a peer that roams
//! is followed, and nobody else has a say.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use stillpoint::http::StatusCode;
use stillpoint::{
    BusEvent, Children, DatagramRun, Deadline, Destination, GroupConfig, Input, NetworkEvent,
    NoRoom, Outbox, TaskId, Timestamp,
};
use str0m::IceCreds;
use str0m::ice::StunMessage;

use crate::path::is_stun;
use crate::session::{Asked, Session, Shared};
use crate::{Channel, Ended, Message, Open, Problem, Role, SessionId, SfuApp};

/// The sessions of one port.
#[derive(Debug)]
pub(crate) struct Switch<A: SfuApp> {
    shared: Rc<Shared>,
    sessions_max: usize,
    sessions: Children<Session<A>>,
    records: BTreeMap<TaskId, Record>,
    by_id: BTreeMap<SessionId, TaskId>,
    by_ufrag: BTreeMap<String, TaskId>,
    by_address: BTreeMap<SocketAddr, TaskId>,
    /// Who watches which publisher.
    audiences: BTreeMap<SessionId, BTreeSet<TaskId>>,
    /// A message, and who is still to get it.
    handing_out: Option<(Message, VecDeque<TaskId>)>,
}

/// What is known of a session.
#[derive(Debug)]
struct Record {
    id: SessionId,
    role: Role,
    asked: Asked,
    ufrag: String,
    /// The latest last.
    addresses: VecDeque<SocketAddr>,
}

impl<A: SfuApp> Switch<A> {
    pub(crate) fn new(shared: Shared, group: GroupConfig, sessions_max: usize) -> Self {
        Self {
            shared: Rc::new(shared),
            sessions_max,
            sessions: Children::new(group),
            records: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_ufrag: BTreeMap::new(),
            by_address: BTreeMap::new(),
            audiences: BTreeMap::new(),
            handing_out: None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        self.sessions.poll_timeout()
    }

    /// Opens a session, which answers for itself.
    pub(crate) fn open(
        &mut self,
        now: Timestamp,
        open: Open,
        asked: Asked,
        outbox: &mut Outbox<A>,
    ) {
        let creds = if self.records.len() < self.sessions_max {
            self.new_credentials()
                .ok_or("The system has no random numbers to give.")
        } else {
            Err("As many sessions are open as may be: try again later.")
        };
        let creds = match creds {
            Ok(creds) => creds,
            Err(detail) => {
                self.shared.metrics.refused.add(1);
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                return outbox.answer(asked.request, Message::Refused(problem));
            }
        };
        let record = Record {
            id: open.id,
            role: open.role,
            asked,
            ufrag: creds.ufrag.clone(),
            addresses: VecDeque::new(),
        };
        let session = Session::new(open, asked, creds, now, Rc::clone(&self.shared));
        let Ok(task) = self.sessions.insert(now, session, outbox) else {
            return; // As many as that are never there.
        };
        self.by_id.insert(record.id, task);
        self.by_ufrag.insert(record.ufrag.clone(), task);
        if let Role::Watch(publisher, _) = record.role {
            let audience = self.audiences.entry(publisher.id).or_default();
            if audience.is_empty() {
                outbox.subscribe(Channel::Media(publisher.id));
            }
            audience.insert(task);
        }
        self.records.insert(task, record);
        self.note();
        self.bury(outbox);
    }

    /// Names and passwords that nobody guesses. `None` if the system has none.
    fn new_credentials(&self) -> Option<IceCreds> {
        loop {
            let ufrag = crate::secret(4)?;
            if !self.by_ufrag.contains_key(&ufrag) {
                let pass = crate::secret(16)?;
                return Some(IceCreds { ufrag, pass });
            }
        }
    }

    pub(crate) fn receive(&mut self, now: Timestamp, run: DatagramRun, outbox: &mut Outbox<A>) {
        let is_stun = is_stun(&run.payload);
        let task = if is_stun {
            let message = StunMessage::parse(run.iter().next().unwrap_or_default()).ok();
            let ufrag = message.as_ref().and_then(StunMessage::split_username);
            ufrag.and_then(|(ours, _)| self.by_ufrag.get(ours))
        } else {
            self.by_address.get(&run.peer)
        };
        let Some(&task) = task else {
            let counters = &self.shared.metrics;
            let datagrams = run.count() as u64;
            return if is_stun {
                counters.unknown_users.add(datagrams)
            } else {
                counters.strangers.add(datagrams)
            };
        };
        let peer = run.peer;
        let socket = self.shared.socket;
        self.give(
            now,
            task,
            Input::Network(NetworkEvent::Datagrams { socket, run }),
            outbox,
        );
        if is_stun
            && self
                .sessions
                .group()
                .get(task)
                .and_then(Session::written_by)
                == Some(peer)
        {
            self.learn(task, peer);
        }
    }

    /// A session's peer is at this address.
    fn learn(&mut self, task: TaskId, peer: SocketAddr) {
        if self.by_address.insert(peer, task) == Some(task) {
            return;
        }
        if let Some(record) = self.records.get_mut(&task) {
            record.addresses.push_back(peer);
            if record.addresses.len() > ADDRESSES_MAX
                && let Some(oldest) = record.addresses.pop_front()
            {
                self.forget(task, oldest);
            }
        }
        self.note();
    }

    /// An address leads to a session no longer, unless it has become another's.
    fn forget(&mut self, task: TaskId, address: SocketAddr) {
        if self.by_address.get(&address) == Some(&task) {
            self.by_address.remove(&address);
        }
    }

    /// Hands a message to the session that it names.
    pub(crate) fn tell(&mut self, now: Timestamp, message: Message, outbox: &mut Outbox<A>) {
        let (Message::Close(id) | Message::KeyFrame(id, _)) = message else {
            return;
        };
        match self.by_id.get(&id) {
            Some(&task) => self.give(now, task, to_session(message), outbox),
            None => self.shared.metrics.stale.add(1),
        }
    }

    /// Begins to hand a message to all who watch a publisher.
    pub(crate) fn hand_out(&mut self, publisher: SessionId, message: Message) {
        let viewers = self.audiences.get(&publisher).into_iter().flatten();
        self.handing_out = Some((message, viewers.copied().collect()));
    }

    /// Hands it to the next of them, if there is one.
    pub(crate) fn hand_to_next(&mut self, now: Timestamp, outbox: &mut Outbox<A>) -> bool {
        let next = self.handing_out.as_mut();
        let next =
            next.and_then(|(message, viewers)| Some((message.clone(), viewers.pop_front()?)));
        match next {
            Some((message, viewer)) => self.give(now, viewer, to_session(message), outbox),
            None => self.handing_out = None,
        }
        self.handing_out.is_some()
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp, outbox: &mut Outbox<A>) {
        self.sessions.handle_timeout(now, outbox);
        self.bury(outbox);
    }

    pub(crate) fn shut_down(&mut self, now: Timestamp, outbox: &mut Outbox<A>) {
        for task in self.records.keys().copied().collect::<Vec<_>>() {
            self.give(now, task, Input::Shutdown, outbox);
        }
    }

    /// Gives a session an input. It may have ended since.
    fn give(&mut self, now: Timestamp, task: TaskId, input: Input<A>, outbox: &mut Outbox<A>) {
        let _stale = self.sessions.handle_input(now, task, input, outbox);
        self.bury(outbox);
    }

    fn note(&self) {
        let metrics = &self.shared.metrics;
        metrics.addresses.set(self.by_address.len() as u64);
        metrics.subscriptions.set(self.audiences.len() as u64);
    }

    /// Forgets sessions that have ended.
    fn bury(&mut self, outbox: &mut Outbox<A>) {
        while let Some((task, end)) = self.sessions.poll_ended() {
            let Some(record) = self.records.remove(&task) else {
                continue;
            };
            self.by_id.remove(&record.id);
            self.by_ufrag.remove(&record.ufrag);
            for &address in &record.addresses {
                self.forget(task, address);
            }
            match record.role {
                Role::Publish => {
                    let gone = Message::Gone(record.id);
                    outbox.publish(Channel::Media(record.id), gone, NoRoom::Wait);
                }
                Role::Watch(publisher, _) => self.leave(task, publisher.id, outbox),
            }
            self.note();
            if end.is_failure() {
                // It could not say so itself. If it was open already, nobody waits for the answer.
                let problem = Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The offer was too much for this server.",
                );
                outbox.answer(record.asked.request, Message::Refused(problem));
                let message = Message::Ended(record.id, Ended::Failed);
                outbox.send_to(record.asked.by, message, NoRoom::Wait);
            }
        }
    }

    /// A viewer is no more.
    fn leave(&mut self, task: TaskId, publisher: SessionId, outbox: &mut Outbox<A>) {
        if let Some(audience) = self.audiences.get_mut(&publisher) {
            audience.remove(&task);
            if audience.is_empty() {
                self.audiences.remove(&publisher);
                outbox.unsubscribe(Channel::Media(publisher));
            }
        }
    }
}

fn to_session<A: SfuApp>(message: Message) -> Input<A> {
    Input::Bus(BusEvent::Message {
        from: None,
        to: Destination::Workers,
        message,
    })
}

/// Addresses that one peer may be reached at: it may be on the way from one to another.
const ADDRESSES_MAX: usize = 4;
