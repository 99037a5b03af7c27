//! Bytes become a cluster of workers, a script for its tasks and a schedule for its driver; the
//! laws of the bus must hold whatever they say.
//!
//! Puppets unwind without calling the panic hook, so libFuzzer's hook, which aborts, sees only
//! panics that nobody planned.

use stillpoint::NoRoom;

#[path = "../../tests/core/bus_script.rs"]
mod bus_script;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/core/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/core/puppet.rs"]
mod puppet;

use bus_script::{CHANNELS, Limits, Say, run};
use puppet::{Act, Birth, Whom};

const SAYS_MAX: usize = 150;
const ACTS_MAX: u8 = 6;
const DEPTH_MAX: u8 = 2;

/// Runs the script.
pub fn run_bytes(bytes: &[u8]) {
    let mut script = Script(crate::Script::new(bytes));
    let limits = script.limits();
    let mut says = Vec::new();
    while !script.0.is_over() && says.len() < SAYS_MAX {
        says.push(script.say());
    }
    run(&limits, &says);
}

/// Bytes, read as what a cluster is told.
struct Script<'a>(crate::Script<'a>);

impl Script<'_> {
    fn below(&mut self, end: u8) -> u8 {
        self.0.byte() % end
    }

    fn limits(&mut self) -> Limits {
        let (few, many) = (self.0.byte(), 1_000);
        let mut size = |end| usize::from(self.0.byte() % end) + 1;
        Limits {
            workers: size(3) as u16,
            capacity: size(3),
            batch_max: size(5) as u32,
            messages_max: size(7),
            messages_per_task_max: size(3) as u32,
            pending_max: if few & 3 == 0 { size(5) } else { many },
            requests_max: size(5),
            subscriptions_max: if few & 12 == 0 { size(3) } else { many },
        }
    }

    fn say(&mut self) -> Say {
        match self.below(32) {
            0..15 => Say::Go(self.0.number()),
            15..19 => Say::Spawn(self.0.number(), self.birth()),
            19..26 => Say::Tell(self.0.number(), self.acts(DEPTH_MAX)),
            26 | 27 => Say::Wait(self.0.byte().into()),
            28 => Say::Join,
            29 => Say::Leave(self.0.number()),
            30 => Say::Publish(self.0.number(), self.below(CHANNELS)),
            _ => Say::Broadcast(self.0.number()),
        }
    }

    fn birth(&mut self) -> Birth {
        let mut shutdown = self.acts(1);
        shutdown.push(Act::Finish);
        Birth {
            phase: [0, 0, 1, 9][self.0.number() % 4],
            start: self.acts(1),
            timeout: self.acts(1),
            shutdown,
            ..Birth::default()
        }
    }

    fn acts(&mut self, depth: u8) -> Vec<Act> {
        let count = self.below(ACTS_MAX);
        (0..count).map(|_| self.act(depth)).collect()
    }

    /// What comes of a message, so many steps far.
    fn then(&mut self, depth: u8) -> Vec<Act> {
        let count = self.below(3).min(depth);
        (0..count).map(|_| self.act(depth - 1)).collect()
    }

    fn whom(&mut self) -> Whom {
        match self.below(8) {
            0..4 => Whom::Number(self.0.number()),
            4 => Whom::Me,
            5 => Whom::Back,
            6 => Whom::Channel(self.below(CHANNELS)),
            _ => Whom::Workers,
        }
    }

    fn no_room(&mut self) -> NoRoom {
        match self.below(3) {
            0 => NoRoom::Drop,
            _ => NoRoom::Wait,
        }
    }

    fn act(&mut self, depth: u8) -> Act {
        match self.below(20) {
            0..3 => Act::Subscribe(self.below(CHANNELS)),
            3 => Act::Unsubscribe(self.below(CHANNELS)),
            4 => Act::BecomeAgent,
            5..11 => Act::Send(self.whom(), self.no_room(), self.then(depth)),
            11..14 => Act::Request(
                self.whom(),
                self.no_room(),
                self.0.byte().into(),
                self.then(depth),
            ),
            14 | 15 => Act::Reply(self.no_room()),
            16 => Act::ReplyTo(self.0.number()),
            17 => Act::After(u64::from(self.0.byte()) + 1),
            18 => Act::Spawn(Birth::default()),
            _ => match self.below(4) {
                0 => Act::Finish,
                1 => Act::Panic,
                2 => Act::RunAway,
                _ => Act::Report(1),
            },
        }
    }
}
