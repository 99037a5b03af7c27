//! TUN and TAP devices: opening them, and where packets go.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "devices/gateways.rs"]
mod gateways;
#[path = "devices/sizes.rs"]
mod sizes;
#[path = "devices/wire.rs"]
mod wire;

use core::net::Ipv4Addr;

use stillpoint::{DeviceError, DeviceOpen, Packet, Token};
use stillpoint_sim::{DropCause, Link, NodeId, TraceKind, World, check, self_check};
use wire::{
    Command, Report, SILENT, Wire, frame, give, ipv4, ms, node, opened, port, reports, task, tun,
};

#[test]
fn a_device_has_the_name_asked_for_or_the_next_free_one() {
    let mut world = World::new(1);
    let node = node(&mut world, 1);
    for (open, name) in [
        (tun("10.0.1.1"), "tun0"),
        (tun("10.0.2.1"), "tun1"),
        (DeviceOpen::tap(Token(0)), "tap0"),
        (tun("10.0.3.1").with_name("vpn-7"), "vpn-7"),
    ] {
        world.spawn(node, 0, open);
        assert_eq!(reports(&mut world), [Report::Opened(name.into(), 1_500)]);
    }
    world.spawn(node, 0, tun("10.0.4.1").with_mtu(9_000));
    assert_eq!(reports(&mut world), [Report::Opened("tun2".into(), 9_000)]);
}

#[test]
fn the_same_name_on_another_node_is_another_device() {
    let mut world = World::new(1);
    for number in [1, 2] {
        let node = node(&mut world, number);
        world.spawn(node, 0, tun("10.0.0.1").with_name("vpn"));
        assert_eq!(
            reports(&mut world),
            [Report::Opened("vpn".into(), 1_500)],
            "on node {number}"
        );
    }
}

#[test]
fn names_that_linux_refuses_are_refused() {
    let mut world = World::new(1);
    let node = node(&mut world, 1);
    for name in [
        "",
        "sixteen-letters-",
        "a/b",
        "a:b",
        "a b",
        "a%d",
        ".",
        "..",
        "a\tb",
        "a\0b",
    ] {
        world.spawn(node, 0, tun("10.0.0.1").with_name(name));
        assert_eq!(
            reports(&mut world),
            [Report::OpenFailed(DeviceError::BadName)],
            "`{name}`"
        );
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let mut world = World::new(1);
    let node = node(&mut world, 1);
    for open in [
        DeviceOpen::tun(Token(0)).with_address(Ipv4Addr::LOCALHOST.into(), 33),
        DeviceOpen::tun(Token(0)).with_address(Ipv4Addr::UNSPECIFIED.into(), 8),
        tun("224.0.0.1"),
        tun("10.0.0.1").with_mtu(67),
        DeviceOpen::tun(Token(0))
            .with_address("fd00::1".parse().unwrap(), 64)
            .with_mtu(1_279),
    ] {
        world.spawn(node, 0, open);
        assert_eq!(
            reports(&mut world),
            [Report::OpenFailed(DeviceError::BadSetting(22))]
        );
    }
}

#[test]
fn an_open_device_is_busy_unless_both_sides_share_it() {
    let mut world = World::new(1);
    let node = node(&mut world, 1);
    let named = || tun("10.0.0.1").with_name("vpn");
    world.spawn(node, 0, named().shared());
    world.spawn(node, 0, named().shared());
    assert_eq!(reports(&mut world).len(), 2);
    let tap = DeviceOpen::tap(Token(0)).with_name("vpn").shared();
    let loopback = tun("10.0.0.1").with_name("lo");
    for open in [named(), tap, loopback] {
        world.spawn(node, 0, open);
        assert_eq!(reports(&mut world), [Report::OpenFailed(DeviceError::Busy)]);
    }
}

#[test]
fn what_the_host_sends_out_of_a_device_reaches_its_task() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    let packet = ipv4("10.0.1.1", "192.0.2.9", 7, b"hello");
    world.inject_packet(node, "tun0", Packet::new(packet.clone()));
    assert_eq!(reports(&mut world), [Report::Got(packet.to_vec())]);
}

#[test]
fn what_is_for_the_host_is_taken_in_by_it() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    for destination in ["10.0.1.1", "255.255.255.255", "224.0.0.5"] {
        let packet = ipv4("10.0.1.2", destination, 7, b"hello");
        give(&mut world, node, [packet.clone()]);
        assert_eq!(reports(&mut world), []);
        assert_eq!(
            world.take_packets(node, "tun0"),
            [Packet::new(packet)],
            "for {destination}"
        );
    }
    let counters = world.device_counters(node, "tun0");
    assert_eq!((counters.packets_out, counters.bytes_out), (3, 99));
}

#[test]
fn a_packet_comes_out_of_the_device_whose_prefix_covers_its_destination() {
    let mut world = World::new(1);
    let here = opened(&mut world, 1, tun("10.0.1.1"));
    let there = opened(&mut world, 2, tun("10.0.2.1"));
    world.link(here, there, &Link::fixed(ms(30)));
    let packet = ipv4("10.0.1.2", "10.0.2.2", 7, b"hello");
    give(&mut world, here, [packet.clone()]);
    let sent = world.now();
    world.run_until_idle(ms(100)).unwrap();
    let reports = world.take_reports();
    assert_eq!(reports[0].report, Report::Got(packet.to_vec()));
    assert_eq!((reports[0].node, reports.len()), (there, 1));
    assert_eq!(
        reports[0].at,
        sent.after(ms(30)),
        "as long as the link takes"
    );
    assert_eq!(world.take_packets(there, "tun0"), []);
}

#[test]
fn the_other_hosts_own_address_is_for_the_other_host() {
    let mut world = World::new(1);
    let here = opened(&mut world, 1, tun("10.0.1.1"));
    let there = opened(&mut world, 2, tun("10.0.2.1"));
    let packet = ipv4("10.0.1.2", "10.0.2.1", 7, b"hello");
    give(&mut world, here, [packet.clone()]);
    assert_eq!(reports(&mut world), []);
    assert_eq!(world.take_packets(there, "tun0"), [Packet::new(packet)]);
}

#[test]
fn the_longest_prefix_wins() {
    let mut world = World::new(1);
    let here = opened(&mut world, 1, tun("10.0.1.1"));
    let wide = DeviceOpen::tun(Token(0)).with_address([10, 9, 9, 9].into(), 8);
    opened(&mut world, 2, wide);
    let narrow = opened(&mut world, 3, tun("10.0.2.1"));
    give(&mut world, here, [ipv4("10.0.1.2", "10.0.2.2", 7, b"")]);
    world.run_until_idle(ms(100)).unwrap();
    let got: Vec<NodeId> = world.take_reports().iter().map(|got| got.node).collect();
    assert_eq!(got, [narrow]);
}

#[test]
fn a_packet_for_nobody_is_dropped_and_counted() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    give(&mut world, node, [ipv4("10.0.1.2", "192.0.2.1", 7, b"")]);
    assert_eq!(reports(&mut world), []);
    let packets = world.counters().packets;
    assert_eq!((packets.given, packets.in_flight), (1, 0));
    assert_eq!(packets.dropped.by(DropCause::NoRoute), 1);
}

#[test]
fn packets_of_two_tasks_on_one_node_meet_in_its_host() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    world.spawn(node, 0, tun("10.0.2.1"));
    assert_eq!(reports(&mut world).len(), 1);
    let packet = ipv4("10.0.1.2", "10.0.2.2", 7, b"next door");
    give(&mut world, node, [packet.clone()]);
    assert_eq!(reports(&mut world), [Report::Got(packet.to_vec())]);
    assert_eq!(world.device_counters(node, "tun1").packets_in, 1);
}

#[test]
fn links_treat_packets_as_they_treat_datagrams_and_none_is_unaccounted_for() {
    check("packet faults", 0..10, |world: &mut World<Wire>| {
        let here = opened(world, 1, tun("10.0.1.1"));
        let there = opened(world, 2, tun("10.0.2.1"));
        let faulty = Link::new(ms(1)..=ms(5)).loss(0.2).duplicate(0.1);
        world.link(here, there, &faulty.reorder(0.1, ms(20)));
        let packets = (0..200).map(|number| ipv4("10.0.1.2", "10.0.2.2", number, b""));
        give(world, here, packets);
        world.run_until_idle(ms(100))?;
        let packets = world.counters().packets;
        let lost = packets.dropped.by(DropCause::Loss);
        assert!((15..65).contains(&lost), "{lost} of 200 lost");
        assert!((3..40).contains(&packets.copied), "{}", packets.copied);
        assert_eq!(packets.delivered, 200 - lost + packets.copied);
        let came: Vec<u16> = world.take_reports().iter().map(port).collect();
        assert_eq!(came.len() as u64, packets.delivered);
        assert!(!came.is_sorted(), "none was held back");
        Ok(())
    });
}

#[test]
fn a_nodes_link_to_itself_is_a_link_too() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    world.link(node, node, &Link::fixed(ms(5)).loss(0.5));
    let packets = (0..100).map(|number| ipv4("10.0.1.2", "10.0.1.1", number, b""));
    give(&mut world, node, packets);
    world.run_until_idle(ms(10)).unwrap();
    let lost = world.counters().packets.dropped.by(DropCause::Loss);
    assert!((30..70).contains(&lost), "{lost} of 100 lost");
    let taken = world.take_packets(node, "tun0").len();
    assert_eq!(taken as u64, 100 - lost);
}

#[test]
fn frames_go_everywhere_until_the_switch_knows_where_to() {
    let mut world = World::new(1);
    let nodes: Vec<NodeId> = (1..=3)
        .map(|number| opened(&mut world, number, DeviceOpen::tap(Token(0))))
        .collect();
    let reached = |world: &mut World<Wire>, from: usize, destination: u8| {
        give(world, nodes[from], [frame(from, destination)]);
        world.run_until_idle(ms(10)).unwrap();
        let mut reached: Vec<NodeId> = world.take_reports().iter().map(|got| got.node).collect();
        reached.sort();
        let hosts: Vec<usize> = nodes
            .iter()
            .map(|&node| world.take_packets(node, "tap0").len())
            .collect();
        (reached, hosts)
    };
    // Nobody knows where 2 is: all but the sender get it, and the sender's own host.
    let everywhere = (vec![nodes[1], nodes[2]], vec![1, 1, 1]);
    assert_eq!(reached(&mut world, 0, 2), everywhere);
    let everywhere = (vec![nodes[0], nodes[1]], vec![1, 1, 1]);
    assert_eq!(reached(&mut world, 2, 0xff), everywhere, "to all");
    // Both have spoken.
    assert_eq!(reached(&mut world, 0, 2), (vec![nodes[2]], vec![0; 3]));
    assert_eq!(reached(&mut world, 2, 0), (vec![nodes[0]], vec![0; 3]));
    assert_eq!(reached(&mut world, 2, 2), (vec![], vec![0; 3]), "to itself");
    // A host speaks: what is for it goes there alone.
    let injected = Packet::new(frame(9, 0));
    world.inject_packet(nodes[1], "tap0", injected);
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(world.take_reports().len(), 1);
    assert_eq!(reached(&mut world, 0, 9), (vec![], vec![0, 1, 0]));
}

#[test]
fn the_switch_forgets_who_was_behind_a_closed_device() {
    for close in [
        |world: &mut World<Wire>, node| world.remove_device(node, "tap0"),
        |world: &mut World<Wire>, node| world.command(node, task(world, node), Command::Finish),
    ] {
        let mut world = World::new(1);
        let nodes: Vec<NodeId> = (1..=3)
            .map(|number| opened(&mut world, number, DeviceOpen::tap(Token(0))))
            .collect();
        give(&mut world, nodes[2], [frame(2, 0xff)]);
        world.run_until_idle(ms(10)).unwrap();
        close(&mut world, nodes[2]);
        reports(&mut world);
        give(&mut world, nodes[0], [frame(0, 2)]);
        world.run_until_idle(ms(10)).unwrap();
        let reached: Vec<NodeId> = world.take_reports().iter().map(|got| got.node).collect();
        assert_eq!(reached, [nodes[1]]);
    }
}

#[test]
fn flows_spread_over_the_queues_and_each_stays_with_its_own() {
    let mut world = World::new(1);
    let node = node(&mut world, 1);
    for _ in 0..3 {
        world.spawn(node, 0, tun("10.0.1.1").shared());
    }
    // Without a name each would be a device of its own.
    assert_eq!(reports(&mut world).len(), 3);
    for _ in 0..3 {
        world.spawn(node, 0, tun("10.0.9.1").with_name("many").shared());
    }
    assert_eq!(reports(&mut world).len(), 3);
    for _ in 0..2 {
        for flow in 0..60 {
            let packet = ipv4("10.0.9.1", "10.0.9.2", flow, b"");
            world.inject_packet(node, "many", Packet::new(packet));
        }
    }
    world.run_until_idle(ms(10)).unwrap();
    let mut by_queue: Vec<(stillpoint::TaskId, u16)> = world
        .take_reports()
        .iter()
        .map(|got| (got.task, port(got)))
        .collect();
    by_queue.sort();
    assert_eq!(by_queue.len(), 120);
    by_queue.dedup();
    assert_eq!(by_queue.len(), 60, "each flow at one queue");
    let mut tasks: Vec<_> = by_queue.iter().map(|&(task, _)| task).collect();
    tasks.dedup();
    let counts = tasks
        .iter()
        .map(|queue| by_queue.iter().filter(|(task, _)| task == queue).count());
    let counts: Vec<usize> = counts.collect();
    assert!(
        counts.len() == 3 && counts.iter().all(|&count| count > 8),
        "{counts:?}"
    );
}

#[test]
fn a_device_goes_with_its_task_and_its_name_is_free_again() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    let first = task(&world, node);
    world.command(node, first, Command::Finish);
    world.run_until_idle(ms(1)).unwrap();
    let packet = ipv4("10.0.1.1", "10.0.1.2", 7, b"");
    world.inject_packet(node, "tun0", Packet::new(packet));
    assert_eq!(reports(&mut world), []);
    assert_eq!(world.counters().packets.dropped.by(DropCause::NoRoute), 1);
    world.spawn(node, 0, tun("10.0.5.1").with_mtu(1_400));
    assert_eq!(reports(&mut world), [Report::Opened("tun0".into(), 1_400)]);
    // The new device has not inherited the old one's address.
    give(&mut world, node, [ipv4("10.0.5.2", "10.0.1.1", 7, b"")]);
    reports(&mut world);
    assert_eq!(world.take_packets(node, "tun0"), []);
}

#[test]
fn a_packet_on_its_way_to_a_device_that_closes_is_dropped_and_counted() {
    let mut world = World::new(1);
    let here = opened(&mut world, 1, tun("10.0.1.1"));
    let there = opened(&mut world, 2, tun("10.0.2.1"));
    world.link(here, there, &Link::fixed(ms(50)));
    give(&mut world, here, [ipv4("10.0.1.2", "10.0.2.2", 7, b"")]);
    world.run_for(ms(10)).unwrap();
    let receiver = task(&world, there);
    world.command(there, receiver, Command::Finish);
    assert_eq!(reports(&mut world), []);
    assert_eq!(world.counters().packets.dropped.by(DropCause::NoRoute), 1);
}

#[test]
fn a_device_that_is_removed_says_so_to_all_its_tasks() {
    let mut world = World::new(1);
    let node = node(&mut world, 1);
    for _ in 0..2 {
        world.spawn(node, 0, tun("10.0.1.1").with_name("vpn").shared());
    }
    reports(&mut world);
    world.remove_device(node, "vpn");
    assert_eq!(
        reports(&mut world),
        [
            Report::Closed(DeviceError::Gone),
            Report::Closed(DeviceError::Gone)
        ]
    );
    // The ids are stale: the worker refuses them, and the device sees nothing.
    give(&mut world, node, [ipv4("10.0.1.2", "10.0.1.1", 7, b"")]);
    assert_eq!(reports(&mut world), [Report::Stale]);
    assert_eq!(world.counters().packets.given, 0);
}

#[test]
fn a_host_keeps_so_many_packets_and_counts_the_others() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    let packet = ipv4("10.0.1.2", "10.0.1.1", 7, b"");
    for _ in 0..70 {
        give(&mut world, node, vec![packet.clone(); 1_000]);
    }
    reports(&mut world);
    assert_eq!(world.take_packets(node, "tun0").len(), 65_536);
    let dropped = world.counters().packets.dropped;
    assert_eq!(dropped.by(DropCause::QueueFull), 70_000 - 65_536);
}

#[test]
fn a_seed_has_one_trace_that_tells_what_became_of_packets() {
    let run = |world: &mut World<Wire>| {
        let here = opened(world, 1, tun("10.0.1.1"));
        let there = opened(world, 2, tun("10.0.2.1"));
        let faulty = Link::new(ms(1)..=ms(9)).loss(0.5);
        world.link(here, there, &faulty);
        world.record_trace();
        let packets = (0..50).map(|number| ipv4("10.0.1.2", "10.0.2.2", number, b""));
        give(world, here, packets);
        give(world, here, [ipv4("10.0.1.2", "10.0.2.1", 7, b"")]);
        world.run_until_idle(ms(100))
    };
    self_check(3, run).unwrap();
    let mut world = World::new(3);
    run(&mut world).unwrap();
    let trace = world.take_trace();
    for (kind, text) in [
        (TraceKind::PacketCarried, "28 B, arrives "),
        (TraceKind::PacketDropped, ", 28 B: Loss"),
        (TraceKind::Packet, " device 0/0.0, 28 B"),
    ] {
        let event = trace.iter().find(|event| event.kind == kind).unwrap();
        let line = world.describe(event);
        assert!(line.contains(text), "{line}");
    }
}

#[test]
fn what_is_in_a_packet_is_part_of_the_trace_hash() {
    let hash = |payload: &[u8]| {
        let mut world = World::new(1);
        let mut open = tun("10.0.1.1");
        open.token = SILENT;
        let node = opened(&mut world, 1, open);
        let packet = ipv4("10.0.1.1", "10.0.1.2", 7, payload);
        world.inject_packet(node, "tun0", Packet::new(packet));
        assert_eq!(reports(&mut world), []);
        assert_eq!(world.counters().packets.delivered, 1);
        world.trace_hash()
    };
    assert_eq!(hash(b"a"), hash(b"a"));
    assert_ne!(hash(b"a"), hash(b"b"));
}

#[test]
fn the_devices_of_a_killed_worker_are_closed() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    world.kill_worker(node, 0);
    let packet = ipv4("10.0.1.1", "10.0.1.2", 7, b"for nobody");
    world.inject_packet(node, "tun0", Packet::new(packet));
    world.run_until_idle(ms(1)).unwrap();
    assert_eq!(world.counters().packets.dropped.by(DropCause::NoRoute), 1);
}

#[test]
#[should_panic(expected = "no device `tun7` on node `n1`")]
fn a_device_that_never_was_is_a_mistake_of_the_scenario() {
    let mut world = World::new(1);
    let node = opened(&mut world, 1, tun("10.0.1.1"));
    world.take_packets(node, "tun7");
}
