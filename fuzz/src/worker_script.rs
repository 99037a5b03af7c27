//! Bytes become a script of inputs for a worker of probes; the worker must write the book that its
//! model writes, and the book must keep the drain law.
//!
//! Probes unwind without calling the panic hook, so libFuzzer's hook, which aborts, sees only
//! panics that nobody planned.

use stillpoint::WorkerConfig;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/core/bench.rs"]
mod bench;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/core/check.rs"]
mod check;
#[path = "../../tests/core/model.rs"]
mod model;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/core/probe.rs"]
mod probe;

use bench::{Bench, Say};
use model::Model;
use probe::{Act, Birth, Kind, Place};

const INPUTS_MAX: usize = 200;
const ACTS_MAX: u8 = 12;
const TIMEOUTS_MAX: u8 = 4;
const GENERATIONS_MAX: u8 = 3;

/// Runs the script.
pub fn run_bytes(bytes: &[u8]) {
    let mut script = Script(crate::Script::new(bytes));
    let limits = script.limits();
    let mut bench = Bench::with(limits).with_foreigners();
    let mut model = Model::with_foreigners(bench.worker.config().clone());
    let mut now = 0u64;
    for _ in 0..INPUTS_MAX {
        if script.0.is_over() {
            break;
        }
        // On the whole time goes on, though not always.
        now = now.saturating_add_signed(i64::from(script.0.byte()) - 32);
        let say = script.say();
        let book = bench.say(now, &say);
        model.say(now, &say);
        assert_eq!(book, core::mem::take(&mut model.book), "{say:?} at {now}");
        assert_eq!(bench.wants(), model.wants());
        assert_eq!(bench.worker.tasks(), model.alive());
        assert_eq!(bench.worker.resources(), model.open());
        assert_eq!(bench.worker.is_stopped(), model.is_stopped());
    }
}

/// Bytes, read as inputs of a worker.
struct Script<'a>(crate::Script<'a>);

impl Script<'_> {
    fn limits(&mut self) -> impl FnOnce(&mut WorkerConfig) + use<> {
        let [outputs, tasks, sockets, pending, batch] = [(); 5].map(|()| self.0.byte() % 16);
        move |config| {
            config.outputs_max = u32::from(outputs);
            config.tasks_max = u32::from(tasks);
            config.resources_max = usize::from(sockets);
            config.pending_max = usize::from(pending);
            config.batch_max = u32::from(batch) + 1;
        }
    }

    fn say(&mut self) -> Say {
        match self.0.byte() % 16 {
            0..6 => Say::Timeout,
            6..8 => Say::Spawn(self.birth(0)),
            8..11 => Say::Command(self.0.number(), self.acts(0)),
            11 => Say::Opened(self.0.number()),
            12 => Say::OpenFailed(self.0.number()),
            13 | 14 => Say::Datagram(self.0.number()),
            _ => match self.0.byte() {
                0..16 => Say::Abort,
                16..64 => Say::Shutdown,
                _ => Say::Timeout,
            },
        }
    }

    fn birth(&mut self, generation: u8) -> Birth {
        let kind = match self.0.byte() % 16 {
            0..6 => Kind::First,
            6..11 => Kind::Second,
            11 | 12 => Kind::Third,
            13 => Kind::Refused,
            14 => Kind::Panicking,
            _ => Kind::PanickingLate,
        };
        let timeouts = self.0.byte() % TIMEOUTS_MAX;
        Birth {
            kind,
            start: self.acts(generation),
            timeouts: (0..timeouts).map(|_| self.acts(generation)).collect(),
            datagram: self.acts(generation),
            shutdown: self.acts(generation),
        }
    }

    fn acts(&mut self, generation: u8) -> Vec<Act> {
        let count = self.0.byte() % ACTS_MAX;
        (0..count).map(|_| self.act(generation)).collect()
    }

    fn act(&mut self, generation: u8) -> Act {
        match self.0.byte() % 20 {
            0..3 => Act::Report(self.0.byte().into()),
            3..7 => Act::After(i64::from(self.0.byte()) - 8),
            7 => Act::Rest,
            8 => Act::Panic(Place::ALL[self.0.number() % Place::ALL.len()]),
            9 => Act::Finish,
            10 => Act::RunAway,
            11 | 12 if generation < GENERATIONS_MAX => {
                Act::Spawn(Box::new(self.birth(generation + 1)))
            }
            11..14 => Act::Open,
            14 => Act::Close(self.0.number()),
            15 | 16 => Act::Send(self.0.number()),
            17 | 18 => Act::Write(self.0.number(), self.0.byte()),
            _ => Act::SendTooLong(self.0.number()),
        }
    }
}
