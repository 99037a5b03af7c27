//! What is longer than a link takes.

use core::time::Duration;

use stillpoint::NetworkError;
use stillpoint_sim::{DropCause, Link, Oversize, World, self_check};

use super::common::ms;
use super::poster::{GROUP, Parcel, Post, Told, heard, parcel, poster, run, send, send_each, two};
use super::talker::{self, Script, Spawn, connect, listen};
use super::wire::{self, give, ipv4, opened, tun};

fn narrow(oversize: Oversize) -> Link {
    Link::default().mtu(1_000).oversize(oversize)
}

fn over_ipv6(parcel: Parcel) -> Parcel {
    Parcel {
        to: "[fd00::2]:7".parse().unwrap(),
        ..parcel
    }
}

const fn too_long(len: usize, max: usize) -> NetworkError {
    NetworkError::TooLong { len, max }
}

#[test]
fn what_fits_passes_and_headers_count() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &narrow(Oversize::Drop));
    for len in [972, 973] {
        send(&mut world, a, parcel(vec![0; len]));
    }
    for len in [952, 953] {
        send(&mut world, a, over_ipv6(parcel(vec![0; len])));
    }
    world.run_until_idle(ms(100)).unwrap();
    let lens: Vec<_> = heard(&world, b).iter().map(|(_, one)| one.len()).collect();
    assert_eq!(lens, [972, 952]);
    assert_eq!(world.counters().dropped.by(DropCause::TooLong), 2);
    assert_eq!(poster(&world, a).told, [], "nobody is told by a black hole");
}

#[test]
fn a_long_datagram_travels_in_fragments_and_arrives_whole() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &narrow(Oversize::Fragment));
    let text: Vec<u8> = (0..60_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    send(&mut world, a, parcel(text.clone()));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(heard(&world, b)[0].1, text);
}

#[test]
fn a_datagram_is_lost_with_any_of_its_fragments() {
    // 4,872 bytes with the header of UDP: five fragments of 976, which make 0.9^5.
    let mut world = World::new(1);
    let link = narrow(Oversize::Fragment).loss(0.1);
    let (a, b) = two(&mut world, &link);
    send_each(&mut world, a, (2_000, 4_864), ms(1));
    let came = heard(&world, b).len();
    assert!((1_120..1_240).contains(&came), "{came} instead of 1,181");
    // Each takes a header of its own, too: 4,992 bytes at 1 Mbit/s.
    let mut world = World::new(1);
    let link = narrow(Oversize::Fragment).bandwidth(1_000_000);
    let (a, b) = two(&mut world, &link);
    let start = world.now();
    send_each(&mut world, a, (1, 4_864), ms(1));
    let took = heard(&world, b)[0].0.since(start);
    assert_eq!(took.as_micros(), 4_972 * 8 + 1_000);
}

#[test]
fn a_sender_is_told_what_the_path_takes_and_is_refused_at_once_from_then_on() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &narrow(Oversize::TooBig));
    let back = Link::fixed(ms(7));
    world.one_way(b, a, &back);
    let sent_at = world.now();
    send(&mut world, a, parcel([0; 1_200]));
    world.run_for(ms(6)).unwrap();
    send(&mut world, a, parcel([0; 1_200])); // Not known yet.
    world.run_until_idle(ms(100)).unwrap();
    let error = Told::Error(too_long(1_200, 972));
    let told = [
        (sent_at.after(ms(7)), error),
        (sent_at.after(ms(13)), error),
    ];
    assert_eq!(poster(&world, a).told, told);
    assert_eq!(world.counters().dropped.by(DropCause::TooLong), 2);

    let sent_at = world.now();
    send(&mut world, a, parcel([0; 1_200]));
    send(&mut world, a, run(20, 1_000));
    send(&mut world, a, run(20, 900));
    send(&mut world, a, over_ipv6(parcel([0; 972])));
    world.run_until_idle(ms(100)).unwrap();
    let told = [
        (sent_at, Told::Failed(too_long(1_200, 972), 1)),
        (sent_at, Told::Failed(too_long(1_000, 972), 20)),
        (sent_at, Told::Failed(too_long(972, 952), 1)),
    ];
    assert_eq!(poster(&world, a).told[2..], told);
    assert_eq!(heard(&world, b).len(), 20);

    // After ten minutes the node tries again.
    world.run_for(ms(600_000)).unwrap();
    send(&mut world, a, parcel([0; 1_200]));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(poster(&world, a).told[5].1, error);
}

#[test]
fn what_one_path_takes_says_nothing_of_another() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &narrow(Oversize::TooBig));
    let c = world
        .node("node 3", [10, 0, 0, 3])
        .spawner(super::poster::spawn);
    world.spawn(c, 0, ());
    send(&mut world, a, parcel([0; 1_200]));
    world.run_until_idle(ms(100)).unwrap();
    let to = "10.0.0.3:7".parse().unwrap();
    let elsewhere = Parcel {
        to,
        ..parcel([0; 1_200])
    };
    send(&mut world, a, elsewhere);
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(heard(&world, c).len(), 1);
    assert_eq!(heard(&world, b).len(), 0);
}

#[test]
fn whoever_is_not_told_goes_on_for_nothing() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &narrow(Oversize::TooBig));
    world.cut(b, a);
    send_each(&mut world, a, (5, 1_200), ms(10));
    assert_eq!(poster(&world, a).told, []);
    assert_eq!(world.counters().dropped.by(DropCause::TooLong), 5);
}

#[test]
fn one_notice_is_for_a_whole_run() {
    let mut world = World::new(1);
    let (a, _) = two(&mut world, &narrow(Oversize::TooBig));
    send(&mut world, a, run(20, 1_000));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(poster(&world, a).told.len(), 1);
    assert_eq!(world.counters().dropped.by(DropCause::TooLong), 20);
}

#[test]
fn nobody_is_told_of_what_was_sent_to_a_group() {
    let mut world = World::new(1);
    let link = narrow(Oversize::TooBig).refuse_runs(1.0);
    let (a, b) = two(&mut world, &link);
    let to_all = |parcel| Parcel {
        to: (GROUP, 7).into(),
        ..parcel
    };
    for _ in 0..2 {
        send(&mut world, a, to_all(parcel([0; 1_200])));
        send(&mut world, a, to_all(run(5, 100)));
        world.run_until_idle(ms(100)).unwrap();
    }
    assert_eq!(poster(&world, a).told, []);
    assert_eq!(heard(&world, b).len(), 10);
    assert_eq!(world.counters().dropped.by(DropCause::TooLong), 2);
}

#[test]
fn routers_make_no_fragments_of_ipv6() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &narrow(Oversize::Fragment));
    send(&mut world, a, over_ipv6(parcel([0; 1_200])));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(heard(&world, b), []);
    let told = &poster(&world, a).told;
    assert_eq!(told[0].1, Told::Error(too_long(1_200, 952)));
}

/// What a server has heard of 100 kB after so long, over this link there and a plain one back.
fn upload(there: &Link, time: Duration) -> (World<talker::Talk>, usize) {
    let mut world = World::new(1);
    let (client, server) = talker::pair(&mut world, there, listen(), Script::default());
    world.one_way(server, client, &Link::default());
    let says = Script::say(100_000);
    let text = says.text();
    world.spawn(client, 0, Spawn::Connect(connect(), says));
    world.run_for(time).unwrap();
    let heard = &talker::ear(&world, server).heard;
    assert!(text.starts_with(heard));
    let len = heard.len();
    (world, len)
}

#[test]
fn streams_find_out_what_the_path_takes() {
    for oversize in [Oversize::TooBig, Oversize::Fragment] {
        let (world, heard) = upload(&narrow(oversize), ms(200));
        // Sooner than the timer for what nobody acknowledges.
        assert_eq!(heard, 100_000);
        let dropped = world.counters().segments.dropped.by(DropCause::TooLong);
        assert!((1..60).contains(&dropped), "{dropped}");
    }
}

#[test]
fn streams_get_stuck_in_a_black_hole() {
    let (world, heard) = upload(&narrow(Oversize::Drop), ms(60_000));
    assert!(heard < 20_000, "only short segments pass: {heard}");
    assert!(world.counters().segments.dropped.by(DropCause::TooLong) > 10);
}

#[test]
fn packets_of_devices_are_fragmented_unless_they_forbid_it() {
    let mut world = World::new(1);
    let a = opened(&mut world, 1, tun("10.0.1.1"));
    let b = opened(&mut world, 2, tun("10.0.2.1"));
    world.one_way(a, b, &narrow(Oversize::Fragment));
    let packet = ipv4("10.0.1.1", "10.0.2.9", 7, &[1; 1_300]);
    let mut forbids = packet.clone();
    forbids.make_mut()[6] = 0x40;
    give(&mut world, a, [packet, forbids]);
    assert_eq!(wire::lengths_got(&mut world), [1_328]);
    let dropped = world.counters().packets.dropped;
    assert_eq!(dropped.by(DropCause::TooLong), 1);
}

#[test]
fn paths_that_are_found_out_replay() {
    let link = narrow(Oversize::TooBig).loss(0.1);
    for seed in 0..5 {
        self_check(seed, |world: &mut World<Post>| {
            let (a, _) = two(world, &link);
            for len in [900, 1_100, 1_200, 800] {
                send(world, a, parcel(vec![0; len]));
                world.run_for(ms(3))?;
            }
            world.run_until_idle(ms(100))
        })
        .unwrap();
    }
}

#[test]
#[should_panic(expected = "link with an MTU of 67 bytes: IP needs 68")]
fn an_mtu_that_ip_forbids_is_refused() {
    World::<Post>::new(1).default_link(&Link::default().mtu(67));
}
