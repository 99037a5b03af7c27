//! A small system for jobs, as four kinds of task that make each other and talk over the bus.
//!
//! ```text
//! controller --command--> Dispatcher --spawn--> Job --request--> Crunch, on any worker
//!     ^                                          |  --spawn----> Crunch, on its own
//!     +------report------ Watcher <--publish-----+
//! ```
//!
//! Nobody holds a list of all crunches: a job calls the roll on one channel, and whoever is there
//! or comes later says so on another.
#![allow(dead_code, reason = "the tests use more of this than the example")]
#![allow(unreachable_pub, reason = "a module of several programs")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use stillpoint::{App, Buffer, Spawned, Spawner, TaskId};

pub mod boss;
pub mod crunch;
pub mod dispatcher;
pub mod job;
pub mod watcher;
pub mod work;

use crunch::Crunch;
use dispatcher::Dispatcher;
use job::Job;
use watcher::Watcher;
use work::{Order, Outcome, Part};

/// The application.
#[derive(Debug)]
pub struct Jobs;

impl App for Jobs {
    type Channel = Channel;
    type Message = Message;
    type Command = Order;
    type Report = Report;
    type Spawn = Spawn;
}

/// What can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Jobs ask who is there.
    RollCall,
    /// Crunches say that they are there.
    Crunches,
    /// Jobs say how far they are.
    Progress,
}

/// What tasks tell each other.
#[derive(Debug, Clone)]
pub enum Message {
    /// A job, to all crunches: who is there?
    CallRoll,
    /// A crunch, to all jobs or to the one that asked: the sender, and who had it made.
    Here { parent: Option<TaskId> },
    /// A job asks a crunch for the result of a part.
    Crunch(Part),
    /// The result.
    Crunched(u64),
    /// There is none: too many wait at this crunch already.
    Busy,
    /// A job has so many of its parts.
    Progress {
        order: u32,
        done: usize,
        parts: usize,
    },
    /// A job is done. Said again until the watcher has noted it.
    Done(Outcome),
    /// The watcher has.
    Noted,
}

/// What tasks tell their controller.
#[derive(Debug, Clone)]
pub enum Report {
    /// A dispatcher takes orders for its worker.
    Ready,
    /// The watcher hears of all jobs, wherever they are.
    Watching,
    /// A job is done. May be told twice.
    Done(Outcome),
    /// The watcher was told to stop, and has heard so many messages.
    Watched { progress: u64, done: u64 },
}

/// What there is to make.
#[derive(Debug)]
pub enum Spawn {
    Dispatcher,
    Watcher,
    Job { order: u32, parts: Vec<Part> },
    Crunch,
}

/// The one `match` that an application owes its workers. Each type becomes a group of its own.
pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Jobs>) -> Spawned {
    match spawn {
        Spawn::Dispatcher => spawner.insert(Dispatcher::new()),
        Spawn::Watcher => spawner.insert(Watcher::new()),
        Spawn::Job { order, parts } => spawner.insert(Job::new(order, parts)),
        Spawn::Crunch => spawner.insert(Crunch::new()),
    }
}

/// A text of so many words of a few letters, which follow from the seed.
pub fn text(seed: u64, words: usize) -> Buffer {
    let mut text = Vec::new();
    for word in 0..words as u64 {
        let mut letters = work::mix(seed ^ work::mix(word));
        for _ in 0..2 + letters % 7 {
            letters = letters.rotate_left(5);
            text.push(b'a' + u8::try_from(letters % 26).unwrap_or_default());
        }
        text.push(if letters & 64 == 0 { b' ' } else { b'\n' });
    }
    Buffer::copy_from(&text)
}
