//! A line chat over TCP, as tasks: one door for each worker, and rooms on the bus between them.
//!
//! A room is a channel: a door subscribes when the first of its people joins, and publishes each
//! line once, whoever hears it and wherever. What is kept for anybody is bounded: a line that is
//! not complete, and what fits into the queue of the stream. Lines that a slow reader has no room
//! for are not kept but counted, and the reader is told how many.
//!
//! A line for which the bus has no room goes to nobody, and its speaker is told: better that than
//! some who hear it and others who do not. Notices are dropped where there is no room. Names of
//! people are not checked: two may have the same.
#![allow(dead_code, reason = "the tests use more of this than the example")]
#![allow(unreachable_pub, reason = "a module of several programs")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::fmt;
use core::net::SocketAddr;

use stillpoint::{App, Buffer, NetworkError, Spawned, Spawner, StreamId};

pub mod allowance;
pub mod door;
pub mod lines;
pub mod person;
pub mod stats;
pub mod wish;

pub use door::{Door, DoorConfig};
pub use stats::Stats;

/// The application, if there is nothing else in it.
#[derive(Debug)]
pub struct Chat;

impl App for Chat {
    type Channel = Name;
    type Message = Said;
    type Command = ();
    type Report = Report;
    type Spawn = DoorConfig;
}

/// An application that a [`Door`] fits into: what it is made from and commanded with may be more.
pub trait ChatApp: App<Channel = Name, Message = Said, Report = Report> {}

impl<A: App<Channel = Name, Message = Said, Report = Report>> ChatApp for A {}

/// The one `match` that an application owes its workers, with one arm.
pub fn spawn(config: DoorConfig, spawner: Spawner<'_, Chat>) -> Spawned {
    spawner.insert(Door::new(config))
}

/// What doors tell each other.
#[derive(Debug, Clone)]
pub enum Said {
    /// To a room: a line, as all are to read it, but not who has said it.
    Line { by: StreamId, text: Buffer },
    /// To a room: something about one of its people, who need not hear it.
    Notice { about: StreamId, text: Buffer },
    /// To a room: somebody wants to know who is there.
    Who { asker: StreamId },
    /// To the door that asked: these are here.
    Here { asker: StreamId, text: Buffer },
}

/// What doors tell their controller.
#[derive(Debug)]
pub enum Report {
    /// A door is open.
    Listening(SocketAddr),
    /// A door could not be opened.
    ListenFailed {
        bind: SocketAddr,
        error: NetworkError,
    },
    /// A door was told to close.
    Stopped(Box<Stats>),
}

/// The name of a person or a room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    bytes: [u8; Self::BYTES_MAX],
    len: u8,
}

impl Name {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 16;

    /// `None` if it is empty or too long, or holds anything but letters, digits, `-` and `_` of
    /// ASCII.
    pub fn new(name: &[u8]) -> Option<Self> {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        if name.is_empty() || name.len() > Self::BYTES_MAX || !name.iter().all(fits) {
            return None;
        }
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name);
        let len = u8::try_from(name.len()).ok()?;
        Some(Self { bytes, len })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
