//! The controller of a node, as the application has one in production.

use core::fmt;
use core::time::Duration;

use stillpoint::{
    App, CommandId, CommandTarget, ControlError, ControlInput, ControllerEvent, Load, Placement,
    SpawnId, SpawnState, WorkerInput, WorkerStatus,
};

use super::World;
use super::outside::{Event, controls};
use super::workers::Joining;
use crate::node::NodeId;

/// The controller of one node: what an application does with its workers. See
/// [`World::controller`].
///
/// Whatever it asks of a worker is on its way at this instant of virtual time, behind what was asked
/// before, and waits there until the worker takes it. Answers are events; they are there as soon as
/// the worker has given them.
pub struct NodeController<'a, A: App> {
    world: &'a mut World<A>,
    node: NodeId,
}

impl<A: App> World<A> {
    /// The controller of a node. From the first call on the node's events are kept until
    /// [`NodeController::poll`] takes them. A report is in [`World::reports`] as well until one of
    /// them takes it.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn controller(&mut self, node: NodeId) -> NodeController<'_, A> {
        let node = self.known(node);
        self.outside.desks[node.index()].watched = true;
        NodeController { world: self, node }
    }

    /// What can be seen of each worker of a node: see [`NodeController::status`].
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn status(&self, node: NodeId) -> Vec<WorkerStatus> {
        let (world, desk) = (self, self.known(node).index());
        let node = node.number();
        let seats = world.outside.desks[desk].seats.iter();
        let seats = seats.map(|&number| &world.seats[number as usize]);
        let statuses = seats.filter_map(|seat| {
            let mut status = WorkerStatus::default();
            seat.worker.as_ref()?.write_status(&mut status);
            status.at = world.now();
            let depth = world.outside.buses.depth(node, seat.index);
            (status.queues.bus_in, status.queues.bus_in_most) = depth;
            status.queues.control = seat.underway();
            status.queues.control_most = seat.controls.get().map_or(0, |own| own.underway_most);
            status.runner.wake_ups = seat.inputs;
            status.runner.loops = seat.inputs;
            status.runner.wall = world.now().since(seat.since);
            status.runner.utilization = seat.utilization(world.now());
            if let Some(timing) = &seat.timing {
                status.runner.busy = timing.busy(world.now());
            }
            Some(status)
        });
        statuses.collect()
    }

    /// One more input from the controller has arrived at a worker.
    pub(super) fn control_arrives(&mut self, number: u32, input: WorkerInput<A>) {
        let seat = &mut self.seats[number as usize];
        if seat.worker.is_none() {
            return; // It was counted when the worker went.
        }
        let cause = self.outside.trace.root();
        seat.backlog.controls.push_back((cause, input));
        if !seat.controls.attended {
            self.control_turn(number);
        }
    }

    /// Gives a worker the next input from the controller, or has it wait until the worker has
    /// worked on.
    pub(super) fn control_turn(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        let Some(worker) = &seat.worker else {
            return;
        };
        seat.controls.attended = false;
        seat.watched = true;
        if seat.held || !worker.takes_control() {
            return;
        }
        if let Some((cause, input)) = seat.backlog.controls.pop_front() {
            self.outside.trace.follow(cause);
            seat.controls.underway -= 1;
            self.give(number, input);
        }
    }

    /// Gives the inputs from the controller a turn, if the worker takes one.
    pub(super) fn wake_controls(&mut self, number: u32) {
        let seat = &mut self.seats[number as usize];
        let Some(worker) = &seat.worker else {
            return;
        };
        let waits = !seat.backlog.controls.is_empty() && !seat.controls.attended;
        if waits && worker.takes_control() {
            seat.controls.attended = true;
            let node = self.outside.network.entities[seat.node as usize];
            let channel = controls(node, seat.index);
            let event = Event::ControlTurn { worker: number };
            self.outside.agenda.push(self.outside.now, channel, event);
        }
    }
}

impl<A: App> NodeController<'_, A> {
    /// Makes a task on the worker that `placement` says. What comes of it is an event. A spawn that
    /// fails is in [`World::spawn_failures`], too, and fails the scenario as any other.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn spawn(
        &mut self,
        placement: impl Into<Placement>,
        spawn: A::Spawn,
    ) -> Result<SpawnId, ControlError> {
        self.weigh();
        let node = self.node.index();
        let plane = self.world.outside.desks[node].plane_mut();
        let worker = plane.place(placement.into())?;
        self.check_room(worker)?;
        let plane = self.world.outside.desks[node].plane_mut();
        let (id, input) = plane.spawn(worker, spawn);
        self.push(worker, WorkerInput::Control(input));
        Ok(id)
    }

    /// How a spawn stands.
    #[must_use]
    pub fn spawn_state(&self, spawn: SpawnId) -> SpawnState {
        let desk = &self.world.outside.desks[self.node.index()];
        desk.plane().spawn_state(spawn)
    }

    /// Gives a task, or the agent of a worker, a command. If there is no such task, that is an
    /// event.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn command(
        &mut self,
        to: impl Into<CommandTarget>,
        command: A::Command,
    ) -> Result<(), ControlError> {
        match to.into() {
            CommandTarget::Task(task) => {
                self.check(task.worker())?;
                self.push(task.worker(), WorkerInput::Command { task, command });
                Ok(())
            }
            to @ CommandTarget::Worker(_) => self.command_tracked(to, command).map(drop),
        }
    }

    /// The same; [`ControllerEvent::Commanded`] says whether it was delivered.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then.
    pub fn command_tracked(
        &mut self,
        to: impl Into<CommandTarget>,
        command: A::Command,
    ) -> Result<CommandId, ControlError> {
        let to = to.into();
        self.check(to.worker())?;
        let desk = &mut self.world.outside.desks[self.node.index()];
        let (id, input) = desk.plane_mut().command(to, command);
        self.push(to.worker(), WorkerInput::Control(input));
        Ok(id)
    }

    /// Publishes a message to the subscribers of a channel, on all workers.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then, on any worker.
    pub fn publish(
        &mut self,
        channel: A::Channel,
        message: A::Message,
    ) -> Result<(), ControlError> {
        self.tell_all(message, |message| ControlInput::Publish {
            channel,
            message,
        })
    }

    /// Gives the agent of each worker a message.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; nothing happens then, on any worker.
    pub fn broadcast(&mut self, message: A::Message) -> Result<(), ControlError> {
        self.tell_all(message, ControlInput::Broadcast)
    }

    /// Starts one more worker, and gives its index. It knows the others at once, and they hear of it
    /// before anything that it sends.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if the node is stopping, or no index is left.
    pub fn add_worker(&mut self) -> Result<u16, ControlError> {
        let number = self.node.number();
        let worker = self.world.add_seat(number, Joining::Later)?;
        let desk = &mut self.world.outside.desks[self.node.index()];
        desk.plane_mut().push_event(ControllerEvent::WorkerStarted {
            worker,
            instead_of: None,
        });
        Ok(worker)
    }

    /// Tells all tasks of a worker to finish, whatever their phase, and has it be gone once it has
    /// stopped: [`ControllerEvent::WorkerStopped`].
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is no such worker, or it is on its way out already.
    pub fn remove_worker(&mut self, worker: u16) -> Result<(), ControlError> {
        let desk = &mut self.world.outside.desks[self.node.index()];
        let input = WorkerInput::Control(desk.plane_mut().remove_worker(worker)?);
        self.world.have_leave(self.node.number(), worker);
        let number = self.node.number();
        self.world.outside.tell_worker(number, worker, input);
        Ok(())
    }

    /// Removes a worker without further ado: its tasks are removed.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is no such worker, or none any more.
    pub fn abort_worker(&mut self, worker: u16) -> Result<(), ControlError> {
        let desk = &mut self.world.outside.desks[self.node.index()];
        let removed = desk.plane_mut().remove_worker(worker);
        let is_there = desk.plane().workers().any(|there| there == worker);
        if let (Err(error), false) = (removed, is_there) {
            return Err(error);
        }
        let number = self.node.number();
        self.world.have_leave(number, worker);
        self.world
            .outside
            .tell_worker(number, worker, WorkerInput::Abort);
        Ok(())
    }

    /// Tells every task to finish, phase by phase: those of a later
    /// [phase](stillpoint::Task::SHUTDOWN_PHASE) once none of an earlier one lives on any worker.
    /// Each worker is gone once it has stopped. Tasks that live on after `within` are removed then.
    pub fn shutdown(&mut self, within: Duration) {
        let at = self.world.now().after(within);
        self.world.begin_shutdown(self.node.number(), Some(at));
    }

    /// The next event that is there. All are, once the world has run.
    pub fn poll(&mut self) -> Option<ControllerEvent<A>> {
        self.world.outside.poll_event(self.node.number())
    }

    /// What can be seen of each worker that is there, by index. Loops and wake-ups are inputs here,
    /// and a worker is busy only while it is stalled, and as long as its inputs
    /// [cost](World::set_input_cost). What passed through sockets is counted for the whole world:
    /// see [`World::counters`].
    #[must_use]
    pub fn status(&self) -> Vec<WorkerStatus> {
        self.world.status(self.node)
    }

    /// Looks how loaded each worker is.
    fn weigh(&mut self) {
        let world = &mut *self.world;
        let desk = &mut world.outside.desks[self.node.index()];
        for place in 0..desk.seats.len() {
            let seat = &world.seats[desk.seats[place] as usize];
            let load = Load {
                utilization: seat.utilization(world.outside.now),
                tasks: seat.tasks(),
            };
            desk.plane_mut().set_load(seat.index, load);
        }
    }

    /// Whether a worker may be told something, and has room for it.
    fn check(&self, worker: u16) -> Result<(), ControlError> {
        let desk = &self.world.outside.desks[self.node.index()];
        desk.plane().check(worker)?;
        self.check_room(worker)
    }

    fn check_room(&self, worker: u16) -> Result<(), ControlError> {
        let outside = &self.world.outside;
        let inputs_max = outside.desks[self.node.index()].inputs_max;
        let number = outside.seat(self.node.number(), worker);
        let number = number.ok_or(ControlError::Stopped { worker })?;
        if self.world.seats[number as usize].underway() >= inputs_max {
            return Err(ControlError::Full { worker, inputs_max });
        }
        Ok(())
    }

    fn tell_all(
        &mut self,
        message: A::Message,
        input: impl Fn(A::Message) -> ControlInput<A>,
    ) -> Result<(), ControlError> {
        let desk = &self.world.outside.desks[self.node.index()];
        let workers: Vec<u16> = desk.plane().workers().collect();
        for &worker in &workers {
            self.check_room(worker)?;
        }
        let Some((&last, others)) = workers.split_last() else {
            return Err(ControlError::NoWorkers);
        };
        for &worker in others {
            let input = input(message.clone());
            self.push(worker, WorkerInput::Control(input));
        }
        self.push(last, WorkerInput::Control(input(message)));
        Ok(())
    }

    /// Puts an input on its way to a worker, which has room.
    fn push(&mut self, worker: u16, input: WorkerInput<A>) {
        let node = self.node.number();
        let outside = &mut self.world.outside;
        let Some(number) = outside.seat(node, worker) else {
            return;
        };
        let controls_of = &mut self.world.seats[number as usize].controls;
        controls_of.underway += 1;
        controls_of.underway_most = controls_of.underway_most.max(controls_of.underway);
        let channel = controls(outside.network.entities[node as usize], worker);
        let (worker, input) = (number, Box::new(input));
        let event = Event::Control { worker, input };
        outside.agenda.push(outside.now, channel, event);
    }
}

impl<A: App> fmt::Debug for NodeController<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let desk = &self.world.outside.desks[self.node.index()];
        f.debug_struct("NodeController")
            .field("node", &self.world.node_name(self.node))
            .field("workers", &desk.plane().workers().count())
            .field("stopping", &desk.plane().is_stopping())
            .finish_non_exhaustive()
    }
}
