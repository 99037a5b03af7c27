//! Recordings of simulated workers.

use std::collections::BTreeMap;

use stillpoint::{
    App, RecordRing, RecordedApp, Recorder, RecorderMaker, Recording, Timestamp, Worker,
    WorkerConfig,
};

use super::World;
use super::give::Given;
use super::outside::Sink;
use crate::node::NodeId;

/// The recorders of all workers that are made while there is one.
pub(super) struct Records<A: App> {
    maker: RecorderMaker<A>,
    bytes_max: usize,
    /// By seat.
    recorders: BTreeMap<u32, (Recorder<A>, RecordRing)>,
}

impl<A: App> World<A> {
    /// Records the workers of all nodes that are made from now on, with the flight recorder that
    /// production has: the last `bytes_max` bytes of each. It changes nothing of what happens.
    ///
    /// # Example
    ///
    /// ```
    /// # use stillpoint::{RecordedApp, Spawned, Spawner, Worker};
    /// # use stillpoint_sim::{NodeId, World};
    /// # fn spawn<A: RecordedApp>(_: A::Spawn, spawner: Spawner<'_, A>) -> Spawned { spawner.refuse("") }
    /// # fn scenario<A: RecordedApp>(world: &mut World<A>) -> Result<(), stillpoint_sim::Failure> {
    /// world.record_workers(usize::MAX);
    /// let server = world.node("server", [192, 0, 2, 1]).spawner(spawn);
    /// world.run_until_idle(core::time::Duration::from_secs(60))?;
    /// let recording = world.worker_recording(server, 0).expect("it is recorded");
    /// let replayed = recording.replay(|config| Worker::<A>::new(config, spawn));
    /// assert!(replayed.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn record_workers(&mut self, bytes_max: usize)
    where
        A: RecordedApp,
    {
        self.records = Some(Box::new(Records {
            maker: RecorderMaker::new(),
            bytes_max,
            recorders: BTreeMap::new(),
        }));
    }

    /// What was recorded of the worker that has this index now, or had it last. `None` if it is
    /// not recorded.
    pub fn worker_recording(&mut self, node: NodeId, worker: u16) -> Option<Recording> {
        let mut seats = self.seats.iter();
        let found = seats.rposition(|seat| seat.node == node.number() && seat.index == worker);
        let seat = u32::try_from(found?).ok()?;
        let (recorder, ring) = self.records.as_mut()?.recorders.get_mut(&seat)?;
        recorder.flush();
        // A recorder writes what can be read.
        Recording::from_bytes(ring.to_bytes()).ok()
    }
}

impl<A: App> Records<A> {
    /// Records the worker that is going to be made with `config`.
    pub(super) fn add(&mut self, seat: u32, config: &mut WorkerConfig) {
        let ring = RecordRing::new(self.bytes_max);
        let recorder = self.maker.recorder(config, Box::new(ring.clone()));
        self.recorders.insert(seat, (recorder, ring));
    }

    #[inline(never)]
    pub(super) fn hand_in(
        &mut self,
        given: impl Given<A>,
        seat: u32,
        (worker, now): (&mut Worker<A>, Timestamp),
        sink: &mut Sink<'_, A>,
    ) {
        match self.recorders.get_mut(&seat) {
            Some((recorder, _)) => given.hand_in_recorded(recorder, worker, now, sink),
            None => given.hand_in(worker, now, sink),
        }
    }
}
