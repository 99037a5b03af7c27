//! How long the way takes, and who overtakes whom.

use std::rc::Rc;

use stillpoint::{Choices, Draw, Entropy, Timestamp};
use stillpoint_sim::{Latency, LatencyTrace, Link, Order, World, self_check};

use super::common::ms;
use super::poster::{Post, heard, numbers, run, send, send_each, two};
use super::talker::{self, Script, Spawn, connect, listen};

/// How long each datagram was under way that was sent each `ms(10)`.
fn latencies(latency: Latency, order: Order, count: u32) -> Vec<u128> {
    let mut world = World::new(1);
    let link = Link::default().latency(latency).order(order);
    let (a, b) = two(&mut world, &link);
    let start = world.now();
    send_each(&mut world, a, (count, 4), ms(10));
    let mut all: Vec<_> = heard(&world, b)
        .into_iter()
        .map(|(at, number)| {
            let number = u32::from_le_bytes(number.try_into().unwrap());
            (number, at.since(start.after(ms(10) * number)).as_micros())
        })
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, latency)| latency).collect()
}

#[test]
fn each_distribution_has_the_shape_that_it_is_known_for() {
    let constant = latencies(Latency::constant(ms(7)), Order::Kept, 100);
    assert_eq!(constant, [7_000; 100]);

    let drawn = |latency| {
        let mut all = latencies(latency, Order::Free, 1_000);
        all.sort_unstable();
        all
    };
    let uniform = drawn(Latency::uniform(ms(10)..=ms(50)));
    assert!(uniform[0] >= 10_000 && uniform[999] <= 50_000);
    assert!((28_000..32_000).contains(&uniform[500]), "{}", uniform[500]);
    assert!((18_000..22_000).contains(&uniform[250]), "{}", uniform[250]);

    let normal = drawn(Latency::normal(ms(30), ms(5)));
    assert!((29_500..30_500).contains(&normal[500]), "{}", normal[500]);
    assert!((24_300..25_700).contains(&normal[159]), "{}", normal[159]);
    assert!(normal[0] < 20_000 && normal[999] > 40_000);

    let log_normal = drawn(Latency::log_normal(ms(30), 0.5));
    assert!((28_500..31_500).contains(&log_normal[500]));
    let (below, above) = (30_000 - log_normal[100], log_normal[899] - 30_000);
    assert!(above > below * 3 / 2, "its tail is to the right");

    let pareto = drawn(Latency::pareto(ms(10), 1.5));
    assert!(pareto[0] >= 10_000 && pareto[500] < 17_000 && pareto[999] > 300_000);
}

#[test]
fn a_normal_latency_below_nothing_is_a_nanosecond() {
    let all = latencies(Latency::normal(ms(1), ms(5)), Order::Free, 200);
    let least = all.iter().filter(|&&latency| latency == 0).count();
    assert!((60..110).contains(&least), "{least}");
}

#[test]
fn a_trace_is_played_back_over_time_and_begins_anew() {
    let trace = LatencyTrace::parse("0 10\n1 30\n2 10").unwrap();
    let all = latencies(Latency::replay(trace), Order::Kept, 400);
    // The latency falls slower than time goes by, so nobody overtakes.
    for (at, latency) in [
        (0, 10),
        (50, 20),
        (100, 30),
        (150, 20),
        (250, 20),
        (300, 30),
    ] {
        assert_eq!(all[at], latency * 1_000, "datagram {at}");
    }
}

#[test]
fn samples_out_of_a_file_are_drawn() {
    let path = std::env::temp_dir().join(format!("latencies-{}.txt", std::process::id()));
    std::fs::write(&path, "# ms\n5\n20\n").unwrap();
    let trace = LatencyTrace::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let all = latencies(Latency::replay(trace), Order::Free, 200);
    assert!(all.iter().all(|latency| [5_000, 20_000].contains(latency)));
    let short = all.iter().filter(|&&latency| latency == 5_000).count();
    assert!((70..130).contains(&short), "{short}");
}

#[test]
fn drawn_latencies_let_datagrams_overtake_only_where_order_is_free() {
    for seed in 0..10 {
        for order in [Order::Kept, Order::Free] {
            let mut world = World::new(seed);
            let link = Link::default().latency(Latency::uniform(ms(1)..=ms(50)));
            let (a, b) = two(&mut world, &link.order(order));
            send_each(&mut world, a, (200, 4), ms(1));
            let mut numbers = numbers(&world, b);
            assert_eq!(numbers.is_sorted(), order == Order::Kept);
            numbers.sort_unstable();
            assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_run_has_one_latency_and_each_part_of_one_that_is_split_its_own() {
    let jitter = Link::default()
        .latency(Latency::uniform(ms(1)..=ms(50)))
        .order(Order::Free);
    let arrivals = |link: &Link| {
        let mut world = World::new(3);
        let (a, b) = two(&mut world, link);
        send(&mut world, a, run(40, 8));
        world.run_until_idle(ms(1_000)).unwrap();
        heard(&world, b)
    };
    let together = arrivals(&jitter);
    assert_eq!(together.len(), 40);
    assert!(together.iter().all(|(at, _)| *at == together[0].0));
    let mut apart: Vec<Timestamp> = arrivals(&jitter.split_runs(1.0))
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    apart.dedup();
    assert_eq!(apart.len(), 40, "each of the forty comes by itself");
}

#[test]
fn the_lowest_choices_are_the_shortest_latencies() {
    /// Takes the first of all alternatives.
    struct First;
    impl Choices for First {
        fn choose(&self, _: Draw, _: u64) -> u64 {
            0
        }
    }
    let shortest = |latency: Latency| {
        let mut world = World::with_entropy(Entropy::with_choices(1, Rc::new(First)));
        let (a, b) = two(&mut world, &Link::default().latency(latency));
        let start = world.now();
        send_each(&mut world, a, (1, 4), ms(10));
        heard(&world, b)[0].0.since(start)
    };
    assert_eq!(shortest(Latency::uniform(ms(2)..=ms(9))), ms(2));
    assert_eq!(shortest(Latency::pareto(ms(3), 2.0)), ms(3));
    assert_eq!(shortest(Latency::wander(ms(4)..=ms(9))), ms(4));
    // Eight deviations below the mean, which is before nothing.
    assert_eq!(shortest(Latency::normal(ms(10), ms(2))).as_nanos(), 1);
    let trace = LatencyTrace::parse("8\n4\n6").unwrap();
    assert_eq!(shortest(Latency::replay(trace)), ms(4));
}

#[test]
fn streams_live_with_jitter_that_reorders() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        let link = Link::default()
            .latency(Latency::pareto(ms(5), 1.2))
            .order(Order::Free);
        let (client, server) = talker::pair(&mut world, &link, listen(), Script::default());
        let says = Script::say(100_000);
        let text = says.text();
        world.spawn(client, 0, Spawn::Connect(connect(), says));
        world
            .run_until(ms(600_000), |world| {
                let tasks = world.tasks::<talker::Talker>(server);
                let heard = tasks.flat_map(|(_, task)| &task.ears);
                heard.map(|ear| ear.heard.len()).sum::<usize>() == 100_000
            })
            .unwrap();
        assert_eq!(talker::ear(&world, server).heard, text);
    }
}

#[test]
fn drawn_latencies_replay() {
    for latency in [
        Latency::normal(ms(5), ms(2)),
        Latency::log_normal(ms(5), 1.0),
        Latency::pareto(ms(5), 1.1),
    ] {
        let link = Link::default().latency(latency).order(Order::Free);
        self_check(7, |world: &mut World<Post>| {
            let (a, _) = two(world, &link);
            send_each(world, a, (100, 4), ms(1));
            Ok(())
        })
        .unwrap();
    }
}

#[test]
#[should_panic(expected = "link with a latency of the shape 0: give a number above 0")]
fn a_shape_of_zero_is_refused() {
    let link = Link::default().latency(Latency::pareto(ms(1), 0.0));
    World::<Post>::new(1).default_link(&link);
}
