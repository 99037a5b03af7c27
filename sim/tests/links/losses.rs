//! What is lost: in bursts, by profile, and while a link is down.

use stillpoint_sim::{DropCause, Link, Loss, World, self_check};

use super::common::ms;
use super::poster::{Post, heard, numbers, run, send, send_each, two};
use super::talker::{self, Script, Spawn, connect, listen};
use super::wire::{self, give, ipv4, opened, tun};

/// Lengths of the gaps in what came of so many numbers.
fn gaps(numbers: &[u32], count: u32) -> Vec<u32> {
    let mut all = vec![0];
    all.extend(numbers.iter().map(|number| number + 1));
    all.push(count + 1);
    let gaps = all.windows(2).map(|pair| pair[1] - pair[0] - 1);
    gaps.filter(|&gap| gap > 0).collect()
}

#[test]
fn losses_come_in_bursts_where_the_link_says_so() {
    let gaps = |loss: Loss| {
        let mut world = World::new(1);
        let (a, b) = two(&mut world, &Link::default().loss_model(loss));
        send_each(&mut world, a, (5_000, 4), ms(1));
        let lost = world.counters().dropped.by(DropCause::Loss);
        assert!((300..700).contains(&lost), "{lost}");
        let gaps = gaps(&numbers(&world, b), 5_000);
        lost as f64 / gaps.len() as f64
    };
    let (alone, bursts) = (gaps(Loss::Bernoulli(0.1)), gaps(Loss::bursts(0.1, 8.0)));
    assert!((1.0..1.3).contains(&alone), "{alone}");
    assert!((6.0..10.5).contains(&bursts), "{bursts}");
}

#[test]
fn a_burst_takes_neighbours_out_of_a_run() {
    let mut gaps_of_several = 0;
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (a, b) = two(
            &mut world,
            &Link::default().loss_model(Loss::bursts(0.2, 5.0)),
        );
        send(&mut world, a, run(100, 8));
        world.run_until_idle(ms(100)).unwrap();
        let came: Vec<u32> = heard(&world, b)
            .iter()
            .map(|(_, datagram)| u32::from(datagram[0]))
            .collect();
        assert!(came.is_sorted());
        let gaps = gaps(&came, 100);
        gaps_of_several += gaps.iter().filter(|&&gap| gap > 1).count();
    }
    assert!(gaps_of_several > 30, "{gaps_of_several}");
}

#[test]
fn streams_and_packets_are_lost_in_bursts_too() {
    let link = Link::default().loss_model(Loss::bursts(0.1, 4.0));
    let mut world = World::new(1);
    let (client, server) = talker::pair(&mut world, &link, listen(), Script::say(200_000));
    world.spawn(client, 0, Spawn::Connect(connect(), Script::say(200_000)));
    world
        .run_until(ms(600_000), |world| {
            [client, server].iter().all(|&node| {
                let tasks = world.tasks::<talker::Talker>(node);
                let mut ears = tasks.flat_map(|(_, task)| &task.ears);
                ears.any(|ear| ear.heard.len() == 200_000)
            })
        })
        .unwrap();
    assert!(world.counters().segments.lost > 10);

    let mut world = World::new(1);
    let a = opened(&mut world, 1, tun("10.0.1.1"));
    let b = opened(&mut world, 2, tun("10.0.2.1"));
    world.one_way(a, b, &link);
    let packets = (0..1_000).map(|port| ipv4("10.0.1.1", "10.0.2.9", port, b"x"));
    give(&mut world, a, packets);
    world.run_until_idle(ms(1_000)).unwrap();
    let ports: Vec<u32> = world
        .take_reports()
        .iter()
        .map(|got| u32::from(wire::port(got)))
        .collect();
    let lost = world.counters().packets.dropped.by(DropCause::Loss);
    assert_eq!(ports.len() as u64, 1_000 - lost);
    let gaps = gaps(&ports, 1_000);
    assert!(lost as f64 / gaps.len() as f64 > 2.5, "{lost} in {gaps:?}");
}

#[test]
fn a_link_that_flaps_loses_what_is_sent_while_it_is_down() {
    let mut outages = Vec::new();
    for seed in 0..10 {
        let mut world = World::new(seed);
        let link = Link::default().flapping(ms(100)..=ms(300), ms(20)..=ms(60));
        let (a, b) = two(&mut world, &link);
        send_each(&mut world, a, (5_000, 4), ms(1));
        let gaps = gaps(&numbers(&world, b), 5_000);
        assert!(gaps.iter().all(|&gap| (19..=61).contains(&gap)), "{gaps:?}");
        assert!((14..=30).contains(&gaps.len()), "{}", gaps.len());
        let down = world.counters().dropped.by(DropCause::LinkDown);
        assert_eq!(down, u64::from(gaps.iter().sum::<u32>()));
        outages.push(gaps);
    }
    outages.dedup();
    assert_eq!(outages.len(), 10, "each seed has its own");
}

#[test]
fn a_link_that_is_set_anew_is_up_first() {
    let link = Link::default().flapping(ms(50)..=ms(50), ms(1_000)..=ms(1_000));
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &link);
    send_each(&mut world, a, (100, 4), ms(1));
    assert_eq!(numbers(&world, b), (0..50).collect::<Vec<_>>());
    world.one_way(a, b, &link);
    send_each(&mut world, a, (100, 4), ms(1));
    assert_eq!(numbers(&world, b).len(), 100);
}

#[test]
fn everybody_gets_through_a_profile_in_its_time() {
    for (name, least, most) in [
        ("loopback", 10, 51),
        ("lan", 100, 350),
        ("data-center", 20, 2_500),
        ("home-wifi", 100, 60_000),
        ("4g", 12_000, 110_000),
        ("satellite", 279_000, 330_000),
    ] {
        let mut world = World::new(1);
        let (a, b) = two(&mut world, &Link::profile(name).unwrap());
        let start = world.now();
        send_each(&mut world, a, (200, 1_000), ms(500));
        let came = heard(&world, b);
        assert!(came.len() >= 190, "{name}: {}", came.len());
        for (at, datagram) in came {
            let number = u32::from_le_bytes(datagram[..4].try_into().unwrap());
            let latency = at.since(start.after(ms(500) * number)).as_micros();
            assert!((least..most).contains(&latency), "{name}: {latency} µs");
        }
    }
    let error = Link::profile("5G").unwrap_err().to_string();
    assert_eq!(
        error,
        "no profile `5G`: there are `loopback`, `lan`, `data-center`, `home-wifi`, `4g`, \
        `satellite`"
    );
}

#[test]
fn bursts_and_flapping_replay() {
    let link = Link::default()
        .loss_model(Loss::bursts(0.2, 3.0))
        .flapping(ms(20)..=ms(50), ms(5)..=ms(10));
    for seed in 0..5 {
        self_check(seed, |world: &mut World<Post>| {
            let (a, _) = two(world, &link);
            send_each(world, a, (200, 4), ms(1));
            Ok(())
        })
        .unwrap();
    }
}

#[test]
#[should_panic(expected = "at least 4.000 for this share")]
fn bursts_too_short_for_their_share_are_refused() {
    let _ = Loss::bursts(0.8, 2.0);
}

#[test]
#[should_panic(expected = "link with a loss in the bad state of 2: give a chance from 0 to 1")]
fn a_chance_beyond_one_in_a_state_is_refused() {
    let loss = Loss::GilbertElliott {
        to_bad: 0.1,
        to_good: 0.1,
        in_good: 0.0,
        in_bad: 2.0,
    };
    World::<Post>::new(1).default_link(&Link::default().loss_model(loss));
}
