//! Nodes that crash, start again, stand still; and what outlives them.

use core::time::Duration;
use std::collections::BTreeSet;

use super::common::{self, Client, Echo, Server, heard, ms, pair, reported, server, the_client};
use super::puppet::{self, Act, Heard, Show, puppet};
use super::shop::{self, Clerk, Report, Shop};
use super::talker::{self, Script, act, connect, ear, listen, only};
use stillpoint::{
    ControllerEvent, Keepalive, NetworkError, NoRoom, SpawnError, TcpOptions, Timestamp,
    WhenWorkerFails,
};
use stillpoint_sim::{BusLink, DropCause, Fault, Link, NodeId, TraceKind, World, self_check};

#[test]
fn a_crashed_node_is_silent_and_what_comes_to_it_is_lost() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.spawn(asking, 0, common::client("10.0.0.2:7", 20, ms(10)));
    world.run_for(ms(55)).unwrap();
    world.crash(answering);
    assert!(world.is_down(answering));
    assert_eq!(
        (world.workers(answering), world.task_count(answering)),
        (0, 0)
    );
    world.run_until_idle(ms(1_000)).unwrap();
    // It does not even say that nobody listens.
    assert_eq!(reported(&mut world), []);
    assert_eq!(the_client(&world, asking).replies.len(), 6);
    assert_eq!(world.counters().dropped.by(DropCause::NodeDown), 14);
    assert!(
        world.ended().is_empty(),
        "nobody was there to say that it ends"
    );

    // Once it is up again it says that nobody listens: there is no server any more.
    world.restart(answering);
    world.spawn(asking, 0, common::client("10.0.0.2:7", 1, ms(1)));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(
        reported(&mut world),
        [common::Report::Refused(common::address("10.0.0.2:7"))]
    );
}

#[test]
fn what_a_node_had_sent_before_it_crashed_arrives() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(50)));
    world.spawn(asking, 0, common::client("10.0.0.2:7", 3, ms(1)));
    world.run_for(ms(20)).unwrap();
    world.crash(asking);
    world.run_until_idle(ms(200)).unwrap();
    assert_eq!(heard(&world, answering), [0, 1, 2]);
    assert_eq!(
        world.counters().dropped.by(DropCause::NodeDown),
        3,
        "the answers"
    );
}

#[test]
fn the_ids_of_an_earlier_life_name_nothing() {
    let mut world = World::new(1);
    let node = world
        .node("node", [10, 0, 0, 1])
        .workers(2)
        .spawner(puppet::spawn);
    let before = puppet(&mut world, node, 1);
    world.restart(node);
    assert_eq!(world.worker_indexes(node), [2, 3]);
    assert_eq!(world.life(node), 1);
    let after = puppet(&mut world, node, 3);
    assert_ne!(before, after);
    world.command(node, before, Act::Note(1));
    world.command(node, after, Act::Note(2));
    world.run_for(ms(1)).unwrap();
    assert_eq!(puppet::heard(&world, node, after), [Heard::Noted(2)]);
    let stale = world
        .last_events()
        .filter(|event| event.kind == TraceKind::Stale);
    assert_eq!(stale.count(), 1);

    // A spawn for a worker of an earlier life fails, and says so.
    world.tolerate_task_failures();
    world.spawn(node, 0, puppet::Role::default());
    world.run_for(ms(1)).unwrap();
    let gone = SpawnError::WorkerGone { worker: 0 };
    assert_eq!(world.spawn_failures()[0].error, gone);
}

#[test]
fn workers_of_a_new_life_talk_to_each_other_and_to_nobody_before() {
    let mut world = World::new(1);
    let bus = BusLink::new(ms(5)..=ms(5));
    let node = puppet::node(&mut world, 2, bus);
    let [one, two] = [0, 1].map(|worker| puppet(&mut world, node, worker));
    let (to, count, no_room) = (two, 3, NoRoom::Wait);
    world.command(node, one, Act::Send { to, count, no_room });
    world.run_for(ms(1)).unwrap();
    world.restart(node);
    let [one, two] = [2, 3].map(|worker| puppet(&mut world, node, worker));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(puppet::heard(&world, node, two), []);
    assert_eq!(world.counters().bus.lost, 3);
    let (to, count, no_room) = (two, 2, NoRoom::Wait);
    world.command(node, one, Act::Send { to, count, no_room });
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(puppet::numbers(&world, node, two), [0, 1]);
}

#[test]
fn a_peer_learns_of_a_crash_by_keepalive_or_by_a_reset_after_the_restart() {
    for restarted in [false, true] {
        let mut world = World::new(1);
        let secs = Duration::from_secs;
        let (client, server) =
            talker::pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
        let mut options = TcpOptions::default();
        options.keepalive = Some(Keepalive::new(secs(10), secs(1), 3));
        let connect = connect().with_options(options);
        world.spawn(
            client,
            0,
            talker::Spawn::Connect(connect, Script::default()),
        );
        world.run_for(ms(100)).unwrap();
        world.crash(server);
        world.run_for(secs(9)).unwrap();
        assert_eq!(ear(&world, client).closed, None, "nobody says a word");
        if restarted {
            world.restart(server);
        }
        world.run_for(secs(20)).unwrap();
        let (at, error) = ear(&world, client).closed.unwrap();
        let wanted = if restarted {
            NetworkError::ConnectionReset
        } else {
            NetworkError::TimedOut
        };
        assert_eq!(error, Some(wanted));
        assert!(at >= Timestamp::EPOCH.after(secs(10)));
    }
}

#[test]
fn a_connection_of_a_crashed_node_is_forgotten_by_it_and_every_byte_is_accounted_for() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (client, server) = talker::pair(
            &mut world,
            &Link::new(ms(1)..=ms(9)).loss(0.1),
            listen(),
            Script::say(50_000),
        );
        for _ in 0..5 {
            let said = talker::Spawn::Connect(connect(), Script::say(80_000));
            world.spawn(client, 0, said);
        }
        let until = world.draw("until", 1..=60);
        world.run_for(ms(until)).unwrap();
        let crashing = [client, server][usize::try_from(seed % 2).unwrap()];
        world.crash(crashing);
        world.run_for(ms(50)).unwrap();
        world.restart(crashing);
        world.abort(client);
        world.abort(server);
        world.run_until_idle(Duration::from_secs(2_000)).unwrap();
        let bytes = world.counters().stream_bytes;
        assert_eq!((bytes.waiting, bytes.under_way), (0, 0));
        assert_eq!(world.buffers_in_use(), 0);
    }
}

#[test]
fn a_call_that_comes_while_a_node_is_down_is_answered_when_it_is_up() {
    let mut world = World::new(1);
    let client = world.node("client", [10, 0, 0, 1]).spawner(talker::spawn);
    let server = world
        .node("server", [10, 0, 0, 2])
        .boot(|boot| boot.spawn(0, talker::Spawn::Listen(listen(), Script::default())))
        .spawner(talker::spawn);
    world.run_for(ms(10)).unwrap();
    world.crash(server);
    world.spawn(
        client,
        0,
        talker::Spawn::Connect(connect(), Script::say(10)),
    );
    world.run_for(ms(500)).unwrap();
    world.restart(server);
    world.run_for(ms(5_000)).unwrap();
    assert_eq!(only(&world, client).failed, None);
    assert_eq!(ear(&world, server).heard.len(), 10);
}

/// The counts that the clerk has reported since it was last asked, and when.
fn sold(world: &mut World<Shop>) -> Vec<(Timestamp, u64)> {
    let reports = world.take_reports().into_iter();
    let sold = reports.filter_map(|reported| match reported.report {
        Report::Sold(sold) => Some((reported.at, sold)),
        _ => None,
    });
    sold.collect()
}

fn on_disk(world: &World<Shop>, till: NodeId) -> u64 {
    let sold = world.disk(till).read("sold");
    sold.map_or(0, |sold| u64::from_le_bytes(sold.try_into().unwrap()))
}

#[test]
fn what_was_safe_on_the_disk_is_there_in_the_next_life() {
    for seed in 0..5 {
        let mut world = World::<Shop>::new(seed);
        let (till, _) = shop::open_with(&mut world, 2, ms(70)..=ms(70));
        let mut before = 0;
        for life in 0..4 {
            assert_eq!(world.life(till), life);
            world.run_for(ms(300)).unwrap();
            let sold = sold(&mut world);
            assert_eq!(sold[0].1, before + 1, "it goes on from where the disk was");
            let last = sold[sold.len() - 1].1;
            assert_eq!(
                on_disk(&world, till),
                last,
                "what was written can be read at once"
            );
            world.crash(till);
            let now = world.now();
            let safe = sold.iter().rev().find(|(at, _)| at.after(ms(70)) <= now);
            before = safe.unwrap().1;
            assert!(before < last, "the last ones were not safe yet");
            assert_eq!(on_disk(&world, till), before);
            world.run_for(ms(50)).unwrap();
            world.restart(till);
            world.run_for(Duration::from_nanos(1)).unwrap();
            let (_, clerk) = world.tasks::<Clerk>(till).next().unwrap();
            assert_eq!(clerk.sold, before);
        }
    }
}

#[test]
fn how_long_a_write_takes_to_be_safe_is_drawn() {
    let mut lost = BTreeSet::new();
    for seed in 0..20 {
        let mut world = World::<Shop>::new(seed);
        let (till, _) = shop::open_with(&mut world, 1, ms(0)..=ms(100));
        world.run_for(ms(500)).unwrap();
        let before = on_disk(&world, till);
        world.crash(till);
        lost.insert(before - on_disk(&world, till));
    }
    assert!(lost.len() > 2 && *lost.last().unwrap() <= 6, "{lost:?}");
}

#[test]
fn a_scenario_may_write_on_a_disk() {
    let mut world = World::<Shop>::new(1);
    let (till, buyers) = shop::open(&mut world, 0);
    assert_eq!(world.disk(till).names().count(), 0);
    world.write_disk(till, "sold", 41_u64.to_le_bytes());
    world.restart(till);
    world.run_for(ms(1)).unwrap();
    let (_, clerk) = world.tasks::<Clerk>(till).next().unwrap();
    assert_eq!(clerk.sold, 41);
    assert!(buyers.is_empty());
}

#[test]
fn everything_starts_again_after_a_power_cycle() {
    let mut world = World::<Shop>::new(1);
    let (till, buyers) = shop::open(&mut world, 2);
    world.run_for(ms(200)).unwrap();
    world.crash(buyers[1]);
    world.inject(Fault::PowerCycle);
    assert_eq!((world.life(till), world.life(buyers[0])), (1, 1));
    assert!(world.is_down(buyers[1]), "that was off already");
    world.take_reports();
    world.run_for(ms(500)).unwrap();
    let reports = world.take_reports();
    let answered = |node: NodeId| {
        let answers = reports.iter().filter(|reported| reported.node == node);
        answers.count()
    };
    assert!(answered(till) > 5 && answered(buyers[0]) > 10);
    assert_eq!(answered(buyers[1]), 0);
}

#[test]
fn the_controller_hears_of_a_crash_and_has_workers_again_after_the_restart() {
    let mut world = World::<Show>::new(1);
    let policy = WhenWorkerFails::Restart { restarts_max: 3 };
    let node = world.node("node", [10, 0, 0, 1]).workers(2);
    let node = node.when_worker_fails(policy).spawner(puppet::spawn);
    let spawn = world
        .controller(node)
        .spawn(stillpoint::Placement::Pinned(1), puppet::Role::default());
    world.run_for(ms(1)).unwrap();
    world.controller(node).shutdown(ms(1_000));
    world.crash(node);
    let mut controller = world.controller(node);
    let events: Vec<_> = core::iter::from_fn(|| controller.poll()).collect();
    let stopped = events
        .iter()
        .filter(|event| matches!(event, ControllerEvent::WorkerStopped(_)));
    assert_eq!(stopped.count(), 2);
    let ended = events.iter().any(|event| {
        matches!(event, ControllerEvent::Ended { spawn: of, .. } if *of == Some(spawn.unwrap()))
    });
    assert!(ended, "{events:?}");
    world.restart(node);
    assert_eq!(
        world.workers(node),
        2,
        "a policy for workers replaces none of a machine's"
    );
    let again = world
        .controller(node)
        .spawn(stillpoint::Placement::Pinned(3), puppet::Role::default());
    world.run_for(ms(1)).unwrap();
    assert!(again.is_ok(), "the shutdown is forgotten, too");
    assert_eq!(world.task_count(node), 1);
}

#[test]
fn a_paused_node_does_nothing_until_it_goes_on_and_its_host_does() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.spawn(asking, 0, common::client("10.0.0.2:7", 10, ms(10)));
    world.run_for(ms(25)).unwrap();
    world.pause(answering);
    world.run_for(ms(500)).unwrap();
    assert_eq!(heard(&world, answering).len(), 3);
    let idle = world.run_until_idle(ms(1));
    assert!(idle.is_ok(), "nothing is left to happen: {idle:?}");
    world.resume(answering);
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(heard(&world, answering).len(), 10);
    let (_, server) = world.tasks::<Server>(answering).next().unwrap();
    assert!(server.heard[3].0 >= Timestamp::EPOCH.after(ms(520)));
}

#[test]
fn the_host_of_a_paused_node_acknowledges_until_its_buffer_is_full() {
    let mut world = World::new(1);
    let (client, server) =
        talker::pair(&mut world, &Link::fixed(ms(1)), listen(), Script::default());
    world.spawn(
        client,
        0,
        talker::Spawn::Connect(connect(), Script::default()),
    );
    world.run_for(ms(100)).unwrap();
    world.pause(server);
    act(&mut world, client, |task| task.write(10_000));
    world.run_for(ms(1_000)).unwrap();
    assert!(ear(&world, server).heard.is_empty());
    world.resume(server);
    world.run_for(ms(10)).unwrap();
    assert_eq!(ear(&world, server).heard.len(), 10_000);
}

#[test]
fn a_stall_does_not_wake_a_paused_node() {
    let mut world = World::<Show>::new(1);
    let node = puppet::node(&mut world, 1, BusLink::default());
    let task = puppet(&mut world, node, 0);
    world.pause(node);
    world.stall_worker(node, 0, ms(1));
    world.command(node, task, Act::Note(1));
    world.run_for(ms(100)).unwrap();
    assert_eq!(puppet::heard(&world, node, task), []);
    // A crash ends it with all else.
    world.restart(node);
    let task = puppet(&mut world, node, 1);
    world.command(node, task, Act::Note(2));
    world.run_for(ms(1)).unwrap();
    assert_eq!(puppet::heard(&world, node, task), [Heard::Noted(2)]);
}

#[test]
fn lives_repeat() {
    for seed in 0..5 {
        self_check(seed, |world: &mut World<Shop>| {
            let (till, buyers) = shop::open(world, 3);
            for _ in 0..5 {
                let wait = world.draw("wait", 0..=200);
                world.run_for(ms(wait))?;
                let victim = [till, buyers[0], buyers[1]][usize::try_from(wait % 3).unwrap()];
                world.crash(victim);
                world.run_for(ms(wait / 2))?;
                world.restart(victim);
            }
            world.run_for(ms(1_000))
        })
        .unwrap();
    }
}

#[test]
#[should_panic(expected = "worker 1 of node `till`, which starts with 1, counted from 0")]
fn a_start_names_workers_that_are_there() {
    let mut world = World::<Shop>::new(1);
    let node = world.node("till", [10, 0, 0, 1]);
    node.boot(|boot| boot.spawn(1, shop::Role::Till))
        .spawner(shop::spawn);
}

#[test]
fn a_node_that_is_up_is_restarted_by_a_crash() {
    let mut world = World::<Echo>::new(1);
    let node = world
        .node("node", [10, 0, 0, 2])
        .boot(|boot| boot.spawn(0, server("10.0.0.2:7")))
        .spawner(common::spawn);
    world.run_for(ms(1)).unwrap();
    world.restart(node);
    world.run_for(ms(1)).unwrap();
    // The port is free again.
    let opened = common::Report::Opened(common::address("10.0.0.2:7"));
    assert_eq!(
        reported(&mut world),
        [
            opened,
            common::Report::Opened(common::address("10.0.0.2:7"))
        ]
    );
    assert_eq!(world.tasks::<Server>(node).count(), 1);
    assert_eq!(world.tasks::<Client>(node).count(), 0);
}
