//! smoltcp in tasks, on two nodes of the simulator: the example's server and a client for it.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "../examples/common/smoltcp/mod.rs"]
mod user_space;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use stillpoint::{Buffer, DeviceOpen, Packet, Token};
use stillpoint_sim::{DropCause, Link, NodeId, TraceHash, World, check, self_check};
use user_space::client::Download;
use user_space::{Report, Spawn, UserSpace, content, spawn};
use xxhash_rust::xxh3::xxh3_64;

#[test]
fn a_download_is_whole_under_loss_reordering_and_duplication() {
    check("download", 0..8, |world: &mut World<UserSpace>| {
        let faulty = Link::new(ms(1)..=ms(15)).loss(0.03).duplicate(0.02);
        let download = download(world, V4, &faulty.reorder(0.02, ms(10)), 500_000)?;
        assert_eq!(download, whole(500_000));
        let lost = world.counters().packets.dropped.by(DropCause::Loss);
        assert!(lost > 5, "only {lost} packets lost");
        Ok(())
    });
}

#[test]
fn each_fault_of_a_link_is_repaired_and_has_one_trace_for_each_seed() {
    let good = Link::new(ms(1)..=ms(15));
    let of = |seed, link: &Link| {
        let run = |world: &mut World<UserSpace>| {
            let got = download(world, V6, link, 300_000)?;
            assert_eq!(got, whole(300_000));
            Ok(())
        };
        self_check(seed, run).unwrap().trace_hash
    };
    let faulty = [
        good.clone().loss(0.05),
        good.clone().duplicate(0.05),
        good.clone().reorder(0.05, ms(20)),
        good.clone()
            .loss(0.05)
            .duplicate(0.05)
            .reorder(0.05, ms(20)),
    ];
    for seed in 0..2 {
        let mut hashes: Vec<TraceHash> = faulty.iter().map(|link| of(seed, link)).collect();
        hashes.push(of(seed, &good));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), faulty.len() + 1, "a fault does nothing");
    }
}

#[test]
fn what_a_link_doubles_arrives_twice_and_is_read_once() {
    let mut world = World::new(1);
    let doubling = Link::fixed(ms(2)).duplicate(0.5);
    let got = download(&mut world, V4, &doubling, 500_000).unwrap();
    assert_eq!(got, whole(500_000));
    let packets = world.counters().packets;
    assert!(packets.copied > 150, "{packets:?}");
    assert_eq!(packets.dropped.total(), 0);
}

#[test]
fn a_download_takes_as_many_packets_as_it_needs_on_a_good_link() {
    for addresses in [V4, V6] {
        let mut world = World::new(1);
        let got = download(&mut world, addresses, &Link::fixed(ms(2)), 2_000_000).unwrap();
        assert_eq!(got, whole(2_000_000));
        let packets = world.counters().packets;
        assert_eq!(packets.dropped.total(), 0);
        // The client gets each segment for itself; the server gave some together to its device.
        let counters = |name| world.device_counters(world.find(name).unwrap(), "tun0");
        let segments = counters("client").packets_in;
        assert!((1_370..1_420).contains(&segments), "{segments} segments");
        let given = counters("server").packets_out;
        assert!(given < segments, "{given} packets given");
    }
}

#[test]
fn a_seed_has_one_trace() {
    let run = |world: &mut World<UserSpace>| {
        let faulty = Link::new(ms(1)..=ms(15)).loss(0.05);
        download(world, V4, &faulty, 100_000).map(|_| ())
    };
    self_check(7, run).unwrap();
    let hash = |seed| -> TraceHash {
        let mut world = World::new(seed);
        run(&mut world).unwrap();
        world.trace_hash()
    };
    assert_ne!(hash(7), hash(8), "the seed decides nothing");
}

#[test]
fn the_server_has_many_clients_at_once() {
    let mut world = World::new(3);
    let server = server(&mut world, V4);
    let clients = 20_u8;
    for number in 0..clients {
        let node = world
            .node(format!("client {number}"), [192, 168, 1, number])
            .spawner(spawn);
        let own = address(&format!("10.1.{number}.2:0"));
        world.spawn(
            node,
            0,
            client(own, address(V4.1), 50_000 + u64::from(number)),
        );
    }
    let all = |world: &World<UserSpace>| world.reports().len() == usize::from(clients);
    world.run_until(secs(30), all).unwrap();
    let mut sizes: Vec<u64> = Vec::new();
    for reported in world.take_reports() {
        let Report::Downloaded(download) = reported.report else {
            panic!("{:?}", reported.report);
        };
        assert_eq!(download, whole(download.bytes));
        sizes.push(download.bytes);
    }
    sizes.sort_unstable();
    assert_eq!(sizes, (50_000..50_020).collect::<Vec<_>>());
    world.run_for(secs(1)).unwrap();
    world.shutdown(server);
    world.run_for(ms(1)).unwrap();
    let Report::Served(served) = &world.reports()[0].report else {
        panic!("{:?}", world.reports());
    };
    assert_eq!((served.connections, served.answered), (20, 20));
    assert_eq!(served.body_bytes, sizes.iter().sum::<u64>());
}

#[test]
fn a_ping_is_answered() {
    let mut world = World::new(1);
    let server = server(&mut world, V4);
    // An echo request, number 7 (RFC 792).
    let mut ping = vec![
        0x45, 0, 0, 32, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 2, 1, 10, 0, 2, 2,
    ];
    ping.extend(b"\x08\x00\x00\x00\x00\x09\x00\x07ping");
    for (header, at) in [(0..20, 10), (20..32, 22)] {
        let words = ping[header].chunks(2);
        let sum: u32 = words
            .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
            .sum();
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        ping[at..at + 2].copy_from_slice(&(!sum).to_be_bytes());
    }
    world.inject_packet(server, "tun0", Packet::new(Buffer::copy_from(&ping)));
    world.run_for(ms(1)).unwrap();
    let replies = world.take_packets(server, "tun0");
    assert_eq!(replies.len(), 1);
    let reply = &replies[0].payload;
    assert_eq!(
        (reply[12..20].to_vec(), reply[20]),
        (vec![10, 0, 2, 2, 10, 0, 2, 1], 0)
    );
    assert_eq!(reply[24..], ping[24..], "the same number and text");
}

#[test]
fn a_client_that_vanishes_does_not_keep_its_place_for_ever() {
    let mut world = World::new(1);
    let server = server(&mut world, V4);
    let node = world.node("client", [192, 168, 1, 1]).spawner(spawn);
    let own = address("10.0.1.2:0");
    world.link(server, node, &Link::fixed(ms(1)));
    world.spawn(node, 0, client(own, address(V4.1), 100_000_000));
    world.run_for(ms(50)).unwrap();
    world.link(server, node, &Link::fixed(ms(1)).loss(1.0));
    world.run_for(secs(60)).unwrap();
    world.shutdown(server);
    world.run_for(ms(1)).unwrap();
    let reports = world.take_reports();
    let Report::Served(served) = &reports[0].report else {
        panic!("{reports:?}");
    };
    assert_eq!(
        (served.connections, served.answered, served.broken),
        (1, 0, 1)
    );
}

/// The addresses of client and server.
type Addresses = (&'static str, &'static str);

const V4: Addresses = ("10.0.1.2:0", "10.0.2.2:80");
const V6: Addresses = ("[fd00:1::2]:0", "[fd00:2::2]:80");

fn server(world: &mut World<UserSpace>, addresses: Addresses) -> NodeId {
    let node = world.node("server", [192, 168, 0, 2]).spawner(spawn);
    let address = address(addresses.1);
    let open = device(address);
    world.spawn(node, 0, Spawn::Server { open, address });
    world.run_for(ms(1)).unwrap();
    let listening = Report::Listening {
        device: "tun0".into(),
        at: address,
    };
    assert_eq!(world.take_reports()[0].report, listening);
    node
}

fn client(own: SocketAddr, server: SocketAddr, bytes: u64) -> Spawn {
    Spawn::Client {
        open: device(own),
        own,
        server,
        bytes,
    }
}

fn download(
    world: &mut World<UserSpace>,
    addresses: Addresses,
    link: &Link,
    bytes: u64,
) -> Result<Download, stillpoint_sim::Failure> {
    let server = server(world, addresses);
    let node = world.node("client", [192, 168, 0, 1]).spawner(spawn);
    world.link(server, node, link);
    let own = address(addresses.0);
    world.spawn(node, 0, client(own, address(addresses.1), bytes));
    world.run_until(secs(120), |world| !world.reports().is_empty())?;
    match world.take_reports().remove(0).report {
        Report::Downloaded(download) => Ok(download),
        other => panic!("{other:?}"),
    }
}

/// What a download of so many bytes must be.
fn whole(bytes: u64) -> Download {
    let mut body = vec![0; usize::try_from(bytes).unwrap()];
    content::fill(0, &mut body);
    Download {
        head: format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
            Content-Length: {bytes}\r\nConnection: close\r\n\r\n"
        ),
        bytes,
        hash: xxh3_64(&body),
        is_whole: true,
    }
}

/// A device on whose other side the host has the first address of the network of `own`.
fn device(own: SocketAddr) -> DeviceOpen {
    let (host, prefix_len) = match own.ip() {
        IpAddr::V4(ip) => (IpAddr::from((u32::from(ip) & !0xff | 1).to_be_bytes()), 24),
        IpAddr::V6(ip) => (IpAddr::from((u128::from(ip) & !0xff | 1).to_be_bytes()), 64),
    };
    DeviceOpen::tun(Token(0)).with_address(host, prefix_len)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
