//! A laboratory: workers with puppets on them and a controller, over threads or in the simulator.
//! A behaviour that is written against it is the same story in all worlds.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use stillpoint::backend::BackendKind;
use stillpoint::{
    BusCounters, BusEvent, CommandId, CommandTarget, ControlError, ControllerEvent, End, Placement,
    SpawnId, SpawnState, TaskId, Timestamp, WhenWorkerFails, WorkerStatus, WorkerSummary,
};

use super::puppet::{Act, Hands, Heard, News, Play, Role, Told};
use super::simulated::Simulated;
use super::threads::Threads;

/// Which world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Threads(BackendKind),
    /// Threads that look on for a while before they sleep.
    Spinning(BackendKind),
    Simulator,
}

impl Kind {
    pub(crate) const fn is_simulated(self) -> bool {
        matches!(self, Self::Simulator)
    }

    /// So long while a worker is busy without end: there a turn takes a microsecond of simulated
    /// time, and each is simulated.
    pub(crate) fn while_busy(self, on_threads: Duration) -> Duration {
        if self.is_simulated() {
            on_threads / 500
        } else {
            on_threads
        }
    }
}

/// So long that most of what comes is waited for without sleep.
const SPIN_MAX: Duration = Duration::from_millis(1);

/// What a laboratory is to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bus_queue_max: usize,
    pub(crate) inputs_max: usize,
    pub(crate) events_max: usize,
    pub(crate) unanswered_max: usize,
    pub(crate) when_worker_fails: WhenWorkerFails,
}

/// One world with a controller.
pub(crate) trait Stage {
    fn now(&self) -> Timestamp;
    fn spawn(&mut self, placement: Placement, role: Role) -> Result<SpawnId, ControlError>;
    fn spawn_state(&mut self, spawn: SpawnId) -> SpawnState;
    fn command(&mut self, to: CommandTarget, act: Act) -> Result<(), ControlError>;
    fn command_tracked(&mut self, to: CommandTarget, act: Act) -> Result<CommandId, ControlError>;
    fn publish(&mut self, channel: u8, message: u64) -> Result<(), ControlError>;
    fn broadcast(&mut self, message: u64) -> Result<(), ControlError>;
    fn add_worker(&mut self) -> Result<u16, ControlError>;
    fn remove_worker(&mut self, worker: u16) -> Result<(), ControlError>;
    fn status(&mut self) -> Vec<WorkerStatus>;
    /// What became of all messages, if this world knows. Else it is what workers say.
    fn bus(&self) -> Option<BusCounters>;
    /// The next event. `None` if there is none for a little while.
    fn poll(&mut self) -> Option<ControllerEvent<Play>>;
    /// Lets this much time pass, and takes no event.
    fn pass(&mut self, duration: Duration);
    /// Has a worker do nothing until it is released.
    fn stall(&mut self, worker: u16);
    fn release(&mut self, worker: u16);
    /// Ends a worker as a fault does.
    fn kill(&mut self, worker: u16);
    fn shutdown(self: Box<Self>, timeout: Duration) -> Over;
}

/// What came of a shutdown.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) workers: Vec<WorkerSummary>,
    pub(crate) stuck: Vec<u16>,
    pub(crate) events: Vec<ControllerEvent<Play>>,
    pub(crate) bus: Option<BusCounters>,
}

pub(crate) struct Lab {
    pub(crate) kind: Kind,
    pub(crate) stage: Box<dyn Stage>,
    told: BTreeMap<TaskId, VecDeque<(Timestamp, News)>>,
    events: VecDeque<ControllerEvent<Play>>,
    /// What became of the messages of workers that are no more.
    gone: BusCounters,
}

impl Lab {
    pub(crate) fn new(kind: Kind, workers: u16) -> Self {
        Self::with(kind, workers, |_| {})
    }

    pub(crate) fn with(kind: Kind, workers: u16, limit: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            bus_queue_max: 1 << 10,
            inputs_max: 1 << 12,
            events_max: 1 << 14,
            unanswered_max: 1 << 12,
            when_worker_fails: WhenWorkerFails::GoOn,
        };
        limit(&mut limits);
        let stage: Box<dyn Stage> = match kind {
            Kind::Threads(backend) => {
                Box::new(Threads::new(backend, workers, limits, Duration::ZERO))
            }
            Kind::Spinning(backend) => Box::new(Threads::new(backend, workers, limits, SPIN_MAX)),
            Kind::Simulator => Box::new(Simulated::new(workers, limits)),
        };
        Self {
            kind,
            stage,
            told: BTreeMap::new(),
            events: VecDeque::new(),
            gone: BusCounters::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.stage.now()
    }

    /// A puppet on this worker, or where it is to be placed.
    pub(crate) fn puppet(&mut self, placement: impl Into<Placement>) -> TaskId {
        self.puppet_as(placement, Role::First)
    }

    pub(crate) fn puppet_as(&mut self, placement: impl Into<Placement>, role: Role) -> TaskId {
        let spawn = self.stage.spawn(placement.into(), role).unwrap();
        self.started(spawn)
    }

    /// Waits until a spawn has become a task.
    pub(crate) fn started(&mut self, of: SpawnId) -> TaskId {
        self.event(|event| match event {
            ControllerEvent::Started { task, spawn, .. } => (*spawn == Some(of)).then_some(*task),
            _ => None,
        })
    }

    /// Has a puppet do something, and waits until it has.
    pub(crate) fn act(&mut self, puppet: TaskId, act: impl FnOnce(&mut Hands) + Send + 'static) {
        self.tell(puppet, |hands| {
            act(hands);
            hands.tell(News::Acted);
        });
        self.next(puppet, |news| (*news == News::Acted).then_some(()));
    }

    /// Has a puppet do something.
    pub(crate) fn tell(&mut self, puppet: TaskId, act: impl FnOnce(&mut Hands) + Send + 'static) {
        self.stage.command(puppet.into(), Act::new(act)).unwrap();
    }

    /// From now on a puppet does this with what it hears over the bus, before it tells of it.
    pub(crate) fn react(
        &mut self,
        puppet: TaskId,
        react: impl FnMut(&Heard, &mut Hands) + Send + 'static,
    ) {
        self.act(puppet, |hands| hands.react = Some(Box::new(react)));
    }

    /// Subscribes, and waits until all workers know.
    pub(crate) fn subscribe(&mut self, puppet: TaskId, channel: u8) {
        self.act(puppet, move |hands| hands.outbox.subscribe(channel));
        self.bus(puppet, |event| {
            (*event == BusEvent::Subscribed(channel)).then_some(())
        });
    }

    /// The oldest news of a puppet that `pick` wants. Others are kept for later.
    pub(crate) fn next<R>(
        &mut self,
        puppet: TaskId,
        mut pick: impl FnMut(&News) -> Option<R>,
    ) -> R {
        self.next_at(puppet, |_, news| pick(news))
    }

    /// The same, with when it was told.
    pub(crate) fn next_at<R>(
        &mut self,
        puppet: TaskId,
        mut pick: impl FnMut(Timestamp, &News) -> Option<R>,
    ) -> R {
        let mut picked = None;
        self.until("news of a puppet", |lab| {
            let told = lab.told.entry(puppet).or_default();
            let mut all = told.iter().enumerate();
            let found = all.find_map(|(place, (at, news))| Some((place, pick(*at, news)?)));
            if let Some((place, found)) = found {
                told.remove(place);
                picked = Some(found);
            }
            picked.is_some()
        });
        picked.unwrap()
    }

    /// The next thing a puppet hears over the bus that `pick` wants.
    pub(crate) fn bus<R>(
        &mut self,
        puppet: TaskId,
        mut pick: impl FnMut(&Heard) -> Option<R>,
    ) -> R {
        self.next(puppet, |news| match news {
            News::Bus(event) => pick(event),
            _ => None,
        })
    }

    /// The next message that a puppet hears.
    pub(crate) fn message(&mut self, puppet: TaskId) -> u64 {
        self.bus(puppet, |event| match event {
            BusEvent::Message { message, .. } => Some(*message),
            _ => None,
        })
    }

    /// The next messages that a puppet hears.
    pub(crate) fn messages(&mut self, puppet: TaskId, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.message(puppet)).collect()
    }

    /// All messages that a puppet has heard up to `last`, which comes last.
    pub(crate) fn messages_until(&mut self, puppet: TaskId, last: u64) -> Vec<u64> {
        let mut heard = Vec::new();
        loop {
            let message = self.message(puppet);
            if message == last {
                return heard;
            }
            heard.push(message);
        }
    }

    /// The next number that a puppet was told to say.
    pub(crate) fn said(&mut self, puppet: TaskId) -> u64 {
        self.next(puppet, |news| match news {
            News::Said(number) => Some(*number),
            _ => None,
        })
    }

    /// The oldest event of the controller that `pick` wants. Others are kept for later.
    pub(crate) fn event<R>(
        &mut self,
        mut pick: impl FnMut(&ControllerEvent<Play>) -> Option<R>,
    ) -> R {
        let mut picked = None;
        self.until("an event", |lab| {
            let mut all = lab.events.iter().enumerate();
            let found = all.find_map(|(place, event)| Some((place, pick(event)?)));
            if let Some((place, found)) = found {
                lab.events.remove(place);
                picked = Some(found);
            }
            picked.is_some()
        });
        picked.unwrap()
    }

    /// How a task ends.
    pub(crate) fn end(&mut self, of: TaskId) -> End {
        self.event(|event| match event {
            ControllerEvent::Ended { task, end, .. } => (*task == of).then(|| end.clone()),
            _ => None,
        })
    }

    /// What a worker did until it stopped.
    pub(crate) fn stopped(&mut self, worker: u16) -> WorkerSummary {
        self.event(|event| match event {
            ControllerEvent::WorkerStopped(summary) => {
                (summary.worker == worker).then(|| (**summary).clone())
            }
            _ => None,
        })
    }

    /// News and events that nobody has asked for.
    pub(crate) fn unasked(&self, of: TaskId) -> Vec<&News> {
        let told = self.told.get(&of).into_iter().flatten();
        told.map(|(_, news)| news).collect()
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &ControllerEvent<Play>> {
        self.events.iter()
    }

    /// The status of a worker once it is like this.
    pub(crate) fn status(
        &mut self,
        worker: u16,
        mut is_so: impl FnMut(&WorkerStatus) -> bool,
    ) -> WorkerStatus {
        let mut found = None;
        self.until("a status", |lab| {
            let mut all = lab.stage.status().into_iter();
            found = all.find(|status| status.worker == worker && is_so(status));
            found.is_some()
        });
        found.unwrap()
    }

    /// What became of messages, on workers that are no more included.
    pub(crate) fn bus_counters(&mut self) -> BusCounters {
        if let Some(bus) = self.stage.bus() {
            return bus;
        }
        let mut sum = self.gone;
        for status in self.stage.status() {
            sum += status.bus;
        }
        sum
    }

    /// Lets things happen until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = self.now().after(PATIENCE);
        while !done(self) {
            assert!(
                self.now() < limit,
                "no {what} within {PATIENCE:?}: {:?} {:?}",
                self.told,
                self.events
            );
            if let Some(event) = self.stage.poll() {
                self.file(event);
            }
        }
    }

    fn file(&mut self, event: ControllerEvent<Play>) {
        if let ControllerEvent::Report { task, report } = event {
            let Told(at, news) = report;
            self.told.entry(task).or_default().push_back((at, news));
            return;
        }
        if let ControllerEvent::WorkerStopped(summary) = &event {
            self.gone += summary.bus;
        }
        self.events.push_back(event);
    }

    /// Shuts down.
    pub(crate) fn shutdown(self, timeout: Duration) -> Ended {
        let over = self.stage.shutdown(timeout);
        let mut ended = Ended {
            workers: over.workers,
            stuck: over.stuck,
            steps: Vec::new(),
            bus: over.bus,
        };
        for event in self.events.into_iter().chain(over.events) {
            match event {
                ControllerEvent::Report {
                    task,
                    report: Told(_, News::Shutdown),
                } => ended.steps.push(Step::Told(task)),
                ControllerEvent::Ended { task, end, .. } => {
                    ended.steps.push(Step::Ended(task, end));
                }
                ControllerEvent::WorkerStopped(summary) => ended.workers.push(*summary),
                _ => {}
            }
        }
        ended
    }
}

/// How a laboratory ended.
pub(crate) struct Ended {
    pub(crate) workers: Vec<WorkerSummary>,
    pub(crate) stuck: Vec<u16>,
    /// In the order in which the controller heard of them.
    pub(crate) steps: Vec<Step>,
    bus: Option<BusCounters>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A task was told to finish.
    Told(TaskId),
    Ended(TaskId, End),
}

impl Ended {
    /// When something happened, as a place in the order.
    pub(crate) fn place(&self, step: &Step) -> usize {
        let found = self.steps.iter().position(|at| at == step);
        found.unwrap_or_else(|| panic!("no {step:?} in {:?}", self.steps))
    }

    /// What became of messages on all workers.
    pub(crate) fn bus(&self) -> BusCounters {
        if let Some(bus) = self.bus {
            return bus;
        }
        let mut sum = BusCounters::default();
        for worker in &self.workers {
            sum += worker.bus;
        }
        sum
    }
}

/// What nothing takes on a working machine, however loaded.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
