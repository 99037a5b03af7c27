//! A task that sends packets back through a TUN device, with offload and without: kernel TCP that
//! talks to itself by way of the task, and UDP in runs. In a network of its own, in interleaved
//! rounds.
//!
//! `cargo bench --bench tun_echo` prints medians, and for each contestant its ratio to the one
//! named first, with the spread over the rounds. It needs the right to make networks and devices,
//! and says so if it has not.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use stillpoint::backend::{BackendKind, Offload};
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{
    App, Buffer, DeviceError, DeviceId, DeviceKind, DeviceOpen, Input, NetworkEvent, Outbox,
    Output, Packet, PacketHeaders, PacketTransmit, Spawned, Spawner, Task, Timestamp, Token,
    TransmitBuffer,
};

#[path = "udp_echo/client.rs"]
#[allow(dead_code, reason = "the client of another benchmark")]
mod client;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(400);

const HERE: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == INSIDE) {
        return measure_all(arguments.iter().any(|argument| argument == "--bench"));
    }
    let alone = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", program]);
        command
    };
    let may = alone("true")
        .output()
        .is_ok_and(|tried| tried.status.success());
    let has_driver = std::fs::File::open("/dev/net/tun").is_ok();
    if !may || !has_driver {
        println!("skipped: tun_echo: needs CAP_NET_ADMIN, CAP_SYS_ADMIN and /dev/net/tun");
        return;
    }
    let own = std::env::current_exe().expect("a program knows where it is");
    let own = own.to_str().expect("its path is text");
    let ran = alone(own).arg(INSIDE).args(arguments).status();
    assert!(ran.is_ok_and(|status| status.success()), "it failed inside");
}

const INSIDE: &str = "--inside";

#[derive(Clone, Copy)]
struct Contestant {
    name: &'static str,
    offload: Offload,
    takes: Takes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Single,
    Large,
}

const CONTESTANTS: [Contestant; 3] = [
    Contestant {
        name: "single packets, the kernel cuts",
        offload: Offload::Off,
        takes: Takes::Single,
    },
    Contestant {
        name: "single packets, cut and joined",
        offload: Offload::WhereAvailable,
        takes: Takes::Single,
    },
    Contestant {
        name: "large packets",
        offload: Offload::WhereAvailable,
        takes: Takes::Large,
    },
];

fn measure_all(full: bool) {
    // `cargo test --benches` does not ask for all; one short round shows that it works.
    let rounds = if full { ROUNDS } else { 1 };
    println!("{rounds} interleaved rounds of {ROUND:?}; ratios are to the first");
    let runs = |_: &Reflector| client::runs(SocketAddr::new(IpAddr::V4(THERE), 9), 1_200, 8, 32);
    for &backend in BackendKind::ALL {
        println!("TCP, Gbit/s, {backend}");
        compare(rounds, backend, &|_| tcp());
        println!("UDP, datagrams of 1,200 B a second in runs of 32, {backend}");
        compare(rounds, backend, &runs);
    }
}

/// Measures all contestants, a round each in turn.
fn compare(rounds: usize, backend: BackendKind, measure: &dyn Fn(&Reflector) -> f64) {
    let mut measured = vec![Vec::new(); CONTESTANTS.len()];
    for _ in 0..rounds {
        for (contestant, measured) in CONTESTANTS.iter().zip(&mut measured) {
            let reflector = Reflector::start(backend, *contestant);
            measured.push(measure(&reflector));
        }
    }
    let first = measured[0].clone();
    for (contestant, measured) in CONTESTANTS.iter().zip(&measured) {
        let ratios = measured.iter().zip(&first).map(|(own, first)| own / first);
        let [least, median, most] = spread(ratios.collect());
        let [_, figure, _] = spread(measured.clone());
        let name = contestant.name;
        println!("  {name:32} {figure:12.2}   {median:5.2} ({least:.2} to {most:.2})");
    }
}

/// The least, the median and the most.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [0, values.len() / 2, values.len() - 1].map(|index| values[index])
}

/// One connection from the kernel to itself; gigabits a second.
fn tcp() -> f64 {
    let listener = TcpListener::bind((HERE, 0)).expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let (start, mut memory, mut total) = (Instant::now(), vec![0; 1 << 18], 0);
            while let Ok(count @ 1..) = stream.read(&mut memory) {
                total += count;
            }
            total as f64 * 8.0 / start.elapsed().as_nanos() as f64
        });
        let mut stream = TcpStream::connect((THERE, port)).expect("the task brings it back");
        let (start, block) = (Instant::now(), vec![7; 1 << 18]);
        while start.elapsed() < ROUND {
            stream.write_all(&block).expect("it goes on");
        }
        drop(stream);
        server.join().expect("the server ends")
    })
}

/// A runtime with one task behind a device.
struct Reflector {
    _controller: Controller<Mirror>,
}

impl Reflector {
    fn start(backend: BackendKind, contestant: Contestant) -> Self {
        let mut config = RuntimeConfig::new(backend);
        config.offload = contestant.offload;
        let started = Controller::start(config, |open, spawner: Spawner<'_, Mirror>| -> Spawned {
            spawner.insert(MirrorTask {
                open: Some(open),
                outbox: Outbox::new(),
            })
        });
        let mut controller = started.expect("a thread starts");
        let mut open = DeviceOpen::tun(Token(0)).with_address(HERE.into(), 24);
        if contestant.takes == Takes::Large {
            open = open.with_large_packets();
        }
        controller.spawn(0, open).expect("it is spawned");
        loop {
            if let ControllerEvent::Report { report, .. } =
                controller.wait(None).expect("it answers")
            {
                report.expect("the device opens");
                return Self {
                    _controller: controller,
                };
            }
        }
    }
}

#[derive(Debug)]
struct Mirror;

impl App for Mirror {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Result<(), DeviceError>;
    type Spawn = DeviceOpen;
}

/// Sends every packet back, as if it came from the address that it was sent to.
struct MirrorTask {
    open: Option<DeviceOpen>,
    outbox: Outbox<Mirror>,
}

impl Task for MirrorTask {
    type App = Mirror;

    fn handle_input(&mut self, _: Timestamp, input: Input<Mirror>) {
        match input {
            Input::Started(_) => {
                if let Some(open) = self.open.take() {
                    self.outbox.open_device(open);
                }
            }
            Input::Network(NetworkEvent::Packet { device, packet }) => {
                self.send_back(device, packet);
            }
            Input::Network(NetworkEvent::DeviceOpened { .. }) => self.outbox.report(Ok(())),
            Input::Network(NetworkEvent::DeviceOpenFailed { error, .. }) => {
                self.outbox.report(Err(error));
            }
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Mirror>> {
        self.outbox.pop()
    }
}

impl MirrorTask {
    fn send_back(&mut self, device: DeviceId, mut packet: Packet) {
        if turn_round(&mut packet.payload).is_some() {
            let packet = PacketTransmit::forward(device, packet);
            self.outbox.send_packet(packet);
        }
    }
}

/// Addresses change places, and for UDP the ports: the sums stay as they are.
fn turn_round(packet: &mut Buffer) -> Option<()> {
    let headers = PacketHeaders::parse(DeviceKind::Tun, packet).ok()?;
    if headers.destination != IpAddr::V4(THERE) {
        return None;
    }
    let bytes = packet.make_mut();
    let (source, destination) = bytes[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    if headers.protocol == PacketHeaders::UDP {
        let ports = bytes.get_mut(headers.transport..headers.transport + 4)?;
        let (from, to) = ports.split_at_mut(2);
        from.swap_with_slice(to);
    }
    Some(())
}
