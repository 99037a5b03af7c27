//! Packets too long, too short, malformed, and large ones that are to be cut.

use stillpoint::{
    Buffer, DeviceOpen, MalformedPacket, NetworkError, Packet, PartialChecksum, Token,
};
use stillpoint_sim::{DropCause, Link, World};

use crate::wire::{
    Command, Report, frame, give, ipv4, large, lengths_got, ms, opened, reports, task, tun,
};

#[test]
fn whatever_a_task_gives_is_carried_dropped_or_refused() {
    let mut ends = [0; 3];
    for seed in 0..300 {
        let mut world = World::new(seed);
        let kind = world.draw("kind", 0..=1);
        let open = |address| match kind {
            0 => tun(address),
            _ => DeviceOpen::tap(Token(0)),
        };
        let here = opened(&mut world, 1, open("10.0.1.1"));
        let there = opened(&mut world, 2, open("10.0.2.1"));
        let mut bytes = match kind {
            0 => Vec::new(),
            _ => frame(1, 2)[..12].iter().copied().chain([8, 0]).collect(),
        };
        let start = u16::try_from(bytes.len()).unwrap() + 20;
        let packet = large("10.0.1.2", "10.0.2.2");
        let mut offload = packet.offload;
        offload.checksum = Some(PartialChecksum::new(start, 6));
        bytes.extend_from_slice(&packet.payload);
        for _ in 0..world.draw("changes", 0..=3) {
            let at = usize::try_from(world.draw("at", 0..=60)).unwrap();
            bytes[at] = u8::try_from(world.draw("to", 0..=255)).unwrap();
        }
        if world.draw("cut off", 0..=3) == 0 {
            let len = world.draw("length", 0..=100);
            bytes.truncate(usize::try_from(len).unwrap());
        }
        if world.draw("single", 0..=3) == 0 {
            offload.segmentation = None;
        }
        let mut packet = Packet::new(Buffer::copy_from(&bytes));
        packet.offload = offload;
        let name = if kind == 0 { "tun0" } else { "tap0" };
        world.inject_packet(there, name, packet.clone());
        let giver = task(&world, here);
        world.command(here, giver, Command::Give(vec![packet]));
        // Running checks that each packet is accounted for.
        world.run_until_idle(ms(10)).unwrap();
        let packets = world.counters().packets;
        assert_eq!((packets.given, packets.in_flight), (1, 0));
        for (end, count) in [packets.delivered, packets.taken, packets.dropped.total()]
            .into_iter()
            .enumerate()
        {
            ends[end] += u64::from(count > 0);
        }
    }
    assert!(ends.iter().all(|&count| count > 10), "{ends:?}");
}

#[test]
fn packets_beyond_the_mtu_are_refused_with_both_lengths() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1").with_mtu(1_280));
    give(
        &mut world,
        node,
        [ipv4("10.0.1.2", "10.0.1.1", 7, &[0; 1_252])],
    );
    assert_eq!(reports(&mut world), []);
    give(
        &mut world,
        node,
        [ipv4("10.0.1.2", "10.0.1.1", 7, &[0; 1_253])],
    );
    let (len, max) = (1_281, 1_280);
    assert_eq!(
        reports(&mut world),
        [Report::Failed(NetworkError::TooLong { len, max })]
    );
    // A frame has its header besides.
    let tap = opened(&mut world, 2, DeviceOpen::tap(Token(0)));
    give(&mut world, tap, [Buffer::copy_from(&[2; 1_514])]);
    assert_eq!(reports(&mut world), []);
    give(&mut world, tap, [Buffer::copy_from(&[2; 1_515])]);
    let (len, max) = (1_515, 1_514);
    assert_eq!(
        reports(&mut world),
        [Report::Failed(NetworkError::TooLong { len, max })]
    );
    assert_eq!(world.device_counters(tap, "tap0").send_failed, 1);
}

#[test]
fn what_is_no_packet_is_refused_with_the_reason() {
    let mut world = World::new(1);
    let tun = opened(&mut world, 1, tun("10.0.1.1"));
    let tap = opened(&mut world, 2, DeviceOpen::tap(Token(0)));
    let short = |len| MalformedPacket::TooShort { len };
    for (node, bytes, reason) in [
        (tun, &b""[..], short(0)),
        (tun, b"0 is not IP", MalformedPacket::NotIp),
        (tap, &[0; 13], short(13)),
        (
            tap,
            &[[0; 12], [0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat()[..16],
            short(16),
        ),
    ] {
        give(&mut world, node, [Buffer::copy_from(bytes)]);
        assert_eq!(
            reports(&mut world),
            [Report::Failed(NetworkError::Malformed(reason))],
            "{bytes:?}"
        );
    }
    // Linux takes the first byte's word for it, and the stack drops the rest.
    give(&mut world, tun, [Buffer::copy_from(&[0x45; 12])]);
    assert_eq!(reports(&mut world), []);
    let dropped = world.counters().packets.dropped;
    assert_eq!(dropped.by(DropCause::Malformed), 1);
    assert_eq!(dropped.by(DropCause::Unsendable), 4);
}

#[test]
fn a_large_packet_is_cut_for_a_task_that_takes_single_ones() {
    for (open, lengths) in [
        (tun("10.0.1.1"), vec![1_028, 1_028, 528]),
        (tun("10.0.1.1").with_large_packets(), vec![2_528]),
    ] {
        let mut world = World::new(1);
        let node = opened(&mut world, 1, open);
        world.inject_packet(node, "tun0", large("10.0.1.1", "10.0.1.2"));
        assert_eq!(lengths_got(&mut world), lengths);
        assert_eq!(world.device_counters(node, "tun0").undelivered, 0);
    }
}

#[test]
fn a_large_packet_goes_over_a_link_in_pieces() {
    let mut world = World::new(1);
    let here = opened(&mut world, 1, tun("10.0.1.1").with_large_packets());
    let there = opened(&mut world, 2, tun("10.0.2.1").with_large_packets());
    world.link(here, there, &Link::fixed(ms(1)));
    let task = task(&world, here);
    let packet = large("10.0.1.2", "10.0.2.2");
    world.command(here, task, Command::Give(vec![packet]));
    assert_eq!(lengths_got(&mut world), [1_028, 1_028, 528]);
}

#[test]
fn a_large_packet_for_a_neighbour_on_the_node_stays_whole() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    world.spawn(node, 0, tun("10.0.2.1").with_large_packets());
    reports(&mut world);
    let task = task(&world, node);
    let packet = large("10.0.1.2", "10.0.2.2");
    world.command(node, task, Command::Give(vec![packet]));
    assert_eq!(lengths_got(&mut world), [2_528]);
}

#[test]
fn a_packet_longer_than_the_receivers_mtu_is_dropped_and_counted() {
    let mut world = World::new(1);
    let here = opened(&mut world, 1, tun("10.0.1.1"));
    let there = opened(&mut world, 2, tun("10.0.2.1").with_mtu(1_000));
    give(
        &mut world,
        here,
        [ipv4("10.0.1.2", "10.0.2.2", 7, &[0; 1_000])],
    );
    world.inject_packet(there, "tun0", large("10.0.2.1", "10.0.2.2"));
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(reports(&mut world), []);
    assert_eq!(world.counters().packets.dropped.by(DropCause::TooLong), 2);
    assert_eq!(world.device_counters(there, "tun0").undelivered, 2);
}
