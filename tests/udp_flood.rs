//! A flood of ten seconds: each datagram is handed over or counted as dropped, and another socket
//! of the same worker goes on answering.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "these are tests"
)]
#![cfg(all(feature = "poll", target_os = "linux"))]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::net::UdpSocket;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig, SystemClock};
use stillpoint::{
    App, Buffer, Clock, DatagramRun, Input, NetworkEvent, Outbox, Output, SocketId, Spawned,
    Spawner, Task, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen,
};

const FLOOD: Duration = Duration::from_secs(10);

/// What nothing takes on a working machine, however loaded.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Flooded;

impl App for Flooded {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = SocketAddr;
    type Spawn = ();
}

/// A task with two sockets: one that has much to do for each datagram, and one that answers
/// questions with how many datagrams the first has had.
struct Sink {
    busy: Option<SocketId>,
    heard: u64,
    /// Keeps the work from being none.
    work: u64,
    outbox: Outbox<Flooded>,
}

impl Sink {
    fn hear(&mut self, socket: SocketId, run: &DatagramRun) {
        if Some(socket) == self.busy {
            for datagram in run.iter() {
                self.heard += 1;
                for _ in 0..WORK {
                    let bytes = datagram.iter().map(|&byte| u64::from(byte));
                    self.work = bytes.fold(self.work, |sum, byte| sum.rotate_left(5) ^ byte);
                }
            }
        } else {
            let answer = [self.heard, self.work].map(u64::to_le_bytes).concat();
            let transmit = Transmit::new(socket, run.peer, Buffer::copy_from(&answer));
            self.outbox.transmit(transmit);
        }
    }
}

/// How often each datagram is looked through: so often that one sender is enough for a flood.
const WORK: u32 = 20;

impl Task for Sink {
    type App = Flooded;

    fn handle_input(&mut self, _: Timestamp, input: Input<Flooded>) {
        match input {
            Input::Started(_) => {
                for token in [BUSY, QUIET] {
                    let open = UdpOpen::new(token, "127.0.0.1:0".parse().unwrap());
                    self.outbox.open_udp(open);
                }
            }
            Input::Network(NetworkEvent::UdpOpened {
                socket,
                token,
                local,
                ..
            }) => {
                if token == BUSY {
                    self.busy = Some(socket);
                }
                self.outbox.report(local);
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => self.hear(socket, &run),
            Input::Shutdown => self.outbox.finish(),
            other => panic!("nobody expected {other:?}"),
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Flooded>> {
        self.outbox.pop()
    }
}

/// The socket that is flooded.
const BUSY: Token = Token(0);

/// The other one.
const QUIET: Token = Token(1);

fn spawn((): (), spawner: Spawner<'_, Flooded>) -> Spawned {
    spawner.insert(Sink {
        busy: None,
        heard: 0,
        work: 0,
        outbox: Outbox::new(),
    })
}

fn bound_address(controller: &mut Controller<Flooded>) -> SocketAddr {
    loop {
        match controller.wait(Some(PATIENCE)) {
            Some(ControllerEvent::Report { report, .. }) => return report,
            Some(ControllerEvent::Started { .. }) => {}
            other => panic!("an address was expected: {other:?}"),
        }
    }
}

fn client_of(peer: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(peer).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Asks the quiet socket how many datagrams the other has had.
fn ask(client: &UdpSocket) -> u64 {
    let mut answer = [0; 16];
    client.send(b"how many?").unwrap();
    assert_eq!(client.recv(&mut answer).expect("an answer in time"), 16);
    u64::from_le_bytes(answer[..8].try_into().unwrap())
}

/// Sends single datagrams until told to stop, and says how many.
fn flood(client: &UdpSocket, stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(client.send(&[7; 200]).unwrap(), 200);
        sent += 1;
    }
    sent
}

#[test]
fn each_datagram_of_a_flood_is_handed_over_or_counted_and_another_socket_goes_on() {
    let config = RuntimeConfig::new(BackendKind::default()).workers(1);
    let mut controller = Controller::<Flooded>::start(config, spawn).unwrap();
    controller.spawn(0, ()).unwrap();
    let busy = client_of(bound_address(&mut controller));
    let quiet = client_of(bound_address(&mut controller));

    let (clock, stop) = (SystemClock::new(), AtomicBool::new(false));
    let mut waits = Vec::new();
    let mut sent = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&busy, &stop));
        let end = clock.now().after(FLOOD);
        while clock.now() < end {
            let asked_at = clock.now();
            ask(&quiet);
            waits.push(clock.now().since(asked_at));
        }
        stop.store(true, Ordering::Relaxed);
        flooding.join().unwrap()
    });
    let mut asked = waits.len() as u64;

    // What still waits is handed over, bit by bit: each time the worker looks at both sockets.
    let mut ask_counting = || {
        asked += 1;
        ask(&quiet)
    };
    let mut before = ask_counting();
    let mut same = 0;
    while same < 3 {
        let now = ask_counting();
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    // The kernel tells what it dropped with the next that it does not drop.
    busy.send(b"last").unwrap();
    sent += 1;
    while ask_counting() == before {}

    let summary = controller.shutdown(PATIENCE);
    let counters = summary.workers[0].counters;
    let received = counters.datagrams_in - asked;
    waits.sort();
    println!(
        "sent {sent} in {FLOOD:?}: received {received}, dropped by the kernel {}, by the worker {}; \
        meanwhile {} answers, after {:?} (median), {:?} (longest)",
        counters.receive_dropped,
        counters.undelivered,
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1],
    );
    assert_eq!(received, before + 1, "what the task has had");
    assert_eq!(
        received + counters.receive_dropped + counters.undelivered,
        sent
    );
    assert!(counters.receive_dropped > 0, "that was no flood");
    assert_eq!(counters.datagrams_out, asked);
    assert_eq!((counters.send_failed, counters.queue_dropped), (0, 0));
}
