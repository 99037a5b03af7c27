//! The contestant sans-io-runtime 0.3, over each of its backends, one worker. It has no streams.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a contestant sleeps and prints"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;
use std::time::Instant;

use job::{Job, QUESTION_BYTES, answer, viewers};
use sans_io_runtime::backend::{
    Backend, BackendIncoming, BackendOutgoing, PollBackend, PollingBackend,
};
use sans_io_runtime::collections::DynamicDeque;
use sans_io_runtime::{Buffer, Controller, WorkerInner, WorkerInnerInput, WorkerInnerOutput};

#[path = "../../src/job.rs"]
mod job;

type Output = WorkerInnerOutput<(), (), (), (), ()>;

/// All that is done with datagrams.
struct Udp {
    worker: u16,
    job: Job,
    viewers: Vec<SocketAddr>,
    counted: u64,
    output: DynamicDeque<Output, 16>,
}

impl Udp {
    fn received(&mut self, slot: usize, from: SocketAddr, data: Buffer) {
        let action = match self.job {
            Job::UdpEcho => BackendOutgoing::UdpPacket {
                slot,
                to: from,
                data,
            },
            Job::UdpSink if data.len() == QUESTION_BYTES => BackendOutgoing::UdpPacket {
                slot,
                to: from,
                data: Buffer::from(answer(&data, self.counted).to_vec()),
            },
            Job::UdpSink => return self.counted += 1,
            Job::UdpFanOut { .. } => BackendOutgoing::UdpPackets {
                slot,
                to: self.viewers.clone(),
                data,
            },
            Job::TcpEcho => unreachable!("it has no streams"),
        };
        self.output.push_back(WorkerInnerOutput::Net((), action));
    }
}

impl WorkerInner<(), (), (), (), (), Job, ()> for Udp {
    fn build(worker: u16, job: Job) -> Self {
        let viewers = match job {
            Job::UdpFanOut { port } => viewers(port).into_iter().map(SocketAddr::V4).collect(),
            Job::UdpEcho | Job::UdpSink | Job::TcpEcho => Vec::new(),
        };
        let listen = BackendOutgoing::UdpListen {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            reuse: false,
        };
        Self {
            worker,
            job,
            viewers,
            counted: 0,
            output: DynamicDeque::from([WorkerInnerOutput::Net((), listen)]),
        }
    }

    fn worker_index(&self) -> u16 {
        self.worker
    }

    fn tasks(&self) -> usize {
        1
    }

    fn is_empty(&self) -> bool {
        false
    }

    fn spawn(&mut self, _now: Instant, (): ()) {}

    fn on_tick(&mut self, _now: Instant) {}

    fn on_event(&mut self, _now: Instant, event: WorkerInnerInput<(), (), (), ()>) {
        match event {
            WorkerInnerInput::Net((), BackendIncoming::UdpPacket { slot, from, data }) => {
                self.received(slot, from, data);
            }
            WorkerInnerInput::Net((), BackendIncoming::UdpListenResult { result, .. }) => {
                let (address, _) = result.expect("a port");
                println!("{address}");
                drop(std::io::stdout().flush());
            }
            WorkerInnerInput::Bus(_) | WorkerInnerInput::Ext(()) => {}
        }
    }

    fn pop_output(&mut self, _now: Instant) -> Option<Output> {
        self.output.pop_front()
    }

    fn on_shutdown(&mut self, _now: Instant) {}
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [_serve, name, job] = &arguments[..] else {
        panic!("the race calls this");
    };
    let job = job.parse().expect("a job");
    match name.as_str() {
        "predecessor-poll" => run::<PollBackend<(), 16, 1_024>>(job),
        _ => run::<PollingBackend<(), 16, 1_024>>(job),
    }
}

fn run<B: Backend<()>>(job: Job) {
    let mut controller = Controller::<(), (), (), (), (), 1_024>::default();
    controller.add_worker::<(), _, Udp, B>(Duration::from_secs(1), job, None);
    // Its examples do that every 10 ms, and it would cost the worker something each time.
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent && controller.process().is_some() {
        std::thread::sleep(Duration::from_millis(100));
    }
}
