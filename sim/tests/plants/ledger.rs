//! The ledger: takes what the depot has, and checks it.
#![allow(unreachable_pub, reason = "a module of a test program")]

use std::collections::BTreeMap;

use stillpoint::{
    BusEvent, Input, NoRoom, Outbox, Output, Task, TaskId, Timestamp, TransmitBuffer,
};

use super::post::{Message, Parcel, Post};

pub struct Ledger {
    /// By courier: the parcel that is to come next.
    next: BTreeMap<u64, u32>,
    /// How many have come.
    pub parcels: u64,
    /// Whether each was what its courier has sent.
    pub is_right: bool,
    /// Whether none came twice or too early.
    pub is_in_order: bool,
    outbox: Outbox<Post>,
}

impl Ledger {
    pub const fn new() -> Self {
        Self {
            next: BTreeMap::new(),
            parcels: 0,
            is_right: true,
            is_in_order: true,
            outbox: Outbox::new(),
        }
    }

    fn enter(&mut self, parcel: Parcel) {
        let next = self.next.entry(parcel.name).or_default();
        self.is_in_order &= parcel.seq == *next;
        *next = parcel.seq + 1;
        self.is_right &= parcel.value == Parcel::content(parcel.name, parcel.seq);
        self.parcels += 1;
    }

    fn tell(&mut self, depot: TaskId, message: Message) {
        self.outbox.send_to(depot, message, NoRoom::Wait);
    }
}

impl Task for Ledger {
    type App = Post;

    fn handle_input(&mut self, _: Timestamp, input: Input<Post>) {
        let Input::Bus(BusEvent::Message {
            from: Some(from),
            message,
            ..
        }) = input
        else {
            return;
        };
        match message {
            Message::Parcels(parcels) => {
                for parcel in parcels {
                    self.enter(parcel);
                }
                self.tell(from, Message::Take);
            }
            Message::Wake => self.tell(from, Message::Take),
            Message::Nothing => self.tell(from, Message::Asleep),
            Message::Take | Message::Asleep => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Post>> {
        self.outbox.pop()
    }
}
