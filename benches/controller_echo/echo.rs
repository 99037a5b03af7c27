//! Commands to a task, each of which it reports back.

use core::cell::RefCell;
use core::fmt::Debug;
use core::marker::PhantomData;
use core::time::Duration;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{
    App, Buffer, BufferPool, Input, Outbox, Output, Spawned, Spawner, Task, TaskId, Timestamp,
    TransmitBuffer,
};

/// What is sent and comes back.
pub(crate) trait Payload: Debug + Send + 'static {
    fn new(pool: &BufferPool) -> Self;
}

impl Payload for [u8; 10] {
    fn new(_: &BufferPool) -> Self {
        [7; 10]
    }
}

/// 1,500 bytes, written anew for each message.
#[derive(Debug)]
#[expect(dead_code, reason = "it is carried, not read")]
pub(crate) struct Large(Buffer);

impl Payload for Large {
    fn new(pool: &BufferPool) -> Self {
        Self(pool.copy_from(&[7; 1_500]))
    }
}

/// A thread that sends back what it gets.
pub(crate) struct Echo<P: Payload>(RefCell<Inner<P>>, BufferPool);

enum Inner<P: Payload> {
    Runtime {
        controller: Box<Controller<EchoApp<P>>>,
        task: TaskId,
    },
    ByHand {
        there: Option<Sender<P>>,
        back: Receiver<P>,
        thread: Option<JoinHandle<()>>,
    },
}

impl<P: Payload> Echo<P> {
    pub(crate) fn runtime(backend: BackendKind) -> Self {
        let config = RuntimeConfig::new(backend);
        let mut controller = Controller::start(config, spawn).expect("a runtime");
        let spawned = controller.spawn(0, ()).expect("room for one");
        let state = controller.wait_spawned(spawned, Duration::from_secs(10));
        let stillpoint::SpawnState::Started(task) = state else {
            panic!("{state:?}")
        };
        Self(
            RefCell::new(Inner::Runtime {
                controller: Box::new(controller),
                task,
            }),
            BufferPool::new(),
        )
    }

    #[expect(clippy::disallowed_methods, reason = "by hand")]
    pub(crate) fn by_hand() -> Self {
        let (there, echo_in) = bounded::<P>(4_096);
        let (echo_out, back) = bounded::<P>(4_096);
        let thread = std::thread::spawn(move || {
            for message in echo_in {
                if echo_out.send(message).is_err() {
                    return;
                }
            }
        });
        let inner = Inner::ByHand {
            there: Some(there),
            back,
            thread: Some(thread),
        };
        Self(RefCell::new(inner), BufferPool::new())
    }

    /// Million messages there and back a second.
    pub(crate) fn rate(&self, in_flight: usize) -> f64 {
        let began = Instant::now();
        let (mut sent, mut back) = (0u64, 0u64);
        let mut inner = self.0.borrow_mut();
        // Time is asked for rarely, and all that was sent is waited for.
        let mut over = false;
        while !over || back < sent {
            while !over && sent - back < in_flight as u64 && inner.send(P::new(&self.1)) {
                sent += 1;
            }
            back += inner.receive();
            if back % 256 == 0 || in_flight == 1 {
                over = began.elapsed() > ROUND;
            }
        }
        back as f64 / began.elapsed().as_secs_f64() / 1e6
    }
}

impl<P: Payload> Inner<P> {
    /// Whether there was room.
    fn send(&mut self, payload: P) -> bool {
        match self {
            Self::Runtime { controller, task } => controller.command(*task, payload).is_ok(),
            Self::ByHand { there, .. } => {
                let there = there.as_ref().expect("not dropped yet");
                there.try_send(payload).is_ok()
            }
        }
    }

    /// Waits for one. How many came.
    fn receive(&mut self) -> u64 {
        match self {
            Self::Runtime { controller, .. } => match controller.wait(None) {
                Some(ControllerEvent::Report { .. }) => 1,
                Some(_) | None => 0,
            },
            Self::ByHand { back, .. } => back.recv().is_ok().into(),
        }
    }
}

impl<P: Payload> Drop for Inner<P> {
    fn drop(&mut self) {
        if let Self::ByHand { there, thread, .. } = self {
            drop(there.take());
            if let Some(thread) = thread.take() {
                drop(thread.join());
            }
        }
    }
}

struct EchoTask<P: Payload> {
    outbox: Outbox<EchoApp<P>>,
}

#[derive(Debug)]
struct EchoApp<P>(PhantomData<P>);

impl<P: Payload> App for EchoApp<P> {
    type Channel = ();
    type Message = ();
    type Command = P;
    type Report = P;
    type Spawn = ();
}

impl<P: Payload> Task for EchoTask<P> {
    type App = EchoApp<P>;

    fn handle_input(&mut self, _: Timestamp, input: Input<EchoApp<P>>) {
        match input {
            Input::Command(payload) => self.outbox.report(payload),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        _: &mut TransmitBuffer<'_>,
    ) -> Option<Output<EchoApp<P>>> {
        self.outbox.pop()
    }
}

fn spawn<P: Payload>((): (), spawner: Spawner<'_, EchoApp<P>>) -> Spawned {
    spawner.insert(EchoTask {
        outbox: Outbox::new(),
    })
}

const ROUND: Duration = Duration::from_millis(400);
