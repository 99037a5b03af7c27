//! What waits for bandwidth, for how long, and what is dropped or marked meanwhile.

use core::time::Duration;

use stillpoint::{Ecn, Timestamp};
use stillpoint_sim::{DropCause, Link, NodeId, Queue, World, self_check};

use super::common::ms;
use super::poster::{Parcel, Post, heard, numbers, parcel, poster, run, send, send_each, two};
use super::talker::{self, Script, Spawn, connect, listen};
use super::wire::{self, Report, give, ipv4, opened, tun};

/// 1,250 bytes with the headers of IPv4 and UDP: a millisecond at 10 Mbit/s.
const PAYLOAD: usize = 1_222;
const BANDWIDTH: u64 = 10_000_000;

fn slow() -> Link {
    Link::fixed(ms(5)).bandwidth(BANDWIDTH)
}

/// When things came, in microseconds since `start`.
fn arrivals(world: &World<Post>, node: NodeId, start: Timestamp) -> Vec<u128> {
    let heard = heard(world, node).into_iter();
    heard.map(|(at, _)| at.since(start).as_micros()).collect()
}

#[test]
fn datagrams_leave_one_after_the_other_and_headers_take_their_time() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &slow());
    let start = world.now();
    for _ in 0..3 {
        send(&mut world, a, parcel([0; PAYLOAD]));
    }
    let to = "[fd00::2]:7".parse().unwrap();
    let over_ipv6 = Parcel {
        to,
        ..parcel([0; PAYLOAD])
    };
    send(&mut world, a, over_ipv6);
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(arrivals(&world, b, start), [6_000, 7_000, 8_000, 9_016]);

    // An idle link takes the next at once.
    let start = world.now();
    send(&mut world, a, parcel([0; PAYLOAD]));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(arrivals(&world, b, start)[4], 6_000);
}

#[test]
fn a_run_is_torn_by_a_slow_link_and_joined_behind_a_fast_one() {
    let inputs = |bandwidth| {
        let mut world = World::new(1);
        let (a, b) = two(&mut world, &Link::default().bandwidth(bandwidth));
        send(&mut world, a, run(40, PAYLOAD));
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(heard(&world, b).len(), 40);
        poster(&world, b).heard.len()
    };
    assert_eq!(inputs(BANDWIDTH), 40);
    assert_eq!(inputs(1_000_000_000), 7, "six at a time, 10 µs each");
    assert_eq!(inputs(100_000_000_000), 1);
}

#[test]
fn a_full_queue_drops_what_comes_and_keeps_what_waits() {
    for queue in [
        Queue::tail_drop(10 * 1_250),
        Queue::codel(ms(50), ms(100)).bytes_max(10 * 1_250),
    ] {
        fill(queue);
    }
}

fn fill(queue: Queue) {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &slow().queue(queue));
    for number in 0..30_u32 {
        let mut payload = vec![0; PAYLOAD];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        send(&mut world, a, parcel(payload));
    }
    world.run_until_idle(ms(100)).unwrap();
    // One is being sent, and ten wait.
    assert_eq!(numbers(&world, b), (0..11).collect::<Vec<_>>());
    assert_eq!(world.counters().dropped.by(DropCause::LinkQueueFull), 19);
}

#[test]
fn a_link_that_gets_faster_or_slower_keeps_its_order() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &slow());
    let start = world.now();
    for bandwidth in [BANDWIDTH, 10 * BANDWIDTH, BANDWIDTH / 10] {
        world.one_way(a, b, &slow().bandwidth(bandwidth));
        for _ in 0..2 {
            send(&mut world, a, parcel([0; PAYLOAD]));
        }
        world.run_for(Duration::from_nanos(1)).unwrap();
    }
    world.run_until_idle(ms(100)).unwrap();
    let expected = [6_000, 7_000, 7_100, 7_200, 17_200, 27_200];
    assert_eq!(arrivals(&world, b, start), expected);
}

/// Overloads a link for six seconds by a twentieth. Gives the mean latency over the last of them, in
/// milliseconds.
fn overloaded(queue: Queue, ecn: Ecn) -> (World<Post>, f64) {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &slow().queue(queue));
    let every = Duration::from_micros(952);
    let start = world.now();
    for number in 0..6_000_u32 {
        let mut payload = vec![0; PAYLOAD];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        let parcel = Parcel {
            ecn,
            ..parcel(payload)
        };
        send(&mut world, a, parcel);
        world.run_for(every).unwrap();
    }
    world.run_until_idle(ms(10_000)).unwrap();
    let waits: Vec<f64> = heard(&world, b)
        .into_iter()
        .filter_map(|(at, datagram)| {
            let number = u32::from_le_bytes(datagram[..4].try_into().unwrap());
            let sent = start.after(every * number);
            (number > 5_000).then(|| at.since(sent).as_secs_f64() * 1e3 - 6.0)
        })
        .collect();
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    (world, mean)
}

#[test]
fn codel_keeps_waits_short_where_tail_drop_lets_them_grow() {
    let (tail_drop, long) = overloaded(Queue::tail_drop(200_000), Ecn::NotCapable);
    let (codel, short) = overloaded(Queue::codel(ms(5), ms(100)), Ecn::NotCapable);
    assert!((150.0..165.0).contains(&long), "a full queue: {long} ms");
    assert!(short < 60.0, "{short} ms");
    let dropped = |world: &World<Post>, cause| world.counters().dropped.by(cause);
    assert!(dropped(&tail_drop, DropCause::LinkQueueFull) > 100);
    assert_eq!(dropped(&tail_drop, DropCause::QueueDelay), 0);
    assert!(dropped(&codel, DropCause::QueueDelay) > 100);
    assert_eq!(dropped(&codel, DropCause::LinkQueueFull), 0);
}

#[test]
fn codel_marks_those_who_take_part_and_drops_none_of_them() {
    let queue = Queue::codel(ms(5), ms(100));
    for (ecn, takes_part) in [
        (Ecn::NotCapable, false),
        (Ecn::Capable0, true),
        (Ecn::Capable1, true),
    ] {
        let (world, _) = overloaded(queue, ecn);
        let dropped = world.counters().dropped.by(DropCause::QueueDelay);
        let nodes = ["node 1", "node 2"].map(|name| world.find(name).unwrap());
        let heard = &poster(&world, nodes[1]).heard;
        let marks = heard
            .iter()
            .filter(|heard| heard.ecn == Ecn::CongestionExperienced)
            .count();
        assert_eq!(marks as u64, world.counters().marked);
        assert_eq!((dropped == 0, marks > 100), (takes_part, takes_part));
        let unmarked = heard.iter().filter(|heard| heard.ecn == ecn).count();
        assert_eq!(marks + unmarked, heard.len());
    }
}

#[test]
fn what_waits_with_codel_goes_first_when_the_link_is_set_anew() {
    for link in [
        slow(),
        Link::fixed(ms(5)),
        slow().queue(Queue::codel(ms(90), ms(100))),
    ] {
        let mut world = World::new(1);
        let (a, b) = two(&mut world, &slow().queue(Queue::codel(ms(5), ms(100))));
        for number in 0..20_u32 {
            let mut payload = vec![0; PAYLOAD];
            payload[..4].copy_from_slice(&number.to_le_bytes());
            send(&mut world, a, parcel(payload));
            if number == 9 {
                world.run_for(ms(2)).unwrap();
                world.one_way(a, b, &link);
            }
        }
        world.run_until_idle(ms(1_000)).unwrap();
        assert_eq!(numbers(&world, b), (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn segments_wait_for_bandwidth_too() {
    for queue in [Queue::tail_drop(20_000), Queue::codel(ms(5), ms(100))] {
        let mut world = World::new(1);
        let link = Link::fixed(ms(5)).bandwidth(1_000_000).queue(queue);
        let (client, server) = talker::pair(&mut world, &link, listen(), Script::default());
        let says = Script::say(250_000);
        let text = says.text();
        world.spawn(client, 0, Spawn::Connect(connect(), says));
        let start = world.now();
        world
            .run_until(ms(600_000), |world| {
                let tasks = world.tasks::<talker::Talker>(server);
                let mut ears = tasks.flat_map(|(_, task)| &task.ears);
                ears.any(|ear| ear.heard.len() == 250_000)
            })
            .unwrap();
        assert_eq!(talker::ear(&world, server).heard, text);
        let took = world.now().since(start);
        assert!(took > ms(2_050), "2 Mbit and headers: {took:?}");
        let dropped = world.counters().segments.dropped;
        assert!(dropped.total() > 0, "the window is larger than the queue");
    }
}

#[test]
fn packets_of_devices_wait_and_are_marked_in_their_headers() {
    let mut world = World::new(1);
    let a = opened(&mut world, 1, tun("10.0.1.1"));
    let b = opened(&mut world, 2, tun("10.0.2.1"));
    world.one_way(a, b, &slow().queue(Queue::codel(ms(5), ms(100))));
    let mut packet = ipv4("10.0.1.1", "10.0.2.9", 7, &[1; PAYLOAD]);
    packet.make_mut()[1] = 0b10;
    let sum = checksum(&packet[..20]);
    packet.make_mut()[10..12].copy_from_slice(&sum.to_be_bytes());
    let start = world.now();
    give(&mut world, a, (0..300).map(|_| packet.clone()));
    let got = wire::reports(&mut world);
    assert_eq!(got.len(), 300);
    assert!(world.now().since(start) >= ms(305), "a millisecond each");
    let mut marks = 0;
    for report in got {
        let Report::Got(bytes) = report else {
            panic!("{report:?}")
        };
        assert_eq!(checksum(&bytes[..20]), 0, "of the header");
        marks += u64::from(bytes[1] == 0b11);
        assert_eq!(bytes[20..], packet[20..]);
    }
    assert!(marks > 2, "{marks}");
    assert_eq!(world.counters().marked, marks);
}

/// The Internet checksum over a header; 0 over one that has it.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2);
    let words = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(folded).unwrap()
}

#[test]
fn a_clog_fills_the_queue_behind_it_and_nothing_is_lost_of_what_fits() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &slow().queue(Queue::tail_drop(10 * 1_250)));
    world.clog(a, b, ms(50));
    let start = world.now();
    send_each(&mut world, a, (20, PAYLOAD), ms(2));
    assert_eq!(numbers(&world, b), (0..11).collect::<Vec<_>>());
    assert_eq!(arrivals(&world, b, start)[0], 56_000);
    assert_eq!(world.counters().dropped.by(DropCause::LinkQueueFull), 9);
}

#[test]
fn queues_replay() {
    for queue in [Queue::tail_drop(5_000), Queue::codel(ms(2), ms(10))] {
        let link = Link::new(ms(1)..=ms(5))
            .bandwidth(1_000_000)
            .queue(queue)
            .loss(0.05)
            .duplicate(0.05);
        for seed in 0..3 {
            self_check(seed, |world: &mut World<Post>| {
                let (a, _) = two(world, &link);
                for _ in 0..50 {
                    send(world, a, run(5, 100));
                    world.run_for(ms(3))?;
                }
                world.run_until_idle(ms(10_000))
            })
            .unwrap();
        }
    }
}

#[test]
#[should_panic(expected = "link with CoDel and without a bandwidth: nothing would ever wait")]
fn codel_without_a_bandwidth_is_refused() {
    let link = Link::default().queue(Queue::codel(ms(5), ms(100)));
    World::<Post>::new(1).default_link(&link);
}
