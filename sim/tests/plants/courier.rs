//! Couriers: bring their parcels to the depot, each once and in order, whatever the network does.
#![allow(unreachable_pub, reason = "a module of a test program")]

use core::time::Duration;

use stillpoint::{
    Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Task, Timestamp, Token,
    TransmitBuffer, UdpOpen,
};

use super::post::{Parcel, Plant, Post, Report, Session, WINDOW, Wire, depot};

pub struct Courier {
    name: u64,
    parcels: u32,
    plant: Plant,
    socket: Option<SocketId>,
    session: Option<Session>,
    /// All before are acknowledged.
    base: u32,
    /// All before have been sent.
    next: u32,
    /// When what is under way is sent again.
    retry_at: Option<Timestamp>,
    /// How often in a row it has been.
    attempts: u32,
    outbox: Outbox<Post>,
}

impl Courier {
    pub const fn new(name: u64, parcels: u32, plant: Plant) -> Self {
        Self {
            name,
            parcels,
            plant,
            socket: None,
            session: None,
            base: 0,
            next: 0,
            retry_at: None,
            attempts: 0,
            outbox: Outbox::new(),
        }
    }

    fn send(&mut self, wire: Wire) {
        if let Some(socket) = self.socket {
            self.outbox.send(socket, depot(), wire.encode());
        }
    }

    /// Sends what the window allows.
    fn fill(&mut self, now: Timestamp) {
        let Some(session) = self.session else { return };
        let wider = u32::from(self.plant == Plant::WindowOffByOne);
        while self.next < self.parcels && self.next < self.base + WINDOW + wider {
            self.send_parcel(session, self.next);
            self.next += 1;
            self.retry_at = Some(now.after(RETRY));
        }
    }

    fn send_parcel(&mut self, session: Session, seq: u32) {
        self.send(Wire::Data {
            session,
            seq,
            value: Parcel::content(self.name, seq),
        });
    }

    fn hear(&mut self, now: Timestamp, wire: Wire) {
        match wire {
            Wire::Welcome { name, session } if name == self.name && self.session.is_none() => {
                self.session = Some(session);
                (self.retry_at, self.attempts) = (None, 0);
                self.fill(now);
            }
            Wire::Ack { session, next } if self.session == Some(session) && next > self.base => {
                (self.base, self.attempts) = (next.min(self.next), 0);
                let under_way = self.base < self.next;
                let kept = under_way && self.plant != Plant::ForgottenDeadline;
                self.retry_at = kept.then(|| now.after(RETRY));
                self.fill(now);
                if self.base == self.parcels {
                    self.send(Wire::Bye { session });
                    self.outbox.report(Report::Done);
                    self.outbox.finish();
                }
            }
            Wire::Hello { .. }
            | Wire::Welcome { .. }
            | Wire::Data { .. }
            | Wire::Ack { .. }
            | Wire::Bye { .. } => {}
        }
    }

    /// Nothing has come for long: sends the oldest again.
    fn retry(&mut self, now: Timestamp) {
        self.attempts += 1;
        self.retry_at = Some(now.after(RETRY * self.attempts.min(4)));
        if self.attempts > 1 && self.plant == Plant::ForgottenRetransmission {
            self.retry_at = None;
            return;
        }
        match self.session {
            None => self.send(Wire::Hello { name: self.name }),
            Some(session) => self.send_parcel(session, self.base),
        }
    }
}

impl Task for Courier {
    type App = Post;

    fn handle_input(&mut self, now: Timestamp, input: Input<Post>) {
        match input {
            Input::Started(_) => {
                let bind = "0.0.0.0:0".parse().expect("an address");
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                self.send(Wire::Hello { name: self.name });
                self.retry_at = Some(now.after(RETRY));
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                for wire in run.iter().filter_map(Wire::decode) {
                    self.hear(now, wire);
                }
            }
            Input::Timeout if self.retry_at.is_some_and(|at| at <= now) => self.retry(now),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Post>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.retry_at.map(|at| Deadline::new(at, "courier retry"))
    }
}

const RETRY: Duration = Duration::from_millis(100);
