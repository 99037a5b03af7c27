//! A task with one device that does what it is told, and packets for it.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unreachable_pub, reason = "used by the test program around it")]

use core::net::Ipv4Addr;
use core::time::Duration;

use stillpoint::{
    App, Buffer, DeviceError, DeviceId, DeviceOpen, Input, NetworkError, NetworkEvent, Outbox,
    Output, Packet, PacketTransmit, PartialChecksum, SegmentProtocol, Segmentation, Spawned,
    Spawner, Task, Timestamp, Token, TransmitBuffer,
};
use stillpoint_sim::{NodeId, World};

/// The application.
#[derive(Debug)]
pub struct Wire;

impl App for Wire {
    type Channel = ();
    type Message = ();
    type Command = Command;
    type Report = Report;
    type Spawn = DeviceOpen;
}

#[derive(Debug)]
pub enum Command {
    Give(Vec<Packet>),
    Finish,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    Opened(String, u16),
    OpenFailed(DeviceError),
    Got(Vec<u8>),
    Failed(NetworkError),
    Closed(DeviceError),
    Stale,
}

/// Opens one device, tells of all that comes out, and gives it what it is told to.
pub struct Puppet {
    open: DeviceOpen,
    device: Option<DeviceId>,
    outbox: Outbox<Wire>,
}

impl Task for Puppet {
    type App = Wire;

    fn handle_input(&mut self, _: Timestamp, input: Input<Wire>) {
        let report = match input {
            Input::Started(_) => return self.outbox.open_device(self.open.clone()),
            Input::Command(Command::Give(packets)) => {
                let device = self.device.unwrap();
                for packet in packets {
                    self.outbox
                        .send_packet(PacketTransmit::forward(device, packet));
                }
                return;
            }
            Input::Command(Command::Finish) => return self.outbox.finish(),
            Input::Network(NetworkEvent::DeviceOpened {
                device, name, mtu, ..
            }) => {
                self.device = Some(device);
                Report::Opened(name.into(), mtu)
            }
            Input::Network(NetworkEvent::DeviceOpenFailed { error, .. }) => {
                Report::OpenFailed(error)
            }
            Input::Network(NetworkEvent::Packet { .. }) if self.open.token == SILENT => return,
            Input::Network(NetworkEvent::Packet { packet, .. }) => {
                Report::Got(packet.payload.to_vec())
            }
            Input::Network(NetworkEvent::PacketsFailed { error, .. }) => Report::Failed(error),
            Input::Network(NetworkEvent::DeviceClosed { error, .. }) => Report::Closed(error),
            Input::Network(NetworkEvent::Stale { .. }) => Report::Stale,
            _ => return,
        };
        self.outbox.report(report);
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Wire>> {
        self.outbox.pop()
    }
}

/// Of a task that does not tell of the packets it gets.
pub const SILENT: Token = Token(1);

pub fn spawn(open: DeviceOpen, spawner: Spawner<'_, Wire>) -> Spawned {
    spawner.insert(Puppet {
        open,
        device: None,
        outbox: Outbox::new(),
    })
}

pub fn node(world: &mut World<Wire>, number: u8) -> NodeId {
    let name = format!("n{number}");
    world.node(name, [192, 168, 0, number]).spawner(spawn)
}

/// A node with a task that has opened a device.
pub fn opened(world: &mut World<Wire>, number: u8, open: DeviceOpen) -> NodeId {
    let node = node(world, number);
    world.spawn(node, 0, open);
    assert!(matches!(reports(world)[..], [Report::Opened(..)]));
    node
}

/// A TUN device with this address and 8 bits for others.
pub fn tun(address: &str) -> DeviceOpen {
    let address: Ipv4Addr = address.parse().unwrap();
    DeviceOpen::tun(Token(0)).with_address(address.into(), 24)
}

pub fn task(world: &World<Wire>, node: NodeId) -> stillpoint::TaskId {
    world.tasks::<Puppet>(node).next().unwrap().0
}

/// Has the first task of a node give packets to its device.
pub fn give(world: &mut World<Wire>, node: NodeId, packets: impl IntoIterator<Item = Buffer>) {
    let packets = packets.into_iter().map(Packet::new).collect();
    world.command(node, task(world, node), Command::Give(packets));
}

/// Runs until nothing is left, and takes what was reported.
pub fn reports(world: &mut World<Wire>) -> Vec<Report> {
    world.run_until_idle(ms(1_000)).unwrap();
    let reports = world.take_reports().into_iter();
    reports.map(|reported| reported.report).collect()
}

pub fn lengths_got(world: &mut World<Wire>) -> Vec<usize> {
    reports(world)
        .iter()
        .map(|report| match report {
            Report::Got(packet) => packet.len(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The destination port of a packet that a task got.
pub fn port(got: &stillpoint_sim::Reported<Wire>) -> u16 {
    match &got.report {
        Report::Got(packet) => u16::from_be_bytes([packet[22], packet[23]]),
        other => panic!("{other:?}"),
    }
}

/// A UDP packet without checksums.
pub fn ipv4(source: &str, destination: &str, port: u16, payload: &[u8]) -> Buffer {
    let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let len = |header: usize| u16::try_from(header + payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0; 28];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len(28));
    packet[8] = 64;
    packet[9] = 17;
    packet[12..16].copy_from_slice(&ip(source));
    packet[16..20].copy_from_slice(&ip(destination));
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet[24..26].copy_from_slice(&len(8));
    packet.extend(payload);
    Buffer::copy_from(&packet)
}

/// 2,500 bytes of UDP payload, to be cut at 1,000.
pub fn large(source: &str, destination: &str) -> Packet {
    let mut packet = Packet::new(ipv4(source, destination, 7, &[1; 2_500]));
    let segmentation = Segmentation::new(SegmentProtocol::Udp, 28, 1_000);
    packet.offload.segmentation = Some(segmentation);
    packet.offload.checksum = Some(PartialChecksum::new(20, 6));
    packet
}

/// A frame between two Ethernet addresses, named by number; 255 is everybody.
pub fn frame(source: usize, destination: u8) -> Buffer {
    let mut frame = vec![0; 60];
    frame[0] = if destination == 0xff { 0xff } else { 2 };
    frame[5] = destination;
    frame[6] = 2;
    frame[11] = u8::try_from(source).unwrap();
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    Buffer::copy_from(&frame)
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
