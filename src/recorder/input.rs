//! What a worker is given, as bytes of a recording.

use core::fmt;

use super::code::{Recordable, RecordedBytes};
use crate::bus::{BusItem, Interest, Item, RequestError};
use crate::control::{CommandId, CommandTarget, ControlInput, SpawnId};
use crate::recordable;
use crate::task::App;
use crate::worker::WorkerInput;

/// An application whose workers can be recorded: what it spawns, commands and sends is
/// [`Recordable`]. There is nothing to implement but that.
pub trait RecordedApp:
    App<Channel: Recordable, Message: Recordable, Command: Recordable, Spawn: Recordable>
{
}

impl<A> RecordedApp for A where
    A: App<Channel: Recordable, Message: Recordable, Command: Recordable, Spawn: Recordable>
{
}

recordable!(@enum [A: RecordedApp] WorkerInput<A> {
    0 = Timeout,
    1 = Network(event),
    2 = Bus { from, item },
    3 = BusRoom(worker),
    4 = PeerJoined(worker),
    5 = PeerLeft(worker),
    6 = Control(input),
    7 = Spawn(spawn),
    8 = Command { task, command },
    9 = Shutdown,
    10 = Abort,
});

/// The first byte of an input from the network.
pub(super) const NETWORK: u8 = 1;

/// What an input is, by its first byte.
pub(super) fn name(number: u8) -> &'static str {
    const NAMES: [&str; 11] = [
        "timeout",
        "network",
        "from the bus",
        "room on the bus",
        "a worker joined",
        "a worker left",
        "from the controller",
        "spawn",
        "command",
        "shutdown",
        "abort",
    ];
    NAMES.get(usize::from(number)).unwrap_or(&"unknown")
}

recordable!(@enum [A: RecordedApp] ControlInput<A> {
    0 = Spawn { id, spawn },
    1 = Command { id, to, command },
    2 = Publish { channel, message },
    3 = Broadcast(message),
    4 = Shutdown { phase },
});

recordable!(enum CommandTarget { 0 = Task(task), 1 = Worker(worker) });

recordable!(@enum [C: Recordable, M: Recordable] Item<C, M> {
    0 = Direct { from, to, message },
    1 = Publish { from, channel, message },
    2 = Broadcast { from, message },
    3 = Request { from, to, request, until, message },
    4 = Reply { from, request, message },
    5 = Failed { request, error },
    6 = Undelivered { from, to },
    7 = Interest { channel, interest, number },
    8 = InterestKnown { channel, number },
});

recordable!(enum Interest { 0 = Some, 1 = None });
recordable!(enum RequestError {
    0 = TimedOut,
    1 = Ended,
    2 = WorkerGone,
    3 = NoRoom,
    4 = TooMany { requests_max },
});

macro_rules! wrapped {
    ($([$($generics:tt)*] $type:ty,)*) => {
        $(impl<$($generics)*> Recordable for $type {
            fn write(&self, to: &mut Vec<u8>) {
                self.0.write(to);
            }

            fn read(from: &mut RecordedBytes<'_>) -> Option<Self> {
                Recordable::read(from).map(Self)
            }
        })*
    };
}

wrapped! {
    [C: Recordable, M: Recordable] BusItem<C, M>,
    [] SpawnId,
    [] CommandId,
}

/// How one type is written.
type Write<T> = fn(&T, &mut Vec<u8>);

/// How the types of an application are written. A value, so that whoever records need not know
/// that they can be.
pub(super) struct Codec<A: App> {
    pub(super) input: Write<WorkerInput<A>>,
    pub(super) item: Write<BusItem<A::Channel, A::Message>>,
}

impl<A: RecordedApp> Codec<A> {
    pub(super) fn new() -> Self {
        Self {
            input: Recordable::write,
            item: Recordable::write,
        }
    }
}

impl<A: App> Clone for Codec<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: App> Copy for Codec<A> {}

impl<A: App> fmt::Debug for Codec<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}
