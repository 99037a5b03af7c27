//! Messages of 64 bytes from one thread to another, as fast as both can.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use stillpoint::{
    App, BusCommand, BusEvent, Deadline, Destination, Input, NoRoom, Outbox, Output, SpawnState,
    Spawned, Spawner, Task, TaskId, Timestamp, TransmitBuffer,
};

/// Two threads, of which one sends to the other.
pub(crate) struct Pair {
    received: Arc<AtomicU64>,
    /// Held for what it does when it is dropped.
    _threads: Threads,
}

#[expect(dead_code, reason = "held for what they do when they are dropped")]
enum Threads {
    Workers(Box<Controller<BusApp>>),
    ByHand(ByHand),
}

impl Pair {
    pub(crate) fn workers(backend: BackendKind) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let config = RuntimeConfig::new(backend).workers(2);
        let mut controller = Controller::start(config, spawn).expect("a runtime");
        let sink = Role::Sink(Arc::clone(&received));
        let spawned = controller.spawn(1, sink).expect("room for one");
        let state = controller.wait_spawned(spawned, Duration::from_secs(10));
        let SpawnState::Started(to) = state else {
            panic!("{state:?}")
        };
        controller.spawn(0, Role::Source(to)).expect("room for one");
        Self {
            received,
            _threads: Threads::Workers(Box::new(controller)),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "by hand")]
    pub(crate) fn by_hand() -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (mut producer, mut consumer) = rtrb::RingBuffer::<Message>::new(4_096);
        let stopped = Arc::clone(&stop);
        let source = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if producer.push([7; 8]).is_err() {
                    core::hint::spin_loop();
                }
            }
        });
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&received));
        let sink = std::thread::spawn(move || {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                while consumer.pop().is_ok() {
                    count += 1;
                }
                counted.store(count, Ordering::Relaxed);
            }
        });
        let threads = vec![source, sink];
        Self {
            received,
            _threads: Threads::ByHand(ByHand { stop, threads }),
        }
    }

    /// Million messages a second.
    pub(crate) fn rate(&self) -> f64 {
        let count = || self.received.load(Ordering::Relaxed);
        let (began, before) = (Instant::now(), count());
        std::thread::park_timeout(ROUND);
        (count() - before) as f64 / began.elapsed().as_secs_f64() / 1e6
    }
}

struct ByHand {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// 64 bytes.
type Message = [u64; 8];

#[derive(Debug)]
struct BusApp;

impl App for BusApp {
    type Channel = ();
    type Message = Message;
    type Command = ();
    type Report = ();
    type Spawn = Role;
}

#[derive(Debug)]
enum Role {
    Source(TaskId),
    Sink(Arc<AtomicU64>),
}

struct Sink {
    count: u64,
    received: Arc<AtomicU64>,
    outbox: Outbox<BusApp>,
}

impl Task for Sink {
    type App = BusApp;

    fn handle_input(&mut self, _: Timestamp, input: Input<BusApp>) {
        match input {
            Input::Bus(BusEvent::Message { .. }) => {
                self.count += 1;
                self.received.store(self.count, Ordering::Relaxed);
            }
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<BusApp>> {
        self.outbox.pop()
    }
}

/// Sends whenever there is room: what it gives out is made when it is asked for it.
struct Source {
    to: TaskId,
    left: u32,
    waits: bool,
    finished: bool,
    next: Option<Timestamp>,
}

impl Task for Source {
    type App = BusApp;

    fn handle_input(&mut self, now: Timestamp, input: Input<BusApp>) {
        match input {
            Input::Bus(BusEvent::NoRoom { .. }) => {
                (self.waits, self.left) = (true, 0);
            }
            Input::Bus(BusEvent::Room { .. }) => {
                (self.waits, self.left) = (false, BURST);
            }
            Input::Timeout if !self.waits => self.left = BURST,
            Input::Started(_) => self.left = BURST,
            Input::Shutdown => self.finished = true,
            _ => {}
        }
        self.next = Some(now.after(Duration::from_nanos(1)));
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<BusApp>> {
        if self.finished {
            return Some(Output::Finished);
        }
        self.left = self.left.checked_sub(1)?;
        Some(Output::Bus(BusCommand::Send {
            to: Destination::Task(self.to),
            message: [7; 8],
            no_room: NoRoom::Wait,
        }))
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let next = self.next.filter(|_| !self.waits)?;
        Some(Deadline::new(next, "more to send"))
    }
}

fn spawn(role: Role, spawner: Spawner<'_, BusApp>) -> Spawned {
    match role {
        Role::Source(to) => spawner.insert(Source {
            to,
            left: 0,
            waits: false,
            finished: false,
            next: None,
        }),
        Role::Sink(received) => spawner.insert(Sink {
            count: 0,
            received,
            outbox: Outbox::new(),
        }),
    }
}

/// Messages for one input.
const BURST: u32 = 1_000;
const ROUND: Duration = Duration::from_millis(400);
