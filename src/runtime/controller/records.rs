//! Workers that are recorded.

use super::{
    App, Arc, Backend, BackendConfig, BackendError, Controller, Duration, RuntimeConfig, Spawned,
    Spawner, StartError, launcher,
};
use crate::recorder::{RecordedApp, RecorderMaker};
use crate::runtime::record::{RecorderConfig, Records, Rings};

impl<A: App> Controller<A> {
    /// [`Controller::start`] with a flight recorder for each worker, and for those that are added.
    ///
    /// # Errors
    ///
    /// As [`Controller::start`]; [`StartError::Recorder`] if no file can be made.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use stillpoint::backend::BackendKind;
    /// use stillpoint::runtime::{Controller, RecorderConfig, RuntimeConfig};
    /// # use stillpoint::*;
    /// # #[derive(Debug)] struct Demo;
    /// # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = u16; }
    /// # fn spawn(_: u16, spawner: Spawner<'_, Demo>) -> Spawned { spawner.refuse("nothing to make yet") }
    ///
    /// let config = RuntimeConfig::new("poll".parse::<BackendKind>()?);
    /// let recorder = RecorderConfig::files("recordings");
    /// let mut controller = Controller::<Demo>::start_recorded(config, recorder, spawn)?;
    /// controller.spawn(0, 7)?;
    ///
    /// // Later, and elsewhere:
    /// let recording = Recording::from_bytes(std::fs::read("recordings/worker-0-0.recording")?)?;
    /// recording.replay(|config| Worker::new(config, spawn))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_recorded<F>(
        config: RuntimeConfig,
        recorder: RecorderConfig,
        spawn: F,
    ) -> Result<Self, StartError>
    where
        A: RecordedApp,
        F: FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + Send + 'static,
    {
        let make = config.make_backend();
        Self::start_over_recorded(config, recorder, spawn, make)
    }

    /// [`Controller::start_over`] with a flight recorder for each worker, and for those that are
    /// added.
    ///
    /// # Errors
    ///
    /// As [`Controller::start_recorded`].
    pub fn start_over_recorded<F, B, M>(
        config: RuntimeConfig,
        recorder: RecorderConfig,
        spawn: F,
        make: M,
    ) -> Result<Self, StartError>
    where
        A: RecordedApp,
        F: FnMut(A::Spawn, Spawner<'_, A>) -> Spawned + Clone + Send + 'static,
        B: Backend,
        M: FnMut(u16, &BackendConfig) -> Result<B, BackendError> + Clone + Send + 'static,
    {
        let rings = Arc::<Rings>::default();
        let records = Records {
            maker: RecorderMaker::new(),
            config: recorder,
            rings: Arc::clone(&rings),
        };
        Self::start_with(config, launcher(spawn, make, Some(records)), rings)
    }

    /// What the ring of a worker holds, for [`Recording::from_bytes`](crate::Recording::from_bytes)
    /// or to be written to a file. `None` if it has no ring. The ring of a worker that is no more
    /// is kept for a while.
    ///
    /// Waits until the worker has handed over its last records: until its next wake-up. From a
    /// worker that does not get to it within a second, it is what it handed over before.
    #[must_use]
    pub fn recorded(&self, worker: u16) -> Option<Vec<u8>> {
        let (ring, asked) = self.rings.get(worker)?;
        if let Ok(handle) = self.handle(worker) {
            let number = asked.ask();
            handle.bell.ring();
            asked.wait(number, RECORDS_WAIT_MAX);
        }
        Some(ring.to_bytes())
    }
}

/// How long a worker may take to hand over its last records.
const RECORDS_WAIT_MAX: Duration = Duration::from_secs(1);
