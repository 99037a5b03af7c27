//! The bus between the workers of a node: what arrives, in which order, and what becomes of the rest.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "common/puppet.rs"]
mod puppet;

use core::time::Duration;
use std::collections::BTreeSet;

use puppet::{Act, Heard, Show, all, heard, heard_at, messages, ms, node, numbers, puppet, us};
use stillpoint::{Destination, NoRoom, RequestError, TaskId};
use stillpoint_sim::{BusLink, NodeId, World, self_check};

/// Three workers with a puppet each.
fn three(world: &mut World<Show>, bus: BusLink) -> (NodeId, [TaskId; 3]) {
    let node = node(world, 3, bus);
    let puppets = [0, 1, 2].map(|worker| puppet(world, node, worker));
    (node, puppets)
}

fn send(to: TaskId, count: u64) -> Act {
    let no_room = NoRoom::Wait;
    Act::Send { to, count, no_room }
}

#[test]
fn what_one_task_sends_to_another_stays_in_order_whatever_it_takes() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (node, [one, two, _]) = three(&mut world, BusLink::new(Duration::ZERO..=ms(5)));
        for _ in 0..20 {
            world.command(node, one, send(two, 10));
            world.run_for(us(300)).unwrap();
        }
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(numbers(&world, node, two), (0..200).collect::<Vec<_>>());
        let bus = world.counters().bus;
        assert_eq!((bus.sent, bus.received, bus.delivered), (200, 200, 200));
        assert_eq!(world.counters().bus_waiting, 0);
    }
}

#[test]
fn an_item_takes_the_time_that_its_bus_says() {
    let mut world = World::new(1);
    let (node, [one, two, _]) = three(&mut world, BusLink::new(ms(2)..=ms(2)));
    let began = world.now();
    world.command(node, one, send(two, 1));
    world.run_until_idle(ms(10)).unwrap();
    world.set_bus(node, BusLink::new(ms(7)..=ms(7)));
    let again = world.now();
    world.command(node, one, send(two, 1));
    world.run_until_idle(ms(10)).unwrap();
    let times: Vec<_> = heard_at(&world, node, two)
        .into_iter()
        .map(|(at, _)| at)
        .collect();
    assert_eq!(times, [began.after(ms(2)), again.after(ms(7))]);
}

/// From whom the third hears, in order, when the other two send at the same time.
fn order(seed: u64) -> (Vec<u16>, stillpoint_sim::TraceHash) {
    let mut world = World::new(seed);
    let (node, [one, two, three]) = three(&mut world, BusLink::default());
    for sender in [one, two] {
        world.command(node, sender, send(three, 20));
    }
    world.run_until_idle(ms(10)).unwrap();
    let from = messages(&world, node, three).into_iter();
    let from = from.map(|(from, _)| from.unwrap().worker());
    (from.collect(), world.trace_hash())
}

#[test]
fn the_seed_chooses_how_several_senders_interleave() {
    let orders: BTreeSet<_> = (0..30).map(|seed| order(seed).0).collect();
    assert!(orders.len() > 25, "{} orders", orders.len());
    assert_eq!(order(7), order(7));
    self_check(7, |world| {
        let (node, [one, two, three]) = three(world, BusLink::default());
        world.command(node, one, send(two, 50));
        world.command(node, three, send(two, 50));
        world.run_until_idle(ms(10))
    })
    .unwrap();
}

#[test]
fn one_more_pair_of_workers_with_messages_changes_nothing_for_another() {
    let times = |busy: bool| {
        let mut world = World::new(3);
        let (node, [one, two, three]) = three(&mut world, BusLink::default());
        if busy {
            world.command(node, three, send(one, 100));
        }
        world.command(node, one, send(two, 100));
        world.run_until_idle(ms(10)).unwrap();
        heard_at(&world, node, two)
    };
    assert_eq!(times(true), times(false));
}

#[test]
fn a_full_queue_gives_back_and_tells_of_room_and_nothing_is_lost_or_overtakes() {
    for queue_max in [1, 2, 3, 16] {
        let mut world = World::new(queue_max as u64);
        let bus = BusLink::default().queue_max(queue_max);
        let (node, [one, two, _]) = three(&mut world, bus);
        world.command(node, one, send(two, 100));
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(numbers(&world, node, two), (0..100).collect::<Vec<_>>());
        let told = heard(&world, node, one);
        assert!(told.contains(&Heard::NoRoom(1)) && told.contains(&Heard::Room(1)));
        let bus = world.counters().bus;
        assert_eq!((bus.sent, bus.received, bus.dropped), (100, 100, 0));
        assert!(bus.refused >= 100 - queue_max as u64);
    }
}

#[test]
fn room_is_told_behind_all_that_came_back() {
    for own in [true, false] {
        let mut world = World::new(1);
        let node = world.node("node", [10, 0, 0, 1]).workers(2);
        let node = node
            .bus(BusLink::default().queue_max(4))
            .limits(|limits| {
                limits.messages_per_task_max = 4;
                // Less than come back at once.
                limits.batch_max = 3;
            })
            .spawner(puppet::spawn);
        let one = puppet(&mut world, node, 0);
        let other = puppet(&mut world, node, u16::from(!own));
        world.command(node, one, send(other, 50));
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(numbers(&world, node, other), (0..50).collect::<Vec<_>>());
    }
}

#[test]
fn without_room_what_need_not_wait_is_dropped_and_counted() {
    let mut world = World::new(1);
    let (node, [one, two, _]) = three(&mut world, BusLink::default().queue_max(10));
    let no_room = NoRoom::Drop;
    let act = Act::Send {
        to: two,
        count: 100,
        no_room,
    };
    world.command(node, one, act);
    world.run_until_idle(ms(10)).unwrap();
    let first = (0..10).map(|number| puppet::HASTY + number);
    assert_eq!(numbers(&world, node, two), first.collect::<Vec<_>>());
    let bus = world.counters().bus;
    assert_eq!((bus.sent, bus.dropped, bus.refused), (10, 90, 0));
}

#[test]
fn more_room_is_told_to_those_who_wait_for_it() {
    let mut world = World::new(1);
    let (node, [one, two, _]) = three(&mut world, BusLink::new(ms(50)..=ms(50)).queue_max(1));
    world.command(node, one, send(two, 10));
    world.run_for(ms(1)).unwrap();
    assert_eq!(world.counters().bus_waiting, 1);
    world.set_bus(node, BusLink::new(ms(1)..=ms(1)).queue_max(100));
    world.run_for(ms(1)).unwrap();
    assert_eq!(world.counters().bus_waiting, 10);
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(numbers(&world, node, two), (0..10).collect::<Vec<_>>());
}

#[test]
fn what_is_published_reaches_each_subscriber_on_all_workers_once() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let (node, [one, two, three]) = three(&mut world, BusLink::default());
        let neighbour = puppet(&mut world, node, 1);
        for subscriber in [one, two, neighbour, three] {
            world.command(node, subscriber, Act::Subscribe(5));
        }
        world.run_until_idle(ms(10)).unwrap();
        for subscriber in [one, two, neighbour, three] {
            assert_eq!(heard(&world, node, subscriber), [Heard::Subscribed(5)]);
        }
        for (sender, number) in [(one, 10), (two, 20)] {
            let no_room = NoRoom::Wait;
            let act = Act::Publish {
                channel: 5,
                number,
                no_room,
            };
            world.command(node, sender, act);
        }
        world.run_until_idle(ms(10)).unwrap();
        for subscriber in [one, two, neighbour, three] {
            let mut numbers = numbers(&world, node, subscriber);
            numbers.sort_unstable();
            assert_eq!(numbers, [10, 20], "seed {seed}");
        }
        let bus = world.counters().bus;
        assert_eq!((bus.sent, bus.received, bus.delivered), (6, 6, 8));
    }
}

#[test]
fn subscribed_is_said_only_when_all_workers_know() {
    let mut world = World::new(1);
    let (node, [one, two, three]) = three(&mut world, BusLink::new(ms(3)..=ms(3)));
    let began = world.now();
    world.command(node, one, Act::Subscribe(1));
    world.run_for(ms(5)).unwrap();
    assert_eq!(
        heard(&world, node, one),
        [],
        "the others have just learned of it"
    );
    world.run_until_idle(ms(10)).unwrap();
    let there_and_back = began.after(ms(6));
    let told = (there_and_back, Heard::Subscribed(1));
    assert_eq!(heard_at(&world, node, one), [told]);
    for sender in [two, three] {
        let no_room = NoRoom::Wait;
        let act = Act::Publish {
            channel: 1,
            number: 1,
            no_room,
        };
        world.command(node, sender, act);
    }
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(numbers(&world, node, one), [1, 1]);
}

#[test]
fn a_broadcast_reaches_the_agents_of_all_workers() {
    let mut world = World::new(1);
    let (node, puppets) = three(&mut world, BusLink::default());
    for agent in puppets {
        world.command(node, agent, Act::BecomeAgent);
    }
    world.command(node, puppets[1], Act::Broadcast(4));
    world.run_until_idle(ms(10)).unwrap();
    for agent in puppets {
        let message = Heard::Message {
            from: Some(puppets[1]),
            to: Destination::Workers,
            number: 4,
        };
        assert_eq!(heard(&world, node, agent), [Heard::Agent(agent), message]);
    }
}

#[test]
fn requests_are_answered_or_time_out_or_fail_with_who_was_asked() {
    let mut world = World::new(1);
    let (node, [one, two, _]) = three(&mut world, BusLink::new(ms(1)..=ms(1)));
    let silent = puppet::Role {
        silent: true,
        ..puppet::Role::default()
    };
    let mute = puppet::puppet_as(&mut world, node, 1, silent);
    let ask = |to, number| Act::Ask {
        to,
        number,
        within: ms(10),
    };
    let began = world.now();
    world.command(node, one, ask(two, 6));
    world.command(node, one, ask(mute, 7));
    world.run_until_idle(ms(20)).unwrap();
    let told = heard_at(&world, node, one);
    let [
        (answered, Heard::Reply(7)),
        (failed, Heard::Failed(RequestError::TimedOut)),
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(*answered, began.after(ms(2)));
    assert_eq!(*failed, began.after(ms(10)));

    world.command(node, one, ask(mute, 8));
    world.run_for(ms(3)).unwrap();
    world.command(node, mute, Act::Finish);
    world.run_until_idle(ms(20)).unwrap();
    world.command(node, one, ask(mute, 9));
    world.run_until_idle(ms(20)).unwrap();
    let failed = Heard::Failed(RequestError::Ended);
    assert_eq!(heard(&world, node, one)[2..], [failed.clone(), failed]);
    assert!(!all(&world, node).contains(&mute));
}

#[test]
fn a_task_that_talks_to_itself_for_ever_starves_nobody() {
    let mut world = World::new(1);
    world.tolerate_task_failures();
    let node = world.node("node", [10, 0, 0, 1]).workers(2);
    let node = node
        .limits(|limits| limits.batch_max = 16)
        .spawner(puppet::spawn);
    let talker = puppet(&mut world, node, 0);
    let neighbour = puppet(&mut world, node, 0);
    let far = puppet(&mut world, node, 1);
    world.command(node, neighbour, Act::Tick(us(100)));
    world.command(node, talker, Act::TalkToItself);
    let began = world.now();
    world.command(node, far, send(neighbour, 10));
    world.command(node, neighbour, send(far, 10));
    world.run_for(ms(5)).unwrap();
    assert_eq!(
        numbers(&world, node, neighbour),
        (0..10).collect::<Vec<_>>()
    );
    assert_eq!(numbers(&world, node, far), (0..10).collect::<Vec<_>>());
    let ticks = heard_at(&world, node, neighbour).into_iter();
    let ticks: Vec<_> = ticks.filter(|(_, heard)| *heard == Heard::Tick).collect();
    assert_eq!(ticks.len(), 50);
    for (number, (at, _)) in (1..).zip(&ticks) {
        assert_eq!(*at, began.after(us(100) * number));
    }
    assert!(world.counters().bus.received > 10_000, "it has talked on");
    world.shutdown(node);
    world.run_for(ms(1)).unwrap();
    assert!(world.is_stopped(node));
}
