//! The loop that gives a worker its inputs.
//!
//! Everything with a decision in it is in the worker or in the backend; this is short so that it
//! can be read whole. A wake-up hands the worker what the network has, then what the controller
//! and the other workers have (a bounded batch of each), then what is due, and flushes what all of
//! it caused. The time is the one sampled after the wait.
//!
//! Where it may spin ([`super::spin`]), a wake-up that finds nothing is followed by another without
//! sleep in between. Nothing else differs: the worker is not marked asleep, so it looks itself.

use super::lines::{Events, Lines, Mail, Peers, Stop, Told};
use super::meter::Meter;
use super::record::Hosted;
use crate::backend::{Backend, BackendError, Port};
use crate::bus::BusItem;
use crate::control::ControlInput;
use crate::datagram::Transmit;
use crate::net::NetworkEvent;
use crate::task::App;
use crate::time::{Clock, Timestamp};
use crate::transmit::TransmitBuffer;
use crate::worker::{WorkerInput, WorkerOutput, WorkerOutputs};

/// Inputs taken from the controller, and from each other worker, at one wake-up.
const BATCH_MAX: usize = 256;

/// Runs `worker` over `backend` until it is stopped.
///
/// # Errors
///
/// [`BackendError`] if the backend can do nothing more; the worker is then as it was.
pub(super) fn run<A: App, B: Backend>(
    worker: &mut Hosted<A>,
    backend: &mut B,
    clock: &impl Clock,
    lines: &mut Lines<A>,
    meter: &mut Meter,
) -> Result<(), BackendError> {
    let mut turn = 0;
    let mut now = clock.now();
    while !worker.is_stopped() {
        let until = wait_until(worker, backend, clock, lines, meter, now);
        let mut is_awake = false;
        now = backend.wait(until, clock, &mut |now, event, port| {
            if !core::mem::replace(&mut is_awake, true) {
                meter.woke(now);
            }
            let outputs = &mut Outputs::new(port, lines);
            if let NetworkEvent::Datagrams { socket, mut run } = event {
                worker.handle_datagrams(now, socket, &mut run, outputs);
            } else {
                worker.handle_input(now, WorkerInput::Network(event), outputs);
            }
        })?;
        lines.bell.awake();
        if !is_awake {
            meter.woke(now);
        }
        turn += 1;
        let mut to = Delivery {
            worker: &mut *worker,
            port: backend.port(),
            lines: &mut *lines,
            meter: &mut *meter,
            now,
            found: is_awake,
        };
        to.take_mail();
        let asked = to.lines.stop.load();
        to.take_control();
        to.take_bus(turn);
        to.take_stop(asked);
        to.take_timeout();
        if to.found {
            meter.spin.found();
        }
        if worker.is_stopped() {
            backend.flush()?;
        } else {
            backend.flush_before_wait()?;
        }
        lines.flush();
        worker.end_batch();
    }
    Ok(())
}

/// Until when to wait. If that is not over yet, the worker is marked asleep, and its status posted.
fn wait_until<A: App, B: Backend>(
    worker: &Hosted<A>,
    backend: &B,
    clock: &impl Clock,
    lines: &Lines<A>,
    meter: &mut Meter,
    now: Timestamp,
) -> Option<Timestamp> {
    let deadline = worker.poll_timeout().map(|deadline| deadline.at);
    let is_quiet = || lines.are_quiet() && !worker.is_asked();
    if deadline.is_some_and(|at| at <= now)
        || meter.spin.looks_again(now)
        || !lines.bell.sleep(is_quiet)
    {
        // What the last batch left is not announced again.
        if meter.is_due(now) {
            meter.post(now, worker, backend.counters(), lines);
        }
        return Some(Timestamp::EPOCH);
    }
    let asleep_at = clock.now();
    meter.sleeps(asleep_at);
    meter.post(asleep_at, worker, backend.counters(), lines);
    deadline
}

/// Hands a worker what does not come from the network.
struct Delivery<'a, A: App, P> {
    worker: &'a mut Hosted<A>,
    port: &'a mut P,
    lines: &'a mut Lines<A>,
    meter: &'a mut Meter,
    now: Timestamp,
    /// Whether there was anything at this wake-up.
    found: bool,
}

impl<A: App, P: Port> Delivery<'_, A, P> {
    fn give(&mut self, input: WorkerInput<A>) {
        self.found = true;
        let outputs = &mut Outputs::new(&mut *self.port, self.lines);
        self.worker.handle_input(self.now, input, outputs);
    }

    fn take_timeout(&mut self) {
        let deadline = self.worker.poll_timeout();
        if deadline.is_some_and(|deadline| deadline.at <= self.now) {
            self.give(WorkerInput::Timeout);
        }
    }

    /// Who has joined, and who has left. Looked at before each input: whoever it comes from may
    /// know of a worker only because this one was told before.
    fn take_mail(&mut self) {
        if !self.lines.mailbox.has_any() {
            return;
        }
        for mail in self.lines.mailbox.take() {
            match mail {
                Mail::Joined { worker, line } => {
                    self.lines.peers.insert(worker, line);
                    self.give(WorkerInput::PeerJoined(worker));
                }
                Mail::Left { worker } => {
                    if let Some(line) = self.lines.peers.get_mut(worker) {
                        line.left = true;
                    }
                }
            }
        }
    }

    fn take_control(&mut self) {
        for _ in 0..BATCH_MAX {
            if !self.worker.takes_control() {
                return;
            }
            self.meter.found_control(self.lines.control.len());
            let input = match self.lines.control.pop() {
                Some(Told::Command { task, command }) => WorkerInput::Command { task, command },
                Some(Told::Other(input)) => WorkerInput::Control(*input),
                None => break,
            };
            self.take_mail();
            self.give(input);
        }
        for _ in 0..BATCH_MAX {
            if !self.worker.takes_control() {
                return;
            }
            match self.lines.remote.try_recv() {
                Ok(input) => {
                    self.take_mail();
                    self.give(WorkerInput::Control(*input));
                }
                Err(_) => return,
            }
        }
    }

    /// A batch from each other worker, beginning with another one each time.
    fn take_bus(&mut self, turn: usize) {
        let count = self.lines.peers.0.len();
        self.meter.found_bus(self.lines.peers.waiting());
        for place in 0..count {
            let (from, line) = &mut self.lines.peers.0[(turn + place) % count];
            let from = *from;
            if line.outbound.room_came() {
                self.give(WorkerInput::BusRoom(from));
            }
            for _ in 0..BATCH_MAX {
                if !self.worker.takes_bus(from) {
                    break;
                }
                let Some(item) = self.lines.peers.pop(from) else {
                    break;
                };
                self.take_mail();
                self.give(WorkerInput::Bus { from, item });
            }
        }
        while let Some(worker) = self.lines.peers.first_over() {
            // All that it has sent was handed in, so the last of its lines may go.
            self.meter.lost += self.lines.peers.remove(worker);
            self.give(WorkerInput::PeerLeft(worker));
        }
    }

    /// Does what was asked before the controller's inputs were taken: those that were given before
    /// it come first, however many they are.
    fn take_stop(&mut self, asked: Stop) {
        if asked == self.lines.stopping {
            return;
        }
        let waits = !self.lines.control.is_empty() && self.worker.takes_control();
        if waits && matches!(asked, Stop::Phase(_)) {
            return; // The queue has an end: who fills it is waiting for this.
        }
        self.lines.stopping = asked;
        match asked {
            Stop::No => {}
            Stop::Phase(phase) => {
                self.give(WorkerInput::Control(ControlInput::Shutdown { phase }));
            }
            Stop::Abort => self.give(WorkerInput::Abort),
        }
    }
}

/// Sends what concerns the network to the backend, what is for another worker there, and the rest
/// to the controller.
struct Outputs<'a, A: App, P> {
    port: &'a mut P,
    events: &'a mut Events<A>,
    peers: &'a mut Peers<A>,
}

impl<'a, A: App, P> Outputs<'a, A, P> {
    const fn new(port: &'a mut P, lines: &'a mut Lines<A>) -> Self {
        Self {
            port,
            events: &mut lines.events,
            peers: &mut lines.peers,
        }
    }
}

impl<A: App, P: Port> WorkerOutputs<A> for Outputs<'_, A, P> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.port.lend()
    }

    fn push(&mut self, output: WorkerOutput<A>) {
        match output {
            WorkerOutput::Network(command) => self.port.submit(command),
            WorkerOutput::Report { task, report } => self.events.report(task, report),
            output @ (WorkerOutput::Started { .. }
            | WorkerOutput::SpawnFailed { .. }
            | WorkerOutput::Ended { .. }
            | WorkerOutput::Stale(_)
            | WorkerOutput::Untold { .. }
            | WorkerOutput::Control(_)) => self.events.push(output),
        }
    }

    fn transmit(&mut self, transmit: &mut Transmit) {
        self.port.transmit(transmit);
    }

    fn bus_room(&mut self, worker: u16) -> usize {
        let line = self.peers.get_mut(worker);
        line.map_or(0, |line| line.outbound.room())
    }

    fn push_bus(&mut self, worker: u16, item: BusItem<A::Channel, A::Message>) {
        if let Some(line) = self.peers.get_mut(worker) {
            line.outbound.push(item);
        }
    }

    fn want_bus_room(&mut self, worker: u16) {
        if let Some(line) = self.peers.get_mut(worker) {
            line.outbound.want_room();
        }
    }
}
