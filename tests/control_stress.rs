//! Eight workers and a thousand tasks that do everything at once, for a while. Each message is
//! given to each of its receivers once and in order, or is counted; each spawn has a start and an
//! end; and nothing is left: no thread, no descriptor, no message, no buffer.
//!
//! A program of its own, since it counts what the process has. `STRESS_SECONDS` says how long.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "these are tests"
)]
#![cfg(all(feature = "poll", target_os = "linux"))]

#[path = "control_stress/crowd.rs"]
mod crowd;
#[path = "control/killable.rs"]
mod killable;

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use crowd::{Crowd, PLANNED, Shared, Talk, lock, spawn};
use killable::{Killable, Killer};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use stillpoint::{
    BusCounters, ControlError, ControllerEvent, Entity, Entropy, Placement, Source, SpawnId,
    TaskId, WhenWorkerFails,
};

const WORKERS: u16 = 8;
const TASKS: usize = 1_000;

/// How hard it is for workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Calm,
    /// Queues hold four messages, and workers come, go and die.
    Rough,
}

#[test]
fn each_message_is_accounted_for_and_nothing_is_left() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(PLANNED) {
            usual(panic);
        }
    }));
    let seconds = seconds();
    let stories = [Weather::Calm, Weather::Rough]
        .into_iter()
        .flat_map(|weather| [Talk::Direct, Talk::Everything].map(|talk| (weather, talk)));
    let before = belongings();
    for (number, (weather, talk)) in stories.enumerate() {
        let backend = BackendKind::ALL[number % BackendKind::ALL.len()];
        let mut stress = Stress::new(weather, talk, backend);
        stress.run(Duration::from_secs(seconds) / 4);
        stress.end();
        assert_eq!(belongings(), before, "threads and descriptors");
    }
}

#[expect(clippy::disallowed_methods, reason = "CI wants it longer")]
fn seconds() -> u64 {
    let said = std::env::var("STRESS_SECONDS").ok();
    said.map_or(5, |seconds| seconds.parse().unwrap())
}

/// Threads and descriptors of the process.
fn belongings() -> (usize, usize) {
    let entries = |of: &str| std::fs::read_dir(of).unwrap().count();
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}

/// How a spawn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Asked,
    Lives,
    Over,
}

struct Stress {
    weather: Weather,
    talk: Talk,
    controller: Controller<Crowd>,
    killer: Killer,
    shared: Arc<Shared>,
    random: Source,
    lives: BTreeMap<SpawnId, Life>,
    /// How many of them have not ended.
    open: usize,
    /// What became of messages on workers that are no more.
    gone: BusCounters,
    commands: u64,
    inputs_lost: u64,
    stale: u64,
    killed: u64,
    published: u64,
}

impl Stress {
    fn new(weather: Weather, talk: Talk, backend: BackendKind) -> Self {
        let mut config = RuntimeConfig::new(backend).workers(WORKERS);
        config.seed = 11;
        config.events_max = 1 << 15;
        config.when_worker_fails = WhenWorkerFails::Restart {
            restarts_max: u32::MAX,
        };
        if weather == Weather::Rough {
            config.bus_queue_max = 4;
            config.events_max = 16;
        }
        let killer = Killer::default();
        let kills = killer.clone();
        let controller = Controller::start_over(config, spawn, move |worker, config| {
            Killable::new(backend, worker, config, &kills)
        });
        let random = Entropy::from_seed(12).site("stress");
        Self {
            weather,
            talk,
            controller: controller.unwrap(),
            killer,
            shared: Shared::new(talk),
            random: random.source(Entity::named("controller")),
            lives: BTreeMap::new(),
            open: 0,
            gone: BusCounters::default(),
            commands: 0,
            inputs_lost: 0,
            stale: 0,
            killed: 0,
            published: 0,
        }
    }

    fn run(&mut self, how_long: Duration) {
        let until = self.controller.now().after(how_long);
        let mut next_blow = self.controller.now();
        while self.controller.now() < until {
            while self.open < TASKS && self.spawn() {}
            for _ in 0..100 {
                let Some(event) = self.controller.wait(Some(Duration::from_millis(1))) else {
                    break;
                };
                self.hear(event);
            }
            self.command();
            if self.talk == Talk::Everything {
                self.publish();
            }
            if self.weather == Weather::Rough && self.controller.now() > next_blow {
                self.blow();
                next_blow = self.controller.now().after(Duration::from_millis(30));
            }
        }
    }

    /// Whether there was room for one more.
    fn spawn(&mut self) -> bool {
        let placement = match self.random.below(4) {
            0 => Placement::RoundRobin,
            1 => Placement::LeastLoaded,
            2 => Placement::Key(self.random.u64()),
            _ => Placement::Pinned(self.some_worker()),
        };
        match self.controller.spawn(placement, Arc::clone(&self.shared)) {
            Ok(id) => {
                assert_eq!(self.lives.insert(id, Life::Asked), None);
                self.open += 1;
                true
            }
            Err(ControlError::Full { .. } | ControlError::Stopped { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn some_worker(&mut self) -> u16 {
        let workers: Vec<u16> = self.controller.worker_indexes().collect();
        workers[self.random.below(workers.len() as u64) as usize]
    }

    /// A command to one of the tasks, which may be no more.
    fn command(&mut self) {
        let members = self.shared.members().clone();
        if members.is_empty() {
            return;
        }
        let to: TaskId = members[self.random.below(members.len() as u64) as usize];
        match self.controller.command(to, 0) {
            Ok(()) => self.commands += 1,
            Err(ControlError::Full { .. } | ControlError::Stopped { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn publish(&mut self) {
        let note = self.shared.note(None);
        let channel = self.random.below(16) as u8;
        let published = if self.random.chance(0.8) {
            self.controller.publish(channel, note)
        } else {
            self.controller.broadcast(note)
        };
        match published {
            Ok(()) => self.published += 1,
            Err(ControlError::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// A worker comes, goes or dies.
    fn blow(&mut self) {
        let workers = self.controller.workers();
        let what = self.random.below(3);
        if workers < 4 || (what == 0 && workers < 12) {
            self.controller.add_worker().unwrap();
        } else if what == 1 {
            // It may be on its way out already.
            let worker = self.some_worker();
            let _: Result<(), ControlError> = self.controller.remove_worker(worker);
        } else {
            let worker = self.some_worker();
            self.killed += u64::from(self.killer.kill_if_there(worker));
        }
    }

    fn hear(&mut self, event: ControllerEvent<Crowd>) {
        let step = match event {
            ControllerEvent::Started { spawn, .. } => (spawn, Life::Asked, Life::Lives),
            ControllerEvent::SpawnFailed { spawn, .. } => (spawn, Life::Asked, Life::Over),
            ControllerEvent::Ended { spawn, .. } => (spawn, Life::Lives, Life::Over),
            ControllerEvent::Stale(_) => {
                self.stale += 1;
                return;
            }
            ControllerEvent::WorkerStopped(summary) => {
                self.gone += summary.bus;
                self.inputs_lost += summary.inputs_lost;
                assert!(summary.failure.is_some() || summary.tasks_lost == 0);
                return;
            }
            ControllerEvent::WorkerStarted { .. } => return,
            other => panic!("nobody expected {other:?}"),
        };
        let (Some(spawn), before, after) = step else {
            return;
        };
        assert_eq!(self.lives.insert(spawn, after), Some(before), "{spawn:?}");
        self.open -= usize::from(after == Life::Over);
    }

    fn end(self) {
        let Self {
            controller, shared, ..
        } = self;
        let summary = controller.shutdown(Duration::from_secs(60));
        assert!(summary.stuck.is_empty());
        let mut rest = Rest {
            lives: self.lives,
            bus: self.gone,
        };
        for event in summary.events {
            rest.hear(&event);
        }
        for worker in &summary.workers {
            assert!(worker.failure.is_none() || self.weather == Weather::Rough);
            rest.bus += worker.bus;
        }
        let open = rest.lives.values().filter(|life| **life != Life::Over);
        assert_eq!(open.count(), 0, "spawns without an end");
        println!(
            "{:?}, {:?}: {} spawns, {} commands, {} published, {} killed, {:?}",
            self.weather,
            self.talk,
            rest.lives.len(),
            self.commands,
            self.published,
            self.killed,
            rest.bus
        );
        check_bus(&rest.bus, &shared);
        assert_eq!(shared.alive.load(Ordering::SeqCst), 0);
        assert_eq!(shared.bodies.load(Ordering::SeqCst), 0, "messages left");
        for (worker, pool) in lock(&shared.pools).iter() {
            assert_eq!(pool.live(), 0, "buffers of worker {worker}");
        }
        let taken = shared.commands.load(Ordering::SeqCst);
        assert!(taken + self.stale <= self.commands);
    }
}

/// What is heard after the end.
struct Rest {
    lives: BTreeMap<SpawnId, Life>,
    bus: BusCounters,
}

impl Rest {
    fn hear(&mut self, event: &ControllerEvent<Crowd>) {
        match event {
            ControllerEvent::Started {
                spawn: Some(spawn), ..
            } => {
                let before = self.lives.insert(*spawn, Life::Lives);
                assert_eq!(before, Some(Life::Asked), "{spawn:?}");
            }
            ControllerEvent::SpawnFailed {
                spawn: Some(spawn), ..
            } => {
                let before = self.lives.insert(*spawn, Life::Over);
                assert_eq!(before, Some(Life::Asked), "{spawn:?}");
            }
            ControllerEvent::Ended {
                spawn: Some(spawn), ..
            } => {
                let before = self.lives.insert(*spawn, Life::Over);
                assert_eq!(before, Some(Life::Lives), "{spawn:?}");
            }
            _ => {}
        }
    }
}

/// What the bus says became of messages is what tasks have seen of them.
fn check_bus(bus: &BusCounters, shared: &Shared) {
    let of = |counter: &core::sync::atomic::AtomicU64| counter.load(Ordering::SeqCst);
    assert_eq!(bus.sent, bus.received + bus.lost, "{bus:?}");
    assert_eq!(bus.delivered, of(&shared.heard), "{bus:?}");
    assert!(bus.refused >= of(&shared.came_back), "{bus:?}");
    assert!(of(&shared.undelivered) <= bus.stale, "{bus:?}");
    assert!(of(&shared.settled) <= of(&shared.put), "{bus:?}");
    assert_eq!(bus.untold, 0, "{bus:?}");
    assert!(bus.sent > 1_000, "something happened: {bus:?}");
    if shared.talk == Talk::Direct {
        let accounted = bus.delivered + bus.stale + bus.dropped + bus.refused + bus.lost;
        assert_eq!(of(&shared.given), accounted, "{bus:?}");
    }
}
