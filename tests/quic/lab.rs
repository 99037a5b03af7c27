//! A laboratory: a server on one node, clients on others.
#![allow(unreachable_pub, reason = "a module of a test program")]

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::time::Instant;

use stillpoint_shim::WALL_EPOCH;
use stillpoint_sim::{Failure, Link, Nat, NodeId, Reported, World};
use xxhash_rust::xxh3::Xxh3;

use crate::quic::client::{Client, ClientSetup, Fetched, WhenDone};
use crate::quic::clock::Epoch;
use crate::quic::config::{Certificate, Identity, Limits};
use crate::quic::server::{ServerSetup, Summary};
use crate::quic::{Command, Quic, Report, Spawn, content, spawn};

/// What a seed of a campaign runs: 100 kB over a link with drawn faults, and a client that changes
/// its address at a drawn moment.
pub fn small_transfer(world: &mut World<Quic>) -> Result<(), Failure> {
    let latency = ms(world.draw("latency in ms", 1..=40));
    let percent = |tenths: u64| f64::from(u32::try_from(tenths).unwrap()) / 1_000.0;
    let link = Link::new(latency..=latency + ms(world.draw("jitter in ms", 0..=20)))
        .loss(percent(world.draw("per mille lost", 0..=100)))
        .duplicate(percent(world.draw("per mille doubled", 0..=50)))
        .corrupt(percent(world.draw("per mille damaged", 0..=20)))
        .truncate(percent(world.draw("per mille cut off", 0..=10)))
        .split_runs(percent(world.draw("per mille of runs split", 0..=500)))
        .reorder(percent(world.draw("per mille held back", 0..=50)), ms(25));
    let moves_at = ms(world.draw("moves at ms", 0..=200));
    transfer_with_move(world, &link, 100_000, moves_at)
}

/// A download, in the middle of which the client goes on from another address.
pub fn transfer_with_move(
    world: &mut World<Quic>,
    link: &Link,
    bytes: u64,
    moves_at: Duration,
) -> Result<(), Failure> {
    let server = server(world, setup());
    let node = world.node("client", [10, 0, 0, 2]).address([10, 0, 0, 3]);
    let client = node.spawner(spawn);
    world.link(server, client, link);
    world.spawn(client, 0, Spawn::Client(persistent(bytes)));
    world.run_for(moves_at)?;
    command(world, client, Command::Rebind(at([10, 0, 0, 3], 0)));
    finish(world, server, bytes)
}

/// A download by a client behind a NAT, which forgets all its mappings at some moments: what the
/// client sends then comes from another port of the NAT, and neither client nor server was told.
pub fn transfer_behind_nat(
    world: &mut World<Quic>,
    link: &Link,
    bytes: u64,
    forgets_at: &[Duration],
) -> Result<(), Failure> {
    let server = server(world, setup());
    let gateway = world.gateway("nat").address(NAT);
    let gateway = gateway.nat(Nat::port_restricted()).build();
    let node = world.node("client", [192, 168, 0, 2]).behind(gateway);
    let client = node.spawner(spawn);
    world.link(server, gateway, link);
    let mut setup = persistent(bytes);
    // Else the client, which only listens, would never know.
    setup.limits.keep_alive = Some(ms(300));
    world.spawn(client, 0, Spawn::Client(setup));
    let begun = world.now();
    for &forgets_at in forgets_at {
        world.run_for(forgets_at.saturating_sub(world.now().since(begun)))?;
        world.rebind(gateway);
    }
    finish(world, server, bytes)
}

/// A client that does not give up at once. quinn-proto sends a path challenge once: if it is lost, and
/// little comes from the new address, the server goes back to the old one until the connection is
/// lost. Then there is another.
fn persistent(bytes: u64) -> ClientSetup {
    let mut setup = client_setup(1, 1, bytes);
    setup.attempts_max = 3;
    setup
}

/// Waits for a client's end and for the server's, and checks what they say.
fn finish(world: &mut World<Quic>, server: NodeId, bytes: u64) -> Result<(), Failure> {
    world.run_until(secs(120), |world| done(world).is_some())?;
    assert_eq!(
        fetched(world),
        [(bytes, hash(bytes))],
        "{:?}",
        world.reports()
    );
    world.shutdown(server);
    world.run_until(secs(30), |world| world.is_stopped(server))?;
    let (client, server) = (done(world).unwrap_or_default(), served(world));
    assert_eq!(
        server.connections,
        1 + client.lost,
        "{server:?}, {client:?}"
    );
    assert!(server.bytes >= bytes && server.broken == 0, "{server:?}");
    // The client's last acknowledgement may be lost, or overtaken by its close.
    assert!(server.answered <= 1, "{server:?}");
    Ok(())
}

/// Makes a node with a server, and waits until it listens.
pub fn server(world: &mut World<Quic>, setup: ServerSetup) -> NodeId {
    let node = world.node("server", [10, 0, 0, 1]).spawner(spawn);
    world.spawn(node, 0, Spawn::Server(setup));
    world.run_for(ms(1)).unwrap();
    let reports = world.take_reports();
    assert_eq!(reports[0].report, Report::Listening(SERVER), "{reports:?}");
    node
}

/// A server at [`SERVER`].
pub fn setup() -> ServerSetup {
    ServerSetup {
        bind: SERVER,
        epoch: epoch(),
        identity: Identity::example(),
        limits: limits(),
        connections_max: 100,
    }
}

/// A client of it, with so many connections, of so many streams each, of so many bytes each.
pub fn client_setup(connections: u16, streams: u16, bytes: u64) -> ClientSetup {
    ClientSetup {
        bind: at([0, 0, 0, 0], 0),
        server: SERVER,
        server_name: "stillpoint.test".to_owned(),
        trusted: Certificate::example(),
        epoch: epoch(),
        limits: limits(),
        connections,
        streams,
        bytes,
        attempts_max: 0,
        when_done: WhenDone::Finish,
    }
}

/// Datagrams as long as Ethernet takes them.
pub fn limits() -> Limits {
    Limits {
        datagram_bytes: 1_452,
        ..Limits::default()
    }
}

/// Gives the client on a node a command.
pub fn command(world: &mut World<Quic>, node: NodeId, command: Command) {
    let task = world.tasks::<Client>(node).next().map(|(task, _)| task);
    if let Some(task) = task {
        world.command(node, task, command);
    }
}

/// What was fetched so far: lengths and hashes.
pub fn fetched(world: &World<Quic>) -> Vec<(u64, u128)> {
    let fetched = all_fetched(world);
    fetched.iter().map(|got| (got.bytes, got.hash)).collect()
}

pub fn all_fetched(world: &World<Quic>) -> Vec<Fetched> {
    let reports = world.reports().iter();
    let fetched = reports.filter_map(|reported| match &reported.report {
        Report::Fetched(fetched) => Some(*fetched),
        _ => None,
    });
    fetched.collect()
}

/// What the client said at its end.
pub fn done(world: &World<Quic>) -> Option<crate::quic::client::Summary> {
    world
        .reports()
        .iter()
        .find_map(|reported| match reported.report {
            Report::Done(summary) => Some(summary),
            _ => None,
        })
}

/// What the server said at its end.
pub fn served(world: &World<Quic>) -> Summary {
    let served = world
        .reports()
        .iter()
        .find_map(|reported| match reported.report {
            Report::Served(summary) => Some(summary),
            _ => None,
        });
    served.unwrap_or_else(|| panic!("no summary of the server: {:?}", world.reports()))
}

/// Why connections were lost, at whom.
pub fn lost(world: &World<Quic>) -> Vec<&Reported<Quic>> {
    let reports = world.reports().iter();
    reports
        .filter(|reported| matches!(reported.report, Report::Lost { .. }))
        .collect()
}

/// The hash of the first so many bytes of content.
pub fn hash(bytes: u64) -> u128 {
    let mut hash = Xxh3::new();
    let mut chunk = vec![0; 1 << 16];
    let mut from = 0;
    while from < bytes {
        let len = usize::try_from(bytes - from).unwrap().min(chunk.len());
        content::fill(from, &mut chunk[..len]);
        hash.update(&chunk[..len]);
        from += len as u64;
    }
    hash.digest128()
}

pub fn epoch() -> Epoch {
    epoch_in(0)
}

/// An epoch so many years on. quinn-proto reckons from one instant; which one is nobody's business.
#[expect(clippy::disallowed_methods, reason = "asked for once, for its type")]
pub fn epoch_in(years: u64) -> Epoch {
    let day = secs(86_400);
    Epoch::new(
        Instant::now(),
        WALL_EPOCH + day * 365 * u32::try_from(years).unwrap(),
    )
}

pub fn at(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The NAT, as others see it.
pub const NAT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4_433);
