//! The depot: takes parcels in, session by session, and has the ledger take them in order.
#![allow(unreachable_pub, reason = "a module of a test program")]

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    BusEvent, Deadline, Input, NetworkEvent, NoRoom, Outbox, Output, SocketId, Task, TaskId,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};

use super::post::{Message, Parcel, Plant, Post, Session, WINDOW, Wire, depot};

pub struct Depot {
    ledger: TaskId,
    plant: Plant,
    slots: Vec<Slot>,
    /// In order, until the ledger takes them.
    ready: Vec<Parcel>,
    ledger_asleep: bool,
    outbox: Outbox<Post>,
}

/// Where sessions are, one after the other.
struct Slot {
    generation: u32,
    inbox: Option<Inbox>,
}

/// What one courier brings.
struct Inbox {
    name: u64,
    /// All before have come.
    next: u32,
    /// What has come out of order: parcel `seq` is at `seq` modulo its length.
    early: [Option<u64>; WINDOW as usize],
    heard_at: Timestamp,
}

impl Depot {
    pub const fn new(ledger: TaskId, plant: Plant) -> Self {
        Self {
            ledger,
            plant,
            slots: Vec::new(),
            ready: Vec::new(),
            ledger_asleep: true,
            outbox: Outbox::new(),
        }
    }

    fn hear(&mut self, now: Timestamp, wire: Wire) -> Option<Wire> {
        match wire {
            Wire::Hello { name } => {
                let session = self.session_of(now, name);
                Some(Wire::Welcome { name, session })
            }
            Wire::Data {
                session,
                seq,
                value,
            } => {
                let next = self.take(now, session, seq, value)?;
                Some(Wire::Ack { session, next })
            }
            Wire::Bye { session } => {
                self.inbox(session)?;
                self.slots[session.slot as usize].inbox = None;
                None
            }
            Wire::Welcome { .. } | Wire::Ack { .. } => None,
        }
    }

    /// The session of a courier: the one it has, or a new one in a free slot.
    fn session_of(&mut self, now: Timestamp, name: u64) -> Session {
        let is_its = |slot: &Slot| slot.inbox.as_ref().is_some_and(|inbox| inbox.name == name);
        let known = self.slots.iter().position(is_its);
        let index = known.unwrap_or_else(|| {
            let free = self.slots.iter().position(|slot| slot.inbox.is_none());
            let index = free.unwrap_or(self.slots.len());
            if index == self.slots.len() {
                self.slots.push(Slot {
                    generation: 0,
                    inbox: None,
                });
            }
            let slot = &mut self.slots[index];
            slot.generation += 1;
            slot.inbox = Some(Inbox {
                name,
                next: 0,
                early: [None; WINDOW as usize],
                heard_at: now,
            });
            index
        });
        Session {
            slot: u32::try_from(index).expect("few sessions"),
            generation: self.slots[index].generation,
        }
    }

    fn inbox(&mut self, session: Session) -> Option<&mut Inbox> {
        let slot = self.slots.get_mut(session.slot as usize)?;
        let stale = slot.generation != session.generation;
        if stale && self.plant != Plant::StaleIdAccepted {
            return None;
        }
        slot.inbox.as_mut()
    }

    /// Takes a parcel, and says which is wanted next.
    fn take(&mut self, now: Timestamp, session: Session, seq: u32, value: u64) -> Option<u32> {
        let plant = self.plant;
        let inbox = self.inbox(session)?;
        inbox.heard_at = now;
        let name = inbox.name;
        let mut parcels = Vec::new();
        let again = plant == Plant::DoubleDelivery && seq + 1 == inbox.next;
        if again {
            parcels.push(Parcel { name, seq, value });
        }
        let end = inbox.next + WINDOW + u32::from(plant == Plant::WindowOffByOne);
        if (inbox.next..end).contains(&seq) {
            inbox.early[(seq % WINDOW) as usize] = Some(value);
        }
        while let Some(value) = inbox.early[(inbox.next % WINDOW) as usize].take() {
            let seq = inbox.next;
            parcels.push(Parcel { name, seq, value });
            inbox.next += 1;
        }
        let next = inbox.next;
        if !parcels.is_empty() {
            self.ready.extend(parcels);
            self.wake();
        }
        Some(next)
    }

    fn wake(&mut self) {
        if core::mem::take(&mut self.ledger_asleep) {
            self.tell(Message::Wake);
        }
    }

    fn tell(&mut self, message: Message) {
        self.outbox.send_to(self.ledger, message, NoRoom::Wait);
    }

    fn answer(&mut self, socket: SocketId, peer: SocketAddr, wire: Option<Wire>) {
        if let Some(wire) = wire {
            self.outbox.send(socket, peer, wire.encode());
        }
    }

    /// Ends sessions of which nothing was heard for long: their `Bye` was lost.
    fn forget_silent(&mut self, now: Timestamp) {
        for slot in &mut self.slots {
            let silent = |inbox: &Inbox| inbox.heard_at.after(SILENCE) <= now;
            if slot.inbox.as_ref().is_some_and(silent) {
                slot.inbox = None;
            }
        }
    }
}

impl Task for Depot {
    type App = Post;

    fn handle_input(&mut self, now: Timestamp, input: Input<Post>) {
        match input {
            Input::Started(_) => self.outbox.open_udp(UdpOpen::new(Token(0), depot())),
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                let peer = run.peer;
                for wire in run.iter().filter_map(Wire::decode) {
                    let answer = self.hear(now, wire);
                    self.answer(socket, peer, answer);
                }
            }
            Input::Bus(BusEvent::Message { message, .. }) => match message {
                Message::Take if self.ready.is_empty() => self.tell(Message::Nothing),
                Message::Take => {
                    let parcels = core::mem::take(&mut self.ready);
                    self.tell(Message::Parcels(parcels));
                }
                Message::Asleep => {
                    self.ledger_asleep = true;
                    if !self.ready.is_empty() && self.plant != Plant::LostWakeUp {
                        self.wake();
                    }
                }
                Message::Parcels(_) | Message::Nothing | Message::Wake => {}
            },
            Input::Timeout => self.forget_silent(now),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Post>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let inboxes = self.slots.iter().filter_map(|slot| slot.inbox.as_ref());
        let first = inboxes.map(|inbox| inbox.heard_at.after(SILENCE)).min()?;
        Some(Deadline::new(first, "silent session"))
    }
}

/// After this long without a word a session is over: longer than anybody waits to try again.
const SILENCE: Duration = Duration::from_secs(60);
