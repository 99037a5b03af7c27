//! What arrives other than it was sent.

use stillpoint_sim::{DropCause, Link, TraceKind, World, self_check};

use super::common::ms;
use super::poster::{Post, heard, parcel, run, send, two};
use super::talker::{self, Script, Spawn, connect, listen};
use super::wire::{self, Report, give, ipv4, opened, tun};

fn flipped(one: &[u8], other: &[u8]) -> u32 {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(other);
    pairs.map(|(one, other)| (one ^ other).count_ones()).sum()
}

#[test]
fn a_corrupted_datagram_has_a_few_other_bits_and_its_length() {
    let mut seen = [0; 4];
    for seed in 0..30 {
        let mut world = World::new(seed);
        let (a, b) = two(&mut world, &Link::default().corrupt(1.0));
        for number in 0..10 {
            send(&mut world, a, parcel(vec![number; 100]));
        }
        world.run_until_idle(ms(100)).unwrap();
        let heard = heard(&world, b);
        assert_eq!(heard.len(), 10);
        for (number, (_, datagram)) in (0..).zip(heard) {
            seen[flipped(&datagram, &[number; 100]) as usize] += 1;
        }
        assert_eq!(world.counters().corrupted, 10);
    }
    assert_eq!(seen[0], 0);
    assert!(seen[1..].iter().all(|&count| count > 60), "{seen:?}");
}

#[test]
fn what_is_corrupted_is_never_what_it_was() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &Link::default().corrupt(1.0));
    for _ in 0..500 {
        send(&mut world, a, parcel([7]));
    }
    world.run_until_idle(ms(100)).unwrap();
    let heard = heard(&world, b);
    assert_eq!(heard.len(), 500);
    assert!(heard.iter().all(|(_, datagram)| datagram != &[7]));
}

#[test]
fn damage_hits_one_datagram_of_a_run_and_leaves_the_others_and_the_copies_alone() {
    let mut whole = 0;
    for seed in 0..20 {
        let mut world = World::new(seed);
        let link = Link::default().corrupt(0.2).duplicate(0.5);
        let (a, b) = two(&mut world, &link);
        send(&mut world, a, run(50, 64));
        world.run_until_idle(ms(100)).unwrap();
        let heard = heard(&world, b);
        let damaged = heard.iter().filter(|(_, datagram)| {
            let number = (0..50).min_by_key(|&number| flipped(datagram, &[number; 64]));
            flipped(datagram, &[number.unwrap(); 64]) > 0
        });
        let damaged = damaged.count();
        assert_eq!(damaged as u64, world.counters().corrupted);
        assert_eq!(heard.len() as u64, 50 + world.counters().duplicated);
        whole += heard.len() - damaged;
    }
    assert!((1_050..1_350).contains(&whole), "{whole} of about 1,500");
}

#[test]
fn a_truncated_datagram_is_the_beginning_of_itself() {
    let mut lengths = Vec::new();
    for seed in 0..10 {
        let mut world = World::new(seed);
        let (a, b) = two(&mut world, &Link::default().truncate(1.0));
        let text: Vec<u8> = (0..200).collect();
        for _ in 0..20 {
            send(&mut world, a, parcel(text.clone()));
        }
        send(&mut world, a, parcel(Vec::new()));
        world.run_until_idle(ms(100)).unwrap();
        let heard = heard(&world, b);
        assert_eq!(heard.len(), 21);
        for (_, datagram) in &heard[..20] {
            assert!(datagram.len() < 200 && text.starts_with(datagram));
            lengths.push(datagram.len());
        }
        assert_eq!(
            world.counters().truncated,
            20,
            "nothing is to be cut off nothing"
        );
    }
    lengths.sort_unstable();
    assert!(lengths[20] < 40 && lengths[180] > 160, "{lengths:?}");
}

#[test]
fn the_checksum_of_tcp_finds_damage_and_the_bytes_come_whole() {
    for link in [Link::default().corrupt(0.1), Link::default().truncate(0.1)] {
        let mut world = World::new(1);
        let (client, server) = talker::pair(&mut world, &link, listen(), Script::default());
        let says = Script::say(100_000);
        let text = says.text();
        world.spawn(client, 0, Spawn::Connect(connect(), says));
        world
            .run_until(ms(600_000), |world| {
                let tasks = world.tasks::<talker::Talker>(server);
                let mut ears = tasks.flat_map(|(_, task)| &task.ears);
                ears.any(|ear| ear.heard.len() == 100_000)
            })
            .unwrap();
        assert_eq!(talker::ear(&world, server).heard, text);
        let segments = world.counters().segments;
        assert!(segments.dropped.by(DropCause::Checksum) > 5, "{segments:?}");
        assert_eq!(segments.lost, 0);
    }
}

#[test]
fn packets_of_devices_are_damaged_in_their_headers_too() {
    let (mut damaged, mut refused) = (0, 0);
    for seed in 0..10 {
        let mut world = World::new(seed);
        let a = opened(&mut world, 1, tun("10.0.1.1"));
        let b = opened(&mut world, 2, tun("10.0.2.1"));
        let packet = ipv4("10.0.1.1", "10.0.2.9", 7, b"hello");
        world.one_way(a, b, &Link::default().corrupt(0.5));
        give(&mut world, a, (0..100).map(|_| packet.clone()));
        world.run_until_idle(ms(100)).unwrap();
        for got in world.take_reports() {
            let Report::Got(bytes) = got.report else {
                panic!("{got:?}")
            };
            damaged += u64::from(flipped(&bytes, &packet) > 0);
        }
        let counters = world.counters();
        refused += counters.packets.dropped.by(DropCause::Malformed);
        assert!((35..65).contains(&counters.corrupted));
    }
    assert!(damaged > 300 && refused > 10, "{damaged} {refused}");
}

#[test]
fn packets_that_are_cut_short_are_found_out_by_the_device_behind() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let a = opened(&mut world, 1, tun("10.0.1.1"));
        let b = opened(&mut world, 2, tun("10.0.2.1"));
        world.one_way(a, b, &Link::default().truncate(1.0));
        let packet = ipv4("10.0.1.1", "10.0.2.9", 7, &[1; 100]);
        give(&mut world, a, (0..20).map(|_| packet.clone()));
        let got = wire::reports(&mut world);
        for report in &got {
            let Report::Got(bytes) = report else {
                panic!("{report:?}")
            };
            assert!(bytes.len() < 128 && packet.starts_with(bytes));
        }
        let dropped = world.counters().packets.dropped.total();
        assert_eq!(got.len() as u64 + dropped, 20);
        assert_eq!(world.counters().truncated, 20);
    }
}

#[test]
fn the_trace_says_what_was_damaged_before_it_travels() {
    let mut world = World::new(1);
    let (a, _) = two(&mut world, &Link::default().corrupt(1.0).truncate(1.0));
    world.record_trace();
    send(&mut world, a, parcel([1; 50]));
    world.run_until_idle(ms(100)).unwrap();
    let kinds: Vec<_> = world.take_trace().iter().map(|event| event.kind).collect();
    let at = kinds.iter().position(|&kind| kind == TraceKind::Carried);
    let before = &kinds[at.unwrap() - 2..at.unwrap()];
    assert_eq!(before, [TraceKind::Truncated, TraceKind::Corrupted]);
}

#[test]
fn damage_replays() {
    let link = Link::default().corrupt(0.3).truncate(0.3).duplicate(0.3);
    for seed in 0..5 {
        self_check(seed, |world: &mut World<Post>| {
            let (a, _) = two(world, &link);
            for _ in 0..20 {
                send(world, a, run(10, 50));
                world.run_for(ms(1))?;
            }
            world.run_until_idle(ms(100))
        })
        .unwrap();
    }
}
