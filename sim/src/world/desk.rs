//! Desks: the controller of one node, and what it is told.

use core::cell::OnceCell;
use std::collections::VecDeque;

use stillpoint::{
    App, ControlError, ControlInput, ControlOutput, ControlPlane, ControllerEvent, TaskId,
    WhenWorkerFails, WorkerInput, WorkerOutput,
};

use super::lives::Storage;
use super::outside::{Event, Outside, Reported, Sink, controls};
use crate::few::Few;
use crate::node::NodeId;
use crate::room::Lazy;
use crate::trace::TraceKind;

/// The controller of a node, and which workers it has.
pub(super) struct Desk<A: App> {
    /// By index: the numbers of its workers among all workers, those that are no more included.
    pub(super) seats: Few<u32>,
    /// Made when somebody deals with it: as long as nobody has, all its workers are there, and
    /// nothing was asked of them.
    plane: OnceCell<Box<ControlPlane<A>>>,
    when_worker_fails: WhenWorkerFails,
    /// Whether the scenario has asked for the controller. Else nobody would take its events.
    pub(super) watched: bool,
    /// The reports that are among its events: each has an [`ControllerEvent::Interrupted`] in its
    /// place, as the report itself is where [`World::reports`](super::World::reports) finds it.
    reports: Lazy<VecDeque<u64>>,
    /// Inputs that may wait at a worker.
    pub(super) inputs_max: usize,
    /// How often the node was started again.
    pub(super) life: u32,
    /// What outlives a crash, if there is anything.
    pub(super) storage: Option<Box<Storage<A>>>,
}

impl<A: App> Desk<A> {
    pub(super) fn new(when_worker_fails: WhenWorkerFails, inputs_max: usize) -> Self {
        Self {
            seats: Few::default(),
            plane: OnceCell::new(),
            when_worker_fails,
            watched: false,
            reports: Lazy::default(),
            inputs_max,
            life: 0,
            storage: None,
        }
    }

    /// What decides.
    pub(super) fn plane(&self) -> &ControlPlane<A> {
        self.plane.get_or_init(|| {
            let mut plane = ControlPlane::new(self.when_worker_fails);
            for _ in self.seats.iter() {
                let index = plane.next_worker();
                plane.worker_started(index.expect("as many workers as there are"));
            }
            Box::new(plane)
        })
    }

    /// The same, to be told something.
    pub(super) fn plane_mut(&mut self) -> &mut ControlPlane<A> {
        self.plane();
        self.plane.get_mut().expect("just made")
    }

    /// The index of a worker that is to come.
    pub(super) fn next_worker(&mut self) -> Result<u16, ControlError> {
        match self.plane.get_mut() {
            Some(plane) => plane.next_worker(),
            None => u16::try_from(self.seats.len()).map_err(|_| ControlError::NoIndex),
        }
    }

    /// The worker of this number has come, as the next one.
    pub(super) fn worker_started(&mut self, index: u16, number: u32) {
        self.seats.push(number);
        if let Some(plane) = self.plane.get_mut() {
            plane.worker_started(index);
        }
    }

    /// Forgets what nobody is going to ask for.
    pub(super) fn tidy(&mut self) {
        if !self.watched
            && let Some(plane) = self.plane.get_mut()
        {
            while plane.poll_event().is_some() {}
        }
    }
}

impl<A: App> Outside<A> {
    /// The next event of a node's controller.
    pub(super) fn poll_event(&mut self, node: u32) -> Option<ControllerEvent<A>> {
        let desk = &mut self.desks[node as usize];
        loop {
            let event = desk.plane.get_mut()?.poll_event()?;
            if !matches!(event, ControllerEvent::Interrupted) {
                return Some(event);
            }
            // The scenario may have taken it by itself.
            if let Some(number) = desk.reports.pop_front()
                && let Ok(place) = self
                    .reports
                    .binary_search_by_key(&number, |report| report.number)
            {
                let Reported { task, report, .. } = self.reports.remove(place);
                return Some(ControllerEvent::Report { task, report });
            }
        }
    }

    /// Goes on to the next phase of a shutdown once the present one is over.
    pub(super) fn go_through_phases(&mut self, node: u32) {
        while let Some(phase) = self.desks[node as usize].plane_mut().poll_phase() {
            self.tell_phase(node, phase);
        }
    }

    /// Tells all workers of a node of a phase of a shutdown.
    pub(super) fn tell_phase(&mut self, node: u32, phase: u8) {
        let workers: Vec<u16> = self.desks[node as usize].plane().workers().collect();
        for worker in workers {
            let input = WorkerInput::Control(ControlInput::Shutdown { phase });
            self.tell_worker(node, worker, input);
        }
    }

    /// Tells a worker something, at this instant, however much waits there.
    pub(super) fn tell_worker(&mut self, node: u32, worker: u16, input: WorkerInput<A>) {
        let Some(number) = self.seat(node, worker) else {
            return;
        };
        let channel = controls(self.network.entities[node as usize], worker);
        let (worker, input) = (number, Box::new(input));
        let event = Event::Input { worker, input };
        self.agenda.push(self.now, channel, event);
    }
}

impl<A: App> Sink<'_, A> {
    pub(super) fn report(&mut self, task: TaskId, report: A::Report) {
        let place = self.place;
        let text = self.outside.trace.text(&report);
        self.outside
            .trace
            .task(place, TraceKind::Report, task, text);
        if let Some(storage) = &mut self.outside.desks[place.node as usize].storage {
            storage.persist(place.at, &report);
        }
        let number = self.outside.reports_made;
        self.outside.reports_made += 1;
        self.outside.reports.push(Reported {
            at: place.at,
            node: NodeId::new(place.node),
            task,
            report,
            number,
        });
        let desk = &mut self.outside.desks[place.node as usize];
        if desk.watched {
            desk.plane_mut().push_event(ControllerEvent::Interrupted);
            desk.reports.push_back(number);
        }
    }

    /// Gives something to the controller, if somebody wants to hear of it.
    pub(super) fn tell_controller(&mut self, output: impl FnOnce() -> WorkerOutput<A>) {
        let desk = &mut self.outside.desks[self.place.node as usize];
        if desk.watched {
            desk.plane_mut().handle_output(self.place.worker, output());
        }
    }

    /// Answers the controller, and has it go on.
    pub(super) fn answer_controller(&mut self, output: ControlOutput) {
        let place = self.place;
        let text = self.outside.trace.text(&output);
        self.outside
            .trace
            .push(place, TraceKind::Answer, 0, [text, 0, 0]);
        if let ControlOutput::Spawned {
            made: Err(error), ..
        } = &output
        {
            self.spawn_failed(None, error.clone());
        }
        let desk = &mut self.outside.desks[place.node as usize];
        desk.plane_mut()
            .handle_output(place.worker, WorkerOutput::Control(output));
        desk.tidy();
        self.outside.go_through_phases(place.node);
    }
}
