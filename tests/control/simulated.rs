//! The simulator, for the laboratory.

use core::time::Duration;

use stillpoint::{
    BusCounters, CommandId, CommandTarget, ControlError, ControllerEvent, Placement, SpawnId,
    SpawnState, Timestamp, WorkerStatus,
};
use stillpoint_sim::{BusLink, NodeController, NodeId, World};

use super::lab::{Limits, Over, PATIENCE, Stage};
use super::puppet::{Act, Play, Role, spawn};

pub(crate) struct Simulated {
    world: World<Play>,
    node: NodeId,
    /// Until when workers stand still.
    stalls: Vec<(u16, Timestamp)>,
}

impl Simulated {
    pub(crate) fn new(workers: u16, limits: Limits) -> Self {
        let mut world = World::new(5);
        world.tolerate_task_failures();
        let node = world
            .node("node", [10, 0, 0, 1])
            .workers(workers)
            .bus(BusLink::default().queue_max(limits.bus_queue_max))
            .when_worker_fails(limits.when_worker_fails)
            .inputs_max(limits.inputs_max)
            .spawner(spawn);
        let _: NodeController<'_, Play> = world.controller(node);
        Self {
            world,
            node,
            stalls: Vec::new(),
        }
    }

    fn controller(&mut self) -> NodeController<'_, Play> {
        self.world.controller(self.node)
    }
}

impl Stage for Simulated {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn spawn(&mut self, placement: Placement, role: Role) -> Result<SpawnId, ControlError> {
        self.controller().spawn(placement, role)
    }

    fn spawn_state(&mut self, spawn: SpawnId) -> SpawnState {
        self.controller().spawn_state(spawn)
    }

    fn command(&mut self, to: CommandTarget, act: Act) -> Result<(), ControlError> {
        self.controller().command(to, act)
    }

    fn command_tracked(&mut self, to: CommandTarget, act: Act) -> Result<CommandId, ControlError> {
        self.controller().command_tracked(to, act)
    }

    fn publish(&mut self, channel: u8, message: u64) -> Result<(), ControlError> {
        self.controller().publish(channel, message)
    }

    fn broadcast(&mut self, message: u64) -> Result<(), ControlError> {
        self.controller().broadcast(message)
    }

    fn add_worker(&mut self) -> Result<u16, ControlError> {
        let added = self.controller().add_worker();
        self.pass(NEWS);
        added
    }

    fn remove_worker(&mut self, worker: u16) -> Result<(), ControlError> {
        self.controller().remove_worker(worker)
    }

    fn status(&mut self) -> Vec<WorkerStatus> {
        self.controller().status()
    }

    fn bus(&self) -> Option<BusCounters> {
        Some(self.world.counters().bus)
    }

    fn poll(&mut self) -> Option<ControllerEvent<Play>> {
        if let Some(event) = self.controller().poll() {
            if matches!(event, ControllerEvent::WorkerStarted { .. }) {
                self.pass(NEWS);
            }
            return Some(event);
        }
        if !self.world.step().unwrap() {
            self.pass(Duration::from_millis(1));
        }
        self.controller().poll()
    }

    fn pass(&mut self, duration: Duration) {
        self.world.run_for(duration).unwrap();
    }

    fn stall(&mut self, worker: u16) {
        self.stalls.push((worker, self.now().after(STALL)));
        self.world.stall_worker(self.node, worker, STALL);
    }

    fn release(&mut self, worker: u16) {
        let mut stalls = self.stalls.iter();
        let until = stalls.find(|(at, _)| *at == worker).unwrap().1;
        self.stalls.retain(|(at, _)| *at != worker);
        self.pass(until.since(self.now()));
    }

    fn kill(&mut self, worker: u16) {
        self.world.kill_worker(self.node, worker);
    }

    fn shutdown(mut self: Box<Self>, timeout: Duration) -> Over {
        let limit = self.now().after(timeout).after(PATIENCE);
        self.controller().shutdown(timeout);
        let mut over = Over {
            workers: Vec::new(),
            stuck: Vec::new(),
            events: Vec::new(),
            bus: None,
        };
        while self.world.workers(self.node) > 0 {
            assert!(self.now() < limit, "it does not stop");
            let event = self.poll();
            over.events.extend(event);
        }
        while let Some(event) = self.controller().poll() {
            over.events.push(event);
        }
        over.bus = self.bus();
        over
    }
}

/// How long it takes until all workers know of a new one.
const NEWS: Duration = Duration::from_millis(1);

/// How long a worker stands still, if it is not released before: longer than any story lasts.
const STALL: Duration = Duration::from_secs(5);
