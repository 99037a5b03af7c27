//! What links do to datagrams, and that each of their features matters.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

mod common;
#[path = "links/damage.rs"]
mod damage;
#[path = "links/latencies.rs"]
mod latencies;
#[path = "links/losses.rs"]
mod losses;
#[path = "links/partitions.rs"]
mod partitions;
#[path = "links/poster.rs"]
mod poster;
#[path = "links/property.rs"]
mod property;
#[path = "links/queues.rs"]
mod queues;
#[path = "links/runs.rs"]
mod runs;
#[path = "links/sizes.rs"]
mod sizes;
#[path = "streams/talker.rs"]
mod talker;
#[path = "devices/wire.rs"]
mod wire;

use common::{Client, Command, Echo, Report, client, heard, ms, pair, the_client};
use stillpoint_sim::{DropCause, Failure, Link, World, check};

#[test]
fn an_echo_under_loss_answers_only_what_was_asked() {
    check("echo_under_loss", 0..30, |world: &mut World<Echo>| {
        let faulty = Link::new(ms(1)..=ms(30))
            .loss(0.2)
            .duplicate(0.1)
            .reorder(0.1, ms(50));
        let (asking, _) = pair(world, &faulty);
        world.always("no reply to what was not asked", move |world| {
            world.tasks::<Client>(asking).all(|(_, client)| {
                client
                    .replies
                    .iter()
                    .all(|&(_, number)| number < client.sent)
            })
        });
        world.always("nothing arrives twice unless duplicated", |world| {
            let counters = world.counters();
            counters.delivered <= counters.sent + counters.duplicated
        });
        world.spawn(asking, 0, client("10.0.0.2:7", 100, ms(5)));
        world.run_until_idle(ms(2_000))?;

        let counters = world.counters();
        assert_eq!(counters.in_flight, 0);
        assert_eq!(
            counters.dropped.total(),
            counters.dropped.by(DropCause::Loss)
        );
        assert_eq!(the_client(world, asking).sent, 100);
        Ok(())
    });
}

#[test]
fn a_link_without_faults_delivers_all_in_order_and_once() {
    check("no_faults", 0..20, |world: &mut World<Echo>| {
        let (asking, server) = pair(world, &Link::new(ms(1)..=ms(100)));
        world.spawn(asking, 0, client("10.0.0.2:7", 200, ms(1)));
        world.run_until_idle(ms(1_000))?;
        assert_eq!(heard(world, server), (0..200).collect::<Vec<_>>());
        assert_eq!(the_client(world, asking).replies.len(), 200);
        Ok(())
    });
}

#[test]
fn loss_takes_about_the_share_it_was_given() {
    let mut world = World::new(1);
    let (asking, server) = pair(&mut world, &Link::default());
    world.one_way(asking, server, &Link::default().loss(0.3));
    world.spawn(asking, 0, client("10.0.0.2:7", 10_000, ms(1)));
    world.run_until_idle(ms(11_000)).unwrap();
    let lost = world.counters().dropped.by(DropCause::Loss);
    assert!((2_800..3_200).contains(&lost), "{lost}");
    assert_eq!(heard(&world, server).len() as u64, 10_000 - lost);
}

#[test]
fn duplicates_come_right_behind_the_original_unless_reordered() {
    let mut world = World::new(1);
    let (asking, server) = pair(&mut world, &Link::default());
    world.one_way(asking, server, &Link::default().duplicate(0.5));
    world.spawn(asking, 0, client("10.0.0.2:7", 1_000, ms(1)));
    world.run_until_idle(ms(2_000)).unwrap();
    let copies = world.counters().duplicated;
    assert!((440..560).contains(&copies), "{copies}");
    let heard = heard(&world, server);
    assert_eq!(heard.len() as u64, 1_000 + copies);
    assert!(heard.is_sorted());
}

#[test]
fn reordering_lets_some_overtake_and_loses_none() {
    let mut world = World::new(1);
    let (asking, server) = pair(&mut world, &Link::default().reorder(0.1, ms(20)));
    world.spawn(asking, 0, client("10.0.0.2:7", 1_000, ms(1)));
    world.run_until_idle(ms(2_000)).unwrap();
    let mut heard = heard(&world, server);
    let overtaken = heard.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((50..150).contains(&overtaken), "{overtaken}");
    heard.sort_unstable();
    assert_eq!(heard, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn the_latency_stays_in_its_range_and_uses_it() {
    let mut world = World::new(1);
    let (asking, server) = pair(&mut world, &Link::new(ms(10)..=ms(50)));
    world.one_way(server, asking, &Link::fixed(ms(5)));
    world.spawn(asking, 0, client("10.0.0.2:7", 1_000, ms(10)));
    let started = world.now();
    world.run_until_idle(ms(20_000)).unwrap();
    let there_and_back = the_client(&world, asking)
        .replies
        .iter()
        .map(|&(at, number)| {
            let sent = started.after(ms(10) * u32::try_from(number).unwrap());
            at.since(sent)
        });
    let (min, max) = (
        there_and_back.clone().min().unwrap(),
        there_and_back.max().unwrap(),
    );
    assert!(min >= ms(15) && min < ms(18), "{min:?}");
    assert!(max <= ms(55) && max > ms(52), "{max:?}");
}

#[test]
fn a_link_can_be_cut_and_mended_during_the_run() {
    let mut world = World::new(1);
    let (asking, server) = pair(&mut world, &Link::default());
    world.spawn(asking, 0, client("10.0.0.2:7", 30, ms(10)));
    world.run_for(ms(95)).unwrap();
    world.one_way(asking, server, &Link::default().loss(1.0));
    world.run_for(ms(100)).unwrap();
    world.one_way(asking, server, &Link::default());
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(
        heard(&world, server),
        (0..10).chain(20..30).collect::<Vec<_>>()
    );
}

#[test]
fn a_run_travels_whole_when_nothing_hits_it() {
    let mut world = World::new(1);
    let (asking, _) = pair(&mut world, &Link::default());
    send_run(&mut world, asking, 40);
    assert_eq!(runs(&mut world), [(0..40).collect::<Vec<_>>()]);
    assert_eq!(the_client(&world, asking).replies.len(), 40);
}

#[test]
fn a_run_loses_some_and_the_rest_goes_on_in_order() {
    let mut stretches = 0;
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (asking, server) = pair(&mut world, &Link::default());
        world.one_way(asking, server, &Link::default().loss(0.1));
        send_run(&mut world, asking, 40);
        let lost = world.counters().dropped.by(DropCause::Loss);
        let heard = heard(&world, server);
        assert_eq!(heard.len() as u64, 40 - lost);
        assert!(heard.windows(2).all(|pair| pair[0] < pair[1]));
        stretches += runs(&mut world).len();
    }
    assert!(
        stretches > 40,
        "runs of several survivors stay runs: {stretches}"
    );
}

#[test]
fn a_run_may_have_copies_and_stragglers() {
    check("run_copies", 0..20, |world: &mut World<Echo>| {
        let (asking, server) = pair(world, &Link::default());
        let faulty = Link::default().duplicate(0.2).reorder(0.2, ms(5));
        world.one_way(asking, server, &faulty);
        send_run(world, asking, 40);
        let mut heard = heard(world, server);
        assert_eq!(heard.len() as u64, 40 + world.counters().duplicated);
        heard.sort_unstable();
        heard.dedup();
        assert_eq!(heard, (0..40).collect::<Vec<_>>());
        Ok::<(), Failure>(())
    });
}

#[test]
#[should_panic(expected = "loss of 1.5: give a chance from 0 to 1")]
fn a_chance_beyond_one_is_refused() {
    World::<Echo>::new(1).default_link(&Link::default().loss(1.5));
}

fn send_run(world: &mut World<Echo>, asking: stillpoint_sim::NodeId, count: u64) {
    world.spawn(asking, 0, client("10.0.0.2:7", 0, ms(1)));
    world.run_for(ms(1)).unwrap();
    let (task, _) = world.tasks::<Client>(asking).next().unwrap();
    world.command(asking, task, Command::SendRun(count));
    world.run_until_idle(ms(1_000)).unwrap();
}

/// The runs of more than one datagram that the server got.
fn runs(world: &mut World<Echo>) -> Vec<Vec<u64>> {
    let reports = common::reported(world).into_iter();
    reports
        .filter_map(|report| match report {
            Report::Heard(numbers) => Some(numbers),
            _ => None,
        })
        .collect()
}
