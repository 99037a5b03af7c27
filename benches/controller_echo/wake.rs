//! A thread that sleeps until it is told something, and says how long that took.

use core::cell::RefCell;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use stillpoint::{
    App, Input, Outbox, Output, SpawnState, Spawned, Spawner, Task, TaskId, Timestamp,
    TransmitBuffer,
};

/// A thread that sleeps.
pub(crate) struct Sleeper(RefCell<Inner>, Receiver<Duration>);

enum Inner {
    Worker(Box<Controller<WakeApp>>, TaskId),
    /// mio's poll over an eventfd: the smallest that another thread can wake.
    ByHand(
        Arc<mio::Waker>,
        Sender<Option<Instant>>,
        Option<JoinHandle<()>>,
    ),
}

impl Sleeper {
    pub(crate) fn worker(backend: BackendKind) -> Self {
        let (latencies, measured) = channel();
        let config = RuntimeConfig::new(backend);
        let mut controller = Controller::start(config, spawn).expect("a runtime");
        let spawned = controller.spawn(0, latencies).expect("room for one");
        let state = controller.wait_spawned(spawned, Duration::from_secs(10));
        let SpawnState::Started(task) = state else {
            panic!("{state:?}")
        };
        Self(
            RefCell::new(Inner::Worker(Box::new(controller), task)),
            measured,
        )
    }

    #[expect(clippy::disallowed_methods, reason = "by hand")]
    pub(crate) fn by_hand() -> Self {
        let (latencies, measured) = channel();
        let (tell, told) = channel::<Option<Instant>>();
        let mut poll = mio::Poll::new().expect("epoll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("eventfd");
        let thread = std::thread::spawn(move || {
            let mut events = mio::Events::with_capacity(8);
            loop {
                drop(poll.poll(&mut events, None));
                let now = Instant::now();
                for sent_at in told.try_iter() {
                    let Some(sent_at) = sent_at else {
                        return;
                    };
                    latencies.send(now - sent_at).unwrap_or_default();
                }
            }
        });
        let inner = Inner::ByHand(Arc::new(waker), tell, Some(thread));
        Self(RefCell::new(inner), measured)
    }

    /// Microseconds from telling it to its being awake, in the median.
    pub(crate) fn median_latency(&self) -> f64 {
        let mut measured = Vec::new();
        for _ in 0..SAMPLES {
            // Until it sleeps again.
            let since = Instant::now();
            while since.elapsed() < PAUSE {
                core::hint::spin_loop();
            }
            self.0.borrow_mut().tell(Instant::now());
            measured.push(self.1.recv().expect("the sleeper lives"));
        }
        measured.sort();
        measured[SAMPLES / 2].as_secs_f64() * 1e6
    }
}

impl Inner {
    fn tell(&mut self, now: Instant) {
        match self {
            Self::Worker(controller, task) => {
                controller.command(*task, now).expect("room for one");
            }
            Self::ByHand(waker, tell, _) => {
                tell.send(Some(now)).expect("the sleeper lives");
                waker.wake().expect("eventfd");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Self::ByHand(waker, tell, thread) = self {
            tell.send(None).unwrap_or_default();
            drop(waker.wake());
            if let Some(thread) = thread.take() {
                drop(thread.join());
            }
        }
    }
}

#[derive(Debug)]
struct WakeApp;

impl App for WakeApp {
    type Channel = ();
    type Message = ();
    type Command = Instant;
    type Report = ();
    type Spawn = Sender<Duration>;
}

/// Says how old its commands are.
struct Woken {
    latencies: Sender<Duration>,
    outbox: Outbox<WakeApp>,
}

impl Task for Woken {
    type App = WakeApp;

    fn handle_input(&mut self, _: Timestamp, input: Input<WakeApp>) {
        match input {
            Input::Command(sent_at) => drop(self.latencies.send(sent_at.elapsed())),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<WakeApp>> {
        self.outbox.pop()
    }
}

fn spawn(latencies: Sender<Duration>, spawner: Spawner<'_, WakeApp>) -> Spawned {
    spawner.insert(Woken {
        latencies,
        outbox: Outbox::new(),
    })
}

const SAMPLES: usize = 1_000;
const PAUSE: Duration = Duration::from_micros(200);
