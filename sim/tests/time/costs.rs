//! Inputs that take time.

use core::time::Duration;

use super::common::{self, Echo, heard, ms, pair, the_client};
use super::puppet::{self, Act, Heard, Show, puppet};
use super::talker::{self, Script, connect, ear, listen};
use stillpoint::{NoRoom, Timestamp, Token, UdpOpen, WhenWorkerFails};
use stillpoint_sim::{
    BusLink, DropCause, Fault, InputCost, InputKind, Latency, Link, NodeId, Who, World, self_check,
};

fn fixed(cost: Duration) -> InputCost {
    InputCost::new(cost..=cost)
}

/// Answers, since when the requests were sent.
fn answers(world: &World<Echo>, asking: NodeId, sent: Timestamp) -> Vec<Duration> {
    let replies = the_client(world, asking).replies.iter();
    replies.map(|(at, _)| at.since(sent)).collect()
}

#[test]
fn a_busy_server_answers_one_after_the_other_and_each_when_it_is_done() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.set_input_cost(answering, fixed(ms(10)));
    world.spawn(asking, 0, common::client("10.0.0.2:7", 0, ms(1)));
    world.run_for(ms(5)).unwrap();
    let (task, _) = world.tasks::<common::Client>(asking).next().unwrap();
    let sent = world.now();
    world.command(asking, task, common::Command::Send(4));
    world.run_until_idle(ms(1_000)).unwrap();
    let late = [12, 22, 32, 42].map(ms);
    assert_eq!(answers(&world, asking, sent), late);
    // It was told the time at which it took each, not that at which it was done.
    let (_, server) = world.tasks::<common::Server>(answering).next().unwrap();
    let taken = server.heard.iter().map(|(at, _)| at.since(sent));
    assert_eq!(taken.collect::<Vec<_>>(), [1, 11, 21, 31].map(ms));
}

#[test]
fn each_datagram_of_a_run_costs() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    let cost = fixed(ms(50)).of(InputKind::Datagrams, ms(2)..=ms(2));
    world.set_input_cost(answering, cost.times(2));
    world.spawn(asking, 0, common::client("10.0.0.2:7", 0, ms(1)));
    world.run_for(ms(5)).unwrap();
    let (task, _) = world.tasks::<common::Client>(asking).next().unwrap();
    let sent = world.now();
    world.command(asking, task, common::Command::SendRun(5));
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(answers(&world, asking, sent), [ms(22); 5]);
}

#[test]
fn the_receive_buffer_of_a_busy_worker_fills_and_empties() {
    let mut world = World::new(1);
    let asking = world.node("asking", [10, 0, 0, 1]).spawner(common::spawn);
    let answering = world.node("busy", [10, 0, 0, 2]).spawner(common::spawn);
    let open = UdpOpen::new(Token(0), common::address("10.0.0.2:7")).with_buffers(4_000, 4_000);
    world.spawn(answering, 0, common::Spawn::Server(open));
    world.run_for(ms(1)).unwrap();
    world.set_input_cost(answering, fixed(ms(5)));
    // Twice as many as it gets done, for half a second.
    world.spawn(
        asking,
        0,
        common::client("10.0.0.2:7", 200, Duration::from_micros(2_500)),
    );
    world.run_for(ms(500)).unwrap();
    let full = world.counters().dropped.by(DropCause::ReceiveBufferFull);
    let heard_until_now = heard(&world, answering).len();
    assert!((80..=100).contains(&heard_until_now), "{heard_until_now}");
    assert!((70..=110).contains(&full), "{full}");
    // Once it has caught up there is room again.
    world.run_for(ms(500)).unwrap();
    world.spawn(asking, 0, common::client("10.0.0.2:7", 20, ms(6)));
    world.run_for(ms(500)).unwrap();
    assert_eq!(
        world.counters().dropped.by(DropCause::ReceiveBufferFull),
        full
    );
}

#[test]
fn the_status_says_how_busy_a_worker_is() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.set_input_cost(Who::Worker(answering, 0), fixed(ms(4)));
    world.spawn(asking, 0, common::client("10.0.0.2:7", 1_000, ms(10)));
    world.run_for(ms(5_000)).unwrap();
    let runner = world.controller(answering).status()[0].runner.clone();
    assert!((0.35..=0.45).contains(&runner.utilization), "{runner:?}");
    assert!((ms(1_950)..=ms(2_000)).contains(&runner.busy), "{runner:?}");
    let runner = world.controller(asking).status()[0].runner.clone();
    assert!(runner.utilization < 0.01 && runner.busy.is_zero());
}

#[test]
fn a_worker_that_is_slow_now_and_then_is_seldom_slow() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    let us = Duration::from_micros;
    let cost = InputCost::new(us(10)..=us(20)).now_and_then(0.1, ms(3)..=ms(4));
    world.set_input_cost(answering, cost);
    world.spawn(asking, 0, common::client("10.0.0.2:7", 1_000, ms(10)));
    world.run_until_idle(ms(20_000)).unwrap();
    let (_, server) = world.tasks::<common::Server>(answering).next().unwrap();
    let replies = &the_client(&world, asking).replies;
    let took = replies.iter().zip(&server.heard);
    let took: Vec<_> = took
        .map(|((back, _), (taken, _))| back.since(*taken))
        .collect();
    let (slow, quick): (Vec<_>, Vec<_>) = took.into_iter().partition(|took| *took > ms(2));
    assert!((70..=130).contains(&slow.len()), "{}", slow.len());
    assert!(
        quick
            .iter()
            .all(|took| (us(1_010)..=us(1_020)).contains(took))
    );
    assert!(
        slow.iter()
            .all(|took| (us(4_010)..=us(5_020)).contains(took))
    );
}

#[test]
fn inputs_cost_what_a_distribution_says() {
    let mut all = Vec::new();
    for seed in 0..4 {
        let mut world = World::new(seed);
        let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
        let us = Duration::from_micros;
        let cost = InputCost::new(ms(0)..=ms(0));
        let drawn = Latency::log_normal(us(500), 0.5);
        world.set_input_cost(answering, cost.of_distribution(InputKind::Datagrams, drawn));
        world.spawn(asking, 0, common::client("10.0.0.2:7", 500, ms(20)));
        world.run_until_idle(ms(20_000)).unwrap();
        let (_, server) = world.tasks::<common::Server>(answering).next().unwrap();
        let replies = the_client(&world, asking).replies.iter();
        let took = replies.zip(&server.heard);
        all.extend(took.map(|((back, _), (taken, _))| back.since(*taken) - ms(1)));
    }
    all.sort();
    let at = |share: usize| all[all.len() * share / 100].as_micros();
    // Its quartiles are 0.5 ms times e to the power of 0.5 times -0.674, 0 and 0.674.
    assert!((340..=375).contains(&at(25)), "{}", at(25));
    assert!((475..=525).contains(&at(50)), "{}", at(50));
    assert!((670..=735).contains(&at(75)), "{}", at(75));
}

#[test]
fn the_queues_of_the_bus_to_a_busy_worker_fill_up() {
    for seed in 0..10 {
        let mut world = World::<Show>::new(seed);
        let node = puppet::node(&mut world, 2, BusLink::default().queue_max(4));
        let (one, two) = (puppet(&mut world, node, 0), puppet(&mut world, node, 1));
        world.set_input_cost(
            (node, 1),
            fixed(ms(1)).of(InputKind::Timeout, ms(0)..=ms(0)),
        );
        let no_room = NoRoom::Wait;
        let (to, count) = (two, 20);
        world.command(node, one, Act::Send { to, count, no_room });
        world.run_for(ms(5)).unwrap();
        assert!(puppet::heard(&world, node, one).contains(&Heard::NoRoom(1)));
        assert!(puppet::numbers(&world, node, two).len() < 20);
        world.run_until_idle(ms(1_000)).unwrap();
        let all: Vec<u64> = (0..20).collect();
        assert_eq!(puppet::numbers(&world, node, two), all);
    }
}

#[test]
fn a_message_that_a_worker_was_busy_with_when_it_failed_is_lost_and_counted() {
    let mut world = World::<Show>::new(1);
    let node = puppet::node(&mut world, 2, BusLink::default());
    let (one, two) = (puppet(&mut world, node, 0), puppet(&mut world, node, 1));
    world.set_input_cost((node, 1), fixed(ms(10)));
    let (to, count, no_room) = (two, 3, NoRoom::Wait);
    world.command(node, one, Act::Send { to, count, no_room });
    world.run_for(ms(5)).unwrap();
    world.kill_worker(node, 1);
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(world.counters().bus.lost, 3);
}

#[test]
fn a_stream_to_a_slow_worker_is_slow_and_whole() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let text = Script::say(1_000_000);
        let (client, server) =
            talker::pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
        world.set_input_cost(server, fixed(ms(50)));
        world.spawn(client, 0, talker::Spawn::Connect(connect(), text.clone()));
        world.run_for(ms(200)).unwrap();
        let halfway = ear(&world, server).heard.len();
        assert!((1..1_000_000).contains(&halfway), "{halfway}");
        let sent = world.counters().streams.bytes_out;
        assert!(sent < 500_000, "its window is full: {sent}");
        world.run_for(ms(60_000)).unwrap();
        assert_eq!(ear(&world, server).heard, text.text());
        assert!(ear(&world, server).read_ended.is_some());
    }
}

#[test]
fn many_connections_to_a_slow_listener_are_all_taken_in() {
    let mut world = World::new(1);
    let (client, server) =
        talker::pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
    world.set_input_cost(server, fixed(ms(3)));
    for _ in 0..20 {
        world.spawn(
            client,
            0,
            talker::Spawn::Connect(connect(), Script::say(100)),
        );
    }
    world.run_for(ms(10_000)).unwrap();
    let ears = &talker::only(&world, server).ears;
    assert_eq!(ears.len(), 20);
    assert!(ears.iter().all(|ear| ear.heard.len() == 100));
    assert_eq!(world.counters().streams.refused, 0);
    // One every 3 ms, and no faster.
    let first = ears.iter().map(|ear| ear.since).min().unwrap();
    let last = ears.iter().map(|ear| ear.since).max().unwrap();
    assert!(last.since(first) >= ms(3 * 19));
}

#[test]
fn a_fault_slows_inputs_down_for_a_while_and_the_end_is_what_the_scenario_has_set() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.set_input_cost(answering, fixed(ms(1)));
    world.spawn(asking, 0, common::client("10.0.0.2:7", 90, ms(10)));
    world.run_for(ms(300)).unwrap();
    let slow = |cost| Fault::SlowInputs {
        who: Who::from(answering),
        cost,
    };
    world.inject(slow(Some(fixed(ms(7)))));
    world.run_for(ms(300)).unwrap();
    world.heal();
    world.run_until_idle(ms(1_000)).unwrap();
    let (_, server) = world.tasks::<common::Server>(answering).next().unwrap();
    let replies = &the_client(&world, asking).replies;
    let took = replies.iter().zip(&server.heard);
    let took: Vec<_> = took
        .map(|((back, _), (taken, _))| back.since(*taken))
        .collect();
    assert_eq!(took.len(), 90);
    assert!(took[..29].iter().all(|took| *took == ms(2)));
    assert!(took[31..59].iter().all(|took| *took == ms(8)));
    assert!(took[61..].iter().all(|took| *took == ms(2)));
}

#[test]
fn busy_workers_repeat_and_lose_nothing() {
    for seed in 0..5 {
        self_check(seed, |world: &mut World<Show>| {
            let policy = WhenWorkerFails::GoOn;
            let node = world.node("node", [10, 0, 0, 1]).workers(3);
            let node = node.when_worker_fails(policy).spawner(puppet::spawn);
            let puppets = [0, 1, 2].map(|worker| puppet(world, node, worker));
            let us = Duration::from_micros;
            world.set_input_cost(Who::All, InputCost::new(us(0)..=us(500)));
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 0)] {
                let (to, count, no_room) = (puppets[to], 50, NoRoom::Wait);
                world.command(node, puppets[from], Act::Send { to, count, no_room });
            }
            world.stall_worker(node, 1, ms(3));
            world.run_until_idle(ms(1_000))?;
            for task in puppets {
                assert!(puppet::numbers(world, node, task).len() >= 50);
            }
            Ok(())
        })
        .unwrap();
    }
}
