//! WireGuard in the simulator: boringtun, which asks the system for clocks and keys, made
//! deterministic by the shim.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use stillpoint::{
    App, Buffer, Deadline, Input, NetworkEvent, Outbox, Output, SocketId, Spawned, Spawner, Task,
    Timestamp, Token, TransmitBuffer, UdpOpen,
};
use stillpoint_shim::{Shim, self_check};
use stillpoint_sim::{DropCause, Failure, Link, World, check, run_seed};

#[test]
fn a_tunnel_carries_what_it_is_given_over_a_lossy_link_and_changes_its_keys() {
    check("wireguard", 0..10, |world| {
        let _shim = Shim::simulate(world);
        tunnel(world)?;
        let counters = world.counters();
        assert!(counters.dropped.by(DropCause::Loss) > 10, "{counters:?}");
        let [done] = world.reports() else {
            panic!("{:?}", world.reports());
        };
        // A session is renewed after 120 s by boringtun's own clock (REKEY-AFTER-TIME).
        assert!(done.report.handshakes >= 2, "{:?}", done.report);
        assert!(done.report.handshakes < 20, "{:?}", done.report);
        Ok(())
    });
}

#[test]
fn one_seed_has_one_trace_with_the_shim() {
    let run = |world: &mut World<WireGuard>| {
        let _shim = Shim::simulate(world);
        tunnel(world)
    };
    for seed in 0..3 {
        stillpoint_sim::self_check(seed, run).unwrap();
        self_check(seed, run).unwrap();
    }
    let hash = |seed| run_seed(seed, run).0.trace_hash;
    assert_ne!(hash(0), hash(1), "the seed decides nothing");
}

#[test]
fn without_the_shim_the_first_message_with_a_key_in_it_differs() {
    // What is lost is not in the trace, and no second attempt comes: the tunnel's clock stands still.
    let scenario = |world: &mut World<WireGuard>| tunnel_over(world, &Link::fixed(ms(5)));
    let diverged = self_check(1, scenario).unwrap_err();
    let handshake = format!("{INITIATION_BYTES} B");
    assert!(diverged.first.contains(&handshake), "{diverged}");
    assert!(diverged.second.contains(&handshake), "{diverged}");
}

#[test]
fn another_node_and_what_it_asks_for_change_no_handshake() {
    let keys = |others: u8| {
        let mut world = World::new(5);
        let _shim = Shim::simulate(&mut world);
        for other in 0..others {
            let node = world.node(format!("other {other}"), [10, 1, 0, other]);
            let node = node.spawner(spawn);
            // It begins handshakes that nobody answers.
            world.spawn(node, 0, Spawn::Lost);
        }
        tunnel(&mut world).unwrap();
        let done = world.take_reports().remove(0);
        (done.at, done.report)
    };
    assert_eq!(keys(0), keys(3));
}

fn tunnel(world: &mut World<WireGuard>) -> Result<(), Failure> {
    tunnel_over(world, &Link::new(ms(5)..=ms(40)).loss(0.1))
}

fn tunnel_over(world: &mut World<WireGuard>, link: &Link) -> Result<(), Failure> {
    let server = world.node("server", [10, 0, 0, 1]).spawner(spawn);
    let client = world.node("client", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, client, link);
    world.spawn(server, 0, Spawn::Server);
    world.run_for(ms(1))?;
    world.spawn(client, 0, Spawn::Client);
    world.run_until(Duration::from_secs(300), |world| {
        !world.reports().is_empty()
    })
}

#[derive(Debug)]
struct WireGuard;

impl App for WireGuard {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Done;
    type Spawn = Spawn;
}

#[derive(Debug, Clone, Copy)]
enum Spawn {
    Server,
    Client,
    /// A client that knows a wrong address.
    Lost,
}

/// All that the client sent through the tunnel came back through it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    /// How often it began a handshake.
    handshakes: u32,
    /// A hash of all that it sent to the network.
    sent: u64,
}

fn spawn(spawn: Spawn, spawner: Spawner<'_, WireGuard>) -> Spawned {
    spawner.insert(Peer {
        role: spawn,
        tunnel: None,
        socket: None,
        other: None,
        started: Timestamp::EPOCH,
        look_again: Timestamp::EPOCH,
        next: 0,
        pending: BTreeSet::new(),
        done: Done {
            handshakes: 0,
            sent: 0,
        },
        outbox: Outbox::new(),
    })
}

/// One end of the tunnel. The client sends a numbered packet each second, and again until it comes
/// back; the server sends back what it gets.
struct Peer {
    role: Spawn,
    tunnel: Option<Tunn>,
    socket: Option<SocketId>,
    other: Option<SocketAddr>,
    started: Timestamp,
    look_again: Timestamp,
    /// The number of the next packet.
    next: u64,
    /// Packets that have not come back.
    pending: BTreeSet<u64>,
    done: Done,
    outbox: Outbox<WireGuard>,
}

impl Peer {
    fn start(&mut self, now: Timestamp) {
        let secret = |role| StaticSecret::from([role as u8 + 1; 32]);
        let (own, others) = match self.role {
            Spawn::Server => (Spawn::Server, Spawn::Client),
            Spawn::Client | Spawn::Lost => (self.role, Spawn::Server),
        };
        let public = PublicKey::from(&secret(others));
        self.tunnel = Some(Tunn::new(secret(own), public, None, None, 1, None));
        let port = match self.role {
            Spawn::Server => 51_820,
            Spawn::Client => {
                self.other = Some(SocketAddr::from(([10, 0, 0, 1], 51_820)));
                0
            }
            Spawn::Lost => {
                self.other = Some(SocketAddr::from(([10, 9, 9, 9], 51_820)));
                0
            }
        };
        let bind = SocketAddr::from(([0, 0, 0, 0], port));
        self.outbox.open_udp(UdpOpen::new(Token(0), bind));
        self.started = now;
        self.look_again = now.after(PAUSE);
    }

    /// Does with the tunnel what `ask` says, and with its answer what is due.
    fn ask(&mut self, ask: impl for<'a> FnOnce(&mut Tunn, &'a mut [u8]) -> TunnResult<'a>) -> bool {
        let Some(tunnel) = &mut self.tunnel else {
            return false;
        };
        let mut room = [0; 2_048];
        match ask(tunnel, &mut room) {
            TunnResult::WriteToNetwork(datagram) => {
                self.done.handshakes += u32::from(datagram.len() == INITIATION_BYTES);
                let mut hashed = self.done.sent.to_le_bytes().to_vec();
                hashed.extend_from_slice(datagram);
                self.done.sent = xxhash_rust::xxh3::xxh3_64(&hashed);
                if let (Some(socket), Some(other)) = (self.socket, self.other) {
                    self.outbox.send(socket, other, Buffer::copy_from(datagram));
                }
                true
            }
            TunnResult::WriteToTunnelV4(packet, _) => {
                let number = packet[20..].try_into().map(u64::from_le_bytes).unwrap();
                match self.role {
                    Spawn::Server => self.send(number),
                    Spawn::Client | Spawn::Lost => _ = self.pending.remove(&number),
                }
                false
            }
            // Stale sessions, packets that come twice: the peer tries again.
            _ => false,
        }
    }

    fn send(&mut self, number: u64) {
        // An IPv4 header without options (RFC 791), and the number.
        let mut packet = [0; 28];
        packet[..4].copy_from_slice(&[0x45, 0, 0, 28]);
        packet[12..20].copy_from_slice(&[192, 168, 0, 1, 192, 168, 0, 2]);
        packet[20..].copy_from_slice(&number.to_le_bytes());
        self.ask(|tunnel, room| tunnel.encapsulate(&packet, room));
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.other = Some(from);
        let more = self.ask(|tunnel, room| tunnel.decapsulate(None, datagram, room));
        if more {
            // What waited for the handshake.
            while self.ask(|tunnel, room| tunnel.decapsulate(None, &[], room)) {}
        }
    }

    fn look(&mut self, now: Timestamp) {
        self.look_again = now.after(PAUSE);
        self.ask(|tunnel, room| tunnel.update_timers(room));
        if matches!(self.role, Spawn::Server) {
            return;
        }
        let due = now.since(self.started).as_secs().min(PACKETS);
        self.pending.extend(self.next..due);
        self.next = self.next.max(due);
        for number in self.pending.clone() {
            self.send(number);
        }
        if self.next == PACKETS && self.pending.is_empty() {
            self.outbox.report(self.done.clone());
            self.outbox.finish();
        }
    }
}

impl Task for Peer {
    type App = WireGuard;

    fn handle_input(&mut self, now: Timestamp, input: Input<WireGuard>) {
        match input {
            Input::Started(_) => self.start(now),
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => self.socket = Some(socket),
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                for datagram in run.iter() {
                    self.receive(run.peer, datagram);
                }
            }
            Input::Timeout => self.look(now),
            _ => {}
        }
    }

    fn poll_output(
        &mut self,
        _: Timestamp,
        _: &mut TransmitBuffer<'_>,
    ) -> Option<Output<WireGuard>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let look_again = Deadline::new(self.look_again, "tunnel's timers");
        self.socket.map(|_| look_again)
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How often the tunnel's timers are looked at.
const PAUSE: Duration = Duration::from_millis(250);

/// Packets that the client sends through the tunnel, one a second.
const PACKETS: u64 = 150;

/// The first message of a handshake (WireGuard, 5.4.2).
const INITIATION_BYTES: usize = 148;
