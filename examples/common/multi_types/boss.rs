//! What the application does with its controller, in either world: a state machine like the rest.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use stillpoint::{BusCounters, ControllerEvent, GroupCounters, WorkerStatus};

use super::work::{Order, Outcome, Work, mix};
use super::{Jobs, Report, Spawn, text};

/// How much is to be done, and by how many.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub workers: u16,
    pub jobs: u32,
    pub seed: u64,
}

/// What the controller is to do.
#[derive(Debug)]
pub enum Ask {
    Spawn(u16, Spawn),
    Command(u16, Order),
}

/// Has all orders done, and sees to those whose worker is no more.
pub struct Boss {
    plan: Plan,
    asks: VecDeque<Ask>,
    /// Those that are there and take orders, in turn.
    workers: VecDeque<u16>,
    /// What has yet to be told before orders are given.
    awaited: usize,
    /// Where each order is.
    given: BTreeMap<u32, u16>,
    outcomes: BTreeMap<u32, Outcome>,
    /// What somebody did who should not.
    pub faults: Vec<String>,
}

impl Boss {
    pub fn new(plan: Plan) -> Self {
        let mut asks = VecDeque::from([Ask::Spawn(0, Spawn::Watcher)]);
        asks.extend((0..plan.workers).map(|worker| Ask::Spawn(worker, Spawn::Dispatcher)));
        Self {
            plan,
            awaited: asks.len(),
            asks,
            workers: (0..plan.workers).collect(),
            given: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// What the controller is to do next.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    pub fn handle_event(&mut self, event: ControllerEvent<Jobs>) {
        match event {
            ControllerEvent::Report { report, .. } => match report {
                Report::Ready | Report::Watching => {
                    self.awaited -= 1;
                    if self.awaited == 0 {
                        (0..self.plan.jobs).for_each(|number| self.give(number));
                    }
                }
                Report::Done(outcome) => self.done(outcome),
                Report::Watched { .. } => {}
            },
            ControllerEvent::WorkerStopped(summary) => {
                self.workers.retain(|&worker| worker != summary.worker);
                let lost = self.given.iter().filter(|&(number, &worker)| {
                    worker == summary.worker && !self.outcomes.contains_key(number)
                });
                let lost: Vec<u32> = lost.map(|(&number, _)| number).collect();
                lost.into_iter().for_each(|number| self.give(number));
            }
            ControllerEvent::Ended { task, end, .. } if end.is_failure() => {
                self.faults.push(format!("{task} {end}"));
            }
            ControllerEvent::SpawnFailed { error, .. } => self.faults.push(error.to_string()),
            _ => {}
        }
    }

    /// Gives an order to the next worker.
    fn give(&mut self, number: u32) {
        let work = order(self.plan.seed, number);
        self.workers
            .rotate_left(usize::from(!self.workers.is_empty()));
        if let Some(&worker) = self.workers.back() {
            self.given.insert(number, worker);
            self.asks
                .push_back(Ask::Command(worker, Order { number, work }));
        }
    }

    fn done(&mut self, outcome: Outcome) {
        let expected = order(self.plan.seed, outcome.order).expected();
        if outcome.value != expected {
            self.faults.push(format!("{outcome:?}, not {expected}"));
        }
        // Told twice is as good as once.
        self.outcomes.entry(outcome.order).or_insert(outcome);
    }

    /// Whether all orders are done.
    pub fn is_done(&self) -> bool {
        self.outcomes.len() == self.plan.jobs as usize
    }

    /// What came of them, in order.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.values()
    }

    /// What all jobs together have needed.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for outcome in self.outcomes() {
            totals.parts += outcome.parts as u64;
            totals.retries += u64::from(outcome.retries);
            totals.busy += u64::from(outcome.busy);
            totals.spawned += u64::from(outcome.spawned);
        }
        totals
    }
}

/// What all jobs together have needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub parts: u64,
    pub retries: u64,
    pub busy: u64,
    pub spawned: u64,
}

impl Totals {
    pub fn to_json(self) -> Value {
        json!({
            "parts": self.parts,
            "retries": self.retries,
            "busy": self.busy,
            "spawned": self.spawned,
        })
    }
}

/// An order that follows from the seed: words and hashes in turn.
fn order(seed: u64, number: u32) -> Work {
    let seed = mix(seed ^ mix(u64::from(number)));
    let size = usize::try_from(seed % 1_000).unwrap_or_default();
    let data = text(seed, 1_000 + 3 * size);
    if number.is_multiple_of(2) {
        Work::CountWords(data)
    } else {
        let chunks = 8 + size % 25;
        Work::Hash { data, chunks }
    }
}

/// What became of all tasks of one type, on all workers.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub name: &'static str,
    pub tasks: usize,
    pub counters: GroupCounters,
}

/// All workers together: their groups by name, and the bus.
pub fn sum(statuses: &[WorkerStatus]) -> (Vec<Group>, BusCounters) {
    let (mut groups, mut bus): (BTreeMap<_, Group>, _) = (BTreeMap::new(), BusCounters::default());
    for status in statuses {
        bus += status.bus;
        for group in &status.groups {
            let name = group.short_name();
            let sum = groups.entry(name).or_insert(Group {
                name,
                tasks: 0,
                counters: GroupCounters::default(),
            });
            sum.tasks += group.tasks;
            sum.counters += group.counters;
        }
    }
    (groups.into_values().collect(), bus)
}
