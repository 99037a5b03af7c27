//! Workers of puppets, and the queues between them: a driver that takes its steps one by one.

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use stillpoint::{
    BusCounters, BusItem, ControlInput, ControlOutput, End, Entropy, TaskId, Timestamp,
    TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs, WorkerState,
    WorkerStatus,
};

use super::puppet::{Act, Birth, Heard, Log, Note, Puppet, SharedLog, Town};

pub(crate) struct Cluster {
    pub(crate) now: u64,
    pub(crate) workers: BTreeMap<u16, Worker<Town>>,
    pub(crate) wires: Wires,
    pub(crate) log: SharedLog,
    limits: Rc<dyn Fn(&mut WorkerConfig)>,
    /// Workers that are no more, and who is to hear of it.
    farewells: BTreeSet<(u16, u16)>,
    /// Counters of the workers that are no more.
    past: BusCounters,
}

/// The queues between workers, from and to, and everything else that workers give out.
pub(crate) struct Wires {
    pub(crate) queues: BTreeMap<(u16, u16), VecDeque<BusItem<u8, Note>>>,
    pub(crate) capacity: usize,
    wanted: BTreeSet<(u16, u16)>,
    pub(crate) given: Vec<(u16, WorkerOutput<Town>)>,
    /// Messages in queues to workers that are no more.
    pub(crate) lost: u64,
    /// It panics at this push, counted from 0 on, after it has taken what was pushed.
    pub(crate) panics_at: Option<usize>,
}

/// Something that the driver can do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// A worker is due.
    Tick(u16),
    /// Take one item from one worker to another.
    Carry(u16, u16),
    /// Tell a worker of room in the queue to another.
    Room(u16, u16),
    /// Tell that a worker is no more.
    Farewell(u16, u16),
}

impl Cluster {
    /// So many workers, with queues of this capacity between them.
    pub(crate) fn new(workers: u16, capacity: usize) -> Self {
        Self::with(workers, capacity, |_| {})
    }

    /// The same, with these limits.
    pub(crate) fn with(
        workers: u16,
        capacity: usize,
        limits: impl Fn(&mut WorkerConfig) + 'static,
    ) -> Self {
        let mut cluster = Self {
            now: 0,
            workers: BTreeMap::new(),
            wires: Wires {
                queues: BTreeMap::new(),
                capacity,
                wanted: BTreeSet::new(),
                given: Vec::new(),
                lost: 0,
                panics_at: None,
            },
            log: Rc::new(RefCell::new(Log::default())),
            limits: Rc::new(limits),
            farewells: BTreeSet::new(),
            past: BusCounters::default(),
        };
        for index in 0..workers {
            cluster.join(index);
        }
        cluster
    }

    /// One more worker.
    pub(crate) fn join(&mut self, index: u16) {
        let mut config = WorkerConfig::new(index, Entropy::from_seed(1));
        (self.limits)(&mut config);
        let log = Rc::clone(&self.log);
        let worker = Worker::new(config, move |birth: Birth, spawner| {
            let log = Rc::clone(&log);
            match birth.phase {
                0 => spawner.insert(Puppet::<0>::new(birth, log)),
                1 => spawner.insert(Puppet::<1>::new(birth, log)),
                _ => spawner.insert(Puppet::<9>::new(birth, log)),
            }
        });
        let others: Vec<u16> = self.workers.keys().copied().collect();
        assert!(
            self.workers.insert(index, worker).is_none(),
            "an index has one worker ever"
        );
        for other in others {
            self.wires.queues.insert((index, other), VecDeque::new());
            self.wires.queues.insert((other, index), VecDeque::new());
            self.give(index, WorkerInput::PeerJoined(other));
            self.give(other, WorkerInput::PeerJoined(index));
        }
    }

    /// A worker is aborted and gone. The others hear of it once they have all that it has sent.
    pub(crate) fn leave(&mut self, index: u16) {
        if !self.workers.contains_key(&index) {
            return;
        }
        self.give(index, WorkerInput::Abort);
        assert!(self.workers[&index].is_stopped());
        self.past += self.counters(index);
        self.workers.remove(&index);
        self.farewells.retain(|&(_, to)| to != index);
        let others: Vec<u16> = self.workers.keys().copied().collect();
        self.farewells
            .extend(others.iter().map(|&other| (index, other)));
        self.wires.wanted.retain(|&(from, _)| from != index);
        // What goes between two that are no more has nobody to go to.
        let keys: Vec<(u16, u16)> = self.wires.queues.keys().copied().collect();
        for (from, to) in keys {
            if !others.contains(&from) && !others.contains(&to) {
                self.wires.drop_queue((from, to));
            }
        }
    }

    /// Gives a worker one input, which it has dealt with when this returns.
    pub(crate) fn give(&mut self, index: u16, input: WorkerInput<Town>) {
        let now = Timestamp::from_nanos(self.now);
        let wire = &mut Wire {
            from: index,
            wires: &mut self.wires,
        };
        let worker = self.workers.get_mut(&index).expect("it is there");
        worker.handle_input(now, input, wire);
        assert_eq!(worker.state(), WorkerState::Waiting);
    }

    pub(crate) fn spawn(&mut self, worker: u16, start: Vec<Act>) -> TaskId {
        self.bear(
            worker,
            Birth {
                start,
                ..Birth::default()
            },
        )
    }

    pub(crate) fn bear(&mut self, worker: u16, birth: Birth) -> TaskId {
        let before = self.log.borrow().tasks.len();
        self.give(worker, WorkerInput::Spawn(birth));
        self.log.borrow().tasks[before]
    }

    /// Has a task do something.
    pub(crate) fn tell(&mut self, task: TaskId, command: Vec<Act>) {
        self.give(task.worker(), WorkerInput::Command { task, command });
    }

    /// Gives a worker an input of the controller's, if it takes one.
    pub(crate) fn control(&mut self, worker: u16, input: ControlInput<Town>) {
        assert!(self.workers[&worker].takes_control());
        self.give(worker, WorkerInput::Control(input));
    }

    pub(crate) fn moves(&self) -> Vec<Move> {
        let now = Timestamp::from_nanos(self.now);
        let due = |worker: &Worker<Town>| worker.poll_timeout().is_some_and(|due| due.at <= now);
        let ticks = self.workers.iter().filter(|(_, worker)| due(worker));
        let mut moves: Vec<Move> = ticks.map(|(&index, _)| Move::Tick(index)).collect();
        for (&(from, to), queue) in &self.wires.queues {
            let Some(worker) = self.workers.get(&to) else {
                continue;
            };
            if queue.is_empty() && self.farewells.contains(&(from, to)) {
                moves.push(Move::Farewell(from, to));
            } else if !queue.is_empty() && worker.takes_bus(from) {
                moves.push(Move::Carry(from, to));
            }
        }
        let wanted = self.wires.wanted.iter();
        let room = wanted.filter(|&key| self.wires.room(*key) > 0);
        moves.extend(room.map(|&(from, to)| Move::Room(from, to)));
        moves
    }

    /// Does one thing. Nothing if it cannot be done any more.
    pub(crate) fn step(&mut self, step: Move) {
        if !self.moves().contains(&step) {
            return;
        }
        match step {
            Move::Tick(worker) => self.tick(worker),
            Move::Carry(from, to) => {
                let queue = self.wires.queues.get_mut(&(from, to));
                let item = queue.and_then(VecDeque::pop_front);
                let item = item.expect("it was there a moment ago");
                self.give(to, WorkerInput::Bus { from, item });
            }
            Move::Room(from, to) => {
                self.wires.wanted.remove(&(from, to));
                self.give(from, WorkerInput::BusRoom(to));
            }
            Move::Farewell(gone, to) => {
                self.farewells.remove(&(gone, to));
                self.wires.drop_queue((gone, to));
                self.wires.drop_queue((to, gone));
                self.give(to, WorkerInput::PeerLeft(gone));
            }
        }
    }

    /// Gives a worker its timeout. If it is due again at once, then because it did something and
    /// has more to do: else it would spin.
    pub(crate) fn tick(&mut self, worker: u16) {
        for _ in 0..QUIET_TICKS_MAX {
            let before = self.traces_of(worker);
            self.give(worker, WorkerInput::Timeout);
            let due = self.workers[&worker].poll_timeout();
            let is_due = due.is_some_and(|due| due.at.as_nanos() <= self.now);
            if !is_due || before != self.traces_of(worker) {
                return;
            }
        }
        panic!("worker {worker} spins");
    }

    /// Does all that can be done, each thing in turn.
    pub(crate) fn run(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let moves = self.moves();
            if moves.is_empty() {
                return;
            }
            for step in moves {
                self.step(step);
            }
        }
        panic!("it never rests: {:?}", self.moves());
    }

    /// Lets time pass, and does all that can be done then.
    pub(crate) fn run_until(&mut self, now: u64) {
        self.now = now;
        self.run();
    }

    /// Hands over what one worker has for another, as far as that one takes it.
    pub(crate) fn carry_all(&mut self, from: u16, to: u16) {
        while self.moves().contains(&Move::Carry(from, to)) {
            self.step(Move::Carry(from, to));
        }
    }

    pub(crate) fn status(&self, worker: u16) -> WorkerStatus {
        let mut status = WorkerStatus::default();
        self.workers[&worker].write_status(&mut status);
        status
    }

    pub(crate) fn counters(&self, worker: u16) -> BusCounters {
        self.status(worker).bus
    }

    /// The counters of all workers that are and were.
    pub(crate) fn all_counters(&self) -> BusCounters {
        let mut sum = self.past;
        for &worker in self.workers.keys() {
            sum += self.counters(worker);
        }
        sum
    }

    /// What a task has heard.
    pub(crate) fn heard(&self, task: TaskId) -> Vec<Heard> {
        let log = self.log.borrow();
        let entries = log.entries.iter().filter(|(_, by, _)| *by == task);
        entries.map(|(_, _, heard)| heard.clone()).collect()
    }

    /// The numbers of the messages that a task was given.
    pub(crate) fn notes(&self, task: TaskId) -> Vec<u64> {
        let number = |heard| match heard {
            Heard::Message { number, .. } => Some(number),
            _ => None,
        };
        self.heard(task).into_iter().filter_map(number).collect()
    }

    pub(crate) fn has_heard(&self, task: TaskId, heard: &Heard) -> bool {
        self.heard(task).contains(heard)
    }

    /// How often a task has heard something.
    pub(crate) fn times_heard(&self, task: TaskId, heard: &Heard) -> usize {
        self.heard(task).iter().filter(|&at| at == heard).count()
    }

    /// What the controller was answered, by worker; and forgets it.
    pub(crate) fn answers(&mut self) -> Vec<(u16, ControlOutput)> {
        let given = self.wires.given.drain(..);
        let answer = |(worker, output)| match output {
            WorkerOutput::Control(answer) => Some((worker, answer)),
            _ => None,
        };
        given.filter_map(answer).collect()
    }

    /// Why a task is no more, if it is.
    pub(crate) fn end_of(&self, task: TaskId) -> Option<End> {
        self.wires
            .given
            .iter()
            .find_map(|(_, output)| match output {
                WorkerOutput::Ended { task: ended, end } if *ended == task => Some(end.clone()),
                _ => None,
            })
    }

    /// All by which it shows that a worker did something.
    fn traces_of(&self, worker: u16) -> impl PartialEq + core::fmt::Debug + use<> {
        let (log, status) = (self.log.borrow(), self.status(worker));
        (
            log.entries.len(),
            status.bus,
            status.queues,
            self.wires.wanted.len(),
            self.wires.given.len(),
            self.wires.queues.values().map(VecDeque::len).sum::<usize>(),
        )
    }
}

impl Wires {
    fn room(&self, key: (u16, u16)) -> usize {
        let queue = self.queues.get(&key);
        queue.map_or(0, |queue| self.capacity - queue.len())
    }

    fn drop_queue(&mut self, key: (u16, u16)) {
        self.wanted.remove(&key);
        let queue = self.queues.remove(&key).unwrap_or_default();
        self.lost += queue.iter().map(BusItem::messages).sum::<u64>();
    }

    fn pushed(&mut self) {
        if let Some(left) = &mut self.panics_at {
            let now = *left == 0;
            self.panics_at = left.checked_sub(1);
            if now {
                std::panic::resume_unwind(Box::new("the driver"));
            }
        }
    }
}

/// What one worker gives out.
struct Wire<'a> {
    from: u16,
    wires: &'a mut Wires,
}

impl WorkerOutputs<Town> for Wire<'_> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, output: WorkerOutput<Town>) {
        self.wires.given.push((self.from, output));
        self.wires.pushed();
    }

    fn bus_room(&mut self, worker: u16) -> usize {
        let key = (self.from, worker);
        assert!(self.wires.queues.contains_key(&key), "no queue {key:?}");
        self.wires.room(key)
    }

    fn push_bus(&mut self, worker: u16, item: BusItem<u8, Note>) {
        let (key, capacity) = ((self.from, worker), self.wires.capacity);
        let queue = self.wires.queues.get_mut(&key).expect("a queue");
        assert!(queue.len() < capacity, "no room in {key:?}");
        queue.push_back(item);
        self.wires.pushed();
    }

    fn want_bus_room(&mut self, worker: u16) {
        let key = (self.from, worker);
        assert!(self.wires.queues.contains_key(&key), "no queue {key:?}");
        self.wires.wanted.insert(key);
    }
}

const ROUNDS_MAX: usize = 20_000;

/// From one shutdown phase to the next it goes without a trace.
const QUIET_TICKS_MAX: usize = 2;
