//! Packets of devices at routers, firewalls and NATs.

use stillpoint::{Buffer, DeviceOpen, Packet, PacketHeaders, Token};
use stillpoint_sim::{DropCause, Firewall, Link, Nat, NodeId, Protocol, World, self_check};

use super::wire::{Report, Wire, give, ipv4, ms, reports, spawn, tun};

/// A device at 10.1.0.1 behind this gateway, and one at 10.2.0.1 outside.
fn pair(world: &mut World<Wire>, gateway: NodeId) -> (NodeId, NodeId) {
    let inside = world.node("inside", [192, 168, 0, 1]);
    let inside = inside.behind(gateway).spawner(spawn);
    let outside = world.node("outside", [203, 0, 113, 9]).spawner(spawn);
    for (node, address) in [(inside, "10.1.0.1"), (outside, "10.2.0.1")] {
        world.spawn(node, 0, tun(address));
        assert!(matches!(reports(world)[..], [Report::Opened(..)]));
    }
    (inside, outside)
}

/// A packet of UDP or TCP, or with the same bytes as something else, with its checksums.
fn summed(source: &str, target: &str, protocol: u8, ports: [u16; 2]) -> Buffer {
    let payload = [&[0; 12][..], b"some payload"].concat();
    let mut packet = ipv4(source, target, ports[1], &payload).to_vec();
    packet[9] = protocol;
    packet[20..22].copy_from_slice(&ports[0].to_be_bytes());
    if protocol == PacketHeaders::TCP {
        packet[24..40].fill(0);
        packet[32] = 5 << 4;
    }
    let header = !sum(&packet[..20]);
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    let at = checksum_at(protocol);
    let checksum = !transport_sum(&packet);
    packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    Buffer::copy_from(&packet)
}

const fn checksum_at(protocol: u8) -> usize {
    if protocol == PacketHeaders::TCP {
        36
    } else {
        26
    }
}

fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let mut total: u32 = words.sum();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).unwrap()
}

/// The sum over addresses, protocol, length and transport (RFC 768).
fn transport_sum(packet: &[u8]) -> u16 {
    let len = u16::try_from(packet.len() - 20).unwrap().to_be_bytes();
    let pseudo = [&packet[12..20], &[0, packet[9]], &len].concat();
    sum(&[&pseudo[..], &packet[20..]].concat())
}

/// Who a packet is from and for, if all its checksums are right.
fn read(packet: &[u8]) -> [String; 2] {
    assert_eq!(sum(&packet[..20]), 0xffff, "the header's checksum");
    assert_eq!(transport_sum(packet), 0xffff, "the transport's checksum");
    let [source, target] = [12, 16].map(|at| {
        let [a, b, c, d] = [packet[at], packet[at + 1], packet[at + 2], packet[at + 3]];
        let port = 20 + (at - 12) / 2;
        let port = u16::from_be_bytes([packet[port], packet[port + 1]]);
        format!("{a}.{b}.{c}.{d}:{port}")
    });
    [source, target]
}

fn got(world: &mut World<Wire>) -> Vec<Vec<u8>> {
    let reports = reports(world).into_iter();
    let packets = reports.map(|report| match report {
        Report::Got(packet) => packet,
        other => panic!("{other:?}"),
    });
    packets.collect()
}

#[test]
fn packets_pass_a_router_as_they_are_and_take_the_time_of_both_links() {
    let mut world = World::new(1);
    let router = world.gateway("router").build();
    let (inside, outside) = pair(&mut world, router);
    world.link(inside, router, &Link::fixed(ms(2)));
    world.link(router, outside, &Link::fixed(ms(5)));
    for protocol in [PacketHeaders::UDP, PacketHeaders::TCP, 47] {
        let packet = summed("10.1.0.2", "10.2.0.2", protocol, [5, 7]);
        let before = world.now();
        give(&mut world, inside, [packet.clone()]);
        assert_eq!(got(&mut world), [packet.to_vec()]);
        assert_eq!(world.now().since(before), ms(7));
    }
}

#[test]
fn a_nat_translates_packets_both_ways_and_mends_their_checksums() {
    for protocol in [PacketHeaders::UDP, PacketHeaders::TCP] {
        let mut world = World::new(1);
        let home = world.gateway("home").address([203, 0, 113, 7]);
        let home = home.nat(Nat::symmetric()).build();
        let (inside, outside) = pair(&mut world, home);
        give(
            &mut world,
            inside,
            [summed("10.1.0.2", "10.2.0.2", protocol, [5, 7])],
        );
        let out = got(&mut world);
        let [source, target] = read(&out[0]);
        assert_eq!(target, "10.2.0.2:7");
        let mapping = world.mappings(home)[0];
        assert_eq!(source, mapping.outer.to_string());
        assert_eq!(mapping.inner.to_string(), "10.1.0.2:5");
        let wanted = if protocol == PacketHeaders::TCP {
            Protocol::Tcp
        } else {
            Protocol::Udp
        };
        assert_eq!(mapping.protocol, wanted);

        let port = mapping.outer.port();
        let answer = summed("10.2.0.2", "203.0.113.7", protocol, [7, port]);
        give(&mut world, outside, [answer]);
        let back = got(&mut world);
        assert_eq!(read(&back[0]), ["10.2.0.2:7", "10.1.0.2:5"]);
        // Others are not let in.
        let stranger = summed("10.2.0.2", "203.0.113.7", protocol, [8, port]);
        let nobody = summed("10.2.0.2", "203.0.113.7", protocol, [7, port ^ 1]);
        give(&mut world, outside, [stranger, nobody]);
        assert_eq!(got(&mut world), [[0; 0]; 0]);
        let dropped = world.counters().packets.dropped;
        assert_eq!(
            (
                dropped.by(DropCause::Filtered),
                dropped.by(DropCause::NoMapping)
            ),
            (1, 1)
        );
    }
}

#[test]
fn a_packet_without_a_checksum_has_none_behind_a_nat() {
    let mut world = World::new(1);
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(Nat::full_cone())
        .build();
    let (inside, _) = pair(&mut world, home);
    give(
        &mut world,
        inside,
        [ipv4("10.1.0.2", "10.2.0.2", 7, b"hello")],
    );
    assert_eq!(got(&mut world)[0][26..28], [0, 0]);
}

#[test]
fn what_has_no_ports_does_not_pass_where_they_count() {
    let mut world = World::new(1);
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(Nat::full_cone())
        .build();
    let (inside, _) = pair(&mut world, home);
    give(
        &mut world,
        inside,
        [summed("10.1.0.2", "10.2.0.2", 47, [5, 7])],
    );
    assert_eq!(got(&mut world), [[0; 0]; 0]);
    let dropped = world.counters().packets.dropped;
    assert_eq!(dropped.by(DropCause::Untranslatable), 1);
}

#[test]
fn a_firewall_keeps_packets_out_until_those_inside_have_begun() {
    let mut world = World::new(1);
    let router = world
        .gateway("router")
        .firewall(Firewall::stateful())
        .build();
    let (inside, outside) = pair(&mut world, router);
    let (out, back) = (
        summed("10.1.0.2", "10.2.0.2", 17, [5, 7]),
        summed("10.2.0.2", "10.1.0.2", 17, [7, 5]),
    );
    give(&mut world, outside, [back.clone()]);
    assert_eq!(got(&mut world), [[0; 0]; 0]);
    give(&mut world, inside, [out.clone()]);
    assert_eq!(got(&mut world), [out.to_vec()]);
    give(&mut world, outside, [back.clone()]);
    assert_eq!(got(&mut world), [back.to_vec()]);
    assert_eq!(world.counters().packets.dropped.by(DropCause::Filtered), 1);
}

#[test]
fn two_homes_may_have_devices_with_the_same_addresses() {
    let mut world = World::new(1);
    let outside = world.node("outside", [203, 0, 113, 9]).spawner(spawn);
    world.spawn(outside, 0, tun("10.2.0.1"));
    let mut homes = Vec::new();
    for last in [7, 8] {
        let home = world
            .gateway(format!("home {last}"))
            .address([203, 0, 113, last]);
        let home = home.nat(Nat::full_cone()).build();
        let node = world
            .node(format!("node {last}"), [192, 168, 0, 1])
            .behind(home);
        let node = node.spawner(spawn);
        world.spawn(
            node,
            0,
            DeviceOpen::tun(Token(0)).with_address([10, 1, 0, 1].into(), 24),
        );
        homes.push(node);
    }
    reports(&mut world);
    for (node, outer) in homes.into_iter().zip(["203.0.113.7", "203.0.113.8"]) {
        give(
            &mut world,
            node,
            [summed("10.1.0.2", "10.2.0.2", 17, [5, 7])],
        );
        assert_eq!(
            read(&got(&mut world)[0]),
            [format!("{outer}:5"), "10.2.0.2:7".to_owned()]
        );
        give(&mut world, outside, [summed("10.2.0.2", outer, 17, [7, 5])]);
        world.run_until_idle(ms(100)).unwrap();
        let taken = world.take_reports();
        assert_eq!((taken.len(), taken[0].node), (1, node));
    }
}

#[test]
fn translated_packets_replay_and_none_is_unaccounted_for() {
    for seed in 0..10 {
        let scenario = |world: &mut World<Wire>| {
            let link = Link::new(ms(1)..=ms(20))
                .loss(0.2)
                .duplicate(0.2)
                .reorder(0.3, ms(9));
            world.default_link(&link);
            let home = world.gateway("home").address([203, 0, 113, 7]);
            let home = home.nat(Nat::symmetric()).build();
            let (inside, outside) = pair(world, home);
            for port in 1..30 {
                let packet = summed("10.1.0.2", "10.2.0.2", 17, [port, 7]);
                give(world, inside, [packet]);
                world.run_for(ms(3))?;
                if let Some(mapping) = world.mappings(home).last() {
                    let port = mapping.outer.port();
                    let answer = summed("10.2.0.2", "203.0.113.7", 17, [7, port]);
                    give(world, outside, [answer]);
                }
                if port == 15 {
                    world.rebind(home);
                }
            }
            world.run_until_idle(ms(1_000))?;
            assert_eq!(world.counters().packets.in_flight, 0);
            assert!(world.counters().packets.delivered > 20);
            let large = super::wire::large("10.1.0.2", "10.2.0.2");
            world.inject_packet(inside, "tun0", Packet::new(large.payload));
            world.run_until_idle(ms(1_000))
        };
        self_check(seed, scenario).unwrap();
        stillpoint_sim::run_seed(seed, scenario).1.unwrap();
    }
}
